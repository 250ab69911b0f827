/* SPDX-License-Identifier: GPL-2.0-or-later */
/* POSIX ACLs of inodes: stored, inherited, following chmod. The forms are in acl_form.c. */
#include "server/ext4/acl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/ext4/xattr_priv.h"

int f4_acl_load_locked(struct f4_inode *inode, uint8_t index, struct f4_acl **ret)
{
	f4_auto_free void *disk = NULL;
	size_t len = 0;
	int r;

	*ret = NULL;
	r = f4_xattr_get_locked(inode, index, "", NULL, 0, &len);
	if (r < 0 || len == 0)
		return r == -ENODATA ? 0 : r;
	if (len > F4_ACL_XATTR_MAX)
		return f4_corrupt(inode->vol, inode->ino, 0, "ACL of %zu bytes", len);
	disk = malloc(len);
	if (!disk)
		return -ENOMEM;
	r = f4_xattr_get_locked(inode, index, "", disk, len, &len);
	if (r == 0)
		r = f4_acl_from_disk(disk, len, ret);
	if (r == -EUCLEAN)
		return f4_corrupt(inode->vol, inode->ino, 0, "bad ACL");
	return r;
}

int f4_acl_inherit(struct f4_inode *dir, uint16_t mode, uint16_t umask, struct f4_acl_inherited *ret)
{
	f4_auto_free struct f4_acl *acl = NULL;
	f4_cleanup(f4_acl_inherited_done) struct f4_acl_inherited inh = { .mode = mode };
	bool is_dir = (mode & 0170000) == 0040000;
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	ret->mode = mode;
	if ((mode & 0170000) == 0120000)
		return 0; /* symlinks have neither */
	if (!dir->vol->opt.no_acl)
		r = f4_acl_load_locked(dir, F4_XATTR_INDEX_ACL_DEFAULT, &acl);
	if (r < 0)
		return r;
	if (!acl) {
		ret->mode = (uint16_t)(mode & ~(umask & 0777u));
		return 0;
	}
	if (is_dir)
		r = f4_acl_to_disk(acl, &inh.dflt, &inh.dflt_len);
	if (r == 0 && !f4_acl_mask_new(acl, &inh.mode))
		r = f4_acl_to_disk(acl, &inh.access, &inh.access_len);
	if (r < 0)
		return r;
	*ret = inh;
	memset(&inh, 0, sizeof(inh)); /* belongs to the caller now */
	return 0;
}

int f4_acl_apply(struct f4_handle *h, struct f4_inode *inode, const struct f4_acl_inherited *inh)
{
	int r = 0;

	if (inh->access)
		r = f4_xattr_set_locked(h, inode, F4_XATTR_INDEX_ACL_ACCESS, "", inh->access,
					inh->access_len, 0);
	if (r == 0 && inh->dflt)
		r = f4_xattr_set_locked(h, inode, F4_XATTR_INDEX_ACL_DEFAULT, "", inh->dflt,
					inh->dflt_len, 0);
	return r;
}

void f4_acl_inherited_done(struct f4_acl_inherited *inh)
{
	free(inh->access);
	free(inh->dflt);
	memset(inh, 0, sizeof(*inh));
}

int f4_acl_chmod(struct f4_handle *h, struct f4_inode *inode, uint16_t mode)
{
	f4_auto_free struct f4_acl *acl = NULL;
	f4_auto_free void *disk = NULL;
	size_t len;
	int r;

	if (inode->vol->opt.no_acl || f4_is_lnk(inode))
		return 0;
	r = f4_acl_load_locked(inode, F4_XATTR_INDEX_ACL_ACCESS, &acl);
	if (r < 0 || !acl)
		return r;
	f4_acl_set_mode(acl, mode);
	r = f4_acl_to_disk(acl, &disk, &len);
	if (r < 0)
		return r;
	return f4_xattr_set_locked(h, inode, F4_XATTR_INDEX_ACL_ACCESS, "", disk, len, 0);
}
