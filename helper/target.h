/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mount point: named by the caller, opened once with the caller's rights as an O_PATH
 * descriptor, and from then on only that descriptor.
 */
#ifndef F4_HELPER_TARGET_H
#define F4_HELPER_TARGET_H

#include <stdbool.h>
#include <sys/stat.h>

#include "helper/fail.h"

struct f4_target {
	const char *name; /* borrowed: as the caller wrote it, what the server must ask for */
	int fd;		  /* owned, O_PATH */
	struct stat st;	  /* a directory or a regular file */
	char *path;	  /* owned: where it is, as the kernel says */
};

#define F4_TARGET_INIT { .fd = -1 }

/*
 * f4_target_init - open the mount point.
 * @subtype: whose dead mounts are cleared away: a mount of this type there whose server has died
 *           ("Transport endpoint is not connected") is detached first, where the caller may
 * @fake:    change nothing: a dead mount is only reported
 * Return: 0 or F4_FAILED. f4_target_done() it in both cases.
 */
int f4_target_init(struct f4_target *t, const char *name, const char *subtype, bool fake,
		   struct f4_fail *f);
void f4_target_done(struct f4_target *t);

/*
 * f4_target_is_dead - is @fd the root of a @subtype mount whose server is gone?
 * Asks the server under a deadline; one that is only slow is not dead.
 */
bool f4_target_is_dead(int fd, const char *subtype);

#endif
