/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the fixed metadata of a group lies: copies of the superblock, descriptor blocks, checksums.
 *
 * Source: kernel Documentation/filesystems/ext4/blockgroup.rst, group_descr.rst, checksums.rst.
 */
#include "server/ext4/group.h"

#include "server/ext4/csum.h"
#include "server/ext4/group_priv.h"

uint32_t f4_group_blocks(const struct f4_volume *vol, uint32_t group)
{
	if (group + 1 < vol->groups_count)
		return vol->blocks_per_group;
	return (uint32_t)(vol->blocks_count - f4_group_first_blk(vol, group));
}

uint32_t f4_group_clusters(const struct f4_volume *vol, uint32_t group)
{
	return (f4_group_blocks(vol, group) + vol->cluster_ratio - 1) >> vol->cluster_bits;
}

static bool is_power_of(uint32_t n, uint32_t base)
{
	while (n % base == 0)
		n /= base;
	return n == 1;
}

bool f4_group_has_super(const struct f4_volume *vol, uint32_t group)
{
	if (group == 0)
		return true;
	if (f4_has_compat(vol, F4_COMPAT_SPARSE_SUPER2))
		return group == vol->backup_bgs[0] || group == vol->backup_bgs[1];
	if (group == 1 || !f4_has_ro_compat(vol, F4_RO_COMPAT_SPARSE_SUPER))
		return true;
	return is_power_of(group, 3) || is_power_of(group, 5) || is_power_of(group, 7);
}

/* Descriptor blocks in @group under meta_bg: the first, second and last group of each have one. */
static uint32_t meta_bg_desc_blocks(const struct f4_volume *vol, uint32_t group)
{
	uint32_t in_meta = group % vol->desc_per_block;

	return in_meta == 0 || in_meta == 1 || in_meta == vol->desc_per_block - 1;
}

uint32_t f4_group_base_blocks(const struct f4_volume *vol, uint32_t group)
{
	uint32_t blocks = f4_group_has_super(vol, group), max = f4_group_blocks(vol, group);

	/* first_meta_bg counts descriptor blocks; without the feature all of them are "old style". */
	if ((uint64_t)group < (uint64_t)vol->first_meta_bg * vol->desc_per_block)
		blocks += blocks ? vol->first_meta_bg + vol->reserved_gdt_blocks : 0;
	else
		blocks += meta_bg_desc_blocks(vol, group);
	/* With 1 KiB blocks and data from block 0 (bigalloc), the superblock is block 1 of group 0. */
	if (group == 0 && vol->block_size == F4_MIN_BLOCK && vol->first_data_block == 0)
		blocks++;
	return blocks < max ? blocks : max;
}

uint64_t f4_group_desc_blk(const struct f4_volume *vol, uint32_t group)
{
	uint32_t nr = group / vol->desc_per_block, first = nr * vol->desc_per_block;
	uint64_t off;

	if (nr < vol->first_meta_bg)
		return vol->sb_blk + 1 + nr;
	off = f4_group_has_super(vol, first);
	if (nr == 0 && vol->block_size == F4_MIN_BLOCK && vol->first_data_block == 0)
		off++;
	return f4_group_first_blk(vol, first) + off;
}

uint32_t f4_group_desc_off(const struct f4_volume *vol, uint32_t group)
{
	return group % vol->desc_per_block * vol->desc_size;
}

static uint16_t desc_crc32c(const struct f4_volume *vol, uint32_t group,
			    const struct f4_group_desc *desc)
{
	const uint8_t *p = (const uint8_t *)desc;
	const size_t at = offsetof(struct f4_group_desc, bg_checksum), after = at + 2;
	const uint16_t zero = 0;
	f4_le32 le_group = f4_mk_le32(group);
	uint32_t crc;

	crc = f4_crc32c(vol->csum_seed, &le_group, sizeof(le_group));
	crc = f4_crc32c(crc, p, at);
	crc = f4_crc32c(crc, &zero, sizeof(zero));
	crc = f4_crc32c(crc, p + after, vol->desc_size - after);
	return (uint16_t)crc;
}

static uint16_t desc_crc16(const struct f4_volume *vol, uint32_t group,
			   const struct f4_group_desc *desc)
{
	const uint8_t *p = (const uint8_t *)desc;
	const size_t at = offsetof(struct f4_group_desc, bg_checksum), after = at + 2;
	f4_le32 le_group = f4_mk_le32(group);
	uint16_t crc;

	crc = f4_crc16(0xffff, vol->uuid, sizeof(vol->uuid));
	crc = f4_crc16(crc, &le_group, sizeof(le_group));
	crc = f4_crc16(crc, p, at);
	if (vol->desc_size > after)
		crc = f4_crc16(crc, p + after, vol->desc_size - after);
	return crc;
}

uint16_t f4_group_desc_csum(const struct f4_volume *vol, uint32_t group,
			    const struct f4_group_desc *desc)
{
	return vol->has_csum ? desc_crc32c(vol, group, desc) : desc_crc16(vol, group, desc);
}

bool f4_group_desc_csum_ok(const struct f4_volume *vol, uint32_t group,
			   const struct f4_group_desc *desc)
{
	return !vol->has_gdt_csum ||
	       f4_get_le16(desc->bg_checksum) == f4_group_desc_csum(vol, group, desc);
}
