/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Orphans: the list through the superblock and i_dtime, and what is common with the orphan file
 * (orphan_file.c), which is used where the volume has one and it is not full.
 *
 * The list in memory has the order of the list on disk, newest first; taking one out changes its
 * predecessor on disk, whose inode lock is not held: f4_inode_store_dtime is made for that. All of
 * it is protected by orphan_lock.
 *
 * A filesystem without a journal keeps no orphans on disk, as the kernel does it: after a crash it
 * needs e2fsck anyway. The inodes are marked in memory all the same.
 */
#include "server/ext4/orphan.h"

#include <errno.h>
#include <stdlib.h>
#include <syslog.h>

#include "server/ext4/alloc.h"
#include "server/ext4/file.h"
#include "server/ext4/inode_priv.h"
#include "server/ext4/orphan_priv.h"
#include "server/ext4/volume_priv.h"

int f4_orphans_open(struct f4_volume *vol)
{
	struct f4_orphans *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return -ENOMEM;
	f4_list_init(&o->list);
	o->on_disk = vol->state->log_map_len != 0;
	r = f4_orphan_file_open(vol, o);
	if (r < 0) {
		free(o->file_blk);
		free(o);
		return r;
	}
	vol->orphans = o;
	return 0;
}

void f4_orphans_close(struct f4_volume *vol)
{
	struct f4_orphans *o = vol->orphans;

	if (!o)
		return;
	vol->orphans = NULL;
	while (!f4_list_empty(&o->list))
		f4_list_del(o->list.next);
	free(o->file_blk);
	free(o);
}

/* s_last_orphan, in @h. */
static int set_head(struct f4_handle *h, struct f4_volume *vol, uint32_t ino)
{
	int r;

	pthread_mutex_lock(&vol->sb_lock);
	r = f4_txn_write(h, vol->sb_buf);
	if (r == 0)
		f4_super_ptr(vol)->s_last_orphan = f4_mk_le32(ino);
	pthread_mutex_unlock(&vol->sb_lock);
	return r;
}

static uint32_t get_head(struct f4_volume *vol)
{
	uint32_t ino;

	pthread_mutex_lock(&vol->sb_lock);
	ino = f4_get_le32(f4_super_ptr(vol)->s_last_orphan);
	pthread_mutex_unlock(&vol->sb_lock);
	return ino;
}

static int list_add(struct f4_handle *h, struct f4_inode *inode)
{
	struct f4_volume *vol = inode->vol;
	uint32_t head = get_head(vol);
	int r;

	r = f4_txn_write(h, inode->table_buf); /* both or none */
	if (r == 0)
		r = set_head(h, vol, inode->ino);
	if (r == 0)
		r = f4_inode_store_dtime(h, inode, head);
	if (r == 0)
		f4_list_add(&vol->orphans->list, &inode->orphan_link);
	return r;
}

static int list_del(struct f4_handle *h, struct f4_inode *inode)
{
	struct f4_volume *vol = inode->vol;
	struct f4_list *prev = inode->orphan_link.prev;
	int r = f4_txn_write(h, inode->table_buf);

	if (r < 0)
		return r;
	if (prev == &vol->orphans->list)
		r = set_head(h, vol, inode->dtime);
	else
		r = f4_inode_store_dtime(h, f4_list_entry(prev, struct f4_inode, orphan_link),
					 inode->dtime);
	if (r == 0)
		r = f4_inode_store_dtime(h, inode, 0);
	if (r == 0)
		f4_list_del(&inode->orphan_link);
	return r;
}

int f4_orphan_add(struct f4_handle *h, struct f4_inode *inode)
{
	struct f4_orphans *o = inode->vol->orphans;
	int r = 0;

	pthread_mutex_lock(&inode->vol->orphan_lock);
	if (!inode->on_orphan_list && o && o->on_disk) {
		r = f4_orphan_file_add(h, inode);
		if (r == -ENOSPC) /* none, or full */
			r = list_add(h, inode);
	}
	if (r == 0)
		inode->on_orphan_list = true;
	pthread_mutex_unlock(&inode->vol->orphan_lock);
	return r;
}

