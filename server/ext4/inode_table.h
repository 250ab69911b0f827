/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of inodes, shared by inode.c, inode_lock.c and inode_count.c only. */
#ifndef F4_EXT4_INODE_TABLE_H
#define F4_EXT4_INODE_TABLE_H

#include "server/ext4/inode.h"

#define F4_INODE_SHARDS 64u

enum f4_inode_state { F4_INODE_LOADING, F4_INODE_LIVE, F4_INODE_DELETING, F4_INODE_GONE };

/* FUSE's lookup count of an inode whose struct has left memory. */
struct f4_inode_count {
	uint32_t ino; /* 0: free */
	uint64_t n;
};

/* All protected by lock, a leaf. */
struct f4_inode_shard {
	pthread_mutex_t lock;
	pthread_cond_t loaded;	   /* an inode is no longer LOADING */
	struct f4_inode **buckets; /* owned */
	uint32_t bits, n;
	struct f4_list lru; /* LIVE without references, most recent first */
	uint32_t n_lru;
	struct f4_inode_count *counts; /* owned; open addressing; NULL until needed */
	uint32_t counts_bits, n_counts;
};

struct f4_inode_table {
	uint32_t lru_max; /* a shard */
	pthread_mutex_t raw_lock[F4_INODE_SHARDS]; /* leaf: raw inodes, by number */
	struct f4_inode_shard shard[F4_INODE_SHARDS];
};

/* f4_inode_count_add - @n more for @ino. Return: 0, -ENOMEM. Shard locked. */
int f4_inode_count_add(struct f4_inode_shard *s, uint32_t ino, uint64_t n);
/* f4_inode_count_take - at most @n less; returns how many those were. Shard locked. */
uint64_t f4_inode_count_take(struct f4_inode_shard *s, uint32_t ino, uint64_t n);

#endif
