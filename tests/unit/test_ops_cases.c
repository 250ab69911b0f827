/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests on names: the cases that chance does not meet (test_ops.c), damaged trees, and threads
 * that all work in the same few directories.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "tests/lib/check.h"
#include "tests/unit/dirtest.h"

#define EXCHANGE 2u

static struct dirtest t;
static const struct f4_cred root_cred = { .umask = 022 };

static void start(const char *mkfs, const char *size)
{
	dt_mkfs(&t, mkfs, size, NULL);
	dt_open(&t);
}

static void finish(void)
{
	TEST_EQ(dt_close(&t), 0);
	TEST_EQ(dt_fsck(&t), 0);
	dt_done(&t);
}

static int unlink_name(struct f4_inode *dir, const char *name)
{
	return f4_op_unlink(dir, name, strlen(name));
}

static int rename_name(struct f4_inode *a, const char *from, struct f4_inode *b, const char *to,
		       uint32_t flags)
{
	return f4_op_rename(a, from, strlen(from), b, to, strlen(to), flags, &root_cred);
}

static int lookup_name(struct f4_inode *dir, const char *name, uint32_t *ret_ino)
{
	struct f4_inode *i;
	int r = f4_op_lookup(dir, name, strlen(name), &i);

	if (r == 0) {
		*ret_ino = i->ino;
		f4_inode_put(i);
	}
	return r;
}

static void names(void)
{
	struct f4_inode *file;
	char s[257];
	uint32_t ino;

	memset(s, 'n', sizeof(s));
	s[256] = '\0';
	start("-t ext4", "16M");
	TEST_EQ(dt_create(t.root, s, S_IFREG, NULL), -ENAMETOOLONG);
	TEST_EQ(lookup_name(t.root, s, &ino), -ENAMETOOLONG);
	TEST_EQ(unlink_name(t.root, s), -ENAMETOOLONG);
	TEST_EQ(rename_name(t.root, "x", t.root, s, 0), -ENAMETOOLONG);
	s[255] = '\0';
	TEST_EQ(dt_create(t.root, s, S_IFREG, &ino), 0);
	TEST_EQ(rename_name(t.root, s, t.root, "short", 0), 0);
	TEST_EQ(dt_create(t.root, "a/b", S_IFREG, NULL), -EINVAL);
	TEST_EQ(dt_create(t.root, ".", S_IFDIR, NULL), -EINVAL);
	TEST_EQ(f4_op_rmdir(t.root, "..", 2), -EINVAL);
	TEST_EQ(rename_name(t.root, ".", t.root, "q", 0), -EINVAL);
	TEST_EQ(lookup_name(t.root, "..", &ino), 0);
	TEST_EQ(ino, F4_ROOT_INO);
	TEST_EQ(lookup_name(t.root, ".", &ino), 0);
	TEST_EQ(ino, F4_ROOT_INO);
	TEST_EQ(lookup_name(t.root, "short", &ino), 0);
	file = dt_get(&t, ino);
	TEST_EQ(dt_create(file, "in-a-file", S_IFREG, NULL), -ENOTDIR);
	TEST_EQ(lookup_name(file, "x", &ino), -ENOTDIR);
	f4_inode_put(file);
	finish();
}

static void set_flags(struct f4_inode *i, uint32_t flags)
{
	f4_inode_wrlock(i);
	i->flags = (i->flags & ~(F4_FL_IMMUTABLE | F4_FL_APPEND)) | flags;
	f4_inode_unlock(i);
}

