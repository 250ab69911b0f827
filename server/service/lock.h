/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lock on an image: no two servers write one image, and a reader does not meet a writer.
 *
 * flock(2) on the descriptor that the helper sent: it belongs to the open file, so it holds as long
 * as this process has it open, and the kernel tells everybody (/proc/locks) the process that took it:
 * take it in the process that serves. A reader takes it shared, a writer alone.
 *
 * A block device is not locked for long: udev waits for such locks. There the kernel's exclusive
 * claim (O_EXCL, or fuseblk's own) protects, and a lock is held only up to the mount. A loop device
 * leads back to a file, whose lock is looked for too.
 *
 * Context: before the seal. Needs /proc, which is opened in f4_lock_prepare, before the root is
 * emptied.
 */
#ifndef F4_SERVICE_LOCK_H
#define F4_SERVICE_LOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define F4_LOCK_WAIT_MS 2000 /* an unmount that is just ending, udev looking at a device */

/* Positive result. */
enum { F4_LOCK_E_HELD = 1 };

/* f4_lock_prepare - open the kernel's list of locks. Return: the descriptor, owned; -1: without it. */
int f4_lock_prepare(void);

/*
 * f4_lock_take - lock @fd (borrowed), waiting F4_LOCK_WAIT_MS at most.
 * @proc_locks: from f4_lock_prepare(); borrowed; -1 allowed
 * @who:        with F4_LOCK_E_HELD, words for the holder ("process 81", "another process")
 * Return: 0; F4_LOCK_E_HELD; -errno.
 */
int f4_lock_take(int fd, bool shared, int proc_locks, char *who, size_t size);

/*
 * f4_lock_check_loop - is @fd (borrowed) a loop device whose file one of ours has locked?
 * Return: 0: no, or not a loop device; F4_LOCK_E_HELD with @who.
 */
int f4_lock_check_loop(int fd, bool shared, int proc_locks, char *who, size_t size);

/* f4_lock_release - give the lock up; harmless where there is none. Allowed after the seal. */
void f4_lock_release(int fd);

/*
 * f4_lock_find - read the text of /proc/locks.
 * @writers_only: shared locks don't count
 * @ret_pid:      of a process that has a flock on the file; 0 when it is not in our pid namespace
 * Return: true when there is one.
 */
bool f4_lock_find(const char *text, dev_t dev, ino_t ino, bool writers_only, pid_t *ret_pid);

#endif
