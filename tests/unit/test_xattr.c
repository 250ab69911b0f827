/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended attributes on real images: random changes against a model in memory, through closing and
 * opening again, judged by e2fsck; sharing, values in inodes, ACLs, damage.
 */
#include "server/ext4/xattr.h"

#include <errno.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "server/ext4/ops.h"
#include "tests/lib/check.h"
#include "tests/lib/coretest.h"

#define FILES 6
#define NAMES 10
#define VALUE_MAX 70000u

static const char *const names[NAMES] = {
	"user.a",     "user.bb",   "user.a-much-longer-name-than-the-others", "trusted.x",
	"security.s", "user.\xc3\xa4", "user.\xff", "trusted.overlay.opaque", "security.selinux",
	"user.0",
};

static const struct {
	const char *options;
	uint32_t value_max; /* what the random values stay below */
} shapes[] = {
	{ "-t ext4 -b 4096", 5000 },
	{ "-t ext4 -b 4096 -I 128", 5000 },
	{ "-t ext4 -b 1024", 1200 },
	{ "-t ext4 -I 1024 -b 4096", 1200 },
	{ "-t ext4 -b 4096 -O ^metadata_csum", 5000 },
	{ "-t ext4 -b 4096 -O ^has_journal", 5000 },
	{ "-t ext2 -b 1024 -I 128", 1200 },
	{ "-t ext3 -O ^ext_attr", 3000 },
	{ "-t ext4 -b 4096 -O bigalloc -C 65536", 5000 },
	{ "-t ext4 -b 4096 -O ea_inode", 65000 },
	{ "-t ext4 -O ea_inode -I 128 -b 1024", 65000 },
	{ "-t ext4 -O inline_data", 300 },
};

struct model {
	uint8_t *value[FILES][NAMES]; /* owned; NULL: not there */
	size_t len[FILES][NAMES];
};

static uint32_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)seed * below) >> 32);
}

static void file_name(char buf[16], int i)
{
	snprintf(buf, 16, "f%d", i);
}

static bool check_file(struct f4_inode *inode, const struct model *m, int f)
{
	static uint8_t buf[VALUE_MAX];
	char list[4096];
	size_t len = 0, want = 0;
	bool ok = true;

	for (int n = 0; n < NAMES; n++) {
		int r = f4_xattr_get(inode, names[n], buf, sizeof(buf), &len);

		if (!m->value[f][n]) {
			ok &= r == -ENODATA;
			continue;
		}
		want += strlen(names[n]) + 1;
		ok &= r == 0 && len == m->len[f][n] && memcmp(buf, m->value[f][n], len) == 0;
		ok &= f4_xattr_get(inode, names[n], NULL, 0, &len) == 0 && len == m->len[f][n];
		if (len > 0) /* a buffer one byte short; none at all would ask for the length */
			ok &= len == 1 || f4_xattr_get(inode, names[n], buf, len - 1, &len) == -ERANGE;
	}
	ok &= f4_xattr_list(inode, list, sizeof(list), &len) == 0 && len == want;
	for (size_t pos = 0; pos < len; pos += strlen(list + pos) + 1) {
		int n = 0;

		while (n < NAMES && strcmp(names[n], list + pos) != 0)
			n++;
		ok &= n < NAMES && m->value[f][n];
	}
	return ok;
}

static bool check_all(struct coretest *t, const struct model *m)
{
	for (int f = 0; f < FILES; f++) {
		char name[16];
		struct f4_inode *inode;
		bool ok;

		file_name(name, f);
		inode = coretest_lookup(t, name);
		if (!inode)
			return false;
		ok = check_file(inode, m, f);
		f4_inode_put(inode);
		if (!ok)
			return false;
	}
	return true;
}

static void forget(struct model *m, int f, int n)
{
	free(m->value[f][n]);
	m->value[f][n] = NULL;
	m->len[f][n] = 0;
}

