/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The image or device, and an external journal's device: asked from the helper, proven to be what
 * they should be, locked. Nothing of their contents is read here.
 */
#ifndef F4_SERVICE_SOURCE_H
#define F4_SERVICE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/service/dialog.h"

struct f4_source_request {
	const char *path;    /* as the caller named it */
	bool read_only;
	bool direct;	     /* O_DIRECT */
	bool may_be_fuseblk; /* a block device may be left to the kernel to claim */
	int proc_locks;	     /* borrowed; lock.h */
};

struct f4_source_file {
	int fd; /* owned; -1 */
	bool is_block;
	bool fuseblk; /* not claimed by us: the mount has to be fuseblk, or nothing protects it */
};

#define F4_SOURCE_FILE_INIT { .fd = -1 }

/* Why there is no source: what whoever mounts is told. */
struct f4_source_failure {
	int error; /* positive errno or 0 */
	char text[512];
};

enum { F4_SOURCE_E_FAILED = F4_DIALOG_E_BROKEN + 1 };

/*
 * f4_source_get - ask, prove, lock.
 * @ret: written on success; f4_source_file_done() it
 * Return: 0; F4_SOURCE_E_FAILED with @fail; F4_DIALOG_E_BROKEN.
 * Context: before the seal, in the process that will serve (the lock is its).
 */
int f4_source_get(struct f4_dialog *d, const struct f4_source_request *req,
		  struct f4_source_file *ret, struct f4_source_failure *fail);

void f4_source_file_done(struct f4_source_file *s);

#endif
