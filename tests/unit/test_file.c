/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File content on real images of many shapes: random writes, truncates and fallocates beside a model
 * in memory, read back before and after the volume was closed and opened, judged by e2fsck. The disk
 * is filled with a pattern first, so that a block that shows its former content is noticed.
 * F4_TEST_SEED=n makes other sequences.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <sys/stat.h>

#include "server/ext4/alloc.h"
#include "server/ext4/file.h"
#include "server/ext4/map.h"
#include "tests/lib/check.h"
#include "tests/lib/coretest.h"

#define FILES	3u
#define WINDOWS 4u
#define WINDOW	(192u << 10) /* bytes */
#define STALE	0xa5

static const struct f4_cred root = { 0 };

static struct model {
	char name[8];
	uint64_t size;
	uint8_t data[WINDOWS][WINDOW]; /* content of the windows; all else is zero */
} models[FILES];

static uint64_t base[WINDOWS];
static uint32_t seed;

static uint32_t rnd(void)
{
	seed = seed * 1664525u + 1013904223u;
	return seed >> 8;
}

/* The model's bytes in [from, to) become zero. */
static void model_zero(struct model *m, uint64_t from, uint64_t to)
{
	for (uint32_t w = 0; w < WINDOWS; w++) {
		uint64_t a = from > base[w] ? from - base[w] : 0;
		uint64_t b = to > base[w] ? to - base[w] : 0;

		b = b > WINDOW ? WINDOW : b;
		if (a < b)
			memset(&m->data[w][a], 0, b - a);
	}
}

static void compare(struct coretest *t, struct model *m, struct f4_inode *inode)
{
	static uint8_t buf[WINDOW];
	uint64_t blocks = 0, acl;

	TEST_EQ(inode->size, m->size);
	for (uint32_t w = 0; w < WINDOWS; w++) {
		uint64_t want = m->size <= base[w] ? 0 :
				m->size - base[w] > WINDOW ? WINDOW : m->size - base[w];
		size_t got = 0;
		int r;

		memset(buf, 0xee, sizeof(buf));
		r = f4_file_read(inode, buf, WINDOW, base[w], &got);
		TEST_EQ(r, 0);
		TEST_EQ(got, want);
		for (size_t i = 0; !r && i < want; i++) {
			if (buf[i] == m->data[w][i])
				continue;
			TEST_FAIL_("%s: byte %llu is %02x, expected %02x", m->name,
				   (unsigned long long)(base[w] + i), buf[i], m->data[w][i]);
			break;
		}
	}
	if (f4_is_inline(inode))
		return;
	TEST_EQ(f4_map_check(inode, &blocks), 0);
	acl = inode->file_acl ? t->vol->cluster_ratio : 0;
	TEST_EQ(inode->blocks, (blocks + acl) << (t->vol->block_bits - 9));
}

/* No data lies before what SEEK_DATA names, none is passed over by SEEK_HOLE's answer. */
static void check_seek(struct model *m, struct f4_inode *inode)
{
	uint64_t pos = 0, data, hole;
	uint32_t rounds = 0;

	while (pos < m->size && rounds++ < 10000) {
		int r = f4_file_seek(inode, pos, SEEK_DATA, &data);

		if (r == -ENXIO)
			data = m->size;
		else
			TEST_EQ(r, 0);
		for (uint32_t w = 0; w < WINDOWS; w++)
			for (uint64_t i = pos; i < data; i++) {
				if (i < base[w]) {
					i = base[w] - 1;
					continue;
				}
				if (i - base[w] >= WINDOW)
					break;
				if (m->data[w][i - base[w]] != 0) {
					TEST_FAIL_("SEEK_DATA %llu skips byte %llu",
						   (unsigned long long)pos, (unsigned long long)i);
					return;
				}
			}
		if (r)
			break;
		TEST_EQ(f4_file_seek(inode, data, SEEK_HOLE, &hole), 0);
		TEST_CHECK(hole > data && hole <= m->size);
		if (hole <= data)
			return;
		pos = hole;
	}
	TEST_CHECK(rounds < 10000);
	TEST_EQ(f4_file_seek(inode, m->size, SEEK_DATA, &data), -ENXIO);
}

