/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log as a ring of blocks somewhere on a disk, and its superblock.
 *
 * Nothing of the superblock is believed before it is checked: the sizes in it bound every later
 * access, and each access is bounded again by the map.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "server/ext4/csum.h"
#include "server/ext4/journal_priv.h"
#include "server/ext4/volume.h"

void f4_jlog_say(struct f4_volume *vol, int level, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	if (!vol || !vol->log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	vol->log(vol->log_arg, level, line);
}

struct f4_jbd2_super *f4_jlog_sb(const struct f4_jlog *log)
{
	return (struct f4_jbd2_super *)(void *)log->sb_block;
}

/* The physical run that holds log block @blk; *@ret_len: blocks from there to the run's end. */
static int map_find(const struct f4_jlog *log, uint32_t blk, uint64_t *ret_pblk, uint32_t *ret_len)
{
	uint32_t lo = 0, hi = log->map_len;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct f4_log_extent *e = &log->map[mid];

		if (blk < e->log_blk) {
			hi = mid;
		} else if (blk - e->log_blk >= e->len) {
			lo = mid + 1;
		} else {
			*ret_pblk = e->pblk + (blk - e->log_blk);
			*ret_len = e->len - (blk - e->log_blk);
			return 0;
		}
	}
	return -EUCLEAN;
}

enum direction { READ, WRITE, WRITE_FUA };

static int transfer(struct f4_jlog *log, uint32_t blk, uint32_t n, uint8_t *buf, enum direction dir)
{
	while (n > 0) {
		uint64_t pblk, pos;
		uint32_t len;
		size_t bytes;
		int r = map_find(log, blk, &pblk, &len);

		if (r < 0)
			return r;
		if (len > n)
			len = n;
		if (__builtin_mul_overflow(pblk, (uint64_t)log->block_size, &pos))
			return -EUCLEAN;
		bytes = (size_t)len * log->block_size;
		if (dir == READ)
			r = f4_disk_read(log->disk, buf, bytes, pos);
		else if (dir == WRITE)
			r = f4_disk_write(log->disk, buf, bytes, pos);
		else
			r = f4_disk_write_fua(log->disk, buf, bytes, pos);
		if (r < 0)
			return r;
		blk += len;
		n -= len;
		buf += bytes;
	}
	return 0;
}

int f4_jlog_read(struct f4_jlog *log, uint32_t blk, uint32_t n, void *buf)
{
	return transfer(log, blk, n, buf, READ);
}

int f4_jlog_write(struct f4_jlog *log, uint32_t blk, uint32_t n, const void *buf, bool fua)
{
	return transfer(log, blk, n, (uint8_t *)(uintptr_t)buf, fua ? WRITE_FUA : WRITE);
}

uint32_t f4_jlog_distance(const struct f4_jlog *log, uint32_t from, uint32_t to)
{
	return to >= from ? to - from : to - from + (log->last - log->first);
}

uint32_t f4_jlog_advance(const struct f4_jlog *log, uint32_t blk, uint32_t n)
{
	uint32_t left = log->last - blk;

	return n < left ? blk + n : log->first + (n - left);
}

/* --- checksums --- */

static uint32_t super_csum(const struct f4_jlog *log)
{
	struct f4_jbd2_super sb;

	memcpy(&sb, log->sb_block, sizeof(sb));
	sb.s_checksum = f4_mk_be32(0);
	return f4_crc32c(~0u, &sb, sizeof(sb));
}

static uint32_t tail_csum(const struct f4_jlog *log, const uint8_t *block)
{
	static const uint8_t zero[sizeof(struct f4_jbd2_tail)];
	size_t body = log->block_size - sizeof(zero);

	return f4_crc32c(f4_crc32c(log->csum_seed, block, body), zero, sizeof(zero));
}

bool f4_jlog_tail_ok(const struct f4_jlog *log, const uint8_t *block)
{
	return !log->csum ||
	       f4_load_be32(block + log->block_size - sizeof(struct f4_jbd2_tail)) ==
		       tail_csum(log, block);
}

