/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Allocation of blocks and inodes on real images; e2fsck counts what we counted. */
#include "server/ext4/alloc.h"

#include <errno.h>
#include <sys/stat.h>

#include "server/ext4/group.h"
#include "server/ext4/inode.h"
#include "server/ext4/ops.h"
#include "tests/lib/check.h"
#include "tests/lib/coretest.h"

struct run {
	uint64_t blk;
	uint32_t len;
};

static int alloc1(struct coretest *t, uint64_t goal, uint32_t len, uint32_t flags, struct run *ret)
{
	const struct f4_alloc_req req = { .ino = 12, .goal = goal, .len = len, .flags = flags };
	struct f4_handle h;
	int r = f4_txn_begin(t->vol->journal, F4_ALLOC_CREDITS, &h);

	if (r < 0)
		return r;
	r = f4_alloc_blocks(&h, t->vol, &req, &ret->blk, &ret->len);
	TEST_EQ(f4_txn_end(&h), 0);
	return r;
}

static int free1(struct coretest *t, struct run run)
{
	struct f4_handle h;
	int r = f4_txn_begin(t->vol->journal, 8, &h);

	if (r < 0)
		return r;
	r = f4_alloc_free(&h, t->vol, 12, run.blk, run.len);
	TEST_EQ(f4_txn_end(&h), 0);
	return r;
}

static void long_runs(void)
{
	struct coretest t;
	struct run a, b;

	TEST_REQUIRE(coretest_start(&t, "128M", "-t ext4 -b 4096 -J size=4"));
	TEST_EQ(alloc1(&t, 0, 4096, 0, &a), 0);
	TEST_EQ(a.len, 4096);
	/* A file that grows goes on behind its end. */
	TEST_EQ(alloc1(&t, a.blk + a.len, 256, 0, &b), 0);
	TEST_EQ(b.blk, a.blk + a.len);
	TEST_EQ(b.len, 256);
	TEST_EQ(free1(&t, a), 0);
	TEST_EQ(free1(&t, b), 0);
	TEST_EQ(f4_volume_sync(t.vol), 0);
	/* With the first block taken at its goal, the rest of a free run is used. */
	TEST_EQ(alloc1(&t, a.blk + 100, 10, F4_ALLOC_EXACT, &b), 0);
	TEST_EQ(b.blk, a.blk + 100);
	TEST_EQ(alloc1(&t, a.blk + 95, 10, 0, &a), 0);
	TEST_EQ(a.len, 5);
	TEST_EQ(alloc1(&t, b.blk, 1, F4_ALLOC_EXACT, &(struct run){ 0 }), -ENOSPC);
	TEST_EQ(free1(&t, a), 0);
	TEST_EQ(free1(&t, b), 0);
	TEST_CHECK(coretest_finish(&t));
}

/* All that may be had is had, to the block; then root's part; nothing is lost on the way back. */
static void enospc_exact(const char *options)
{
	struct coretest t;
	struct f4_statfs before, now;
	static struct run runs[60000];
	uint32_t n = 0, root;
	uint64_t total = 0;
	int r;

	TEST_REQUIRE(coretest_start(&t, "24M", options));
	f4_volume_statfs(t.vol, &before);
	TEST_CHECK(before.avail_blocks < before.free_blocks);
	while ((r = alloc1(&t, 0, 1 + n % 700, 0, &runs[n])) == 0)
		total += runs[n++].len;
	TEST_EQ(r, -ENOSPC);
	f4_volume_statfs(t.vol, &now);
	TEST_EQ(now.avail_blocks, 0);
	TEST_EQ(total, before.avail_blocks);
	TEST_CHECK(!f4_alloc_should_retry(t.vol, 0)); /* nothing is pending */
	for (root = n; (r = alloc1(&t, 0, 50, F4_ALLOC_RESERVED, &runs[root])) == 0; root++)
		total += runs[root].len;
	TEST_EQ(r, -ENOSPC);
	f4_volume_statfs(t.vol, &now);
	TEST_EQ(now.free_blocks, 0);
	TEST_EQ(total, before.free_blocks);
	for (uint32_t i = 0; i < root; i++)
		TEST_EQ(free1(&t, runs[i]), 0);
	f4_volume_statfs(t.vol, &now);
	TEST_EQ(now.free_blocks, before.free_blocks);
	TEST_EQ(t.vol->errors_seen, 0);
	TEST_CHECK(coretest_finish(&t));
}

