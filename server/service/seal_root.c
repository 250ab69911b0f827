/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An empty root.
 *
 * A tmpfs that holds nothing and can't be written becomes the root; the old one is put on top of it
 * and taken away with everything below it, so that no directory of the machine is left in the mount
 * namespace, nor one that could come back by propagation. The tmpfs exists as a descriptor until it
 * is mounted on "/": there is no directory to choose.
 *
 * Started in a chroot (image builders do), "/" is a mere directory of some mount, which can neither
 * be made private nor pivoted away. Entering the own mount namespace once more sets root and working
 * directory to the namespace's own root; what is then given up is all of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/statvfs.h> /* ST_RDONLY */
#include <sys/vfs.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/kernel.h"
#include "server/service/seal_stages.h"

static int make_empty(struct f4_seal *s, int *ret_fd)
{
	f4_auto_fd fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	f4_auto_fd mnt = -1;

	if (fs < 0)
		return f4_seal_fail(s, -errno, "empty root (fsopen)");
	/* Sizes of zero would mean "no limit". */
	if (fsconfig(fs, FSCONFIG_SET_STRING, "size", "4k", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "nr_inodes", "1", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0500", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return f4_seal_fail(s, -errno, "empty root (tmpfs)");
	mnt = fsmount(fs, FSMOUNT_CLOEXEC,
		      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (mnt < 0)
		return f4_seal_fail(s, -errno, "empty root (fsmount)");
	*ret_fd = f4_take_fd(&mnt);
	return 0;
}

static int check_empty(struct f4_seal *s)
{
	struct statfs st;

	if (statfs("/", &st) < 0 || st.f_type != F4_TMPFS_MAGIC || !(st.f_flags & ST_RDONLY))
		return f4_seal_fail(s, -EPERM, "the root is not the empty one");
	if (faccessat(AT_FDCWD, "/proc", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return f4_seal_fail(s, -EPERM, "the root is not empty");
	return 0;
}

/* leave_chroot - make "/" the root of our mount namespace. Single-threaded: setns demands it. */
static int leave_chroot(struct f4_seal *s)
{
	f4_auto_fd ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

	if (ns < 0)
		return f4_seal_fail(s, -errno, "leaving a chroot (/proc/self/ns/mnt)");
	if (setns(ns, CLONE_NEWNS) < 0)
		return f4_seal_fail(s, -errno, "leaving a chroot (setns)");
	return 0;
}

static int make_private(struct f4_seal *s)
{
	int r;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		return 0;
	if (errno != EINVAL)
		return f4_seal_fail(s, -errno, "making mounts private");
	r = leave_chroot(s);
	if (r < 0)
		return r;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return f4_seal_fail(s, -errno, "making mounts private");
	return 0;
}

bool f4_seal_root_is_bare(void)
{
	/* Mount points of what the manager mounts by itself (/sys, /root, /tmp) are there, empty. */
	static const char *const hosts[] = { "/etc/passwd", "/usr/bin", "/bin/sh", "/boot", "/mnt",
					     "/run/fuse4fs" };
	struct statfs st;

	if (statfs("/", &st) < 0 || !(st.f_flags & ST_RDONLY))
		return false;
	for (size_t i = 0; i < F4_ARRAY_LEN(hosts); i++)
		if (faccessat(AT_FDCWD, hosts[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return false;
	return true;
}

int f4_seal_root(struct f4_seal *s)
{
	f4_auto_fd mnt = -1;
	int r;

	if (!(s->namespaces & CLONE_NEWNS) && s->place == F4_SEAL_MANAGER && f4_seal_root_is_bare())
		return 0;
	if (!(s->namespaces & CLONE_NEWNS))
		return f4_seal_fail(s, -EPERM, "empty root: no own mount namespace");
	r = make_private(s);
	if (r < 0)
		return r;
	r = make_empty(s, &mnt);
	if (r < 0)
		return r;
	if (move_mount(mnt, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return f4_seal_fail(s, -errno, "empty root (move_mount)");
	if (fchdir(mnt) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return f4_seal_fail(s, -errno, "empty root (pivot_root)");
	/* "." is the new root and the old one lies on top of it. */
	if (umount2(".", MNT_DETACH) < 0)
		return f4_seal_fail(s, -errno, "taking the old root away");
	if (chdir("/") < 0)
		return f4_seal_fail(s, -errno, "empty root (chdir)");
	return check_empty(s);
}
