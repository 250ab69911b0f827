/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attributes of inodes and of the filesystem. */
#include <errno.h>
#include <linux/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "server/ext4/quota.h"
#include "server/fuse/internal.h"

static void reply_attr(fuse_req_t req, struct f4_inode *inode)
{
	const struct f4_session *s = f4_req_session(req);
	struct f4_abi_attr_out out = { .attr_valid = f4_attr_valid_s(s, inode->ino) };
	struct f4_attr attr;

	f4_inode_attr(inode, &attr);
	f4_attr_fill(s, &attr, &out.attr);
	(void)fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

/* Who shut it down still sees what is there, as with the kernel's ext4: unmounting needs it. */
static int get_to_look_at(struct f4_session *s, uint64_t node, struct f4_inode **ret)
{
	if (atomic_load(&s->vol->shut_down_asked))
		return f4_node_get_always(s, node, ret);
	return f4_node_get(s, node, ret);
}

void f4_fuse_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct f4_session *s = f4_req_session(req);
	f4_auto_inode *inode = NULL;
	int r;

	(void)fi;
	r = get_to_look_at(s, node, &inode);
	if (r < 0)
		f4_reply_result(req, r);
	else
		reply_attr(req, inode);
}

/* libfuse's bits and struct stat to the core's. Return: F4_SET_* */
static uint32_t decode_setattr(const struct stat *st, int to_set, struct f4_attr *ret)
{
	uint32_t set = (uint32_t)to_set, mask = 0;

	*ret = (struct f4_attr){
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.size = (uint64_t)st->st_size,
		.atime = st->st_atim,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
	};
	mask |= set & FUSE_SET_ATTR_MODE ? F4_SET_MODE : 0;
	mask |= set & FUSE_SET_ATTR_UID ? F4_SET_UID : 0;
	mask |= set & FUSE_SET_ATTR_GID ? F4_SET_GID : 0;
	mask |= set & FUSE_SET_ATTR_SIZE ? F4_SET_SIZE : 0;
	mask |= set & FUSE_SET_ATTR_ATIME ? F4_SET_ATIME : 0;
	mask |= set & FUSE_SET_ATTR_MTIME ? F4_SET_MTIME : 0;
	mask |= set & FUSE_SET_ATTR_CTIME ? F4_SET_CTIME : 0;
	mask |= set & F4_ABI_FATTR_KILL_SUIDGID ? F4_SET_KILLPRIV : 0;
	if (set & FUSE_SET_ATTR_ATIME_NOW)
		ret->atime = f4_now();
	if (set & FUSE_SET_ATTR_MTIME_NOW)
		ret->mtime = f4_now();
	/* Times that somebody chose are refused on append-only files. */
	if ((mask & (F4_SET_ATIME | F4_SET_MTIME)) &&
	    (!(mask & F4_SET_ATIME) || (set & FUSE_SET_ATTR_ATIME_NOW)) &&
	    (!(mask & F4_SET_MTIME) || (set & FUSE_SET_ATTR_MTIME_NOW)))
		mask |= F4_SET_TIMES_NOW;
	return mask;
}

/* Owners that a request names, in the image's ids. Return: 0, -EOVERFLOW. */
static int store_owner(const struct f4_session *s, uint32_t mask, struct f4_attr *attr)
{
	if ((mask & F4_SET_UID) && !f4_idmap_store(&s->config.idmap.uid, attr->uid, &attr->uid))
		return -EOVERFLOW;
	if ((mask & F4_SET_GID) && !f4_idmap_store(&s->config.idmap.gid, attr->gid, &attr->gid))
		return -EOVERFLOW;
	return 0;
}

/* Not in the file's group, as far as a request tells: supplementary groups don't come with it. */
static bool is_stranger(struct f4_inode *inode, const struct f4_cred *cred)
{
	struct f4_attr attr;

	f4_inode_attr(inode, &attr);
	return cred->uid != 0 && cred->gid != attr.gid;
}

void f4_fuse_setattr(fuse_req_t req, fuse_ino_t node, struct stat *st, int to_set,
		     struct fuse_file_info *fi)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct f4_session *s = f4_req_session(req);
	f4_auto_inode *inode = NULL;
	struct f4_cred cred;
	struct f4_attr attr;
	uint32_t mask = decode_setattr(st, to_set, &attr);
	int r;

	(void)fi;
	(void)f4_cred_init(s, ctx->uid, ctx->gid, 0, &cred); /* nobody may change what the kernel allows */
	r = (mask & F4_SET_SIZE) && st->st_size < 0 ? -EINVAL : store_owner(s, mask, &attr);
	if (r < 0) {
		f4_reply_result(req, r);
		return;
	}
	if (mask == 0) /* chown to nobody in particular: it takes set-uid away, too */
		mask = F4_SET_KILLPRIV;
	if (s->config.fakeroot)
		mask &= ~F4_SET_KILLPRIV; /* root's writes, truncations and chowns leave set-uid alone */
	r = f4_node_get(s, node, &inode);
	if (r == 0 && (mask & F4_SET_KILLPRIV) && is_stranger(inode, &cred))
		mask |= F4_SET_KILLSGID;
	if (r == 0 && mask != 0)
		r = f4_inode_setattr(inode, mask, &attr, &cred);
	if (r < 0)
		f4_reply_result(req, r);
	else
		reply_attr(req, inode);
}

