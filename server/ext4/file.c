/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File content: read and write.
 *
 * A write tries the cheap way first: where all of it overwrites mapped, written blocks inside the
 * file's size, data goes to the disk under the shared lock and only the times need a handle, and
 * these only once in a tick of the clock. Else the exclusive way: a handle, blocks for the holes,
 * data to the disk, unwritten blocks converted, size and times, end of the handle: so no commit
 * ever holds a mapping whose data is not on its way. When data can't be written, the new blocks are
 * taken back in the same handle: nobody ever sees what was in them.
 */
#include "server/ext4/file.h"

#include <sys/stat.h>

#include "server/ext4/alloc.h"
#include "server/ext4/data.h"
#include "server/ext4/file_priv.h"
#include "server/ext4/inline.h"
#include "server/ext4/map.h"
#include "server/ext4/xattr.h"

/* Journalled content costs a credit for each block: so many at a time. */
#define JOURNALLED_BLOCKS 32u
/* Blocks of a hole that surely are filled in one handle, however scattered the free space is. */
#define SMALL_HOLE 4u

uint64_t f4_file_max_bytes(const struct f4_inode *inode)
{
	const struct f4_volume *vol = inode->vol;
	bool extents = f4_is_inline(inode) ? f4_has_incompat(vol, F4_INCOMPAT_EXTENTS) :
					     (inode->flags & F4_FL_EXTENTS) != 0;

	return extents ? vol->max_file_bytes_extents : vol->max_file_bytes_blockmap;
}

int f4_file_check_change(struct f4_inode *inode)
{
	int r = f4_volume_check_write(inode->vol);

	if (r)
		return r;
	if (!f4_is_reg(inode))
		return f4_is_dir(inode) ? -EISDIR : -EINVAL;
	if (inode->flags & (F4_FL_IMMUTABLE | F4_FL_VERITY))
		return -EPERM;
	return inode->flags & F4_FL_ENCRYPT ? -ENOKEY : 0;
}

int f4_file_zero_eof(struct f4_inode *inode, uint64_t new_size)
{
	uint64_t end = (inode->size | (inode->vol->block_size - 1)) + 1;

	if (f4_is_inline(inode) || (inode->size & (inode->vol->block_size - 1)) == 0)
		return 0;
	return f4_data_zero_edge(inode, inode->size, end < new_size ? end : new_size);
}

int f4_file_finish(struct f4_handle *h, struct f4_inode *inode, int r)
{
	int store = f4_inode_store(h, inode), end;

	h->sync = f4_file_is_sync(inode);
	/* What was changed in memory but can't be stored would be half a change on disk. */
	end = store ? f4_txn_abort(h, store) : f4_txn_end(h);
	return r ? r : end;
}

int f4_file_uninline(struct f4_inode *inode)
{
	struct f4_volume *vol = inode->vol;
	uint32_t attempt = 0;
	int r;

	do {
		struct f4_handle h;

		r = f4_txn_begin(vol->journal,
				 f4_map_credits(inode) + f4_xattr_credits(inode) + 1, &h);
		if (r)
			return r;
		r = f4_file_finish(&h, inode, f4_inline_to_blocks(&h, inode));
	} while (r == -ENOSPC && f4_alloc_should_retry(vol, attempt++));
	return r;
}

/* May content be read? And no path leads beyond the last logical block, whatever the disk claims. */
static int check_read(const struct f4_inode *inode)
{
	if (!f4_is_reg(inode))
		return f4_is_dir(inode) ? -EISDIR : -EINVAL;
	if (inode->flags & F4_FL_ENCRYPT)
		return -ENOKEY;
	if (inode->size <= (uint64_t)UINT32_MAX << inode->vol->block_bits)
		return 0;
	return f4_corrupt(inode->vol, inode->ino, 0, "size beyond what a file can have");
}

/* --- reading --- */

static int read_inline(struct f4_inode *inode, uint8_t *buf, size_t len, uint64_t pos)
{
	size_t max = f4_inline_max(inode), got;
	f4_auto_free uint8_t *all = NULL;
	int r;

	if (max < inode->size)
		max = inode->size < inode->vol->inode_size ? inode->size : inode->vol->inode_size;
	all = calloc(1, max);
	if (!all)
		return -ENOMEM;
	r = f4_inline_read(inode, all, max, &got);
	if (r)
		return r;
	memset(buf, 0, len);
	if (pos < got)
		memcpy(buf, all + pos, len < got - pos ? len : got - pos);
	return 0;
}

