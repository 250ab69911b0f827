/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inodes in memory: found by number, counted, locked.
 *
 * One struct exists per inode in use. `refs` are references of running code; `lookups` is what the
 * FUSE kernel holds (it counts its own). When both are zero the inode may leave memory; when also
 * its link count is zero its blocks and the inode itself are freed (f4_inode_put does it, outside
 * any lock or handle: it may sleep and begin handles).
 *
 * The fields are host order and the truth while the struct exists; f4_inode_store writes them into
 * the inode table's block inside a handle. The area behind i_extra_isize (in-inode xattrs) is not
 * copied: xattr.c edits it in the block through f4_inode_raw_write.
 */
#ifndef F4_EXT4_INODE_H
#define F4_EXT4_INODE_H

#include "server/ext4/volume.h"

/* One mapped or unmapped run of a file, see map.h. */
struct f4_map {
	uint32_t lblk;
	uint32_t len;	/* blocks */
	uint64_t pblk;	/* 0 for a hole */
	uint32_t flags; /* F4_MAP_* */
};

struct f4_dquot;

/* f4_inode.quota_state: not known yet; charged; never charged, or its owners' entries are damaged. */
enum { F4_INODE_UNATTACHED, F4_INODE_ATTACHED, F4_INODE_EXEMPT };

struct f4_inode {
	struct f4_volume *vol; /* borrowed */
	uint32_t ino;
	uint32_t refs;		   /* protected by the inode table's bucket lock */
	_Atomic uint64_t lookups;  /* FUSE's count */
	_Atomic int64_t pages_read_s; /* FUSE's: when its kernel last read pages, CLOCK_MONOTONIC; 0: never */
	struct f4_inode *hash_next;
	struct f4_list lru;
	uint8_t state;		   /* private to inode.c; protected by the bucket lock */

	pthread_rwlock_t lock; /* protects all below unless said otherwise */
	uint32_t generation;   /* constant where metadata has checksums */
	uint32_t csum_seed;    /* constant: crc of ino and generation */
	uint16_t mode;
	uint32_t uid, gid, projid;
	uint32_t links;	       /* as on disk; dir_nlink: 1 means "many" for a directory */
	uint64_t size;	       /* bytes */
	uint64_t blocks;       /* 512-byte units */
	uint32_t flags;	       /* F4_FL_* */
	struct timespec atime, mtime, ctime, crtime;
	uint32_t dtime;
	uint64_t version;
	uint64_t file_acl;     /* xattr block, 0: none */
	uint16_t extra_isize;
	uint8_t i_block[F4_I_BLOCK_BYTES]; /* raw: extents root, block map, symlink, device, inline data */
	struct f4_buf *table_buf;	   /* owned reference: the block of the inode table */
	uint32_t table_off;		   /* of the raw inode in it, bytes */

	/* What fsync waits for: transactions of the last change at all / of size and mapping. Atomic. */
	_Atomic f4_tid sync_tid, datasync_tid;
	/* Writes of data so far; as many of them as an fsync's flush is known to have covered. */
	_Atomic uint32_t data_written, data_flushed;
	_Atomic int write_error; /* a lost write, to be reported by the next fsync (negative errno) */

	/* Mapping cache and preallocation, owned by map.c/extent.c; protected by map_lock (leaf). */
	pthread_mutex_t map_lock;
	struct f4_map last_map;
	uint64_t alloc_goal;

	/* Directories: owned by dir.c. */
	uint32_t dir_insert_hint; /* block where the last linear insertion found room */

	/* Orphans: owned by orphan.c; protected by vol->orphan_lock. */
	struct f4_list orphan_link;
	uint32_t orphan_slot; /* orphan_file: slot + 1; 0: none */
	bool on_orphan_list;

	/* Quota: owned by quota.c. */
	struct f4_dquot *dquot[3]; /* refs: whom it is charged to */
	uint64_t charged;	   /* 512-byte units */
	uint8_t quota_state;	   /* F4_INODE_UNATTACHED, ... */
};

