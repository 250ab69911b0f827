/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended attributes: setting and removing.
 *
 * A change works on copies: both areas are read and checked, the entry is taken out of both, the new
 * one put in the first that has room (the inode, then the block, then, with ea_inode, a value inode
 * whose entry is small), and what changed is written back. The area in the inode keeps the order of
 * its entries, the block is sorted.
 */
#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "server/ext4/acl.h"
#include "server/ext4/alloc.h"
#include "server/ext4/quota.h"
#include "server/ext4/xattr_priv.h"

uint32_t f4_xattr_credits(const struct f4_inode *inode)
{
	uint32_t n = 1 + 1 + F4_XBLOCK_CREDITS; /* the inode, the superblock's feature, the block */

	if (f4_has_incompat(inode->vol, F4_INCOMPAT_EA_INODE))
		n += 2 * F4_XINODE_CREDITS;
	return n;
}

/* Old tools look at attributes only where this feature says that there are any. */
static int set_feature(struct f4_handle *h, struct f4_volume *vol)
{
	struct f4_super *sb;
	int r = 0;

	if (f4_has_compat(vol, F4_COMPAT_EXT_ATTR))
		return 0;
	(void)pthread_mutex_lock(&vol->sb_lock);
	r = f4_txn_write(h, vol->sb_buf);
	if (r == 0) {
		sb = (void *)(vol->sb_buf->data + vol->sb_offset);
		vol->compat |= F4_COMPAT_EXT_ATTR;
		sb->s_feature_compat = f4_mk_le32(f4_get_le32(sb->s_feature_compat) |
						  F4_COMPAT_EXT_ATTR);
	}
	(void)pthread_mutex_unlock(&vol->sb_lock);
	return r;
}

/* What one change does to value inodes, and to what the owner's i_blocks counts for them. */
struct values {
	struct f4_inode *dropped[2]; /* refs; named by the entry that goes */
	struct f4_inode **shared;    /* owned, refs in it; named by the copy of a block that is shared */
	size_t n_shared;
	uint64_t sectors_less, sectors_more;
	int inodes_less; /* that the owner's quotas count for them */
};

static void values_done(struct values *v)
{
	for (int i = 0; i < 2; i++)
		f4_inode_put_inside(v->dropped[i]);
	for (size_t i = 0; i < v->n_shared; i++)
		f4_inode_put_inside(v->shared[i]);
	free(v->shared);
}

/* Take the entry out of both areas. */
static int take_out(struct f4_inode *inode, struct f4_xareas *a, const struct f4_xattr_change *c,
		    struct values *values)
{
	struct f4_xview *views[2] = { &a->body, &a->block };

	for (int i = 0; i < 2; i++) {
		struct f4_xview *v = views[i];
		size_t at = f4_xent_find(v->ents, v->n, c->index, c->name, c->name_len);
		struct f4_xent *e = &v->ents[at];
		int r = 0;

		if (at >= v->n)
			continue;
		/* The reference of a shared block stays with those that still have the block. */
		if (e->inum != 0 && !(v == &a->block && a->block_refs > 1))
			r = f4_xinode_get(inode, e, &values->dropped[i]);
		if (r < 0)
			return r;
		if (e->inum != 0) {
			uint64_t n = f4_xinode_sectors(inode, values->dropped[i], e->size);

			values->sectors_less += n;
			values->inodes_less += n != 0;
		}
		f4_xent_remove(v->ents, &v->n, at);
		v->changed = true;
	}
	return 0;
}

/* A changed block that was shared becomes a copy: what it names is named once more. */
static int hold_shared(struct f4_handle *h, struct f4_inode *inode, const struct f4_xareas *a,
		       const struct f4_xattr_change *c, struct values *values)
{
	if (!a->block.changed || a->block_refs <= 1)
		return 0;
	values->shared = calloc(a->block.n + 1, sizeof(struct f4_inode *));
	if (!values->shared)
		return -ENOMEM;
	for (size_t i = 0; i < a->block.n; i++) {
		int r;

		if (a->block.ents[i].inum == 0 || (c->ea && a->block.ents[i].inum == c->ea->ino))
			continue;
		r = f4_xinode_get(inode, &a->block.ents[i], &values->shared[values->n_shared]);
		if (r < 0)
			return r;
		values->n_shared++;
	}
	return values->n_shared ? f4_txn_extend(h, (uint32_t)values->n_shared) : 0;
}

static bool fits(const struct f4_xview *v, const struct f4_xent *e, uint32_t len)
{
	uint64_t need = 4 + f4_xarea_need(e);

	for (size_t i = 0; i < v->n; i++)
		need += f4_xarea_need(&v->ents[i]);
	return need <= len;
}

