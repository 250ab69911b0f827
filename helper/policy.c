/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the broker allows; the contract is in policy.h. */
#include "helper/policy.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/base/str.h"

/* Linux's default /proc/sys/kernel/overflowuid: what an id is shown as that has no number here. */
#define OVERFLOW_ID 65534u

bool f4_refuse(struct f4_verdict *v, enum f4_rule rule, int error, const char *fmt, ...)
{
	va_list ap;

	v->rule = rule;
	v->error = error > 0 && error <= (int)F4_WIRE_ERRNO_MAX ? (uint32_t)error : EIO;
	va_start(ap, fmt);
	(void)vsnprintf(v->text, sizeof(v->text), fmt, ap); /* cut: the beginning tells enough */
	va_end(ap);
	return false;
}

static bool is_member(gid_t group, gid_t gid, const gid_t *groups, size_t ngroups)
{
	if (gid == group)
		return true;
	for (size_t i = 0; i < ngroups; i++)
		if (groups[i] == group)
			return true;
	return false;
}

bool f4_policy_peer(const struct f4_policy *p, uid_t uid, gid_t gid, const gid_t *groups,
		    size_t ngroups, struct f4_verdict *v)
{
	/*
	 * Root that may mount does it itself. Root that may not, in a container or a service without
	 * capabilities, is not to be given by us what was taken from it.
	 */
	if (uid == 0)
		return f4_refuse(v, F4_RULE_ACCESS, EPERM,
				 "root is not served: root mounts by itself, where it may");
	if (uid == (uid_t)-1 || gid == (gid_t)-1 || (uid == OVERFLOW_ID && !p->all_ids))
		return f4_refuse(v, F4_RULE_ACCESS, EPERM, "the caller's user id has no meaning here");
	if (p->only_group && !is_member(p->group, gid, groups, ngroups))
		return f4_refuse(v, F4_RULE_ACCESS, EPERM, "only members of group %u are served",
				 (unsigned int)p->group);
	return true;
}

bool f4_policy_options(const struct f4_policy *p, uint32_t flags, struct f4_verdict *v)
{
	if ((flags & F4_ATTACH_NOATIME) && (flags & F4_ATTACH_STRICTATIME))
		return f4_refuse(v, F4_RULE_OPTION, EINVAL,
				 "noatime and strictatime exclude each other");
	if (!(flags & F4_ATTACH_ALLOW_OTHER))
		return true;
	if (!p->fuse.user_allow_other)
		return f4_refuse(v, F4_RULE_ALLOW_OTHER, EPERM,
				 "option 'allow_other' is for users only where " F4_FUSECONF_PATH
				 " says user_allow_other");
	/* What others see must be what the kernel checks, not what a filesystem feels like. */
	if (!(flags & F4_ATTACH_DEFAULT_PERMISSIONS))
		return f4_refuse(v, F4_RULE_OPTION, EPERM,
				 "option 'allow_other' needs 'default_permissions' (and excludes "
				 "'fakeroot')");
	return true;
}

/*
 * Where a user's write permission means that the user may put things there. Nothing like procfs, in
 * which "writable" means something else. The same kinds as fusermount3(1) lets users mount on.
 * Source: statfs(2), the kernel's include/uapi/linux/magic.h and fs/, by name.
 */
static const uint64_t fs_types[] = {
	0x61756673, /* aufs */	    0x00000187, /* autofs */	0xca451a4e, /* bcachefs */
	0x9123683e, /* btrfs */	    0x00c36400, /* ceph */	0xff534d42, /* cifs */
	0x0000f15f, /* ecryptfs */  0x2011bab0, /* exfat */	0x0000ef53, /* ext2, 3, 4 */
	0xf2f52010, /* f2fs */	    0x65735546, /* fuse */	0x01161970, /* gfs2 */
	0x47504653, /* gpfs */	    0x0000482b, /* hfsplus */	0x000072b6, /* jffs2 */
	0x3153464a, /* jfs */	    0x0bd00bd0, /* lustre */	0x00004d44, /* msdos, vfat */
	0x0000564c, /* ncp */	    0x00006969, /* nfs */	0x00003434, /* nilfs */
	0x5346544e, /* ntfs */	    0x7366746e, /* ntfs3 */	0x5346414f, /* afs */
	0x794c7630, /* overlayfs */ 0xaad7aaea, /* panfs */	0x858458f6, /* ramfs */
	0x52654973, /* reiserfs */  0xfe534d42, /* smb2 */	0x73717368, /* squashfs */
	0x01021994, /* tmpfs */	    0x24051905, /* ubifs */	0x18031977, /* wekafs */
	0x58465342, /* xfs */	    0x2fc12fc1, /* zfs */	0x736675005346544e, /* ufsd */
};

bool f4_policy_fs_type(uint64_t fs_type)
{
	for (size_t i = 0; i < F4_ARRAY_LEN(fs_types); i++)
		if (fs_types[i] == fs_type)
			return true;
	return false;
}

