/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "server/ext4/dir.h"
#include "tests/crash/lab.h"

#define MAX_RECS 20000u

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h ^ (h >> 29);
}

static uint64_t mix_bytes(uint64_t h, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3ull;
	return mix(h, n);
}

static uint64_t rec_hash(const struct rec *r, bool masked)
{
	uint64_t h = mix_bytes(1, r->path, strlen(r->path));

	h = mix(h, (uint64_t)r->ino << 32 | r->generation);
	h = mix(h, (uint64_t)r->mode << 32 | r->links);
	h = mix(h, (uint64_t)r->uid << 32 | r->gid);
	h = mix(h, r->rdev);
	h = mix(h, r->xattrs);
	h = mix(h, r->target);
	h = mix(h, (uint64_t)r->crtime.tv_sec ^ (uint64_t)r->crtime.tv_nsec << 32);
	if (masked)
		return h;
	h = mix(h, r->flags);
	h = mix(h, r->size);
	h = mix(h, r->blocks);
	h = mix(h, (uint64_t)r->mtime.tv_sec ^ (uint64_t)r->mtime.tv_nsec << 32);
	return mix(h, (uint64_t)r->ctime.tv_sec ^ (uint64_t)r->ctime.tv_nsec << 32);
}

uint64_t tree_masked(const struct tree *t, uint32_t ino)
{
	uint64_t d = t->digest;

	for (size_t i = 0; i < t->n; i++)
		if (t->recs[i].ino == ino)
			d += rec_hash(&t->recs[i], true) - rec_hash(&t->recs[i], false);
	return d;
}

/* The order in which attributes are listed may differ: a sum. */
static int hash_xattrs(struct f4_inode *inode, uint64_t *ret)
{
	static __thread char list[65536], value[65536];
	size_t len, vlen;
	int r = f4_xattr_list(inode, list, sizeof(list), &len);

	*ret = 0;
	for (const char *name = list; r == 0 && name < list + len; name += strlen(name) + 1) {
		r = f4_xattr_get(inode, name, value, sizeof(value), &vlen);
		if (r == 0)
			*ret += mix_bytes(mix_bytes(3, name, strlen(name)), value, vlen);
	}
	return r;
}

struct reading {
	struct f4_volume *vol;
	struct tree *t;
	const char *dir; /* path of the directory being read */
	char *where;
};

static int add(struct reading *rd, const char *path, struct f4_inode *inode)
{
	struct tree *t = rd->t;
	char target[65537];
	struct f4_attr a;
	struct rec *rec;
	size_t len;
	int r;

	if (t->n == MAX_RECS)
		return -EOVERFLOW;
	if (t->n == t->max) {
		t->max = t->max ? t->max * 2 : 64;
		t->recs = realloc(t->recs, t->max * sizeof(*t->recs));
	}
	f4_inode_attr(inode, &a);
	rec = &t->recs[t->n++];
	*rec = (struct rec){
		.path = strdup(path), .ino = a.ino, .generation = a.generation, .mode = a.mode,
		.links = a.links, .uid = a.uid, .gid = a.gid, .flags = a.flags, .rdev = a.rdev,
		.size = a.size, .blocks = a.blocks, .mtime = a.mtime, .ctime = a.ctime,
		/* The smallest inodes can't keep it: it is gone when the inode leaves memory. */
		.crtime = rd->vol->inode_size > F4_GOOD_OLD_INODE_SIZE ? a.crtime
								       : (struct timespec){ 0 },
	};
	r = hash_xattrs(inode, &rec->xattrs);
	if (r == 0 && f4_is_lnk(inode)) {
		r = f4_file_readlink(inode, target, sizeof(target), &len);
		if (r == 0)
			rec->target = mix_bytes(2, target, len);
	}
	t->digest += rec_hash(rec, false);
	return r;
}

static int read_dir(struct reading *rd, const char *path, struct f4_inode *dir);

/* Entries are collected first: the directory is locked while it is read. */
struct names {
	struct {
		char name[256];
		uint32_t ino;
	} *e;
	size_t n, max;
};

static int collect(void *arg, const char *name, size_t len, uint32_t ino, uint8_t type,
		   uint64_t next_cookie)
{
	struct names *names = arg;

	if ((len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.'))
		return 0;
	if (names->n == MAX_RECS)
		return -EOVERFLOW;
	if (names->n == names->max) {
		names->max = names->max ? names->max * 2 : 64;
		names->e = realloc(names->e, names->max * sizeof(*names->e));
	}
	memcpy(names->e[names->n].name, name, len);
	names->e[names->n].name[len] = 0;
	names->e[names->n++].ino = ino;
	return 0;
}

static int read_entry(struct reading *rd, const char *path, uint32_t ino)
{
	f4_auto_inode *inode = NULL;
	int r = f4_inode_get(rd->vol, ino, 0, &inode);

	if (r == 0)
		r = add(rd, path, inode);
	if (r == 0 && f4_is_dir(inode))
		r = read_dir(rd, path, inode);
	if (r < 0 && !rd->where[0])
		snprintf(rd->where, 128, "%s (inode %u)", path, ino);
	return r;
}

static int read_dir(struct reading *rd, const char *path, struct f4_inode *dir)
{
	struct names names = { 0 };
	char child[4096];
	int r;

	f4_inode_rdlock(dir);
	r = f4_dir_iterate(dir, 0, collect, &names);
	f4_inode_unlock(dir);
	for (size_t i = 0; i < names.n && r == 0; i++) {
		if (snprintf(child, sizeof(child), "%s/%s", path, names.e[i].name) >=
		    (int)sizeof(child))
			r = -ENAMETOOLONG;
		else
			r = read_entry(rd, child, names.e[i].ino);
	}
	free(names.e);
	return r;
}

int tree_read(struct f4_volume *vol, struct tree *ret, char where[128])
{
	struct reading rd = { .vol = vol, .t = ret, .where = where };

	memset(ret, 0, sizeof(*ret));
	where[0] = 0;
	return read_entry(&rd, "", F4_ROOT_INO);
}

void tree_done(struct tree *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->recs[i].path);
	free(t->recs);
	memset(t, 0, sizeof(*t));
}

static const struct rec *find(const struct tree *t, const char *path)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->recs[i].path, path) == 0)
			return &t->recs[i];
	return NULL;
}

static void print_rec(const char *who, const struct rec *r)
{
	if (r)
		printf("      %s %s ino %u/%u mode %o links %u size %llu blocks %llu flags %x mtime "
		       "%lld.%09ld xattrs %llx\n", who, r->path, r->ino, r->generation, r->mode,
		       r->links, (unsigned long long)r->size, (unsigned long long)r->blocks,
		       r->flags, (long long)r->mtime.tv_sec, r->mtime.tv_nsec,
		       (unsigned long long)r->xattrs);
	else
		printf("      %s: not there\n", who);
}

void tree_print_diff(const struct tree *got, const struct tree *want)
{
	int lines = 0;

	for (size_t i = 0; i < want->n && lines < 6; i++) {
		const struct rec *r = find(got, want->recs[i].path);

		if (r && rec_hash(r, false) == rec_hash(&want->recs[i], false))
			continue;
		print_rec("want", &want->recs[i]);
		print_rec("got ", r);
		lines++;
	}
	for (size_t i = 0; i < got->n && lines < 6; i++) {
		if (find(want, got->recs[i].path))
			continue;
		print_rec("too much", &got->recs[i]);
		lines++;
	}
}