/* The type never changes, so it may be asked for without the lock, beside a change of the other bits. */
static inline uint16_t f4_inode_type(const struct f4_inode *i)
{
	return __atomic_load_n(&i->mode, __ATOMIC_RELAXED) & 0170000;
}
static inline bool f4_is_dir(const struct f4_inode *i) { return f4_inode_type(i) == 0040000; }
static inline bool f4_is_reg(const struct f4_inode *i) { return f4_inode_type(i) == 0100000; }
static inline bool f4_is_lnk(const struct f4_inode *i) { return f4_inode_type(i) == 0120000; }
/* Lock held exclusive. */
static inline void f4_inode_set_mode(struct f4_inode *i, uint16_t mode)
{
	__atomic_store_n(&i->mode, mode, __ATOMIC_RELAXED);
}
static inline bool f4_is_inline(const struct f4_inode *i) { return (i->flags & F4_FL_INLINE_DATA) != 0; }
/* A symlink whose target is in i_block. */
bool f4_inode_is_fast_symlink(const struct f4_inode *inode);

int f4_inodes_new(struct f4_volume *vol, struct f4_inode_table **ret);
/* f4_inodes_free - all must be unreferenced; frees the structs. */
struct f4_inode_table *f4_inodes_free(struct f4_inode_table *t);
/* f4_inodes_release_all - at close: drop every FUSE lookup count; frees what is unlinked. 0 or first error. */
int f4_inodes_release_all(struct f4_volume *vol);

#define F4_IGET_SPECIAL 0x1u /* reserved inodes too (journal, quota, orphan file) */
#define F4_IGET_ORPHAN	0x2u /* also when its link count is 0 (orphan processing) */
#define F4_IGET_EA_INODE 0x4u /* one that holds an attribute's value; without this such a one is corruption */
#define F4_IGET_HANDLE	0x8u /* a file handle names it, which anybody may have made up: not corruption then */
/*
 * f4_inode_get - a reference to inode @ino, read and checked if it isn't in memory.
 * Return: 0; -ESTALE (not in use, or 0, or reserved without F4_IGET_SPECIAL, or beyond the count, or
 * with F4_IGET_HANDLE an attribute's);
 * -EUCLEAN (checksum or fields; reported); -EIO; -ENOMEM.
 */
int f4_inode_get(struct f4_volume *vol, uint32_t ino, uint32_t flags, struct f4_inode **ret);
void f4_inode_ref(struct f4_inode *inode);
/* f4_inode_put - one reference less; see the file's head for what the last one does. NULL allowed.
 * Context: no inode lock, no handle. */
void f4_inode_put(struct f4_inode *inode);
/*
 * f4_inode_put_inside - the same inside a handle or under inode locks: never deletes. An unlinked inode
 * whose last reference this was stays in memory, and on the orphan list, until the volume is closed.
 */
void f4_inode_put_inside(struct f4_inode *inode);
/* f4_inode_forget - FUSE gives back @n lookups of @ino; needs no reference held. */
void f4_inode_forget(struct f4_volume *vol, uint32_t ino, uint64_t n);
void f4_inode_put_p(struct f4_inode **p);
#define f4_auto_inode f4_cleanup(f4_inode_put_p) struct f4_inode

struct f4_cred {
	uint32_t uid, gid;
	uint16_t umask;
};
/*
 * f4_inode_new - allocate and fill a new inode inside @h: owner, set-gid and grpid rules, inherited
 * flags, times, generation, empty extent root (or block map); links as given. Not stored yet, not
 * linked, one reference, its lock not held (nobody else can reach it). F4_IALLOC_CREDITS.
 * @dir:   the parent, locked; @mode: with type, umask and ACLs already applied by the caller
 */
int f4_inode_new(struct f4_handle *h, struct f4_inode *dir, uint16_t mode,
		 const struct f4_cred *cred, struct f4_inode **ret);

/*
 * f4_inode_hold_owner - the quota entries of what @cred will make in @dir, locked, by f4_inode_new;
 * for f4_quota_charge_new, before the handle. Return: as f4_quota_hold.
 */
struct f4_quota_owner;
int f4_inode_hold_owner(const struct f4_inode *dir, const struct f4_cred *cred,
			struct f4_quota_owner *ret);

