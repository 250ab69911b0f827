/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk with a volatile write cache, as a file: for power cuts under the real server.
 *
 *   volatile-disk DIR FILE      mounts itself on DIR (as root), serves FILE as DIR/disk
 *   echo SEED >DIR/cut          the power fails
 *
 * What is written to DIR/disk stays in memory until an fsync, or until the write itself was made
 * with O_DSYNC or RWF_DSYNC (FUA: that write alone is durable). At the cut, by SEED, each write that
 * waits reaches FILE whole, not at all, or in sectors of 512 bytes, in whatever order that amounts
 * to; from then on every access is EIO. FILE is the medium: look at it afterwards.
 *
 * The sectors of the filesystem's superblock go together: see tests/crash/README.md.
 *
 * One thread, so a write, an fsync and the cut each happen at one point in time.
 */
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base/str.h"

#define SECTOR	  512u
#define SUPER_POS 1024u
#define SUPER_LEN 1024u

enum { INO_ROOT = 1, INO_DISK = 2, INO_CUT = 3 };

/* A write since the last flush; @durable: with FUA. */
struct pending {
	struct pending *next;
	uint64_t pos;
	size_t len;
	bool durable;
	uint8_t data[];
};

static struct {
	int fd;
	uint64_t size;
	uint8_t *now; /* what a read sees */
	struct pending *first, **last;
	bool dead;
	uint64_t rnd;
	unsigned long long writes, flushes, kept, dropped, torn;
} disk;

static uint32_t rnd(uint32_t n)
{
	disk.rnd = disk.rnd * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(disk.rnd >> 33) % n;
}

/* --- the medium --- */

static int to_medium(const uint8_t *data, size_t len, uint64_t pos)
{
	while (len > 0) {
		ssize_t n = pwrite(disk.fd, data, len, (off_t)pos);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO;
		data += n;
		pos += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static void forget_pending(void)
{
	while (disk.first) {
		struct pending *p = disk.first;

		disk.first = p->next;
		free(p);
	}
	disk.last = &disk.first;
}

static int flush_all(void)
{
	int e = 0;

	for (const struct pending *p = disk.first; p && !e; p = p->next)
		e = to_medium(p->data, p->len, p->pos);
	if (!e)
		forget_pending();
	disk.flushes++;
	return e;
}

/* The sectors of @p, each by a coin; those of the superblock by one. */
static int tear(const struct pending *p)
{
	bool super = rnd(2);

	for (size_t off = 0; off < p->len;) {
		uint64_t pos = p->pos + off;
		size_t n = SECTOR - pos % SECTOR;
		bool keep = rnd(2);
		int e;

		if (pos >= SUPER_POS && pos < SUPER_POS + SUPER_LEN)
			keep = super;
		if (n > p->len - off)
			n = p->len - off;
		e = keep ? to_medium(p->data + off, n, pos) : 0;
		if (e)
			return e;
		off += n;
	}
	return 0;
}

static int cut(uint64_t seed)
{
	uint32_t keep, drop;
	int e = 0;

	disk.rnd = seed * 0x9e3779b97f4a7c15ull + 99;
	/* Of 8: so many are kept, so many lost, the rest torn. Some cuts lose all, some nothing. */
	keep = rnd(9);
	drop = rnd(9 - keep);
	for (const struct pending *p = disk.first; p && !e; p = p->next) {
		uint32_t what = rnd(8);

		if (p->durable || what < keep) {
			e = to_medium(p->data, p->len, p->pos);
			disk.kept++;
		} else if (what < keep + drop) {
			disk.dropped++;
		} else {
			e = tear(p);
			disk.torn++;
		}
	}
	forget_pending();
	disk.dead = true;
	printf("%llu writes, %llu flushes; at the cut %llu kept, %llu lost, %llu torn\n", disk.writes,
	       disk.flushes, disk.kept, disk.dropped, disk.torn);
	fflush(stdout);
	return e;
}

static int take_write(const char *buf, size_t len, uint64_t pos, bool durable)
{
	struct pending *p;

	if (disk.dead)
		return EIO;
	if (pos > disk.size || len > disk.size - pos)
		return ENOSPC;
	p = malloc(sizeof(*p) + len);
	if (!p)
		return ENOMEM;
	*p = (struct pending){ .pos = pos, .len = len, .durable = durable };
	memcpy(p->data, buf, len);
	memcpy(disk.now + pos, buf, len);
	*disk.last = p;
	disk.last = &p->next;
	disk.writes++;
	return durable ? to_medium(p->data, len, pos) : 0;
}

/* --- FUSE --- */

static bool stat_of(fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_nlink = 1;
	st->st_mode = ino == INO_ROOT ? S_IFDIR | 0755 : S_IFREG | 0600;
	if (ino == INO_DISK)
		st->st_size = (off_t)disk.size;
	return ino >= INO_ROOT && ino <= INO_CUT;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .attr_timeout = 1, .entry_timeout = 1 };

	e.ino = f4_str_eq(name, "disk") ? INO_DISK : f4_str_eq(name, "cut") ? INO_CUT : 0;
	if (!e.ino) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	stat_of(e.ino, &e.attr);
	fuse_reply_entry(req, &e);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	if (stat_of(ino, &st))
		fuse_reply_attr(req, &st, 1);
	else
		fuse_reply_err(req, ENOENT);
}

/* O_TRUNC of the shell on "cut"; times. The disk has the size that it has. */
static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int what,
		       struct fuse_file_info *fi)
{
	if (ino == INO_DISK && (what & FUSE_SET_ATTR_SIZE))
		fuse_reply_err(req, EPERM);
	else
		op_getattr(req, ino, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->direct_io = 1; /* every access comes here */
	fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t len, off_t pos,
		    struct fuse_file_info *fi)
{
	uint64_t at = (uint64_t)pos;

