/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzzer: a damaged image is opened and all of it is looked at, by name and by number. */
#include "tests/lib/fuzz_main.h"
#include "tests/lib/fuzz_volume.h"

#define DIRS_MAX  64u
#define NAMES_MAX 4096u

struct walk {
	struct f4_volume *vol;
	uint32_t dir[DIRS_MAX], n_dirs, n_names;
};

struct emit {
	struct walk *w;
	char name[16][256];
	size_t len[16], n;
};

static int emit(void *arg, const char *name, size_t len, uint32_t ino, uint8_t type, uint64_t next)
{
	struct emit *e = arg;
	struct walk *w = e->w;

	(void)type;
	(void)next;
	if (len > 255)
		abort(); /* no name is longer */
	if (e->n < 16) {
		memcpy(e->name[e->n], name, len);
		e->len[e->n++] = len;
	}
	if (w->n_dirs < DIRS_MAX && (len > 2 || name[0] != '.'))
		w->dir[w->n_dirs++] = ino;
	return ++w->n_names > NAMES_MAX;
}

static void look_at_dir(struct walk *w, struct f4_inode *dir)
{
	struct emit e = { .w = w };
	uint32_t up;

	f4_inode_rdlock(dir);
	(void)f4_dir_iterate(dir, 0, emit, &e);
	f4_inode_unlock(dir);
	(void)f4_op_parent(dir, &up);
	for (size_t i = 0; i < e.n; i++) {
		struct f4_inode *child;

		if (f4_op_lookup(dir, e.name[i], e.len[i], &child) == 0)
			f4_inode_put(child);
	}
}

static void look_at_xattrs(struct f4_inode *inode)
{
	char names[4096], value[4096];
	size_t len = 0, got;

	if (f4_xattr_list(inode, names, sizeof(names), &len) < 0)
		return;
	if (len > sizeof(names))
		abort();
	for (size_t at = 0; at < len; at += strlen(names + at) + 1)
		(void)f4_xattr_get(inode, names + at, value, sizeof(value), &got);
}

static void look_at(struct walk *w, struct f4_inode *inode)
{
	struct f4_attr attr;
	uint8_t buf[8192];
	uint64_t pos, blocks;
	size_t got = 0;

	f4_inode_attr(inode, &attr);
	look_at_xattrs(inode);
	if (f4_is_dir(inode)) {
		look_at_dir(w, inode);
	} else if (f4_is_lnk(inode)) {
		(void)f4_file_readlink(inode, (char *)buf, sizeof(buf), &got);
	} else if (f4_is_reg(inode)) {
		(void)f4_file_read(inode, buf, sizeof(buf), 0, &got);
		if (got > sizeof(buf))
			abort();
		(void)f4_file_read(inode, buf, sizeof(buf), attr.size / 2, &got);
		(void)f4_file_seek(inode, 0, SEEK_HOLE, &pos);
		(void)f4_file_seek(inode, 0, SEEK_DATA, &pos);
	}
	f4_inode_rdlock(inode);
	if (!f4_is_inline(inode) && (f4_is_reg(inode) || f4_is_dir(inode)))
		(void)f4_map_check(inode, &blocks);
	f4_inode_unlock(inode);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fv_input in = { data, size };
	struct walk w = { .vol = fv_open(&in) };
	struct f4_statfs st;

	if (!w.vol)
		return 0;
	w.dir[w.n_dirs++] = F4_ROOT_INO;
	for (uint32_t i = 0; i < w.n_dirs + 40; i++) {
		uint32_t ino = i < w.n_dirs ? w.dir[i] : i - w.n_dirs + 3;
		struct f4_inode *inode;

		if (f4_inode_get(w.vol, ino, 0, &inode) < 0)
			continue;
		look_at(&w, inode);
		f4_inode_put(inode);
	}
	f4_volume_statfs(w.vol, &st);
	(void)f4_volume_close(w.vol);
	(void)alarm(0);
	return 0;
}
