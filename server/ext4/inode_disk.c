/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inode as it is on disk: reading it with suspicion, writing it with its checksum.
 *
 * Fields behind the first 128 bytes exist as far as i_extra_isize says. An inode that says 0 there
 * (made by a system that knew no extra fields) is taken as having room for them: in memory at once,
 * on disk with the first change, which also clears what lay there.
 *
 * Source: kernel Documentation/filesystems/ext4/inodes.rst, checksums.rst, the timestamp rule of
 * its "Inode Timestamps" section.
 */
#include "server/ext4/inode.h"

#include <string.h>

#include "server/ext4/csum.h"
#include "server/ext4/group.h"
#include "server/ext4/inode_priv.h"

#define S_FMT 0170000u
#define NSEC  1000000000u
/* The kernel's fs_high2lowuid: 65534 unless a sysctl says otherwise. */
#define OWNER_OVERFLOW 65534u
#define BASE_EXTRA ((uint16_t)(sizeof(struct f4_raw_inode) - F4_GOOD_OLD_INODE_SIZE))

/* Does @field lie in the part that i_extra_isize covers? */
#define FITS(extra, field)                                                                    \
	(offsetof(struct f4_raw_inode, field) + sizeof(((struct f4_raw_inode *)0)->field) <= \
	 F4_GOOD_OLD_INODE_SIZE + (size_t)(extra))

uint32_t f4_inode_seed(const struct f4_volume *vol, uint32_t ino, uint32_t generation)
{
	f4_le32 le[2] = { f4_mk_le32(ino), f4_mk_le32(generation) };

	return f4_crc32c(vol->csum_seed, le, sizeof(le));
}

static uint16_t raw_extra(const struct f4_volume *vol, const uint8_t *raw)
{
	const struct f4_raw_inode *ri = (const void *)raw;

	return vol->inode_size > F4_GOOD_OLD_INODE_SIZE ? f4_get_le16(ri->i_extra_isize) : 0;
}

/* The checksum over @raw with its own two fields taken as zero. */
static uint32_t raw_csum(const struct f4_volume *vol, uint32_t seed, const uint8_t *raw, bool *ret_wide)
{
	const size_t lo = offsetof(struct f4_raw_inode, i_checksum_lo);
	const size_t hi = offsetof(struct f4_raw_inode, i_checksum_hi);
	const uint16_t zero = 0;
	uint32_t crc = f4_crc32c(seed, raw, lo);
	size_t at = hi;

	crc = f4_crc32c(crc, &zero, sizeof(zero));
	crc = f4_crc32c(crc, raw + lo + 2, F4_GOOD_OLD_INODE_SIZE - lo - 2);
	*ret_wide = FITS(raw_extra(vol, raw), i_checksum_hi);
	if (vol->inode_size == F4_GOOD_OLD_INODE_SIZE)
		return crc;
	crc = f4_crc32c(crc, raw + F4_GOOD_OLD_INODE_SIZE, hi - F4_GOOD_OLD_INODE_SIZE);
	if (*ret_wide) {
		crc = f4_crc32c(crc, &zero, sizeof(zero));
		at += 2;
	}
	return f4_crc32c(crc, raw + at, vol->inode_size - at);
}

bool f4_inode_raw_csum_ok(const struct f4_volume *vol, uint32_t ino, const uint8_t *raw)
{
	const struct f4_raw_inode *ri = (const void *)raw;
	uint32_t seed, want, got;
	bool wide;

	if (!vol->has_csum)
		return true;
	seed = f4_inode_seed(vol, ino, f4_get_le32(ri->i_generation));
	want = raw_csum(vol, seed, raw, &wide);
	got = f4_get_le16(ri->i_checksum_lo);
	if (wide)
		got |= (uint32_t)f4_get_le16(ri->i_checksum_hi) << 16;
	else
		want &= 0xffff;
	return got == want;
}

void f4_inode_raw_seal(const struct f4_volume *vol, uint32_t seed, uint8_t *raw)
{
	struct f4_raw_inode *ri = (void *)raw;
	uint32_t crc;
	bool wide;

	if (!vol->has_csum)
		return;
	crc = raw_csum(vol, seed, raw, &wide);
	ri->i_checksum_lo = f4_mk_le16((uint16_t)crc);
	if (wide)
		ri->i_checksum_hi = f4_mk_le16((uint16_t)(crc >> 16));
}

