/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/jfix.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ext4/csum.h"

/* A block: its value everywhere but in the last four bytes, which hold a checksum. */
static uint32_t block_csum(const struct f4_buf *buf, const uint8_t *data, uint32_t bs)
{
	return f4_crc32c((uint32_t)buf->blk, data, bs - 4);
}

static int class_verify(struct f4_volume *vol, const struct f4_buf *buf, const uint8_t *data)
{
	uint32_t bs = vol->block_size, sum = f4_load_le32(data + bs - 4);

	/* Never written is fine. */
	if (sum == 0 && f4_load_le32(data) == 0)
		return 0;
	return sum == block_csum(buf, data, bs) ? 0 : -EUCLEAN;
}

static void class_seal(struct f4_volume *vol, const struct f4_buf *buf, uint8_t *data)
{
	uint32_t bs = vol->block_size;

	f4_store_le32(data + bs - 4, block_csum(buf, data, bs));
}

const struct f4_buf_class jfix_class = { "test", class_verify, class_seal };

static void note_line(void *arg, int level, const char *line)
{
	struct jfix *f = arg;

	pthread_mutex_lock(&f->line_lock);
	snprintf(f->last_line, sizeof(f->last_line), "%s", line);
	pthread_mutex_unlock(&f->line_lock);
}

static struct jfix *of(struct f4_volume *vol)
{
	return f4_container_of(vol, struct jfix, vol);
}

static void on_committed(struct f4_volume *vol, f4_tid tid)
{
	of(vol)->committed = tid;
}

static void on_aborted(struct f4_volume *vol, int error)
{
	of(vol)->aborted = error;
}

