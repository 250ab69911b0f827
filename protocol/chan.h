/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one channel: packets and descriptors over a connected AF_UNIX SOCK_SEQPACKET socket.
 *
 * Every check on what a socket may deliver is made here, once: whole packets only, whole control
 * data only, the number of descriptors that the message carries and not one more, close-on-exec
 * from birth, a time limit on each wait. Descriptors that come where none, or another number, is
 * awaited are closed and the packet is refused. What a descriptor *is* stays unproven: ask
 * f4_fd_expect().
 *
 * Two modes. Normal: sendmsg(2), recvmsg(2). Plain (f4_chan_set_plain): read(2), write(2) and
 * ppoll(2) alone, for a server behind its seal, whose list of calls has nothing else; no
 * descriptor can be sent then and the kernel discards any that is received. write(2) has no
 * MSG_NOSIGNAL: who uses plain mode ignores SIGPIPE first (Linux raises it for stream sockets
 * alone, as tried on 6.18, but nothing promises that).
 *
 * After any positive code of recv the peer has broken the protocol, is gone or is too slow: end
 * the conversation (f4_chan_done).
 *
 * Non-logging. One thread at a time for each channel.
 */
#ifndef F4_PROTOCOL_CHAN_H
#define F4_PROTOCOL_CHAN_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "protocol/msg.h"

enum f4_chan_error {
	F4_CHAN_E_EOF = F4_MSG_E_MAX + 1, /* the peer has closed (an empty packet counts as that) */
	F4_CHAN_E_TIMEOUT,		  /* the time limit is over */
	F4_CHAN_E_TRUNC,		  /* packet longer than the buffer or the protocol's limit */
	F4_CHAN_E_CTRUNC,		  /* more descriptors than awaited, or one was withheld
					     (by a security module, or by this process's limits) */
	F4_CHAN_E_FDS,			  /* number of descriptors other than the message's */
	F4_CHAN_E_CONTROL,		  /* control data that is not SCM_RIGHTS */
	F4_CHAN_E_MAX
};

#define F4_CHAN_FOREVER (-1)

struct f4_chan {
	int fd;			   /* owned; -1 = done */
	bool plain;
	const sigset_t *wait_mask; /* borrowed or NULL. Set: the signal mask while waiting, as in
				      ppoll(2), and a signal that comes in ends the call with
				      -EINTR. NULL: signals do not end the call. */
	unsigned char *in;	   /* owned; what f4_chan_recv_msg() receives into */
	unsigned char *out;	   /* the second part of the same allocation, for sending */
};

#define F4_CHAN_INIT { .fd = -1 }

/* Descriptors that came with a packet. Each is owned, close-on-exec, and of unproven kind. */
struct f4_chan_fds {
	unsigned int n;
	int fd[F4_WIRE_FDS_MAX];
};

/* f4_chan_fds_done - close what is left in @fds (entries taken with f4_take_fd are -1). */
void f4_chan_fds_done(struct f4_chan_fds *fds);

/*
 * f4_chan_init - make a channel of a connected socket.
 * @ch: written whatever happens; f4_chan_done() it
 * @fd: consumed, also on failure. Made close-on-exec and non-blocking.
 * Return: 0; -ENOTSOCK, -EPROTOTYPE (not AF_UNIX SOCK_SEQPACKET), -ENOBUFS (its send buffer cannot
 * be made to hold an OPEN of the longest path), -ENOMEM, another -errno of the socket calls.
 */
int f4_chan_init(struct f4_chan *ch, int fd);

/*
 * f4_chan_connect - connect to the listening socket @path, with the caller's rights.
 * @timeout_ms: how long to wait for room in the listener's queue; > 0
 * Return: 0; F4_CHAN_E_TIMEOUT; -ENOENT, -ECONNREFUSED (nobody listens), -EACCES, -ENAMETOOLONG
 * (@path does not fit a socket address), as f4_chan_init().
 */
int f4_chan_connect(struct f4_chan *ch, const char *path, int timeout_ms);