/* Bytes from @pos to the end of @map, at most @len. */
static size_t part_of(const struct f4_volume *vol, const struct f4_map *map, uint64_t pos,
		      size_t len)
{
	uint64_t end = ((uint64_t)map->lblk + map->len) << vol->block_bits;

	return end - pos < len ? (size_t)(end - pos) : len;
}

static int read_mapped(struct f4_inode *inode, uint8_t *buf, size_t len, uint64_t pos)
{
	struct f4_volume *vol = inode->vol;

	while (len > 0) {
		struct f4_map map;
		size_t n;
		int r = f4_map_lookup(inode, (uint32_t)(pos >> vol->block_bits), UINT32_MAX, &map);

		if (r)
			return r;
		n = part_of(vol, &map, pos, len);
		if ((map.flags & F4_MAP_MAPPED) && !(map.flags & F4_MAP_UNWRITTEN))
			r = f4_data_read(inode, &map, pos, buf, n);
		else
			memset(buf, 0, n);
		if (r)
			return r;
		buf += n;
		pos += n;
		len -= n;
	}
	return 0;
}

int f4_file_read(struct f4_inode *inode, void *buf, size_t len, uint64_t pos, size_t *ret_len)
{
	int r;

	if (inode->vol->shut_down)
		return -EIO;
	f4_inode_rdlock(inode);
	r = check_read(inode);
	if (pos >= inode->size)
		len = 0;
	else if (len > inode->size - pos)
		len = (size_t)(inode->size - pos);
	if (!r && len > 0)
		r = f4_is_inline(inode) ? read_inline(inode, buf, len, pos) :
					  read_mapped(inode, buf, len, pos);
	f4_inode_unlock(inode);
	if (!r)
		*ret_len = len;
	return r;
}

/* --- writing --- */

struct write_op {
	struct f4_inode *inode;
	const uint8_t *buf;
	size_t len, done;
	uint64_t pos;	   /* of buf[0] */
	uint32_t flags;	   /* F4_WRITE_* */
	uint32_t map_flags; /* for f4_map_alloc */
	bool caps;	   /* has_caps, looked at under the lock */
	bool sync;	   /* f4_file_is_sync, likewise */
	bool nolimit;	   /* quota limits don't bind the writer */
};

static uint64_t op_pos(const struct write_op *op)
{
	return op->pos + op->done;
}

/* Is there a security.capability that a write takes away? Most files have no xattrs at all. */
static bool has_caps(struct f4_inode *inode)
{
	size_t off = F4_GOOD_OLD_INODE_SIZE + (size_t)inode->extra_isize, len;

	if (inode->file_acl == 0 &&
	    (off + 4 > inode->vol->inode_size ||
	     f4_load_le32(f4_inode_raw(inode) + off) != F4_XATTR_MAGIC))
		return false;
	return f4_xattr_get_locked(inode, F4_XATTR_INDEX_SECURITY, "capability", NULL, 0, &len) ==
	       0;
}

/* The mode after the write. */
static uint16_t killed_mode(const struct f4_inode *inode, uint32_t flags)
{
	uint16_t mode = inode->mode;

	if (!(flags & F4_WRITE_KILLPRIV))
		return mode;
	mode &= (uint16_t)~S_ISUID;
	if ((mode & S_IXGRP) || (flags & F4_WRITE_KILLSGID))
		mode &= (uint16_t)~S_ISGID;
	return mode;
}

static bool kills_mode(const struct f4_inode *inode, uint32_t flags)
{
	return killed_mode(inode, flags) != inode->mode;
}

/* What every write does to the inode besides its content; the caller stores. */
static int touch_written(struct f4_handle *h, const struct write_op *op)
{
	struct f4_inode *inode = op->inode;
	uint32_t flags = op->flags;
	int r = 0;

	f4_inode_set_mode(inode, killed_mode(inode, flags));
	if (op->caps)
		r = f4_xattr_set_locked(h, inode, F4_XATTR_INDEX_SECURITY, "capability", NULL, 0,
					0);
	if (!(flags & F4_WRITE_KEEP_TIMES))
		f4_inode_touch(inode, F4_TOUCH_M | F4_TOUCH_C);
	return r;
}

/*
 * Were mtime and ctime set in the present tick of the kernel's clock? Then nobody can tell whether
 * they are set again, as with the kernel's own timestamps.
 */
