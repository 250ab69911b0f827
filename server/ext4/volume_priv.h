/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What only the files of the volume share: superblock handling, opening, closing, errors.
 * Nothing outside volume*.c, super.c, err.c and log_map.c includes it.
 */
#ifndef F4_EXT4_VOLUME_PRIV_H
#define F4_EXT4_VOLUME_PRIV_H

#include "server/ext4/volume.h"

struct f4_windows;

/* One recorded corruption, as the superblock keeps the first and the last. */
struct f4_error_record {
	uint64_t time; /* seconds */
	uint32_t ino, line;
	uint64_t blk;
	char func[32]; /* not always NUL-ended, as on disk */
};

struct f4_mmp_place {
	uint64_t blk;
	uint32_t interval; /* seconds, as the superblock says */
};

struct f4_volume_state {
	/* Constant after open and remount. */
	uint16_t mount_state;	/* s_state as found at open; VALID goes back at close only if it was there */
	bool features_read_only; /* a feature forbids writing, for good */
	bool overlay;		/* the disk is an overlay with a recovered log */
	bool marked;		/* the superblock at home says that we hold it read-write */
	bool recovered;		/* the log held something at open */
	bool orphans_left;	/* the orphan file names inodes that were not processed */
	struct f4_windows *windows; /* owned, alloc_priv.h */
	struct f4_log_extent *log_map; /* owned; NULL without a journal */
	uint32_t log_map_len;
	uint32_t special_ino[5]; /* journal, quotas, orphan file: 0 where there is none */
	uint64_t cache_bytes;	 /* the limit in force */
	struct f4_mmp_place mmp_place;

	_Atomic uint32_t last_group;  /* where a search over all groups last found blocks */
	_Atomic bool want_large_file; /* a file above 2 GiB exists: set the feature at the next commit */
	_Atomic bool err_dirty;	      /* an error record waits to be written */
	pthread_mutex_t err_lock;     /* leaf; protects what follows */
	uint32_t err_new;	      /* errors not yet counted in the superblock */
	struct f4_error_record err_first, err_last;
};

/* super.c ----------------------------------------------------------------------------------- */

/* f4_super_read - the raw superblock from the place that opt.sb_block says. 0, -EINVAL, -EIO. */
int f4_super_read(struct f4_volume *vol, struct f4_super *ret);

/*
 * f4_super_parse - check @sb in full and fill the volume's constants from it. Says what is wrong.
 * Return: 0; -EINVAL (not ext4); -EUCLEAN; -EOPNOTSUPP (a feature).
 */
int f4_super_parse(struct f4_volume *vol, const struct f4_super *sb);

/* f4_super_counters - load the free counts; -EUCLEAN when they can't be true (recount then). */
int f4_super_counters(struct f4_volume *vol, const struct f4_super *sb);

/* f4_super_seal - set @sb's checksum, if the volume has checksums. */
void f4_super_seal(const struct f4_volume *vol, struct f4_super *sb);

/* f4_super_ptr - the superblock in the volume's buffer; sb_lock held. */
struct f4_super *f4_super_ptr(const struct f4_volume *vol);

/*
 * f4_super_write_home - let @edit change the superblock at home, past the journal: read, edit,
 * seal, write, flush; the cached copy gets the same edit. For open, close, remount (no transaction
 * exists) and for errors after an abort. Return: 0 or a negative errno.
 */
int f4_super_write_home(struct f4_volume *vol, void (*edit)(struct f4_volume *, struct f4_super *));

/* f4_super_pre_commit - bring counts and error records into the commit (f4_journal_params). */
void f4_super_pre_commit(struct f4_volume *vol, struct f4_handle *h);

/*
 * f4_super_mark, f4_super_unmark - say in the superblock at home that the volume is held
 * read-write (needs_recovery, or "not valid"), and that it is not any more. Durable on return.
 */
int f4_super_mark(struct f4_volume *vol);
int f4_super_unmark(struct f4_volume *vol);

/*
 * f4_super_keep_errors - after a recovery to the disk, which may have brought an older superblock:
 * keep the error records of @before, and note the log's own error.
 */
int f4_super_keep_errors(struct f4_volume *vol, const struct f4_super *before, int32_t log_errno);

/* f4_super_overhead - what statfs takes off: the superblock's own figure, or a sum by arithmetic. */
void f4_super_overhead(struct f4_volume *vol, const struct f4_super *sb);

/* Time fields of 32 + 8 bits. */
void f4_super_set_time(f4_le32 *lo, uint8_t *hi, uint64_t seconds);

/* log_map.c --------------------------------------------------------------------------------- */

/*
 * f4_log_map_load - where the log lies, into vol->state: the journal inode's blocks, read from the
 * raw disk (nothing is recovered yet), or the external journal's area.
 * Return: 0; -EUCLEAN; -EINVAL (external journal needed and not given, or not this one); -EIO; -ENOMEM.
 */
int f4_log_map_load(struct f4_volume *vol, const struct f4_super *sb);

/* volume_open.c, volume.c -------------------------------------------------------------------- */

/* f4_volume_start_writing - journal and orphans of a volume that is marked. */
int f4_volume_start_writing(struct f4_volume *vol);

/* f4_volume_abandon - the end of an open that failed. */
void f4_volume_abandon(struct f4_volume *vol);

/* err.c ------------------------------------------------------------------------------------- */

/* f4_error_merge - add the waiting record to @sb; sb_lock held or nobody else around. */
void f4_error_merge(struct f4_volume *vol, struct f4_super *sb);

/*
 * f4_error_flush - write a waiting error record: by a transaction of its own, or at home after an
 * abort. Cheap when nothing waits. Context: no lock, no handle.
 */
void f4_error_flush(struct f4_volume *vol);

/* f4_error_keep - after a recovery: carry the error fields of @before into @after, as the kernel does. */
void f4_error_keep(struct f4_super *after, const struct f4_super *before);

#endif
