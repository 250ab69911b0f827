/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/ext4/atime.h"

#define DAY_S 86400

static bool is_after(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

/* Does the volume keep access times of such inodes at all? Needs no lock. */
static bool is_kept(const struct f4_inode *inode)
{
	const struct f4_volume *vol = inode->vol;

	return vol->opt.atime != F4_ATIME_NONE && !(vol->opt.no_diratime && f4_is_dir(inode)) &&
	       !atomic_load_explicit(&vol->read_only, memory_order_relaxed) && vol->journal;
}

/* Lock held. */
static bool is_due(const struct f4_inode *inode, struct timespec now)
{
	if (inode->flags & F4_FL_NOATIME)
		return false;
	if (inode->vol->opt.atime == F4_ATIME_STRICT)
		return is_after(now, inode->atime);
	return !is_after(inode->atime, inode->mtime) || !is_after(inode->atime, inode->ctime) ||
	       now.tv_sec - inode->atime.tv_sec >= DAY_S;
}

void f4_inode_accessed(struct f4_inode *inode)
{
	struct timespec now;
	struct f4_handle h;
	bool due;

	if (!is_kept(inode))
		return;
	now = f4_now();
	f4_inode_rdlock(inode);
	due = is_due(inode, now);
	f4_inode_unlock(inode);
	if (!due)
		return;
	f4_inode_wrlock(inode);
	if (is_due(inode, now) && f4_txn_begin(inode->vol->journal, 1, &h) == 0) {
		inode->atime = now;
		(void)f4_inode_store(&h, inode); /* the time stays in memory then */
		(void)f4_txn_end(&h);		 /* the journal remembers its error */
	}
	f4_inode_unlock(inode);
}
