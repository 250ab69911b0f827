/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests on names: rename, with NOREPLACE, EXCHANGE and WHITEOUT. See ops_int.h for how they are
 * built.
 *
 * Up to four inodes are locked at once. Which they are is known only after looking the names up, so
 * that is done twice: first to learn the numbers, then again with all locks held.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "server/ext4/alloc.h"
#include "server/ext4/ops_int.h"
#include "server/ext4/orphan.h"
#include "server/ext4/quota.h"
#include "server/ext4/xattr.h"

/* As in <linux/fs.h>. */
#define NOREPLACE 1u
#define EXCHANGE  2u
#define WHITEOUT  4u

/* One of the two names. */
struct side {
	struct f4_inode *dir; /* borrowed */
	const char *name;
	size_t len;
	struct f4_inode *child; /* owned reference; NULL: nothing is there */
	struct f4_dir_entry ent;
	bool is_dir;
	bool reparent; /* its '..' changes */
	struct f4_dir_entry up;
	struct f4_buf *pin, *up_pin; /* owned */
};

struct rename {
	struct f4_volume *vol;
	struct side from, to;
	uint32_t flags;
	const struct f4_cred *cred;
	struct f4_inode *whiteout; /* owned reference */
	struct f4_quota_owner owner; /* refs: who will be charged for it */
	bool tree_locked;
	f4_tid tid;
};

static bool exchanges(const struct rename *rn)
{
	return (rn->flags & EXCHANGE) != 0;
}

static bool across(const struct rename *rn)
{
	return rn->from.dir != rn->to.dir;
}

/* --- locking -------------------------------------------------------------------------------- */

static int peek(struct side *s)
{
	int r;

	f4_inode_rdlock(s->dir);
	r = f4_op_dir_ok(s->dir);
	if (r == 0)
		r = f4_op_find(s->dir, s->name, s->len, &s->ent, &s->child);
	f4_inode_unlock(s->dir);
	return r;
}

/*
 * Is @dir at or below @top? rename_lock is held, so the way up stands still. A hostile image may
 * have a way up that never ends: Brent's method finds the circle in a few of its lengths.
 */
static int is_below(struct f4_inode *dir, uint32_t top)
{
	struct f4_volume *vol = dir->vol;
	uint32_t ino = dir->ino, mark = ino;
	uint64_t steps = 0, limit = 2;

	while (ino != F4_ROOT_INO) {
		f4_auto_inode *i = NULL;
		int r;

		if (ino == top)
			return 1;
		r = f4_inode_get(vol, ino, 0, &i);
		if (r == 0)
			r = f4_op_parent(i, &ino);
		if (r == -ESTALE || (r == 0 && ino == mark))
			return f4_corrupt(vol, dir->ino, 0, "directory that is not below the root");
		if (r < 0)
			return r;
		if (++steps == limit) {
			mark = ino;
			limit *= 2;
		}
	}
	return top == F4_ROOT_INO;
}

/* Take rename_lock where a directory changes its parent, and see that none gets below itself. */
static int lock_tree(struct rename *rn)
{
	bool a = f4_is_dir(rn->from.child);
	bool b = exchanges(rn) && rn->to.child && f4_is_dir(rn->to.child);
	int r = 0;

	if (!across(rn) || (!a && !b))
		return 0;
	pthread_mutex_lock(&rn->vol->rename_lock);
	rn->tree_locked = true;
	if (a)
		r = is_below(rn->to.dir, rn->from.child->ino);
	if (r == 0 && b)
		r = is_below(rn->from.dir, rn->to.child->ino);
	return r == 1 ? -EINVAL : r;
}

static void all_inodes(const struct rename *rn, struct f4_inode *ret[4])
{
	ret[0] = rn->from.dir;
	ret[1] = rn->to.dir;
	ret[2] = rn->from.child;
	ret[3] = rn->to.child;
}

static void let_go(struct rename *rn)
{
	if (rn->tree_locked)
		pthread_mutex_unlock(&rn->vol->rename_lock);
	rn->tree_locked = false;
	f4_inode_put(f4_take_ptr(rn->from.child));
	f4_inode_put(f4_take_ptr(rn->to.child));
}

