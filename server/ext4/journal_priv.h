/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the journal: what journal.c, txn.c, commit.c, checkpoint.c, jlog.c, revoke.c and
 * recovery.c share. Nobody else includes this but tests.
 *
 * Life of a transaction:
 *   RUNNING   takes handles; at most one
 *   LOCKED    a commit has begun: begins wait, the open handles end; pre_commit runs; copies are made
 *   COMMIT    its copy goes to the log; at most one; the next one is RUNNING already
 *   DONE      durable in the log, on the checkpoint list until all its blocks are at home or are
 *             part of a later durable transaction
 *
 * Life of a buffer, by the three pointers in it, each with a list or array and a reference:
 *   txn        the RUNNING or LOCKED transaction that changes it (txn->bufs)
 *   commit_txn the COMMIT one whose copy of it is under way (txn->snap)
 *   ckpt_txn   the newest DONE one that holds it and whose content is not at home (txn->ckpt_bufs)
 * All three may be set at once. When a commit ends, ckpt_txn moves to it from an older one: only
 * the newest copy has to go home. forget_txn: the block was freed by that transaction; the buffer
 * is out of the cache, on txn->forgotten if an older transaction has to stay in the log for it
 * until the freeing one is durable.
 *
 * Log space. The ring is [first, last), `tail` is the oldest block that a recovery needs as the
 * superblock *on disk* says, `head` the next to write. Free space always covers the running
 * transaction's whole reservation (blocks, descriptors, revokes, commit block) and the slack for
 * revokes that no credit was taken for: begin and extend see to it, so a commit never lacks space
 * and a checkpoint, which may need a commit, can always make more.
 *
 * Locks, outermost first:
 *   the checkpoint token (ckpt_busy)   one checkpoint at a time; io
 *   sb_lock                            the superblock's block and its writes; io
 *   lock                               all else here; no io; then the cache's locks
 */
#ifndef F4_EXT4_JOURNAL_PRIV_H
#define F4_EXT4_JOURNAL_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/ext4/jbd2.h"
#include "server/ext4/journal.h"

/* Credits that the pre_commit callback has; part of each transaction's reservation from the start. */
#define F4_PRE_COMMIT_CREDITS 8u

/* --- jlog.c: the log as a ring of blocks, and its superblock --- */

struct f4_jlog {
	struct f4_volume *vol; /* borrowed, for messages */
	struct f4_disk *disk;  /* borrowed */
	struct f4_log_extent *map; /* owned */
	uint32_t map_len;
	uint32_t block_size;
	uint32_t total;	       /* blocks, superblock included */
	uint32_t first, last;  /* the ring, end exclusive */
	uint32_t fc_first, fc_last; /* fast-commit area, end exclusive; equal: none */
	uint32_t compat, incompat;
	bool csum;	       /* v2 or v3 */
	bool csum3, is_64bit;
	uint32_t tag_bytes;
	uint32_t csum_seed;
	uint8_t *sb_block;     /* owned, block_size bytes */
};

/*
 * f4_jlog_init - copy the map, read and check the superblock. f4_jlog_done frees.
 * Return: 0; -EUCLEAN; -EOPNOTSUPP (unknown feature, logged); -EIO; -ENOMEM. Half-made on failure: call done.
 */
int f4_jlog_init(struct f4_jlog *log, struct f4_volume *vol, struct f4_disk *disk,
		 const struct f4_log_extent *map, uint32_t map_len, uint32_t block_size);