static void step_write(struct model *m, struct f4_inode *inode)
{
	static uint8_t buf[WINDOW];
	uint32_t w = rnd() % 5 ? 0 : rnd() % WINDOWS, off = rnd() % WINDOW, len;
	size_t done = 0;
	int r;

	len = 1 + rnd() % (rnd() % 3 ? 5000 : 60000);
	if (rnd() % 3 == 0) { /* append, where the end is in a window */
		for (uint32_t i = 0; i < WINDOWS; i++)
			if (m->size >= base[i] && m->size - base[i] < WINDOW) {
				w = i;
				off = (uint32_t)(m->size - base[i]);
			}
	}
	if (rnd() % 4 == 0)
		off &= ~4095u;
	if (len > WINDOW - off)
		len = WINDOW - off;
	for (uint32_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(1 + rnd() % 0x80); /* never zero, never stale */
	r = f4_file_write(inode, buf, len, base[w] + off, rnd() % 20 ? 0 : F4_WRITE_DSYNC, &root,
			  &done);
	TEST_EQ(r, 0);
	TEST_EQ(done, len);
	memcpy(&m->data[w][off], buf, len);
	if (base[w] + off + len > m->size)
		m->size = base[w] + off + len;
}

static void step_truncate(struct model *m, struct f4_inode *inode)
{
	uint64_t size = base[rnd() % WINDOWS] + rnd() % WINDOW;

	if (rnd() % 8 == 0)
		size = rnd() % 2 ? 0 : rnd() % 200;
	else if (rnd() % 2)
		size = rnd() % WINDOW;
	TEST_EQ(f4_file_truncate(inode, size), 0);
	model_zero(m, size, UINT64_MAX);
	m->size = size;
}

static void step_fallocate(struct model *m, struct f4_inode *inode, bool extents)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
				     FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE };
	int mode = modes[rnd() % F4_ARRAY_LEN(modes)], r;
	uint32_t w = rnd() % WINDOWS, off = rnd() % WINDOW;
	uint64_t pos = base[w] + off, len = 1 + rnd() % (rnd() % 2 ? 3000 : 70000);

	if (len > WINDOW - off)
		len = WINDOW - off;
	if ((mode & FALLOC_FL_PUNCH_HOLE) && rnd() % 3 == 0) /* across windows */
		len += base[WINDOWS - 1];
	r = f4_file_fallocate(inode, mode, pos, len, &root);
	if (!(mode & FALLOC_FL_PUNCH_HOLE) && !extents) {
		TEST_EQ(r, -EOPNOTSUPP);
		return;
	}
	TEST_EQ(r, 0);
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		model_zero(m, pos, pos + len);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && pos + len > m->size)
		m->size = pos + len;
}

static void step(struct coretest *t, struct model *m, struct f4_inode *inode)
{
	switch (rnd() % 16) {
	case 0:
	case 1:
		step_truncate(m, inode);
		break;
	case 2:
	case 3:
	case 4:
		step_fallocate(m, inode, f4_has_incompat(t->vol, F4_INCOMPAT_EXTENTS));
		break;
	case 5:
		TEST_EQ(f4_file_fsync(inode, rnd() % 2), 0);
		break;
	case 6:
		compare(t, m, inode);
		break;
	default:
		step_write(m, inode);
		break;
	}
}

