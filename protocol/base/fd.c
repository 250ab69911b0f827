/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors; the contract is in fd.h. */
#include "protocol/base/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"

/* source: Linux MISC_MAJOR (linux/major.h) and FUSE_MINOR (linux/miscdevice.h) */
#define FUSE_DEV_MAJOR 10u
#define FUSE_DEV_MINOR 229u

#define SEALS_FIXED (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

int f4_fd_cloexec(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0)
		return -errno;
	if (!(flags & FD_CLOEXEC) && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

int f4_fd_above_stdio(int *fd)
{
	int higher;

	if (*fd > STDERR_FILENO)
		return 0;
	higher = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (higher < 0)
		return -errno;
	f4_close_p(fd);
	*fd = higher;
	return 0;
}

int f4_fd_ensure_stdio(void)
{
	for (int want = STDIN_FILENO; want <= STDERR_FILENO; want++) {
		int fd;

		if (fcntl(want, F_GETFD) >= 0)
			continue;
		if (errno != EBADF)
			return -errno;
		/* The lowest free number is taken, and those below are not free: it is @want. */
		fd = open("/dev/null", O_RDWR); /* not close-on-exec: it is for the children too */
		if (fd < 0)
			return -errno;
		if (fd != want) {
			f4_close_p(&fd);
			return -EBADF;
		}
	}
	return 0;
}

int f4_fd_write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int f4_fd_pwrite_all(int fd, const void *buf, size_t len, off_t pos_bytes)
{
	const char *p = buf;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, pos_bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		pos_bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

int f4_fd_read_all(int fd, void *buf, size_t len, size_t *ret_len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*ret_len = done;
	return 0;
}

int f4_fd_pread_all(int fd, void *buf, size_t len, off_t pos_bytes, size_t *ret_len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, pos_bytes + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*ret_len = done;
	return 0;
}

int f4_fd_slurp(int fd, size_t max, char **ret, size_t *ret_len)
{
	f4_auto_free char *buf = NULL;
	size_t size = 0, len = 0;

	/* Grown by doubling: files in /proc do not say how long they are. */
	while (len == size) {
		size_t want = size ? size * 2 : 4096, n = 0;
		char *p;
		int r;

		if (want > max + 1)
			want = max + 1;
		if (want == size)
			return -EFBIG;
		p = realloc(buf, want + 1);
		if (!p)
			return -ENOMEM;
		buf = p;
		size = want;
		r = f4_fd_read_all(fd, buf + len, size - len, &n);
		if (r < 0)
			return r;
		len += n;
	}
	if (len > max)
		return -EFBIG;
	buf[len] = '\0';
	*ret = f4_take_ptr(buf);
	if (ret_len)
		*ret_len = len;
	return 0;
}

static bool is_kind(const struct stat *st, enum f4_fd_kind kind)
{
	switch (kind) {
	case F4_FD_FUSE:
		return S_ISCHR(st->st_mode) && st->st_rdev == makedev(FUSE_DEV_MAJOR, FUSE_DEV_MINOR);
	case F4_FD_REGULAR:
	case F4_FD_MEMORY:
	case F4_FD_MEMORY_FIXED:
		return S_ISREG(st->st_mode);
	case F4_FD_BLOCK:
		return S_ISBLK(st->st_mode);
	case F4_FD_IMAGE:
		return S_ISREG(st->st_mode) || S_ISBLK(st->st_mode);
	case F4_FD_PATH_DIR:
		return S_ISDIR(st->st_mode);
	case F4_FD_PATH_MOUNT:
		return S_ISDIR(st->st_mode) || S_ISREG(st->st_mode);
	case F4_FD_SOCKET:
		return S_ISSOCK(st->st_mode);
	case F4_FD_KIND_MAX:
		break;
	}
	return false;
}

static bool allows(int flags, int access)
{
	int mode = flags & O_ACCMODE;

	return mode == O_RDWR || mode == access;
}

int f4_fd_expect(int fd, enum f4_fd_kind kind, int access)
{
	bool want_path = kind == F4_FD_PATH_DIR || kind == F4_FD_PATH_MOUNT;
	bool memory = kind == F4_FD_MEMORY || kind == F4_FD_MEMORY_FIXED;
	int flags = fcntl(fd, F_GETFL), seals = 0;
	struct stat st;

	if (flags < 0)
		return -errno;
	/* Cheap and local questions first: fstat() may ask a filesystem that never answers. */
	if (want_path != !!(flags & O_PATH))
		return F4_FD_E_ACCESS;
	if (memory) {
		seals = fcntl(fd, F_GET_SEALS);
		if (seals < 0)
			return F4_FD_E_KIND;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!is_kind(&st, kind))
		return F4_FD_E_KIND;
	if (!want_path && kind != F4_FD_SOCKET && !allows(flags, access))
		return F4_FD_E_ACCESS;
	if (kind == F4_FD_MEMORY_FIXED && (seals & SEALS_FIXED) != SEALS_FIXED)
		return F4_FD_E_SEALS;
	return 0;
}

const char *f4_fd_kind_name(enum f4_fd_kind kind)
{
	static const char *const names[] = {
		[F4_FD_FUSE] = "a FUSE device",
		[F4_FD_REGULAR] = "a regular file",
		[F4_FD_BLOCK] = "a block device",
		[F4_FD_IMAGE] = "a regular file or block device",
		[F4_FD_MEMORY] = "a memory file",
		[F4_FD_MEMORY_FIXED] = "a sealed memory file",
		[F4_FD_PATH_DIR] = "a directory opened by path only",
		[F4_FD_PATH_MOUNT] = "a directory or regular file opened by path only",
		[F4_FD_SOCKET] = "a socket",
	};
	static_assert(F4_ARRAY_LEN(names) == F4_FD_KIND_MAX, "a name for each kind");

	return (unsigned int)kind < F4_FD_KIND_MAX ? names[kind] : "?";
}
