/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests on names: lookup, create and link. See ops_int.h for how they are built.
 */
#include "server/ext4/ops.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "server/ext4/alloc.h"
#include "server/ext4/file.h"
#include "server/ext4/map.h"
#include "server/ext4/ops_int.h"
#include "server/ext4/orphan.h"
#include "server/ext4/quota.h"
#include "server/ext4/xattr.h"

/* --- shared --------------------------------------------------------------------------------- */

int f4_op_name_ok(const char *name, size_t len)
{
	if (len > F4_NAME_MAX)
		return -ENAMETOOLONG;
	if (len == 0 || memchr(name, '/', len) || memchr(name, '\0', len))
		return -EINVAL;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return -EINVAL;
	return 0;
}

int f4_op_dir_ok(const struct f4_inode *dir)
{
	if (!f4_is_dir(dir))
		return -ENOTDIR;
	return dir->links == 0 ? -ENOENT : 0;
}

int f4_op_find(struct f4_inode *dir, const char *name, size_t len, struct f4_dir_entry *ret_ent,
	       struct f4_inode **ret)
{
	int r = f4_dir_lookup(dir, name, len, ret_ent);

	if (r < 0)
		return r;
	if (ret_ent->ino == dir->ino)
		return f4_corrupt(dir->vol, dir->ino, ret_ent->blk,
				  "an entry names its own directory");
	r = f4_inode_get(dir->vol, ret_ent->ino, 0, ret);
	if (r == -ESTALE)
		return f4_corrupt(dir->vol, dir->ino, ret_ent->blk,
				  "an entry names inode %u, which is not in use", ret_ent->ino);
	return r;
}

int f4_op_may_add(const struct f4_inode *dir)
{
	if (dir->flags & F4_FL_IMMUTABLE)
		return -EPERM;
	return dir->flags & F4_FL_ENCRYPT ? -ENOKEY : 0;
}

int f4_op_may_take(const struct f4_inode *dir, const struct f4_inode *child)
{
	if (dir->flags & (F4_FL_IMMUTABLE | F4_FL_APPEND))
		return -EPERM;
	return child->flags & (F4_FL_IMMUTABLE | F4_FL_APPEND) ? -EPERM : 0;
}

int f4_op_project_ok(const struct f4_inode *dir, const struct f4_inode *inode)
{
	return (dir->flags & F4_FL_PROJINHERIT) && dir->projid != inode->projid ? -EXDEV : 0;
}

static bool many_links(const struct f4_inode *dir)
{
	return f4_has_ro_compat(dir->vol, F4_RO_COMPAT_DIR_NLINK) && (dir->flags & F4_FL_INDEX) &&
	       f4_has_compat(dir->vol, F4_COMPAT_DIR_INDEX);
}

bool f4_op_links_full(const struct f4_inode *dir)
{
	return dir->links >= F4_LINK_MAX && !many_links(dir);
}

void f4_op_links_inc(struct f4_inode *dir)
{
	if (dir->links == 1)
		return;
	dir->links++;
	if (dir->links > F4_LINK_MAX && many_links(dir))
		dir->links = 1;
}

void f4_op_links_dec(struct f4_inode *dir)
{
	if (dir->links > 2)
		dir->links--;
}

int f4_op_announce(struct f4_handle *h, struct f4_inode *inode)
{
	return inode ? f4_txn_write(h, inode->table_buf) : 0;
}

int f4_op_pin(struct f4_handle *h, struct f4_inode *dir, const struct f4_dir_entry *ent,
	      struct f4_buf **ret)
{
	int r;

	*ret = NULL;
	if (f4_is_inline(dir))
		return f4_op_announce(h, dir);
	r = f4_dir_read_at(dir, ent->blk, ret);
	return r < 0 ? r : f4_txn_write(h, *ret);
}

uint32_t f4_op_change_credits(const struct f4_inode *dir)
{
	return F4_DIR_REMOVE_CREDITS + 1 + (f4_is_inline(dir) ? f4_xattr_credits(dir) : 0);
}

