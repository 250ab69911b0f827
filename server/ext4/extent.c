/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extent trees: finding and checking.
 *
 * A tree block is checked as a whole once, when it is read (f4_class_extent): header, checksum,
 * order of entries, physical ranges. Each walk then checks what a block can't know of itself: its
 * depth and the logical range that its parent gives it. The root has no block and is checked at
 * each walk. Depth strictly decreases downwards, so no image makes a walk endless.
 */
#include "server/ext4/extent.h"

#include "server/ext4/csum.h"
#include "server/ext4/group.h"

#define HDR_BYTES   ((uint32_t)sizeof(struct f4_extent_header))
#define ENTRY_BYTES ((uint32_t)sizeof(struct f4_extent))

/* --- raw access; nodes are only byte aligned in i_block --- */

static uint32_t hdr_magic(const uint8_t *raw)
{
	return f4_load_le16(raw + offsetof(struct f4_extent_header, eh_magic));
}

static uint32_t hdr_entries(const uint8_t *raw)
{
	return f4_load_le16(raw + offsetof(struct f4_extent_header, eh_entries));
}

static uint32_t hdr_max(const uint8_t *raw)
{
	return f4_load_le16(raw + offsetof(struct f4_extent_header, eh_max));
}

static uint32_t hdr_depth(const uint8_t *raw)
{
	return f4_load_le16(raw + offsetof(struct f4_extent_header, eh_depth));
}

static const uint8_t *entry(const uint8_t *raw, uint32_t i)
{
	return raw + HDR_BYTES + (size_t)i * ENTRY_BYTES;
}

static struct f4_ext get_ext(const uint8_t *raw, uint32_t i)
{
	const uint8_t *e = entry(raw, i);
	uint32_t len = f4_load_le16(e + offsetof(struct f4_extent, ee_len));
	struct f4_ext r = {
		.lblk = f4_load_le32(e + offsetof(struct f4_extent, ee_block)),
		.len = len,
		.pblk = f4_load_le32(e + offsetof(struct f4_extent, ee_start_lo)) |
			(uint64_t)f4_load_le16(e + offsetof(struct f4_extent, ee_start_hi)) << 32,
	};

	if (len > F4_EXT_INIT_MAX_LEN) {
		r.len = len - F4_EXT_INIT_MAX_LEN;
		r.unwritten = true;
	}
	return r;
}

uint32_t f4_ext_idx_lblk(const uint8_t *raw, uint32_t i)
{
	return f4_load_le32(entry(raw, i) + offsetof(struct f4_extent_idx, ei_block));
}

uint64_t f4_ext_idx_pblk(const uint8_t *raw, uint32_t i)
{
	const uint8_t *e = entry(raw, i);

	return f4_load_le32(e + offsetof(struct f4_extent_idx, ei_leaf_lo)) |
	       (uint64_t)f4_load_le16(e + offsetof(struct f4_extent_idx, ei_leaf_hi)) << 32;
}

/* First logical block of entry @i, which is at the same place in both kinds of entry. */
static uint32_t entry_lblk(const uint8_t *raw, uint32_t i)
{
	return f4_load_le32(entry(raw, i));
}

/* --- checks --- */

/* NULL, or what is wrong with the extents of a leaf. */
static const char *check_leaf(struct f4_volume *vol, const uint8_t *raw)
{
	uint32_t i, n = hdr_entries(raw), mask = vol->cluster_ratio - 1;
	uint64_t next = 0;

	for (i = 0; i < n; i++) {
		struct f4_ext e = get_ext(raw, i);

		if (e.len == 0)
			return "extent without blocks";
		if (e.lblk < next)
			return "extents out of order";
		next = (uint64_t)e.lblk + e.len;
		if (next > F4_EXT_END)
			return "extent beyond the last logical block";
		if ((e.lblk & mask) != (e.pblk & mask))
			return "extent not aligned to its cluster";
		if (!f4_volume_blocks_ok(vol, e.pblk, e.len))
			return "extent outside of the data blocks";
	}
	return NULL;
}

