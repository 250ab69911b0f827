/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transactions, with a log and without: what is where after commit, checkpoint, crash and error. */
#include "server/ext4/journal.h"

#include <errno.h>

#include "tests/lib/check.h"
#include "tests/lib/jfix.h"

#define V3 (F4_JBD2_INCOMPAT_REVOKE | F4_JBD2_INCOMPAT_64BIT | F4_JBD2_INCOMPAT_CSUM_V3)

/* Crash now; recover; open again. */
static int reopen(struct jfix *f, struct f4_recovery_result *res)
{
	int r;

	jfix_drop(f);
	r = jfix_recover(f, res);
	return r < 0 ? r : jfix_open(f);
}

static void without_a_log(void)
{
	struct jfix f;
	struct f4_journal_stats st;

	jfix_init(&f, &(struct jfix_params){ .no_log = true });
	TEST_REQUIRE(jfix_open(&f) == 0);
	for (uint32_t i = 0; i < 100; i++)
		TEST_EQ(jfix_set1(&f, 99 - i, 7 + i, false), 0);
	TEST_EQ(jfix_home(&f, 5), 0);
	TEST_EQ(f4_journal_sync(f.j), 0);
	TEST_EQ(jfix_home(&f, 5), 7 + 94);
	f4_journal_get_stats(f.j, &st);
	TEST_EQ(st.commits, 1);
	TEST_EQ(st.flushes, 1);
	TEST_EQ(st.home_blocks, 100);
	/* Neighbours went out in one write. */
	TEST_EQ(f4_sim_count(f.disk, F4_SIM_WRITE), 2);
	TEST_EQ(jfix_set1(&f, 5, 4711, true), 0);
	TEST_EQ(jfix_home(&f, 5), 4711);
	TEST_EQ(jfix_set1(&f, 6, 4712, false), 0);
	TEST_EQ(jfix_close(&f), 0);
	TEST_EQ(jfix_home(&f, 6), 4712);
	jfix_done(&f);
}

static void commit_goes_to_the_log(void)
{
	struct f4_recovery_result res;
	struct f4_journal_stats st;
	struct f4_jbd2_super sb;
	struct jfix f;

	jfix_init(&f, &(struct jfix_params){ .incompat = V3 });
	TEST_REQUIRE(jfix_open(&f) == 0);
	TEST_EQ(jfix_set1(&f, 10, 1, true), 0);
	TEST_EQ(jfix_set1(&f, 11, 2, true), 0);
	TEST_EQ(jfix_set1(&f, 10, 3, true), 0);
	TEST_EQ(jfix_set1(&f, 12, 4, false), 0); /* not committed */
	TEST_EQ(jfix_home(&f, 10), 0);
	f4_journal_get_stats(f.j, &st);
	TEST_EQ(st.commits, 3);
	TEST_EQ(st.flushes, 6);
	TEST_EQ(f.committed, f4_journal_committed_tid(f.j));
	TEST_REQUIRE(reopen(&f, &res) == 0);
	TEST_CHECK(res.needed);
	TEST_EQ(res.commits, 3);
	TEST_EQ(res.blocks, 3);
	TEST_EQ(jfix_get(&f, 10), 3);
	TEST_EQ(jfix_get(&f, 11), 2);
	TEST_EQ(jfix_get(&f, 12), 0);
	TEST_EQ(jfix_set1(&f, 12, 5, false), 0);
	TEST_EQ(jfix_close(&f), 0);
	TEST_EQ(jfix_home(&f, 12), 5);
	jfix_log_super(&f, &sb);
	TEST_EQ(f4_get_be32(sb.s_start), 0);
	TEST_EQ(jfix_recover(&f, &res), 0);
	TEST_CHECK(!res.needed);
	jfix_done(&f);
}


/* A block that begins with the journal's magic must come back as it was. */
static void magic_is_escaped(void)
{
	struct f4_recovery_result res;
	struct jfix f;

	jfix_init(&f, &(struct jfix_params){ .incompat = V3 });
	TEST_REQUIRE(jfix_open(&f) == 0);
	TEST_EQ(jfix_set1(&f, 10, 0x98393bc0, false), 0);
	TEST_EQ(jfix_set1(&f, 11, 0x98393bc0, true), 0);
	TEST_REQUIRE(reopen(&f, &res) == 0);
	TEST_EQ(jfix_home(&f, 10), 0x98393bc0);
	TEST_EQ(jfix_home(&f, 11), 0x98393bc0);
	TEST_EQ(jfix_close(&f), 0);
	jfix_done(&f);
}

