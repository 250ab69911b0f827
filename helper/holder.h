/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who else uses an image or a device.
 *
 * The server's own lock decides (flock on an image file, O_EXCL on a block device); this only finds
 * out beforehand, and says who it is. Three ways are looked at: the image's lock, the exclusive
 * claim on the device, and the detour over a loop device that has the image behind it.
 */
#ifndef F4_HELPER_HOLDER_H
#define F4_HELPER_HOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "helper/source.h"

/* Positive result. */
enum { F4_HOLDER_E_HELD = 1 };

/*
 * f4_holder_check - would a mount of @s collide with another use?
 * @writing: the mount is read-write: readers collide too
 * @who:     with F4_HOLDER_E_HELD, words that name the holder as well as can be ("process 81
 *           (fuse4fs-server)", "mounted on /mnt"); raw bytes
 * Return: 0: free, as far as the caller may see; F4_HOLDER_E_HELD; -ENOMEM.
 */
int f4_holder_check(const struct f4_source *s, bool writing, char *who, size_t size);

/*
 * f4_holder_locks - the processes that hold a flock on a file.
 * @dev, @ino: the file
 * @ret_pid:   one of them, when there is any
 * Return: how many /proc/locks shows: those of this pid namespace.
 */
unsigned int f4_holder_locks(dev_t dev, ino_t ino, pid_t *ret_pid);

/* f4_holder_describe - "process 81 (fuse4fs-server)", or "a process of another namespace". */
void f4_holder_describe(pid_t pid, char *who, size_t size);

#endif