static bool times_are_fresh(const struct f4_inode *inode)
{
	struct timespec tick;

	clock_gettime(CLOCK_REALTIME_COARSE, &tick);
	return inode->mtime.tv_sec == tick.tv_sec && inode->mtime.tv_nsec >= tick.tv_nsec &&
	       inode->ctime.tv_sec == tick.tv_sec && inode->ctime.tv_nsec >= tick.tv_nsec;
}

static int update_times(struct f4_inode *inode, uint32_t flags)
{
	struct f4_handle h;
	bool fresh;
	int r;

	if (flags & F4_WRITE_KEEP_TIMES)
		return 0;
	f4_inode_rdlock(inode);
	fresh = times_are_fresh(inode);
	f4_inode_unlock(inode);
	if (fresh)
		return 0;
	f4_inode_wrlock(inode);
	r = f4_txn_begin(inode->vol->journal, 1, &h);
	if (!r) {
		f4_inode_touch(inode, F4_TOUCH_M | F4_TOUCH_C);
		r = f4_file_finish(&h, inode, 0);
	}
	f4_inode_unlock(inode);
	return r;
}

/* Is all of the write an overwrite of written blocks? 1, 0 or a negative errno. Shared lock held. */
static int can_overwrite(const struct write_op *op)
{
	struct f4_inode *inode = op->inode;
	uint32_t bits = inode->vol->block_bits;
	uint64_t blk = op->pos >> bits, last = (op->pos + op->len - 1) >> bits;

	if (op->len == 0 || f4_is_inline(inode) || f4_map_is_journalled(inode) ||
	    op->pos + op->len > inode->size || kills_mode(inode, op->flags) || op->caps)
		return 0;
	while (blk <= last) {
		struct f4_map map;
		int r = f4_map_lookup(inode, (uint32_t)blk, UINT32_MAX, &map);

		if (r)
			return r;
		if (!(map.flags & F4_MAP_MAPPED) || (map.flags & F4_MAP_UNWRITTEN))
			return 0;
		blk += map.len;
	}
	return 1;
}

/* May it be written, and how much of it? Any lock held. */
static int check_write(struct write_op *op)
{
	uint64_t max = f4_file_max_bytes(op->inode);
	int r = f4_file_check_change(op->inode);

	if (r)
		return r;
	if (op->len > 0 && op->pos >= max)
		return -EFBIG;
	if (op->len > max - op->pos)
		op->len = (size_t)(max - op->pos);
	return 0;
}

/* The cheap way. Return: 1 done (op->done bytes), 0 not possible, or a negative errno. */
static int overwrite(struct write_op *op)
{
	struct f4_inode *inode = op->inode;
	int can, r = 0;

	f4_inode_rdlock(inode);
	can = check_write(op);
	op->sync = f4_file_is_sync(inode);
	op->caps = !can && has_caps(inode);
	can = can ? can : can_overwrite(op);
	while (can > 0 && op->done < op->len) {
		struct f4_map map;
		size_t n;

		r = f4_map_lookup(inode, (uint32_t)(op_pos(op) >> inode->vol->block_bits),
				  UINT32_MAX, &map);
		if (r)
			break;
		n = part_of(inode->vol, &map, op_pos(op), op->len - op->done);
		r = f4_data_write(NULL, inode, &map, op_pos(op), op->buf + op->done, n, false);
		if (r)
			break;
		op->done += n;
	}
	f4_inode_unlock(inode);
	if (can <= 0)
		return can;
	if (r && op->done == 0)
		return r;
	r = update_times(inode, op->flags);
	return r ? r : 1;
}

/* Take back blocks that were allocated in this handle but could not be written. */
static int undo_alloc(struct f4_handle *h, struct f4_inode *inode, const struct f4_map *map)
{
	uint32_t end = map->lblk + map->len;

	while (end > map->lblk) {
		uint32_t before = end;
		int r = f4_map_remove(h, inode, map->lblk, end, &end);

		if (r)
			return r;
		if (end == before)
			return -EIO;
	}
	return 0;
}

