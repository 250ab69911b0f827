/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cache: read once, checked once, classes kept apart, bounded, safe under threads. */
#include "server/ext4/cache.h"

#include <errno.h>
#include <pthread.h>

#include "protocol/base/endian.h"
#include "tests/lib/check.h"
#include "tests/lib/disk_sim.h"

#define BS 4096u
#define BLOCKS 8192u

static _Atomic int verified, verify_result;

static int verify(struct f4_volume *vol, const struct f4_buf *buf, const uint8_t *data)
{
	verified++;
	TEST_EQ(f4_load_le32(data), buf->blk);
	return verify_result;
}

static const struct f4_buf_class class_a = { "a", verify, NULL };
static const struct f4_buf_class class_b = { "b", NULL, NULL };

static struct f4_disk *disk;
static struct f4_cache *cache;

static void setup(uint64_t limit)
{
	uint8_t block[BS] = { 0 };

	disk = f4_sim_new((uint64_t)BLOCKS * BS);
	for (uint32_t i = 0; i < BLOCKS; i++) {
		f4_store_le32(block, i);
		f4_disk_write(disk, block, 4, (uint64_t)i * BS);
	}
	verified = verify_result = 0;
	if (f4_cache_new(NULL, disk, BS, limit, &cache) < 0)
		abort();
}

static void teardown(void)
{
	cache = f4_cache_free(cache);
	disk = f4_disk_free(disk);
}

static void read_and_checked_once(void)
{
	struct f4_buf *a, *b;

	setup(1 << 20);
	TEST_REQUIRE(f4_buf_read(cache, 5, &class_a, 1, 2, &a) == 0);
	TEST_REQUIRE(f4_buf_read(cache, 5, &class_a, 1, 2, &b) == 0);
	TEST_CHECK(a == b);
	TEST_EQ(a->blk, 5);
	TEST_EQ(a->owner, 1);
	TEST_EQ(a->seed, 2);
	f4_buf_put(b);
	f4_buf_put(a);
	b = f4_buf_find(cache, 5);
	TEST_CHECK(a == b);
	f4_buf_put(b);
	f4_buf_put(NULL);
	TEST_CHECK(f4_buf_find(cache, 6) == NULL);
	TEST_EQ(verified, 1);
	TEST_EQ(f4_sim_count(disk, F4_SIM_READ), 1);
	teardown();
}

static void one_block_one_class(void)
{
	struct f4_buf *a, *b;

	setup(1 << 20);
	TEST_REQUIRE(f4_buf_read(cache, 5, &class_a, 1, 0, &a) == 0);
	TEST_EQ(f4_buf_read(cache, 5, &class_b, 1, 0, &b), -EUCLEAN);
	TEST_EQ(f4_buf_read(cache, 5, &class_a, 2, 0, &b), -EUCLEAN);
	TEST_EQ(f4_buf_new(cache, 5, &class_a, 1, 0, &b), -EUCLEAN);
	f4_buf_put(a);
	/* Nobody holds it: it may be something else by now. */
	TEST_EQ(f4_buf_read(cache, 5, &class_b, 1, 0, &b), 0);
	TEST_CHECK(b->class == &class_b);
	f4_buf_put(b);
	TEST_EQ(f4_buf_new(cache, 5, &class_a, 1, 0, &b), 0);
	TEST_EQ(b->data[0], 0);
	f4_buf_put(b);
	teardown();
}

static void failures_are_not_cached(void)
{
	struct f4_buf *a;

	setup(1 << 20);
	verify_result = -EUCLEAN;
	TEST_EQ(f4_buf_read(cache, 5, &class_a, 0, 0, &a), -EUCLEAN);
	verify_result = 0;
	f4_sim_fail(disk, F4_SIM_READ, 1, -EIO, false);
	TEST_EQ(f4_buf_read(cache, 5, &class_a, 0, 0, &a), -EIO);
	TEST_EQ(f4_buf_read(cache, BLOCKS, &class_a, 0, 0, &a), -EIO);
	TEST_EQ(f4_buf_read(cache, UINT64_MAX / 2, &class_a, 0, 0, &a), -EIO);
	TEST_EQ(f4_cache_count(cache), 0);
	TEST_EQ(f4_buf_read(cache, 5, &class_a, 0, 0, &a), 0);
	f4_buf_put(a);
	teardown();
}

