/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Acting as the peer: a process that is the peer in every id, does one thing, and ends.
 *
 * The broker asks the kernel what its peer may do by being the peer, not by working it out: so ACLs,
 * groups, read-only mounts, security modules and the like count without our knowing of them. All ids
 * are switched, not only those for files: a FUSE mount of the peer's lets in only a process whose
 * real, effective and saved ids are the peer's. The switch is never undone.
 *
 * The peer can send signals to such a process, and thereby spoil its own request; it can't trace it
 * (not dumpable) and so can't make it say anything. This program can't signal it any more, as it has
 * no CAP_KILL; not even PR_SET_PDEATHSIG reaches it. So its parent is the first process of a pid
 * namespace, and whatever is in there ends with that, whoever it is and whatever it waits for.
 */
#ifndef F4_HELPER_BECOME_H
#define F4_HELPER_BECOME_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/chan.h"

enum f4_become_caps {
	F4_BECOME_PLAIN,      /* no capability is left: for finding out */
	F4_BECOME_MAY_UNMOUNT /* CAP_SYS_ADMIN stays: for umount2(2) on a path that the peer may walk */
};

/*
 * f4_become_run - run @call in a child that is @peer.
 * @peer:   borrowed; its uid is not 0
 * @call:   fills in @size bytes at @result, which are copied to the caller's; has all descriptors of
 *          this process
 * @result: @size bytes; at most PIPE_BUF; contents are passed to @call
 * Return: 0; -EPROTO when the child ended without a result (also: could not become the peer);
 * -errno of pipe2(2), fork(2), read(2).
 * Context: the first process of a pid namespace. Waits for the child without limit: the caller is
 * itself killed at a deadline.
 */
int f4_become_run(const struct f4_peer *peer, enum f4_become_caps caps,
		  void (*call)(void *arg, void *result), void *arg, void *result, size_t size);

#endif
