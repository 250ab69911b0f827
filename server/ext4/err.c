/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Corruption found while running: said once, acted on, and recorded in the superblock.
 *
 * f4_volume_error may be called under any lock and inside a handle, so it writes nothing itself: it
 * leaves a record in memory. The record reaches the superblock with the next commit
 * (f4_super_pre_commit), or by f4_error_flush, which the ends of requests call with no lock held;
 * after an abort of the journal that writes to the superblock at home. Only the fields below change
 * there, and the next recovery keeps them (f4_error_keep): the log may hold an older superblock.
 *
 * A write at home after an abort can meet a checkpoint that is still on its way with a newer
 * superblock. That loses nothing: after an abort the tail of the log never moves, so the log brings
 * the newer one back.
 *
 * Source: kernel Documentation/filesystems/ext4/super.rst (s_error_count to s_last_error_func) and
 * Documentation/admin-guide/ext4.rst (errors=).
 */
#include "server/ext4/volume_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "server/ext4/inode.h"

#define LINE_MAX_BYTES 512
#define ERROR_LINES    50u /* said without a pause */
#define ERR_CODE_CORRUPT 5u /* EXT4_ERR_EFSCORRUPTED of <ext2fs/ext2_fs.h> */

void f4_volume_say(struct f4_volume *vol, int level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	va_list ap;

	if (!vol->log)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap); /* a long line is cut */
	va_end(ap);
	vol->log(vol->log_arg, level, line);
}

static enum f4_errors error_policy(struct f4_volume *vol)
{
	if (vol->opt.on_error != F4_ERRORS_DEFAULT)
		return vol->opt.on_error;
	/* s_errors is constant while mounted; the buffer is there from open on. */
	switch (vol->sb_buf ? f4_get_le16(f4_super_ptr(vol)->s_errors) : F4_ERRORS_CONTINUE) {
	case F4_ERRORS_RO:
		return F4_ON_ERROR_RO;
	case F4_ERRORS_PANIC:
		return F4_ON_ERROR_ABORT;
	default:
		return F4_ON_ERROR_CONTINUE;
	}
}

static void error_note(struct f4_volume *vol, const char *func, int line, uint32_t ino,
		       uint64_t blk)
{
	struct f4_error_record rec = {
		.time = (uint64_t)f4_now().tv_sec,
		.ino = ino,
		.blk = blk,
		.line = (uint32_t)line,
	};

	memcpy(rec.func, func, strnlen(func, sizeof(rec.func)));
	pthread_mutex_lock(&vol->state->err_lock);
	if (vol->state->err_new++ == 0)
		vol->state->err_first = rec;
	vol->state->err_last = rec;
	atomic_store(&vol->state->err_dirty, true);
	pthread_mutex_unlock(&vol->state->err_lock);
}

/* A damaged image can have much to say: the first lines all, then one for each power of two. */
static bool worth_a_line(uint64_t n)
{
	return n <= ERROR_LINES || (n & (n - 1)) == 0;
}

static void error_say(struct f4_volume *vol, uint64_t n, uint32_t ino, uint64_t blk, const char *what)
{
	char at[64] = "", more[48] = "";

	if (ino && blk)
		(void)snprintf(at, sizeof(at), "inode %u, block %llu: ", ino, (unsigned long long)blk);
	else if (ino)
		(void)snprintf(at, sizeof(at), "inode %u: ", ino);
	else if (blk)
		(void)snprintf(at, sizeof(at), "block %llu: ", (unsigned long long)blk);
	if (n > ERROR_LINES)
		(void)snprintf(more, sizeof(more), " (error number %llu)", (unsigned long long)n);
	f4_volume_say(vol, LOG_ERR, "corrupt: %s%s%s", at, what, more);
}

int f4_volume_error(struct f4_volume *vol, const char *func, int line, uint32_t ino, uint64_t blk,
		    const char *fmt, ...)
{
	enum f4_errors policy = error_policy(vol);
	char what[LINE_MAX_BYTES];
	uint64_t n;
	va_list ap;

	error_note(vol, func, line, ino, blk);
	n = atomic_fetch_add(&vol->errors_seen, 1) + 1;
	if (worth_a_line(n)) {
		va_start(ap, fmt);
		(void)vsnprintf(what, sizeof(what), fmt, ap); /* a long line is cut */
		va_end(ap);
		error_say(vol, n, ino, blk, what);
	}
	if (policy == F4_ON_ERROR_CONTINUE)
		return -EUCLEAN;
	if (policy == F4_ON_ERROR_ABORT)
		atomic_store(&vol->shut_down, true);
	if (!atomic_exchange(&vol->read_only, true)) {
		f4_volume_say(vol, LOG_ERR, "nothing is written any more (errors=%s)",
			      policy == F4_ON_ERROR_ABORT ? "panic" : "remount-ro");
		if (vol->journal)
			f4_journal_abort(vol->journal, -EUCLEAN);
	}
	return -EUCLEAN;
}

