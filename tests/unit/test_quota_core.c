/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Quota: usage follows every change and is what e2fsck counts; limits bind to the byte; grace,
 * transfer, projects; damaged quota files.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "server/ext4/file.h"
#include "server/ext4/ops.h"
#include "server/ext4/quota_priv.h"
#include "server/ext4/xattr.h"
#include "tests/lib/check.h"
#include "tests/lib/coretest.h"

#define MKFS "-t ext4 -b 1024 -J size=1 -O quota,project"
#define KIB 1024u

static struct coretest t;
static const struct f4_cred root = { .umask = 022 };
static const struct f4_cred user = { .uid = 1000, .gid = 100, .umask = 022 };

static void start(const char *size, const char *mkfs)
{
	TEST_REQUIRE(coretest_mkfs(&t, size, mkfs));
	t.opt.quota_usr = t.opt.quota_grp = t.opt.quota_prj = true;
	TEST_REQUIRE(coretest_open(&t) == 0);
	TEST_REQUIRE(t.vol->quota != NULL);
}

static struct f4_quota_usage usage(enum f4_quota_type type, uint32_t id)
{
	struct f4_quota_usage u = { 0 };
	int r = f4_quota_usage(t.vol, type, id, &u);

	TEST_CHECK(r == 0 || r == -ENOENT);
	return u;
}

/* Limits are set by the kernel's tools; here in the entry. Bytes in KiB. */
static void limit(enum f4_quota_type type, uint32_t id, uint64_t bsoft, uint64_t bhard,
		  uint64_t isoft, uint64_t ihard)
{
	uint32_t ids[F4_QUOTA_TYPES] = { 0 };
	struct f4_quota_owner o;

	ids[type] = id;
	TEST_REQUIRE(f4_quota_hold(t.vol, ids, &o) == 0);
	pthread_mutex_lock(&t.vol->quota->lock);
	o.dq[type]->bsoft = bsoft * KIB;
	o.dq[type]->bhard = bhard * KIB;
	o.dq[type]->isoft = isoft;
	o.dq[type]->ihard = ihard;
	pthread_mutex_unlock(&t.vol->quota->lock);
	f4_quota_release(t.vol, &o);
}

static struct f4_inode *make(struct f4_inode *dir, const char *name, uint16_t mode,
			     const struct f4_cred *cred, int *ret_err)
{
	struct f4_op_new spec = { .mode = mode, .cred = *cred };
	struct f4_inode *i = NULL;

	*ret_err = f4_op_create(dir, name, strlen(name), &spec, &i);
	return *ret_err ? NULL : i;
}

static int put_data(struct f4_inode *i, uint64_t pos, size_t len, const struct f4_cred *cred,
		    size_t *ret)
{
	f4_auto_free uint8_t *buf = calloc(1, len);

	*ret = 0;
	return f4_file_write(i, buf, len, pos, 0, cred, ret);
}

static uint64_t bytes_of(struct f4_inode *i)
{
	struct f4_attr a;

	f4_inode_attr(i, &a);
	return a.blocks * 512;
}

/* Many ids, in all corners of the tree: entries are found again, in memory and after a new start. */
static void many_ids(void)
{
	struct f4_inode *dir, *i;
	char name[16];
	int r;

	start("32M", MKFS);
	dir = coretest_lookup(&t, "");
	for (uint32_t n = 0; n < 600; n++) {
		struct f4_cred c = { .uid = n * 7919u * 40503u, .gid = ~n, .umask = 022 };

		snprintf(name, sizeof(name), "f%u", n);
		i = make(dir, name, S_IFREG | 0644, &c, &r);
		TEST_EQ(r, 0);
		f4_inode_put(i);
	}
	for (uint32_t n = 1; n < 600; n += 97) {
		TEST_EQ(usage(F4_QUOTA_USER, n * 7919u * 40503u).inodes, 1);
		TEST_EQ(usage(F4_QUOTA_GROUP, ~n).inodes, 1);
	}
	TEST_CHECK(t.vol->quota->n_lru <= 128); /* idle entries leave memory */
	f4_inode_put(dir);
	TEST_EQ(coretest_close(&t), 0);
	TEST_EQ(coretest_fsck(&t), 0);
	TEST_EQ(coretest_open(&t), 0);
	TEST_EQ(usage(F4_QUOTA_USER, 599u * 7919u * 40503u).inodes, 1);
	TEST_EQ(usage(F4_QUOTA_GROUP, ~599u).inodes, 1);
	for (uint32_t n = 0; n < 600; n += 2) {
		snprintf(name, sizeof(name), "f%u", n);
		TEST_EQ(coretest_unlink(&t, name), 0);
	}
	TEST_EQ(usage(F4_QUOTA_GROUP, ~100u).inodes, 0);
	TEST_CHECK(coretest_finish(&t));
}

