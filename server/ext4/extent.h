/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extent trees: the inside that map.c dispatches to, and its own tests look at.
 *
 * extent.c finds and checks, extent_edit.c changes a leaf and what hangs above it, extent_alloc.c
 * builds allocation, conversion and removal on both. The inode's lock is held by every caller:
 * shared to find, exclusive (and a handle open) to change.
 * Source: kernel Documentation/filesystems/ext4/ifork.rst.
 */
#ifndef F4_EXT4_EXTENT_H
#define F4_EXT4_EXTENT_H

#include "server/ext4/map.h"

#define F4_EXT_UNWRITTEN_MAX_LEN (F4_EXT_INIT_MAX_LEN - 1u)
#define F4_EXT_END		 UINT32_MAX /* no block has this number; ends of ranges may */

/* Blocks of an extent tree below the root; the owner is the inode. */
extern const struct f4_buf_class f4_class_extent;

/* An extent in host form. len 0: none. */
struct f4_ext {
	uint32_t lblk;
	uint32_t len; /* blocks */
	uint64_t pblk;
	bool unwritten;
};

static inline uint32_t f4_ext_end(const struct f4_ext *e)
{
	return e->lblk + e->len; /* verified not to wrap */
}

struct f4_ext_node {
	struct f4_buf *buf; /* owned reference; NULL: the root, in i_block */
	uint32_t entries, max;
	int32_t pos;	    /* entry taken; in a leaf -1: before the first one, or the leaf is empty */
	uint32_t lo, hi;    /* logical blocks that may be below it: [lo, hi) */
};

/* The way from the root (node 0) to a leaf (node depth). */
struct f4_ext_path {
	struct f4_inode *inode; /* borrowed */
	uint32_t depth;
	struct f4_ext_node node[F4_EXT_MAX_DEPTH + 1];
};

/* Lets go of the path's buffers; for f4_cleanup(). A zeroed path is fine. */
void f4_ext_path_done(struct f4_ext_path *p);
#define f4_auto_ext_path f4_cleanup(f4_ext_path_done) struct f4_ext_path

/*
 * f4_ext_find - the way to the leaf that holds or would hold @lblk; the leaf's pos is the last
 * extent that begins at or before it. Every node on the way is checked. @p must be zeroed.
 * Return: 0; -EUCLEAN (reported); -EIO; -ENOMEM.
 */
int f4_ext_find(struct f4_inode *inode, uint32_t lblk, struct f4_ext_path *p);

/* f4_ext_at - extent @i of the path's leaf. f4_ext_next - where the next one after pos begins, or F4_EXT_END. */
struct f4_ext f4_ext_at(const struct f4_ext_path *p, uint32_t i);
uint32_t f4_ext_next(const struct f4_ext_path *p);

/* A node's bytes, and its entries as index. */
uint8_t *f4_ext_node_raw(const struct f4_ext_path *p, uint32_t level);
uint32_t f4_ext_idx_lblk(const uint8_t *raw, uint32_t i);
uint64_t f4_ext_idx_pblk(const uint8_t *raw, uint32_t i);

/* f4_ext_covering - the extent that holds @lblk; ret->len 0 when there is none. */
int f4_ext_covering(struct f4_inode *inode, uint32_t lblk, struct f4_ext *ret);
/* f4_ext_last_before - the last extent that begins before @end; ret->len 0: none. */
int f4_ext_last_before(struct f4_inode *inode, uint32_t end, struct f4_ext *ret);

/* Which handle changes which tree, and what its new tree blocks may be taken from. */
struct f4_ext_edit {
	struct f4_handle *h;
	struct f4_inode *inode;
	uint32_t alloc_flags; /* F4_ALLOC_RESERVED or 0 */
};

/*
 * f4_ext_splice - replace in one leaf the @n_old (0 or 1) extents at @key by the @m (0 to 3) ones
 * in @new, merging with the neighbours. With n_old 1, @key is the old extent's first block; with 0
 * it is the first block of new[0], which must lie in a hole. Splits nodes as needed, drops an empty
 * leaf. Frees no data blocks. Return: 0; -ENOSPC or -EDQUOT (no room for a tree block; the mapping
 * is unchanged); -EUCLEAN; -EIO; -ENOMEM; -EROFS.
 */
int f4_ext_splice(const struct f4_ext_edit *ed, uint32_t key, uint32_t n_old,
		  const struct f4_ext *new_ext, uint32_t m);

/* f4_ext_init_root - an empty tree in i_block. */
void f4_ext_init_root(uint8_t *i_block);

/* What map.c dispatches to; as the functions of map.h. lookup gives the whole run around @lblk. */
int f4_ext_lookup(struct f4_inode *inode, uint32_t lblk, struct f4_map *ret);
int f4_ext_alloc(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t len,
		 uint32_t flags, struct f4_map *ret);
int f4_ext_convert(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t len,
		   bool unwritten);
int f4_ext_remove(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t end,
		  uint32_t *ret_end);
uint32_t f4_ext_credits(const struct f4_inode *inode);
int f4_ext_check(struct f4_inode *inode, uint64_t *ret_blocks);

#endif
