/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening a volume, in this order:
 *
 *   superblock     checked in full (super.c); decides read-write, read-only, or not at all
 *   MMP            before the first write, recovery included
 *   log            found (log_map.c), its superblock checked, what it holds replayed: to the disk,
 *                  or into memory over a disk that is not to be written
 *   superblock     again: the log may have held a newer one
 *   the mark       needs_recovery (or, without a journal, "not valid") goes to the superblock at
 *                  home and is durable before the first transaction
 *   cache, groups, inodes, root directory, journal, orphans
 *
 * Nothing here depends on the size of the volume, but for one sum over the group descriptors after
 * a recovery: the counts in a superblock that a crash left behind may be old.
 */
#include "server/ext4/volume_priv.h"

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
#include "server/ext4/recovery.h"

#define CACHE_MIN (32ull << 20)
#define CACHE_MAX (128ull << 20)
#define COMMIT_S  5u

/* Stands for "the log's blocks go nowhere": only its state is wanted. */
static int put_nowhere(void *arg, uint64_t blk, const void *data)
{
	return 0;
}

static int put_disk(void *arg, uint64_t blk, const void *data)
{
	struct f4_volume *vol = arg;

	return f4_disk_write(vol->disk, data, vol->block_size, blk << vol->block_bits);
}

static int put_overlay(void *arg, uint64_t blk, const void *data)
{
	struct f4_volume *vol = arg;

	return f4_disk_overlay_put(vol->disk, blk, data);
}

static struct f4_recovery_params recovery_params(struct f4_volume *vol,
						 int (*put)(void *, uint64_t, const void *))
{
	return (struct f4_recovery_params){
		.vol = vol,
		.log_disk = vol->log_disk ? vol->log_disk : vol->disk,
		.log_map = vol->state->log_map,
		.log_map_len = vol->state->log_map_len,
		.block_size = vol->block_size,
		.fs_blocks = vol->blocks_count,
		.put = put,
		.arg = vol,
	};
}

static int refuse_fast_commits(struct f4_volume *vol)
{
	f4_volume_say(vol, LOG_ERR,
		      "the journal holds fast commits that only the kernel or e2fsck can replay: "
		      "run e2fsck, or mount read-only");
	return -EOPNOTSUPP;
}

static int recover_to_disk(struct f4_volume *vol, bool dirty, struct f4_recovery_result *res)
{
	struct f4_recovery_params dry = recovery_params(vol, put_nowhere);
	struct f4_recovery_params real = recovery_params(vol, put_disk);
	int r = 0;

	/* Without needs_recovery the log's content is void, as the kernel has it. */
	if (!dirty || f4_has_compat(vol, F4_COMPAT_FAST_COMMIT))
		r = f4_recovery_run(&dry, res);
	if (r == 0 && dirty && res->fast_commits)
		return refuse_fast_commits(vol);
	if (r == 0 && dirty) {
		r = f4_recovery_run(&real, res);
		if (r == 0 && res->needed)
			r = f4_disk_flush(vol->disk);
	}
	return r;
}

/* Replays over the disk; the volume's disk is an overlay afterwards, if there was anything. */
static int recover_to_memory(struct f4_volume *vol, struct f4_recovery_result *res)
{
	struct f4_recovery_params params;
	int r = f4_disk_overlay_new(vol->disk, vol->block_size, &vol->disk);

	if (r < 0)
		return r;
	vol->state->overlay = true;
	params = recovery_params(vol, put_overlay);
	r = f4_recovery_run(&params, res);
	if (r == 0 && res->fast_commits)
		f4_volume_say(vol, LOG_WARNING,
			      "the journal holds fast commits: changes since the last full commit are not shown");
	return r;
}

/* @sb: as read before; says what is found. *ret_errno: the log's recorded error. */
static int recover(struct f4_volume *vol, const struct f4_super *sb, int32_t *ret_errno)
{
	/* A copy of the superblock doesn't know whether the log waits: the log itself does. */
	bool dirty = (vol->incompat & F4_INCOMPAT_RECOVER) || vol->opt.sb_block;
	struct f4_recovery_result res = { 0 };
	int r;

	if (atomic_load(&vol->read_only) && f4_get_le32(sb->s_journal_inum) == 0 && !vol->log_disk &&
	    !dirty)
		return 0; /* clean, and read-only: the external journal isn't missed */
	r = f4_log_map_load(vol, sb);
	if (r < 0)
		return r;
	if (!atomic_load(&vol->read_only)) {
		struct f4_recovery_params params = recovery_params(vol, put_nowhere);

		r = recover_to_disk(vol, dirty, &res);
		*ret_errno = res.journal_errno;
		if (r == 0 && res.needed)
			r = f4_super_keep_errors(vol, sb, res.journal_errno);
		if (r == 0 && res.needed)
			r = f4_recovery_finish(&params, &res);
	} else if (dirty) {
		r = recover_to_memory(vol, &res);
	} else {
		struct f4_recovery_params params = recovery_params(vol, put_nowhere);

		r = f4_recovery_run(&params, &res); /* a damaged log is noticed while it is empty */
	}
	if (r == -EUCLEAN)
		f4_volume_say(vol, LOG_ERR, "the journal is damaged: run e2fsck%s",
			      atomic_load(&vol->read_only) ? ", or mount with norecovery" : "");
	if (r == 0 && dirty && res.needed)
		f4_volume_say(vol, LOG_INFO, "recovered: %u transactions, %u blocks, %u revoked",
			      res.commits, res.blocks, res.revoked);
	vol->state->recovered = dirty && res.needed;
	return r;
}

