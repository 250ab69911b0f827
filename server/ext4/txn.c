/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handles: joining the running transaction, and putting buffers into it.
 *
 * A handle never waits here once it is open. begin is the place where threads wait, for a commit
 * that is being prepared, for room in the transaction, for room in the log; the thread that finds
 * no room makes it.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <syslog.h>

#include "server/ext4/journal_priv.h"

static struct f4_txn *txn_new(struct f4_journal *j)
{
	struct f4_txn *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->tid = j->next_tid++;
	t->state = F4_TXN_RUNNING;
	t->reserved = F4_PRE_COMMIT_CREDITS;
	t->started_ms = f4_journal_now_ms();
	f4_list_init(&t->bufs);
	f4_list_init(&t->forgotten);
	f4_list_init(&t->ckpt_bufs);
	f4_list_init(&t->link);
	return t;
}

/* Would the log hold the running transaction with @more credits, and the slack? */
static uint32_t log_needed(const struct f4_journal *j, const struct f4_txn *t, uint32_t more)
{
	return f4_journal_log_blocks(j, t->nbufs + t->reserved + more, t->rev_blocks) + j->slack;
}

static bool log_has_room(const struct f4_journal *j, const struct f4_txn *t, uint32_t more)
{
	return !j->has_log || log_needed(j, t, more) <= f4_journal_free_blocks(j);
}

static bool txn_has_room(const struct f4_journal *j, const struct f4_txn *t, uint32_t more)
{
	return t->nbufs + t->reserved + t->rev_blocks + more <= j->max_txn;
}

/* Transaction ids are used up: 0 is none. The log counts without a gap, so it starts anew. */
static int wrap_tid(struct f4_journal *j)
{
	int r = 0;

	if (j->committing) {
		pthread_cond_wait(&j->commit_done, &j->lock);
		return 0;
	}
	if (j->has_log && !j->log_clean) {
		pthread_mutex_unlock(&j->lock);
		r = f4_checkpoint(j, UINT32_MAX);
		pthread_mutex_lock(&j->lock);
	}
	if (r == 0 && j->next_tid == 0 && (!j->has_log || j->log_clean)) {
		j->next_tid = 1;
		j->committed_tid = 0;
	}
	return r;
}

/* The running transaction is full: commit it, or wait for who does. */
static int make_txn_room(struct f4_journal *j)
{
	if (j->committing) {
		pthread_cond_wait(&j->commit_done, &j->lock);
		return 0;
	}
	return f4_commit_locked(j);
}

static int make_log_room(struct f4_journal *j, uint32_t want)
{
	int r;

	f4_journal_count(&j->stats.waits, 1);
	pthread_mutex_unlock(&j->lock);
	r = f4_checkpoint(j, want > j->usable / 4 ? want : j->usable / 4);
	pthread_mutex_lock(&j->lock);
	return r;
}

/* One step towards a running transaction that takes @credits more: 1 done, 0 look again. */
static int try_join(struct f4_journal *j, uint32_t credits)
{
	struct f4_txn *t = j->running;

	if (t && t->state == F4_TXN_LOCKED) {
		pthread_cond_wait(&j->can_begin, &j->lock);
		return 0;
	}
	if (!t) {
		if (j->next_tid == 0)
			return wrap_tid(j);
		t = j->running = txn_new(j);
		if (!t)
			return -ENOMEM;
		if (j->worker_sleeps)
			pthread_cond_signal(&j->wake_worker);
	}
	if (!txn_has_room(j, t, credits))
		return make_txn_room(j);
	if (!log_has_room(j, t, credits))
		return make_log_room(j, log_needed(j, t, credits));
	return 1;
}

int f4_txn_begin(struct f4_journal *j, uint32_t credits, struct f4_handle *h)
{
	int r = 0;

	if (credits == 0 || credits > f4_journal_max_credits(j)) {
		f4_jlog_say(j->p.vol, LOG_ERR, "a handle of %u credits was asked for, at most %u",
			    credits, f4_journal_max_credits(j));
		return -EINVAL;
	}
	credits += j->p.extra_credits;
	pthread_mutex_lock(&j->lock);
	while (r == 0) {
		if (j->error)
			r = -EROFS;
		else
			r = try_join(j, credits);
	}
	if (r == 1) {
		struct f4_txn *t = j->running;

		t->handles++;
		t->reserved += credits;
		*h = (struct f4_handle){
			.journal = j, .txn = t, .tid = t->tid, .reserved = credits,
		};
		if (j->has_log && !j->want_ckpt && j->p.workers &&
		    f4_journal_free_blocks(j) < j->usable / 2) {
			j->want_ckpt = true;
			pthread_cond_signal(&j->wake_worker);
		}
	}
	pthread_mutex_unlock(&j->lock);
	/* An abort while it waited is told as later begins are told. */
	return r == 1 ? 0 : j->error ? -EROFS : r;
}

/* Leave the transaction; lock held. */
static void leave(struct f4_journal *j, struct f4_handle *h)
{
	struct f4_txn *t = h->txn;

	assert(t && t->handles > 0 && t->reserved >= h->reserved);
	t->reserved -= h->reserved;
	h->reserved = 0;
	h->txn = NULL;
	if (--t->handles == 0 && t->state == F4_TXN_LOCKED)
		pthread_cond_broadcast(&j->drained);
}

