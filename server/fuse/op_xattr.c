/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended attributes.
 *
 * Setting an ACL can change the mode; the kernel drops the attributes that it knows after each
 * setxattr of an ACL by itself.
 */
#include <errno.h>
#include <string.h>

#include "protocol/base/str.h"
#include "server/ext4/xattr.h"
#include "server/fuse/internal.h"

static size_t bounded(size_t size)
{
	return size < F4_TRANSPORT_MAX_IO ? size : F4_TRANSPORT_MAX_IO;
}

void f4_fuse_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	struct f4_session *s = f4_req_session(req);
	struct f4_worker *w = f4_worker_current(s);
	f4_auto_inode *inode = NULL;
	size_t len = 0;
	int r;

	r = f4_node_get(s, node, &inode);
	if (r == 0)
		r = f4_xattr_get(inode, name, w->transport.out, bounded(size), &len);
	if (r == 0 && size != 0)
		r = f4_acl_shift(s, name, w->transport.out, len, false);
	if (r < 0)
		f4_reply_result(req, r);
	else if (size == 0)
		(void)fuse_reply_xattr(req, len);
	else
		(void)fuse_reply_buf(req, (const char *)w->transport.out, len);
}

/* Names that only root may see are left out for others, as the kernel's ext4 does. Return: the new length. */
static size_t drop_trusted(char *list, size_t len)
{
	size_t out = 0;

	for (size_t pos = 0; pos < len;) {
		size_t n = strnlen(list + pos, len - pos - 1) + 1;

		if (!f4_str_after(list + pos, "trusted.")) {
			memmove(list + out, list + pos, n);
			out += n;
		}
		pos += n;
	}
	return out;
}

void f4_fuse_listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
	struct f4_session *s = f4_req_session(req);
	struct f4_worker *w = f4_worker_current(s);
	char *list = (char *)w->transport.out;
	f4_auto_inode *inode = NULL;
	size_t len = 0;
	int r;

	/* Always the whole list: its length depends on who asks. */
	r = f4_node_get(s, node, &inode);
	if (r == 0)
		r = f4_xattr_list(inode, list, F4_TRANSPORT_MAX_IO, &len);
	if (r == 0 && fuse_req_ctx(req)->uid != 0)
		len = drop_trusted(list, len);
	if (r == 0 && size != 0 && len > size)
		r = -ERANGE;
	if (r < 0)
		f4_reply_result(req, r);
	else if (size == 0)
		(void)fuse_reply_xattr(req, len);
	else
		(void)fuse_reply_buf(req, list, len);
}

void f4_fuse_removexattr(fuse_req_t req, fuse_ino_t node, const char *name)
{
	f4_auto_inode *inode = NULL;
	int r;

	r = f4_node_get(f4_req_session(req), node, &inode);
	if (r == 0)
		r = f4_xattr_remove(inode, name);
	f4_reply_result(req, r);
}

/* Clear set-gid in the mode that the ACL has just given: the caller is not in the file's group. */
static int acl_kill_sgid(struct f4_inode *inode)
{
	struct f4_cred cred = { 0 }; /* a change of the mode asks for no rights */
	struct f4_attr attr;

	f4_inode_attr(inode, &attr);
	if (!(attr.mode & S_ISGID))
		return 0;
	attr.mode = attr.mode & 07777 & ~(uint32_t)S_ISGID;
	return f4_inode_setattr(inode, F4_SET_MODE, &attr, &cred);
}

void f4_raw_setxattr(struct f4_worker *w, const struct f4_abi_in_header *in, const void *arg,
		     size_t arg_len)
{
	const struct f4_abi_setxattr_in *set_in = arg;
	bool ext = (atomic_load(&w->session->abi_flags) & F4_ABI_SETXATTR_EXT) != 0;
	size_t head = ext ? sizeof(*set_in) : F4_ABI_SETXATTR_IN_OLD_SIZE;
	f4_auto_inode *inode = NULL;
	const char *name;
	size_t name_len;
	uint8_t *value;
	int r;

	if (arg_len < head + 2) {
		f4_raw_error(w, in, -EINVAL);
		return;
	}
	name = (const char *)arg + head;
	name_len = strnlen(name, arg_len - head);
	/* The name's NUL and then the whole value must be there. */
	if (name_len == arg_len - head || set_in->size > arg_len - head - name_len - 1) {
		f4_raw_error(w, in, -EINVAL);
		return;
	}
	value = w->transport.in + sizeof(*in) + head + name_len + 1;
	r = f4_acl_shift(w->session, name, value, set_in->size, true);
	if (r == 0)
		r = f4_node_get(w->session, in->nodeid, &inode);
	if (r == 0)
		r = f4_xattr_set(inode, name, value, set_in->size, (int)set_in->flags);
	if (r == 0 && ext && (set_in->setxattr_flags & F4_ABI_SETXATTR_ACL_KILL_SGID))
		r = acl_kill_sgid(inode);
	f4_raw_error(w, in, r);
}
