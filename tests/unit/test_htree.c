/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Large directories on real images: many names in, all found, read in small pieces, removed while
 * being read, put in again; e2fsck is content at each stop. Each shape of index and of image.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "server/ext4/htree.h"
#include "server/ext4/map.h"
#include "tests/lib/check.h"
#include "tests/unit/dirtest.h"

struct shape {
	const char *what, *mkfs, *size, *tune;
	uint32_t names, name_len;
	uint32_t levels; /* index blocks on a path when all names are in; 0: no index */
};

static const struct shape shapes[] = {
	{"4k", "-t ext4 -b 4096 -N 256", "64M", NULL, 30000, 24, 1},
	{"1k", "-t ext4 -b 1024 -N 256", "64M", NULL, 100000, 10, 2},
	{"1k, no checksums", "-t ext4 -O ^metadata_csum -b 1024 -N 256", "64M", NULL, 20000, 30, 2},
	{"three levels", "-t ext4 -O large_dir -b 1024 -N 256", "128M", NULL, 24000, 250, 3},
	{"three levels, no checksums", "-t ext4 -O large_dir,^metadata_csum -b 1024 -N 256", "128M",
	 NULL, 24000, 250, 3},
	{"64k", "-t ext4 -b 65536 -N 256", "128M", NULL, 25000, 40, 1},
	{"ext3", "-t ext3 -b 1024 -N 256", "32M", NULL, 12000, 40, 2},
	{"ext2, linear", "-t ext2 -O ^dir_index -b 1024 -N 256", "16M", NULL, 3000, 40, 0},
	{"csum, linear", "-t ext4 -O ^dir_index -b 4096 -N 256", "32M", NULL, 5000, 40, 0},
	{"no filetype", "-t ext2 -O ^filetype,dir_index -b 1024 -N 256", "16M", NULL, 5000, 40, 2},
	{"legacy hash", "-t ext4 -b 1024 -N 256", "32M", "tune2fs -E hash_alg=legacy $IMG", 15000,
	 20, 2},
	{"tea hash", "-t ext4 -b 1024 -N 256", "32M", "tune2fs -E hash_alg=tea $IMG", 15000, 20, 2},
	{"unsigned half md4", "-t ext4 -b 1024 -N 256", "32M", "debugfs -w -R 'ssv flags 2' $IMG",
	 15000, 20, 2},
	{"unsigned tea", "-t ext4 -b 1024 -N 256", "32M",
	 "tune2fs -E hash_alg=tea $IMG && debugfs -w -R 'ssv flags 2' $IMG", 15000, 20, 2},
	{"inline first", "-t ext4 -O inline_data -I 256 -b 1024 -N 256", "32M", NULL, 5000, 40, 2},
	{"block maps", "-t ext4 -O ^extents,^64bit -b 1024 -N 256", "32M", NULL, 8000, 60, 2},
	{"bigalloc", "-t ext4 -O bigalloc -C 16384 -b 4096 -N 256", "64M", NULL, 20000, 60, 1},
};

static const struct shape *now;
static struct dirtest t;
#define FILES 20u
static uint32_t files[FILES]; /* each name is a link to one of them: 65,000 at most */

/* A name that depends on @i alone, of the shape's length, with bytes above 127 in some. */
static size_t make_name(uint32_t i, char ret[256])
{
	int n = snprintf(ret, 256, "%s%u", i % 3 ? "n" : "\xc3\xa9", i * 2654435761u);

	while ((uint32_t)n < now->name_len) {
		ret[n] = (char)('a' + (i + (uint32_t)n) % 26);
		n++;
	}
	ret[n] = '\0';
	return (size_t)n;
}

static void begin(void)
{
	dt_mkfs(&t, now->mkfs, now->size, now->tune);
	dt_open(&t);
	for (uint32_t i = 0; i < FILES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "file-%u", i);
		TEST_EQ(dt_create(t.root, name, S_IFREG | 0644, &files[i]), 0);
	}
}

static uint32_t new_dir(const char *name)
{
	uint32_t ino = 0;

	TEST_EQ(dt_create(t.root, name, S_IFDIR | 0755, &ino), 0);
	return ino;
}

static void end(void)
{
	TEST_EQ(dt_close(&t), 0);
	TEST_EQ(dt_fsck(&t), 0);
	TEST_STREQ(t.core.last_line, "");
	dt_done(&t);
}

static uint32_t file_of(uint32_t i)
{
	return files[i % FILES];
}

static int add(struct f4_inode *dir, uint32_t i)
{
	struct f4_inode *file = dt_get(&t, file_of(i));
	char name[256];
	size_t len = make_name(i, name);
	int r = f4_op_link(file, dir, name, len);

	f4_inode_put(file);
	return r;
}

