/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waiting until a server has let go of its image.
 *
 * umount(2) of a plain FUSE mount returns before the server has written the last of it. The server
 * holds the image's lock (flock) or the device (O_EXCL) until it is done, and then ends: so what is
 * waited for is the lock, the claim and the process that held them. What to wait for is found out
 * while the mount still stands.
 */
#ifndef F4_HELPER_SETTLE_H
#define F4_HELPER_SETTLE_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "helper/mounts.h"

struct f4_settle {
	pid_t pid;     /* the lock's holder, 0: not known */
	int pidfd;     /* owned; -1: not known */
	int image_fd;  /* owned: to try the lock with, where the holder is not visible; or -1 */
	char *device;  /* owned: the block device's node, or NULL */
	dev_t fuse_dev; /* st_dev of the mount: the FUSE connection's number */
};

#define F4_SETTLE_INIT { .pidfd = -1, .image_fd = -1 }

enum f4_settle_error {
	F4_SETTLE_E_TIMEOUT = 1, /* it still holds on to the image */
	F4_SETTLE_E_INTERRUPTED,
	F4_SETTLE_E_ELSEWHERE, /* not waited for: the filesystem is still mounted at another place */
};

/*
 * f4_settle_prepare - find out who serves @mount and what it holds. Finding out nothing is no
 * failure: f4_settle_wait() then returns at once.
 * @subtype: the prefix that the source may have ("fuse4fs:PATH")
 */
void f4_settle_prepare(struct f4_settle *s, const struct f4_mount *mount, const char *subtype);

/*
 * f4_settle_wait - wait, after the unmount.
 * Return: 0; F4_SETTLE_E_*.
 */
int f4_settle_wait(const struct f4_settle *s, int timeout_ms, const sigset_t *wait_mask);

void f4_settle_done(struct f4_settle *s);

#endif