/*
 * f4_inode_store - write the fields to the table block. One credit. Lock held exclusive. Sets
 * sync_tid; sets datasync_tid when size, blocks, flags or i_block differ from what was stored last:
 * changes of the mapping below i_block set it themselves.
 */
int f4_inode_store(struct f4_handle *h, struct f4_inode *inode);

/* f4_inode_raw - the raw inode in its table block, vol->inode_size bytes, for reading. Lock held. */
const uint8_t *f4_inode_raw(const struct f4_inode *inode);
/* f4_inode_raw_write - the same for changing bytes behind i_extra_isize; call f4_inode_store afterwards. */
int f4_inode_raw_write(struct f4_handle *h, struct f4_inode *inode, uint8_t **ret);

void f4_inode_rdlock(struct f4_inode *inode);
/* Exclusive; also attaches the inode to its quotas (quota.h): not inside a handle. */
void f4_inode_wrlock(struct f4_inode *inode);
bool f4_inode_trywrlock(struct f4_inode *inode); /* false: somebody has it */
void f4_inode_unlock(struct f4_inode *inode);
/* f4_inode_lock_many - exclusive locks of up to 4 inodes in rising number; NULLs and repeats are skipped. */
void f4_inode_lock_many(struct f4_inode *const *inodes, size_t n);
void f4_inode_unlock_many(struct f4_inode *const *inodes, size_t n);

/* f4_now - the current time as this volume can store it. f4_inode_touch - set mtime and/or ctime to it. */
struct timespec f4_now(void);
#define F4_TOUCH_M 1u
#define F4_TOUCH_C 2u
#define F4_TOUCH_A 4u
void f4_inode_touch(struct f4_inode *inode, uint32_t what);

/*
 * f4_inode_delete - the link count is 0 and nobody uses it: truncate, free xattrs, take off the
 * orphan list, free the inode. Several handles. Called by put and by orphan processing.
 */
int f4_inode_delete(struct f4_inode *inode);

/* Attributes for stat; @ret in f4_attr. */
struct f4_attr {
	uint32_t ino, generation, mode, links, uid, gid, rdev, flags, projid, block_size;
	uint64_t size, blocks;
	struct timespec atime, mtime, ctime, crtime;
};
void f4_inode_attr(struct f4_inode *inode, struct f4_attr *ret); /* takes the lock shared */
/* As f4_inode_attr with the lock already held. */
void f4_inode_attr_locked(const struct f4_inode *inode, struct f4_attr *ret);

#define F4_SET_MODE   0x01u
#define F4_SET_UID    0x02u
#define F4_SET_GID    0x04u
#define F4_SET_SIZE   0x08u
#define F4_SET_ATIME  0x10u
#define F4_SET_MTIME  0x20u
#define F4_SET_CTIME  0x40u
#define F4_SET_KILLPRIV 0x80u /* clear set-uid, and set-gid where executable by group */
#define F4_SET_KILLSGID 0x200u /* with KILLPRIV: set-gid in any case (the caller is not in the file's group) */
#define F4_SET_TIMES_NOW 0x100u /* the times are the present, not chosen: allowed on append-only files */
/*
 * f4_inode_setattr - change what @mask names, one handle (size: more, see file.h). Updates ctime.
 * Return: 0; -EPERM (immutable, append-only); -EFBIG; -ENOSPC; -EDQUOT; -EROFS; -EIO.
 */
int f4_inode_setattr(struct f4_inode *inode, uint32_t mask, const struct f4_attr *attr,
		     const struct f4_cred *cred);

/* f4_inode_set_flags - chattr: replaces the user-changeable flags. -EOPNOTSUPP, -EPERM as ext4. */
int f4_inode_set_flags(struct f4_inode *inode, uint32_t flags);
/* f4_inode_set_projid - @cred: who asks (quota limits don't bind uid 0). -EOPNOTSUPP, -EPERM, -EDQUOT. */
int f4_inode_set_projid(struct f4_inode *inode, uint32_t projid, const struct f4_cred *cred);
int f4_inode_set_version(struct f4_inode *inode, uint32_t generation_version);

#endif
