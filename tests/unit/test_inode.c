/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inodes: what a new one inherits, what is stored and read back, the table in memory. */
#include "server/ext4/inode.h"

#include <errno.h>
#include <sys/stat.h>

#include "server/ext4/inode_priv.h"
#include "server/ext4/inode_table.h"
#include "server/ext4/ops.h"
#include "tests/lib/check.h"
#include "tests/lib/coretest.h"

static struct f4_attr attr_of(struct coretest *t, const char *path)
{
	f4_auto_inode *inode = coretest_lookup(t, path);
	struct f4_attr a = { 0 };

	if (inode)
		f4_inode_attr(inode, &a);
	else
		TEST_FAIL_("%s is not there", path);
	return a;
}

static int setattr(struct coretest *t, const char *path, uint32_t mask, const struct f4_attr *a)
{
	static const struct f4_cred root = { 0 };
	f4_auto_inode *inode = coretest_lookup(t, path);

	return inode ? f4_inode_setattr(inode, mask, a, &root) : -ENOENT;
}

static int reopen(struct coretest *t)
{
	int r = coretest_close(t);

	return r < 0 ? r : coretest_open(t);
}

static void times(const char *options, bool extra)
{
	/* seconds asked; seconds that come back with and without the extra fields */
	static const struct {
		int64_t sec, wide, narrow;
		long nsec;
	} t[] = {
		{ 0, 0, 0, 0 },
		{ 1700000000, 1700000000, 1700000000, 123456789 },
		{ -1, -1, -1, 999999999 },
		{ INT32_MIN, INT32_MIN, INT32_MIN, 5 },
		{ (int64_t)INT32_MIN - 1, INT32_MIN, INT32_MIN, 0 },
		{ INT32_MAX, INT32_MAX, INT32_MAX, 7 },
		{ (int64_t)INT32_MAX + 1, (int64_t)INT32_MAX + 1, INT32_MAX, 8 },
		{ 0x100000000, 0x100000000, INT32_MAX, 1 },
		{ 0x180000000, 0x180000000, INT32_MAX, 2 },
		{ 0x37fffffff, 0x37fffffff, INT32_MAX, 3 },
		{ 0x380000000, 0x37fffffff, INT32_MAX, 0 },
		{ INT64_MAX / 2, 0x37fffffff, INT32_MAX, 0 },
	};
	struct coretest ct;

	TEST_REQUIRE(coretest_start(&ct, "8M", options));
	TEST_EQ(coretest_create(&ct, "f"), 0);
	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct f4_attr set = { .atime = { t[i].sec, t[i].nsec }, .mtime = { t[i].sec, t[i].nsec } };
		struct f4_attr now, later;

		TEST_EQ(setattr(&ct, "f", F4_SET_ATIME | F4_SET_MTIME, &set), 0);
		now = attr_of(&ct, "f");
		TEST_EQ(now.mtime.tv_sec, extra ? t[i].wide : t[i].narrow);
		TEST_EQ(now.mtime.tv_nsec, extra ? t[i].nsec : 0);
		TEST_EQ(reopen(&ct), 0);
		later = attr_of(&ct, "f");
		TEST_CHECK(memcmp(&now, &later, sizeof(now)) == 0); /* what is said is what is stored */
	}
	TEST_CHECK(coretest_finish(&ct));
}

static void times_of_all_sizes(void)
{
	times("-t ext4 -b 1024 -I 256", true);
	times("-t ext4 -b 1024 -I 128", false);
}

