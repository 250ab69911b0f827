/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A simulated disk: in memory, with a volatile cache, a memory of all that was done to it, and
 * failures on demand. For unit tests and the crash laboratory.
 *
 * Each write, flush and discard since f4_sim_record() is an event. A crash state is what the disk
 * may hold after the power failed at some event: everything before the last flush, what was
 * written with FUA, and any part of the rest, in pieces of 512 bytes. A child made by
 * f4_sim_crash() shares its parent's pages (copy on write): making one costs what differs. The
 * parent must outlive it and must not be written meanwhile.
 *
 * Calls from any thread are serialised.
 */
#ifndef F4_TESTS_DISK_SIM_H
#define F4_TESTS_DISK_SIM_H

#include "server/ext4/disk.h"

#define F4_SIM_SECTOR 512u

enum f4_sim_op {
	F4_SIM_READ = 1,
	F4_SIM_WRITE = 2,
	F4_SIM_FLUSH = 4,
	F4_SIM_FUA = 8,	    /* a write that is durable when it returns */
	F4_SIM_DISCARD = 16,
	F4_SIM_MARK = 32,   /* put there by the test: f4_sim_mark() */
};

struct f4_sim_event {
	enum f4_sim_op op;
	uint64_t pos;
	uint32_t len;
	uint32_t tag;	/* of a mark */
	uint8_t *data;	/* owned; NULL for flush, discard and mark */
};

/* f4_sim_new - zero filled, @size bytes. Return: the disk; f4_disk_free() frees it. Ends the program without memory. */
struct f4_disk *f4_sim_new(uint64_t size);

/* f4_sim_load - a disk with a file's content. NULL and a message when it can't be read. */
struct f4_disk *f4_sim_load(const char *path);

/* f4_sim_store - write the content to a file, sparse where it is zero. Return: 0 or -errno. */
int f4_sim_store(struct f4_disk *d, const char *path);

/* f4_sim_clone - a child with the same content (see above); nothing recorded, nothing failing. */
struct f4_disk *f4_sim_clone(struct f4_disk *d);

/* f4_sim_borrow - a disk that passes everything to @d; freeing it leaves @d alone. For who frees his disk. */
struct f4_disk *f4_sim_borrow(struct f4_disk *d);

/* f4_sim_same - do [@pos, @pos + @len) of both have the same content? */
bool f4_sim_same(struct f4_disk *a, struct f4_disk *b, uint64_t pos, uint64_t len);

/* --- recording --- */

/*
 * f4_sim_record - from here on. For crash states @d must be a fresh clone: its parent's content is
 * what was durable at the beginning.
 */
void f4_sim_record(struct f4_disk *d);
/* f4_sim_mark - an event of the test's own, to know what had happened before a crash. */
void f4_sim_mark(struct f4_disk *d, uint32_t tag);
const struct f4_sim_event *f4_sim_events(struct f4_disk *d, size_t *ret_n);

/*
 * f4_sim_delay - a fault: in the recording, let each plain write for which @late says so happen only
 * after the FUA write that follows it (file data written after its commit).
 */
void f4_sim_delay(struct f4_disk *d, bool (*late)(void *arg, uint64_t pos), void *arg);

/* --- crash states --- */

enum f4_sim_crash {
	F4_SIM_ALL,    /* every write so far reached the medium */
	F4_SIM_NONE,   /* none since the last flush, but FUA */
	F4_SIM_SUBSET, /* each write whole or not at all, by seed */
	F4_SIM_TORN,   /* each sector on its own, by seed */
	F4_SIM_TORN_LAST, /* all, but of the last write only some sectors */
};

/*
 * f4_sim_atomic - the sectors of [@pos, @pos + @len) reach the medium together or not at all, also in
 * torn writes. Set before f4_sim_walk_new.
 */
void f4_sim_atomic(struct f4_disk *d, uint64_t pos, uint64_t len);

/* A walk over the events, so that states in rising order are cheap. Holds the durable content. */
struct f4_sim_walk;
/* f4_sim_walk_new - at the beginning of the recording of @d, which must not be written meanwhile. */
struct f4_sim_walk *f4_sim_walk_new(struct f4_disk *d);
struct f4_sim_walk *f4_sim_walk_free(struct f4_sim_walk *w);
/*
 * f4_sim_crash - the disk after a crash right after event number @upto - 1 (so @upto events
 * happened); @upto never falls from call to call. The caller frees the disk before the next call.
 */
struct f4_disk *f4_sim_crash(struct f4_sim_walk *w, size_t upto, enum f4_sim_crash how,
			     uint64_t seed);

/* --- failures --- */

/*
 * f4_sim_fail - the @nth operation (1: the next) among the kinds in @ops fails with @error, and,
 * if @on_and_on, all of these kinds that follow. A failing write leaves its first half written.
 */
void f4_sim_fail(struct f4_disk *d, uint32_t ops, uint64_t nth, int error, bool on_and_on);
void f4_sim_fail_none(struct f4_disk *d);
/* f4_sim_count - operations of these kinds since the disk was made. */
uint64_t f4_sim_count(struct f4_disk *d, uint32_t ops);
/* f4_sim_failed - how many have been failed. */
uint64_t f4_sim_failed(struct f4_disk *d);

#endif