static void revoked_blocks_stay_away(void)
{
	struct f4_recovery_result res;
	struct f4_handle h;
	struct jfix f;

	jfix_init(&f, &(struct jfix_params){ .incompat = V3 });
	TEST_REQUIRE(jfix_open(&f) == 0);
	for (uint32_t blk = 20; blk < 24; blk++)
		TEST_EQ(jfix_set1(&f, blk, 1, true), 0);
	TEST_REQUIRE(f4_txn_begin(f.j, 4, &h) == 0);
	TEST_EQ(f4_txn_forget(&h, 20), 0);
	TEST_EQ(f4_txn_forget(&h, 21), 0);
	TEST_EQ(f4_txn_forget(&h, 22), 0);
	/* Used again in the same transaction: that copy counts, the revoke is off. */
	TEST_EQ(jfix_create(&f, &h, 21, 2), 0);
	TEST_EQ(f4_txn_end(&h), 0);
	TEST_EQ(f4_journal_sync(f.j), 0);
	/* Used again in a later one. */
	TEST_REQUIRE(f4_txn_begin(f.j, 1, &h) == 0);
	TEST_EQ(jfix_create(&f, &h, 22, 3), 0);
	TEST_EQ(f4_txn_end(&h), 0);
	TEST_EQ(f4_journal_sync(f.j), 0);
	TEST_REQUIRE(reopen(&f, &res) == 0);
	TEST_EQ(res.revoked, 2); /* the first copies of 20 and 22 */
	TEST_EQ(jfix_get(&f, 20), 0);
	TEST_EQ(jfix_get(&f, 21), 2);
	TEST_EQ(jfix_get(&f, 22), 3);
	TEST_EQ(jfix_get(&f, 23), 1);
	TEST_EQ(jfix_close(&f), 0);
	jfix_done(&f);
}

/* More revokes than one block holds; a handle without credits for them. */
static void many_revokes(void)
{
	struct f4_recovery_result res;
	struct f4_handle h;
	struct jfix f;

	jfix_init(&f, &(struct jfix_params){ .incompat = V3, .block_size = 1024 });
	TEST_REQUIRE(jfix_open(&f) == 0);
	for (uint32_t i = 0; i < 600; i++)
		TEST_EQ(jfix_set1(&f, i, 1, false), 0);
	TEST_EQ(f4_journal_sync(f.j), 0);
	TEST_REQUIRE(f4_txn_begin(f.j, 1, &h) == 0);
	TEST_EQ(jfix_set(&f, &h, 1000, 5), 0);
	for (uint32_t i = 0; i < 600; i++)
		TEST_EQ(f4_txn_forget(&h, i), 0);
	TEST_EQ(f4_txn_end(&h), 0);
	TEST_EQ(f4_journal_sync(f.j), 0);
	TEST_REQUIRE(reopen(&f, &res) == 0);
	TEST_CHECK(res.revoked > 0);
	TEST_EQ(jfix_get(&f, 1000), 5);
	TEST_EQ(jfix_close(&f), 0);
	jfix_done(&f);
}

/* A checkpoint's duty ends when the transaction that freed the block is durable, not earlier. */
static void forgotten_blocks_never_go_home(void)
{
	struct f4_handle h;
	struct jfix f;

	jfix_init(&f, &(struct jfix_params){ .incompat = V3 });
	TEST_REQUIRE(jfix_open(&f) == 0);
	TEST_EQ(jfix_set1(&f, 20, 1, true), 0);
	TEST_REQUIRE(f4_txn_begin(f.j, 2, &h) == 0);
	TEST_EQ(jfix_set(&f, &h, 20, 2), 0);
	TEST_EQ(f4_txn_forget(&h, 20), 0);
	TEST_EQ(jfix_set(&f, &h, 21, 9), 0);
	TEST_EQ(f4_txn_end(&h), 0);
	TEST_EQ(f4_journal_flush(f.j), 0);
	TEST_EQ(jfix_home(&f, 20), 0);
	TEST_EQ(jfix_home(&f, 21), 9);
	TEST_EQ(jfix_close(&f), 0);
	jfix_done(&f);
}

