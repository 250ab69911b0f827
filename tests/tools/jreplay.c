/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replays, fills and compares journals of image files, to set our journal beside others'.
 *
 *   jreplay replay IMAGE [LOG]        recover with our code; prints what was found
 *   jreplay fill IMAGE SEED N [LOG]   N transactions of ours on blocks that are free, then "crash";
 *                                     sets needs_recovery. Blocks 0 mod 16 of the log's copies begin
 *                                     with the magic; some are revoked
 *   jreplay compare A B               differing blocks, but for superblocks and the log's block 0:
 *                                     exit 1 when there are any
 *
 * LOG is an external journal device's image. Where the log lies is asked of libext2fs, so this
 * needs no part of the core but the journal.
 */
/* Ours first: ext2_fs.h defines some of the field names as macros. */
#include "server/ext4/volume.h"

#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/str.h"
#include "server/ext4/journal_priv.h"
#include "server/ext4/recovery.h"

struct image {
	ext2_filsys fs;
	int fd, log_fd;
	struct f4_disk *disk, *log_disk;
	struct f4_log_extent *map;
	uint32_t map_len;
	struct f4_volume vol;
};

static void die(const char *what, long code)
{
	fprintf(stderr, "jreplay: %s: %ld\n", what, code);
	exit(2);
}

static void say(void *arg, int level, const char *line)
{
	printf("log<%d>: %s\n", level, line);
}

static int add_block(ext2_filsys fs, blk64_t *blocknr, e2_blkcnt_t blockcnt, blk64_t ref, int off,
		     void *arg)
{
	struct image *im = arg;
	struct f4_log_extent *last = im->map_len ? &im->map[im->map_len - 1] : NULL;

	if (blockcnt < 0)
		return 0;
	if (last && last->pblk + last->len == *blocknr &&
	    last->log_blk + last->len == (uint32_t)blockcnt) {
		last->len++;
		return 0;
	}
	im->map = realloc(im->map, (im->map_len + 1) * sizeof(*im->map));
	im->map[im->map_len++] =
		(struct f4_log_extent){ .pblk = *blocknr, .log_blk = (uint32_t)blockcnt, .len = 1 };
	return 0;
}

static struct f4_disk *open_disk(const char *path, int *ret_fd)
{
	struct f4_disk *d;
	int r;

	*ret_fd = open(path, O_RDWR | O_CLOEXEC);
	if (*ret_fd < 0)
		die(path, errno);
	r = f4_disk_fd_new(&(struct f4_disk_fd_params){ .fd = *ret_fd }, &d);
	if (r < 0)
		die(path, r);
	return d;
}

static void open_image(struct image *im, const char *path, const char *log)
{
	errcode_t e = ext2fs_open(path, EXT2_FLAG_64BITS | EXT2_FLAG_IGNORE_CSUM_ERRORS, 0, 0,
				  unix_io_manager, &im->fs);

	if (e)
		die("ext2fs_open", e);
	im->disk = open_disk(path, &im->fd);
	im->log_disk = im->disk;
	if (log) {
		uint32_t s = im->fs->blocksize == 1024 ? 2 : 1;

		im->log_disk = open_disk(log, &im->log_fd);
		im->map = calloc(2, sizeof(*im->map));
		im->map[0] = (struct f4_log_extent){ s, 0, 1 };
		im->map[1] = (struct f4_log_extent){
			s + 1, s + 1,
			(uint32_t)(im->log_disk->size_bytes / im->fs->blocksize) - s - 1
		};
		im->map_len = 2;
	} else {
		e = ext2fs_block_iterate3(im->fs, im->fs->super->s_journal_inum,
					  BLOCK_FLAG_READ_ONLY, NULL, add_block, im);
		if (e)
			die("journal inode", e);
	}
	im->vol.block_size = im->fs->blocksize;
	im->vol.blocks_count = ext2fs_blocks_count(im->fs->super);
	im->vol.incompat = im->fs->super->s_feature_incompat;
	im->vol.has_csum = ext2fs_has_feature_metadata_csum(im->fs->super);
	im->vol.log = say;
}

static void set_needs_recovery(struct image *im, bool on)
{
	if (on)
		ext2fs_set_feature_journal_needs_recovery(im->fs->super);
	else
		ext2fs_clear_feature_journal_needs_recovery(im->fs->super);
	im->fs->flags |= EXT2_FLAG_SUPER_ONLY | EXT2_FLAG_MASTER_SB_ONLY;
	ext2fs_mark_super_dirty(im->fs);
	errcode_t e = ext2fs_flush2(im->fs, 0);

	if (e)
		die("superblock", e);
}

static int put(void *arg, uint64_t blk, const void *data)
{
	struct image *im = arg;

	return f4_disk_write(im->disk, data, im->vol.block_size, blk * im->vol.block_size);
}

static int replay(const char *path, const char *log)
{
	struct image im = { .log_fd = -1 };
	struct f4_recovery_result res;
	struct f4_recovery_params p;
	int r;

	open_image(&im, path, log);
	p = (struct f4_recovery_params){
		.vol = &im.vol,
		.log_disk = im.log_disk,
		.log_map = im.map,
		.log_map_len = im.map_len,
		.block_size = im.vol.block_size,
		.fs_blocks = im.vol.blocks_count,
		.put = put,
		.arg = &im,
	};
	r = f4_recovery_run(&p, &res);
	if (r < 0) {
		printf("recovery: %d\n", r);
		return 1;
	}
	printf("needed %d commits %u blocks %u revoked %u fast_commits %d next %u errno %d\n",
	       res.needed, res.commits, res.blocks, res.revoked, res.fast_commits, res.next_tid,
	       res.journal_errno);
	r = f4_disk_flush(im.disk);
	if (r == 0)
		r = f4_recovery_finish(&p, &res);
	if (r < 0)
		die("finish", r);
	/* The superblock may have been replayed: read it again. */
	ext2fs_free(im.fs);
	im.fs = NULL;
	if (ext2fs_open(path, EXT2_FLAG_RW | EXT2_FLAG_64BITS | EXT2_FLAG_IGNORE_CSUM_ERRORS, 0, 0,
			unix_io_manager, &im.fs))
		die("ext2fs_open", 0);
	set_needs_recovery(&im, false);
	ext2fs_close(im.fs);
	return 0;
}