static void block_limit(const char *mkfs, const char *size)
{
	struct f4_inode *dir, *i;
	uint64_t before;
	size_t n;
	int r;

	start(size, mkfs);
	dir = coretest_lookup(&t, "");
	limit(F4_QUOTA_USER, 1000, 0, 400, 0, 0);
	i = make(dir, "a", S_IFREG | 0644, &user, &r);
	TEST_REQUIRE(i != NULL);
	TEST_EQ(put_data(i, 0, 1000 * KIB, &user, &n), 0);
	TEST_CHECK(n > 0 && n <= 400 * KIB); /* cut short */
	TEST_EQ(put_data(i, n, 64 * KIB, &user, &n), -EDQUOT);
	TEST_EQ(usage(F4_QUOTA_USER, 1000).bytes, bytes_of(i));
	TEST_CHECK(bytes_of(i) > 300 * KIB && bytes_of(i) <= 416 * KIB);
	before = bytes_of(i);
	TEST_EQ(put_data(i, 0, 64 * KIB, &user, &n), 0); /* overwriting takes nothing */
	TEST_EQ(bytes_of(i), before);
	TEST_EQ(put_data(i, before, 64 * KIB, &root, &n), 0); /* user 0 isn't bound */
	TEST_EQ(n, 64 * KIB);
	TEST_EQ(usage(F4_QUOTA_USER, 1000).bytes, bytes_of(i));
	TEST_EQ(f4_file_fallocate(i, 0, 2048 * KIB, 100 * KIB, &user),
		strstr(mkfs, "ext3") ? -EOPNOTSUPP : -EDQUOT);
	f4_inode_put(i);
	TEST_EQ(coretest_unlink(&t, "a"), 0);
	TEST_EQ(usage(F4_QUOTA_USER, 1000).bytes, 0);
	TEST_EQ(usage(F4_QUOTA_USER, 1000).inodes, 0);
	f4_inode_put(dir);
	TEST_CHECK(coretest_finish(&t));
}

static void block_limits(void)
{
	block_limit(MKFS, "16M");
	block_limit("-t ext3 -b 1024 -J size=1 -I 256 -O quota", "16M");
	block_limit("-t ext4 -b 1024 -J size=1 -O quota,bigalloc -C 8192", "32M");
	block_limit("-t ext4 -b 4096 -O quota,^has_journal", "16M");
	block_limit("-t ext4 -b 4096 -J size=4 -O quota,inline_data", "16M");
}

static void inode_limit(void)
{
	struct f4_inode *dir, *i;
	char name[8] = "f0";
	int r = 0;

	start("16M", MKFS);
	dir = coretest_lookup(&t, "");
	limit(F4_QUOTA_GROUP, 100, 0, 0, 0, 3);
	for (int n = 0; n < 5; n++) {
		name[1] = (char)('0' + n);
		i = make(dir, name, n & 1 ? S_IFDIR | 0755 : S_IFREG | 0644, &user, &r);
		TEST_EQ(r, n < 3 ? 0 : -EDQUOT);
		f4_inode_put(i);
	}
	TEST_EQ(usage(F4_QUOTA_GROUP, 100).inodes, 3);
	i = make(dir, "r", S_IFREG | 0644, &root, &r);
	TEST_EQ(r, 0);
	f4_inode_put(i);
	f4_inode_put(dir);
	TEST_CHECK(coretest_finish(&t));
}