/* Every free block gets stale content. */
static void stain(struct coretest *t)
{
	const size_t piece = 1u << 20;
	f4_auto_free uint8_t *buf = malloc(piece);
	struct f4_inode *inode;
	uint64_t pos = 0;
	size_t done;
	int err;

	memset(buf, STALE, piece);
	inode = coretest_mknod(t, "stain", S_IFREG | 0600, &err);
	TEST_REQUIRE(inode != NULL);
	while (f4_file_write(inode, buf, piece, pos, 0, &root, &done) == 0 && done == piece)
		pos += done;
	f4_inode_put(inode);
	TEST_EQ(coretest_unlink(t, "stain"), 0);
	TEST_EQ(f4_volume_sync(t->vol), 0);
	TEST_CHECK(pos > 4 * piece);
}

static void start_models(struct coretest *t)
{
	uint64_t far = t->vol->max_file_bytes_blockmap;

	if (f4_has_incompat(t->vol, F4_INCOMPAT_EXTENTS))
		far = t->vol->max_file_bytes_extents;
	base[0] = 0;
	base[1] = 5u << 20;
	base[2] = (uint64_t)t->vol->block_size * 70000;
	base[3] = far - WINDOW;
	memset(models, 0, sizeof(models));
	for (uint32_t i = 0; i < FILES; i++) {
		(void)snprintf(models[i].name, sizeof(models[i].name), "f%u", i);
		TEST_EQ(coretest_create(t, models[i].name), 0);
	}
}

static void compare_all(struct coretest *t)
{
	for (uint32_t i = 0; i < FILES; i++) {
		struct f4_inode *inode = coretest_lookup(t, models[i].name);

		TEST_REQUIRE(inode != NULL);
		compare(t, &models[i], inode);
		check_seek(&models[i], inode);
		f4_inode_put(inode);
	}
}

static void run_shape(const char *size, const char *options, enum f4_data_mode mode, uint32_t steps)
{
	struct coretest t;
	struct f4_statfs before, after;

	TEST_REQUIRE(coretest_mkfs(&t, size, options));
	t.opt.data_mode = mode;
	TEST_EQ(coretest_open(&t), 0);
	if (!t.vol) {
		coretest_remove(&t);
		return;
	}
	seed = getenv("F4_TEST_SEED") ? (uint32_t)strtoul(getenv("F4_TEST_SEED"), NULL, 10) : 7;
	stain(&t);
	f4_volume_statfs(t.vol, &before);
	start_models(&t);
	for (uint32_t round = 0; round < 3 && !test_case_failed_; round++) {
		for (uint32_t i = 0; i < steps && !test_case_failed_; i++) {
			struct model *m = &models[rnd() % FILES];
			struct f4_inode *inode = coretest_lookup(&t, m->name);

			TEST_REQUIRE(inode != NULL);
			step(&t, m, inode);
			f4_inode_put(inode);
			if (test_case_failed_)
				fprintf(stderr, "%s: step %u of round %u\n", options, i, round);
		}
		compare_all(&t);
		TEST_EQ(coretest_close(&t), 0);
		TEST_EQ(coretest_fsck(&t), 0);
		TEST_EQ(coretest_open(&t), 0);
		if (!t.vol)
			break;
		compare_all(&t);
	}
	if (t.vol) {
		for (uint32_t i = 0; i < FILES; i++)
			TEST_EQ(coretest_unlink(&t, models[i].name), 0);
		TEST_EQ(f4_volume_sync(t.vol), 0);
		f4_volume_statfs(t.vol, &after);
		TEST_EQ(after.free_blocks, before.free_blocks);
	}
	TEST_CHECK(coretest_finish(&t));
}

