/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inline data: files and directories of every size around what fits, written by us and read by
 * debugfs, written by mke2fs and read by us, judged by e2fsck.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>

#include "server/ext4/dir.h"
#include "server/ext4/file.h"
#include "server/ext4/inline.h"
#include "server/ext4/map.h"
#include "server/ext4/xattr.h"
#include "tests/lib/check.h"
#include "tests/lib/coretest.h"

static const struct f4_cred root = { 0 };

static void pattern(uint8_t *buf, size_t len, uint32_t salt)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(i * 7 + salt + (i >> 8) + 1);
}

/* The file's content is @want, for us and for debugfs. */
static void expect(struct coretest *t, const char *name, const uint8_t *want, size_t len)
{
	uint8_t buf[4096];
	size_t got = 0;

	TEST_EQ(coretest_read(t, name, buf, sizeof(buf), 0, &got), 0);
	TEST_EQ(got, len);
	TEST_EQ(memcmp(buf, want, len), 0);
}

static void expect_debugfs(struct coretest *t, const char *name, const uint8_t *want, size_t len)
{
	char path[256], command[512];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s.want", t->path);
	f = fopen(path, "w");
	TEST_REQUIRE(f != NULL);
	TEST_EQ(fwrite(want, 1, len, f), len);
	TEST_EQ(fclose(f), 0);
	(void)snprintf(command, sizeof(command),
		       "PATH=$PATH:/sbin:/usr/sbin; debugfs -R 'cat /%s' \"$IMG\" 2>\"$IMG.log\" | "
		       "cmp - \"$IMG.want\"",
		       name);
	TEST_EQ(coretest_shell(t, command), 0);
	TEST_EQ(unlink(path), 0);
}

/* Files of each length around the two borders: the end of i_block, the end of the inode. */
static void lengths(uint32_t inode_size)
{
	uint8_t data[2048];
	struct coretest t;
	char options[64], name[16];
	size_t max = 0;
	int err;

	(void)snprintf(options, sizeof(options), "-t ext4 -b 4096 -O inline_data -I %u", inode_size);
	TEST_REQUIRE(coretest_start(&t, "32M", options));
	for (uint32_t round = 0; round < 2; round++) {
		for (size_t len = 1; len < inode_size + 4; len += len > 70 && len + 200 < max ? 37 : 1) {
			struct f4_inode *inode;
			size_t done;

			(void)snprintf(name, sizeof(name), "f%zu", len);
			pattern(data, len, (uint32_t)len);
			if (round == 1) {
				expect(&t, name, data, len);
				continue;
			}
			inode = coretest_mknod(&t, name, S_IFREG | 0644, &err);
			TEST_REQUIRE(inode != NULL);
			max = f4_inline_max(inode);
			/* In two steps, the second overlaps the first. */
			TEST_EQ(f4_file_write(inode, data, len / 2, 0, 0, &root, &done), 0);
			TEST_EQ(f4_file_write(inode, data + len / 3, len - len / 3, len / 3, 0,
					      &root, &done), 0);
			TEST_EQ(f4_is_inline(inode), len <= max);
			TEST_EQ(inode->blocks, len <= max ? 0 : 8);
			f4_inode_put(inode);
			expect(&t, name, data, len);
		}
		TEST_EQ(coretest_close(&t), 0);
		TEST_EQ(coretest_fsck(&t), 0);
		TEST_EQ(coretest_open(&t), 0);
	}
	TEST_CHECK(max > 60 && max < inode_size);
	/* Of shorter files debugfs shows i_block whole. */
	for (size_t len = 60; len < 66; len++) {
		(void)snprintf(name, sizeof(name), "f%zu", len);
		pattern(data, len, (uint32_t)len);
		expect_debugfs(&t, name, data, len);
	}
	TEST_CHECK(coretest_finish(&t));
}

static void lengths_256(void)
{
	lengths(256);
}
static void lengths_512(void)
{
	lengths(512);
}
static void lengths_1024(void)
{
	lengths(1024);
}