/* Does the name still mean what it meant? 1 yes, 0 no, or an error. */
static int still(struct side *s)
{
	int r = f4_op_dir_ok(s->dir);

	if (r == 0)
		r = f4_dir_lookup(s->dir, s->name, s->len, &s->ent);
	if (r == -ENOENT && s->dir->links == 0)
		return r; /* it is removed: no further look will find it otherwise */
	if (r == -ENOENT)
		return !s->child;
	return r < 0 ? r : s->child && s->ent.ino == s->child->ino;
}

/* On success all is locked; on failure nothing is. */
static int lock_all(struct rename *rn)
{
	struct f4_inode *all[4];
	int r;

	for (;;) {
		r = peek(&rn->from);
		if (r == 0) {
			r = peek(&rn->to);
			if (r == -ENOENT && !exchanges(rn))
				r = 0;
		}
		if (r == 0)
			r = lock_tree(rn);
		if (r < 0) {
			let_go(rn);
			return r;
		}
		all_inodes(rn, all);
		f4_inode_lock_many(all, 4);
		r = still(&rn->from);
		if (r == 1)
			r = still(&rn->to);
		if (r == 1)
			return 0;
		f4_inode_unlock_many(all, 4);
		let_go(rn);
		if (r < 0)
			return r;
	}
}

/* --- checks --------------------------------------------------------------------------------- */

static int check_target(const struct rename *rn)
{
	struct f4_inode *a = rn->from.child, *b = rn->to.child;
	int r;

	if (rn->flags & NOREPLACE)
		return -EEXIST;
	r = f4_op_may_take(rn->to.dir, b);
	if (r < 0 || exchanges(rn))
		return r;
	if (f4_is_dir(b) && !f4_is_dir(a))
		return -EISDIR;
	if (!f4_is_dir(b) && f4_is_dir(a))
		return -ENOTDIR;
	if (b->ino == F4_ROOT_INO)
		return -EBUSY;
	if (b->links == 0)
		return f4_corrupt(rn->vol, b->ino, 0, "an entry names an inode without links");
	if (!f4_is_dir(b))
		return 0;
	r = f4_dir_is_empty(b);
	return r < 0 ? r : r == 0 ? -ENOTEMPTY : 0;
}

static int check_links(const struct rename *rn)
{
	const struct side *a = &rn->from, *b = &rn->to;

	if (!across(rn))
		return 0;
	if (exchanges(rn) && a->is_dir != b->is_dir)
		return f4_op_links_full(a->is_dir ? b->dir : a->dir) ? -EMLINK : 0;
	if (!b->child && a->is_dir && f4_op_links_full(b->dir))
		return -EMLINK;
	return 0;
}

static int checks(struct rename *rn)
{
	struct side *a = &rn->from, *b = &rn->to;
	int r = f4_op_may_take(a->dir, a->child);

	a->is_dir = f4_is_dir(a->child);
	b->is_dir = b->child && f4_is_dir(b->child);
	if (r == 0 && b->child)
		r = check_target(rn);
	if (r == 0)
		r = f4_op_may_add(b->dir);
	if (r == 0 && (exchanges(rn) || (rn->flags & WHITEOUT)))
		r = f4_op_may_add(a->dir);
	if (r == 0 && ((a->dir->flags | b->dir->flags) & F4_FL_ENCRYPT))
		r = -ENOKEY;
	if (r == 0)
		r = f4_op_project_ok(b->dir, a->child);
	if (r == 0 && exchanges(rn))
		r = f4_op_project_ok(a->dir, b->child);
	if (r == 0)
		r = check_links(rn);
	a->reparent = a->is_dir && across(rn);
	b->reparent = b->is_dir && across(rn) && exchanges(rn);
	return r;
}

/* --- the change ----------------------------------------------------------------------------- */

static uint32_t credits(const struct rename *rn)
{
	uint32_t n = f4_dir_add_credits(rn->to.dir) + F4_ORPHAN_CREDITS + 4;

	n += f4_op_change_credits(rn->from.dir) + f4_op_change_credits(rn->to.dir);
	n += f4_op_change_credits(rn->from.child);
	if (rn->to.child)
		n += f4_op_change_credits(rn->to.child);
	if (rn->flags & WHITEOUT)
		n += F4_IALLOC_CREDITS + 1 + F4_ORPHAN_CREDITS;
	return n;
}