/* Put the new entry where there is room. The caller's memory stays behind it until it is written. */
static int put_in(struct f4_inode *inode, struct f4_xareas *a, const struct f4_xattr_change *c)
{
	struct f4_volume *vol = inode->vol;
	uint32_t body = f4_xbody_len(inode);
	uint32_t block = vol->block_size - (uint32_t)sizeof(struct f4_xattr_block_header);
	struct f4_xent e = {
		.index = c->index,
		.name_len = (uint8_t)c->name_len,
		.name = c->name,
		.value = c->value,
		.size = (uint32_t)c->len,
	};

	if (c->ea) {
		e.inum = c->ea->ino;
		e.value = NULL;
		e.hash = f4_xent_hash_inode(&e, f4_xinode_hash(c->ea), false);
	}
	if (body != 0 && fits(&a->body, &e, body)) {
		f4_xent_insert(a->body.ents, &a->body.n, &e, false);
		a->body.changed = true;
		return 0;
	}
	/* Inline data lives in the inode or nowhere. */
	if (c->index == F4_XATTR_INDEX_SYSTEM || !fits(&a->block, &e, block))
		return -ENOSPC;
	if (!a->block.ents) {
		a->block.ents = calloc(1, sizeof(*a->block.ents));
		if (!a->block.ents)
			return -ENOMEM;
	}
	f4_xent_insert(a->block.ents, &a->block.n, &e, true);
	a->block.changed = true;
	return 0;
}

/* Write the changed areas. What can fail for want of room comes first and changes nothing. */
static int write_areas(struct f4_handle *h, struct f4_inode *inode, struct f4_xareas *a,
		       const struct values *values)
{
	uint32_t len = f4_xbody_len(inode);
	f4_auto_free uint8_t *body = NULL;
	int more = values->sectors_more != 0; /* one value in an inode of its own */
	uint8_t *raw = NULL;
	int r;

	if (a->body.changed) {
		body = calloc(1, len);
		if (!body)
			return -ENOMEM;
		/* values of a damaged area may overlap: then even less can be too much */
		r = f4_xarea_build(body, 0, len, a->body.ents, a->body.n);
		if (r == 0)
			r = f4_inode_raw_write(h, inode, &raw);
		if (r < 0)
			return r;
	}
	r = f4_quota_attr(h, inode, more, (int64_t)values->sectors_more);
	if (r < 0)
		return r;
	if (a->block.changed) {
		r = f4_xblock_store(h, inode, a->block.ents, a->block.n);
		if (r < 0) {
			(void)f4_quota_attr(h, inode, -more, -(int64_t)values->sectors_more);
			return r;
		}
	}
	if (raw) {
		f4_store_le32(raw + f4_xbody_at(inode), F4_XATTR_MAGIC);
		memcpy(raw + f4_xbody_at(inode) + F4_XBODY_HEADER, body, len);
	}
	inode->blocks += values->sectors_more;
	inode->blocks -= values->sectors_less < inode->blocks ? values->sectors_less :
								inode->blocks;
	r = f4_quota_attr(h, inode, -values->inodes_less, 0);
	return r < 0 ? r : f4_inode_store(h, inode);
}

/* After the areas: the references. */
static int count_values(struct f4_handle *h, const struct f4_xattr_change *c,
			const struct values *values)
{
	int r = c->ea ? f4_xinode_link(h, c->ea) : 0;

	for (size_t i = 0; i < values->n_shared && r == 0; i++)
		r = f4_xinode_ref(h, values->shared[i]);
	for (int i = 0; i < 2 && r == 0; i++)
		if (values->dropped[i])
			r = f4_xinode_unlink(h, values->dropped[i]);
	return r;
}

int f4_xattr_apply(struct f4_handle *h, struct f4_inode *inode, const struct f4_xattr_change *c,
		   struct f4_inode *dropped[2])
{
	f4_auto_xareas areas = { 0 };
	f4_cleanup(values_done) struct values values = { 0 };
	bool there;
	int r;

	dropped[0] = dropped[1] = NULL;
	r = f4_xareas_load(inode, &areas);
	if (r < 0)
		return r;
	there = f4_xareas_find(&areas, c->index, c->name, c->name_len) != NULL;
	if (there && (c->flags & XATTR_CREATE))
		return -EEXIST;
	if (!there && (c->flags & XATTR_REPLACE))
		return -ENODATA;
	if (!there && !c->value)
		return 0;
	r = take_out(inode, &areas, c, &values);
	if (r == 0 && c->value)
		r = put_in(inode, &areas, c);
	if (r == 0)
		r = hold_shared(h, inode, &areas, c, &values);
	if (r == 0 && c->ea)
		values.sectors_more = f4_xinode_sectors(inode, NULL, (uint32_t)c->len);
	if (r == 0)
		r = set_feature(h, inode->vol);
	if (r == 0)
		r = write_areas(h, inode, &areas, &values);
	if (r < 0)
		return r; /* nothing was written */
	r = count_values(h, c, &values);
	if (r < 0) {
		f4_journal_abort(inode->vol->journal, r); /* half of it is in the transaction */
		return r;
	}
	for (int i = 0; i < 2; i++)
		dropped[i] = f4_take_ptr(values.dropped[i]);
	return 0;
}