/* Truncates, holes and fallocate; and attributes that take the room. */
static void changes(void)
{
	uint8_t data[200] = { 0 };
	struct coretest t;
	struct f4_inode *inode;
	size_t done;
	uint64_t pos;
	int err;

	TEST_REQUIRE(coretest_start(&t, "32M", "-t ext4 -b 4096 -O inline_data -I 512"));
	inode = coretest_mknod(&t, "a", S_IFREG | 0644, &err);
	TEST_REQUIRE(inode != NULL);
	memset(data, 'x', 100);
	TEST_EQ(f4_file_write(inode, data, 100, 0, 0, &root, &done), 0);
	TEST_EQ(f4_file_truncate(inode, 30), 0);
	TEST_EQ(f4_file_truncate(inode, 150), 0);
	TEST_CHECK(f4_is_inline(inode));
	memset(data + 30, 0, sizeof(data) - 30);
	expect(&t, "a", data, 150);
	TEST_EQ(f4_file_write(inode, "y", 1, 190, 0, &root, &done), 0);
	data[190] = 'y';
	expect(&t, "a", data, 191);
	TEST_EQ(f4_file_seek(inode, 0, SEEK_HOLE, &pos), 0);
	TEST_EQ(pos, 191);
	TEST_EQ(f4_file_seek(inode, 5, SEEK_DATA, &pos), 0);
	TEST_EQ(pos, 5);
	TEST_CHECK(f4_is_inline(inode));
	/* An attribute finds room beside it; what then grows has to leave. */
	TEST_EQ(f4_xattr_set(inode, "user.a", data, 50, 0), 0);
	expect(&t, "a", data, 191);
	TEST_EQ(f4_file_fallocate(inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 10, &root), 0);
	TEST_CHECK(!f4_is_inline(inode));
	memset(data, 0, 10);
	expect(&t, "a", data, 191);
	TEST_EQ(f4_file_truncate(inode, 5), 0);
	TEST_EQ(f4_file_truncate(inode, 0), 0);
	TEST_EQ(inode->blocks, 0);
	f4_inode_put(inode);

	inode = coretest_mknod(&t, "b", S_IFREG | 0644, &err);
	TEST_REQUIRE(inode != NULL);
	TEST_EQ(f4_file_write(inode, data, 150, 0, 0, &root, &done), 0);
	TEST_EQ(f4_file_truncate(inode, 1 << 20), 0);
	TEST_CHECK(!f4_is_inline(inode));
	TEST_EQ(inode->size, 1 << 20);
	TEST_EQ(f4_file_read(inode, data, 200, 100, &done), 0);
	TEST_EQ(done, 200);
	TEST_EQ(data[60], 0);
	f4_inode_put(inode);
	TEST_CHECK(coretest_finish(&t));
}

static void directories(void)
{
	struct coretest t;
	struct f4_inode *dir;
	char name[64];

	TEST_REQUIRE(coretest_start(&t, "32M", "-t ext4 -b 1024 -O inline_data -I 256"));
	TEST_EQ(coretest_mkdir(&t, "d"), 0);
	for (uint32_t i = 0; i < 60; i++) {
		(void)snprintf(name, sizeof(name), "d/entry%u", i);
		TEST_EQ(coretest_create(&t, name), 0);
		dir = coretest_lookup(&t, "d");
		TEST_REQUIRE(dir != NULL);
		if (i < 4)
			TEST_CHECK(f4_is_inline(dir));
		if (i > 30)
			TEST_CHECK(!f4_is_inline(dir));
		f4_inode_put(dir);
		if (i == 3 || i == 8) {
			TEST_EQ(coretest_close(&t), 0);
			TEST_EQ(coretest_fsck(&t), 0);
			TEST_EQ(coretest_open(&t), 0);
		}
	}
	for (uint32_t i = 0; i < 60; i++) {
		struct f4_inode *inode;

		(void)snprintf(name, sizeof(name), "d/entry%u", i);
		inode = coretest_lookup(&t, name);
		TEST_CHECK(inode != NULL);
		f4_inode_put(inode);
	}
	TEST_EQ(coretest_close(&t), 0);
	TEST_EQ(coretest_fsck(&t), 0);
	TEST_EQ(coretest_open(&t), 0);
	for (uint32_t i = 0; i < 60; i++) {
		(void)snprintf(name, sizeof(name), "d/entry%u", i);
		TEST_EQ(coretest_unlink(&t, name), 0);
	}
	TEST_EQ(coretest_rmdir(&t, "d"), 0);
	TEST_CHECK(coretest_finish(&t));
}

