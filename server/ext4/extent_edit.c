/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extent trees: changing a leaf, and what that means for the nodes above it.
 *
 * Everything is one primitive, f4_ext_splice: some extents of one leaf become others. When the leaf
 * lacks room, the tree is first given room by single steps that each leave a valid tree with the
 * same content: a full root moves down into a block of its own, or the topmost full node under one
 * with room is split. So a failed allocation on the way leaves nothing to undo. The step that
 * splits a leaf for an append leaves the new leaf empty for the moment until the extent is put
 * there, which no longer can fail but by an aborted journal.
 *
 * Within a step all that can fail comes before the first store.
 */
#include "server/ext4/extent.h"

#include <assert.h>

#include "server/ext4/quota.h"

#define HDR_BYTES   ((uint32_t)sizeof(struct f4_extent_header))
#define ENTRY_BYTES ((uint32_t)sizeof(struct f4_extent))
#define SPLICE_MAX  3u

/* --- raw stores --- */

static uint8_t *entry(uint8_t *raw, uint32_t i)
{
	return raw + HDR_BYTES + (size_t)i * ENTRY_BYTES;
}

static void set_entries(uint8_t *raw, uint32_t n)
{
	f4_store_le16(raw + offsetof(struct f4_extent_header, eh_entries), (uint16_t)n);
}

static void set_header(uint8_t *raw, uint32_t max, uint32_t depth)
{
	f4_store_le16(raw + offsetof(struct f4_extent_header, eh_magic), F4_EXT_MAGIC);
	f4_store_le16(raw + offsetof(struct f4_extent_header, eh_entries), 0);
	f4_store_le16(raw + offsetof(struct f4_extent_header, eh_max), (uint16_t)max);
	f4_store_le16(raw + offsetof(struct f4_extent_header, eh_depth), (uint16_t)depth);
}

static void put_ext(uint8_t *raw, uint32_t i, const struct f4_ext *x)
{
	uint8_t *e = entry(raw, i);
	uint32_t len = x->unwritten ? x->len + F4_EXT_INIT_MAX_LEN : x->len;

	f4_store_le32(e + offsetof(struct f4_extent, ee_block), x->lblk);
	f4_store_le16(e + offsetof(struct f4_extent, ee_len), (uint16_t)len);
	f4_store_le16(e + offsetof(struct f4_extent, ee_start_hi), (uint16_t)(x->pblk >> 32));
	f4_store_le32(e + offsetof(struct f4_extent, ee_start_lo), (uint32_t)x->pblk);
}

static void put_idx(uint8_t *raw, uint32_t i, uint32_t lblk, uint64_t pblk)
{
	uint8_t *e = entry(raw, i);

	f4_store_le32(e + offsetof(struct f4_extent_idx, ei_block), lblk);
	f4_store_le32(e + offsetof(struct f4_extent_idx, ei_leaf_lo), (uint32_t)pblk);
	f4_store_le16(e + offsetof(struct f4_extent_idx, ei_leaf_hi), (uint16_t)(pblk >> 32));
	f4_store_le16(e + offsetof(struct f4_extent_idx, ei_unused), 0);
}

/* Make room for @m entries in place of the @n_old at @at; @n: entries now. */
static void shift_entries(uint8_t *raw, uint32_t n, uint32_t at, uint32_t n_old, uint32_t m)
{
	memmove(entry(raw, at + m), entry(raw, at + n_old), (size_t)(n - at - n_old) * ENTRY_BYTES);
	set_entries(raw, n - n_old + m);
}

/* --- tree blocks --- */

static uint64_t tree_block_units(const struct f4_volume *vol)
{
	return (uint64_t)vol->cluster_ratio << (vol->block_bits - 9);
}

static int new_tree_block(const struct f4_ext_edit *ed, uint64_t goal, uint32_t depth,
			  struct f4_buf **ret)
{
	struct f4_inode *inode = ed->inode;
	struct f4_volume *vol = inode->vol;
	struct f4_alloc_req req = { .ino = inode->ino,
				    .goal = goal,
				    .len = 1,
				    .flags = F4_ALLOC_METADATA | F4_ALLOC_TREE | ed->alloc_flags };
	struct f4_buf *buf = NULL;
	uint64_t blk;
	uint32_t len;
	int r = f4_quota_alloc(ed->h, inode, &req, &blk, &len);

	if (r)
		return r;
	r = f4_buf_new(vol->cache, blk, &f4_class_extent, inode->ino, inode->csum_seed, &buf);
	if (!r)
		r = f4_txn_create(ed->h, buf);
	if (r) {
		f4_buf_put(buf);
		(void)f4_quota_unalloc(ed->h, inode, blk, vol->cluster_ratio);
		return r; /* the first failure is the one to tell */
	}
	set_header(buf->data, (vol->block_size - HDR_BYTES) / ENTRY_BYTES, depth);
	inode->blocks += tree_block_units(vol);
	*ret = buf;
	return 0;
}