	if (ino != INO_DISK || disk.dead) {
		fuse_reply_err(req, EIO);
		return;
	}
	if (at > disk.size)
		at = disk.size;
	if (len > disk.size - at)
		len = (size_t)(disk.size - at);
	fuse_reply_buf(req, (const char *)disk.now + at, len);
}

static int cut_by(const char *buf, size_t len)
{
	char text[32];
	uint64_t seed;

	while (len > 0 && buf[len - 1] == '\n')
		len--;
	if (len >= sizeof(text))
		return EINVAL;
	memcpy(text, buf, len);
	text[len] = 0;
	if (f4_str_to_u64(text, 10, UINT64_MAX, &seed) < 0)
		return EINVAL;
	return disk.dead ? EIO : cut(seed);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t len, off_t pos,
		     struct fuse_file_info *fi)
{
	int e = ino == INO_CUT	? cut_by(buf, len)
		: ino == INO_DISK ? take_write(buf, len, (uint64_t)pos, fi->flags & O_DSYNC)
				  : EINVAL;

	if (e)
		fuse_reply_err(req, e);
	else
		fuse_reply_write(req, len);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	fuse_reply_err(req, disk.dead ? EIO : flush_all());
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = op_lookup,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.fsync = op_fsync,
};

static bool load(const char *path)
{
	struct stat st;
	ssize_t n;

	disk.last = &disk.first;
	disk.fd = open(path, O_RDWR | O_CLOEXEC);
	if (disk.fd < 0 || fstat(disk.fd, &st) < 0)
		return false;
	disk.size = (uint64_t)st.st_size;
	disk.now = malloc(disk.size);
	for (uint64_t at = 0; disk.now && at < disk.size; at += (uint64_t)n) {
		n = pread(disk.fd, disk.now + at, disk.size - at, (off_t)at);
		if (n <= 0)
			return false;
	}
	return disk.now != NULL;
}

int main(int argc, char **argv)
{
	char *mount_argv[] = { argv[0], (char *)"-oallow_other,default_permissions", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(2, mount_argv);
	struct fuse_session *se;
	int r = 1;

	if (argc != 3) {
		fprintf(stderr, "usage: volatile-disk DIR FILE\n");
		return 2;
	}
	if (!load(argv[2])) {
		perror(argv[2]);
		return 1;
	}
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!se)
		return 1;
	if (fuse_set_signal_handlers(se) == 0 && fuse_session_mount(se, argv[1]) == 0) {
		r = fuse_session_loop(se);
		fuse_session_unmount(se);
	}
	fuse_session_destroy(se);
	forget_pending();
	free(disk.now);
	return r ? 1 : 0;
}