/* What mke2fs and debugfs put inline is read, changed and taken to blocks by us. */
static void made_by_others(void)
{
	uint8_t data[4096];
	struct coretest t;
	struct f4_inode *inode;
	size_t done;

	TEST_REQUIRE(coretest_mkfs(&t, "32M", "-t ext4 -b 4096 -O inline_data -I 256"));
	TEST_EQ(coretest_shell(&t, "PATH=$PATH:/sbin:/usr/sbin; cd \"$(dirname \"$IMG\")\" && "
				   "printf '%0100d' 7 > in && printf hello > small && "
				   "debugfs -w -R 'write in big' \"$IMG\" >/dev/null 2>&1 && "
				   "debugfs -w -R 'write small small' \"$IMG\" >/dev/null 2>&1 && "
				   "debugfs -w -R 'mkdir sub' \"$IMG\" >/dev/null 2>&1; "
				   "rm in small"), 0);
	TEST_EQ(coretest_open(&t), 0);
	expect(&t, "small", (const uint8_t *)"hello", 5);
	memset(data, '0', 99);
	data[99] = '7';
	expect(&t, "big", data, 100);
	inode = coretest_lookup(&t, "big");
	TEST_REQUIRE(inode != NULL);
	TEST_CHECK(f4_is_inline(inode));
	memset(data + 50, 'z', 3000);
	TEST_EQ(f4_file_write(inode, data + 50, 3000, 50, 0, &root, &done), 0);
	TEST_CHECK(!f4_is_inline(inode));
	f4_inode_put(inode);
	expect(&t, "big", data, 3050);
	TEST_EQ(coretest_create(&t, "sub/file"), 0);
	TEST_CHECK(coretest_finish(&t));
}

/* A full disk: what doesn't fit inline any more stays as it was. */
static void no_block_to_go_to(void)
{
	uint8_t data[1024];
	struct coretest t;
	struct f4_inode *inode;
	size_t done;
	int r, err;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -b 1024 -O inline_data -m 0"));
	memset(data, 'k', sizeof(data));
	TEST_EQ(coretest_write(&t, "a", data, 50, 0), 0);
	inode = coretest_mknod(&t, "fill", S_IFREG | 0644, &err);
	TEST_REQUIRE(inode != NULL);
	for (uint64_t pos = 0; (r = f4_file_write(inode, data, sizeof(data), pos, 0, &root, &done)) == 0;)
		pos += done;
	TEST_EQ(r, -ENOSPC);
	f4_inode_put(inode);
	inode = coretest_lookup(&t, "a");
	TEST_REQUIRE(inode != NULL);
	TEST_EQ(f4_file_write(inode, data, sizeof(data), 0, 0, &root, &done), -ENOSPC);
	TEST_CHECK(f4_is_inline(inode));
	f4_inode_put(inode);
	expect(&t, "a", data, 50);
	TEST_CHECK(coretest_finish(&t));
}

int main(void)
{
	TEST_RUN(lengths_256);
	TEST_RUN(lengths_512);
	TEST_RUN(lengths_1024);
	TEST_RUN(changes);
	TEST_RUN(directories);
	TEST_RUN(made_by_others);
	TEST_RUN(no_block_to_go_to);
	return test_done();
}
