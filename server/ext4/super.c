/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The superblock: reading it, believing nothing of it, writing it.
 *
 * Every field that geometry is computed from is checked here, once, in 64-bit arithmetic; the rest
 * of the core computes with what is left in struct f4_volume. libext2fs is not asked for a second
 * opinion: its open checks a subset of this and would read the image by its own I/O.
 *
 * Source: kernel Documentation/filesystems/ext4/super.rst; the limits are those that the kernel's
 * and e2fsprogs' superblock checks enforce.
 */
#include "server/ext4/volume_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "server/ext4/csum.h"
#include "server/ext4/features.h"
#include "server/ext4/inode.h"

#define LOG_CLUSTER_MAX 20u /* with 1 KiB: clusters of 1 GiB */

#define bad(vol, ...) (f4_volume_say(vol, LOG_ERR, __VA_ARGS__), -EUCLEAN)

int f4_super_read(struct f4_volume *vol, struct f4_super *ret)
{
	/* sb= counts in KiB whatever the block size; the primary is at 1 KiB. */
	uint64_t pos = vol->opt.sb_block ? vol->opt.sb_block : 1;
	int r;

	if (pos > vol->disk->size_bytes / F4_SB_OFFSET ||
	    pos * F4_SB_OFFSET + F4_SB_SIZE > vol->disk->size_bytes) {
		f4_volume_say(vol, LOG_ERR, "too small for an ext4 superblock at %llu KiB",
			      (unsigned long long)pos);
		return -EINVAL;
	}
	r = f4_disk_read(vol->disk, ret, sizeof(*ret), pos * F4_SB_OFFSET);
	if (r < 0)
		f4_volume_say(vol, LOG_ERR, "superblock: %s", strerror(-r));
	return r;
}

static uint32_t super_csum(const struct f4_super *sb)
{
	return f4_crc32c(~0u, sb, offsetof(struct f4_super, s_checksum));
}

void f4_super_seal(const struct f4_volume *vol, struct f4_super *sb)
{
	if (f4_has_ro_compat(vol, F4_RO_COMPAT_METADATA_CSUM))
		sb->s_checksum = f4_mk_le32(super_csum(sb));
}

void f4_super_set_time(f4_le32 *lo, uint8_t *hi, uint64_t seconds)
{
	*lo = f4_mk_le32((uint32_t)seconds);
	*hi = (uint8_t)(seconds >> 32);
}

static int check_identity(struct f4_volume *vol, const struct f4_super *sb)
{
	uint32_t ro;

	if (f4_get_le16(sb->s_magic) != F4_SB_MAGIC) {
		f4_volume_say(vol, LOG_ERR, "no ext2, ext3 or ext4 superblock here");
		return -EINVAL;
	}
	ro = f4_get_le32(sb->s_feature_ro_compat);
	if (ro & F4_RO_COMPAT_METADATA_CSUM) {
		if (sb->s_checksum_type != 1)
			return bad(vol, "superblock: unknown checksum type %u", sb->s_checksum_type);
		if (f4_get_le32(sb->s_checksum) != super_csum(sb))
			return bad(vol, "superblock: checksum is 0x%08x, should be 0x%08x",
				   f4_get_le32(sb->s_checksum), super_csum(sb));
	}
	return 0;
}