/* One random change; the model follows what the core says it did. */
static bool step(struct f4_inode *inode, struct model *m, int f, uint32_t value_max, int *n_set)
{
	int n = (int)rnd(NAMES), flags = (int)rnd(4), r;
	bool there = m->value[f][n] != NULL;
	size_t len;
	uint8_t *v;

	if (rnd(4) == 0) {
		r = f4_xattr_remove(inode, names[n]);
		if (r != (there ? 0 : -ENODATA))
			return false;
		forget(m, f, n);
		return true;
	}
	if (flags == (XATTR_CREATE | XATTR_REPLACE))
		flags = 0;
	/* mostly short ones, as life has it */
	len = rnd(3) ? rnd(60) : rnd(value_max);
	v = malloc(len + 1);
	for (size_t i = 0; i < len; i++)
		v[i] = (uint8_t)rnd(256);
	r = f4_xattr_set(inode, names[n], v, len, flags);
	if (r == 0 && !((flags & XATTR_CREATE) && there) && !((flags & XATTR_REPLACE) && !there)) {
		forget(m, f, n);
		m->value[f][n] = v;
		m->len[f][n] = len;
		(*n_set)++;
		return true;
	}
	free(v);
	if (r == -EEXIST)
		return (flags & XATTR_CREATE) && there;
	if (r == -ENODATA)
		return (flags & XATTR_REPLACE) && !there;
	return r == -ENOSPC; /* no room in the inode's areas */
}

static bool run_shape(struct coretest *t, uint32_t value_max)
{
	struct model m = { 0 };
	int n_set = 0;
	bool ok = true;

	for (int f = 0; f < FILES; f++) {
		char name[16];

		file_name(name, f);
		ok &= (f % 3 ? coretest_create(t, name) : coretest_mkdir(t, name)) == 0;
	}
	for (int i = 0; i < 600 && ok; i++) {
		int f = (int)rnd(FILES);
		char name[16];
		struct f4_inode *inode;

		file_name(name, f);
		inode = coretest_lookup(t, name);
		ok = inode && step(inode, &m, f, value_max, &n_set);
		if (ok && i % 20 == 0)
			ok = check_file(inode, &m, f);
		f4_inode_put(inode);
		if (ok && i % 200 == 199)
			ok = coretest_close(t) == 0 && coretest_fsck(t) == 0 && coretest_open(t) == 0 &&
			     check_all(t, &m);
		if (!ok)
			fprintf(stderr, "wrong at step %d\n", i);
	}
	ok = ok && n_set > 100 && check_all(t, &m);
	for (int f = 0; f < FILES; f++)
		for (int n = 0; n < NAMES; n++)
			forget(&m, f, n);
	return ok;
}

static void random_changes(void)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct coretest t;

		seed = (uint32_t)i + 1;
		if (!coretest_start(&t, "32M", shapes[i].options)) {
			TEST_FAIL_("%s", shapes[i].options);
			continue;
		}
		if (!run_shape(&t, shapes[i].value_max)) {
			TEST_FAIL_("model and image differ: %s", shapes[i].options);
			coretest_remove(&t);
			continue;
		}
		if (!coretest_finish(&t))
			TEST_FAIL_("not clean: %s", shapes[i].options);
	}
}

