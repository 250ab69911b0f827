/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests on names against a model: thousands of random ones on many shapes of image, each with
 * the result that the model predicts, the whole tree compared now and then, e2fsck at the end.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/lib/check.h"
#include "tests/unit/dirtest.h"

#define NOREPLACE 1u
#define EXCHANGE  2u
#define WHITEOUT  4u

static struct dirtest t;
static const struct f4_cred root_cred = { .umask = 022 };

/* --- the model ------------------------------------------------------------------------------ */

#define NODES	600
#define ENTRIES 600

struct node {
	uint32_t ino; /* 0: not in use */
	uint16_t type;
	uint32_t links;
	int parent; /* of a directory */
};
struct entry {
	int dir, node; /* node -1: not in use */
	char name[256];
};

static struct node nodes[NODES];
static struct entry entries[ENTRIES];

static void model_reset(void)
{
	memset(nodes, 0, sizeof(nodes));
	for (int i = 0; i < ENTRIES; i++)
		entries[i].node = -1;
	nodes[0] = (struct node){ .ino = F4_ROOT_INO, .type = S_IFDIR, .links = 3 };
	nodes[1] = (struct node){ .ino = 11, .type = S_IFDIR, .links = 2 };
	entries[0] = (struct entry){ .dir = 0, .node = 1, .name = "lost+found" };
}

static struct entry *model_find(int dir, const char *name)
{
	for (int i = 0; i < ENTRIES; i++) {
		if (entries[i].node >= 0 && entries[i].dir == dir && !strcmp(entries[i].name, name))
			return &entries[i];
	}
	return NULL;
}

static struct entry *model_add(int dir, const char *name, int node)
{
	for (int i = 0; i < ENTRIES; i++) {
		if (entries[i].node >= 0)
			continue;
		entries[i].dir = dir;
		entries[i].node = node;
		snprintf(entries[i].name, sizeof(entries[i].name), "%s", name);
		return &entries[i];
	}
	return NULL;
}

static int model_new(uint32_t ino, uint16_t type, int parent)
{
	for (int i = 0; i < NODES; i++) {
		if (nodes[i].ino)
			continue;
		nodes[i] = (struct node){ .ino = ino, .type = type, .parent = parent,
					  .links = type == S_IFDIR ? 2 : 1 };
		return i;
	}
	return -1;
}

static bool model_full(void)
{
	int n = 0, e = 0;

	for (int i = 0; i < NODES; i++)
		n += nodes[i].ino == 0;
	for (int i = 0; i < ENTRIES; i++)
		e += entries[i].node < 0;
	return n < 3 || e < 3;
}

static bool model_is_empty(int dir)
{
	for (int i = 0; i < ENTRIES; i++) {
		if (entries[i].node >= 0 && entries[i].dir == dir)
			return false;
	}
	return true;
}

static bool model_is_below(int dir, int top)
{
	for (; dir != 0; dir = nodes[dir].parent) {
		if (dir == top)
			return true;
	}
	return top == 0;
}

static void model_drop(int node)
{
	if (nodes[node].type == S_IFDIR || --nodes[node].links == 0)
		nodes[node].ino = 0;
}

static unsigned int seed;

static int rnd(int n)
{
	return rand_r(&seed) % n;
}

static int random_dir(void)
{
	for (;;) {
		int i = rnd(2) ? rnd(4) : rnd(NODES);

		if (nodes[i].ino && nodes[i].type == S_IFDIR && i != 1)
			return i;
	}
}

static const char *random_name(char buf[256])
{
	int k = rnd(24);
	size_t len = k < 16 ? (size_t)k + 1 : k < 20 ? 40 : 255;

	memset(buf, 'a' + k, len);
	snprintf(buf + len - (len > 3), 4, "%d", rnd(3));
	buf[len] = '\0';
	return buf;
}

/* --- one request each, with its prediction -------------------------------------------------- */

static void do_create(int dir, const char *name)
{
	static const uint16_t types[] = {S_IFREG, S_IFREG, S_IFDIR, S_IFDIR,
					 S_IFLNK, S_IFIFO, S_IFCHR};
	uint16_t type = types[rnd((int)F4_ARRAY_LEN(types))];
	struct f4_inode *d = dt_get(&t, nodes[dir].ino);
	int want = model_find(dir, name) ? -EEXIST : 0;
	uint32_t ino = 0;

	TEST_EQ(dt_create(d, name, type | 0755u, &ino), want);
	f4_inode_put(d);
	if (want < 0)
		return;
	model_add(dir, name, model_new(ino, type, dir));
	if (type == S_IFDIR)
		nodes[dir].links++;
}

static void do_link(int dir, const char *name)
{
	struct f4_inode *d, *f;
	int node, want;

	do
		node = rnd(NODES);
	while (!nodes[node].ino);
	want = nodes[node].type == S_IFDIR ? -EPERM : model_find(dir, name) ? -EEXIST : 0;
	d = dt_get(&t, nodes[dir].ino);
	f = dt_get(&t, nodes[node].ino);
	TEST_EQ(f4_op_link(f, d, name, strlen(name)), want);
	f4_inode_put(f);
	f4_inode_put(d);
	if (want < 0)
		return;
	nodes[node].links++;
	model_add(dir, name, node);
}

