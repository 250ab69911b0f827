/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block groups: descriptors and bitmaps, loaded one group at a time when first needed.
 *
 * In memory a group costs nothing until it is touched (chunks of struct f4_group are made on
 * demand): opening a 16 TiB image costs what a 1 GiB image costs. The descriptor's truth is in its
 * cached block; the struct keeps what the allocator asks often.
 */
#ifndef F4_EXT4_GROUP_H
#define F4_EXT4_GROUP_H

#include "server/ext4/volume.h"

struct f4_group {
	pthread_mutex_t lock;
	/* All protected by lock; valid once loaded. */
	bool loaded, corrupt;	/* corrupt: reported once, never allocated from again */
	uint16_t flags;		/* bg_flags */
	uint32_t free_clusters, free_inodes, dirs, itable_unused;
	uint64_t block_bitmap, inode_bitmap, inode_table; /* block numbers, checked at load */
	uint8_t *pending;	/* owned; clusters freed by transactions not committed; NULL: none */
	uint32_t pending_count;
	uint32_t largest_free;	/* a run this long may exist, in clusters; a hint to skip the group */
	uint32_t next_ino_hint;
};

/* Classes of the blocks here; verify() checks what can be checked without the group. */
extern const struct f4_buf_class f4_class_gdt, f4_class_block_bitmap, f4_class_inode_bitmap,
	f4_class_inode_table, f4_class_super;

int f4_groups_new(struct f4_volume *vol, struct f4_group_table **ret);
struct f4_group_table *f4_groups_free(struct f4_group_table *t);

/*
 * f4_group_lock - the group's struct, loaded, its lock held. f4_group_unlock gives it back.
 * Return: 0; -EUCLEAN (descriptor's checksum or block numbers are wrong); -EIO; -ENOMEM.
 */
int f4_group_lock(struct f4_volume *vol, uint32_t group, struct f4_group **ret);
void f4_group_unlock(struct f4_group *g);

/* f4_group_peek_free - free clusters and inodes of @group without loading its bitmaps; hints. */
int f4_group_peek(struct f4_volume *vol, uint32_t group, uint32_t *free_clusters,
		  uint32_t *free_inodes, uint32_t *dirs);

/* f4_group_store - write the struct's counts, flags and checksums to the descriptor's block. Lock held. */
int f4_group_store(struct f4_handle *h, struct f4_volume *vol, uint32_t group, struct f4_group *g);

/* f4_group_has_super - does @group hold a superblock copy (sparse_super, sparse_super2)? */
bool f4_group_has_super(const struct f4_volume *vol, uint32_t group);

static inline uint64_t f4_group_first_blk(const struct f4_volume *v, uint32_t group)
{
	return (uint64_t)group * v->blocks_per_group + v->first_data_block;
}
static inline uint32_t f4_ino_group(const struct f4_volume *v, uint32_t ino)
{
	return (ino - 1) / v->inodes_per_group;
}

/*
 * f4_volume_blocks_ok - may [@blk, @blk + @len) be owned by a file? False outside the volume, and
 * (block_validity) for superblock and descriptor copies and bitmaps and inode tables of a loaded group.
 */
bool f4_volume_blocks_ok(struct f4_volume *vol, uint64_t blk, uint64_t len);

/* f4_groups_committed - what transactions up to @tid freed is usable again; discards if asked. */
void f4_groups_committed(struct f4_volume *vol, f4_tid tid);

/* f4_groups_recount - sum the descriptors into the volume's counters (after a recovery). */
int f4_groups_recount(struct f4_volume *vol);

#endif
