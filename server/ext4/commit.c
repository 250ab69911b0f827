/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commit: the running transaction becomes durable.
 *
 * The thread that asks does the work (one at a time): lock the transaction, let its handles end,
 * copy its buffers, open the next transaction, then seal and checksum the copies and write them.
 * Handles wait for the copying only.
 *
 * The order on the device: revoke, descriptor and data blocks (and, the first time, the log's
 * superblock with s_start) in any order; flush, which also makes the ordered file data durable;
 * then the commit block, durable on return. A crash before the commit block is there leaves
 * nothing of the transaction. s_start need not be durable earlier: without it there is no
 * transaction to find, and with it but without the commit block there is none either.
 *
 * Without a log the copies go home, sorted, and are flushed.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/ext4/csum.h"
#include "server/ext4/journal_priv.h"

/* A staging area up to this size is kept for the next commit. */
#define SPARE_MAX (1u << 20)

/* --- preparing: the transaction is locked --- */

/* The transaction can't be committed now: let it go on. Lock held. */
static int back_to_running(struct f4_journal *j, struct f4_txn *t, int r)
{
	t->state = F4_TXN_RUNNING;
	t->started_ms = f4_journal_now_ms();
	pthread_cond_broadcast(&j->can_begin);
	pthread_cond_broadcast(&j->commit_done);
	return r;
}

/* Lock held, released during the callback. */
static void call_pre_commit(struct f4_journal *j, struct f4_txn *t)
{
	struct f4_handle h = { .journal = j, .txn = t, .tid = t->tid,
			       .reserved = F4_PRE_COMMIT_CREDITS };

	if (!j->p.pre_commit)
		return;
	t->handles = 1;
	pthread_mutex_unlock(&j->lock);
	j->p.pre_commit(j->p.vol, &h);
	pthread_mutex_lock(&j->lock);
	/* A callback that aborted has ended the handle. */
	if (h.txn) {
		t->reserved -= h.reserved;
		t->handles = 0;
	}
}

static int get_staging(struct f4_journal *j, struct f4_txn *t, size_t bytes)
{
	void *mem;

	if (bytes <= j->spare_bytes) {
		t->staging = j->spare_staging;
		t->staging_bytes = j->spare_bytes;
		j->spare_staging = NULL;
		j->spare_bytes = 0;
		return 0;
	}
	if (posix_memalign(&mem, 4096, bytes) != 0)
		return -ENOMEM;
	t->staging = mem;
	t->staging_bytes = bytes;
	return 0;
}

static int by_block(const void *a, const void *b)
{
	uint64_t x = ((const struct f4_snap *)a)->buf->blk;
	uint64_t y = ((const struct f4_snap *)b)->buf->blk;

	return (x > y) - (x < y);
}

/* Where in the staging area copy @i goes: behind its descriptor in the log, or just in a row. */
static uint32_t place_of(const struct f4_journal *j, const struct f4_txn *t, uint32_t i)
{
	if (!j->has_log)
		return i;
	return t->n_revoke_blocks + i + i / j->tags_per_desc + 1;
}

/* Copy the locked, drained transaction. On failure nothing has changed. */
static int take_snapshot(struct f4_journal *j, struct f4_txn *t)
{
	uint32_t i = 0, n_desc = 0, n_revoke = 0;
	struct f4_snap *snap;
	struct f4_buf *buf;
	int r;

	if (j->has_log) {
		n_desc = (t->nbufs + j->tags_per_desc - 1) / j->tags_per_desc;
		n_revoke = (uint32_t)((t->revokes.count + j->revokes_per_block - 1) /
				      j->revokes_per_block);
	}
	if (j->faults & F4_FAULT_DROP_REVOKE)
		n_revoke = 0;
	snap = malloc((t->nbufs ? t->nbufs : 1) * sizeof(*snap));
	if (!snap)
		return -ENOMEM;
	t->n_staging = t->nbufs + n_desc + n_revoke;
	r = get_staging(j, t, (size_t)(t->n_staging ? t->n_staging : 1) * j->block_size);
	if (r < 0) {
		free(snap);
		return r;
	}
	t->snap = snap;
	t->n_snap = t->nbufs;
	t->n_revoke_blocks = n_revoke;
	f4_list_each(buf, &t->bufs, txn_link)
		snap[i++].buf = buf;
	assert(i == t->n_snap);
	if (!j->has_log)
		qsort(snap, t->n_snap, sizeof(*snap), by_block);
	for (i = 0; i < t->n_snap; i++) {
		snap[i].copy = t->staging + (size_t)place_of(j, t, i) * j->block_size;
		memcpy(snap[i].copy, snap[i].buf->data, j->block_size);
	}
	return 0;
}