/* f4_chan_done - close and free; harmless twice and on F4_CHAN_INIT. Keeps errno. */
void f4_chan_done(struct f4_chan *ch);

/*
 * f4_chan_refuse_fds - from now on no descriptor is awaited: let the kernel refuse them (the
 * sender gets EPERM). Where the kernel cannot (before 6.16) receiving still refuses them.
 * Return: 0 or -errno.
 */
int f4_chan_refuse_fds(struct f4_chan *ch);

/* f4_chan_set_plain - plain mode from now on; see the top. The caller ignores SIGPIPE. */
void f4_chan_set_plain(struct f4_chan *ch);

/*
 * f4_chan_send - send one packet.
 * @len:   1 to F4_WIRE_PACKET_MAX bytes
 * @fds:   borrowed; @nfds at most F4_WIRE_FDS_MAX, 0 in plain mode
 * @timeout_ms: limit for the whole call, or F4_CHAN_FOREVER
 * Return: 0; F4_CHAN_E_EOF (a last packet of the peer's may still be there to receive),
 * F4_CHAN_E_TIMEOUT; -EPERM (the peer takes no descriptors), -EINTR, -EMSGSIZE, another -errno of
 * sendmsg(2).
 */
int f4_chan_send(struct f4_chan *ch, const void *bytes, size_t len, const int *fds,
		 unsigned int nfds, int timeout_ms);

/*
 * f4_chan_recv - receive one packet.
 * @buf:     @size bytes, at least 1; a longer packet is F4_CHAN_E_TRUNC, and in plain mode also
 *           one that just fills it
 * @max_fds: descriptors there is room for, at most F4_WIRE_FDS_MAX; 0 in plain mode
 * @ret_fds: what came, 0 to @max_fds of them; may be NULL when @max_fds is 0; written (as empty)
 *           also on failure
 * @ret_len: bytes of the packet, at least 1
 * Return: 0; F4_CHAN_E_*; -EINTR; another -errno of recvmsg(2).
 */
int f4_chan_recv(struct f4_chan *ch, void *buf, size_t size, unsigned int max_fds,
		 struct f4_chan_fds *ret_fds, size_t *ret_len, int timeout_ms);

/*
 * f4_chan_send_msg - encode and send.
 * @m:   its text may point into the message received last
 * @fds: borrowed; exactly f4_msg_fds(@m) of them, NULL when that is 0
 * Return: as f4_chan_send() and f4_msg_encode().
 */
int f4_chan_send_msg(struct f4_chan *ch, const struct f4_msg *m, const int *fds, int timeout_ms);

/*
 * f4_chan_recv_msg - receive and decode.
 * @max_fds: what this end is ready to take now: 0 for a helper, 1 for a server, 3 for a broker;
 *           0 in plain mode
 * @ret_fds: the descriptors that the message carries, exactly f4_msg_fds() of them; owned by the
 *           caller, empty on failure; may be NULL when @max_fds is 0
 * @ret:     its text stays valid until the next receive or f4_chan_done()
 * Return: 0; F4_MSG_E_*, F4_CHAN_E_*; -errno as f4_chan_recv().
 */
int f4_chan_recv_msg(struct f4_chan *ch, struct f4_msg *ret, unsigned int max_fds,
		     struct f4_chan_fds *ret_fds, int timeout_ms);

/* f4_chan_strerror - words for any result of this module: F4_CHAN_E_*, F4_MSG_E_*, -errno. */
const char *f4_chan_strerror(int e);

/* Who connected, as the kernel noted it at connect(2) or socketpair(2). */
struct f4_peer {
	uid_t uid;
	gid_t gid;
	pid_t pid; /* for log lines only: pids are reused, decide nothing by it */
	gid_t *groups; /* owned; supplementary */
	size_t ngroups;
};

/*
 * f4_peer_get - credentials of the peer of @fd (borrowed).
 * Return: 0; -ENOMEM; -errno of getsockopt(2), after which *@ret is empty. f4_peer_done() it.
 */
int f4_peer_get(int fd, struct f4_peer *ret);
void f4_peer_done(struct f4_peer *p);

#endif
