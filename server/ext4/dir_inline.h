/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entries of inline directories: the content is read whole, changed in memory and written back
 * through inline.h. Private to the directory code. Results as of the f4_dir_* functions.
 */
#ifndef F4_EXT4_DIR_INLINE_H
#define F4_EXT4_DIR_INLINE_H

#include "server/ext4/dir_block.h"

/*
 * f4_dir_entry.off of '.', which has no entry; that of '..' is 0, the place of the parent's number.
 */
#define F4_INLINE_OFF_DOT UINT32_MAX

/* f4_dir_inline_load - the content, checked. *ret is the caller's to free. */
int f4_dir_inline_load(struct f4_inode *dir, uint8_t **ret, uint32_t *ret_len);

int f4_dir_inline_lookup(struct f4_inode *dir, const struct f4_dir_name *name,
			 struct f4_dir_entry *ret);
/* f4_dir_inline_add - -ENOSPC: convert the directory to blocks, then add there. */
int f4_dir_inline_add(struct f4_handle *h, struct f4_inode *dir, const struct f4_dir_name *name,
		      uint32_t ino, uint8_t type);
int f4_dir_inline_remove(struct f4_handle *h, struct f4_inode *dir, const struct f4_dir_entry *ent);
int f4_dir_inline_replace(struct f4_handle *h, struct f4_inode *dir,
			  const struct f4_dir_entry *ent, uint32_t ino, uint8_t type);
int f4_dir_inline_is_empty(struct f4_inode *dir);
/* f4_dir_inline_init - -ENOSPC: this inode has no room for it, use a block. */
int f4_dir_inline_init(struct f4_handle *h, struct f4_inode *dir, uint32_t parent);

#endif
