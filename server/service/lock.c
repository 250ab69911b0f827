/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lock on an image; the contract is in lock.h. */
#include "server/service/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"

#define STEP_MS	      50
#define PROC_LOCKS    "/proc/locks"
#define TEXT_MAX      (4u << 20) /* bytes of /proc/locks that are read: some 60,000 locks */

int f4_lock_prepare(void)
{
	return open(PROC_LOCKS, O_RDONLY | O_CLOEXEC);
}

/*
 * A line is "N: FLOCK  ADVISORY  WRITE PID MAJ:MIN:INO 0 EOF", device numbers in hexadecimal; a
 * waiter's line has "->" behind the number. Source: proc_locks(5).
 */
static bool parse_line(const char *line, bool *ret_write, long *ret_pid, dev_t *ret_dev, ino_t *ret_ino)
{
	unsigned int major, minor;
	unsigned long long ino;
	char kind[8], mode[8];

	if (sscanf(line, "%*[0-9]: %7s %*s %7s %ld %x:%x:%llu", kind, mode, ret_pid, &major, &minor,
		   &ino) != 6)
		return false;
	if (strcmp(kind, "FLOCK") != 0)
		return false;
	*ret_write = strcmp(mode, "WRITE") == 0;
	*ret_dev = makedev(major, minor);
	*ret_ino = (ino_t)ino;
	return true;
}

bool f4_lock_find(const char *text, dev_t dev, ino_t ino, bool writers_only, pid_t *ret_pid)
{
	for (const char *line = text; line && *line;) {
		const char *end = strchr(line, '\n');
		char copy[160];
		bool write;
		long pid;
		dev_t d;
		ino_t i;

		(void)snprintf(copy, sizeof(copy), "%.*s", (int)(end ? end - line : 159), line);
		if (parse_line(copy, &write, &pid, &d, &i) && d == dev && i == ino &&
		    (write || !writers_only)) {
			*ret_pid = pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
			return true;
		}
		line = end ? end + 1 : NULL;
	}
	return false;
}

static bool find_holder(int proc_locks, dev_t dev, ino_t ino, bool writers_only, pid_t *ret_pid)
{
	f4_auto_free char *text = NULL;

	if (proc_locks < 0 || lseek(proc_locks, 0, SEEK_SET) < 0 ||
	    f4_fd_slurp(proc_locks, TEXT_MAX, &text, NULL) < 0)
		return false;
	return f4_lock_find(text, dev, ino, writers_only, ret_pid);
}

static void describe(pid_t pid, char *who, size_t size)
{
	if (pid > 0)
		(void)snprintf(who, size, "process %d", pid);
	else
		(void)snprintf(who, size, "another process");
}

static long long now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* the clock exists */
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

int f4_lock_take(int fd, bool shared, int proc_locks, char *who, size_t size)
{
	long long end = now_ms() + F4_LOCK_WAIT_MS;
	int how = (shared ? LOCK_SH : LOCK_EX) | LOCK_NB;
	struct stat st;
	pid_t pid = 0;

	while (flock(fd, how) < 0) {
		struct timespec pause = { 0, STEP_MS * 1000000l };

		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return -errno;
		if (now_ms() >= end) {
			if (fstat(fd, &st) == 0)
				(void)find_holder(proc_locks, st.st_dev, st.st_ino, shared, &pid);
			describe(pid, who, size);
			return F4_LOCK_E_HELD;
		}
		(void)nanosleep(&pause, NULL); /* woken early, it looks early */
	}
	return 0;
}

int f4_lock_check_loop(int fd, bool shared, int proc_locks, char *who, size_t size)
{
	struct loop_info64 info;
	struct stat st;
	pid_t pid;

	if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) || major(st.st_rdev) != LOOP_MAJOR ||
	    ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
		return 0;
	if (!find_holder(proc_locks, (dev_t)info.lo_device, (ino_t)info.lo_inode, shared, &pid))
		return 0;
	describe(pid, who, size);
	return F4_LOCK_E_HELD;
}

void f4_lock_release(int fd)
{
	(void)flock(fd, LOCK_UN); /* closing does it too */
}
