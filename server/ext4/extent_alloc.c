/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extent trees: allocation, conversion, removal, as map.h has them.
 *
 * Clusters (bigalloc): blocks of one logical cluster live in one physical cluster, at the same
 * place in it. So a hole in a cluster that is partly mapped is filled without allocation, and a
 * cluster is freed when its last mapped block goes.
 */
#include "server/ext4/extent.h"

#include "server/ext4/quota.h"

/*
 * A splice may split every level and grow the root (a block with its allocation each), changes the
 * nodes of the way and the inode; data is allocated, or freed in two groups. Two are spare for what
 * is given back when a splice fails.
 */
uint32_t f4_ext_credits(const struct f4_inode *inode)
{
	uint32_t depth = f4_load_le16(inode->i_block + offsetof(struct f4_extent_header, eh_depth));

	if (depth > F4_EXT_MAX_DEPTH)
		depth = F4_EXT_MAX_DEPTH; /* damaged: the walk will say so */
	return (depth + 1) * (F4_ALLOC_CREDITS + 1) + depth + F4_ALLOC_CREDITS + 1 + 2;
}

static uint32_t clu_mask(const struct f4_volume *vol)
{
	return vol->cluster_ratio - 1;
}

static uint64_t clu_units(const struct f4_volume *vol, uint64_t clusters)
{
	return clusters << (vol->cluster_bits + vol->block_bits - 9);
}

/* --- allocation --- */

/* What surrounds the hole that is being filled. */
struct hole {
	struct f4_ext prev, next; /* len 0: none */
	uint32_t end;		  /* first mapped block behind */
};

static int look_around(struct f4_inode *inode, uint32_t lblk, struct hole *ret)
{
	f4_auto_ext_path p = { 0 };
	const struct f4_ext_node *leaf;
	int r = f4_ext_find(inode, lblk, &p);

	if (r)
		return r;
	*ret = (struct hole){ .end = f4_ext_next(&p) };
	leaf = &p.node[p.depth];
	if (leaf->pos >= 0)
		ret->prev = f4_ext_at(&p, (uint32_t)leaf->pos);
	if (leaf->pos + 1 < (int32_t)leaf->entries)
		ret->next = f4_ext_at(&p, (uint32_t)(leaf->pos + 1));
	else if (ret->end != F4_EXT_END && inode->vol->cluster_ratio > 1) {
		r = f4_ext_covering(inode, ret->end, &ret->next); /* in the next leaf */
		if (!r && ret->next.len == 0)
			r = f4_corrupt(inode->vol, inode->ino, 0, "extent leaf without extents");
	}
	return r;
}

/* Where @lblk would be if its neighbours went on; 0: they give no hint. */
static uint64_t neighbour_goal(const struct hole *around, uint32_t lblk)
{
	const struct f4_ext *p = &around->prev, *n = &around->next;

	if (p->len)
		return p->pblk + (lblk - p->lblk);
	if (n->len && n->pblk > n->lblk - lblk)
		return n->pblk - (n->lblk - lblk);
	return 0;
}

/*
 * Bigalloc: is @lblk's cluster mapped in part? Then *pblk is its place and *len is cut to what of
 * the hole lies in the cluster.
 */
static bool shared_cluster(const struct f4_volume *vol, const struct hole *around, uint32_t lblk,
			   uint32_t *len, uint64_t *pblk)
{
	uint32_t mask = clu_mask(vol), begin = lblk & ~mask;
	uint64_t end = (uint64_t)begin + mask + 1;
	const struct f4_ext *p = &around->prev, *n = &around->next;

	if (p->len && f4_ext_end(p) > begin)
		*pblk = p->pblk + (lblk - p->lblk);
	else if (n->len && n->lblk < end)
		*pblk = n->pblk - (n->lblk - lblk);
	else
		return false;
	if (*len > end - lblk)
		*len = (uint32_t)(end - lblk);
	return true;
}

/* Data blocks for [lblk, lblk + *len), perhaps fewer. @ret_clusters: how many were taken for it. */
static int take_blocks(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t flags,
		       const struct hole *around, uint32_t *len, uint64_t *pblk,
		       uint64_t *ret_clusters)
{
	struct f4_volume *vol = inode->vol;
	uint32_t mask = clu_mask(vol), head = lblk & mask, got;
	struct f4_alloc_req req = { .ino = inode->ino };
	int r;

	*ret_clusters = 0;
	if (mask && shared_cluster(vol, around, lblk, len, pblk))
		return 0;
	/* The cluster where the hole ends is taken already, if the hole ends inside of one. */
	if (mask && around->end != F4_EXT_END && (uint64_t)lblk + *len > (around->end & ~mask))
		*len = (around->end & ~mask) - lblk;
	req.goal = neighbour_goal(around, lblk);
	if (!req.goal)
		req.goal = inode->alloc_goal;
	if (req.goal > head)
		req.goal -= head;
	req.len = head + *len;
	if (flags & F4_MAP_ALLOC_RESERVED)
		req.flags |= F4_ALLOC_RESERVED;
	if (flags & F4_MAP_ALLOC_METADATA)
		req.flags |= F4_ALLOC_METADATA;
	r = f4_quota_alloc(h, inode, &req, pblk, &got);
	if (r)
		return r;
	*ret_clusters = ((uint64_t)got + mask) >> vol->cluster_bits;
	got = (uint32_t)(*ret_clusters << vol->cluster_bits);
	*pblk += head;
	if (*len > got - head)
		*len = got - head;
	return 0;
}

