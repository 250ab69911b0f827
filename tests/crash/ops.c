/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random requests, and the mixes of them that make the workloads. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/crash/lab.h"

#define MIX                                                                                       \
	{ [OP_CREATE] = 12, [OP_MKDIR] = 3, [OP_SYMLINK] = 2, [OP_MKNOD] = 1, [OP_LINK] = 4,      \
	  [OP_UNLINK] = 6, [OP_RMDIR] = 1, [OP_RENAME] = 6, [OP_EXCHANGE] = 2, [OP_APPEND] = 14,  \
	  [OP_OVERWRITE] = 6, [OP_SPARSE] = 3, [OP_BIGWRITE] = 1, [OP_TRUNCATE] = 4,              \
	  [OP_EXTEND] = 2, [OP_PUNCH] = 3, [OP_ZERO] = 2, [OP_FALLOC] = 2, [OP_SETXATTR] = 4,     \
	  [OP_DELXATTR] = 2, [OP_CHMOD] = 2, [OP_FSYNC] = 5, [OP_FDATASYNC] = 2, [OP_SYNC] = 1,   \
	  [OP_COMMIT] = 4, [OP_HOLD] = 3, [OP_DROP] = 3, [OP_TMPFILE] = 1, [OP_LINKTMP] = 1 }

const struct workload workloads[] = {
	{ "mix", 12, 0, 5, MIX },
	{ "create", 60, 0, 4,
	  { [OP_CREATE] = 20, [OP_MKDIR] = 4, [OP_UNLINK] = 4, [OP_APPEND] = 4, [OP_FSYNC] = 2,
	    [OP_COMMIT] = 2, [OP_SYMLINK] = 2, [OP_MKNOD] = 2 } },
	{ "rename", 10, 0, 6,
	  { [OP_CREATE] = 10, [OP_MKDIR] = 4, [OP_RENAME] = 24, [OP_EXCHANGE] = 8, [OP_APPEND] = 6,
	    [OP_FSYNC] = 4, [OP_COMMIT] = 3, [OP_RMDIR] = 2 } },
	{ "links", 10, 0, 4,
	  { [OP_CREATE] = 8, [OP_LINK] = 20, [OP_UNLINK] = 16, [OP_RENAME] = 4, [OP_APPEND] = 6,
	    [OP_COMMIT] = 3, [OP_FSYNC] = 3, [OP_HOLD] = 3, [OP_DROP] = 3 } },
	{ "htree", 4000, 230, 1,
	  { [OP_CREATE] = 30, [OP_UNLINK] = 3, [OP_RENAME] = 3, [OP_LINK] = 6, [OP_COMMIT] = 2,
	    [OP_FSYNC] = 1, [OP_SYMLINK] = 4 } },
	{ "truncate", 6, 0, 2,
	  { [OP_CREATE] = 6, [OP_APPEND] = 14, [OP_BIGWRITE] = 5, [OP_TRUNCATE] = 14,
	    [OP_EXTEND] = 6, [OP_SPARSE] = 6, [OP_UNLINK] = 3, [OP_COMMIT] = 4, [OP_FSYNC] = 3 } },
	{ "punch", 5, 0, 2,
	  { [OP_CREATE] = 5, [OP_APPEND] = 10, [OP_BIGWRITE] = 4, [OP_PUNCH] = 14, [OP_ZERO] = 8,
	    [OP_FALLOC] = 10, [OP_OVERWRITE] = 10, [OP_COMMIT] = 4, [OP_FSYNC] = 3 } },
	{ "append", 8, 0, 2,
	  { [OP_CREATE] = 4, [OP_APPEND] = 30, [OP_FSYNC] = 8, [OP_FDATASYNC] = 6,
	    [OP_COMMIT] = 3 } },
	{ "overwrite", 5, 0, 1,
	  { [OP_CREATE] = 4, [OP_APPEND] = 8, [OP_OVERWRITE] = 24, [OP_FSYNC] = 4,
	    [OP_FDATASYNC] = 6, [OP_COMMIT] = 3 } },
	{ "xattr", 8, 0, 3,
	  { [OP_CREATE] = 8, [OP_MKDIR] = 2, [OP_SETXATTR] = 24, [OP_DELXATTR] = 10, [OP_CHMOD] = 4,
	    [OP_UNLINK] = 4, [OP_LINK] = 2, [OP_FSYNC] = 4, [OP_COMMIT] = 4 } },
	{ "orphans", 8, 0, 2,
	  { [OP_CREATE] = 10, [OP_APPEND] = 10, [OP_BIGWRITE] = 2, [OP_HOLD] = 12, [OP_UNLINK] = 14,
	    [OP_DROP] = 8, [OP_TMPFILE] = 6, [OP_LINKTMP] = 4, [OP_TRUNCATE] = 4, [OP_COMMIT] = 5,
	    [OP_FSYNC] = 3 } },
	{ "churn", 4, 0, 2, /* blocks change hands between data and metadata */
	  { [OP_CREATE] = 10, [OP_MKDIR] = 8, [OP_RMDIR] = 8, [OP_UNLINK] = 10, [OP_APPEND] = 10,
	    [OP_BIGWRITE] = 3, [OP_SYMLINK] = 6, [OP_SETXATTR] = 6, [OP_COMMIT] = 8,
	    [OP_FSYNC] = 4 } },
	{ "commits", 4000, 230, 1, /* round the log, with blocks that change once and never again */
	  { [OP_CREATE] = 24, [OP_UNLINK] = 1, [OP_LINK] = 3, [OP_COMMIT] = 20 } },
};
const size_t n_workloads = sizeof(workloads) / sizeof(workloads[0]);

