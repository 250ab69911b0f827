/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One block of a directory: the chain of entries, its checksum, and changes inside it.
 *
 * Private to the directory code (dir*.c, htree*.c) and to inline.c, whose areas hold the same
 * chains. Nothing here sleeps but f4_dir_read and f4_dir_grow; nothing reports corruption but they:
 * the others return -EUCLEAN and the caller, who knows the block, calls f4_corrupt.
 *
 * A chain fills [start, limit) of its area without a gap; each entry's rec_len leads to the next.
 * An entry with inode 0 is free room. With metadata_csum the last 12 bytes of a leaf are a tail
 * that looks like a free entry; no entry may reach into it. The blocks of a hash tree's index
 * look like free room to a linear reader: see f4_dirblk_is_dx.
 * Source: kernel Documentation/filesystems/ext4/directory.rst.
 */
#ifndef F4_EXT4_DIR_BLOCK_H
#define F4_EXT4_DIR_BLOCK_H

#include "server/ext4/dir.h"
#include "server/ext4/dir_name.h"

extern const struct f4_buf_class f4_class_dir;

/* An entry, decoded. */
struct f4_dent {
	uint32_t off, rec_len; /* bytes, in the area */
	uint32_t ino;
	uint8_t type;
	uint8_t name_len;
	const uint8_t *name; /* borrowed from the area */
};

/* The entry at @off of an area; entries are aligned to 4 bytes. */
static inline struct f4_dirent *f4_dirent_of(uint8_t *data, uint32_t off)
{
	return (void *)(data + off);
}

/* The smallest entry that e2fsck and the kernel take: a name of one byte. */
#define F4_DENT_MIN 12u

/* Bytes that an entry with a name of @len bytes needs. */
static inline uint32_t f4_dent_need(uint32_t len)
{
	return ((uint32_t)sizeof(struct f4_dirent) + len + 3u) & ~3u;
}

/* rec_len is 16 bits; with 64 KiB blocks its two low bits, unused otherwise, are bits 16 and 17. */
static inline uint32_t f4_rec_len_decode(uint16_t raw, uint32_t block_size)
{
	if (block_size < F4_MAX_BLOCK)
		return raw;
	if (raw == 0 || raw == 0xffff)
		return block_size;
	return (raw & 65532u) | ((uint32_t)(raw & 3u) << 16);
}

static inline uint16_t f4_rec_len_encode(uint32_t len)
{
	return len < F4_MAX_BLOCK ? (uint16_t)len : 0xffff; /* nothing is longer than a block */
}

static inline bool f4_name_is_dot(const void *name, size_t len)
{
	return len == 1 && ((const char *)name)[0] == '.';
}
static inline bool f4_name_is_dotdot(const void *name, size_t len)
{
	return len == 2 && ((const char *)name)[0] == '.' && ((const char *)name)[1] == '.';
}

/* f4_dirblk_is_dx - has the block the form of an index block (node: 1, root: 2), else 0. */
int f4_dirblk_is_dx(const struct f4_volume *vol, const uint8_t *data);

/* f4_dirblk_limit - where the entries of a block end: before the tail of a leaf with a checksum. */
uint32_t f4_dirblk_limit(const struct f4_volume *vol, const uint8_t *data);

/*
 * f4_dent_at - decode and check the entry at @off of the chain that ends at @limit. 0 or -EUCLEAN.
 */
int f4_dent_at(const struct f4_volume *vol, const uint8_t *data, uint32_t off, uint32_t limit,
	       struct f4_dent *ret);

/* f4_dirblk_check - walk a whole chain. 0 or -EUCLEAN. */
int f4_dirblk_check(const struct f4_volume *vol, const uint8_t *data, uint32_t start,
		    uint32_t limit);

/* f4_dirblk_find - the entry called @name. 1 found, 0 not there, -EUCLEAN. */
int f4_dirblk_find(const struct f4_volume *vol, const uint8_t *data, uint32_t start,
		   uint32_t limit, const struct f4_dir_name *name, struct f4_dent *ret);

/* f4_dirblk_room - an entry with @need bytes to spare: 1 and its offset, 0, or -EUCLEAN. */
int f4_dirblk_room(const struct f4_volume *vol, const uint8_t *data, uint32_t start,
		   uint32_t limit, uint32_t need, uint32_t *ret_off);

