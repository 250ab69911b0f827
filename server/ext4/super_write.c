/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The superblock's changing fields: counts, marks, and the ways in which they reach the disk.
 *
 * Inside transactions (pre-commit, orphan list, error records) while the journal runs; at home,
 * past the journal, only when no transaction exists: at open before there is a journal, at close
 * and remount after it is empty, and for error records after an abort (err.c).
 */
#include "server/ext4/volume_priv.h"

#include <errno.h>
#include <string.h>

#include "server/ext4/group.h"
#include "server/ext4/inode.h"

struct f4_super *f4_super_ptr(const struct f4_volume *vol)
{
	return (struct f4_super *)(void *)(vol->sb_buf->data + vol->sb_offset);
}

int f4_super_write_home(struct f4_volume *vol, void (*edit)(struct f4_volume *, struct f4_super *))
{
	struct f4_super sb;
	int r;

	pthread_mutex_lock(&vol->sb_lock);
	r = f4_disk_read(vol->disk, &sb, sizeof(sb), F4_SB_OFFSET);
	if (r == 0) {
		edit(vol, &sb);
		f4_super_seal(vol, &sb);
		r = f4_disk_write_fua(vol->disk, &sb, sizeof(sb), F4_SB_OFFSET);
	}
	if (r == 0 && vol->sb_buf)
		edit(vol, f4_super_ptr(vol));
	pthread_mutex_unlock(&vol->sb_lock);
	return r;
}

/* The counts that are true now: no handle is open. True when @sb changed. */
static bool super_update_counts(struct f4_volume *vol, struct f4_super *sb)
{
	uint64_t blocks = (uint64_t)atomic_load(&vol->free_clusters) << vol->cluster_bits;
	uint32_t inodes = (uint32_t)atomic_load(&vol->free_inodes);
	bool changed = false;

	if (f4_get_le32(sb->s_free_blocks_count_lo) != (uint32_t)blocks ||
	    f4_get_le32(sb->s_free_inodes_count) != inodes)
		changed = true;
	if (f4_has_incompat(vol, F4_INCOMPAT_64BIT) &&
	    f4_get_le32(sb->s_free_blocks_count_hi) != (uint32_t)(blocks >> 32))
		changed = true;
	if (!changed)
		return false;
	sb->s_free_blocks_count_lo = f4_mk_le32((uint32_t)blocks);
	if (f4_has_incompat(vol, F4_INCOMPAT_64BIT))
		sb->s_free_blocks_count_hi = f4_mk_le32((uint32_t)(blocks >> 32));
	sb->s_free_inodes_count = f4_mk_le32(inodes);
	return true;
}

/* ext2 of the first revision gets its first feature: it becomes one of the second. */
static bool super_update_features(struct f4_volume *vol, struct f4_super *sb)
{
	uint32_t ro = f4_get_le32(sb->s_feature_ro_compat);

	if (!atomic_load(&vol->state->want_large_file) || (ro & F4_RO_COMPAT_LARGE_FILE))
		return false;
	if (f4_get_le32(sb->s_rev_level) == 0) {
		sb->s_rev_level = f4_mk_le32(1);
		sb->s_first_ino = f4_mk_le32(F4_GOOD_OLD_FIRST_INO);
		sb->s_inode_size = f4_mk_le16(F4_GOOD_OLD_INODE_SIZE);
	}
	sb->s_feature_ro_compat = f4_mk_le32(ro | F4_RO_COMPAT_LARGE_FILE);
	return true;
}

void f4_super_pre_commit(struct f4_volume *vol, struct f4_handle *h)
{
	struct f4_super *sb = f4_super_ptr(vol), next;
	bool changed;

	pthread_mutex_lock(&vol->sb_lock);
	next = *sb;
	changed = super_update_counts(vol, &next);
	changed |= super_update_features(vol, &next);
	changed |= atomic_load(&vol->state->err_dirty);
	/* Can only fail when the journal is aborted: then nothing is committed either. */
	if (changed && f4_txn_write(h, vol->sb_buf) == 0) {
		uint64_t now = (uint64_t)f4_now().tv_sec;

		f4_error_merge(vol, &next);
		f4_super_set_time(&next.s_wtime, &next.s_wtime_hi, now);
		*sb = next;
	}
	pthread_mutex_unlock(&vol->sb_lock);
}