static void names_and_limits(void)
{
	static const struct {
		const char *name;
		int want;
	} cases[] = {
		{ "user.", -EINVAL },
		{ "user", -EOPNOTSUPP },
		{ "system.data", -EOPNOTSUPP },
		{ "system.foo", -EOPNOTSUPP },
		{ "system.posix_acl_accessX", -EOPNOTSUPP },
		{ "other.x", -EOPNOTSUPP },
		{ "", -EOPNOTSUPP },
		{ "user.x", 0 },
	};
	struct coretest t;
	struct f4_inode *inode;
	char name[400], big[70000] = { 0 };
	size_t len;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -b 4096"));
	TEST_EQ(coretest_create(&t, "f"), 0);
	inode = coretest_lookup(&t, "f");
	TEST_REQUIRE(inode);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (f4_xattr_set(inode, cases[i].name, "v", 1, 0) != cases[i].want)
			TEST_FAIL_("%s", cases[i].name);
	}
	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[5 + 256] = '\0';
	TEST_EQ(f4_xattr_set(inode, name, "v", 1, 0), -ERANGE);
	name[5 + 255] = '\0';
	TEST_EQ(f4_xattr_set(inode, name, "v", 1, 0), 0);
	TEST_EQ(f4_xattr_get(inode, name, NULL, 0, &len), 0);
	TEST_EQ(f4_xattr_set(inode, "user.big", big, 65537, 0), -E2BIG);
	TEST_EQ(f4_xattr_set(inode, "user.big", big, 65536, 0), -ENOSPC);
	TEST_EQ(f4_xattr_get(inode, "user.big", NULL, 0, &len), -ENODATA);
	/* the longest value beside the two names: block, header, terminator, entries */
	TEST_EQ(f4_xattr_remove(inode, name), 0);
	TEST_EQ(f4_xattr_remove(inode, "user.x"), 0);
	TEST_EQ(f4_xattr_set(inode, "user.big", big, 4096 - 32 - 4 - 20, 0), 0);
	TEST_EQ(f4_xattr_set(inode, "user.big", big, 4096 - 32 - 4 - 19, 0), -ENOSPC);
	TEST_EQ(f4_xattr_set(inode, "user.x", "v", 1, 0), 0); /* the inode has room */
	inode->flags |= F4_FL_IMMUTABLE;
	TEST_EQ(f4_xattr_set(inode, "user.x", "v", 1, 0), -EPERM);
	TEST_EQ(f4_xattr_remove(inode, "user.x"), -EPERM);
	inode->flags &= ~F4_FL_IMMUTABLE;
	f4_inode_put(inode);
	TEST_CHECK(coretest_finish(&t));
}

static void options_switch_off(void)
{
	struct coretest t;
	struct f4_inode *inode;
	char list[256];
	size_t len;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4"));
	TEST_EQ(coretest_create(&t, "f"), 0);
	inode = coretest_lookup(&t, "f");
	TEST_REQUIRE(inode);
	TEST_EQ(f4_xattr_set(inode, "user.x", "1", 1, 0), 0);
	TEST_EQ(f4_xattr_set(inode, "trusted.x", "2", 1, 0), 0);
	f4_inode_put(inode);
	TEST_EQ(coretest_close(&t), 0);
	t.opt.no_user_xattr = t.opt.no_acl = true;
	TEST_REQUIRE(coretest_open(&t) == 0);
	inode = coretest_lookup(&t, "f");
	TEST_REQUIRE(inode);
	TEST_EQ(f4_xattr_get(inode, "user.x", list, sizeof(list), &len), -EOPNOTSUPP);
	TEST_EQ(f4_xattr_set(inode, "user.x", "1", 1, 0), -EOPNOTSUPP);
	TEST_EQ(f4_xattr_get(inode, "system.posix_acl_access", list, sizeof(list), &len),
		-EOPNOTSUPP);
	TEST_EQ(f4_xattr_list(inode, list, sizeof(list), &len), 0);
	TEST_EQ(len, sizeof("trusted.x"));
	f4_inode_put(inode);
	TEST_CHECK(coretest_finish(&t));
}

/* Two inodes, one block, a count of two: as the kernel leaves it. */
static bool share_block(struct coretest *t, struct f4_inode *a, struct f4_inode *b)
{
	uint64_t blk = a->file_acl, blocks = a->blocks;
	f4_le32 two = f4_mk_le32(2);
	char cmd[256];

	snprintf(cmd, sizeof(cmd),
		 "PATH=$PATH:/usr/sbin:/sbin; debugfs -w -R 'set_inode_field <%u> file_acl %llu' $IMG 2>/dev/null"
		 " && debugfs -w -R 'set_inode_field <%u> blocks %llu' $IMG 2>/dev/null",
		 b->ino, (unsigned long long)blk, b->ino, (unsigned long long)blocks);
	f4_inode_put(a);
	f4_inode_put(b);
	return coretest_close(t) == 0 && coretest_shell(t, cmd) == 0 &&
	       coretest_poke(t, blk * 4096 + 4, &two, sizeof(two)) && coretest_open(t) == 0;
}