const struct shape shapes[] = {
	{ .name = "default", .size = "16M", .mkfs = "-t ext4 -b 4096 -J size=4" },
	{ .name = "1k", .size = "16M", .mkfs = "-t ext4 -b 1024 -J size=1" },
	{ .name = "ext3", .size = "16M", .mkfs = "-t ext3 -b 1024 -J size=1 -I 128" },
	{ .name = "inline", .size = "16M", .mkfs = "-t ext4 -b 2048 -J size=2 -O inline_data" },
	{ .name = "orphan_file", .size = "16M", .mkfs = "-t ext4 -b 1024 -J size=1 -O orphan_file" },
	{ .name = "bigalloc", .size = "32M", .mkfs = "-t ext4 -b 1024 -J size=1 -O bigalloc -C 4096" },
	{ .name = "nocsum", .size = "16M",
	  .mkfs = "-t ext4 -b 1024 -J size=1 -O ^metadata_csum,^64bit,uninit_bg" },
	{ .name = "data=journal", .size = "16M", .mkfs = "-t ext4 -b 1024 -J size=2",
	  .data_journal = true },
	{ .name = "full", .size = "8M", .mkfs = "-t ext4 -b 1024 -J size=1 -m 0", .fill = true },
	{ .name = "small groups", .size = "16M",
	  .mkfs = "-t ext4 -b 1024 -g 1024 -N 2048 -J size=1 -O meta_bg,^resize_inode" },
	{ .name = "quota", .size = "16M",
	  .mkfs = "-t ext4 -b 1024 -J size=1 -O quota,project"
		  " -E quotatype=usrquota:grpquota:prjquota" },
};
const size_t n_shapes = sizeof(shapes) / sizeof(shapes[0]);

uint32_t lab_rnd(struct lab *l, uint32_t n)
{
	l->rnd = l->rnd * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(l->rnd >> 33) % n;
}

/* --- picking --- */

static void pick_name(struct lab *l, char name[256])
{
	int n = snprintf(name, 256, "n%u", lab_rnd(l, l->load->names));

	if (l->load->name_len) {
		memset(name + n, 'x', l->load->name_len - (uint32_t)n);
		name[l->load->name_len] = 0;
	}
}