void f4_inode_raw_widen(const struct f4_volume *vol, uint8_t *raw)
{
	struct f4_raw_inode *ri = (void *)raw;

	if (vol->inode_size == F4_GOOD_OLD_INODE_SIZE || raw_extra(vol, raw) != 0)
		return;
	memset(raw + F4_GOOD_OLD_INODE_SIZE, 0, vol->inode_size - F4_GOOD_OLD_INODE_SIZE);
	ri->i_extra_isize = f4_mk_le16(BASE_EXTRA);
}

static struct timespec time_decode(f4_le32 sec, bool has_extra, f4_le32 extra)
{
	struct timespec ts = { .tv_sec = (int32_t)f4_get_le32(sec) };

	if (has_extra) {
		uint32_t x = f4_get_le32(extra), ns = x >> 2;

		ts.tv_sec += (int64_t)(x & 3) << 32;
		ts.tv_nsec = ns < NSEC ? ns : NSEC - 1;
	}
	return ts;
}

static struct timespec time_clamp(bool has_extra, struct timespec ts)
{
	int64_t max = has_extra ? (int64_t)INT32_MIN + ((1ll << 34) - 1) : INT32_MAX;

	if (ts.tv_sec < INT32_MIN || ts.tv_sec > max) {
		ts.tv_sec = ts.tv_sec < INT32_MIN ? INT32_MIN : max;
		ts.tv_nsec = 0;
	}
	if (!has_extra)
		ts.tv_nsec = 0;
	return ts;
}

struct timespec f4_inode_clamp_time(const struct f4_inode *inode, struct timespec ts)
{
	return time_clamp(FITS(inode->extra_isize, i_atime_extra), ts);
}

static f4_le32 time_lo(struct timespec ts)
{
	return f4_mk_le32((uint32_t)ts.tv_sec);
}

static f4_le32 time_extra(struct timespec ts)
{
	uint32_t epoch = (uint32_t)((ts.tv_sec - (int32_t)ts.tv_sec) >> 32) & 3;

	return f4_mk_le32(epoch | (uint32_t)ts.tv_nsec << 2);
}

static void decode_times(struct f4_inode *inode, const struct f4_raw_inode *ri)
{
	uint16_t extra = inode->extra_isize;
	const f4_le32 none = { 0 };
	/* Absent fields lie outside a short inode: not even looked at. */
	bool c = FITS(extra, i_ctime_extra), m = FITS(extra, i_mtime_extra);
	bool a = FITS(extra, i_atime_extra), cr = FITS(extra, i_crtime_extra);

	inode->ctime = time_decode(ri->i_ctime, c, c ? ri->i_ctime_extra : none);
	inode->mtime = time_decode(ri->i_mtime, m, m ? ri->i_mtime_extra : none);
	inode->atime = time_decode(ri->i_atime, a, a ? ri->i_atime_extra : none);
	inode->crtime = (struct timespec){ 0 };
	if (FITS(extra, i_crtime))
		inode->crtime = time_decode(ri->i_crtime, cr, cr ? ri->i_crtime_extra : none);
}

static void decode_counts(struct f4_inode *inode, const struct f4_raw_inode *ri)
{
	const struct f4_volume *vol = inode->vol;

	inode->size = f4_get_le32(ri->i_size_lo);
	if (f4_is_reg(inode) || f4_has_incompat(vol, F4_INCOMPAT_LARGEDIR))
		inode->size |= (uint64_t)f4_get_le32(ri->i_size_hi) << 32;
	inode->blocks = f4_get_le32(ri->i_blocks_lo);
	if (f4_has_ro_compat(vol, F4_RO_COMPAT_HUGE_FILE)) {
		inode->blocks |= (uint64_t)f4_get_le16(ri->i_blocks_hi) << 32;
		if (inode->flags & F4_FL_HUGE_FILE)
			inode->blocks <<= vol->block_bits - 9;
	}
	inode->file_acl = f4_get_le32(ri->i_file_acl_lo);
	if (f4_has_incompat(vol, F4_INCOMPAT_64BIT))
		inode->file_acl |= (uint64_t)f4_get_le16(ri->i_file_acl_hi) << 32;
	inode->version = f4_get_le32(ri->i_version_lo);
	if (FITS(inode->extra_isize, i_version_hi))
		inode->version |= (uint64_t)f4_get_le32(ri->i_version_hi) << 32;
	inode->projid = 0;
	if (f4_has_ro_compat(vol, F4_RO_COMPAT_PROJECT) && FITS(inode->extra_isize, i_projid))
		inode->projid = f4_get_le32(ri->i_projid);
}