static const char *check_index(struct f4_volume *vol, const uint8_t *raw)
{
	uint32_t i, n = hdr_entries(raw);

	if (n == 0)
		return "index node without entries";
	for (i = 0; i < n; i++) {
		if (i > 0 && f4_ext_idx_lblk(raw, i) <= f4_ext_idx_lblk(raw, i - 1))
			return "index entries out of order";
		if (!f4_volume_blocks_ok(vol, f4_ext_idx_pblk(raw, i), 1))
			return "index entry outside of the data blocks";
	}
	return NULL;
}

/*
 * NULL, or what is wrong with a node that has room for @cap entries. mke2fs and the kernel use all
 * the room; up to two entries less are allowed, as e2fsck does.
 */
static const char *check_node(struct f4_volume *vol, const uint8_t *raw, uint32_t cap)
{
	if (hdr_magic(raw) != F4_EXT_MAGIC)
		return "bad magic of an extent node";
	if (hdr_max(raw) > cap || hdr_max(raw) + 2 < cap)
		return "bad capacity of an extent node";
	if (hdr_entries(raw) > hdr_max(raw))
		return "too many entries in an extent node";
	if (hdr_depth(raw) > F4_EXT_MAX_DEPTH)
		return "extent tree too deep";
	return hdr_depth(raw) ? check_index(vol, raw) : check_leaf(vol, raw);
}

static uint32_t root_cap(void)
{
	return (F4_I_BLOCK_BYTES - HDR_BYTES) / ENTRY_BYTES;
}

static uint32_t block_cap(const struct f4_volume *vol)
{
	return (vol->block_size - HDR_BYTES) / ENTRY_BYTES;
}

/* Where the checksum is: after the last entry that there is room for. */
static uint32_t tail_off(const struct f4_volume *vol, const uint8_t *raw)
{
	uint32_t max = hdr_max(raw), cap = block_cap(vol);

	return HDR_BYTES + (max < cap ? max : cap) * ENTRY_BYTES;
}

static int extent_verify(struct f4_volume *vol, const struct f4_buf *buf, const uint8_t *data)
{
	const char *what = check_node(vol, data, block_cap(vol));
	uint32_t off = tail_off(vol, data);

	/* The tail overlaps no entry: block sizes are powers of two, so 4 bytes or more remain. */
	if (!what && vol->has_csum && f4_load_le32(data + off) != f4_crc32c(buf->seed, data, off))
		what = "bad checksum of an extent node";
	if (!what)
		return 0;
	return f4_corrupt(vol, buf->owner, buf->blk, "%s", what);
}

static void extent_seal(struct f4_volume *vol, const struct f4_buf *buf, uint8_t *data)
{
	uint32_t off = tail_off(vol, data);

	if (vol->has_csum)
		f4_store_le32(data + off, f4_crc32c(buf->seed, data, off));
}

const struct f4_buf_class f4_class_extent = {
	.name = "extent tree",
	.verify = extent_verify,
	.seal = extent_seal,
};

/* --- walking --- */

uint8_t *f4_ext_node_raw(const struct f4_ext_path *p, uint32_t level)
{
	const struct f4_ext_node *n = &p->node[level];

	return n->buf ? n->buf->data : p->inode->i_block;
}

void f4_ext_path_done(struct f4_ext_path *p)
{
	uint32_t i;

	for (i = 0; i <= F4_EXT_MAX_DEPTH; i++) {
		f4_buf_put(p->node[i].buf);
		p->node[i].buf = NULL;
	}
}

/* The last entry of a node that begins at or before @lblk, -1 if none does. */
static int32_t search(const uint8_t *raw, uint32_t n, uint32_t lblk)
{
	uint32_t lo = 0, hi = n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (entry_lblk(raw, mid) <= lblk)
			lo = mid + 1;
		else
			hi = mid;
	}
	return (int32_t)lo - 1;
}

