/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values in inodes of their own (feature ea_inode).
 *
 * Such an inode has no name. Its times and version hold what the feature needs: the seconds of the
 * atime are the hash of the value, the version is the low and the seconds of the ctime the high half
 * of the number of attributes that refer to it. Older ones (by Lustre) have one owner, named by the
 * seconds of the mtime, and no hash.
 *
 * A new one is written before the change that refers to it, while it is on the orphan list: should
 * the change not happen, it disappears by itself.
 * Source: kernel Documentation/filesystems/ext4/eainode.rst, fs/ext4/xattr.c for the fields' use.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "server/ext4/alloc.h"
#include "server/ext4/csum.h"
#include "server/ext4/file.h"
#include "server/ext4/map.h"
#include "server/ext4/orphan.h"
#include "server/ext4/quota.h"
#include "server/ext4/xattr_priv.h"

static uint32_t value_hash(const struct f4_volume *vol, const void *value, size_t len)
{
	return f4_crc32c(vol->csum_seed, value, len);
}

uint32_t f4_xinode_hash(const struct f4_inode *ea)
{
	return (uint32_t)ea->atime.tv_sec;
}

static uint64_t get_refs(const struct f4_inode *ea)
{
	return (uint64_t)(uint32_t)ea->ctime.tv_sec << 32 | (uint32_t)ea->version;
}

static void set_refs(struct f4_inode *ea, uint64_t refs)
{
	ea->ctime = (struct timespec){ .tv_sec = (int32_t)(uint32_t)(refs >> 32) };
	ea->version = (uint32_t)refs;
}

/* Fill [@pos, ...) of the inode's content in one handle. *ret_done: bytes. */
static int write_piece(struct f4_handle *h, struct f4_inode *ea, const uint8_t *value, size_t len,
		       size_t pos, size_t *ret_done)
{
	struct f4_volume *vol = ea->vol;
	struct f4_map map;
	uint64_t bytes, whole;
	int r;

	r = f4_map_alloc(h, ea, (uint32_t)(pos >> vol->block_bits),
			 (uint32_t)f4_bytes_to_blks_up(vol, len - pos), 0, &map);
	if (r < 0)
		return r;
	bytes = (uint64_t)map.len << vol->block_bits;
	if (bytes > len - pos)
		bytes = len - pos;
	whole = bytes & ~(uint64_t)(vol->block_size - 1);
	f4_cache_invalidate(vol->cache, map.pblk, map.len);
	r = whole ? f4_disk_write(vol->disk, value + pos, whole, map.pblk << vol->block_bits) : 0;
	if (r == 0 && bytes > whole) {
		f4_auto_free uint8_t *last = calloc(1, vol->block_size);

		if (!last)
			return -ENOMEM;
		memcpy(last, value + pos + whole, bytes - whole);
		r = f4_disk_write(vol->disk, last, vol->block_size,
				  (map.pblk << vol->block_bits) + whole);
	}
	*ret_done = bytes;
	return r;
}

static int make_empty(struct f4_inode *owner, const void *value, size_t len,
		      struct f4_inode **ret)
{
	struct f4_volume *vol = owner->vol;
	struct f4_cred cred = { .uid = owner->uid, .gid = owner->gid };
	struct f4_inode *ea = NULL;
	struct f4_handle h;
	int r, r2;

	r = f4_txn_begin(vol->journal, F4_IALLOC_CREDITS + F4_ORPHAN_CREDITS + 1, &h);
	if (r < 0)
		return r;
	r = f4_inode_new(&h, owner, S_IFREG | 0600, &cred, &ea);
	if (r == 0) {
		f4_quota_exempt(ea); /* who refers to it is charged */
		f4_inode_wrlock(ea); /* nobody else can reach it: never waits */
		ea->mode = S_IFREG | 0600;
		ea->flags = F4_FL_EA_INODE | (ea->flags & F4_FL_EXTENTS);
		ea->links = 0;
		ea->size = len;
		ea->atime = (struct timespec){ .tv_sec = (int32_t)value_hash(vol, value, len) };
		ea->mtime = (struct timespec){ 0 };
		set_refs(ea, 0);
		r = f4_orphan_add(&h, ea);
		if (r == 0)
			r = f4_inode_store(&h, ea);
		f4_inode_unlock(ea);
	}
	r2 = f4_txn_end(&h);
	if (r == 0)
		r = r2;
	if (r < 0)
		f4_inode_put(ea);
	else
		*ret = ea;
	return r;
}

