/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mounted filesystem: everything that the core knows of one image.
 *
 * Lock order, outermost first. "io": may be held while reading or waiting for the device.
 *   1. vol->rename_lock   mutex  rename of a directory to another parent (io)
 *   2. inode->lock        rwlock one inode's fields, mapping, directory entries, xattrs (io).
 *                                Several: all at once in rising inode number (f4_inode_lock_many),
 *                                so that no image, however cyclic, can make two threads wait for
 *                                each other. A new inode nobody else can see is exempt.
 *   3. an open handle     (f4_txn_begin): never sleeps on 1 or 2
 *   4. vol->orphan_lock   mutex  orphan list or file, in memory and on disk (io)
 *   5. vol->sb_lock       mutex  fields of the superblock's buffer (io)
 *   6. group->lock        mutex  a group's bitmaps, descriptor and in-memory state (io)
 *   7. vol->xattr_lock mutex  what inodes share: xattr blocks, value inodes (io)
 *   8. locks inside cache.c, journal.c, the inode table, quota->lock: leaves, no io
 * quota->tree_lock (io) lies between 2 and 3, and inside of it the quota files' own inode locks.
 * Counters marked "atomic" need no lock.
 */
#ifndef F4_EXT4_VOLUME_H
#define F4_EXT4_VOLUME_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "server/ext4/cache.h"
#include "server/ext4/disk.h"
#include "server/ext4/format.h"
#include "server/ext4/journal.h"

struct f4_inode;
struct f4_inode_table;
struct f4_group_table;
struct f4_mmp;
struct f4_quota;
struct f4_workers;
struct f4_volume_state;

enum f4_data_mode { F4_DATA_ORDERED, F4_DATA_JOURNAL };
enum f4_errors { F4_ERRORS_DEFAULT, F4_ON_ERROR_CONTINUE, F4_ON_ERROR_RO, F4_ON_ERROR_ABORT };
enum f4_atime { F4_ATIME_RELATIVE, F4_ATIME_NONE, F4_ATIME_STRICT };

/* Switches whose default is in the superblock (s_default_mount_opts, tune2fs -o). */
#define F4_NAMED_DATA_MODE  0x1u
#define F4_NAMED_BARRIER    0x2u
#define F4_NAMED_DISCARD    0x4u
#define F4_NAMED_BSD_GROUPS 0x8u

/* What the user asked for, and after open what the superblock says where he named nothing. */
struct f4_volume_options {
	uint32_t named;		  /* F4_NAMED_*: what was asked for, either way */
	bool read_only;		  /* write nothing, not even recovery */
	bool no_recovery;	  /* read-only without looking at the log */
	enum f4_data_mode data_mode;
	enum f4_errors on_error;  /* default: what the superblock says */
	uint32_t commit_interval_s; /* 0: the default, 5 */
	bool no_barrier;
	bool discard;		  /* tell the device about freed blocks, after their commit */
	bool no_acl, no_user_xattr;
	bool bsd_groups;	  /* grpid: a new file's group is its directory's */
	bool minix_df;
	int64_t resuid, resgid;	  /* who may use reserved blocks; -1: from the superblock */
	uint64_t sb_block;	  /* superblock copy to use (sb=, 1 KiB units); 0: the primary */
	uint64_t cache_bytes;	  /* 0: a default by the volume's size */
	bool quota_usr, quota_grp, quota_prj; /* enforce */
	enum f4_atime atime;
	bool no_diratime, sync, dirsync;
	bool no_mmp_wait;	  /* tests only: don't wait out the MMP interval */
	const char *last_mounted; /* mount point recorded in the superblock; NULL: leave it */
};

/* How the core speaks: @level as in <syslog.h>. One call, one line, no newline, bytes not escaped. */
typedef void (*f4_volume_log)(void *arg, int level, const char *line);

