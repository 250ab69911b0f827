/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inline data: content of a small file or directory in i_block and the in-inode xattr system.data.
 * Directories: the parent's inode number in the first 4 bytes, then entries, first in i_block, then
 * in the xattr. Source: kernel Documentation/filesystems/ext4/inlinedata.rst.
 * All with the inode's lock held (shared for reading).
 */
#ifndef F4_EXT4_INLINE_H
#define F4_EXT4_INLINE_H

#include "server/ext4/inode.h"

/* f4_inline_max - bytes that this inode could hold inline now. */
size_t f4_inline_max(struct f4_inode *inode);
/* f4_inline_read - all inline bytes (inode->size of them for files, area size for directories); @buf: f4_inline_max bytes at least. */
int f4_inline_read(struct f4_inode *inode, void *buf, size_t size, size_t *ret_len);
/* f4_inline_write - replace the content; -ENOSPC when it doesn't fit: convert first. Inside @h, f4_xattr_credits. */
int f4_inline_write(struct f4_handle *h, struct f4_inode *inode, const void *data, size_t len);
/* f4_inline_to_blocks - move a file's content to a block of its own; clears the flag. Credits: f4_map_credits + f4_xattr_credits + 1. */
int f4_inline_to_blocks(struct f4_handle *h, struct f4_inode *inode);
/* f4_inline_dir_to_blocks - the same for a directory: a linear first block with '.' and '..'. */
int f4_inline_dir_to_blocks(struct f4_handle *h, struct f4_inode *inode);
/* f4_inline_init - a new inode starts inline where the volume has the feature. */
int f4_inline_init(struct f4_handle *h, struct f4_inode *inode);

#endif