/* f4_dirblk_put - a new entry in the room found at @off under the same lock. */
void f4_dirblk_put(const struct f4_volume *vol, uint8_t *data, uint32_t off, const void *name,
		   uint32_t len, uint32_t ino, uint8_t type);

/* f4_dirblk_delete - make the entry at @off room, joined with the one before. 0 or -EUCLEAN. */
int f4_dirblk_delete(const struct f4_volume *vol, uint8_t *data, uint32_t start, uint32_t limit,
		     uint32_t off);

/* f4_dirblk_append - write an entry at @off that reaches to @end (exclusive); nothing else. */
void f4_dirblk_append(const struct f4_volume *vol, uint8_t *data, uint32_t off, uint32_t end,
		      const void *name, uint32_t len, uint32_t ino, uint8_t type);

/* f4_dirblk_init - an empty leaf: one free entry, and the tail where the volume has checksums. */
void f4_dirblk_init(const struct f4_volume *vol, uint8_t *data);

/* f4_dirblk_init_first - the first block of an empty directory: '.' and '..'. */
void f4_dirblk_init_first(const struct f4_volume *vol, uint8_t *data, uint32_t ino,
			  uint32_t parent);

/*
 * f4_dirblk_from_inline - the block that an inline directory becomes: '.', '..', then its entries
 * at the distances that they had, so that positions of readers stay good.
 * @area: the whole inline content (parent's number, entries in i_block, entries in the xattr)
 * @len:  of @area, bytes. Return: 0, -EUCLEAN (a broken chain, or more than fits).
 */
int f4_dirblk_from_inline(const struct f4_volume *vol, uint8_t *data, uint32_t ino,
			  const uint8_t *area, size_t len);

/* Of an inline directory's area: the parent's number, then two chains. */
#define F4_INLINE_DIR_START 4u
#define F4_INLINE_DIR_SPLIT F4_I_BLOCK_BYTES
/* Distance between an entry's place in the inline area and in the block that it becomes. */
#define F4_INLINE_DIR_SHIFT 20u

/* f4_dir_blocks - size in blocks. Return: 0; -EUCLEAN, reported (no whole blocks, or larger than
 * the volume). */
int f4_dir_blocks(struct f4_inode *dir, uint32_t *ret);

/*
 * f4_dir_read - logical block @lblk of @dir. *ret is NULL for a hole.
 * Return: 0; -EUCLEAN (reported); -EIO; -ENOMEM.
 */
int f4_dir_read(struct f4_inode *dir, uint32_t lblk, struct f4_buf **ret);
/* f4_dir_read_at - by physical block, as lookup found it. */
int f4_dir_read_at(struct f4_inode *dir, uint64_t blk, struct f4_buf **ret);

/*
 * f4_dir_each_block - run @fn over the blocks [@from, @to) that exist, until it returns something
 * but 0, which is returned. Holes are stepped over in one go, however large.
 */
typedef int (*f4_dir_block_fn)(struct f4_inode *dir, struct f4_buf *buf, uint32_t lblk, void *arg);
int f4_dir_each_block(struct f4_inode *dir, uint32_t from, uint32_t to, f4_dir_block_fn fn,
		      void *arg);

/* Blocks added to the end of a directory in one go: a leaf, and an index block on each level. */
#define F4_DIR_GROW_MAX 4u
struct f4_dir_grow {
	struct f4_buf *buf[F4_DIR_GROW_MAX]; /* owned; zeroed, in the transaction */
	uint32_t lblk[F4_DIR_GROW_MAX];
	uint32_t mapped; /* blocks that were allocated */
	uint32_t n;	 /* and have their buffer */
};
/*
 * f4_dir_grow - map and make @n blocks behind the end. The size is not changed: f4_dir_grow_done
 * does that, when all else that can fail has succeeded; f4_dir_grow_undo takes the blocks back.
 * Return: 0; -ENOSPC, -EDQUOT, -EIO ...: nothing is left. An undo that fails aborts the journal.
 */
int f4_dir_grow(struct f4_handle *h, struct f4_inode *dir, uint32_t n, struct f4_dir_grow *ret);
void f4_dir_grow_done(struct f4_inode *dir, struct f4_dir_grow *g);
void f4_dir_grow_undo(struct f4_handle *h, struct f4_inode *dir, struct f4_dir_grow *g);

#endif