static void enospc(void)
{
	enospc_exact("-t ext4 -b 1024 -J size=1");
	enospc_exact("-t ext2 -b 1024");
	enospc_exact("-t ext4 -b 1024 -J size=1 -O bigalloc -C 8192");
	enospc_exact("-t ext4 -b 1024 -g 1024 -G 4 -O ^metadata_csum,uninit_bg -J size=1");
}

static void pending_until_commit(void)
{
	struct coretest t;
	struct run all[64], again;
	uint32_t n = 0;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -b 4096 -m 0 -J size=4"));
	while (n < 63 && alloc1(&t, 0, 100000, 0, &all[n]) == 0)
		n++;
	TEST_CHECK(n > 0 && n < 63);
	TEST_EQ(f4_volume_sync(t.vol), 0);
	TEST_EQ(free1(&t, all[0]), 0);
	TEST_CHECK(atomic_load(&t.vol->pending_clusters) == all[0].len);
	TEST_EQ(alloc1(&t, all[0].blk, 1, F4_ALLOC_RESERVED, &again), -ENOSPC);
	TEST_CHECK(!f4_alloc_should_retry(t.vol, 3));
	TEST_CHECK(f4_alloc_should_retry(t.vol, 0));
	TEST_EQ(atomic_load(&t.vol->pending_clusters), 0);
	TEST_EQ(alloc1(&t, all[0].blk, all[0].len, 0, &all[0]), 0);
	TEST_EQ(f4_volume_sync(t.vol), 0);
	for (uint32_t i = 0; i < n; i++)
		TEST_EQ(free1(&t, all[i]), 0);
	TEST_CHECK(coretest_finish(&t));
}

/* Random runs against a map of owners: nothing is given out twice. */
static void random_model(const char *options)
{
	enum { RUNS = 400, BLOCKS = 65536 };
	struct coretest t;
	static struct run runs[RUNS];
	static uint8_t owned[BLOCKS];
	uint64_t seed = 99;

	memset(owned, 0, sizeof(owned));
	memset(runs, 0, sizeof(runs));
	TEST_REQUIRE(coretest_start(&t, "48M", options));
	for (uint32_t i = 0; i < 4000; i++) {
		struct run *run = &runs[(seed >> 33) % RUNS];
		uint32_t len;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		len = (uint32_t)(seed >> 40) % ((seed >> 60) ? 64 : 2000) + 1;
		if (run->len) {
			TEST_EQ(free1(&t, *run), 0);
			memset(owned + run->blk, 0, run->len);
			run->len = 0;
		} else if (alloc1(&t, seed >> 62 ? 0 : (seed >> 30) % BLOCKS, len, 0, run) == 0) {
			TEST_REQUIRE(run->blk + run->len <= BLOCKS);
			for (uint32_t b = 0; b < run->len; b++)
				TEST_REQUIRE(owned[run->blk + b]++ == 0);
		} else {
			run->len = 0;
		}
		if (i % 500 == 499)
			TEST_EQ(f4_volume_sync(t.vol), 0);
	}
	for (uint32_t i = 0; i < RUNS; i++)
		if (runs[i].len)
			TEST_EQ(free1(&t, runs[i]), 0);
	TEST_EQ(t.vol->errors_seen, 0);
	TEST_CHECK(coretest_finish(&t));
}

static void random_runs(void)
{
	random_model("-t ext4 -b 1024 -J size=1");
	random_model("-t ext4 -b 1024 -J size=1 -O meta_bg,^resize_inode -g 2048");
	random_model("-t ext4 -b 1024 -J size=1 -O bigalloc -C 4096");
	random_model("-t ext2 -b 1024");
}