static void attributes(void)
{
	static const struct f4_attr a = { .mode = 07531, .uid = 70000, .gid = 80000 };
	struct coretest t;
	struct f4_attr b, c;

	TEST_REQUIRE(coretest_start(&t, "8M", "-t ext4 -b 1024"));
	TEST_EQ(coretest_create(&t, "f"), 0);
	TEST_EQ(setattr(&t, "f", F4_SET_MODE | F4_SET_UID | F4_SET_GID, &a), 0);
	b = attr_of(&t, "f");
	TEST_EQ(b.mode, S_IFREG | 07531);
	TEST_EQ(b.uid, 70000);
	TEST_EQ(b.gid, 80000);
	TEST_EQ(reopen(&t), 0);
	c = attr_of(&t, "f");
	TEST_CHECK(memcmp(&b, &c, sizeof(b)) == 0);
	/* A change of owner takes set-uid, and set-gid where the group may execute. */
	TEST_EQ(setattr(&t, "f", F4_SET_UID, &(struct f4_attr){ .uid = 1 }), 0);
	TEST_EQ(attr_of(&t, "f").mode, S_IFREG | 01531);
	TEST_EQ(setattr(&t, "f", F4_SET_MODE, &(struct f4_attr){ .mode = 06666 }), 0);
	TEST_EQ(setattr(&t, "f", F4_SET_GID, &(struct f4_attr){ .gid = 2 }), 0);
	TEST_EQ(attr_of(&t, "f").mode, S_IFREG | 02666);
	TEST_EQ(setattr(&t, "f", F4_SET_MODE, &(struct f4_attr){ .mode = 06777 }), 0);
	TEST_EQ(setattr(&t, "f", F4_SET_KILLPRIV, &(struct f4_attr){ 0 }), 0);
	TEST_EQ(attr_of(&t, "f").mode, S_IFREG | 0777);
	/* Directories keep theirs. */
	TEST_EQ(coretest_mkdir(&t, "d"), 0);
	TEST_EQ(setattr(&t, "d", F4_SET_MODE, &(struct f4_attr){ .mode = 02755 }), 0);
	TEST_EQ(setattr(&t, "d", F4_SET_GID, &(struct f4_attr){ .gid = 9 }), 0);
	TEST_EQ(attr_of(&t, "d").mode, S_IFDIR | 02755);
	TEST_EQ(setattr(&t, "d", F4_SET_SIZE, &(struct f4_attr){ .size = 0 }), -EISDIR);
	TEST_EQ(setattr(&t, "f", F4_SET_SIZE, &(struct f4_attr){ .size = 12345 }), 0);
	TEST_EQ(attr_of(&t, "f").size, 12345);
	TEST_CHECK(coretest_finish(&t));
}

static int set_flags(struct coretest *t, const char *path, uint32_t flags)
{
	f4_auto_inode *inode = coretest_lookup(t, path);

	return inode ? f4_inode_set_flags(inode, flags | (inode->flags & (F4_FL_EXTENTS | F4_FL_INDEX))) :
		       -ENOENT;
}

static void protected_inodes(void)
{
	static const struct f4_attr none = { 0 };
	struct coretest t;

	TEST_REQUIRE(coretest_start(&t, "8M", "-t ext4 -b 1024"));
	TEST_EQ(coretest_create(&t, "f"), 0);
	TEST_EQ(set_flags(&t, "f", F4_FL_IMMUTABLE), 0);
	TEST_EQ(setattr(&t, "f", F4_SET_MODE, &none), -EPERM);
	TEST_EQ(setattr(&t, "f", F4_SET_SIZE, &none), -EPERM);
	TEST_EQ(setattr(&t, "f", F4_SET_MTIME | F4_SET_TIMES_NOW, &none), -EPERM);
	TEST_EQ(coretest_unlink(&t, "f"), -EPERM);
	TEST_EQ(set_flags(&t, "f", F4_FL_APPEND), 0);
	TEST_EQ(setattr(&t, "f", F4_SET_UID, &none), -EPERM);
	TEST_EQ(setattr(&t, "f", F4_SET_SIZE, &none), -EPERM);
	TEST_EQ(setattr(&t, "f", F4_SET_MTIME, &none), -EPERM);
	TEST_EQ(setattr(&t, "f", F4_SET_MTIME | F4_SET_TIMES_NOW, &none), 0);
	TEST_EQ(set_flags(&t, "f", 0), 0);
	TEST_EQ(coretest_unlink(&t, "f"), 0);
	/* Flags that chattr has no say in. */
	TEST_EQ(coretest_create(&t, "g"), 0);
	TEST_EQ(set_flags(&t, "g", F4_FL_INLINE_DATA | F4_FL_INDEX), 0); /* shown, but nobody's to set */
	TEST_EQ(attr_of(&t, "g").flags, F4_FL_EXTENTS);
	TEST_EQ(set_flags(&t, "g", 0x80000000u), -EOPNOTSUPP);
	TEST_EQ(set_flags(&t, "g", F4_FL_DIRSYNC | F4_FL_NODUMP), 0);
	TEST_EQ(attr_of(&t, "g").flags, F4_FL_NODUMP | F4_FL_EXTENTS);
	TEST_CHECK(coretest_finish(&t));
}

