/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Content of files when the power or the disk fails: a truncate of many extents is whole or
 * undone after recovery wherever it was cut, and a write whose data the disk refuses leaves no block
 * behind that shows what was there before.
 */
#include <linux/falloc.h>
#include <sys/stat.h>

#include "server/ext4/file.h"
#include "server/ext4/journal.h"
#include "server/ext4/map.h"
#include "tests/lib/check.h"
#include "tests/lib/coretest.h"
#include "tests/lib/disk_sim.h"

static const struct f4_cred root = { 0 };

static int open_on(struct f4_disk *sim, struct f4_volume **ret)
{
	struct f4_volume_params p = { .disk = f4_sim_borrow(sim) };

	p.opt.resuid = p.opt.resgid = -1;
	return f4_volume_open(&p, ret);
}

/* The volume of @t is from now on the one on @sim. */
static bool reopen(struct coretest *t, struct f4_disk *sim)
{
	int r = open_on(sim, &t->vol);

	TEST_EQ(r, 0);
	if (r)
		t->vol = NULL;
	return r == 0;
}

static bool close_and_check(struct coretest *t, struct f4_disk *sim)
{
	struct f4_volume *vol = t->vol;

	t->vol = NULL;
	TEST_EQ(f4_volume_close(vol), 0);
	TEST_EQ(f4_sim_store(sim, t->path), 0);
	return coretest_fsck(t) == 0;
}

/* An image with a file of 4,000 extents, as a simulated disk. */
static struct f4_disk *make_image(struct coretest *t)
{
	struct f4_inode *inode;
	size_t done;
	int err;

	if (!coretest_start(t, "24M", "-t ext4 -b 1024 -J size=1"))
		return NULL;
	inode = coretest_mknod(t, "f", S_IFREG | 0644, &err);
	for (uint32_t i = 0; inode && i < 4000; i++)
		TEST_EQ(f4_file_write(inode, "x", 1, (uint64_t)i * 3072, 0, &root, &done), 0);
	f4_inode_put(inode);
	TEST_EQ(coretest_close(t), 0);
	return f4_sim_load(t->path);
}

static void truncate_cut_anywhere(void)
{
	struct coretest t;
	struct f4_disk *image = make_image(&t), *disk;
	struct f4_sim_walk *walk;
	uint32_t old = 0, new = 0, step;
	size_t events;
	struct f4_inode *inode;

	TEST_REQUIRE(image != NULL);
	disk = f4_sim_clone(image);
	f4_sim_record(disk);
	TEST_REQUIRE(reopen(&t, disk));
	inode = coretest_lookup(&t, "f");
	TEST_REQUIRE(inode != NULL);
	TEST_EQ(f4_file_truncate(inode, 5000), 0);
	TEST_EQ(f4_volume_sync(t.vol), 0);
	f4_inode_put(inode);
	TEST_EQ(f4_volume_close(f4_take_ptr(t.vol)), 0);
	(void)f4_sim_events(disk, &events);
	TEST_CHECK(events > 10);
	walk = f4_sim_walk_new(disk);
	step = (uint32_t)(events / 40) + 1;
	for (size_t at = 1; at <= events && !test_case_failed_; at += step) {
		struct f4_disk *state = f4_sim_crash(walk, at, at % 2 ? F4_SIM_ALL : F4_SIM_SUBSET,
						     at);

		if (reopen(&t, state)) {
			inode = coretest_lookup(&t, "f");
			TEST_CHECK(inode != NULL);
			if (inode && inode->size == 5000) {
				struct f4_map m;
				uint64_t blocks;

				new++;
				TEST_EQ(f4_map_check(inode, &blocks), 0);
				TEST_EQ(inode->blocks, blocks * 2);
				TEST_EQ(f4_map_lookup(inode, 5, UINT32_MAX, &m), 0);
				TEST_CHECK(!(m.flags & F4_MAP_MAPPED));
				TEST_EQ(m.len, UINT32_MAX - 5);
			} else if (inode) {
				old++;
				TEST_EQ(inode->size, 3999u * 3072 + 1);
			}
			f4_inode_put(inode);
			TEST_CHECK(close_and_check(&t, state));
		}
		f4_disk_free(state);
	}
	printf("%u states with the old size, %u with the new\n", old, new);
	TEST_CHECK(old > 0 && new > 0);
	f4_sim_walk_free(walk);
	f4_disk_free(disk);
	f4_disk_free(image);
	coretest_remove(&t);
}

