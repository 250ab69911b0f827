/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File content: fsync, release, and symlinks.
 *
 * fsync needs two things on the device: the transaction of the inode's last change, and data that
 * was written without one. A commit flushes the device after all data that was written before the
 * commit began, so a flush of our own is needed only when the transaction that we wait for had
 * begun to commit earlier, or there is none.
 */
#include "server/ext4/file.h"

#include "server/ext4/alloc.h"
#include "server/ext4/data.h"
#include "server/ext4/file_priv.h"
#include "server/ext4/inline.h"
#include "server/ext4/map.h"

int f4_file_fsync(struct f4_inode *inode, bool datasync)
{
	struct f4_volume *vol = inode->vol;
	struct f4_journal *journal = vol->journal;
	f4_tid tid = atomic_load(datasync ? &inode->datasync_tid : &inode->sync_tid);
	int lost = atomic_exchange(&inode->write_error, 0), r;
	uint32_t written;
	bool dirty, covered;

	if (vol->shut_down)
		return -EIO;
	if (!journal)
		return lost;
	written = atomic_load(&inode->data_written);
	dirty = written != atomic_load(&inode->data_flushed);
	covered = tid && tid == f4_journal_running_tid(journal);
	r = f4_journal_commit_wait(journal, tid);
	if (!r && dirty && !covered && !vol->opt.no_barrier)
		r = f4_disk_flush(vol->disk);
	if (!r) /* others may have come further meanwhile: then one flush too many follows */
		atomic_store(&inode->data_flushed, written);
	return lost ? lost : r;
}

void f4_file_release(struct f4_inode *inode)
{
	f4_alloc_done(inode->vol, inode->ino);
}

int f4_file_flush_journalled(struct f4_inode *inode)
{
	struct f4_volume *vol = inode->vol;
	uint64_t last = f4_bytes_to_blks_up(vol, inode->size);
	uint32_t lblk = 0;
	int r = vol->journal ? f4_journal_flush(vol->journal) : 0;

	if (f4_is_inline(inode))
		return r;
	while (!r && lblk < last && lblk <= F4_MAP_LBLK_MAX) {
		struct f4_map map;

		r = f4_map_lookup(inode, lblk, UINT32_MAX, &map);
		if (r)
			break;
		if (map.flags & F4_MAP_MAPPED)
			f4_cache_invalidate(vol->cache, map.pblk, map.len);
		lblk += map.len;
	}
	return r;
}

/* --- symlinks --- */

int f4_file_symlink(struct f4_handle *h, struct f4_inode *inode, const char *target, size_t len)
{
	struct f4_volume *vol = inode->vol;
	f4_auto_buf *buf = NULL;
	struct f4_map map;
	int r;

	inode->flags &= ~F4_FL_INLINE_DATA;
	if (len < F4_I_BLOCK_BYTES) {
		inode->flags &= ~F4_FL_EXTENTS;
		memset(inode->i_block, 0, sizeof(inode->i_block));
		memcpy(inode->i_block, target, len);
		inode->size = len;
		return 0;
	}
	if (len >= vol->block_size)
		return -ENAMETOOLONG;
	f4_map_init(inode);
	r = f4_map_alloc(h, inode, 0, 1, F4_MAP_ALLOC_METADATA, &map);
	if (r)
		return r;
	r = f4_buf_new(vol->cache, map.pblk, &f4_class_data, inode->ino, 0, &buf);
	if (!r)
		r = f4_txn_create(h, buf);
	if (r)
		return r;
	memcpy(buf->data, target, len);
	inode->size = len;
	return 0;
}

static int read_target(struct f4_inode *inode, char *buf, size_t len)
{
	f4_auto_buf *b = NULL;
	struct f4_map map;
	int r;

	if (f4_inode_is_fast_symlink(inode)) {
		if (len >= F4_I_BLOCK_BYTES)
			return f4_corrupt(inode->vol, inode->ino, 0, "symlink size");
		memcpy(buf, inode->i_block, len);
		return 0;
	}
	r = f4_map_lookup(inode, 0, 1, &map);
	if (r)
		return r;
	if (!(map.flags & F4_MAP_MAPPED) || (map.flags & F4_MAP_UNWRITTEN))
		return f4_corrupt(inode->vol, inode->ino, 0, "symlink without a block");
	r = f4_buf_read(inode->vol->cache, map.pblk, &f4_class_data, inode->ino, 0, &b);
	if (!r)
		memcpy(buf, b->data, len);
	return r;
}

int f4_file_readlink(struct f4_inode *inode, char *buf, size_t size, size_t *ret_len)
{
	size_t got;
	int r = 0;

	f4_inode_rdlock(inode);
	if (!f4_is_lnk(inode))
		r = -EINVAL;
	else if (inode->flags & F4_FL_ENCRYPT)
		r = -ENOKEY;
	else if (inode->size == 0 || inode->size >= inode->vol->block_size)
		r = f4_corrupt(inode->vol, inode->ino, 0, "symlink size");
	else if (inode->size >= size)
		r = -ENAMETOOLONG;
	else if (f4_is_inline(inode))
		r = f4_inline_read(inode, buf, size - 1, &got);
	else
		r = read_target(inode, buf, (size_t)inode->size);
	if (!r && f4_is_inline(inode) && got < inode->size)
		r = f4_corrupt(inode->vol, inode->ino, 0, "symlink size");
	if (!r) {
		buf[inode->size] = 0;
		*ret_len = strlen(buf); /* a NUL inside ends it, as for the kernel */
		if (*ret_len == 0)
			r = f4_corrupt(inode->vol, inode->ino, 0, "empty symlink");
	}
	f4_inode_unlock(inode);
	return r;
}
