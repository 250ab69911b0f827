/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recovery: bring what the log holds to where it belongs.
 *
 * Three passes, as the kernel's: scan for the last whole commit (checksums v1, v2, v3 as the log's
 * features say; a torn or stale block ends the log), collect revokes, replay what is not revoked.
 * Source: kernel Documentation/filesystems/ext4/journal.rst and the rules of fs/jbd2/recovery.c.
 */
#ifndef F4_EXT4_RECOVERY_H
#define F4_EXT4_RECOVERY_H

#include "server/ext4/journal.h"

struct f4_recovery_params {
	struct f4_volume *vol;	  /* borrowed; for the log hook */
	struct f4_disk *log_disk; /* borrowed */
	const struct f4_log_extent *log_map;
	uint32_t log_map_len;
	uint32_t block_size;
	uint64_t fs_blocks;	  /* a replayed block beyond is -EUCLEAN */
	/* Called for each block to replay, oldest first, the last copy wins. 0 or a negative errno. */
	int (*put)(void *arg, uint64_t blk, const void *data);
	void *arg;
};

struct f4_recovery_result {
	bool needed;	       /* the log held something (s_start != 0) */
	bool fast_commits;     /* fast-commit blocks follow the last full commit: see recovery.c */
	f4_tid next_tid;       /* the first transaction id to use from here */
	uint32_t commits;      /* transactions replayed */
	uint32_t blocks;       /* blocks given to put() */
	uint32_t revoked;      /* block copies skipped for a revoke */
	int32_t journal_errno; /* the log's s_errno, a negative errno or 0 */
};

/*
 * f4_recovery_run - scan and replay through put(). Writes nothing itself. Damage in the middle of
 * the log is -EUCLEAN after all that is whole was given to put(), as the kernel does it.
 * Return: 0; -EUCLEAN (journal superblock or a committed block is corrupt); -EOPNOTSUPP (unknown
 * feature); -EIO; -ENOMEM; what put() returned.
 */
int f4_recovery_run(const struct f4_recovery_params *params, struct f4_recovery_result *ret);

/*
 * f4_recovery_finish - the replayed blocks are durable: mark the log empty, with the next
 * transaction id, fast commits and s_errno cleared, durable. The caller has recorded
 * result->journal_errno in the filesystem's superblock before. Return: 0 or a negative errno.
 */
int f4_recovery_finish(const struct f4_recovery_params *params,
		       const struct f4_recovery_result *result);

#endif
