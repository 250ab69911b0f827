/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FITRIM: tell the device which blocks are free.
 *
 * A group's lock is held while its free runs are discarded, so that none of them can be given out
 * meanwhile. What was freed and is not committed is left alone: a crash may bring it back.
 */
#include "server/ext4/alloc.h"

#include <errno.h>

#include "server/ext4/bitmap.h"
#include "server/ext4/group.h"

struct trim {
	uint64_t start, end; /* blocks */
	uint64_t min;	     /* blocks */
	uint64_t done;	     /* blocks */
};

static int trim_run(struct f4_volume *vol, struct trim *t, uint64_t blk, uint64_t len)
{
	int r;

	if (len > vol->blocks_count - blk)
		len = vol->blocks_count - blk;
	if (len < t->min)
		return 0;
	r = f4_disk_discard(vol->disk, blk << vol->block_bits, len << vol->block_bits);
	if (r == 0)
		t->done += len;
	return r;
}

static int trim_locked(struct f4_volume *vol, struct f4_group *g, struct trim *t)
{
	uint64_t first = f4_group_first_blk(vol, g->number);
	uint32_t end = f4_group_clusters(vol, g->number), from = 0;
	f4_auto_buf *bm = NULL;
	int r = f4_group_blocks_bitmap(vol, g, &bm);

	if (t->start > first)
		from = (uint32_t)((t->start - first + vol->cluster_ratio - 1) >> vol->cluster_bits);
	if (t->end < first + f4_group_blocks(vol, g->number))
		end = (uint32_t)((t->end - first) >> vol->cluster_bits);
	while (r == 0 && (from = f4_bitmap_next_zero(bm->data, g->pending, from, end)) < end) {
		uint32_t n = f4_bitmap_next_one(bm->data, g->pending, from, end) - from;

		r = trim_run(vol, t, first + ((uint64_t)from << vol->cluster_bits),
			     (uint64_t)n << vol->cluster_bits);
		from += n;
	}
	return r;
}

static int trim_group(struct f4_volume *vol, uint32_t group, struct trim *t)
{
	uint32_t clusters, inodes, dirs;
	struct f4_group *g;
	int r = f4_group_peek(vol, group, &clusters, &inodes, &dirs);

	if (r < 0 || (uint64_t)clusters << vol->cluster_bits < t->min)
		return r;
	r = f4_group_lock(vol, group, &g);
	if (r < 0)
		return r == -EUCLEAN ? 0 : r; /* damaged groups are left alone */
	if (!g->bad_blocks)
		r = trim_locked(vol, g, t);
	f4_group_unlock(g);
	return r == -EUCLEAN ? 0 : r;
}

int f4_alloc_trim(struct f4_volume *vol, uint64_t start, uint64_t len, uint64_t min_len,
		  uint64_t *ret_trimmed)
{
	struct trim t = { .start = start >> vol->block_bits };
	int r = f4_volume_check_write(vol);

	if (r < 0)
		return r;
	if (t.start >= vol->blocks_count || len < vol->block_size ||
	    min_len >> vol->block_bits > vol->blocks_per_group)
		return -EINVAL;
	t.end = t.start + (len >> vol->block_bits);
	if (t.end < t.start || t.end > vol->blocks_count)
		t.end = vol->blocks_count;
	if (t.start < f4_group_first_blk(vol, 0))
		t.start = f4_group_first_blk(vol, 0);
	t.min = f4_bytes_to_blks_up(vol, min_len);
	if (t.min == 0)
		t.min = 1;
	for (uint32_t g = f4_blk_group(vol, t.start); t.start < t.end && r == 0; g++) {
		if (g >= vol->groups_count || f4_group_first_blk(vol, g) >= t.end)
			break;
		r = trim_group(vol, g, &t);
	}
	*ret_trimmed = t.done << vol->block_bits;
	return r;
}
