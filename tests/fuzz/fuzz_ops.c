/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzer: requests on a damaged image. Names are few, so that they meet; results don't matter, but
 * that the core stays whole: no crash, no hang, no memory that nobody has, nothing held at the end.
 */
#include "tests/lib/fuzz_main.h"

#include <linux/falloc.h>
#include <sys/stat.h>

#include "tests/lib/fuzz_volume.h"

#define OPS_MAX 200u

struct fuzz {
	struct f4_volume *vol;
	struct f4_inode *dir[3]; /* refs; the root, and two that the image or a request made */
	struct fv_input in;
};

static const char *const names[] = {
	"d1", "d2", "file1", "file2", "link", "hard", "big", "small", "x", "y", "FILE1",
	"a-name-that-is-much-longer-than-the-others-and-takes-more-room-in-its-directory-block-0123456789",
};

static struct f4_inode *pick_dir(struct fuzz *f)
{
	struct f4_inode *d = f->dir[fv_u8(&f->in) % 3];

	return d ? d : f->dir[0];
}

static const char *pick_name(struct fuzz *f)
{
	return names[fv_u8(&f->in) % F4_ARRAY_LEN(names)];
}

static struct f4_inode *pick_inode(struct fuzz *f)
{
	struct f4_inode *dir = pick_dir(f), *i = NULL;
	const char *name = pick_name(f);

	return f4_op_lookup(dir, name, strlen(name), &i) == 0 ? i : NULL;
}

static struct f4_cred pick_cred(struct fuzz *f)
{
	uint8_t b = fv_u8(&f->in);

	return (struct f4_cred){ .uid = b & 1 ? 0 : b, .gid = b & 2 ? 0 : b, .umask = 022 };
}

static void op_create(struct fuzz *f)
{
	static const uint16_t modes[] = { S_IFREG | 0644, S_IFDIR | 0755, S_IFLNK | 0777, S_IFIFO | 0600 };
	struct f4_op_new spec = { .mode = modes[fv_u8(&f->in) % 4], .target = "target" };
	struct f4_inode *dir = pick_dir(f), *i;
	const char *name = pick_name(f);

	spec.cred = pick_cred(f);
	if (fv_u8(&f->in) % 16 == 0) {
		spec.mode = S_IFREG | 0600;
		if (f4_op_tmpfile(dir, &spec, &i) == 0)
			f4_inode_put(i);
	} else if (f4_op_create(dir, name, strlen(name), &spec, &i) == 0) {
		f4_inode_put(i);
	}
}

static void op_remove(struct fuzz *f)
{
	struct f4_inode *dir = pick_dir(f);
	const char *name = pick_name(f);

	if (f4_op_unlink(dir, name, strlen(name)) == -EISDIR)
		(void)f4_op_rmdir(dir, name, strlen(name));
}

static void op_rename(struct fuzz *f)
{
	struct f4_inode *a = pick_dir(f), *b = pick_dir(f);
	const char *from = pick_name(f), *to = pick_name(f);
	struct f4_cred cred = pick_cred(f);

	(void)f4_op_rename(a, from, strlen(from), b, to, strlen(to), fv_u8(&f->in) & 7, &cred);
}

static void op_link(struct fuzz *f)
{
	struct f4_inode *i = pick_inode(f), *dir = pick_dir(f);
	const char *name = pick_name(f);

	if (i)
		(void)f4_op_link(i, dir, name, strlen(name));
	f4_inode_put(i);
}

static void op_write(struct fuzz *f)
{
	static const uint8_t data[70000] = { 1 };
	struct f4_inode *i = pick_inode(f);
	struct f4_cred cred = pick_cred(f);
	uint64_t pos = fv_u32(&f->in) % (1u << 26);
	size_t len = fv_u32(&f->in) % sizeof(data), got;

	if (i && f4_is_reg(i))
		(void)f4_file_write(i, data, len, pos & 1 ? pos % 20000 : pos, 0, &cred, &got);
	f4_inode_put(i);
}

