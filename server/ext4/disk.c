/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front of the disk seam: range checks and the fallbacks for what a backend lacks.
 */
#include "server/ext4/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/cleanup.h"

#define ZERO_CHUNK (256u * 1024u)

static int check_range(const struct f4_disk *d, uint64_t pos, uint64_t len)
{
	return pos <= d->size_bytes && len <= d->size_bytes - pos ? 0 : -EIO;
}

/* The sum of the vector, or -EIO when it doesn't fit at @pos; 0 in *@ret_len is "nothing to do". */
static int check_iov(const struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos,
		     uint64_t *ret_len)
{
	uint64_t len = 0;

	if (n < 0)
		return -EINVAL;
	for (int i = 0; i < n; i++)
		if (__builtin_add_overflow(len, (uint64_t)iov[i].iov_len, &len))
			return -EIO;
	*ret_len = len;
	return check_range(d, pos, len);
}

int f4_disk_readv(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	uint64_t len;
	int r = check_iov(d, iov, n, pos, &len);

	return r < 0 || len == 0 ? r : d->ops->readv(d, iov, n, pos);
}

int f4_disk_writev(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	uint64_t len;
	int r = check_iov(d, iov, n, pos, &len);

	if (r < 0 || len == 0)
		return r;
	return d->read_only ? -EROFS : d->ops->writev(d, iov, n, pos);
}

int f4_disk_read(struct f4_disk *d, void *buf, size_t len, uint64_t pos)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };

	return f4_disk_readv(d, &iov, 1, pos);
}

int f4_disk_write(struct f4_disk *d, const void *buf, size_t len, uint64_t pos)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };

	return f4_disk_writev(d, &iov, 1, pos);
}

int f4_disk_write_fua(struct f4_disk *d, const void *buf, size_t len, uint64_t pos)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	int r = check_range(d, pos, len);

	if (r < 0 || len == 0)
		return r;
	if (d->read_only)
		return -EROFS;
	if (d->ops->writev_fua)
		return d->ops->writev_fua(d, &iov, 1, pos);
	r = d->ops->writev(d, &iov, 1, pos);
	return r < 0 ? r : d->ops->flush(d);
}

int f4_disk_flush(struct f4_disk *d)
{
	return d->read_only ? 0 : d->ops->flush(d);
}

int f4_disk_discard(struct f4_disk *d, uint64_t pos, uint64_t len)
{
	int r = check_range(d, pos, len);

	if (r < 0 || len == 0)
		return r;
	if (d->read_only)
		return -EROFS;
	return d->ops->discard ? d->ops->discard(d, pos, len) : -EOPNOTSUPP;
}

static int write_zeroes(struct f4_disk *d, uint64_t pos, uint64_t len)
{
	size_t chunk = len < ZERO_CHUNK ? (size_t)len : ZERO_CHUNK;
	f4_auto_free void *zeroes = NULL;

	/* Page aligned, so that an O_DIRECT backend needs no bounce buffer. */
	if (posix_memalign(&zeroes, 4096, chunk) != 0)
		return -ENOMEM;
	memset(zeroes, 0, chunk);
	while (len > 0) {
		size_t n = len < chunk ? (size_t)len : chunk;
		int r = f4_disk_write(d, zeroes, n, pos);

		if (r < 0)
			return r;
		pos += n;
		len -= n;
	}
	return 0;
}

int f4_disk_zero(struct f4_disk *d, uint64_t pos, uint64_t len)
{
	int r = check_range(d, pos, len);

	if (r < 0 || len == 0)
		return r;
	if (d->read_only)
		return -EROFS;
	if (d->ops->zero) {
		r = d->ops->zero(d, pos, len);
		if (r != -EOPNOTSUPP)
			return r;
	}
	return write_zeroes(d, pos, len);
}

void f4_disk_readahead(struct f4_disk *d, uint64_t pos, uint64_t len)
{
	if (d->ops->readahead && check_range(d, pos, len) == 0 && len > 0)
		d->ops->readahead(d, pos, len);
}

struct f4_disk *f4_disk_free(struct f4_disk *d)
{
	if (d)
		d->ops->destroy(d);
	return NULL;
}
