/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hash trees: the path from the root to a leaf, lookup and the simple insertion.
 *
 * Nothing in the index is believed: counts and limits must be what this volume's blocks hold, block
 * numbers must lie in the directory, and a walk over leaves takes no more steps than the directory
 * has blocks, whatever the index says (one hostile node can be named a thousand times).
 */
#include "server/ext4/htree.h"

#include <errno.h>
#include <string.h>

#include "server/ext4/csum.h"
#include "server/ext4/map.h"

#define ROOT_INFO_OFF 24u
#define ROOT_BASE     32u
#define NODE_BASE     8u
#define BLOCK_MASK    0x0fffffffu /* the upper four bits of a block number are reserved */

uint32_t f4_htree_node_limit(const struct f4_volume *vol)
{
	uint32_t room = vol->block_size - NODE_BASE;

	if (vol->has_csum)
		room -= (uint32_t)sizeof(struct f4_dx_tail);
	return room / (uint32_t)sizeof(struct f4_dx_entry);
}

uint32_t f4_htree_root_limit(const struct f4_volume *vol)
{
	return f4_htree_node_limit(vol) -
	       (ROOT_BASE - NODE_BASE) / (uint32_t)sizeof(struct f4_dx_entry);
}

uint32_t f4_htree_levels_max(const struct f4_volume *vol)
{
	return f4_has_incompat(vol, F4_INCOMPAT_LARGEDIR) ? 3 : 2;
}

void f4_htree_done(struct f4_htree_path *p)
{
	for (uint32_t i = 0; i < p->n; i++)
		f4_buf_put(f4_take_ptr(p->f[i].buf));
	p->n = 0;
}

/* Take over @buf as frame @level. */
static int load_frame(struct f4_inode *dir, struct f4_htree_frame *f, struct f4_buf *buf,
		      uint32_t base, uint32_t limit)
{
	const struct f4_dx_countlimit *c = (const void *)(buf->data + base);

	f->buf = buf;
	f->base = base;
	f->limit = f4_get_le16(c->limit);
	f->count = f4_get_le16(c->count);
	f->at = 0;
	if (f->limit != limit || f->count == 0 || f->count > limit)
		return f4_corrupt(dir->vol, dir->ino, buf->blk,
				  "directory index with %u of %u entries", f->count, f->limit);
	return 0;
}

static int check_root(struct f4_inode *dir, const struct f4_buf *buf, struct f4_htree_path *p,
		      uint32_t *ret_levels)
{
	const uint8_t *d = buf->data;
	const struct f4_dx_root_info *info = (const void *)(d + ROOT_INFO_OFF);
	int version;

	if (f4_dirblk_is_dx(dir->vol, d) != 2 || f4_get_le32(info->reserved_zero) != 0 ||
	    info->info_length != sizeof(*info))
		return f4_corrupt(dir->vol, dir->ino, buf->blk, "broken root of a directory index");
	version = f4_dir_hash_version(dir, info->hash_version);
	if (version < 0 || (info->unused_flags & 1) ||
	    info->indirect_levels >= f4_htree_levels_max(dir->vol))
		return F4_HTREE_UNUSABLE;
	p->version = version;
	*ret_levels = info->indirect_levels;
	return 0;
}

int f4_htree_open(struct f4_inode *dir, struct f4_htree_path *ret)
{
	struct f4_buf *buf;
	uint32_t levels = 0;
	int r;

	memset(ret, 0, sizeof(*ret));
	r = f4_dir_read(dir, 0, &buf);
	if (r < 0)
		return r;
	if (!buf)
		return f4_corrupt(dir->vol, dir->ino, 0, "indexed directory without block 0");
	r = check_root(dir, buf, ret, &levels);
	if (r == 0)
		r = load_frame(dir, &ret->f[0], buf, ROOT_BASE, f4_htree_root_limit(dir->vol));
	if (r != 0) {
		ret->f[0].buf = NULL;
		f4_buf_put(buf);
		return r;
	}
	ret->n = levels + 1;
	return 0;
}