/* One run of the write: mapped, written, converted. */
static int write_run(struct write_op *op, struct f4_handle *h)
{
	struct f4_inode *inode = op->inode;
	struct f4_volume *vol = inode->vol;
	uint64_t pos = op_pos(op), left = op->len - op->done;
	uint32_t lblk = (uint32_t)(pos >> vol->block_bits);
	uint64_t want = ((pos + left - 1) >> vol->block_bits) - lblk + 1;
	struct f4_map map;
	size_t n;
	int r;

	if (f4_map_is_journalled(inode) && want > JOURNALLED_BLOCKS)
		want = JOURNALLED_BLOCKS;
	r = f4_map_alloc(h, inode, lblk, (uint32_t)want, op->map_flags, &map);
	if (r)
		return r;
	n = part_of(vol, &map, pos, left);
	r = f4_data_write(h, inode, &map, pos, op->buf + op->done, n,
			  map.flags & (F4_MAP_NEW | F4_MAP_UNWRITTEN));
	if (!r && (map.flags & F4_MAP_UNWRITTEN))
		r = f4_map_convert(h, inode, lblk, map.len);
	if (!r) {
		op->done += n;
		return 0;
	}
	if (map.flags & F4_MAP_NEW) {
		int undo = undo_alloc(h, inode, &map);

		if (undo) /* the new blocks' old content would show: nothing of this may be kept */
			f4_journal_abort(vol->journal, undo);
	}
	return r;
}

static uint32_t run_credits(const struct f4_inode *inode)
{
	/* Twice: what an allocation does may have to be undone. */
	return 2 * f4_map_credits(inode) + 1 +
	       (f4_map_is_journalled(inode) ? JOURNALLED_BLOCKS : 0);
}

/* A hole of few blocks may take a run for each; a larger one two, and more are asked for on the way. */
static uint32_t hole_runs(uint32_t blocks)
{
	return blocks <= SMALL_HOLE ? blocks : 2;
}

/*
 * How many runs the rest of the write will need: mappings to make or convert, at most @limit. Or a
 * negative errno.
 */
static int plan_runs(const struct write_op *op, uint32_t limit)
{
	struct f4_inode *inode = op->inode;
	uint32_t bits = inode->vol->block_bits, runs = 0;
	uint64_t blk = op_pos(op) >> bits, end = ((op->pos + op->len - 1) >> bits) + 1;

	if (f4_map_is_journalled(inode))
		runs = (uint32_t)((end - blk + JOURNALLED_BLOCKS - 1) / JOURNALLED_BLOCKS);
	while (blk < end && runs < limit) {
		struct f4_map map;
		int r = f4_map_lookup(inode, (uint32_t)blk, (uint32_t)(end - blk), &map);

		if (r)
			return r;
		if (!(map.flags & F4_MAP_MAPPED))
			runs += hole_runs(map.len);
		else if (map.flags & F4_MAP_UNWRITTEN)
			runs++;
		blk += map.len;
	}
	return (int)(runs > limit ? limit : runs);
}

/*
 * As much as fits into one handle. Progress shows in op->done. Credits for all that the write is seen
 * to need are taken at the beginning, so that a crash finds the whole of it or nothing; only a write
 * that needs more than a transaction can hold, or that meets scattered free space while the running
 * transaction is nearly full, is divided.
 */
static int write_handle(struct write_op *op)
{
	struct f4_inode *inode = op->inode;
	uint32_t need = run_credits(inode);
	uint32_t extra = op->caps ? f4_xattr_credits(inode) : 0;
	uint32_t most = (f4_journal_max_credits(inode->vol->journal) - extra) / need;
	struct f4_handle h;
	int runs = plan_runs(op, most), r, touch;

	if (runs < 0)
		return runs;
	r = f4_txn_begin(inode->vol->journal, (runs > 1 ? (uint32_t)runs : 1) * need + extra, &h);
	if (r)
		return r;
	h.nolimit = op->nolimit;
	do {
		r = write_run(op, &h);
		need = run_credits(inode);
	} while (!r && op->done < op->len &&
		 (h.reserved >= need + extra || f4_txn_extend(&h, need) == 0));
	if (op->done > 0) {
		if (op_pos(op) > inode->size)
			inode->size = op_pos(op);
		touch = touch_written(&h, op);
		r = r ? r : touch;
	}
	return f4_file_finish(&h, inode, r);
}

/* May this file's first content be inline? Nothing was ever stored in it, or all is gone again. */
static bool can_start_inline(struct f4_inode *inode)
{
	struct f4_map map;

	return f4_has_incompat(inode->vol, F4_INCOMPAT_INLINE_DATA) && !f4_is_inline(inode) &&
	       inode->size == 0 && !(inode->flags & F4_FL_EA_INODE) &&
	       f4_map_lookup(inode, 0, UINT32_MAX, &map) == 0 &&
	       !(map.flags & F4_MAP_MAPPED) && map.len == UINT32_MAX;
}