static const char *check_flags(const struct f4_inode *inode)
{
	const struct f4_volume *vol = inode->vol;

	if ((inode->flags & F4_FL_EXTENTS) && !f4_has_incompat(vol, F4_INCOMPAT_EXTENTS))
		return "extents in a filesystem without them";
	if ((inode->flags & F4_FL_INLINE_DATA) && !f4_has_incompat(vol, F4_INCOMPAT_INLINE_DATA))
		return "inline data in a filesystem without it";
	if ((inode->flags & F4_FL_EA_INODE) && !f4_has_incompat(vol, F4_INCOMPAT_EA_INODE))
		return "an attribute's inode in a filesystem without them";
	if ((inode->flags & F4_FL_CASEFOLD) && !f4_has_incompat(vol, F4_INCOMPAT_CASEFOLD))
		return "a casefolded directory in a filesystem without them";
	if ((inode->flags & F4_FL_INLINE_DATA) && !f4_is_reg(inode) && !f4_is_dir(inode) &&
	    !f4_is_lnk(inode))
		return "inline data in a special file";
	return NULL;
}

static const char *check_fields(struct f4_inode *inode)
{
	struct f4_volume *vol = inode->vol;
	uint16_t type = inode->mode & S_FMT;
	const char *problem;

	/* fifo, char, dir, block, regular, symlink, socket: 1 2 4 6 8 10 12 */
	if (!((1u << (type >> 12)) & 0x1556u))
		return "unknown file type";
	problem = check_flags(inode);
	if (problem)
		return problem;
	if (inode->size >> vol->block_bits > UINT32_MAX)
		return "size is out of range";
	if (f4_is_lnk(inode) && inode->size > vol->block_size)
		return "symbolic link is too long";
	if (f4_inode_is_fast_symlink(inode) && inode->size >= F4_I_BLOCK_BYTES)
		return "symbolic link is longer than the inode";
	if (inode->file_acl && !f4_volume_blocks_ok(vol, inode->file_acl, 1))
		return "attribute block is out of place";
	return NULL;
}

static uint32_t owner_decode(const struct f4_volume *vol, f4_le16 lo, f4_le16 hi)
{
	return f4_get_le16(lo) | (vol->ids_16bit ? 0 : (uint32_t)f4_get_le16(hi) << 16);
}

/* Where 16 bits are all, larger numbers become the one that stands for "too large". */
static void owner_encode(const struct f4_volume *vol, uint32_t id, f4_le16 *lo, f4_le16 *hi)
{
	if (vol->ids_16bit && id > UINT16_MAX)
		id = OWNER_OVERFLOW;
	*lo = f4_mk_le16((uint16_t)id);
	*hi = f4_mk_le16((uint16_t)(id >> 16));
}

const char *f4_inode_decode(struct f4_inode *inode, const uint8_t *raw)
{
	const struct f4_raw_inode *ri = (const void *)raw;
	struct f4_volume *vol = inode->vol;
	uint16_t extra = raw_extra(vol, raw);

	if (vol->inode_size > F4_GOOD_OLD_INODE_SIZE &&
	    (extra > vol->inode_size - F4_GOOD_OLD_INODE_SIZE || extra % 4))
		return "i_extra_isize is out of range";
	inode->extra_isize = extra;
	if (extra == 0 && vol->inode_size > F4_GOOD_OLD_INODE_SIZE)
		inode->extra_isize = BASE_EXTRA;
	inode->mode = f4_get_le16(ri->i_mode);
	inode->uid = owner_decode(vol, ri->i_uid_lo, ri->i_uid_hi);
	inode->gid = owner_decode(vol, ri->i_gid_lo, ri->i_gid_hi);
	inode->links = f4_get_le16(ri->i_links_count);
	inode->flags = f4_get_le32(ri->i_flags);
	inode->generation = f4_get_le32(ri->i_generation);
	inode->csum_seed = f4_inode_seed(vol, inode->ino, inode->generation);
	inode->dtime = f4_get_le32(ri->i_dtime);
	memcpy(inode->i_block, ri->i_block, sizeof(inode->i_block));
	decode_counts(inode, ri);
	if (extra == 0)
		inode->extra_isize = 0; /* what lies there now is not times */
	decode_times(inode, ri);
	if (extra == 0 && vol->inode_size > F4_GOOD_OLD_INODE_SIZE)
		inode->extra_isize = BASE_EXTRA;
	return check_fields(inode);
}

