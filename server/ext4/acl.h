/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * POSIX ACLs between their two forms: the kernel's xattr form (what setfacl sends) and ext4's on
 * disk. acl_form.c is pure; acl.c has f4_acl_load_locked and what xattr.h declares.
 * Source: kernel include/uapi/linux/posix_acl_xattr.h, fs/ext4/acl.h, fs/posix_acl.c for the rules.
 */
#ifndef F4_EXT4_ACL_H
#define F4_EXT4_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct f4_inode;

#define F4_ACL_USER_OBJ	 0x01u
#define F4_ACL_USER	 0x02u
#define F4_ACL_GROUP_OBJ 0x04u
#define F4_ACL_GROUP	 0x08u
#define F4_ACL_MASK	 0x10u
#define F4_ACL_OTHER	 0x20u

struct f4_acl_entry {
	uint16_t tag, perm;
	uint32_t id; /* of F4_ACL_USER, F4_ACL_GROUP */
};

struct f4_acl {
	uint32_t count;
	struct f4_acl_entry entries[];
};

/* The longest xattr form that is looked at, bytes: what setxattr(2) can carry. */
#define F4_ACL_XATTR_MAX 65536u

/*
 * f4_acl_from_xattr - parse and check. *ret: owned by the caller; NULL for a list without entries.
 * Return: 0; -EOPNOTSUPP (version); -EINVAL (sizes, tags, order, permissions); -ENOMEM.
 */
int f4_acl_from_xattr(const void *value, size_t len, struct f4_acl **ret);
/* f4_acl_from_disk - as above; -EUCLEAN for what can't be. */
int f4_acl_from_disk(const void *value, size_t len, struct f4_acl **ret);

size_t f4_acl_xattr_size(const struct f4_acl *acl);
/* f4_acl_to_xattr - write f4_acl_xattr_size(acl) bytes. */
void f4_acl_to_xattr(const struct f4_acl *acl, void *buf);
/* f4_acl_to_disk - *ret is owned by the caller. 0, -ENOMEM. */
int f4_acl_to_disk(const struct f4_acl *acl, void **ret, size_t *ret_len);

/* f4_acl_to_mode - the nine bits that the ACL means. True: it means nothing more. */
bool f4_acl_to_mode(const struct f4_acl *acl, uint16_t *ret_mode);

/*
 * f4_acl_mask_new - a new inode is asked for with @mode: both the ACL and the mode lose what the
 * other does not allow. True: the ACL means no more than the mode then.
 */
bool f4_acl_mask_new(struct f4_acl *acl, uint16_t *mode);

/* f4_acl_set_mode - chmod: entries that stand for the nine bits follow @mode. */
void f4_acl_set_mode(struct f4_acl *acl, uint16_t mode);

/* f4_acl_load_locked - the stored ACL; *ret NULL where there is none. Inode locked. -EUCLEAN is reported. */
int f4_acl_load_locked(struct f4_inode *inode, uint8_t index, struct f4_acl **ret);

#endif
