/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cache of metadata blocks. All metadata is read and changed through it; file data is not
 * (except journalled data). One cache belongs to one volume.
 *
 * A buffer is found by its block number and held by a reference. What it is (bitmap, directory
 * block, ...) is its class; the first reader names the class, whose verify() then checks magic and
 * checksum once, and whose seal() writes the checksum when the block goes to the journal or the
 * device. A block asked for as two different classes is claimed twice on disk: -EUCLEAN.
 *
 * Who may look at or change buf->data: the lock that owns the piece of metadata (inode lock, group
 * lock, ...), never a lock of the cache. A change is made only between f4_txn_write() (journal.h)
 * and f4_txn_end() of a handle; nobody else ever stores to it. Commit copies buffers while no
 * handle runs; checkpoint copies a buffer only while it belongs to no running transaction: so a
 * change never needs a data lock against I/O.
 *
 * Memory: clean unreferenced buffers are evicted in LRU order above the limit. Dirty buffers are
 * bounded by the journal. The cache's own locks are leaves: nothing is called under them but the
 * allocator.
 */
#ifndef F4_EXT4_CACHE_H
#define F4_EXT4_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base/list.h"
#include "server/ext4/disk.h"

struct f4_volume;
struct f4_cache;
struct f4_buf;
struct f4_txn;

/*
 * A kind of metadata block. Checksums need to know whose block it is: `owner` is the inode number
 * (0: none) and `seed` the crc seed of that owner (inode seed, or the volume's), kept in the buffer.
 */
struct f4_buf_class {
	const char *name; /* for messages */
	/* Check a block just read. 0 or -EUCLEAN. NULL: nothing to check. Runs without locks. */
	int (*verify)(struct f4_volume *vol, const struct f4_buf *buf, const uint8_t *data);
	/* Bring @data (the buffer's or a copy of it) in the form that goes to disk. NULL: as it is. */
	void (*seal)(struct f4_volume *vol, const struct f4_buf *buf, uint8_t *data);
};

struct f4_buf {
	uint64_t blk;			  /* constant */
	uint8_t *data;			  /* owned, block size bytes; see the file's head for who may touch it */
	const struct f4_buf_class *class; /* constant once read */
	uint32_t owner;			  /* constant once read */
	uint32_t seed;			  /* constant once read */
	struct f4_cache *cache;		  /* borrowed */
	/* Private to cache.c. */
	_Atomic uint32_t refs; /* 0 to 1 and 1 to 0 only under the shard's lock */
	uint32_t flags;	       /* shard's lock */
	int error;	       /* of a read that failed; shard's lock */
	struct f4_buf *hash_next;
	struct f4_list lru;
	/* Private to the journal (journal_priv.h), which holds a reference for each list it is on. */
	struct f4_list txn_link;
	struct f4_list ckpt_link;
	_Atomic(struct f4_txn *) txn;
	struct f4_txn *commit_txn, *ckpt_txn, *forget_txn;
	uint8_t home_io; /* F4_HOME_* */
};

/*
 * f4_cache_new - an empty cache over @disk.
 * @vol:        borrowed, handed to the classes
 * @disk:       borrowed
 * @block_size: bytes
 * @limit:      bytes that clean buffers may use; at least 64 blocks are always allowed
 * Return: 0, -ENOMEM.
 */
int f4_cache_new(struct f4_volume *vol, struct f4_disk *disk, uint32_t block_size, uint64_t limit,
		 struct f4_cache **ret);

/* f4_cache_free - drop everything; no reference may be left, dirty buffers are lost. Return: NULL. */
struct f4_cache *f4_cache_free(struct f4_cache *cache);

/*
 * f4_buf_read - a reference to block @blk with its content valid.
 * @class, @owner, @seed: what the caller takes it for (see struct f4_buf_class)
 * Return: 0; -EUCLEAN (verify refused it, or it is in use as another class or owner; not cached:
 * a clean buffer that nobody holds is read and checked anew instead);
 * -EIO and what else the disk says; -ENOMEM.
 * Context: may sleep and read. Two threads reading the same block read it once.
 */
int f4_buf_read(struct f4_cache *cache, uint64_t blk, const struct f4_buf_class *class,
		uint32_t owner, uint32_t seed, struct f4_buf **ret);

/*
 * f4_buf_new - a reference to @blk, zero filled, never read: for a block just allocated. A cached
 * buffer of the block's former life (unreferenced, and in no transaction but as freed) is replaced.
 * Follow with f4_txn_create(). Return: 0, -ENOMEM, -EUCLEAN (somebody still uses the block).
 */
int f4_buf_new(struct f4_cache *cache, uint64_t blk, const struct f4_buf_class *class,
	       uint32_t owner, uint32_t seed, struct f4_buf **ret);

/* f4_buf_find - a reference to @blk if it is cached and valid, else NULL. Reads nothing. */
struct f4_buf *f4_buf_find(struct f4_cache *cache, uint64_t blk);

/* f4_buf_get/put - one more, one less reference. put takes NULL. */
void f4_buf_get(struct f4_buf *buf);
void f4_buf_put(struct f4_buf *buf);

/* For f4_cleanup(): puts *bufp, if any. */
void f4_buf_put_p(struct f4_buf **bufp);
#define f4_auto_buf f4_cleanup(f4_buf_put_p) struct f4_buf

/*
 * f4_buf_detach - for the journal: the block has been freed. If it is cached, its buffer leaves the
 * cache and is returned with a reference; nobody can find it any more. NULL if it isn't cached.
 */
struct f4_buf *f4_buf_detach(struct f4_cache *cache, uint64_t blk);

/* f4_cache_block_size - bytes. f4_cache_limit - bytes, as given to f4_cache_new. */
uint32_t f4_cache_block_size(const struct f4_cache *cache);
uint64_t f4_cache_limit(const struct f4_cache *cache);

/* f4_cache_count - buffers that it holds now, referenced ones included; for tests and statistics. */
uint64_t f4_cache_count(struct f4_cache *cache);

/* f4_cache_readahead - hint that [@blk, @blk + @n) will be read soon. */
void f4_cache_readahead(struct f4_cache *cache, uint64_t blk, uint32_t n);

/* f4_cache_invalidate - drop clean, unreferenced buffers in [@blk, @blk + @n): the range became file data. */
void f4_cache_invalidate(struct f4_cache *cache, uint64_t blk, uint64_t n);

#endif
