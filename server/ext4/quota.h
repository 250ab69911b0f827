/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Quota: how many bytes and inodes each user, group and project has, and may have.
 *
 * Where the image has the quota feature, usage is kept in its quota files (format v2r1) by the same
 * handles that change it: the entry's block joins the handle's transaction, so that no crash parts
 * the two. For this every handle of such a volume gets F4_QUOTA_CREDITS more than it asks for.
 * Limits bind where the mount enforces them (usrquota, grpquota, prjquota), as with the kernel.
 *
 * Who is charged: an inode *attaches* to the entries of its owners when its lock is first taken
 * exclusively (f4_inode_wrlock), outside any handle, because an entry may have to be read or made.
 * What is charged: inode->charged sectors, which f4_inode_store brings in line with i_blocks;
 * allocations of data and directories ask for room first (f4_quota_alloc). Not charged: the reserved
 * inodes, the quota files, the orphan file; inodes of attribute values are charged to the inodes
 * that refer to them.
 *
 * Source: kernel Documentation/filesystems/quota.rst, lib/support/quotaio_*.h of e2fsprogs for the
 * format; quotactl(2), and what the kernel's ext4 does where that leaves a choice.
 */
#ifndef F4_EXT4_QUOTA_H
#define F4_EXT4_QUOTA_H

#include "server/ext4/alloc.h"
#include "server/ext4/inode.h"

enum f4_quota_type { F4_QUOTA_USER, F4_QUOTA_GROUP, F4_QUOTA_PROJECT, F4_QUOTA_TYPES };

/* More for each handle: entries of two owners of each type, and of the directory's. */
#define F4_QUOTA_CREDITS 9u

struct f4_dquot; /* one id's usage and limits in memory */

/* References to the entries of one owner; NULL where the type isn't kept. */
struct f4_quota_owner {
	struct f4_dquot *dq[F4_QUOTA_TYPES];
};

/*
 * f4_quota_open - read the quota files' headers; sets vol->quota. The journal runs, no request does.
 * Return: 0 (also without the feature); -EUCLEAN (a file is damaged: said); -EIO; -ENOMEM.
 */
int f4_quota_open(struct f4_volume *vol);
/* f4_quota_close - frees vol->quota; NULL is allowed. No inode is in use. */
void f4_quota_close(struct f4_volume *vol);

/*
 * f4_quota_hold - references to the entries of @ids (by type), made where there are none, so that a
 * handle may charge them. f4_quota_release - give them back; harmless when there are none.
 * Context: no handle open. Return: 0; -ENOSPC (no room for an entry); -EUCLEAN; -EIO; -ENOMEM.
 */
int f4_quota_hold(struct f4_volume *vol, const uint32_t ids[F4_QUOTA_TYPES],
		  struct f4_quota_owner *ret);
void f4_quota_release(struct f4_volume *vol, struct f4_quota_owner *owner);

/*
 * f4_quota_attach - see above. What can't be attached (a damaged quota file) is not charged: said
 * once. Context: @inode's lock held exclusive, no handle.
 */
void f4_quota_attach(struct f4_inode *inode);
/* f4_quota_detach - @inode leaves memory. */
void f4_quota_detach(struct f4_inode *inode);
/* f4_quota_exempt - @inode, new, is never charged. */
void f4_quota_exempt(struct f4_inode *inode);

/*
 * f4_quota_charge_new - attach a new inode to its owner (a copy of the references is taken) and
 * charge one inode. Return: 0; -EDQUOT (not charged, it must be abandoned); -EROFS.
 */
int f4_quota_charge_new(struct f4_handle *h, struct f4_inode *inode, const struct f4_quota_owner *owner);
/* f4_quota_release_inode - the inode itself and what it is charged for goes, in @h. */
int f4_quota_release_inode(struct f4_handle *h, struct f4_inode *inode);

/*
 * f4_quota_alloc - f4_alloc_blocks for @inode, charged. The length is cut to what its owners may
 * still have, unless the request is F4_ALLOC_TREE (never refused) or the handle is `nolimit`.
 * Return: as f4_alloc_blocks; -EDQUOT.
 */
int f4_quota_alloc(struct f4_handle *h, struct f4_inode *inode, const struct f4_alloc_req *req,
		   uint64_t *ret_blk, uint32_t *ret_len);
/* f4_quota_unalloc - take back what f4_quota_alloc gave, in the same handle. Return: as f4_alloc_free. */
int f4_quota_unalloc(struct f4_handle *h, struct f4_inode *inode, uint64_t blk, uint64_t len);

/* f4_quota_settle - charge the difference between inode->charged and inode->blocks. 0 or -EROFS. */
int f4_quota_settle(struct f4_handle *h, struct f4_inode *inode);

/*
 * f4_quota_attr - @inode refers to @inodes more values of attributes (less, if negative); @sectors: by
 * which its i_blocks is about to grow for them, or a claim given back. Return: 0; -EDQUOT; -EROFS.
 */
int f4_quota_attr(struct f4_handle *h, struct f4_inode *inode, int inodes, int64_t sectors);

/*
 * f4_quota_transfer - @inode, and @values inodes of attribute values, go over to @to, whose
 * references are swapped with those of the present owner. Types that @to has no entry for stay.
 * Return: 0; -EDQUOT (nothing changed); -EROFS.
 */
int f4_quota_transfer(struct f4_handle *h, struct f4_inode *inode, uint32_t values,
		      struct f4_quota_owner *to);

/* f4_quota_statfs - cut @st to the limits of @dir's project, if it is a directory of one. */
void f4_quota_statfs(struct f4_inode *dir, struct f4_statfs *st);

/* f4_quota_usage - for tests and df: what @id has. Return: 0; -ENOENT; -ESRCH (not kept); -EIO ... */
struct f4_quota_usage {
	uint64_t bytes, inodes, bytes_hard, bytes_soft, inodes_hard, inodes_soft;
};
int f4_quota_usage(struct f4_volume *vol, enum f4_quota_type type, uint32_t id,
		   struct f4_quota_usage *ret);

#endif
