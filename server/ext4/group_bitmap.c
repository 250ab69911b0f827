/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bitmaps of a group: read and checked once, or made up while the group was never used.
 *
 * A bitmap's buffer has the group's number as its owner, so that verify() finds the group whose
 * descriptor holds the checksum; only the holder of that group's lock reads its bitmaps.
 *
 * A made-up bitmap is a cached block that no transaction holds; it may be evicted and made up
 * again until the first change clears the flag and puts it into a transaction.
 *
 * Source: kernel Documentation/filesystems/ext4/bitmaps.rst, blockgroup.rst (lazy initialisation).
 */
#include "server/ext4/group.h"

#include <errno.h>

#include "server/ext4/bitmap.h"
#include "server/ext4/csum.h"
#include "server/ext4/group_priv.h"

static bool csum_ok(const struct f4_volume *vol, const uint8_t *data, uint32_t bits, uint32_t want)
{
	uint32_t crc;

	if (!vol->has_csum)
		return true;
	crc = f4_crc32c(vol->csum_seed, data, bits / 8);
	return (vol->desc_size > 32 ? crc : crc & 0xffff) == want;
}

/* Are the group's own bitmaps and table marked used, as far as they lie in it? */
static bool own_marked(const struct f4_volume *vol, const struct f4_group *g, const uint8_t *data)
{
	const struct f4_zone own[] = {
		{ g->block_bitmap, 1 },
		{ g->inode_bitmap, 1 },
		{ g->inode_table, f4_itable_blocks(vol) },
	};
	uint64_t first = f4_group_first_blk(vol, g->number);
	uint64_t end = first + f4_group_blocks(vol, g->number);

	for (size_t i = 0; i < F4_ARRAY_LEN(own); i++) {
		uint64_t from = own[i].blk, to = own[i].blk + own[i].len;
		uint32_t a, b;

		if (from >= end || to <= first)
			continue;
		from = from > first ? from : first;
		to = to < end ? to : end;
		a = (uint32_t)((from - first) >> vol->cluster_bits);
		b = (uint32_t)((to - 1 - first) >> vol->cluster_bits) + 1;
		if (f4_bitmap_next_zero(data, NULL, a, b) < b)
			return false;
	}
	return true;
}

static int verify_blocks(struct f4_volume *vol, const struct f4_buf *buf, const uint8_t *data)
{
	const struct f4_group *g = f4_group_ptr(vol, buf->owner);
	uint32_t clusters = f4_group_clusters(vol, buf->owner);

	if (!csum_ok(vol, data, vol->clusters_per_group, g->block_bitmap_csum))
		return -EUCLEAN;
	if (!own_marked(vol, g, data) || f4_bitmap_count_zero(data, clusters) != g->free_clusters)
		return -EUCLEAN;
	return 0;
}

static int verify_inodes(struct f4_volume *vol, const struct f4_buf *buf, const uint8_t *data)
{
	const struct f4_group *g = f4_group_ptr(vol, buf->owner);

	if (!csum_ok(vol, data, vol->inodes_per_group, g->inode_bitmap_csum))
		return -EUCLEAN;
	return f4_bitmap_count_zero(data, vol->inodes_per_group) == g->free_inodes ? 0 : -EUCLEAN;
}

const struct f4_buf_class f4_class_block_bitmap = { .name = "block bitmap", .verify = verify_blocks };
const struct f4_buf_class f4_class_inode_bitmap = { .name = "inode bitmap", .verify = verify_inodes };

/* Marks the part of [@blk, @blk + @len) that lies in @group. */
static void mark_inside(const struct f4_volume *vol, uint32_t group, uint8_t *bm, uint64_t blk,
			uint64_t len)
{
	uint64_t first = f4_group_first_blk(vol, group), end = first + f4_group_blocks(vol, group);
	uint64_t to = blk + len;
	uint32_t a, b;

	if (blk >= end || to <= first)
		return;
	blk = blk > first ? blk : first;
	to = to < end ? to : end;
	a = (uint32_t)((blk - first) >> vol->cluster_bits);
	b = (uint32_t)((to - 1 - first) >> vol->cluster_bits);
	f4_bitmap_set(bm, a, b - a + 1);
}