void f4_jlog_seal_tail(const struct f4_jlog *log, uint8_t *block)
{
	if (log->csum)
		f4_store_be32(block + log->block_size - sizeof(struct f4_jbd2_tail),
			      tail_csum(log, block));
}

uint32_t f4_jlog_block_csum(const struct f4_jlog *log, uint32_t sequence, const uint8_t *data)
{
	f4_be32 seq = f4_mk_be32(sequence);

	return f4_crc32c(f4_crc32c(log->csum_seed, &seq, sizeof(seq)), data, log->block_size);
}

int f4_jlog_write_sb(struct f4_jlog *log, bool fua)
{
	struct f4_jbd2_super *sb = f4_jlog_sb(log);

	if (log->csum) {
		sb->s_checksum_type = F4_JBD2_CHKSUM_CRC32C;
		sb->s_checksum = f4_mk_be32(super_csum(log));
	}
	return f4_jlog_write(log, 0, 1, log->sb_block, fua);
}

/* --- reading the superblock --- */

void f4_jlog_apply_features(struct f4_jlog *log)
{
	const struct f4_jbd2_super *sb = f4_jlog_sb(log);
	bool v2 = f4_get_be32(sb->s_header.h_blocktype) == F4_JBD2_SUPER_V2;

	log->compat = v2 ? f4_get_be32(sb->s_feature_compat) : 0;
	log->incompat = v2 ? f4_get_be32(sb->s_feature_incompat) : 0;
	log->csum3 = (log->incompat & F4_JBD2_INCOMPAT_CSUM_V3) != 0;
	log->csum = log->csum3 || (log->incompat & F4_JBD2_INCOMPAT_CSUM_V2);
	log->is_64bit = (log->incompat & F4_JBD2_INCOMPAT_64BIT) != 0;
	if (log->csum3)
		log->tag_bytes = sizeof(struct f4_jbd2_tag3);
	else
		log->tag_bytes = (uint32_t)sizeof(struct f4_jbd2_tag) - (log->is_64bit ? 0 : 4) +
				 (log->csum ? 2 : 0);
	log->csum_seed = log->csum ? f4_crc32c(~0u, sb->s_uuid, sizeof(sb->s_uuid)) : 0;
}

static int corrupt(struct f4_jlog *log, const char *what, uint32_t value)
{
	f4_jlog_say(log->vol, LOG_ERR, "journal superblock: bad %s (%u)", what, value);
	return -EUCLEAN;
}

static int check_features(struct f4_jlog *log)
{
	const struct f4_jbd2_super *sb = f4_jlog_sb(log);
	uint32_t unknown = log->incompat & ~F4_JBD2_INCOMPAT_KNOWN;
	bool v2 = f4_get_be32(sb->s_header.h_blocktype) == F4_JBD2_SUPER_V2;

	if (unknown) {
		f4_jlog_say(log->vol, LOG_ERR, "journal has unknown incompatible features 0x%x",
			    unknown);
		return -EOPNOTSUPP;
	}
	if (v2 && f4_get_be32(sb->s_feature_ro_compat)) {
		f4_jlog_say(log->vol, LOG_ERR, "journal has unknown read-only features 0x%x",
			    f4_get_be32(sb->s_feature_ro_compat));
		return -EOPNOTSUPP;
	}
	if (log->csum3 && (log->incompat & F4_JBD2_INCOMPAT_CSUM_V2))
		return corrupt(log, "features: checksums v2 and v3", log->incompat);
	if (log->csum && (log->compat & F4_JBD2_COMPAT_CHECKSUM))
		return corrupt(log, "features: checksums v1 and later", log->compat);
	if (!log->csum)
		return 0;
	if (sb->s_checksum_type != F4_JBD2_CHKSUM_CRC32C)
		return corrupt(log, "checksum type", sb->s_checksum_type);
	if (f4_get_be32(sb->s_checksum) != super_csum(log))
		return corrupt(log, "checksum", f4_get_be32(sb->s_checksum));
	return 0;
}

