/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The orphan file: inode numbers in the blocks of a file that nobody else writes, each block with a
 * checksum over its number and content. Source: kernel Documentation/filesystems/ext4/orphan.rst.
 *
 * Only the places of its blocks are kept; a block is read when a slot in it is wanted.
 */
#include "server/ext4/orphan.h"

#include <errno.h>
#include <stdlib.h>

#include "server/ext4/alloc.h"
#include "server/ext4/csum.h"
#include "server/ext4/group.h"
#include "server/ext4/inode_priv.h"
#include "server/ext4/map.h"
#include "server/ext4/orphan_priv.h"
#include "server/ext4/volume_priv.h"

#define FILE_MAX_BYTES (8u << 20) /* as the kernel */

static struct f4_orphan_tail *tail_of(const struct f4_volume *vol, uint8_t *data)
{
	return (struct f4_orphan_tail *)(void *)(data + vol->block_size -
						 sizeof(struct f4_orphan_tail));
}

static uint32_t block_csum(const struct f4_volume *vol, const struct f4_buf *buf, const uint8_t *data)
{
	f4_le64 blk = f4_mk_le64(buf->blk);
	uint32_t crc = f4_crc32c(buf->seed, &blk, sizeof(blk));

	return f4_crc32c(crc, data, vol->block_size - sizeof(struct f4_orphan_tail));
}

static int verify_orphan(struct f4_volume *vol, const struct f4_buf *buf, const uint8_t *data)
{
	const struct f4_orphan_tail *t = tail_of(vol, (uint8_t *)(uintptr_t)data);

	if (f4_get_le32(t->ob_magic) != F4_ORPHAN_BLOCK_MAGIC)
		return -EUCLEAN;
	if (vol->has_csum && f4_get_le32(t->ob_checksum) != block_csum(vol, buf, data))
		return -EUCLEAN;
	return 0;
}

static void seal_orphan(struct f4_volume *vol, const struct f4_buf *buf, uint8_t *data)
{
	if (vol->has_csum)
		tail_of(vol, data)->ob_checksum = f4_mk_le32(block_csum(vol, buf, data));
}

static const struct f4_buf_class class_orphan = {
	.name = "orphan file",
	.verify = verify_orphan,
	.seal = seal_orphan,
};

static int read_block(struct f4_volume *vol, uint32_t n, struct f4_buf **ret)
{
	struct f4_orphans *o = vol->orphans;
	int r = f4_buf_read(vol->cache, o->file_blk[n], &class_orphan, o->file_ino, o->file_seed, ret);

	if (r == -EUCLEAN)
		f4_corrupt(vol, o->file_ino, o->file_blk[n], "a block of the orphan file is damaged");
	return r;
}

/* The places of all blocks; holes and unwritten blocks are corruption. */
static int map_blocks(struct f4_inode *inode, struct f4_orphans *o)
{
	for (uint32_t n = 0; n < o->file_blks;) {
		struct f4_map map;
		int r = f4_map_lookup(inode, n, o->file_blks - n, &map);

		if (r < 0)
			return r;
		if (!(map.flags & F4_MAP_MAPPED) || (map.flags & F4_MAP_UNWRITTEN) || map.len == 0)
			return f4_corrupt(inode->vol, inode->ino, 0, "the orphan file has a hole at %u: %u+%u %llu %x", n, map.lblk, map.len, (unsigned long long)map.pblk, map.flags);
		for (uint32_t i = 0; i < map.len && n < o->file_blks; i++)
			o->file_blk[n++] = map.pblk + i;
	}
	return 0;
}

int f4_orphan_file_open(struct f4_volume *vol, struct f4_orphans *o)
{
	uint32_t ino = f4_get_le32(f4_super_ptr(vol)->s_orphan_file_inum);
	f4_auto_inode *inode = NULL;
	int r;

	if (!f4_has_compat(vol, F4_COMPAT_ORPHAN_FILE) || !o->on_disk)
		return 0;
	r = f4_inode_get(vol, ino, F4_IGET_SPECIAL, &inode);
	if (r == 0 && (!f4_is_reg(inode) || f4_is_inline(inode) || inode->size > FILE_MAX_BYTES ||
		       inode->size % vol->block_size))
		r = -ESTALE;
	if (r == -ESTALE)
		return f4_corrupt(vol, ino, 0, "is no orphan file");
	if (r < 0)
		return r;
	o->file_ino = ino;
	o->file_seed = inode->csum_seed;
	o->file_blks = (uint32_t)(inode->size >> vol->block_bits);
	o->per_block = (vol->block_size - (uint32_t)sizeof(struct f4_orphan_tail)) / 4;
	o->file_dirty = f4_has_ro_compat(vol, F4_RO_COMPAT_ORPHAN_PRESENT);
	o->file_blk = calloc(o->file_blks ? o->file_blks : 1, sizeof(*o->file_blk));
	if (!o->file_blk)
		return -ENOMEM;
	f4_inode_rdlock(inode);
	r = map_blocks(inode, o);
	f4_inode_unlock(inode);
	return r;
}