static void do_remove(int dir, const char *name, bool rmdir)
{
	struct entry *e = model_find(dir, name);
	struct f4_inode *d = dt_get(&t, nodes[dir].ino);
	bool is_dir = e && nodes[e->node].type == S_IFDIR;
	int want = !e ? -ENOENT : 0, r;

	if (e && rmdir)
		want = !is_dir ? -ENOTDIR : model_is_empty(e->node) ? 0 : -ENOTEMPTY;
	else if (e && is_dir)
		want = -EISDIR;
	r = rmdir ? f4_op_rmdir(d, name, strlen(name)) : f4_op_unlink(d, name, strlen(name));
	TEST_EQ(r, want);
	f4_inode_put(d);
	if (want < 0)
		return;
	if (is_dir)
		nodes[dir].links--;
	model_drop(e->node);
	e->node = -1;
}

static int predict_rename(int from, struct entry *a, int to, struct entry *b, uint32_t flags)
{
	bool a_dir, b_dir;

	if (!a)
		return -ENOENT;
	a_dir = nodes[a->node].type == S_IFDIR;
	b_dir = b && nodes[b->node].type == S_IFDIR;
	if (!b && (flags & EXCHANGE))
		return -ENOENT;
	if (a_dir && from != to && model_is_below(to, a->node))
		return -EINVAL;
	if (b_dir && (flags & EXCHANGE) && from != to && model_is_below(from, b->node))
		return -EINVAL;
	if (b && (flags & NOREPLACE))
		return -EEXIST;
	if (!b || (flags & EXCHANGE) || a->node == b->node)
		return 0;
	if (b_dir != a_dir)
		return b_dir ? -EISDIR : -ENOTDIR;
	return b_dir && !model_is_empty(b->node) ? -ENOTEMPTY : 0;
}

static void model_exchange(struct entry *a, struct entry *b)
{
	int x = a->node, y = b->node;
	bool a_dir = nodes[x].type == S_IFDIR, b_dir = nodes[y].type == S_IFDIR;

	if (a_dir) {
		nodes[a->dir].links--;
		nodes[b->dir].links++;
		nodes[x].parent = b->dir;
	}
	if (b_dir) {
		nodes[b->dir].links--;
		nodes[a->dir].links++;
		nodes[y].parent = a->dir;
	}
	a->node = y;
	b->node = x;
}

static void model_move(int from, struct entry *a, int to, struct entry *b, const char *new_name,
		       uint32_t flags)
{
	int node = a->node, old_dir = a->dir;
	char old_name[256];

	memcpy(old_name, a->name, sizeof(old_name));
	if (b) {
		if (nodes[b->node].type == S_IFDIR)
			nodes[to].links--;
		model_drop(b->node);
		b->node = -1;
	}
	a->node = -1;
	model_add(to, new_name, node);
	if (nodes[node].type == S_IFDIR) {
		nodes[from].links--;
		nodes[to].links++;
		nodes[node].parent = to;
	}
	if (flags & WHITEOUT) {
		struct f4_inode *d = dt_get(&t, nodes[from].ino), *w = NULL;

		TEST_EQ(f4_op_lookup(d, old_name, strlen(old_name), &w), 0);
		if (w) {
			TEST_EQ(w->mode, S_IFCHR);
			model_add(old_dir, old_name, model_new(w->ino, S_IFCHR, 0));
		}
		f4_inode_put(w);
		f4_inode_put(d);
	}
}

static void do_rename(int from, const char *name, int to, const char *new_name)
{
	static const uint32_t all_flags[] = { 0, 0, 0, 0, NOREPLACE, EXCHANGE, EXCHANGE, WHITEOUT };
	uint32_t flags = all_flags[rnd((int)F4_ARRAY_LEN(all_flags))];
	struct entry *a = model_find(from, name), *b = model_find(to, new_name);
	struct f4_inode *d, *e;
	int want = predict_rename(from, a, to, b, flags), r;

	d = dt_get(&t, nodes[from].ino);
	e = dt_get(&t, nodes[to].ino);
	r = f4_op_rename(d, name, strlen(name), e, new_name, strlen(new_name), flags, &root_cred);
	if (r != want)
		fprintf(stderr, "rename %d/%.20s to %d/%.20s flags %u\n", from, name, to, new_name,
			flags);
	TEST_EQ(r, want);
	f4_inode_put(d);
	f4_inode_put(e);
	if (r != 0 || want != 0 || (b && a->node == b->node))
		return;
	if (flags & EXCHANGE)
		model_exchange(a, b);
	else
		model_move(from, a, to, b, new_name, flags);
}

