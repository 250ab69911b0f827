/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Orphans: unlinked but open files, truncations cut short, lists that lie. */
#include "server/ext4/orphan.h"

#include <errno.h>
#include <sys/stat.h>

#include "server/ext4/file.h"
#include "server/ext4/inode_priv.h"
#include "server/ext4/map.h"
#include "server/ext4/ops.h"
#include "server/ext4/orphan_priv.h"
#include "server/ext4/volume_priv.h"
#include "tests/lib/check.h"
#include "tests/lib/coretest.h"

static const char *const kinds[] = {
	"-t ext4 -b 1024",
	"-t ext4 -b 1024 -O orphan_file",
	"-t ext3 -b 1024",
	"-t ext4 -b 1024 -O inline_data,^metadata_csum",
};

#define FILES 30u

static void name_of(char *buf, size_t size, uint32_t i)
{
	(void)snprintf(buf, size, "f%u", i);
}

/* Files that are unlinked while somebody has them, closed in an order of their own. */
static void unlinked_open(const char *options)
{
	struct coretest t;
	struct f4_inode *held[FILES];
	struct f4_statfs before, after;
	static uint8_t data[5000];
	char name[16];

	TEST_REQUIRE(coretest_start(&t, "16M", options));
	/* The directory's own blocks are there before and after. */
	for (uint32_t i = 0; i < FILES; i++) {
		name_of(name, sizeof(name), i);
		TEST_EQ(coretest_create(&t, name), 0);
	}
	for (uint32_t i = 0; i < FILES; i++) {
		name_of(name, sizeof(name), i);
		TEST_EQ(coretest_unlink(&t, name), 0);
	}
	f4_volume_statfs(t.vol, &before);
	for (uint32_t i = 0; i < FILES; i++) {
		name_of(name, sizeof(name), i);
		TEST_EQ(coretest_write(&t, name, data, sizeof(data), 0), 0);
		held[i] = coretest_lookup(&t, name);
		TEST_REQUIRE(held[i] != NULL);
		TEST_EQ(coretest_unlink(&t, name), 0);
		TEST_CHECK(held[i]->on_orphan_list);
	}
	for (uint32_t i = 0; i < FILES; i++) {
		struct f4_inode *inode = held[i * 7 % FILES];
		size_t got = 0;

		TEST_EQ(f4_file_read(inode, data, sizeof(data), 0, &got), 0);
		TEST_EQ(got, sizeof(data));
		f4_inode_put(inode);
	}
	f4_volume_statfs(t.vol, &after);
	TEST_EQ(after.free_blocks, before.free_blocks);
	TEST_EQ(after.free_files, before.free_files);
	TEST_EQ(f4_get_le32(f4_super_ptr(t.vol)->s_last_orphan), 0);
	TEST_EQ(t.vol->errors_seen, 0);
	TEST_CHECK(coretest_finish(&t));
}

/* A crash while they are held: the next mount frees them, ours and e2fsck's. */
static void crash_with_orphans(const char *options, bool ours)
{
	struct coretest t;
	struct f4_inode *held[FILES];
	struct f4_statfs before, after;
	static uint8_t data[50000];
	char name[16];

	TEST_REQUIRE(coretest_start(&t, "16M", options));
	TEST_EQ(coretest_write(&t, "stays", data, sizeof(data), 0), 0);
	f4_volume_statfs(t.vol, &before);
	for (uint32_t i = 0; i < FILES; i++) {
		name_of(name, sizeof(name), i);
		TEST_EQ(coretest_write(&t, name, data, i * 1000 + 1, 0), 0);
		held[i] = coretest_lookup(&t, name);
		TEST_REQUIRE(held[i] != NULL);
		TEST_EQ(coretest_unlink(&t, name), 0);
	}
	TEST_EQ(f4_volume_sync(t.vol), 0);
	(void)f4_volume_shutdown(t.vol, false);
	for (uint32_t i = 0; i < FILES; i++)
		f4_inode_put(held[i]);
	(void)coretest_close(&t);
	if (ours) {
		TEST_REQUIRE(coretest_open(&t) == 0);
		f4_volume_statfs(t.vol, &after);
		TEST_EQ(after.free_blocks, before.free_blocks);
		TEST_EQ(after.free_files, before.free_files);
		TEST_EQ(t.vol->errors_seen, 0);
	} else {
		TEST_EQ(coretest_shell(&t, "e2fsck -fy \"$IMG\" >/dev/null 2>&1 </dev/null; [ $? -le 1 ]"), 0);
	}
	TEST_CHECK(coretest_finish(&t));
}

/* A file on the list whose size is smaller than its blocks: the rest of a truncation. */
static void crash_in_truncate(const char *options)
{
	struct coretest t;
	struct f4_inode *inode;
	struct f4_handle h;
	static uint8_t data[200000];
	uint64_t blocks;

	TEST_REQUIRE(coretest_start(&t, "16M", options));
	TEST_EQ(coretest_write(&t, "f", data, sizeof(data), 0), 0);
	inode = coretest_lookup(&t, "f");
	TEST_REQUIRE(inode != NULL);
	blocks = inode->blocks;
	f4_inode_wrlock(inode);
	TEST_EQ(f4_txn_begin(t.vol->journal, F4_ORPHAN_CREDITS + 1, &h), 0);
	TEST_EQ(f4_orphan_add(&h, inode), 0);
	inode->size = 3000;
	TEST_EQ(f4_inode_store(&h, inode), 0);
	TEST_EQ(f4_txn_end(&h), 0);
	f4_inode_unlock(inode);
	TEST_EQ(f4_volume_sync(t.vol), 0);
	(void)f4_volume_shutdown(t.vol, false);
	f4_inode_put(inode);
	(void)coretest_close(&t);
	TEST_REQUIRE(coretest_open(&t) == 0);
	inode = coretest_lookup(&t, "f");
	TEST_REQUIRE(inode != NULL);
	TEST_EQ(inode->size, 3000);
	TEST_CHECK(inode->blocks < blocks && inode->blocks >= 6);
	TEST_CHECK(!inode->on_orphan_list);
	f4_inode_put(inode);
	TEST_CHECK(coretest_finish(&t));
}

