/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block maps of ext2 and ext3: 12 direct pointers, then an indirect, a double and a triple indirect
 * block. What map.c dispatches to; rules as in map.h.
 * Source: kernel Documentation/filesystems/ext4/blockmap.rst.
 */
#ifndef F4_EXT4_INDIRECT_H
#define F4_EXT4_INDIRECT_H

#include "server/ext4/map.h"

/* Blocks of pointers; they carry no checksum. The owner is the inode. */
extern const struct f4_buf_class f4_class_indirect;

/* The most that one step of allocation or removal may need. */
#define F4_IND_CREDITS 28u

/* f4_ind_lookup - as f4_map_lookup, but from @lblk on, as long as one pointer block shows. */
int f4_ind_lookup(struct f4_inode *inode, uint32_t lblk, struct f4_map *ret);
int f4_ind_alloc(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t len,
		 uint32_t flags, struct f4_map *ret);
int f4_ind_remove(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t end,
		  uint32_t *ret_end);
int f4_ind_check(struct f4_inode *inode, uint64_t *ret_blocks);

#endif
