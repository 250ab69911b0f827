/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Directory blocks: chains of entries, checksums, reading and growing.
 *
 * There is one class of buffer for all directory blocks, leaves and index alike: a block changes
 * from leaf to index root when a directory gets its index, and a linear reader meets index blocks
 * as leaves. Which of the two a block is shows in its first bytes, and without doubt where it
 * matters: with checksums a leaf's first entry can never reach to the end of the block, an index
 * block's fake first entry (or '..' of the root) always does.
 */
#include "server/ext4/dir_block.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "server/ext4/csum.h"
#include "server/ext4/map.h"

#define TAIL_SIZE ((uint32_t)sizeof(struct f4_dirent_tail))
#define ROOT_COUNT_OFF 32u /* behind '.', '..' and the root's info */
#define NODE_COUNT_OFF 8u  /* behind the fake entry */

static uint32_t raw_rec_len(const struct f4_volume *vol, const uint8_t *p)
{
	return f4_rec_len_decode(f4_load_le16(p + 4), vol->block_size);
}

int f4_dirblk_is_dx(const struct f4_volume *vol, const uint8_t *data)
{
	uint32_t first = raw_rec_len(vol, data);

	if (first == vol->block_size && f4_load_le32(data) == 0)
		return 1;
	if (first == 12 && raw_rec_len(vol, data + 12) == vol->block_size - 12)
		return 2;
	return 0;
}

uint32_t f4_dirblk_limit(const struct f4_volume *vol, const uint8_t *data)
{
	if (!vol->has_csum || f4_dirblk_is_dx(vol, data))
		return vol->block_size;
	return vol->block_size - TAIL_SIZE;
}

int f4_dent_at(const struct f4_volume *vol, const uint8_t *data, uint32_t off, uint32_t limit,
	       struct f4_dent *ret)
{
	const struct f4_dirent *d = (const void *)(data + off);
	uint32_t end;

	if (off > limit || limit - off < F4_DENT_MIN)
		return -EUCLEAN;
	ret->off = off;
	ret->rec_len = f4_rec_len_decode(f4_get_le16(d->rec_len), vol->block_size);
	ret->ino = f4_get_le32(d->inode);
	ret->type = d->file_type;
	ret->name_len = d->name_len;
	ret->name = (const uint8_t *)d->name;
	if (ret->rec_len < F4_DENT_MIN || (ret->rec_len & 3) || ret->rec_len > limit - off)
		return -EUCLEAN;
	if (ret->rec_len < f4_dent_need(ret->name_len) || ret->ino > vol->inodes_count)
		return -EUCLEAN;
	end = off + ret->rec_len;
	if (end != limit && limit - end < F4_DENT_MIN)
		return -EUCLEAN;
	return 0;
}

int f4_dirblk_check(const struct f4_volume *vol, const uint8_t *data, uint32_t start,
		    uint32_t limit)
{
	struct f4_dent e;

	for (uint32_t off = start; off < limit; off += e.rec_len) {
		if (f4_dent_at(vol, data, off, limit, &e) < 0)
			return -EUCLEAN;
	}
	return 0;
}

int f4_dirblk_find(const struct f4_volume *vol, const uint8_t *data, uint32_t start,
		   uint32_t limit, const struct f4_dir_name *name, struct f4_dent *ret)
{
	for (uint32_t off = start; off < limit; off += ret->rec_len) {
		if (f4_dent_at(vol, data, off, limit, ret) < 0)
			return -EUCLEAN;
		if (ret->ino != 0 && f4_dir_name_match(name, ret->name, ret->name_len))
			return 1;
	}
	return 0;
}

static uint32_t used_bytes(const struct f4_dent *e)
{
	return e->ino ? f4_dent_need(e->name_len) : 0;
}

int f4_dirblk_room(const struct f4_volume *vol, const uint8_t *data, uint32_t start,
		   uint32_t limit, uint32_t need, uint32_t *ret_off)
{
	struct f4_dent e;

	for (uint32_t off = start; off < limit; off += e.rec_len) {
		if (f4_dent_at(vol, data, off, limit, &e) < 0)
			return -EUCLEAN;
		if (e.rec_len - used_bytes(&e) >= need) {
			*ret_off = off;
			return 1;
		}
	}
	return 0;
}

void f4_dirblk_append(const struct f4_volume *vol, uint8_t *data, uint32_t off, uint32_t end,
		      const void *name, uint32_t len, uint32_t ino, uint8_t type)
{
	struct f4_dirent *d = (void *)(data + off);

	assert(len <= F4_NAME_MAX && end > off && end - off >= f4_dent_need(len));
	d->inode = f4_mk_le32(ino);
	d->rec_len = f4_mk_le16(f4_rec_len_encode(end - off));
	d->name_len = (uint8_t)len;
	d->file_type = type;
	if (len)
		memcpy(d->name, name, len);
	memset(d->name + len, 0, f4_dent_need(len) - sizeof(*d) - len);
}