int f4_txn_end(struct f4_handle *h)
{
	struct f4_journal *j = h->journal;
	int r;

	pthread_mutex_lock(&j->lock);
	leave(j, h);
	/* Without workers, a commit that was asked for happens when the last handle ends. */
	if (!j->p.workers && j->want_commit != 0 && !j->error && j->running &&
	    j->running->handles == 0 && j->running->state == F4_TXN_RUNNING && !j->committing) {
		if (!f4_tid_after(j->running->tid, j->want_commit))
			(void)f4_commit_locked(j); /* a failure is an abort: told below */
		j->want_commit = 0;
	}
	r = j->error;
	pthread_mutex_unlock(&j->lock);
	if ((j->faults & F4_FAULT_EARLY_REUSE) && j->p.committed)
		j->p.committed(j->p.vol, h->tid);
	if (r == 0 && h->sync)
		r = f4_journal_commit_wait(j, h->tid);
	return r;
}

int f4_txn_abort(struct f4_handle *h, int error)
{
	struct f4_journal *j = h->journal;

	/* First the abort, then the end: no commit may begin in between. */
	f4_journal_abort(j, error);
	pthread_mutex_lock(&j->lock);
	leave(j, h);
	pthread_mutex_unlock(&j->lock);
	return error;
}

int f4_txn_extend(struct f4_handle *h, uint32_t credits)
{
	struct f4_journal *j = h->journal;
	int r = 0;

	pthread_mutex_lock(&j->lock);
	if (j->error) {
		r = -EROFS;
	} else if (!txn_has_room(j, h->txn, credits) || !log_has_room(j, h->txn, credits)) {
		r = -ENOSPC;
	} else {
		h->txn->reserved += credits;
		h->reserved += credits;
	}
	pthread_mutex_unlock(&j->lock);
	return r;
}

int f4_txn_restart(struct f4_handle *h, uint32_t credits)
{
	struct f4_journal *j = h->journal;
	bool sync = h->sync, nolimit = h->nolimit;
	int r;

	h->sync = false; /* the last part waits */
	r = f4_txn_end(h);
	if (r < 0)
		return r;
	r = f4_txn_begin(j, credits, h);
	h->sync = sync;
	h->nolimit = nolimit;
	return r;
}

/* --- buffers --- */

static int take_credit(struct f4_journal *j, struct f4_handle *h, const struct f4_buf *buf)
{
	if (h->reserved == 0) {
		f4_jlog_say(j->p.vol, LOG_ERR, "block %llu: a handle has used up its credits",
			    (unsigned long long)buf->blk);
		return -ENOSPC;
	}
	h->reserved--;
	h->txn->reserved--;
	return 0;
}

static int write_locked(struct f4_journal *j, struct f4_handle *h, struct f4_buf *buf)
{
	struct f4_txn *t = h->txn;
	int r;

	if (j->error)
		return -EROFS;
	if (buf->txn == t)
		return 0;
	if (buf->forget_txn)
		return -EUCLEAN; /* freed under the caller: two owners of one block */
	assert(!buf->txn);
	r = take_credit(j, h, buf);
	if (r < 0)
		return r;
	if (t->revokes.count > 0)
		f4_revoke_del(&t->revokes, buf->blk);
	f4_buf_get(buf);
	f4_list_add_tail(&t->bufs, &buf->txn_link);
	t->nbufs++;
	buf->txn = t;
	return 0;
}

int f4_txn_write(struct f4_handle *h, struct f4_buf *buf)
{
	struct f4_journal *j = h->journal;
	int r;

	/* It can't leave the transaction while our handle is open, but by the owner's own forget. */
	if (buf->txn == h->txn)
		return j->error ? -EROFS : 0;
	pthread_mutex_lock(&j->lock);
	r = write_locked(j, h, buf);
	pthread_mutex_unlock(&j->lock);
	return r;
}

int f4_txn_create(struct f4_handle *h, struct f4_buf *buf)
{
	return f4_txn_write(h, buf);
}

/*
 * Room in the log for one more revoke. A new revoke block takes a credit of the handle, or, when
 * it has none left, comes out of the slack.
 */
static int reserve_revoke(struct f4_journal *j, struct f4_handle *h)
{
	struct f4_txn *t = h->txn;
	uint32_t have = t->rev_blocks * j->revokes_per_block;

	if (t->revokes.count < have)
		return 0;
	if (h->reserved > 0) {
		h->reserved--;
		t->reserved--;
	} else if (f4_journal_log_blocks(j, t->nbufs + t->reserved, t->rev_blocks + 1) >
		   f4_journal_free_blocks(j)) {
		return -ENOSPC;
	}
	t->rev_blocks++;
	return 0;
}

/* The buffer of a freed block, already out of the cache; our reference goes or is kept. */
static void forget_locked(struct f4_journal *j, struct f4_handle *h, struct f4_buf *buf)
{
	struct f4_txn *t = h->txn;

	if (buf->txn == t) {
		f4_list_del(&buf->txn_link);
		buf->txn = NULL;
		t->nbufs--;
		t->reserved++;
		h->reserved++;
		f4_buf_put(buf);
	}
	if (j->has_log && !buf->forget_txn && (buf->ckpt_txn || buf->commit_txn)) {
		/* The older transaction stays in the log until this one is durable. */
		buf->forget_txn = t;
		f4_list_add_tail(&t->forgotten, &buf->txn_link);
		f4_buf_get(buf);
	}
	f4_buf_put(buf);
}

int f4_txn_forget(struct f4_handle *h, uint64_t blk)
{
	struct f4_journal *j = h->journal;
	struct f4_buf *buf;
	int r = 0;

	pthread_mutex_lock(&j->lock);
	if (j->error) {
		r = -EROFS;
	} else if (j->has_log) {
		r = reserve_revoke(j, h);
		if (r == 0)
			r = f4_revoke_add(&h->txn->revokes, blk, h->tid);
	}
	if (r == 0) {
		buf = f4_buf_detach(j->p.cache, blk);
		if (buf)
			forget_locked(j, h, buf);
	}
	pthread_mutex_unlock(&j->lock);
	return r;
}
