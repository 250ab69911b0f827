/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Allocation of inodes.
 *
 * Files go to their directory's group, or near it. Directories made at the top are spread over the
 * volume, to flex groups with more than average room and few directories; others stay near their
 * parent unless it is crowded there. This is the placement that ext4 does (after Orlov); the number
 * of flex groups looked at is bounded, so that it costs the same on a large volume.
 *
 * Inside a group the lowest free inode is taken. So the part of the inode table in use grows from
 * its start, and a block behind the mark of the never used ones is filled with zeroes when the first
 * inode in it is made: what lies there may be anything (lazy initialisation).
 *
 * Source: kernel Documentation/filesystems/ext4/allocators.rst, group_descr.rst.
 */
#include "server/ext4/alloc.h"

#include <errno.h>

#include "server/ext4/bitmap.h"
#include "server/ext4/group.h"
#include "server/ext4/inode.h"

#define FLEX_LOOK_MAX 64u /* flex groups that a search for a good one looks at */

struct flex_stats {
	uint64_t free_clusters, free_inodes, dirs;
};


static uint32_t flex_count(const struct f4_volume *vol)
{
	return ((vol->groups_count - 1) >> vol->flex_bits) + 1;
}

static uint32_t flex_end(const struct f4_volume *vol, uint32_t flex)
{
	uint64_t end = ((uint64_t)flex + 1) << vol->flex_bits;

	return end < vol->groups_count ? (uint32_t)end : vol->groups_count;
}

static int flex_sum(struct f4_volume *vol, uint32_t flex, struct flex_stats *ret)
{
	*ret = (struct flex_stats){ 0 };
	for (uint32_t g = flex << vol->flex_bits; g < flex_end(vol, flex); g++) {
		uint32_t clusters, inodes, dirs;
		int r = f4_group_peek(vol, g, &clusters, &inodes, &dirs);

		if (r < 0)
			return r;
		ret->free_clusters += clusters;
		ret->free_inodes += inodes;
		ret->dirs += dirs;
	}
	return 0;
}

/* The flex group with room above the average and the fewest directories; flex_count: none. */
static int pick_spread(struct f4_volume *vol, uint32_t start, uint32_t *ret)
{
	uint32_t n = flex_count(vol);
	uint64_t avg_inodes = (uint64_t)atomic_load(&vol->free_inodes) / n;
	uint64_t avg_clusters = (uint64_t)atomic_load(&vol->free_clusters) / n;
	uint64_t best_dirs = UINT64_MAX;

	*ret = n;
	for (uint32_t i = 0; i < n && i < FLEX_LOOK_MAX; i++) {
		uint32_t flex = (uint32_t)(((uint64_t)start + i) % n);
		struct flex_stats st;
		int r = flex_sum(vol, flex, &st);

		if (r < 0)
			return r;
		if (st.free_inodes == 0 || st.dirs >= best_dirs || st.free_inodes < avg_inodes ||
		    st.free_clusters < avg_clusters)
			continue;
		*ret = flex;
		best_dirs = st.dirs;
	}
	return 0;
}

/* The first flex group from the parent's on that is not crowded; flex_count: none. */
static int pick_near(struct f4_volume *vol, uint32_t parent_flex, uint32_t *ret)
{
	uint32_t n = flex_count(vol);
	uint64_t per_flex_inodes = (uint64_t)vol->inodes_per_group << vol->flex_bits;
	uint64_t per_flex_clusters = (uint64_t)vol->clusters_per_group << vol->flex_bits;
	int64_t min_inodes = atomic_load(&vol->free_inodes) / n - (int64_t)(per_flex_inodes / 4);
	int64_t min_clusters = atomic_load(&vol->free_clusters) / n - (int64_t)(per_flex_clusters / 4);
	uint64_t max_dirs = per_flex_inodes / 16 + (uint64_t)atomic_load(&vol->dirs) / n;

	min_inodes = min_inodes < 1 ? 1 : min_inodes;
	*ret = n;
	for (uint32_t i = 0; i < n && i < FLEX_LOOK_MAX; i++) {
		uint32_t flex = (uint32_t)(((uint64_t)parent_flex + i) % n);
		struct flex_stats st;
		int r = flex_sum(vol, flex, &st);

		if (r < 0)
			return r;
		if (st.dirs >= max_dirs || (int64_t)st.free_inodes < min_inodes ||
		    (int64_t)st.free_clusters < min_clusters)
			continue;
		*ret = flex;
		return 0;
	}
	return 0;
}