/* The next transaction may begin; this one has its place in the log. Lock held. */
static void switch_txn(struct f4_journal *j, struct f4_txn *t, bool *ret_first)
{
	for (uint32_t i = 0; i < t->n_snap; i++) {
		struct f4_buf *buf = t->snap[i].buf;

		f4_list_del(&buf->txn_link);
		buf->txn = NULL;
		buf->commit_txn = t; /* the reference goes along */
	}
	t->nbufs = 0;
	t->state = F4_TXN_COMMIT;
	j->running = NULL;
	j->committing = t;
	*ret_first = false;
	if (j->has_log) {
		assert(t->n_staging + 1 <= f4_journal_free_blocks(j));
		t->log_start = j->head;
		if (j->log_clean) {
			j->log_clean = false;
			j->tail = j->head;
			*ret_first = true;
		}
		j->head = f4_jlog_advance(&j->log, j->head, t->n_staging + 1);
	}
	pthread_cond_broadcast(&j->can_begin);
}

/* --- building the log's image --- */

static void put_header(uint8_t *block, uint32_t type, f4_tid tid)
{
	struct f4_jbd2_header *h = (struct f4_jbd2_header *)(void *)block;

	h->h_magic = f4_mk_be32(F4_JBD2_MAGIC);
	h->h_blocktype = f4_mk_be32(type);
	h->h_sequence = f4_mk_be32(tid);
}

static void put_tag(const struct f4_jlog *log, uint8_t *at, uint64_t blk, uint32_t flags,
		    uint32_t csum)
{
	if (log->csum3) {
		struct f4_jbd2_tag3 tag = {
			.t_blocknr = f4_mk_be32((uint32_t)blk),
			.t_flags = f4_mk_be32(flags),
			.t_blocknr_high = f4_mk_be32((uint32_t)(blk >> 32)),
			.t_checksum = f4_mk_be32(csum),
		};

		memcpy(at, &tag, sizeof(tag));
	} else {
		struct f4_jbd2_tag tag = {
			.t_blocknr = f4_mk_be32((uint32_t)blk),
			.t_checksum = f4_mk_be16(log->csum ? (uint16_t)csum : 0),
			.t_flags = f4_mk_be16((uint16_t)flags),
			.t_blocknr_high = f4_mk_be32((uint32_t)(blk >> 32)),
		};

		memcpy(at, &tag, log->is_64bit ? sizeof(tag) : sizeof(tag) - 4);
	}
}

static void build_revokes(struct f4_journal *j, struct f4_txn *t)
{
	uint32_t record = j->log.is_64bit ? 8 : 4, left = 0;
	uint8_t *block = t->staging - j->block_size, *at = NULL;

	if (t->n_revoke_blocks == 0)
		return;
	memset(t->staging, 0, (size_t)t->n_revoke_blocks * j->block_size);
	for (size_t i = 0; i < t->revokes.n_slots; i++) {
		uint64_t key = t->revokes.slots[i].key;

		if (key == 0 || key == UINT64_MAX)
			continue;
		if (left == 0) {
			block += j->block_size;
			put_header(block, F4_JBD2_REVOKE, t->tid);
			at = block + sizeof(struct f4_jbd2_revoke);
			left = j->revokes_per_block;
		}
		if (record == 8)
			f4_store_be64(at, key - 1);
		else
			f4_store_be32(at, (uint32_t)(key - 1));
		at += record;
		left--;
		f4_store_be32(block + sizeof(struct f4_jbd2_header), (uint32_t)(at - block));
	}
	for (uint32_t i = 0; i < t->n_revoke_blocks; i++)
		f4_jlog_seal_tail(&j->log, t->staging + (size_t)i * j->block_size);
}

static void seal(struct f4_journal *j, const struct f4_snap *s)
{
	if (s->buf->class && s->buf->class->seal)
		s->buf->class->seal(j->p.vol, s->buf, s->copy);
}

/* The descriptor of copies @from to @to (exclusive), which stand behind it. */
static void build_descriptor(struct f4_journal *j, struct f4_txn *t, uint32_t from, uint32_t to)
{
	uint8_t *block = t->snap[from].copy - j->block_size;
	uint8_t *at = block + sizeof(struct f4_jbd2_header);

	memset(block, 0, j->block_size);
	put_header(block, F4_JBD2_DESCRIPTOR, t->tid);
	for (uint32_t i = from; i < to; i++) {
		struct f4_snap *s = &t->snap[i];
		uint32_t flags = i > from ? F4_JBD2_TAG_SAME_UUID : 0, csum = 0;

		seal(j, s);
		if (f4_load_be32(s->copy) == F4_JBD2_MAGIC) {
			flags |= F4_JBD2_TAG_ESCAPE;
			f4_store_be32(s->copy, 0);
		}
		if (i + 1 == to)
			flags |= F4_JBD2_TAG_LAST;
		if (j->log.csum)
			csum = f4_jlog_block_csum(&j->log, t->tid, s->copy);
		put_tag(&j->log, at, s->buf->blk, flags, csum);
		at += j->log.tag_bytes;
		if (i == from) {
			memcpy(at, f4_jlog_sb(&j->log)->s_uuid, 16);
			at += 16;
		}
	}
	f4_jlog_seal_tail(&j->log, block);
}

