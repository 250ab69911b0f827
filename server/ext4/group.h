/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block groups: descriptors and bitmaps, loaded one group at a time when first needed.
 *
 * In memory a group costs nothing until it is touched (chunks of struct f4_group are made on
 * demand): opening a 16 TiB image costs what a 1 GiB image costs. The descriptor's truth is in its
 * cached block; the struct keeps what the allocator asks often.
 *
 * Checksums of descriptors and bitmaps are not kept up to date with every change: a changed group
 * goes on a list, and f4_groups_pre_commit, which runs when no handle is open, computes them once.
 * It needs no credits: whoever changed a bitmap has its descriptor in the same transaction.
 */
#ifndef F4_EXT4_GROUP_H
#define F4_EXT4_GROUP_H

#include "server/ext4/volume.h"

struct f4_group {
	pthread_mutex_t lock;
	uint32_t number; /* constant */
	/* All protected by lock; valid once loaded. */
	bool loaded;
	bool bad;			  /* the descriptor is of no use: reported once */
	bool bad_blocks, bad_inodes;	  /* the bitmap is of no use: reported once, never allocated from */
	uint16_t flags;			  /* bg_flags; UNINIT flags only where the volume has checksums */
	uint32_t free_clusters, free_inodes, dirs, itable_unused;
	uint64_t block_bitmap, inode_bitmap, inode_table; /* block numbers, checked at load */
	uint32_t block_bitmap_csum, inode_bitmap_csum;	  /* as in the descriptor */
	uint8_t *pending;		  /* owned; clusters freed by transactions not committed; NULL: none */
	uint32_t pending_count;
	uint32_t largest_free;		  /* no free run is longer, in clusters; a hint to skip the group */
	uint32_t next_ino_hint;		  /* no inode below this index is free */
	/* Protected by the table's lock. */
	struct f4_list dirty_link;
	uint32_t dirty; /* F4_GROUP_* */
};

/* What f4_group_store is told has changed, besides the descriptor. */
#define F4_GROUP_BLOCK_BITMAP 0x1u
#define F4_GROUP_INODE_BITMAP 0x2u

/* Classes of the blocks here; verify() checks what can be checked without the group. */
extern const struct f4_buf_class f4_class_gdt, f4_class_block_bitmap, f4_class_inode_bitmap,
	f4_class_inode_table, f4_class_super;

int f4_groups_new(struct f4_volume *vol, struct f4_group_table **ret);
struct f4_group_table *f4_groups_free(struct f4_group_table *t);

/*
 * f4_group_lock - the group's struct, loaded, its lock held. f4_group_unlock gives it back.
 * Return: 0; -EUCLEAN (descriptor's checksum or block numbers are wrong; reported); -EIO; -ENOMEM.
 */
int f4_group_lock(struct f4_volume *vol, uint32_t group, struct f4_group **ret);
void f4_group_unlock(struct f4_group *g);

/*
 * f4_group_peek - free clusters and inodes and directories of @group as hints: no lock taken, no
 * bitmap read, no checksum looked at. Return: 0; -EIO; -ENOMEM; -EUCLEAN.
 */
int f4_group_peek(struct f4_volume *vol, uint32_t group, uint32_t *free_clusters,
		  uint32_t *free_inodes, uint32_t *dirs);

/*
 * f4_group_desc_write - the descriptor's block, in @h's transaction: call before the first store to
 * a bitmap of the group, so that nothing can fail afterwards. Lock held. One credit.
 * @ret: a reference, for f4_group_store
 */
int f4_group_desc_write(struct f4_handle *h, struct f4_volume *vol, struct f4_group *g,
			struct f4_buf **ret);

/*
 * f4_group_store - write the struct's counts and flags to the descriptor in @gdt. Lock held.
 * @changed: F4_GROUP_*; checksums follow at the commit
 */
void f4_group_store(struct f4_volume *vol, struct f4_group *g, struct f4_buf *gdt,
		    uint32_t changed);

/*
 * f4_group_blocks_bitmap, f4_group_inodes_bitmap - a reference to the group's bitmap, read and
 * checked, or made up in memory while the group is flagged as never used (UNINIT). Lock held.
 * Return: 0; -EUCLEAN (reported once); -EIO; -ENOMEM.
 */
int f4_group_blocks_bitmap(struct f4_volume *vol, struct f4_group *g, struct f4_buf **ret);
int f4_group_inodes_bitmap(struct f4_volume *vol, struct f4_group *g, struct f4_buf **ret);

