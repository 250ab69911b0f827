/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asking the attach broker: what a helper does that may not mount by itself.
 *
 * One connection for each request. A broker that is busy for the moment (rule "rate", or no answer
 * at all) is asked again for a few seconds.
 *
 * Logging: attempts (debug). What the broker says about a refusal goes to struct f4_fail.
 */
#ifndef F4_HELPER_BROKER_H
#define F4_HELPER_BROKER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "helper/fail.h"

struct f4_broker_mount {
	int fuse_fd;	    /* borrowed: /dev/fuse */
	int target_fd;	    /* borrowed: the mount point, O_PATH */
	int source_fd;	    /* borrowed: the source, which may prove its name; or -1 */
	const char *source; /* what the mount table is to show */
	const char *target; /* for messages */
	uint32_t ms_flags;  /* MS_*: those that the protocol has a flag for count */
	bool allow_other, default_permissions;
	uint32_t max_read; /* bytes; 0: not set */
};

/* Positive results besides F4_FAILED. */
enum {
	F4_BROKER_E_NONE = 2, /* nobody listens, or not to this user */
};

/*
 * f4_broker_attach - have a filesystem made and put in its place.
 * @wait_mask: as in ppoll(2); NULL: no signal ends the wait
 * Return: 0; F4_FAILED, with the broker's reason in *@f; F4_BROKER_E_NONE, and *@f is untouched.
 */
int f4_broker_attach(const struct f4_broker_mount *m, const sigset_t *wait_mask,
		     struct f4_fail *f);

/*
 * f4_broker_detach - have a mount of the caller's unmounted.
 * @path: absolute, of the mount point; not "/"
 * Return: as f4_broker_attach(); with F4_FAILED, @f->error is EBUSY where it is in use.
 */
int f4_broker_detach(const char *path, bool lazy, const sigset_t *wait_mask, struct f4_fail *f);

/* f4_broker_path - where the broker listens: for messages. */
const char *f4_broker_path(void);

#endif