static void inheritance(void)
{
	static const struct f4_attr sgid = { .mode = 02775, .gid = 4711 };
	struct coretest t;

	TEST_REQUIRE(coretest_start(&t, "8M", "-t ext4 -b 1024"));
	TEST_EQ(coretest_mkdir(&t, "d"), 0);
	TEST_EQ(setattr(&t, "d", F4_SET_MODE | F4_SET_GID, &sgid), 0);
	TEST_EQ(set_flags(&t, "d", F4_FL_SYNC | F4_FL_NODUMP | F4_FL_DIRSYNC | F4_FL_TOPDIR), 0);
	TEST_EQ(coretest_create(&t, "d/f"), 0);
	TEST_EQ(coretest_mkdir(&t, "d/sub"), 0);
	TEST_EQ(coretest_symlink(&t, "d/l", "x"), 0);
	TEST_EQ(attr_of(&t, "d/f").gid, 4711);
	TEST_EQ(attr_of(&t, "d/f").mode, S_IFREG | 0644);
	TEST_EQ(attr_of(&t, "d/f").flags & ~F4_FL_EXTENTS, F4_FL_SYNC | F4_FL_NODUMP);
	TEST_EQ(attr_of(&t, "d/sub").mode, S_IFDIR | 02755);
	TEST_EQ(attr_of(&t, "d/sub").flags & ~F4_FL_EXTENTS, F4_FL_SYNC | F4_FL_NODUMP | F4_FL_DIRSYNC);
	TEST_EQ(attr_of(&t, "d/l").flags & ~F4_FL_EXTENTS, F4_FL_NODUMP);
	t.opt.bsd_groups = true;
	TEST_EQ(reopen(&t), 0);
	TEST_EQ(coretest_mkdir(&t, "e"), 0);
	TEST_EQ(setattr(&t, "e", F4_SET_GID, &sgid), 0);
	TEST_EQ(coretest_create(&t, "e/f"), 0);
	TEST_EQ(attr_of(&t, "e/f").gid, 4711);
	TEST_CHECK(coretest_finish(&t));
}

/* More inodes than the table keeps, with lookup counts that come and go. */
static void table_and_counts(void)
{
	enum { N = 3000 };
	struct coretest t;
	static uint32_t ino[N];
	uint32_t in_memory = 0;

	TEST_REQUIRE(coretest_mkfs(&t, "64M", "-t ext4 -b 1024 -N 4096"));
	t.opt.cache_bytes = 1 << 20;
	TEST_REQUIRE(coretest_open(&t) == 0);
	for (uint32_t i = 0; i < N; i++) {
		struct f4_inode *inode;
		char name[16];
		int r;

		(void)snprintf(name, sizeof(name), "f%u", i);
		inode = coretest_mknod(&t, name, S_IFREG | 0600, &r);
		TEST_REQUIRE(inode != NULL);
		ino[i] = inode->ino;
		atomic_fetch_add(&inode->lookups, i + 1);
		f4_inode_put(inode);
	}
	for (uint32_t s = 0; s < F4_INODE_SHARDS; s++)
		in_memory += t.vol->inodes->shard[s].n;
	TEST_CHECK(in_memory <= t.vol->inodes->lru_max * F4_INODE_SHARDS + 8);
	/* Unlinked, they stay for FUSE; the last forget frees them. */
	for (uint32_t i = 0; i < N; i++) {
		struct f4_inode *inode;
		char name[16];

		(void)snprintf(name, sizeof(name), "f%u", i);
		TEST_REQUIRE(f4_inode_get(t.vol, ino[i], 0, &inode) == 0);
		TEST_EQ(atomic_load(&inode->lookups), i + 1);
		f4_inode_put(inode);
		TEST_EQ(coretest_unlink(&t, name), 0);
		f4_inode_forget(t.vol, ino[i], i);
		TEST_REQUIRE(f4_inode_get(t.vol, ino[i], 0, &inode) == 0);
		f4_inode_put(inode);
		if (i % 2) {
			f4_inode_forget(t.vol, ino[i], 1);
			TEST_EQ(f4_inode_get(t.vol, ino[i], 0, &inode), -ESTALE);
		}
	}
	TEST_EQ(t.vol->errors_seen, 0);
	TEST_CHECK(coretest_finish(&t)); /* closing forgets the rest */
}

static void special_refused(void)
{
	struct coretest t;
	struct f4_inode *inode;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -O orphan_file"));
	TEST_EQ(f4_inode_get(t.vol, 0, 0, &inode), -ESTALE);
	TEST_EQ(f4_inode_get(t.vol, 0, F4_IGET_SPECIAL, &inode), -ESTALE);
	TEST_EQ(f4_inode_get(t.vol, F4_JOURNAL_INO, 0, &inode), -ESTALE);
	TEST_EQ(f4_inode_get(t.vol, 12, 0, &inode), -ESTALE); /* the orphan file */
	TEST_EQ(f4_inode_get(t.vol, 13, 0, &inode), -ESTALE); /* free */
	TEST_EQ(f4_inode_get(t.vol, t.vol->inodes_count, 0, &inode), -ESTALE);
	TEST_EQ(f4_inode_get(t.vol, t.vol->inodes_count + 1, 0, &inode), -ESTALE);
	TEST_EQ(f4_inode_get(t.vol, UINT32_MAX, F4_IGET_SPECIAL, &inode), -ESTALE);
	TEST_EQ(f4_inode_get(t.vol, F4_JOURNAL_INO, F4_IGET_SPECIAL, &inode), 0);
	f4_inode_put(inode);
	TEST_EQ(t.vol->errors_seen, 0);
	TEST_CHECK(coretest_finish(&t));
}

