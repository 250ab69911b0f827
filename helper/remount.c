/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mount -o remount; the contract is in remount.h. */
#include "helper/remount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include "helper/child.h"
#include "helper/mounts.h"
#include "protocol/base/cleanup.h"
#include "protocol/ioctl.h"

/* The server may have a large cache to write back. */
#define TELL_MS 300000

struct tell {
	int fd;
	struct f4_remount what;
};

static int call_tell(void *arg)
{
	struct tell *t = arg;

	return ioctl(t->fd, F4_IOC_REMOUNT, &t->what) < 0 ? errno : 0;
}

/* Return: 0 or F4_FAILED. */
static int tell_server(int fd, bool ro, const char *dir, struct f4_fail *f)
{
	struct tell t = { .fd = fd, .what.flags = ro ? F4_REMOUNT_RO : 0 };
	int rc = f4_child_call(call_tell, &t, TELL_MS, NULL);

	if (rc == 0)
		return 0;
	if (rc == -EROFS)
		return f4_fail(f, F4_EXIT_FAILED, EROFS,
			       "%s: was mounted read-only, so its server can't write to the source: "
			       "unmount it and mount it with rw",
			       dir);
	return f4_fail(f, F4_EXIT_FAILED, rc < 0 ? -rc : ETIMEDOUT,
		       "%s: the server doesn't become %s", dir, ro ? "read-only" : "read-write");
}

/* Through the descriptor's link: no path of the caller's is resolved a second time. */
static int tell_kernel(int fd, uint32_t ms_flags, const char *dir, struct f4_fail *f)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* it fits */
	if (mount("none", path, NULL, MS_REMOUNT | (unsigned long)ms_flags, NULL) == 0)
		return 0;
	return f4_fail(f, F4_EXIT_FAILED, errno, "%s: the kernel doesn't change the mount", dir);
}

static int check_mount(int fd, const struct f4_cmdline *c, const char *subtype, bool *ret_was_ro,
		       struct f4_fail *f)
{
	struct f4_mounts m f4_cleanup(f4_mounts_done) = F4_MOUNTS_INIT;
	const struct f4_mount *mount;
	f4_auto_free char *path = NULL;
	int id, rc = f4_fd_mount_id(fd, &id);

	if (rc == 0)
		rc = f4_mounts_load(&m);
	if (rc == 0)
		rc = f4_fd_path(fd, &path);
	if (rc < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, -rc, "%s: the mount table can't be read", c->dir);
	mount = f4_mounts_topmost(&m, path);
	if (!mount || mount->id != id || !f4_mount_is_ours(mount, subtype))
		return f4_fail(f, F4_EXIT_FAILED, EINVAL, "%s: is no %s mount", c->dir, subtype);
	*ret_was_ro = mount->super_options[0] == 'r' && mount->super_options[1] == 'o';
	return 0;
}

int f4_remount(const struct f4_cmdline *c, const char *subtype, uint32_t ms_flags,
	       struct f4_fail *f)
{
	f4_auto_fd fd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ro = (ms_flags & MS_RDONLY) != 0, was_ro = false;

	if (fd < 0)
		return f4_fail(f, F4_EXIT_FAILED, errno, "%s: can't be opened", c->dir);
	if (check_mount(fd, c, subtype, &was_ro, f) != 0)
		return F4_FAILED;
	if (c->fake)
		return 0;
	if (ro && !was_ro && tell_server(fd, true, c->dir, f) != 0)
		return F4_FAILED;
	if (tell_kernel(fd, ms_flags, c->dir, f) != 0) {
		struct f4_fail ignored = { 0 };

		if (ro && !was_ro)
			(void)tell_server(fd, false, c->dir, &ignored); /* as it was */
		return F4_FAILED;
	}
	if (ro || !was_ro)
		return 0;
	if (tell_server(fd, false, c->dir, f) != 0) {
		struct f4_fail ignored = { 0 };

		(void)tell_kernel(fd, ms_flags | MS_RDONLY, c->dir, &ignored); /* as it was */
		return F4_FAILED;
	}
	return 0;
}