static void immutable_and_append_only(void)
{
	struct f4_inode *dir, *file;
	uint32_t d, f;

	start("-t ext4", "16M");
	TEST_EQ(dt_create(t.root, "dir", S_IFDIR | 0755, &d), 0);
	dir = dt_get(&t, d);
	TEST_EQ(dt_create(dir, "file", S_IFREG | 0644, &f), 0);
	TEST_EQ(dt_create(dir, "empty", S_IFDIR | 0755, NULL), 0);
	file = dt_get(&t, f);
	for (int round = 0; round < 2; round++) {
		set_flags(dir, round ? F4_FL_APPEND : F4_FL_IMMUTABLE);
		TEST_EQ(dt_create(dir, "new", S_IFREG | 0644, NULL), round ? 0 : -EPERM);
		TEST_EQ(f4_op_link(file, dir, "hard", 4), round ? 0 : -EPERM);
		TEST_EQ(unlink_name(dir, "file"), -EPERM);
		TEST_EQ(f4_op_rmdir(dir, "empty", 5), -EPERM);
		TEST_EQ(rename_name(dir, "file", dir, "other", 0), -EPERM);
		TEST_EQ(rename_name(dir, "file", t.root, "other", 0), -EPERM);
		TEST_EQ(rename_name(dir, "file", dir, "empty", EXCHANGE), -EPERM);
		set_flags(dir, 0);
		set_flags(file, round ? F4_FL_APPEND : F4_FL_IMMUTABLE);
		TEST_EQ(unlink_name(dir, "file"), -EPERM);
		TEST_EQ(rename_name(dir, "file", dir, "other", 0), -EPERM);
		TEST_EQ(f4_op_link(file, dir, "hard2", 5), -EPERM);
		TEST_EQ(dt_create(t.root, "over", S_IFREG, NULL), 0);
		TEST_EQ(rename_name(t.root, "over", dir, "file", 0), -EPERM);
		TEST_EQ(unlink_name(t.root, "over"), 0);
		set_flags(file, 0);
	}
	f4_inode_put(file);
	f4_inode_put(dir);
	finish();
}

/* An inode lives as long as somebody has it, then is gone; a removed directory takes nothing in. */
static void removed_but_open(void)
{
	struct f4_inode *file, *dir;
	uint32_t f, d, ino;
	int64_t inodes;
	uint64_t cookie = 0;
	struct dt_name one;

	start("-t ext4", "16M");
	inodes = atomic_load(&t.vol->free_inodes);
	TEST_EQ(dt_create(t.root, "file", S_IFREG | 0644, &f), 0);
	TEST_EQ(dt_create(t.root, "dir", S_IFDIR | 0755, &d), 0);
	file = dt_get(&t, f);
	dir = dt_get(&t, d);
	TEST_EQ(unlink_name(t.root, "file"), 0);
	TEST_EQ(f4_op_rmdir(t.root, "dir", 3), 0);
	TEST_EQ(file->links, 0);
	TEST_EQ(dir->links, 0);
	TEST_EQ(dt_create(dir, "in-the-void", S_IFREG, NULL), -ENOENT);
	TEST_EQ(lookup_name(dir, "x", &ino), -ENOENT);
	TEST_EQ(dt_read(dir, &cookie, &one, 1), -ENOENT);
	TEST_EQ(rename_name(t.root, "lost+found", dir, "x", 0), -ENOENT);
	TEST_EQ(dt_create(t.root, "keep", S_IFREG | 0644, NULL), 0);
	TEST_EQ(rename_name(t.root, "keep", dir, "x", 0), -ENOENT);
	TEST_EQ(rename_name(dir, "x", t.root, "keep", 0), -ENOENT);
	TEST_EQ(unlink_name(t.root, "keep"), 0);
	f4_inode_put(file);
	f4_inode_put(dir);
	TEST_EQ(atomic_load(&t.vol->free_inodes), inodes);
	finish();
}

static void tmpfile_and_link(void)
{
	struct f4_op_new spec = { .mode = S_IFREG | 0600 };
	struct f4_inode *a, *b;

	start("-t ext4", "16M");
	TEST_EQ(f4_op_tmpfile(t.root, &spec, &a), 0);
	TEST_EQ(f4_op_tmpfile(t.root, &spec, &b), 0);
	TEST_EQ(a->links, 0);
	TEST_EQ(f4_op_link(a, t.root, "named", 5), 0);
	TEST_EQ(a->links, 1);
	TEST_EQ(unlink_name(t.root, "named"), 0);
	TEST_EQ(f4_op_link(a, t.root, "again", 5), 0);
	TEST_EQ(f4_op_link(b, t.root, "again", 5), -EEXIST);
	f4_inode_put(a);
	f4_inode_put(b);
	finish();
}

