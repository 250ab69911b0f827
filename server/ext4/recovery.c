/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recovery: three walks over the log.
 *
 *   scan    from s_start on, as long as blocks carry the magic and the expected number; each commit
 *           block lets the number rise. Where that ends, the log ends.
 *   revoke  collect revoked blocks, each with the last transaction that revoked it.
 *   replay  give each block to put(), but for those revoked in the same or a later transaction.
 *
 * Checksums (v2, v3) of descriptors and revoke blocks that fail in the scan are either stale blocks
 * of an older life of the log or damage: the commit block's time tells which, as it does in the
 * kernel. A commit block whose own checksum fails ends the log. If no transaction follows it, that
 * is a commit block torn by a power cut, whose fsync never returned: the log just ends earlier
 * (the kernel refuses the mount there; what is replayed is the same). If one follows, it is damage:
 * what precedes is replayed, and the result is -EUCLEAN.
 *
 * Everything read is hostile: each walk is bounded by the length of the ring, tags by their block.
 *
 * Fast commits (logical records behind the last full commit) are found but not replayed; the
 * caller refuses to write then.
 */
#include "server/ext4/recovery.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "server/ext4/csum.h"
#include "server/ext4/journal_priv.h"
#include "server/ext4/volume.h"

#define WINDOW_BYTES (256u * 1024u)

enum pass { PASS_SCAN, PASS_REVOKE, PASS_REPLAY };

struct walk {
	const struct f4_recovery_params *p;
	struct f4_jlog log;
	struct f4_recovery_result res;
	struct f4_revoke_set revokes;
	enum pass pass;
	f4_tid next;   /* the number that blocks must carry */
	uint32_t blk;  /* the next log block */
	uint32_t left; /* blocks that this walk may still visit */
	bool have_end;
	f4_tid end;    /* the first transaction that is not replayed */
	int damage;    /* replay goes on, this is returned at the end */
	bool failed_commit; /* the commit block of `end` has a bad checksum */
	/* scan only */
	bool suspicious; /* a checksum failed since the last commit block */
	uint64_t last_time;
	uint32_t crc;	 /* v1 checksum of the transaction so far */
	/* memory, owned */
	uint8_t *head;	 /* a copy of the descriptor, revoke or commit block being looked at */
	uint8_t *data;	 /* a copy of a data block */
	uint8_t *window; /* log blocks [window_blk, window_blk + window_len) */
	uint32_t window_blk, window_len;
};

struct tag {
	uint64_t blk;
	uint32_t flags, csum;
};

static uint32_t window_blocks(const struct walk *w)
{
	uint32_t n = WINDOW_BYTES / w->log.block_size;

	return n ? n : 1;
}

/* Read log block @blk into @buf, through the window. */
static int read_block(struct walk *w, uint32_t blk, uint8_t *buf)
{
	uint32_t n = window_blocks(w);
	size_t bs = w->log.block_size;
	int r;

	if (blk >= w->log.total)
		return -EUCLEAN;
	if (w->window_len == 0 || blk < w->window_blk || blk - w->window_blk >= w->window_len) {
		if (n > w->log.total - blk)
			n = w->log.total - blk;
		w->window_len = 0;
		r = f4_jlog_read(&w->log, blk, n, w->window);
		/* A block behind the one that we want may be bad, or not mapped. */
		if (r < 0 && n > 1) {
			n = 1;
			r = f4_jlog_read(&w->log, blk, 1, w->window);
		}
		if (r < 0)
			return r;
		w->window_blk = blk;
		w->window_len = n;
	}
	memcpy(buf, w->window + (blk - w->window_blk) * bs, bs);
	return 0;
}

/* Step over @n blocks. False: more than the ring holds, so this is no log. */
static bool step(struct walk *w, uint32_t n)
{
	if (n > w->left)
		return false;
	w->left -= n;
	w->blk = f4_jlog_advance(&w->log, w->blk, n);
	return true;
}

/* The tag at *@off of descriptor w->head; *@off moves behind it. False: no room for another. */
static bool next_tag(const struct walk *w, uint32_t *off, struct tag *ret)
{
	uint32_t end = w->log.block_size - (w->log.csum ? sizeof(struct f4_jbd2_tail) : 0);
	const uint8_t *at = w->head + *off;

	if (*off + w->log.tag_bytes > end)
		return false;
	ret->blk = f4_load_be32(at);
	if (w->log.csum3) {
		ret->flags = f4_load_be32(at + 4);
		ret->csum = f4_load_be32(at + 12);
	} else {
		ret->csum = f4_load_be16(at + 4);
		ret->flags = f4_load_be16(at + 6);
	}
	if (w->log.is_64bit)
		ret->blk |= (uint64_t)f4_load_be32(at + 8) << 32;
	*off += w->log.tag_bytes + (ret->flags & F4_JBD2_TAG_SAME_UUID ? 0 : 16);
	return true;
}