int f4_ext_alloc(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t len,
		 uint32_t flags, struct f4_map *ret)
{
	struct f4_volume *vol = inode->vol;
	struct f4_ext_edit ed = { .h = h, .inode = inode };
	struct f4_ext x = { .lblk = lblk, .unwritten = flags & F4_MAP_ALLOC_UNWRITTEN };
	uint32_t max = x.unwritten ? F4_EXT_UNWRITTEN_MAX_LEN : F4_EXT_INIT_MAX_LEN;
	struct hole around;
	uint64_t clusters;
	int r = look_around(inode, lblk, &around);

	if (r)
		return r;
	if (flags & F4_MAP_ALLOC_RESERVED)
		ed.alloc_flags = F4_ALLOC_RESERVED;
	x.len = len < max ? len : max;
	if (x.len > around.end - lblk)
		x.len = around.end - lblk;
	r = take_blocks(h, inode, lblk, flags, &around, &x.len, &x.pblk, &clusters);
	if (r)
		return r;
	r = f4_ext_splice(&ed, lblk, 0, &x, 1);
	if (r) {
		if (clusters)
			(void)f4_quota_unalloc(h, inode, x.pblk & ~(uint64_t)clu_mask(vol),
					       clusters << vol->cluster_bits);
		return r;
	}
	inode->blocks += clu_units(vol, clusters);
	inode->alloc_goal = x.pblk + x.len;
	*ret = (struct f4_map){ .lblk = lblk,
				.len = x.len,
				.pblk = x.pblk,
				.flags = F4_MAP_MAPPED | F4_MAP_NEW };
	if (x.unwritten)
		ret->flags |= F4_MAP_UNWRITTEN;
	return 0;
}

/* --- conversion --- */

/*
 * There is no room for the tree block that a split needs, but the promise of the preallocated
 * extent must hold: write zeroes to the rest of it, so that it becomes written as a whole.
 */
static int zero_out(const struct f4_ext_edit *ed, const struct f4_ext *e, uint32_t begin,
		    uint32_t end)
{
	struct f4_volume *vol = ed->inode->vol;
	struct f4_ext whole = *e;
	int r = 0;

	if (begin > e->lblk)
		r = f4_disk_zero(vol->disk, e->pblk << vol->block_bits,
				 (uint64_t)(begin - e->lblk) << vol->block_bits);
	if (!r && end < f4_ext_end(e))
		r = f4_disk_zero(vol->disk, (e->pblk + (end - e->lblk)) << vol->block_bits,
				 (uint64_t)(f4_ext_end(e) - end) << vol->block_bits);
	if (r)
		return r;
	whole.unwritten = false;
	return f4_ext_splice(ed, e->lblk, 1, &whole, 1);
}

/* The part [begin, end) of extent @e changes its state. */
static int convert_part(const struct f4_ext_edit *ed, const struct f4_ext *e, uint32_t begin,
			uint32_t end, bool unwritten)
{
	struct f4_ext x[3];
	uint32_t m = 0;
	int r;

	if (begin > e->lblk)
		x[m++] = (struct f4_ext){ e->lblk, begin - e->lblk, e->pblk, e->unwritten };
	x[m++] = (struct f4_ext){ begin, end - begin, e->pblk + (begin - e->lblk), unwritten };
	if (end < f4_ext_end(e))
		x[m++] = (struct f4_ext){ end, f4_ext_end(e) - end, e->pblk + (end - e->lblk),
					  e->unwritten };
	r = f4_ext_splice(ed, e->lblk, 1, x, m);
	if ((r == -ENOSPC || r == -EDQUOT) && !unwritten)
		r = zero_out(ed, e, begin, end);
	return r;
}

int f4_ext_convert(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t len,
		   bool unwritten)
{
	struct f4_ext_edit ed = { .h = h, .inode = inode };

	while (len > 0) {
		struct f4_ext e;
		uint32_t n;
		int r = f4_ext_covering(inode, lblk, &e);

		if (r)
			return r;
		if (e.len == 0)
			return -EINVAL;
		n = f4_ext_end(&e) - lblk;
		if (n > len)
			n = len;
		if (unwritten && n > F4_EXT_UNWRITTEN_MAX_LEN)
			n = F4_EXT_UNWRITTEN_MAX_LEN;
		if (e.unwritten != unwritten)
			r = convert_part(&ed, &e, lblk, lblk + n, unwritten);
		if (r)
			return r;
		lblk += n;
		len -= n;
	}
	return 0;
}

