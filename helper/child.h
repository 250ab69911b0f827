/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls that may never return, made in a child under a deadline.
 *
 * A FUSE filesystem whose server does not answer can hold a process in fsconfig(2), statx(2) or
 * ioctl(2) beyond every signal but SIGKILL. The helper therefore lets a child make such a call, and
 * kills the child, not itself, when the deadline is over.
 */
#ifndef F4_HELPER_CHILD_H
#define F4_HELPER_CHILD_H

#include <signal.h>
#include <sys/types.h>

/* Positive results. */
enum f4_child_error {
	F4_CHILD_E_TIMEOUT = 1,	 /* killed at the deadline */
	F4_CHILD_E_INTERRUPTED,	 /* killed because a signal came that @wait_mask lets through */
	F4_CHILD_E_DIED,	 /* ended by a signal of its own, or with no result of the call */
};

/*
 * f4_child_call - run @call(@arg) in a child of its own.
 * @call:       returns 0 or a positive errno below 256; has this process's descriptors, may not
 *              return anything else to it
 * @timeout_ms: > 0
 * @wait_mask:  as in ppoll(2); NULL: no signal ends the wait
 *
 * Return: 0; F4_CHILD_E_*; the negated errno of @call; -errno of fork(2), pidfd_open(2).
 */
int f4_child_call(int (*call)(void *arg), void *arg, int timeout_ms, const sigset_t *wait_mask);

/*
 * f4_pidfd_open - a descriptor of process @pid, close-on-exec. Return: it or -errno.
 * f4_pidfd_kill - SIGKILL to it. Return: 0 or -errno.
 * f4_pidfd_wait - wait until the process of @pidfd has ended (it need not be a child).
 * Return: 0; F4_CHILD_E_TIMEOUT, F4_CHILD_E_INTERRUPTED; -errno of ppoll(2).
 */
int f4_pidfd_open(pid_t pid);
int f4_pidfd_kill(int pidfd);
int f4_pidfd_wait(int pidfd, int timeout_ms, const sigset_t *wait_mask);

/* f4_now_ms - the monotonic clock, in milliseconds. */
long long f4_now_ms(void);

#endif