static void random_request(void)
{
	char name[256], other[256];
	int dir = random_dir(), k = rnd(100);

	random_name(name);
	if (k < 35 && !model_full())
		do_create(dir, name);
	else if (k < 45 && !model_full())
		do_link(dir, name);
	else if (k < 60)
		do_remove(dir, name, false);
	else if (k < 70)
		do_remove(dir, name, true);
	else if (!model_full())
		do_rename(dir, name, random_dir(), random_name(other));
}

/* --- the tree against the model ------------------------------------------------------------- */

static void compare_dir(int dir, int piece)
{
	struct f4_inode *d = dt_get(&t, nodes[dir].ino);
	struct dt_name *list = calloc((size_t)piece, sizeof(*list));
	int shown = 0, expected = 0, got;
	uint32_t parent = 0;
	uint64_t cookie = 0;

	while ((got = dt_read(d, &cookie, list, piece)) > 0) {
		for (int k = 0; k < got; k++) {
			struct entry *e = model_find(dir, list[k].name);

			if (list[k].name[0] == '.')
				continue;
			shown++;
			TEST_CHECK(e && nodes[e->node].ino == list[k].ino);
			if (e && f4_has_incompat(t.vol, F4_INCOMPAT_FILETYPE))
				TEST_EQ(list[k].type,
					f4_dir_mode_to_type(t.vol, nodes[e->node].type));
		}
	}
	TEST_EQ(got, 0);
	for (int i = 0; i < ENTRIES; i++)
		expected += entries[i].node >= 0 && entries[i].dir == dir;
	TEST_EQ(shown, expected);
	TEST_EQ(f4_op_parent(d, &parent), 0);
	TEST_EQ(parent, nodes[dir ? nodes[dir].parent : 0].ino);
	f4_inode_put(d);
	free(list);
}

static void compare(void)
{
	for (int i = 0; i < NODES; i++) {
		struct f4_attr a;
		struct f4_inode *inode;

		if (!nodes[i].ino)
			continue;
		inode = dt_get(&t, nodes[i].ino);
		f4_inode_attr(inode, &a);
		TEST_EQ(a.links, nodes[i].links);
		TEST_EQ(a.mode & S_IFMT, nodes[i].type);
		f4_inode_put(inode);
		if (nodes[i].type == S_IFDIR)
			compare_dir(i, 1 + rnd(9));
	}
	for (int i = 0; i < ENTRIES; i++) {
		struct f4_inode *d, *found = NULL;

		if (entries[i].node < 0)
			continue;
		d = dt_get(&t, nodes[entries[i].dir].ino);
		TEST_EQ(f4_op_lookup(d, entries[i].name, strlen(entries[i].name), &found), 0);
		TEST_CHECK(found && found->ino == nodes[entries[i].node].ino);
		f4_inode_put(found);
		f4_inode_put(d);
	}
}

static const struct {
	const char *mkfs, *size, *tune;
} shapes[] = {
	{ "-t ext4", "32M", NULL },
	{ "-t ext4 -b 1024", "16M", NULL },
	{ "-t ext4 -b 1024 -O ^has_journal", "16M", NULL },
	{ "-t ext4 -b 1024 -O ^metadata_csum,^64bit,^orphan_file", "16M", NULL },
	{ "-t ext4 -b 1024 -O inline_data -I 256", "16M", NULL },
	{ "-t ext4 -b 4096 -O inline_data -I 1024", "32M", NULL },
	{ "-t ext4 -b 1024 -O inline_data,^dir_index -I 256", "16M", NULL },
	{ "-t ext2 -b 1024 -I 128", "16M", NULL },
	{ "-t ext2 -b 1024 -O ^dir_index,^filetype", "16M", NULL },
	{ "-t ext3 -b 2048", "32M", NULL },
	{ "-t ext4 -O bigalloc -C 16384", "64M", NULL },
	{ "-t ext4 -b 65536", "64M", NULL },
	{ "-t ext4 -b 1024 -O large_dir", "16M", NULL },
};

static void run_shape(size_t i, int requests)
{
	int failed = test_case_failed_;

	seed = (unsigned int)i * 977 + 5;
	dt_mkfs(&t, shapes[i].mkfs, shapes[i].size, shapes[i].tune);
	dt_open(&t);
	model_reset();
	nodes[1].ino = 11;
	for (int k = 0; k < requests; k++) {
		random_request();
		if (k % 500 == 499)
			compare();
		if (k % 1500 == 1499) {
			TEST_EQ(dt_close(&t), 0);
			TEST_EQ(dt_fsck(&t), 0);
			dt_open(&t);
			compare();
		}
		if (test_case_failed_ && !failed) {
			fprintf(stderr, "shape \"%s\", request %d\n", shapes[i].mkfs, k);
			break;
		}
	}
	compare();
	TEST_EQ(dt_close(&t), 0);
	TEST_EQ(dt_fsck(&t), 0);
	TEST_STREQ(t.core.last_line, "");
	dt_done(&t);
}

static void random_requests(void)
{
	for (size_t i = 0; i < F4_ARRAY_LEN(shapes); i++)
		run_shape(i, 3000);
}

int main(void)
{
	TEST_RUN(random_requests);
	return test_done();
}
