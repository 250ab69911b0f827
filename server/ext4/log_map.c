/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the journal lies, found before anything else can be trusted.
 *
 * The log has to be read before the cache and the inodes are of use, so this walks the journal's
 * inode on the raw disk: descriptor, inode, extent tree or block map. What it finds is a map
 * without holes that stays inside the volume, or nothing. The journal's own inode is never part of
 * a transaction, so a log that waits for recovery does not make it stale.
 */
#include "server/ext4/volume_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "server/ext4/csum.h"
#include "server/ext4/group.h"
#include "server/ext4/inode_priv.h"

#define bad(vol, ...) (f4_volume_say(vol, LOG_ERR, "journal: " __VA_ARGS__), -EUCLEAN)

struct walk {
	struct f4_volume *vol; /* borrowed */
	uint32_t log_blks;     /* what the map has to cover */
	uint32_t next;	       /* first block not covered yet */
	uint32_t reads;	       /* tree blocks read: bounded, so that a cyclic tree ends */
	struct f4_log_extent *map; /* owned */
	uint32_t n, room;
};

static int read_blk(struct walk *w, uint64_t blk, uint8_t *buf)
{
	struct f4_volume *vol = w->vol;

	if (blk < vol->first_data_block || blk >= vol->blocks_count)
		return bad(vol, "tree block %llu is outside the volume", (unsigned long long)blk);
	if (w->reads++ > w->log_blks / 16 + 64) /* even 1 KiB nodes point to 84 each */
		return bad(vol, "the tree has too many blocks");
	return f4_disk_read(vol->disk, buf, vol->block_size, blk << vol->block_bits);
}

/* The next @len blocks of the log are at @pblk. */
static int add(struct walk *w, uint64_t pblk, uint32_t lblk, uint32_t len)
{
	struct f4_volume *vol = w->vol;
	struct f4_log_extent *last = w->n ? &w->map[w->n - 1] : NULL;

	if (w->next >= w->log_blks)
		return 0; /* allocated beyond the size */
	if (lblk != w->next)
		return bad(vol, "block %u of the log is missing", w->next);
	if (len > w->log_blks - w->next)
		len = w->log_blks - w->next;
	if (pblk <= vol->first_data_block || pblk >= vol->blocks_count ||
	    len > vol->blocks_count - pblk)
		return bad(vol, "block %llu is outside the volume", (unsigned long long)pblk);
	w->next += len;
	if (last && last->pblk + last->len == pblk) {
		last->len += len;
		return 0;
	}
	if (w->n == w->room) {
		uint32_t room = w->room ? w->room * 2 : 16;
		struct f4_log_extent *map = realloc(w->map, room * sizeof(*map));

		if (!map)
			return -ENOMEM;
		w->map = map;
		w->room = room;
	}
	w->map[w->n++] = (struct f4_log_extent){ .pblk = pblk, .log_blk = lblk, .len = len };
	return 0;
}

static int walk_leaf(struct walk *w, const uint8_t *node, uint16_t entries)
{
	const struct f4_extent *ex = (const void *)(node + sizeof(struct f4_extent_header));

	for (uint16_t i = 0; i < entries; i++) {
		uint32_t len = f4_get_le16(ex[i].ee_len);
		uint64_t pblk = f4_get_le32(ex[i].ee_start_lo) |
				(uint64_t)f4_get_le16(ex[i].ee_start_hi) << 32;
		int r;

		if (len == 0 || len > F4_EXT_INIT_MAX_LEN)
			return bad(w->vol, "an extent of length %u", len);
		r = add(w, pblk, f4_get_le32(ex[i].ee_block), len);
		if (r < 0)
			return r;
	}
	return 0;
}

