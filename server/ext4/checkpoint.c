/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checkpoint: committed blocks go home, and the log's tail moves on.
 *
 * In rounds: collect a batch of buffers of the oldest transactions that no newer transaction
 * holds, sort them, copy them, write the copies. The copies are made under the journal's lock, in
 * small steps: f4_txn_write needs that lock before the first store to a buffer, so what is copied
 * is what was committed. A buffer that the running transaction holds can't go home; when only such
 * are left, that transaction is committed, and the duty is the newer one's.
 *
 * The tail moves when the home blocks are durable: flush, then the superblock, durable on return.
 * Only then is the space free.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/ext4/journal_priv.h"

#define BATCH_BYTES (4u << 20)
#define BATCH_MAX   1024u
#define COPY_STEP   32u /* blocks copied in one hold of the lock */

struct batch {
	struct f4_snap *snaps; /* owned; each with a reference */
	uint8_t *copies;       /* owned */
	uint32_t n, max;
};

static void batch_done(struct batch *b)
{
	free(b->snaps);
	free(b->copies);
}

static int batch_init(struct batch *b, uint32_t block_size)
{
	void *mem;

	*b = (struct batch){ .max = BATCH_BYTES / block_size };
	if (b->max > BATCH_MAX)
		b->max = BATCH_MAX;
	b->snaps = malloc(b->max * sizeof(*b->snaps));
	if (!b->snaps || posix_memalign(&mem, 4096, (size_t)b->max * block_size) != 0) {
		free(b->snaps);
		return -ENOMEM;
	}
	b->copies = mem;
	return 0;
}

static bool may_go_home(const struct f4_buf *buf)
{
	return !buf->txn && !buf->commit_txn && !buf->forget_txn;
}

/* Fill the batch from the oldest transaction on. Lock held. */
static void collect(struct f4_journal *j, struct batch *b)
{
	struct f4_txn *t;
	struct f4_buf *buf;

	b->n = 0;
	f4_list_each(t, &j->ckpt_txns, link) {
		f4_list_each(buf, &t->ckpt_bufs, ckpt_link) {
			if (b->n == b->max)
				return;
			if (!may_go_home(buf))
				continue;
			f4_buf_get(buf);
			buf->home_io = F4_HOME_IO;
			b->snaps[b->n++] = (struct f4_snap){ .buf = buf };
		}
	}
}

static int by_block(const void *a, const void *b)
{
	uint64_t x = ((const struct f4_snap *)a)->buf->blk;
	uint64_t y = ((const struct f4_snap *)b)->buf->blk;

	return (x > y) - (x < y);
}

/* The batch lets go of a buffer; lock held. */
static void release(struct f4_snap *s)
{
	s->buf->home_io = 0;
	f4_buf_put(s->buf);
}

/* Copy what still may go home, in block order; the rest leaves the batch. */
static void copy_out(struct f4_journal *j, struct batch *b)
{
	uint32_t kept = 0;

	qsort(b->snaps, b->n, sizeof(*b->snaps), by_block);
	for (uint32_t i = 0; i < b->n;) {
		uint32_t stop = b->n - i > COPY_STEP ? i + COPY_STEP : b->n;

		pthread_mutex_lock(&j->lock);
		for (; i < stop; i++) {
			struct f4_snap s = b->snaps[i];

			if (!may_go_home(s.buf)) {
				release(&s);
				continue;
			}
			s.copy = b->copies + (size_t)kept * j->block_size;
			memcpy(s.copy, s.buf->data, j->block_size);
			b->snaps[kept++] = s;
		}
		pthread_mutex_unlock(&j->lock);
	}
	if (kept < b->n) {
		/* A commit may wait for one that was released. */
		pthread_mutex_lock(&j->lock);
		pthread_cond_broadcast(&j->ckpt_done);
		pthread_mutex_unlock(&j->lock);
	}
	b->n = kept;
}

/* Lock held. */
static void written(struct f4_journal *j, struct batch *b, int r)
{
	for (uint32_t i = 0; i < b->n; i++) {
		struct f4_buf *buf = b->snaps[i].buf;

		if (r == 0 && buf->home_io == F4_HOME_IO && buf->ckpt_txn) {
			f4_list_del(&buf->ckpt_link);
			buf->ckpt_txn = NULL;
			f4_buf_put(buf);
		}
		release(&b->snaps[i]);
	}
	pthread_cond_broadcast(&j->ckpt_done);
}

static int write_batch(struct f4_journal *j, struct batch *b)
{
	int r;

	copy_out(j, b);
	for (uint32_t i = 0; i < b->n; i++) {
		const struct f4_buf *buf = b->snaps[i].buf;

		if (buf->class && buf->class->seal)
			buf->class->seal(j->p.vol, buf, b->snaps[i].copy);
	}
	r = f4_write_home(j, b->snaps, b->n);
	pthread_mutex_lock(&j->lock);
	written(j, b, r);
	pthread_mutex_unlock(&j->lock);
	return r;
}

/* Transactions with nothing left to do go, oldest first. Lock held. */
static void pop_done(struct f4_journal *j)
{
	while (!f4_list_empty(&j->ckpt_txns)) {
		struct f4_txn *t = f4_list_first(&j->ckpt_txns, struct f4_txn, link);

		if (!f4_list_empty(&t->ckpt_bufs))
			break;
		f4_txn_free(t);
	}
}

