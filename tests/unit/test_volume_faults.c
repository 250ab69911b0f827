/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device that fails: the n-th read, write or flush of a workload fails, once or from then on, for
 * every n. Nothing may crash or hang; an error is said to somebody unless nothing was lost; and
 * after a recovery on a device that works again e2fsck has no complaint.
 */
#include <errno.h>
#include <sys/stat.h>

#include "protocol/base/str.h"
#include "server/ext4/file.h"
#include "server/ext4/inode.h"
#include "server/ext4/ops.h"
#include "server/ext4/volume.h"
#include "tests/lib/check.h"
#include "tests/lib/coretest.h"
#include "tests/lib/disk_sim.h"

static int open_disk(struct f4_disk *disk, struct f4_volume **ret)
{
	struct f4_volume_params vp = {
		.disk = disk,
		.opt = { .no_mmp_wait = true, .resuid = -1, .resgid = -1, .cache_bytes = 1 },
	};

	return f4_volume_open(&vp, ret);
}

/* Returns how many calls failed. */
static uint32_t workload(struct f4_volume *vol)
{
	struct f4_op_new file = { .mode = S_IFREG | 0644 }, dir = { .mode = S_IFDIR | 0755 };
	const struct f4_cred cred = { 0 };
	struct coretest t = { .vol = vol };
	static uint8_t buf[30000];
	struct f4_inode *root, *inode;
	uint32_t failed = 0;
	size_t got;
	char name[24];

	if (f4_inode_get(vol, F4_ROOT_INO, 0, &root) < 0)
		return 1;
	for (uint32_t i = 0; i < 12; i++) {
		(void)snprintf(name, sizeof(name), "name%u", i);
		if (f4_op_create(root, name, strlen(name), i % 4 ? &file : &dir, &inode) < 0) {
			failed++;
			continue;
		}
		if (i % 4)
			failed += f4_file_write(inode, buf, i * 2500, i * 700, 0, &cred, &got) < 0;
		if (i % 5 == 1)
			failed += f4_file_fsync(inode, false) < 0;
		f4_inode_put(inode);
	}
	failed += f4_op_rename(root, "name1", 5, root, "name2", 5, 0, &cred) < 0;
	failed += f4_op_unlink(root, "name3", 5) < 0;
	failed += f4_op_rmdir(root, "name4", 5) < 0;
	inode = coretest_lookup(&t, "name9");
	if (!inode || f4_file_truncate(inode, 100) < 0)
		failed++;
	f4_inode_put(inode);
	inode = coretest_lookup(&t, "old");
	if (!inode || f4_file_read(inode, buf, sizeof(buf), 0, &got) < 0)
		failed++;
	f4_inode_put(inode);
	f4_inode_put(root);
	return failed;
}

static bool clean_after_recovery(struct f4_disk *d, struct coretest *t)
{
	struct f4_volume *vol;
	int r = open_disk(f4_sim_clone(d), &vol);

	if (r < 0) {
		fprintf(stderr, "open after the faults: %s\n", strerror(-r));
		return false;
	}
	r = f4_volume_sync(vol);
	/* Stored while it is open: at that moment everything is in log and home. */
	if (r == 0)
		r = f4_volume_remount(vol, true);
	if (r == 0)
		r = f4_sim_store(vol->disk, t->path);
	(void)f4_volume_close(vol);
	/* An error on record is no complaint about the structure. */
	return r == 0 && coretest_shell(t, "e2fsck -fn \"$IMG\" >\"$IMG.log\" 2>&1 </dev/null || "
					   "{ head -n 20 \"$IMG.log\" >&2; exit 1; }") == 0;
}

/* One run with the @nth operation of @ops failing. Returns false when there are not so many. */
static bool one_fault(struct f4_disk *base, struct coretest *t, uint32_t ops, uint64_t nth, bool on_and_on)
{
	struct f4_disk *d;
	struct f4_volume *vol;
	uint32_t failed = 0;
	uint64_t hits;
	int r = open_disk(f4_sim_clone(base), &vol);

	TEST_EQ(r, 0);
	if (r < 0)
		return false;
	d = vol->disk;
	f4_sim_fail(d, ops, nth, -EIO, on_and_on);
	failed = workload(vol);
	r = f4_volume_sync(vol);
	failed += r < 0;
	hits = f4_sim_failed(d);
	f4_sim_fail_none(d);
	/* A failed write or flush is never kept quiet; a failed read may have been a readahead. */
	if (hits && !(ops & F4_SIM_READ) && failed == 0)
		TEST_FAIL_("ops 0x%x number %llu failed and nobody heard of it", ops,
			   (unsigned long long)nth);
	/* Let go as in a crash: what is on the disk has to do. */
	(void)f4_volume_shutdown(vol, false);
	if (!clean_after_recovery(d, t))
		TEST_FAIL_("ops 0x%x number %llu%s: not clean", ops, (unsigned long long)nth,
			   on_and_on ? " and on" : "");
	(void)f4_volume_close(vol);
	return hits != 0;
}

static uint32_t stride(void)
{
	const char *s = getenv("F4_FAULT_STRIDE"); /* 1: every single one */
	uint64_t n = 7;

	if (s && f4_str_to_u64(s, 10, 1000, &n) < 0)
		n = 7;
	return (uint32_t)n;
}

static void faults(const char *options, uint32_t ops, bool on_and_on)
{
	struct coretest t;
	struct f4_disk *base;
	static uint8_t data[9000];
	uint64_t n = 1;

	TEST_REQUIRE(coretest_start(&t, "8M", options));
	TEST_EQ(coretest_write(&t, "old", data, sizeof(data), 0), 0);
	TEST_EQ(coretest_close(&t), 0);
	base = f4_sim_load(t.path);
	TEST_REQUIRE(base != NULL);
	while (one_fault(base, &t, ops, n, on_and_on))
		n += n < 5 ? 1 : stride();
	TEST_CHECK(n > 2);
	f4_disk_free(base);
	coretest_remove(&t);
}

#define EXT4 "-t ext4 -b 1024 -N 128 -J size=1"

static void reads(void)
{
	faults(EXT4, F4_SIM_READ, false);
	faults(EXT4, F4_SIM_READ, true);
}
static void writes(void)
{
	faults(EXT4, F4_SIM_WRITE | F4_SIM_FUA, false);
	faults(EXT4, F4_SIM_WRITE | F4_SIM_FUA, true);
}
static void flushes(void)
{
	faults(EXT4, F4_SIM_FLUSH, false);
	faults(EXT4, F4_SIM_FLUSH | F4_SIM_FUA, true);
}

int main(void)
{
	TEST_RUN(reads);
	TEST_RUN(writes);
	TEST_RUN(flushes);
	return test_done();
}