void f4_jlog_done(struct f4_jlog *log);
struct f4_jbd2_super *f4_jlog_sb(const struct f4_jlog *log);
/* f4_jlog_apply_features - derive tag size, seed and so on after the superblock's features changed. */
void f4_jlog_apply_features(struct f4_jlog *log);
/* f4_jlog_read/write - @n blocks from log block @blk on, no wrap inside. -EUCLEAN where the map has no block. */
int f4_jlog_read(struct f4_jlog *log, uint32_t blk, uint32_t n, void *buf);
int f4_jlog_write(struct f4_jlog *log, uint32_t blk, uint32_t n, const void *buf, bool fua);
/* f4_jlog_write_sb - checksum and write the superblock. */
int f4_jlog_write_sb(struct f4_jlog *log, bool fua);
/* f4_jlog_tail_ok/seal_tail - the checksum of a descriptor or revoke block. */
bool f4_jlog_tail_ok(const struct f4_jlog *log, const uint8_t *block);
void f4_jlog_seal_tail(const struct f4_jlog *log, uint8_t *block);
/* f4_jlog_block_csum - of a data block as it is in the log. */
uint32_t f4_jlog_block_csum(const struct f4_jlog *log, uint32_t sequence, const uint8_t *data);
/* f4_jlog_say - one line to the volume's log hook; vol may be NULL. */
void f4_jlog_say(struct f4_volume *vol, int level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Distance from @from forward to @to in the ring; the block @n after @blk. */
uint32_t f4_jlog_distance(const struct f4_jlog *log, uint32_t from, uint32_t to);
uint32_t f4_jlog_advance(const struct f4_jlog *log, uint32_t blk, uint32_t n);

/* --- revoke.c: a set of block numbers, each with a transaction id --- */

struct f4_revoke_slot {
	uint64_t key; /* block + 1; 0: never used; UINT64_MAX: deleted */
	f4_tid tid;
};
struct f4_revoke_set {
	struct f4_revoke_slot *slots; /* owned */
	size_t n_slots, count, used;  /* used: count and deleted ones */
};
/* f4_revoke_add - a block that is there already keeps the later id. Return: 0, -ENOMEM. */
int f4_revoke_add(struct f4_revoke_set *set, uint64_t blk, f4_tid tid);
bool f4_revoke_del(struct f4_revoke_set *set, uint64_t blk);
bool f4_revoke_find(const struct f4_revoke_set *set, uint64_t blk, f4_tid *ret_tid);
void f4_revoke_done(struct f4_revoke_set *set);

/* --- the journal --- */

/* f4_buf.home_io: a checkpoint is writing it; and a newer commit has taken over the duty meanwhile. */
#define F4_HOME_IO    1u
#define F4_HOME_STALE 2u

enum f4_txn_state { F4_TXN_RUNNING, F4_TXN_LOCKED, F4_TXN_COMMIT, F4_TXN_DONE };

/* A buffer of a transaction being committed. */
struct f4_snap {
	struct f4_buf *buf; /* ref */
	uint8_t *copy;	    /* in txn->staging */
};

/* Protected by journal->lock, but for snap, staging: the committer's alone. */
struct f4_txn {
	f4_tid tid;
	enum f4_txn_state state;
	uint32_t handles;
	uint32_t nbufs;	    /* on bufs */
	uint32_t reserved;  /* credits of open handles and of pre_commit, not used yet */
	uint32_t rev_blocks; /* revoke blocks that credits were taken for, or slack */
	struct f4_list bufs; /* f4_buf.txn_link; newest last */
	struct f4_list forgotten; /* f4_buf.txn_link */
	struct f4_revoke_set revokes;
	int64_t started_ms; /* CLOCK_MONOTONIC */

	struct f4_snap *snap; /* owned */
	uint32_t n_snap;
	uint8_t *staging;   /* owned: the log's image without the commit block, or the sorted copies */
	uint32_t n_staging; /* blocks */
	uint32_t n_revoke_blocks;
	size_t staging_bytes;

	uint32_t log_start; /* first log block */
	struct f4_list ckpt_bufs; /* f4_buf.ckpt_link */
	struct f4_list link;	  /* on journal->ckpt_txns, oldest first */
};

/* Faults that the crash laboratory plants to see them caught. */
#define F4_FAULT_SKIP_FLUSH   0x1u /* no flush before the commit block */
#define F4_FAULT_DROP_REVOKE  0x2u /* freed blocks are not revoked */
#define F4_FAULT_EARLY_REUSE  0x4u /* freed blocks are usable before their commit */
#define F4_FAULT_EARLY_TAIL   0x8u /* the tail moves before the home blocks are durable */
#define F4_FAULT_NO_COMMIT_FUA 0x10u /* commit block not durable when fsync returns */

struct f4_journal {
	struct f4_journal_params p; /* log_map is not used after open */
	struct f4_jlog log;	    /* constant but sb_block (sb_lock) */
	bool has_log;
	uint32_t block_size;
	uint32_t tags_per_desc, revokes_per_block;
	uint32_t max_txn;	    /* credits of one transaction */
	uint32_t slack;		    /* log blocks kept for revokes without credit */
	uint32_t usable;	    /* log blocks used at most, to bound memory */
	uint32_t faults;	    /* tests only */

	pthread_mutex_t lock;
	pthread_cond_t can_begin;   /* a transaction was unlocked, space was made, or an abort */
	pthread_cond_t drained;	    /* the last handle of the locked transaction ended */
	pthread_cond_t commit_done; /* a commit ended, or an abort */
	pthread_cond_t ckpt_done;   /* the token is free, or home I/O ended */
	pthread_cond_t wake_worker;
	/* --- protected by lock --- */
	_Atomic int error;	    /* negative errno of the abort; also read without the lock */
	struct f4_txn *running, *committing; /* owned */
	struct f4_list ckpt_txns;   /* owned; f4_txn.link, oldest first */
	f4_tid next_tid, committed_tid;
	uint32_t head, tail;
	bool log_clean;		    /* s_start on disk is 0: nothing was committed since */
	bool ckpt_busy;
	f4_tid want_commit;	    /* 0: none */
	bool want_ckpt, worker_stop, worker_runs, worker_sleeps;
	uint8_t *spare_staging;	    /* owned; kept between commits */
	size_t spare_bytes;
	struct f4_journal_stats stats; /* its fields by __atomic_* */

	pthread_mutex_t sb_lock;    /* log.sb_block and the order of its writes */
	uint8_t *commit_block;	    /* owned; the committer's */
};

/* journal.c */
int64_t f4_journal_now_ms(void);
void f4_journal_count(uint64_t *counter, uint64_t n);
int f4_journal_flush_disks(struct f4_journal *j, bool log_too);
/* The transaction under f4_journal_close or an abort: give back its references and free it. */
void f4_txn_free(struct f4_txn *txn);
/* f4_journal_plant - test only: behave wrongly as F4_FAULT_* says. */
void f4_journal_plant(struct f4_journal *j, uint32_t faults);
/* Log blocks that a transaction with @nbufs and @rev_blocks takes. */
uint32_t f4_journal_log_blocks(const struct f4_journal *j, uint32_t nbufs, uint32_t rev_blocks);
/* Log blocks free for the running transaction; lock held. */
uint32_t f4_journal_free_blocks(const struct f4_journal *j);
/* Mark the log empty if nothing is in it; checkpoint token held, lock not. */
int f4_journal_mark_empty(struct f4_journal *j);

/* commit.c: commit the running transaction; lock held, on return too. It is RUNNING and no other commits. */
int f4_commit_locked(struct f4_journal *j);

/*
 * checkpoint.c: bring blocks home until @want log blocks are free (UINT32_MAX: until nothing is
 * left that was committed when it began). Lock not held, no handle open in this thread.
 */
int f4_checkpoint(struct f4_journal *j, uint32_t want);
/* commit.c: write @n copies, sorted by block, home; neighbours on disk and in memory in one write. */
int f4_write_home(struct f4_journal *j, const struct f4_snap *snaps, uint32_t n);

#endif