static int open_read_write_checks(struct f4_volume *vol)
{
	if (vol->opt.sb_block && !vol->state->features_read_only) {
		vol->state->features_read_only = true;
		if (!vol->opt.read_only)
			f4_volume_say(vol, LOG_WARNING,
				      "mounted read-only: a copy of the superblock is in use (sb=)");
	}
	atomic_store(&vol->read_only, vol->opt.read_only || vol->state->features_read_only);
	if (!atomic_load(&vol->read_only) && vol->disk->read_only) {
		f4_volume_say(vol, LOG_ERR, "can't be mounted read-write: it may not be written");
		return -EROFS;
	}
	if (vol->opt.no_recovery && !atomic_load(&vol->read_only)) {
		f4_volume_say(vol, LOG_ERR, "without recovery it can only be mounted read-only");
		return -EROFS;
	}
	return 0;
}

/* Superblock, MMP, log, superblock again. */
static int open_super(struct f4_volume *vol, struct f4_super *sb)
{
	int32_t log_errno = 0;
	int r = f4_super_read(vol, sb);

	if (r == 0)
		r = f4_super_parse(vol, sb);
	if (r == 0)
		r = open_read_write_checks(vol);
	if (r < 0)
		return r;
	if (f4_has_incompat(vol, F4_INCOMPAT_MMP) && !atomic_load(&vol->read_only)) {
		r = f4_mmp_start(vol);
		if (r < 0)
			return r;
	}
	if (f4_has_compat(vol, F4_COMPAT_HAS_JOURNAL) && !vol->opt.no_recovery) {
		r = recover(vol, sb, &log_errno);
		if (r < 0)
			return r;
		if (vol->state->recovered && !vol->opt.sb_block) {
			r = f4_super_read(vol, sb);
			if (r == 0)
				r = f4_super_parse(vol, sb);
			if (r < 0)
				return r;
		}
	}
	vol->state->mount_state = f4_get_le16(sb->s_state);
	if (vol->state->mount_state & F4_STATE_ERROR)
		f4_volume_say(vol, LOG_WARNING, "the filesystem has errors on record: run e2fsck");
	else if (!(vol->state->mount_state & F4_STATE_VALID) && !f4_has_compat(vol, F4_COMPAT_HAS_JOURNAL))
		f4_volume_say(vol, LOG_WARNING, "it was not unmounted cleanly: run e2fsck");
	if (f4_has_ro_compat(vol, F4_RO_COMPAT_VERITY))
		f4_volume_say(vol, LOG_NOTICE, "verity: its files are read without being verified");
	return 0;
}

static uint64_t cache_limit(const struct f4_volume *vol)
{
	uint64_t n = (vol->blocks_count << vol->block_bits) / 64;

	if (vol->opt.cache_bytes)
		return vol->opt.cache_bytes;
	return n < CACHE_MIN ? CACHE_MIN : n > CACHE_MAX ? CACHE_MAX : n;
}

static void seed_generations(struct f4_volume *vol)
{
	struct timespec now = f4_now();
	uint32_t x = (uint32_t)now.tv_nsec * 0x9E3779B1u ^ (uint32_t)now.tv_sec ^ vol->hash_seed[0];

	atomic_store(&vol->next_generation, x);
}

