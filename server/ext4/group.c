/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of groups: structs on demand, descriptors checked when a group is first locked.
 *
 * The count fields of a descriptor's block are read without a lock by f4_group_peek while another
 * thread may change them: both sides use relaxed atomic accesses. All else in a descriptor is
 * touched with the group's lock held, or at commit when no handle is open.
 */
#include "server/ext4/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/ext4/bitmap.h"
#include "server/ext4/csum.h"
#include "server/ext4/group_priv.h"
#include "server/ext4/volume_priv.h"

#define RECOUNT_BLOCKS 16u /* descriptor blocks read at a time */

const struct f4_buf_class f4_class_gdt = { .name = "group descriptors" };
const struct f4_buf_class f4_class_inode_table = { .name = "inode table" };

static void seal_super(struct f4_volume *vol, const struct f4_buf *buf, uint8_t *data)
{
	f4_super_seal(vol, (struct f4_super *)(void *)(data + vol->sb_offset));
}

const struct f4_buf_class f4_class_super = { .name = "superblock", .seal = seal_super };

int f4_groups_new(struct f4_volume *vol, struct f4_group_table **ret)
{
	struct f4_group_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->vol = vol;
	t->n_chunks = (vol->groups_count + F4_GROUP_CHUNK - 1) / F4_GROUP_CHUNK;
	t->n_zones = ((vol->groups_count - 1) >> vol->flex_bits) + 1;
	/* Untouched pages of these arrays cost no memory. */
	t->chunks = calloc(t->n_chunks, sizeof(*t->chunks));
	t->zones = calloc(t->n_zones, sizeof(*t->zones));
	if (!t->chunks || !t->zones) {
		free(t->chunks);
		free(t->zones);
		free(t);
		return -ENOMEM;
	}
	f4_list_init(&t->dirty);
	f4_list_init(&t->pends);
	pthread_mutex_init(&t->lock, NULL);
	*ret = t;
	return 0;
}

static void chunk_free(struct f4_group *chunk)
{
	if (!chunk)
		return;
	for (uint32_t i = 0; i < F4_GROUP_CHUNK; i++) {
		pthread_mutex_destroy(&chunk[i].lock);
		free(chunk[i].pending);
	}
	free(chunk);
}

struct f4_group_table *f4_groups_free(struct f4_group_table *t)
{
	if (!t)
		return NULL;
	f4_pends_free(t);
	for (uint32_t i = 0; i < t->n_chunks; i++)
		chunk_free(atomic_load(&t->chunks[i]));
	for (uint32_t i = 0; i < t->n_zones; i++)
		free(atomic_load(&t->zones[i]));
	free(t->chunks);
	free(t->zones);
	free(t->log_zones);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}

struct f4_group *f4_group_ptr(const struct f4_volume *vol, uint32_t group)
{
	struct f4_group *chunk = atomic_load_explicit(&vol->groups->chunks[group / F4_GROUP_CHUNK],
						      memory_order_acquire);

	return chunk ? &chunk[group % F4_GROUP_CHUNK] : NULL;
}

static struct f4_group *chunk_new(uint32_t first)
{
	struct f4_group *chunk = calloc(F4_GROUP_CHUNK, sizeof(*chunk));

	if (!chunk)
		return NULL;
	for (uint32_t i = 0; i < F4_GROUP_CHUNK; i++) {
		pthread_mutex_init(&chunk[i].lock, NULL);
		f4_list_init(&chunk[i].dirty_link);
		chunk[i].number = first + i;
	}
	return chunk;
}

static struct f4_group *group_get(struct f4_volume *vol, uint32_t group)
{
	struct f4_group_table *t = vol->groups;
	uint32_t i = group / F4_GROUP_CHUNK;
	struct f4_group *g = f4_group_ptr(vol, group);

	if (g)
		return g;
	pthread_mutex_lock(&t->lock);
	if (!atomic_load_explicit(&t->chunks[i], memory_order_relaxed))
		atomic_store_explicit(&t->chunks[i], chunk_new(i * F4_GROUP_CHUNK),
				      memory_order_release);
	pthread_mutex_unlock(&t->lock);
	return f4_group_ptr(vol, group); /* NULL: no memory */
}

static int desc_read(struct f4_volume *vol, uint32_t group, struct f4_buf **ret,
		     struct f4_group_desc **ret_desc)
{
	int r = f4_buf_read(vol->cache, f4_group_desc_blk(vol, group), &f4_class_gdt, 0, 0, ret);

	if (r == 0)
		*ret_desc = (struct f4_group_desc *)(void *)((*ret)->data +
							     f4_group_desc_off(vol, group));
	return r;
}