static void shared_block_is_copied(void)
{
	char value[1000], buf[1000];
	struct coretest t;
	struct f4_inode *a, *b;
	uint64_t blk;
	size_t len;

	memset(value, 'v', sizeof(value));
	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -b 4096 -O ^metadata_csum"));
	TEST_EQ(coretest_create(&t, "a"), 0);
	TEST_EQ(coretest_create(&t, "b"), 0);
	a = coretest_lookup(&t, "a");
	b = coretest_lookup(&t, "b");
	TEST_REQUIRE(a && b);
	TEST_EQ(f4_xattr_set(a, "user.v", value, sizeof(value), 0), 0);
	blk = a->file_acl;
	TEST_REQUIRE(blk != 0 && b->file_acl == 0);
	TEST_REQUIRE(share_block(&t, a, b));
	a = coretest_lookup(&t, "a");
	b = coretest_lookup(&t, "b");
	TEST_REQUIRE(a && b);
	TEST_EQ(a->file_acl, b->file_acl);
	TEST_EQ(f4_xattr_set(b, "user.w", value, sizeof(value), 0), 0);
	TEST_CHECK(b->file_acl != blk && a->file_acl == blk);
	TEST_EQ(f4_xattr_get(a, "user.w", buf, sizeof(buf), &len), -ENODATA);
	TEST_EQ(f4_xattr_get(b, "user.v", buf, sizeof(buf), &len), 0);
	/* a's block is its own again: written in place */
	TEST_EQ(f4_xattr_set(a, "user.x", value, sizeof(value), 0), 0);
	TEST_EQ(a->file_acl, blk);
	/* the last attribute takes the block with it */
	TEST_EQ(f4_xattr_remove(a, "user.x"), 0);
	TEST_EQ(f4_xattr_remove(a, "user.v"), 0);
	TEST_EQ(a->file_acl, 0);
	TEST_EQ(a->blocks, 0);
	f4_inode_put(a);
	f4_inode_put(b);
	TEST_CHECK(coretest_finish(&t));
}

/* A shared block that names a value inode: the copy names it as well, and nobody frees it too early. */
static void shared_block_with_value_inode(void)
{
	static char value[5000], buf[5000];
	struct coretest t;
	struct f4_inode *a, *b;
	int64_t inodes;
	size_t len;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -b 4096 -I 128 -O ^metadata_csum,ea_inode"));
	TEST_EQ(coretest_create(&t, "a"), 0);
	TEST_EQ(coretest_create(&t, "b"), 0);
	inodes = atomic_load(&t.vol->free_inodes);
	a = coretest_lookup(&t, "a");
	b = coretest_lookup(&t, "b");
	TEST_REQUIRE(a && b);
	TEST_EQ(f4_xattr_set(a, "user.v", value, sizeof(value), 0), 0);
	TEST_EQ(f4_xattr_set(a, "user.w", value, sizeof(value), 0), 0);
	TEST_REQUIRE(a->file_acl != 0);
	TEST_REQUIRE(share_block(&t, a, b));
	TEST_EQ(coretest_close(&t), 0);
	TEST_EQ(coretest_fsck(&t), 0); /* what we start from is sound */
	TEST_REQUIRE(coretest_open(&t) == 0);
	a = coretest_lookup(&t, "a");
	b = coretest_lookup(&t, "b");
	TEST_REQUIRE(a && b);
	TEST_EQ(f4_xattr_remove(b, "user.v"), 0);
	TEST_CHECK(b->file_acl != a->file_acl);
	TEST_EQ(f4_xattr_set(b, "user.x", "1", 1, 0), 0);
	TEST_EQ(f4_xattr_get(a, "user.v", buf, sizeof(buf), &len), 0);
	TEST_EQ(f4_xattr_remove(a, "user.v"), 0);
	TEST_EQ(f4_xattr_remove(a, "user.w"), 0);
	TEST_EQ(f4_xattr_get(b, "user.w", buf, sizeof(buf), &len), 0);
	TEST_EQ(atomic_load(&t.vol->free_inodes), inodes - 1);
	TEST_EQ(coretest_unlink(&t, "b"), 0);
	f4_inode_put(b);
	f4_inode_put(a);
	TEST_EQ(atomic_load(&t.vol->free_inodes), inodes + 1);
	TEST_CHECK(coretest_finish(&t));
}

