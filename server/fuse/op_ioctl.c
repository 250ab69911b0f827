/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioctls: inode flags, projects, versions, the filesystem's label, trimming, shutdown, and our
 * private ones (protocol/ioctl.h).
 *
 * FUSE passes "restricted" ioctls only: the number says how many bytes go in and out, and the
 * kernel copies just those. So what takes a pointer inside, or writes where its number says "read",
 * can't be served: EXT4_IOC_SHUTDOWN is such a one (its argument never arrives).
 *
 * What chattr(1) and FS_IOC_FS[GS]ETXATTR do passes the VFS first, which checks rights and calls us
 * with the plain flags or the whole struct.
 */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "protocol/base/str.h"
#include "protocol/ioctl.h"
#include "server/ext4/alloc.h"
#include "server/ext4/ops.h"
#include "server/ext4/xattr.h"
#include "server/fuse/internal.h"

/* Source: kernel fs/ext4/ext4.h: EXT4_IOC_SHUTDOWN, the same number as FS_IOC_SHUTDOWN. */
#define IOC_SHUTDOWN _IOR('X', 125, uint32_t)
/* Source: kernel include/uapi/linux/fs.h, FS_IOC_GETFSUUID and struct fsuuid2 (17 bytes). */
#define IOC_GETFSUUID _IOC(_IOC_READ, 0x15, 0, 17)
/* What FS_IOC_GETFLAGS shows. Source: kernel fs/ext4/ext4.h, EXT4_FL_USER_VISIBLE. */
#define FL_USER_VISIBLE 0x725BDFFFu

#define OUT_MAX 256u

/* What fits into 32 bits. Source: kernel include/linux/kdev_t.h, new_encode_dev(). */
#define MAJOR_MAX 0xfffu
#define MINOR_MAX 0xfffffu

struct call {
	struct f4_session *s;	/* borrowed */
	struct f4_inode *inode; /* borrowed */
	const struct fuse_ctx *ctx;
	const void *in;		/* as many bytes as the table says */
	uint8_t out[OUT_MAX];
	size_t out_len;
};

static void set_out(struct call *c, const void *data, size_t len)
{
	memcpy(c->out, data, len);
	c->out_len = len;
}

static int get_flags(struct call *c)
{
	struct f4_attr attr;
	uint32_t flags;

	f4_inode_attr(c->inode, &attr);
	flags = attr.flags & FL_USER_VISIBLE;
	set_out(c, &flags, sizeof(flags));
	return 0;
}

static int set_flags(struct call *c)
{
	uint32_t flags;
	int r;

	memcpy(&flags, c->in, sizeof(flags));
	r = f4_inode_set_flags(c->inode, flags);
	f4_invalidate_attr(c->s, c->inode); /* the ctime */
	return r;
}

static const struct {
	uint32_t flag, xflag;
} xflag_map[] = {
	{ F4_FL_SYNC, FS_XFLAG_SYNC },	       { F4_FL_IMMUTABLE, FS_XFLAG_IMMUTABLE },
	{ F4_FL_APPEND, FS_XFLAG_APPEND },     { F4_FL_NODUMP, FS_XFLAG_NODUMP },
	{ F4_FL_NOATIME, FS_XFLAG_NOATIME },   { F4_FL_PROJINHERIT, FS_XFLAG_PROJINHERIT },
};

static int fs_get_xattr(struct call *c)
{
	struct fsxattr x = { 0 };
	struct f4_attr attr;

	f4_inode_attr(c->inode, &attr);
	for (size_t i = 0; i < F4_ARRAY_LEN(xflag_map); i++)
		if (attr.flags & xflag_map[i].flag)
			x.fsx_xflags |= xflag_map[i].xflag;
	if (f4_has_ro_compat(c->s->vol, F4_RO_COMPAT_PROJECT))
		x.fsx_projid = attr.projid;
	set_out(c, &x, sizeof(x));
	return 0;
}

static int fs_set_xattr(struct call *c)
{
	const struct f4_cred cred = { .uid = c->ctx->uid, .gid = c->ctx->gid };
	struct fsxattr x;
	struct f4_attr attr;
	uint32_t flags, known = 0;
	int r;

	memcpy(&x, c->in, sizeof(x));
	f4_inode_attr(c->inode, &attr);
	flags = attr.flags & FL_USER_VISIBLE;
	for (size_t i = 0; i < F4_ARRAY_LEN(xflag_map); i++) {
		known |= xflag_map[i].xflag;
		flags &= ~xflag_map[i].flag;
		if (x.fsx_xflags & xflag_map[i].xflag)
			flags |= xflag_map[i].flag;
	}
	if (x.fsx_xflags & ~(known | FS_XFLAG_HASATTR) || x.fsx_extsize || x.fsx_cowextsize)
		return -EOPNOTSUPP;
	r = f4_inode_set_flags(c->inode, flags);
	if (r == 0 && x.fsx_projid != attr.projid)
		r = f4_inode_set_projid(c->inode, x.fsx_projid, &cred);
	f4_invalidate_attr(c->s, c->inode);
	return r;
}