static uint32_t count_tags(const struct walk *w)
{
	uint32_t off = sizeof(struct f4_jbd2_header), n = 0;
	struct tag tag;

	while (next_tag(w, &off, &tag)) {
		n++;
		if (tag.flags & F4_JBD2_TAG_LAST)
			break;
	}
	return n;
}

/* What a block's visit says to the walk. */
enum visit { VISIT_ON, VISIT_END };

static int replay_block(struct walk *w, const struct tag *tag, uint32_t log_blk)
{
	f4_tid revoked;
	int r = read_block(w, log_blk, w->data);

	if (r < 0) {
		/* Bring home what can be read, and fail in the end. */
		w->damage = r;
		return 0;
	}
	if (f4_revoke_find(&w->revokes, tag->blk, &revoked) && !f4_tid_after(w->next, revoked)) {
		w->res.revoked++;
		return 0;
	}
	if (w->log.csum) {
		uint32_t csum = f4_jlog_block_csum(&w->log, w->next, w->data);

		if (tag->csum != (w->log.csum3 ? csum : (csum & 0xffff))) {
			f4_jlog_say(w->p->vol, LOG_ERR,
				    "journal: checksum of block %llu in transaction %u is wrong",
				    (unsigned long long)tag->blk, w->next);
			w->damage = -EUCLEAN;
			return 0;
		}
	}
	if (tag->blk >= w->p->fs_blocks) {
		f4_jlog_say(w->p->vol, LOG_ERR, "journal: block %llu is beyond the filesystem",
			    (unsigned long long)tag->blk);
		w->damage = -EUCLEAN;
		return 0;
	}
	if (tag->flags & F4_JBD2_TAG_ESCAPE)
		f4_store_be32(w->data, F4_JBD2_MAGIC);
	w->res.blocks++;
	return w->p->put(w->p->arg, tag->blk, w->data);
}

static int replay_descriptor(struct walk *w)
{
	uint32_t off = sizeof(struct f4_jbd2_header);
	struct tag tag;

	while (next_tag(w, &off, &tag)) {
		uint32_t log_blk = w->blk;
		int r;

		if (!step(w, 1))
			return -EUCLEAN;
		r = replay_block(w, &tag, log_blk);
		if (r < 0)
			return r;
		if (tag.flags & F4_JBD2_TAG_LAST)
			break;
	}
	return VISIT_ON;
}

/* v1: the crc of the descriptor and its blocks is in the commit block. */
static int add_v1_csum(struct walk *w, uint32_t n)
{
	w->crc = f4_crc32_be(w->crc, w->head, w->log.block_size);
	for (uint32_t i = 0; i < n; i++) {
		int r = read_block(w, f4_jlog_advance(&w->log, w->blk, i), w->data);

		if (r < 0)
			return r;
		w->crc = f4_crc32_be(w->crc, w->data, w->log.block_size);
	}
	return 0;
}

static int visit_descriptor(struct walk *w)
{
	uint32_t n = count_tags(w);

	if (!f4_jlog_tail_ok(&w->log, w->head)) {
		if (w->pass != PASS_SCAN)
			return -EUCLEAN;
		w->suspicious = true;
	}
	if (w->pass == PASS_REPLAY)
		return replay_descriptor(w);
	if (w->pass == PASS_SCAN && (w->log.compat & F4_JBD2_COMPAT_CHECKSUM) && !w->suspicious &&
	    !w->have_end && n <= w->left) {
		int r = add_v1_csum(w, n);

		if (r < 0)
			return VISIT_END;
	}
	return step(w, n) ? VISIT_ON : VISIT_END;
}

static int visit_revoke(struct walk *w)
{
	uint32_t record = w->log.is_64bit ? 8 : 4;
	uint32_t off = sizeof(struct f4_jbd2_revoke);
	uint32_t end = f4_load_be32(w->head + sizeof(struct f4_jbd2_header));
	uint32_t room = w->log.block_size - (w->log.csum ? sizeof(struct f4_jbd2_tail) : 0);

	if (w->pass == PASS_SCAN && !f4_jlog_tail_ok(&w->log, w->head))
		w->suspicious = true;
	if (w->pass != PASS_REVOKE)
		return VISIT_ON;
	if (end > room)
		return -EUCLEAN;
	for (; off + record <= end; off += record) {
		uint64_t blk = record == 8 ? f4_load_be64(w->head + off)
					   : f4_load_be32(w->head + off);
		int r;

		if (blk >= w->p->fs_blocks)
			continue; /* nothing there can be replayed either */
		r = f4_revoke_add(&w->revokes, blk, w->next);
		if (r < 0)
			return r;
	}
	return VISIT_ON;
}