/*
 * f4_group_change_blocks, f4_group_change_inodes - both @bitmap and the descriptor are in @h's
 * transaction afterwards, and the group is no longer flagged as never used. Lock held. Two credits.
 * @ret_gdt: a reference, for f4_group_store, which must be called
 */
int f4_group_change_blocks(struct f4_handle *h, struct f4_volume *vol, struct f4_group *g,
			   struct f4_buf *bitmap, struct f4_buf **ret_gdt);
int f4_group_change_inodes(struct f4_handle *h, struct f4_volume *vol, struct f4_group *g,
			   struct f4_buf *bitmap, struct f4_buf **ret_gdt);

/* f4_groups_pre_commit - finish the checksums of all changed groups; no handle is open but @h. */
void f4_groups_pre_commit(struct f4_volume *vol, struct f4_handle *h);

/* f4_group_has_super - does @group hold a superblock copy (sparse_super, sparse_super2)? */
bool f4_group_has_super(const struct f4_volume *vol, uint32_t group);

/* f4_group_base_blocks - blocks at the start of @group for superblock, descriptors and their reserve. */
uint32_t f4_group_base_blocks(const struct f4_volume *vol, uint32_t group);

/* f4_group_desc_blk - the block that holds @group's descriptor. f4_group_desc_off - bytes into it. */
uint64_t f4_group_desc_blk(const struct f4_volume *vol, uint32_t group);
uint32_t f4_group_desc_off(const struct f4_volume *vol, uint32_t group);

/* f4_group_desc_csum - the checksum that @desc (desc_size bytes) should bear. */
uint16_t f4_group_desc_csum(const struct f4_volume *vol, uint32_t group,
			    const struct f4_group_desc *desc);

/* f4_group_blocks, f4_group_clusters - in this group; the last one is shorter. */
uint32_t f4_group_blocks(const struct f4_volume *vol, uint32_t group);
uint32_t f4_group_clusters(const struct f4_volume *vol, uint32_t group);

static inline uint64_t f4_group_first_blk(const struct f4_volume *v, uint32_t group)
{
	return (uint64_t)group * v->blocks_per_group + v->first_data_block;
}
/* @blk: in the volume */
static inline uint32_t f4_blk_group(const struct f4_volume *v, uint64_t blk)
{
	return (uint32_t)((blk - v->first_data_block) / v->blocks_per_group);
}
static inline uint32_t f4_ino_group(const struct f4_volume *v, uint32_t ino)
{
	return (ino - 1) / v->inodes_per_group;
}
/* Blocks of a group's inode table. */
static inline uint32_t f4_itable_blocks(const struct f4_volume *v)
{
	return (v->inodes_per_group + v->inodes_per_block - 1) / v->inodes_per_block;
}

/*
 * f4_volume_blocks_ok - may [@blk, @blk + @len) be owned by a file? False outside the volume, and
 * (block_validity) for superblock and descriptor copies, the journal, and bitmaps and inode tables
 * of the groups of the same flex group. Context: may read descriptors; takes only leaf locks.
 */
bool f4_volume_blocks_ok(struct f4_volume *vol, uint64_t blk, uint64_t len);

/* f4_validity_add_log - let it know of an internal journal's blocks; at open. Return: 0, -ENOMEM. */
int f4_validity_add_log(struct f4_volume *vol);

/*
 * f4_groups_pend_new - room to note one freed run in @g, so that f4_groups_pend can't fail. NULL:
 * no memory. f4_groups_pend - [@from, @from + @n) clusters of @g were freed in transaction @tid:
 * nobody gets them before its commit. Consumes @pend. Both with the group's lock held.
 */
struct f4_pend;
struct f4_pend *f4_groups_pend_new(struct f4_volume *vol, struct f4_group *g);
void f4_groups_pend(struct f4_volume *vol, struct f4_group *g, struct f4_pend *pend, f4_tid tid,
		    uint32_t from, uint32_t n);

/* f4_groups_committed - what transactions up to @tid freed is usable again; discards if asked. */
void f4_groups_committed(struct f4_volume *vol, f4_tid tid);

/*
 * f4_groups_recount - sum the descriptors into the volume's counters, at open (after a recovery).
 * Return: 0; -EUCLEAN (more free than there is); -EIO; -ENOMEM.
 */
int f4_groups_recount(struct f4_volume *vol);

#endif
