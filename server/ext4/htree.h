/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hash tree of a large directory: finding, adding, walking in hash order. Private to the
 * directory code.
 *
 * Block 0 is the root: '.', '..', then an array of (hash, block), sorted; each block holds the
 * names whose hash is from its own up to the next entry's. Below are 0 to 2 levels of nodes (2 only
 * with large_dir), then leaves, which are ordinary directory blocks. Names with one hash that lie
 * on both sides of a boundary: the right block's hash has its low bit set, "look there too".
 * Source: kernel Documentation/filesystems/ext4/directory.rst, "hash tree directories".
 */
#ifndef F4_EXT4_HTREE_H
#define F4_EXT4_HTREE_H

#include "server/ext4/dir_block.h"

#define F4_HTREE_LEVELS_MAX 3u /* index blocks on a path */

/* Positive results. */
enum f4_htree_result {
	F4_HTREE_UNUSABLE =
		1,    /* an index of a kind that is not ours to read: go through all blocks */
	F4_HTREE_END, /* no further leaf */
};

struct f4_htree_frame {
	struct f4_buf *buf; /* owned */
	uint32_t base;	    /* of entry 0 (limit and count) in the block, bytes */
	uint32_t count, limit;
	uint32_t at;	    /* entry that the path goes through */
};

struct f4_htree_path {
	struct f4_htree_frame f[F4_HTREE_LEVELS_MAX];
	uint32_t n;	/* frames in use */
	int version;	/* F4_HASH_* */
	uint32_t steps; /* leaves visited through f4_htree_next */
};

/* f4_htree_wanted - is @dir read through its index (flag and feature)? */
static inline bool f4_htree_wanted(const struct f4_inode *dir)
{
	return (dir->flags & F4_FL_INDEX) && f4_has_compat(dir->vol, F4_COMPAT_DIR_INDEX);
}

/* f4_htree_open - read and check the root alone. 0, F4_HTREE_UNUSABLE, -EUCLEAN (reported) ... */
int f4_htree_open(struct f4_inode *dir, struct f4_htree_path *ret);
/* f4_htree_descend - from the opened root to the leaf for @hash. */
int f4_htree_descend(struct f4_inode *dir, uint32_t hash, struct f4_htree_path *p);
/* f4_htree_leaf - the leaf block that the path leads to. */
int f4_htree_leaf(struct f4_inode *dir, struct f4_htree_path *p, struct f4_buf **ret);
/*
 * f4_htree_next - move the path to the next leaf. With @only_hash: only if it continues that hash.
 * @ret_hash: where that leaf begins, with the continuation bit; may be NULL.
 * Return: 0; F4_HTREE_END; -EUCLEAN ...
 */
int f4_htree_next(struct f4_inode *dir, struct f4_htree_path *p, const uint32_t *only_hash,
		  uint32_t *ret_hash);
void f4_htree_done(struct f4_htree_path *p);

/* f4_htree_lookup - 0 and @ret; -ENOENT; F4_HTREE_UNUSABLE; -EUCLEAN ... */
int f4_htree_lookup(struct f4_inode *dir, const struct f4_dir_name *name,
		    struct f4_dir_entry *ret);

/* f4_htree_add - as f4_dir_add, in an indexed directory. 0; F4_HTREE_UNUSABLE; -ENOSPC (also: index
 * full on all levels) ... */
int f4_htree_add(struct f4_handle *h, struct f4_inode *dir, const struct f4_dir_name *name,
		 uint32_t ino, uint8_t type);

/* f4_htree_make - give a directory of one full linear block (@buf, block 0) an index and add the
 * entry. F4_HTREE_UNUSABLE: it can't have one, go on linearly; nothing was changed. */
int f4_htree_make(struct f4_handle *h, struct f4_inode *dir, struct f4_buf *buf,
		  const struct f4_dir_name *name, uint32_t ino, uint8_t type);

/* Between htree.c and htree_split.c. */
static inline struct f4_dx_entry *f4_htree_entries(const struct f4_htree_frame *f)
{
	return (void *)(f->buf->data + f->base);
}
uint32_t f4_htree_node_limit(const struct f4_volume *vol);
uint32_t f4_htree_root_limit(const struct f4_volume *vol);
uint32_t f4_htree_levels_max(const struct f4_volume *vol);
int f4_htree_split_add(struct f4_handle *h, struct f4_inode *dir, struct f4_htree_path *p,
		       struct f4_buf *leaf, uint32_t hash, const struct f4_dir_name *name,
		       uint32_t ino, uint8_t type);

#endif