/* One flipped bit in an inode is noticed, reported, recorded; the neighbours are unharmed. */
static void checksum_noticed(void)
{
	struct coretest t;
	struct f4_inode *inode;
	uint64_t pos;
	uint8_t byte;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4"));
	TEST_EQ(coretest_create(&t, "bad"), 0);
	TEST_EQ(coretest_create(&t, "good"), 0);
	inode = coretest_lookup(&t, "bad");
	TEST_REQUIRE(inode != NULL);
	pos = (inode->table_buf->blk << t.vol->block_bits) + inode->table_off + 40;
	f4_inode_put(inode);
	TEST_EQ(coretest_close(&t), 0);
	TEST_CHECK(coretest_peek(&t, pos, &byte, 1));
	byte ^= 1;
	TEST_CHECK(coretest_poke(&t, pos, &byte, 1));
	TEST_REQUIRE(coretest_open(&t) == 0);
	TEST_CHECK(coretest_lookup(&t, "bad") == NULL);
	inode = coretest_lookup(&t, "good");
	TEST_CHECK(inode != NULL);
	f4_inode_put(inode);
	TEST_CHECK(strstr(t.last_line, "checksum of the inode is wrong") != NULL);
	TEST_CHECK(atomic_load(&t.vol->errors_seen) >= 1);
	TEST_EQ(coretest_create(&t, "more"), 0); /* errors=continue */
	TEST_EQ(coretest_close(&t), 0);
	TEST_EQ(coretest_shell(&t, "dumpe2fs -h \"$IMG\" 2>/dev/null | grep -q 'First error function: *inode_load'"), 0);
	coretest_remove(&t);
}

/* errors=remount-ro and panic: nothing is written afterwards but the record. */
static void errors_policy(void)
{
	static const enum f4_errors policy[] = { F4_ON_ERROR_RO, F4_ON_ERROR_ABORT };

	for (size_t i = 0; i < F4_ARRAY_LEN(policy); i++) {
		struct coretest t;
		struct f4_super sb;

		TEST_REQUIRE(coretest_mkfs(&t, "16M", "-t ext4"));
		t.opt.on_error = policy[i];
		TEST_REQUIRE(coretest_open(&t) == 0);
		TEST_EQ(coretest_create(&t, "before"), 0);
		TEST_EQ(f4_volume_sync(t.vol), 0);
		TEST_EQ(coretest_create(&t, "lost"), 0);
		TEST_EQ(f4_corrupt(t.vol, 5, 6, "made up"), -EUCLEAN);
		TEST_EQ(coretest_create(&t, "after"), i ? -EIO : -EROFS);
		f4_inode_put(coretest_lookup(&t, "before")); /* reading goes on; records are written */
		TEST_CHECK(coretest_close(&t) < 0);
		TEST_CHECK(coretest_peek(&t, F4_SB_OFFSET, &sb, sizeof(sb)));
		TEST_EQ(f4_get_le32(sb.s_error_count), 1);
		TEST_EQ(f4_get_le32(sb.s_first_error_ino), 5);
		TEST_EQ(f4_get_le64(sb.s_last_error_block), 6);
		TEST_CHECK(f4_get_le16(sb.s_state) & F4_STATE_ERROR);
		t.opt.on_error = F4_ERRORS_DEFAULT;
		TEST_REQUIRE(coretest_open(&t) == 0);
		TEST_CHECK(strstr(t.last_line, "errors on record") != NULL);
		TEST_EQ(attr_of(&t, "before").mode, S_IFREG | 0644);
		TEST_CHECK(coretest_lookup(&t, "lost") == NULL);
		TEST_EQ(coretest_close(&t), 0);
		TEST_CHECK(coretest_peek(&t, F4_SB_OFFSET, &sb, sizeof(sb)));
		TEST_EQ(f4_get_le32(sb.s_error_count), 1); /* kept through recovery */
		TEST_EQ(coretest_shell(&t, "e2fsck -fy \"$IMG\" >/dev/null 2>&1 </dev/null; e2fsck -fn \"$IMG\" >/dev/null 2>&1"), 0);
		coretest_remove(&t);
	}
}

int main(void)
{
	TEST_RUN(times_of_all_sizes);
	TEST_RUN(attributes);
	TEST_RUN(protected_inodes);
	TEST_RUN(inheritance);
	TEST_RUN(table_and_counts);
	TEST_RUN(special_refused);
	TEST_RUN(checksum_noticed);
	TEST_RUN(errors_policy);
	return test_done();
}
