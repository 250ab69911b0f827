/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the caller named: the image or device, or the journal's device.
 *
 * The name is resolved once, with the caller's rights, to an O_PATH descriptor; everything later,
 * the checks as well as what the server gets, goes through that descriptor, so that what was
 * looked at is what is opened. A descriptor that the caller has open already is named "fd:N" or
 * "/dev/fd/N".
 *
 * Nothing here reads a byte of the contents.
 */
#ifndef F4_HELPER_SOURCE_H
#define F4_HELPER_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "helper/fail.h"

/* fsconfig(2) takes strings of up to 255 bytes. */
#define F4_SOURCE_SHOWN_MAX 256u

struct f4_source {
	const char *name; /* borrowed: as the caller wrote it */
	int given_fd;	  /* borrowed: the caller's descriptor, or -1 when a path was named */
	int path_fd;	  /* owned, O_PATH */
	int claim_fd;	  /* owned: the exclusive claim on a block device, or -1 */
	struct stat st;	  /* a regular file or a block device */
	char *path;	  /* owned: where it is, as the kernel says; for messages */
	char shown[F4_SOURCE_SHOWN_MAX]; /* what the mount table is to say */
};

#define F4_SOURCE_INIT { .given_fd = -1, .path_fd = -1, .claim_fd = -1 }

/*
 * f4_source_init - find what @name means.
 * Call it before this process opens anything else, so that fd:N can't name a descriptor of ours.
 *
 * @s->shown becomes the path if that leads back to the same file. A block device has its node's
 * path; anything else never begins with "/dev/", since a service manager would take it for a
 * device, find it missing and unmount. What can't be reached by its path any more, or would be too
 * long, is shown behind "fuse4fs:".
 *
 * Return: 0 or F4_FAILED. f4_source_done() it in both cases.
 */
int f4_source_init(struct f4_source *s, const char *name, struct f4_fail *f);
void f4_source_done(struct f4_source *s);

bool f4_source_is_block(const struct f4_source *s);

/*
 * f4_source_open - open it for the server, with the caller's rights.
 * @flags: O_RDONLY or O_RDWR, with O_EXCL, O_DIRECT, O_SYNC, O_DSYNC as wanted; close-on-exec is
 *         added. A caller's descriptor that can't be opened anew is duplicated where it allows the
 *         access, without the other flags.
 * Return: the descriptor, owned by the caller, or -errno.
 */
int f4_source_open(const struct f4_source *s, int flags);

/*
 * f4_source_claim - hold a block device exclusively (O_EXCL), so that nobody mounts it meanwhile.
 * f4_source_unclaim - give it back; harmless when it was not claimed.
 * Return: 0; -EBUSY and other errors of open(2); 0 when it is no block device.
 */
int f4_source_claim(struct f4_source *s);
void f4_source_unclaim(struct f4_source *s);

#endif