static void ext4_4k(void)
{
	run_shape("64M", "-t ext4 -b 4096", F4_DATA_ORDERED, 300);
}
static void ext4_1k(void)
{
	run_shape("48M", "-t ext4 -b 1024", F4_DATA_ORDERED, 300);
}
static void ext4_64k(void)
{
	run_shape("160M", "-t ext4 -b 65536 -O ^has_journal", F4_DATA_ORDERED, 200);
}
static void ext4_no_csum_no_journal(void)
{
	run_shape("48M", "-t ext4 -b 2048 -O ^has_journal,^metadata_csum,^64bit", F4_DATA_ORDERED,
		  300);
}
static void ext4_small_inode_small_journal(void)
{
	run_shape("48M", "-t ext4 -b 1024 -I 128 -J size=1", F4_DATA_ORDERED, 300);
}
static void ext3(void)
{
	run_shape("48M", "-t ext3 -b 1024", F4_DATA_ORDERED, 300);
}
static void ext2(void)
{
	run_shape("64M", "-t ext2 -b 4096", F4_DATA_ORDERED, 300);
}
static void bigalloc(void)
{
	run_shape("96M", "-t ext4 -b 1024 -O bigalloc -C 16384", F4_DATA_ORDERED, 300);
}
static void inline_data(void)
{
	run_shape("48M", "-t ext4 -b 1024 -O inline_data -I 512", F4_DATA_ORDERED, 300);
}
static void data_journal(void)
{
	run_shape("64M", "-t ext4 -b 1024", F4_DATA_JOURNAL, 200);
}
static void data_journal_ext3(void)
{
	run_shape("64M", "-t ext3 -b 1024", F4_DATA_JOURNAL, 200);
}

/* --- a full disk --- */

static void full_disk(void)
{
	static uint8_t buf[1 << 18], back[1 << 18];
	const struct f4_cred user = { .uid = 1000, .gid = 1000 };
	struct coretest t;
	struct f4_statfs st;
	struct f4_inode *inode;
	uint64_t pos = 0;
	size_t done;
	int r, err;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -b 1024 -m 10"));
	inode = coretest_mknod(&t, "f", S_IFREG | 0644, &err);
	TEST_REQUIRE(inode != NULL);
	memset(buf, 0x31, sizeof(buf));
	while ((r = f4_file_write(inode, buf, sizeof(buf), pos, 0, &user, &done)) == 0)
		pos += done;
	TEST_EQ(r, -ENOSPC);
	TEST_EQ(inode->size, pos);
	f4_volume_statfs(t.vol, &st);
	TEST_CHECK(st.avail_blocks <= 4); /* to the last block, but for those of the tree */
	TEST_CHECK(st.free_blocks > 1000);
	/* An append of one byte inside the last block needs none. */
	if (pos % 1024)
		TEST_EQ(f4_file_write(inode, buf, 1, pos, 0, &user, &done), 0);
	/* Root goes on. */
	TEST_EQ(f4_file_write(inode, buf, sizeof(buf), pos, 0, &root, &done), 0);
	TEST_EQ(done, sizeof(buf));
	while ((r = f4_file_write(inode, buf, sizeof(buf), pos, 0, &root, &done)) == 0)
		pos += done;
	TEST_EQ(r, -ENOSPC);
	f4_volume_statfs(t.vol, &st);
	TEST_CHECK(st.free_blocks <= 4);
	TEST_EQ(f4_file_fallocate(inode, 0, pos, 1 << 20, &root), -ENOSPC);
	/* Blocks freed come back at once, though their commit is still to come. */
	TEST_EQ(f4_file_truncate(inode, pos / 2), 0);
	TEST_EQ(f4_file_write(inode, buf, sizeof(buf), pos / 2, 0, &root, &done), 0);
	TEST_EQ(done, sizeof(buf));
	TEST_EQ(f4_file_read(inode, back, sizeof(back), pos / 2, &done), 0);
	TEST_EQ(memcmp(back, buf, sizeof(back)), 0);
	f4_inode_put(inode);
	TEST_CHECK(coretest_finish(&t));
}

