/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The broker's main process: it accepts, counts by user, forks, and does nothing else.
 *
 *   main process ── forks ──► supervisor ── forks ──► server of the request (request.c)
 *                             waits 5 s, then         is alone with the peer's packet,
 *                             kills and answers       in a pid namespace, which ends with it
 *
 * The main process never reads a byte from a peer and never has a peer's descriptor. It doesn't even
 * close a connection that might have something in it: with the last copy of a socket go the
 * descriptors in its queue, and closing one of those can take as long as the peer likes (SO_LINGER).
 * So a connection is always left to a child, which has it alone when the main process has closed its
 * copy and goes on only then, and which ends without closing it: the kernel doesn't linger for a
 * process that ends. A connection that is refused goes to such a child as well, several together.
 *
 * Children end with their parent. A request that is not done then was never done.
 */
#ifndef F4_HELPER_ACCEPT_H
#define F4_HELPER_ACCEPT_H

#include "helper/policy.h"
#include "seccomp/filter.h"

/* Limits on one request. */
#define F4_ACCEPT_DEADLINE_MS 5000

/* Requests at a time, of all users. Those past their deadline that can't be killed don't count. */
#define F4_ACCEPT_LIVE_MAX 128u

#define F4_ACCEPT_NEVER (-1)

/*
 * f4_accept_run - serve connections.
 * @listen_fd: borrowed: a listening socket; made non-blocking
 * @filter:    borrowed: of f4_seccomp_request
 * @idle_ms:   return after so long without a request, or F4_ACCEPT_NEVER
 * Return: 0: idle for so long, or told to end by SIGTERM or SIGINT; -errno of the socket.
 * Context: once a process; takes over SIGCHLD, SIGTERM, SIGINT, SIGPIPE.
 */
int f4_accept_run(int listen_fd, const struct f4_policy *policy,
		  const struct f4_seccomp_built *filter, int idle_ms);

#endif
