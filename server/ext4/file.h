/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File content: read, write, truncate, fallocate, seek, fsync.
 *
 * Functions take the inode's lock themselves. Data goes between the caller's buffers and the disk
 * without a copy of ours; only edges of blocks are padded. Reads hold the lock shared. A write that
 * stays inside mapped, written blocks and the size holds it shared as well (the kernel serialises
 * writers of one file where POSIX demands it); all else exclusive.
 * New blocks: data is written and padded with zeroes before the handle that maps them ends.
 */
#ifndef F4_EXT4_FILE_H
#define F4_EXT4_FILE_H

#include <sys/uio.h>

#include "server/ext4/inode.h"

/*
 * f4_file_read - up to @len bytes at @pos into @buf. *ret_len is short only at the end of the file.
 * Holes and unwritten blocks are zeroes. Return: 0; -EISDIR; -EUCLEAN; -EIO; -ENOMEM.
 */
int f4_file_read(struct f4_inode *inode, void *buf, size_t len, uint64_t pos, size_t *ret_len);

#define F4_WRITE_KILLPRIV 0x1u /* clear set-uid/set-gid as a write by a stranger does */
#define F4_WRITE_SYNC	  0x2u /* O_SYNC: durable on return */
#define F4_WRITE_DSYNC	  0x4u
#define F4_WRITE_KILLSGID 0x10u /* with KILLPRIV: set-gid also of a file that its group can't execute */
#define F4_WRITE_CACHE	  0x8u /* pages that the kernel had: the writer is gone, the next fsync is told of errors */
#define F4_WRITE_KEEP_TIMES 0x20u /* the kernel keeps the times (writeback cache) and sends them */
/*
 * f4_file_write - all of @len bytes at @pos (*ret_len bytes if the disk filled up on the way: then 0
 * is returned for a part, -ENOSPC for nothing). Updates size, mtime, ctime.
 * Return: 0; -ENOSPC; -EDQUOT; -EFBIG; -EPERM (immutable; append-only is the kernel's check); -EROFS; -EIO.
 */
int f4_file_write(struct f4_inode *inode, const void *buf, size_t len, uint64_t pos, uint32_t flags,
		  const struct f4_cred *cred, size_t *ret_len);

/* f4_file_truncate - set the size. Takes the lock. Larger: a hole (the old last block's tail is
 * zeroed). Smaller: size first with the inode on the orphan list, then blocks freed in pieces. */
int f4_file_truncate(struct f4_inode *inode, uint64_t size);
/* As above, lock held exclusive, not in a handle: f4_inode_setattr and f4_inode_delete use it. */
int f4_file_truncate_locked(struct f4_inode *inode, uint64_t size);

/* f4_file_fallocate - @mode: FALLOC_FL_* (0, KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE, ZERO_RANGE[|KEEP_SIZE]); others -EOPNOTSUPP. */
int f4_file_fallocate(struct f4_inode *inode, int mode, uint64_t pos, uint64_t len,
		      const struct f4_cred *cred);

/* f4_file_seek - SEEK_HOLE or SEEK_DATA from @pos. -ENXIO past the end. */
int f4_file_seek(struct f4_inode *inode, uint64_t pos, int whence, uint64_t *ret_pos);

/* f4_file_fsync - all that was written is durable on return. @datasync: size and mapping, not times. */
int f4_file_fsync(struct f4_inode *inode, bool datasync);

/* f4_file_release - the last open handle for writing is gone: drop preallocations. */
void f4_file_release(struct f4_inode *inode);

/*
 * f4_file_flush_journalled - F4_FL_JOURNAL_DATA of a regular file is about to change: everything
 * journalled goes home, and no block of the file stays in the cache. Lock held exclusive, no handle.
 */
int f4_file_flush_journalled(struct f4_inode *inode);

/* f4_file_readlink - target into @buf (at least block size + 1 bytes), NUL-ended. */
int f4_file_readlink(struct f4_inode *inode, char *buf, size_t size, size_t *ret_len);
/* f4_file_symlink - store the target of a new symlink inside @h (inode not yet reachable); needs f4_map_credits + 2. */
int f4_file_symlink(struct f4_handle *h, struct f4_inode *inode, const char *target, size_t len);

#endif
