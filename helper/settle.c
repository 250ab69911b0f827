/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waiting for a server to be done; the contract is in settle.h. */
#include "helper/settle.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "helper/child.h"
#include "helper/holder.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/str.h"

#define STEP_MIN_MS 2
#define STEP_MAX_MS 50

/* The path in a mount's source: "/dev/sdb1", "/home/x/img", "fuse4fs:/dev/shm/img". */
static const char *source_path(const struct f4_mount *mount, const char *subtype)
{
	const char *rest = f4_str_after(mount->source, subtype);

	return rest && rest[0] == ':' ? rest + 1 : mount->source;
}

static void prepare_image(struct f4_settle *s, const char *path, const struct stat *st, bool ro)
{
	pid_t pid = 0;

	/* Several holders are several read-only mounts of the image: which is this one's is unknown. */
	if (f4_holder_locks(st->st_dev, st->st_ino, &pid) == 1 && pid > 0) {
		s->pid = pid;
		s->pidfd = f4_pidfd_open(pid);
	} else if (!ro) {
		s->image_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	}
}

void f4_settle_prepare(struct f4_settle *s, const struct f4_mount *mount, const char *subtype)
{
	const char *path = source_path(mount, subtype);
	bool ro = strncmp(mount->super_options, "ro", 2) == 0;
	struct stat st;

	*s = (struct f4_settle)F4_SETTLE_INIT;
	s->fuse_dev = mount->dev;
	if (path[0] != '/' || stat(path, &st) < 0)
		return;
	if (S_ISREG(st.st_mode))
		prepare_image(s, path, &st, ro);
	else if (S_ISBLK(st.st_mode) && f4_str_after(mount->type, "fuse."))
		s->device = strdup(path); /* without memory there is no waiting, no more */
}

/*
 * Is the connection still there? The kernel takes the entry away when the last mount of the
 * filesystem goes, before that umount(2) returns. false also where fusectl is not mounted.
 */
static bool connected(dev_t fuse_dev)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u", minor(fuse_dev));
	return access(path, F_OK) == 0;
}

/* Mounted at another place that this namespace shows? */
static bool mounted(dev_t fuse_dev)
{
	struct f4_mounts m f4_cleanup(f4_mounts_done) = F4_MOUNTS_INIT;

	if (f4_mounts_load(&m) < 0)
		return false;
	for (size_t i = 0; i < m.n; i++)
		if (m.v[i].dev == fuse_dev)
			return true;
	return false;
}

/* Does the server still hold on to what it served? */
static bool held(const struct f4_settle *s)
{
	if (s->image_fd >= 0) {
		if (flock(s->image_fd, LOCK_SH | LOCK_NB) < 0)
			return errno == EWOULDBLOCK;
		(void)flock(s->image_fd, LOCK_UN);
	}
	if (s->device) {
		f4_auto_fd fd = open(s->device, O_RDONLY | O_EXCL | O_CLOEXEC);

		return fd < 0 && errno == EBUSY;
	}
	return false;
}

/* Sleep; true: a signal came. */
static bool pause_ms(int ms, const sigset_t *wait_mask)
{
	struct timespec t = { .tv_sec = 0, .tv_nsec = (long)ms * 1000000 };

	return ppoll(NULL, 0, &t, wait_mask) < 0 && errno == EINTR && wait_mask;
}

static int poll_held(const struct f4_settle *s, long long end, const sigset_t *wait_mask)
{
	int step = STEP_MIN_MS;

	while (held(s)) {
		if (f4_now_ms() >= end)
			return F4_SETTLE_E_TIMEOUT;
		if (pause_ms(step, wait_mask))
			return F4_SETTLE_E_INTERRUPTED;
		if (step < STEP_MAX_MS)
			step *= 2;
	}
	return 0;
}

int f4_settle_wait(const struct f4_settle *s, int timeout_ms, const sigset_t *wait_mask)
{
	long long end = f4_now_ms() + timeout_ms;
	int rc = 0;

	if (mounted(s->fuse_dev) || connected(s->fuse_dev))
		return F4_SETTLE_E_ELSEWHERE;
	if (s->pidfd >= 0) {
		rc = f4_pidfd_wait(s->pidfd, timeout_ms, wait_mask);
		if (rc == F4_CHILD_E_TIMEOUT)
			return F4_SETTLE_E_TIMEOUT;
		if (rc == F4_CHILD_E_INTERRUPTED)
			return F4_SETTLE_E_INTERRUPTED;
		return 0;
	}
	return poll_held(s, end, wait_mask);
}

void f4_settle_done(struct f4_settle *s)
{
	f4_close_p(&s->pidfd);
	f4_close_p(&s->image_fd);
	free(s->device);
	*s = (struct f4_settle)F4_SETTLE_INIT;
}