/* Give back a block that new_tree_block made (or found on disk); no reference may be left. */
static int free_tree_block(const struct f4_ext_edit *ed, uint64_t blk)
{
	struct f4_inode *inode = ed->inode;
	struct f4_volume *vol = inode->vol;
	uint64_t units = tree_block_units(vol);
	int r = f4_alloc_free(ed->h, vol, inode->ino, blk & ~(uint64_t)(vol->cluster_ratio - 1),
			      vol->cluster_ratio);

	inode->blocks -= inode->blocks < units ? inode->blocks : units;
	if (r && r != -EUCLEAN) /* a block that was free already was reported; go on without it */
		return r;
	return f4_txn_forget(ed->h, blk);
}

static int write_node(const struct f4_ext_edit *ed, const struct f4_ext_path *p, uint32_t level)
{
	struct f4_buf *buf = p->node[level].buf;

	return buf ? f4_txn_write(ed->h, buf) : 0; /* the root goes with the inode */
}

/* --- keys of the nodes above --- */

/* Announce a change to the keys of @level's ancestors that a new first key of @level would reach. */
static int write_keys(const struct f4_ext_edit *ed, const struct f4_ext_path *p, uint32_t level)
{
	while (level-- > 0) {
		int r = write_node(ed, p, level);

		if (r)
			return r;
		if (p->node[level].pos > 0)
			break;
	}
	return 0;
}

static void set_keys(const struct f4_ext_path *p, uint32_t level, uint32_t key)
{
	while (level-- > 0) {
		uint32_t pos = (uint32_t)p->node[level].pos;
		uint8_t *raw = f4_ext_node_raw(p, level);

		f4_store_le32(entry(raw, pos) + offsetof(struct f4_extent_idx, ei_block), key);
		if (pos > 0)
			break;
	}
}

/* --- making room --- */

/* The root is full: its content moves into a new block, which becomes its only child. */
static int grow_root(const struct f4_ext_edit *ed, const struct f4_ext_path *p)
{
	uint8_t *root = p->inode->i_block;
	uint32_t n = p->node[0].entries;
	struct f4_buf *buf;
	int r;

	if (p->depth >= F4_EXT_MAX_DEPTH)
		return f4_corrupt(p->inode->vol, p->inode->ino, 0, "extent tree can't grow deeper");
	r = new_tree_block(ed, 0, p->depth, &buf);
	if (r)
		return r;
	memcpy(entry(buf->data, 0), entry(root, 0), (size_t)n * ENTRY_BYTES);
	set_entries(buf->data, n);
	set_header(root, p->node[0].max, p->depth + 1);
	set_entries(root, 1);
	put_idx(root, 0, f4_ext_idx_lblk(buf->data, 0), buf->blk);
	f4_buf_put(buf);
	return 0;
}

/*
 * Split the full node at @level; its parent has room. @append: nothing will be put before the end,
 * so that the left node stays full and an empty leaf at @key is made (an index node never is empty).
 */
static int split_node(const struct f4_ext_edit *ed, const struct f4_ext_path *p, uint32_t level,
		      bool append, uint32_t key)
{
	const struct f4_ext_node *n = &p->node[level], *up = &p->node[level - 1];
	uint8_t *raw = f4_ext_node_raw(p, level), *up_raw = f4_ext_node_raw(p, level - 1);
	bool leaf = level == p->depth;
	uint32_t keep = append ? n->entries - (leaf ? 0 : 1) : n->entries / 2;
	struct f4_buf *buf;
	uint64_t blk;
	int r = write_node(ed, p, level);

	if (!r)
		r = write_node(ed, p, level - 1);
	if (!r)
		r = new_tree_block(ed, n->buf->blk, p->depth - level, &buf);
	if (r)
		return r;
	blk = buf->blk;
	if (keep < n->entries)
		key = f4_ext_idx_lblk(raw, keep); /* at the same place in a leaf's entry */
	memcpy(entry(buf->data, 0), entry(raw, keep), (size_t)(n->entries - keep) * ENTRY_BYTES);
	set_entries(buf->data, n->entries - keep);
	set_entries(raw, keep);
	shift_entries(up_raw, up->entries, (uint32_t)up->pos + 1, 0, 1);
	put_idx(up_raw, (uint32_t)up->pos + 1, key, blk);
	f4_buf_put(buf);
	return 0;
}

/* One step towards room in the path's leaf for what goes to entry @at (@n_old are replaced there). */
static int make_room(const struct f4_ext_edit *ed, const struct f4_ext_path *p, uint32_t at,
		     uint32_t n_old, uint32_t key)
{
	uint32_t level = p->depth;
	const struct f4_ext_node *n;

	if (level == 0)
		return grow_root(ed, p);
	while (level > 0 && p->node[level - 1].entries == p->node[level - 1].max)
		level--;
	if (level == 0)
		return grow_root(ed, p);
	n = &p->node[level];
	if (level == p->depth)
		return split_node(ed, p, level, n_old == 0 && at == n->entries, key);
	return split_node(ed, p, level, n->pos + 1 == (int32_t)n->entries, key);
}

/* --- the change itself --- */