static void grace(void)
{
	struct f4_inode *dir, *i;
	struct f4_quota_owner o;
	const uint32_t ids[F4_QUOTA_TYPES] = { 1000 };
	size_t n;
	int r;

	start("16M", MKFS);
	dir = coretest_lookup(&t, "");
	limit(F4_QUOTA_USER, 1000, 100, 0, 0, 0);
	i = make(dir, "a", S_IFREG | 0644, &user, &r);
	TEST_REQUIRE(i != NULL);
	TEST_EQ(put_data(i, 0, 200 * KIB, &user, &n), 0);
	TEST_EQ(n, 200 * KIB); /* passed; the time runs */
	TEST_REQUIRE(f4_quota_hold(t.vol, ids, &o) == 0);
	TEST_CHECK(o.dq[0]->btime > 1000000000u);
	o.dq[0]->btime = 5; /* long ago */
	TEST_EQ(put_data(i, 200 * KIB, 10 * KIB, &user, &n), -EDQUOT);
	f4_inode_wrlock(i);
	TEST_EQ(f4_file_truncate_locked(i, 50 * KIB), 0);
	f4_inode_unlock(i);
	TEST_EQ(o.dq[0]->btime, 0); /* below again */
	TEST_EQ(put_data(i, 50 * KIB, 10 * KIB, &user, &n), 0);
	f4_quota_release(t.vol, &o);
	f4_inode_put(i);
	f4_inode_put(dir);
	TEST_CHECK(coretest_finish(&t));
}

static void transfer(void)
{
	struct f4_attr to = { .uid = 2000, .gid = 200 };
	struct f4_inode *dir, *i;
	size_t n;
	int r;

	start("16M", "-t ext4 -b 1024 -J size=1 -I 256 -O quota,project,ea_inode");
	dir = coretest_lookup(&t, "");
	i = make(dir, "a", S_IFREG | 0644, &user, &r);
	TEST_REQUIRE(i != NULL);
	TEST_EQ(put_data(i, 0, 100 * KIB, &user, &n), 0);
	{
		f4_auto_free uint8_t *big = calloc(1, 5000);

		memset(big, 'v', 5000);
		TEST_EQ(f4_xattr_set(i, "user.big", big, 5000, 0), 0);
		TEST_EQ(f4_xattr_set(i, "user.small", big, 300, 0), 0);
	}
	TEST_EQ(usage(F4_QUOTA_USER, 1000).inodes, 2); /* the value's inode, too */
	TEST_EQ(usage(F4_QUOTA_USER, 1000).bytes, bytes_of(i));
	limit(F4_QUOTA_GROUP, 200, 0, 50, 0, 0);
	TEST_EQ(f4_inode_setattr(i, F4_SET_UID | F4_SET_GID, &to, &user), -EDQUOT);
	TEST_EQ(usage(F4_QUOTA_USER, 1000).bytes, bytes_of(i));
	TEST_EQ(usage(F4_QUOTA_USER, 2000).bytes, 0);
	TEST_EQ(f4_inode_setattr(i, F4_SET_UID | F4_SET_GID, &to, &root), 0);
	TEST_EQ(usage(F4_QUOTA_USER, 1000).bytes, 0);
	TEST_EQ(usage(F4_QUOTA_USER, 1000).inodes, 0);
	TEST_EQ(usage(F4_QUOTA_USER, 2000).bytes, bytes_of(i));
	TEST_EQ(usage(F4_QUOTA_GROUP, 200).inodes, 2);
	TEST_EQ(f4_xattr_remove(i, "user.big"), 0);
	TEST_EQ(usage(F4_QUOTA_USER, 2000).inodes, 1);
	TEST_EQ(usage(F4_QUOTA_USER, 2000).bytes, bytes_of(i));
	f4_inode_put(i);
	f4_inode_put(dir);
	TEST_CHECK(coretest_finish(&t));
}

static void projects(void)
{
	struct f4_inode *dir, *p, *i, *other;
	struct f4_statfs st;
	size_t n;
	int r;

	start("16M", MKFS);
	dir = coretest_lookup(&t, "");
	p = make(dir, "p", S_IFDIR | 0777, &root, &r);
	TEST_REQUIRE(p != NULL);
	TEST_EQ(f4_inode_set_projid(p, 7, &root), 0);
	TEST_EQ(f4_inode_set_flags(p, p->flags | F4_FL_PROJINHERIT), 0);
	TEST_EQ(usage(F4_QUOTA_PROJECT, 7).inodes, 1);
	limit(F4_QUOTA_PROJECT, 7, 0, 256, 0, 10);
	i = make(p, "in", S_IFREG | 0644, &user, &r);
	TEST_REQUIRE(i != NULL);
	TEST_EQ(i->projid, 7);
	TEST_EQ(put_data(i, 0, 300 * KIB, &user, &n), 0);
	TEST_CHECK(n < 256 * KIB);
	f4_volume_statfs(t.vol, &st);
	TEST_CHECK(st.blocks > 10000);
	f4_quota_statfs(p, &st);
	TEST_EQ(st.blocks, 256);
	TEST_EQ(st.free_blocks, 0);
	TEST_EQ(st.files, 10);
	TEST_EQ(st.free_files, 8);
	other = make(dir, "out", S_IFREG | 0644, &user, &r);
	TEST_REQUIRE(other != NULL);
	TEST_EQ(f4_op_link(other, p, "l", 1), -EXDEV);
	TEST_EQ(f4_op_rename(dir, "out", 3, p, "r", 1, 0, &user), -EXDEV);
	TEST_EQ(f4_op_rename(p, "in", 2, dir, "in", 2, 0, &user), 0); /* out of it is allowed */
	TEST_EQ(f4_inode_set_projid(i, 9, &user), 0);
	TEST_EQ(usage(F4_QUOTA_PROJECT, 9).bytes, bytes_of(i));
	TEST_EQ(f4_inode_set_projid(other, 7, &user), 0);
	TEST_EQ(f4_op_rename(dir, "out", 3, p, "r", 1, 0, &user), 0);
	f4_inode_put(i);
	f4_inode_put(other);
	f4_inode_put(p);
	f4_inode_put(dir);
	TEST_CHECK(coretest_finish(&t));
}