static struct f4_inode *root(struct lab *l)
{
	struct f4_inode *dir = NULL;

	(void)f4_inode_get(l->vol, F4_ROOT_INO, 0, &dir); /* NULL: seen by the caller */
	return dir;
}

/* Some directory: the root, or what is called so in a chain from it. */
static struct f4_inode *pick_dir(struct lab *l)
{
	struct f4_inode *dir = root(l);
	uint32_t depth = lab_rnd(l, l->load->dirs);

	while (dir && depth-- > 0) {
		struct f4_inode *next = NULL;
		char name[256];

		pick_name(l, name);
		if (f4_op_lookup(dir, name, strlen(name), &next) < 0)
			break;
		if (!f4_is_dir(next)) {
			f4_inode_put(next);
			break;
		}
		f4_inode_put(dir);
		dir = next;
	}
	return dir;
}

/* A regular file: one that is held open, or one with a name; NULL: none found. */
static struct f4_inode *pick_file(struct lab *l)
{
	if (lab_rnd(l, 5) == 0) {
		struct f4_inode *h = l->held[lab_rnd(l, MAX_HELD)];

		if (h)
			f4_inode_ref(h);
		if (h)
			return h;
	}
	for (int i = 0; i < 8; i++) {
		f4_auto_inode *dir = pick_dir(l);
		struct f4_inode *f = NULL;
		char name[256];

		pick_name(l, name);
		if (!dir || f4_op_lookup(dir, name, strlen(name), &f) < 0)
			continue;
		if (f4_is_reg(f))
			return f;
		f4_inode_put(f);
	}
	return NULL;
}

/* Any inode with a name. */
static struct f4_inode *pick_any(struct lab *l)
{
	f4_auto_inode *dir = pick_dir(l);
	struct f4_inode *f = NULL;
	char name[256];

	pick_name(l, name);
	return dir && f4_op_lookup(dir, name, strlen(name), &f) == 0 ? f : NULL;
}

/* Answers that a request may get in the normal course of things. */
static int fine(int r)
{
	switch (r) {
	case -ENOENT: case -EEXIST: case -ENOTDIR: case -EISDIR: case -ENOTEMPTY: case -ENOSPC:
	case -EINVAL: case -ENODATA: case -EMLINK: case -ELOOP: case -E2BIG: case -EOPNOTSUPP:
	case -ERANGE: case -EFBIG:
		return 0;
	default:
		return r;
	}
}

/* --- names --- */

static int op_make(struct lab *l, uint16_t mode, uint32_t rdev, const char *target)
{
	struct f4_op_new spec = { .mode = mode, .rdev = rdev, .target = target };
	f4_auto_inode *dir = pick_dir(l), *made = NULL;
	char name[256];
	int r;

	pick_name(l, name);
	if (!dir)
		return -EIO;
	r = f4_op_create(dir, name, strlen(name), &spec, &made);
	if (r == 0)
		l->op_ino = made->ino;
	return r;
}

static int op_symlink(struct lab *l)
{
	char target[2000];
	uint32_t len = 1 + lab_rnd(l, lab_rnd(l, 2) ? 58 : 900);

	memset(target, 'a' + (char)(l->op % 26), len);
	target[len] = 0;
	return op_make(l, S_IFLNK | 0777, 0, target);
}

static int op_link(struct lab *l)
{
	f4_auto_inode *f = pick_file(l), *dir = pick_dir(l);
	char name[256];

	pick_name(l, name);
	/* An unlinked file that is still held may not come back, but for O_TMPFILE: see OP_LINKTMP. */
	if (!f || !dir || f->links == 0)
		return 0;
	l->op_ino = f->ino;
	return f4_op_link(f, dir, name, strlen(name));
}

static int op_unlink(struct lab *l, bool rmdir)
{
	f4_auto_inode *dir = pick_dir(l);
	char name[256];

	pick_name(l, name);
	if (!dir)
		return -EIO;
	return rmdir ? f4_op_rmdir(dir, name, strlen(name)) : f4_op_unlink(dir, name, strlen(name));
}