static void op_read(struct fuzz *f)
{
	struct f4_inode *i = pick_inode(f);
	uint8_t buf[9000];
	size_t got;

	if (i && f4_is_reg(i))
		(void)f4_file_read(i, buf, sizeof(buf), fv_u32(&f->in) % 100000, &got);
	else if (i && f4_is_lnk(i))
		(void)f4_file_readlink(i, (char *)buf, sizeof(buf), &got);
	f4_inode_put(i);
}

static void op_space(struct fuzz *f)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE };
	struct f4_inode *i = pick_inode(f);
	struct f4_cred cred = pick_cred(f);
	uint8_t how = fv_u8(&f->in);
	uint64_t pos = fv_u32(&f->in) % (1u << 22), len = fv_u32(&f->in) % (1u << 18);

	if (i && f4_is_reg(i)) {
		if (how & 4)
			(void)f4_file_truncate(i, pos);
		else
			(void)f4_file_fallocate(i, modes[how & 3], pos, len, &cred);
	}
	f4_inode_put(i);
}

static void op_xattr(struct fuzz *f)
{
	static const char *const keys[] = { "user.a", "user.b", "trusted.c", "security.capability" };
	static const uint8_t value[9000] = { 'v' };
	struct f4_inode *i = pick_inode(f);
	const char *key = keys[fv_u8(&f->in) % 4];
	uint32_t len = fv_u32(&f->in);

	if (i && len % 4 == 0)
		(void)f4_xattr_remove(i, key);
	else if (i)
		(void)f4_xattr_set(i, key, value, len % 4 == 1 ? len % sizeof(value) : len % 200, 0);
	f4_inode_put(i);
}

static void op_attr(struct fuzz *f)
{
	struct f4_inode *i = pick_inode(f);
	struct f4_cred cred = pick_cred(f);
	struct f4_attr attr = { .mode = 0640, .uid = cred.uid, .gid = cred.gid };
	uint32_t how = fv_u8(&f->in);

	if (i && how % 4 == 0)
		(void)f4_inode_set_projid(i, how, &cred);
	else if (i && how % 4 == 1)
		(void)f4_inode_set_flags(i, i->flags ^ (how & 4 ? F4_FL_PROJINHERIT : F4_FL_JOURNAL_DATA));
	else if (i)
		(void)f4_inode_setattr(i, F4_SET_MODE | F4_SET_UID | F4_SET_GID, &attr, &cred);
	f4_inode_put(i);
}

static int count(void *arg, const char *name, size_t len, uint32_t ino, uint8_t type, uint64_t next)
{
	return ++*(uint32_t *)arg > 2000;
}

static void op_list(struct fuzz *f)
{
	struct f4_inode *dir = pick_dir(f);
	uint32_t n = 0;

	f4_inode_rdlock(dir);
	(void)f4_dir_iterate(dir, fv_u32(&f->in) % 3 ? 0 : fv_u32(&f->in), count, &n);
	f4_inode_unlock(dir);
}

static void op_sync(struct fuzz *f)
{
	struct f4_inode *i = pick_inode(f);

	if (i)
		(void)f4_file_fsync(i, fv_u8(&f->in) & 1);
	else
		(void)f4_volume_sync(f->vol);
	f4_inode_put(i);
}

static void (*const ops[])(struct fuzz *) = {
	op_create, op_create, op_remove, op_rename, op_link, op_write, op_write,
	op_read,   op_space,  op_xattr,	 op_attr,   op_list, op_sync,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { .in = { data, size } };

	f.vol = fv_open(&f.in);
	if (!f.vol)
		return 0;
	if (f4_inode_get(f.vol, F4_ROOT_INO, 0, &f.dir[0]) == 0) {
		for (int i = 1; i < 3; i++)
			(void)f4_op_lookup(f.dir[0], names[i - 1], 2, &f.dir[i]);
		for (uint32_t n = 0; n < OPS_MAX && f.in.left > 0; n++)
			ops[fv_u8(&f.in) % F4_ARRAY_LEN(ops)](&f);
	}
	for (int i = 0; i < 3; i++)
		f4_inode_put(f.dir[i]);
	(void)f4_volume_close(f.vol);
	(void)alarm(0);
	return 0;
}