/* Fill in node @level, whose bytes are at hand, and look for @lblk in it. */
static int enter_node(struct f4_ext_path *p, uint32_t level, uint32_t lblk)
{
	struct f4_ext_node *n = &p->node[level];
	const uint8_t *raw = f4_ext_node_raw(p, level);
	struct f4_ext last;

	n->entries = hdr_entries(raw);
	n->max = hdr_max(raw);
	n->pos = search(raw, n->entries, lblk);
	if (level < p->depth && n->pos < 0)
		n->pos = 0; /* before the first: into its subtree */
	if (level == 0 || n->entries == 0)
		return 0;
	/* What the parent says of the range must hold; the last entry reaches the furthest. */
	if (entry_lblk(raw, 0) != n->lo)
		return -EUCLEAN;
	if (level < p->depth)
		return f4_ext_idx_lblk(raw, n->entries - 1) < n->hi ? 0 : -EUCLEAN;
	last = get_ext(raw, n->entries - 1);
	return f4_ext_end(&last) <= n->hi ? 0 : -EUCLEAN;
}

/* Read the child that node @level - 1 points to at its pos. */
static int read_child(struct f4_ext_path *p, uint32_t level, uint32_t lblk)
{
	struct f4_inode *inode = p->inode;
	const struct f4_ext_node *up = &p->node[level - 1];
	struct f4_ext_node *n = &p->node[level];
	const uint8_t *raw = f4_ext_node_raw(p, level - 1);
	uint32_t i = (uint32_t)up->pos;
	uint64_t blk = f4_ext_idx_pblk(raw, i);
	int r;

	n->lo = f4_ext_idx_lblk(raw, i);
	n->hi = i + 1 < up->entries ? f4_ext_idx_lblk(raw, i + 1) : up->hi;
	r = f4_buf_read(inode->vol->cache, blk, &f4_class_extent, inode->ino, inode->csum_seed,
			&n->buf);
	if (r)
		return r;
	if (hdr_depth(n->buf->data) != p->depth - level)
		return f4_corrupt(inode->vol, inode->ino, blk, "extent node of the wrong depth");
	if (enter_node(p, level, lblk))
		return f4_corrupt(inode->vol, inode->ino, blk,
				  "extent node outside of its parent's range");
	return 0;
}

int f4_ext_find(struct f4_inode *inode, uint32_t lblk, struct f4_ext_path *p)
{
	const char *what = check_node(inode->vol, inode->i_block, root_cap());
	uint32_t level;
	int r;

	if (what)
		return f4_corrupt(inode->vol, inode->ino, 0, "%s", what);
	p->inode = inode;
	p->depth = hdr_depth(inode->i_block);
	p->node[0].lo = 0;
	p->node[0].hi = F4_EXT_END;
	(void)enter_node(p, 0, lblk); /* the root has no parent to disagree with */
	for (level = 1; level <= p->depth; level++) {
		r = read_child(p, level, lblk);
		if (r)
			return r;
	}
	return 0;
}

struct f4_ext f4_ext_at(const struct f4_ext_path *p, uint32_t i)
{
	return get_ext(f4_ext_node_raw(p, p->depth), i);
}

uint32_t f4_ext_next(const struct f4_ext_path *p)
{
	uint32_t level = p->depth;

	/* The nearest level that has an entry behind the way; equal keys let an index speak for its leaf. */
	for (;;) {
		const struct f4_ext_node *n = &p->node[level];

		if (n->pos + 1 < (int32_t)n->entries)
			return entry_lblk(f4_ext_node_raw(p, level), (uint32_t)(n->pos + 1));
		if (level == 0)
			return F4_EXT_END;
		level--;
	}
}

int f4_ext_last_before(struct f4_inode *inode, uint32_t end, struct f4_ext *ret)
{
	while (end > 0) {
		f4_auto_ext_path p = { 0 };
		const struct f4_ext_node *leaf;
		int r = f4_ext_find(inode, end - 1, &p);

		if (r)
			return r;
		leaf = &p.node[p.depth];
		if (leaf->pos >= 0) {
			*ret = f4_ext_at(&p, (uint32_t)leaf->pos);
			return 0;
		}
		/* Before the very first extent; or an empty leaf, which only damage leaves behind. */
		end = leaf->entries ? 0 : leaf->lo;
	}
	*ret = (struct f4_ext){ 0 };
	return 0;
}