static uint32_t free_slot(const struct f4_orphans *o, const uint8_t *data)
{
	uint32_t i = 0;

	while (i < o->per_block && f4_load_le32(data + (size_t)i * 4) != 0)
		i++;
	return i;
}

int f4_orphan_file_add(struct f4_handle *h, struct f4_inode *inode)
{
	struct f4_volume *vol = inode->vol;
	struct f4_orphans *o = vol->orphans;

	for (uint32_t i = 0; i < o->file_blks; i++) {
		uint32_t n = (o->hint + i) % o->file_blks, slot;
		f4_auto_buf *buf = NULL;
		int r = read_block(vol, n, &buf);

		if (r == -EUCLEAN)
			continue; /* reported; another block will do */
		if (r < 0)
			return r;
		slot = free_slot(o, buf->data);
		if (slot == o->per_block)
			continue;
		r = f4_txn_write(h, buf);
		if (r < 0)
			return r;
		f4_store_le32(buf->data + (size_t)slot * 4, inode->ino);
		inode->orphan_slot = n * o->per_block + slot + 1;
		o->hint = n;
		return 0;
	}
	return -ENOSPC;
}

int f4_orphan_file_del(struct f4_handle *h, struct f4_inode *inode)
{
	struct f4_volume *vol = inode->vol;
	struct f4_orphans *o = vol->orphans;
	uint32_t slot = inode->orphan_slot - 1;
	f4_auto_buf *buf = NULL;
	int r = read_block(vol, slot / o->per_block, &buf);

	if (r == 0)
		r = f4_txn_write(h, buf);
	if (r < 0)
		return r;
	f4_store_le32(buf->data + (size_t)(slot % o->per_block) * 4, 0);
	inode->orphan_slot = 0;
	return 0;
}

static int clear_slot(struct f4_volume *vol, struct f4_buf *buf, uint32_t slot)
{
	struct f4_handle h;
	int r = f4_txn_begin(vol->journal, 1, &h), r2;

	if (r < 0)
		return r;
	r = f4_txn_write(&h, buf);
	if (r == 0)
		f4_store_le32(buf->data + (size_t)slot * 4, 0);
	r2 = f4_txn_end(&h);
	return r < 0 ? r : r2;
}

static int process_slot(struct f4_volume *vol, struct f4_buf *buf, uint32_t block, uint32_t slot)
{
	uint32_t ino = f4_load_le32(buf->data + (size_t)slot * 4);
	struct f4_inode *inode = NULL;
	int r = ino >= vol->first_ino ? f4_alloc_inode_used(vol, ino) : 0;

	if (r > 0)
		r = f4_inode_get(vol, ino, F4_IGET_ORPHAN, &inode);
	else if (r == 0)
		r = -ESTALE;
	if (r == 0 && inode->on_orphan_list) {
		f4_inode_put(inode);
		r = -ESTALE;
	}
	if (r == -ESTALE || r == -EUCLEAN) {
		f4_corrupt(vol, ino, buf->blk, "in the orphan file, but of no use");
		return clear_slot(vol, buf, slot);
	}
	if (r < 0)
		return r;
	pthread_mutex_lock(&vol->orphan_lock);
	inode->orphan_slot = block * vol->orphans->per_block + slot + 1;
	inode->on_orphan_list = true;
	pthread_mutex_unlock(&vol->orphan_lock);
	r = f4_orphan_finish(inode);
	if (f4_load_le32(buf->data + (size_t)slot * 4) == ino) /* it would not go */
		return clear_slot(vol, buf, slot);
	return r == -EUCLEAN ? 0 : r;
}

int f4_orphan_file_process(struct f4_volume *vol, uint32_t *count)
{
	struct f4_orphans *o = vol->orphans;

	if (!o->file_dirty)
		return 0;
	for (uint32_t n = 0; n < o->file_blks; n++) {
		f4_auto_buf *buf = NULL;
		int r = read_block(vol, n, &buf);

		for (uint32_t slot = 0; r == 0 && slot < o->per_block; slot++) {
			if (f4_load_le32(buf->data + (size_t)slot * 4) == 0)
				continue;
			r = process_slot(vol, buf, n, slot);
			++*count;
		}
		if (r < 0 && r != -EUCLEAN)
			return r;
	}
	o->file_dirty = false;
	return 0;
}