/* What fallocate promised can be written when nothing else is free. */
static void full_disk_preallocated(void)
{
	static uint8_t buf[4096];
	struct coretest t;
	struct f4_inode *a, *b;
	size_t done;
	int r, err;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -b 1024 -m 0"));
	a = coretest_mknod(&t, "a", S_IFREG | 0644, &err);
	b = coretest_mknod(&t, "b", S_IFREG | 0644, &err);
	TEST_REQUIRE(a && b);
	TEST_EQ(f4_file_fallocate(a, 0, 0, 2 << 20, &root), 0);
	for (uint64_t pos = 0; (r = f4_file_fallocate(b, 0, pos, 1 << 16, &root)) == 0;)
		pos += 1 << 16;
	TEST_EQ(r, -ENOSPC);
	memset(buf, 0x42, sizeof(buf));
	for (uint64_t pos = 1024; pos < 2 << 20; pos += 8192) { /* each splits an extent */
		TEST_EQ(f4_file_write(a, buf, 1024, pos, 0, &root, &done), 0);
		TEST_EQ(done, 1024);
	}
	for (uint64_t pos = 0; pos < 2 << 20; pos += 8192) {
		TEST_EQ(f4_file_read(a, buf, 4096, pos, &done), 0);
		TEST_EQ(buf[0], 0);
		TEST_EQ(buf[1024], 0x42);
		TEST_EQ(buf[2048], 0);
	}
	f4_inode_put(a);
	f4_inode_put(b);
	TEST_CHECK(coretest_finish(&t));
}

/* --- edges of the calls --- */

static void limits(void)
{
	struct coretest t;
	struct f4_inode *inode;
	uint64_t max, pos;
	uint8_t b[4] = "abc";
	size_t done;
	int err;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -b 1024"));
	inode = coretest_mknod(&t, "f", S_IFREG | 06755, &err);
	TEST_REQUIRE(inode != NULL);
	max = t.vol->max_file_bytes_extents;
	TEST_EQ(f4_file_write(inode, b, 3, max, 0, &root, &done), -EFBIG);
	TEST_EQ(f4_file_write(inode, b, 3, max - 2, 0, &root, &done), 0);
	TEST_EQ(done, 2);
	TEST_EQ(inode->size, max);
	TEST_EQ(f4_file_truncate(inode, max + 1), -EFBIG);
	TEST_EQ(f4_file_read(inode, b, 4, max - 2, &done), 0);
	TEST_EQ(done, 2);
	TEST_EQ(f4_file_read(inode, b, 4, max, &done), 0);
	TEST_EQ(done, 0);
	TEST_EQ(f4_file_seek(inode, 0, SEEK_DATA, &pos), 0);
	TEST_EQ(pos, (max - 1) / 1024 * 1024);
	TEST_EQ(f4_file_fallocate(inode, 0, max, 1, &root), -EFBIG);
	TEST_EQ(f4_file_fallocate(inode, FALLOC_FL_COLLAPSE_RANGE, 0, 1024, &root), -EOPNOTSUPP);
	TEST_EQ(f4_file_fallocate(inode, FALLOC_FL_PUNCH_HOLE, 0, 1024, &root), -EOPNOTSUPP);
	TEST_EQ(f4_file_fallocate(inode, 0, 0, 0, &root), -EINVAL);
	/* A write by a stranger takes set-id bits away; one by the owner doesn't. */
	TEST_EQ(f4_file_write(inode, b, 1, 0, 0, &root, &done), 0);
	TEST_EQ(inode->mode & 07777, 06755);
	TEST_EQ(f4_file_write(inode, b, 1, 0, F4_WRITE_KILLPRIV, &root, &done), 0);
	TEST_EQ(inode->mode & 07777, 0755);
	inode->flags |= F4_FL_IMMUTABLE;
	TEST_EQ(f4_file_write(inode, b, 1, 0, 0, &root, &done), -EPERM);
	TEST_EQ(f4_file_truncate(inode, 0), -EPERM);
	TEST_EQ(f4_file_fallocate(inode, 0, 0, 1, &root), -EPERM);
	inode->flags &= ~F4_FL_IMMUTABLE;
	f4_inode_put(inode);
	TEST_CHECK(coretest_finish(&t));
}

