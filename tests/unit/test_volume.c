/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening, closing, remounting: images of many shapes, hostile superblocks, errors on record. */
#include "server/ext4/volume.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/ext4/features.h"
#include "server/ext4/group.h"
#include "server/ext4/inode.h"
#include "server/ext4/volume_priv.h"
#include "tests/lib/check.h"
#include "tests/lib/coretest.h"

static const struct {
	const char *size, *options;
} shapes[] = {
	{ "16M", "" },
	{ "16M", "-t ext4" },
	{ "16M", "-t ext3" },
	{ "16M", "-t ext2" },
	{ "8M", "-t ext2 -r 0" },
	{ "8M", "-t ext2 -I 128 -b 1024" },
	{ "8M", "-t ext4 -b 1024" },
	{ "8M", "-t ext4 -b 2048 -I 512" },
	{ "64M", "-t ext4 -b 65536 -N 64 -O ^resize_inode" },
	{ "16M", "-t ext4 -I 1024 -b 4096" },
	{ "16M", "-t ext4 -O ^has_journal" },
	{ "16M", "-t ext4 -O ^metadata_csum,uninit_bg" },
	{ "16M", "-t ext4 -O ^metadata_csum,^uninit_bg" },
	{ "64M", "-t ext4 -b 1024 -O meta_bg,^resize_inode" },
	{ "64M", "-t ext4 -b 1024 -O meta_bg,^resize_inode,^flex_bg" },
	{ "64M", "-t ext4 -b 1024 -O ^flex_bg -g 1024" },
	{ "64M", "-t ext4 -b 1024 -O sparse_super2 -g 2048" },
	{ "64M", "-t ext4 -O bigalloc -C 65536" },
	{ "64M", "-t ext4 -b 1024 -O bigalloc -C 16384" },
	{ "16M", "-t ext4 -O inline_data,ea_inode,large_dir" },
	{ "16M", "-t ext4 -O metadata_csum_seed,orphan_file" },
	{ "16M", "-t ext4 -O mmp" },
	{ "16M", "-t ext4 -O ^64bit" },
	{ "16M", "-t ext4 -O ^64bit,^metadata_csum,uninit_bg,^extents" },
	{ "32M", "-t ext4 -O fast_commit" },
	{ "16M", "-t ext4 -O stable_inodes" },
	{ "64M", "-t ext4 -E lazy_itable_init=1,lazy_journal_init=1 -G 4 -g 1024 -b 1024" },
};

/* Opened and closed without a change, each is as clean as before. */
static void open_close_shapes(void)
{
	for (size_t i = 0; i < F4_ARRAY_LEN(shapes); i++) {
		struct coretest t;

		if (!coretest_start(&t, shapes[i].size, shapes[i].options)) {
			TEST_FAIL_("%s", shapes[i].options);
			continue;
		}
		TEST_CHECK(!t.vol->read_only);
		if (!coretest_finish(&t))
			TEST_FAIL_("not clean: %s", shapes[i].options);
	}
}

/* A bit of everything, on every shape: names, contents, removal; then again after a reopen. */
static int some_work(struct coretest *t, uint32_t round)
{
	uint8_t buf[20000];
	char path[64];
	int r = 0;

	memset(buf, (int)round + 1, sizeof(buf));
	for (uint32_t d = 0; d < 3 && r == 0; d++) {
		(void)snprintf(path, sizeof(path), "d%u.%u", round, d);
		r = coretest_mkdir(t, path);
		for (uint32_t f = 0; f < 20 && r == 0; f++) {
			(void)snprintf(path, sizeof(path), "d%u.%u/file%u", round, d, f);
			r = coretest_write(t, path, buf, f * 1000, 0);
			if (r == 0 && f % 3 == 0)
				r = coretest_unlink(t, path);
		}
	}
	if (r == 0)
		r = coretest_symlink(t, round ? "fast1" : "fast0", "target");
	memset(buf, 'x', 500);
	buf[500] = '\0';
	if (r == 0)
		r = coretest_symlink(t, round ? "slow1" : "slow0", (const char *)buf);
	return r;
}

