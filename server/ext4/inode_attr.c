/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attributes: reading them for stat, changing them, the flags of chattr.
 *
 * Who may change what is the kernel's decision (default_permissions); what a FUSE kernel can't know
 * is decided here: immutable and append-only, and which of the privileges of an executable fall
 * with a change of owner or size.
 */
#include "server/ext4/inode.h"

#include <errno.h>

#include "server/ext4/dir.h"
#include "server/ext4/file.h"
#include "server/ext4/file_priv.h"
#include "server/ext4/inode_priv.h"
#include "server/ext4/map.h"
#include "server/ext4/quota.h"
#include "server/ext4/volume_priv.h"
#include "server/ext4/xattr.h"

#define MODE_SUID 04000u
#define MODE_SGID 02000u
#define MODE_XGRP 00010u
#define MODE_BITS 07777u

/* What chattr may change, and what a file that is no regular file or directory may have. */
#define FL_USER                                                                                   \
	(F4_FL_SECRM | F4_FL_UNRM | F4_FL_SYNC | F4_FL_IMMUTABLE | F4_FL_APPEND | F4_FL_NODUMP |  \
	 F4_FL_NOATIME | F4_FL_JOURNAL_DATA | F4_FL_NOTAIL | F4_FL_DIRSYNC | F4_FL_TOPDIR |       \
	 F4_FL_PROJINHERIT)
/* Source: kernel fs/ext4/ext4.h, EXT4_FL_USER_VISIBLE. */
#define FL_VISIBLE 0x725BDFFFu
/* What the kernel would convert the inode for. */
#define FL_FORMAT     (F4_FL_EXTENTS | F4_FL_DAX)
#define FL_DIR_ONLY   (F4_FL_DIRSYNC | F4_FL_TOPDIR | F4_FL_PROJINHERIT)
#define FL_FOR_OTHERS (F4_FL_NODUMP | F4_FL_NOATIME)

bool f4_inode_is_fast_symlink(const struct f4_inode *inode)
{
	uint64_t ea = inode->file_acl ? (uint64_t)inode->vol->block_size << inode->vol->cluster_bits : 0;

	if (!f4_is_lnk(inode) || f4_is_inline(inode))
		return false;
	/* An attribute's value in an inode of its own counts as blocks: then only the size tells. */
	if (f4_has_incompat(inode->vol, F4_INCOMPAT_EA_INODE))
		return inode->size != 0 && inode->size < F4_I_BLOCK_BYTES;
	return inode->blocks <= ea >> 9;
}

/* Two forms: 16 bits in the first word, or 32 bits in the second. Source: <linux/kdev_t.h>. */
static uint32_t inode_rdev(const struct f4_inode *inode)
{
	uint16_t type = inode->mode & 0170000;
	uint32_t old = f4_load_le32(inode->i_block);

	if (type != 0020000 && type != 0060000)
		return 0;
	return old ? old & 0xffff : f4_load_le32(inode->i_block + 4);
}

void f4_inode_attr_locked(const struct f4_inode *inode, struct f4_attr *ret)
{
	*ret = (struct f4_attr){
		.ino = inode->ino,
		.generation = inode->generation,
		.mode = inode->mode,
		.links = inode->links,
		.uid = inode->uid,
		.gid = inode->gid,
		.rdev = inode_rdev(inode),
		.flags = inode->flags,
		.projid = inode->projid,
		.block_size = inode->vol->block_size,
		.size = inode->size,
		.blocks = inode->blocks,
		.atime = inode->atime,
		.mtime = inode->mtime,
		.ctime = inode->ctime,
		.crtime = inode->crtime,
	};
	/* Some programs take "no blocks" for "no content". */
	if (f4_is_inline(inode) && ret->blocks == 0)
		ret->blocks = (inode->size + 511) >> 9;
}

void f4_inode_attr(struct f4_inode *inode, struct f4_attr *ret)
{
	f4_inode_rdlock(inode);
	f4_inode_attr_locked(inode, ret);
	f4_inode_unlock(inode);
}

static int check_protected(const struct f4_inode *inode, uint32_t mask)
{
	const uint32_t strict = F4_SET_MODE | F4_SET_UID | F4_SET_GID | F4_SET_SIZE;
	bool times = (mask & (F4_SET_ATIME | F4_SET_MTIME)) && !(mask & F4_SET_TIMES_NOW);

	if (inode->flags & F4_FL_IMMUTABLE)
		return -EPERM;
	if ((inode->flags & F4_FL_APPEND) && ((mask & strict) || times))
		return -EPERM;
	return 0;
}

