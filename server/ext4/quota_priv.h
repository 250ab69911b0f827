/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by quota.c (entries in memory), quota_charge.c (usage and limits), quota_tree.c (the file). */
#ifndef F4_EXT4_QUOTA_PRIV_H
#define F4_EXT4_QUOTA_PRIV_H

#include <assert.h>

#include "server/ext4/quota.h"

/* --- on disk: blocks of 1 KiB in the quota file; a tree of four levels over entries ---------- */

#define F4_QT_BITS   10u
#define F4_QT_BYTES  (1u << F4_QT_BITS)
#define F4_QT_DEPTH  4u
#define F4_QT_ROOT   1u /* block 0 is the header */
#define F4_QT_VERSION 1u

struct f4_qt_header {
	/*00*/ f4_le32 magic;
	/*04*/ f4_le32 version;
	/*08*/ f4_le32 bgrace, igrace; /* seconds */
	/*10*/ f4_le32 flags;
	/*14*/ f4_le32 blocks;	   /* of the file, 1 KiB */
	/*18*/ f4_le32 free_blk;   /* first of the blocks that are not in use, 0: none */
	/*1c*/ f4_le32 free_entry; /* first of the leaves with room, 0: none */
};
static_assert(sizeof(struct f4_qt_header) == 0x20, "quota file layout");

struct f4_qt_leaf {
	/*00*/ f4_le32 next, prev; /* in the list of leaves with room; of free blocks: next */
	/*08*/ f4_le16 entries;
	/*0a*/ f4_le16 pad1;
	/*0c*/ f4_le32 pad2;
};
static_assert(sizeof(struct f4_qt_leaf) == 16, "quota file layout");

struct f4_qt_entry {
	/*00*/ f4_le32 id, pad;
	/*08*/ f4_le64 ihard, isoft, inodes;
	/*20*/ f4_le64 bhard, bsoft; /* KiB */
	/*30*/ f4_le64 bytes;
	/*38*/ f4_le64 btime, itime; /* when the grace ends; 0: not over the soft limit */
};
static_assert(sizeof(struct f4_qt_entry) == 72, "quota file layout");
#define F4_QT_LEAF_ENTRIES ((F4_QT_BYTES - sizeof(struct f4_qt_leaf)) / sizeof(struct f4_qt_entry))

/* --- in memory ------------------------------------------------------------------------------ */

struct f4_dquot {
	/* Constant while it is in the table. */
	uint32_t id;
	uint8_t type;
	struct f4_buf *buf; /* ref: the block with the entry; changed under quota->lock */
	uint32_t off;	    /* of the entry in it, bytes */
	/* Protected by quota->lock. */
	uint32_t refs;
	struct f4_dquot *hash_next;
	struct f4_list lru; /* without references */
	uint64_t bytes, inodes;
	uint64_t bhard, bsoft, ihard, isoft; /* bytes, inodes; 0: none */
	uint64_t btime, itime;
};

struct f4_quota_file {
	struct f4_inode *inode; /* ref; NULL: the type isn't kept */
	bool enforce;
	uint32_t bgrace, igrace;
	/* As in the header; protected by tree_lock. */
	uint32_t blocks, free_blk, free_entry;
};

struct f4_quota {
	/* Loading and making entries, and the files' trees; before a handle, inside of inode locks. */
	pthread_mutex_t tree_lock;
	pthread_mutex_t lock; /* the table, usage, the entries' bytes in their blocks; a leaf */
	struct f4_quota_file file[F4_QUOTA_TYPES];
	struct f4_dquot **buckets; /* owned */
	uint32_t bits, n, n_lru;
	struct f4_list lru;
	bool said; /* that something could not be attached */
};

/* quota_tree.c; all with tree_lock held. ------------------------------------------------------ */

/* f4_qtree_open - read and check the header of @file, whose inode is set. 0, -EUCLEAN, -EIO ... */
int f4_qtree_open(struct f4_volume *vol, struct f4_quota_file *file, enum f4_quota_type type);
/*
 * f4_qtree_find - where the entry of @id is. @ret_buf: a reference to its block, *ret_off: its place.
 * Return: 0; -ENOENT; -EUCLEAN; -EIO; -ENOMEM.
 */
int f4_qtree_find(struct f4_quota_file *file, uint32_t id, struct f4_buf **ret_buf, uint32_t *ret_off);
/* f4_qtree_insert - make an entry for @id, which has none, in handles of its own. As find; -ENOSPC. */
int f4_qtree_insert(struct f4_quota_file *file, uint32_t id, struct f4_buf **ret_buf,
		    uint32_t *ret_off);

/* f4_qt_decode, f4_qt_encode - between an entry and its form on disk. quota->lock held, or alone. */
void f4_qt_decode(struct f4_dquot *dq, const struct f4_qt_entry *e);
void f4_qt_encode(const struct f4_dquot *dq, struct f4_qt_entry *e);

#endif