void f4_dirblk_put(const struct f4_volume *vol, uint8_t *data, uint32_t off, const void *name,
		   uint32_t len, uint32_t ino, uint8_t type)
{
	struct f4_dirent *d = (void *)(data + off);
	uint32_t end = off + raw_rec_len(vol, data + off);

	if (f4_get_le32(d->inode) != 0) {
		uint32_t used = f4_dent_need(d->name_len);

		d->rec_len = f4_mk_le16(f4_rec_len_encode(used));
		off += used;
	}
	f4_dirblk_append(vol, data, off, end, name, len, ino, type);
}

int f4_dirblk_delete(const struct f4_volume *vol, uint8_t *data, uint32_t start, uint32_t limit,
		     uint32_t off)
{
	struct f4_dent e, prev = { .rec_len = 0 };
	struct f4_dirent *d;

	for (uint32_t o = start;; o += e.rec_len) {
		if (f4_dent_at(vol, data, o, limit, &e) < 0 || o > off)
			return -EUCLEAN;
		if (o == off)
			break;
		prev = e;
	}
	if (prev.rec_len) {
		d = (void *)(data + prev.off);
		d->rec_len = f4_mk_le16(f4_rec_len_encode(prev.rec_len + e.rec_len));
		memset(data + off, 0, f4_dent_need(e.name_len));
	} else { /* the first stays, as room; names don't linger on the disk */
		d = (void *)(data + off);
		d->inode = f4_mk_le32(0);
		d->name_len = d->file_type = 0;
		memset(d->name, 0, f4_dent_need(e.name_len) - sizeof(*d));
	}
	return 0;
}

static void init_tail(const struct f4_volume *vol, uint8_t *data)
{
	struct f4_dirent_tail *t = (void *)(data + vol->block_size - TAIL_SIZE);

	memset(t, 0, sizeof(*t));
	t->det_rec_len = f4_mk_le16(TAIL_SIZE);
	t->det_reserved_ft = F4_FT_DIR_CSUM;
}

static uint32_t leaf_limit(const struct f4_volume *vol)
{
	return vol->block_size - (vol->has_csum ? TAIL_SIZE : 0);
}

void f4_dirblk_init(const struct f4_volume *vol, uint8_t *data)
{
	memset(data, 0, vol->block_size);
	f4_dirblk_append(vol, data, 0, leaf_limit(vol), NULL, 0, 0, 0);
	if (vol->has_csum)
		init_tail(vol, data);
}

void f4_dirblk_init_first(const struct f4_volume *vol, uint8_t *data, uint32_t ino,
			  uint32_t parent)
{
	uint8_t type = f4_has_incompat(vol, F4_INCOMPAT_FILETYPE) ? F4_FT_DIR : 0;

	f4_dirblk_init(vol, data);
	f4_dirblk_append(vol, data, 0, 12, ".", 1, ino, type);
	f4_dirblk_append(vol, data, 12, leaf_limit(vol), "..", 2, parent, type);
}

int f4_dirblk_from_inline(const struct f4_volume *vol, uint8_t *data, uint32_t ino,
			  const uint8_t *area, size_t len)
{
	uint32_t limit = leaf_limit(vol), end, last, off;
	struct f4_dent e;

	if (len < F4_INLINE_DIR_SPLIT || len > limit - F4_INLINE_DIR_SHIFT)
		return -EUCLEAN;
	end = (uint32_t)len;
	if (f4_dirblk_check(vol, area, F4_INLINE_DIR_START, F4_INLINE_DIR_SPLIT) < 0 ||
	    f4_dirblk_check(vol, area, F4_INLINE_DIR_SPLIT, end) < 0)
		return -EUCLEAN;
	f4_dirblk_init_first(vol, data, ino, f4_load_le32(area));
	f4_dirent_of(data, 12)->rec_len = f4_mk_le16(12);
	memcpy(data + 24, area + F4_INLINE_DIR_START, len - F4_INLINE_DIR_START);
	for (off = last = F4_INLINE_DIR_START; off < end; off += e.rec_len) {
		if (f4_dent_at(vol, area, off,
			       off < F4_INLINE_DIR_SPLIT ? F4_INLINE_DIR_SPLIT : end, &e) < 0)
			return -EUCLEAN;
		last = off;
	}
	last += F4_INLINE_DIR_SHIFT;
	f4_dirent_of(data, last)->rec_len = f4_mk_le16(f4_rec_len_encode(limit - last));
	return 0;
}

