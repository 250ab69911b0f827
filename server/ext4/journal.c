/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal as a whole: open, close, errors, who waits for which commit, the background job.
 * See journal_priv.h for the states and invariants.
 */
#include "server/ext4/journal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "server/ext4/journal_priv.h"
#include "server/ext4/volume.h"
#include "server/ext4/workers.h"

/* A transaction's blocks, and the log in use before checkpoints make room: bounds on memory. */
#define MAX_TXN_BYTES (32u << 20)
#define MAX_LOG_BYTES (256u << 20)

int64_t f4_journal_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void f4_journal_count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

void f4_journal_get_stats(struct f4_journal *j, struct f4_journal_stats *ret)
{
	const uint64_t *from = (const uint64_t *)&j->stats;
	uint64_t *to = (uint64_t *)ret;

	for (size_t i = 0; i < sizeof(*ret) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

int f4_journal_flush_disks(struct f4_journal *j, bool log_too)
{
	int r;

	if (!j->p.barrier)
		return 0;
	f4_journal_count(&j->stats.flushes, 1);
	r = f4_disk_flush(j->p.disk);
	if (r == 0 && log_too && j->p.log_disk != j->p.disk)
		r = f4_disk_flush(j->p.log_disk);
	return r;
}

void f4_journal_plant(struct f4_journal *j, uint32_t faults)
{
	j->faults = faults;
}

/* --- open --- */

/*
 * The features that the kernel would set as well: revokes always, 64-bit numbers and checksums as
 * the filesystem has them. The log is clean, so nothing in it is in another format. Written with
 * the first commit; a fast-commit area becomes part of the ring, as in the kernel when a clean
 * journal is marked so.
 */
static void upgrade_features(struct f4_jlog *log, const struct f4_volume *vol)
{
	struct f4_jbd2_super *sb = f4_jlog_sb(log);
	uint32_t incompat = log->incompat | F4_JBD2_INCOMPAT_REVOKE;

	if (f4_get_be32(sb->s_header.h_blocktype) == F4_JBD2_SUPER_V1) {
		sb->s_header.h_blocktype = f4_mk_be32(F4_JBD2_SUPER_V2);
		memset((uint8_t *)sb + offsetof(struct f4_jbd2_super, s_feature_compat), 0,
		       sizeof(*sb) - offsetof(struct f4_jbd2_super, s_feature_compat));
		sb->s_nr_users = f4_mk_be32(1);
	}
	incompat &= ~(F4_JBD2_INCOMPAT_ASYNC_COMMIT | F4_JBD2_INCOMPAT_FAST_COMMIT);
	if (vol && (f4_has_incompat(vol, F4_INCOMPAT_64BIT) || vol->blocks_count > UINT32_MAX))
		incompat |= F4_JBD2_INCOMPAT_64BIT;
	if (vol && vol->has_csum) {
		incompat &= ~F4_JBD2_INCOMPAT_CSUM_V2;
		incompat |= F4_JBD2_INCOMPAT_CSUM_V3;
	}
	sb->s_feature_incompat = f4_mk_be32(incompat);
	sb->s_feature_compat = f4_mk_be32(f4_get_be32(sb->s_feature_compat) &
					  ~F4_JBD2_COMPAT_CHECKSUM);
	f4_jlog_apply_features(log);
	log->last = log->total;
	log->fc_first = log->fc_last = log->total;
}

static int open_log(struct f4_journal *j)
{
	const struct f4_journal_params *p = &j->p;
	struct f4_jlog *log = &j->log;
	const struct f4_jbd2_super *sb;
	uint32_t ring, tail_bytes;
	int r;

	r = f4_jlog_init(log, p->vol, p->log_disk, p->log_map, p->log_map_len, j->block_size);
	if (r < 0)
		return r;
	sb = f4_jlog_sb(log);
	if (f4_get_be32(sb->s_start) != 0) {
		f4_jlog_say(p->vol, LOG_ERR, "the journal needs recovery");
		return -EUCLEAN;
	}
	upgrade_features(log, p->vol);
	ring = log->last - log->first;
	tail_bytes = log->csum ? sizeof(struct f4_jbd2_tail) : 0;
	j->tags_per_desc = (j->block_size - (uint32_t)sizeof(struct f4_jbd2_header) - 16 -
			    tail_bytes) / log->tag_bytes;
	j->revokes_per_block = (j->block_size - (uint32_t)sizeof(struct f4_jbd2_revoke) -
				tail_bytes) / (log->is_64bit ? 8 : 4);
	j->usable = MAX_LOG_BYTES / j->block_size < ring ? MAX_LOG_BYTES / j->block_size : ring;
	if (j->usable < F4_JBD2_MIN_BLOCKS)
		j->usable = ring < F4_JBD2_MIN_BLOCKS ? ring : F4_JBD2_MIN_BLOCKS;
	if (j->max_txn > j->usable / 4)
		j->max_txn = j->usable / 4;
	j->slack = j->usable / 16;
	/* As the kernel does for a clean log: one number is left out, 0 is never used. */
	j->next_tid = f4_get_be32(sb->s_sequence) + 1;
	if (j->next_tid == 0)
		j->next_tid = 1;
	j->head = j->tail = log->first;
	j->log_clean = true;
	j->has_log = true;
	return 0;
}

static void worker_job(void *arg);

static void init_locks(struct f4_journal *j)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&j->lock, NULL);
	pthread_mutex_init(&j->sb_lock, NULL);
	pthread_cond_init(&j->can_begin, NULL);
	pthread_cond_init(&j->drained, NULL);
	pthread_cond_init(&j->commit_done, NULL);
	pthread_cond_init(&j->ckpt_done, NULL);
	pthread_cond_init(&j->wake_worker, &attr);
	pthread_condattr_destroy(&attr);
}