static void credits_are_counted(void)
{
	struct f4_handle h;
	struct jfix f;
	uint32_t max;
	f4_tid tid;

	jfix_init(&f, &(struct jfix_params){ .incompat = V3 });
	TEST_REQUIRE(jfix_open(&f) == 0);
	max = f4_journal_max_credits(f.j);
	TEST_CHECK(max >= 240 && max <= 256);
	TEST_EQ(f4_txn_begin(f.j, max + 1, &h), -EINVAL);
	TEST_EQ(f4_txn_begin(f.j, 0, &h), -EINVAL);
	TEST_REQUIRE(f4_txn_begin(f.j, 2, &h) == 0);
	TEST_EQ(jfix_set(&f, &h, 1, 1), 0);
	TEST_EQ(jfix_set(&f, &h, 2, 1), 0);
	TEST_EQ(h.reserved, 0);
	TEST_EQ(jfix_set(&f, &h, 2, 2), 0); /* already in it */
	TEST_EQ(jfix_set(&f, &h, 3, 1), -ENOSPC);
	TEST_EQ(f4_txn_extend(&h, 1), 0);
	TEST_EQ(jfix_set(&f, &h, 3, 1), 0);
	TEST_EQ(f4_txn_extend(&h, max), -ENOSPC);
	tid = h.tid;
	TEST_EQ(f4_txn_restart(&h, max), 0); /* there was no room in the old one */
	TEST_CHECK(f4_tid_after(h.tid, tid));
	TEST_EQ(h.reserved, max);
	/* What a forgotten block took comes back. */
	TEST_EQ(jfix_set(&f, &h, 4, 1), 0);
	TEST_EQ(h.reserved, max - 1);
	TEST_EQ(f4_txn_forget(&h, 4), 0);
	TEST_EQ(h.reserved, max - 1); /* one for the revoke block */
	TEST_EQ(f4_txn_end(&h), 0);
	TEST_EQ(jfix_close(&f), 0);
	TEST_EQ(jfix_home(&f, 3), 1);
	jfix_done(&f);
}

static void sync_handles_and_empty_ones(void)
{
	struct f4_journal_stats st;
	struct f4_handle h;
	struct jfix f;
	f4_tid tid;

	jfix_init(&f, &(struct jfix_params){ .incompat = V3 });
	TEST_REQUIRE(jfix_open(&f) == 0);
	TEST_EQ(f4_journal_sync(f.j), 0);
	TEST_EQ(f4_journal_commit_wait(f.j, 0), 0);
	TEST_REQUIRE(f4_txn_begin(f.j, 1, &h) == 0);
	tid = h.tid;
	TEST_EQ(f4_txn_end(&h), 0);
	/* Nothing was changed: no I/O, and the number is still to be used. */
	TEST_EQ(f4_journal_commit_wait(f.j, tid), 0);
	TEST_EQ(f4_journal_running_tid(f.j), tid);
	f4_journal_get_stats(f.j, &st);
	TEST_EQ(st.commits, 0);
	TEST_EQ(st.flushes, 0);
	TEST_EQ(jfix_set1(&f, 1, 1, true), 0);
	TEST_EQ(f4_journal_committed_tid(f.j), tid);
	/* Asked for while a handle is open: done when it ends. */
	TEST_REQUIRE(f4_txn_begin(f.j, 1, &h) == 0);
	TEST_EQ(jfix_set(&f, &h, 1, 2), 0);
	f4_journal_commit_start(f.j, h.tid);
	TEST_EQ(f4_journal_committed_tid(f.j), tid);
	TEST_EQ(f4_txn_end(&h), 0);
	TEST_EQ(f4_journal_committed_tid(f.j), tid + 1);
	TEST_EQ(jfix_close(&f), 0);
	jfix_done(&f);
}

static void add_counts(struct f4_volume *vol, struct f4_handle *h)
{
	struct jfix *f = f4_container_of(vol, struct jfix, vol);

	TEST_EQ(h->reserved, 8);
	TEST_EQ(jfix_set(f, h, 0, f4_load_le32("\1\2\3")), 0);
}