static bool commit_csum_ok(const struct walk *w)
{
	struct f4_jbd2_commit c;
	uint32_t crc;

	memcpy(&c, w->head, sizeof(c));
	if (w->log.csum) {
		uint32_t found = f4_get_be32(c.h_chksum[0]);

		c.h_chksum[0] = f4_mk_be32(0);
		crc = f4_crc32c(w->log.csum_seed, &c, sizeof(c));
		crc = f4_crc32c(crc, w->head + sizeof(c), w->log.block_size - sizeof(c));
		return crc == found;
	}
	if (!(w->log.compat & F4_JBD2_COMPAT_CHECKSUM))
		return true;
	crc = f4_get_be32(c.h_chksum[0]);
	if (c.h_chksum_type == 0 && c.h_chksum_size == 0 && crc == 0)
		return true; /* written without one */
	return c.h_chksum_type == F4_JBD2_CHKSUM_CRC32 &&
	       c.h_chksum_size == F4_JBD2_CHKSUM_CRC32_SIZE && crc == w->crc;
}

static int scan_commit(struct walk *w)
{
	uint64_t when = f4_load_be64(w->head + offsetof(struct f4_jbd2_commit, h_commit_sec));

	if (w->suspicious) {
		if (when < w->last_time)
			return VISIT_END; /* left over from before the log was made */
		f4_jlog_say(w->p->vol, LOG_ERR, "journal: transaction %u has a bad checksum",
			    w->next);
		return -EUCLEAN;
	}
	if ((w->log.compat & F4_JBD2_COMPAT_CHECKSUM) && w->have_end) {
		w->failed_commit = true;
		return VISIT_END;
	}
	if (!commit_csum_ok(w)) {
		if (when < w->last_time)
			return VISIT_END;
		if (!w->have_end) {
			w->have_end = true;
			w->end = w->next;
		}
		if (!(w->log.incompat & F4_JBD2_INCOMPAT_ASYNC_COMMIT)) {
			w->failed_commit = true;
			return VISIT_END;
		}
	}
	w->crc = ~0u;
	w->last_time = when;
	return VISIT_ON;
}

static int visit(struct walk *w)
{
	int r;

	switch (f4_load_be32(w->head + offsetof(struct f4_jbd2_header, h_blocktype))) {
	case F4_JBD2_DESCRIPTOR:
		return visit_descriptor(w);
	case F4_JBD2_REVOKE:
		return visit_revoke(w);
	case F4_JBD2_COMMIT:
		r = w->pass == PASS_SCAN ? scan_commit(w) : VISIT_ON;
		if (r == VISIT_ON)
			w->next++;
		return r;
	default:
		return VISIT_END;
	}
}

static bool has_magic(const uint8_t *block, f4_tid tid)
{
	return f4_load_be32(block) == F4_JBD2_MAGIC &&
	       f4_load_be32(block + offsetof(struct f4_jbd2_header, h_sequence)) == tid;
}

static int walk_log(struct walk *w, enum pass pass)
{
	const struct f4_jbd2_super *sb = f4_jlog_sb(&w->log);
	int r = VISIT_ON;

	w->pass = pass;
	w->next = f4_get_be32(sb->s_sequence);
	w->blk = f4_get_be32(sb->s_start);
	w->left = w->log.last - w->log.first;
	w->crc = ~0u;
	while (r == VISIT_ON) {
		if (pass != PASS_SCAN && !f4_tid_after(w->end, w->next))
			break;
		r = read_block(w, w->blk, w->head);
		if (r < 0)
			return r;
		if (!step(w, 1) || !has_magic(w->head, w->next))
			break;
		r = visit(w);
	}
	if (r < 0)
		return r;
	if (pass == PASS_SCAN && !w->have_end) {
		w->have_end = true;
		w->end = w->next;
	}
	/* The walks must agree; they don't where a block could be read only once. */
	if (pass != PASS_SCAN && w->next != w->end)
		return -EIO;
	return 0;
}

/* Is the transaction after the one with the bad commit block there? Then it isn't the torn tail. */
static int judge_failed_commit(struct walk *w)
{
	int r;

	if (!w->failed_commit)
		return 0;
	r = read_block(w, w->blk, w->head);
	if (r < 0)
		return r;
	if (has_magic(w->head, w->end + 1)) {
		f4_jlog_say(w->p->vol, LOG_ERR, "journal: transaction %u is damaged", w->end);
		w->damage = -EUCLEAN;
	} else {
		f4_jlog_say(w->p->vol, LOG_WARNING,
			    "journal: the last commit block (transaction %u) is torn", w->end);
	}
	return 0;
}

/* --- fast commits --- */