int f4_xattr_set_locked(struct f4_handle *h, struct f4_inode *inode, uint8_t index,
			const char *name, const void *value, size_t len, int flags)
{
	struct f4_xattr_change c = {
		.index = index,
		.name = name,
		.name_len = strlen(name),
		.value = value,
		.len = len,
		.flags = flags,
	};
	struct f4_inode *dropped[2];
	int r;

	if (len > inode->vol->block_size)
		return -ENOSPC;
	r = f4_xattr_apply(h, inode, &c, dropped);
	/* A value inode (of an ACL, say) that is freed by this waits for the end of the mount. */
	f4_inode_put_inside(dropped[0]);
	f4_inode_put_inside(dropped[1]);
	return r;
}

/* One attempt: lock, handle, change, and for an access ACL the mode with it. */
static int change_once(struct f4_inode *inode, const struct f4_xattr_change *c, const uint16_t *mode)
{
	struct f4_inode *dropped[2] = { NULL, NULL };
	struct f4_handle h;
	int r, r2;

	f4_inode_wrlock(inode);
	r = inode->flags & (F4_FL_IMMUTABLE | F4_FL_APPEND | F4_FL_EA_INODE) ? -EPERM : 0;
	if (r == 0)
		r = f4_txn_begin(inode->vol->journal, f4_xattr_credits(inode), &h);
	if (r == 0) {
		h.sync = inode->vol->opt.sync;
		r = f4_xattr_apply(&h, inode, c, dropped);
		if (r == 0) {
			if (mode)
				f4_inode_set_mode(inode, (uint16_t)((inode->mode & ~0777u) |
								      (*mode & 0777u)));
			f4_inode_touch(inode, F4_TOUCH_C);
			r = f4_inode_store(&h, inode);
		}
		r2 = f4_txn_end(&h);
		if (r == 0)
			r = r2;
	}
	f4_inode_unlock(inode);
	f4_inode_put(dropped[0]);
	f4_inode_put(dropped[1]);
	return r;
}

/* As change_once, with the value in an inode of its own. */
static int change_with_inode(struct f4_inode *inode, struct f4_xattr_change *c,
			     const uint16_t *mode)
{
	f4_auto_inode *ea = NULL;
	int r;

	r = f4_xinode_new(inode, c->value, c->len, &ea);
	if (r < 0)
		return r;
	c->ea = ea;
	r = change_once(inode, c, mode);
	c->ea = NULL;
	return r;
}

static int change(struct f4_inode *inode, struct f4_xattr_change *c, const uint16_t *mode)
{
	struct f4_volume *vol = inode->vol;
	bool can_move = c->len > 0 && f4_has_incompat(vol, F4_INCOMPAT_EA_INODE);
	int r;

	r = f4_volume_check_write(vol);
	if (r < 0)
		return r;
	for (uint32_t attempt = 0;; attempt++) {
		/* Half a block: from there on the kernel prefers an inode as well. */
		bool moved = can_move && c->len > vol->block_size / 2;

		r = moved ? change_with_inode(inode, c, mode) : change_once(inode, c, mode);
		if (r == -ENOSPC && can_move && !moved)
			r = change_with_inode(inode, c, mode);
		if (r != -ENOSPC || !f4_alloc_should_retry(vol, attempt))
			return r;
	}
}

/* An ACL arrives in the kernel's form; NULL value: remove. */
static int set_acl(struct f4_inode *inode, uint8_t index, const void *value, size_t len, int flags)
{
	struct f4_xattr_change c = { .index = index, .name = "", .flags = flags };
	f4_auto_free struct f4_acl *acl = NULL;
	f4_auto_free void *disk = NULL;
	bool access = index == F4_XATTR_INDEX_ACL_ACCESS, has_mode = false;
	uint16_t mode = 0;
	int r;

	r = value ? f4_acl_from_xattr(value, len, &acl) : 0;
	if (r < 0)
		return r;
	if (f4_is_lnk(inode)) /* the type of an inode is constant */
		return -EOPNOTSUPP;
	if (!access && !f4_is_dir(inode))
		return acl ? -EACCES : 0;
	if (acl && access) {
		has_mode = true;
		if (f4_acl_to_mode(acl, &mode))
			free(f4_take_ptr(acl)); /* says no more than the mode */
	}
	if (acl) {
		r = f4_acl_to_disk(acl, &disk, &c.len);
		if (r < 0)
			return r;
		c.value = disk;
	}
	return change(inode, &c, has_mode ? &mode : NULL);
}