static int check_features(struct f4_volume *vol, const struct f4_super *sb)
{
	char names[256];
	enum f4_feature_verdict v;
	uint32_t rev = f4_get_le32(sb->s_rev_level);

	vol->compat = f4_get_le32(sb->s_feature_compat);
	vol->incompat = f4_get_le32(sb->s_feature_incompat);
	vol->ro_compat = f4_get_le32(sb->s_feature_ro_compat);
	v = f4_features_check(vol->compat, vol->incompat, vol->ro_compat, names, sizeof(names));
	if (v == F4_FEATURE_REFUSE) {
		f4_volume_say(vol, LOG_ERR, "this filesystem has features that fuse4fs can't read: %s", names);
		return -EOPNOTSUPP;
	}
	if (rev > 1 && v != F4_FEATURE_READ) {
		(void)snprintf(names, sizeof(names), "revision level %u", rev);
		v = F4_FEATURE_READ;
	}
	if (v == F4_FEATURE_READ && !vol->opt.read_only && !vol->state->features_read_only)
		f4_volume_say(vol, LOG_WARNING,
			      "mounted read-only: fuse4fs can't write a filesystem with %s", names);
	vol->state->features_read_only = v == F4_FEATURE_READ;
	vol->has_csum = f4_has_ro_compat(vol, F4_RO_COMPAT_METADATA_CSUM);
	vol->has_gdt_csum = vol->has_csum || f4_has_ro_compat(vol, F4_RO_COMPAT_GDT_CSUM);
	if (f4_has_ro_compat(vol, F4_RO_COMPAT_BIGALLOC) &&
	    !f4_has_incompat(vol, F4_INCOMPAT_EXTENTS))
		return bad(vol, "superblock: bigalloc without extents");
	return 0;
}

static int check_block_size(struct f4_volume *vol, const struct f4_super *sb)
{
	uint32_t log = f4_get_le32(sb->s_log_block_size);
	uint32_t log_clu = f4_get_le32(sb->s_log_cluster_size);

	if (log > 6)
		return bad(vol, "superblock: block size 1024 << %u is too large", log);
	vol->block_bits = 10 + log;
	vol->block_size = 1u << vol->block_bits;
	vol->cluster_bits = 0;
	if (f4_has_ro_compat(vol, F4_RO_COMPAT_BIGALLOC)) {
		if (log_clu < log || log_clu > LOG_CLUSTER_MAX)
			return bad(vol, "superblock: cluster size 1024 << %u with blocks of %u",
				   log_clu, vol->block_size);
		vol->cluster_bits = log_clu - log;
	} else if (log_clu != log) {
		return bad(vol, "superblock: cluster size 1024 << %u without bigalloc", log_clu);
	}
	vol->cluster_ratio = 1u << vol->cluster_bits;
	return 0;
}

static int check_inode_fields(struct f4_volume *vol, const struct f4_super *sb)
{
	bool dynamic = f4_get_le32(sb->s_rev_level) > 0;
	uint32_t want = sizeof(struct f4_raw_inode) - F4_GOOD_OLD_INODE_SIZE;
	uint32_t size = dynamic ? f4_get_le16(sb->s_inode_size) : F4_GOOD_OLD_INODE_SIZE;

	if (size < F4_GOOD_OLD_INODE_SIZE || size > vol->block_size || (size & (size - 1)))
		return bad(vol, "superblock: inode size %u", size);
	vol->inode_size = size;
	vol->inodes_per_block = vol->block_size / size;
	vol->first_ino = dynamic ? f4_get_le32(sb->s_first_ino) : F4_GOOD_OLD_FIRST_INO;
	if (vol->first_ino < F4_GOOD_OLD_FIRST_INO)
		return bad(vol, "superblock: first inode %u", vol->first_ino);
	if (size == F4_GOOD_OLD_INODE_SIZE) {
		want = 0;
	} else if (f4_has_ro_compat(vol, F4_RO_COMPAT_EXTRA_ISIZE)) {
		uint32_t w = f4_get_le16(sb->s_want_extra_isize);
		uint32_t min = f4_get_le16(sb->s_min_extra_isize);

		w = w > min ? w : min;
		if (w > want && w <= size - F4_GOOD_OLD_INODE_SIZE && w % 4 == 0)
			want = w;
	}
	vol->want_extra_isize = want;
	return 0;
}

