/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One request of the attach protocol, from its packet to its answer, in a process that serves
 * nobody else.
 *
 * Before a byte of the peer's is read, the process takes all it needs from the system (who the peer
 * is, fuse.conf, the mount table) and shuts itself off from the rest: its filter of system calls
 * opens no file but by O_PATH.
 *
 * Logging: one line for each request.
 */
#ifndef F4_HELPER_REQUEST_H
#define F4_HELPER_REQUEST_H

#include <stdatomic.h>

#include "helper/policy.h"
#include "seccomp/filter.h"

/*
 * What decides between a request that is done and one whose deadline is over: whoever changes it
 * from F4_GATE_OPEN first. In memory that the server of the request and its supervisor share.
 */
enum { F4_GATE_OPEN, F4_GATE_PASSED, F4_GATE_SHUT };

struct f4_request_gate {
	atomic_int state;
};

/*
 * f4_request_serve - serve the one request of the connection @fd.
 * @fd:     consumed
 * @policy: borrowed; its .fuse is read anew from fuse.conf
 * @filter: borrowed: of f4_seccomp_request
 * @gate:   borrowed; passed right before the mount or unmount, which is left undone if it is shut
 * Return: 0 when an answer was sent, or the peer left or kept silent; else -errno, and nothing has
 * been answered. Either way the process must now end by _exit(2), which closes what the peer sent:
 * close(2) can wait for the peer's filesystem, the end of a process does not.
 */
int f4_request_serve(int fd, const struct f4_policy *policy,
		     const struct f4_seccomp_built *filter, struct f4_request_gate *gate);

/* f4_request_refuse - answer @fd (consumed, see above) without reading what is asked. */
void f4_request_refuse(int fd, const struct f4_verdict *v);

#endif
