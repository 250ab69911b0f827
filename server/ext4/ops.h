/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests on names: each a whole operation with its locks and its handle, atomic on disk.
 * Permission checks are the kernel's (default_permissions); immutable and append-only are checked
 * here. Files: ops.c (lookup, create, link), ops_remove.c, ops_rename.c.
 */
#ifndef F4_EXT4_OPS_H
#define F4_EXT4_OPS_H

#include "server/ext4/inode.h"

/* f4_op_lookup - a reference to the inode called @name in @dir. -ENOENT, -ENOTDIR,
 * -ESTALE->-EUCLEAN for an entry that names a free inode, ... '.' and '..' work. */
int f4_op_lookup(struct f4_inode *dir, const char *name, size_t len, struct f4_inode **ret);

struct f4_op_new {
	uint16_t mode;	      /* type and permission bits as asked; umask is in cred */
	uint32_t rdev;	      /* device nodes: as makedev(3) gives it */
	const char *target;   /* symlinks; NUL-ended */
	struct f4_cred cred;
};
/* f4_op_create - regular file, directory, node, fifo, socket or symlink, with default ACLs applied.
 * Return: 0 and a reference; -EEXIST; -ENOSPC; -EDQUOT; -EMLINK; -ENAMETOOLONG; -EPERM; -EROFS ...
 */
int f4_op_create(struct f4_inode *dir, const char *name, size_t len, const struct f4_op_new *spec,
		 struct f4_inode **ret);
/* f4_op_tmpfile - a regular file with no name, on the orphan list. */
int f4_op_tmpfile(struct f4_inode *dir, const struct f4_op_new *spec, struct f4_inode **ret);
/* f4_op_link - another name; also for an O_TMPFILE inode with links 0. -EMLINK at 65000. */
int f4_op_link(struct f4_inode *inode, struct f4_inode *dir, const char *name, size_t len);
/* f4_op_unlink - not directories (-EISDIR). f4_op_rmdir - empty directories only (-ENOTEMPTY,
 * -ENOTDIR). */
int f4_op_unlink(struct f4_inode *dir, const char *name, size_t len);
int f4_op_rmdir(struct f4_inode *dir, const char *name, size_t len);
/* f4_op_rename - @flags: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT. */
int f4_op_rename(struct f4_inode *from, const char *name, size_t len, struct f4_inode *to,
		 const char *new_name, size_t new_len, uint32_t flags, const struct f4_cred *cred);

/* f4_op_parent - the number of the directory that holds @dir ('..'). */
int f4_op_parent(struct f4_inode *dir, uint32_t *ret_ino);

#endif
