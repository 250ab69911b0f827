/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How requests come in and replies go out: today read(2) and writev(2) on /dev/fuse.
 *
 * The only code that touches the descriptor once a session runs. Everything above sees a request as
 * bytes in a worker's buffer and a reply as an iovec, so another transport (rings shared with the
 * kernel) replaces this file alone. Each worker thread has a struct f4_transport of its own.
 *
 * The receive buffer is placed so that the payload of a WRITE, which follows its two headers, begins
 * on a page: it can then go to a device that wants aligned memory.
 */
#ifndef F4_FUSE_TRANSPORT_H
#define F4_FUSE_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* The most that one READ or WRITE carries, bytes: 256 pages of 4 KiB are the kernel's limit. */
#define F4_TRANSPORT_MAX_IO (1u << 20)

struct f4_transport {
	int fd;		  /* borrowed from the session */
	uint8_t *map;	  /* owned: both buffers, one mapping */
	size_t map_len;
	uint8_t *in;	  /* in @map: where a request is received */
	size_t in_len;
	uint8_t *out;	  /* in @map: page aligned, F4_TRANSPORT_MAX_IO bytes for a reply's payload */
};

/* Positive results of f4_transport_receive(). */
enum {
	F4_TRANSPORT_E_AGAIN = 1,   /* nothing now (a signal, a request taken back): call again */
	F4_TRANSPORT_E_UNMOUNTED,   /* the descriptor is not mounted yet */
	F4_TRANSPORT_E_GONE,	    /* unmounted or aborted: there will never be another request */
};

/* f4_transport_init - buffers for one worker; untouched pages cost nothing. Return: 0, -ENOMEM. */
int f4_transport_init(struct f4_transport *t, int fd);
void f4_transport_done(struct f4_transport *t);

/*
 * f4_transport_receive - wait for one request.
 * @ret_len: bytes at t->in, at least a header
 * Return: 0; F4_TRANSPORT_E_*; a negative errno of read(2).
 */
int f4_transport_receive(struct f4_transport *t, size_t *ret_len);

/*
 * f4_transport_send - one whole reply or notification.
 * Return: 0; -ENOENT (the request was interrupted: the kernel took no notice of the reply, what it
 * would have counted it did not count); another negative errno of writev(2). Any thread.
 */
int f4_transport_send(int fd, const struct iovec *iov, int n);

#endif