int f4_op_abandon(struct f4_handle *h, struct f4_inode *inode)
{
	int r;

	inode->links = 0;
	r = f4_orphan_add(h, inode);
	return r < 0 ? r : f4_inode_store(h, inode);
}

bool f4_op_is_sync(const struct f4_inode *dir)
{
	return dir->vol->opt.sync || dir->vol->opt.dirsync ||
	       (dir->flags & (F4_FL_SYNC | F4_FL_DIRSYNC));
}

bool f4_op_retry(struct f4_volume *vol, int error, uint32_t attempt)
{
	return error == -ENOSPC && f4_alloc_should_retry(vol, attempt);
}

/* --- lookup --------------------------------------------------------------------------------- */

int f4_op_lookup(struct f4_inode *dir, const char *name, size_t len, struct f4_inode **ret)
{
	struct f4_dir_entry ent;
	int r;

	f4_inode_rdlock(dir);
	r = f4_op_dir_ok(dir);
	if (r == 0 && len == 1 && name[0] == '.') {
		f4_inode_ref(dir);
		*ret = dir;
	} else if (r == 0 && len == 2 && name[0] == '.' && name[1] == '.' &&
		   dir->ino == F4_ROOT_INO) { /* the one directory that is its own parent */
		f4_inode_ref(dir);
		*ret = dir;
	} else if (r == 0) {
		r = f4_op_find(dir, name, len, &ent, ret);
	}
	f4_inode_unlock(dir);
	return r;
}

int f4_op_parent(struct f4_inode *dir, uint32_t *ret_ino)
{
	struct f4_dir_entry ent;
	int r;

	f4_inode_rdlock(dir);
	r = f4_op_dir_ok(dir);
	if (r == 0)
		r = f4_dir_lookup(dir, "..", 2, &ent);
	f4_inode_unlock(dir);
	if (r == 0)
		*ret_ino = ent.ino;
	return r;
}

/* --- creation ------------------------------------------------------------------------------- */

struct create {
	struct f4_inode *dir;
	const char *name; /* NULL: a file without one */
	size_t len;
	const struct f4_op_new *spec;
	struct f4_acl_inherited inh;
	struct f4_quota_owner owner; /* refs: who will be charged */
	struct f4_inode *inode; /* the new one: owned reference, also when it is to die */
	f4_tid tid;
};

static bool is_type(const struct create *c, uint32_t type)
{
	return (c->spec->mode & S_IFMT) == type;
}

static int create_checks(struct create *c)
{
	struct f4_dir_entry ent;
	int r = f4_op_dir_ok(c->dir);

	if (r == 0 && c->name) {
		r = f4_dir_lookup(c->dir, c->name, c->len, &ent);
		r = r == 0 ? -EEXIST : r == -ENOENT ? 0 : r;
	}
	if (r == 0)
		r = f4_op_may_add(c->dir);
	if (r == 0 && c->name)
		r = f4_dir_name_may_add(c->dir, c->name, c->len);
	if (r == 0 && is_type(c, S_IFDIR) && f4_op_links_full(c->dir))
		return -EMLINK;
	if (r == 0 && is_type(c, S_IFLNK)) {
		size_t n = strlen(c->spec->target);

		r = n == 0 ? -ENOENT : n >= c->dir->vol->block_size ? -ENAMETOOLONG : 0;
	}
	return r;
}

static uint32_t create_credits(const struct create *c)
{
	const struct f4_volume *vol = c->dir->vol;
	uint32_t n = F4_IALLOC_CREDITS + 2 + F4_ORPHAN_CREDITS;

	if (c->name)
		n += f4_dir_add_credits(c->dir);
	if (c->inh.access || c->inh.dflt)
		n += 2 * f4_xattr_credits(c->dir);
	if (is_type(c, S_IFDIR) || is_type(c, S_IFLNK)) {
		n += f4_map_credits(c->dir) + 2;
		if (f4_has_incompat(vol, F4_INCOMPAT_INLINE_DATA))
			n += f4_xattr_credits(c->dir);
	}
	return n;
}

