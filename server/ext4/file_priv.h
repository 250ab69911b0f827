/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files file*.c share with each other and nobody else calls. */
#ifndef F4_EXT4_FILE_PRIV_H
#define F4_EXT4_FILE_PRIV_H

#include "server/ext4/file.h"

/* f4_file_max_bytes - the largest size that this file may have. */
uint64_t f4_file_max_bytes(const struct f4_inode *inode);

/* f4_file_check_change - may content change? 0; -EROFS, -EIO; -EPERM (immutable, verity); -EISDIR, -EINVAL; -ENOKEY. */
int f4_file_check_change(struct f4_inode *inode);

/*
 * f4_file_zero_eof - the file is about to grow to @new_size: what lies behind its present end in the
 * last block becomes zeroes. Exclusive lock, no handle.
 */
int f4_file_zero_eof(struct f4_inode *inode, uint64_t new_size);

/* f4_file_uninline - give an inline file a mapping, retrying when the disk is full. Exclusive lock, no handle. */
int f4_file_uninline(struct f4_inode *inode);

/*
 * f4_file_finish - inside @h: store the inode and end; the first of @r and what fails here. Waits for
 * the commit where mount or inode ask for it (f4_file_is_sync).
 */
int f4_file_finish(struct f4_handle *h, struct f4_inode *inode, int r);

/* f4_file_is_sync - is every change to be durable when its call returns (mount -o sync, chattr +S)? */
static inline bool f4_file_is_sync(const struct f4_inode *inode)
{
	return inode->vol->opt.sync || (inode->flags & F4_FL_SYNC);
}

#endif
