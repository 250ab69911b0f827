/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another mount namespace (mount -N): the mount point is looked up, and the mount put in place,
 * there; source, socket and server stay in the caller's.
 */
#ifndef F4_HELPER_NS_H
#define F4_HELPER_NS_H

#include "helper/fail.h"

struct f4_ns {
	const char *name;	    /* borrowed; NULL: no other namespace was asked for */
	int target_fd;		    /* owned, or -1 */
	int origin_fd, origin_cwd;  /* owned, or -1 */
};

#define F4_NS_INIT { NULL, -1, -1, -1 }

/*
 * f4_ns_init - @name: a process id, the path of a namespace file, or NULL for none.
 * Return: 0 or F4_FAILED. f4_ns_done() it in both cases.
 */
int f4_ns_init(struct f4_ns *ns, const char *name, struct f4_fail *f);
void f4_ns_done(struct f4_ns *ns);

/*
 * f4_ns_enter - go there; f4_ns_leave - come back, to the working directory from before.
 * Both do nothing where no other namespace was asked for. Return: 0 or F4_FAILED.
 */
int f4_ns_enter(const struct f4_ns *ns, struct f4_fail *f);
int f4_ns_leave(const struct f4_ns *ns, struct f4_fail *f);

#endif
