/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * May a file own these blocks? The places that no file may claim, known without a walk over all
 * groups: copies of superblock and descriptors by arithmetic, bitmaps and inode tables from the
 * descriptors of one flex group (they lie together in its first groups), the journal from its map.
 *
 * The set of a flex group is built when first asked for and never changes while mounted.
 */
#include "server/ext4/group.h"

#include <errno.h>
#include <stdlib.h>

#include "server/ext4/group_priv.h"
#include "server/ext4/volume_priv.h"

#define ZONE_GROUPS_MAX 4096u /* a flex group larger than this is looked at in part only */

static int zone_cmp(const void *a, const void *b)
{
	const struct f4_zone *x = a, *y = b;

	return x->blk < y->blk ? -1 : x->blk > y->blk;
}

/* Joins neighbours and drops repeats; returns the new number. */
static uint32_t zones_merge(struct f4_zone *z, uint32_t n)
{
	uint32_t out = 0;

	qsort(z, n, sizeof(*z), zone_cmp);
	for (uint32_t i = 1; i < n; i++) {
		uint64_t end = z[out].blk + z[out].len;

		if (z[i].blk <= end) {
			if (z[i].blk + z[i].len > end)
				z[out].len = z[i].blk + z[i].len - z[out].blk;
		} else {
			z[++out] = z[i];
		}
	}
	return n ? out + 1 : 0;
}

static void zones_add(const struct f4_volume *vol, struct f4_zone_set *set, uint64_t blk, uint64_t len)
{
	if (blk < vol->blocks_count && len <= vol->blocks_count - blk)
		set->zone[set->n++] = (struct f4_zone){ blk, len };
}

static int zones_build(struct f4_volume *vol, uint32_t first, uint32_t n, struct f4_zone_set **ret)
{
	struct f4_zone_set *set = malloc(sizeof(*set) + 3 * (size_t)n * sizeof(set->zone[0])), *small;
	f4_auto_buf *buf = NULL;

	if (!set)
		return -ENOMEM;
	set->n = 0;
	for (uint32_t g = first; g < first + n; g++) {
		const struct f4_group_desc *d;
		int r = 0;

		if (!buf || buf->blk != f4_group_desc_blk(vol, g)) {
			f4_buf_put(f4_take_ptr(buf));
			r = f4_buf_read(vol->cache, f4_group_desc_blk(vol, g), &f4_class_gdt, 0, 0, &buf);
		}
		if (r < 0) {
			free(set);
			return r;
		}
		/* These fields never change while mounted: no lock needed. */
		d = (const struct f4_group_desc *)(const void *)(buf->data + f4_group_desc_off(vol, g));
		zones_add(vol, set, f4_desc_join(vol, d->bg_block_bitmap_lo, &d->bg_block_bitmap_hi), 1);
		zones_add(vol, set, f4_desc_join(vol, d->bg_inode_bitmap_lo, &d->bg_inode_bitmap_hi), 1);
		zones_add(vol, set, f4_desc_join(vol, d->bg_inode_table_lo, &d->bg_inode_table_hi),
			  f4_itable_blocks(vol));
	}
	set->n = zones_merge(set->zone, set->n);
	small = realloc(set, sizeof(*set) + set->n * sizeof(set->zone[0]));
	*ret = small ? small : set;
	return 0;
}

static const struct f4_zone_set *zones_get(struct f4_volume *vol, uint32_t flex)
{
	struct f4_group_table *t = vol->groups;
	struct f4_zone_set *set = atomic_load_explicit(&t->zones[flex], memory_order_acquire), *other;
	uint32_t first = flex << vol->flex_bits;
	uint64_t n = 1ull << vol->flex_bits;

	if (set)
		return set;
	if (n > vol->groups_count - first)
		n = vol->groups_count - first;
	if (n > ZONE_GROUPS_MAX)
		n = ZONE_GROUPS_MAX;
	if (zones_build(vol, first, (uint32_t)n, &set) < 0)
		return NULL;
	pthread_mutex_lock(&t->lock);
	other = atomic_load_explicit(&t->zones[flex], memory_order_relaxed);
	if (!other)
		atomic_store_explicit(&t->zones[flex], set, memory_order_release);
	pthread_mutex_unlock(&t->lock);
	if (other)
		free(set);
	return other ? other : set;
}

static bool zones_hit(const struct f4_zone_set *set, uint64_t blk, uint64_t len)
{
	uint32_t lo = 0, hi = set->n; /* the first zone that ends behind @blk */

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (set->zone[mid].blk + set->zone[mid].len <= blk)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < set->n && set->zone[lo].blk < blk + len;
}

int f4_validity_add_log(struct f4_volume *vol)
{
	const struct f4_volume_state *st = vol->state;
	struct f4_zone_set *set;

	if (st->log_map_len == 0 || vol->log_disk)
		return 0;
	set = malloc(sizeof(*set) + st->log_map_len * sizeof(set->zone[0]));
	if (!set)
		return -ENOMEM;
	set->n = 0;
	for (uint32_t i = 0; i < st->log_map_len; i++)
		zones_add(vol, set, st->log_map[i].pblk, st->log_map[i].len);
	set->n = zones_merge(set->zone, set->n);
	free(vol->groups->log_zones);
	vol->groups->log_zones = set;
	return 0;
}

bool f4_volume_blocks_ok(struct f4_volume *vol, uint64_t blk, uint64_t len)
{
	uint32_t first, last;

	if (blk < f4_group_first_blk(vol, 0) || blk >= vol->blocks_count ||
	    len > vol->blocks_count - blk || len == 0)
		return false;
	if (vol->groups->log_zones && zones_hit(vol->groups->log_zones, blk, len))
		return false;
	first = f4_blk_group(vol, blk);
	last = f4_blk_group(vol, blk + len - 1);
	for (uint32_t g = first; g <= last; g++) {
		uint64_t start = f4_group_first_blk(vol, g), fixed = f4_group_base_blocks(vol, g);
		const struct f4_zone_set *set;

		if (fixed && blk < start + fixed && start < blk + len)
			return false;
		/* Unreadable descriptors are reported where they are needed; here they forbid nothing. */
		set = zones_get(vol, g >> vol->flex_bits);
		if (set && zones_hit(set, blk, len))
			return false;
	}
	return true;
}