struct f4_volume {
	/* --- constant after open, except as remount changes it under all locks --- */
	struct f4_disk *disk;	   /* owned (an overlay, when recovered into memory) */
	struct f4_disk *log_disk;  /* owned if != disk; NULL without an external log */
	struct f4_cache *cache;	   /* owned */
	struct f4_journal *journal; /* owned; NULL when opened read-only */
	struct f4_workers *workers; /* borrowed; NULL: synchronous */
	struct f4_volume_options opt;
	f4_volume_log log;
	void *log_arg;

	uint32_t compat, incompat, ro_compat; /* features */
	uint32_t block_size, block_bits;
	uint32_t cluster_ratio, cluster_bits; /* blocks per cluster; 1, 0 without bigalloc */
	uint64_t blocks_count;
	uint32_t first_data_block;
	uint64_t sb_blk;	   /* block of the superblock in use; its descriptors follow it */
	uint32_t blocks_per_group, clusters_per_group, inodes_per_group;
	uint32_t inode_size, inodes_count, first_ino, inodes_per_block;
	uint32_t want_extra_isize;
	uint32_t groups_count, desc_size, desc_per_block;
	uint32_t first_meta_bg, reserved_gdt_blocks;
	uint32_t backup_bgs[2];	   /* sparse_super2: groups with a copy of the superblock */
	uint32_t flex_bits;	   /* log2 groups per flex group, 0: none */
	uint32_t csum_seed;	   /* crc32c of uuid, or s_checksum_seed */
	uint32_t hash_seed[4];
	uint8_t def_hash_version;  /* signed/unsigned variant already chosen */
	bool has_csum;		   /* metadata_csum */
	bool has_gdt_csum;	   /* uninit_bg (crc16) or metadata_csum */
	uint8_t uuid[16];
	char label[17];		   /* protected by sb_lock */
	uint64_t max_file_bytes_extents, max_file_bytes_blockmap;
	uint32_t resuid, resgid;
	bool ids_16bit;		   /* owners are stored with 16 bits (tune2fs -o uid16) */
	uint64_t reserved_clusters;
	uint64_t overhead_clusters;
	struct f4_buf *sb_buf;	   /* owned reference; protected by sb_lock */
	uint32_t sb_offset;	   /* of the superblock inside sb_buf->data */

	/* --- changing --- */
	_Atomic bool read_only;	   /* no writes from now on (option, error, remount) */
	_Atomic bool shut_down;	   /* every request fails with EIO (ioctl, errors=panic) */
	_Atomic bool shut_down_asked; /* by f4_volume_shutdown: what is lost is lost on purpose */
	_Atomic int64_t free_clusters, free_inodes, dirs; /* free = usable now or after a commit */
	_Atomic int64_t pending_clusters; /* of the free ones: freed, but not committed yet */
	_Atomic uint32_t next_generation;
	_Atomic uint64_t errors_seen; /* corruption found since open */

	pthread_mutex_t rename_lock, orphan_lock, sb_lock, xattr_lock;
	struct f4_group_table *groups;	/* owned, group.h */
	struct f4_inode_table *inodes;	/* owned, inode.h */
	struct f4_orphans *orphans;	/* owned, orphan.h; NULL read-only */
	struct f4_mmp *mmp;		/* owned, NULL without the feature */
	struct f4_quota *quota;		/* owned, NULL without the feature or read-only */
	struct f4_volume_state *state;	/* owned, volume_priv.h: what opening and closing must know */
};

static inline bool f4_has_compat(const struct f4_volume *v, uint32_t f) { return (v->compat & f) != 0; }
static inline bool f4_has_incompat(const struct f4_volume *v, uint32_t f) { return (v->incompat & f) != 0; }
static inline bool f4_has_ro_compat(const struct f4_volume *v, uint32_t f) { return (v->ro_compat & f) != 0; }

static inline uint64_t f4_blk_to_clu(const struct f4_volume *v, uint64_t blk)
{
	return blk >> v->cluster_bits;
}
static inline uint64_t f4_bytes_to_blks_up(const struct f4_volume *v, uint64_t bytes)
{
	return (bytes >> v->block_bits) + ((bytes & (v->block_size - 1)) != 0);
}

