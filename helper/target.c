/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mount point; the contract is in target.h. */
#include "helper/target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include "helper/broker.h"
#include "helper/child.h"
#include "helper/mounts.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/log.h"

#define PROBE_MS    2000
#define REPAIRS_MAX 16 /* dead mounts stacked on one place */

static int call_statfs(void *arg)
{
	const int *fd = arg;
	struct statfs st;

	return fstatfs(*fd, &st) < 0 ? errno : 0;
}

bool f4_target_is_dead(int fd, const char *subtype)
{
	struct f4_mounts m f4_cleanup(f4_mounts_done) = F4_MOUNTS_INIT;
	const struct f4_mount *mount;
	int id;

	if (f4_fd_mount_id(fd, &id) < 0 || f4_mounts_load(&m) < 0)
		return false;
	mount = f4_mounts_by_id(&m, id);
	if (!mount || !f4_mount_is_ours(mount, subtype))
		return false;
	/* Not fstat(2): the kernel would answer it from its cache. */
	return f4_child_call(call_statfs, &fd, PROBE_MS, NULL) == -ENOTCONN;
}

/*
 * Detach the dead mount at @t->path. By path, since no call unmounts by descriptor: the mount table
 * must show the very mount that @t->fd is in as the topmost one there.
 */
static int detach_dead(const struct f4_target *t, struct f4_fail *f)
{
	struct f4_mounts m f4_cleanup(f4_mounts_done) = F4_MOUNTS_INIT;
	struct f4_fail ignored = { 0 };
	const struct f4_mount *top;
	int id, rc = f4_fd_mount_id(t->fd, &id);

	if (rc == 0)
		rc = f4_mounts_load(&m);
	if (rc < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, -rc, "%s: the mount table can't be read", t->name);
	top = f4_mounts_topmost(&m, t->path);
	if (!top || top->id != id)
		return f4_fail(f, F4_EXIT_FAILED, ENOTCONN,
			       "%s: is inside a mount whose server has died; unmount that first",
			       t->name);
	if (umount2(t->path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 &&
	    (errno != EPERM || f4_broker_detach(t->path, true, NULL, &ignored) != 0))
		return f4_fail(f, F4_EXIT_FAILED, errno,
			       "%s: the server of the mount that is there has died, and it can't be "
			       "detached (try: umount -l %s)",
			       t->name, t->name);
	f4_notice("%s: detached a mount whose server had died", t->name);
	return 0;
}

/* Open @t->name and learn where that is. */
static int open_target(struct f4_target *t, struct f4_fail *f)
{
	int rc;

	f4_close_p(&t->fd);
	free(f4_take_ptr(t->path));
	/* Without O_DIRECTORY, which would set off an automount whose mounting we may be. */
	t->fd = open(t->name, O_PATH | O_CLOEXEC);
	if (t->fd < 0)
		return f4_fail(f, F4_EXIT_FAILED, errno, "%s: mount point can't be opened", t->name);
	rc = f4_fd_path(t->fd, &t->path);
	if (rc < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, -rc, "%s: /proc doesn't tell its path", t->name);
	return 0;
}

int f4_target_init(struct f4_target *t, const char *name, const char *subtype, bool fake,
		   struct f4_fail *f)
{
	*t = (struct f4_target)F4_TARGET_INIT;
	t->name = name;
	if (open_target(t, f) != 0)
		return F4_FAILED;
	for (int i = 0; f4_target_is_dead(t->fd, subtype); i++) {
		if (fake || i == REPAIRS_MAX)
			return f4_fail(f, F4_EXIT_FAILED, ENOTCONN,
				       "%s: holds a mount whose server has died", name);
		if (detach_dead(t, f) != 0 || open_target(t, f) != 0)
			return F4_FAILED;
	}
	if (fstat(t->fd, &t->st) < 0)
		return f4_fail(f, F4_EXIT_FAILED, errno, "%s: mount point can't be examined", name);
	if (!S_ISDIR(t->st.st_mode) && !S_ISREG(t->st.st_mode))
		return f4_fail(f, F4_EXIT_FAILED, ENOTDIR, "%s: mount point is of no use", name);
	return 0;
}

void f4_target_done(struct f4_target *t)
{
	f4_close_p(&t->fd);
	free(t->path);
	*t = (struct f4_target)F4_TARGET_INIT;
}