int f4_xinode_new(struct f4_inode *owner, const void *value, size_t len, struct f4_inode **ret)
{
	f4_auto_inode *ea = NULL;
	int r;

	r = make_empty(owner, value, len, &ea);
	if (r < 0)
		return r;
	f4_inode_wrlock(ea);
	for (size_t pos = 0, done = 0; pos < len && r == 0; pos += done) {
		struct f4_handle h;
		int r2;

		r = f4_txn_begin(ea->vol->journal, f4_map_credits(ea) + 1, &h);
		if (r < 0)
			break;
		r = write_piece(&h, ea, value, len, pos, &done);
		r2 = f4_inode_store(&h, ea);
		if (r == 0)
			r = r2;
		r2 = f4_txn_end(&h);
		if (r == 0)
			r = r2;
	}
	f4_inode_unlock(ea);
	if (r == 0)
		*ret = f4_take_ptr(ea);
	return r;
}

int f4_xinode_link(struct f4_handle *h, struct f4_inode *ea)
{
	int r;

	r = f4_orphan_del(h, ea);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&ea->vol->xattr_lock);
	set_refs(ea, 1);
	ea->links = 1;
	r = f4_inode_store(h, ea);
	(void)pthread_mutex_unlock(&ea->vol->xattr_lock);
	return r;
}

int f4_xinode_unlink(struct f4_handle *h, struct f4_inode *ea)
{
	bool last;
	int r;

	(void)pthread_mutex_lock(&ea->vol->xattr_lock);
	last = get_refs(ea) <= 1;
	set_refs(ea, last ? 0 : get_refs(ea) - 1);
	if (last)
		ea->links = 0;
	r = f4_inode_store(h, ea);
	(void)pthread_mutex_unlock(&ea->vol->xattr_lock);
	if (r == 0 && last)
		r = f4_orphan_add(h, ea);
	return r;
}

int f4_xinode_ref(struct f4_handle *h, struct f4_inode *ea)
{
	int r;

	(void)pthread_mutex_lock(&ea->vol->xattr_lock);
	set_refs(ea, get_refs(ea) + 1);
	r = f4_inode_store(h, ea);
	(void)pthread_mutex_unlock(&ea->vol->xattr_lock);
	return r;
}

int f4_xinode_get(struct f4_inode *owner, const struct f4_xent *e, struct f4_inode **ret)
{
	struct f4_volume *vol = owner->vol;
	struct f4_inode *ea = NULL;
	int r;

	if (!f4_has_incompat(vol, F4_INCOMPAT_EA_INODE) || e->inum == owner->ino)
		return f4_corrupt(vol, owner->ino, 0, "xattr value in inode %u", e->inum);
	r = f4_inode_get(vol, e->inum, F4_IGET_EA_INODE, &ea);
	if (r == -ESTALE)
		return f4_corrupt(vol, owner->ino, 0, "xattr value in unused inode %u", e->inum);
	if (r < 0)
		return r;
	if (!f4_is_reg(ea) || ea->size != e->size) {
		f4_inode_put_inside(ea);
		return f4_corrupt(vol, owner->ino, 0, "xattr value in inode %u that is no value",
				  e->inum);
	}
	*ret = ea;
	return 0;
}

/* Made by Lustre: no hash, one owner, not charged to it. */
static bool is_old_style(const struct f4_inode *owner, const struct f4_inode *ea)
{
	return (uint32_t)ea->mtime.tv_sec == owner->ino && ea->generation == owner->generation;
}

uint64_t f4_xinode_sectors(const struct f4_inode *owner, const struct f4_inode *ea, uint32_t size)
{
	const struct f4_volume *vol = owner->vol;
	uint64_t unit = (uint64_t)vol->block_size * vol->cluster_ratio;

	if (ea && is_old_style(owner, ea))
		return 0;
	return (size + unit - 1) / unit * (unit >> 9);
}

static int check_hash(struct f4_inode *owner, const struct f4_inode *ea, const struct f4_xent *e,
		      const void *value)
{
	uint32_t hash;

	if (is_old_style(owner, ea))
		return 0;
	hash = value_hash(owner->vol, value, e->size);
	if (hash == f4_xinode_hash(ea) && (e->hash == f4_xent_hash_inode(e, hash, false) ||
					   e->hash == f4_xent_hash_inode(e, hash, true)))
		return 0;
	return f4_corrupt(owner->vol, owner->ino, 0, "xattr value in inode %u has a wrong hash",
			  e->inum);
}

int f4_xinode_read(struct f4_inode *owner, const struct f4_xent *e, void *buf)
{
	struct f4_inode *ea = NULL;
	size_t got = 0;
	int r;

	r = f4_xinode_get(owner, e, &ea);
	if (r < 0)
		return r;
	r = f4_file_read(ea, buf, e->size, 0, &got);
	if (r == 0 && got != e->size)
		r = f4_corrupt(owner->vol, owner->ino, 0, "xattr value in inode %u is short",
			       e->inum);
	if (r == 0)
		r = check_hash(owner, ea, e, buf);
	f4_inode_put_inside(ea);
	return r;
}
