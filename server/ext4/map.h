/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a file's blocks are: one interface over extent trees (extent.c) and block maps
 * (indirect.c). Inline files have no mapping: callers ask f4_is_inline first.
 *
 * Kept apart from the copying of data (file.c), so that mappings could be offered to a kernel that
 * does the I/O itself. Logical blocks are 32 bits. All returned physical blocks are checked to lie
 * in the volume and outside its fixed metadata.
 */
#ifndef F4_EXT4_MAP_H
#define F4_EXT4_MAP_H

#include "server/ext4/inode.h"

#define F4_MAP_LBLK_MAX	 (UINT32_MAX - 1u) /* the last logical block that a file can have */

#define F4_MAP_MAPPED	 0x1u /* pblk is valid */
#define F4_MAP_UNWRITTEN 0x2u /* allocated, reads as zeroes */
#define F4_MAP_NEW	 0x4u /* allocated by this call */

/* Most that f4_map_alloc, _convert, _remove need at a time for this inode: tree path with splits and allocation. */
uint32_t f4_map_credits(const struct f4_inode *inode);

/*
 * f4_map_lookup - the run that begins at @lblk, at most @max blocks: a mapped run, or a hole with
 * its length. Inode lock shared or exclusive. Return: 0; -EUCLEAN; -EIO; -ENOMEM.
 */
int f4_map_lookup(struct f4_inode *inode, uint32_t lblk, uint32_t max, struct f4_map *ret);

#define F4_MAP_ALLOC_UNWRITTEN 0x1u /* fallocate (extents only; else -EOPNOTSUPP) */
#define F4_MAP_ALLOC_RESERVED  0x2u /* may use reserved blocks */
#define F4_MAP_ALLOC_METADATA  0x4u /* directory or symlink block */
/*
 * f4_map_alloc - as lookup, but a hole is filled: at most @len blocks from @lblk, maybe fewer (at
 * least 1). ret->flags has F4_MAP_NEW for what was allocated now. An existing mapping is returned as
 * it is (unwritten stays unwritten). Updates inode->blocks; the caller stores the inode.
 * Inode lock exclusive, handle with f4_map_credits.
 */
int f4_map_alloc(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t len,
		 uint32_t flags, struct f4_map *ret);

/*
 * f4_map_convert - unwritten to written for [@lblk, @lblk + @len): all of it must be mapped, by one
 * run of f4_map_lookup (f4_map_credits are for one). Splits and merges. When there is no room for
 * the tree block that a split needs, the run's rest is written with zeroes instead: not -ENOSPC.
 * f4_map_unwrite - the other way: what was written reads as zeroes. Extents only.
 */
int f4_map_convert(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t len);
int f4_map_unwrite(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t len);

/*
 * f4_map_remove - unmap and free [@lblk, @end) (end exclusive, UINT32_MAX: to the end), from the back,
 * as much as the handle's credits allow. *ret_end: what is left is [@lblk, *ret_end); equal to @lblk
 * when done. Each stop leaves a consistent tree. The caller stores the inode, restarts the handle and
 * calls again. Tree blocks that become empty are freed and forgotten.
 */
int f4_map_remove(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t end,
		  uint32_t *ret_end);

/* f4_map_init - empty mapping for a new inode: extent root where the volume has extents, else zeroes. */
void f4_map_init(struct f4_inode *inode);

/* f4_map_forget_cache - the cached run is stale (after remove, convert). */
void f4_map_forget_cache(struct f4_inode *inode);

/*
 * f4_map_is_journalled - does the content of @inode go through the cache and the journal, as metadata
 * does? Directories, symlinks, files with chattr +j, all files under data=journal. Their freed blocks
 * are forgotten.
 */
bool f4_map_is_journalled(const struct f4_inode *inode);

/*
 * f4_map_check - walk the whole mapping. @ret_blocks: blocks of data and of the mapping itself that
 * the inode owns (whole clusters), which i_blocks must equal but for an xattr block. Slow; for tests.
 * Return: 0; -EUCLEAN; -EIO; -ENOMEM.
 */
int f4_map_check(struct f4_inode *inode, uint64_t *ret_blocks);

#endif