/* Blocks, first data block, and what the image can hold. */
static int check_blocks(struct f4_volume *vol, const struct f4_super *sb)
{
	uint64_t n = f4_get_le32(sb->s_blocks_count_lo), have;
	uint32_t first = f4_get_le32(sb->s_first_data_block);

	if (f4_has_incompat(vol, F4_INCOMPAT_64BIT))
		n |= (uint64_t)f4_get_le32(sb->s_blocks_count_hi) << 32;
	if (first > (vol->block_size == F4_MIN_BLOCK) ||
	    (first == 0 && vol->block_size == F4_MIN_BLOCK && vol->cluster_ratio == 1))
		return bad(vol, "superblock: first data block %u with blocks of %u", first,
			   vol->block_size);
	if (n >> 48 || n <= (uint64_t)first + 1)
		return bad(vol, "superblock: block count %llu", (unsigned long long)n);
	have = vol->disk->size_bytes >> vol->block_bits;
	if (n > have)
		return bad(vol,
			   "the filesystem has %llu blocks of %u bytes, but the image ends after "
			   "%llu: it was cut short",
			   (unsigned long long)n, vol->block_size, (unsigned long long)have);
	vol->blocks_count = n;
	vol->first_data_block = first;
	vol->sb_blk = ((vol->opt.sb_block ? vol->opt.sb_block : 1) * F4_SB_OFFSET) >> vol->block_bits;
	return 0;
}

static int check_groups(struct f4_volume *vol, const struct f4_super *sb)
{
	uint32_t bpg = f4_get_le32(sb->s_blocks_per_group);
	uint32_t cpg = f4_get_le32(sb->s_clusters_per_group);
	uint32_t ipg = f4_get_le32(sb->s_inodes_per_group);
	uint32_t max_bits = vol->block_size * 8;
	uint64_t groups, inodes;

	if (vol->cluster_ratio == 1)
		cpg = bpg; /* the field meant fragments once */
	if (bpg == 0 || cpg == 0 || cpg > max_bits ||
	    bpg != (uint64_t)cpg << vol->cluster_bits)
		return bad(vol, "superblock: %u blocks in %u clusters per group", bpg, cpg);
	if (ipg < vol->inodes_per_block || ipg > max_bits)
		return bad(vol, "superblock: %u inodes per group", ipg);
	groups = (vol->blocks_count - vol->first_data_block + bpg - 1) / bpg;
	inodes = groups * ipg; /* below 2^48 * 2^19 */
	/* Nobody makes many tiny groups, and walking over them takes time: mke2fs starts at 256. */
	if (bpg < 256 && groups > UINT16_MAX)
		return bad(vol, "superblock: %llu groups of %u blocks", (unsigned long long)groups, bpg);
	if (groups > UINT32_MAX / 8 || inodes > UINT32_MAX ||
	    inodes != f4_get_le32(sb->s_inodes_count))
		return bad(vol, "superblock: %u inodes in %llu groups of %u",
			   f4_get_le32(sb->s_inodes_count), (unsigned long long)groups, ipg);
	if (vol->first_ino > inodes)
		return bad(vol, "superblock: first inode %u of %llu", vol->first_ino,
			   (unsigned long long)inodes);
	vol->blocks_per_group = bpg;
	vol->clusters_per_group = cpg;
	vol->inodes_per_group = ipg;
	vol->groups_count = (uint32_t)groups;
	vol->inodes_count = (uint32_t)inodes;
	return 0;
}

static int check_descriptors(struct f4_volume *vol, const struct f4_super *sb)
{
	uint32_t size = 32, blocks, reserved = 0, flex = sb->s_log_groups_per_flex;

	if (f4_has_incompat(vol, F4_INCOMPAT_64BIT)) {
		size = f4_get_le16(sb->s_desc_size);
		if (size < sizeof(struct f4_group_desc) || size > F4_MIN_BLOCK || (size & (size - 1)))
			return bad(vol, "superblock: descriptor size %u", size);
	}
	vol->desc_size = size;
	vol->desc_per_block = vol->block_size / size;
	blocks = (vol->groups_count + vol->desc_per_block - 1) / vol->desc_per_block;
	vol->first_meta_bg = blocks;
	if (f4_has_incompat(vol, F4_INCOMPAT_META_BG)) {
		vol->first_meta_bg = f4_get_le32(sb->s_first_meta_bg);
		if (vol->first_meta_bg > blocks)
			return bad(vol, "superblock: first meta block group %u of %u",
				   vol->first_meta_bg, blocks);
	}
	if (f4_has_compat(vol, F4_COMPAT_RESIZE_INODE))
		reserved = f4_get_le16(sb->s_reserved_gdt_blocks);
	if (reserved > vol->block_size / 4)
		return bad(vol, "superblock: %u reserved descriptor blocks", reserved);
	vol->reserved_gdt_blocks = reserved;
	if (vol->sb_blk + 1 + vol->first_meta_bg >= vol->blocks_count)
		return bad(vol, "superblock: %u descriptor blocks in %llu blocks",
			   vol->first_meta_bg, (unsigned long long)vol->blocks_count);
	/* The kernel treats what is out of range as no flex groups at all. */
	vol->flex_bits = f4_has_incompat(vol, F4_INCOMPAT_FLEX_BG) && flex >= 1 &&
					 flex <= F4_MAX_LOG_GROUPS_PER_FLEX ?
				 flex :
				 0;
	return 0;
}