static void work_shape(const char *size, const char *options)
{
	struct coretest t;
	int r;

	TEST_REQUIRE(coretest_start(&t, size, options));
	r = some_work(&t, 0);
	if (r < 0)
		TEST_FAIL_("%s: first round: %s (%s)", options, strerror(-r), t.last_line);
	TEST_EQ(coretest_close(&t), 0);
	if (coretest_fsck(&t) != 0)
		TEST_FAIL_("%s: after the first round", options);
	r = coretest_open(&t);
	if (r < 0) {
		TEST_FAIL_("%s: reopen: %s (%s)", options, strerror(-r), t.last_line);
		coretest_remove(&t);
		return;
	}
	r = some_work(&t, 1);
	if (r < 0)
		TEST_FAIL_("%s: second round: %s (%s)", options, strerror(-r), t.last_line);
	TEST_EQ(t.vol->errors_seen, 0);
	if (!coretest_finish(&t))
		TEST_FAIL_("%s: after the second round", options);
}

static void work_shapes(void)
{
	for (size_t i = 0; i < F4_ARRAY_LEN(shapes); i++)
		work_shape(shapes[i].size, shapes[i].options);
}

/*
 * A volume that is let go in the middle: what was synced is there after the log was replayed, by us
 * and by e2fsck alike; without a journal the image is marked as not clean.
 */
static void crash_shape(const char *size, const char *options)
{
	struct coretest t;
	struct f4_inode *inode;
	int r;

	TEST_REQUIRE(coretest_start(&t, size, options));
	TEST_EQ(some_work(&t, 0), 0);
	TEST_EQ(f4_volume_sync(t.vol), 0);
	TEST_EQ(coretest_mkdir(&t, "unsynced"), 0);
	if (!f4_has_compat(t.vol, F4_COMPAT_HAS_JOURNAL)) {
		struct f4_super sb;

		TEST_CHECK(coretest_peek(&t, F4_SB_OFFSET, &sb, sizeof(sb)));
		TEST_CHECK(!(f4_get_le16(sb.s_state) & F4_STATE_VALID));
		coretest_remove(&t);
		return;
	}
	coretest_crash(&t);
	r = coretest_open(&t);
	if (r < 0) {
		TEST_FAIL_("%s: open after a crash: %s (%s)", options, strerror(-r), t.last_line);
		coretest_remove(&t);
		return;
	}
	TEST_CHECK(t.vol->state->recovered);
	inode = coretest_lookup(&t, "d0.2/file19");
	TEST_CHECK(inode != NULL && inode->size == 19000);
	f4_inode_put(inode);
	inode = coretest_lookup(&t, "unsynced");
	TEST_CHECK(inode == NULL);
	f4_inode_put(inode);
	TEST_EQ(some_work(&t, 1), 0);
	TEST_EQ(t.vol->errors_seen, 0);
	if (!coretest_finish(&t))
		TEST_FAIL_("%s: after a crash", options);
}

static void crash_shapes(void)
{
	for (size_t i = 0; i < F4_ARRAY_LEN(shapes); i++)
		crash_shape(shapes[i].size, shapes[i].options);
}

