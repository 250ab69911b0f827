/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket that the program was started with.
 *
 * One convention for both starters: descriptor 3 is a connected SOCK_SEQPACKET unix socket,
 * LISTEN_FDS=1 and LISTEN_PID name it (systemd's Accept=yes). A socket that was accepted from a
 * listening one has that one's name; an end of a helper's socketpair has none.
 */
#ifndef F4_SERVICE_ACCEPT_H
#define F4_SERVICE_ACCEPT_H

#include <stdbool.h>
#include <sys/types.h>

#define F4_ACCEPT_FD 3

struct f4_accept {
	bool spawned;   /* a helper's child, not a service manager's */
	uid_t peer_uid; /* who connected */
	gid_t peer_gid;
};

/*
 * f4_accept_check - is there such a socket? Takes the variables out of the environment.
 * @ret:     written on success; the socket is F4_ACCEPT_FD, owned by the caller
 * @ret_why: what is wrong, borrowed for ever
 * Return: 0, -EINVAL, or -errno of the socket calls.
 */
int f4_accept_check(struct f4_accept *ret, const char **ret_why);

#endif