/* The group to start with for a new directory. */
static int dir_group(struct f4_volume *vol, uint32_t parent_group, bool top_level, uint32_t *ret)
{
	uint32_t flex, parent_flex = parent_group >> vol->flex_bits;
	uint32_t salt = atomic_fetch_add(&vol->next_generation, 1) * 0x9E3779B1u;
	int r;

	*ret = parent_group;
	if (top_level) {
		r = pick_spread(vol, salt % flex_count(vol), &flex);
		if (r < 0)
			return r;
		if (flex < flex_count(vol)) {
			*ret = flex << vol->flex_bits;
			return 0;
		}
	}
	r = pick_near(vol, parent_flex, &flex);
	if (r == 0 && flex < flex_count(vol) && flex != parent_flex)
		*ret = flex << vol->flex_bits;
	return r;
}

/* A group that was never used gets its block bitmap with its first inode, as the kernel does it. */
static int init_blocks_bitmap(struct f4_handle *h, struct f4_volume *vol, struct f4_group *g)
{
	f4_auto_buf *bm = NULL, *gdt = NULL;
	int r;

	if (!(g->flags & F4_BG_BLOCK_UNINIT) || g->bad_blocks)
		return 0;
	r = f4_group_blocks_bitmap(vol, g, &bm);
	if (r == 0)
		r = f4_group_change_blocks(h, vol, g, bm, &gdt);
	if (r == 0)
		f4_group_store(vol, g, gdt, F4_GROUP_BLOCK_BITMAP);
	return r;
}

/* Mark inode @index of the locked group used. */
static int take_inode(struct f4_handle *h, struct f4_volume *vol, struct f4_group *g,
		      struct f4_buf *bm, uint32_t index, bool is_dir)
{
	f4_auto_buf *gdt = NULL;
	int r = init_blocks_bitmap(h, vol, g);

	if (r == 0)
		r = f4_group_change_inodes(h, vol, g, bm, &gdt);
	if (r < 0)
		return r;
	f4_bitmap_set(bm->data, index, 1);
	g->free_inodes--;
	g->dirs += is_dir;
	g->next_ino_hint = index + 1;
	if (g->itable_unused > vol->inodes_per_group - index - 1)
		g->itable_unused = vol->inodes_per_group - index - 1;
	f4_group_store(vol, g, gdt, F4_GROUP_INODE_BITMAP);
	atomic_fetch_sub(&vol->free_inodes, 1);
	atomic_fetch_add(&vol->dirs, is_dir);
	return 0;
}

/* Return: 0 and the number, 0 and *ret_ino 0 when there is none here, or an error. */
static int try_group(struct f4_handle *h, struct f4_volume *vol, uint32_t group, bool is_dir,
		     uint32_t *ret_ino)
{
	uint32_t index, reserved = group == 0 ? vol->first_ino - 1 : 0;
	f4_auto_buf *bm = NULL;
	struct f4_group *g;
	int r = f4_group_lock(vol, group, &g);

	*ret_ino = 0;
	if (r < 0)
		return r == -EUCLEAN ? 0 : r;
	if (g->bad_inodes || g->free_inodes == 0)
		goto out;
	r = f4_group_inodes_bitmap(vol, g, &bm);
	if (r < 0)
		goto out;
	index = g->next_ino_hint > reserved ? g->next_ino_hint : reserved;
	index = f4_bitmap_next_zero(bm->data, NULL, index, vol->inodes_per_group);
	if (index == vol->inodes_per_group)
		goto out; /* reserved ones may be free: no corruption */
	r = take_inode(h, vol, g, bm, index, is_dir);
	if (r == 0)
		*ret_ino = group * vol->inodes_per_group + index + 1;
out:
	f4_group_unlock(g);
	return r == -EUCLEAN ? 0 : r;
}

int f4_alloc_inode(struct f4_handle *h, struct f4_volume *vol, const struct f4_inode *parent,
		   bool is_dir, bool top_level, uint32_t *ret_ino)
{
	uint32_t start = f4_ino_group(vol, parent->ino);
	int r;

	if (atomic_load(&vol->free_inodes) <= 0)
		return -ENOSPC;
	if (is_dir) {
		r = dir_group(vol, start, top_level, &start);
		if (r < 0)
			return r;
	}
	for (uint32_t i = 0; i < vol->groups_count; i++) {
		uint32_t group = (uint32_t)(((uint64_t)start + i) % vol->groups_count);
		uint32_t clusters, inodes, dirs;

		r = f4_group_peek(vol, group, &clusters, &inodes, &dirs);
		if (r == 0 && inodes)
			r = try_group(h, vol, group, is_dir, ret_ino);
		else if (r == 0)
			continue;
		if (r < 0 || *ret_ino)
			return r;
	}
	return -ENOSPC;
}