/* One run, or runs of 37 blocks with the later parts of the log first on the disk. */
static void make_map(struct jfix *f)
{
	uint32_t len = f->p.log_blocks, run = f->p.scattered ? 37 : len;
	uint32_t n = (len + run - 1) / run;

	f->map = calloc(n + 1, sizeof(*f->map));
	f->map_len = n;
	if (f->p.external) {
		uint32_t s = f->p.block_size == 1024 ? 2 : 1;

		f->map[0] = (struct f4_log_extent){ s, 0, 1 };
		f->map[1] = (struct f4_log_extent){ s + 1, s + 1, len - s - 1 };
		f->map_len = 2;
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		f->map[i] = (struct f4_log_extent){
			.pblk = f->log_place + (uint64_t)(n - 1 - i) * run,
			.log_blk = i * run,
			.len = len - i * run < run ? len - i * run : run,
		};
}

uint64_t jfix_log_pos(const struct jfix *f, uint32_t blk)
{
	for (uint32_t i = 0; i < f->map_len; i++)
		if (blk >= f->map[i].log_blk && blk - f->map[i].log_blk < f->map[i].len)
			return (f->map[i].pblk + blk - f->map[i].log_blk) * f->p.block_size;
	abort();
}

static void make_super(struct jfix *f)
{
	struct f4_jbd2_super sb = { 0 };
	bool csum = f->p.incompat & (F4_JBD2_INCOMPAT_CSUM_V2 | F4_JBD2_INCOMPAT_CSUM_V3);

	sb.s_header.h_magic = f4_mk_be32(F4_JBD2_MAGIC);
	sb.s_header.h_blocktype = f4_mk_be32(f->p.v1_super ? F4_JBD2_SUPER_V1 : F4_JBD2_SUPER_V2);
	sb.s_blocksize = f4_mk_be32(f->p.block_size);
	sb.s_maxlen = f4_mk_be32(f->p.log_blocks);
	sb.s_first = f4_mk_be32(f->p.external ? (f->p.block_size == 1024 ? 3 : 2) : 1);
	sb.s_sequence = f4_mk_be32(f->p.first_sequence ? f->p.first_sequence : 1);
	if (!f->p.v1_super) {
		sb.s_feature_compat = f4_mk_be32(f->p.compat);
		sb.s_feature_incompat = f4_mk_be32(f->p.incompat);
		sb.s_nr_users = f4_mk_be32(1);
		sb.s_num_fc_blks = f4_mk_be32(f->p.num_fc);
		memcpy(sb.s_uuid, "0123456789abcdef", 16);
	}
	if (csum) {
		sb.s_checksum_type = F4_JBD2_CHKSUM_CRC32C;
		sb.s_checksum = f4_mk_be32(f4_crc32c(~0u, &sb, sizeof(sb)));
	}
	f4_disk_write(f->log_disk, &sb, sizeof(sb), jfix_log_pos(f, 0));
}

void jfix_log_super(struct jfix *f, struct f4_jbd2_super *ret)
{
	f4_disk_read(f->log_disk, ret, sizeof(*ret), jfix_log_pos(f, 0));
}

void jfix_init(struct jfix *f, const struct jfix_params *p)
{
	memset(f, 0, sizeof(*f));
	f->p = *p;
	f->p.block_size = p->block_size ? p->block_size : 4096;
	f->p.fs_blocks = p->fs_blocks ? p->fs_blocks : 4096;
	f->p.log_blocks = p->log_blocks ? p->log_blocks : 1024;
	f->log_place = f->p.fs_blocks;
	pthread_mutex_init(&f->line_lock, NULL);
	f->vol.block_size = f->p.block_size;
	f->vol.blocks_count = f->p.fs_blocks;
	f->vol.log = note_line;
	f->vol.log_arg = f;
	f->disk = f4_sim_new((uint64_t)(f->p.fs_blocks + f->p.log_blocks + 64) * f->p.block_size);
	f->log_disk = f->p.external ? f4_sim_new((uint64_t)f->p.log_blocks * f->p.block_size)
				    : f->disk;
	make_map(f);
	make_super(f);
}

void jfix_use(struct jfix *f, struct f4_disk *disk)
{
	f4_disk_free(f->disk);
	if (f->log_disk == f->disk)
		f->log_disk = disk;
	f->disk = disk;
}

void jfix_done(struct jfix *f)
{
	if (f->log_disk != f->disk)
		f4_disk_free(f->log_disk);
	f4_disk_free(f->disk);
	free(f->map);
	pthread_mutex_destroy(&f->line_lock);
}

int jfix_open(struct jfix *f)
{
	struct f4_journal_params p = {
		.vol = &f->vol,
		.disk = f->disk,
		.log_disk = f->p.no_log ? NULL : f->log_disk,
		.log_map = f->map,
		.log_map_len = f->map_len,
		.workers = f->workers,
		.commit_interval_ms = f->interval_ms,
		.barrier = !f->no_barrier,
		.pre_commit = f->pre_commit,
		.committed = on_committed,
		.aborted = on_aborted,
	};
	int r = f4_cache_new(&f->vol, f->disk, f->p.block_size, 4u << 20, &f->cache);

	if (r < 0)
		return r;
	p.cache = f->cache;
	r = f4_journal_open(&p, &f->j);
	if (r < 0)
		f->cache = f4_cache_free(f->cache);
	return r;
}

int jfix_close(struct jfix *f)
{
	int r = f4_journal_close(f->j);

	f->j = NULL;
	f->cache = f4_cache_free(f->cache);
	return r;
}

void jfix_drop(struct jfix *f)
{
	f4_sim_fail(f->disk, F4_SIM_WRITE | F4_SIM_FLUSH | F4_SIM_FUA, 1, -EIO, true);
	if (f->log_disk != f->disk)
		f4_sim_fail(f->log_disk, F4_SIM_WRITE | F4_SIM_FLUSH | F4_SIM_FUA, 1, -EIO, true);
	f4_journal_abort(f->j, -EIO);
	jfix_close(f);
	f4_sim_fail_none(f->disk);
	f4_sim_fail_none(f->log_disk);
}

static int put_home(void *arg, uint64_t blk, const void *data)
{
	struct jfix *f = arg;

	return f4_disk_write(f->disk, data, f->p.block_size, blk * f->p.block_size);
}

int jfix_recover(struct jfix *f, struct f4_recovery_result *ret)
{
	struct f4_recovery_params p = {
		.vol = &f->vol,
		.log_disk = f->log_disk,
		.log_map = f->map,
		.log_map_len = f->map_len,
		.block_size = f->p.block_size,
		.fs_blocks = f->p.fs_blocks,
		.put = put_home,
		.arg = f,
	};
	int r = f4_recovery_run(&p, ret);

	if (r == 0)
		r = f4_disk_flush(f->disk);
	return r < 0 ? r : f4_recovery_finish(&p, ret);
}

static void fill(struct jfix *f, struct f4_buf *buf, uint32_t value)
{
	for (uint32_t i = 0; i + 4 < f->p.block_size; i += 4)
		f4_store_le32(buf->data + i, value);
}

int jfix_set(struct jfix *f, struct f4_handle *h, uint64_t blk, uint32_t value)
{
	f4_auto_buf *buf = NULL;
	int r = f4_buf_read(f->cache, blk, &jfix_class, 0, 0, &buf);

	if (r == 0)
		r = f4_txn_write(h, buf);
	if (r == 0)
		fill(f, buf, value);
	return r;
}

int jfix_create(struct jfix *f, struct f4_handle *h, uint64_t blk, uint32_t value)
{
	f4_auto_buf *buf = NULL;
	int r = f4_buf_new(f->cache, blk, &jfix_class, 0, 0, &buf);

	if (r == 0)
		r = f4_txn_create(h, buf);
	if (r == 0)
		fill(f, buf, value);
	return r;
}

int jfix_set1(struct jfix *f, uint64_t blk, uint32_t value, bool sync)
{
	struct f4_handle h;
	int r = f4_txn_begin(f->j, 1, &h), r2;

	if (r < 0)
		return r;
	h.sync = sync;
	r = jfix_set(f, &h, blk, value);
	r2 = f4_txn_end(&h);
	return r < 0 ? r : r2;
}

uint32_t jfix_get(struct jfix *f, uint64_t blk)
{
	f4_auto_buf *buf = NULL;

	return f4_buf_read(f->cache, blk, &jfix_class, 0, 0, &buf) == 0 ? f4_load_le32(buf->data)
								       : UINT32_MAX;
}

uint32_t jfix_home(struct jfix *f, uint64_t blk)
{
	uint32_t bs = f->p.block_size, value = UINT32_MAX;
	struct f4_buf buf = { .blk = blk };
	uint8_t *data = malloc(bs);

	if (f4_disk_read(f->disk, data, bs, blk * bs) == 0 &&
	    class_verify(&f->vol, &buf, data) == 0)
		value = f4_load_le32(data);
	free(data);
	return value;
}
