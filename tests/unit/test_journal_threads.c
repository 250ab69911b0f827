/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal under many threads and with its background job: no deadlock on the smallest log,
 * group commit, commit by time, checkpoints side by side with everything. Also built with the
 * thread sanitizer.
 */
#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "server/ext4/workers.h"
#include "tests/lib/check.h"
#include "tests/lib/jfix.h"

#define V3 (F4_JBD2_INCOMPAT_REVOKE | F4_JBD2_INCOMPAT_64BIT | F4_JBD2_INCOMPAT_CSUM_V3)
#define THREADS 8u
#define OWN	40u /* blocks that a thread changes alone, as under an inode's lock */
#define SHARED_FIRST 3000u

struct shared {
	struct jfix f;
	pthread_mutex_t shared_lock[4]; /* of blocks that all change, as a group's bitmap */
	uint32_t rounds;
	bool sync;
};

struct thread {
	struct shared *s;
	uint32_t n;
	uint64_t rnd;
	uint32_t last[OWN]; /* what its blocks hold */
	int result;
};

static uint32_t rnd(struct thread *t, uint32_t n)
{
	t->rnd = t->rnd * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(t->rnd >> 33) % n;
}

static int add_one(struct jfix *f, struct f4_handle *h, uint64_t blk)
{
	f4_auto_buf *buf = NULL;
	int r = f4_buf_read(f->cache, blk, &jfix_class, 0, 0, &buf);

	if (r == 0)
		r = f4_txn_write(h, buf);
	if (r == 0)
		f4_store_le32(buf->data, f4_load_le32(buf->data) + 1);
	return r;
}

static int one_round(struct thread *t, uint32_t round)
{
	struct jfix *f = &t->s->f;
	uint32_t n = 1 + rnd(t, 20), g = rnd(t, 4);
	struct f4_handle h;
	int r = f4_txn_begin(f->j, n + 2, &h);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < n && r == 0; i++) {
		uint32_t b = rnd(t, OWN);
		uint64_t blk = t->n * OWN + b;

		if (t->last[b] != 0 && rnd(t, 4) == 0) {
			r = f4_txn_forget(&h, blk);
			t->last[b] = 0;
			if (r == 0 && h.reserved > 0)
				r = jfix_create(f, &h, blk, t->last[b] = round * 2 + 1);
		} else if (h.reserved > 1) {
			r = jfix_set(f, &h, blk, t->last[b] = round * 2 + 1);
		}
	}
	pthread_mutex_lock(&t->s->shared_lock[g]);
	if (r == 0 && h.reserved > 0)
		r = add_one(f, &h, SHARED_FIRST + g);
	pthread_mutex_unlock(&t->s->shared_lock[g]);
	h.sync = t->s->sync && rnd(t, 3) == 0;
	return r < 0 ? f4_txn_abort(&h, r) : f4_txn_end(&h);
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	for (uint32_t i = 1; i <= t->s->rounds && t->result == 0; i++)
		t->result = one_round(t, i);
	return NULL;
}

static void run(const struct jfix_params *p, size_t workers, uint32_t rounds, bool sync)
{
	struct shared s = { .rounds = rounds, .sync = sync };
	struct thread t[THREADS];
	pthread_t id[THREADS];
	struct f4_journal_stats st;
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < 4; i++)
		pthread_mutex_init(&s.shared_lock[i], NULL);
	jfix_init(&s.f, p);
	if (workers)
		TEST_REQUIRE(f4_workers_new(workers, &s.f.workers) == 0);
	s.f.interval_ms = 20;
	TEST_REQUIRE(jfix_open(&s.f) == 0);
	for (uint32_t i = 0; i < THREADS; i++) {
		t[i] = (struct thread){ .s = &s, .n = i, .rnd = i + 1 };
		pthread_create(&id[i], NULL, thread_main, &t[i]);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		pthread_join(id[i], NULL);
		TEST_EQ(t[i].result, 0);
	}
	f4_journal_get_stats(s.f.j, &st);
	TEST_EQ(jfix_close(&s.f), 0);
	for (uint32_t i = 0; i < THREADS; i++)
		for (uint32_t b = 0; b < OWN; b++)
			wrong += t[i].last[b] != 0 &&
				 jfix_home(&s.f, i * OWN + b) != t[i].last[b];
	TEST_EQ(wrong, 0);
	printf("     %llu commits, %llu waits, %llu tail moves\n", (unsigned long long)st.commits,
	       (unsigned long long)st.waits, (unsigned long long)st.checkpoints);
	f4_workers_free(s.f.workers);
	jfix_done(&s.f);
}

static void small_log_under_pressure(void)
{
	run(&(struct jfix_params){ .incompat = V3, .block_size = 1024 }, 1, 300, false);
	run(&(struct jfix_params){ .incompat = V3, .block_size = 1024 }, 1, 300, true);
}

static void without_workers(void)
{
	run(&(struct jfix_params){ .incompat = V3, .block_size = 1024 }, 0, 300, true);
}

static void without_log(void)
{
	run(&(struct jfix_params){ .no_log = true }, 1, 200, true);
}

