/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who else uses the source; the contract is in holder.h. */
#include "helper/holder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "helper/mounts.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/base/str.h"

#define LOCKS_MAX (16u << 20)
#define COMM_MAX  64u

/*
 * A line of /proc/locks: "1: FLOCK  ADVISORY  WRITE 812 fd:01:131 0 EOF", waiters with "->".
 * Source: proc_locks(5).
 */
static bool lock_line_is(const char *line, dev_t dev, ino_t ino, pid_t *ret_pid)
{
	unsigned int major_nr, minor_nr;
	unsigned long long inode;
	char kind[16];
	int pid;

	if (sscanf(line, "%*d: %15s %*s %*s %d %x:%x:%llu", kind, &pid, &major_nr, &minor_nr,
		   &inode) != 5)
		return false; /* a waiter's line, or one of a form that we don't know */
	if (!f4_str_eq(kind, "FLOCK") || makedev(major_nr, minor_nr) != dev || inode != ino)
		return false;
	*ret_pid = pid > 0 ? pid : 0;
	return true;
}

unsigned int f4_holder_locks(dev_t dev, ino_t ino, pid_t *ret_pid)
{
	f4_auto_fd fd = open("/proc/locks", O_RDONLY | O_CLOEXEC);
	f4_auto_free char *text = NULL;
	unsigned int n = 0;

	if (fd < 0 || f4_fd_slurp(fd, LOCKS_MAX, &text, NULL) != 0)
		return 0;
	for (char *line = text; line && *line;) {
		char *end = strchr(line, '\n');

		if (end)
			*end++ = '\0';
		n += lock_line_is(line, dev, ino, ret_pid);
		line = end;
	}
	return n;
}

void f4_holder_describe(pid_t pid, char *who, size_t size)
{
	f4_auto_free char *comm = NULL;
	f4_auto_fd fd = -1;
	char path[64];

	if (pid <= 0) {
		(void)snprintf(who, size, "a process that this namespace doesn't show");
		return;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || f4_fd_slurp(fd, COMM_MAX, &comm, NULL) != 0) {
		(void)snprintf(who, size, "process %d", pid);
		return;
	}
	comm[strcspn(comm, "\n")] = '\0';
	(void)snprintf(who, size, "process %d (%s)", pid, comm);
}

/* The lock that a server of ours would take, tried for a moment on a descriptor of its own. */
static bool image_locked(const struct f4_source *s, bool writing)
{
	f4_auto_fd fd = f4_source_open(s, O_RDONLY);

	if (fd < 0)
		return false; /* whether it can be opened is asked, and told, elsewhere */
	return flock(fd, (writing ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* Where the device @dev, or whatever calls itself @name, is mounted. NULL: nowhere. */
static const struct f4_mount *mount_of(const struct f4_mounts *m, dev_t dev, const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].dev == dev || (name && f4_str_eq(m->v[i].source, name)))
			return &m->v[i];
	return NULL;
}

/* Is block device @dev with its node at @path claimed by a mount, a RAID, another server? */
static bool device_busy(dev_t dev, const char *path, int open_result, char *who, size_t size)
{
	struct f4_mounts m f4_cleanup(f4_mounts_done) = F4_MOUNTS_INIT;
	const struct f4_mount *at = NULL;

	if (f4_mounts_load(&m) == 0)
		at = mount_of(&m, dev, path);
	if (at)
		(void)snprintf(who, size, "it is mounted on %s", at->target);
	else
		(void)snprintf(who, size, "it is claimed by another mount, a volume manager or a "
					  "program");
	return at || open_result == -EBUSY;
}

/* The file behind loop device @fd. false: it is no loop device, or its file is not told. */
static bool loop_file(int fd, dev_t *ret_dev, ino_t *ret_ino)
{
	struct loop_info64 info;

	if (ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
		return false;
	*ret_dev = (dev_t)info.lo_device; /* huge_encode_dev(): the same as glibc's for real numbers */
	*ret_ino = (ino_t)info.lo_inode;
	return true;
}

/* @s is a block device: is it a loop device over an image that a server holds? */
static bool loop_image_locked(const struct f4_source *s, char *who, size_t size)
{
	f4_auto_fd fd = f4_source_open(s, O_RDONLY);
	pid_t pid = 0;
	dev_t dev;
	ino_t ino;

	if (fd < 0 || !loop_file(fd, &dev, &ino) || f4_holder_locks(dev, ino, &pid) == 0)
		return false;
	f4_holder_describe(pid, who, size);
	return true;
}

/* Is loop device @name ("loop3") over @s, and in use? */
static bool loop_over(const struct f4_source *s, const char *name, char *who, size_t size)
{
	char path[300], words[160];
	f4_auto_free char *backing = NULL;
	f4_auto_fd fd = -1;
	f4_auto_fd dev = -1;
	struct stat st;
	int excl = 0;

	(void)snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || f4_fd_slurp(fd, 8192, &backing, NULL) != 0)
		return false;
	backing[strcspn(backing, "\n")] = '\0';
	if (stat(backing, &st) < 0 || st.st_dev != s->st.st_dev || st.st_ino != s->st.st_ino)
		return false;
	(void)snprintf(path, sizeof(path), "/dev/%s", name);
	if (stat(path, &st) < 0)
		return false;
	dev = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (dev < 0)
		excl = -errno;
	if (!device_busy(st.st_rdev, path, excl, words, sizeof(words)))
		return false;
	(void)snprintf(who, size, "it is behind %s, and %s", path, words);
	return true;
}

static bool image_behind_busy_loop(const struct f4_source *s, char *who, size_t size)
{
	DIR *dir = opendir("/sys/block");
	const struct dirent *e;
	bool busy = false;

	if (!dir)
		return false;
	while (!busy && (e = readdir(dir)) != NULL)
		if (f4_str_after(e->d_name, "loop"))
			busy = loop_over(s, e->d_name, who, size);
	closedir(dir);
	return busy;
}

int f4_holder_check(const struct f4_source *s, bool writing, char *who, size_t size)
{
	pid_t pid = 0;

	if (f4_source_is_block(s)) {
		f4_auto_fd fd = -1;

		if (s->claim_fd < 0)
			fd = f4_source_open(s, O_RDONLY | O_EXCL);
		if (fd == -EBUSY) {
			(void)device_busy(s->st.st_rdev, s->path, fd, who, size);
			return F4_HOLDER_E_HELD;
		}
		return loop_image_locked(s, who, size) ? F4_HOLDER_E_HELD : 0;
	}
	if (image_locked(s, writing)) {
		(void)f4_holder_locks(s->st.st_dev, s->st.st_ino, &pid);
		f4_holder_describe(pid, who, size);
		return F4_HOLDER_E_HELD;
	}
	return image_behind_busy_loop(s, who, size) ? F4_HOLDER_E_HELD : 0;
}