/* @size: bytes of the node; @depth: what the header must say, -1 for the root. */
static int walk_extents(struct walk *w, const uint8_t *node, size_t size, int depth)
{
	const struct f4_extent_header *eh = (const void *)node;
	const struct f4_extent_idx *ix = (const void *)(node + sizeof(*eh));
	uint16_t entries = f4_get_le16(eh->eh_entries), level = f4_get_le16(eh->eh_depth);
	f4_auto_free void *buf_guard = NULL;
	uint8_t *buf;

	if (f4_get_le16(eh->eh_magic) != F4_EXT_MAGIC || level > F4_EXT_MAX_DEPTH ||
	    (depth >= 0 && level != depth) || entries > (size - sizeof(*eh)) / sizeof(*ix))
		return bad(w->vol, "a node of the extent tree is damaged");
	if (level == 0)
		return walk_leaf(w, node, entries);
	buf_guard = buf = malloc(w->vol->block_size);
	if (!buf)
		return -ENOMEM;
	for (uint16_t i = 0; i < entries; i++) {
		uint64_t blk = f4_get_le32(ix[i].ei_leaf_lo) |
			       (uint64_t)f4_get_le16(ix[i].ei_leaf_hi) << 32;
		int r = read_blk(w, blk, buf);

		if (r == 0)
			r = walk_extents(w, buf, w->vol->block_size, level - 1);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A block number of a block map; @level: 0 for a block of the log itself. */
static int walk_map(struct walk *w, uint64_t blk, int level)
{
	f4_auto_free void *buf_guard = NULL;
	uint8_t *buf;
	int r;

	if (w->next >= w->log_blks)
		return 0;
	if (blk == 0)
		return bad(w->vol, "block %u of the log is missing", w->next);
	if (level == 0)
		return add(w, blk, w->next, 1);
	buf_guard = buf = malloc(w->vol->block_size);
	if (!buf)
		return -ENOMEM;
	r = read_blk(w, blk, buf);
	for (uint32_t i = 0; r == 0 && i < w->vol->block_size / 4; i++)
		r = walk_map(w, f4_load_le32(buf + i * 4), level - 1);
	return r;
}

static int walk_inode(struct walk *w, const struct f4_raw_inode *raw)
{
	int r = 0;

	if (f4_get_le32(raw->i_flags) & F4_FL_EXTENTS)
		return walk_extents(w, raw->i_block, sizeof(raw->i_block), -1);
	for (uint32_t i = 0; r == 0 && i < F4_N_BLOCKS; i++) {
		int level = i < F4_NDIR_BLOCKS ? 0 : (int)(i - F4_NDIR_BLOCKS + 1);

		r = walk_map(w, f4_load_le32(raw->i_block + i * 4), level);
	}
	return r;
}

/* The raw inode, vol->inode_size bytes into @raw. */
static int read_inode(struct f4_volume *vol, uint32_t ino, uint8_t *raw)
{
	struct f4_group_desc d = { 0 };
	uint32_t group = f4_ino_group(vol, ino), index = (ino - 1) % vol->inodes_per_group;
	size_t size = vol->desc_size < sizeof(d) ? vol->desc_size : sizeof(d);
	uint64_t table, pos;
	int r;

	r = f4_disk_read(vol->disk, &d, size,
			 (f4_group_desc_blk(vol, group) << vol->block_bits) +
				 f4_group_desc_off(vol, group));
	if (r < 0)
		return r;
	table = f4_get_le32(d.bg_inode_table_lo) | (uint64_t)f4_get_le32(d.bg_inode_table_hi) << 32;
	if (table <= vol->first_data_block || table >= vol->blocks_count ||
	    f4_itable_blocks(vol) > vol->blocks_count - table)
		return bad(vol, "its inode table is outside the volume");
	pos = (table << vol->block_bits) + (uint64_t)index * vol->inode_size;
	return f4_disk_read(vol->disk, raw, vol->inode_size, pos);
}

static int load_internal(struct f4_volume *vol, uint32_t ino)
{
	f4_auto_free void *guard = malloc(vol->inode_size);
	const struct f4_raw_inode *raw = guard;
	struct walk w = { .vol = vol };
	uint64_t size;
	int r;

	if (!raw)
		return -ENOMEM;
	if (ino == F4_ROOT_INO || ino > vol->inodes_count)
		return bad(vol, "inode %u can't be a journal", ino);
	r = read_inode(vol, ino, guard);
	if (r < 0)
		return r;
	if (!f4_inode_raw_csum_ok(vol, ino, guard))
		return bad(vol, "checksum of inode %u is wrong", ino);
	size = f4_get_le32(raw->i_size_lo) | (uint64_t)f4_get_le32(raw->i_size_hi) << 32;
	if ((f4_get_le16(raw->i_mode) & 0170000) != 0100000 || f4_get_le16(raw->i_links_count) == 0)
		return bad(vol, "inode %u is not a file in use", ino);
	if (size >> vol->block_bits == 0 || size >> vol->block_bits > vol->blocks_count ||
	    size >> vol->block_bits > INT32_MAX)
		return bad(vol, "size of %llu bytes", (unsigned long long)size);
	w.log_blks = (uint32_t)(size >> vol->block_bits);
	r = walk_inode(&w, raw);
	if (r == 0 && w.next < w.log_blks)
		r = bad(vol, "block %u of the log is missing", w.next);
	if (r < 0) {
		free(w.map);
		return r;
	}
	vol->state->log_map = w.map;
	vol->state->log_map_len = w.n;
	return 0;
}

static int load_external(struct f4_volume *vol, const struct f4_super *sb)
{
	struct f4_super log_sb;
	uint64_t blocks, first = vol->block_size == F4_MIN_BLOCK ? 2 : 1;
	int r;

	if (!vol->log_disk) {
		f4_volume_say(vol, LOG_ERR,
			      "the journal is on another device: name it with journal_path=");
		return -EINVAL;
	}
	r = f4_disk_read(vol->log_disk, &log_sb, sizeof(log_sb), F4_SB_OFFSET);
	if (r < 0)
		return r;
	if (f4_get_le16(log_sb.s_magic) != F4_SB_MAGIC ||
	    !(f4_get_le32(log_sb.s_feature_incompat) & F4_INCOMPAT_JOURNAL_DEV)) {
		f4_volume_say(vol, LOG_ERR, "journal_path= is not an external journal");
		return -EINVAL;
	}
	if (memcmp(log_sb.s_uuid, sb->s_journal_uuid, sizeof(log_sb.s_uuid)) != 0) {
		f4_volume_say(vol, LOG_ERR, "journal_path= is the journal of another filesystem");
		return -EINVAL;
	}
	blocks = f4_get_le32(log_sb.s_blocks_count_lo);
	if (f4_get_le32(log_sb.s_log_block_size) != vol->block_bits - 10)
		return bad(vol, "its device has another block size");
	if (blocks <= first + 1 || blocks > INT32_MAX ||
	    blocks > vol->log_disk->size_bytes >> vol->block_bits)
		return bad(vol, "its device has %llu blocks", (unsigned long long)blocks);
	/* Numbers in the log count from the start of the device; only its superblock is called 0. */
	vol->state->log_map = malloc(2 * sizeof(*vol->state->log_map));
	if (!vol->state->log_map)
		return -ENOMEM;
	vol->state->log_map[0] = (struct f4_log_extent){ .pblk = first, .log_blk = 0, .len = 1 };
	vol->state->log_map[1] = (struct f4_log_extent){
		.pblk = first + 1,
		.log_blk = (uint32_t)first + 1,
		.len = (uint32_t)(blocks - first - 1),
	};
	vol->state->log_map_len = 2;
	return 0;
}

int f4_log_map_load(struct f4_volume *vol, const struct f4_super *sb)
{
	uint32_t ino = f4_get_le32(sb->s_journal_inum);

	if (ino == 0)
		return load_external(vol, sb);
	if (vol->log_disk) {
		f4_volume_say(vol, LOG_ERR, "journal_path= given, but the journal is inside");
		return -EINVAL;
	}
	return load_internal(vol, ino);
}