static void journal_free(struct f4_journal *j)
{
	pthread_cond_destroy(&j->wake_worker);
	pthread_cond_destroy(&j->ckpt_done);
	pthread_cond_destroy(&j->commit_done);
	pthread_cond_destroy(&j->drained);
	pthread_cond_destroy(&j->can_begin);
	pthread_mutex_destroy(&j->sb_lock);
	pthread_mutex_destroy(&j->lock);
	f4_jlog_done(&j->log);
	free(j->spare_staging);
	free(j->commit_block);
	free(j);
}

int f4_journal_open(const struct f4_journal_params *params, struct f4_journal **ret)
{
	struct f4_journal *j = calloc(1, sizeof(*j));
	void *mem;
	int r = 0;

	if (!j)
		return -ENOMEM;
	j->p = *params;
	j->block_size = f4_cache_block_size(params->cache);
	j->max_txn = MAX_TXN_BYTES / j->block_size;
	j->next_tid = 1;
	f4_list_init(&j->ckpt_txns);
	init_locks(j);
	if (posix_memalign(&mem, 4096, j->block_size) == 0)
		j->commit_block = mem;
	else
		r = -ENOMEM;
	if (r == 0 && params->log_disk)
		r = open_log(j);
	j->committed_tid = j->next_tid - 1;
	j->p.log_map = NULL;
	if (r == 0 && params->workers) {
		j->worker_runs = true;
		r = f4_workers_run(params->workers, worker_job, j);
	}
	if (r < 0) {
		journal_free(j);
		return r;
	}
	*ret = j;
	return 0;
}

/* --- abort --- */

static void record_errno(struct f4_journal *j, int error)
{
	struct f4_jbd2_super *sb;

	/* A shutdown that was asked for is no error of the filesystem's, as the kernel has it. */
	if (!j->has_log || error == -ESHUTDOWN)
		return;
	pthread_mutex_lock(&j->sb_lock);
	sb = f4_jlog_sb(&j->log);
	sb->s_errno = f4_mk_be32((uint32_t)error);
	/* It fails where the abort came from a dead disk: there is nobody else to tell. */
	(void)f4_jlog_write_sb(&j->log, j->p.barrier);
	pthread_mutex_unlock(&j->sb_lock);
}

void f4_journal_abort(struct f4_journal *j, int error)
{
	int none = 0;

	assert(error < 0);
	pthread_mutex_lock(&j->lock);
	if (!atomic_compare_exchange_strong(&j->error, &none, error)) {
		pthread_mutex_unlock(&j->lock);
		return;
	}
	pthread_cond_broadcast(&j->can_begin);
	pthread_cond_broadcast(&j->commit_done);
	pthread_cond_broadcast(&j->drained);
	pthread_cond_broadcast(&j->ckpt_done);
	pthread_cond_signal(&j->wake_worker);
	pthread_mutex_unlock(&j->lock);
	f4_jlog_say(j->p.vol, LOG_ERR, "journal aborted: %s", strerrordesc_np(-error));
	record_errno(j, error);
	if (j->p.aborted)
		j->p.aborted(j->p.vol, error);
}

int f4_journal_error(struct f4_journal *j)
{
	return j->error;
}

/* --- sizes and ids --- */

