/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The broker's own seal: three capabilities, no more processes of other kinds, no way to get any
 * right back.
 *
 * It stays in the mount namespace that it was started in, since move_mount(2) reaches no other; so
 * its wall is made of capabilities and system calls, not of a root of its own.
 */
#ifndef F4_HELPER_SEAL_H
#define F4_HELPER_SEAL_H

/*
 * f4_seal_broker - give up all but CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID; limit what may be
 * allocated; install the filter of system calls.
 * @ret_what: what failed, in words; written on failure
 * Return: 0 or -errno: -EPERM where one of the three is missing, or another can't be given up.
 * Context: single-threaded; all descriptors are closed but stdio and @listen_fd.
 */
int f4_seal_broker(int listen_fd, const char **ret_what);

#endif
