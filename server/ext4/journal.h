/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transactions: how metadata changes. JBD2 on disk (jbd2.h), our own machine in memory.
 *
 * A *handle* is one atomic piece of work, usually one request: all of its changes reach the disk
 * or none. Handles join the *running* transaction. Commit: no new handle starts, the open ones
 * end, all buffers of the transaction are copied and sealed (checksums), handles start again in a
 * new running transaction while the copy goes to the log: descriptor, data and revoke blocks,
 * flush, commit block (FUA or flush). *Checkpoint* later writes the blocks home, sorted and merged,
 * and moves the tail of the log. A buffer that is part of the running transaction is never written
 * home; checkpoint commits that transaction first.
 *
 * Without a journal (ext2, has_journal off) the same machine runs with no log: commit writes the
 * blocks home and flushes. Callers see no difference but atomicity.
 *
 * Rules for callers:
 * - Take inode locks before f4_txn_begin, never inside a handle (a handle that sleeps on a lock
 *   whose owner waits to begin would never end). Group locks and the like are taken inside.
 * - A handle reserves credits: the number of different blocks that it may change, at most. More can
 *   be had with f4_txn_extend (may fail: then f4_txn_restart, which splits atomicity: first make the
 *   metadata consistent, with the orphan list holding the rest).
 * - f4_txn_write(h, buf) *before* the first store to buf->data, f4_txn_create for a block just
 *   allocated, f4_txn_forget for a metadata block just freed.
 * - Read and check all that can fail before the first store. An error after it must be undone by the
 *   caller, or reported with f4_txn_abort: then nothing of the running transaction ever reaches the disk.
 * - File data that a new mapping points to is written to the disk before the handle that makes the
 *   mapping ends. Commit flushes the device before the commit block: that is ordered mode.
 * - Freed blocks go to the allocator's pending set and are usable again when the freeing transaction
 *   has committed: the commit callback (f4_journal_params.committed) says so.
 * - fsync: f4_journal_commit_wait(tid of the inode's last change). Never inside a handle.
 *
 * Threads: any. With workers == NULL in the parameters everything runs in the callers' threads and
 * nothing by time (unit tests and the crash laboratory: deterministic).
 */
#ifndef F4_EXT4_JOURNAL_H
#define F4_EXT4_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "server/ext4/cache.h"

struct f4_journal;
struct f4_workers;

/* Transaction ids wrap; compare with f4_tid_after. 0 is never used: "no transaction". */
typedef uint32_t f4_tid;

static inline bool f4_tid_after(f4_tid a, f4_tid b)
{
	return (int32_t)(a - b) > 0;
}

/* One piece of atomic work; lives on the caller's stack. */
struct f4_handle {
	struct f4_journal *journal; /* borrowed */
	struct f4_txn *txn;
	f4_tid tid;	   /* constant between begin and end; changes at restart */
	uint32_t reserved; /* credits left */
	bool sync;	   /* set by the caller: f4_txn_end waits for the commit */
	bool nolimit;	   /* set by the caller: quota limits don't bind who asks (uid 0) */
};

/*
 * Where the log is: a run of blocks of the log's disk. Log block 0 is the journal's superblock.
 * On an external journal device log blocks are the device's own block numbers, but for block 0:
 * its map is { 1 (with 1 KiB blocks 2), 0, 1 } and { s, s, device's blocks - s } with s = 2 (3).
 */
struct f4_log_extent {
	uint64_t pblk;
	uint32_t log_blk; /* first block of the log that it holds */
	uint32_t len;
};

struct f4_journal_params {
	struct f4_volume *vol;	     /* borrowed */
	struct f4_cache *cache;	     /* borrowed: the filesystem's metadata */
	struct f4_disk *disk;	     /* borrowed: the filesystem's disk */
	struct f4_disk *log_disk;    /* borrowed: == disk for an internal log; NULL: no log */
	const struct f4_log_extent *log_map; /* copied; sorted by log_blk, covering the log */
	uint32_t log_map_len;
	struct f4_workers *workers;  /* borrowed; NULL: synchronous */
	uint32_t commit_interval_ms; /* 0: never by time */
	uint32_t extra_credits;	     /* that every handle gets on top: for its quotas */
	bool barrier;		     /* false: no flush between log and commit block (nobarrier) */
	/*
	 * Called in a commit after the last handle ended and before buffers are copied, to bring
	 * derived blocks (superblock counts) into the transaction; uses @h, which has 8 credits.
	 */
	void (*pre_commit)(struct f4_volume *vol, struct f4_handle *h);
	/* Called when @tid and all before it are durable: pending frees become free. No locks held. */
	void (*committed)(struct f4_volume *vol, f4_tid tid);
	/* Called once when the journal aborts, with the errno. No locks held. */
	void (*aborted)(struct f4_volume *vol, int error);
};

/*
 * f4_journal_open - read and check the journal's superblock; the log must be clean (recovery.h).
 * Return: 0; -EUCLEAN (bad superblock); -EUCLEAN also for a log that needs recovery; -EOPNOTSUPP
 * (unknown feature, name through the volume's log hook); -EIO; -ENOMEM.
 */
int f4_journal_open(const struct f4_journal_params *params, struct f4_journal **ret);

/*
 * f4_journal_close - commit, checkpoint everything, mark the log empty, stop background work.
 * After an abort nothing is written. Return: 0 or the first error: the log then keeps what it holds.
 * The struct is freed in any case.
 */
int f4_journal_close(struct f4_journal *journal);

/* f4_journal_flush - commit and checkpoint everything, mark the log empty: as close, but stays open. */
int f4_journal_flush(struct f4_journal *journal);

/* f4_journal_abort - first error wins; later begins get -EROFS, the log's superblock gets s_errno. */
void f4_journal_abort(struct f4_journal *journal, int error);

/* f4_journal_error - 0, or the negative errno that aborted it. */
int f4_journal_error(struct f4_journal *journal);

/* f4_journal_max_credits - the most that one handle may reserve (a quarter of the log at most). */
uint32_t f4_journal_max_credits(const struct f4_journal *journal);

/* The transaction now running (for "changed in"); the last one that is durable. */
f4_tid f4_journal_running_tid(struct f4_journal *journal);
f4_tid f4_journal_committed_tid(struct f4_journal *journal);

/*
 * f4_journal_commit_start - ask for @tid to be committed soon, without waiting.
 * f4_journal_commit_wait - return when @tid is durable. Group commit: all who wait for the same
 * transaction share one. tid 0 is nothing to do. Return: 0, the abort's errno.
 */
void f4_journal_commit_start(struct f4_journal *journal, f4_tid tid);
int f4_journal_commit_wait(struct f4_journal *journal, f4_tid tid);

/* f4_journal_sync - commit whatever is running and wait (syncfs). */
int f4_journal_sync(struct f4_journal *journal);

/*
 * f4_txn_begin - start a handle.
 * @credits: blocks that it may change, 1 to f4_journal_max_credits()
 * Return: 0; -EROFS (aborted); -EINVAL (too many credits: a bug). Context: may wait for a commit or
 * a checkpoint; no handle may be open in this thread.
 */
int f4_txn_begin(struct f4_journal *journal, uint32_t credits, struct f4_handle *h);

/* f4_txn_end - end it. Return: 0, or for h->sync the commit's result; the abort's error if any. */
int f4_txn_end(struct f4_handle *h);

/* f4_txn_abort - what was changed can't stand: abort the journal and end the handle. Return: @error. */
int f4_txn_abort(struct f4_handle *h, int error);

/* f4_txn_extend - @credits more. 0, or -ENOSPC when this transaction is too full: restart then. */
int f4_txn_extend(struct f4_handle *h, uint32_t credits);

/* f4_txn_restart - end here, begin anew with @credits, perhaps in a later transaction. As begin. */
int f4_txn_restart(struct f4_handle *h, uint32_t credits);

/*
 * f4_txn_write - @buf will be changed by this handle. Uses one credit when it is new to the
 * transaction. Return: 0; -EROFS (aborted); -ENOSPC (no credit left: a bug, logged); -ENOMEM.
 */
int f4_txn_write(struct f4_handle *h, struct f4_buf *buf);

/* f4_txn_create - as f4_txn_write for a buffer from f4_buf_new; cancels a revoke of the block. */
int f4_txn_create(struct f4_handle *h, struct f4_buf *buf);

/*
 * f4_txn_forget - the metadata block @blk has been freed in this handle: its buffer leaves the
 * transaction, older copies in the log are revoked. The caller holds no reference any more.
 * Return: 0, -ENOMEM, -EROFS.
 */
int f4_txn_forget(struct f4_handle *h, uint64_t blk);

/* Counters for tests, bench and debugging; relaxed reads. */
struct f4_journal_stats {
	uint64_t commits, flushes, log_blocks, checkpoints, home_blocks, revokes, waits;
};
void f4_journal_get_stats(struct f4_journal *journal, struct f4_journal_stats *ret);

#endif
