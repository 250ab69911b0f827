/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the caller named; the contract is in source.h. */
#include "helper/source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "helper/mounts.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/str.h"
#include "protocol/wire.h"

/* The N of "fd:N", "/dev/fd/N" and "/proc/self/fd/N"; -1: a path. */
static int named_fd(const char *name)
{
	static const char *const prefixes[] = { "fd:", "/dev/fd/", "/proc/self/fd/" };
	uint64_t n;

	for (size_t i = 0; i < F4_ARRAY_LEN(prefixes); i++) {
		const char *digits = f4_str_after(name, prefixes[i]);

		if (digits && f4_str_to_u64(digits, 10, INT_MAX, &n) == 0)
			return (int)n;
	}
	return -1;
}

static void fd_link(char *buf, size_t size, int fd)
{
	(void)snprintf(buf, size, "/proc/self/fd/%d", fd); /* always fits */
}

static int open_path(struct f4_source *s, struct f4_fail *f)
{
	const char *name = s->name;
	char link[64];

	if (s->given_fd >= 0) {
		if (fcntl(s->given_fd, F_GETFD) < 0)
			return f4_fail(f, F4_EXIT_FAILED, errno, "%s: no such descriptor is open",
				       name);
		fd_link(link, sizeof(link), s->given_fd);
		name = link;
	}
	s->path_fd = open(name, O_PATH | O_CLOEXEC);
	if (s->path_fd < 0 && errno == ENOENT && strchr(name, '=') && name[0] != '/')
		return f4_fail(f, F4_EXIT_FAILED, 0,
			       "%s: tags are looked up by mount(8): use mount -t fuse4fs %s DIR",
			       name, name);
	if (s->path_fd < 0)
		return f4_fail(f, F4_EXIT_FAILED, errno, "%s: can't be found", s->name);
	if (fstat(s->path_fd, &s->st) < 0)
		return f4_fail(f, F4_EXIT_FAILED, errno, "%s: can't be examined", s->name);
	if (S_ISDIR(s->st.st_mode))
		return f4_fail(f, F4_EXIT_FAILED, 0,
			       "%s: is a directory; SOURCE comes first, then DIR", s->name);
	if (!S_ISREG(s->st.st_mode) && !S_ISBLK(s->st.st_mode))
		return f4_fail(f, F4_EXIT_FAILED, 0,
			       "%s: is neither a block device nor an image file", s->name);
	return 0;
}

/* Does @path lead to the file that @s is? */
static bool leads_back(const struct f4_source *s, const char *path)
{
	struct stat st;

	if (path[0] != '/' || stat(path, &st) < 0)
		return false;
	if (f4_source_is_block(s))
		return S_ISBLK(st.st_mode) && st.st_rdev == s->st.st_rdev;
	return st.st_dev == s->st.st_dev && st.st_ino == s->st.st_ino;
}

static void choose_shown(struct f4_source *s)
{
	static const char prefix[] = F4_WIRE_SUBTYPE ":";
	size_t len = strlen(s->path), room = sizeof(s->shown) - sizeof(prefix);
	const char *tail = s->path;
	bool plain = leads_back(s, s->path) &&
		     (f4_source_is_block(s) || !f4_str_after(s->path, "/dev/"));

	if (plain && len < sizeof(s->shown)) {
		(void)f4_str_copy(s->shown, sizeof(s->shown), s->path); /* it fits */
		return;
	}
	if (len > room) {
		tail += len - room;
		while (((unsigned char)*tail & 0xc0) == 0x80)
			tail++; /* not into the middle of a UTF-8 character */
	}
	(void)snprintf(s->shown, sizeof(s->shown), "%s%s", prefix, tail);
}

int f4_source_init(struct f4_source *s, const char *name, struct f4_fail *f)
{
	int rc;

	*s = (struct f4_source)F4_SOURCE_INIT;
	s->name = name;
	s->given_fd = named_fd(name);
	if (open_path(s, f) != 0)
		return F4_FAILED;
	rc = f4_fd_path(s->path_fd, &s->path);
	if (rc < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, -rc, "%s: /proc doesn't tell its path", name);
	choose_shown(s);
	return 0;
}

void f4_source_done(struct f4_source *s)
{
	f4_source_unclaim(s);
	f4_close_p(&s->path_fd);
	free(s->path);
	*s = (struct f4_source)F4_SOURCE_INIT;
}

bool f4_source_is_block(const struct f4_source *s)
{
	return S_ISBLK(s->st.st_mode);
}

/* The caller's own descriptor, if it is open for @flags' access. */
static int duplicate(const struct f4_source *s, int flags)
{
	int have = fcntl(s->given_fd, F_GETFL), fd;

	if (have < 0)
		return -errno;
	if (have & O_PATH)
		return -EBADF;
	if ((have & O_ACCMODE) != O_RDWR && (have & O_ACCMODE) != (flags & O_ACCMODE))
		return -EACCES;
	fd = fcntl(s->given_fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : fd;
}

/* A device that is write-protected opens for writing all the same; only writes fail, with EPERM. */
static bool is_protected(const struct f4_source *s, int fd, int flags)
{
	int ro = 0;

	return f4_source_is_block(s) && (flags & O_ACCMODE) != O_RDONLY &&
	       ioctl(fd, BLKROGET, &ro) == 0 && ro;
}

int f4_source_open(const struct f4_source *s, int flags)
{
	char link[64];
	int fd, error;

	fd_link(link, sizeof(link), s->path_fd);
	fd = open(link, flags | O_CLOEXEC | O_NOCTTY);
	if (fd >= 0 && is_protected(s, fd, flags)) {
		(void)close(fd); /* nothing was written */
		return -EROFS;
	}
	if (fd >= 0)
		return fd;
	error = errno;
	if (s->given_fd >= 0 && (error == EACCES || error == EPERM || error == EROFS)) {
		fd = duplicate(s, flags);
		if (fd >= 0)
			return fd;
	}
	return -error;
}

int f4_source_claim(struct f4_source *s)
{
	int fd;

	if (!f4_source_is_block(s) || s->claim_fd >= 0)
		return 0;
	fd = f4_source_open(s, O_RDONLY | O_EXCL);
	if (fd < 0)
		return fd;
	s->claim_fd = fd;
	return 0;
}

void f4_source_unclaim(struct f4_source *s)
{
	f4_close_p(&s->claim_fd);
}