static void deleted_inodes_leave_nothing(void)
{
	static char value[60000];
	struct coretest t;
	int64_t blocks, inodes;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -O ea_inode"));
	TEST_EQ(coretest_create(&t, "first"), 0); /* whatever the directory needs is there now */
	TEST_EQ(f4_volume_sync(t.vol), 0);
	blocks = atomic_load(&t.vol->free_clusters);
	inodes = atomic_load(&t.vol->free_inodes);
	for (int round = 0; round < 2; round++) {
		struct f4_inode *inode;

		TEST_EQ(coretest_create(&t, "f"), 0);
		inode = coretest_lookup(&t, "f");
		TEST_REQUIRE(inode);
		TEST_EQ(f4_xattr_set(inode, "user.big1", value, sizeof(value), 0), 0);
		TEST_EQ(f4_xattr_set(inode, "user.big2", value, 2100, 0), 0);
		TEST_EQ(f4_xattr_set(inode, "user.small", value, 500, 0), 0);
		TEST_CHECK(atomic_load(&t.vol->free_inodes) <= inodes - 3);
		TEST_EQ(f4_xattr_set(inode, "user.big1", value, 50000, 0), 0);
		TEST_EQ(f4_xattr_remove(inode, "user.big2"), 0);
		if (round) /* also when it is removed as an orphan */
			TEST_EQ(coretest_unlink(&t, "f"), 0);
		f4_inode_put(inode);
		if (!round)
			TEST_EQ(coretest_unlink(&t, "f"), 0);
		TEST_EQ(f4_volume_sync(t.vol), 0);
		TEST_EQ(atomic_load(&t.vol->free_clusters), blocks);
		TEST_EQ(atomic_load(&t.vol->free_inodes), inodes);
	}
	TEST_CHECK(coretest_finish(&t));
}

/* Whoever makes up a file handle with a value's number gets nothing, and harms nothing. */
static void handles_do_not_reach_values(void)
{
	static char value[30000];
	struct f4_inode *inode, *ea = NULL;
	struct coretest t;
	uint32_t ino = 0;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -O ea_inode"));
	TEST_EQ(coretest_create(&t, "f"), 0);
	inode = coretest_lookup(&t, "f");
	TEST_REQUIRE(inode);
	TEST_EQ(f4_xattr_set(inode, "user.big", value, sizeof(value), 0), 0);
	for (ino = inode->ino + 1; ino < inode->ino + 100; ino++)
		if (f4_inode_get(t.vol, ino, F4_IGET_EA_INODE, &ea) == 0)
			break;
	TEST_REQUIRE(ea);
	TEST_EQ(f4_inode_get(t.vol, ino, F4_IGET_HANDLE, &(struct f4_inode *){ NULL }), -ESTALE);
	f4_inode_put(ea);
	f4_inode_put(inode);
	TEST_EQ(f4_volume_sync(t.vol), 0);
	coretest_crash(&t); /* now from the disk */
	TEST_REQUIRE(coretest_open(&t) == 0);
	TEST_EQ(f4_inode_get(t.vol, ino, F4_IGET_HANDLE, &(struct f4_inode *){ NULL }), -ESTALE);
	TEST_EQ(atomic_load(&t.vol->errors_seen), 0);
	TEST_EQ(f4_inode_get(t.vol, ino, 0, &(struct f4_inode *){ NULL }), -EUCLEAN);
	TEST_EQ(atomic_load(&t.vol->errors_seen), 1);
	coretest_crash(&t);
	TEST_REQUIRE(coretest_open(&t) == 0);
	TEST_CHECK(coretest_finish(&t));
}

/* A value inode that no attribute names yet when the machine stops. */
static void crash_leaves_no_value_inode(void)
{
	static char value[30000];
	struct coretest t;
	struct f4_inode *inode;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -O ea_inode"));
	TEST_EQ(coretest_create(&t, "f"), 0);
	inode = coretest_lookup(&t, "f");
	TEST_REQUIRE(inode);
	TEST_EQ(f4_xattr_set(inode, "user.big", value, sizeof(value), 0), 0);
	TEST_EQ(f4_volume_sync(t.vol), 0);
	TEST_EQ(f4_xattr_set(inode, "user.big", value, 20000, 0), 0);
	f4_inode_put(inode);
	coretest_crash(&t);
	TEST_REQUIRE(coretest_open(&t) == 0);
	inode = coretest_lookup(&t, "f");
	TEST_REQUIRE(inode);
	TEST_EQ(f4_xattr_get(inode, "user.big", value, sizeof(value), &(size_t){ 0 }), 0);
	f4_inode_put(inode);
	TEST_CHECK(coretest_finish(&t));
}

