/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block maps. A pointer of 0 is a hole, on every level. Pointers are checked where they are used;
 * the levels are counted down, so no cycle on disk makes a walk endless.
 */
#include "server/ext4/indirect.h"

#include "server/ext4/alloc.h"
#include "server/ext4/group.h"
#include "server/ext4/quota.h"

#define MAX_LEVEL 3u /* pointer blocks between i_block and data, at most */

const struct f4_buf_class f4_class_indirect = { .name = "indirect block" };

/* --- shape --- */

static uint32_t ptr_bits(const struct f4_volume *vol)
{
	return vol->block_bits - 2;
}

/* Data blocks below one pointer of @level (0: a data block itself). */
static uint64_t span(const struct f4_volume *vol, uint32_t level)
{
	return 1ull << (level * ptr_bits(vol));
}

/* Where a block's way starts. */
struct way {
	uint32_t slot;	/* of i_block */
	uint32_t level; /* pointer blocks on the way */
	uint64_t base;	/* first logical block below the slot */
};

static bool way_to(const struct f4_volume *vol, uint64_t lblk, struct way *ret)
{
	uint64_t base = F4_NDIR_BLOCKS;
	uint32_t level;

	if (lblk < F4_NDIR_BLOCKS) {
		*ret = (struct way){ (uint32_t)lblk, 0, lblk };
		return true;
	}
	for (level = 1; level <= MAX_LEVEL; level++) {
		if (lblk - base < span(vol, level)) {
			*ret = (struct way){ F4_NDIR_BLOCKS + level - 1, level, base };
			return true;
		}
		base += span(vol, level);
	}
	return false;
}

static uint32_t get_ptr(const uint8_t *raw, uint32_t i)
{
	return f4_load_le32(raw + (size_t)i * 4);
}

static void set_ptr(uint8_t *raw, uint32_t i, uint32_t blk)
{
	f4_store_le32(raw + (size_t)i * 4, blk);
}

static int read_ptrs(struct f4_inode *inode, uint32_t blk, struct f4_buf **ret)
{
	if (!f4_volume_blocks_ok(inode->vol, blk, 1))
		return f4_corrupt(inode->vol, inode->ino, blk,
				  "indirect block outside of the data blocks");
	return f4_buf_read(inode->vol->cache, blk, &f4_class_indirect, inode->ino, 0, ret);
}

/* --- lookup --- */

/*
 * Go down as far as pointers lead: on return *ret_level levels are missing below pointer *ret_index
 * of *ret_buf (NULL: of i_block). With 0 the pointer is that of the data block, or its hole.
 */
static int go_down(struct f4_inode *inode, uint32_t lblk, const struct way *way,
		   struct f4_buf **ret_buf, uint32_t *ret_index, uint32_t *ret_level)
{
	struct f4_volume *vol = inode->vol;
	uint64_t off = lblk - way->base;
	uint32_t level = way->level, index = way->slot;
	f4_auto_buf *buf = NULL;

	while (level > 0) {
		uint32_t ptr = get_ptr(buf ? buf->data : inode->i_block, index);
		struct f4_buf *next;
		int r;

		if (ptr == 0)
			break;
		r = read_ptrs(inode, ptr, &next);
		if (r)
			return r;
		f4_buf_put(buf);
		buf = next;
		level--;
		index = (uint32_t)(off >> (level * ptr_bits(vol))) & ((1u << ptr_bits(vol)) - 1);
	}
	*ret_buf = f4_take_ptr(buf);
	*ret_index = index;
	*ret_level = level;
	return 0;
}

/* How many pointers from @index of @raw (@n in all) go on like the first: all holes, or contiguous. */
static uint32_t run_len(const uint8_t *raw, uint32_t index, uint32_t n)
{
	uint32_t first = get_ptr(raw, index), i;

	for (i = 1; index + i < n; i++)
		if (get_ptr(raw, index + i) != (first ? first + i : 0))
			break;
	return i;
}