/* The mode that results from the change. */
static uint16_t new_mode(const struct f4_inode *inode, uint32_t mask, const struct f4_attr *attr)
{
	uint16_t mode = inode->mode;
	bool kill = mask & F4_SET_KILLPRIV;

	if (mask & F4_SET_MODE)
		mode = (uint16_t)((mode & ~MODE_BITS) | (attr->mode & MODE_BITS));
	/* A new owner doesn't inherit the old one's trust; chmod in the same request is its own word. */
	if ((mask & (F4_SET_UID | F4_SET_GID)) && !(mask & F4_SET_MODE))
		kill = true;
	if (kill && !f4_is_dir(inode)) {
		mode &= (uint16_t)~MODE_SUID;
		if ((mode & MODE_XGRP) || (mask & F4_SET_KILLSGID))
			mode &= (uint16_t)~MODE_SGID;
	}
	return mode;
}

static void set_fields(struct f4_inode *inode, uint32_t mask, const struct f4_attr *attr, uint16_t mode)
{
	f4_inode_set_mode(inode, mode);
	if (mask & F4_SET_UID)
		inode->uid = attr->uid;
	if (mask & F4_SET_GID)
		inode->gid = attr->gid;
	if (mask & F4_SET_ATIME)
		inode->atime = f4_inode_clamp_time(inode, attr->atime);
	if (mask & F4_SET_MTIME)
		inode->mtime = f4_inode_clamp_time(inode, attr->mtime);
	inode->ctime = f4_inode_clamp_time(inode, mask & F4_SET_CTIME ? attr->ctime : f4_now());
}

/* Whose quotas it goes to; before the handle. */
struct new_owner {
	struct f4_quota_owner to; /* refs */
	uint32_t values;	  /* inodes of attribute values that go along */
};

static int hold_new_owner(struct f4_inode *inode, uint32_t uid, uint32_t gid, uint32_t projid,
			  struct new_owner *ret)
{
	const uint32_t ids[F4_QUOTA_TYPES] = {
		[F4_QUOTA_USER] = uid,
		[F4_QUOTA_GROUP] = gid,
		[F4_QUOTA_PROJECT] = projid,
	};
	int r;

	*ret = (struct new_owner){ 0 };
	if (!inode->vol->quota ||
	    (uid == inode->uid && gid == inode->gid && projid == inode->projid))
		return 0;
	r = f4_xattr_count_values(inode, &ret->values);
	return r < 0 ? r : f4_quota_hold(inode->vol, ids, &ret->to);
}

/* Everything but the size, in one handle. Lock held. */
static int set_attributes(struct f4_inode *inode, uint32_t mask, const struct f4_attr *attr,
			  const struct f4_cred *cred)
{
	bool moved;
	struct f4_volume *vol = inode->vol;
	uint16_t mode = new_mode(inode, mask, attr);
	bool drop_caps = f4_is_reg(inode) && (mask & (F4_SET_UID | F4_SET_GID | F4_SET_KILLPRIV));
	struct new_owner owner;
	struct f4_handle h;
	int r, r2;

	r = hold_new_owner(inode, mask & F4_SET_UID ? attr->uid : inode->uid,
			   mask & F4_SET_GID ? attr->gid : inode->gid, inode->projid, &owner);
	if (r == 0)
		r = f4_txn_begin(vol->journal, 1 + 2 * f4_xattr_credits(inode), &h);
	if (r < 0) {
		f4_quota_release(vol, &owner.to);
		return r;
	}
	h.nolimit = cred && cred->uid == 0;
	r = f4_quota_transfer(&h, inode, owner.values, &owner.to);
	moved = r == 0;
	if (r == 0 && (mask & F4_SET_MODE) && !f4_is_lnk(inode) && !vol->opt.no_acl)
		r = f4_acl_chmod(&h, inode, mode);
	if (r == 0 && drop_caps) {
		r = f4_xattr_set_locked(&h, inode, F4_XATTR_INDEX_SECURITY, "capability", NULL, 0, 0);
		if (r == -ENODATA)
			r = 0;
	}
	if (r == 0) {
		set_fields(inode, mask, attr, mode);
		r = f4_inode_store(&h, inode);
	} else if (moved) {
		h.nolimit = true; /* back to where it was */
		(void)f4_quota_transfer(&h, inode, owner.values, &owner.to);
	}
	h.sync = r == 0 && vol->opt.sync;
	r2 = f4_txn_end(&h);
	f4_quota_release(vol, &owner.to);
	return r < 0 ? r : r2;
}

int f4_inode_setattr(struct f4_inode *inode, uint32_t mask, const struct f4_attr *attr,
		     const struct f4_cred *cred)
{
	int r = f4_volume_check_write(inode->vol);

	if (r < 0)
		return r;
	f4_inode_wrlock(inode);
	r = check_protected(inode, mask);
	if (r == 0 && (mask & F4_SET_SIZE)) {
		r = f4_file_check_change(inode);
		if (r == 0)
			r = f4_file_truncate_locked(inode, attr->size);
		mask &= ~F4_SET_SIZE;
		if (mask == 0)
			goto out;
	}
	if (r == 0)
		r = set_attributes(inode, mask, attr, cred);
out:
	f4_inode_unlock(inode);
	return r;
}