/* What must not be freed: free blocks, metadata, blocks beyond the end. */
static void free_refused(void)
{
	struct coretest t;
	struct run a;
	struct f4_group *g;
	uint64_t itable, bitmap;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -b 1024"));
	TEST_EQ(alloc1(&t, 0, 10, 0, &a), 0);
	TEST_REQUIRE(f4_group_lock(t.vol, 0, &g) == 0);
	itable = g->inode_table + 3;
	bitmap = g->block_bitmap;
	f4_group_unlock(g);
	TEST_EQ(free1(&t, (struct run){ a.blk, 11 }), -EUCLEAN);
	TEST_EQ(free1(&t, (struct run){ 1, 1 }), -EUCLEAN);
	TEST_EQ(free1(&t, (struct run){ itable, 1 }), -EUCLEAN);
	TEST_EQ(free1(&t, (struct run){ bitmap, 1 }), -EUCLEAN);
	TEST_EQ(free1(&t, (struct run){ t.vol->blocks_count - 1, 2 }), -EUCLEAN);
	TEST_EQ(free1(&t, (struct run){ UINT64_MAX - 1, 1 }), -EUCLEAN);
	TEST_EQ(t.vol->errors_seen, 6);
	TEST_EQ(free1(&t, a), 0);
	TEST_EQ(coretest_close(&t), 0);
	/* The errors are on record, nothing else is wrong. */
	TEST_EQ(coretest_shell(&t, "dumpe2fs -h \"$IMG\" 2>/dev/null | grep -q 'FS Error count: *6$'"), 0);
	TEST_EQ(coretest_shell(&t, "e2fsck -fy \"$IMG\" >/dev/null 2>&1 </dev/null; e2fsck -fn \"$IMG\" >/dev/null 2>&1"), 0);
	coretest_remove(&t);
}

static uint32_t group_of(struct coretest *t, const char *path)
{
	f4_auto_inode *inode = coretest_lookup(t, path);

	return inode ? f4_ino_group(t->vol, inode->ino) : UINT32_MAX;
}

static void directories_spread(void)
{
	struct coretest t;
	uint8_t seen[64] = { 0 };
	uint32_t flexes = 0, stayed = 0;
	char path[64];

	TEST_REQUIRE(coretest_start(&t, "64M", "-t ext4 -b 1024 -g 1024 -G 4 -N 16384"));
	for (uint32_t i = 0; i < 40; i++) {
		uint32_t flex;

		(void)snprintf(path, sizeof(path), "top%u", i);
		TEST_EQ(coretest_mkdir(&t, path), 0);
		flex = group_of(&t, path) >> t.vol->flex_bits;
		TEST_REQUIRE(flex < 64);
		flexes += seen[flex]++ == 0;
		(void)snprintf(path, sizeof(path), "top%u/sub", i);
		TEST_EQ(coretest_mkdir(&t, path), 0);
		stayed += group_of(&t, path) >> t.vol->flex_bits == flex;
		(void)snprintf(path, sizeof(path), "top%u/file", i);
		TEST_EQ(coretest_create(&t, path), 0);
		TEST_EQ(group_of(&t, path) >> t.vol->flex_bits, flex);
	}
	TEST_CHECK(flexes >= 8);
	TEST_CHECK(stayed >= 36);
	TEST_CHECK(coretest_finish(&t));
}

