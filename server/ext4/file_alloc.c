/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File content: fallocate. Each mode works in pieces, a handle each; a crash or a full disk leaves a
 * part of it done, as with the kernel. Blocks taken ahead are unwritten extents, so block maps have
 * no allocation (-EOPNOTSUPP, callers fall back to writing) but holes can be punched in them.
 * Source: fallocate(2); what the kernel's ext4 answers where that leaves a choice.
 */
#include "server/ext4/file.h"

#include <linux/falloc.h>

#include "server/ext4/alloc.h"
#include "server/ext4/data.h"
#include "server/ext4/file_priv.h"
#include "server/ext4/map.h"

struct falloc {
	struct f4_inode *inode;
	uint64_t pos, end; /* bytes, [pos, end) */
	bool keep_size;
	uint32_t map_flags; /* for f4_map_alloc */
	bool nolimit;	    /* quota limits don't bind who asks */
};

static uint32_t blk_down(const struct f4_inode *inode, uint64_t pos)
{
	return (uint32_t)(pos >> inode->vol->block_bits);
}

static uint32_t blk_up(const struct f4_inode *inode, uint64_t pos)
{
	return (uint32_t)f4_bytes_to_blks_up(inode->vol, pos);
}

/* Content up to @pos is provided for: the size follows, if it may. */
static void grow_to(const struct falloc *fa, uint64_t pos)
{
	if (pos > fa->end)
		pos = fa->end;
	if (!fa->keep_size && pos > fa->inode->size)
		fa->inode->size = pos;
}

/*
 * One handle's work in [*at, end): holes are filled with unwritten blocks, and with @unwrite what is
 * written becomes unwritten. *at moves past what is done.
 */
static int fill_handle(const struct falloc *fa, uint32_t *at, uint32_t end, bool unwrite)
{
	struct f4_inode *inode = fa->inode;
	struct f4_handle h;
	uint32_t need = f4_map_credits(inode) + 1;
	int r = f4_txn_begin(inode->vol->journal, need, &h);

	if (r)
		return r;
	h.nolimit = fa->nolimit;
	do {
		struct f4_map map;

		r = f4_map_alloc(&h, inode, *at, end - *at, fa->map_flags, &map);
		if (!r && unwrite && !(map.flags & F4_MAP_UNWRITTEN))
			r = f4_map_unwrite(&h, inode, *at, map.len);
		if (r)
			break;
		*at += map.len;
		need = f4_map_credits(inode) + 1;
	} while (*at < end && (h.reserved >= need || f4_txn_extend(&h, need) == 0));
	grow_to(fa, (uint64_t)*at << inode->vol->block_bits);
	f4_inode_touch(inode, F4_TOUCH_M | F4_TOUCH_C);
	return f4_file_finish(&h, inode, r);
}

static int fill(const struct falloc *fa, uint32_t at, uint32_t end, bool unwrite)
{
	uint32_t attempt = 0;
	int r = 0;

	while (!r && at < end) {
		uint32_t before = at;

		r = fill_handle(fa, &at, end, unwrite);
		if (at != before)
			attempt = 0;
		if (r == -ENOSPC && f4_alloc_should_retry(fa->inode->vol, attempt++))
			r = 0;
	}
	return r;
}

static int allocate(const struct falloc *fa)
{
	int r = 0;

	if (!(fa->inode->flags & F4_FL_EXTENTS))
		return -EOPNOTSUPP;
	if (!fa->keep_size && fa->end > fa->inode->size)
		r = f4_file_zero_eof(fa->inode, fa->end);
	if (r)
		return r;
	return fill(fa, blk_down(fa->inode, fa->pos), blk_up(fa->inode, fa->end), false);
}

/* Zeroes in the blocks that [pos, end) covers in part. */
static int zero_edges(struct f4_inode *inode, uint64_t pos, uint64_t end)
{
	uint64_t size = inode->vol->block_size, head = (pos + size - 1) & ~(size - 1);
	uint64_t tail = end & ~(size - 1);
	int r;

	if (head > tail) /* inside of one block */
		return f4_data_zero_edge(inode, pos, end);
	r = f4_data_zero_edge(inode, pos, head);
	return r ? r : f4_data_zero_edge(inode, tail, end);
}