/* chattr +j and -j: what is cached one way is not seen stale the other way. */
static void journalling_changes(void)
{
	struct coretest t;
	struct f4_inode *inode;
	uint8_t b[5000], back[5000];
	size_t done;
	int err;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -b 1024"));
	inode = coretest_mknod(&t, "f", S_IFREG | 0644, &err);
	TEST_REQUIRE(inode != NULL);
	for (uint32_t i = 0; i < 8; i++) {
		memset(b, 'a' + (int)i, sizeof(b));
		TEST_EQ(f4_file_write(inode, b, sizeof(b), i * 100, 0, &root, &done), 0);
		TEST_EQ(f4_file_read(inode, back, sizeof(back), i * 100, &done), 0);
		TEST_EQ(memcmp(b, back, sizeof(b)), 0);
		TEST_EQ(f4_inode_set_flags(inode, inode->flags ^ F4_FL_JOURNAL_DATA), 0);
		TEST_EQ(f4_map_is_journalled(inode), i % 2 == 0);
		TEST_EQ(f4_file_read(inode, back, sizeof(back), i * 100, &done), 0);
		TEST_EQ(memcmp(b, back, sizeof(b)), 0);
	}
	TEST_EQ(f4_file_truncate(inode, 0), 0);
	f4_inode_put(inode);
	TEST_CHECK(coretest_finish(&t));
}

/* A file written in order is one extent; one overwritten in place stays where it is. */
static void contiguous(void)
{
	static uint8_t buf[128 << 10];
	struct coretest t;
	struct f4_inode *inode;
	struct f4_map m;
	size_t done;
	int err;

	TEST_REQUIRE(coretest_start(&t, "64M", "-t ext4 -b 4096"));
	inode = coretest_mknod(&t, "f", S_IFREG | 0644, &err);
	TEST_REQUIRE(inode != NULL);
	for (uint64_t pos = 0; pos < 8 << 20; pos += sizeof(buf))
		TEST_EQ(f4_file_write(inode, buf, sizeof(buf), pos, 0, &root, &done), 0);
	TEST_EQ(f4_map_lookup(inode, 0, UINT32_MAX, &m), 0);
	TEST_EQ(m.len, (8 << 20) / 4096);
	f4_inode_put(inode);
	TEST_CHECK(coretest_finish(&t));
}

/* Shrinking a file of many extents takes many handles, in a journal that holds few of them. */
static void truncate_in_pieces(void)
{
	struct coretest t;
	struct f4_inode *inode;
	struct f4_statfs before, after;
	uint8_t b = 1;
	size_t done;
	int err;

	TEST_REQUIRE(coretest_start(&t, "64M", "-t ext4 -b 1024 -J size=1"));
	TEST_EQ(f4_volume_sync(t.vol), 0);
	inode = coretest_mknod(&t, "f", S_IFREG | 0644, &err);
	TEST_REQUIRE(inode != NULL);
	f4_volume_statfs(t.vol, &before);
	for (uint32_t i = 0; i < 6000; i++)
		TEST_EQ(f4_file_write(inode, &b, 1, (uint64_t)i * 20480, 0, &root, &done), 0);
	TEST_EQ(f4_file_truncate(inode, 0), 0);
	TEST_EQ(inode->blocks, 0);
	TEST_EQ(f4_volume_sync(t.vol), 0);
	f4_volume_statfs(t.vol, &after);
	TEST_EQ(after.free_blocks, before.free_blocks);
	f4_inode_put(inode);
	TEST_CHECK(coretest_finish(&t));
}

/* --- symlinks --- */