/* --- checksums ------------------------------------------------------------------------------ */

static bool is_tail(const struct f4_dirent_tail *t)
{
	return f4_get_le32(t->det_reserved_zero1) == 0 &&
	       f4_get_le16(t->det_rec_len) == TAIL_SIZE && t->det_reserved_zero2 == 0 &&
	       t->det_reserved_ft == F4_FT_DIR_CSUM;
}

/* The checksum of an index block covers what is in use, and the tail behind all of the room. */
static int dx_csum(const struct f4_volume *vol, uint32_t seed, const uint8_t *data, int form,
		   uint32_t *ret_csum, uint32_t *ret_tail)
{
	uint32_t off = form == 2 ? ROOT_COUNT_OFF : NODE_COUNT_OFF;
	uint32_t limit = f4_load_le16(data + off), count = f4_load_le16(data + off + 2);
	static const uint8_t zero[4];
	uint32_t tail = off + limit * (uint32_t)sizeof(struct f4_dx_entry), crc;

	if (count > limit || tail > vol->block_size - sizeof(struct f4_dx_tail))
		return -EUCLEAN;
	crc = f4_crc32c(seed, data, off + count * sizeof(struct f4_dx_entry));
	crc = f4_crc32c(crc, data + tail, 4);
	*ret_csum = f4_crc32c(crc, zero, sizeof(zero));
	*ret_tail = tail;
	return 0;
}

static int dir_verify(struct f4_volume *vol, const struct f4_buf *buf, const uint8_t *data)
{
	int form = f4_dirblk_is_dx(vol, data);
	uint32_t csum, tail;

	if (vol->has_csum && form) {
		const struct f4_dx_tail *t;

		if (dx_csum(vol, buf->seed, data, form, &csum, &tail) < 0)
			return -EUCLEAN;
		t = (const void *)(data + tail);
		return f4_get_le32(t->dt_checksum) == csum ? 0 : -EUCLEAN;
	}
	if (vol->has_csum) {
		uint32_t off = vol->block_size - TAIL_SIZE;
		const struct f4_dirent_tail *t = (const void *)(data + off);

		if (!is_tail(t) || f4_get_le32(t->det_checksum) != f4_crc32c(buf->seed, data, off))
			return -EUCLEAN;
	}
	return f4_dirblk_check(vol, data, 0, f4_dirblk_limit(vol, data));
}

static void dir_seal(struct f4_volume *vol, const struct f4_buf *buf, uint8_t *data)
{
	int form = f4_dirblk_is_dx(vol, data);
	uint32_t off = vol->block_size - TAIL_SIZE, csum, tail;

	if (!vol->has_csum)
		return;
	if (!form) {
		((struct f4_dirent_tail *)(void *)(data + off))->det_checksum =
			f4_mk_le32(f4_crc32c(buf->seed, data, off));
	} else if (dx_csum(vol, buf->seed, data, form, &csum, &tail) == 0) {
		((struct f4_dx_tail *)(void *)(data + tail))->dt_checksum = f4_mk_le32(csum);
	}
}

const struct f4_buf_class f4_class_dir = {
	.name = "directory block",
	.verify = dir_verify,
	.seal = dir_seal,
};

/* --- reading and growing -------------------------------------------------------------------- */

int f4_dir_blocks(struct f4_inode *dir, uint32_t *ret)
{
	struct f4_volume *vol = dir->vol;
	uint64_t blocks = dir->size >> vol->block_bits;

	/* The second bound is what keeps a walk over a directory finite in practice. */
	if ((dir->size & (vol->block_size - 1)) || blocks == 0 || blocks > vol->blocks_count ||
	    blocks > UINT32_MAX)
		return f4_corrupt(vol, dir->ino, 0, "directory with a size of %llu bytes",
				  (unsigned long long)dir->size);
	*ret = (uint32_t)blocks;
	return 0;
}

int f4_dir_read_at(struct f4_inode *dir, uint64_t blk, struct f4_buf **ret)
{
	int r = f4_buf_read(dir->vol->cache, blk, &f4_class_dir, dir->ino, dir->csum_seed, ret);

	if (r == -EUCLEAN)
		return f4_corrupt(dir->vol, dir->ino, blk,
				  "directory block has a wrong checksum or structure");
	return r;
}