/* Would @to, or what it lies in, lie in @moved? The kernel asks that before it asks us. */
static bool is_below(struct lab *l, struct f4_inode *to, const struct f4_inode *moved)
{
	uint32_t ino = to->ino;

	for (int i = 0; i < 64 && ino != F4_ROOT_INO; i++) {
		f4_auto_inode *d = NULL;
		int r;

		if (ino == moved->ino)
			return true;
		if (f4_inode_get(l->vol, ino, 0, &d) < 0)
			return true;
		f4_inode_rdlock(d);
		r = f4_op_parent(d, &ino);
		f4_inode_unlock(d);
		if (r < 0)
			return true;
	}
	return moved->ino == F4_ROOT_INO;
}

static int op_rename(struct lab *l, uint32_t flags)
{
	const struct f4_cred cred = { 0 };
	f4_auto_inode *from = pick_dir(l), *to = pick_dir(l), *a = NULL, *b = NULL;
	char name[256], name2[256];

	pick_name(l, name);
	pick_name(l, name2);
	if (!from || !to)
		return -EIO;
	if (flags == 0 && lab_rnd(l, 4) == 0)
		flags = RENAME_NOREPLACE;
	if (f4_op_lookup(from, name, strlen(name), &a) < 0)
		return 0;
	(void)f4_op_lookup(to, name2, strlen(name2), &b); /* may be absent */
	if (is_below(l, to, a) || (b && f4_is_dir(b) && is_below(l, from, b)))
		return 0;
	l->op_ino = a->ino;
	return f4_op_rename(from, name, strlen(name), to, name2, strlen(name2), flags, &cred);
}

/* --- content --- */

static int do_write(struct lab *l, struct f4_inode *f, uint64_t pos, uint64_t len)
{
	const struct f4_cred cred = { 0 };
	uint8_t *buf;
	size_t done = 0;
	int r;

	pos = pos / UNIT * UNIT;
	if (pos + len < f->size)
		len = (len + UNIT - 1) / UNIT * UNIT;
	buf = malloc(len ? len : 1);
	model_fill(buf, l->op, f->ino, f->generation, pos, len);
	l->op_ino = f->ino;
	r = f4_file_write(f, buf, len, pos, 0, &cred, &done);
	free(buf);
	if (r == 0)
		model_write(l->model, l->op, f->ino, f->generation, pos, done);
	return r;
}

static int op_write(struct lab *l, enum op op)
{
	f4_auto_inode *f = pick_file(l);
	uint64_t bs = l->vol->block_size, len = 1 + lab_rnd(l, lab_rnd(l, 3) ? 3000 : 20000);
	uint64_t pos;
	int r;

	if (!f)
		return 0;
	/* An append that begins inside a piece would write over what is there: from its start. */
	pos = f->size;
	if (op == OP_OVERWRITE)
		pos = f->size ? lab_rnd(l, (uint32_t)f->size) : 0;
	else if (op == OP_SPARSE)
		pos = f->size + lab_rnd(l, 40) * bs;
	else if (op == OP_BIGWRITE)
		len = 60000 + lab_rnd(l, 300000);
	if (pos > 4000000)
		return 0;
	if (op == OP_OVERWRITE && pos / UNIT * UNIT + len > f->size)
		len = f->size - pos / UNIT * UNIT;
	/* Whole pieces of what is there already. */
	if (pos / UNIT * UNIT + len < f->size)
		len = f->size - pos / UNIT * UNIT < len + UNIT ? f->size - pos / UNIT * UNIT : len;
	if (len == 0)
		return 0;
	r = do_write(l, f, pos, len);
	/*
	 * What fills the last block and takes few new ones is one handle. Not so where the disk is full,
	 * or where inline content has to move out first.
	 */
	if (op == OP_APPEND && len <= 3 * bs && !l->shape->fill &&
	    !f4_has_incompat(l->vol, F4_INCOMPAT_INLINE_DATA))
		l->op_ino = 0;
	return r;
}

