/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables of operations, and what all operations share. */
#include <errno.h>
#include <string.h>

#include "server/fuse/internal.h"

/*
 * Absent on purpose: access (the kernel checks), flush (nothing is held back; ENOSYS ends the
 * requests), locks (local to the kernel), poll, bmap, copy_file_range (the kernel falls back to
 * reading and writing through its cache).
 */
const struct fuse_lowlevel_ops f4_fuse_ops = {
	.lookup = f4_fuse_lookup,
	.forget = f4_fuse_forget,
	.forget_multi = f4_fuse_forget_multi,
	.getattr = f4_fuse_getattr,
	.setattr = f4_fuse_setattr,
	.readlink = f4_fuse_readlink,
	.mknod = f4_fuse_mknod,
	.mkdir = f4_fuse_mkdir,
	.unlink = f4_fuse_unlink,
	.rmdir = f4_fuse_rmdir,
	.symlink = f4_fuse_symlink,
	.rename = f4_fuse_rename,
	.link = f4_fuse_link,
	.open = f4_fuse_open,
	.read = f4_fuse_read,
	.release = f4_fuse_release,
	.fsync = f4_fuse_fsync,
	.opendir = f4_fuse_opendir,
	.readdir = f4_fuse_readdir,
	.releasedir = f4_fuse_releasedir,
	.fsyncdir = f4_fuse_fsyncdir,
	.statfs = f4_fuse_statfs,
	.getxattr = f4_fuse_getxattr,
	.listxattr = f4_fuse_listxattr,
	.removexattr = f4_fuse_removexattr,
	.create = f4_fuse_create,
	.ioctl = f4_fuse_ioctl,
	.fallocate = f4_fuse_fallocate,
	.readdirplus = f4_fuse_readdirplus,
	.lseek = f4_fuse_lseek,
};

static void raw_destroy(struct f4_worker *w, const struct f4_abi_in_header *in, const void *arg,
			size_t arg_len)
{
	(void)arg;
	(void)arg_len;
	/* Answered after f4_session_reply_destroy, when all is on the device. */
	w->owes_destroy = true;
	f4_session_end(w->session, true, in->unique);
}

/* We never give up a request half way: the kernel waits for its reply as it would for a disk. */
static void raw_interrupt(struct f4_worker *w, const struct f4_abi_in_header *in, const void *arg,
			  size_t arg_len)
{
	(void)w;
	(void)in;
	(void)arg;
	(void)arg_len;
}

f4_raw_op f4_raw_find(uint32_t opcode)
{
	static const f4_raw_op ops[F4_ABI_OPCODES] = {
		[F4_ABI_WRITE] = f4_raw_write,
		[F4_ABI_SETXATTR] = f4_raw_setxattr,
		[F4_ABI_INIT] = f4_raw_init,
		[F4_ABI_INTERRUPT] = raw_interrupt,
		[F4_ABI_DESTROY] = raw_destroy,
		[F4_ABI_SYNCFS] = f4_raw_syncfs,
		[F4_ABI_TMPFILE] = f4_raw_tmpfile,
		[F4_ABI_STATX] = f4_raw_statx,
	};

	return opcode < F4_ABI_OPCODES ? ops[opcode] : NULL;
}

int f4_raw_reply(struct f4_worker *w, const struct f4_abi_in_header *in, const struct iovec *iov,
		 int n)
{
	struct f4_abi_out_header out = { .len = sizeof(out), .unique = in->unique };
	struct iovec all[4] = { { &out, sizeof(out) } };

	assert(n >= 0 && n <= 3);
	for (int i = 0; i < n; i++) {
		all[i + 1] = iov[i];
		out.len += (uint32_t)iov[i].iov_len;
	}
	return f4_transport_reply(&w->transport, all, n + 1);
}

