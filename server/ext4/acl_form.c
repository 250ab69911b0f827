/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * POSIX ACLs: the two forms, and the rules between an ACL and a mode. Pure functions.
 *
 * An ACL that passed is_valid() has exactly one owner, one group and one other entry, in order,
 * and a mask where there are named entries: the rest of this file counts on it.
 */
#include "server/ext4/acl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/endian.h"

#define XATTR_VERSION 2u
#define DISK_VERSION  1u

/* Both forms: a version, then entries. On disk, those without an id are half as long. */
struct raw_header {
	f4_le32 version;
};
struct raw_entry {
	/*0*/ f4_le16 tag;
	/*2*/ f4_le16 perm;
	/*4*/ f4_le32 id;
};
static_assert(sizeof(struct raw_entry) == 8, "ACL entry");
#define SHORT_ENTRY 4u

static bool has_id(uint16_t tag)
{
	return tag == F4_ACL_USER || tag == F4_ACL_GROUP;
}

/* Tags come in rising order; all but the named ones once. */
static bool is_valid(const struct f4_acl *acl)
{
	uint32_t seen = 0;
	uint16_t last = 0;

	for (uint32_t i = 0; i < acl->count; i++) {
		const struct f4_acl_entry *e = &acl->entries[i];

		switch (e->tag) {
		case F4_ACL_USER_OBJ:
		case F4_ACL_GROUP_OBJ:
		case F4_ACL_MASK:
		case F4_ACL_OTHER:
			if (seen & e->tag)
				return false;
			break;
		case F4_ACL_USER:
		case F4_ACL_GROUP:
			if (e->id == UINT32_MAX)
				return false;
			break;
		default:
			return false;
		}
		if (e->perm > 7 || e->tag < last)
			return false;
		seen |= e->tag;
		last = e->tag;
	}
	if ((seen & (F4_ACL_USER | F4_ACL_GROUP)) && !(seen & F4_ACL_MASK))
		return false;
	return (seen & F4_ACL_USER_OBJ) && (seen & F4_ACL_GROUP_OBJ) && (seen & F4_ACL_OTHER);
}

static struct f4_acl *new_acl(size_t max_entries)
{
	return calloc(1, sizeof(struct f4_acl) + max_entries * sizeof(struct f4_acl_entry));
}

int f4_acl_from_xattr(const void *value, size_t len, struct f4_acl **ret)
{
	f4_auto_free struct f4_acl *acl = NULL;
	const uint8_t *p = value;
	size_t n;

	*ret = NULL;
	if (len < sizeof(struct raw_header) || len > F4_ACL_XATTR_MAX)
		return -EINVAL;
	if (f4_load_le32(p) != XATTR_VERSION)
		return -EOPNOTSUPP;
	len -= sizeof(struct raw_header);
	p += sizeof(struct raw_header);
	if (len % sizeof(struct raw_entry) != 0)
		return -EINVAL;
	n = len / sizeof(struct raw_entry);
	if (n == 0)
		return 0;
	acl = new_acl(n);
	if (!acl)
		return -ENOMEM;
	for (; acl->count < n; acl->count++, p += sizeof(struct raw_entry)) {
		struct raw_entry raw;

		memcpy(&raw, p, sizeof(raw));
		acl->entries[acl->count] = (struct f4_acl_entry){
			.tag = f4_get_le16(raw.tag),
			.perm = f4_get_le16(raw.perm),
			.id = f4_get_le32(raw.id),
		};
	}
	if (!is_valid(acl))
		return -EINVAL;
	*ret = f4_take_ptr(acl);
	return 0;
}

int f4_acl_from_disk(const void *value, size_t len, struct f4_acl **ret)
{
	f4_auto_free struct f4_acl *acl = NULL;
	const uint8_t *p = value;

	*ret = NULL;
	if (len < sizeof(struct raw_header) || f4_load_le32(p) != DISK_VERSION)
		return -EUCLEAN;
	len -= sizeof(struct raw_header);
	p += sizeof(struct raw_header);
	if (len == 0)
		return 0;
	acl = new_acl(len / SHORT_ENTRY + 1);
	if (!acl)
		return -ENOMEM;
	while (len >= SHORT_ENTRY) {
		struct f4_acl_entry *e = &acl->entries[acl->count++];
		size_t size;

		e->tag = f4_load_le16(p);
		e->perm = f4_load_le16(p + 2);
		size = has_id(e->tag) ? sizeof(struct raw_entry) : SHORT_ENTRY;
		if (size > len)
			return -EUCLEAN;
		if (has_id(e->tag))
			e->id = f4_load_le32(p + 4);
		p += size;
		len -= size;
	}
	if (len != 0 || !is_valid(acl))
		return -EUCLEAN;
	*ret = f4_take_ptr(acl);
	return 0;
}