void f4_fuse_statfs(fuse_req_t req, fuse_ino_t node)
{
	struct f4_session *s = f4_req_session(req);
	f4_auto_inode *inode = NULL;
	struct f4_statfs st = { 0 };
	struct statvfs out;

	if (atomic_load(&s->vol->shut_down)) {
		f4_reply_result(req, -EIO);
		return;
	}
	f4_volume_statfs(s->vol, &st);
	if (s->vol->quota && f4_node_get(s, node, &inode) == 0)
		f4_quota_statfs(inode, &st);
	out = (struct statvfs){
		.f_bsize = st.block_size,
		.f_frsize = st.block_size,
		.f_blocks = st.blocks,
		.f_bfree = st.free_blocks,
		.f_bavail = st.avail_blocks,
		.f_files = st.files,
		.f_ffree = st.free_files,
		.f_favail = st.free_files,
		.f_namemax = st.name_max,
	};
	(void)fuse_reply_statfs(req, &out);
}

static struct f4_abi_sx_time sx_time(struct timespec t)
{
	return (struct f4_abi_sx_time){ .tv_sec = t.tv_sec, .tv_nsec = (uint32_t)t.tv_nsec };
}

/* Flags that statx(2) tells of. The kernel passes none on today; they cost nothing. */
static uint64_t statx_attributes(uint32_t flags)
{
	uint64_t a = 0;

	a |= flags & F4_FL_IMMUTABLE ? STATX_ATTR_IMMUTABLE : 0;
	a |= flags & F4_FL_APPEND ? STATX_ATTR_APPEND : 0;
	a |= flags & F4_FL_NODUMP ? STATX_ATTR_NODUMP : 0;
	a |= flags & F4_FL_COMPR ? STATX_ATTR_COMPRESSED : 0;
	a |= flags & F4_FL_ENCRYPT ? STATX_ATTR_ENCRYPTED : 0;
	a |= flags & F4_FL_VERITY ? STATX_ATTR_VERITY : 0;
	return a;
}

/* Sent for the birth time alone; the other attributes renew what the kernel knows. */
void f4_raw_statx(struct f4_worker *w, const struct f4_abi_in_header *in, const void *arg,
		  size_t arg_len)
{
	f4_auto_inode *inode = NULL;
	const struct f4_session *s = w->session;
	struct f4_abi_statx_out out = { 0 };
	struct iovec iov = { &out, sizeof(out) };
	struct f4_attr attr;
	int r;

	(void)arg;
	r = arg_len < sizeof(struct f4_abi_statx_in) ? -EINVAL :
						       get_to_look_at(w->session, in->nodeid, &inode);
	if (r < 0) {
		f4_raw_error(w, in, r);
		return;
	}
	f4_inode_attr(inode, &attr);
	out.attr_valid = f4_attr_valid_s(s, inode->ino);
	out.stat = (struct f4_abi_statx){
		.mask = STATX_BASIC_STATS | STATX_BTIME,
		.blksize = attr.block_size,
		.attributes = statx_attributes(attr.flags),
		.attributes_mask = statx_attributes(~UINT32_C(0)),
		.nlink = attr.links,
		.uid = f4_idmap_show(&s->config.idmap.uid, attr.uid),
		.gid = f4_idmap_show(&s->config.idmap.gid, attr.gid),
		.mode = (uint16_t)attr.mode,
		.ino = attr.ino,
		.size = attr.size,
		.blocks = attr.blocks,
		.atime = sx_time(attr.atime),
		.btime = sx_time(attr.crtime),
		.ctime = sx_time(attr.ctime),
		.mtime = sx_time(attr.mtime),
		.rdev_major = major(attr.rdev),
		.rdev_minor = minor(attr.rdev),
	};
	/* Inodes of 128 bytes have no birth time. */
	if (w->session->vol->inode_size <= F4_GOOD_OLD_INODE_SIZE)
		out.stat.mask &= ~(uint32_t)STATX_BTIME;
	(void)f4_raw_reply(w, in, &iov, 1);
}
