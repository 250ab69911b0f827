/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Extended attributes: names, and reading them. Changes are in xattr_change.c. */
#include "server/ext4/xattr.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "protocol/base/str.h"
#include "server/ext4/acl.h"
#include "server/ext4/alloc.h"
#include "server/ext4/xattr_priv.h"

/* --- names --- */

static const struct prefix {
	const char *prefix;
	uint8_t index;
	bool whole; /* nothing may follow */
} prefixes[] = {
	{ "user.", F4_XATTR_INDEX_USER, false },
	{ "trusted.", F4_XATTR_INDEX_TRUSTED, false },
	{ "security.", F4_XATTR_INDEX_SECURITY, false },
	{ "system.posix_acl_access", F4_XATTR_INDEX_ACL_ACCESS, true },
	{ "system.posix_acl_default", F4_XATTR_INDEX_ACL_DEFAULT, true },
};

static bool is_off(const struct f4_volume *vol, uint8_t index)
{
	return (index == F4_XATTR_INDEX_USER && vol->opt.no_user_xattr) ||
	       (f4_xattr_is_acl(index) && vol->opt.no_acl);
}

/* A whole name as index and rest. */
int f4_xattr_parse_name(const struct f4_volume *vol, const char *name, uint8_t *ret_index,
		      const char **ret_rest)
{
	for (size_t i = 0; i < F4_ARRAY_LEN(prefixes); i++) {
		const char *rest = f4_str_after(name, prefixes[i].prefix);

		if (!rest || (prefixes[i].whole && *rest))
			continue;
		if (is_off(vol, prefixes[i].index))
			return -EOPNOTSUPP;
		if (!prefixes[i].whole && !*rest)
			return -EINVAL;
		if (strlen(rest) > F4_XATTR_NAME_MAX)
			return -ERANGE;
		*ret_index = prefixes[i].index;
		*ret_rest = rest;
		return 0;
	}
	return -EOPNOTSUPP;
}

static const struct prefix *find_prefix(uint8_t index)
{
	for (size_t i = 0; i < F4_ARRAY_LEN(prefixes); i++)
		if (prefixes[i].index == index)
			return &prefixes[i];
	return NULL;
}

/* --- the areas --- */

void f4_xview_done(struct f4_xview *v)
{
	free(v->copy);
	free(v->ents);
	memset(v, 0, sizeof(*v));
}

int f4_xview_fill(struct f4_xview *v, const struct f4_xarea *a)
{
	v->ents = calloc(f4_xarea_max_entries(a->end - a->first) + 1, sizeof(*v->ents));
	if (!v->ents)
		return -ENOMEM;
	return f4_xarea_load(a, v->ents, &v->n);
}

uint32_t f4_xbody_len(const struct f4_inode *inode)
{
	uint32_t used = F4_GOOD_OLD_INODE_SIZE + inode->extra_isize + F4_XBODY_HEADER;

	if (inode->vol->inode_size <= F4_GOOD_OLD_INODE_SIZE || inode->extra_isize == 0 ||
	    inode->extra_isize % 4 != 0 || used + 4 > inode->vol->inode_size)
		return 0;
	return inode->vol->inode_size - used;
}

static int body_load(struct f4_inode *inode, struct f4_xview *ret)
{
	uint32_t len = f4_xbody_len(inode);
	const uint8_t *raw = f4_inode_raw(inode);
	struct f4_xarea area = { .end = len };
	int r;

	if (len == 0)
		return 0;
	ret->copy = malloc(len);
	if (!ret->copy)
		return -ENOMEM;
	/* Without the magic there were never attributes, and the bytes mean nothing. */
	if (f4_load_le32(raw + f4_xbody_at(inode)) == F4_XATTR_MAGIC)
		memcpy(ret->copy, raw + f4_xbody_at(inode) + F4_XBODY_HEADER, len);
	else
		memset(ret->copy, 0, len);
	area.base = ret->copy;
	r = f4_xview_fill(ret, &area);
	if (r == -EUCLEAN)
		return f4_corrupt(inode->vol, inode->ino, 0, "bad xattr entry in inode");
	return r;
}

void f4_xareas_done(struct f4_xareas *a)
{
	f4_xview_done(&a->body);
	f4_xview_done(&a->block);
}

int f4_xareas_load(struct f4_inode *inode, struct f4_xareas *ret)
{
	int r = body_load(inode, &ret->body);

	return r < 0 ? r : f4_xblock_load(inode, &ret->block, &ret->block_refs);
}

const struct f4_xent *f4_xareas_find(const struct f4_xareas *a, uint8_t index, const char *name,
				     size_t name_len)
{
	size_t at = f4_xent_find(a->body.ents, a->body.n, index, name, name_len);

	if (at < a->body.n)
		return &a->body.ents[at];
	at = f4_xent_find(a->block.ents, a->block.n, index, name, name_len);
	return at < a->block.n ? &a->block.ents[at] : NULL;
}