/* --- fill --- */

static uint64_t rnd_state;

static uint32_t rnd(uint32_t n)
{
	rnd_state = rnd_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rnd_state >> 33) % n;
}

#define POOL 64u

static void fill_txn(struct f4_journal *j, struct f4_cache *c, const uint64_t *pool, uint32_t bs)
{
	struct f4_handle h;
	uint32_t n = 1 + rnd(20);

	if (f4_txn_begin(j, n + 2, &h) < 0)
		die("begin", 0);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t blk = pool[rnd(POOL)];
		struct f4_buf *buf;

		if (rnd(5) == 0) {
			f4_txn_forget(&h, blk);
			continue;
		}
		buf = f4_buf_find(c, blk);
		if (!buf && f4_buf_new(c, blk, NULL, 0, 0, &buf) < 0)
			die("buf", 0);
		if (f4_txn_write(&h, buf) < 0)
			die("write", 0);
		for (uint32_t k = 0; k < bs; k += 4)
			f4_store_le32(buf->data + k, rnd(UINT32_MAX));
		if (rnd(8) == 0)
			f4_store_be32(buf->data, F4_JBD2_MAGIC);
		f4_buf_put(buf);
	}
	h.sync = rnd(2);
	if (f4_txn_end(&h) < 0)
		die("end", 0);
}

static int fill(const char *path, uint64_t seed, uint32_t n, const char *log)
{
	struct image im = { .log_fd = -1 };
	struct f4_journal_params p;
	struct f4_journal *j;
	struct f4_cache *c;
	uint64_t pool[POOL];
	uint32_t found = 0;
	int r;

	rnd_state = seed;
	open_image(&im, path, log);
	if (ext2fs_read_bitmaps(im.fs))
		die("bitmaps", 0);
	for (uint64_t b = im.vol.blocks_count - 1; b > 0 && found < POOL; b--)
		if (!ext2fs_test_block_bitmap2(im.fs->block_map, b))
			pool[found++] = b;
	if (found < POOL)
		die("free blocks", found);
	if (f4_cache_new(&im.vol, im.disk, im.vol.block_size, 1 << 20, &c) < 0)
		die("cache", 0);
	p = (struct f4_journal_params){
		.vol = &im.vol, .cache = c, .disk = im.disk, .log_disk = im.log_disk,
		.log_map = im.map, .log_map_len = im.map_len, .barrier = true,
	};
	r = f4_journal_open(&p, &j);
	if (r < 0)
		die("journal", r);
	for (uint32_t i = 0; i < n; i++)
		fill_txn(j, c, pool, im.vol.block_size);
	/* The crash: the program just ends. */
	ext2fs_free(im.fs);
	if (ext2fs_open(path, EXT2_FLAG_RW | EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &im.fs))
		die("ext2fs_open", 0);
	set_needs_recovery(&im, true);
	ext2fs_close(im.fs);
	return 0;
}

/* --- compare --- */

static bool is_superblock(ext2_filsys fs, uint64_t blk)
{
	dgrp_t g;

	if (blk == 1024 / fs->blocksize)
		return true;
	if (blk < fs->super->s_first_data_block)
		return false;
	g = ext2fs_group_of_blk2(fs, blk);
	return blk == ext2fs_group_first_block2(fs, g) && ext2fs_bg_has_super(fs, (int)g);
}

static int compare(const char *a, const char *b)
{
	struct image x = { .log_fd = -1 }, y = { .log_fd = -1 };
	uint32_t bad = 0, bs;
	uint8_t *p, *q;

	open_image(&x, a, NULL);
	y.disk = open_disk(b, &y.fd);
	bs = x.vol.block_size;
	p = malloc(bs);
	q = malloc(bs);
	for (uint64_t blk = 0; blk < x.vol.blocks_count; blk++) {
		if (is_superblock(x.fs, blk) || (x.map_len && blk == x.map[0].pblk))
			continue;
		if (f4_disk_read(x.disk, p, bs, blk * bs) || f4_disk_read(y.disk, q, bs, blk * bs))
			die("read", (long)blk);
		if (memcmp(p, q, bs) != 0 && bad++ < 10)
			printf("block %llu differs\n", (unsigned long long)blk);
	}
	printf("%u blocks differ\n", bad);
	return bad ? 1 : 0;
}

int main(int argc, char **argv)
{
	uint64_t seed = 0, n = 0;

	if (argc >= 3 && f4_str_eq(argv[1], "replay"))
		return replay(argv[2], argc > 3 ? argv[3] : NULL);
	if (argc >= 5 && f4_str_eq(argv[1], "fill") &&
	    f4_str_to_u64(argv[3], 10, UINT64_MAX, &seed) == 0 &&
	    f4_str_to_u64(argv[4], 10, UINT32_MAX, &n) == 0)
		return fill(argv[2], seed, (uint32_t)n, argc > 5 ? argv[5] : NULL);
	if (argc == 4 && f4_str_eq(argv[1], "compare"))
		return compare(argv[2], argv[3]);
	fprintf(stderr, "usage: jreplay replay|fill|compare ... (see its source)\n");
	return 2;
}
