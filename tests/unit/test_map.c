/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mappings on real images: the run cache under concurrent readers, trees as e2fsprogs makes them, and
 * images whose trees and inodes somebody has damaged: used in every way, they end in an errno.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <sys/stat.h>

#include "server/ext4/extent.h"
#include "server/ext4/file.h"
#include "server/ext4/group.h"
#include "server/ext4/map.h"
#include "tests/lib/check.h"
#include "tests/lib/coretest.h"

static const struct f4_cred root = { 0 };
static uint32_t seed;

static uint32_t rnd(void)
{
	seed = seed * 1664525u + 1013904223u;
	return seed >> 8;
}

/* --- readers share the run cache --- */

struct reader {
	struct f4_inode *inode;
	uint32_t id, errors;
};

static void *reader(void *arg)
{
	struct reader *j = arg;
	uint32_t rng = j->id * 977 + 1;
	uint8_t b[2048];

	for (uint32_t i = 0; i < 3000; i++) {
		uint32_t blk = (rng = rng * 1664525u + 1013904223u) % 600;
		size_t got;

		if (f4_file_read(j->inode, b, sizeof(b), (uint64_t)blk * 1024, &got) ||
		    got != sizeof(b) || b[0] != (blk % 3 ? 0 : blk % 251 + 1) ||
		    b[1024] != ((blk + 1) % 3 ? 0 : (blk + 1) % 251 + 1))
			j->errors++;
	}
	return NULL;
}

static void concurrent_readers(void)
{
	struct coretest t;
	struct f4_inode *inode;
	struct reader jobs[3];
	pthread_t th[3];
	uint8_t b[1024];
	size_t done;
	int err;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -b 1024"));
	inode = coretest_mknod(&t, "f", S_IFREG | 0644, &err);
	TEST_REQUIRE(inode != NULL);
	TEST_EQ(f4_file_truncate(inode, 700 << 10), 0);
	for (uint32_t blk = 0; blk < 700; blk += 3) {
		memset(b, (int)(blk % 251 + 1), sizeof(b));
		TEST_EQ(f4_file_write(inode, b, sizeof(b), (uint64_t)blk << 10, 0, &root, &done), 0);
	}
	for (uint32_t i = 0; i < 3; i++) {
		jobs[i] = (struct reader){ .inode = inode, .id = i };
		TEST_EQ(pthread_create(&th[i], NULL, reader, &jobs[i]), 0);
	}
	for (uint32_t i = 0; i < 3; i++) {
		pthread_join(th[i], NULL);
		TEST_EQ(jobs[i].errors, 0);
	}
	f4_inode_put(inode);
	TEST_CHECK(coretest_finish(&t));
}

/* --- trees made by e2fsprogs --- */

static void made_by_others(const char *options)
{
	struct coretest t;
	struct f4_inode *inode;
	uint8_t b[1024];
	size_t got;

	TEST_REQUIRE(coretest_mkfs(&t, "24M", options));
	/* Data in every other block of 1 KiB, 3,000 of them: a tree of two levels. */
	TEST_EQ(coretest_shell(&t,
			       "PATH=$PATH:/sbin:/usr/sbin; cd \"$(dirname \"$IMG\")\" && "
			       "perl -e 'open F,\">\",\"in\"; for (0..2999) { seek F,$_*2048,0; "
			       "print F chr(65+$_%26) x 1024 }' && "
			       "debugfs -w -R 'write in f' \"$IMG\" >/dev/null 2>&1; rm in"), 0);
	TEST_EQ(coretest_open(&t), 0);
	inode = coretest_lookup(&t, "f");
	TEST_REQUIRE(inode != NULL);
	for (uint32_t i = 0; i < 3000; i++) {
		TEST_EQ(f4_file_read(inode, b, sizeof(b), i * 2048, &got), 0);
		if (b[0] != 65 + i % 26 || b[1023] != b[0])
			TEST_FAIL_("block %u is %02x", i, b[0]);
	}
	for (uint32_t i = 0; i < 2999; i += 7)
		TEST_EQ(f4_file_write(inode, "holes", 5, i * 2048 + 1024 + i, 0, &root, &got), 0);
	TEST_EQ(f4_file_fallocate(inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100000, 3000000,
				  &root), 0);
	f4_inode_put(inode);
	TEST_CHECK(coretest_finish(&t));
}

static void tree_of_e2fsprogs(void)
{
	made_by_others("-t ext4 -b 1024");
}
static void map_of_e2fsprogs(void)
{
	made_by_others("-t ext3 -b 1024");
}

/* --- damage --- */

struct victim {
	uint8_t *image; /* owned; the sound one */
	size_t size;
	uint64_t meta[64]; /* blocks of the mapping */
	uint32_t n_meta;
	uint64_t inode_pos; /* bytes */
};

static void note(struct victim *v, uint64_t blk)
{
	for (uint32_t i = 0; i < v->n_meta; i++)
		if (v->meta[i] == blk)
			return;
	if (v->n_meta < F4_ARRAY_LEN(v->meta))
		v->meta[v->n_meta++] = blk;
}