/* One changed field of a locked inode, with its ctime, in one handle. */
static int store_change(struct f4_inode *inode)
{
	struct f4_handle h;
	int r = f4_txn_begin(inode->vol->journal, 1, &h), r2;

	if (r < 0)
		return r;
	f4_inode_touch(inode, F4_TOUCH_C);
	r = f4_inode_store(&h, inode);
	h.sync = r == 0 && inode->vol->opt.sync;
	r2 = f4_txn_end(&h);
	return r < 0 ? r : r2;
}

/* How names compare can change only while there are none. */
static int check_casefold(struct f4_inode *inode)
{
	int r;

	if (!f4_has_incompat(inode->vol, F4_INCOMPAT_CASEFOLD))
		return -EOPNOTSUPP;
	if (!f4_is_dir(inode))
		return -ENOTDIR;
	r = f4_dir_is_empty(inode);
	return r < 0 ? r : r == 0 ? -ENOTEMPTY : 0;
}

static int set_flags_locked(struct f4_inode *inode, uint32_t flags)
{
	uint32_t user = FL_USER, old = inode->flags;
	int r;

	/* Others that are shown may be named or left out, which changes nothing, as with the kernel. */
	if ((flags & ~FL_VISIBLE) || ((flags ^ old) & FL_FORMAT))
		return -EOPNOTSUPP;
	r = (flags ^ old) & F4_FL_CASEFOLD ? check_casefold(inode) : 0;
	if (r < 0)
		return r;
	flags = (flags & (FL_USER | F4_FL_CASEFOLD)) | (old & ~(FL_USER | F4_FL_CASEFOLD));
	if (f4_is_reg(inode))
		user &= ~FL_DIR_ONLY;
	else if (!f4_is_dir(inode))
		user = FL_FOR_OTHERS;
	if (((flags ^ old) & flags & ~user & ~F4_FL_CASEFOLD) != 0)
		flags &= user | ~FL_USER; /* as the kernel: what makes no sense here is not set */
	if (f4_is_reg(inode) && ((flags ^ old) & F4_FL_JOURNAL_DATA)) {
		r = f4_file_flush_journalled(inode);
		if (r < 0)
			return r;
	}
	inode->flags = flags;
	r = store_change(inode);
	if (r < 0)
		inode->flags = old;
	return r;
}

int f4_inode_set_flags(struct f4_inode *inode, uint32_t flags)
{
	int r = f4_volume_check_write(inode->vol);

	if (r < 0)
		return r;
	f4_inode_wrlock(inode);
	r = set_flags_locked(inode, flags);
	f4_inode_unlock(inode);
	return r;
}

static int set_projid_locked(struct f4_inode *inode, uint32_t projid, const struct f4_cred *cred)
{
	struct f4_volume *vol = inode->vol;
	struct new_owner owner;
	struct f4_handle h;
	int r, r2;

	r = hold_new_owner(inode, inode->uid, inode->gid, projid, &owner);
	if (r == 0)
		r = f4_txn_begin(vol->journal, 1, &h);
	if (r == 0) {
		h.nolimit = cred->uid == 0;
		r = f4_quota_transfer(&h, inode, owner.values, &owner.to);
		if (r == 0) {
			inode->projid = projid;
			f4_inode_touch(inode, F4_TOUCH_C);
			r = f4_inode_store(&h, inode);
		}
		h.sync = r == 0 && vol->opt.sync;
		r2 = f4_txn_end(&h);
		r = r < 0 ? r : r2;
	}
	f4_quota_release(vol, &owner.to);
	return r;
}

int f4_inode_set_projid(struct f4_inode *inode, uint32_t projid, const struct f4_cred *cred)
{
	const struct f4_volume *vol = inode->vol;
	int r = f4_volume_check_write(inode->vol);

	if (r < 0)
		return r;
	f4_inode_wrlock(inode);
	if (projid == inode->projid)
		r = 0;
	else if (!f4_has_ro_compat(vol, F4_RO_COMPAT_PROJECT) ||
		 inode->extra_isize < sizeof(struct f4_raw_inode) - F4_GOOD_OLD_INODE_SIZE)
		r = -EOPNOTSUPP;
	else if (inode->flags & (F4_FL_IMMUTABLE | F4_FL_APPEND))
		r = -EPERM;
	else
		r = set_projid_locked(inode, projid, cred);
	f4_inode_unlock(inode);
	return r;
}

int f4_inode_set_version(struct f4_inode *inode, uint32_t generation_version)
{
	int r = f4_volume_check_write(inode->vol);

	/* Checksums of its blocks are seeded by the generation: the kernel refuses as well. */
	if (r == 0 && inode->vol->has_csum)
		r = -ENOTTY;
	if (r < 0)
		return r;
	f4_inode_wrlock(inode);
	if (inode->flags & (F4_FL_IMMUTABLE | F4_FL_APPEND)) {
		r = -EPERM;
	} else {
		inode->generation = generation_version;
		r = store_change(inode);
	}
	f4_inode_unlock(inode);
	return r;
}