/* The oldest transaction that the log still has to hold. Lock held. */
static void oldest(const struct f4_journal *j, uint32_t *ret_blk, f4_tid *ret_tid)
{
	const struct f4_txn *t = j->committing;

	if (!f4_list_empty(&j->ckpt_txns))
		t = f4_list_first(&j->ckpt_txns, const struct f4_txn, link);
	if (t) {
		*ret_blk = t->log_start;
		*ret_tid = t->tid;
	} else {
		*ret_blk = j->head;
		*ret_tid = j->running ? j->running->tid : j->next_tid;
	}
}

/* Log blocks that will be free when the tail has moved. Lock held. */
static uint32_t free_after_move(const struct f4_journal *j)
{
	uint32_t blk, used;
	f4_tid tid;

	oldest(j, &blk, &tid);
	used = j->log_clean ? 0 : f4_jlog_distance(&j->log, blk, j->head);
	return used + 1 < j->usable ? j->usable - used - 1 : 0;
}

/* Make the home blocks durable, then let the log begin at the oldest transaction that is needed. */
static int move_tail(struct f4_journal *j)
{
	struct f4_jbd2_super *sb = f4_jlog_sb(&j->log);
	uint32_t blk;
	f4_tid tid;
	int r = 0;

	pthread_mutex_lock(&j->lock);
	pop_done(j);
	oldest(j, &blk, &tid);
	if (j->error || j->log_clean || blk == j->tail) {
		r = j->error;
		pthread_mutex_unlock(&j->lock);
		return r;
	}
	pthread_mutex_unlock(&j->lock);
	if (!(j->faults & F4_FAULT_EARLY_TAIL))
		r = f4_journal_flush_disks(j, false);
	if (r < 0)
		return r;
	pthread_mutex_lock(&j->sb_lock);
	sb->s_start = f4_mk_be32(blk);
	/* 0 is the number after the last one: the log is emptied before it is used (wrap_tid). */
	sb->s_sequence = f4_mk_be32(tid);
	r = f4_jlog_write_sb(&j->log, j->p.barrier);
	pthread_mutex_unlock(&j->sb_lock);
	if (r < 0)
		return r;
	pthread_mutex_lock(&j->lock);
	j->tail = blk;
	pthread_cond_broadcast(&j->can_begin);
	pthread_mutex_unlock(&j->lock);
	f4_journal_count(&j->stats.checkpoints, 1);
	return 0;
}

/* Enough? Lock held. */
static bool is_done(struct f4_journal *j, uint32_t want, f4_tid last)
{
	pop_done(j);
	if (want != UINT32_MAX)
		return free_after_move(j) >= want;
	return f4_list_empty(&j->ckpt_txns) ||
	       f4_tid_after(f4_list_first(&j->ckpt_txns, struct f4_txn, link)->tid, last);
}

/*
 * Nothing that is left may go home now: let the transaction that holds it become durable. Lock
 * held. Return: 1 look again; 0 there is nothing left at all; a negative errno.
 */
static int unblock(struct f4_journal *j)
{
	if (j->error)
		return j->error;
	if (j->committing || (j->running && j->running->state == F4_TXN_LOCKED)) {
		pthread_cond_wait(&j->commit_done, &j->lock);
		return 1;
	}
	if (f4_list_empty(&j->ckpt_txns) || !j->running)
		return 0;
	{
		int r = f4_commit_locked(j);

		return r < 0 ? r : 1;
	}
}

static int rounds(struct f4_journal *j, struct batch *b, uint32_t want)
{
	f4_tid last;
	int r = 1;

	pthread_mutex_lock(&j->lock);
	last = j->committed_tid;
	while (r > 0 && !is_done(j, want, last)) {
		r = j->error;
		if (r < 0)
			break;
		collect(j, b);
		if (b->n == 0) {
			r = unblock(j);
			continue;
		}
		pthread_mutex_unlock(&j->lock);
		r = write_batch(j, b);
		if (r < 0)
			f4_journal_abort(j, r);
		else
			r = 1;
		pthread_mutex_lock(&j->lock);
	}
	pthread_mutex_unlock(&j->lock);
	return r < 0 ? r : 0;
}

static void take_token(struct f4_journal *j)
{
	pthread_mutex_lock(&j->lock);
	while (j->ckpt_busy)
		pthread_cond_wait(&j->ckpt_done, &j->lock);
	j->ckpt_busy = true;
	pthread_mutex_unlock(&j->lock);
}

static void give_token(struct f4_journal *j)
{
	pthread_mutex_lock(&j->lock);
	j->ckpt_busy = false;
	pthread_cond_broadcast(&j->ckpt_done);
	pthread_mutex_unlock(&j->lock);
}

int f4_checkpoint(struct f4_journal *j, uint32_t want)
{
	struct batch b;
	bool enough;
	int r;

	take_token(j);
	pthread_mutex_lock(&j->lock);
	enough = want != UINT32_MAX && f4_journal_free_blocks(j) >= want;
	pthread_mutex_unlock(&j->lock);
	r = enough ? 1 : batch_init(&b, j->block_size);
	if (r == 0) {
		r = rounds(j, &b, want);
		batch_done(&b);
		if (r == 0) {
			r = move_tail(j);
			if (r < 0)
				f4_journal_abort(j, r);
		}
		if (r == 0 && want == UINT32_MAX)
			r = f4_journal_mark_empty(j);
	}
	give_token(j);
	return r < 0 ? r : 0;
}