/* How names are hashed: with or without sign was chosen by the machine that made the filesystem. */
static int load_hash(struct f4_volume *vol, const struct f4_super *sb)
{
	uint32_t flags = f4_get_le32(sb->s_flags);
	uint8_t v = sb->s_def_hash_version;

	if (v > F4_HASH_SIPHASH)
		return bad(vol, "superblock: directory hash version %u", v);
	for (size_t i = 0; i < 4; i++)
		vol->hash_seed[i] = f4_get_le32(sb->s_hash_seed[i]);
	if (v <= F4_HASH_TEA && (flags & F4_FLAGS_UNSIGNED_HASH))
		v += F4_HASH_LEGACY_UNSIGNED - F4_HASH_LEGACY;
	vol->def_hash_version = v;
	return 0;
}

static void load_limits(struct f4_volume *vol)
{
	uint64_t ptrs = vol->block_size / 4, blocks;
	uint64_t max = (uint64_t)INT64_MAX;

	/* The last logical block number is kept free, as the kernel keeps it. */
	vol->max_file_bytes_extents = ((uint64_t)UINT32_MAX << vol->block_bits);
	blocks = F4_NDIR_BLOCKS + ptrs + ptrs * ptrs + ptrs * ptrs * ptrs;
	if (!f4_has_ro_compat(vol, F4_RO_COMPAT_HUGE_FILE)) {
		/* i_blocks counts 512-byte units in 32 bits: data and pointer blocks together. */
		uint64_t units = (uint64_t)UINT32_MAX >> (vol->block_bits - 9);
		uint64_t meta = units / ptrs + units / ptrs / ptrs + 4;

		if (vol->max_file_bytes_extents >> vol->block_bits > units - meta)
			vol->max_file_bytes_extents = (units - meta) << vol->block_bits;
		if (blocks > units - meta)
			blocks = units - meta;
	}
	if (blocks > UINT32_MAX)
		blocks = UINT32_MAX;
	vol->max_file_bytes_blockmap = blocks << vol->block_bits;
	if (vol->max_file_bytes_extents > max)
		vol->max_file_bytes_extents = max;
}

/* What the filesystem's owner wants of every mount, unless it is asked for otherwise. ACLs and user
 * attributes are always on, whatever the bits say, as with the kernel. */
static void load_defaults(struct f4_volume *vol, const struct f4_super *sb)
{
	struct f4_volume_options *opt = &vol->opt;
	uint32_t defaults = f4_get_le32(sb->s_default_mount_opts);

	if (!(opt->named & F4_NAMED_DATA_MODE) && f4_has_compat(vol, F4_COMPAT_HAS_JOURNAL) &&
	    (defaults & F4_DEFM_JMODE) == F4_DEFM_JMODE_DATA)
		opt->data_mode = F4_DATA_JOURNAL;
	if (!(opt->named & F4_NAMED_BARRIER) && (defaults & F4_DEFM_NOBARRIER))
		opt->no_barrier = true;
	if (!(opt->named & F4_NAMED_DISCARD) && (defaults & F4_DEFM_DISCARD))
		opt->discard = true;
	if (!(opt->named & F4_NAMED_BSD_GROUPS) && (defaults & F4_DEFM_BSDGROUPS))
		opt->bsd_groups = true;
	vol->ids_16bit = (defaults & F4_DEFM_UID16) != 0;
}