static int prepare_side(struct f4_handle *h, struct side *s)
{
	int r = f4_op_announce(h, s->dir);

	if (r == 0)
		r = f4_op_announce(h, s->child);
	if (r == 0 && s->child)
		r = f4_op_pin(h, s->dir, &s->ent, &s->pin);
	if (r < 0 || !s->reparent)
		return r;
	r = f4_dir_lookup(s->child, "..", 2, &s->up);
	if (r == -ENOENT)
		return f4_corrupt(s->child->vol, s->child->ino, 0, "directory without '..'");
	return r < 0 ? r : f4_op_pin(h, s->child, &s->up, &s->up_pin);
}

static int make_whiteout(struct f4_handle *h, struct rename *rn)
{
	int r = f4_inode_new(h, rn->from.dir, S_IFCHR, rn->cred, &rn->whiteout);

	if (r < 0)
		return r;
	rn->whiteout->links = 1;
	r = f4_quota_charge_new(h, rn->whiteout, &rn->owner);
	if (r < 0)
		return r;
	rn->whiteout->flags &= ~F4_FL_EXTENTS;
	memset(rn->whiteout->i_block, 0, sizeof(rn->whiteout->i_block));
	return f4_inode_store(h, rn->whiteout);
}

/* A name leaves, its inode's last one perhaps: on the orphan list then, before anything changes. */
static bool target_dies(const struct rename *rn)
{
	return rn->to.child && !exchanges(rn) && (rn->to.is_dir || rn->to.child->links == 1);
}

static int prepare(struct f4_handle *h, struct rename *rn)
{
	int r = prepare_side(h, &rn->from);

	if (r == 0)
		r = prepare_side(h, &rn->to);
	if (r == 0 && (rn->flags & WHITEOUT))
		r = make_whiteout(h, rn);
	if (r == 0 && target_dies(rn))
		r = f4_orphan_add(h, rn->to.child);
	return r;
}

/* The new name, in place: the first change that stays. Changes nothing when it fails. */
static int set_target(struct f4_handle *h, struct rename *rn)
{
	struct f4_inode *child = rn->from.child;

	if (rn->to.child)
		return f4_dir_replace(h, rn->to.dir, &rn->to.ent, child->ino, child->mode);
	return f4_dir_add(h, rn->to.dir, rn->to.name, rn->to.len, child->ino, child->mode);
}

static int unset_source(struct f4_handle *h, struct rename *rn)
{
	struct side *a = &rn->from;
	struct f4_inode *other = exchanges(rn) ? rn->to.child : rn->whiteout;
	int r;

	if (!rn->to.child && !across(rn)) { /* the insertion may have moved it */
		r = f4_dir_lookup(a->dir, a->name, a->len, &a->ent);
		if (r < 0)
			return r;
	}
	if (other)
		return f4_dir_replace(h, a->dir, &a->ent, other->ino, other->mode);
	return f4_dir_remove(h, a->dir, a->name, a->len, &a->ent);
}

static int set_parents(struct f4_handle *h, struct rename *rn)
{
	struct side *a = &rn->from, *b = &rn->to;
	int r = 0;

	if (a->reparent)
		r = f4_dir_replace(h, a->child, &a->up, b->dir->ino, b->dir->mode);
	if (r == 0 && b->reparent)
		r = f4_dir_replace(h, b->child, &b->up, a->dir->ino, a->dir->mode);
	return r;
}

static void set_links(struct rename *rn)
{
	struct side *a = &rn->from, *b = &rn->to;

	if (exchanges(rn)) {
		if (across(rn) && a->is_dir != b->is_dir) {
			f4_op_links_dec(a->is_dir ? a->dir : b->dir);
			f4_op_links_inc(a->is_dir ? b->dir : a->dir);
		}
		return;
	}
	if (a->is_dir && (across(rn) || b->child))
		f4_op_links_dec(a->dir);
	if (a->is_dir && across(rn) && !b->child)
		f4_op_links_inc(b->dir);
	if (b->child)
		b->child->links = b->is_dir ? 0 : b->child->links - 1;
}