/* Everything in memory that reading needs. */
static int open_memory(struct f4_volume *vol, const struct f4_super *sb)
{
	uint64_t sb_pos = (vol->opt.sb_block ? vol->opt.sb_block : 1) * F4_SB_OFFSET;
	int r;

	vol->state->cache_bytes = cache_limit(vol);
	r = f4_cache_new(vol, vol->disk, vol->block_size, vol->state->cache_bytes, &vol->cache);
	if (r == 0) {
		vol->sb_offset = (uint32_t)(sb_pos & (vol->block_size - 1));
		r = f4_buf_read(vol->cache, sb_pos >> vol->block_bits, &f4_class_super, 0, 0,
				&vol->sb_buf);
	}
	if (r == 0)
		r = f4_groups_new(vol, &vol->groups);
	if (r == 0)
		r = f4_validity_add_log(vol);
	if (r == 0)
		r = f4_inodes_new(vol, &vol->inodes);
	if (r == 0 && !(vol->state->windows = f4_windows_new()))
		r = -ENOMEM;
	if (r < 0)
		return r;
	seed_generations(vol);
	f4_super_overhead(vol, sb);
	if (f4_super_counters(vol, sb) < 0 || vol->state->recovered)
		r = f4_groups_recount(vol);
	if (r == -EUCLEAN)
		f4_volume_say(vol, LOG_ERR, "group descriptors: the free counts can't be true: run e2fsck");
	return r;
}

static int check_root(struct f4_volume *vol)
{
	f4_auto_inode *root = NULL;
	int r = f4_inode_get(vol, F4_ROOT_INO, 0, &root);

	if (r == -ESTALE || (r == 0 && !f4_is_dir(root))) {
		f4_volume_say(vol, LOG_ERR, "the root inode is no directory: run e2fsck");
		return -EUCLEAN;
	}
	return r;
}

static void journal_aborted(struct f4_volume *vol, int error)
{
	if (!atomic_exchange(&vol->read_only, true))
		f4_volume_say(vol, LOG_ERR, "the journal has failed (%s): nothing is written any more",
			      strerror(-error));
}

static void pre_commit(struct f4_volume *vol, struct f4_handle *h)
{
	f4_groups_pre_commit(vol, h);
	f4_super_pre_commit(vol, h);
}

int f4_volume_start_writing(struct f4_volume *vol)
{
	uint32_t seconds = vol->opt.commit_interval_s ? vol->opt.commit_interval_s : COMMIT_S;
	bool log = vol->state->log_map_len != 0;
	struct f4_journal_params params = {
		.vol = vol,
		.cache = vol->cache,
		.disk = vol->disk,
		.log_disk = !log ? NULL : vol->log_disk ? vol->log_disk : vol->disk,
		.log_map = vol->state->log_map,
		.log_map_len = vol->state->log_map_len,
		.workers = vol->workers,
		.commit_interval_ms = seconds < 3600 ? seconds * 1000 : 3600 * 1000,
		.extra_credits = f4_has_ro_compat(vol, F4_RO_COMPAT_QUOTA) ? F4_QUOTA_CREDITS : 0,
		.barrier = !vol->opt.no_barrier,
		.pre_commit = pre_commit,
		.committed = f4_groups_committed,
		.aborted = journal_aborted,
	};
	int r = f4_journal_open(&params, &vol->journal);

	if (r == 0)
		r = f4_quota_open(vol);
	if (r == 0)
		r = f4_orphans_open(vol);
	if (r == 0)
		r = f4_orphans_process(vol);
	return r;
}

static int open_steps(struct f4_volume *vol)
{
	struct f4_super sb;
	int r = open_super(vol, &sb);

	if (r == 0 && !atomic_load(&vol->read_only))
		r = f4_super_mark(vol);
	if (r == 0)
		r = open_memory(vol, &sb);
	if (r == 0)
		r = check_root(vol);
	if (r == 0 && !atomic_load(&vol->read_only))
		r = f4_volume_start_writing(vol);
	return r;
}

static struct f4_volume *volume_new(struct f4_volume_params *params)
{
	struct f4_volume *vol = calloc(1, sizeof(*vol));

	if (vol)
		vol->state = calloc(1, sizeof(*vol->state));
	if (!vol || !vol->state) {
		free(vol);
		f4_disk_free(params->disk);
		f4_disk_free(params->log_disk);
		return NULL;
	}
	vol->disk = params->disk;
	vol->log_disk = params->log_disk;
	vol->workers = params->workers;
	vol->opt = params->opt;
	vol->log = params->log;
	vol->log_arg = params->log_arg;
	pthread_mutex_init(&vol->rename_lock, NULL);
	pthread_mutex_init(&vol->orphan_lock, NULL);
	pthread_mutex_init(&vol->sb_lock, NULL);
	pthread_mutex_init(&vol->state->err_lock, NULL);
	return vol;
}

int f4_volume_open(struct f4_volume_params *params, struct f4_volume **ret)
{
	struct f4_volume *vol = volume_new(params);
	int r;

	params->disk = params->log_disk = NULL;
	if (!vol)
		return -ENOMEM;
	r = open_steps(vol);
	if (r < 0) {
		f4_volume_abandon(vol);
		return r;
	}
	*ret = vol;
	return 0;
}
