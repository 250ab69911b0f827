/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The core under several threads with its workers: files come, grow, shrink and go in shared and in
 * own directories, inodes are looked up and forgotten, transactions commit. Clean afterwards; and
 * no data race (the thread sanitizer's build is where this test earns its keep).
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "server/ext4/alloc.h"
#include "server/ext4/file.h"
#include "server/ext4/inode.h"
#include "server/ext4/ops.h"
#include "server/ext4/workers.h"
#include "tests/lib/check.h"
#include "tests/lib/coretest.h"

#define THREADS 4u

static _Atomic uint32_t failures;
static uint32_t rounds = 300;

#define EXPECT(r, ...)                                                                             \
	do {                                                                                       \
		int got_ = (r);                                                                    \
		const int ok_[] = { __VA_ARGS__ };                                                 \
		size_t i_ = 0;                                                                     \
		while (i_ < F4_ARRAY_LEN(ok_) && ok_[i_] != got_)                                  \
			i_++;                                                                      \
		if (i_ == F4_ARRAY_LEN(ok_)) {                                                     \
			fprintf(stderr, "%s:%d: %s is %d\n", __FILE__, __LINE__, #r, got_);        \
			atomic_fetch_add(&failures, 1);                                            \
		}                                                                                  \
	} while (0)

struct job {
	struct coretest *t;
	uint32_t number;
	uint64_t seed;
};

static uint32_t rnd(struct job *j, uint32_t n)
{
	j->seed = j->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(j->seed >> 33) % n;
}

/* One step on a random name of one of five directories. */
static void step(struct job *j)
{
	uint8_t buf[9000];
	char path[32];
	struct f4_inode *inode;
	size_t got;

	memset(buf, (int)j->number, sizeof(buf));
	(void)snprintf(path, sizeof(path), "d%u/f%u", rnd(j, 5), rnd(j, 12));
	switch (rnd(j, 8)) {
	case 0:
	case 1:
		EXPECT(coretest_write(j->t, path, buf, 1 + rnd(j, sizeof(buf)), rnd(j, 100000)), 0, -ENOENT,
		       -EEXIST, -ESTALE, -ENOSPC);
		break;
	case 2:
		EXPECT(coretest_unlink(j->t, path), 0, -ENOENT);
		break;
	case 3:
		inode = coretest_lookup(j->t, path);
		if (inode)
			EXPECT(f4_file_truncate(inode, rnd(j, 120000)), 0, -ENOSPC);
		f4_inode_put(inode);
		break;
	case 4:
		EXPECT(coretest_read(j->t, path, buf, sizeof(buf), rnd(j, 50000), &got), 0, -ENOENT, -ESTALE);
		break;
	case 5:
		inode = coretest_lookup(j->t, path);
		if (inode) {
			struct f4_attr a = { .mode = rnd(j, 07777) };
			const struct f4_cred cred = { 0 };

			atomic_fetch_add(&inode->lookups, 1);
			EXPECT(f4_inode_setattr(inode, F4_SET_MODE, &a, &cred), 0);
			f4_inode_attr(inode, &a);
			f4_inode_put(inode);
			f4_inode_forget(j->t->vol, a.ino, 1);
		}
		break;
	case 6:
		inode = coretest_lookup(j->t, path);
		if (inode && rnd(j, 4) == 0)
			EXPECT(f4_file_fsync(inode, rnd(j, 2)), 0);
		f4_inode_put(inode);
		break;
	default:
		(void)snprintf(path, sizeof(path), "own%u.%u", j->number, rnd(j, 6));
		if (coretest_mkdir(j->t, path) != 0)
			EXPECT(coretest_rmdir(j->t, path), 0);
		break;
	}
}

static void *work(void *arg)
{
	struct job *j = arg;

	for (uint32_t i = 0; i < rounds; i++)
		step(j);
	return NULL;
}

static void *watch(void *arg)
{
	struct job *j = arg;
	uint64_t trimmed;

	for (uint32_t i = 0; i < rounds / 10; i++) {
		struct f4_statfs st;

		f4_volume_statfs(j->t->vol, &st);
		EXPECT(f4_volume_sync(j->t->vol), 0);
		if (i % 8 == 0)
			EXPECT(f4_alloc_trim(j->t->vol, 0, UINT64_MAX, 65536, &trimmed), 0, -EOPNOTSUPP);
	}
	return NULL;
}

static void mixed(const char *options)
{
	struct coretest t;
	struct job jobs[THREADS + 1];
	pthread_t threads[THREADS + 1];
	char path[16];

	TEST_REQUIRE(coretest_mkfs(&t, "32M", options));
	TEST_REQUIRE(f4_workers_new(F4_WORKERS_PER_VOLUME, &t.workers) == 0);
	t.opt.commit_interval_s = 1;
	t.opt.discard = true;
	t.opt.cache_bytes = 256 << 10; /* eviction is part of it */
	TEST_REQUIRE(coretest_open(&t) == 0);
	for (uint32_t i = 0; i < 5; i++) {
		(void)snprintf(path, sizeof(path), "d%u", i);
		TEST_EQ(coretest_mkdir(&t, path), 0);
	}
	for (uint32_t i = 0; i <= THREADS; i++) {
		jobs[i] = (struct job){ .t = &t, .number = i, .seed = i * 77 + 5 };
		TEST_REQUIRE(pthread_create(&threads[i], NULL, i < THREADS ? work : watch, &jobs[i]) == 0);
	}
	for (uint32_t i = 0; i <= THREADS; i++)
		pthread_join(threads[i], NULL);
	TEST_EQ(failures, 0);
	TEST_EQ(t.vol->errors_seen, 0);
	TEST_EQ(coretest_close(&t), 0);
	t.workers = f4_workers_free(t.workers);
	TEST_CHECK(coretest_finish(&t));
}

static void ext4_mixed(void)
{
	mixed("-t ext4 -b 1024 -J size=1");
}
static void no_journal_mixed(void)
{
	mixed("-t ext4 -b 1024 -O ^has_journal,inline_data");
}
static void ext3_mixed(void)
{
	mixed("-t ext3 -b 1024 -g 2048 -J size=2");
}
static void orphan_file_mixed(void)
{
	mixed("-t ext4 -b 4096 -O orphan_file -J size=4");
}

int main(void)
{
	TEST_RUN(ext4_mixed);
	TEST_RUN(no_journal_mixed);
	TEST_RUN(ext3_mixed);
	TEST_RUN(orphan_file_mixed);
	return test_done();
}