/* Counts are read by f4_group_peek at any time. */
static inline uint32_t count_load(const f4_le16 *lo, const f4_le16 *hi)
{
	uint32_t v = le16toh(__atomic_load_n(&lo->raw, __ATOMIC_RELAXED));

	return hi ? v | (uint32_t)le16toh(__atomic_load_n(&hi->raw, __ATOMIC_RELAXED)) << 16 : v;
}

static inline void count_store(f4_le16 *lo, f4_le16 *hi, uint32_t v)
{
	__atomic_store_n(&lo->raw, htole16((uint16_t)v), __ATOMIC_RELAXED);
	if (hi)
		__atomic_store_n(&hi->raw, htole16((uint16_t)(v >> 16)), __ATOMIC_RELAXED);
}

/* The high half of field @f of descriptor @d, NULL with short descriptors. */
#define HI(vol, d, f) ((vol)->desc_size > 32 ? &(d)->f : NULL)

static void desc_decode(const struct f4_volume *vol, struct f4_group *g, const struct f4_group_desc *d)
{
	g->flags = f4_get_le16(d->bg_flags);
	/* Copies of descriptors (sb=) are as old as the filesystem: what was unused then isn't now. */
	if (!vol->has_gdt_csum || vol->opt.sb_block)
		g->flags &= (uint16_t)~(F4_BG_INODE_UNINIT | F4_BG_BLOCK_UNINIT);
	g->free_clusters = count_load(&d->bg_free_blocks_count_lo, HI(vol, d, bg_free_blocks_count_hi));
	g->free_inodes = count_load(&d->bg_free_inodes_count_lo, HI(vol, d, bg_free_inodes_count_hi));
	g->dirs = count_load(&d->bg_used_dirs_count_lo, HI(vol, d, bg_used_dirs_count_hi));
	g->itable_unused = vol->has_gdt_csum && !vol->opt.sb_block ?
				   count_load(&d->bg_itable_unused_lo, HI(vol, d, bg_itable_unused_hi)) :
				   0;
	g->block_bitmap = f4_desc_join(vol, d->bg_block_bitmap_lo, &d->bg_block_bitmap_hi);
	g->inode_bitmap = f4_desc_join(vol, d->bg_inode_bitmap_lo, &d->bg_inode_bitmap_hi);
	g->inode_table = f4_desc_join(vol, d->bg_inode_table_lo, &d->bg_inode_table_hi);
	g->block_bitmap_csum = count_load(&d->bg_block_bitmap_csum_lo,
					  HI(vol, d, bg_block_bitmap_csum_hi));
	g->inode_bitmap_csum = count_load(&d->bg_inode_bitmap_csum_lo,
					  HI(vol, d, bg_inode_bitmap_csum_hi));
	g->largest_free = UINT32_MAX;
	g->next_ino_hint = 0;
}

/* May [@blk, @blk + @len) be metadata of @group? In the group itself unless flex_bg lifts that. */
static bool place_ok(const struct f4_volume *vol, uint32_t group, uint64_t blk, uint64_t len)
{
	uint64_t first = f4_group_first_blk(vol, 0) + f4_group_base_blocks(vol, 0);
	uint64_t end = vol->blocks_count;

	if (!f4_has_incompat(vol, F4_INCOMPAT_FLEX_BG)) {
		uint64_t start = f4_group_first_blk(vol, group);

		first = start > first ? start : first;
		end = start + f4_group_blocks(vol, group);
	}
	return blk >= first && blk < end && len <= end - blk;
}

static const char *desc_problem(const struct f4_volume *vol, const struct f4_group *g)
{
	if (!place_ok(vol, g->number, g->block_bitmap, 1))
		return "block bitmap is out of place";
	if (!place_ok(vol, g->number, g->inode_bitmap, 1))
		return "inode bitmap is out of place";
	if (!place_ok(vol, g->number, g->inode_table, f4_itable_blocks(vol)))
		return "inode table is out of place";
	if (g->block_bitmap == g->inode_bitmap ||
	    g->block_bitmap - g->inode_table < f4_itable_blocks(vol) ||
	    g->inode_bitmap - g->inode_table < f4_itable_blocks(vol))
		return "bitmaps and inode table overlap";
	if (g->free_clusters > f4_group_clusters(vol, g->number))
		return "more free clusters than clusters";
	if (g->free_inodes > vol->inodes_per_group || g->itable_unused > vol->inodes_per_group)
		return "more free inodes than inodes";
	if (g->dirs > vol->inodes_per_group)
		return "more directories than inodes";
	return NULL;
}