static int get_version(struct call *c)
{
	uint32_t version = c->inode->generation;

	set_out(c, &version, sizeof(version)); /* an int, whatever the number says */
	return 0;
}

static int set_version(struct call *c)
{
	struct f4_attr attr;
	uint32_t version;
	int r;

	f4_inode_attr(c->inode, &attr);
	if (!f4_cred_is_root(c->s, c->ctx->uid) &&
	    c->ctx->uid != f4_idmap_show(&c->s->config.idmap.uid, attr.uid))
		return -EPERM;
	memcpy(&version, c->in, sizeof(version));
	r = f4_inode_set_version(c->inode, version);
	f4_invalidate_attr(c->s, c->inode);
	return r;
}

static int get_label(struct call *c)
{
	char label[FSLABEL_MAX] = { 0 };

	static_assert(F4_LABEL_MAX + 1 <= FSLABEL_MAX && FSLABEL_MAX <= OUT_MAX, "fits");
	f4_volume_get_label(c->s->vol, label);
	set_out(c, label, sizeof(label));
	return 0;
}

static int set_label(struct call *c)
{
	char label[F4_LABEL_MAX] = { 0 };
	size_t len = strnlen(c->in, FSLABEL_MAX);

	if (len > sizeof(label))
		return -EINVAL;
	memcpy(label, c->in, len);
	return f4_volume_set_label(c->s->vol, label);
}

/* Kernels from 6.9 on answer it themselves, for FUSE with "not supported". */
static int get_uuid(struct call *c)
{
	struct fsuuid2 {
		uint8_t len, uuid[16];
	} out = { .len = sizeof(out.uuid) };

	static_assert(sizeof(out) == _IOC_SIZE(IOC_GETFSUUID), "struct fsuuid2");
	memcpy(out.uuid, c->s->vol->uuid, sizeof(out.uuid));
	set_out(c, &out, sizeof(out));
	return 0;
}

static int trim(struct call *c)
{
	struct fstrim_range range;
	uint64_t trimmed = 0;
	int r;

	memcpy(&range, c->in, sizeof(range));
	r = f4_alloc_trim(c->s->vol, range.start, range.len, range.minlen, &trimmed);
	range.len = trimmed;
	set_out(c, &range, sizeof(range));
	return r;
}

/* Its argument doesn't reach us: of its three ways, the one that keeps what the log can keep. */
static int shut_down(struct call *c)
{
	return f4_volume_shutdown(c->s->vol, true);
}

static int private_sync(struct call *c)
{
	struct f4_volume *vol = c->s->vol;
	int r;

	if (atomic_load(&vol->read_only))
		return 0;
	r = f4_volume_sync(vol);
	if (r == 0 && vol->journal)
		r = f4_journal_flush(vol->journal);
	return r;
}

static int private_remount(struct call *c)
{
	struct f4_remount arg;
	int r;

	memcpy(&arg, c->in, sizeof(arg));
	if ((arg.flags & ~F4_REMOUNT_RO) != 0 || arg.zero != 0)
		return -EINVAL;
	r = f4_volume_remount(c->s->vol, (arg.flags & F4_REMOUNT_RO) != 0);
	if (r == 0 && c->s->config.remounted)
		c->s->config.remounted(c->s->config.remounted_arg);
	return r;
}

/* --- populating: what the kernel lets nobody but root ask for ------------------------------ */

static bool is_name(const char *name, size_t size)
{
	return strnlen(name, size) < size && name[0] && !strchr(name, '/') &&
	       !f4_str_eq(name, ".") && !f4_str_eq(name, "..");
}

/* Those that the kernel keeps for root, or for the file's owner, which a user is not. */
static bool is_populated(const char *name)
{
	return f4_str_after(name, "security.") || f4_str_after(name, "trusted.") ||
	       f4_str_after(name, "system.posix_acl_");
}

static int populate_mknod(struct call *c)
{
	struct f4_op_new spec = { 0 };
	f4_auto_inode *made = NULL;
	struct f4_mknod arg;

	memcpy(&arg, c->in, sizeof(arg));
	if (!is_name(arg.name, sizeof(arg.name)) || arg.zero || (arg.mode & ~(S_IFMT | 07777u)) ||
	    (!S_ISCHR(arg.mode) && !S_ISBLK(arg.mode)) || arg.major > MAJOR_MAX ||
	    arg.minor > MINOR_MAX)
		return -EINVAL;
	if (!f4_is_dir(c->inode))
		return -ENOTDIR;
	spec.mode = (uint16_t)arg.mode;
	spec.rdev = (uint32_t)makedev(arg.major, arg.minor); /* 32 bits hold what passed */
	return f4_op_create(c->inode, arg.name, strlen(arg.name), &spec, &made);
}