/* Each write of a request fails in turn. */
static void data_that_cannot_be_written(void)
{
	static uint8_t buf[40000], back[40000];
	struct coretest t;
	struct f4_disk *image, *disk;
	uint32_t failed = 0;

	TEST_REQUIRE(coretest_mkfs(&t, "16M", "-t ext4 -b 1024"));
	TEST_EQ(coretest_open(&t), 0);
	memset(buf, 0xa5, sizeof(buf)); /* stale content for the blocks that come next */
	for (uint32_t i = 0; i < 20; i++)
		TEST_EQ(coretest_write(&t, "old", buf, sizeof(buf), i * sizeof(buf)), 0);
	TEST_EQ(coretest_unlink(&t, "old"), 0);
	TEST_EQ(coretest_create(&t, "f"), 0);
	TEST_EQ(coretest_close(&t), 0);
	image = f4_sim_load(t.path);
	TEST_REQUIRE(image != NULL);
	for (uint32_t nth = 1; nth < 6 && !test_case_failed_; nth++) {
		struct f4_inode *inode;
		size_t done = 0;
		int r = 0;

		disk = f4_sim_clone(image);
		TEST_REQUIRE(reopen(&t, disk));
		inode = coretest_lookup(&t, "f");
		TEST_REQUIRE(inode != NULL);
		memset(buf, 0x11, sizeof(buf));
		f4_sim_fail(disk, F4_SIM_WRITE, nth, -EIO, false);
		for (uint32_t i = 0; i < 5; i++) { /* with holes between */
			r = f4_file_write(inode, buf, 5000, i * 8000, 0, &root, &done);
			failed += r == -EIO;
		}
		f4_sim_fail_none(disk);
		memset(back, 0, sizeof(back));
		TEST_EQ(f4_file_read(inode, back, sizeof(back), 0, &done), 0);
		for (size_t i = 0; i < done; i++)
			if (back[i] != 0 && back[i] != 0x11) {
				TEST_FAIL_("write %u: byte %zu shows %02x", nth, i, back[i]);
				break;
			}
		f4_inode_put(inode);
		TEST_CHECK(close_and_check(&t, disk));
		f4_disk_free(disk);
	}
	TEST_CHECK(failed >= 4);
	f4_disk_free(image);
	coretest_remove(&t);
}

/* Put @n blocks of the volume's end into the running transaction, after a commit. */
static void fill_transaction(struct f4_volume *vol, uint32_t n)
{
	TEST_EQ(f4_volume_sync(vol), 0);
	for (uint32_t i = 0; i < n; i++) {
		struct f4_handle h;
		struct f4_buf *buf;

		TEST_REQUIRE(f4_txn_begin(vol->journal, 1, &h) == 0);
		TEST_REQUIRE(f4_buf_new(vol->cache, vol->blocks_count - 1 - i, NULL, 0, 0, &buf) == 0);
		TEST_EQ(f4_txn_create(&h, buf), 0);
		memset(buf->data, 0, vol->block_size);
		f4_buf_put(buf);
		TEST_EQ(f4_txn_end(&h), 0);
	}
}

/* The size of "f" when the power fails now. */
static uint64_t size_after_crash(struct f4_disk *disk)
{
	struct coretest t = { .fd = -1 };
	struct f4_disk *state = f4_sim_clone(disk);
	struct f4_inode *inode;
	uint64_t size = UINT64_MAX;

	if (reopen(&t, state)) {
		inode = coretest_lookup(&t, "f");
		size = inode ? inode->size : size;
		f4_inode_put(inode);
		TEST_EQ(f4_volume_close(f4_take_ptr(t.vol)), 0);
	}
	f4_disk_free(state);
	return size;
}

/*
 * A write that needs several mappings is one handle, however full the running transaction is: what
 * a commit in its middle leaves would show. Here it fills unwritten blocks and holes in turn, from
 * block @first on.
 */
static void write_at_each_fill(const char *mkfs, uint32_t runs)
{
	static uint8_t buf[64 << 10];
	struct coretest t;
	struct f4_disk *image;
	uint32_t max, old = 0, new = 0;
	size_t done, len = runs * 1024 - 300;

	TEST_REQUIRE(coretest_start(&t, "16M", mkfs));
	TEST_EQ(coretest_write(&t, "f", buf, 1024, 0), 0);
	max = f4_journal_max_credits(t.vol->journal);
	TEST_EQ(coretest_close(&t), 0);
	image = f4_sim_load(t.path);
	TEST_REQUIRE(image != NULL);
	memset(buf, 0x5a, sizeof(buf));
	for (uint32_t n = max > 150 ? max - 150 : 0; n <= max && !test_case_failed_; n += 3) {
		struct f4_disk *disk = f4_sim_clone(image);
		struct f4_inode *inode;
		uint64_t size;

		TEST_REQUIRE(reopen(&t, disk));
		inode = coretest_lookup(&t, "f");
		TEST_REQUIRE(inode != NULL);
		for (uint32_t i = 0; i < runs; i += 2)
			TEST_EQ(f4_file_fallocate(inode, FALLOC_FL_KEEP_SIZE, 1024 * (i + 1), 1024, &root), 0);
		fill_transaction(t.vol, n);
		TEST_EQ(f4_file_write(inode, buf, len, 1024, 0, &root, &done), 0);
		TEST_EQ(done, len);
		size = size_after_crash(disk);
		if (size == 1024)
			old++;
		else if (size == 1024 + len)
			new++;
		else
			TEST_FAIL_("%s, %u runs, %u of %u blocks taken: size %llu", mkfs, runs, n, max,
				   (unsigned long long)size);
		f4_inode_put(inode);
		TEST_CHECK(close_and_check(&t, disk));
		f4_disk_free(disk);
	}
	TEST_CHECK(old > 0 && new == 0);
	f4_disk_free(image);
	coretest_remove(&t);
}

static void write_is_one_handle(void)
{
	write_at_each_fill("-t ext4 -b 1024 -J size=1", 2);
	write_at_each_fill("-t ext4 -b 1024 -J size=1", 8);
	write_at_each_fill("-t ext4 -b 1024 -J size=2", 16);
}

int main(void)
{
	TEST_RUN(write_is_one_handle);
	TEST_RUN(truncate_cut_anywhere);
	TEST_RUN(data_that_cannot_be_written);
	return test_done();
}