static int group_load(struct f4_volume *vol, struct f4_group *g)
{
	f4_auto_buf *buf = NULL;
	struct f4_group_desc *d;
	const char *problem;
	int r = desc_read(vol, g->number, &buf, &d);

	if (r < 0)
		return r;
	desc_decode(vol, g, d);
	problem = desc_problem(vol, g);
	/* Read-only, a wrong checksum is lived with as long as the numbers make sense, as the kernel does. */
	if (!problem && !f4_group_desc_csum_ok(vol, g->number, d) && !atomic_load(&vol->read_only))
		problem = "checksum of the descriptor is wrong";
	g->loaded = true;
	if (problem) {
		g->bad = true;
		f4_corrupt(vol, 0, buf->blk, "group %u: %s", g->number, problem);
	}
	return 0;
}

int f4_group_lock(struct f4_volume *vol, uint32_t group, struct f4_group **ret)
{
	struct f4_group *g = group_get(vol, group);
	int r = 0;

	if (!g)
		return -ENOMEM;
	pthread_mutex_lock(&g->lock);
	if (!g->loaded)
		r = group_load(vol, g);
	if (r == 0 && g->bad)
		r = -EUCLEAN;
	if (r < 0) {
		pthread_mutex_unlock(&g->lock);
		return r;
	}
	*ret = g;
	return 0;
}

void f4_group_unlock(struct f4_group *g)
{
	pthread_mutex_unlock(&g->lock);
}

int f4_group_peek(struct f4_volume *vol, uint32_t group, uint32_t *free_clusters,
		  uint32_t *free_inodes, uint32_t *dirs)
{
	f4_auto_buf *buf = NULL;
	struct f4_group_desc *d;
	int r = desc_read(vol, group, &buf, &d);

	if (r < 0)
		return r;
	*free_clusters = count_load(&d->bg_free_blocks_count_lo, HI(vol, d, bg_free_blocks_count_hi));
	*free_inodes = count_load(&d->bg_free_inodes_count_lo, HI(vol, d, bg_free_inodes_count_hi));
	*dirs = count_load(&d->bg_used_dirs_count_lo, HI(vol, d, bg_used_dirs_count_hi));
	return 0;
}

int f4_group_desc_write(struct f4_handle *h, struct f4_volume *vol, struct f4_group *g,
			struct f4_buf **ret)
{
	f4_auto_buf *buf = NULL;
	struct f4_group_desc *d;
	int r = desc_read(vol, g->number, &buf, &d);

	if (r == 0)
		r = f4_txn_write(h, buf);
	if (r == 0)
		*ret = f4_take_ptr(buf);
	return r;
}

void f4_group_store(struct f4_volume *vol, struct f4_group *g, struct f4_buf *gdt, uint32_t changed)
{
	struct f4_group_desc *d =
		(struct f4_group_desc *)(void *)(gdt->data + f4_group_desc_off(vol, g->number));
	const uint16_t uninit = F4_BG_INODE_UNINIT | F4_BG_BLOCK_UNINIT;
	uint16_t flags = g->flags;

	if (!vol->has_gdt_csum) /* not ours to change */
		flags |= f4_get_le16(d->bg_flags) & uninit;
	d->bg_flags = f4_mk_le16(flags);
	count_store(&d->bg_free_blocks_count_lo, HI(vol, d, bg_free_blocks_count_hi), g->free_clusters);
	count_store(&d->bg_free_inodes_count_lo, HI(vol, d, bg_free_inodes_count_hi), g->free_inodes);
	count_store(&d->bg_used_dirs_count_lo, HI(vol, d, bg_used_dirs_count_hi), g->dirs);
	if (!vol->has_gdt_csum)
		return;
	count_store(&d->bg_itable_unused_lo, HI(vol, d, bg_itable_unused_hi), g->itable_unused);
	pthread_mutex_lock(&vol->groups->lock);
	g->dirty |= changed;
	if (f4_list_empty(&g->dirty_link))
		f4_list_add_tail(&vol->groups->dirty, &g->dirty_link);
	pthread_mutex_unlock(&vol->groups->lock);
}

static uint32_t bitmap_csum(struct f4_volume *vol, uint64_t blk, uint32_t bits, uint32_t old)
{
	f4_auto_buf *buf = f4_buf_find(vol->cache, blk);

	/* It is in the running transaction, so it is there; without it the old value stays true. */
	return buf ? f4_crc32c(vol->csum_seed, buf->data, bits / 8) : old;
}