static uint32_t entry_hash(const struct f4_htree_frame *f, uint32_t i)
{
	return f4_get_le32(f4_htree_entries(f)[i].hash);
}

static uint32_t entry_block(const struct f4_htree_frame *f, uint32_t i)
{
	return f4_get_le32(f4_htree_entries(f)[i].block) & BLOCK_MASK;
}

/* The last entry whose hash is not above @hash; entry 0 stands for hash 0. */
static uint32_t search_frame(const struct f4_htree_frame *f, uint32_t hash)
{
	uint32_t lo = 1, hi = f->count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (entry_hash(f, mid) > hash)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo - 1;
}

/* The block below frame @level, checked to lie in the directory, not to be its root. */
static int read_below(struct f4_inode *dir, const struct f4_htree_frame *f, struct f4_buf **ret)
{
	uint32_t lblk = entry_block(f, f->at), blocks;
	int r = f4_dir_blocks(dir, &blocks);

	if (r < 0)
		return r;
	if (lblk == 0 || lblk >= blocks)
		return f4_corrupt(dir->vol, dir->ino, f->buf->blk,
				  "directory index names block %u of %u", lblk, blocks);
	r = f4_dir_read(dir, lblk, ret);
	if (r == 0 && !*ret)
		return f4_corrupt(dir->vol, dir->ino, 0,
				  "block %u of an indexed directory is a hole", lblk);
	return r;
}

static int read_node(struct f4_inode *dir, struct f4_htree_path *p, uint32_t level)
{
	struct f4_htree_frame *f = &p->f[level];
	struct f4_buf *buf;
	int r = read_below(dir, &p->f[level - 1], &buf);

	if (r < 0)
		return r;
	f4_buf_put(f->buf);
	f->buf = buf;
	for (uint32_t i = 0; i < level; i++) {
		if (p->f[i].buf->blk == buf->blk)
			return f4_corrupt(dir->vol, dir->ino, buf->blk,
					  "loop in a directory index");
	}
	if (f4_dirblk_is_dx(dir->vol, buf->data) != 1)
		return f4_corrupt(dir->vol, dir->ino, buf->blk,
				  "a directory index leads to a block that is no index");
	return load_frame(dir, f, buf, NODE_BASE, f4_htree_node_limit(dir->vol));
}

int f4_htree_descend(struct f4_inode *dir, uint32_t hash, struct f4_htree_path *p)
{
	p->f[0].at = search_frame(&p->f[0], hash);
	for (uint32_t i = 1; i < p->n; i++) {
		int r = read_node(dir, p, i);

		if (r < 0)
			return r;
		p->f[i].at = search_frame(&p->f[i], hash);
	}
	p->steps = 0;
	return 0;
}

int f4_htree_leaf(struct f4_inode *dir, struct f4_htree_path *p, struct f4_buf **ret)
{
	int r = read_below(dir, &p->f[p->n - 1], ret);

	if (r < 0)
		return r;
	if (dir->vol->has_csum && f4_dirblk_is_dx(dir->vol, (*ret)->data)) {
		r = f4_corrupt(dir->vol, dir->ino, (*ret)->blk,
			       "a directory index leads to an index block where a leaf belongs");
		f4_buf_put(f4_take_ptr(*ret));
	}
	return r;
}

int f4_htree_next(struct f4_inode *dir, struct f4_htree_path *p, const uint32_t *only_hash,
		  uint32_t *ret_hash)
{
	uint32_t level = p->n - 1, blocks, hash;
	int r = f4_dir_blocks(dir, &blocks);

	if (r < 0)
		return r;
	while (p->f[level].at + 1 >= p->f[level].count) {
		if (level == 0)
			return F4_HTREE_END;
		level--;
	}
	hash = entry_hash(&p->f[level], p->f[level].at + 1);
	if (only_hash && hash != (*only_hash | 1))
		return F4_HTREE_END;
	if (++p->steps > blocks)
		return f4_corrupt(dir->vol, dir->ino, p->f[0].buf->blk,
				  "directory index names blocks again and again");
	p->f[level].at++;
	while (++level < p->n) {
		r = read_node(dir, p, level);
		if (r < 0)
			return r;
	}
	if (ret_hash)
		*ret_hash = hash;
	return 0;
}