/* The records of one block. @crc, @open: state of the stream. Return: 1 go on, 0 end, 2 found one. */
static int scan_fc_block(const struct walk *w, uint32_t *crc, bool first)
{
	uint32_t bs = w->log.block_size, off = 0;

	while (off + sizeof(struct f4_jbd2_fc_tl) <= bs) {
		const uint8_t *at = w->head + off;
		uint32_t tag = f4_load_le16(at), len = f4_load_le16(at + 2);
		uint32_t whole = (uint32_t)sizeof(struct f4_jbd2_fc_tl) + len;

		if (whole > bs - off)
			return 0;
		if (first && off == 0 && tag != F4_JBD2_FC_TAG_HEAD)
			return 0;
		if (tag == F4_JBD2_FC_TAG_HEAD) {
			if (len < sizeof(struct f4_jbd2_fc_head) ||
			    f4_load_le32(at + 8) != w->end)
				return 0;
			if (f4_load_le32(at + 4) != 0)
				return 2; /* of a kind that we don't know: surely not ignored */
		} else if (tag == F4_JBD2_FC_TAG_TAIL) {
			if (len < sizeof(struct f4_jbd2_fc_tail))
				return 0;
			*crc = f4_crc32c(*crc, at, sizeof(struct f4_jbd2_fc_tl) + 4);
			return f4_load_le32(at + 4) == w->end && f4_load_le32(at + 8) == *crc
				       ? 2 : 0;
		} else if (tag == 0 || tag > F4_JBD2_FC_TAG_HEAD) {
			return 0;
		}
		*crc = f4_crc32c(*crc, at, whole);
		off += whole;
	}
	return 1;
}

/* One whole stream, head to tail with the right crc, is a fast commit. */
static int find_fast_commits(struct walk *w)
{
	uint32_t crc = 0;
	int state = 1;

	for (uint32_t blk = w->log.fc_first; blk < w->log.fc_last && state == 1; blk++) {
		int r = read_block(w, blk, w->head);

		if (r < 0)
			return r;
		state = scan_fc_block(w, &crc, blk == w->log.fc_first);
	}
	w->res.fast_commits = state == 2;
	return 0;
}

/* --- the whole --- */

static int recover(struct walk *w)
{
	const struct f4_jbd2_super *sb = f4_jlog_sb(&w->log);
	uint32_t bs = w->log.block_size;
	f4_tid start = f4_get_be32(sb->s_sequence);
	int r;

	w->res.journal_errno = (int32_t)f4_get_be32(sb->s_errno);
	w->res.next_tid = start + 1;
	if (f4_get_be32(sb->s_start) == 0)
		return 0;
	w->res.needed = true;
	w->head = malloc(bs);
	w->data = malloc(bs);
	w->window = malloc((size_t)window_blocks(w) * bs);
	if (!w->head || !w->data || !w->window)
		return -ENOMEM;
	r = walk_log(w, PASS_SCAN);
	if (r == 0)
		r = judge_failed_commit(w);
	if (r == 0)
		r = walk_log(w, PASS_REVOKE);
	if (r == 0)
		r = walk_log(w, PASS_REPLAY);
	if (r < 0)
		return r;
	w->res.commits = w->end - start;
	w->res.next_tid = w->end + 1;
	r = find_fast_commits(w);
	return r < 0 ? r : w->damage;
}

int f4_recovery_run(const struct f4_recovery_params *p, struct f4_recovery_result *ret)
{
	struct walk w = { .p = p };
	int r = f4_jlog_init(&w.log, p->vol, p->log_disk, p->log_map, p->log_map_len,
			     p->block_size);

	if (r == 0)
		r = recover(&w);
	if (w.res.next_tid == 0)
		w.res.next_tid = 1;
	if (r == 0)
		*ret = w.res;
	f4_revoke_done(&w.revokes);
	free(w.head);
	free(w.data);
	free(w.window);
	f4_jlog_done(&w.log);
	return r;
}

int f4_recovery_finish(const struct f4_recovery_params *p, const struct f4_recovery_result *result)
{
	struct f4_jlog log;
	int r = f4_jlog_init(&log, p->vol, p->log_disk, p->log_map, p->log_map_len, p->block_size);

	if (r == 0) {
		struct f4_jbd2_super *sb = f4_jlog_sb(&log);

		sb->s_start = f4_mk_be32(0);
		sb->s_sequence = f4_mk_be32(result->next_tid);
		sb->s_errno = f4_mk_be32(0);
		if (log.incompat & F4_JBD2_INCOMPAT_FAST_COMMIT)
			sb->s_feature_incompat =
				f4_mk_be32(log.incompat & ~F4_JBD2_INCOMPAT_FAST_COMMIT);
		r = f4_jlog_write_sb(&log, true);
	}
	f4_jlog_done(&log);
	return r;
}