static int store_all(struct f4_handle *h, struct rename *rn)
{
	struct f4_inode *all[4];
	int r = 0;

	f4_inode_touch(rn->from.dir, F4_TOUCH_M | F4_TOUCH_C);
	f4_inode_touch(rn->to.dir, F4_TOUCH_M | F4_TOUCH_C);
	f4_inode_touch(rn->from.child, F4_TOUCH_C);
	if (rn->to.child)
		f4_inode_touch(rn->to.child, F4_TOUCH_C);
	all_inodes(rn, all);
	for (size_t i = 0; i < 4 && r == 0; i++) {
		if (all[i])
			r = f4_inode_store(h, all[i]);
	}
	return r;
}

/* Nothing has changed yet but what prepare did: take that back. */
static void take_back(struct f4_handle *h, struct rename *rn)
{
	int r = 0;

	if (target_dies(rn))
		r = f4_orphan_del(h, rn->to.child);
	if (r == 0 && rn->whiteout)
		r = f4_op_abandon(h, rn->whiteout);
	if (r < 0)
		f4_journal_abort(h->journal, r);
}

static int change(struct f4_handle *h, struct rename *rn)
{
	int r = prepare(h, rn);

	if (r == 0)
		r = set_target(h, rn);
	if (r < 0) {
		take_back(h, rn);
		return r;
	}
	r = unset_source(h, rn);
	if (r == 0)
		r = set_parents(h, rn);
	if (r == 0) {
		set_links(rn);
		r = store_all(h, rn);
	}
	if (r < 0)
		f4_journal_abort(h->journal, r);
	return r;
}

static void unpin(struct side *s)
{
	f4_buf_put(f4_take_ptr(s->pin));
	f4_buf_put(f4_take_ptr(s->up_pin));
}

static int rename_locked(struct rename *rn)
{
	struct f4_handle h = { 0 };
	int r, r2;

	if (rn->from.child == rn->to.child)
		return rn->flags & NOREPLACE ? -EEXIST
					     : 0; /* two names of one inode stay, says POSIX */
	r = checks(rn);
	if (r == 0 && (rn->flags & WHITEOUT))
		r = f4_inode_hold_owner(rn->from.dir, rn->cred, &rn->owner);
	if (r == 0)
		r = f4_txn_begin(rn->vol->journal, credits(rn), &h);
	if (r < 0)
		return r;
	h.nolimit = rn->cred->uid == 0;
	r = change(&h, rn);
	unpin(&rn->from);
	unpin(&rn->to);
	rn->tid = h.tid;
	r2 = f4_txn_end(&h);
	return r < 0 ? r : r2;
}

static int rename_once(struct rename *rn)
{
	struct f4_inode *all[4];
	bool sync;
	int r = lock_all(rn);

	if (r < 0)
		return r;
	sync = f4_op_is_sync(rn->from.dir) || f4_op_is_sync(rn->to.dir);
	r = rename_locked(rn);
	all_inodes(rn, all);
	f4_inode_unlock_many(all, 4);
	let_go(rn);
	f4_quota_release(rn->vol, &rn->owner);
	f4_inode_put(f4_take_ptr(rn->whiteout));
	if (r == 0 && sync)
		r = f4_journal_commit_wait(rn->vol->journal, rn->tid);
	return r;
}

int f4_op_rename(struct f4_inode *from, const char *name, size_t len, struct f4_inode *to,
		 const char *new_name, size_t new_len, uint32_t flags, const struct f4_cred *cred)
{
	struct rename rn = {
		.vol = from->vol,
		.from = { .dir = from, .name = name, .len = len },
		.to = { .dir = to, .name = new_name, .len = new_len },
		.flags = flags,
		.cred = cred,
	};
	uint32_t attempt = 0;
	int r = f4_volume_check_write(rn.vol);

	if (r == 0)
		r = f4_op_name_ok(name, len);
	if (r == 0)
		r = f4_op_name_ok(new_name, new_len);
	if (r < 0)
		return r;
	if ((flags & ~(NOREPLACE | EXCHANGE | WHITEOUT)) ||
	    ((flags & EXCHANGE) && (flags & (NOREPLACE | WHITEOUT))))
		return -EINVAL;
	do {
		r = rename_once(&rn);
	} while (f4_op_retry(rn.vol, r, attempt++));
	return r;
}