/* Device numbers lie where the block map of others is: the old form if it fits, else the new. */
static void set_device(struct f4_inode *inode, uint32_t rdev)
{
	uint32_t maj = major(rdev), min = minor(rdev);

	inode->flags &= ~F4_FL_EXTENTS;
	memset(inode->i_block, 0, sizeof(inode->i_block));
	if (maj < 256 && min < 256)
		f4_store_le32(inode->i_block, (maj << 8) | min);
	else
		f4_store_le32(inode->i_block + 4,
			      (min & 0xff) | (maj << 8) | ((min & ~0xffu) << 12));
}

static int fill_inode(struct f4_handle *h, struct create *c)
{
	struct f4_inode *inode = c->inode;

	inode->links = !c->name ? 0 : is_type(c, S_IFDIR) ? 2 : 1;
	if (is_type(c, S_IFDIR))
		return f4_dir_init(h, inode, c->dir->ino);
	if (is_type(c, S_IFLNK))
		return f4_file_symlink(h, inode, c->spec->target, strlen(c->spec->target));
	if (!is_type(c, S_IFREG))
		set_device(inode, is_type(c, S_IFBLK) || is_type(c, S_IFCHR) ? c->spec->rdev : 0);
	return 0;
}

static int create_in(struct f4_handle *h, struct create *c)
{
	int r = f4_op_announce(h, c->dir);

	if (r == 0)
		r = f4_inode_new(h, c->dir, c->inh.mode, &c->spec->cred, &c->inode);
	if (r < 0)
		return r;
	r = f4_quota_charge_new(h, c->inode, &c->owner);
	if (r == 0)
		r = f4_acl_apply(h, c->inode, &c->inh);
	if (r == 0)
		r = fill_inode(h, c);
	if (r == 0 && c->name)
		r = f4_dir_add(h, c->dir, c->name, c->len, c->inode->ino, c->inode->mode);
	if (r < 0) {
		int r2 = f4_op_abandon(h, c->inode);

		if (r2 < 0)
			f4_journal_abort(h->journal, r2);
		return r;
	}
	if (c->name && is_type(c, S_IFDIR))
		f4_op_links_inc(c->dir);
	r = c->name ? f4_inode_store(h, c->dir) : f4_orphan_add(h, c->inode);
	if (r == 0)
		r = f4_inode_store(h, c->inode);
	if (r < 0)
		f4_journal_abort(h->journal, r);
	return r;
}

static int create_locked(struct create *c)
{
	struct f4_handle h = { 0 };
	int r = create_checks(c), r2;

	if (r < 0)
		return r;
	r = f4_acl_inherit(c->dir, c->spec->mode, c->spec->cred.umask, &c->inh);
	if (r < 0)
		return r;
	r = f4_inode_hold_owner(c->dir, &c->spec->cred, &c->owner);
	if (r == 0)
		r = f4_txn_begin(c->dir->vol->journal, create_credits(c), &h);
	if (r < 0)
		return r;
	h.nolimit = c->spec->cred.uid == 0;
	r = create_in(&h, c);
	c->tid = h.tid;
	r2 = f4_txn_end(&h);
	return r < 0 ? r : r2;
}

static int create_once(struct f4_inode *dir, const char *name, size_t len,
		       const struct f4_op_new *spec, struct f4_inode **ret)
{
	struct create c = { .dir = dir, .name = name, .len = len, .spec = spec };
	bool sync;
	int r;

	f4_inode_wrlock(dir);
	sync = f4_op_is_sync(dir);
	r = create_locked(&c);
	f4_inode_unlock(dir);
	f4_acl_inherited_done(&c.inh);
	f4_quota_release(dir->vol, &c.owner);
	if (r == 0 && sync)
		r = f4_journal_commit_wait(dir->vol->journal, c.tid);
	if (r < 0) {
		f4_inode_put(c.inode);
		return r;
	}
	*ret = c.inode;
	return 0;
}

static int create(struct f4_inode *dir, const char *name, size_t len, const struct f4_op_new *spec,
		  struct f4_inode **ret)
{
	struct f4_op_new s = *spec;
	uint32_t attempt = 0;
	int r = f4_volume_check_write(dir->vol);

