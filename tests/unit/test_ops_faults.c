/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests on names when something fails in the middle: the n-th read, the n-th write, the power,
 * the last block. What each leaves is the state before or after, never between: e2fsck is the
 * judge.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/lib/check.h"
#include "tests/unit/dirtest.h"

#define EXCHANGE 2u
#define WHITEOUT 4u

static struct dirtest t;
static const struct f4_cred root_cred = { .umask = 022 };

static struct f4_inode *dir_named(const char *name)
{
	struct f4_inode *d = NULL;

	return f4_op_lookup(t.root, name, strlen(name), &d) == 0 ? d : NULL;
}

static void name_of(int i, char ret[64])
{
	snprintf(ret, 64, "entry-%d-%.*s", i, i % 30, "abcdefghijklmnopqrstuvwxyzabcdef");
}

/* Two directories, one with an index, and a few things in them. */
static void populate(const char *mkfs)
{
	struct f4_inode *a, *b;
	char name[64];

	dt_mkfs(&t, mkfs, "4M", NULL);
	dt_open(&t);
	TEST_EQ(dt_create(t.root, "a", S_IFDIR | 0755, NULL), 0);
	TEST_EQ(dt_create(t.root, "b", S_IFDIR | 0755, NULL), 0);
	a = dir_named("a");
	b = dir_named("b");
	for (int i = 0; i < 120; i++) {
		name_of(i, name);
		TEST_EQ(dt_create(a, name, i % 5 ? S_IFREG | 0644 : S_IFDIR | 0755, NULL), 0);
		if (i < 12)
			TEST_EQ(dt_create(b, name, S_IFREG | 0644, NULL), 0);
	}
	f4_inode_put(a);
	f4_inode_put(b);
	TEST_EQ(dt_close(&t), 0);
	TEST_EQ(dt_fsck(&t), 0);
}

static int request(int k, struct f4_inode *a, struct f4_inode *b)
{
	char x[64], y[64];
	size_t n, m;

	name_of(k * 7 % 120, x);
	name_of(k * 11 % 150, y);
	n = strlen(x);
	m = strlen(y);
	switch (k % 9) {
	case 0:
		return f4_op_unlink(a, x, n);
	case 1:
		return f4_op_rename(a, x, n, b, y, m, 0, &root_cred);
	case 2:
		return dt_create(k % 2 ? a : b, y, S_IFDIR | 0755, NULL);
	case 3:
		return f4_op_rmdir(a, x, n);
	case 4:
		return f4_op_rename(a, x, n, a, y, m, 0, &root_cred);
	case 5:
		return f4_op_rename(a, x, n, b, y, m, EXCHANGE, &root_cred);
	case 6:
		return dt_create(a, y, S_IFLNK | 0777, NULL);
	case 7:
		return f4_op_rename(b, x, n, a, y, m, WHITEOUT, &root_cred);
	default:
		return dt_create(b, y, S_IFREG | 0644, NULL);
	}
}

/* All requests; whether the failure was met, and how many errors that can't come from the names. */
static unsigned int work(int requests, bool sync, uint32_t mark)
{
	struct f4_inode *a = dir_named("a"), *b = dir_named("b");
	unsigned int strange = 0;

	for (int k = 0; k < requests && a && b; k++) {
		int r = request(k, a, b);

		if (r < 0 && r != -ENOENT && r != -EEXIST && r != -ENOTEMPTY && r != -EISDIR &&
		    r != -ENOTDIR && r != -EINVAL && r != -EIO && r != -EROFS && r != -ENOSPC) {
			fprintf(stderr, "request %d: %d\n", k, r);
			strange++;
		}
		if (sync && k % 5 == 4)
			(void)f4_volume_sync(t.vol);
		if (mark)
			f4_sim_mark(t.disk, (uint32_t)k + 1);
	}
	f4_inode_put(a);
	f4_inode_put(b);
	return strange;
}

/* The image recovers by its log alone. */
static void recovers(void)
{
	dt_open(&t);
	TEST_EQ(dt_close(&t), 0);
	TEST_EQ(dt_fsck(&t), 0);
}

static void fail_each(const char *mkfs, uint32_t ops, bool on_and_on, uint64_t step)
{
	struct f4_disk *clean;
	uint64_t failed = 1, rounds = 0;

	populate(mkfs);
	clean = t.disk;
	for (uint64_t n = 1; failed > 0 && rounds < 50; n += step, rounds++) {
		t.disk = f4_sim_clone(clean);
		dt_open(&t);
		f4_sim_fail(t.disk, ops, n, -EIO, on_and_on);
		TEST_EQ(work(50, true, 0), 0);
		(void)dt_close(&t);
		failed = f4_sim_failed(t.disk);
		f4_sim_fail_none(t.disk);
		recovers();
		f4_disk_free(t.disk);
		if (test_case_failed_) {
			fprintf(stderr, "failure of operation %llu\n", (unsigned long long)n);
			break;
		}
	}
	TEST_CHECK(rounds > 10);
	t.disk = clean;
	dt_done(&t);
}

