/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How requests come in and replies go out: read(2) and writev(2) on /dev/fuse, or a ring shared with
 * the kernel (transport_ring.h).
 *
 * The only code that touches the descriptor once a session runs. Everything above sees a request as
 * bytes in one piece and a reply as an iovec. Each worker thread has a struct f4_transport of its own
 * and is the only one that receives and replies with it.
 *
 * A request lies in memory so that the payload of a WRITE, which follows its two headers, begins
 * on a page: it can then go to a device that wants aligned memory.
 */
#ifndef F4_FUSE_TRANSPORT_H
#define F4_FUSE_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* The most that one READ or WRITE carries, bytes: 256 pages of 4 KiB are the kernel's limit. */
#define F4_TRANSPORT_MAX_IO (1u << 20)

struct f4_ring;
struct f4_ring_plan;

struct f4_transport {
	int fd;		  /* borrowed from the session */
	uint8_t *map;	  /* owned: both buffers, one mapping */
	size_t map_len;
	uint8_t *device_in; /* in @map: where read(2) puts a request */
	size_t device_in_len;
	uint8_t *device_out; /* in @map */
	struct f4_ring *ring; /* owned; NULL: this worker reads /dev/fuse */
	bool on_ring;	      /* the ring has begun: it is where requests come from */

	/* Of the request that was received last. */
	uint8_t *in;  /* the request, from its header on */
	uint8_t *out; /* page aligned, F4_TRANSPORT_MAX_IO bytes for a reply's payload; apart from @in */
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
 * f4_transport_make_ring - a ring for this worker, which stays idle until it begins.
 * @plan: what it is to serve
 * Return: 0; a negative errno of f4_ring_new(): the worker reads /dev/fuse as before.
 * Context: the thread that will receive; before the seal.
 */
int f4_transport_make_ring(struct f4_transport *t, const struct f4_ring_plan *plan);

/*
 * f4_transport_begin_ring - from now on requests come by the ring. After INIT was answered.
 * Return: 0; a negative errno: the kernel does not want it, the ring is gone and the worker reads
 * /dev/fuse. Context: the thread that receives.
 */
int f4_transport_begin_ring(struct f4_transport *t);

/* f4_transport_drop_ring - it will not be used; frees it. */
void f4_transport_drop_ring(struct f4_transport *t);

/*
 * f4_transport_receive - wait for one request; what was replied before goes out first.
 * @ret_len: bytes at t->in, at least a header
 * Return: 0; F4_TRANSPORT_E_*; a negative errno.
 */
int f4_transport_receive(struct f4_transport *t, size_t *ret_len);

/*
 * f4_transport_reply - one whole reply, @iov[0] its header. On a ring it answers the request that was
 * received last and leaves with the next receive or flush; a piece that lies in t->out is the only
 * one behind the header.
 * Return: 0; -ENOENT (the request was interrupted: the kernel took no notice of the reply, what it
 * would have counted it did not count); another negative errno.
 * Context: the thread that receives.
 */
int f4_transport_reply(struct f4_transport *t, const struct iovec *iov, int n);

/* f4_transport_flush - a reply that waits goes out now: before long work, and when there is no next receive. */
void f4_transport_flush(struct f4_transport *t);

/*
 * f4_transport_notify - one whole message that answers no request, or a reply to one that was read
 * from /dev/fuse. Return: as f4_transport_reply. Any thread.
 */
int f4_transport_notify(int fd, const struct iovec *iov, int n);

#endif
