/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The FUSE session: worker threads that read requests from /dev/fuse, call the core, reply.
 *
 * Made before the seal (descriptor, libfuse session, buffers, threads); given a volume and let loose
 * after it. Threads block until f4_session_serve opens the gate.
 */
#ifndef F4_FUSE_SESSION_H
#define F4_FUSE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/idmap.h"

struct f4_session;
struct f4_volume;

enum f4_session_transport {
	F4_SESSION_AUTO = 0, /* a ring where the kernel offers it */
	F4_SESSION_DEVICE,   /* /dev/fuse */
	F4_SESSION_RING,     /* as auto, but its absence is worth a notice */
};

struct f4_session_config {
	int fuse_fd;		/* consumed; an open /dev/fuse, may not be mounted yet */
	uint32_t threads;	/* 0: a default from the number of CPUs */
	enum f4_session_transport transport;
	uint32_t ring_queues;	/* f4_session_count_queues(); 0: no rings */
	bool writeback_cache;
	bool default_permissions; /* what the mount was given; false under fakeroot */
	uint32_t owner_uid;	/* who mounted: may use the private ioctls besides uid 0 */
	bool fakeroot;		/* whoever is let in by the kernel, the owner alone, is root in here */
	bool allow_root;	/* the kernel lets all in, and we only the owner and uid 0 */
	bool allow_idmap;	/* the mount may get an id map of the kernel's */
	struct f4_idmap idmap;	/* owner shift */
	bool read_only;
	bool debug;
	bool strict_open;	/* each open of a file is a request: f4_fuse_open has the reasons */
	bool strict_atime;	/* each open drops what is cached, so that each reader is seen; implies the former */
	void (*remounted)(void *arg); /* after a remount, in the thread of the request; NULL: nobody asks */
	void *remounted_arg;	      /* borrowed */
};

/*
 * f4_session_count_queues - for the config: how many queues FUSE over io_uring has; 0: the kernel
 * does not offer it. Context: before the process loses /sys.
 */
uint32_t f4_session_count_queues(void);

/* f4_session_has_rings - have all threads made theirs? Once they are started. */
bool f4_session_has_rings(struct f4_session *s);

/* f4_session_new - before the seal. Return: 0; -ENOMEM; -EINVAL. */
int f4_session_new(const struct f4_session_config *config, struct f4_session **ret);

/*
 * f4_session_start_threads - before the seal, after namespaces and capabilities are gone. On return
 * every thread waits at the gate: the start of a thread makes calls that the seal does not allow.
 * Return: 0 or -errno.
 */
int f4_session_start_threads(struct f4_session *s);

/*
 * f4_session_open_gate - after the seal, before the helper mounts (DOIT): from now on the threads
 * answer INIT and everything else from @vol (borrowed until f4_session_wait returned).
 */
void f4_session_open_gate(struct f4_session *s, struct f4_volume *vol);

/*
 * f4_session_wait_mounted - until the kernel's INIT was answered: the filesystem exists.
 * @limit_s: seconds
 * Return: 0; -ETIMEDOUT: nobody has mounted it; -ENOTCONN: it was ended meanwhile.
 */
int f4_session_wait_mounted(struct f4_session *s, uint32_t limit_s);

/*
 * f4_session_wait - until DESTROY was received or the connection is gone (unmounted, aborted).
 * @ret_clean: true for DESTROY. The threads have stopped; the volume may be closed.
 */
int f4_session_wait(struct f4_session *s, bool *ret_clean);

/*
 * f4_session_oldest_request_s - how long, in seconds, the request that has been running longest takes
 * so far; 0: none runs, or for less than a second. Any thread, while the session exists.
 */
uint64_t f4_session_oldest_request_s(struct f4_session *s);

/* f4_session_reply_destroy - for fuseblk: DESTROY is answered only after the volume is closed. */
void f4_session_reply_destroy(struct f4_session *s);

/* f4_session_stop - make f4_session_wait return (the mount failed). Any thread; not from a signal handler. */
void f4_session_stop(struct f4_session *s);

/*
 * f4_session_free - also closes the descriptor. Workers that still sleep in a read (somebody else
 * keeps the connection alive) are given two seconds, then they and the struct are left to the end
 * of the process. NULL allowed. Return: NULL.
 */
struct f4_session *f4_session_free(struct f4_session *s);

/* How many requests of each kind were received, by opcode of <linux/fuse.h>; for bench and tests. */
#define F4_SESSION_OPCODES 64u
void f4_session_requests(const struct f4_session *s, uint64_t ret[F4_SESSION_OPCODES]);

#endif