static void link_limit(void)
{
	struct f4_inode *file;
	char name[32];
	uint32_t f;

	start("-t ext4 -O ^has_journal", "32M");
	TEST_EQ(dt_create(t.root, "file", S_IFREG | 0644, &f), 0);
	file = dt_get(&t, f);
	for (uint32_t i = 2; i <= 65000; i++) {
		int n = snprintf(name, sizeof(name), "%u", i);

		TEST_EQ(f4_op_link(file, t.root, name, (size_t)n), 0);
	}
	TEST_EQ(f4_op_link(file, t.root, "one-more", 8), -EMLINK);
	TEST_EQ(unlink_name(t.root, "77"), 0);
	TEST_EQ(f4_op_link(file, t.root, "one-more", 8), 0);
	f4_inode_put(file);
	finish();
}

/* Above 65,000 subdirectories an indexed directory says 1 and keeps it; others refuse. */
static void many_subdirectories(void)
{
	struct f4_inode *dir;
	uint32_t d, n;
	char name[32];
	int r = 0;

	start("-t ext4 -b 1024 -O ^has_journal -N 66000", "160M");
	TEST_EQ(dt_create(t.root, "many", S_IFDIR | 0755, &d), 0);
	dir = dt_get(&t, d);
	for (n = 0; n < 65100 && r == 0; n++) {
		snprintf(name, sizeof(name), "%u", n);
		r = dt_create(dir, name, S_IFDIR | 0755, NULL);
	}
	TEST_EQ(r, 0);
	TEST_EQ(dir->links, 1);
	TEST_EQ(f4_op_rmdir(dir, "5", 1), 0);
	TEST_EQ(dir->links, 1);
	f4_inode_put(dir);
	finish();
}

static void devices(void)
{
	static const struct {
		const char *name;
		uint32_t maj, min;
	} dev[] = { { "small", 8, 3 }, { "wide", 259, 70000 }, { "edge", 255, 256 } };
	struct f4_attr a;
	uint32_t ino = 0;

	start("-t ext4", "16M");
	for (size_t i = 0; i < F4_ARRAY_LEN(dev); i++) {
		struct f4_op_new spec = { .mode = S_IFBLK | 0600,
					  .rdev = (uint32_t)makedev(dev[i].maj, dev[i].min) };
		struct f4_inode *inode;

		TEST_EQ(f4_op_create(t.root, dev[i].name, strlen(dev[i].name), &spec, &inode), 0);
		f4_inode_put(inode);
	}
	TEST_EQ(dt_close(&t), 0);
	dt_open(&t);
	for (size_t i = 0; i < F4_ARRAY_LEN(dev); i++) {
		struct f4_inode *inode;

		TEST_EQ(lookup_name(t.root, dev[i].name, &ino), 0);
		inode = dt_get(&t, ino);
		f4_inode_attr(inode, &a);
		TEST_EQ(major(a.rdev), dev[i].maj);
		TEST_EQ(minor(a.rdev), dev[i].min);
		f4_inode_put(inode);
	}
	finish();
}

/* --- names that are not compared by their bytes ---------------------------------------------- */

static void casefold(void)
{
	struct f4_inode *dir;
	uint32_t d, a = 0, b = 0;
	char name[64];

	start("-t ext4 -b 1024 -O casefold -E encoding=utf8,encoding_flags=strict", "16M");
	TEST_EQ(dt_create(t.root, "fold", S_IFDIR | 0755, &d), 0);
	dir = dt_get(&t, d);
	TEST_EQ(f4_inode_set_flags(dir, dir->flags | F4_FL_CASEFOLD), 0);
	TEST_EQ(dt_create(dir, "Stra\xc3\x9f" "e", S_IFREG | 0644, &a), 0);
	TEST_EQ(lookup_name(dir, "STRASSE", &b), 0);
	TEST_EQ(a, b);
	TEST_EQ(dt_create(dir, "strasse", S_IFDIR, NULL), -EEXIST);
	TEST_EQ(dt_create(dir, "caf\xc3\xa9", S_IFREG | 0644, &a), 0);
	TEST_EQ(lookup_name(dir, "CAFE\xcc\x81", &b), 0); /* decomposed */
	TEST_EQ(a, b);
	TEST_EQ(dt_create(dir, "bad\xff", S_IFREG, NULL), -EINVAL);
	TEST_EQ(dt_create(t.root, "bad\xff", S_IFREG, NULL), 0);
	for (uint32_t i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "Some-Name-%u", i);
		TEST_EQ(dt_create(dir, name, S_IFLNK | 0777, NULL), 0);
		if (test_case_failed_)
			break;
	}
	TEST_CHECK(dir->flags & F4_FL_INDEX);
	for (uint32_t i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "sOME-nAME-%u", i);
		TEST_EQ(lookup_name(dir, name, &b), 0);
		if (i % 2)
			TEST_EQ(unlink_name(dir, name), 0);
	}
	TEST_EQ(rename_name(dir, "some-name-0", dir, "SOME-NAME-2", 0), 0);
	TEST_EQ(lookup_name(dir, "Some-Name-0", &b), -ENOENT);
	TEST_EQ(dt_create(dir, "sub", S_IFDIR | 0755, &a), 0);
	f4_inode_put(dir);
	dir = dt_get(&t, a);
	TEST_CHECK(dir->flags & F4_FL_CASEFOLD); /* handed on */
	f4_inode_put(dir);
	finish();
}