static void load_identity(struct f4_volume *vol, const struct f4_super *sb)
{
	uint64_t reserved = f4_get_le32(sb->s_r_blocks_count_lo);
	uint64_t clusters = vol->blocks_count >> vol->cluster_bits;

	const uint32_t special[] = {
		f4_get_le32(sb->s_journal_inum),
		f4_has_ro_compat(vol, F4_RO_COMPAT_QUOTA) ? f4_get_le32(sb->s_usr_quota_inum) : 0,
		f4_has_ro_compat(vol, F4_RO_COMPAT_QUOTA) ? f4_get_le32(sb->s_grp_quota_inum) : 0,
		f4_has_ro_compat(vol, F4_RO_COMPAT_PROJECT) ? f4_get_le32(sb->s_prj_quota_inum) : 0,
		f4_has_compat(vol, F4_COMPAT_ORPHAN_FILE) ? f4_get_le32(sb->s_orphan_file_inum) : 0,
	};

	static_assert(sizeof(special) == sizeof(vol->state->special_ino), "special inodes");
	memcpy(vol->state->special_ino, special, sizeof(special));
	vol->state->mmp_place = (struct f4_mmp_place){
		.blk = f4_get_le64(sb->s_mmp_block),
		.interval = f4_get_le16(sb->s_mmp_update_interval),
	};
	memcpy(vol->uuid, sb->s_uuid, sizeof(vol->uuid));
	for (size_t i = 0; i < 2; i++)
		vol->backup_bgs[i] = f4_get_le32(sb->s_backup_bgs[i]);
	memcpy(vol->label, sb->s_volume_name, sizeof(sb->s_volume_name));
	vol->label[sizeof(sb->s_volume_name)] = '\0';
	vol->csum_seed = f4_has_incompat(vol, F4_INCOMPAT_CSUM_SEED) ?
				 f4_get_le32(sb->s_checksum_seed) :
				 f4_crc32c(~0u, sb->s_uuid, sizeof(sb->s_uuid));
	if (f4_has_incompat(vol, F4_INCOMPAT_64BIT))
		reserved |= (uint64_t)f4_get_le32(sb->s_r_blocks_count_hi) << 32;
	reserved >>= vol->cluster_bits;
	vol->reserved_clusters = reserved < clusters ? reserved : clusters;
	vol->resuid = vol->opt.resuid >= 0 ? (uint32_t)vol->opt.resuid : f4_get_le16(sb->s_def_resuid);
	vol->resgid = vol->opt.resgid >= 0 ? (uint32_t)vol->opt.resgid : f4_get_le16(sb->s_def_resgid);
}

int f4_super_parse(struct f4_volume *vol, const struct f4_super *sb)
{
	static int (*const steps[])(struct f4_volume *, const struct f4_super *) = {
		check_identity,	    check_features,    check_block_size,  check_blocks,
		check_inode_fields, check_groups,      check_descriptors, load_hash,
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(steps); i++) {
		int r = steps[i](vol, sb);

		if (r < 0)
			return r;
	}
	load_limits(vol);
	load_identity(vol, sb);
	load_defaults(vol, sb);
	return 0;
}

int f4_super_counters(struct f4_volume *vol, const struct f4_super *sb)
{
	uint64_t clusters = f4_get_le32(sb->s_free_blocks_count_lo);
	uint32_t inodes = f4_get_le32(sb->s_free_inodes_count);

	if (f4_has_incompat(vol, F4_INCOMPAT_64BIT))
		clusters |= (uint64_t)f4_get_le32(sb->s_free_blocks_count_hi) << 32;
	clusters >>= vol->cluster_bits; /* the superblock counts blocks, the descriptors clusters */
	if (clusters > vol->blocks_count >> vol->cluster_bits || inodes > vol->inodes_count)
		return -EUCLEAN;
	atomic_store(&vol->free_clusters, (int64_t)clusters);
	atomic_store(&vol->free_inodes, (int64_t)inodes);
	return 0;
}