static int op_truncate(struct lab *l, bool extend)
{
	f4_auto_inode *f = pick_file(l);
	uint64_t size;
	int r;

	if (!f)
		return 0;
	size = extend ? f->size + lab_rnd(l, 30000) : f->size ? lab_rnd(l, (uint32_t)f->size) : 0;
	if (size > 4000000)
		return 0;
	l->op_ino = f->ino;
	r = f4_file_truncate(f, size);
	if (r == 0)
		model_truncate(l->model, l->op, f->ino, f->generation, size);
	return r;
}

static int op_fallocate(struct lab *l, enum op op)
{
	const struct f4_cred cred = { 0 };
	f4_auto_inode *f = pick_file(l);
	uint64_t pos, len;
	int mode = 0, r;

	if (!f)
		return 0;
	pos = f->size ? lab_rnd(l, (uint32_t)f->size) / UNIT * UNIT : 0;
	len = (1 + lab_rnd(l, 40)) * (lab_rnd(l, 2) ? UNIT : l->vol->block_size);
	if (op == OP_PUNCH)
		mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	else if (op == OP_ZERO)
		mode = FALLOC_FL_ZERO_RANGE | (lab_rnd(l, 2) ? FALLOC_FL_KEEP_SIZE : 0);
	else if (lab_rnd(l, 2))
		mode = FALLOC_FL_KEEP_SIZE;
	/* An end inside a piece would cut it. */
	if (op != OP_FALLOC && (pos + len) % UNIT)
		len += UNIT - (pos + len) % UNIT;
	l->op_ino = f->ino;
	r = f4_file_fallocate(f, mode, pos, len, &cred);
	if (r == 0 && op != OP_FALLOC)
		model_zero(l->model, l->op, f->ino, f->generation, pos, len);
	else if (r == -ENOSPC && op != OP_FALLOC)
		model_maybe_zero(l->model, l->op, f->ino, f->generation, pos, len);
	return r;
}

/* --- the rest --- */

static int op_setxattr(struct lab *l, bool remove)
{
	f4_auto_inode *f = pick_any(l);
	static __thread uint8_t value[4000];
	char name[64];
	int r;

	if (!f || f4_is_lnk(f))
		return 0;
	snprintf(name, sizeof(name), "user.x%u", lab_rnd(l, 4));
	l->op_ino = f->ino;
	if (remove)
		return f4_xattr_remove(f, name);
	memset(value, (int)l->op, sizeof(value));
	r = f4_xattr_set(f, name, value, lab_rnd(l, lab_rnd(l, 2) ? 60 : 900), 0);
	return r;
}

static int op_chmod(struct lab *l)
{
	struct f4_attr a = { .mode = lab_rnd(l, 01000), .uid = lab_rnd(l, 70000) };
	const struct f4_cred cred = { 0 };
	f4_auto_inode *f = pick_any(l);

	if (!f)
		return 0;
	a.mode |= f->mode & S_IFMT;
	l->op_ino = f->ino;
	return f4_inode_setattr(f, lab_rnd(l, 2) ? F4_SET_MODE : F4_SET_UID, &a, &cred);
}

static int op_fsync(struct lab *l, bool datasync)
{
	f4_auto_inode *f = pick_file(l);
	int r;

	if (!f)
		return 0;
	l->op_sync = true;
	r = f4_file_fsync(f, datasync);
	if (r == 0)
		model_fsync(l->model, l->op, f->ino, f->generation);
	return r;
}

static int op_hold(struct lab *l)
{
	uint32_t slot = lab_rnd(l, MAX_HELD);

	if (!l->held[slot])
		l->held[slot] = pick_file(l);
	return 0;
}

