/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests on names: unlink and rmdir. See ops_int.h for how they are built.
 */
#include <errno.h>

#include "server/ext4/ops_int.h"
#include "server/ext4/orphan.h"

struct removal {
	struct f4_inode *dir, *child; /* @child: owned reference */
	const char *name;
	size_t len;
	struct f4_dir_entry ent;
	f4_tid tid;
};

static int find_child(struct removal *rm)
{
	int r = f4_op_dir_ok(rm->dir);

	return r < 0 ? r : f4_op_find(rm->dir, rm->name, rm->len, &rm->ent, &rm->child);
}

static void unlock_both(struct removal *rm)
{
	f4_inode_unlock(rm->child);
	f4_inode_unlock(rm->dir);
}

/*
 * Lock the directory and the child that it names. The child's lock is taken second; where its
 * number is lower that would be the wrong order, so it is only tried, and on failure both are
 * locked in order and the name is looked up again: it may have come to mean another inode.
 */
static int lock_child(struct removal *rm)
{
	for (;;) {
		struct f4_inode *both[] = { rm->dir, NULL };
		struct f4_dir_entry again;
		int r;

		f4_inode_wrlock(rm->dir);
		r = find_child(rm);
		if (r < 0) {
			f4_inode_unlock(rm->dir);
			return r;
		}
		if (rm->child->ino > rm->dir->ino) {
			f4_inode_wrlock(rm->child);
			return 0;
		}
		if (f4_inode_trywrlock(rm->child))
			return 0;
		f4_inode_unlock(rm->dir);
		both[1] = rm->child;
		f4_inode_lock_many(both, 2);
		r = f4_op_dir_ok(rm->dir);
		if (r == 0)
			r = f4_dir_lookup(rm->dir, rm->name, rm->len, &again);
		if (r == 0 && again.ino == rm->child->ino) {
			rm->ent = again;
			return 0;
		}
		unlock_both(rm);
		f4_inode_put(f4_take_ptr(rm->child));
		if (r < 0)
			return r;
	}
}

static int removal_checks(struct removal *rm, bool is_rmdir)
{
	struct f4_inode *child = rm->child;
	int r;

	r = f4_op_may_take(rm->dir, child);
	if (r < 0)
		return r;
	if (!is_rmdir) {
		if (f4_is_dir(child))
			return -EISDIR;
	} else {
		if (!f4_is_dir(child))
			return -ENOTDIR;
		if (child->ino == F4_ROOT_INO)
			return -EBUSY;
		r = f4_dir_is_empty(child);
		if (r <= 0)
			return r < 0 ? r : -ENOTEMPTY;
	}
	if (child->links == 0)
		return f4_corrupt(child->vol, child->ino, 0,
				  "an entry names an inode without links");
	return 0;
}

static int remove_in(struct f4_handle *h, struct removal *rm)
{
	struct f4_inode *dir = rm->dir, *child = rm->child;
	uint32_t left = f4_is_dir(child) ? 0 : child->links - 1;
	f4_auto_buf *pin = NULL;
	int r;

	r = f4_op_announce(h, dir);
	if (r == 0)
		r = f4_op_announce(h, child);
	if (r == 0)
		r = f4_op_pin(h, dir, &rm->ent, &pin);
	if (r == 0 && left == 0)
		r = f4_orphan_add(h, child);
	if (r < 0)
		return r;
	r = f4_dir_remove(h, dir, rm->name, rm->len, &rm->ent);
	if (r < 0) {
		int r2 = left == 0 ? f4_orphan_del(h, child) : 0;

		if (r2 < 0)
			f4_journal_abort(h->journal, r2);
		return r;
	}
	child->links = left;
	f4_inode_touch(child, F4_TOUCH_C);
	if (f4_is_dir(child))
		f4_op_links_dec(dir);
	r = f4_inode_store(h, child);
	if (r == 0)
		r = f4_inode_store(h, dir);
	if (r < 0)
		f4_journal_abort(h->journal, r);
	return r;
}

static int remove_locked(struct removal *rm)
{
	struct f4_handle h = { 0 };
	int r, r2;

	r = f4_txn_begin(rm->dir->vol->journal,
			 f4_op_change_credits(rm->dir) + 1 + F4_ORPHAN_CREDITS, &h);
	if (r < 0)
		return r;
	r = remove_in(&h, rm);
	rm->tid = h.tid;
	r2 = f4_txn_end(&h);
	return r < 0 ? r : r2;
}

static int remove_name(struct f4_inode *dir, const char *name, size_t len, bool is_rmdir)
{
	struct removal rm = { .dir = dir, .name = name, .len = len };
	bool sync;
	int r = f4_volume_check_write(dir->vol);

	if (r == 0)
		r = f4_op_name_ok(name, len);
	if (r == 0)
		r = lock_child(&rm);
	if (r < 0)
		return r;
	sync = f4_op_is_sync(dir);
	r = removal_checks(&rm, is_rmdir);
	if (r == 0)
		r = remove_locked(&rm);
	unlock_both(&rm);
	if (r == 0 && sync)
		r = f4_journal_commit_wait(dir->vol->journal, rm.tid);
	f4_inode_put(rm.child); /* frees it, if this was the last use */
	return r;
}

int f4_op_unlink(struct f4_inode *dir, const char *name, size_t len)
{
	return remove_name(dir, name, len, false);
}

int f4_op_rmdir(struct f4_inode *dir, const char *name, size_t len)
{
	return remove_name(dir, name, len, true);
}