/* Free whole blocks [at, end) of the file. */
static int remove_blocks(struct f4_inode *inode, uint32_t at, uint32_t end)
{
	uint32_t attempt = 0;
	int r = 0;

	while (!r && at < end) {
		struct f4_handle h;
		uint32_t left = end;

		r = f4_txn_begin(inode->vol->journal, 2 * f4_map_credits(inode) + 1, &h);
		if (r)
			return r;
		r = f4_map_remove(&h, inode, at, end, &left);
		r = f4_file_finish(&h, inode, r);
		if (r == -ENOSPC && f4_alloc_should_retry(inode->vol, attempt++))
			r = 0; /* the same range again: what is done already is holes */
		else
			end = left;
	}
	return r;
}

static int punch(const struct falloc *fa)
{
	struct f4_inode *inode = fa->inode;
	uint64_t bs = inode->vol->block_size, end = fa->end;
	struct f4_handle h;
	int r;

	/* Behind the size only what was allocated ahead could be: that stays, as with the kernel. */
	if (fa->pos >= inode->size)
		return 0;
	if (end > inode->size)
		end = (inode->size + bs - 1) & ~(bs - 1);
	r = zero_edges(inode, fa->pos, end);
	if (!r)
		r = remove_blocks(inode, blk_up(inode, fa->pos), blk_down(inode, end));
	if (!r)
		r = f4_txn_begin(inode->vol->journal, 1, &h);
	if (r)
		return r;
	f4_inode_touch(inode, F4_TOUCH_M | F4_TOUCH_C);
	return f4_file_finish(&h, inode, 0);
}

static int zero(const struct falloc *fa)
{
	struct f4_inode *inode = fa->inode;
	uint32_t first = blk_up(inode, fa->pos), last = blk_down(inode, fa->end);
	int r = 0;

	if (!(inode->flags & F4_FL_EXTENTS))
		return -EOPNOTSUPP;
	if (!fa->keep_size && fa->end > inode->size)
		r = f4_file_zero_eof(inode, fa->end);
	if (!r)
		r = zero_edges(inode, fa->pos, fa->end);
	/* Journalled content may sit in the cache: it must go through removal, which forgets it. */
	if (!r && first < last && f4_map_is_journalled(inode))
		r = remove_blocks(inode, first, last);
	if (!r && blk_down(inode, fa->pos) < first) /* a first block in part */
		r = fill(fa, blk_down(inode, fa->pos), first, false);
	if (!r && first < last)
		r = fill(fa, first, last, true);
	if (!r && last < blk_up(inode, fa->end) && last >= first)
		r = fill(fa, last, blk_up(inode, fa->end), false);
	return r;
}

static int fallocate_locked(struct falloc *fa, int mode)
{
	struct f4_inode *inode = fa->inode;
	uint64_t max = f4_file_max_bytes(inode);
	int r = f4_file_check_change(inode);

	if (r)
		return r;
	if (mode & FALLOC_FL_PUNCH_HOLE) {
		if (fa->pos >= max)
			return 0;
		fa->end = fa->end < max ? fa->end : max;
	} else if (fa->end > max) {
		return -EFBIG;
	}
	if (!fa->keep_size && fa->end > inode->size && (inode->flags & F4_FL_APPEND) &&
	    (mode & FALLOC_FL_ZERO_RANGE))
		return -EPERM;
	if (f4_is_inline(inode)) {
		r = f4_file_uninline(inode);
		if (r)
			return r;
	}
	if (mode & FALLOC_FL_PUNCH_HOLE)
		return punch(fa);
	return mode & FALLOC_FL_ZERO_RANGE ? zero(fa) : allocate(fa);
}

int f4_file_fallocate(struct f4_inode *inode, int mode, uint64_t pos, uint64_t len,
		      const struct f4_cred *cred)
{
	struct falloc fa = { .inode = inode,
			     .pos = pos,
			     .end = pos + len,
			     .keep_size = mode & FALLOC_FL_KEEP_SIZE,
			     .map_flags = F4_MAP_ALLOC_UNWRITTEN };
	int r;

	switch (mode) {
	case 0:
	case FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_ZERO_RANGE:
	case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (len == 0)
		return -EINVAL;
	if (fa.end < pos)
		return -EFBIG;
	if (f4_alloc_may_use_reserved(inode->vol, cred->uid, cred->gid))
		fa.map_flags |= F4_MAP_ALLOC_RESERVED;
	fa.nolimit = cred->uid == 0;
	f4_inode_wrlock(inode);
	r = fallocate_locked(&fa, mode);
	f4_inode_unlock(inode);
	return r;
}
