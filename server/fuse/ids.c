/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who asks, and whose the files are: the ids of a request and of an inode where the mount and the
 * image do not mean the same by them.
 *
 *   fakeroot     whoever asks is root; the files' owners are shown and stored as they are. The kernel
 *                checks nothing then (no default_permissions) and lets in who mounted, nobody else.
 *   idmap=       owner shift (protocol/idmap.h), in both directions, ACLs included.
 *   allow_root   the kernel knows "all" and "the owner" alone. It is told "all", and others' requests
 *                are refused here. What they could do without a request is nothing: a walk into the
 *                mount asks for the root directory's attributes, which the kernel may not keep.
 *   allow_idmap  the kernel's own id maps of mounts: it then maps the ids itself, and names the caller
 *                only in requests that make something. Others come from "no id": nobody's, here.
 */
#include <errno.h>
#include <string.h>

#include "protocol/base/endian.h"
#include "protocol/base/str.h"
#include "server/fuse/internal.h"

int f4_cred_init(const struct f4_session *s, uint32_t uid, uint32_t gid, uint32_t umask,
		 struct f4_cred *ret)
{
	bool known;

	*ret = (struct f4_cred){ .umask = (uint16_t)(umask & 0777) };
	if (s->config.fakeroot)
		return 0;
	if (uid == F4_ABI_NO_ID || gid == F4_ABI_NO_ID) {
		ret->uid = ret->gid = F4_IDMAP_NOBODY;
		return -EOVERFLOW;
	}
	known = f4_idmap_store(&s->config.idmap.uid, uid, &ret->uid);
	known = f4_idmap_store(&s->config.idmap.gid, gid, &ret->gid) && known;
	return known ? 0 : -EOVERFLOW;
}

bool f4_cred_is_root(const struct f4_session *s, uint32_t uid)
{
	return uid == 0 || s->config.fakeroot;
}

/*
 * Requests that go on with what the caller got hold of before, or that the kernel makes by itself in
 * whoever's name happens to be there.
 */
static bool needs_no_right(uint32_t opcode)
{
	switch (opcode) {
	case F4_ABI_FORGET:
	case F4_ABI_BATCH_FORGET:
	case F4_ABI_INIT:
	case F4_ABI_INTERRUPT:
	case F4_ABI_DESTROY:
	case F4_ABI_READ:
	case F4_ABI_WRITE:
	case F4_ABI_RELEASE:
	case F4_ABI_FSYNC:
	case F4_ABI_READDIR:
	case F4_ABI_READDIRPLUS:
	case F4_ABI_RELEASEDIR:
	case F4_ABI_FSYNCDIR:
	case F4_ABI_SYNCFS:
		return true;
	default:
		return false;
	}
}

bool f4_session_lets_in(const struct f4_session *s, const struct f4_abi_in_header *in)
{
	return !s->config.allow_root || in->uid == 0 || in->uid == s->config.owner_uid ||
	       needs_no_right(in->opcode);
}

uint64_t f4_attr_valid_s(const struct f4_session *s, uint32_t ino)
{
	return s->config.allow_root && ino == F4_ROOT_INO ? 0 : F4_CACHE_FOREVER_S;
}

/*
 * An ACL attribute as system calls carry it. Source: kernel include/uapi/linux/posix_acl_xattr.h,
 * tags of posix_acl.h.
 */
struct acl_entry {
	f4_le16 tag, perm;
	f4_le32 id;
};
static_assert(sizeof(struct acl_entry) == 8, "posix_acl_xattr_entry");
#define ACL_HEAD  4u
#define ACL_USER  0x02u
#define ACL_GROUP 0x08u

static int shift_entry(const struct f4_session *s, struct acl_entry *e, bool store)
{
	uint16_t tag = f4_get_le16(e->tag);
	const struct f4_idmap_kind *k;
	uint32_t id = f4_get_le32(e->id);

	if (tag != ACL_USER && tag != ACL_GROUP)
		return 0;
	k = tag == ACL_USER ? &s->config.idmap.uid : &s->config.idmap.gid;
	if (!store)
		id = f4_idmap_show(k, id);
	else if (!f4_idmap_store(k, id, &id))
		return -EOVERFLOW;
	e->id = f4_mk_le32(id);
	return 0;
}

int f4_acl_shift(const struct f4_session *s, const char *name, void *value, size_t len, bool store)
{
	if (s->config.idmap.uid.n + s->config.idmap.gid.n == 0 ||
	    !f4_str_after(name, "system.posix_acl_"))
		return 0;
	for (size_t pos = ACL_HEAD; pos + sizeof(struct acl_entry) <= len;
	     pos += sizeof(struct acl_entry)) {
		struct acl_entry e;
		int r;

		memcpy(&e, (char *)value + pos, sizeof(e));
		r = shift_entry(s, &e, store);
		if (r < 0)
			return r;
		memcpy((char *)value + pos, &e, sizeof(e));
	}
	return 0;
}