int f4_dir_read(struct f4_inode *dir, uint32_t lblk, struct f4_buf **ret)
{
	struct f4_map m;
	int r = f4_map_lookup(dir, lblk, 1, &m);

	if (r < 0)
		return r;
	if (!(m.flags & F4_MAP_MAPPED) || (m.flags & F4_MAP_UNWRITTEN)) {
		*ret = NULL;
		return 0;
	}
	return f4_dir_read_at(dir, m.pblk, ret);
}

int f4_dir_each_block(struct f4_inode *dir, uint32_t from, uint32_t to, f4_dir_block_fn fn,
		      void *arg)
{
	struct f4_map m;
	int r;

	for (uint32_t lblk = from; lblk < to; lblk += m.len) {
		r = f4_map_lookup(dir, lblk, to - lblk, &m);
		if (r < 0)
			return r;
		if (m.len == 0 || m.len > to - lblk)
			m.len = 1;
		if (!(m.flags & F4_MAP_MAPPED) || (m.flags & F4_MAP_UNWRITTEN))
			continue;
		if (m.len > 1)
			f4_cache_readahead(dir->vol->cache, m.pblk, m.len < 32 ? m.len : 32);
		for (uint32_t i = 0; i < m.len; i++) {
			f4_auto_buf *buf = NULL;

			r = f4_dir_read_at(dir, m.pblk + i, &buf);
			if (r == 0)
				r = fn(dir, buf, lblk + i, arg);
			if (r != 0)
				return r;
		}
	}
	return 0;
}

/* Without large_dir the upper half of a directory's size does not exist on disk. */
static bool too_large(const struct f4_inode *dir, uint64_t blocks)
{
	const struct f4_volume *vol = dir->vol;

	if (f4_has_incompat(vol, F4_INCOMPAT_LARGEDIR))
		return blocks > (1u << 28);
	return (blocks << vol->block_bits) > INT32_MAX;
}

void f4_dir_grow_undo(struct f4_handle *h, struct f4_inode *dir, struct f4_dir_grow *g)
{
	uint32_t first = (uint32_t)(dir->size >> dir->vol->block_bits);
	uint32_t stop = first + g->mapped, end = stop;
	int r = 0;

	for (uint32_t i = 0; i < g->n; i++)
		f4_buf_put(f4_take_ptr(g->buf[i]));
	/* Each round removes at least one block, or it is stuck for want of credits. */
	for (uint32_t i = 0; r == 0 && end > first && i < g->mapped; i++)
		r = f4_map_remove(h, dir, first, end, &end);
	if (r < 0 || end != first)
		f4_journal_abort(h->journal, r < 0 ? r : -ENOSPC);
	g->n = g->mapped = 0;
}

static int grow_one(struct f4_handle *h, struct f4_inode *dir, struct f4_dir_grow *g)
{
	struct f4_buf **buf = &g->buf[g->n];
	struct f4_map m;
	int r = f4_map_alloc(h, dir, g->lblk[g->n], 1, F4_MAP_ALLOC_METADATA, &m);

	if (r < 0)
		return r;
	if (!(m.flags & F4_MAP_NEW))
		return f4_corrupt(dir->vol, dir->ino, m.pblk,
				  "directory has blocks behind its end");
	g->mapped++;
	r = f4_buf_new(dir->vol->cache, m.pblk, &f4_class_dir, dir->ino, dir->csum_seed, buf);
	if (r == -EUCLEAN)
		return f4_corrupt(dir->vol, dir->ino, m.pblk, "a free block was in use");
	if (r < 0)
		return r;
	r = f4_txn_create(h, *buf);
	if (r < 0)
		f4_buf_put(f4_take_ptr(*buf));
	else
		g->n++;
	return r;
}

int f4_dir_grow(struct f4_handle *h, struct f4_inode *dir, uint32_t n, struct f4_dir_grow *ret)
{
	uint64_t first = dir->size >> dir->vol->block_bits;
	int r;

	assert(n >= 1 && n <= F4_DIR_GROW_MAX);
	memset(ret, 0, sizeof(*ret));
	if (too_large(dir, first + n))
		return -ENOSPC;
	for (uint32_t i = 0; i < n; i++) {
		ret->lblk[i] = (uint32_t)first + i;
		r = grow_one(h, dir, ret);
		if (r < 0) {
			f4_dir_grow_undo(h, dir, ret);
			return r;
		}
	}
	return 0;
}

void f4_dir_grow_done(struct f4_inode *dir, struct f4_dir_grow *g)
{
	dir->size += (uint64_t)g->n << dir->vol->block_bits;
	for (uint32_t i = 0; i < g->n; i++)
		f4_buf_put(f4_take_ptr(g->buf[i]));
	g->n = g->mapped = 0;
}
