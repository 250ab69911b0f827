/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The beginning and the end of an inode.
 *
 * Source for what a new inode inherits: kernel Documentation/filesystems/ext4/inodes.rst and the
 * behaviour of the kernel's ext4 (flags by file type, set-gid directories, project).
 */
#include "server/ext4/inode.h"

#include <errno.h>
#include <string.h>

#include "server/ext4/alloc.h"
#include "server/ext4/file.h"
#include "server/ext4/inline.h"
#include "server/ext4/inode_priv.h"
#include "server/ext4/map.h"
#include "server/ext4/orphan.h"
#include "server/ext4/quota.h"
#include "server/ext4/volume_priv.h"
#include "server/ext4/xattr.h"

#define MODE_SGID 02000u

/* Flags that a directory hands on, and which of them make sense for what is made in it. */
#define FL_INHERITED                                                                              \
	(F4_FL_SECRM | F4_FL_UNRM | F4_FL_COMPR | F4_FL_SYNC | F4_FL_NODUMP | F4_FL_NOATIME |     \
	 F4_FL_JOURNAL_DATA | F4_FL_NOTAIL | F4_FL_DIRSYNC | F4_FL_PROJINHERIT | F4_FL_CASEFOLD)
#define FL_NOT_FOR_FILES (F4_FL_DIRSYNC | F4_FL_TOPDIR | F4_FL_CASEFOLD | F4_FL_PROJINHERIT)
#define FL_FOR_OTHERS	 (F4_FL_NODUMP | F4_FL_NOATIME)

static uint32_t inherited_flags(const struct f4_inode *inode, uint32_t dir_flags)
{
	uint32_t flags = dir_flags & FL_INHERITED;

	if (f4_is_dir(inode))
		return flags;
	return f4_is_reg(inode) ? flags & ~FL_NOT_FOR_FILES : flags & FL_FOR_OTHERS;
}

static uint32_t owner_gid(const struct f4_inode *dir, const struct f4_cred *cred)
{
	return (dir->mode & MODE_SGID) || dir->vol->opt.bsd_groups ? dir->gid : cred->gid;
}

static uint32_t owner_projid(const struct f4_inode *dir)
{
	return dir->flags & F4_FL_PROJINHERIT ? dir->projid : 0;
}

static void fill_owner(struct f4_inode *inode, const struct f4_inode *dir, const struct f4_cred *cred)
{
	inode->uid = cred->uid;
	inode->gid = owner_gid(dir, cred);
	inode->projid = owner_projid(dir);
	if ((dir->mode & MODE_SGID) && f4_is_dir(inode))
		inode->mode |= MODE_SGID;
}

int f4_inode_hold_owner(const struct f4_inode *dir, const struct f4_cred *cred,
			struct f4_quota_owner *ret)
{
	const uint32_t ids[F4_QUOTA_TYPES] = {
		[F4_QUOTA_USER] = cred->uid,
		[F4_QUOTA_GROUP] = owner_gid(dir, cred),
		[F4_QUOTA_PROJECT] = owner_projid(dir),
	};

	return f4_quota_hold(dir->vol, ids, ret);
}

static void fill(struct f4_inode *inode, const struct f4_inode *dir, uint16_t mode,
		 const struct f4_cred *cred)
{
	struct f4_volume *vol = inode->vol;

	inode->mode = mode;
	fill_owner(inode, dir, cred);
	inode->links = f4_is_dir(inode) ? 2 : 1;
	inode->flags = inherited_flags(inode, dir->flags);
	inode->extra_isize = (uint16_t)vol->want_extra_isize;
	inode->generation = atomic_fetch_add(&vol->next_generation, 1);
	inode->csum_seed = f4_inode_seed(vol, inode->ino, inode->generation);
	inode->atime = inode->mtime = inode->ctime = f4_inode_clamp_time(inode, f4_now());
	if (inode->extra_isize) /* short inodes have no place for it */
		inode->crtime = inode->ctime;
	inode->dir_insert_hint = 0;
	if (f4_is_dir(inode) || f4_is_reg(inode) || f4_is_lnk(inode))
		f4_map_init(inode);
}