/* A dirty image that may not be written shows the recovered state, and stays as it is. */
static void read_only_recovery(void)
{
	struct coretest t;
	struct f4_super before, after;
	uint8_t buf[16];
	size_t got = 0;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4"));
	TEST_EQ(coretest_write(&t, "file", "content", 7, 0), 0);
	TEST_EQ(f4_volume_sync(t.vol), 0);
	coretest_crash(&t);
	TEST_CHECK(coretest_peek(&t, F4_SB_OFFSET, &before, sizeof(before)));
	TEST_CHECK(f4_get_le32(before.s_feature_incompat) & F4_INCOMPAT_RECOVER);
	t.opt.read_only = true;
	TEST_REQUIRE(coretest_open(&t) == 0);
	TEST_EQ(coretest_read(&t, "file", buf, sizeof(buf), 0, &got), 0);
	TEST_CHECK(got == 7 && memcmp(buf, "content", 7) == 0);
	TEST_EQ(coretest_create(&t, "other"), -EROFS);
	TEST_EQ(f4_volume_remount(t.vol, false), -EROFS);
	TEST_EQ(coretest_close(&t), 0);
	TEST_CHECK(coretest_peek(&t, F4_SB_OFFSET, &after, sizeof(after)));
	TEST_CHECK(memcmp(&before, &after, sizeof(after)) == 0);
	/* Without recovery: the old state. */
	t.opt.no_recovery = true;
	TEST_REQUIRE(coretest_open(&t) == 0);
	TEST_EQ(coretest_read(&t, "file", buf, sizeof(buf), 0, &got), -ENOENT);
	TEST_EQ(coretest_close(&t), 0);
	t.opt.read_only = false;
	TEST_EQ(coretest_open(&t), -EROFS);
	t.opt.no_recovery = false;
	TEST_EQ(coretest_open(&t), 0);
	TEST_CHECK(coretest_finish(&t));
}

static void remount(void)
{
	struct coretest t;
	struct f4_super sb;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -O orphan_file,mmp"));
	TEST_EQ(some_work(&t, 0), 0);
	TEST_EQ(f4_volume_remount(t.vol, true), 0);
	TEST_EQ(coretest_mkdir(&t, "no"), -EROFS);
	TEST_CHECK(coretest_peek(&t, F4_SB_OFFSET, &sb, sizeof(sb)));
	TEST_CHECK(!(f4_get_le32(sb.s_feature_incompat) & F4_INCOMPAT_RECOVER));
	TEST_EQ(coretest_fsck(&t), 0); /* everything is at home while it is still open */
	TEST_EQ(f4_volume_remount(t.vol, false), 0);
	TEST_CHECK(coretest_peek(&t, F4_SB_OFFSET, &sb, sizeof(sb)));
	TEST_CHECK(f4_get_le32(sb.s_feature_incompat) & F4_INCOMPAT_RECOVER);
	TEST_EQ(some_work(&t, 1), 0);
	TEST_EQ(f4_volume_sync(t.vol), 0);
	coretest_crash(&t);
	TEST_EQ(coretest_open(&t), 0);
	TEST_EQ(coretest_rmdir(&t, "d1.1"), -ENOTEMPTY);
	TEST_CHECK(coretest_finish(&t));
}

/* Primary superblock and descriptors are gone: a copy (sb=) shows the files, and only that. */
static void backup_super(void)
{
	static const struct {
		const char *options;
		uint64_t kib;
		uint32_t wipe_kib;
	} t[] = {
		{ "-t ext4 -b 1024", 8193, 20 },
		{ "-t ext4 -b 4096 -g 4096 -J size=4", 16384, 40 },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		static const uint8_t zero[40 * 1024];
		struct coretest ct;
		uint8_t buf[8];
		size_t got = 0;

		TEST_REQUIRE(coretest_start(&ct, "64M", t[i].options));
		TEST_EQ(coretest_write(&ct, "file", "content", 7, 0), 0);
		TEST_EQ(f4_volume_sync(ct.vol), 0);
		coretest_crash(&ct); /* the content is in the log only */
		TEST_CHECK(coretest_poke(&ct, 0, zero, t[i].wipe_kib * 1024));
		TEST_EQ(coretest_open(&ct), -EINVAL);
		ct.opt.sb_block = t[i].kib;
		TEST_REQUIRE(coretest_open(&ct) == 0);
		TEST_CHECK(ct.vol->read_only);
		TEST_EQ(coretest_read(&ct, "file", buf, sizeof(buf), 0, &got), 0);
		TEST_CHECK(got == 7 && memcmp(buf, "content", 7) == 0);
		TEST_EQ(f4_volume_remount(ct.vol, false), -EROFS);
		TEST_EQ(coretest_close(&ct), 0);
		ct.opt.sb_block = 3;
		TEST_EQ(coretest_open(&ct), -EINVAL);
		ct.opt.sb_block = UINT64_MAX / 1024;
		TEST_EQ(coretest_open(&ct), -EINVAL);
		coretest_remove(&ct);
	}
}

