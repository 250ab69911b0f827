/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FUSE over io_uring (Linux 6.14): requests and replies in memory that is shared with the kernel.
 *
 * The kernel keeps a queue for each possible CPU and puts a request into the queue of the CPU that
 * its caller runs on. A queue is served by entries: a pair of buffers (headers, payload), registered
 * by a command that completes when a request is in them; the reply's command brings the reply back
 * and completes with the next request. No entry of a queue must be missing before the kernel uses
 * the rings at all; from then on every request comes this way, but for FORGET and INTERRUPT, which
 * still have to be read from /dev/fuse.
 *
 * Each worker has an io_uring of its own with one entry for each queue that it serves, as a rule
 * one: so a worker that is busy (with an fsync, say) has no entry that the kernel could fill, and the
 * request goes to another worker of that CPU.
 *
 * What it may do. The ring is made and its one file, /dev/fuse, registered before the seal; then it
 * is restricted for good: the one operation is URING_CMD, only on registered files, and nothing can
 * be registered any more. So it can do nothing but FUSE, though it lies outside of the reach of
 * seccomp.
 *
 * Source: kernel fs/fuse/dev_uring.c, Documentation/filesystems/fuse/fuse-io-uring.rst;
 * io_uring_register(2).
 */
#ifndef F4_FUSE_TRANSPORT_RING_H
#define F4_FUSE_TRANSPORT_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct f4_ring;

/* Of a machine with more possible CPUs no ring is made: each costs address space at each worker. */
#define F4_RING_QUEUES_MAX 1024u

/* Which queues a worker serves. */
struct f4_ring_plan {
	uint32_t worker, workers; /* the how-manieth of how many that have a ring */
	uint32_t queues;	  /* possible CPUs */
	uint32_t online;	  /* CPUs 0 to online - 1 are there, 1..queues; the others may come */
};

/* One received request. */
struct f4_ring_request {
	uint8_t *in;	   /* header, operation's struct, payload: in one piece, 8-byte aligned */
	size_t len;
	uint8_t *payload;  /* page aligned, F4_TRANSPORT_MAX_IO bytes; a reply made here is not copied */
	bool has_payload;  /* @in reaches into @payload */
};

/*
 * f4_ring_count_queues - how many queues the kernel has: its possible CPUs.
 * Return: 1..F4_RING_QUEUES_MAX; 0: FUSE over io_uring is off or not there, the number can't be found
 * out, or it is larger.
 * Context: before the process loses /sys.
 */
uint32_t f4_ring_count_queues(void);

/* f4_ring_parse_cpus - the number of CPUs in a list as /sys writes it ("0-3", "0,2-5"). 0: none is one. */
uint32_t f4_ring_parse_cpus(const char *list);

/* f4_ring_serves - does this worker have an entry in queue @queue? Each queue has at least one. */
bool f4_ring_serves(const struct f4_ring_plan *plan, uint32_t queue);

/*
 * f4_ring_new - make and restrict a ring.
 * @fuse_fd: borrowed; registered in the ring, which keeps its own reference
 * Return: 0; -EINVAL (a plan without queues, a kernel without the needed kinds of ring); -EPERM
 * (kernel.io_uring_disabled); -ENOMEM; another negative errno of io_uring_setup(2) or
 * io_uring_register(2).
 * Context: the thread that will use it, no other may; before the seal.
 */
int f4_ring_new(int fuse_fd, const struct f4_ring_plan *plan, struct f4_ring **ret);
/* NULL allowed. Return: NULL. */
struct f4_ring *f4_ring_free(struct f4_ring *ring);

/* f4_ring_begin - register the entries. Return: 0 or a negative errno (the first that an entry got). */
int f4_ring_begin(struct f4_ring *ring);

/*
 * f4_ring_receive - submit what waits, and wait for a request. One that was not replied to is
 * answered EIO.
 * Return: 0; F4_TRANSPORT_E_AGAIN, F4_TRANSPORT_E_GONE; -EPROTO; a negative errno of an entry.
 */
int f4_ring_receive(struct f4_ring *ring, struct f4_ring_request *ret);

/* f4_ring_reply - to the request that was received last. Return: 0; -EMSGSIZE (EIO is replied). */
int f4_ring_reply(struct f4_ring *ring, const struct iovec *iov, int n);

/* f4_ring_flush - submit what waits. */
void f4_ring_flush(struct f4_ring *ring);

#endif