/* The new content still fits into the inode: write it there. -ENOSPC: it does not. */
static int write_inline(struct write_op *op, bool start)
{
	struct f4_inode *inode = op->inode;
	size_t max = f4_inline_max(inode), len = inode->size, got;
	f4_auto_free uint8_t *all = NULL;
	struct f4_handle h;
	int r;

	if (op->pos + op->len > max || len > max || max == 0)
		return -ENOSPC;
	all = calloc(1, max + 1);
	if (!all)
		return -ENOMEM;
	r = start ? 0 : f4_inline_read(inode, all, max, &got);
	if (r)
		return r;
	memcpy(all + op->pos, op->buf, op->len);
	if (op->pos + op->len > len)
		len = (size_t)op->pos + op->len;
	r = f4_txn_begin(inode->vol->journal, 2 * f4_xattr_credits(inode) + 1, &h);
	if (r)
		return r;
	r = start ? f4_inline_init(&h, inode) : 0;
	if (!r)
		r = f4_inline_write(&h, inode, all, len);
	if (!r)
		r = touch_written(&h, op);
	r = f4_file_finish(&h, inode, r);
	if (!r)
		op->done = op->len;
	return r;
}

static int write_locked(struct write_op *op)
{
	struct f4_inode *inode = op->inode;
	uint32_t attempt = 0;
	int r = check_write(op);

	if (r)
		return r;
	op->caps = has_caps(inode);
	if (f4_is_inline(inode) || can_start_inline(inode)) {
		r = write_inline(op, !f4_is_inline(inode));
		if (r != -ENOSPC)
			return r;
	}
	if (f4_is_inline(inode)) {
		r = f4_file_uninline(inode);
		if (r)
			return r;
	}
	if (op->pos > inode->size) {
		r = f4_file_zero_eof(inode, op->pos);
		if (r)
			return r;
	}
	while (op->done < op->len) {
		r = write_handle(op);
		if (r == -ENOSPC && f4_alloc_should_retry(inode->vol, attempt++))
			continue;
		if (r)
			return op->done ? 0 : r; /* a short write tells how far it came */
	}
	return 0;
}

int f4_file_write(struct f4_inode *inode, const void *buf, size_t len, uint64_t pos, uint32_t flags,
		  const struct f4_cred *cred, size_t *ret_len)
{
	struct write_op op = { .inode = inode, .buf = buf, .len = len, .pos = pos, .flags = flags };
	int r = overwrite(&op);

	if (r == 0 && len > 0) {
		if (f4_alloc_may_use_reserved(inode->vol, cred->uid, cred->gid))
			op.map_flags = F4_MAP_ALLOC_RESERVED;
		/* Pages of a mapping are written by nobody in particular: the owner's limits hold. */
		op.nolimit = cred->uid == 0 && !(flags & F4_WRITE_CACHE);
		f4_inode_wrlock(inode);
		r = write_locked(&op);
		f4_inode_unlock(inode);
	}
	if (r < 0) {
		if (flags & F4_WRITE_CACHE) /* the writer is gone: fsync has to tell */
			atomic_store(&inode->write_error, r);
		return r;
	}
	*ret_len = op.done;
	if (op.sync || (flags & (F4_WRITE_SYNC | F4_WRITE_DSYNC)))
		return f4_file_fsync(inode, !op.sync && !(flags & F4_WRITE_SYNC));
	return 0;
}

static int seek_mapped(struct f4_inode *inode, bool want_data, uint64_t *pos)
{
	uint32_t bits = inode->vol->block_bits;

	while (*pos < inode->size) {
		struct f4_map map;
		bool data;
		int r = f4_map_lookup(inode, (uint32_t)(*pos >> bits), UINT32_MAX, &map);

		if (r)
			return r;
		data = (map.flags & F4_MAP_MAPPED) && !(map.flags & F4_MAP_UNWRITTEN);
		if (data == want_data)
			return 0;
		*pos = ((uint64_t)map.lblk + map.len) << bits;
	}
	*pos = inode->size; /* the end is a hole that every file has */
	return want_data ? -ENXIO : 0;
}

int f4_file_seek(struct f4_inode *inode, uint64_t pos, int whence, uint64_t *ret_pos)
{
	int r;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	f4_inode_rdlock(inode);
	r = check_read(inode);
	if (!r && pos >= inode->size) {
		r = -ENXIO;
	} else if (!r && f4_is_inline(inode)) {
		pos = whence == SEEK_DATA ? pos : inode->size;
	} else if (!r) {
		r = seek_mapped(inode, whence == SEEK_DATA, &pos);
	}
	f4_inode_unlock(inode);
	if (!r)
		*ret_pos = pos;
	return r;
}
