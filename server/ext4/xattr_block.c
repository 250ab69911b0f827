/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The attribute block of an inode: i_file_acl. Inodes with equal attributes may share one.
 *
 * Blocks that the kernel shared are read and counted as such; a change of a shared one makes a
 * copy. We make no new sharing ourselves: what used to be worth it (ACLs) fits in today's inodes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/ext4/alloc.h"
#include "server/ext4/csum.h"
#include "server/ext4/group.h"
#include "server/ext4/quota.h"
#include "server/ext4/xattr_priv.h"

#define HEADER ((uint32_t)sizeof(struct f4_xattr_block_header))

static uint32_t block_csum(const struct f4_volume *vol, uint64_t blk, const uint8_t *data)
{
	const size_t at = offsetof(struct f4_xattr_block_header, h_checksum);
	f4_le64 nr = f4_mk_le64(blk);
	f4_le32 zero = { 0 };
	uint32_t crc = f4_crc32c(vol->csum_seed, &nr, sizeof(nr));

	crc = f4_crc32c(crc, data, at);
	crc = f4_crc32c(crc, &zero, sizeof(zero));
	return f4_crc32c(crc, data + at + sizeof(zero), vol->block_size - at - sizeof(zero));
}

static int verify_block(struct f4_volume *vol, const struct f4_buf *buf, const uint8_t *data)
{
	const struct f4_xattr_block_header *hdr = (const void *)data;

	if (f4_get_le32(hdr->h_magic) != F4_XATTR_MAGIC || f4_get_le32(hdr->h_blocks) != 1 ||
	    f4_get_le32(hdr->h_refcount) == 0)
		return -EUCLEAN;
	if (vol->has_csum && f4_get_le32(hdr->h_checksum) != block_csum(vol, buf->blk, data))
		return -EUCLEAN;
	return 0;
}

static void seal_block(struct f4_volume *vol, const struct f4_buf *buf, uint8_t *data)
{
	struct f4_xattr_block_header *hdr = (void *)data;

	hdr->h_checksum = f4_mk_le32(vol->has_csum ? block_csum(vol, buf->blk, data) : 0);
}

static const struct f4_buf_class class_xattr = {
	.name = "xattr block",
	.verify = verify_block,
	.seal = seal_block,
};

static void lock_shared(struct f4_volume *vol)
{
	(void)pthread_mutex_lock(&vol->xattr_lock);
}

static void unlock_shared(struct f4_volume *vol)
{
	(void)pthread_mutex_unlock(&vol->xattr_lock);
}

static struct f4_xattr_block_header *header(const struct f4_buf *buf)
{
	return (void *)buf->data;
}

static int read_block(struct f4_inode *inode, struct f4_buf **ret)
{
	struct f4_volume *vol = inode->vol;
	uint64_t blk = inode->file_acl;
	int r;

	if (!f4_volume_blocks_ok(vol, blk, 1))
		return f4_corrupt(vol, inode->ino, blk, "xattr block is no data block");
	/* It may belong to several inodes: no owner. */
	r = f4_buf_read(vol->cache, blk, &class_xattr, 0, vol->csum_seed, ret);
	if (r == -EUCLEAN)
		return f4_corrupt(vol, inode->ino, blk, "bad xattr block");
	return r;
}

int f4_xblock_load(struct f4_inode *inode, struct f4_xview *ret, uint32_t *ret_refs)
{
	struct f4_volume *vol = inode->vol;
	struct f4_xarea area = { .first = HEADER, .end = vol->block_size };
	f4_auto_buf *buf = NULL;
	int r;

	*ret_refs = 0;
	if (inode->file_acl == 0)
		return 0;
	r = read_block(inode, &buf);
	if (r < 0)
		return r;
	ret->copy = malloc(vol->block_size);
	if (!ret->copy)
		return -ENOMEM;
	lock_shared(vol);
	memcpy(ret->copy, buf->data, vol->block_size);
	unlock_shared(vol);
	area.base = ret->copy;
	*ret_refs = f4_get_le32(((struct f4_xattr_block_header *)(void *)ret->copy)->h_refcount);
	r = f4_xview_fill(ret, &area);
	if (r == -EUCLEAN)
		return f4_corrupt(vol, inode->ino, inode->file_acl, "bad entry in xattr block");
	return r;
}

/* Sectors of 512 bytes that a block takes of its inode's i_blocks: with bigalloc a whole cluster. */
static uint64_t charged_sectors(const struct f4_volume *vol)
{
	return ((uint64_t)vol->block_size * vol->cluster_ratio) >> 9;
}

/* The entries of a block have hashes; new ones bring none yet. */
static void fill_hashes(struct f4_xent *ents, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ents[i].hash == 0 && ents[i].inum == 0)
			ents[i].hash = f4_xent_hash(&ents[i], false);
}