/* The leaf becomes empty: take it, and index nodes that become empty with it, out of the tree. */
static int drop_leaf(const struct f4_ext_edit *ed, struct f4_ext_path *p)
{
	uint64_t blks[F4_EXT_MAX_DEPTH];
	uint32_t kill = p->depth, n = 0, level, entries, pos;
	uint8_t *raw;
	int r;

	while (kill > 1 && p->node[kill - 1].entries == 1)
		kill--;
	level = kill - 1;
	entries = p->node[level].entries;
	pos = (uint32_t)p->node[level].pos;
	r = write_node(ed, p, level);
	if (!r && pos == 0 && entries > 1)
		r = write_keys(ed, p, level);
	if (r)
		return r;
	raw = f4_ext_node_raw(p, level);
	if (entries == 1) { /* the root's last one */
		set_header(raw, p->node[0].max, 0);
	} else {
		shift_entries(raw, entries, pos, 1, 0);
		if (pos == 0)
			set_keys(p, level, f4_ext_idx_lblk(raw, 0));
	}
	for (level = kill; level <= p->depth; level++)
		blks[n++] = p->node[level].buf->blk;
	f4_ext_path_done(p);
	while (n-- > 0) {
		r = free_tree_block(ed, blks[n]);
		if (r)
			return r;
	}
	return 0;
}

static int change_leaf(const struct f4_ext_edit *ed, struct f4_ext_path *p, uint32_t at,
		       uint32_t n_old, const struct f4_ext *new_ext, uint32_t m)
{
	const struct f4_ext_node *leaf = &p->node[p->depth];
	uint8_t *raw = f4_ext_node_raw(p, p->depth);
	bool new_first;
	uint32_t i;
	int r;

	if (leaf->entries == n_old && m == 0 && p->depth > 0)
		return drop_leaf(ed, p);
	new_first = at == 0 && p->depth > 0 &&
		    (m == 0 || leaf->entries == 0 ||
		     new_ext[0].lblk != f4_ext_idx_lblk(raw, 0));
	r = write_node(ed, p, p->depth);
	if (!r && new_first)
		r = write_keys(ed, p, p->depth);
	if (r)
		return r;
	shift_entries(raw, leaf->entries, at, n_old, m);
	for (i = 0; i < m; i++)
		put_ext(raw, at + i, &new_ext[i]);
	if (new_first)
		set_keys(p, p->depth, f4_ext_idx_lblk(raw, 0));
	return 0;
}

static bool can_merge(const struct f4_ext *a, const struct f4_ext *b)
{
	uint32_t max = a->unwritten ? F4_EXT_UNWRITTEN_MAX_LEN : F4_EXT_INIT_MAX_LEN;

	return a->unwritten == b->unwritten && f4_ext_end(a) == b->lblk &&
	       a->pblk + a->len == b->pblk && a->len + b->len <= max;
}

/* Take neighbours that continue the first or last of x[0..m) into it: the window grows. */
static void merge_neighbours(const struct f4_ext_path *p, uint32_t *at, uint32_t *n_old,
			     struct f4_ext *x, uint32_t m)
{
	uint32_t entries = p->node[p->depth].entries;
	struct f4_ext e;

	if (m == 0)
		return;
	if (*at > 0) {
		e = f4_ext_at(p, *at - 1);
		if (can_merge(&e, &x[0])) {
			x[0].lblk = e.lblk;
			x[0].pblk = e.pblk;
			x[0].len += e.len;
			(*at)--;
			(*n_old)++;
		}
	}
	if (*at + *n_old < entries) {
		e = f4_ext_at(p, *at + *n_old);
		if (can_merge(&x[m - 1], &e)) {
			x[m - 1].len += e.len;
			(*n_old)++;
		}
	}
}

int f4_ext_splice(const struct f4_ext_edit *ed, uint32_t key, uint32_t n_old,
		  const struct f4_ext *new_ext, uint32_t m)
{
	uint32_t round;

	assert(n_old <= 1 && m <= SPLICE_MAX);
	/* A growing root and a split on each level are the most that it takes. */
	for (round = 0; round < 2 * F4_EXT_MAX_DEPTH + 2; round++) {
		f4_auto_ext_path p = { 0 };
		struct f4_ext x[SPLICE_MAX];
		const struct f4_ext_node *leaf;
		uint32_t at, old = n_old;
		int r = f4_ext_find(ed->inode, key, &p);

		if (r)
			return r;
		leaf = &p.node[p.depth];
		if (n_old && (leaf->pos < 0 || f4_ext_at(&p, (uint32_t)leaf->pos).lblk != key))
			return f4_corrupt(ed->inode->vol, ed->inode->ino, 0,
					  "extent tree changed under its owner");
		at = (uint32_t)(leaf->pos + (n_old ? 0 : 1));
		if (m > 0)
			memcpy(x, new_ext, m * sizeof(x[0]));
		merge_neighbours(&p, &at, &old, x, m);
		if (leaf->entries - old + m <= leaf->max)
			return change_leaf(ed, &p, at, old, x, m);
		r = make_room(ed, &p, at, old, key);
		if (r)
			return r;
	}
	return f4_corrupt(ed->inode->vol, ed->inode->ino, 0, "extent tree finds no room");
}
