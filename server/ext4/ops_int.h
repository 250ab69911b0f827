/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the requests on names share. Private to ops*.c.
 *
 * How each of them is built, so that it is whole or absent:
 *   1. lock the inodes, look the names up, check everything;
 *   2. begin a handle with credits for the worst case;
 *   3. announce every block that will change and is known: from here on only allocation can fail;
 *   4. make new inodes, put dying ones on the orphan list: can be taken back exactly;
 *   5. insert (the last step that may fail for want of room; it changes nothing when it does);
 *   6. the rest: stores into announced blocks. A failure here aborts the journal.
 */
#ifndef F4_EXT4_OPS_INT_H
#define F4_EXT4_OPS_INT_H

#include "server/ext4/dir.h"
#include "server/ext4/dir_block.h"
#include "server/ext4/ops.h"

#define F4_LINK_MAX 65000u /* source: EXT4_LINK_MAX */

/* f4_op_name_ok - a single name, neither '.' nor '..'. 0; -EINVAL; -ENAMETOOLONG. */
int f4_op_name_ok(const char *name, size_t len);

/* f4_op_dir_ok - a directory that still exists. 0; -ENOTDIR; -ENOENT. Lock held. */
int f4_op_dir_ok(const struct f4_inode *dir);

/*
 * f4_op_find - the entry and a reference to its inode. @dir's lock is held in either way: it keeps
 * the inode from being freed. An entry for a free inode, or for @dir itself, is corruption.
 * Return: as f4_dir_lookup.
 */
int f4_op_find(struct f4_inode *dir, const char *name, size_t len, struct f4_dir_entry *ret_ent,
	       struct f4_inode **ret);

/*
 * f4_op_may_add/may_take - immutable and append-only, of the directory and of what the entry names.
 */
int f4_op_may_add(const struct f4_inode *dir);
int f4_op_may_take(const struct f4_inode *dir, const struct f4_inode *child);

/* f4_op_project_ok - may @inode live in @dir, as to project ids? 0 or -EXDEV. */
int f4_op_project_ok(const struct f4_inode *dir, const struct f4_inode *inode);

/* Link counts of directories: with dir_nlink a large one says 1, "many", and keeps it. */
bool f4_op_links_full(const struct f4_inode *dir);
void f4_op_links_inc(struct f4_inode *dir);
void f4_op_links_dec(struct f4_inode *dir);

/* f4_op_announce - the inode's table block will change. NULL is allowed. */
int f4_op_announce(struct f4_handle *h, struct f4_inode *inode);
/* f4_op_pin - the block of the entry will change; held until the caller puts it. NULL: inline. */
int f4_op_pin(struct f4_handle *h, struct f4_inode *dir, const struct f4_dir_entry *ent,
	      struct f4_buf **ret);

/* f4_op_change_credits - blocks that removing or changing an entry of @dir may change, with its
 * inode. */
uint32_t f4_op_change_credits(const struct f4_inode *dir);

/* f4_op_abandon - a new inode will not be used: it dies with its last reference. 0 or an error
 * that must abort. Credits: F4_ORPHAN_CREDITS. */
int f4_op_abandon(struct f4_handle *h, struct f4_inode *inode);

/* f4_op_is_sync - must a change in @dir be durable before the request is answered? */
bool f4_op_is_sync(const struct f4_inode *dir);

/* f4_op_retry - is -ENOSPC worth another try? Everything is unlocked. */
bool f4_op_retry(struct f4_volume *vol, int error, uint32_t attempt);

#endif