/* --- reading --- */

static int read_value(struct f4_inode *inode, const struct f4_xent *e, void *buf, size_t size,
		      size_t *ret_len)
{
	int r = 0;

	if (size != 0) {
		if (e->size > size)
			return -ERANGE;
		if (e->inum != 0)
			r = f4_xinode_read(inode, e, buf);
		else if (e->size > 0)
			memcpy(buf, e->value, e->size);
	}
	if (r == 0)
		*ret_len = e->size;
	return r;
}

static int get_named(struct f4_inode *inode, uint8_t index, const char *name, size_t name_len,
		     void *buf, size_t size, size_t *ret_len)
{
	f4_auto_xareas areas = { 0 };
	const struct f4_xent *e;
	int r;

	/* The common case (no attributes at all) is decided without a copy. */
	r = body_load(inode, &areas.body);
	if (r < 0)
		return r;
	e = f4_xareas_find(&areas, index, name, name_len);
	if (!e && inode->file_acl != 0) {
		r = f4_xblock_load(inode, &areas.block, &areas.block_refs);
		if (r < 0)
			return r;
		e = f4_xareas_find(&areas, index, name, name_len);
	}
	return e ? read_value(inode, e, buf, size, ret_len) : -ENODATA;
}

int f4_xattr_get_locked(struct f4_inode *inode, uint8_t index, const char *name, void *buf,
			size_t size, size_t *ret_len)
{
	return get_named(inode, index, name, strlen(name), buf, size, ret_len);
}

/* An ACL in the kernel's form; what is stored has the disk's. */
static int get_acl(struct f4_inode *inode, uint8_t index, void *buf, size_t size, size_t *ret_len)
{
	f4_auto_free struct f4_acl *acl = NULL;
	int r;

	r = f4_acl_load_locked(inode, index, &acl);
	if (r < 0)
		return r;
	if (!acl)
		return -ENODATA;
	*ret_len = f4_acl_xattr_size(acl);
	if (size == 0)
		return 0;
	if (*ret_len > size)
		return -ERANGE;
	f4_acl_to_xattr(acl, buf);
	return 0;
}

int f4_xattr_get(struct f4_inode *inode, const char *name, void *buf, size_t size, size_t *ret_len)
{
	const char *rest;
	uint8_t index;
	int r;

	r = f4_xattr_parse_name(inode->vol, name, &index, &rest);
	if (r < 0)
		return r;
	f4_inode_rdlock(inode);
	r = f4_xattr_is_acl(index) ? get_acl(inode, index, buf, size, ret_len) :
			    f4_xattr_get_locked(inode, index, rest, buf, size, ret_len);
	f4_inode_unlock(inode);
	return r;
}

static int list_view(const struct f4_volume *vol, const struct f4_xview *v, char *buf, size_t size,
		     size_t *used)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct f4_xent *e = &v->ents[i];
		const struct prefix *p = find_prefix(e->index);
		size_t prefix_len, len;

		if (!p || is_off(vol, e->index) || (p->whole ? e->name_len != 0 : e->name_len == 0))
			continue;
		prefix_len = strlen(p->prefix);
		len = prefix_len + e->name_len + 1;
		if (size != 0) {
			if (len > size - *used)
				return -ERANGE;
			memcpy(buf + *used, p->prefix, prefix_len);
			memcpy(buf + *used + prefix_len, e->name, e->name_len);
			buf[*used + len - 1] = '\0';
		}
		*used += len;
	}
	return 0;
}

int f4_xattr_list(struct f4_inode *inode, char *buf, size_t size, size_t *ret_len)
{
	f4_auto_xareas areas = { 0 };
	size_t used = 0;
	int r;

	f4_inode_rdlock(inode);
	r = f4_xareas_load(inode, &areas);
	f4_inode_unlock(inode);
	if (r == 0)
		r = list_view(inode->vol, &areas.body, buf, size, &used);
	if (r == 0)
		r = list_view(inode->vol, &areas.block, buf, size, &used);
	if (r == 0)
		*ret_len = used;
	return r;
}

size_t f4_xattr_room_locked(struct f4_inode *inode, uint8_t index, const char *name)
{
	f4_auto_xview v = { 0 };
	struct f4_xent e = { .index = index, .name_len = (uint8_t)strlen(name), .name = name };
	uint32_t len = f4_xbody_len(inode), used = 4;
	size_t at;

	if (len == 0 || body_load(inode, &v) < 0)
		return 0;
	at = f4_xent_find(v.ents, v.n, index, name, e.name_len);
	if (at < v.n)
		f4_xent_remove(v.ents, &v.n, at);
	for (size_t i = 0; i < v.n; i++)
		used += f4_xarea_need(&v.ents[i]);
	used += f4_xarea_need(&e);
	return used < len ? len - used : 0;
}
