/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk on a descriptor: regular file or block device.
 *
 * System calls after the seal: preadv, pwritev, pwritev2 (RWF_DSYNC), fdatasync, fallocate,
 * fadvise64, and ioctl(BLKDISCARD) on block devices. ioctl(BLKSSZGET) and lseek once, when made.
 *
 * An O_DIRECT descriptor wants memory, position and length aligned. What isn't goes through a
 * bounce buffer; an unaligned write reads the block around it first, under a lock, so that two
 * writes to different parts of one device block don't undo each other. A write that is aligned
 * covers whole device blocks and so never overlaps such a one.
 */
#include "server/ext4/disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"

#define DIRECT_ALIGN 4096u

struct fd_disk {
	struct f4_disk disk;
	int fd; /* borrowed */
	uint64_t offset;
	bool is_block, direct;
	_Atomic bool no_dsync; /* RWF_DSYNC is not supported here */
	pthread_mutex_t unaligned_lock;
};

static struct fd_disk *to_fd(struct f4_disk *d)
{
	return f4_container_of(d, struct fd_disk, disk);
}

typedef ssize_t (*transfer_fn)(int fd, const struct iovec *iov, int n, off_t pos, int flags);

static ssize_t do_readv(int fd, const struct iovec *iov, int n, off_t pos, int flags)
{
	return preadv(fd, iov, n, pos);
}

static ssize_t do_writev(int fd, const struct iovec *iov, int n, off_t pos, int flags)
{
	return flags ? pwritev2(fd, iov, n, pos, flags) : pwritev(fd, iov, n, pos);
}

/* All of @iov or an error. The caller's vector is only copied when a transfer was short. */
static int transfer(struct fd_disk *f, const struct iovec *iov, int n, uint64_t pos,
		    transfer_fn fn, int flags)
{
	off_t at = (off_t)(f->offset + pos);
	size_t skip = 0; /* bytes of iov[0] that are done */

	while (n > 0) {
		struct iovec head = { .iov_base = (char *)iov->iov_base + skip,
				      .iov_len = iov->iov_len - skip };
		ssize_t r = skip ? fn(f->fd, &head, 1, at, flags)
				 : fn(f->fd, iov, n < IOV_MAX ? n : IOV_MAX, at, flags);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return -EIO; /* the file has shrunk under us */
		at += r;
		skip += (size_t)r;
		while (n > 0 && skip >= iov->iov_len) {
			skip -= iov->iov_len;
			iov++;
			n--;
		}
	}
	return 0;
}