static void all_kinds(void)
{
	for (size_t i = 0; i < F4_ARRAY_LEN(kinds); i++) {
		unlinked_open(kinds[i]);
		crash_with_orphans(kinds[i], true);
		crash_with_orphans(kinds[i], false);
		crash_in_truncate(kinds[i]);
	}
}

/* More than the orphan file holds: the list takes the rest. */
static void file_overflows(void)
{
	enum { N = 9000 };
	struct coretest t;
	static struct f4_inode *held[N];
	uint32_t in_list = 0, room;
	char name[16];

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -b 1024 -N 12288 -O orphan_file"));
	room = t.vol->orphans->file_blks * t.vol->orphans->per_block;
	TEST_CHECK(room > 0 && room < N);
	for (uint32_t i = 0; i < N; i++) {
		name_of(name, sizeof(name), i);
		TEST_EQ(coretest_create(&t, name), 0);
		held[i] = coretest_lookup(&t, name);
		TEST_REQUIRE(held[i] != NULL);
		TEST_EQ(coretest_unlink(&t, name), 0);
		in_list += held[i]->orphan_slot == 0;
	}
	TEST_EQ(in_list, N - room);
	TEST_EQ(f4_volume_sync(t.vol), 0);
	for (uint32_t i = 0; i < N / 2; i++)
		f4_inode_put(held[i]);
	TEST_EQ(f4_volume_sync(t.vol), 0);
	(void)f4_volume_shutdown(t.vol, false);
	for (uint32_t i = N / 2; i < N; i++)
		f4_inode_put(held[i]);
	(void)coretest_close(&t);
	TEST_REQUIRE(coretest_open(&t) == 0);
	TEST_EQ(t.vol->errors_seen, 0);
	TEST_EQ(f4_get_le32(f4_super_ptr(t.vol)->s_last_orphan), 0);
	TEST_CHECK(coretest_finish(&t));
}

/* Lists that lead to nowhere, to themselves, or to what is not theirs: mount goes on, says so. */
static void lists_that_lie(void)
{
	static const uint32_t heads[] = { 1, 2, 7, 8, 11, 13, 500, 100000, UINT32_MAX };
	struct coretest t;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -b 1024 -O ^metadata_csum"));
	TEST_EQ(coretest_create(&t, "f"), 0);
	TEST_EQ(coretest_close(&t), 0);
	for (size_t i = 0; i < F4_ARRAY_LEN(heads); i++) {
		f4_le32 head = f4_mk_le32(heads[i]);
		struct f4_inode *inode;

		TEST_CHECK(coretest_set_super(&t, offsetof(struct f4_super, s_last_orphan), &head,
					      sizeof(head)));
		TEST_REQUIRE(coretest_open(&t) == 0);
		TEST_EQ(f4_get_le32(f4_super_ptr(t.vol)->s_last_orphan), 0);
		/* 11 is in use and well: on the list by mistake, nothing is lost. */
		if (heads[i] != 11)
			TEST_CHECK(t.vol->errors_seen > 0);
		inode = coretest_lookup(&t, "f");
		TEST_CHECK(inode != NULL);
		f4_inode_put(inode);
		TEST_EQ(coretest_close(&t), 0);
		/* The next round starts without errors on record, which would stop the processing. */
		TEST_EQ(coretest_shell(&t, "e2fsck -fy \"$IMG\" >/dev/null 2>&1 </dev/null; [ $? -le 1 ]"), 0);
	}
	coretest_remove(&t);
}

/* A circle of two: ends. */
static void circle(void)
{
	struct coretest t;
	uint32_t a, b;
	char cmd[256];
	f4_le32 head;
	struct f4_inode *inode;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -b 1024 -O ^metadata_csum"));
	inode = coretest_mknod(&t, "a", S_IFREG | 0644, &(int){ 0 });
	TEST_REQUIRE(inode != NULL);
	a = inode->ino;
	f4_inode_put(inode);
	inode = coretest_mknod(&t, "b", S_IFREG | 0644, &(int){ 0 });
	TEST_REQUIRE(inode != NULL);
	b = inode->ino;
	f4_inode_put(inode);
	TEST_EQ(coretest_close(&t), 0);
	(void)snprintf(cmd, sizeof(cmd),
		       "debugfs -w -R 'sif <%u> dtime @%u' \"$IMG\" >/dev/null 2>&1; "
		       "debugfs -w -R 'sif <%u> dtime @%u' \"$IMG\" >/dev/null 2>&1", a, b, b, a);
	TEST_EQ(coretest_shell(&t, cmd), 0);
	head = f4_mk_le32(a);
	TEST_CHECK(coretest_set_super(&t, offsetof(struct f4_super, s_last_orphan), &head, sizeof(head)));
	TEST_REQUIRE(coretest_open(&t) == 0);
	TEST_EQ(f4_get_le32(f4_super_ptr(t.vol)->s_last_orphan), 0);
	TEST_CHECK(coretest_finish(&t));
}

int main(void)
{
	TEST_RUN(all_kinds);
	TEST_RUN(file_overflows);
	TEST_RUN(lists_that_lie);
	TEST_RUN(circle);
	return test_done();
}