static void detached_and_invalidated(void)
{
	struct f4_buf *a, *b, *c;

	setup(1 << 20);
	TEST_REQUIRE(f4_buf_read(cache, 5, &class_b, 0, 0, &a) == 0);
	b = f4_buf_detach(cache, 5);
	TEST_CHECK(a == b);
	TEST_CHECK(f4_buf_detach(cache, 5) == NULL);
	/* The old one lives on beside the new one. */
	TEST_EQ(f4_buf_new(cache, 5, &class_a, 0, 0, &c), 0);
	TEST_CHECK(c != a);
	TEST_EQ(f4_load_le32(a->data), 5);
	f4_buf_put(a);
	f4_buf_put(b);
	f4_buf_put(c);
	for (uint64_t i = 0; i < 20; i++) {
		TEST_REQUIRE(f4_buf_read(cache, 100 + i, &class_b, 0, 0, &a) == 0);
		f4_buf_put(a);
	}
	TEST_REQUIRE(f4_buf_read(cache, 110, &class_b, 0, 0, &a) == 0);
	f4_cache_invalidate(cache, 100, 5);
	TEST_EQ(f4_cache_count(cache), 16);
	f4_cache_invalidate(cache, 100, 1ull << 40);
	TEST_EQ(f4_cache_count(cache), 2); /* 5 and the one held */
	f4_buf_put(a);
	teardown();
}

static void bounded(void)
{
	struct f4_buf *held[300], *b;

	setup(256 * BS);
	for (uint64_t i = 0; i < BLOCKS; i++) {
		TEST_REQUIRE(f4_buf_read(cache, i, &class_b, 0, 0, &b) == 0);
		f4_buf_put(b);
	}
	TEST_CHECK(f4_cache_count(cache) <= 256);
	/* What is held stays, whatever the limit. */
	for (uint64_t i = 0; i < 300; i++)
		TEST_REQUIRE(f4_buf_read(cache, i, &class_b, 0, 0, &held[i]) == 0);
	for (uint64_t i = 0; i < 300; i++) {
		b = f4_buf_find(cache, i);
		TEST_CHECK(b == held[i]);
		f4_buf_put(b);
		f4_buf_put(held[i]);
	}
	teardown();
}

static void *reader(void *arg)
{
	uint64_t rnd = (uintptr_t)arg;

	for (int i = 0; i < 4000; i++) {
		struct f4_buf *b = NULL;
		uint64_t blk;

		rnd = rnd * 6364136223846793005ull + 1442695040888963407ull;
		blk = (rnd >> 33) % 600;
		if (f4_buf_read(cache, blk, &class_a, 0, 0, &b) == 0) {
			if (f4_load_le32(b->data) != blk)
				abort();
			f4_buf_get(b);
			f4_buf_put(b);
			f4_buf_put(b);
		} else {
			abort();
		}
		if (rnd >> 60 == 3)
			f4_cache_invalidate(cache, blk, 3);
	}
	return NULL;
}

static void many_readers(void)
{
	pthread_t id[8];

	setup(128 * BS);
	for (uintptr_t i = 0; i < 8; i++)
		pthread_create(&id[i], NULL, reader, (void *)(i + 1));
	for (int i = 0; i < 8; i++)
		pthread_join(id[i], NULL);
	teardown();
}

int main(void)
{
	TEST_RUN(read_and_checked_once);
	TEST_RUN(one_block_one_class);
	TEST_RUN(failures_are_not_cached);
	TEST_RUN(detached_and_invalidated);
	TEST_RUN(bounded);
	TEST_RUN(many_readers);
	return test_done();
}