/* The bytes of a block, @refs times referenced. */
static int build_block(const struct f4_volume *vol, struct f4_xent *ents, size_t n, uint8_t **ret)
{
	struct f4_xattr_block_header hdr = {
		.h_magic = f4_mk_le32(F4_XATTR_MAGIC),
		.h_refcount = f4_mk_le32(1),
		.h_blocks = f4_mk_le32(1),
	};
	f4_auto_free uint8_t *data = calloc(1, vol->block_size);
	int r;

	if (!data)
		return -ENOMEM;
	fill_hashes(ents, n);
	r = f4_xarea_build(data, HEADER, vol->block_size, ents, n);
	if (r < 0)
		return r;
	hdr.h_hash = f4_mk_le32(f4_xarea_hash(ents, n));
	memcpy(data, &hdr, sizeof(hdr));
	*ret = f4_take_ptr(data);
	return 0;
}

/* Overwrite the block if it is this inode's alone. Return: 1 done, 0 it is shared, negative errno. */
static int store_in_place(struct f4_handle *h, struct f4_inode *inode, const uint8_t *data)
{
	struct f4_volume *vol = inode->vol;
	f4_auto_buf *buf = NULL;
	uint32_t refs;
	int r;

	r = read_block(inode, &buf);
	if (r < 0)
		return r;
	lock_shared(vol);
	refs = f4_get_le32(header(buf)->h_refcount);
	unlock_shared(vol);
	if (refs != 1)
		return 0;
	/* The count can't rise meanwhile: only inodes that have the block could add to it. */
	r = f4_txn_write(h, buf);
	if (r < 0)
		return r;
	lock_shared(vol);
	memcpy(buf->data, data, vol->block_size);
	unlock_shared(vol);
	return 1;
}

/* One reference of the inode's block less; the last one frees it. */
static int release_block(struct f4_handle *h, struct f4_inode *inode)
{
	struct f4_volume *vol = inode->vol;
	uint64_t blk = inode->file_acl;
	struct f4_buf *buf = NULL;
	uint32_t refs;
	int r;

	r = read_block(inode, &buf);
	if (r == 0)
		r = f4_txn_write(h, buf);
	if (r < 0) {
		f4_buf_put(buf);
		return r;
	}
	lock_shared(vol);
	refs = f4_get_le32(header(buf)->h_refcount);
	if (refs > 1)
		header(buf)->h_refcount = f4_mk_le32(refs - 1);
	unlock_shared(vol);
	f4_buf_put(buf);
	if (refs > 1)
		return 0;
	r = f4_alloc_free(h, vol, inode->ino, blk & ~(uint64_t)(vol->cluster_ratio - 1),
			  vol->cluster_ratio);
	return r < 0 ? r : f4_txn_forget(h, blk);
}

static int store_new(struct f4_handle *h, struct f4_inode *inode, const uint8_t *data,
		     uint64_t *ret_blk)
{
	struct f4_volume *vol = inode->vol;
	struct f4_alloc_req req = {
		.ino = inode->ino,
		.goal = f4_group_first_blk(vol, f4_ino_group(vol, inode->ino)),
		.len = 1,
		.flags = F4_ALLOC_METADATA,
	};
	f4_auto_buf *buf = NULL;
	uint64_t blk;
	uint32_t len;
	int r;

	r = f4_quota_alloc(h, inode, &req, &blk, &len);
	if (r < 0)
		return r;
	r = f4_buf_new(vol->cache, blk, &class_xattr, 0, vol->csum_seed, &buf);
	if (r == 0)
		r = f4_txn_create(h, buf);
	if (r < 0) {
		f4_buf_put(f4_take_ptr(buf));
		(void)f4_quota_unalloc(h, inode, blk, vol->cluster_ratio); /* r says more */
		return r;
	}
	memcpy(buf->data, data, vol->block_size);
	*ret_blk = blk;
	return 0;
}

int f4_xblock_store(struct f4_handle *h, struct f4_inode *inode, struct f4_xent *ents, size_t n)
{
	struct f4_volume *vol = inode->vol;
	f4_auto_free uint8_t *data = NULL;
	uint64_t blk = 0;
	int r;

	if (n > 0) {
		r = build_block(vol, ents, n, &data);
		if (r < 0)
			return r;
		r = inode->file_acl ? store_in_place(h, inode, data) : 0;
		if (r != 0)
			return r < 0 ? r : 0;
		r = store_new(h, inode, data, &blk);
		if (r < 0)
			return r;
	}
	if (inode->file_acl) {
		r = release_block(h, inode);
		if (r < 0) {
			/* the new block, if any, has no owner: what this transaction holds can't stand */
			f4_journal_abort(vol->journal, r);
			return r;
		}
		inode->blocks -= inode->blocks < charged_sectors(vol) ? inode->blocks :
									charged_sectors(vol);
	}
	inode->file_acl = blk;
	if (blk)
		inode->blocks += charged_sectors(vol);
	return 0;
}