/* "u:rwx g:r-x o:--x" and one named user with a mask, in the kernel's form */
static size_t make_acl(uint8_t *buf, uint16_t u, uint32_t named, uint16_t g, uint16_t m, uint16_t o)
{
	const struct {
		uint16_t tag, perm;
		uint32_t id;
	} all[] = {
		{ 1, u, UINT32_MAX },	  { 2, 7, named },	 { 4, g, UINT32_MAX },
		{ 0x10, m, UINT32_MAX }, { 0x20, o, UINT32_MAX },
	};
	size_t len = 4;

	f4_store_le32(buf, 2);
	for (size_t i = 0; i < 5; i++) {
		if (named == UINT32_MAX && (i == 1 || i == 3))
			continue;
		f4_store_le16(buf + len, all[i].tag);
		f4_store_le16(buf + len + 2, all[i].perm);
		f4_store_le32(buf + len + 4, all[i].id);
		len += 8;
	}
	return len;
}

static void acls_and_modes(void)
{
	uint8_t acl[64], got[64];
	struct coretest t;
	struct f4_inode *f, *d;
	size_t len, got_len = 0;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4"));
	TEST_EQ(coretest_create(&t, "f"), 0);
	TEST_EQ(coretest_mkdir(&t, "d"), 0);
	f = coretest_lookup(&t, "f");
	d = coretest_lookup(&t, "d");
	TEST_REQUIRE(f && d);
	f->mode = S_IFREG | S_ISUID | 0644;
	len = make_acl(acl, 6, 1000, 4, 6, 1);
	TEST_EQ(f4_xattr_set(f, "system.posix_acl_access", acl, len, 0), 0);
	TEST_EQ(f->mode, S_IFREG | S_ISUID | 0661);
	TEST_EQ(f4_xattr_get(f, "system.posix_acl_access", got, sizeof(got), &got_len), 0);
	TEST_CHECK(got_len == len && memcmp(acl, got, len) == 0);
	/* no more than the mode says: not stored */
	len = make_acl(acl, 7, UINT32_MAX, 5, 0, 0);
	TEST_EQ(f4_xattr_set(f, "system.posix_acl_access", acl, len, 0), 0);
	TEST_EQ(f->mode, S_IFREG | S_ISUID | 0750);
	TEST_EQ(f4_xattr_get(f, "system.posix_acl_access", got, sizeof(got), &got_len), -ENODATA);
	TEST_EQ(f4_xattr_remove(f, "system.posix_acl_access"), 0);
	/* default ACLs are for directories */
	len = make_acl(acl, 7, 1000, 5, 7, 0);
	TEST_EQ(f4_xattr_set(f, "system.posix_acl_default", acl, len, 0), -EACCES);
	TEST_EQ(f4_xattr_remove(f, "system.posix_acl_default"), 0);
	TEST_EQ(f4_xattr_set(d, "system.posix_acl_default", acl, len, 0), 0);
	TEST_EQ(f4_xattr_set(d, "system.posix_acl_default", acl, len - 1, 0), -EINVAL);
	f4_inode_put(f);
	f4_inode_put(d);
	TEST_CHECK(coretest_finish(&t));
}

