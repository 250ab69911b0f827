/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps of the seal, one file each; only seal.c calls them, in the order of its table.
 *
 * Each returns 0 or -errno; on failure it has put the reason into s->reason with f4_seal_fail().
 */
#ifndef F4_SERVICE_SEAL_STAGES_H
#define F4_SERVICE_SEAL_STAGES_H

#include <stdbool.h>

#include "server/service/seal.h"

/* f4_seal_fail - note why, with the words of @err (a negative errno). Return: @err. */
int f4_seal_fail(struct f4_seal *s, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* f4_seal_note - one more thing that is wanted but is not there. */
void f4_seal_note(struct f4_seal *s, const char *what);

/* seal_identity.c: an unprivileged user id of its own under root; capabilities kept for what follows. */
int f4_seal_identity(struct f4_seal *s);

/* seal_ns.c: own namespaces; the process goes on as a child. */
int f4_seal_namespaces(struct f4_seal *s);

/* seal_root.c: an empty read-only root; the old one is unreachable. */
int f4_seal_root(struct f4_seal *s);

/*
 * f4_seal_root_is_bare - has a service manager given a read-only root with no more in it than
 * programs need to start (libraries, /proc/self, the notify socket)? Landlock then takes away
 * what there is.
 */
bool f4_seal_root_is_bare(void);

/* seal_caps.c: no capability in any set, securebits locked, no new privileges. */
int f4_seal_caps(struct f4_seal *s);

/* seal_landlock.c: no path, no TCP, no signal to others, no abstract socket. */
int f4_seal_landlock(struct f4_seal *s);

/* seal_limits.c: what a process without rights can still exhaust. */
int f4_seal_limits_early(struct f4_seal *s);
int f4_seal_limits_late(struct f4_seal *s);

#endif