/* The tree blocks of an extent mapped file, or the pointer blocks of another. */
static void find_meta(struct f4_inode *inode, struct victim *v)
{
	if (!(inode->flags & F4_FL_EXTENTS)) {
		for (uint32_t i = F4_IND_BLOCK; i < F4_N_BLOCKS; i++)
			if (f4_load_le32(inode->i_block + i * 4))
				note(v, f4_load_le32(inode->i_block + i * 4));
		return;
	}
	for (uint32_t lblk = 0; lblk < 4000; lblk += 50) {
		f4_auto_ext_path p = { 0 };

		TEST_EQ(f4_ext_find(inode, lblk, &p), 0);
		for (uint32_t i = 1; i <= p.depth; i++)
			note(v, p.node[i].buf->blk);
	}
}

static bool make_victim(struct coretest *t, const char *options, struct victim *v)
{
	struct f4_inode *inode;
	size_t done;
	int err;

	memset(v, 0, sizeof(*v));
	if (!coretest_start(t, "8M", options))
		return false;
	inode = coretest_mknod(t, "f", S_IFREG | 0644, &err);
	if (!inode)
		return false;
	for (uint32_t i = 0; i < 1500; i++)
		TEST_EQ(f4_file_write(inode, "x", 1, (uint64_t)i * 2048, 0, &root, &done), 0);
	TEST_EQ(f4_file_write(inode, "x", 1, 90 << 20, 0, &root, &done), 0);
	find_meta(inode, v);
	v->inode_pos = (inode->table_buf->blk << t->vol->block_bits) + inode->table_off;
	f4_inode_put(inode);
	TEST_EQ(coretest_close(t), 0);
	v->size = 8u << 20;
	v->image = malloc(v->size);
	return v->image && coretest_peek(t, 0, v->image, v->size) && v->n_meta > 1;
}

/* Some bytes of the mapping get another value, near the start of a block more often than elsewhere. */
static void damage(struct coretest *t, const struct victim *v)
{
	static const uint8_t values[] = { 0, 1, 2, 0x7f, 0x80, 0xff };

	for (uint32_t n = 1 + rnd() % 4; n > 0; n--) {
		uint64_t pos = v->meta[rnd() % v->n_meta] * 1024 + rnd() % (rnd() % 2 ? 48 : 1024);
		uint8_t b = rnd() % 2 ? values[rnd() % F4_ARRAY_LEN(values)] : (uint8_t)rnd();

		if (rnd() % 3 == 0) /* i_block; or size, block count and flags */
			pos = v->inode_pos + (rnd() % 4 ? 40 + rnd() % 60 : 4 + rnd() % 36);
		TEST_CHECK(coretest_poke(t, pos, &b, 1));
	}
}

/* Every kind of use; what it answers is its own affair. */
static void use(struct coretest *t)
{
	static uint8_t buf[64 << 10];
	struct f4_inode *inode = coretest_lookup(t, "f");
	uint64_t pos = 0;
	size_t done;

	if (!inode)
		return;
	for (uint32_t i = 0; i < 64; i++)
		(void)f4_file_read(inode, buf, sizeof(buf), i * sizeof(buf), &done);
	for (uint32_t i = 0; i < 100 && f4_file_seek(inode, pos, SEEK_DATA, &pos) == 0; i++)
		if (f4_file_seek(inode, pos, SEEK_HOLE, &pos))
			break;
	for (uint32_t i = 0; i < 10; i++)
		(void)f4_file_write(inode, buf, 5000, rnd() % (4u << 20), 0, &root, &done);
	(void)f4_file_fallocate(inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100000, 700000,
				&root);
	(void)f4_file_fallocate(inode, FALLOC_FL_ZERO_RANGE, 900000, 700000, &root);
	(void)f4_file_fallocate(inode, 0, 0, 2 << 20, &root);
	(void)f4_file_truncate(inode, 1234567);
	(void)f4_file_truncate(inode, 100);
	f4_inode_put(inode);
	(void)coretest_unlink(t, "f");
}

static void damaged(const char *options, uint32_t rounds)
{
	struct coretest t;
	struct victim v;
	uint32_t noticed = 0;

	TEST_REQUIRE(make_victim(&t, options, &v));
	t.opt.on_error = F4_ON_ERROR_CONTINUE;
	for (uint32_t i = 0; i < rounds; i++) {
		seed = i * 1000 + 17;
		TEST_REQUIRE(coretest_poke(&t, 0, v.image, v.size));
		damage(&t, &v);
		if (coretest_open(&t) == 0) {
			use(&t);
			noticed += t.vol->errors_seen > 0;
			(void)coretest_close(&t);
		}
	}
	TEST_CHECK(noticed > rounds / 4);
	free(v.image);
	coretest_remove(&t);
}

static void damaged_extents(void)
{
	damaged("-t ext4 -b 1024 -O ^metadata_csum,^has_journal", 150);
}
static void damaged_block_map(void)
{
	damaged("-t ext2 -b 1024", 150);
}
static void damaged_extents_with_checksum(void)
{
	damaged("-t ext4 -b 1024 -O ^has_journal", 40);
}

int main(void)
{
	TEST_RUN(concurrent_readers);
	TEST_RUN(tree_of_e2fsprogs);
	TEST_RUN(map_of_e2fsprogs);
	TEST_RUN(damaged_extents);
	TEST_RUN(damaged_block_map);
	TEST_RUN(damaged_extents_with_checksum);
	return test_done();
}
