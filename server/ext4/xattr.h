/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended attributes: in the inode, in a block (shared by reference count), values in inodes of
 * their own (ea_inode). POSIX ACLs are translated between the kernel's form and the disk's (acl.c).
 * Names are whole: "user.x", "system.posix_acl_access".
 * Source: kernel Documentation/filesystems/ext4/attributes.rst.
 */
#ifndef F4_EXT4_XATTR_H
#define F4_EXT4_XATTR_H

#include "server/ext4/inode.h"

/* Most that one set or remove needs (without the value blocks of ea_inode, which are written in pieces). */
uint32_t f4_xattr_credits(const struct f4_inode *inode);

/*
 * f4_xattr_get - value of @name into @buf. @size 0: only *ret_len.
 * Return: 0; -ENODATA; -ERANGE; -EOPNOTSUPP (unknown prefix, switched off); -EUCLEAN; -EIO. Takes the lock shared.
 */
int f4_xattr_get(struct f4_inode *inode, const char *name, void *buf, size_t size, size_t *ret_len);
/* f4_xattr_list - NUL-ended names one after the other. As f4_xattr_get. */
int f4_xattr_list(struct f4_inode *inode, char *buf, size_t size, size_t *ret_len);
/* f4_xattr_set - @flags: XATTR_CREATE (-EEXIST), XATTR_REPLACE (-ENODATA). Takes the lock, one handle.
 * An access ACL also sets the mode; one that equals the mode is removed. -ENOSPC, -E2BIG, -EROFS... */
int f4_xattr_set(struct f4_inode *inode, const char *name, const void *value, size_t len, int flags);
/* f4_xattr_remove - -ENODATA when absent. */
int f4_xattr_remove(struct f4_inode *inode, const char *name);

/* The same with lock held exclusive inside a handle that has f4_xattr_credits: @index and name without prefix. */
int f4_xattr_set_locked(struct f4_handle *h, struct f4_inode *inode, uint8_t index, const char *name,
			const void *value, size_t len, int flags);
int f4_xattr_get_locked(struct f4_inode *inode, uint8_t index, const char *name, void *buf,
			size_t size, size_t *ret_len);

/*
 * f4_xattr_room_locked - the longest value (rounded down to 4) that the inode itself has room for under
 * this name, given its other attributes; 0 also when it has none. Lock held. For inline data.
 */
size_t f4_xattr_room_locked(struct f4_inode *inode, uint8_t index, const char *name);

/* f4_xattr_count_values - attributes whose value is in an inode of its own. Locked. 0 or as loading. */
int f4_xattr_count_values(struct f4_inode *inode, uint32_t *ret);
/* f4_xattr_delete_all - free the xattr block and ea_inodes of an inode that is being deleted (own handles; lock held). */
int f4_xattr_delete_all(struct f4_inode *inode);

/*
 * f4_acl_inherit - ACL work for a new inode inside @h. First half, before the inode exists: the mode
 * that results from @dir's default ACL, or from umask where there is none.
 */
struct f4_acl_inherited {
	uint16_t mode;
	void *access, *dflt; /* owned, disk form; NULL: none */
	size_t access_len, dflt_len;
};
int f4_acl_inherit(struct f4_inode *dir, uint16_t mode, uint16_t umask, struct f4_acl_inherited *ret);
/* Second half: store them on @inode; needs f4_xattr_credits when there is something. */
int f4_acl_apply(struct f4_handle *h, struct f4_inode *inode, const struct f4_acl_inherited *inh);
void f4_acl_inherited_done(struct f4_acl_inherited *inh);
/* f4_acl_chmod - bring an access ACL in line with a new mode, inside a handle with f4_xattr_credits; lock held. */
int f4_acl_chmod(struct f4_handle *h, struct f4_inode *inode, uint16_t mode);

#endif