void f4_raw_error(struct f4_worker *w, const struct f4_abi_in_header *in, int r)
{
	struct f4_abi_out_header out = { .len = sizeof(out), .unique = in->unique };
	struct iovec iov = { &out, sizeof(out) };

	out.error = r < 0 ? -f4_fuse_errno(r) : 0;
	(void)f4_transport_reply(&w->transport, &iov, 1); /* nobody is left who could be told */
}

int f4_fuse_errno(int r)
{
	if (r >= 0 || r <= -512) /* the kernel refuses a reply with any other number */
		return EIO;
	if (r == -ENOSYS) /* would mean "never ask again" */
		return EOPNOTSUPP;
	return -r;
}

void f4_reply_result(fuse_req_t req, int r)
{
	(void)fuse_reply_err(req, r < 0 ? f4_fuse_errno(r) : 0);
}

int f4_node_get(struct f4_session *s, uint64_t node, struct f4_inode **ret)
{
	if (atomic_load_explicit(&s->vol->shut_down, memory_order_relaxed))
		return -EIO;
	return f4_node_get_always(s, node, ret);
}

int f4_node_get_always(struct f4_session *s, uint64_t node, struct f4_inode **ret)
{
	uint64_t ino = node == F4_ABI_ROOT_NODE ? F4_ROOT_INO : node;

	if (ino > UINT32_MAX)
		return -ESTALE;
	/* What is in use at the kernel is in memory; it names others only as a file handle says. */
	return f4_inode_get(s->vol, (uint32_t)ino, F4_IGET_HANDLE, ret);
}

void f4_attr_fill(const struct f4_session *s, const struct f4_attr *attr, struct f4_abi_attr *ret)
{
	*ret = (struct f4_abi_attr){
		.ino = attr->ino,
		.size = attr->size,
		.blocks = attr->blocks,
		.atime = (uint64_t)attr->atime.tv_sec,
		.mtime = (uint64_t)attr->mtime.tv_sec,
		.ctime = (uint64_t)attr->ctime.tv_sec,
		.atimensec = (uint32_t)attr->atime.tv_nsec,
		.mtimensec = (uint32_t)attr->mtime.tv_nsec,
		.ctimensec = (uint32_t)attr->ctime.tv_nsec,
		.mode = attr->mode,
		.nlink = attr->links,
		.uid = f4_idmap_show(&s->config.idmap.uid, attr->uid),
		.gid = f4_idmap_show(&s->config.idmap.gid, attr->gid),
		.rdev = attr->rdev,
		.blksize = attr->block_size,
	};
}

static bool is_casefolded(struct f4_inode *dir)
{
	bool yes;

	if (!dir || !f4_has_incompat(dir->vol, F4_INCOMPAT_CASEFOLD))
		return false;
	f4_inode_rdlock(dir);
	yes = (dir->flags & F4_FL_CASEFOLD) != 0;
	f4_inode_unlock(dir);
	return yes;
}

void f4_entry_take(const struct f4_session *s, struct f4_inode *dir, struct f4_inode *inode,
		   struct f4_abi_entry_out *ret)
{
	struct f4_attr attr;

	f4_inode_attr(inode, &attr);
	*ret = (struct f4_abi_entry_out){
		.nodeid = f4_node_of(inode->ino),
		.generation = inode->generation,
		/* another spelling of the name would not be invalidated with this one */
		.entry_valid = is_casefolded(dir) ? 0 : F4_CACHE_FOREVER_S,
		.attr_valid = f4_attr_valid_s(s, inode->ino),
	};
	f4_attr_fill(s, &attr, &ret->attr);
	atomic_fetch_add(&inode->lookups, 1);
}

void f4_entry_give_back(struct f4_inode *inode)
{
	f4_inode_forget(inode->vol, inode->ino, 1);
}

void f4_invalidate_attr(struct f4_session *s, struct f4_inode *inode)
{
	/* A negative offset: attributes and ACLs only, no pages, so no lock of the kernel's is waited for. */
	(void)fuse_lowlevel_notify_inval_inode(s->se, f4_node_of(inode->ino), -1, 0);
}
