/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Allocation of blocks (clusters) and inodes. All calls inside a handle; they take group locks. */
#ifndef F4_EXT4_ALLOC_H
#define F4_EXT4_ALLOC_H

#include "server/ext4/volume.h"

/* Credits that one call may use: bitmap and descriptor of the groups that it touches. */
#define F4_ALLOC_CREDITS 4u /* one allocation touches at most two groups' bitmap + descriptor */

#define F4_ALLOC_RESERVED 0x1u /* may use the reserved blocks (root, resuid, resgid) */
#define F4_ALLOC_METADATA 0x2u /* for a tree block, not for data */
#define F4_ALLOC_TREE	  0x8u /* with METADATA: a block of a mapping, charged to quotas but never refused by them */
#define F4_ALLOC_EXACT	  0x4u /* at @goal or not at all (bigalloc: the rest of a cluster; append) */

struct f4_alloc_req {
	uint32_t ino;	   /* for whom (quota, spreading, messages) */
	uint64_t goal;	   /* block near which to look; 0: near the inode's group */
	uint32_t len;	   /* blocks wanted, at least 1 */
	uint32_t flags;	   /* F4_ALLOC_* */
};

/*
 * f4_alloc_blocks - one run of free blocks, the longest up to @req->len that is found near the goal.
 * Bigalloc: a whole number of clusters is taken; *ret_blk is aligned to a cluster.
 * Return: 0; -ENOSPC (nothing usable now; f4_alloc_should_retry may help); -EDQUOT; -EUCLEAN; -EIO.
 */
int f4_alloc_blocks(struct f4_handle *h, struct f4_volume *vol, const struct f4_alloc_req *req,
		    uint64_t *ret_blk, uint32_t *ret_len);

/*
 * f4_alloc_free - give [@blk, @blk + @len) back; usable again after this transaction has committed.
 * May cross groups: needs 2 credits for each one touched. Blocks that were free already, or that
 * hold group metadata, are corruption. With bigalloc the range is whole clusters.
 * Metadata blocks: the caller also calls f4_txn_forget.
 */
int f4_alloc_free(struct f4_handle *h, struct f4_volume *vol, uint32_t ino, uint64_t blk,
		  uint64_t len);

/*
 * f4_alloc_should_retry - after -ENOSPC, outside any handle: were blocks freed that a commit makes
 * usable? Then commits and returns true. @attempt: 0, 1, ... false from 3 on.
 */
bool f4_alloc_should_retry(struct f4_volume *vol, uint32_t attempt);

/* f4_alloc_may_use_reserved - may a caller with these ids use the reserved blocks? */
bool f4_alloc_may_use_reserved(const struct f4_volume *vol, uint32_t uid, uint32_t gid);

/* f4_alloc_done - nobody writes @ino any more: the room kept ahead of it is free for others. */
void f4_alloc_done(struct f4_volume *vol, uint32_t ino);

#define F4_IALLOC_CREDITS 4u /* inode bitmap, block bitmap (uninit), descriptor, table block */
/*
 * f4_alloc_inode - a free inode number, marked used. Directories are spread over groups
 * (top-level ones) or kept near their parent; others go to the parent's group.
 * Return: 0; -ENOSPC; -EDQUOT; -EUCLEAN; -EIO.
 */
int f4_alloc_inode(struct f4_handle *h, struct f4_volume *vol, const struct f4_inode *parent,
		   bool is_dir, bool top_level, uint32_t *ret_ino);

/*
 * f4_alloc_inode_table - the block of the inode table for @ino, which f4_alloc_inode has just given
 * out in @h, in the transaction: read, or filled with zeroes when no other inode in it is in use
 * (it may never have been written). @ret: a reference.
 */
int f4_alloc_inode_table(struct f4_handle *h, struct f4_volume *vol, uint32_t ino,
			 struct f4_buf **ret, uint32_t *ret_off);

/* f4_alloc_inode_used - 1: marked in its bitmap; 0: free or out of range; or a negative errno. */
int f4_alloc_inode_used(struct f4_volume *vol, uint32_t ino);

/* f4_alloc_free_inode - mark @ino free. F4_IALLOC_CREDITS - 2. */
int f4_alloc_free_inode(struct f4_handle *h, struct f4_volume *vol, uint32_t ino, bool is_dir);

/*
 * f4_alloc_trim - FITRIM: discard free runs of at least @min_len bytes in the byte range.
 * *ret_trimmed: bytes. Outside any handle.
 * Return: 0; -EINVAL (range beyond the end or shorter than a block); -EOPNOTSUPP; -EROFS; -EIO.
 */
int f4_alloc_trim(struct f4_volume *vol, uint64_t start, uint64_t len, uint64_t min_len,
		  uint64_t *ret_trimmed);

#endif