/* Every inode, from tables full of garbage that mke2fs never wrote; then they are all gone. */
static void all_inodes(const char *options)
{
	struct coretest t;
	char path[64];
	uint32_t n;
	int r;

	TEST_REQUIRE(coretest_mkfs(&t, "16M", options));
	/* Fill everything free in the image with ones, the unused part of the inode tables, too. */
	TEST_EQ(coretest_shell(&t, "dumpe2fs \"$IMG\" 2>/dev/null | sed -n 's/.*Inode table at "
				   "\\([0-9]*\\)-\\([0-9]*\\).*/\\1 \\2/p' | while read a b; do "
				   "a=$((a + 4)); for i in $(seq $a $b); do echo $i; done; done >\"$IMG.log\"; "
				   "while read i; do tr '\\0' '\\377' </dev/zero | dd of=\"$IMG\" bs=1024 seek=$i "
				   "count=1 iflag=fullblock conv=notrunc status=none; done <\"$IMG.log\""), 0);
	r = coretest_open(&t);
	TEST_REQUIRE(r == 0);
	TEST_EQ(coretest_mkdir(&t, "d"), 0);
	for (n = 0; r == 0; n++) {
		(void)snprintf(path, sizeof(path), "d/%u", n);
		r = coretest_create(&t, path);
	}
	TEST_EQ(r, -ENOSPC);
	TEST_EQ(atomic_load(&t.vol->free_inodes), 0);
	TEST_EQ(coretest_close(&t), 0);
	TEST_EQ(coretest_fsck(&t), 0);
	TEST_REQUIRE(coretest_open(&t) == 0);
	for (uint32_t i = 0; i + 1 < n; i++) {
		(void)snprintf(path, sizeof(path), "d/%u", i);
		TEST_EQ(coretest_unlink(&t, path), 0);
	}
	TEST_EQ(t.vol->errors_seen, 0);
	TEST_CHECK(coretest_finish(&t));
}

static void inode_tables(void)
{
	all_inodes("-t ext4 -b 1024 -g 1024 -N 512 -E lazy_itable_init=1 -G 4");
	all_inodes("-t ext4 -b 1024 -g 1024 -N 512 -E lazy_itable_init=1 -O ^metadata_csum,uninit_bg,^flex_bg");
}

static void trim(void)
{
	struct coretest t;
	uint64_t trimmed = 0;
	struct f4_statfs st;
	static uint8_t data[200000];

	memset(data, 'x', sizeof(data));
	TEST_REQUIRE(coretest_start(&t, "32M", "-t ext4 -b 1024"));
	TEST_EQ(coretest_write(&t, "keep", data, sizeof(data), 0), 0);
	TEST_EQ(coretest_write(&t, "drop", data, sizeof(data), 0), 0);
	TEST_EQ(f4_volume_sync(t.vol), 0);
	TEST_EQ(coretest_unlink(&t, "drop"), 0);
	f4_volume_statfs(t.vol, &st);
	/* What is freed and not committed is not given to the device. */
	TEST_EQ(f4_alloc_trim(t.vol, 0, UINT64_MAX, 0, &trimmed), 0);
	TEST_CHECK(trimmed > 0 && trimmed <= (st.free_blocks - 190) * 1024);
	TEST_EQ(f4_volume_sync(t.vol), 0);
	TEST_EQ(f4_alloc_trim(t.vol, 0, UINT64_MAX, 0, &trimmed), 0);
	TEST_EQ(trimmed, st.free_blocks * 1024);
	TEST_EQ(f4_alloc_trim(t.vol, 0, UINT64_MAX, 30u << 20, &trimmed), -EINVAL);
	TEST_EQ(f4_alloc_trim(t.vol, 1ull << 40, 4096, 0, &trimmed), -EINVAL);
	TEST_EQ(f4_alloc_trim(t.vol, 0, 10, 0, &trimmed), -EINVAL);
	TEST_EQ(f4_alloc_trim(t.vol, 9000000, 1 << 20, 0, &trimmed), 0);
	TEST_CHECK(trimmed <= 1 << 20);
	TEST_CHECK(coretest_finish(&t));
}

int main(void)
{
	TEST_RUN(long_runs);
	TEST_RUN(enospc);
	TEST_RUN(pending_until_commit);
	TEST_RUN(random_runs);
	TEST_RUN(free_refused);
	TEST_RUN(directories_spread);
	TEST_RUN(inode_tables);
	TEST_RUN(trim);
	return test_done();
}
