/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Access times: the kernel's FUSE leaves them to the server. */
#ifndef F4_EXT4_ATIME_H
#define F4_EXT4_ATIME_H

#include "server/ext4/inode.h"

/*
 * f4_inode_accessed - content was read from the server (what the kernel has cached is read without
 * our knowledge): renew the atime as the volume's options and the inode's flags say. With relatime
 * that is when it is not after mtime and ctime, or a day old. Failure to store it is no error of the
 * reader.
 * Context: no inode lock, no handle. May begin a handle.
 */
void f4_inode_accessed(struct f4_inode *inode);

#endif