static void build_commit_block(struct f4_journal *j, const struct f4_txn *t)
{
	struct f4_jbd2_commit *c = (struct f4_jbd2_commit *)(void *)j->commit_block;
	struct timespec ts;

	memset(j->commit_block, 0, j->block_size);
	put_header(j->commit_block, F4_JBD2_COMMIT, t->tid);
	clock_gettime(CLOCK_REALTIME, &ts);
	c->h_commit_sec = f4_mk_be64((uint64_t)ts.tv_sec);
	c->h_commit_nsec = f4_mk_be32((uint32_t)ts.tv_nsec);
	if (j->log.csum)
		c->h_chksum[0] = f4_mk_be32(
			f4_crc32c(j->log.csum_seed, j->commit_block, j->block_size));
}

/* --- writing --- */

/* s_start points at the first transaction since the log was clean. */
static int write_first_sb(struct f4_journal *j, const struct f4_txn *t)
{
	struct f4_jbd2_super *sb = f4_jlog_sb(&j->log);
	int r;

	pthread_mutex_lock(&j->sb_lock);
	sb->s_start = f4_mk_be32(t->log_start);
	sb->s_sequence = f4_mk_be32(t->tid);
	r = f4_jlog_write_sb(&j->log, false);
	pthread_mutex_unlock(&j->sb_lock);
	return r;
}

static int write_log(struct f4_journal *j, struct f4_txn *t, bool first)
{
	uint32_t to_end = j->log.last - t->log_start;
	uint32_t part = t->n_staging < to_end ? t->n_staging : to_end;
	int r = first ? write_first_sb(j, t) : 0;

	build_revokes(j, t);
	for (uint32_t i = 0; i < t->n_snap; i += j->tags_per_desc)
		build_descriptor(j, t, i,
				 i + j->tags_per_desc < t->n_snap ? i + j->tags_per_desc
								  : t->n_snap);
	build_commit_block(j, t);
	if (r == 0)
		r = f4_jlog_write(&j->log, t->log_start, part, t->staging, false);
	if (r == 0 && part < t->n_staging)
		r = f4_jlog_write(&j->log, j->log.first, t->n_staging - part,
				  t->staging + (size_t)part * j->block_size, false);
	if (r == 0 && !(j->faults & F4_FAULT_SKIP_FLUSH))
		r = f4_journal_flush_disks(j, true);
	if (r == 0) {
		bool fua = j->p.barrier && !(j->faults & F4_FAULT_NO_COMMIT_FUA);

		if (fua)
			f4_journal_count(&j->stats.flushes, 1);
		r = f4_jlog_write(&j->log, f4_jlog_advance(&j->log, t->log_start, t->n_staging), 1,
				  j->commit_block, fua);
	}
	f4_journal_count(&j->stats.log_blocks, t->n_staging + 1);
	f4_journal_count(&j->stats.revokes, t->revokes.count);
	return r;
}

int f4_write_home(struct f4_journal *j, const struct f4_snap *snaps, uint32_t n)
{
	uint32_t i = 0;

	while (i < n) {
		uint32_t run = 1;
		int r;

		while (i + run < n && snaps[i + run].buf->blk == snaps[i].buf->blk + run &&
		       snaps[i + run].copy == snaps[i].copy + (size_t)run * j->block_size)
			run++;
		r = f4_disk_write(j->p.disk, snaps[i].copy, (size_t)run * j->block_size,
				  snaps[i].buf->blk * j->block_size);
		if (r < 0)
			return r;
		f4_journal_count(&j->stats.home_blocks, run);
		i += run;
	}
	return 0;
}

static int write_without_log(struct f4_journal *j, struct f4_txn *t)
{
	int r;

	for (uint32_t i = 0; i < t->n_snap; i++)
		seal(j, &t->snap[i]);
	r = f4_write_home(j, t->snap, t->n_snap);
	return r < 0 ? r : f4_journal_flush_disks(j, false);
}

/* --- finishing --- */