/* The ring, less the fast-commit area at its end. */
static int check_geometry(struct f4_jlog *log)
{
	const struct f4_jbd2_super *sb = f4_jlog_sb(log);
	const struct f4_log_extent *end = &log->map[log->map_len - 1];
	uint32_t maxlen = f4_get_be32(sb->s_maxlen), start = f4_get_be32(sb->s_start);
	uint32_t fc = 0;

	if (f4_get_be32(sb->s_blocksize) != log->block_size)
		return corrupt(log, "block size", f4_get_be32(sb->s_blocksize));
	if (maxlen > (uint64_t)end->log_blk + end->len)
		return corrupt(log, "length: longer than the journal's file", maxlen);
	log->total = maxlen;
	log->first = f4_get_be32(sb->s_first);
	log->last = maxlen;
	log->fc_first = log->fc_last = maxlen;
	if (log->incompat & F4_JBD2_INCOMPAT_FAST_COMMIT) {
		fc = f4_get_be32(sb->s_num_fc_blks);
		fc = fc ? fc : F4_JBD2_DEFAULT_FC_BLOCKS;
		if (fc >= maxlen || maxlen - fc < F4_JBD2_MIN_BLOCKS)
			return corrupt(log, "number of fast-commit blocks", fc);
		log->last = maxlen - fc;
		log->fc_first = log->last + 1;
	}
	if (maxlen < F4_JBD2_MIN_BLOCKS)
		return corrupt(log, "length: too short", maxlen);
	if (log->first == 0 || log->first >= log->last ||
	    log->last - log->first + 1 < F4_JBD2_MIN_BLOCKS - 2)
		return corrupt(log, "first block", log->first);
	if (start != 0 && (start < log->first || start >= log->last))
		return corrupt(log, "start", start);
	return 0;
}

static int check_super(struct f4_jlog *log)
{
	const struct f4_jbd2_super *sb = f4_jlog_sb(log);
	uint32_t type = f4_get_be32(sb->s_header.h_blocktype);
	int r;

	if (f4_get_be32(sb->s_header.h_magic) != F4_JBD2_MAGIC)
		return corrupt(log, "magic", f4_get_be32(sb->s_header.h_magic));
	if (type != F4_JBD2_SUPER_V1 && type != F4_JBD2_SUPER_V2)
		return corrupt(log, "block type", type);
	f4_jlog_apply_features(log);
	r = check_features(log);
	return r < 0 ? r : check_geometry(log);
}

/* Sorted, no overlap, none empty: then a binary search finds what it should. */
static bool map_is_sane(const struct f4_log_extent *map, uint32_t n)
{
	if (n == 0 || map[0].log_blk != 0)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t end = (uint64_t)map[i].log_blk + map[i].len;

		if (map[i].len == 0 || end > UINT32_MAX ||
		    (i + 1 < n && map[i + 1].log_blk < end))
			return false;
	}
	return true;
}

int f4_jlog_init(struct f4_jlog *log, struct f4_volume *vol, struct f4_disk *disk,
		 const struct f4_log_extent *map, uint32_t map_len, uint32_t block_size)
{
	void *mem;
	int r;

	memset(log, 0, sizeof(*log));
	log->vol = vol;
	log->disk = disk;
	log->block_size = block_size;
	if (!map_is_sane(map, map_len)) {
		f4_jlog_say(vol, LOG_ERR, "the journal's blocks are not mapped in order");
		return -EUCLEAN;
	}
	log->map = malloc(map_len * sizeof(*map));
	if (!log->map || posix_memalign(&mem, 4096, block_size) != 0)
		return -ENOMEM;
	memcpy(log->map, map, map_len * sizeof(*map));
	log->map_len = map_len;
	log->sb_block = mem;
	r = f4_jlog_read(log, 0, 1, log->sb_block);
	return r < 0 ? r : check_super(log);
}

void f4_jlog_done(struct f4_jlog *log)
{
	free(log->map);
	free(log->sb_block);
	memset(log, 0, sizeof(*log));
}