size_t f4_acl_xattr_size(const struct f4_acl *acl)
{
	return sizeof(struct raw_header) + acl->count * sizeof(struct raw_entry);
}

void f4_acl_to_xattr(const struct f4_acl *acl, void *buf)
{
	uint8_t *p = buf;

	f4_store_le32(p, XATTR_VERSION);
	p += sizeof(struct raw_header);
	for (uint32_t i = 0; i < acl->count; i++, p += sizeof(struct raw_entry)) {
		const struct f4_acl_entry *e = &acl->entries[i];
		struct raw_entry raw = {
			.tag = f4_mk_le16(e->tag),
			.perm = f4_mk_le16(e->perm),
			.id = f4_mk_le32(has_id(e->tag) ? e->id : UINT32_MAX),
		};

		memcpy(p, &raw, sizeof(raw));
	}
}

int f4_acl_to_disk(const struct f4_acl *acl, void **ret, size_t *ret_len)
{
	size_t len = sizeof(struct raw_header);
	uint8_t *buf, *p;

	for (uint32_t i = 0; i < acl->count; i++)
		len += has_id(acl->entries[i].tag) ? sizeof(struct raw_entry) : SHORT_ENTRY;
	buf = malloc(len);
	if (!buf)
		return -ENOMEM;
	f4_store_le32(buf, DISK_VERSION);
	p = buf + sizeof(struct raw_header);
	for (uint32_t i = 0; i < acl->count; i++) {
		const struct f4_acl_entry *e = &acl->entries[i];

		f4_store_le16(p, e->tag);
		f4_store_le16(p + 2, e->perm);
		p += SHORT_ENTRY;
		if (has_id(e->tag)) {
			f4_store_le32(p, e->id);
			p += sizeof(struct raw_entry) - SHORT_ENTRY;
		}
	}
	*ret = buf;
	*ret_len = len;
	return 0;
}

static struct f4_acl_entry *find_tag(struct f4_acl *acl, uint16_t tag)
{
	for (uint32_t i = 0; i < acl->count; i++)
		if (acl->entries[i].tag == tag)
			return &acl->entries[i];
	return NULL;
}

/* The entry behind the mode's group bits: the mask, where there is one. */
static struct f4_acl_entry *group_class(struct f4_acl *acl)
{
	struct f4_acl_entry *mask = find_tag(acl, F4_ACL_MASK);

	return mask ? mask : find_tag(acl, F4_ACL_GROUP_OBJ);
}

/* More than owner, group and other? */
static bool is_extended(const struct f4_acl *acl)
{
	return acl->count > 3;
}

bool f4_acl_to_mode(const struct f4_acl *acl, uint16_t *ret_mode)
{
	uint16_t mode = 0;

	for (uint32_t i = 0; i < acl->count; i++) {
		const struct f4_acl_entry *e = &acl->entries[i];

		if (e->tag == F4_ACL_USER_OBJ)
			mode |= (uint16_t)(e->perm << 6);
		else if (e->tag == F4_ACL_OTHER)
			mode |= e->perm;
		else if (e->tag == F4_ACL_GROUP_OBJ)
			mode |= (uint16_t)(e->perm << 3);
		else if (e->tag == F4_ACL_MASK) /* behind the group's entry: takes its place */
			mode = (uint16_t)((mode & ~070u) | (unsigned int)e->perm << 3);
	}
	*ret_mode = mode;
	return !is_extended(acl);
}

bool f4_acl_mask_new(struct f4_acl *acl, uint16_t *mode)
{
	struct f4_acl_entry *owner = find_tag(acl, F4_ACL_USER_OBJ);
	struct f4_acl_entry *group = group_class(acl);
	struct f4_acl_entry *other = find_tag(acl, F4_ACL_OTHER);
	unsigned int m = *mode;

	owner->perm &= (m >> 6) & 7;
	group->perm &= (m >> 3) & 7;
	other->perm &= m & 7;
	*mode = (uint16_t)((m & ~0777u) | (unsigned int)owner->perm << 6 |
			   (unsigned int)group->perm << 3 | other->perm);
	return !is_extended(acl);
}

void f4_acl_set_mode(struct f4_acl *acl, uint16_t mode)
{
	find_tag(acl, F4_ACL_USER_OBJ)->perm = (mode >> 6) & 7;
	group_class(acl)->perm = (mode >> 3) & 7;
	find_tag(acl, F4_ACL_OTHER)->perm = mode & 7;
}
