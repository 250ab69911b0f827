/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the attributes share: xattr.c (names, reading), xattr_change.c, xattr_block.c
 * (the attribute block), xattr_inode.c (values in inodes), acl.c.
 *
 * A lock of their own, vol->xattr_lock (level 7 of volume.h, io), stands for what inodes share:
 * bytes and reference counts of attribute blocks, and the reference counts of value inodes. It is
 * held for copying and counting only. So even an image that names one block from two inodes with a
 * count of one can't make two threads work on the same bytes: each works on a copy of its own.
 *
 * Value inodes (F4_FL_EA_INODE) are never locked as inodes, except by the code that reads their
 * content: nothing else leads to them, and their counts are under xattr_lock.
 */
#ifndef F4_EXT4_XATTR_PRIV_H
#define F4_EXT4_XATTR_PRIV_H

#include "server/ext4/inode.h"
#include "server/ext4/xattr.h"
#include "server/ext4/xattr_area.h"

/* A working copy of one area: what it holds, and what it is going to hold. */
struct f4_xview {
	uint8_t *copy;	      /* owned; @ents point into it */
	struct f4_xent *ents; /* owned; room for one entry more than fits */
	size_t n;
	bool changed;
};
void f4_xview_done(struct f4_xview *v);
#define f4_auto_xview f4_cleanup(f4_xview_done) struct f4_xview

/* f4_xview_fill - list the entries of v->copy; @a says where they are in it. 0, -EUCLEAN, -ENOMEM. */
int f4_xview_fill(struct f4_xview *v, const struct f4_xarea *a);

/* --- xattr_block.c --- */

/*
 * f4_xblock_load - a copy of the inode's attribute block and its entries; nothing without one.
 * *ret_refs: its reference count (0: no block). Inode locked.
 * Return: 0; -EUCLEAN (reported); -EIO; -ENOMEM.
 */
int f4_xblock_load(struct f4_inode *inode, struct f4_xview *ret, uint32_t *ret_refs);

#define F4_XBLOCK_CREDITS (2u + F4_ALLOC_CREDITS + 2u) /* old, new, allocation, freeing */

/*
 * f4_xblock_store - give the inode a block with these entries, or none when there is no entry. Writes in
 * place where nobody shares the block, else to a new one. Sets file_acl and blocks; the caller
 * stores the inode. Inode locked exclusive, inside a handle.
 * Return: 0; -ENOSPC (no room in a block, or no block); others. Nothing is changed on failure.
 */
int f4_xblock_store(struct f4_handle *h, struct f4_inode *inode, struct f4_xent *ents, size_t n);

/* --- xattr_inode.c --- */

/* f4_xinode_new - a value inode with this content: no links, on the orphan list. Own handles. */
int f4_xinode_new(struct f4_inode *owner, const void *value, size_t len, struct f4_inode **ret);
/* f4_xinode_hash - what e_hash of an entry that names it is made of. */
uint32_t f4_xinode_hash(const struct f4_inode *ea);
#define F4_XINODE_CREDITS 8u /* inode, orphan list; twice: a new one and an old one */
/* f4_xinode_link - the first reference: off the orphan list. Inside @h. */
int f4_xinode_link(struct f4_handle *h, struct f4_inode *ea);
/* f4_xinode_unlink - one reference less; without any it becomes an orphan and goes with the caller's f4_inode_put. */
int f4_xinode_unlink(struct f4_handle *h, struct f4_inode *ea);
/* f4_xinode_ref - one reference more: another block names it. */
int f4_xinode_ref(struct f4_handle *h, struct f4_inode *ea);
/* f4_xinode_get - the inode that @e names, checked. *ret for f4_inode_put or f4_inode_put_inside. */
int f4_xinode_get(struct f4_inode *owner, const struct f4_xent *e, struct f4_inode **ret);
/* f4_xinode_sectors - what i_blocks of @owner counts for a value of @size bytes in @ea (NULL: unknown). */
uint64_t f4_xinode_sectors(const struct f4_inode *owner, const struct f4_inode *ea, uint32_t size);
/* f4_xinode_read - the whole value, e->size bytes, its hash checked. Owner locked. */
int f4_xinode_read(struct f4_inode *owner, const struct f4_xent *e, void *buf);

/* --- xattr.c --- */

/* In front of the area in the inode: h_magic alone. */
#define F4_XBODY_HEADER 4u
/* f4_xbody_len - bytes for entries behind the inode's fixed fields; 0: no room at all. */
uint32_t f4_xbody_len(const struct f4_inode *inode);
/* f4_xbody_at - where the header of that area is in the raw inode. */
static inline uint32_t f4_xbody_at(const struct f4_inode *inode)
{
	return F4_GOOD_OLD_INODE_SIZE + inode->extra_isize;
}

/* All attributes of an inode. */
struct f4_xareas {
	struct f4_xview body, block;
	uint32_t block_refs; /* of the block; 0: none */
};
void f4_xareas_done(struct f4_xareas *a);
#define f4_auto_xareas f4_cleanup(f4_xareas_done) struct f4_xareas

/* f4_xareas_load - copies of both areas. Inode locked. 0; -EUCLEAN (reported); -EIO; -ENOMEM. */
int f4_xareas_load(struct f4_inode *inode, struct f4_xareas *ret);
/* f4_xareas_find - the entry, or NULL. */
const struct f4_xent *f4_xareas_find(const struct f4_xareas *a, uint8_t index, const char *name,
				     size_t name_len);

/* f4_xattr_parse_name - a whole name as index and rest. -EOPNOTSUPP, -EINVAL, -ERANGE. */
int f4_xattr_parse_name(const struct f4_volume *vol, const char *name, uint8_t *ret_index,
			const char **ret_rest);
static inline bool f4_xattr_is_acl(uint8_t index)
{
	return index == F4_XATTR_INDEX_ACL_ACCESS || index == F4_XATTR_INDEX_ACL_DEFAULT;
}

/* --- xattr_change.c --- */
struct f4_xattr_change {
	uint8_t index;
	const char *name; /* without prefix */
	size_t name_len;
	const void *value; /* NULL: remove */
	size_t len;
	int flags;	      /* XATTR_CREATE, XATTR_REPLACE */
	struct f4_inode *ea;  /* borrowed; holds the value (f4_xinode_new), or NULL: in place */
};

/*
 * f4_xattr_apply - one change inside a handle with f4_xattr_credits, inode locked exclusive; stores
 * the inode. Value inodes that lost a reference are in @dropped, to be put after the handle and
 * without locks.
 */
int f4_xattr_apply(struct f4_handle *h, struct f4_inode *inode, const struct f4_xattr_change *c,
		   struct f4_inode *dropped[2]);

#endif
