/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A volume while it is open, and its end: closing, syncing, remounting, stopping, statfs.
 */
#include "server/ext4/volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "server/ext4/alloc_priv.h"
#include "server/ext4/group.h"
#include "server/ext4/inode.h"
#include "server/ext4/mmp.h"
#include "server/ext4/orphan.h"
#include "server/ext4/quota.h"
#include "server/ext4/volume_priv.h"

int f4_volume_check_write(struct f4_volume *vol)
{
	if (atomic_load_explicit(&vol->shut_down, memory_order_relaxed))
		return -EIO;
	return atomic_load_explicit(&vol->read_only, memory_order_relaxed) ? -EROFS : 0;
}

/* Frees memory; the image gets nothing any more. */
static void volume_free(struct f4_volume *vol)
{
	struct f4_volume_state *st = vol->state;

	f4_orphans_close(vol);
	vol->inodes = f4_inodes_free(vol->inodes);
	f4_quota_close(vol);
	vol->groups = f4_groups_free(vol->groups);
	st->windows = f4_windows_free(st->windows);
	f4_buf_put(f4_take_ptr(vol->sb_buf));
	vol->cache = f4_cache_free(vol->cache);
	if (vol->log_disk != vol->disk)
		f4_disk_free(vol->log_disk);
	f4_disk_free(vol->disk);
	pthread_mutex_destroy(&vol->rename_lock);
	pthread_mutex_destroy(&vol->orphan_lock);
	pthread_mutex_destroy(&vol->sb_lock);
	pthread_mutex_destroy(&st->err_lock);
	free(st->log_map);
	free(st);
	free(vol);
}

static int stop_journal(struct f4_volume *vol)
{
	struct f4_journal *j = f4_take_ptr(vol->journal);

	return j ? f4_journal_close(j) : 0;
}

void f4_volume_abandon(struct f4_volume *vol)
{
	/* Orphans whose deletion failed have no reference left; FUSE has none yet. */
	int r = stop_journal(vol);

	/* Nothing was left behind by us: the next one needs no recovery because of this attempt. */
	if (r == 0 && vol->state->marked)
		(void)f4_super_unmark(vol); /* harmless if it fails: the log is empty */
	f4_mmp_stop(vol);
	volume_free(vol);
}

int f4_volume_close(struct f4_volume *vol)
{
	int r = 0, r2;

	if (vol->journal && f4_volume_check_write(vol) == 0)
		r = f4_inodes_release_all(vol);
	f4_error_flush(vol);
	r2 = vol->journal ? f4_journal_error(vol->journal) : 0;
	r = r < 0 ? r : r2;
	r2 = stop_journal(vol);
	r = r < 0 ? r : r2;
	/* After an error the mark stays: the log has what is missing at home. */
	if (vol->state->marked && r2 == 0 && !atomic_load(&vol->shut_down)) {
		r2 = f4_super_unmark(vol);
		r = r < 0 ? r : r2;
	}
	f4_mmp_stop(vol);
	volume_free(vol);
	return r;
}

int f4_volume_sync(struct f4_volume *vol)
{
	int r = 0, r2;

	f4_error_flush(vol);
	if (atomic_load(&vol->shut_down))
		return -EIO;
	if (!vol->journal)
		return 0;
	r = f4_journal_sync(vol->journal);
	/* Overwritten data is in no transaction. */
	r2 = vol->disk->read_only ? 0 : f4_disk_flush(vol->disk);
	return r < 0 ? r : r2;
}

static int remount_ro(struct f4_volume *vol)
{
	int r;

	if (atomic_load(&vol->read_only))
		return 0;
	f4_error_flush(vol);
	r = f4_journal_flush(vol->journal);
	if (r < 0)
		return r;
	atomic_store(&vol->read_only, true);
	r = f4_super_unmark(vol);
	f4_mmp_stop(vol);
	return r;
}

static int remount_rw(struct f4_volume *vol)
{
	const char *why = vol->state->features_read_only ? "a feature forbids it" :
			  vol->disk->read_only		 ? "the image was opened read-only" :
			  vol->state->overlay		 ? "its journal was replayed in memory only" :
			  vol->opt.no_recovery		 ? "it was mounted without recovery" :
			  vol->journal && f4_journal_error(vol->journal) ? "the journal has failed" :
			  atomic_load(&vol->errors_seen) ? "errors were found: unmount and run e2fsck" :
							   NULL;
	int r = 0;

	if (!atomic_load(&vol->read_only))
		return 0;
	if (why) {
		f4_volume_say(vol, LOG_NOTICE, "can't become read-write: %s", why);
		return -EROFS;
	}
	if (f4_has_incompat(vol, F4_INCOMPAT_MMP))
		r = f4_mmp_start(vol);
	if (r == 0)
		r = f4_super_mark(vol);
	if (r == 0 && !vol->journal) {
		r = f4_volume_start_writing(vol);
		if (r < 0 && vol->journal) /* half of it is there: no second attempt */
			f4_journal_abort(vol->journal, r);
	}
	if (r == 0)
		atomic_store(&vol->read_only, false);
	else
		f4_mmp_stop(vol);
	return r;
}

int f4_volume_remount(struct f4_volume *vol, bool read_only)
{
	if (atomic_load(&vol->shut_down))
		return -EIO;
	return read_only ? remount_ro(vol) : remount_rw(vol);
}

int f4_volume_shutdown(struct f4_volume *vol, bool flush)
{
	int r = 0;

	if (atomic_load(&vol->shut_down))
		return 0;
	if (flush && vol->journal)
		r = f4_journal_sync(vol->journal);
	atomic_store(&vol->shut_down_asked, true);
	atomic_store(&vol->shut_down, true);
	f4_volume_say(vol, LOG_NOTICE, "shut down on request");
	if (vol->journal)
		f4_journal_abort(vol->journal, -ESHUTDOWN);
	return r;
}

void f4_volume_statfs(struct f4_volume *vol, struct f4_statfs *ret)
{
	uint64_t free = (uint64_t)atomic_load(&vol->free_clusters) << vol->cluster_bits;
	uint64_t reserved = vol->reserved_clusters << vol->cluster_bits;
	uint64_t overhead = vol->opt.minix_df ? 0 : vol->overhead_clusters << vol->cluster_bits;

	*ret = (struct f4_statfs){
		.blocks = vol->blocks_count - overhead,
		.free_blocks = free,
		.avail_blocks = free > reserved ? free - reserved : 0,
		.files = vol->inodes_count,
		.free_files = (uint64_t)atomic_load(&vol->free_inodes),
		.block_size = vol->block_size,
		.name_max = F4_NAME_MAX,
		.fsid = f4_load_le64(vol->uuid) ^ f4_load_le64(vol->uuid + 8),
	};
}