/* Ciphertext shows as a stand-in by which it can be found and removed, but nothing is added. */
static void encrypted(void)
{
	struct f4_op_new spec = { .mode = S_IFREG | 0600 };
	struct f4_inode *dir, *file;
	struct dt_name list[400];
	uint32_t d, ino;
	uint64_t cookie = 0;
	char name[256];
	int n, names = 0;

	start("-t ext4 -b 1024 -O encrypt", "16M");
	TEST_EQ(dt_create(t.root, "secret", S_IFDIR | 0755, &d), 0);
	dir = dt_get(&t, d);
	for (int i = 0; i < 300; i++) {
		int len = 16 + i % 240;

		memset(name, 1 + i % 17, sizeof(name));
		snprintf(name, 16, "%d\xff\xfe%d", i, i * 7919);
		name[strlen(name)] = i % 2 ? '\n' : '*';
		TEST_EQ(f4_op_create(dir, name, (size_t)len, &spec, &file), 0);
		f4_inode_put(file);
	}
	f4_inode_wrlock(dir);
	dir->flags |= F4_FL_ENCRYPT;
	f4_inode_unlock(dir);
	while ((n = dt_read(dir, &cookie, list, 400)) > 0) {
		for (int i = 0; i < n; i++) {
			if (list[i].name[0] == '.')
				continue;
			names++;
			TEST_EQ(lookup_name(dir, list[i].name, &ino), 0);
			TEST_EQ(ino, list[i].ino);
			for (size_t k = 0; k < list[i].len; k++)
				TEST_CHECK(list[i].name[k] > ' ' && list[i].name[k] != '/');
		}
	}
	TEST_EQ(names, 300);
	TEST_EQ(dt_create(dir, "plain", S_IFREG, NULL), -ENOKEY);
	TEST_EQ(lookup_name(dir, "plain", &ino), -ENOENT);
	TEST_EQ(rename_name(dir, list[0].name, t.root, "out", 0), -EINVAL); /* list[0] is '.' */
	TEST_EQ(rename_name(dir, list[9].name, t.root, "out", 0), -ENOKEY);
	for (cookie = 0; (n = dt_read(dir, &cookie, list, 3)) > 0;) {
		for (int i = 0; i < n; i++) {
			if (list[i].name[0] != '.')
				TEST_EQ(unlink_name(dir, list[i].name), 0);
		}
	}
	f4_inode_put(dir);
	TEST_EQ(f4_op_rmdir(t.root, "secret", 6), 0);
	finish();
}

/* --- damage --------------------------------------------------------------------------------- */

static void tune_image(const char *commands)
{
	char cmd[1024];

	snprintf(cmd, sizeof(cmd), "printf '%s' | debugfs -w -f - \"$IMG\"", commands);
	TEST_EQ(dt_shell(&t, cmd), 0);
}