int f4_ext_covering(struct f4_inode *inode, uint32_t lblk, struct f4_ext *ret)
{
	f4_auto_ext_path p = { 0 };
	const struct f4_ext_node *leaf;
	int r = f4_ext_find(inode, lblk, &p);

	*ret = (struct f4_ext){ 0 };
	if (r)
		return r;
	leaf = &p.node[p.depth];
	if (leaf->pos >= 0) {
		struct f4_ext e = f4_ext_at(&p, (uint32_t)leaf->pos);

		if (lblk < f4_ext_end(&e))
			*ret = e;
	}
	return 0;
}

int f4_ext_lookup(struct f4_inode *inode, uint32_t lblk, struct f4_map *ret)
{
	f4_auto_ext_path p = { 0 };
	const struct f4_ext_node *leaf;
	uint32_t begin = 0, end;
	int r = f4_ext_find(inode, lblk, &p);

	if (r)
		return r;
	leaf = &p.node[p.depth];
	if (leaf->pos >= 0) {
		struct f4_ext e = f4_ext_at(&p, (uint32_t)leaf->pos);

		if (lblk < f4_ext_end(&e)) {
			*ret = (struct f4_map){ .lblk = e.lblk,
						.len = e.len,
						.pblk = e.pblk,
						.flags = F4_MAP_MAPPED };
			if (e.unwritten)
				ret->flags |= F4_MAP_UNWRITTEN;
			return 0;
		}
		begin = f4_ext_end(&e);
	} else {
		begin = lblk;
	}
	end = f4_ext_next(&p);
	*ret = (struct f4_map){ .lblk = begin, .len = end - begin };
	return 0;
}

void f4_ext_init_root(uint8_t *i_block)
{
	memset(i_block, 0, F4_I_BLOCK_BYTES);
	f4_store_le16(i_block + offsetof(struct f4_extent_header, eh_magic), F4_EXT_MAGIC);
	f4_store_le16(i_block + offsetof(struct f4_extent_header, eh_max), (uint16_t)root_cap());
}

/* --- the whole tree, for tests and for those who doubt it --- */

/* Count what leaf @raw maps; a cluster that two extents share counts once (@last: last one counted). */
static uint64_t count_leaf(const struct f4_volume *vol, const uint8_t *raw, uint64_t *last)
{
	uint32_t i, n = hdr_entries(raw);
	uint64_t clusters = 0;

	for (i = 0; i < n; i++) {
		struct f4_ext e = get_ext(raw, i);
		uint64_t first_clu = f4_blk_to_clu(vol, e.pblk) + 1; /* 0: none yet */
		uint64_t last_clu = f4_blk_to_clu(vol, e.pblk + e.len - 1) + 1;

		clusters += last_clu - first_clu + 1 - (first_clu == *last);
		*last = last_clu;
	}
	return clusters;
}

int f4_ext_check(struct f4_inode *inode, uint64_t *ret_blocks)
{
	uint64_t clusters = 0, last = 0;
	uint32_t next = 0, seen_depth;

	/* From leaf to leaf by the next key; a tree block is counted when its first leaf is met. */
	do {
		f4_auto_ext_path p = { 0 };
		uint32_t level;
		int r = f4_ext_find(inode, next, &p);

		if (r)
			return r;
		seen_depth = p.depth;
		for (level = seen_depth; level > 0; level--) {
			clusters++;
			if (p.node[level - 1].pos > 0)
				break; /* the parent was counted with its first child */
		}
		clusters += count_leaf(inode->vol, f4_ext_node_raw(&p, p.depth), &last);
		p.node[p.depth].pos = (int32_t)p.node[p.depth].entries - 1;
		next = f4_ext_next(&p);
	} while (next != F4_EXT_END);
	*ret_blocks = clusters << inode->vol->cluster_bits;
	return 0;
}
