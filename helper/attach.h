/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making the mount: a FUSE filesystem for a /dev/fuse descriptor, put onto a mount point that is
 * open already. No path is resolved for it.
 *
 * Two steps with a look in between, so that nobody ever sees a mount that does not answer:
 *   f4_attach_create()  when the server asks for the mount: the filesystem exists, detached;
 *   f4_attach_answers() when the server has said that it is done: does the filesystem answer?
 *   f4_attach_place()   now it gets its place.
 * Whatever goes wrong before the last step, f4_attach_done() closes the detached mount, and with
 * it the kernel ends the FUSE connection: nothing is left behind.
 *
 * How: this process itself, by the mount descriptors of Linux 5.2, as root or as root of a user
 * namespace. Where it may not, f4_attach_create() asks the attach broker (broker.h), which creates
 * and places in one request: then the mount is there before it answers, and f4_attach_done() has it
 * detached unless f4_attach_place() has said that it is to stay.
 */
#ifndef F4_HELPER_ATTACH_H
#define F4_HELPER_ATTACH_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "helper/fail.h"
#include "helper/target.h"
#include "protocol/opts.h"

enum f4_attach_how {
	F4_ATTACH_NONE = 0, /* nothing is made */
	F4_ATTACH_DETACHED, /* made, and held by mount_fd alone */
	F4_ATTACH_PLACED,   /* at its place */
};

/* What the mount is to be. All decided by the helper; the server may have narrowed it. */
struct f4_attach_request {
	const char *subtype; /* the type becomes fuse.SUBTYPE or fuseblk.SUBTYPE */
	const char *source;  /* at most 255 bytes */
	bool fuseblk;
	int fuse_fd; /* borrowed: /dev/fuse */
	const struct f4_target *target; /* borrowed: for the broker; NULL: don't ask it */
	int source_fd; /* borrowed, or -1: for the broker, to prove @source */
	uint32_t ms_flags;
	uid_t uid;
	gid_t gid;
	mode_t rootmode; /* S_IFDIR or S_IFREG */
	bool allow_other, default_permissions;
	uint32_t max_read;   /* bytes; 0: not set */
	uint32_t block_size; /* bytes, fuseblk only; 0: not set */
	const struct f4_opts *opts; /* borrowed: LSM contexts */
	bool only_new; /* not a filesystem that exists already; with kernels before 6.6 up to the caller */
};

struct f4_attach {
	enum f4_attach_how how;
	int mount_fd; /* owned; -1: none */
	char *undo;   /* owned: the path of what the broker has placed, until it is to stay; or NULL */
};

#define F4_ATTACH_INIT { .how = F4_ATTACH_NONE, .mount_fd = -1 }

/* No child for the kernel's part: this process may hang in it, and somebody else ends it then. */
#define F4_ATTACH_NO_CHILD 0

/*
 * f4_attach_create - make the filesystem.
 * @before_create: NULL, or called right before the kernel takes the source (gives a device's claim
 *                 back: fuseblk claims it itself)
 * @timeout_ms:    limit for the kernel's part, which waits for the server where that wants INIT to
 *                 be synchronous; or F4_ATTACH_NO_CHILD
 * @wait_mask:     as in ppoll(2): a signal let through ends the wait
 * Return: 0 or F4_FAILED; @f->error is EBUSY when the device is in use, EPERM when this process may
 * not mount.
 */
int f4_attach_create(struct f4_attach *a, const struct f4_attach_request *r,
		     void (*before_create)(void *arg), void *arg, int timeout_ms,
		     const sigset_t *wait_mask, struct f4_fail *f);

/* f4_attach_answers - wait until the filesystem has answered once. Return: 0 or F4_FAILED. */
int f4_attach_answers(const struct f4_attach *a, int timeout_ms, const sigset_t *wait_mask,
		      struct f4_fail *f);

/* f4_attach_place - put it onto the mount point, to stay. Return: 0 or F4_FAILED. */
int f4_attach_place(struct f4_attach *a, const struct f4_target *t, struct f4_fail *f);

/* f4_attach_done - let go; a filesystem that has no place ends. */
void f4_attach_done(struct f4_attach *a);

#endif