/* Usage is kept, limits are not looked at, where the mount does not ask for them. */
static void not_enforced(void)
{
	struct f4_inode *dir, *i;
	size_t n;
	int r;

	TEST_REQUIRE(coretest_mkfs(&t, "16M", MKFS));
	TEST_REQUIRE(coretest_open(&t) == 0);
	dir = coretest_lookup(&t, "");
	limit(F4_QUOTA_USER, 1000, 10, 20, 1, 1);
	i = make(dir, "a", S_IFREG | 0644, &user, &r);
	TEST_REQUIRE(i != NULL);
	TEST_EQ(put_data(i, 0, 100 * KIB, &user, &n), 0);
	TEST_EQ(n, 100 * KIB);
	TEST_EQ(usage(F4_QUOTA_USER, 1000).bytes, bytes_of(i));
	f4_inode_put(i);
	f4_inode_put(dir);
	TEST_CHECK(coretest_finish(&t));
}

/* A quota file full of anything: no crash, no endless work; the mount refuses a bad header. */
static void damaged(void)
{
	TEST_REQUIRE(coretest_mkfs(&t, "16M", MKFS));
	TEST_EQ(coretest_shell(&t, "B=$(debugfs -R 'blocks <3>' $IMG 2>/dev/null | cut -d' ' -f1) && "
				   "printf 'XXXX' | dd of=$IMG bs=1 seek=$((B*1024)) conv=notrunc status=none"),
		0);
	TEST_EQ(coretest_open(&t), -EUCLEAN);
	coretest_remove(&t);
	for (unsigned int seed = 1; seed <= 12; seed++) {
		char cmd[512];
		struct f4_inode *dir;
		int r;

		TEST_REQUIRE(coretest_mkfs(&t, "16M", MKFS));
		/* Blocks 1 to 5 of the tree: random bytes in the places of references and lists. */
		snprintf(cmd, sizeof(cmd),
			 "set -- $(debugfs -R 'blocks <3>' $IMG 2>/dev/null); shift; for b; do "
			 "printf '\\%03o\\0\\0\\0\\%03o\\0\\0\\0\\%03o' | dd of=$IMG bs=1 seek=$((b*1024)) "
			 "conv=notrunc status=none; done",
			 seed % 8, (seed * 5) % 9, seed * 3);
		TEST_EQ(coretest_shell(&t, cmd), 0);
		r = coretest_open(&t);
		TEST_CHECK(r == 0 || r == -EUCLEAN);
		if (r == 0) {
			dir = coretest_lookup(&t, "");
			for (uint32_t n = 0; n < 40; n++) {
				struct f4_cred c = { .uid = n, .gid = n << 24, .umask = 0 };
				char name[16];

				snprintf(name, sizeof(name), "f%u", n);
				f4_inode_put(make(dir, name, S_IFREG | 0644, &c, &r));
				TEST_CHECK(r == 0 || r == -EUCLEAN || r == -EROFS);
			}
			f4_inode_put(dir);
		}
		coretest_remove(&t);
	}
}

int main(void)
{
	TEST_RUN(many_ids);
	TEST_RUN(block_limits);
	TEST_RUN(inode_limit);
	TEST_RUN(grace);
	TEST_RUN(transfer);
	TEST_RUN(projects);
	TEST_RUN(not_enforced);
	TEST_RUN(damaged);
	return test_done();
}