static void pre_commit_is_part_of_it(void)
{
	struct f4_recovery_result res;
	struct jfix f;

	jfix_init(&f, &(struct jfix_params){ .incompat = V3 });
	f.pre_commit = add_counts;
	TEST_REQUIRE(jfix_open(&f) == 0);
	TEST_EQ(jfix_set1(&f, 1, 1, true), 0);
	TEST_REQUIRE(reopen(&f, &res) == 0);
	TEST_EQ(res.blocks, 2);
	TEST_EQ(jfix_get(&f, 0), 0x030201);
	TEST_EQ(jfix_close(&f), 0);
	jfix_done(&f);
}

static void abort_loses_the_running_one_only(void)
{
	struct f4_recovery_result res;
	struct f4_jbd2_super sb;
	struct f4_handle h, h2;
	struct jfix f;

	jfix_init(&f, &(struct jfix_params){ .incompat = V3 });
	TEST_REQUIRE(jfix_open(&f) == 0);
	TEST_EQ(jfix_set1(&f, 1, 1, true), 0);
	TEST_EQ(jfix_set1(&f, 2, 2, false), 0);
	TEST_REQUIRE(f4_txn_begin(f.j, 2, &h2) == 0);
	TEST_REQUIRE(f4_txn_begin(f.j, 2, &h) == 0);
	TEST_EQ(jfix_set(&f, &h, 1, 3), 0);
	TEST_EQ(f4_txn_abort(&h, -EUCLEAN), -EUCLEAN);
	TEST_EQ(f.aborted, -EUCLEAN);
	TEST_EQ(f4_journal_error(f.j), -EUCLEAN);
	f4_journal_abort(f.j, -EIO); /* the first one counts */
	TEST_EQ(f.aborted, -EUCLEAN);
	TEST_EQ(jfix_set(&f, &h2, 4, 4), -EROFS);
	TEST_EQ(f4_txn_forget(&h2, 4), -EROFS);
	TEST_EQ(f4_txn_end(&h2), -EUCLEAN);
	TEST_EQ(f4_txn_begin(f.j, 1, &h), -EROFS);
	TEST_EQ(f4_journal_sync(f.j), -EUCLEAN);
	TEST_EQ(f4_journal_flush(f.j), -EUCLEAN);
	TEST_EQ(jfix_get(&f, 1), 3); /* reads go on */
	TEST_EQ(jfix_close(&f), -EUCLEAN);
	jfix_log_super(&f, &sb);
	TEST_EQ((int32_t)f4_get_be32(sb.s_errno), -EUCLEAN);
	TEST_EQ(jfix_recover(&f, &res), 0);
	TEST_EQ(res.journal_errno, -EUCLEAN);
	TEST_EQ(jfix_home(&f, 1), 1);
	TEST_EQ(jfix_home(&f, 2), 0);
	jfix_log_super(&f, &sb);
	TEST_EQ(f4_get_be32(sb.s_errno), 0);
	jfix_done(&f);
}

/* The kernel's habits with features, on a clean log. */
static void features_are_brought_up(void)
{
	struct f4_jbd2_super sb;
	struct jfix f;

	jfix_init(&f, &(struct jfix_params){ .v1_super = true });
	f.vol.has_csum = true;
	f.vol.incompat = F4_INCOMPAT_64BIT;
	TEST_REQUIRE(jfix_open(&f) == 0);
	TEST_EQ(jfix_set1(&f, 1, 1, true), 0);
	jfix_log_super(&f, &sb);
	TEST_EQ(f4_get_be32(sb.s_header.h_blocktype), F4_JBD2_SUPER_V2);
	TEST_EQ(f4_get_be32(sb.s_feature_incompat), V3);
	TEST_EQ(f4_get_be32(sb.s_start), 1);
	TEST_EQ(f4_get_be32(sb.s_sequence), 2);
	TEST_EQ(jfix_close(&f), 0);
	jfix_done(&f);

	jfix_init(&f, &(struct jfix_params){ .log_blocks = 1500, .num_fc = 300, .compat = 1,
		.incompat = F4_JBD2_INCOMPAT_FAST_COMMIT | F4_JBD2_INCOMPAT_ASYNC_COMMIT });
	TEST_REQUIRE(jfix_open(&f) == 0);
	TEST_EQ(jfix_set1(&f, 1, 1, true), 0);
	jfix_log_super(&f, &sb);
	TEST_EQ(f4_get_be32(sb.s_feature_incompat), F4_JBD2_INCOMPAT_REVOKE);
	TEST_EQ(f4_get_be32(sb.s_feature_compat), 0);
	TEST_EQ(jfix_close(&f), 0);
	jfix_done(&f);
}