/* @t is durable: what it freed needs no older copy any more. Lock held, may be released to wait. */
static void drop_forgotten(struct f4_journal *j, struct f4_txn *t)
{
	while (!f4_list_empty(&t->forgotten)) {
		struct f4_buf *buf = f4_list_first(&t->forgotten, struct f4_buf, txn_link);

		/* A checkpoint's write under way must not land after the block has a new owner. */
		if (buf->home_io) {
			pthread_cond_wait(&j->ckpt_done, &j->lock);
			continue;
		}
		f4_list_del(&buf->txn_link);
		buf->forget_txn = NULL;
		if (buf->ckpt_txn) {
			f4_list_del(&buf->ckpt_link);
			buf->ckpt_txn = NULL;
			f4_buf_put(buf);
		}
		f4_buf_put(buf);
	}
}

/* The duty to bring the blocks home moves to @t from whichever older transaction had it. Lock held. */
static void move_duties(struct f4_journal *j, struct f4_txn *t)
{
	for (uint32_t i = 0; i < t->n_snap; i++) {
		struct f4_buf *buf = t->snap[i].buf;

		buf->commit_txn = NULL;
		if (!j->has_log) {
			f4_buf_put(buf);
			continue;
		}
		if (buf->ckpt_txn) {
			f4_list_del(&buf->ckpt_link);
			f4_buf_put(buf);
		}
		if (buf->home_io)
			buf->home_io = F4_HOME_STALE;
		buf->ckpt_txn = t; /* with the snapshot's reference */
		f4_list_add_tail(&t->ckpt_bufs, &buf->ckpt_link);
	}
	t->n_snap = 0;
}

static void release_staging(struct f4_journal *j, struct f4_txn *t)
{
	if (t->staging_bytes <= SPARE_MAX && t->staging_bytes > j->spare_bytes) {
		uint8_t *old = j->spare_staging;

		j->spare_staging = t->staging;
		j->spare_bytes = t->staging_bytes;
		free(old);
	} else {
		free(t->staging);
	}
	t->staging = NULL;
	t->staging_bytes = 0;
	free(t->snap);
	t->snap = NULL;
	f4_revoke_done(&t->revokes);
}

/* Lock held, released for the callback. */
static void finish(struct f4_journal *j, struct f4_txn *t)
{
	drop_forgotten(j, t);
	move_duties(j, t);
	release_staging(j, t);
	t->state = F4_TXN_DONE;
	f4_journal_count(&j->stats.commits, 1);
	if (j->p.committed) {
		/* Before anybody who waits for the commit is told of it. */
		pthread_mutex_unlock(&j->lock);
		j->p.committed(j->p.vol, t->tid);
		pthread_mutex_lock(&j->lock);
	}
	j->committed_tid = t->tid;
	j->committing = NULL;
	if (j->has_log)
		f4_list_add_tail(&j->ckpt_txns, &t->link);
	else
		f4_txn_free(t);
	pthread_cond_broadcast(&j->commit_done);
}

/* The copies never became durable. Lock held, released for the abort. */
static void fail(struct f4_journal *j, struct f4_txn *t, int r)
{
	pthread_mutex_unlock(&j->lock);
	f4_journal_abort(j, r);
	pthread_mutex_lock(&j->lock);
	for (uint32_t i = 0; i < t->n_snap; i++) {
		t->snap[i].buf->commit_txn = NULL;
		f4_buf_put(t->snap[i].buf);
	}
	t->n_snap = 0;
	j->committing = NULL;
	f4_txn_free(t);
	pthread_cond_broadcast(&j->commit_done);
}

int f4_commit_locked(struct f4_journal *j)
{
	struct f4_txn *t = j->running;
	bool first;
	int r;

	assert(t && t->state == F4_TXN_RUNNING && !j->committing);
	t->state = F4_TXN_LOCKED;
	while (t->handles > 0)
		pthread_cond_wait(&j->drained, &j->lock);
	if (j->error)
		return back_to_running(j, t, j->error);
	if (t->nbufs == 0 && t->revokes.count == 0)
		return back_to_running(j, t, 0);
	call_pre_commit(j, t);
	if (j->error)
		return back_to_running(j, t, j->error);

	pthread_mutex_unlock(&j->lock);
	r = take_snapshot(j, t);
	pthread_mutex_lock(&j->lock);
	if (r < 0) {
		t->reserved = F4_PRE_COMMIT_CREDITS;
		return back_to_running(j, t, r);
	}
	switch_txn(j, t, &first);
	pthread_mutex_unlock(&j->lock);

	r = j->has_log ? write_log(j, t, first) : write_without_log(j, t);

	pthread_mutex_lock(&j->lock);
	if (r == 0)
		finish(j, t);
	else
		fail(j, t, r);
	return r;
}