	if (r < 0)
		return r;
	if ((s.mode & S_IFMT) == 0)
		s.mode |= S_IFREG;
	if ((s.mode & S_IFMT) == S_IFLNK && !s.target)
		return -EINVAL;
	do {
		r = create_once(dir, name, len, &s, ret);
	} while (f4_op_retry(dir->vol, r, attempt++));
	return r;
}

int f4_op_create(struct f4_inode *dir, const char *name, size_t len, const struct f4_op_new *spec,
		 struct f4_inode **ret)
{
	int r = f4_op_name_ok(name, len);

	return r < 0 ? r : create(dir, name, len, spec, ret);
}

int f4_op_tmpfile(struct f4_inode *dir, const struct f4_op_new *spec, struct f4_inode **ret)
{
	if ((spec->mode & S_IFMT) != 0 && (spec->mode & S_IFMT) != S_IFREG)
		return -EINVAL;
	return create(dir, NULL, 0, spec, ret);
}

/* --- links ---------------------------------------------------------------------------------- */

static int link_checks(struct f4_inode *inode, struct f4_inode *dir, const char *name, size_t len)
{
	struct f4_dir_entry ent;
	int r = f4_op_dir_ok(dir);

	if (r < 0)
		return r;
	if (f4_is_dir(inode) || (inode->flags & (F4_FL_IMMUTABLE | F4_FL_APPEND)))
		return -EPERM;
	if (inode->links == 0 && !inode->on_orphan_list)
		return -ENOENT;
	if (inode->links >= F4_LINK_MAX)
		return -EMLINK;
	r = f4_dir_lookup(dir, name, len, &ent);
	if (r != -ENOENT)
		return r == 0 ? -EEXIST : r;
	r = f4_op_may_add(dir);
	return r < 0 ? r : f4_op_project_ok(dir, inode);
}

static int link_in(struct f4_handle *h, struct f4_inode *inode, struct f4_inode *dir,
		   const char *name, size_t len)
{
	bool orphan = inode->links == 0;
	int r = f4_op_announce(h, inode), r2;

	if (r == 0)
		r = f4_op_announce(h, dir);
	if (r == 0 && orphan)
		r = f4_orphan_del(h, inode);
	if (r < 0)
		return r;
	r = f4_dir_add(h, dir, name, len, inode->ino, inode->mode);
	if (r < 0) {
		r2 = orphan ? f4_orphan_add(h, inode) : 0;
		if (r2 < 0)
			f4_journal_abort(h->journal, r2);
		return r;
	}
	inode->links++;
	f4_inode_touch(inode, F4_TOUCH_C);
	r = f4_inode_store(h, inode);
	if (r == 0)
		r = f4_inode_store(h, dir);
	if (r < 0)
		f4_journal_abort(h->journal, r);
	return r;
}

static int link_once(struct f4_inode *inode, struct f4_inode *dir, const char *name, size_t len)
{
	struct f4_inode *both[] = { inode, dir };
	struct f4_handle h = { 0 };
	f4_tid tid = 0;
	bool sync;
	int r, r2;

	f4_inode_lock_many(both, 2);
	sync = f4_op_is_sync(dir);
	r = link_checks(inode, dir, name, len);
	if (r == 0)
		r = f4_txn_begin(dir->vol->journal, f4_dir_add_credits(dir) + F4_ORPHAN_CREDITS + 2,
				 &h);
	if (r == 0) {
		r = link_in(&h, inode, dir, name, len);
		tid = h.tid;
		r2 = f4_txn_end(&h);
		r = r < 0 ? r : r2;
	}
	f4_inode_unlock_many(both, 2);
	if (r == 0 && sync)
		r = f4_journal_commit_wait(dir->vol->journal, tid);
	return r;
}

int f4_op_link(struct f4_inode *inode, struct f4_inode *dir, const char *name, size_t len)
{
	uint32_t attempt = 0;
	int r = f4_volume_check_write(dir->vol);

	if (r == 0)
		r = f4_op_name_ok(name, len);
	if (r < 0)
		return r;
	do {
		r = link_once(inode, dir, name, len);
	} while (f4_op_retry(dir->vol, r, attempt++));
	return r;
}