static void bad_superblocks_are_refused(void)
{
	static const struct {
		uint32_t off, value;
		int want;
	} bad[] = {
		{ 0x00, 0, -EUCLEAN },	  /* magic */
		{ 0x04, 7, -EUCLEAN },	  /* type */
		{ 0x0c, 1024, -EUCLEAN }, /* block size */
		{ 0x10, 1025, -EUCLEAN }, /* longer than its place */
		{ 0x10, 1000, -EUCLEAN }, /* too short */
		{ 0x14, 0, -EUCLEAN },
		{ 0x14, 1024, -EUCLEAN },
		{ 0x14, UINT32_MAX, -EUCLEAN },
		{ 0x1c, 1024, -EUCLEAN }, /* start beyond */
		{ 0x1c, 5, -EUCLEAN },	  /* needs recovery */
		{ 0x28, 0x40, -EOPNOTSUPP },
		{ 0x2c, 1, -EOPNOTSUPP },
		{ 0x28, F4_JBD2_INCOMPAT_CSUM_V2 | F4_JBD2_INCOMPAT_CSUM_V3, -EUCLEAN },
		{ 0x28, F4_JBD2_INCOMPAT_CSUM_V3, -EUCLEAN }, /* no checksum there */
		{ 0x28, F4_JBD2_INCOMPAT_FAST_COMMIT, -EUCLEAN }, /* leaves too little */
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t v[4];
		struct jfix f;

		jfix_init(&f, &(struct jfix_params){ 0 });
		f4_store_be32(v, bad[i].value);
		TEST_EQ(f4_disk_write(f.disk, v, 4, jfix_log_pos(&f, 0) + bad[i].off), 0);
		TEST_EQ(jfix_open(&f), bad[i].want);
		jfix_done(&f);
	}
}

static void external_log(void)
{
	struct f4_recovery_result res;
	struct jfix f;

	for (uint32_t bs = 1024; bs <= 4096; bs *= 4) {
		jfix_init(&f, &(struct jfix_params){ .incompat = V3, .external = true,
						     .block_size = bs, .log_blocks = 1100 });
		TEST_REQUIRE(jfix_open(&f) == 0);
		for (uint32_t i = 0; i < 2000; i++)
			TEST_EQ(jfix_set1(&f, i % 300, i, i % 3 == 0), 0);
		TEST_EQ(f4_journal_sync(f.j), 0);
		TEST_REQUIRE(reopen(&f, &res) == 0);
		for (uint32_t i = 1700; i < 2000; i++)
			TEST_EQ(jfix_get(&f, i % 300), i);
		TEST_EQ(jfix_close(&f), 0);
		jfix_done(&f);
	}
}

/* Without barriers no flush at all, and still every commit in order. */
static void no_barrier(void)
{
	struct f4_recovery_result res;
	struct jfix f;

	jfix_init(&f, &(struct jfix_params){ .incompat = V3 });
	f.no_barrier = true;
	TEST_REQUIRE(jfix_open(&f) == 0);
	for (uint32_t i = 0; i < 2000; i++)
		TEST_EQ(jfix_set1(&f, i % 10, i, true), 0);
	TEST_EQ(f4_sim_count(f.disk, F4_SIM_FLUSH | F4_SIM_FUA), 0);
	TEST_REQUIRE(reopen(&f, &res) == 0);
	TEST_EQ(jfix_get(&f, 9), 1999);
	TEST_EQ(jfix_close(&f), 0);
	jfix_done(&f);
}