bool f4_policy_place(const struct f4_place *place, uid_t uid, struct f4_verdict *v)
{
	if (place->fd_error < 0)
		return f4_refuse(v, F4_RULE_MOUNT_POINT, -place->fd_error,
				 "the mount point can't be examined as its user");
	if (place->fd_error > 0)
		return f4_refuse(v, F4_RULE_MOUNT_POINT, ENOTDIR,
				 "the mount point is not a directory or file opened with O_PATH");
	if (!f4_policy_fs_type(place->fs_type))
		return f4_refuse(v, F4_RULE_FS_TYPE, EPERM,
				 "users may not mount on this kind of filesystem (type 0x%llx)",
				 (unsigned long long)place->fs_type);
	if (!place->in_table)
		return f4_refuse(v, F4_RULE_NAMESPACE, EINVAL,
				 "the mount point is in another mount namespace, or its mount is gone "
				 "(in a namespace of one's own, mount as its root: unshare -Urm)");
	if (S_ISDIR(place->mode) && (place->mode & S_ISVTX) && place->owner != uid)
		return f4_refuse(v, F4_RULE_STICKY, EPERM,
				 "the mount point is a sticky directory of somebody else's; mount on "
				 "a directory of your own in it");
	if (place->access_error == EROFS)
		return f4_refuse(v, F4_RULE_WRITABLE, EROFS,
				 "the mount point is on a read-only mount; it must be writable");
	if (place->access_error)
		return f4_refuse(v, F4_RULE_WRITABLE, place->access_error,
				 "the mount point must be writable for who mounts there");
	return true;
}

static bool is_fuse(const struct f4_mount *mount)
{
	return f4_str_eq(mount->type, "fuse") || f4_str_after(mount->type, "fuse.") != NULL;
}

bool f4_policy_counts(const struct f4_policy *p, const struct f4_mounts *m, uid_t uid,
		      struct f4_verdict *v)
{
	uint32_t all = 0, own = 0;
	uid_t owner;

	/* fuseblk is root's alone. */
	for (size_t i = 0; i < m->n; i++) {
		if (!is_fuse(&m->v[i]) || !f4_mount_user_id(&m->v[i], &owner) || owner == 0)
			continue;
		all++;
		own += owner == uid;
	}
	if (all >= p->fuse.mount_max)
		return f4_refuse(v, F4_RULE_MOUNT_MAX, EPERM,
				 "users have %u FUSE mounts already, as many as mount_max of "
				 F4_FUSECONF_PATH " allows", all);
	if (own >= p->user_mounts)
		return f4_refuse(v, F4_RULE_MOUNT_MAX, EPERM,
				 "this user has %u FUSE mounts already, as many as one may have", own);
	return true;
}

/* @text behind @prefix, cut to fit; control characters can't reach a terminal by the mount table. */
static void show(char *ret, const char *prefix, const char *text)
{
	size_t len = strlen(prefix);

	memcpy(ret, prefix, len);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		bool control = c < 0x20 || c == 0x7f;

		if (len + (control ? 4 : 1) >= F4_POLICY_SOURCE_MAX)
			break;
		if (control)
			len += (size_t)snprintf(ret + len, F4_POLICY_SOURCE_MAX - len, "\\x%02x", c);
		else
			ret[len++] = (char)c;
	}
	ret[len] = '\0';
}

/*
 * The device cgroup of the broker's own unit denies all devices, after permissions have been granted
 * (those are EACCES). It says nothing about the peer, and the device is not opened here.
 */
static bool is_readable(const struct f4_proof *proof)
{
	return proof->access_error == 0 ||
	       (S_ISBLK(proof->mode) && proof->access_error == EPERM);
}

static bool is_proven(const char *text, const struct f4_proof *proof)
{
	if (!proof->path || strcmp(proof->path, text) != 0 || text[0] != '/' || !proof->in_table)
		return false;
	if (strlen(text) >= F4_POLICY_SOURCE_MAX || !is_readable(proof))
		return false;
	/* A service manager unmounts what names a device in /dev that it does not know. */
	return S_ISBLK(proof->mode) ||
	       (S_ISREG(proof->mode) && !f4_str_after(text, "/dev/"));
}

bool f4_policy_source(const char *text, const struct f4_proof *proof, char *ret,
		      struct f4_verdict *v)
{
	static const char prefix[] = F4_WIRE_SUBTYPE ":";

	if (!proof->given) {
		show(ret, f4_str_after(text, prefix) ? "" : prefix, text);
		return true;
	}
	if (!is_proven(text, proof))
		return f4_refuse(v, F4_RULE_SOURCE, EPERM,
				 "the source's descriptor is not that of a readable file or device "
				 "at the path that is named");
	show(ret, "", text);
	return true;
}

bool f4_policy_detach(const struct f4_mounts *m, int id, uid_t uid, const struct f4_mount **ret,
		      struct f4_verdict *v)
{
	const struct f4_mount *mount = f4_mounts_by_id(m, id);
	uid_t owner;

	if (!mount)
		return f4_refuse(v, F4_RULE_NOT_OURS, EINVAL,
				 "what is there is in another mount namespace");
	if (!f4_str_eq(mount->type, "fuse." F4_WIRE_SUBTYPE) || !f4_mount_user_id(mount, &owner))
		return f4_refuse(v, F4_RULE_NOT_OURS, EINVAL,
				 "what is there is not a mount of " F4_WIRE_SUBTYPE);
	if (owner != uid)
		return f4_refuse(v, F4_RULE_OWNER, EPERM,
				 "the mount is of user %u; only that user and root may unmount it",
				 (unsigned int)owner);
	if (f4_mounts_has_child(m, mount))
		return f4_refuse(v, F4_RULE_TOPMOST, EBUSY, "something is mounted over or below it");
	*ret = mount;
	return true;
}