/* tune2fs -o: what the superblock wants holds where the mount named nothing. */
static void default_options(void)
{
	static const uint32_t all = F4_NAMED_DATA_MODE | F4_NAMED_BARRIER | F4_NAMED_DISCARD |
				    F4_NAMED_BSD_GROUPS;
	struct f4_cred cred = { .uid = 70000, .gid = 70001 };
	struct coretest t;
	struct f4_inode *inode;
	struct f4_attr attr = { .uid = cred.uid, .gid = cred.gid };

	TEST_REQUIRE(coretest_mkfs(&t, "16M", "-t ext4"));
	TEST_EQ(coretest_open(&t), 0);
	TEST_CHECK(t.vol->opt.data_mode == F4_DATA_ORDERED && !t.vol->opt.no_barrier &&
		   !t.vol->opt.discard && !t.vol->opt.bsd_groups && !t.vol->ids_16bit);
	TEST_EQ(coretest_close(&t), 0);
	TEST_EQ(coretest_shell(&t, "tune2fs -o journal_data,bsdgroups,nobarrier,discard,uid16 $IMG "
				   ">/dev/null"), 0);
	TEST_EQ(coretest_open(&t), 0);
	TEST_CHECK(t.vol->opt.data_mode == F4_DATA_JOURNAL && t.vol->opt.no_barrier &&
		   t.vol->opt.discard && t.vol->opt.bsd_groups && t.vol->ids_16bit);
	TEST_CHECK(!t.vol->opt.no_acl && !t.vol->opt.no_user_xattr);
	TEST_EQ(coretest_create(&t, "file"), 0);
	inode = coretest_lookup(&t, "file");
	TEST_REQUIRE(inode != NULL);
	TEST_EQ(f4_inode_setattr(inode, F4_SET_UID | F4_SET_GID, &attr, &cred), 0);
	f4_inode_put(inode);
	TEST_EQ(coretest_close(&t), 0);
	t.opt.named = all;
	TEST_EQ(coretest_open(&t), 0);
	TEST_CHECK(t.vol->opt.data_mode == F4_DATA_ORDERED && !t.vol->opt.no_barrier &&
		   !t.vol->opt.discard && !t.vol->opt.bsd_groups);
	inode = coretest_lookup(&t, "file");
	TEST_REQUIRE(inode != NULL);
	f4_inode_attr(inode, &attr);
	TEST_CHECK(attr.uid == 65534 && attr.gid == 65534); /* what 16 bits say of larger ones */
	f4_inode_put(inode);
	TEST_CHECK(coretest_finish(&t));
}

static void label(void)
{
	static const char names[][F4_LABEL_MAX] = { "", "a", "sixteen bytes ok", "short" };
	char got[F4_LABEL_MAX + 1];
	struct coretest t;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -L before"));
	f4_volume_get_label(t.vol, got);
	TEST_CHECK(strcmp(got, "before") == 0);
	for (size_t i = 0; i < F4_ARRAY_LEN(names); i++) {
		TEST_EQ(f4_volume_set_label(t.vol, names[i]), 0);
		f4_volume_get_label(t.vol, got);
		TEST_CHECK(strlen(got) <= F4_LABEL_MAX && memcmp(got, names[i], strlen(got)) == 0);
	}
	coretest_crash(&t); /* durable all the same */
	TEST_EQ(coretest_open(&t), 0);
	f4_volume_get_label(t.vol, got);
	TEST_CHECK(strcmp(got, "short") == 0);
	TEST_EQ(f4_volume_remount(t.vol, true), 0);
	TEST_EQ(f4_volume_set_label(t.vol, names[1]), -EROFS);
	TEST_CHECK(coretest_finish(&t));
}

int main(void)
{
	TEST_RUN(backup_super);
	TEST_RUN(default_options);
	TEST_RUN(label);
	TEST_RUN(crash_shapes);
	TEST_RUN(read_only_recovery);
	TEST_RUN(remount);
	TEST_RUN(open_close_shapes);
	TEST_RUN(work_shapes);
	return test_done();
}
