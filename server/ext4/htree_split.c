/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hash trees: insertion where the leaf is full, and the making of an index.
 *
 * All that can fail comes first: the leaf's entries are hashed and sorted in memory, the new blocks
 * (a leaf, one for each full index block, a node when the root is full) are allocated, every block
 * that will change is announced to the transaction. From then on there are only stores, so a full
 * disk or a bad block never leaves half a split behind.
 *
 * A full index is split from the top: when even the root is full its entries move to a new node
 * (which has room: a root holds three entries less), then each full node gives half of its entries
 * to a new one, which the level above can take, then the leaf is cut at the median of its bytes.
 */
#include "server/ext4/htree.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOT_INFO_OFF 24u
#define ROOT_BASE     32u
#define NODE_BASE     8u

/* Entries of a leaf by hash. */
struct map_entry {
	uint32_t hash, off;
	uint16_t size;
};

struct leaf_map {
	uint8_t *copy;		/* owned: the leaf before the change */
	struct map_entry *e;	/* owned; sorted by hash */
	uint32_t n;
	uint32_t cut;		/* entries from here on move */
	uint32_t hash;		/* of the first that moves, with the continuation bit if needed */
};

static void map_done(struct leaf_map *m)
{
	free(m->copy);
	free(m->e);
}

static int by_hash(const void *a, const void *b)
{
	const struct map_entry *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

/*
 * Where to cut: neither half may hold more than about half a block, so that any name fits in
 * either; a leaf that is mostly air is cut in the middle of its entries.
 */
static void choose_cut(struct leaf_map *m, uint32_t block_size)
{
	uint32_t size = 0, i = m->n;

	while (i > 0 && size + m->e[i - 1].size / 2 <= block_size / 2)
		size += m->e[--i].size;
	m->cut = i > 0 ? i : m->n / 2;
	m->hash = m->e[m->cut].hash;
	if (m->hash == m->e[m->cut - 1].hash)
		m->hash |= 1;
}

/* Hash and sort the entries in [start, limit) of a block. Needs at least two. */
static int map_leaf(struct f4_inode *dir, int version, const uint8_t *data, uint32_t start,
		    uint32_t limit, struct leaf_map *m)
{
	struct f4_volume *vol = dir->vol;
	struct f4_dent e;
	uint32_t minor;

	m->copy = malloc(vol->block_size);
	m->e = calloc(vol->block_size / F4_DENT_MIN, sizeof(*m->e));
	m->n = 0;
	if (!m->copy || !m->e)
		return -ENOMEM;
	memcpy(m->copy, data, vol->block_size);
	for (uint32_t off = start; off < limit; off += e.rec_len) {
		struct map_entry *x = &m->e[m->n];

		if (f4_dent_at(vol, data, off, limit, &e) < 0)
			return -EUCLEAN;
		if (e.ino == 0)
			continue;
		if (f4_dir_hash(dir, version, e.name, e.name_len, &x->hash, &minor) < 0)
			return F4_HTREE_UNUSABLE;
		x->off = off;
		x->size = (uint16_t)f4_dent_need(e.name_len);
		m->n++;
	}
	if (m->n < 2)
		return -EUCLEAN;
	qsort(m->e, m->n, sizeof(*m->e), by_hash);
	choose_cut(m, vol->block_size);
	return 0;
}

/* Write entries [from, to) of the map to @data, an empty leaf. */
static void pack_leaf(const struct f4_volume *vol, const struct leaf_map *m, uint32_t from,
		      uint32_t to, uint8_t *data)
{
	uint32_t off = 0, end;

	f4_dirblk_init(vol, data);
	end = f4_dirblk_limit(vol, data);
	for (uint32_t i = from; i < to; i++) {
		const struct f4_dirent *d = (const void *)(m->copy + m->e[i].off);
		uint32_t stop = i + 1 < to ? off + m->e[i].size : end;

		f4_dirblk_append(vol, data, off, stop, d->name, d->name_len, f4_get_le32(d->inode),
				 d->file_type);
		off = stop;
	}
}

static void put_entry(struct f4_inode *dir, uint8_t *data, const struct f4_dir_name *name,
		      uint32_t ino, uint8_t type)
{
	uint32_t off = 0;
	int r = f4_dirblk_room(dir->vol, data, 0, f4_dirblk_limit(dir->vol, data),
			       f4_dent_need(name->len), &off);

	assert(r == 1); /* choose_cut saw to it */
	f4_dirblk_put(dir->vol, data, off, name->bytes, name->len, ino, type);
}

static void store_count(struct f4_htree_frame *f)
{
	struct f4_dx_countlimit *c = (struct f4_dx_countlimit *)f4_htree_entries(f);

	c->limit = f4_mk_le16((uint16_t)f->limit);
	c->count = f4_mk_le16((uint16_t)f->count);
}

/* A new index node takes over entries [from, count) of @src; both counts are adjusted. */
static void fill_node(const struct f4_volume *vol, struct f4_htree_frame *src, uint32_t from,
		      struct f4_buf *buf, struct f4_htree_frame *dst)
{
	struct f4_dirent *fake = (void *)buf->data;

	memset(buf->data, 0, vol->block_size);
	fake->rec_len = f4_mk_le16(f4_rec_len_encode(vol->block_size));
	dst->buf = buf;
	dst->base = NODE_BASE;
	dst->limit = f4_htree_node_limit(vol);
	dst->count = src->count - from;
	memcpy(f4_htree_entries(dst), f4_htree_entries(src) + from,
	       dst->count * sizeof(struct f4_dx_entry));
	memset(f4_htree_entries(src) + from, 0, dst->count * sizeof(struct f4_dx_entry));
	src->count = from;
	store_count(dst);
}

/* Put (hash, block) behind the entry that the path goes through. */
static void insert_entry(struct f4_htree_frame *f, uint32_t hash, uint32_t lblk)
{
	struct f4_dx_entry *e = f4_htree_entries(f);
	uint32_t i = f->at + 1;

	assert(f->count < f->limit);
	memmove(e + i + 1, e + i, (f->count - i) * sizeof(*e));
	e[i].hash = f4_mk_le32(hash);
	e[i].block = f4_mk_le32(lblk);
	f->count++;
	store_count(f);
}

/* The root's entries move one level down, into the new block. */
static void deepen(struct f4_inode *dir, struct f4_htree_path *p, struct f4_buf *buf, uint32_t lblk)
{
	struct f4_htree_frame *root = &p->f[0];
	struct f4_dx_root_info *info;
	uint32_t at = root->at;

	memmove(&p->f[2], &p->f[1], (p->n - 1) * sizeof(p->f[0]));
	f4_buf_get(buf);
	fill_node(dir->vol, root, 0, buf, &p->f[1]);
	p->f[1].at = at;
	p->n++;
	root->count = 1;
	root->at = 0;
	f4_htree_entries(root)[0].block = f4_mk_le32(lblk);
	store_count(root);
	info = (void *)(root->buf->data + ROOT_INFO_OFF);
	info->indirect_levels++;
}

/* Half of the node at @level moves to the new block; the path follows the half it went through. */
static void split_node(struct f4_inode *dir, struct f4_htree_path *p, uint32_t level,
		       struct f4_buf *buf, uint32_t lblk)
{
	struct f4_htree_frame *f = &p->f[level], right = { 0 };
	uint32_t half = f->count / 2;
	uint32_t hash = f4_get_le32(f4_htree_entries(f)[half].hash);

	fill_node(dir->vol, f, half, buf, &right);
	store_count(f);
	insert_entry(&p->f[level - 1], hash, lblk);
	if (f->at >= half) {
		right.at = f->at - half;
		f4_buf_get(buf);
		f4_buf_put(f->buf);
		*f = right;
		p->f[level - 1].at++;
	}
}

/* Blocks of the path that a split changes: the full ones and the one above them. */
static int announce(struct f4_handle *h, struct f4_htree_path *p, uint32_t full,
		    struct f4_buf *leaf)
{
	uint32_t n = full < p->n ? full + 1 : p->n;
	int r = f4_txn_write(h, leaf);

	for (uint32_t i = 0; i < n && r == 0; i++)
		r = f4_txn_write(h, p->f[p->n - 1 - i].buf);
	return r;
}

static void do_split(struct f4_inode *dir, struct f4_htree_path *p, uint32_t full,
		     struct f4_buf *leaf, uint32_t hash, const struct leaf_map *m,
		     struct f4_dir_grow *g, const struct f4_dir_name *name, uint32_t ino,
		     uint8_t type)
{
	struct f4_buf *right = g->buf[0];
	uint32_t next = 1;

	if (full == p->n) {
		deepen(dir, p, g->buf[next], g->lblk[next]);
		next++;
		full--; /* the root's content has room now */
	}
	for (uint32_t level = p->n - full; level < p->n; level++, next++)
		split_node(dir, p, level, g->buf[next], g->lblk[next]);
	pack_leaf(dir->vol, m, m->cut, m->n, right->data);
	pack_leaf(dir->vol, m, 0, m->cut, leaf->data);
	insert_entry(&p->f[p->n - 1], m->hash, g->lblk[0]);
	/* The search for a hash without the low bit ends left of a continued leaf. */
	put_entry(dir, hash >= m->hash ? right->data : leaf->data, name, ino, type);
}

int f4_htree_split_add(struct f4_handle *h, struct f4_inode *dir, struct f4_htree_path *p,
		       struct f4_buf *leaf, uint32_t hash, const struct f4_dir_name *name,
		       uint32_t ino, uint8_t type)
{
	struct f4_volume *vol = dir->vol;
	struct leaf_map m = { 0 };
	struct f4_dir_grow g;
	uint32_t full = 0;
	int r;

	while (full < p->n && p->f[p->n - 1 - full].count == p->f[p->n - 1 - full].limit)
		full++;
	if (full == p->n && p->n == f4_htree_levels_max(vol))
		return -ENOSPC;
	r = map_leaf(dir, p->version, leaf->data, 0, f4_dirblk_limit(vol, leaf->data), &m);
	if (r == -EUCLEAN)
		r = f4_corrupt(vol, dir->ino, leaf->blk, "full leaf with %u entries", m.n);
	if (r == 0)
		r = announce(h, p, full, leaf);
	if (r == 0)
		r = f4_dir_grow(h, dir, full + 1, &g);
	if (r == 0) {
		do_split(dir, p, full, leaf, hash, &m, &g, name, ino, type);
		f4_dir_grow_done(dir, &g);
	}
	map_done(&m);
	return r;
}

/* --- from one linear block to an index ------------------------------------------------------ */

static void init_root(struct f4_inode *dir, uint8_t *data, uint8_t version,
		      const struct leaf_map *m, const struct f4_dir_grow *g)
{
	const struct f4_volume *vol = dir->vol;
	struct f4_dx_root_info *info = (void *)(data + ROOT_INFO_OFF);
	struct f4_dx_countlimit *c = (void *)(data + ROOT_BASE);
	struct f4_dx_entry *e = (void *)(data + ROOT_BASE);

	memset(data + ROOT_INFO_OFF, 0, vol->block_size - ROOT_INFO_OFF);
	f4_dirent_of(data, 12)->rec_len = f4_mk_le16(f4_rec_len_encode(vol->block_size - 12));
	info->hash_version = version;
	info->info_length = sizeof(*info);
	e[0].block = f4_mk_le32(g->lblk[0]);
	e[1].hash = f4_mk_le32(m->hash);
	e[1].block = f4_mk_le32(g->lblk[1]);
	c->limit = f4_mk_le16((uint16_t)f4_htree_root_limit(vol));
	c->count = f4_mk_le16(2);
}

/* Is block 0 as an index needs it: '.' of 12 bytes, then '..'? @ret_end: behind '..'. */
static bool starts_with_dots(const struct f4_inode *dir, const uint8_t *data, uint32_t limit,
			     uint32_t *ret_end)
{
	struct f4_dent dot, dotdot;

	if (f4_dent_at(dir->vol, data, 0, limit, &dot) < 0 || dot.rec_len != 12 ||
	    !f4_name_is_dot(dot.name, dot.name_len) || dot.ino != dir->ino)
		return false;
	if (f4_dent_at(dir->vol, data, 12, limit, &dotdot) < 0 || dotdot.ino == 0 ||
	    !f4_name_is_dotdot(dotdot.name, dotdot.name_len))
		return false;
	*ret_end = 12 + dotdot.rec_len;
	return true;
}

int f4_htree_make(struct f4_handle *h, struct f4_inode *dir, struct f4_buf *buf,
		  const struct f4_dir_name *name, uint32_t ino, uint8_t type)
{
	struct f4_volume *vol = dir->vol;
	uint32_t limit = f4_dirblk_limit(vol, buf->data), start, hash, minor;
	struct leaf_map m = { 0 };
	struct f4_dir_grow g;
	uint8_t raw;
	int r, version = f4_dir_hash_default(dir, &raw);

	if (version < 0 || version == (int)F4_HASH_SIPHASH ||
	    !starts_with_dots(dir, buf->data, limit, &start) || start >= limit)
		return F4_HTREE_UNUSABLE;
	if (f4_dir_hash(dir, version, name->bytes, name->len, &hash, &minor) < 0)
		return F4_HTREE_UNUSABLE;
	r = map_leaf(dir, version, buf->data, start, limit, &m);
	if (r == -EUCLEAN)
		r = f4_corrupt(vol, dir->ino, buf->blk, "full block with %u entries", m.n);
	if (r == 0)
		r = f4_txn_write(h, buf);
	if (r == 0)
		r = f4_dir_grow(h, dir, 2, &g);
	if (r == 0) {
		pack_leaf(vol, &m, 0, m.cut, g.buf[0]->data);
		pack_leaf(vol, &m, m.cut, m.n, g.buf[1]->data);
		init_root(dir, buf->data, raw, &m, &g);
		put_entry(dir, g.buf[hash >= m.hash]->data, name, ino, type);
		dir->flags |= F4_FL_INDEX;
		f4_dir_grow_done(dir, &g);
	}
	map_done(&m);
	return r;
}