static int find(struct f4_inode *dir, uint32_t i, uint32_t *ret_ino)
{
	struct f4_dir_entry ent;
	char name[256];
	size_t len = make_name(i, name);
	int r;

	f4_inode_rdlock(dir);
	r = f4_dir_lookup(dir, name, len, &ent);
	f4_inode_unlock(dir);
	if (r == 0)
		*ret_ino = ent.ino;
	return r;
}

static int remove_name(struct f4_inode *dir, const char *name, size_t len)
{
	return f4_op_unlink(dir, name, len);
}

/* Names whose bit is set in @have are there, no others. */
static void expect_names(struct f4_inode *dir, const uint8_t *have, uint32_t n)
{
	uint32_t ino = 0, wrong = 0;

	for (uint32_t i = 0; i < n; i++) {
		int r = find(dir, i, &ino);

		wrong += have[i] ? r != 0 || ino != file_of(i) : r != -ENOENT;
	}
	TEST_EQ(wrong, 0);
}

static uint32_t index_of(const char *name)
{
	const char *p = name[0] == 'n' ? name + 1 : name + 2;

	return (uint32_t)strtoul(p, NULL, 10) * 244002641u; /* undoes the multiplication */
}

/* Read in pieces of 1 to @max entries: each name that is there once, nothing else. */
static void expect_listing(struct f4_inode *dir, const uint8_t *have, uint32_t n, int max)
{
	uint8_t *seen = calloc(n, 1);
	struct dt_name *d = calloc((size_t)max, sizeof(*d));
	uint32_t wrong = 0, missed = 0, dots = 0, calls = 0;
	uint64_t cookie = 0;
	int got;

	while ((got = dt_read(dir, &cookie, d, 1 + (int)(calls++ % (uint32_t)max))) > 0) {
		for (int k = 0; k < got; k++) {
			uint32_t i = index_of(d[k].name);

			if (d[k].name[0] == '.')
				dots++;
			else if (i >= n || !have[i] || seen[i]++ || d[k].ino != file_of(i))
				wrong++;
		}
		if (calls > 3 * n + 100)
			break;
	}
	TEST_EQ(got, 0);
	for (uint32_t i = 0; i < n; i++)
		missed += have[i] && !seen[i];
	TEST_EQ(wrong, 0);
	TEST_EQ(missed, 0);
	TEST_EQ(dots, 2);
	free(seen);
	free(d);
}

/* find -delete: remove what each piece showed, go on where it ended. */
static void delete_while_reading(struct f4_inode *dir, uint8_t *have, int max, bool all)
{
	struct dt_name *d = calloc((size_t)max, sizeof(*d));
	uint64_t cookie = 0;
	int got;

	while ((got = dt_read(dir, &cookie, d, max)) > 0) {
		for (int k = 0; k < got; k++) {
			if (d[k].name[0] == '.' || (!all && (index_of(d[k].name) & 7) < 5))
				continue;
			TEST_EQ(remove_name(dir, d[k].name, d[k].len), 0);
			have[index_of(d[k].name)] = 0;
		}
	}
	TEST_EQ(got, 0);
	free(d);
}

static uint32_t levels_of(struct f4_inode *dir)
{
	struct f4_htree_path p;
	uint32_t n = 0;

	f4_inode_rdlock(dir);
	if (!f4_is_inline(dir) && f4_htree_wanted(dir) && f4_htree_open(dir, &p) == 0) {
		n = p.n;
		f4_htree_done(&p);
	}
	f4_inode_unlock(dir);
	return n;
}