static void acls_are_inherited(void)
{
	uint8_t acl[64], want[64], got[64];
	struct coretest t;
	struct f4_inode *d, *f;
	size_t len, got_len = 0;
	int r = 0;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4"));
	TEST_EQ(coretest_mkdir(&t, "d"), 0);
	d = coretest_lookup(&t, "d");
	TEST_REQUIRE(d);
	len = make_acl(acl, 7, 1000, 5, 7, 4);
	TEST_EQ(f4_xattr_set(d, "system.posix_acl_default", acl, len, 0), 0);
	f = coretest_mknod(&t, "d/f", S_IFREG | 0640, &r);
	TEST_REQUIRE(f);
	TEST_EQ(f->mode, S_IFREG | 0640);
	make_acl(want, 6, 1000, 5, 4, 0);
	TEST_EQ(f4_xattr_get(f, "system.posix_acl_access", got, sizeof(got), &got_len), 0);
	TEST_CHECK(got_len == len && memcmp(want, got, len) == 0);
	TEST_EQ(f4_xattr_get(f, "system.posix_acl_default", got, sizeof(got), &got_len), -ENODATA);
	/* chmod moves the mask */
	{
		struct f4_attr attr = { .mode = 0777 };
		struct f4_cred cred = { 0 };

		TEST_EQ(f4_inode_setattr(f, F4_SET_MODE, &attr, &cred), 0);
		make_acl(want, 7, 1000, 5, 7, 7);
		TEST_EQ(f4_xattr_get(f, "system.posix_acl_access", got, sizeof(got), &got_len), 0);
		TEST_CHECK(memcmp(want, got, len) == 0);
	}
	f4_inode_put(f);
	f = coretest_mknod(&t, "d/sub", S_IFDIR | 0777, &r);
	TEST_REQUIRE(f);
	TEST_EQ(f->mode, S_IFDIR | 0774);
	TEST_EQ(f4_xattr_get(f, "system.posix_acl_default", got, sizeof(got), &got_len), 0);
	TEST_CHECK(got_len == len && memcmp(acl, got, len) == 0);
	f4_inode_put(f);
	f4_inode_put(d);
	TEST_CHECK(coretest_finish(&t));
}

/* Damage is an error of that inode, not of the process; the sanitizers watch. */
static void damage_is_refused(void)
{
	static char value[2000], buf[4096];
	struct coretest t;
	struct f4_inode *f;
	uint64_t blk, body;
	size_t len;

	TEST_REQUIRE(coretest_start(&t, "16M", "-t ext4 -b 4096 -O ^metadata_csum,^has_journal"));
	TEST_EQ(coretest_create(&t, "f"), 0);
	f = coretest_lookup(&t, "f");
	TEST_REQUIRE(f);
	TEST_EQ(f4_xattr_set(f, "user.in", "1", 1, 0), 0);
	TEST_EQ(f4_xattr_set(f, "user.out", value, sizeof(value), 0), 0);
	blk = f->file_acl;
	body = f->table_buf->blk * 4096 + f->table_off + 128 + f->extra_isize;
	f4_inode_put(f);
	TEST_EQ(coretest_close(&t), 0);
	for (int i = 0; i < 300; i++) {
		uint64_t pos = i % 2 ? blk * 4096 + rnd(80) : body + 4 + rnd(40);
		uint8_t was, now = (uint8_t)rnd(256);

		TEST_REQUIRE(coretest_peek(&t, pos, &was, 1));
		TEST_REQUIRE(coretest_poke(&t, pos, &now, 1));
		TEST_REQUIRE(coretest_open(&t) == 0);
		f = coretest_lookup(&t, "f");
		if (f) {
			(void)f4_xattr_list(f, buf, sizeof(buf), &len);
			(void)f4_xattr_get(f, "user.in", buf, sizeof(buf), &len);
			(void)f4_xattr_get(f, "user.out", buf, sizeof(buf), &len);
			(void)f4_xattr_set(f, "user.new", value, rnd(300), 0);
			(void)f4_xattr_remove(f, "user.new");
		}
		f4_inode_put(f);
		coretest_crash(&t);
		TEST_REQUIRE(coretest_poke(&t, pos, &was, 1));
	}
	coretest_remove(&t);
}

int main(void)
{
	TEST_RUN(random_changes);
	TEST_RUN(names_and_limits);
	TEST_RUN(options_switch_off);
	TEST_RUN(shared_block_is_copied);
	TEST_RUN(shared_block_with_value_inode);
	TEST_RUN(deleted_inodes_leave_nothing);
	TEST_RUN(handles_do_not_reach_values);
	TEST_RUN(crash_leaves_no_value_inode);
	TEST_RUN(acls_and_modes);
	TEST_RUN(acls_are_inherited);
	TEST_RUN(damage_is_refused);
	return test_done();
}