/* The place in the inode table: cleared of the number's former life. */
static int prepare_raw(struct f4_handle *h, struct f4_inode *inode)
{
	struct f4_raw_inode *ri;
	uint8_t *raw;
	int r = f4_alloc_inode_table(h, inode->vol, inode->ino, &inode->table_buf, &inode->table_off);

	if (r < 0)
		return r;
	raw = inode->table_buf->data + inode->table_off;
	memset(raw, 0, inode->vol->inode_size);
	ri = (void *)raw;
	if (inode->vol->inode_size > F4_GOOD_OLD_INODE_SIZE)
		ri->i_extra_isize = f4_mk_le16(inode->extra_isize);
	return 0;
}

static int inode_build(struct f4_handle *h, struct f4_inode *inode, struct f4_inode *dir,
		       uint16_t mode, const struct f4_cred *cred)
{
	int r;

	fill(inode, dir, mode, cred);
	r = prepare_raw(h, inode);
	if (r < 0)
		return r;
	/* Directories: f4_dir_init. No room in the inode: it starts with blocks. */
	if (f4_has_incompat(inode->vol, F4_INCOMPAT_INLINE_DATA) && f4_is_reg(inode)) {
		r = f4_inline_init(h, inode);
		if (r < 0 && r != -ENOSPC)
			return r;
	}
	atomic_store(&inode->sync_tid, h->tid);
	atomic_store(&inode->datasync_tid, h->tid);
	return f4_inode_insert(inode);
}

int f4_inode_new(struct f4_handle *h, struct f4_inode *dir, uint16_t mode,
		 const struct f4_cred *cred, struct f4_inode **ret)
{
	struct f4_volume *vol = dir->vol;
	bool is_dir = (mode & 0170000) == 0040000;
	bool top = dir->ino == F4_ROOT_INO || (dir->flags & F4_FL_TOPDIR);
	struct f4_inode *inode;
	uint32_t ino;
	int r = f4_alloc_inode(h, vol, dir, is_dir, top, &ino);

	if (r < 0)
		return r;
	inode = f4_inode_alloc(vol, ino);
	r = inode ? inode_build(h, inode, dir, mode, cred) : -ENOMEM;
	if (r < 0) {
		if (inode)
			f4_inode_discard(inode);
		/* The blocks are in the transaction already, so this fails only after an abort. */
		(void)f4_alloc_free_inode(h, vol, ino, is_dir);
		return r;
	}
	*ret = inode;
	return 0;
}

/* Has it blocks of its own that a mapping points to? */
static bool has_mapping(const struct f4_inode *inode)
{
	if (f4_is_inline(inode) || f4_inode_is_fast_symlink(inode))
		return false;
	return f4_is_reg(inode) || f4_is_dir(inode) || f4_is_lnk(inode);
}

/* The last handle: off the orphan list, marked deleted, its number free. */
static int free_inode(struct f4_inode *inode)
{
	struct f4_volume *vol = inode->vol;
	bool is_dir = f4_is_dir(inode);
	struct f4_handle h;
	int r = f4_txn_begin(vol->journal, F4_ORPHAN_CREDITS + F4_IALLOC_CREDITS, &h);

	if (r < 0)
		return r;
	r = f4_orphan_del(&h, inode);
	if (r == 0) {
		inode->dtime = (uint32_t)f4_now().tv_sec;
		inode->size = 0;
		r = f4_quota_release_inode(&h, inode);
	}
	if (r == 0) {
		r = f4_inode_store(&h, inode);
	}
	/* From here on a new inode may get the number. */
	f4_inode_unhash(inode);
	if (r == 0)
		r = f4_alloc_free_inode(&h, vol, inode->ino, is_dir);
	if (r < 0 && r != -EUCLEAN)
		return f4_txn_abort(&h, r);
	(void)f4_txn_end(&h); /* the journal remembers its error */
	return r;
}

int f4_inode_delete(struct f4_inode *inode)
{
	int r = 0;

	f4_inode_wrlock(inode);
	if (has_mapping(inode))
		r = f4_file_truncate_locked(inode, 0);
	if (r == 0)
		r = f4_xattr_delete_all(inode);
	/* With blocks that can't be freed the inode stays, on the orphan list if the disk lets us. */
	if (r == 0)
		r = free_inode(inode);
	f4_inode_unlock(inode);
	return r;
}
