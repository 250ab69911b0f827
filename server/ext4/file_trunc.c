/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File content: truncation.
 *
 * Shrinking sets the size first and then frees the blocks behind it. What fits into one handle is
 * atomic with the size. What does not goes on in more handles, with the inode on the orphan list
 * from the first of them to the last, so that recovery finishes what a crash cuts short.
 */
#include "server/ext4/file.h"

#include "server/ext4/alloc.h"
#include "server/ext4/data.h"
#include "server/ext4/file_priv.h"
#include "server/ext4/inline.h"
#include "server/ext4/map.h"
#include "server/ext4/orphan.h"
#include "server/ext4/xattr.h"

/* What a handle of truncation keeps aside: entering or leaving the orphan list, and the inode. */
#define ASIDE (F4_ORPHAN_CREDITS + 1u)

static int grow(struct f4_inode *inode, uint64_t size)
{
	struct f4_handle h;
	int r = f4_file_zero_eof(inode, size);

	if (!r)
		r = f4_txn_begin(inode->vol->journal, 1, &h);
	if (r)
		return r;
	inode->size = size;
	f4_inode_touch(inode, F4_TOUCH_M | F4_TOUCH_C);
	return f4_file_finish(&h, inode, 0);
}

/* Free what is mapped from @first on, over as many handles as it takes; @h is open on entry and on return. */
static int remove_behind(struct f4_handle *h, struct f4_inode *inode, uint32_t first)
{
	uint32_t left = UINT32_MAX;
	bool listed = false;
	int r, del;

	for (;;) {
		h->reserved -= ASIDE;
		r = f4_map_remove(h, inode, first, left, &left);
		h->reserved += ASIDE;
		if (r || left == first)
			break;
		/* An unlinked inode is on the list already, until it is gone. */
		if (!listed && inode->links > 0) {
			r = f4_orphan_add(h, inode);
			if (r)
				return r;
			listed = true;
		}
		r = f4_inode_store(h, inode);
		if (r)
			return r;
		r = f4_txn_restart(h, 2 * f4_map_credits(inode) + ASIDE);
		if (r)
			return r;
	}
	if (listed) {
		del = f4_orphan_del(h, inode);
		r = r ? r : del;
	}
	return r;
}

static int shrink(struct f4_inode *inode, uint64_t size)
{
	struct f4_volume *vol = inode->vol;
	uint64_t first = f4_bytes_to_blks_up(vol, size);
	struct f4_handle h;
	int r = 0;

	if (size < inode->size && (size & (vol->block_size - 1)))
		r = f4_data_zero_edge(inode, size, first << vol->block_bits);
	if (!r)
		r = f4_txn_begin(vol->journal, 2 * f4_map_credits(inode) + ASIDE, &h);
	if (r)
		return r;
	inode->size = size;
	f4_inode_touch(inode, F4_TOUCH_M | F4_TOUCH_C);
	if (first < UINT32_MAX)
		r = remove_behind(&h, inode, (uint32_t)first);
	return f4_file_finish(&h, inode, r);
}

/* An inline file gets another size. -ENOSPC: it is too large to stay inline. */
static int resize_inline(struct f4_inode *inode, uint64_t size)
{
	size_t max = f4_inline_max(inode), got;
	f4_auto_free uint8_t *all = NULL;
	struct f4_handle h;
	int r;

	if (size > max || (inode->size > max && size > 0))
		return -ENOSPC;
	all = calloc(1, max + 1);
	if (!all)
		return -ENOMEM;
	r = size ? f4_inline_read(inode, all, max, &got) : 0;
	if (!r)
		r = f4_txn_begin(inode->vol->journal, f4_xattr_credits(inode) + 1, &h);
	if (r)
		return r;
	r = f4_inline_write(&h, inode, all, (size_t)size); /* zeroes behind what was there */
	if (!r)
		f4_inode_touch(inode, F4_TOUCH_M | F4_TOUCH_C);
	return f4_file_finish(&h, inode, r);
}

/* Symlinks with their target in i_block and device nodes have nothing to free. */
static bool has_mapping(const struct f4_inode *inode)
{
	return f4_is_reg(inode) || f4_is_dir(inode) ||
	       (f4_is_lnk(inode) && !f4_inode_is_fast_symlink(inode));
}

int f4_file_truncate_locked(struct f4_inode *inode, uint64_t size)
{
	int r;

	if (!has_mapping(inode))
		return 0;
	if (size > f4_file_max_bytes(inode) && size > inode->size)
		return -EFBIG;
	if (f4_is_inline(inode)) {
		if (size == 0 && inode->links == 0)
			return 0; /* the content goes with the inode */
		r = resize_inline(inode, size);
		if (r != -ENOSPC)
			return r;
		r = f4_file_uninline(inode);
		if (r)
			return r;
	}
	return size > inode->size ? grow(inode, size) : shrink(inode, size);
}

int f4_file_truncate(struct f4_inode *inode, uint64_t size)
{
	int r;

	f4_inode_wrlock(inode);
	r = f4_file_check_change(inode);
	if (!r && (inode->flags & F4_FL_APPEND))
		r = -EPERM;
	if (!r)
		r = f4_file_truncate_locked(inode, size);
	f4_inode_unlock(inode);
	return r;
}