static int populate_setxattr(struct call *c)
{
	f4_auto_inode *found = NULL;
	struct f4_setxattr arg;
	int r = 0;

	memcpy(&arg, c->in, sizeof(arg));
	if (arg.size > sizeof(arg.value) || strnlen(arg.name, sizeof(arg.name)) == sizeof(arg.name) ||
	    !is_populated(arg.name))
		return -EINVAL;
	if (!f4_is_dir(c->inode))
		return -ENOTDIR;
	if (arg.file[0] && !is_name(arg.file, sizeof(arg.file)))
		return -EINVAL;
	if (arg.file[0])
		r = f4_op_lookup(c->inode, arg.file, strlen(arg.file), &found);
	if (r == 0)
		r = f4_xattr_set(found ? found : c->inode, arg.name, arg.value, arg.size,
				 (int)arg.flags);
	return r;
}

enum {
	OWNER = 1, /* uid 0 or who mounted */
	ROOT_DIR = 2, /* only on the root directory, else ENOTTY */
	CHANGES = 4, /* -EROFS on a read-only volume */
	UNNAMED = 8, /* with OWNER: also where the kernel doesn't say who asks (allow_idmap) */
	FAKEROOT = 16, /* only under that option */
};

static const struct entry {
	unsigned int cmd;
	size_t in_len; /* bytes that must have arrived */
	uint32_t rules;
	int (*fn)(struct call *c);
} table[] = {
	{ FS_IOC_GETFLAGS, 0, 0, get_flags },
	{ FS_IOC_SETFLAGS, sizeof(uint32_t), CHANGES, set_flags },
	{ FS_IOC_FSGETXATTR, 0, 0, fs_get_xattr },
	{ FS_IOC_FSSETXATTR, sizeof(struct fsxattr), CHANGES, fs_set_xattr },
	{ FS_IOC_GETVERSION, 0, 0, get_version },
	{ FS_IOC_SETVERSION, sizeof(uint32_t), CHANGES, set_version },
	{ FS_IOC32_GETVERSION, 0, 0, get_version },
	{ FS_IOC32_SETVERSION, sizeof(uint32_t), CHANGES, set_version },
	{ FS_IOC_GETFSLABEL, 0, 0, get_label },
	{ FS_IOC_SETFSLABEL, FSLABEL_MAX, OWNER | CHANGES, set_label },
	{ IOC_GETFSUUID, 0, 0, get_uuid },
	{ FITRIM, sizeof(struct fstrim_range), OWNER | CHANGES, trim },
	{ IOC_SHUTDOWN, 0, OWNER, shut_down },
	{ F4_IOC_SYNC, 0, OWNER | ROOT_DIR | UNNAMED, private_sync },
	{ F4_IOC_REMOUNT, sizeof(struct f4_remount), OWNER | ROOT_DIR, private_remount },
	{ F4_IOC_MKNOD, sizeof(struct f4_mknod), FAKEROOT | CHANGES, populate_mknod },
	{ F4_IOC_SETXATTR, sizeof(struct f4_setxattr), FAKEROOT | CHANGES, populate_setxattr },
};

static int run(const struct entry *e, struct call *c)
{
	uint32_t uid = c->ctx->uid;

	if ((e->rules & ROOT_DIR) && c->inode->ino != F4_ROOT_INO)
		return -ENOTTY;
	if ((e->rules & OWNER) && uid != 0 && uid != c->s->config.owner_uid &&
	    !((e->rules & UNNAMED) && uid == F4_ABI_NO_ID))
		return -EPERM;
	if ((e->rules & FAKEROOT) && !c->s->config.fakeroot)
		return -EPERM;
	if (e->rules & CHANGES) {
		int r = f4_volume_check_write(c->s->vol);

		if (r < 0)
			return r;
	}
	return e->fn(c);
}

static const struct entry *find(unsigned int cmd, size_t in_len)
{
	for (size_t i = 0; i < F4_ARRAY_LEN(table); i++)
		if (table[i].cmd == cmd)
			return in_len >= table[i].in_len ? &table[i] : NULL;
	return NULL;
}

void f4_fuse_ioctl(fuse_req_t req, fuse_ino_t node, unsigned int cmd, void *arg,
		   struct fuse_file_info *fi, unsigned int flags, const void *in, size_t in_len,
		   size_t out_len)
{
	struct call c = { .s = f4_req_session(req), .ctx = fuse_req_ctx(req), .in = in };
	const struct entry *e = find(cmd, in_len);
	f4_auto_inode *inode = NULL;
	int r;

	(void)arg;
	(void)fi;
	(void)flags;
	/* umount.fuse4fs asks for it: who shut it down wants no complaint of what did not get there. */
	if (cmd == F4_IOC_SYNC && atomic_load(&c.s->vol->shut_down_asked)) {
		(void)fuse_reply_ioctl(req, 0, NULL, 0);
		return;
	}
	r = e ? f4_node_get(c.s, node, &inode) : -ENOTTY;
	if (r == 0) {
		c.inode = inode;
		r = run(e, &c);
	}
	if (r < 0) {
		f4_reply_result(req, r);
		return;
	}
	if (c.out_len > out_len)
		c.out_len = out_len;
	(void)fuse_reply_ioctl(req, 0, c.out, c.out_len);
}
