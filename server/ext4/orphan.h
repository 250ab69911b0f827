/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Orphans: inodes that must be finished (freed or truncated) after a crash. Kept in the list
 * through s_last_orphan and i_dtime, or in the orphan file where the feature is on.
 * Source: kernel Documentation/filesystems/ext4/orphan.rst.
 */
#ifndef F4_EXT4_ORPHAN_H
#define F4_EXT4_ORPHAN_H

#include "server/ext4/inode.h"

#define F4_ORPHAN_CREDITS 4u

int f4_orphans_open(struct f4_volume *vol); /* sets vol->orphans */
void f4_orphans_close(struct f4_volume *vol);
/* f4_orphans_process - at mount: truncate or free everything listed. Bounded; cycles are corruption. */
int f4_orphans_process(struct f4_volume *vol);

/* f4_orphan_add/del - inside @h, inode locked exclusive; adding twice is harmless, so is removing one not there. */
int f4_orphan_add(struct f4_handle *h, struct f4_inode *inode);
int f4_orphan_del(struct f4_handle *h, struct f4_inode *inode);

/* f4_orphan_drop - the struct leaves memory: forget it here, the disk keeps what it has. */
void f4_orphan_drop(struct f4_inode *inode);

#endif