/* Ids run out: 0 is left out, nothing is lost. */
static void ids_wrap(void)
{
	struct f4_recovery_result res;
	struct jfix f;

	jfix_init(&f, &(struct jfix_params){ .incompat = V3, .first_sequence = 0xfffffff0u });
	TEST_REQUIRE(jfix_open(&f) == 0);
	for (uint32_t i = 0; i < 40; i++) {
		TEST_EQ(jfix_set1(&f, i % 7, i, true), 0);
		TEST_CHECK(f4_journal_committed_tid(f.j) != 0);
	}
	TEST_CHECK(f4_journal_committed_tid(f.j) < 100);
	TEST_REQUIRE(reopen(&f, &res) == 0);
	for (uint32_t i = 33; i < 40; i++)
		TEST_EQ(jfix_get(&f, i % 7), i);
	TEST_EQ(jfix_close(&f), 0);
	jfix_done(&f);
}

/*
 * The n-th write, flush or read fails, for all n: it is reported, nothing is written afterwards
 * but s_errno, and recovery gives a whole commit, none older than the last that was reported.
 */
static void fail_at(uint32_t kinds, uint64_t n, bool on_and_on, bool *ret_reached)
{
	struct f4_recovery_result res;
	uint32_t told = 0, i, now;
	struct jfix f;
	int r = 0;

	jfix_init(&f, &(struct jfix_params){ .incompat = V3, .block_size = 1024 });
	f4_sim_fail(f.disk, kinds, n, -EIO, on_and_on);
	r = jfix_open(&f);
	if (r < 0) {
		*ret_reached = true;
		TEST_EQ(r, -EIO);
		jfix_done(&f);
		return;
	}
	/* Two blocks with the same number in each commit; big ones, so that it checkpoints too. */
	for (i = 1; i <= 60 && r == 0; i++) {
		struct f4_handle h;

		r = f4_txn_begin(f.j, 30, &h);
		if (r < 0)
			break;
		for (uint32_t blk = 0; blk < 30 && r == 0; blk++)
			r = jfix_set(&f, &h, blk * 3, i);
		r = r < 0 ? f4_txn_abort(&h, r) : f4_txn_end(&h);
		if (r == 0)
			r = f4_journal_sync(f.j);
		if (r == 0)
			told = i;
	}
	*ret_reached = f4_sim_failed(f.disk) > 0;
	if (!*ret_reached)
		TEST_EQ(r, 0);
	else if (r == 0)
		r = jfix_close(&f); /* then close meets it */
	*ret_reached = f4_sim_failed(f.disk) > 0;
	TEST_EQ(*ret_reached, r < 0);
	if (f.j)
		(void)jfix_close(&f);
	f4_sim_fail_none(f.disk);
	TEST_EQ(jfix_recover(&f, &res), 0);
	now = jfix_home(&f, 0);
	TEST_CHECK(now >= told && now <= i);
	for (uint32_t blk = 1; blk < 30; blk++)
		TEST_EQ(jfix_home(&f, blk * 3), now);
	jfix_done(&f);
}

static void every_failure_is_contained(void)
{
	static const uint32_t kinds[] = { F4_SIM_WRITE, F4_SIM_FLUSH, F4_SIM_FUA, F4_SIM_READ,
					  F4_SIM_WRITE | F4_SIM_FLUSH | F4_SIM_FUA };
	uint32_t runs = 0;

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (int on = 0; on < 2; on++) {
			bool reached = true;

			for (uint64_t n = 1; reached; n += n < 20 ? 1 : 3, runs++)
				fail_at(kinds[k], n, on, &reached);
		}
	}
	printf("     %u runs\n", runs);
}

int main(void)
{
	TEST_RUN(without_a_log);
	TEST_RUN(commit_goes_to_the_log);
	TEST_RUN(magic_is_escaped);
	TEST_RUN(revoked_blocks_stay_away);
	TEST_RUN(many_revokes);
	TEST_RUN(forgotten_blocks_never_go_home);
	TEST_RUN(credits_are_counted);
	TEST_RUN(sync_handles_and_empty_ones);
	TEST_RUN(pre_commit_is_part_of_it);
	TEST_RUN(abort_loses_the_running_one_only);
	TEST_RUN(features_are_brought_up);
	TEST_RUN(bad_superblocks_are_refused);
	TEST_RUN(external_log);
	TEST_RUN(no_barrier);
	TEST_RUN(ids_wrap);
	TEST_RUN(every_failure_is_contained);
	return test_done();
}
