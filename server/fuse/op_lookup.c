/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests on names.
 *
 * An absent name is answered with node 0 and a lifetime, which the kernel keeps as "not there". In
 * casefolded directories it is a plain ENOENT: creating another spelling would not clear it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base/str.h"
#include "server/ext4/ops.h"
#include "server/fuse/internal.h"

static void reply_entry(fuse_req_t req, struct f4_inode *dir, struct f4_inode *inode)
{
	struct f4_abi_entry_out out;

	f4_entry_take(f4_req_session(req), dir, inode, &out);
	if (fuse_reply_buf(req, (const char *)&out, sizeof(out)) < 0)
		f4_entry_give_back(inode);
}

static void reply_absent(fuse_req_t req, struct f4_inode *dir)
{
	struct f4_abi_entry_out out = { .entry_valid = F4_CACHE_FOREVER_S };

	if (f4_has_incompat(dir->vol, F4_INCOMPAT_CASEFOLD))
		(void)fuse_reply_err(req, ENOENT);
	else
		(void)fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

static int request_cred(fuse_req_t req, struct f4_cred *ret)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return f4_cred_init(f4_req_session(req), ctx->uid, ctx->gid, ctx->umask, ret);
}

/*
 * "." comes from a file handle: any inode, not only a directory, that the kernel has forgotten. It
 * asks only for what it has not in memory, so that an unlinked one is on its way out here and is
 * gone for good there.
 */
static int lookup_self(struct f4_inode *node, struct f4_inode **ret)
{
	struct f4_attr attr;

	f4_inode_attr(node, &attr);
	if (attr.links == 0)
		return -ESTALE;
	f4_inode_ref(node);
	*ret = node;
	return 0;
}

void f4_fuse_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	f4_auto_inode *dir = NULL, *inode = NULL;
	int r;

	r = f4_node_get(f4_req_session(req), parent, &dir);
	if (r == 0)
		r = f4_str_eq(name, ".") ? lookup_self(dir, &inode)
					 : f4_op_lookup(dir, name, strlen(name), &inode);
	if (r == -ENOENT && dir)
		reply_absent(req, dir);
	else if (r < 0)
		f4_reply_result(req, r);
	else
		reply_entry(req, dir, inode);
}

static void forget(struct f4_session *s, uint64_t node, uint64_t n)
{
	if (node == F4_ABI_ROOT_NODE)
		return; /* the kernel has the root without a lookup */
	if (node <= UINT32_MAX)
		f4_inode_forget(s->vol, (uint32_t)node, n);
}

void f4_fuse_forget(fuse_req_t req, fuse_ino_t node, uint64_t n)
{
	struct f4_session *s = f4_req_session(req);

	fuse_reply_none(req);
	forget(s, node, n);
}

void f4_fuse_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct f4_session *s = f4_req_session(req);

	for (size_t i = 0; i < count; i++)
		forget(s, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void create(fuse_req_t req, fuse_ino_t parent, const char *name, struct f4_op_new *spec)
{
	f4_auto_inode *dir = NULL, *inode = NULL;
	int r;

	r = request_cred(req, &spec->cred);
	if (r == 0)
		r = f4_node_get(f4_req_session(req), parent, &dir);
	if (r == 0)
		r = f4_op_create(dir, name, strlen(name), spec, &inode);
	if (r < 0)
		f4_reply_result(req, r);
	else
		reply_entry(req, dir, inode);
}

void f4_fuse_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct f4_op_new spec = { .mode = (uint16_t)mode, .rdev = (uint32_t)rdev };

	create(req, parent, name, &spec);
}

void f4_fuse_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct f4_op_new spec = { .mode = (uint16_t)((mode & 07777) | S_IFDIR) };

	create(req, parent, name, &spec);
}

void f4_fuse_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct f4_op_new spec = { .mode = S_IFLNK | 0777, .target = target };

	create(req, parent, name, &spec);
}

/*
 * Never done: ENOSYS makes the kernel create with MKNOD for the rest of the mount and open without
 * a request. CREATE would cost a RELEASE at the end as well.
 */
void f4_fuse_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		    struct fuse_file_info *fi)
{
	(void)parent;
	(void)name;
	(void)mode;
	(void)fi;
	(void)fuse_reply_err(req, ENOSYS);
}

void f4_fuse_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t parent, const char *name)
{
	struct f4_session *s = f4_req_session(req);
	f4_auto_inode *dir = NULL, *inode = NULL;
	int r;

	r = f4_node_get(s, node, &inode);
	if (r == 0)
		r = f4_node_get(s, parent, &dir);
	if (r == 0)
		r = f4_op_link(inode, dir, name, strlen(name));
	if (r < 0)
		f4_reply_result(req, r);
	else
		reply_entry(req, dir, inode);
}

void f4_fuse_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	f4_auto_inode *dir = NULL;
	int r;

	r = f4_node_get(f4_req_session(req), parent, &dir);
	if (r == 0)
		r = f4_op_unlink(dir, name, strlen(name));
	f4_reply_result(req, r);
}

void f4_fuse_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	f4_auto_inode *dir = NULL;
	int r;

	r = f4_node_get(f4_req_session(req), parent, &dir);
	if (r == 0)
		r = f4_op_rmdir(dir, name, strlen(name));
	f4_reply_result(req, r);
}

void f4_fuse_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		    const char *new_name, unsigned int flags)
{
	struct f4_session *s = f4_req_session(req);
	f4_auto_inode *from = NULL, *to = NULL;
	struct f4_cred cred;
	int r;

	r = request_cred(req, &cred);
	if (r < 0 && !(flags & RENAME_WHITEOUT))
		r = 0; /* nothing is made */
	if (r == 0)
		r = f4_node_get(s, parent, &from);
	if (r == 0)
		r = f4_node_get(s, new_parent, &to);
	if (r == 0)
		r = f4_op_rename(from, name, strlen(name), to, new_name, strlen(new_name), flags,
				 &cred);
	f4_reply_result(req, r);
}

void f4_raw_tmpfile(struct f4_worker *w, const struct f4_abi_in_header *in, const void *arg,
		    size_t arg_len)
{
	const struct f4_abi_create_in *create_in = arg;
	f4_auto_inode *dir = NULL, *inode = NULL;
	struct f4_abi_entry_out entry;
	struct f4_abi_open_out open_out = { .open_flags = F4_ABI_FOPEN_KEEP_CACHE };
	struct iovec iov[2] = { { &entry, sizeof(entry) }, { &open_out, sizeof(open_out) } };
	struct f4_op_new spec = { 0 };
	int r;

	if (arg_len < sizeof(*create_in)) {
		f4_raw_error(w, in, -EINVAL);
		return;
	}
	spec.mode = (uint16_t)((create_in->mode & 07777) | S_IFREG);
	r = f4_cred_init(w->session, in->uid, in->gid, create_in->umask, &spec.cred);
	if (r == 0)
		r = f4_node_get(w->session, in->nodeid, &dir);
	if (r == 0)
		r = f4_op_tmpfile(dir, &spec, &inode);
	if (r < 0) {
		f4_raw_error(w, in, r);
		return;
	}
	f4_entry_take(w->session, NULL, inode, &entry);
	if (f4_raw_reply(w, in, iov, 2) < 0)
		f4_entry_give_back(inode);
}