static void symlinks(void)
{
	static const uint32_t lens[] = { 1, 59, 60, 61, 300, 1023 };
	char target[1025], back[4097];
	struct coretest t;
	size_t got;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -b 1024"));
	for (size_t i = 0; i < F4_ARRAY_LEN(lens); i++) {
		char name[16];
		struct f4_inode *inode;

		memset(target, 'a' + (int)i, lens[i]);
		target[lens[i]] = 0;
		(void)snprintf(name, sizeof(name), "l%zu", i);
		TEST_EQ(coretest_symlink(&t, name, target), 0);
		inode = coretest_lookup(&t, name);
		TEST_REQUIRE(inode != NULL);
		TEST_EQ(f4_file_readlink(inode, back, sizeof(back), &got), 0);
		TEST_EQ(got, lens[i]);
		TEST_STREQ(back, target);
		TEST_EQ(inode->blocks, lens[i] < 60 ? 0 : 2);
		f4_inode_put(inode);
	}
	memset(target, 'x', 1024);
	target[1024] = 0;
	TEST_EQ(coretest_symlink(&t, "long", target), -ENAMETOOLONG);
	for (size_t i = 0; i < F4_ARRAY_LEN(lens); i += 2) {
		char name[16];

		(void)snprintf(name, sizeof(name), "l%zu", i);
		TEST_EQ(coretest_unlink(&t, name), 0);
	}
	TEST_CHECK(coretest_finish(&t));
}

/* --- threads --- */

struct job {
	struct f4_inode *inode;
	uint32_t id, errors;
};

/* Overwrites and reads its own quarter of a shared file, and appends to nothing. */
static void *overwriter(void *arg)
{
	struct job *j = arg;
	uint8_t buf[3000], back[3000];

	for (uint32_t i = 0; i < 200; i++) {
		uint64_t pos = (uint64_t)j->id * 65536 + (i * 7919u) % 60000;
		size_t done;

		memset(buf, (int)(j->id * 50 + i % 50 + 1), sizeof(buf));
		if (f4_file_write(j->inode, buf, sizeof(buf), pos, 0, &root, &done) ||
		    f4_file_read(j->inode, back, sizeof(back), pos, &done) ||
		    memcmp(buf, back, sizeof(buf)) != 0)
			j->errors++;
		if (i % 50 == 0 && f4_file_fsync(j->inode, false))
			j->errors++;
	}
	return NULL;
}

static void threads(void)
{
	static uint8_t buf[4 * 65536];
	struct coretest t;
	struct f4_inode *inode;
	pthread_t th[4];
	struct job jobs[4];
	size_t done;
	int err;

	TEST_REQUIRE(coretest_start(&t, "32M", "-t ext4 -b 4096"));
	inode = coretest_mknod(&t, "f", S_IFREG | 0644, &err);
	TEST_REQUIRE(inode != NULL);
	TEST_EQ(f4_file_write(inode, buf, sizeof(buf), 0, 0, &root, &done), 0);
	for (uint32_t i = 0; i < 4; i++) {
		jobs[i] = (struct job){ .inode = inode, .id = i };
		TEST_EQ(pthread_create(&th[i], NULL, overwriter, &jobs[i]), 0);
	}
	for (uint32_t i = 0; i < 4; i++) {
		pthread_join(th[i], NULL);
		TEST_EQ(jobs[i].errors, 0);
	}
	f4_inode_put(inode);
	TEST_CHECK(coretest_finish(&t));
}

int main(void)
{
	TEST_RUN(ext4_4k);
	TEST_RUN(ext4_1k);
	TEST_RUN(ext4_64k);
	TEST_RUN(ext4_no_csum_no_journal);
	TEST_RUN(ext4_small_inode_small_journal);
	TEST_RUN(ext3);
	TEST_RUN(ext2);
	TEST_RUN(bigalloc);
	TEST_RUN(inline_data);
	TEST_RUN(data_journal);
	TEST_RUN(data_journal_ext3);
	TEST_RUN(full_disk);
	TEST_RUN(full_disk_preallocated);
	TEST_RUN(limits);
	TEST_RUN(journalling_changes);
	TEST_RUN(contiguous);
	TEST_RUN(truncate_in_pieces);
	TEST_RUN(symlinks);
	TEST_RUN(threads);
	return test_done();
}