uint32_t f4_journal_log_blocks(const struct f4_journal *j, uint32_t nbufs, uint32_t rev_blocks)
{
	return nbufs + (nbufs + j->tags_per_desc - 1) / j->tags_per_desc + rev_blocks + 1;
}

uint32_t f4_journal_free_blocks(const struct f4_journal *j)
{
	uint32_t used = j->log_clean ? 0 : f4_jlog_distance(&j->log, j->tail, j->head);

	/* One block stays free: a full ring would look like an empty one. */
	return used + 1 < j->usable ? j->usable - used - 1 : 0;
}

uint32_t f4_journal_max_credits(const struct f4_journal *j)
{
	return j->max_txn - F4_PRE_COMMIT_CREDITS - j->p.extra_credits;
}

f4_tid f4_journal_running_tid(struct f4_journal *j)
{
	f4_tid tid;

	pthread_mutex_lock(&j->lock);
	tid = j->running ? j->running->tid : j->next_tid;
	pthread_mutex_unlock(&j->lock);
	return tid ? tid : 1;
}

f4_tid f4_journal_committed_tid(struct f4_journal *j)
{
	f4_tid tid;

	pthread_mutex_lock(&j->lock);
	tid = j->committed_tid;
	pthread_mutex_unlock(&j->lock);
	return tid;
}

/* --- waiting for commits --- */

int f4_journal_commit_wait(struct f4_journal *j, f4_tid tid)
{
	int r = 0;

	if (tid == 0)
		return 0;
	pthread_mutex_lock(&j->lock);
	while (f4_tid_after(tid, j->committed_tid)) {
		if (j->error) {
			r = j->error;
			break;
		}
		if (j->committing) {
			/* Ours, or the one before: fsyncs gather in the running one meanwhile. */
			f4_journal_count(&j->stats.waits, 1);
			pthread_cond_wait(&j->commit_done, &j->lock);
		} else if (!j->running || f4_tid_after(tid, j->running->tid)) {
			break; /* nothing was ever changed in it */
		} else if (j->running->state == F4_TXN_LOCKED) {
			f4_journal_count(&j->stats.waits, 1);
			pthread_cond_wait(&j->commit_done, &j->lock);
		} else {
			/* An empty transaction is left running: nothing to make durable. */
			r = f4_commit_locked(j);
			break;
		}
	}
	pthread_mutex_unlock(&j->lock);
	return r;
}

int f4_journal_sync(struct f4_journal *j)
{
	f4_tid tid;

	pthread_mutex_lock(&j->lock);
	tid = j->running ? j->running->tid : j->committing ? j->committing->tid : 0;
	pthread_mutex_unlock(&j->lock);
	return f4_journal_commit_wait(j, tid);
}

void f4_journal_commit_start(struct f4_journal *j, f4_tid tid)
{
	pthread_mutex_lock(&j->lock);
	if (tid != 0 && !j->error && f4_tid_after(tid, j->committed_tid)) {
		j->want_commit = tid;
		if (j->p.workers)
			pthread_cond_signal(&j->wake_worker);
		else if (j->running && j->running->handles == 0 && !j->committing &&
			 j->running->state == F4_TXN_RUNNING)
			(void)f4_commit_locked(j); /* a failure aborts the journal: seen later */
	}
	pthread_mutex_unlock(&j->lock);
}

/* --- the background job --- */

/* What to do next, or sleep until there is something. Lock held. */
enum work { WORK_STOP, WORK_COMMIT, WORK_CHECKPOINT };

static bool commit_is_due(const struct f4_journal *j, int64_t now)
{
	const struct f4_txn *t = j->running;

	if (!t || t->state != F4_TXN_RUNNING || j->committing)
		return false;
	if (j->want_commit != 0 && !f4_tid_after(t->tid, j->want_commit))
		return true;
	return j->p.commit_interval_ms != 0 && now - t->started_ms >= j->p.commit_interval_ms;
}

static void worker_sleep(struct f4_journal *j)
{
	struct timespec ts;
	int64_t until;

	if (j->p.commit_interval_ms == 0 || !j->running || j->error) {
		j->worker_sleeps = true; /* begin wakes it for a new transaction */
		pthread_cond_wait(&j->wake_worker, &j->lock);
		j->worker_sleeps = false;
		return;
	}
	until = j->running->started_ms + j->p.commit_interval_ms;
	/* A transaction that is due but locked, or behind another commit: look again soon. */
	if (until <= f4_journal_now_ms())
		until = f4_journal_now_ms() + 20;
	ts.tv_sec = (time_t)(until / 1000);
	ts.tv_nsec = (long)(until % 1000) * 1000000;
	(void)pthread_cond_timedwait(&j->wake_worker, &j->lock, &ts); /* the caller looks why */
}