static void reopen(struct f4_inode **dir, uint32_t ino)
{
	f4_inode_put(*dir);
	TEST_EQ(dt_close(&t), 0);
	TEST_EQ(dt_fsck(&t), 0);
	dt_open(&t);
	*dir = dt_get(&t, ino);
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void one_shape(const struct shape *shape)
{
	uint32_t n, ino;
	struct f4_inode *dir;
	double start = seconds();
	uint8_t *have;

	now = shape;
#ifdef F4_SANITIZED
	n = now->levels == 3 ? now->names : now->names / 4 + 1000; /* ten times slower */
#else
	n = now->names;
#endif
	have = calloc(n, 1);
	begin();
	ino = new_dir("big");
	dir = dt_get(&t, ino);
	for (uint32_t i = 0; i < n; i++) {
		int r = add(dir, i);

		if (r < 0) {
			TEST_EQ(r, 0);
			break;
		}
		have[i] = 1;
	}
	if (n == now->names)
		TEST_EQ(levels_of(dir), now->levels);
	expect_names(dir, have, n);
	expect_listing(dir, have, n, 7);
	reopen(&dir, ino);
	expect_listing(dir, have, n, 200);
	delete_while_reading(dir, have, 50, false);
	expect_names(dir, have, n);
	expect_listing(dir, have, n, 40);
	for (uint32_t i = 0; i < n; i += 2) {
		if (!have[i])
			TEST_EQ(add(dir, i), 0);
		have[i] = 1;
	}
	reopen(&dir, ino);
	expect_names(dir, have, n);
	TEST_EQ(f4_op_rmdir(t.root, "big", 3), -ENOTEMPTY);
	delete_while_reading(dir, have, 3, true);
	expect_listing(dir, have, n, 5);
	TEST_EQ(f4_op_rmdir(t.root, "big", 3), 0);
	TEST_EQ(f4_op_lookup(dir, "x", 1, &(struct f4_inode *){ NULL }), -ENOENT);
	f4_inode_put(dir);
	free(have);
	end();
	printf("     %-28s %6u names, %.1f s\n", shape->what, n, seconds() - start);
}

static void many_names(void)
{
	for (size_t i = 0; i < F4_ARRAY_LEN(shapes); i++)
		one_shape(&shapes[i]);
}

/* Without large_dir the index ends at two levels: ENOSPC, nothing changed, and it stays usable. */
static void full_index(void)
{
	static const struct shape s = {
		"full index", "-t ext4 -b 1024 -N 256", "128M", NULL, 60000, 250, 2};
	uint32_t ino, n = 0, found = 0;
	struct f4_inode *dir;
	uint64_t size;
	int r = 0;

	now = &s;
	begin();
	ino = new_dir("big");
	dir = dt_get(&t, ino);
	while (n < s.names && (r = add(dir, n)) == 0)
		n++;
	TEST_EQ(r, -ENOSPC);
	TEST_CHECK(n > 17000);
	printf("     index full at %u names\n", n);
	size = dir->size;
	TEST_EQ(add(dir, n), -ENOSPC);
	TEST_EQ(dir->size, size);
	TEST_EQ(find(dir, n, &found), -ENOENT);
	TEST_EQ(find(dir, n - 1, &found), 0);
	for (uint32_t i = 0; i < n; i += 3) {
		char name[256];
		size_t len = make_name(i, name);

		TEST_EQ(remove_name(dir, name, len), 0);
	}
	TEST_EQ(add(dir, 0), 0);
	f4_inode_put(dir);
	end();
}

/* The disk fills in the middle of splits: each name is in whole or not at all. */
static void full_disk(void)
{
	static const struct shape s = {"full disk",
				       "-t ext4 -b 1024 -N 64 -m 0 -O ^has_journal",
				       "1M",
				       NULL,
				       20000,
				       120,
				       2};
	uint32_t ino, n = 0, found = 0;
	struct f4_inode *dir;
	uint8_t *have;
	int r = 0;

	now = &s;
	begin();
	ino = new_dir("big");
	dir = dt_get(&t, ino);
	while (n < s.names && (r = add(dir, n)) == 0)
		n++;
	TEST_EQ(r, -ENOSPC);
	TEST_EQ(find(dir, n, &found), -ENOENT);
	have = calloc(n, 1);
	memset(have, 1, n);
	expect_names(dir, have, n);
	/* Some leaves still have room: try others, each whole or absent. */
	for (uint32_t i = n + 1; i < n + 200; i++) {
		r = add(dir, i);
		TEST_CHECK(r == 0 || r == -ENOSPC);
		TEST_EQ(find(dir, i, &found), r == 0 ? 0 : -ENOENT);
	}
	TEST_EQ(dt_create(t.root, "sub", S_IFDIR | 0755, NULL), -ENOSPC);
	TEST_EQ(f4_op_lookup(t.root, "sub", 3, &(struct f4_inode *){ NULL }), -ENOENT);
	f4_inode_put(dir);
	free(have);
	end();
}

/* --- damage --------------------------------------------------------------------------------- */

static void note_blocks(struct f4_inode *dir, uint64_t *blks, uint32_t *n)
{
	struct f4_map m;

	*n = 0;
	for (uint32_t l = 0; l < dir->size >> t.vol->block_bits && *n < 400; l++) {
		if (f4_map_lookup(dir, l, 1, &m) == 0 && (m.flags & F4_MAP_MAPPED))
			blks[(*n)++] = m.pblk;
	}
}

/* Whatever the directory says, each request ends and reports what it should. */
static bool plausible(int r)
{
	return r >= 0 || r == -ENOENT || r == -EUCLEAN || r == -EEXIST || r == -ENOSPC ||
	       r == -ENOTEMPTY || r == -EIO || r == -EISDIR || r == -ENOTDIR || r == -EPERM;
}

static uint32_t use_damaged(uint32_t ino)
{
	struct f4_inode *dir = NULL;
	struct dt_name list[30];
	uint32_t found = 0, strange = 0, shown = 0;
	uint64_t cookie = 0;
	int r;

	if (f4_inode_get(t.vol, ino, 0, &dir) < 0)
		return 0;
	for (uint32_t i = 0; i < 60; i++)
		strange += !plausible(find(dir, i * 17, &found));
	while ((r = dt_read(dir, &cookie, list, 30)) > 0 && shown < 100000)
		shown += (uint32_t)r;
	TEST_CHECK(shown < 100000); /* a reader comes to an end */
	strange += !plausible(r);
	for (uint32_t i = 5000; i < 5040; i++)
		strange += !plausible(add(dir, i));
	for (uint32_t i = 0; i < 60; i++) {
		char name[256];
		size_t len = make_name(i * 13, name);

		strange += !plausible(remove_name(dir, name, len));
	}
	strange += !plausible(f4_op_rmdir(t.root, "big", 3));
	f4_inode_put(dir);
	return strange;
}

/* Mostly where the structure is: the heads of blocks; more in block 0 than elsewhere. */
static void damage(const uint64_t *blks, uint32_t n, unsigned int *seed)
{
	uint64_t blk = blks[rand_r(seed) % 3 ? (uint32_t)rand_r(seed) % n : 0];

	for (int i = rand_r(seed) % 6; i >= 0; i--) {
		static const uint8_t nasty[] = { 0, 1, 2, 4, 8, 12, 0x7f, 0x80, 0xfc, 0xff };
		uint32_t at = (uint32_t)rand_r(seed) % (rand_r(seed) % 4 ? 64 : 1024);
		uint8_t b = nasty[(uint32_t)rand_r(seed) % sizeof(nasty)];

		TEST_EQ(f4_disk_write(t.disk, &b, 1, blk * 1024 + at), 0);
	}
}

static void damaged_directories(void)
{
	static const struct shape all[] = {
		{"indexed", "-t ext4 -O ^metadata_csum,^has_journal -b 1024 -N 64", "2M", NULL,
		 3000, 60, 2},
		{"linear", "-t ext2 -O ^dir_index -b 1024 -N 64", "1M", NULL, 400, 30, 0},
	};
	static uint64_t blks[400];
	unsigned int seed = 99;

	for (size_t k = 0; k < F4_ARRAY_LEN(all); k++) {
		uint32_t ino, n, strange = 0, noticed = 0;
		struct f4_inode *dir;
		struct f4_disk *clean;

		now = &all[k];
		begin();
		ino = new_dir("big");
		dir = dt_get(&t, ino);
		for (uint32_t i = 0; i < now->names; i++)
			TEST_EQ(add(dir, i), 0);
		note_blocks(dir, blks, &n);
		f4_inode_put(dir);
		TEST_EQ(dt_close(&t), 0);
		TEST_EQ(dt_fsck(&t), 0);
		clean = t.disk;
		for (int round = 0; round < 400; round++) {
			t.disk = f4_sim_clone(clean);
			damage(blks, n, &seed);
			t.core.last_line[0] = '\0';
			dt_open(&t);
			strange += use_damaged(ino);
			(void)dt_close(&t);
			noticed += t.core.last_line[0] != '\0';
			f4_disk_free(t.disk);
		}
		t.disk = clean;
		TEST_EQ(strange, 0);
		TEST_CHECK(noticed > 100);
		dt_done(&t);
	}
}

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/*
 * A million names, one call after the other. Each of the last insertions goes to a leaf of its own,
 * which the log takes whole, where the first ones share a few: a constant factor, not their number.
 */
static void million(void)
{
	static const struct shape s = {
		"million", "-t ext4 -b 4096 -N 64", "256M", NULL, 1100000, 16, 2};
	double t0, first, last;
	struct f4_inode *dir;
	uint32_t n = 0;

	if (!getenv("F4_TEST_LONG"))
		return;
	now = &s;
	begin();
	dir = dt_get(&t, new_dir("big"));
	t0 = cpu_seconds();
	while (n < 20000)
		TEST_EQ(add(dir, n++), 0);
	first = cpu_seconds() - t0;
	while (n < s.names - 20000)
		TEST_EQ(add(dir, n++), 0);
	t0 = cpu_seconds();
	while (n < s.names)
		TEST_EQ(add(dir, n++), 0);
	last = cpu_seconds() - t0;
	printf("     20,000 insertions: %.2f s at the start, %.2f s behind %u\n", first, last,
	       n - 20000);
	TEST_CHECK(last < 10 * first);
	f4_inode_put(dir);
	end();
}

int main(void)
{
	TEST_RUN(many_names);
	TEST_RUN(full_index);
	TEST_RUN(full_disk);
	TEST_RUN(damaged_directories);
	TEST_RUN(million);
	return test_done();
}
