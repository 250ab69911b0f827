/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Locks of inodes, times, and the way of an inode into its table's block. */
#include "server/ext4/inode.h"

#include <string.h>

#include "server/ext4/inode_priv.h"
#include "server/ext4/inode_table.h"
#include "server/ext4/quota.h"
#include "server/ext4/volume_priv.h"

#define LOCK_MANY_MAX 4u

void f4_inode_rdlock(struct f4_inode *inode)
{
	pthread_rwlock_rdlock(&inode->lock);
}

void f4_inode_wrlock(struct f4_inode *inode)
{
	pthread_rwlock_wrlock(&inode->lock);
	f4_quota_attach(inode);
}

bool f4_inode_trywrlock(struct f4_inode *inode)
{
	if (pthread_rwlock_trywrlock(&inode->lock) != 0)
		return false;
	f4_quota_attach(inode);
	return true;
}

void f4_inode_unlock(struct f4_inode *inode)
{
	pthread_rwlock_unlock(&inode->lock);
}

/* Distinct inodes of the list, in rising number; returns how many. */
static size_t sort_distinct(struct f4_inode *const *inodes, size_t n,
			    struct f4_inode *out[LOCK_MANY_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		size_t at = 0;

		if (!inodes[i])
			continue;
		while (at < count && out[at]->ino < inodes[i]->ino)
			at++;
		if (at < count && out[at] == inodes[i])
			continue;
		memmove(out + at + 1, out + at, (count - at) * sizeof(out[0]));
		out[at] = inodes[i];
		count++;
	}
	return count;
}

void f4_inode_lock_many(struct f4_inode *const *inodes, size_t n)
{
	struct f4_inode *order[LOCK_MANY_MAX + 1];
	size_t count = sort_distinct(inodes, n < LOCK_MANY_MAX ? n : LOCK_MANY_MAX, order);

	for (size_t i = 0; i < count; i++)
		f4_inode_wrlock(order[i]);
}

void f4_inode_unlock_many(struct f4_inode *const *inodes, size_t n)
{
	struct f4_inode *order[LOCK_MANY_MAX + 1];
	size_t count = sort_distinct(inodes, n < LOCK_MANY_MAX ? n : LOCK_MANY_MAX, order);

	while (count)
		f4_inode_unlock(order[--count]);
}

struct timespec f4_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts); /* can't fail for this clock */
	return ts;
}

void f4_inode_touch(struct f4_inode *inode, uint32_t what)
{
	struct timespec now = f4_inode_clamp_time(inode, f4_now());

	if (what & F4_TOUCH_M)
		inode->mtime = now;
	if (what & F4_TOUCH_C)
		inode->ctime = now;
	if (what & F4_TOUCH_A)
		inode->atime = now;
}

const uint8_t *f4_inode_raw(const struct f4_inode *inode)
{
	return inode->table_buf->data + inode->table_off;
}

static pthread_mutex_t *raw_lock(struct f4_inode *inode)
{
	return &inode->vol->inodes->raw_lock[inode->ino % F4_INODE_SHARDS];
}

int f4_inode_raw_write(struct f4_handle *h, struct f4_inode *inode, uint8_t **ret)
{
	uint8_t *raw = inode->table_buf->data + inode->table_off;
	int r = f4_txn_write(h, inode->table_buf);

	if (r < 0)
		return r;
	pthread_mutex_lock(raw_lock(inode));
	f4_inode_raw_widen(inode->vol, raw);
	pthread_mutex_unlock(raw_lock(inode));
	*ret = raw;
	return 0;
}

/* Does fdatasync have to bring this change to the disk? All but times and the like. */
static bool needs_datasync(const struct f4_inode *inode, const struct f4_raw_inode *old)
{
	return f4_get_le32(old->i_size_lo) != (uint32_t)inode->size ||
	       f4_get_le32(old->i_size_hi) != (uint32_t)(inode->size >> 32) ||
	       f4_get_le32(old->i_blocks_lo) != (uint32_t)inode->blocks ||
	       f4_get_le32(old->i_flags) != inode->flags ||
	       memcmp(old->i_block, inode->i_block, sizeof(old->i_block)) != 0;
}

int f4_inode_store(struct f4_handle *h, struct f4_inode *inode)
{
	struct f4_volume *vol = inode->vol;
	uint8_t *raw = inode->table_buf->data + inode->table_off;
	int r = f4_txn_write(h, inode->table_buf);

	if (r == 0)
		r = f4_quota_settle(h, inode);
	if (r < 0)
		return r;
	if (f4_is_reg(inode) && inode->size > INT32_MAX &&
	    !f4_has_ro_compat(vol, F4_RO_COMPAT_LARGE_FILE))
		atomic_store(&vol->state->want_large_file, true);
	pthread_mutex_lock(raw_lock(inode));
	if (needs_datasync(inode, (const void *)raw))
		atomic_store(&inode->datasync_tid, h->tid);
	f4_inode_encode(inode, raw);
	pthread_mutex_unlock(raw_lock(inode));
	atomic_store(&inode->sync_tid, h->tid);
	return 0;
}

int f4_inode_store_dtime(struct f4_handle *h, struct f4_inode *inode, uint32_t dtime)
{
	uint8_t *raw = inode->table_buf->data + inode->table_off;
	struct f4_raw_inode *ri = (void *)raw;
	int r = f4_txn_write(h, inode->table_buf);

	if (r < 0)
		return r;
	pthread_mutex_lock(raw_lock(inode));
	inode->dtime = dtime;
	ri->i_dtime = f4_mk_le32(dtime);
	f4_inode_raw_seal(inode->vol, inode->csum_seed, raw);
	pthread_mutex_unlock(raw_lock(inode));
	return 0;
}