static void make_blocks_bitmap(const struct f4_volume *vol, const struct f4_group *g, uint8_t *bm)
{
	uint32_t clusters = f4_group_clusters(vol, g->number);

	mark_inside(vol, g->number, bm, f4_group_first_blk(vol, g->number),
		    f4_group_base_blocks(vol, g->number));
	mark_inside(vol, g->number, bm, g->block_bitmap, 1);
	mark_inside(vol, g->number, bm, g->inode_bitmap, 1);
	mark_inside(vol, g->number, bm, g->inode_table, f4_itable_blocks(vol));
	f4_bitmap_set(bm, clusters, vol->block_size * 8 - clusters);
}

static int make_bitmap(struct f4_volume *vol, struct f4_group *g, bool blocks, struct f4_buf **ret)
{
	uint64_t blk = blocks ? g->block_bitmap : g->inode_bitmap;
	const struct f4_buf_class *class = blocks ? &f4_class_block_bitmap : &f4_class_inode_bitmap;
	struct f4_buf *buf = f4_buf_find(vol->cache, blk);
	int r;

	if (buf && buf->class == class && buf->owner == g->number) {
		*ret = buf; /* made up before */
		return 0;
	}
	f4_buf_put(buf);
	r = f4_buf_new(vol->cache, blk, class, g->number, 0, &buf);
	if (r < 0)
		return r;
	if (blocks)
		make_blocks_bitmap(vol, g, buf->data);
	else
		f4_bitmap_set(buf->data, vol->inodes_per_group,
			      vol->block_size * 8 - vol->inodes_per_group);
	*ret = buf;
	return 0;
}

static int read_bitmap(struct f4_volume *vol, struct f4_group *g, bool blocks, struct f4_buf **ret)
{
	uint64_t blk = blocks ? g->block_bitmap : g->inode_bitmap;
	bool *bad = blocks ? &g->bad_blocks : &g->bad_inodes;
	int r = -EUCLEAN;

	if (*bad)
		return r;
	if (g->flags & (blocks ? F4_BG_BLOCK_UNINIT : F4_BG_INODE_UNINIT))
		r = make_bitmap(vol, g, blocks, ret);
	else
		r = f4_buf_read(vol->cache, blk,
				blocks ? &f4_class_block_bitmap : &f4_class_inode_bitmap, g->number, 0,
				ret);
	if (r == -EUCLEAN) {
		*bad = true;
		f4_corrupt(vol, 0, blk, "group %u: %s bitmap is damaged", g->number,
			   blocks ? "block" : "inode");
	}
	return r;
}

int f4_group_blocks_bitmap(struct f4_volume *vol, struct f4_group *g, struct f4_buf **ret)
{
	struct f4_buf *buf;
	int r = read_bitmap(vol, g, true, &buf);

	/* A made-up bitmap must agree with the count as a read one does. */
	if (r == 0 && (g->flags & F4_BG_BLOCK_UNINIT) &&
	    f4_bitmap_count_zero(buf->data, f4_group_clusters(vol, g->number)) != g->free_clusters) {
		f4_buf_put(buf);
		g->bad_blocks = true;
		return f4_corrupt(vol, 0, g->block_bitmap,
				  "group %u: never used, but the count of free clusters is %u", g->number,
				  g->free_clusters);
	}
	if (r == 0)
		*ret = buf;
	return r;
}

int f4_group_inodes_bitmap(struct f4_volume *vol, struct f4_group *g, struct f4_buf **ret)
{
	return read_bitmap(vol, g, false, ret);
}

static int change_bitmap(struct f4_handle *h, struct f4_volume *vol, struct f4_group *g,
			 struct f4_buf *bitmap, uint16_t uninit, struct f4_buf **ret_gdt)
{
	f4_auto_buf *gdt = NULL;
	int r = f4_group_desc_write(h, vol, g, &gdt);

	if (r == 0)
		r = g->flags & uninit ? f4_txn_create(h, bitmap) : f4_txn_write(h, bitmap);
	if (r < 0)
		return r;
	g->flags &= (uint16_t)~uninit;
	*ret_gdt = f4_take_ptr(gdt);
	return 0;
}

int f4_group_change_blocks(struct f4_handle *h, struct f4_volume *vol, struct f4_group *g,
			   struct f4_buf *bitmap, struct f4_buf **ret_gdt)
{
	return change_bitmap(h, vol, g, bitmap, F4_BG_BLOCK_UNINIT, ret_gdt);
}

int f4_group_change_inodes(struct f4_handle *h, struct f4_volume *vol, struct f4_group *g,
			   struct f4_buf *bitmap, struct f4_buf **ret_gdt)
{
	return change_bitmap(h, vol, g, bitmap, F4_BG_INODE_UNINIT, ret_gdt);
}