/* Is @index the only used inode of its block of the table? Group locked. */
static bool alone_in_block(const struct f4_volume *vol, const uint8_t *bm, uint32_t index)
{
	uint32_t first = index - index % vol->inodes_per_block;
	uint32_t end = first + vol->inodes_per_block;

	if (end > vol->inodes_per_group)
		end = vol->inodes_per_group;
	return f4_bitmap_next_one(bm, NULL, first, index) == index &&
	       f4_bitmap_next_one(bm, NULL, index + 1, end) == end;
}

static int table_block(struct f4_handle *h, struct f4_volume *vol, struct f4_group *g,
		       uint32_t index, struct f4_buf **ret)
{
	uint64_t blk = g->inode_table + index / vol->inodes_per_block;
	f4_auto_buf *bm = NULL;
	struct f4_buf *buf;
	int r = f4_group_inodes_bitmap(vol, g, &bm);

	if (r < 0)
		return r;
	buf = f4_buf_find(vol->cache, blk);
	if (!buf && alone_in_block(vol, bm->data, index) &&
	    f4_buf_new(vol->cache, blk, &f4_class_inode_table, 0, 0, &buf) == 0) {
		r = f4_txn_create(h, buf);
	} else {
		/* Somebody may be looking at a freed inode in it; then it has been read, too. */
		f4_buf_put(f4_take_ptr(buf));
		r = f4_buf_read(vol->cache, blk, &f4_class_inode_table, 0, 0, &buf);
		if (r == 0)
			r = f4_txn_write(h, buf);
		else
			buf = NULL;
	}
	if (r < 0) {
		f4_buf_put(buf);
		return r;
	}
	*ret = buf;
	return 0;
}

int f4_alloc_inode_table(struct f4_handle *h, struct f4_volume *vol, uint32_t ino,
			 struct f4_buf **ret, uint32_t *ret_off)
{
	uint32_t index = (ino - 1) % vol->inodes_per_group;
	struct f4_group *g;
	int r = f4_group_lock(vol, f4_ino_group(vol, ino), &g);

	if (r < 0)
		return r;
	r = table_block(h, vol, g, index, ret);
	f4_group_unlock(g);
	*ret_off = index % vol->inodes_per_block * vol->inode_size;
	return r;
}

int f4_alloc_inode_used(struct f4_volume *vol, uint32_t ino)
{
	f4_auto_buf *bm = NULL;
	struct f4_group *g;
	int r;

	if (ino == 0 || ino > vol->inodes_count)
		return 0;
	r = f4_group_lock(vol, f4_ino_group(vol, ino), &g);
	if (r < 0)
		return r;
	r = f4_group_inodes_bitmap(vol, g, &bm);
	if (r == 0)
		r = f4_bitmap_test(bm->data, (ino - 1) % vol->inodes_per_group);
	f4_group_unlock(g);
	return r;
}

/* Mark inode @index of the locked group free. */
static int give_inode(struct f4_handle *h, struct f4_volume *vol, struct f4_group *g,
		      uint32_t index, bool is_dir)
{
	uint32_t ino = g->number * vol->inodes_per_group + index + 1;
	f4_auto_buf *bm = NULL, *gdt = NULL;
	int r = f4_group_inodes_bitmap(vol, g, &bm);

	if (r < 0)
		return r;
	if (!f4_bitmap_test(bm->data, index))
		return f4_corrupt(vol, ino, 0, "freed, but it was free");
	r = f4_group_change_inodes(h, vol, g, bm, &gdt);
	if (r < 0)
		return r;
	f4_bitmap_clear(bm->data, index, 1);
	g->free_inodes++;
	g->dirs -= is_dir && g->dirs;
	if (index < g->next_ino_hint)
		g->next_ino_hint = index;
	f4_group_store(vol, g, gdt, F4_GROUP_INODE_BITMAP);
	atomic_fetch_add(&vol->free_inodes, 1);
	atomic_fetch_sub(&vol->dirs, is_dir);
	return 0;
}

int f4_alloc_free_inode(struct f4_handle *h, struct f4_volume *vol, uint32_t ino, bool is_dir)
{
	struct f4_group *g;
	int r;

	if (ino < vol->first_ino || ino > vol->inodes_count)
		return f4_corrupt(vol, ino, 0, "a reserved inode was to be freed");
	r = f4_group_lock(vol, f4_ino_group(vol, ino), &g);
	if (r < 0)
		return r;
	r = give_inode(h, vol, g, (ino - 1) % vol->inodes_per_group, is_dir);
	f4_group_unlock(g);
	return r;
}