/* An entry for a free inode, and a directory that is its own grandparent. */
static void damaged_trees(void)
{
	struct f4_inode *b, *c;
	uint32_t ino;

	start("-t ext4 -O ^metadata_csum", "16M");
	TEST_EQ(dt_create(t.root, "a", S_IFDIR | 0755, &ino), 0);
	struct f4_inode *a = dt_get(&t, ino);
	TEST_EQ(dt_create(a, "b", S_IFDIR | 0755, &ino), 0);
	b = dt_get(&t, ino);
	TEST_EQ(dt_create(b, "c", S_IFDIR | 0755, NULL), 0);
	TEST_EQ(dt_create(b, "d", S_IFDIR | 0755, NULL), 0);
	f4_inode_put(a);
	f4_inode_put(b);
	TEST_EQ(dt_close(&t), 0);
	/* 'a' is in b as well, and says that b is its parent: no way up from there. */
	tune_image("cd a/b\\nlink ../../a loop\\nlink <200> ghost\\ncd ..\\nunlink ..\\nlink <13> "
		   "..\\n");
	dt_open(&t);
	TEST_EQ(lookup_name(t.root, "a", &ino), 0);
	a = dt_get(&t, ino);
	TEST_EQ(lookup_name(a, "b", &ino), 0);
	b = dt_get(&t, ino);
	TEST_EQ(lookup_name(b, "ghost", &ino), -EUCLEAN);
	TEST_EQ(lookup_name(b, "c", &ino), 0);
	c = dt_get(&t, ino);
	TEST_CHECK(rename_name(b, "d", c, "x", 0) < 0);
	TEST_CHECK(t.core.last_line[0]);
	f4_inode_put(a);
	f4_inode_put(b);
	f4_inode_put(c);
	(void)dt_close(&t);
	dt_done(&t);
}

/* --- threads -------------------------------------------------------------------------------- */

#define THREADS 4

struct worker {
	pthread_t thread;
	unsigned int seed;
	unsigned int done, strange;
	struct f4_inode *dirs[3]; /* borrowed */
};

static bool usual(int r)
{
	return r == 0 || r == -ENOENT || r == -EEXIST || r == -ENOTEMPTY || r == -EISDIR ||
	       r == -ENOTDIR || r == -EINVAL;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < 1500; i++) {
		struct f4_inode *a = w->dirs[rand_r(&w->seed) % 3],
				*b = w->dirs[rand_r(&w->seed) % 3];
		char x[8], y[8];
		struct dt_name list[5];
		uint64_t cookie = 0;
		int r;

		snprintf(x, sizeof(x), "n%d", rand_r(&w->seed) % 12);
		snprintf(y, sizeof(y), "n%d", rand_r(&w->seed) % 12);
		switch (rand_r(&w->seed) % 7) {
		case 0:
			r = dt_create(a, x, S_IFREG | 0644, NULL);
			break;
		case 1:
			r = dt_create(a, x, S_IFDIR | 0755, NULL);
			break;
		case 2:
			r = unlink_name(a, x);
			break;
		case 3:
			r = f4_op_rmdir(a, x, strlen(x));
			break;
		case 4:
			r = rename_name(a, x, b, y, rand_r(&w->seed) & 1 ? EXCHANGE : 0);
			break;
		case 5:
			do
				r = dt_read(a, &cookie, list, 5);
			while (r > 0);
			break;
		default:
			r = lookup_name(a, x, &(uint32_t){ 0 });
			break;
		}
		if (!usual(r)) {
			fprintf(stderr, "result %d\n", r);
			w->strange++;
		}
		w->done++;
	}
	return NULL;
}

static void threads(void)
{
	struct worker w[THREADS];
	struct f4_inode *dirs[3];
	uint32_t ino;

	start("-t ext4 -b 1024", "16M");
	for (int i = 0; i < 3; i++) {
		char name[8];

		snprintf(name, sizeof(name), "d%d", i);
		TEST_EQ(dt_create(i == 2 ? dirs[1] : t.root, name, S_IFDIR | 0755, &ino), 0);
		dirs[i] = dt_get(&t, ino);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .seed = i + 1, .dirs = { dirs[0], dirs[1], dirs[2] } };
		TEST_EQ(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		TEST_EQ(w[i].strange, 0);
		TEST_EQ(w[i].done, 1500);
	}
	for (int i = 0; i < 3; i++)
		f4_inode_put(dirs[i]);
	finish();
}

int main(void)
{
	TEST_RUN(names);
	TEST_RUN(immutable_and_append_only);
	TEST_RUN(removed_but_open);
	TEST_RUN(tmpfile_and_link);
	TEST_RUN(devices);
	TEST_RUN(casefold);
	TEST_RUN(encrypted);
	TEST_RUN(damaged_trees);
	TEST_RUN(threads);
	TEST_RUN(link_limit);
	TEST_RUN(many_subdirectories);
	return test_done();
}
