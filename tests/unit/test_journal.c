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

int main(void)
{
	TEST_RUN(without_a_log);
	TEST_RUN(commit_goes_to_the_log);
	return test_done();
}