static int hash_of(struct f4_inode *dir, const struct f4_htree_path *p,
		   const struct f4_dir_name *name, uint32_t *ret)
{
	uint32_t minor;

	if (name->has_hash) {
		*ret = name->hash & ~1u;
		return 0;
	}
	if (p->version == (int)F4_HASH_SIPHASH)
		return -ENOENT; /* keyed: only a name that brings its hash can be there */
	if (f4_dir_hash(dir, p->version, name->bytes, name->len, ret, &minor) < 0)
		return F4_HTREE_UNUSABLE;
	return 0;
}

static int find_in_leaf(struct f4_inode *dir, struct f4_htree_path *p,
			const struct f4_dir_name *name, struct f4_dir_entry *ret)
{
	struct f4_volume *vol = dir->vol;
	f4_auto_buf *leaf = NULL;
	struct f4_dent e;
	int r = f4_htree_leaf(dir, p, &leaf);

	if (r < 0)
		return r;
	r = f4_dirblk_find(vol, leaf->data, 0, f4_dirblk_limit(vol, leaf->data), name, &e);
	if (r < 0)
		return f4_corrupt(vol, dir->ino, leaf->blk, "broken entry at byte %u", e.off);
	if (r == 0)
		return -ENOENT;
	*ret = (struct f4_dir_entry){.ino = e.ino, .type = e.type, .blk = leaf->blk, .off = e.off};
	return 0;
}

static int lookup_opened(struct f4_inode *dir, struct f4_htree_path *p,
			 const struct f4_dir_name *name, struct f4_dir_entry *ret)
{
	uint32_t hash;
	int r = hash_of(dir, p, name, &hash);

	if (r == 0)
		r = f4_htree_descend(dir, hash, p);
	while (r == 0) {
		r = find_in_leaf(dir, p, name, ret);
		if (r != -ENOENT)
			return r;
		r = f4_htree_next(dir, p, &hash, NULL);
	}
	return r == F4_HTREE_END ? -ENOENT : r;
}

int f4_htree_lookup(struct f4_inode *dir, const struct f4_dir_name *name,
		    struct f4_dir_entry *ret)
{
	struct f4_htree_path p;
	int r = f4_htree_open(dir, &p);

	if (r != 0)
		return r;
	r = lookup_opened(dir, &p, name, ret);
	f4_htree_done(&p);
	return r;
}

static int add_opened(struct f4_handle *h, struct f4_inode *dir, struct f4_htree_path *p,
		      const struct f4_dir_name *name, uint32_t ino, uint8_t type)
{
	struct f4_volume *vol = dir->vol;
	f4_auto_buf *leaf = NULL;
	uint32_t hash, off;
	int r = hash_of(dir, p, name, &hash);

	if (r != 0)
		return r;
	r = f4_htree_descend(dir, hash, p);
	if (r == 0)
		r = f4_htree_leaf(dir, p, &leaf);
	if (r < 0)
		return r;
	r = f4_dirblk_room(vol, leaf->data, 0, f4_dirblk_limit(vol, leaf->data),
			   f4_dent_need(name->len), &off);
	if (r < 0)
		return f4_corrupt(vol, dir->ino, leaf->blk, "broken entries");
	if (r == 0)
		return f4_htree_split_add(h, dir, p, leaf, hash, name, ino, type);
	r = f4_txn_write(h, leaf);
	if (r < 0)
		return r;
	f4_dirblk_put(vol, leaf->data, off, name->bytes, name->len, ino, type);
	return 0;
}

int f4_htree_add(struct f4_handle *h, struct f4_inode *dir, const struct f4_dir_name *name,
		 uint32_t ino, uint8_t type)
{
	struct f4_htree_path p;
	int r = f4_htree_open(dir, &p);

	if (r != 0)
		return r;
	r = add_opened(h, dir, &p, name, ino, type);
	f4_htree_done(&p);
	return r;
}