struct f4_volume_params {
	struct f4_disk *disk;	   /* consumed, also on failure */
	struct f4_disk *log_disk;  /* consumed; NULL unless journal_path= was given */
	struct f4_workers *workers; /* borrowed */
	struct f4_volume_options opt;
	f4_volume_log log;	   /* NULL: silent */
	void *log_arg;
};

/*
 * f4_volume_open - check the superblock, recover, and be ready for requests.
 *
 * Read-write: replays the log to the disk, handles orphans, sets needs_recovery (or, without a
 * journal, clears the valid state), counts the mount. Read-only on a dirty image: replays into
 * memory. Features that can't be written make it read-only, with one log line that names them;
 * vol->read_only tells. Features that can't be read are refused.
 *
 * Return: 0; -EINVAL (no ext2/3/4 superblock here); -EOPNOTSUPP (a feature, named in the log);
 * -EUCLEAN (superblock or descriptors corrupt: the log says which field); -EROFS (read-write asked,
 * disk read-only); -EBUSY (MMP: in use elsewhere); -EIO; -ENOMEM.
 */
int f4_volume_open(struct f4_volume_params *params, struct f4_volume **ret);

/*
 * f4_volume_close - finish: orphans, preallocations, journal, clean superblock.
 * No request may be running. Return: 0 or the first error (the image then needs recovery or e2fsck
 * at the next mount). Frees in any case.
 */
int f4_volume_close(struct f4_volume *vol);

/* f4_volume_sync - everything so far is durable on return. 0 or a negative errno. */
int f4_volume_sync(struct f4_volume *vol);

/*
 * f4_volume_remount - to read-only: finish as close does, superblock clean, stay readable. To
 * read-write: as open. No request that writes may be running (the kernel sees to it).
 * Return: 0; -EROFS (the disk or a feature forbids writing); others as open.
 */
int f4_volume_remount(struct f4_volume *vol, bool read_only);

#define F4_LABEL_MAX 16u
/*
 * f4_volume_get_label - NUL-ended.
 * f4_volume_set_label - NUL-padded; durable on return. Return: 0, -EROFS, -EIO.
 */
void f4_volume_get_label(struct f4_volume *vol, char ret[F4_LABEL_MAX + 1]);
int f4_volume_set_label(struct f4_volume *vol, const char label[F4_LABEL_MAX]);

/* f4_volume_shutdown - EXT4_IOC_SHUTDOWN: stop at once. @flush: commit first. */
int f4_volume_shutdown(struct f4_volume *vol, bool flush);

struct f4_statfs {
	uint64_t blocks, free_blocks, avail_blocks; /* in blocks of block_size */
	uint64_t files, free_files;
	uint32_t block_size, name_max;
	uint64_t fsid;
};
void f4_volume_statfs(struct f4_volume *vol, struct f4_statfs *ret);

/*
 * f4_volume_error - corruption was found: log it once with all that is known, record it in the
 * superblock's error fields, act as errors= says. Only for corruption; I/O errors and full disks
 * are not. @ino, @blk: 0 when unknown. Return: -EUCLEAN, to be passed on.
 */
int f4_volume_error(struct f4_volume *vol, const char *func, int line, uint32_t ino, uint64_t blk,
		    const char *fmt, ...) __attribute__((format(printf, 6, 7)));
#define f4_corrupt(vol, ino, blk, ...) \
	f4_volume_error(vol, __func__, __LINE__, ino, blk, __VA_ARGS__)

/* f4_volume_say - one line to the log hook. */
void f4_volume_say(struct f4_volume *vol, int level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* f4_volume_check_write - 0, -EROFS, or -EIO after a shutdown: first thing in every changing operation. */
int f4_volume_check_write(struct f4_volume *vol);

#endif