static enum work worker_wait(struct f4_journal *j)
{
	for (;;) {
		if (j->worker_stop)
			return WORK_STOP;
		if (!j->error && commit_is_due(j, f4_journal_now_ms()))
			return WORK_COMMIT;
		if (!j->error && j->want_ckpt)
			return WORK_CHECKPOINT;
		worker_sleep(j);
	}
}

static void worker_job(void *arg)
{
	struct f4_journal *j = arg;
	enum work work;

	pthread_mutex_lock(&j->lock);
	while ((work = worker_wait(j)) != WORK_STOP) {
		if (work == WORK_COMMIT) {
			j->want_commit = 0;
			/* Errors abort the journal, but for -ENOMEM: tried again next time. */
			if (f4_commit_locked(j) == -ENOMEM && j->running)
				j->running->started_ms = f4_journal_now_ms();
		} else {
			j->want_ckpt = false;
			pthread_mutex_unlock(&j->lock);
			(void)f4_checkpoint(j, j->usable / 4 * 3);
			pthread_mutex_lock(&j->lock);
		}
	}
	j->worker_runs = false;
	pthread_cond_broadcast(&j->ckpt_done);
	pthread_mutex_unlock(&j->lock);
}

static void worker_end(struct f4_journal *j)
{
	pthread_mutex_lock(&j->lock);
	j->worker_stop = true;
	pthread_cond_signal(&j->wake_worker);
	while (j->worker_runs)
		pthread_cond_wait(&j->ckpt_done, &j->lock);
	pthread_mutex_unlock(&j->lock);
}

/* --- flush and close --- */

int f4_journal_mark_empty(struct f4_journal *j)
{
	struct f4_jbd2_super *sb = f4_jlog_sb(&j->log);
	f4_tid next;
	int r = 0;

	pthread_mutex_lock(&j->sb_lock);
	pthread_mutex_lock(&j->lock);
	if (j->error || j->log_clean || j->committing || !f4_list_empty(&j->ckpt_txns)) {
		r = j->error;
		pthread_mutex_unlock(&j->lock);
		pthread_mutex_unlock(&j->sb_lock);
		return r;
	}
	/* A commit that begins from here on sets s_start again, after us: it needs sb_lock. */
	j->log_clean = true;
	j->tail = j->head;
	next = j->running ? j->running->tid : j->next_tid;
	pthread_mutex_unlock(&j->lock);
	sb->s_start = f4_mk_be32(0);
	sb->s_sequence = f4_mk_be32(next);
	r = f4_jlog_write_sb(&j->log, j->p.barrier);
	pthread_mutex_unlock(&j->sb_lock);
	if (r < 0)
		f4_journal_abort(j, r);
	return r;
}

int f4_journal_flush(struct f4_journal *j)
{
	int r = f4_journal_sync(j);

	if (r == 0 && j->has_log)
		r = f4_checkpoint(j, UINT32_MAX);
	return r;
}

void f4_txn_free(struct f4_txn *txn)
{
	struct f4_buf *buf, *tmp;

	if (!txn)
		return;
	f4_list_each_safe(buf, tmp, &txn->bufs, txn_link) {
		f4_list_del(&buf->txn_link);
		buf->txn = NULL;
		f4_buf_put(buf);
	}
	f4_list_each_safe(buf, tmp, &txn->forgotten, txn_link) {
		f4_list_del(&buf->txn_link);
		buf->forget_txn = NULL;
		f4_buf_put(buf);
	}
	f4_list_each_safe(buf, tmp, &txn->ckpt_bufs, ckpt_link) {
		f4_list_del(&buf->ckpt_link);
		buf->ckpt_txn = NULL;
		f4_buf_put(buf);
	}
	f4_list_del(&txn->link);
	f4_revoke_done(&txn->revokes);
	free(txn->snap);
	free(txn->staging);
	free(txn);
}

int f4_journal_close(struct f4_journal *j)
{
	struct f4_txn *txn, *tmp;
	int r;

	worker_end(j);
	r = j->error ? j->error : f4_journal_flush(j);
	assert(!j->committing);
	assert(!j->running || j->running->handles == 0);
	f4_txn_free(j->running);
	f4_list_each_safe(txn, tmp, &j->ckpt_txns, link)
		f4_txn_free(txn);
	journal_free(j);
	return r;
}