static size_t iov_total(const struct iovec *iov, int n)
{
	size_t len = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

static bool is_aligned(const struct fd_disk *f, const struct iovec *iov, int n, uint64_t pos)
{
	if ((f->offset + pos) % DIRECT_ALIGN != 0)
		return false;
	for (int i = 0; i < n; i++)
		if ((uintptr_t)iov[i].iov_base % DIRECT_ALIGN != 0 ||
		    iov[i].iov_len % DIRECT_ALIGN != 0)
			return false;
	return true;
}

static void iov_copy(const struct iovec *iov, int n, uint8_t *flat, bool to_flat)
{
	for (int i = 0; i < n; i++) {
		if (to_flat)
			memcpy(flat, iov[i].iov_base, iov[i].iov_len);
		else
			memcpy(iov[i].iov_base, flat, iov[i].iov_len);
		flat += iov[i].iov_len;
	}
}

/*
 * The widened range may reach beyond the end of the file (an image that is no multiple of 4 KiB):
 * the kernel gives a short read there, and the tail of the bounce buffer stays zero.
 */
static int read_wide(struct fd_disk *f, uint8_t *buf, size_t len, uint64_t start)
{
	size_t done = 0;

	while (done < len) {
		ssize_t r = pread(f->fd, buf + done, len - done, (off_t)(start + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		done += (size_t)r;
		if (done % DIRECT_ALIGN != 0)
			break; /* the end of the file */
	}
	memset(buf + done, 0, len - done);
	return 0;
}

static int bounce(struct fd_disk *f, const struct iovec *iov, int n, uint64_t pos, bool write,
		  int flags)
{
	size_t len = iov_total(iov, n);
	uint64_t abs = f->offset + pos;
	uint64_t start = abs - abs % DIRECT_ALIGN;
	uint64_t end = (abs + len + DIRECT_ALIGN - 1) / DIRECT_ALIGN * DIRECT_ALIGN;
	f4_auto_free void *mem = NULL;
	uint8_t *buf;
	struct iovec whole;
	int r;

	if (posix_memalign(&mem, DIRECT_ALIGN, (size_t)(end - start)) != 0)
		return -ENOMEM;
	buf = mem;
	if (!write) {
		r = read_wide(f, buf, (size_t)(end - start), start);
		if (r == 0)
			iov_copy(iov, n, buf + (abs - start), false);
		return r;
	}
	/* Never write beyond where the disk ends: the last block may be half ours. */
	if (end > f->offset + f->disk.size_bytes && (f->disk.size_bytes + f->offset) % 512 == 0)
		end = f->offset + f->disk.size_bytes;
	pthread_mutex_lock(&f->unaligned_lock);
	r = read_wide(f, buf, (size_t)((end - start + DIRECT_ALIGN - 1) / DIRECT_ALIGN * DIRECT_ALIGN),
		      start);
	if (r == 0) {
		iov_copy(iov, n, buf + (abs - start), true);
		whole = (struct iovec){ .iov_base = buf, .iov_len = (size_t)(end - start) };
		/* transfer() adds the offset again; the wrap of unsigned arithmetic undoes that. */
		r = transfer(f, &whole, 1, start - f->offset, do_writev, flags);
	}
	pthread_mutex_unlock(&f->unaligned_lock);
	return r;
}

static int fd_readv(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	struct fd_disk *f = to_fd(d);

	if (f->direct && !is_aligned(f, iov, n, pos))
		return bounce(f, iov, n, pos, false, 0);
	return transfer(f, iov, n, pos, do_readv, 0);
}

static int write_flags(struct fd_disk *f, const struct iovec *iov, int n, uint64_t pos, int flags)
{
	if (f->direct && !is_aligned(f, iov, n, pos))
		return bounce(f, iov, n, pos, true, flags);
	return transfer(f, iov, n, pos, do_writev, flags);
}

static int fd_writev(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	return write_flags(to_fd(d), iov, n, pos, 0);
}

static int fd_flush(struct f4_disk *d)
{
	return fdatasync(to_fd(d)->fd) < 0 ? -errno : 0;
}

static int fd_writev_fua(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	struct fd_disk *f = to_fd(d);
	int r;

	if (!f->no_dsync) {
		r = write_flags(f, iov, n, pos, RWF_DSYNC);
		if (r != -EOPNOTSUPP && r != -EINVAL && r != -ENOSYS)
			return r;
		f->no_dsync = true;
	}
	r = write_flags(f, iov, n, pos, 0);
	return r < 0 ? r : fd_flush(d);
}

static int fd_discard(struct f4_disk *d, uint64_t pos, uint64_t len)
{
	struct fd_disk *f = to_fd(d);
	uint64_t range[2] = { f->offset + pos, len };
	int r;

	if (f->is_block)
		r = ioctl(f->fd, BLKDISCARD, range);
	else
		r = fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)range[0], (off_t)len);
	return r < 0 ? -errno : 0;
}

static int fd_zero(struct f4_disk *d, uint64_t pos, uint64_t len)
{
	struct fd_disk *f = to_fd(d);

	if (fallocate(f->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		      (off_t)(f->offset + pos), (off_t)len) == 0)
		return 0;
	/* A backing filesystem without it, or an unaligned range on a device: write zeroes. */
	return errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS ? -EOPNOTSUPP : -errno;
}

static void fd_readahead(struct f4_disk *d, uint64_t pos, uint64_t len)
{
	struct fd_disk *f = to_fd(d);

	if (!f->direct)
		(void)posix_fadvise(f->fd, (off_t)(f->offset + pos), (off_t)len,
				    POSIX_FADV_WILLNEED); /* a hint */
}

static void fd_destroy(struct f4_disk *d)
{
	struct fd_disk *f = to_fd(d);

	pthread_mutex_destroy(&f->unaligned_lock);
	free(f);
}

static const struct f4_disk_ops fd_ops = {
	.readv = fd_readv,
	.writev = fd_writev,
	.flush = fd_flush,
	.writev_fua = fd_writev_fua,
	.discard = fd_discard,
	.zero = fd_zero,
	.readahead = fd_readahead,
	.destroy = fd_destroy,
};

int f4_disk_fd_new(const struct f4_disk_fd_params *params, struct f4_disk **ret)
{
	struct fd_disk *f;
	struct stat st;
	off_t end;
	int sector = 512;

	if (fstat(params->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return -EINVAL;
	end = S_ISREG(st.st_mode) ? st.st_size : lseek(params->fd, 0, SEEK_END);
	if (end < 0)
		return -errno;
	if (params->offset >= (uint64_t)end)
		return -EINVAL;
	if (S_ISBLK(st.st_mode) && (ioctl(params->fd, BLKSSZGET, &sector) < 0 || sector < 512))
		sector = 512;

	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->disk.ops = &fd_ops;
	f->disk.size_bytes = (uint64_t)end - params->offset;
	if (params->size_limit && params->size_limit < f->disk.size_bytes)
		f->disk.size_bytes = params->size_limit;
	f->disk.sector_size = (uint32_t)sector;
	f->disk.read_only = params->read_only;
	f->fd = params->fd;
	f->offset = params->offset;
	f->is_block = S_ISBLK(st.st_mode);
	f->direct = params->direct;
	pthread_mutex_init(&f->unaligned_lock, NULL);
	*ret = &f->disk;
	return 0;
}

int f4_disk_fd_narrow(struct f4_disk *d, uint64_t offset, uint64_t size_limit)
{
	struct fd_disk *f = to_fd(d);

	assert(f->offset == 0);
	if (offset >= d->size_bytes)
		return -EINVAL;
	f->offset = offset;
	d->size_bytes -= offset;
	if (size_limit && size_limit < d->size_bytes)
		d->size_bytes = size_limit;
	return 0;
}