static void failing_reads(void)
{
	fail_each("-t ext4 -b 1024 -N 512", F4_SIM_READ, false, 1);
	fail_each("-t ext4 -b 1024 -N 512 -O inline_data -I 256", F4_SIM_READ, false, 1);
}

static void failing_writes(void)
{
	fail_each("-t ext4 -b 1024 -N 512", F4_SIM_WRITE | F4_SIM_FUA, false, 3);
	fail_each("-t ext4 -b 1024 -N 512", F4_SIM_WRITE | F4_SIM_FUA, true, 5);
	fail_each("-t ext4 -b 1024 -N 512", F4_SIM_FLUSH, false, 1);
}

static void crashes(const char *mkfs, unsigned int seed)
{
	static const enum f4_sim_crash how[] = {F4_SIM_ALL, F4_SIM_NONE, F4_SIM_SUBSET,
						F4_SIM_TORN};
	struct f4_disk *clean, *busy;
	struct f4_sim_walk *walk;
	size_t events;

	populate(mkfs);
	clean = t.disk;
	busy = t.disk = f4_sim_clone(clean);
	f4_sim_record(busy);
	dt_open(&t);
	TEST_EQ(work(60, true, 1), 0);
	TEST_EQ(dt_close(&t), 0);
	(void)f4_sim_events(busy, &events);
	/* A torn superblock fails its checksum before any replay, in the kernel as here. */
	f4_sim_atomic(busy, F4_SB_OFFSET, F4_SB_SIZE);
	walk = f4_sim_walk_new(busy);
	for (size_t upto = 1; upto < events; upto += 1 + events / 60) {
		t.disk = f4_sim_crash(walk, upto, how[rand_r(&seed) % 4], upto);
		recovers();
		f4_disk_free(t.disk);
		if (test_case_failed_) {
			fprintf(stderr, "crash behind event %zu of %zu\n", upto, events);
			break;
		}
	}
	f4_sim_walk_free(walk);
	f4_disk_free(busy);
	t.disk = clean;
	dt_done(&t);
}

static void power_cuts(void)
{
	crashes("-t ext4 -b 1024 -N 512", 1);
	crashes("-t ext4 -b 1024 -N 512 -O inline_data,^orphan_file -I 256", 2);
}

struct free_counts {
	int64_t clusters, inodes, dirs;
};

static struct free_counts free_now(void)
{
	(void)f4_volume_sync(t.vol);
	return (struct free_counts){atomic_load(&t.vol->free_clusters),
				    atomic_load(&t.vol->free_inodes), atomic_load(&t.vol->dirs)};
}

/*
 * A creation that finds no room takes nothing: neither an inode nor a block is missing afterwards.
 */
static void no_room(const char *mkfs)
{
	struct f4_inode *dir;
	char name[256];
	uint64_t size;
	int r = 0, n;

	dt_mkfs(&t, mkfs, "1M", NULL);
	dt_open(&t);
	TEST_EQ(dt_create(t.root, "dir", S_IFDIR | 0755, NULL), 0);
	dir = dir_named("dir");
	memset(name, 'n', sizeof(name));
	name[200] = '\0';
	for (n = 0; n < 5000 && r == 0; n++) {
		name[snprintf(name, 100, "%d", n)] = '-';
		r = dt_create(dir, name, n % 3 == 0 ? S_IFDIR | 0755 : S_IFREG | 0644, NULL);
	}
	TEST_EQ(r, -ENOSPC);
	for (int k = 0; k < 30; k++) {
		struct free_counts before = free_now(), after;

		size = dir->size;
		name[snprintf(name, 100, "%d", n + k)] = '-';
		r = dt_create(dir, name, k % 3 == 0 ? S_IFREG | 0644 : k % 3 == 1 ? S_IFDIR | 0755 :
				      S_IFLNK | 0777, NULL);
		after = free_now();
		if (r == 0)
			continue; /* there was room for this one */
		TEST_EQ(r, -ENOSPC);
		TEST_EQ(after.clusters, before.clusters);
		TEST_EQ(after.inodes, before.inodes);
		TEST_EQ(after.dirs, before.dirs);
		TEST_EQ(dir->size, size);
	}
	TEST_STREQ(t.core.last_line, ""); /* a full disk is not an error of the filesystem */
	f4_inode_put(dir);
	TEST_EQ(dt_close(&t), 0);
	TEST_EQ(dt_fsck(&t), 0);
	dt_done(&t);
}

static void no_room_left(void)
{
	no_room("-t ext4 -b 1024 -N 1024 -m 0 -O ^has_journal");
	no_room("-t ext2 -b 1024 -I 128 -N 2048 -m 0");
	no_room("-t ext4 -b 1024 -N 128 -m 0 -O ^has_journal"); /* inodes end first */
	no_room("-t ext4 -b 1024 -N 1024 -I 256 -m 0 -O ^has_journal,inline_data");
}

int main(void)
{
	TEST_RUN(no_room_left);
	TEST_RUN(failing_reads);
	TEST_RUN(failing_writes);
	TEST_RUN(power_cuts);
	return test_done();
}