int f4_ind_lookup(struct f4_inode *inode, uint32_t lblk, struct f4_map *ret)
{
	struct f4_volume *vol = inode->vol;
	f4_auto_buf *buf = NULL;
	uint32_t index, level, first, n;
	struct way way;
	uint64_t len;
	int r;

	*ret = (struct f4_map){ .lblk = lblk };
	if (!way_to(vol, lblk, &way)) { /* beyond what a block map reaches: nothing is there */
		ret->len = UINT32_MAX - lblk;
		return 0;
	}
	r = go_down(inode, lblk, &way, &buf, &index, &level);
	if (r)
		return r;
	if (level > 0) { /* a hole to the end of what the missing block would map */
		len = span(vol, level) - ((lblk - way.base) & (span(vol, level) - 1));
		ret->len = len > UINT32_MAX - lblk ? UINT32_MAX - lblk : (uint32_t)len;
		return 0;
	}
	n = buf ? 1u << ptr_bits(vol) : F4_NDIR_BLOCKS;
	first = get_ptr(buf ? buf->data : inode->i_block, index);
	len = run_len(buf ? buf->data : inode->i_block, index, n);
	ret->len = len > UINT32_MAX - lblk ? UINT32_MAX - lblk : (uint32_t)len;
	if (first == 0)
		return 0;
	if (!f4_volume_blocks_ok(vol, first, ret->len)) {
		ret->len = 1; /* one bad pointer must not hide its neighbours */
		if (!f4_volume_blocks_ok(vol, first, 1))
			return f4_corrupt(vol, inode->ino, first,
					  "block pointer outside of the data blocks");
	}
	ret->pblk = first;
	ret->flags = F4_MAP_MAPPED;
	return 0;
}

/* --- allocation --- */

/* What an allocation has taken so far, to be given back if it fails. */
struct taken {
	struct f4_buf *ptrs[MAX_LEVEL]; /* new pointer blocks, the highest first; owned references */
	uint32_t n;
	uint64_t data;
	uint32_t len;
};

static int take(struct f4_handle *h, struct f4_inode *inode, uint64_t goal, uint32_t len,
		uint32_t flags, uint64_t *ret_blk, uint32_t *ret_len)
{
	struct f4_alloc_req req = { .ino = inode->ino, .goal = goal, .len = len, .flags = flags };
	int r = f4_quota_alloc(h, inode, &req, ret_blk, ret_len);

	if (r)
		return r;
	if (*ret_blk + *ret_len - 1 > UINT32_MAX) { /* a block map can't point there */
		(void)f4_quota_unalloc(h, inode, *ret_blk, *ret_len);
		return -ENOSPC;
	}
	return 0;
}

static int take_ptr_block(struct f4_handle *h, struct f4_inode *inode, uint64_t goal,
			  uint32_t flags, struct taken *t)
{
	struct f4_buf *buf = NULL;
	uint64_t blk;
	uint32_t len;
	int r = take(h, inode, goal, 1, flags | F4_ALLOC_METADATA | F4_ALLOC_TREE, &blk, &len);

	if (r)
		return r;
	r = f4_buf_new(inode->vol->cache, blk, &f4_class_indirect, inode->ino, 0, &buf);
	if (!r)
		r = f4_txn_create(h, buf);
	if (r) {
		f4_buf_put(buf);
		(void)f4_quota_unalloc(h, inode, blk, 1);
		return r;
	}
	t->ptrs[t->n++] = buf;
	return 0;
}

static void give_back(struct f4_handle *h, struct f4_inode *inode, struct taken *t)
{
	if (t->len)
		(void)f4_quota_unalloc(h, inode, t->data, t->len);
	while (t->n > 0) {
		uint64_t blk = t->ptrs[--t->n]->blk;

		f4_buf_put(t->ptrs[t->n]);
		(void)f4_quota_unalloc(h, inode, blk, 1);
		(void)f4_txn_forget(h, blk);
	}
}

/* Near what the pointers before @index lead to; else where the inode last got blocks. */
static uint64_t find_goal(const struct f4_inode *inode, const struct f4_buf *buf, uint32_t index)
{
	const uint8_t *raw = buf ? buf->data : inode->i_block;
	uint32_t i = index;

	if (!buf && index > F4_NDIR_BLOCKS)
		return inode->alloc_goal;
	while (i-- > 0 && index - i <= 16) {
		uint32_t ptr = get_ptr(raw, i);

		if (ptr)
			return (uint64_t)ptr + (index - i);
	}
	return inode->alloc_goal ? inode->alloc_goal : buf ? buf->blk + 1 : 0;
}

/* Hang the new pointer blocks under each other and the data under the last; then the top in place. */
static void hang_in(struct f4_inode *inode, const struct taken *t, uint64_t off, uint8_t *top,
		    uint32_t index)
{
	uint32_t bits = ptr_bits(inode->vol), i, level = t->n, first = index;
	uint8_t *raw = top;

	for (i = 0; i < t->n; i++) {
		level--;
		first = (uint32_t)(off >> (level * bits)) & ((1u << bits) - 1);
		if (i + 1 < t->n)
			set_ptr(t->ptrs[i]->data, first, (uint32_t)t->ptrs[i + 1]->blk);
		raw = t->ptrs[i]->data;
	}
	for (i = 0; i < t->len; i++)
		set_ptr(raw, first + i, (uint32_t)(t->data + i));
	if (t->n)
		set_ptr(top, index, (uint32_t)t->ptrs[0]->blk);
}