/* --- removal --- */

/* Is any block of [begin, end) mapped? Return: 1, 0 or a negative errno. */
static int any_mapped(struct f4_inode *inode, uint32_t begin, uint32_t end)
{
	struct f4_ext e;
	int r;

	if (begin >= end)
		return 0;
	r = f4_ext_last_before(inode, end, &e);
	if (r)
		return r;
	return e.len && f4_ext_end(&e) > begin;
}

/* Give back the blocks that [lblk, lblk + len) had, after the tree has let go of them. */
static int free_data(const struct f4_ext_edit *ed, uint32_t lblk, uint32_t len, uint64_t pblk)
{
	struct f4_inode *inode = ed->inode;
	struct f4_volume *vol = inode->vol;
	uint32_t mask = clu_mask(vol), i;
	uint64_t begin = lblk & ~mask, end = ((uint64_t)lblk + len + mask) & ~(uint64_t)mask, units;
	int r;

	if (f4_map_is_journalled(inode)) {
		for (i = 0; i < len; i++) {
			r = f4_txn_forget(ed->h, pblk + i);
			if (r)
				return r;
		}
	}
	if (mask) {
		/* Clusters at the ends stay while others of their blocks are mapped. */
		r = any_mapped(inode, (uint32_t)begin, lblk);
		if (r < 0)
			return r;
		if (r)
			begin += mask + 1;
		r = any_mapped(inode, lblk + len, end > F4_EXT_END ? F4_EXT_END : (uint32_t)end);
		if (r < 0)
			return r;
		if (r)
			end -= mask + 1;
		if (begin >= end)
			return 0;
	}
	r = f4_alloc_free(ed->h, vol, inode->ino, pblk - lblk + begin, end - begin);
	units = (end - begin) << (vol->block_bits - 9);
	inode->blocks -= inode->blocks < units ? inode->blocks : units;
	return r == -EUCLEAN ? 0 : r; /* were free already: reported; the file goes on losing them */
}

/*
 * Where to begin in the part [begin, end) of an extent so that its blocks lie in at most two groups (what
 * the credits are for), and in bounded steps for data that must be forgotten block by block.
 */
static uint32_t bounded_begin(const struct f4_inode *inode, uint32_t begin, uint32_t end)
{
	const struct f4_volume *vol = inode->vol;
	uint32_t max = vol->blocks_per_group, forget_max = 1024;

	if (f4_map_is_journalled(inode) && max > forget_max)
		max = forget_max;
	return end - begin > max ? end - max : begin;
}

/* Unmap [begin, end) of @e. */
static int remove_part(const struct f4_ext_edit *ed, const struct f4_ext *e, uint32_t begin,
		       uint32_t end)
{
	struct f4_ext_edit again = *ed;
	struct f4_ext x[2];
	uint32_t m = 0;
	int r;

	if (begin > e->lblk)
		x[m++] = (struct f4_ext){ e->lblk, begin - e->lblk, e->pblk, e->unwritten };
	if (end < f4_ext_end(e))
		x[m++] = (struct f4_ext){ end, f4_ext_end(e) - end, e->pblk + (end - e->lblk),
					  e->unwritten };
	r = f4_ext_splice(ed, e->lblk, 1, x, m);
	if (r == -ENOSPC) { /* removal makes room: it may borrow the tree block that a split needs */
		again.alloc_flags |= F4_ALLOC_RESERVED;
		r = f4_ext_splice(&again, e->lblk, 1, x, m);
	}
	if (r)
		return r;
	return free_data(ed, begin, end - begin, e->pblk + (begin - e->lblk));
}

int f4_ext_remove(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t end,
		  uint32_t *ret_end)
{
	struct f4_ext_edit ed = { .h = h, .inode = inode };
	uint32_t need, begin;
	bool first = true;

	for (;;) {
		struct f4_ext e;
		int r = f4_ext_last_before(inode, end, &e);

		if (r)
			return r;
		if (e.len == 0 || f4_ext_end(&e) <= lblk) {
			*ret_end = lblk;
			return 0;
		}
		if (f4_ext_end(&e) < end)
			end = f4_ext_end(&e);
		need = f4_ext_credits(inode);
		if (!first && h->reserved < need && f4_txn_extend(h, need)) {
			*ret_end = end;
			return 0;
		}
		begin = bounded_begin(inode, e.lblk > lblk ? e.lblk : lblk, end);
		r = remove_part(&ed, &e, begin, end);
		if (r)
			return r;
		end = begin;
		first = false;
	}
}