static void merge_first(struct f4_super *sb, const struct f4_error_record *r)
{
	f4_super_set_time(&sb->s_first_error_time, &sb->s_first_error_time_hi, r->time);
	sb->s_first_error_ino = f4_mk_le32(r->ino);
	sb->s_first_error_line = f4_mk_le32(r->line);
	sb->s_first_error_block = f4_mk_le64(r->blk);
	memcpy(sb->s_first_error_func, r->func, sizeof(sb->s_first_error_func));
	sb->s_first_error_errcode = ERR_CODE_CORRUPT;
}

static void merge_last(struct f4_super *sb, const struct f4_error_record *r)
{
	f4_super_set_time(&sb->s_last_error_time, &sb->s_last_error_time_hi, r->time);
	sb->s_last_error_ino = f4_mk_le32(r->ino);
	sb->s_last_error_line = f4_mk_le32(r->line);
	sb->s_last_error_block = f4_mk_le64(r->blk);
	memcpy(sb->s_last_error_func, r->func, sizeof(sb->s_last_error_func));
	sb->s_last_error_errcode = ERR_CODE_CORRUPT;
}

/* Adds @n errors to @sb. */
static void merge(struct f4_super *sb, uint32_t n, const struct f4_error_record *first,
		  const struct f4_error_record *last)
{
	sb->s_state = f4_mk_le16((uint16_t)(f4_get_le16(sb->s_state) | F4_STATE_ERROR));
	if (f4_get_le32(sb->s_first_error_time) == 0 && sb->s_first_error_time_hi == 0)
		merge_first(sb, first);
	merge_last(sb, last);
	sb->s_error_count = f4_mk_le32(f4_get_le32(sb->s_error_count) + n);
}

void f4_error_merge(struct f4_volume *vol, struct f4_super *sb)
{
	struct f4_volume_state *st = vol->state;

	pthread_mutex_lock(&st->err_lock);
	if (st->err_new)
		merge(sb, st->err_new, &st->err_first, &st->err_last);
	st->err_new = 0;
	atomic_store(&st->err_dirty, false);
	pthread_mutex_unlock(&st->err_lock);
}

/* For f4_super_write_home, which edits two copies: the record must survive the first. */
static void edit_merge(struct f4_volume *vol, struct f4_super *sb)
{
	struct f4_volume_state *st = vol->state;

	pthread_mutex_lock(&st->err_lock);
	if (st->err_new)
		merge(sb, st->err_new, &st->err_first, &st->err_last);
	pthread_mutex_unlock(&st->err_lock);
}

static void flush_home(struct f4_volume *vol)
{
	struct f4_volume_state *st = vol->state;
	uint32_t n;
	int r;

	pthread_mutex_lock(&st->err_lock);
	n = st->err_new;
	pthread_mutex_unlock(&st->err_lock);
	if (n == 0 || vol->disk->read_only)
		return;
	r = f4_super_write_home(vol, edit_merge);
	if (r < 0)
		f4_volume_say(vol, LOG_ERR, "error record: superblock: %s", strerror(-r));
	pthread_mutex_lock(&st->err_lock);
	st->err_new -= n < st->err_new ? n : st->err_new; /* what came meanwhile stays */
	pthread_mutex_unlock(&st->err_lock);
}

void f4_error_flush(struct f4_volume *vol)
{
	struct f4_handle h;

	if (!atomic_load(&vol->state->err_dirty))
		return;
	/* A volume opened read-only is not written to, not even for this. */
	if (!vol->state->marked || !vol->journal) {
		atomic_store(&vol->state->err_dirty, false);
		return;
	}
	if (f4_journal_error(vol->journal) == 0 && f4_txn_begin(vol->journal, 1, &h) == 0) {
		f4_tid tid = h.tid;

		pthread_mutex_lock(&vol->sb_lock);
		if (f4_txn_write(&h, vol->sb_buf) == 0)
			f4_error_merge(vol, f4_super_ptr(vol));
		pthread_mutex_unlock(&vol->sb_lock);
		if (f4_txn_end(&h) == 0) {
			f4_journal_commit_start(vol->journal, tid);
			return;
		}
	}
	if (atomic_exchange(&vol->state->err_dirty, false))
		flush_home(vol);
}

void f4_error_keep(struct f4_super *after, const struct f4_super *before)
{
	const size_t from = offsetof(struct f4_super, s_error_count);
	const size_t to = offsetof(struct f4_super, s_mount_opts);

	after->s_state = f4_mk_le16((uint16_t)(f4_get_le16(after->s_state) |
					       (f4_get_le16(before->s_state) & F4_STATE_ERROR)));
	/* The log may know of more: records travel through it too. */
	if (f4_get_le32(before->s_error_count) <= f4_get_le32(after->s_error_count))
		return;
	memcpy((uint8_t *)after + from, (const uint8_t *)before + from, to - from);
	after->s_first_error_time_hi = before->s_first_error_time_hi;
	after->s_last_error_time_hi = before->s_last_error_time_hi;
	after->s_first_error_errcode = before->s_first_error_errcode;
	after->s_last_error_errcode = before->s_last_error_errcode;
}