int f4_ind_alloc(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t len,
		 uint32_t flags, struct f4_map *ret)
{
	struct f4_volume *vol = inode->vol;
	uint32_t per = 1u << ptr_bits(vol), index, level, room, i;
	uint32_t aflags = flags & F4_MAP_ALLOC_RESERVED ? F4_ALLOC_RESERVED : 0;
	f4_auto_buf *buf = NULL;
	struct taken t = { 0 };
	struct way way;
	uint64_t goal;
	int r;

	if (vol->cluster_ratio > 1)
		return f4_corrupt(vol, inode->ino, 0, "block map on a volume with clusters");
	if (!way_to(vol, lblk, &way))
		return -EFBIG;
	r = go_down(inode, lblk, &way, &buf, &index, &level);
	if (r)
		return r;
	room = level ? per - (uint32_t)((lblk - way.base) & (per - 1)) :
		       (buf ? per : F4_NDIR_BLOCKS) - index;
	goal = find_goal(inode, buf, index);
	for (i = 0; !r && i < level; i++) {
		r = take_ptr_block(h, inode, goal, aflags, &t);
		if (!r)
			goal = t.ptrs[t.n - 1]->blk + 1;
	}
	if (flags & F4_MAP_ALLOC_METADATA)
		aflags |= F4_ALLOC_METADATA;
	if (!r)
		r = take(h, inode, goal, len < room ? len : room, aflags, &t.data, &t.len);
	if (!r && buf)
		r = f4_txn_write(h, buf);
	if (r) {
		give_back(h, inode, &t);
		return r;
	}
	hang_in(inode, &t, lblk - way.base, buf ? buf->data : inode->i_block, index);
	inode->blocks += ((uint64_t)t.len + t.n) << (vol->block_bits - 9);
	inode->alloc_goal = t.data + t.len;
	for (i = 0; i < t.n; i++)
		f4_buf_put(t.ptrs[i]);
	*ret = (struct f4_map){ lblk, t.len, t.data, F4_MAP_MAPPED | F4_MAP_NEW };
	return 0;
}

/* --- removal --- */

struct removal {
	struct f4_handle *h;
	struct f4_inode *inode;
	uint64_t lo, hi; /* what is left to remove: [lo, hi) */
	bool started;	 /* one step has been made: the next may stop */
	bool stop;	 /* no credits left */
};

static int free_blocks(const struct removal *rm, uint64_t blk, uint32_t len, bool forget)
{
	struct f4_inode *inode = rm->inode;
	uint64_t units = (uint64_t)len << (inode->vol->block_bits - 9);
	uint32_t i;
	int r;

	inode->blocks -= inode->blocks < units ? inode->blocks : units;
	r = f4_alloc_free(rm->h, inode->vol, inode->ino, blk, len);
	if (r == -EUCLEAN) /* were free already: reported; the file goes on losing them */
		return 0;
	for (i = 0; !r && forget && i < len; i++)
		r = f4_txn_forget(rm->h, blk + i);
	return r;
}

static bool may_go_on(struct removal *rm)
{
	if (rm->started && rm->h->reserved < F4_IND_CREDITS &&
	    f4_txn_extend(rm->h, F4_IND_CREDITS))
		rm->stop = true;
	rm->started = true;
	return !rm->stop;
}

/*
 * Free the data that pointers [from, to) of @raw lead to, from the back, contiguous runs at once;
 * pointer 0 is logical block @base. @buf: whose bytes they are, NULL for i_block.
 */