/* One group's checksums. No handle but @h is open, so bitmaps and descriptor stand still. */
static void finish_group(struct f4_volume *vol, struct f4_handle *h, struct f4_group *g,
			 uint32_t changed)
{
	f4_auto_buf *buf = NULL;
	struct f4_group_desc *d;

	/* The block is in the transaction already: no credit, no reading; fails only after an abort. */
	if (desc_read(vol, g->number, &buf, &d) < 0 || f4_txn_write(h, buf) < 0)
		return;
	if (vol->has_csum && (changed & F4_GROUP_BLOCK_BITMAP)) {
		g->block_bitmap_csum = bitmap_csum(vol, g->block_bitmap, vol->clusters_per_group,
						   g->block_bitmap_csum);
		count_store(&d->bg_block_bitmap_csum_lo, HI(vol, d, bg_block_bitmap_csum_hi),
			    g->block_bitmap_csum);
	}
	if (vol->has_csum && (changed & F4_GROUP_INODE_BITMAP)) {
		g->inode_bitmap_csum = bitmap_csum(vol, g->inode_bitmap, vol->inodes_per_group,
						   g->inode_bitmap_csum);
		count_store(&d->bg_inode_bitmap_csum_lo, HI(vol, d, bg_inode_bitmap_csum_hi),
			    g->inode_bitmap_csum);
	}
	d->bg_checksum = f4_mk_le16(f4_group_desc_csum(vol, g->number, d));
}

void f4_groups_pre_commit(struct f4_volume *vol, struct f4_handle *h)
{
	struct f4_group_table *t = vol->groups;

	for (;;) {
		struct f4_group *g = NULL;
		uint32_t changed = 0;

		pthread_mutex_lock(&t->lock);
		if (!f4_list_empty(&t->dirty)) {
			g = f4_list_first(&t->dirty, struct f4_group, dirty_link);
			f4_list_del(&g->dirty_link);
			changed = g->dirty;
			g->dirty = 0;
		}
		pthread_mutex_unlock(&t->lock);
		if (!g)
			return;
		pthread_mutex_lock(&g->lock);
		finish_group(vol, h, g, changed);
		pthread_mutex_unlock(&g->lock);
	}
}

/* Adds up the descriptors of groups [@first, @end), which lie in @data. */
static void sum_block(struct f4_volume *vol, const uint8_t *data, uint32_t first, uint32_t end,
		      uint64_t *clusters, uint64_t *inodes)
{
	for (uint32_t g = first; g < end; g++) {
		const struct f4_group_desc *d =
			(const void *)(data + (size_t)(g - first) * vol->desc_size);

		*clusters += count_load(&d->bg_free_blocks_count_lo,
					HI(vol, d, bg_free_blocks_count_hi));
		*inodes += count_load(&d->bg_free_inodes_count_lo,
				      HI(vol, d, bg_free_inodes_count_hi));
	}
}

/* Descriptor blocks that lie one behind the other from the one of @group on, RECOUNT_BLOCKS at most. */
static uint32_t adjacent_blocks(const struct f4_volume *vol, uint32_t group)
{
	uint64_t blk = f4_group_desc_blk(vol, group), next = group;
	uint32_t n = 0;

	do {
		n++;
		next += vol->desc_per_block;
	} while (n < RECOUNT_BLOCKS && next < vol->groups_count &&
		 f4_group_desc_blk(vol, (uint32_t)next) == blk + n);
	return n;
}

/*
 * Past the cache, in large pieces: on a large volume all descriptors are far more than the cache
 * should be filled with. At open nothing in it is newer than the disk.
 */
int f4_groups_recount(struct f4_volume *vol)
{
	f4_auto_free void *guard = malloc((size_t)RECOUNT_BLOCKS << vol->block_bits);
	uint8_t *data = guard;
	uint64_t clusters = 0, inodes = 0, group = 0;

	if (!data)
		return -ENOMEM;
	while (group < vol->groups_count) {
		uint32_t n = adjacent_blocks(vol, (uint32_t)group);
		int r = f4_disk_read(vol->disk, data, (size_t)n << vol->block_bits,
				     f4_group_desc_blk(vol, (uint32_t)group) << vol->block_bits);

		if (r < 0)
			return r;
		for (uint32_t i = 0; i < n; i++) {
			uint64_t end = group + vol->desc_per_block;

			end = end < vol->groups_count ? end : vol->groups_count;
			sum_block(vol, data + ((size_t)i << vol->block_bits), (uint32_t)group,
				  (uint32_t)end, &clusters, &inodes);
			group = end;
		}
	}
	if (clusters > vol->blocks_count >> vol->cluster_bits || inodes > vol->inodes_count)
		return -EUCLEAN;
	atomic_store(&vol->free_clusters, (int64_t)clusters);
	atomic_store(&vol->free_inodes, (int64_t)inodes);
	return 0;
}
