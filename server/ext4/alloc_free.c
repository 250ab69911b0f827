/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Giving blocks back. The clusters are anybody's after the commit (group_pending.c). */
#include "server/ext4/alloc.h"

#include <errno.h>
#include <stdlib.h>

#include "server/ext4/bitmap.h"
#include "server/ext4/group.h"

/* Checks and frees clusters [@from, @from + @n) of a locked group. */
static int free_in_group(struct f4_handle *h, struct f4_volume *vol, struct f4_group *g,
			 uint32_t ino, uint32_t from, uint32_t n)
{
	uint64_t blk = f4_group_first_blk(vol, g->number) + ((uint64_t)from << vol->cluster_bits);
	f4_auto_buf *bm = NULL, *gdt = NULL;
	struct f4_pend *pend;
	int r = f4_group_blocks_bitmap(vol, g, &bm);

	if (r < 0)
		return r;
	if (f4_bitmap_next_zero(bm->data, NULL, from, from + n) < from + n)
		return f4_corrupt(vol, ino, blk, "%u clusters freed, some of them were free", n);
	pend = f4_groups_pend_new(vol, g);
	if (!pend)
		return -ENOMEM;
	r = f4_group_change_blocks(h, vol, g, bm, &gdt);
	if (r < 0) {
		free(pend);
		return r;
	}
	f4_bitmap_clear(bm->data, from, n);
	g->free_clusters += n;
	f4_group_store(vol, g, gdt, F4_GROUP_BLOCK_BITMAP);
	f4_groups_pend(vol, g, pend, h->tid, from, n);
	/* Last: who sees the counter must see the pending ones, too. */
	atomic_fetch_add(&vol->free_clusters, n);
	return 0;
}

int f4_alloc_free(struct f4_handle *h, struct f4_volume *vol, uint32_t ino, uint64_t blk, uint64_t len)
{
	uint64_t end;

	if (!f4_volume_blocks_ok(vol, blk, len))
		return f4_corrupt(vol, ino, blk, "%llu blocks can't be a file's",
				  (unsigned long long)len);
	end = blk + len;
	while (blk < end) {
		uint32_t group = f4_blk_group(vol, blk);
		uint64_t first = f4_group_first_blk(vol, group);
		uint64_t stop = first + f4_group_blocks(vol, group);
		uint32_t from = (uint32_t)((blk - first) >> vol->cluster_bits), to;
		struct f4_group *g;
		int r;

		stop = stop < end ? stop : end;
		to = (uint32_t)((stop - 1 - first) >> vol->cluster_bits) + 1;
		r = f4_group_lock(vol, group, &g);
		if (r < 0)
			return r;
		r = free_in_group(h, vol, g, ino, from, to - from);
		f4_group_unlock(g);
		if (r < 0)
			return r;
		blk = stop;
	}
	return 0;
}