static void encode_times(const struct f4_inode *inode, struct f4_raw_inode *ri)
{
	uint16_t extra = inode->extra_isize;
	bool c = FITS(extra, i_ctime_extra), m = FITS(extra, i_mtime_extra);
	bool a = FITS(extra, i_atime_extra), cr = FITS(extra, i_crtime_extra);
	struct timespec ctime = time_clamp(c, inode->ctime), mtime = time_clamp(m, inode->mtime);
	struct timespec atime = time_clamp(a, inode->atime), crtime = time_clamp(cr, inode->crtime);

	ri->i_ctime = time_lo(ctime);
	ri->i_mtime = time_lo(mtime);
	ri->i_atime = time_lo(atime);
	if (c)
		ri->i_ctime_extra = time_extra(ctime);
	if (m)
		ri->i_mtime_extra = time_extra(mtime);
	if (a)
		ri->i_atime_extra = time_extra(atime);
	if (FITS(extra, i_crtime))
		ri->i_crtime = time_lo(crtime);
	if (cr)
		ri->i_crtime_extra = time_extra(crtime);
}

/* i_blocks: 32 bits of 512-byte units, else 48 bits of them, else 48 bits of blocks. */
static void encode_blocks(struct f4_inode *inode, struct f4_raw_inode *ri)
{
	uint64_t n = inode->blocks;
	bool huge = n >> 48;

	if (huge)
		n >>= inode->vol->block_bits - 9;
	/* Hardly ever: the flags are also looked at without the lock (f4_file_max_bytes). */
	if (huge != !!(inode->flags & F4_FL_HUGE_FILE))
		inode->flags ^= F4_FL_HUGE_FILE;
	ri->i_blocks_lo = f4_mk_le32((uint32_t)n);
	/* Without huge_file no file gets that large: f4_volume.max_file_bytes_*. */
	if (f4_has_ro_compat(inode->vol, F4_RO_COMPAT_HUGE_FILE))
		ri->i_blocks_hi = f4_mk_le16((uint16_t)(n >> 32));
}

static void encode_sizes(struct f4_inode *inode, struct f4_raw_inode *ri)
{
	const struct f4_volume *vol = inode->vol;

	ri->i_size_lo = f4_mk_le32((uint32_t)inode->size);
	if (f4_is_reg(inode) || f4_has_incompat(vol, F4_INCOMPAT_LARGEDIR))
		ri->i_size_hi = f4_mk_le32((uint32_t)(inode->size >> 32));
	encode_blocks(inode, ri);
	ri->i_file_acl_lo = f4_mk_le32((uint32_t)inode->file_acl);
	if (f4_has_incompat(vol, F4_INCOMPAT_64BIT))
		ri->i_file_acl_hi = f4_mk_le16((uint16_t)(inode->file_acl >> 32));
	ri->i_version_lo = f4_mk_le32((uint32_t)inode->version);
	if (FITS(inode->extra_isize, i_version_hi))
		ri->i_version_hi = f4_mk_le32((uint32_t)(inode->version >> 32));
	if (f4_has_ro_compat(vol, F4_RO_COMPAT_PROJECT) && FITS(inode->extra_isize, i_projid))
		ri->i_projid = f4_mk_le32(inode->projid);
}

void f4_inode_encode(struct f4_inode *inode, uint8_t *raw)
{
	struct f4_raw_inode *ri = (void *)raw;

	f4_inode_raw_widen(inode->vol, raw);
	encode_sizes(inode, ri);
	ri->i_mode = f4_mk_le16(inode->mode);
	owner_encode(inode->vol, inode->uid, &ri->i_uid_lo, &ri->i_uid_hi);
	owner_encode(inode->vol, inode->gid, &ri->i_gid_lo, &ri->i_gid_hi);
	ri->i_links_count = f4_mk_le16((uint16_t)inode->links);
	ri->i_flags = f4_mk_le32(inode->flags);
	ri->i_generation = f4_mk_le32(inode->generation);
	ri->i_dtime = f4_mk_le32(inode->dtime);
	memcpy(ri->i_block, inode->i_block, sizeof(ri->i_block));
	if (inode->vol->inode_size > F4_GOOD_OLD_INODE_SIZE)
		ri->i_extra_isize = f4_mk_le16(inode->extra_isize);
	encode_times(inode, ri);
	f4_inode_raw_seal(inode->vol, inode->csum_seed, raw);
}