int f4_xattr_set(struct f4_inode *inode, const char *name, const void *value, size_t len, int flags)
{
	struct f4_xattr_change c = { .value = value ? value : "", .len = len, .flags = flags };
	int r;

	r = f4_xattr_parse_name(inode->vol, name, &c.index, &c.name);
	if (r < 0)
		return r;
	if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (f4_xattr_is_acl(c.index))
		return set_acl(inode, c.index, c.value, len, flags);
	if (len > XATTR_SIZE_MAX)
		return -E2BIG;
	c.name_len = strlen(c.name);
	return change(inode, &c, NULL);
}

int f4_xattr_remove(struct f4_inode *inode, const char *name)
{
	struct f4_xattr_change c = { .flags = XATTR_REPLACE };
	int r;

	r = f4_xattr_parse_name(inode->vol, name, &c.index, &c.name);
	if (r < 0)
		return r;
	if (f4_xattr_is_acl(c.index)) /* removing an ACL that isn't there is no error */
		return set_acl(inode, c.index, NULL, 0, 0);
	c.name_len = strlen(c.name);
	return change(inode, &c, NULL);
}

/* --- the end of an inode --- */

/* The name of an attribute whose value is in an inode that this one alone refers to; -1: none left. */
static int find_foreign(const struct f4_xareas *a, struct f4_xattr_change *c, char *name)
{
	const struct f4_xview *views[2] = { &a->body, a->block_refs == 1 ? &a->block : NULL };

	for (int i = 0; i < 2; i++) {
		for (size_t k = 0; views[i] && k < views[i]->n; k++) {
			const struct f4_xent *e = &views[i]->ents[k];

			if (e->inum == 0)
				continue;
			memcpy(name, e->name, e->name_len);
			*c = (struct f4_xattr_change){
				.index = e->index,
				.name = name,
				.name_len = e->name_len,
			};
			return 0;
		}
	}
	return -1;
}

/* One of them less, in a handle of its own: after a crash the rest is found as it is. */
static int remove_foreign(struct f4_inode *inode, const struct f4_xattr_change *c)
{
	struct f4_inode *dropped[2];
	struct f4_handle h;
	int r, r2;

	r = f4_txn_begin(inode->vol->journal, f4_xattr_credits(inode), &h);
	if (r < 0)
		return r;
	r = f4_xattr_apply(&h, inode, c, dropped);
	r2 = f4_txn_end(&h);
	f4_inode_put(dropped[0]);
	f4_inode_put(dropped[1]);
	return r < 0 ? r : r2;
}

/* Values that the entries of both areas name. */
static uint32_t count_named(const struct f4_xareas *a)
{
	const struct f4_xview *views[2] = { &a->body, &a->block };
	uint32_t n = 0;

	for (int i = 0; i < 2; i++)
		for (size_t k = 0; k < views[i]->n; k++)
			n += views[i]->ents[k].inum != 0;
	return n;
}

int f4_xattr_count_values(struct f4_inode *inode, uint32_t *ret)
{
	f4_auto_xareas areas = { 0 };
	int r;

	*ret = 0;
	if (!f4_has_incompat(inode->vol, F4_INCOMPAT_EA_INODE))
		return 0;
	r = f4_xareas_load(inode, &areas);
	if (r == 0)
		*ret = count_named(&areas);
	return r;
}

int f4_xattr_delete_all(struct f4_inode *inode)
{
	uint32_t shared = 0; /* values that others' references keep, too */
	struct f4_handle h;
	int r, r2;

	/* Each round has one entry less. Value inodes have none that count. */
	while (f4_has_incompat(inode->vol, F4_INCOMPAT_EA_INODE) &&
	       !(inode->flags & F4_FL_EA_INODE)) {
		f4_auto_xareas areas = { 0 };
		struct f4_xattr_change c;
		char name[F4_XATTR_NAME_MAX];

		r = f4_xareas_load(inode, &areas);
		if (r < 0)
			return r;
		if (find_foreign(&areas, &c, name) < 0) {
			shared = count_named(&areas);
			break;
		}
		r = remove_foreign(inode, &c);
		if (r < 0)
			return r;
	}
	if (inode->file_acl == 0)
		return 0;
	r = f4_txn_begin(inode->vol->journal, 1 + F4_XBLOCK_CREDITS, &h);
	if (r < 0)
		return r;
	r = f4_xblock_store(&h, inode, NULL, 0);
	if (r == 0)
		r = f4_quota_attr(&h, inode, -(int)shared, 0);
	if (r == 0)
		r = f4_inode_store(&h, inode);
	r2 = f4_txn_end(&h);
	return r < 0 ? r : r2;
}
