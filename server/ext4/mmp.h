/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multiple mount protection: a block that whoever has the filesystem read-write keeps changing, so
 * that a second one, perhaps on another machine, notices.
 *
 * Source: kernel Documentation/filesystems/ext4/mmp.rst and the waiting rules of fs/ext4/mmp.c.
 */
#ifndef F4_EXT4_MMP_H
#define F4_EXT4_MMP_H

#include "server/ext4/volume.h"

/*
 * f4_mmp_start - make sure that nobody else has the volume, mark it ours, keep the mark alive by a
 * worker (with vol->workers; else the caller ticks). Waits some seconds, as the protocol demands,
 * unless opt.no_mmp_wait. Before anything else is written. Sets vol->mmp.
 * Return: 0; -EBUSY (in use, or e2fsck runs; said in the log); -EUCLEAN; -EIO; -ENOMEM.
 */
int f4_mmp_start(struct f4_volume *vol);

/* f4_mmp_stop - end the worker and, unless somebody else took the volume, mark it free. NULL mmp: nothing. */
void f4_mmp_stop(struct f4_volume *vol);

/*
 * f4_mmp_tick - one heartbeat: is the block still ours? Then change it.
 * Return: 0; -EBUSY (somebody else wrote it: the journal has been aborted, nothing is written any
 * more); an error of the disk (said, tried again with the next).
 */
int f4_mmp_tick(struct f4_volume *vol);

#endif