static void edit_mark(struct f4_volume *vol, struct f4_super *sb)
{
	uint64_t now = (uint64_t)f4_now().tv_sec;
	uint16_t state = f4_get_le16(sb->s_state);
	uint32_t flags = f4_get_le32(sb->s_flags);

	if (vol->state->log_map_len) {
		sb->s_feature_incompat =
			f4_mk_le32(f4_get_le32(sb->s_feature_incompat) | F4_INCOMPAT_RECOVER);
		if (f4_has_compat(vol, F4_COMPAT_ORPHAN_FILE))
			sb->s_feature_ro_compat = f4_mk_le32(f4_get_le32(sb->s_feature_ro_compat) |
							     F4_RO_COMPAT_ORPHAN_PRESENT);
	} else {
		state &= (uint16_t)~F4_STATE_VALID;
	}
	sb->s_state = f4_mk_le16(state);
	sb->s_mnt_count = f4_mk_le16((uint16_t)(f4_get_le16(sb->s_mnt_count) + 1));
	f4_super_set_time(&sb->s_mtime, &sb->s_mtime_hi, now);
	f4_super_set_time(&sb->s_wtime, &sb->s_wtime_hi, now);
	if (vol->opt.last_mounted) {
		memset(sb->s_last_mounted, 0, sizeof(sb->s_last_mounted));
		memcpy(sb->s_last_mounted, vol->opt.last_mounted,
		       strnlen(vol->opt.last_mounted, sizeof(sb->s_last_mounted) - 1));
	}
	/* Names are hashed as signed bytes where nothing else is said: say so from now on. */
	if (!(flags & (F4_FLAGS_SIGNED_HASH | F4_FLAGS_UNSIGNED_HASH)))
		sb->s_flags = f4_mk_le32(flags | F4_FLAGS_SIGNED_HASH);
}

int f4_super_mark(struct f4_volume *vol)
{
	int r = f4_super_write_home(vol, edit_mark);

	vol->state->marked = r == 0;
	return r;
}

static void edit_unmark(struct f4_volume *vol, struct f4_super *sb)
{
	uint16_t state = f4_get_le16(sb->s_state);

	/* A failed open may not have counted yet. */
	if (vol->inodes)
		(void)super_update_counts(vol, sb);
	sb->s_feature_incompat =
		f4_mk_le32(f4_get_le32(sb->s_feature_incompat) & ~F4_INCOMPAT_RECOVER);
	if (!vol->state->orphans_left)
		sb->s_feature_ro_compat = f4_mk_le32(f4_get_le32(sb->s_feature_ro_compat) &
						     ~F4_RO_COMPAT_ORPHAN_PRESENT);
	if (vol->state->mount_state & F4_STATE_VALID)
		state |= F4_STATE_VALID;
	sb->s_state = f4_mk_le16(state);
	f4_super_set_time(&sb->s_wtime, &sb->s_wtime_hi, (uint64_t)f4_now().tv_sec);
}

int f4_super_unmark(struct f4_volume *vol)
{
	int r = f4_super_write_home(vol, edit_unmark);

	if (r == 0)
		vol->state->marked = false;
	return r;
}

int f4_super_keep_errors(struct f4_volume *vol, const struct f4_super *before, int32_t log_errno)
{
	struct f4_super sb;
	int r = f4_disk_read(vol->disk, &sb, sizeof(sb), F4_SB_OFFSET);

	if (r < 0)
		return r;
	f4_error_keep(&sb, before);
	if (log_errno)
		sb.s_state = f4_mk_le16((uint16_t)(f4_get_le16(sb.s_state) | F4_STATE_ERROR));
	f4_super_seal(vol, &sb);
	return f4_disk_write_fua(vol->disk, &sb, sizeof(sb), F4_SB_OFFSET);
}

void f4_super_overhead(struct f4_volume *vol, const struct f4_super *sb)
{
	uint64_t stored = f4_get_le32(sb->s_overhead_clusters), blocks = vol->first_data_block;

	if (stored && stored < vol->blocks_count >> vol->cluster_bits) {
		vol->overhead_clusters = stored;
		return;
	}
	for (uint32_t g = 0; g < vol->groups_count; g++)
		blocks += f4_group_base_blocks(vol, g);
	blocks += (uint64_t)vol->groups_count * (2 + f4_itable_blocks(vol));
	if (!vol->log_disk)
		for (uint32_t i = 0; i < vol->state->log_map_len; i++)
			blocks += vol->state->log_map[i].len;
	vol->overhead_clusters = (blocks < vol->blocks_count ? blocks : 0) >> vol->cluster_bits;
}

void f4_volume_get_label(struct f4_volume *vol, char ret[F4_LABEL_MAX + 1])
{
	pthread_mutex_lock(&vol->sb_lock);
	memcpy(ret, vol->label, F4_LABEL_MAX + 1);
	pthread_mutex_unlock(&vol->sb_lock);
}

/* The copies of the superblock keep the old label until e2fsck or tune2fs writes them. */
int f4_volume_set_label(struct f4_volume *vol, const char label[F4_LABEL_MAX])
{
	struct f4_handle h = { 0 };
	struct f4_super *sb;
	int r = f4_volume_check_write(vol), r2;

	static_assert(sizeof(sb->s_volume_name) == F4_LABEL_MAX, "label");
	static_assert(sizeof(vol->label) == F4_LABEL_MAX + 1, "label");
	if (r == 0)
		r = f4_txn_begin(vol->journal, 1, &h);
	if (r < 0)
		return r;
	pthread_mutex_lock(&vol->sb_lock);
	sb = f4_super_ptr(vol);
	r = f4_txn_write(&h, vol->sb_buf);
	if (r == 0) {
		memcpy(sb->s_volume_name, label, F4_LABEL_MAX);
		memcpy(vol->label, label, F4_LABEL_MAX);
	}
	pthread_mutex_unlock(&vol->sb_lock);
	h.sync = r == 0;
	r2 = f4_txn_end(&h);
	return r < 0 ? r : r2;
}