int f4_orphan_del(struct f4_handle *h, struct f4_inode *inode)
{
	int r = 0;

	pthread_mutex_lock(&inode->vol->orphan_lock);
	if (inode->orphan_slot)
		r = f4_orphan_file_del(h, inode);
	else if (!f4_list_empty(&inode->orphan_link))
		r = list_del(h, inode);
	if (r == 0)
		inode->on_orphan_list = false;
	pthread_mutex_unlock(&inode->vol->orphan_lock);
	return r;
}

void f4_orphan_drop(struct f4_inode *inode)
{
	pthread_mutex_lock(&inode->vol->orphan_lock);
	f4_list_del(&inode->orphan_link);
	inode->orphan_slot = 0;
	inode->on_orphan_list = false;
	pthread_mutex_unlock(&inode->vol->orphan_lock);
}

/* Finish one that a crash left; takes it off its list. @inode: our reference, given up. */
int f4_orphan_finish(struct f4_inode *inode)
{
	int r = 0;

	if (inode->links > 0) {
		struct f4_handle h;

		f4_inode_wrlock(inode);
		r = f4_file_truncate_locked(inode, inode->size);
		if (r == 0)
			r = f4_txn_begin(inode->vol->journal, F4_ORPHAN_CREDITS, &h);
		if (r == 0) {
			int r2;

			r = f4_orphan_del(&h, inode); /* unless the truncation did it */
			r2 = f4_txn_end(&h);
			r = r < 0 ? r : r2;
		}
		f4_inode_unlock(inode);
	}
	f4_inode_put(inode); /* the last one: an unlinked inode is deleted by this */
	return r;
}

/* Forget the list on disk: it can't be trusted. */
static int clear_list(struct f4_volume *vol)
{
	struct f4_handle h;
	int r = f4_txn_begin(vol->journal, 1, &h), r2;

	if (r < 0)
		return r;
	r = set_head(&h, vol, 0);
	r2 = f4_txn_end(&h);
	return r < 0 ? r : r2;
}

/* The head of the list, put into the list in memory as its only member. */
static int list_fetch(struct f4_volume *vol, uint32_t ino, struct f4_inode **ret)
{
	struct f4_inode *inode;
	int r = ino >= vol->first_ino ? f4_alloc_inode_used(vol, ino) : 0;

	if (r == 0)
		return f4_corrupt(vol, ino, 0, "on the orphan list, but not in use");
	if (r > 0)
		r = f4_inode_get(vol, ino, F4_IGET_ORPHAN, &inode);
	if (r == -EUCLEAN || r == -ESTALE)
		return f4_corrupt(vol, ino, 0, "on the orphan list, but of no use");
	if (r < 0)
		return r;
	if (inode->on_orphan_list || (inode->dtime > vol->inodes_count)) {
		f4_inode_put(inode);
		return f4_corrupt(vol, ino, 0, "the orphan list is damaged");
	}
	pthread_mutex_lock(&vol->orphan_lock);
	f4_list_add(&vol->orphans->list, &inode->orphan_link);
	inode->on_orphan_list = true;
	pthread_mutex_unlock(&vol->orphan_lock);
	*ret = inode;
	return 0;
}

/* Each round takes one off the list, so it ends, whatever the list looks like. */
static int list_process(struct f4_volume *vol, uint32_t *count)
{
	uint32_t ino, last = 0;

	while ((ino = get_head(vol)) != 0) {
		struct f4_inode *inode = NULL;
		int r;

		if (ino == last) /* it would not go: reported where that happened */
			return clear_list(vol);
		last = ino;
		r = list_fetch(vol, ino, &inode);
		if (r == -EUCLEAN)
			return clear_list(vol);
		if (r < 0)
			return r;
		r = f4_orphan_finish(inode);
		if (r < 0 && r != -EUCLEAN)
			return r;
		++*count;
	}
	return 0;
}

int f4_orphans_process(struct f4_volume *vol)
{
	uint32_t count = 0;
	int r;

	if (!vol->orphans || (get_head(vol) == 0 && !vol->orphans->file_dirty))
		return 0;
	if (vol->state->mount_state & F4_STATE_ERROR) {
		f4_volume_say(vol, LOG_WARNING, "the filesystem has errors: orphans are left to e2fsck");
		vol->state->orphans_left = vol->orphans->file_dirty;
		return 0;
	}
	r = list_process(vol, &count);
	if (r == 0)
		r = f4_orphan_file_process(vol, &count);
	if (count)
		f4_volume_say(vol, LOG_INFO, "%u orphans finished", count);
	return r;
}
