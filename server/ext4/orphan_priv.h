/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by orphan.c and orphan_file.c only. */
#ifndef F4_EXT4_ORPHAN_PRIV_H
#define F4_EXT4_ORPHAN_PRIV_H

#include "server/ext4/orphan.h"

/* All protected by orphan_lock but what is constant. */
struct f4_orphans {
	bool on_disk;	     /* constant; false without a journal */
	bool file_dirty;     /* the orphan file may name inodes from before the mount */
	struct f4_list list; /* inodes of the list, newest first */

	/* The orphan file; constant but for hint. */
	uint32_t file_ino, file_seed;
	uint32_t file_blks;   /* 0: none */
	uint32_t per_block;   /* inode numbers in each */
	uint64_t *file_blk;   /* owned; physical block of each */
	uint32_t hint;	      /* block where the last one was added */
};

/* f4_orphan_finish - truncate or free what a crash left behind; consumes the reference. */
int f4_orphan_finish(struct f4_inode *inode);

/* f4_orphan_file_open - find the file's blocks, if the volume has one. 0, -EUCLEAN, -EIO, -ENOMEM. */
int f4_orphan_file_open(struct f4_volume *vol, struct f4_orphans *o);
/* f4_orphan_file_add - a slot for @inode. -ENOSPC: no file, or full. One credit. */
int f4_orphan_file_add(struct f4_handle *h, struct f4_inode *inode);
int f4_orphan_file_del(struct f4_handle *h, struct f4_inode *inode);
/* f4_orphan_file_process - finish all that the file names; adds to @count. */
int f4_orphan_file_process(struct f4_volume *vol, uint32_t *count);

#endif