static void commits_by_time(void)
{
	struct timespec ms = { .tv_nsec = 1000000 };
	struct jfix f;
	f4_tid tid;
	int i;

	jfix_init(&f, &(struct jfix_params){ .incompat = V3 });
	TEST_REQUIRE(f4_workers_new(1, &f.workers) == 0);
	f.interval_ms = 30;
	TEST_REQUIRE(jfix_open(&f) == 0);
	for (uint32_t round = 0; round < 3; round++) {
		tid = f4_journal_running_tid(f.j);
		TEST_EQ(jfix_set1(&f, 1, round, false), 0);
		for (i = 0; i < 5000 && f4_tid_after(tid, f4_journal_committed_tid(f.j)); i++)
			nanosleep(&ms, NULL);
		TEST_CHECK(i < 5000);
	}
	/* And at once when asked to. */
	tid = f4_journal_running_tid(f.j);
	TEST_EQ(jfix_set1(&f, 1, 9, false), 0);
	f4_journal_commit_start(f.j, tid);
	for (i = 0; i < 5000 && f4_tid_after(tid, f4_journal_committed_tid(f.j)); i++)
		nanosleep(&ms, NULL);
	TEST_CHECK(i < 5000);
	TEST_EQ(jfix_close(&f), 0);
	/* A journal opened right after another one gets its thread. */
	TEST_EQ(jfix_open(&f), 0);
	TEST_EQ(jfix_close(&f), 0);
	f4_workers_free(f.workers);
	jfix_done(&f);
}

/* A disk whose flush takes a while, as a real one's does. */
static int (*real_flush)(struct f4_disk *d);
static struct f4_disk_ops slow_ops;

static int slow_flush(struct f4_disk *d)
{
	usleep(2000);
	return real_flush(d);
}

static void *sync_main(void *arg)
{
	struct thread *t = arg;

	for (uint32_t i = 1; i <= t->s->rounds && t->result == 0; i++)
		t->result = jfix_set1(&t->s->f, t->n, i, true);
	return NULL;
}

static void fsyncs_share_commits(void)
{
	struct shared s = { .rounds = 40 };
	struct thread t[THREADS];
	pthread_t id[THREADS];
	struct f4_journal_stats st;

	jfix_init(&s.f, &(struct jfix_params){ .incompat = V3 });
	slow_ops = *s.f.disk->ops;
	real_flush = slow_ops.flush;
	slow_ops.flush = slow_flush;
	s.f.disk->ops = &slow_ops;
	TEST_REQUIRE(jfix_open(&s.f) == 0);
	for (uint32_t i = 0; i < THREADS; i++) {
		t[i] = (struct thread){ .s = &s, .n = i };
		pthread_create(&id[i], NULL, sync_main, &t[i]);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		pthread_join(id[i], NULL);
		TEST_EQ(t[i].result, 0);
	}
	f4_journal_get_stats(s.f.j, &st);
	printf("     %u fsyncs, %llu commits\n", THREADS * s.rounds,
	       (unsigned long long)st.commits);
	TEST_CHECK(st.commits < THREADS * s.rounds / 2);
	TEST_EQ(st.flushes, 2 * st.commits);
	TEST_EQ(jfix_close(&s.f), 0);
	jfix_done(&s.f);
}

/* The device dies under load: every thread comes back with an error. */
static void death_under_load(void)
{
	struct shared s = { .rounds = 100000, .sync = true };
	struct thread t[THREADS];
	pthread_t id[THREADS];
	struct f4_recovery_result res;

	for (uint32_t i = 0; i < 4; i++)
		pthread_mutex_init(&s.shared_lock[i], NULL);
	jfix_init(&s.f, &(struct jfix_params){ .incompat = V3, .block_size = 1024 });
	TEST_REQUIRE(f4_workers_new(1, &s.f.workers) == 0);
	s.f.interval_ms = 5;
	TEST_REQUIRE(jfix_open(&s.f) == 0);
	f4_sim_fail(s.f.disk, F4_SIM_WRITE | F4_SIM_FUA | F4_SIM_FLUSH, 300, -EIO, true);
	for (uint32_t i = 0; i < THREADS; i++) {
		t[i] = (struct thread){ .s = &s, .n = i, .rnd = i + 1 };
		pthread_create(&id[i], NULL, thread_main, &t[i]);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		pthread_join(id[i], NULL);
		TEST_CHECK(t[i].result == -EIO || t[i].result == -EROFS);
	}
	TEST_EQ(s.f.aborted, -EIO);
	TEST_EQ(jfix_close(&s.f), -EIO);
	f4_sim_fail_none(s.f.disk);
	TEST_EQ(jfix_recover(&s.f, &res), 0);
	f4_workers_free(s.f.workers);
	jfix_done(&s.f);
}

int main(void)
{
	TEST_RUN(small_log_under_pressure);
	TEST_RUN(without_workers);
	TEST_RUN(without_log);
	TEST_RUN(commits_by_time);
	TEST_RUN(fsyncs_share_commits);
	TEST_RUN(death_under_load);
	return test_done();
}