static int op_drop(struct lab *l)
{
	uint32_t slot = lab_rnd(l, MAX_HELD);

	if (l->held[slot])
		l->op_ino = l->held[slot]->ino;
	f4_inode_put(f4_take_ptr(l->held[slot]));
	return 0;
}

static int op_tmpfile(struct lab *l)
{
	struct f4_op_new spec = { .mode = S_IFREG | 0600 };
	f4_auto_inode *dir = pick_dir(l);
	uint32_t slot = lab_rnd(l, MAX_HELD);

	if (!dir || l->held[slot])
		return 0;
	return f4_op_tmpfile(dir, &spec, &l->held[slot]);
}

/* A held file without a name gets one (linkat of an O_TMPFILE). */
static int op_linktmp(struct lab *l)
{
	f4_auto_inode *dir = pick_dir(l);
	char name[256];

	pick_name(l, name);
	for (uint32_t i = 0; dir && i < MAX_HELD; i++) {
		struct f4_inode *f = l->held[i];

		if (f && f->links == 0) {
			l->op_ino = f->ino;
			return f4_op_link(f, dir, name, strlen(name));
		}
	}
	return 0;
}

static int do_op(struct lab *l, enum op op)
{
	switch (op) {
	case OP_CREATE: return op_make(l, S_IFREG | 0644, 0, NULL);
	case OP_MKDIR: return op_make(l, S_IFDIR | 0755, 0, NULL);
	case OP_SYMLINK: return op_symlink(l);
	case OP_MKNOD: return op_make(l, lab_rnd(l, 2) ? S_IFIFO | 0600 : S_IFCHR | 0600, 0x103, NULL);
	case OP_LINK: return op_link(l);
	case OP_UNLINK: return op_unlink(l, false);
	case OP_RMDIR: return op_unlink(l, true);
	case OP_RENAME: return op_rename(l, 0);
	case OP_EXCHANGE: return op_rename(l, RENAME_EXCHANGE);
	case OP_APPEND:
	case OP_OVERWRITE:
	case OP_SPARSE:
	case OP_BIGWRITE: return op_write(l, op);
	case OP_TRUNCATE: return op_truncate(l, false);
	case OP_EXTEND: return op_truncate(l, true);
	case OP_PUNCH:
	case OP_ZERO:
	case OP_FALLOC: return op_fallocate(l, op);
	case OP_SETXATTR: return op_setxattr(l, false);
	case OP_DELXATTR: return op_setxattr(l, true);
	case OP_CHMOD: return op_chmod(l);
	case OP_FSYNC: return op_fsync(l, false);
	case OP_FDATASYNC: return op_fsync(l, true);
	case OP_SYNC: l->op_sync = true; return f4_volume_sync(l->vol);
	case OP_COMMIT: l->op_sync = true; return f4_journal_sync(l->vol->journal);
	case OP_HOLD: return op_hold(l);
	case OP_DROP: return op_drop(l);
	case OP_TMPFILE: return op_tmpfile(l);
	case OP_LINKTMP: return op_linktmp(l);
	case OP_MAX: break;
	}
	return -EINVAL;
}

int lab_request(struct lab *l)
{
	uint32_t sum = 0, pick;
	int op;

	for (op = 0; op < OP_MAX; op++)
		sum += l->load->weight[op];
	pick = lab_rnd(l, sum);
	for (op = 0; pick >= l->load->weight[op]; op++)
		pick -= l->load->weight[op];
	return fine(do_op(l, (enum op)op));
}

int lab_fill(struct lab *l)
{
	struct f4_op_new spec = { .mode = S_IFREG | 0644 };
	f4_auto_inode *dir = root(l), *f = NULL;
	int r;

	if (!dir)
		return -EIO;
	r = f4_op_create(dir, "ballast", 7, &spec, &f);
	for (uint64_t pos = 0; r == 0; pos += 65536) {
		struct f4_statfs st;

		f4_volume_statfs(l->vol, &st);
		if (st.free_blocks < 200)
			break;
		r = do_write(l, f, pos, 65536);
	}
	return r;
}