static int remove_leaf(struct removal *rm, struct f4_buf *buf, uint8_t *raw, uint64_t base,
		       uint32_t from, uint32_t to)
{
	bool forget = f4_map_is_journalled(rm->inode);

	while (to > from) {
		uint32_t last = get_ptr(raw, to - 1), n = 1, i;
		int r;

		if (last == 0) {
			rm->hi = base + --to;
			continue;
		}
		while (to - n > from && n < last && get_ptr(raw, to - n - 1) == last - n)
			n++;
		if (!may_go_on(rm))
			return 0;
		r = buf ? f4_txn_write(rm->h, buf) : 0;
		if (r)
			return r;
		for (i = 1; i <= n; i++)
			set_ptr(raw, to - i, 0);
		to -= n;
		rm->hi = base + to;
		r = free_blocks(rm, last - n + 1, n, forget);
		if (r)
			return r;
	}
	return 0;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/*
 * Remove [lo, hi) below pointer @index of @up (@up_buf: NULL for i_block), which leads to a block of
 * pointers @level levels above data, for logical blocks from @base. Recursion ends at level 1.
 */
static int remove_tree(struct removal *rm, struct f4_buf *up_buf, uint8_t *up, uint32_t index,
		       uint32_t level, uint64_t base)
{
	struct f4_volume *vol = rm->inode->vol;
	uint64_t sub = span(vol, level - 1), end = base + span(vol, level);
	uint64_t from = rm->lo > base ? (rm->lo - base) / sub : 0;
	uint64_t to = rm->hi < end ? (rm->hi - base + sub - 1) / sub : 1ull << ptr_bits(vol);
	uint32_t ptr = get_ptr(up, index);
	f4_auto_buf *buf = NULL;
	bool empty;
	int r;

	if (ptr == 0) {
		rm->hi = rm->hi < base ? rm->hi : base;
		return 0;
	}
	r = read_ptrs(rm->inode, ptr, &buf);
	if (r)
		return r;
	if (level == 1) {
		r = remove_leaf(rm, buf, buf->data, base, (uint32_t)from, (uint32_t)to);
	} else {
		while (!r && !rm->stop && to > from) {
			to--;
			r = remove_tree(rm, buf, buf->data, (uint32_t)to, level - 1,
					base + to * sub);
		}
	}
	if (r || rm->stop)
		return r;
	if (rm->hi > base)
		rm->hi = base;
	empty = all_zero(buf->data, vol->block_size);
	f4_buf_put(f4_take_ptr(buf));
	if (!empty)
		return 0;
	if (!may_go_on(rm)) {
		rm->hi = (rm->lo > base ? rm->lo : base) + 1; /* so that the next call comes here again */
		return 0;
	}
	r = up_buf ? f4_txn_write(rm->h, up_buf) : 0;
	if (r)
		return r;
	set_ptr(up, index, 0);
	return free_blocks(rm, ptr, 1, true);
}

int f4_ind_remove(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t end,
		  uint32_t *ret_end)
{
	struct f4_volume *vol = inode->vol;
	struct removal rm = { .h = h, .inode = inode, .lo = lblk, .hi = end };
	uint64_t base[MAX_LEVEL + 1] = { 0, F4_NDIR_BLOCKS };
	uint32_t level;
	int r = 0;

	if (vol->cluster_ratio > 1)
		return f4_corrupt(vol, inode->ino, 0, "block map on a volume with clusters");
	for (level = 2; level <= MAX_LEVEL; level++)
		base[level] = base[level - 1] + span(vol, level - 1);
	for (level = MAX_LEVEL; !r && !rm.stop && level > 0; level--)
		if (rm.hi > base[level] && rm.lo < base[level] + span(vol, level))
			r = remove_tree(&rm, NULL, inode->i_block, F4_NDIR_BLOCKS + level - 1,
					level, base[level]);
	if (!r && !rm.stop && rm.lo < F4_NDIR_BLOCKS)
		r = remove_leaf(&rm, NULL, inode->i_block, 0, (uint32_t)rm.lo,
				rm.hi < F4_NDIR_BLOCKS ? (uint32_t)rm.hi : F4_NDIR_BLOCKS);
	*ret_end = rm.stop ? (uint32_t)rm.hi : lblk;
	return r;
}

/* --- the whole map, for tests --- */

static int check_tree(struct f4_inode *inode, uint32_t ptr, uint32_t level, uint64_t *blocks)
{
	uint32_t i, per = 1u << ptr_bits(inode->vol);
	f4_auto_buf *buf = NULL;
	int r = 0;

	if (ptr == 0)
		return 0;
	(*blocks)++;
	if (level == 0)
		return f4_volume_blocks_ok(inode->vol, ptr, 1) ? 0 : -EUCLEAN;
	r = read_ptrs(inode, ptr, &buf);
	for (i = 0; !r && i < per; i++)
		r = check_tree(inode, get_ptr(buf->data, i), level - 1, blocks);
	return r;
}

int f4_ind_check(struct f4_inode *inode, uint64_t *ret_blocks)
{
	uint32_t slot, level;
	int r = 0;

	*ret_blocks = 0;
	for (slot = 0; !r && slot < F4_N_BLOCKS; slot++) {
		level = slot < F4_NDIR_BLOCKS ? 0 : slot - F4_NDIR_BLOCKS + 1;
		r = check_tree(inode, get_ptr(inode->i_block, slot), level, ret_blocks);
	}
	return r;
}
