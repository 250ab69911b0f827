/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mapping of files: chooses between extent trees and block maps, and keeps the run found last.
 *
 * The cached run (inode->last_map) is set by lookups under the shared inode lock and dropped by
 * every change under the exclusive one, so it is never stale; map_lock only keeps two readers from
 * tearing it. It holds the whole run, not the part that was asked for: sequential reads of one long
 * extent walk the tree once.
 */
#include "server/ext4/map.h"

#include "server/ext4/extent.h"
#include "server/ext4/indirect.h"

static bool has_extents(const struct f4_inode *inode)
{
	return inode->flags & F4_FL_EXTENTS;
}

uint32_t f4_map_credits(const struct f4_inode *inode)
{
	return has_extents(inode) ? f4_ext_credits(inode) : F4_IND_CREDITS;
}

bool f4_map_is_journalled(const struct f4_inode *inode)
{
	if (!f4_is_reg(inode))
		return true;
	if (inode->flags & F4_FL_EA_INODE) /* written once, before anything refers to it */
		return false;
	return (inode->flags & F4_FL_JOURNAL_DATA) || inode->vol->opt.data_mode == F4_DATA_JOURNAL;
}

void f4_map_init(struct f4_inode *inode)
{
	if (f4_has_incompat(inode->vol, F4_INCOMPAT_EXTENTS)) {
		inode->flags |= F4_FL_EXTENTS;
		f4_ext_init_root(inode->i_block);
	} else {
		inode->flags &= ~F4_FL_EXTENTS;
		memset(inode->i_block, 0, sizeof(inode->i_block));
	}
	f4_map_forget_cache(inode);
}

void f4_map_forget_cache(struct f4_inode *inode)
{
	pthread_mutex_lock(&inode->map_lock);
	inode->last_map = (struct f4_map){ 0 };
	pthread_mutex_unlock(&inode->map_lock);
}

/* Cut @map to begin at @lblk, which it holds, and to @max blocks. */
static void trim(struct f4_map *map, uint32_t lblk, uint32_t max)
{
	uint32_t skip = lblk - map->lblk;

	map->lblk = lblk;
	map->len -= skip;
	if (map->len > max)
		map->len = max;
	if (map->flags & F4_MAP_MAPPED)
		map->pblk += skip;
}

static bool cached_run(struct f4_inode *inode, uint32_t lblk, struct f4_map *ret)
{
	bool hit;

	pthread_mutex_lock(&inode->map_lock);
	*ret = inode->last_map;
	hit = lblk >= ret->lblk && lblk - ret->lblk < ret->len;
	pthread_mutex_unlock(&inode->map_lock);
	return hit;
}

static void cache_run(struct f4_inode *inode, const struct f4_map *map)
{
	pthread_mutex_lock(&inode->map_lock);
	inode->last_map = *map;
	pthread_mutex_unlock(&inode->map_lock);
}

int f4_map_lookup(struct f4_inode *inode, uint32_t lblk, uint32_t max, struct f4_map *ret)
{
	struct f4_map map;
	int r;

	if (lblk > F4_MAP_LBLK_MAX || max == 0)
		return -EINVAL;
	if (!cached_run(inode, lblk, &map)) {
		r = has_extents(inode) ? f4_ext_lookup(inode, lblk, &map) :
					 f4_ind_lookup(inode, lblk, &map);
		if (r)
			return r;
		cache_run(inode, &map);
	}
	trim(&map, lblk, max);
	*ret = map;
	return 0;
}

/* The mapping changed in @h: what is cached of it is stale, and fdatasync has to wait for it. */
static void changed(struct f4_handle *h, struct f4_inode *inode)
{
	f4_map_forget_cache(inode);
	atomic_store(&inode->datasync_tid, h->tid);
	atomic_store(&inode->sync_tid, h->tid);
}

int f4_map_alloc(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t len,
		 uint32_t flags, struct f4_map *ret)
{
	int r;

	if (len > F4_EXT_END - lblk)
		len = F4_EXT_END - lblk;
	r = f4_map_lookup(inode, lblk, len, ret);
	if (r || (ret->flags & F4_MAP_MAPPED))
		return r;
	if (len > ret->len)
		len = ret->len;
	if (has_extents(inode))
		r = f4_ext_alloc(h, inode, lblk, len, flags, ret);
	else if (flags & F4_MAP_ALLOC_UNWRITTEN)
		r = -EOPNOTSUPP;
	else
		r = f4_ind_alloc(h, inode, lblk, len, flags, ret);
	changed(h, inode);
	return r;
}

int f4_map_convert(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t len)
{
	int r = 0;

	if (has_extents(inode)) /* a block map has nothing unwritten */
		r = f4_ext_convert(h, inode, lblk, len, false);
	changed(h, inode);
	return r;
}

int f4_map_unwrite(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t len)
{
	int r = -EOPNOTSUPP;

	if (has_extents(inode))
		r = f4_ext_convert(h, inode, lblk, len, true);
	changed(h, inode);
	return r;
}

int f4_map_remove(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t end,
		  uint32_t *ret_end)
{
	int r;

	*ret_end = lblk;
	if (lblk >= end)
		return 0;
	r = has_extents(inode) ? f4_ext_remove(h, inode, lblk, end, ret_end) :
				 f4_ind_remove(h, inode, lblk, end, ret_end);
	changed(h, inode);
	return r;
}

int f4_map_check(struct f4_inode *inode, uint64_t *ret_blocks)
{
	return has_extents(inode) ? f4_ext_check(inode, ret_blocks) :
				    f4_ind_check(inode, ret_blocks);
}
