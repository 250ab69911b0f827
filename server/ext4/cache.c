/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cache of metadata blocks.
 *
 * Sixteen shards by block number, each with a lock, a hash table and an LRU list. A shard's lock
 * is held for a few pointer moves and an allocation, never during I/O: a block being read is in
 * the table with BUF_READING, and whoever also wants it waits on the shard's condition.
 *
 * References: a holder adds one without the lock. The steps from and to zero are made under the
 * lock, because they move the buffer off and onto the LRU list. A buffer that left the table
 * (freed block, failed read) lives until its last reference goes.
 *
 * The journal knows which buffers are dirty; here they are just referenced, so never evicted.
 */
#include "server/ext4/cache.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/cleanup.h"

#define SHARD_BITS 4u
#define SHARDS	   (1u << SHARD_BITS)
#define MIN_BUFS   8u /* of a shard, whatever the limit says */
#define MAX_ALIGN  4096u

#define BUF_HASHED  0x1u
#define BUF_READING 0x2u
#define BUF_VALID   0x4u

struct shard {
	pthread_mutex_t lock;
	pthread_cond_t read_done;
	struct f4_buf **buckets; /* owned; n_buckets is a power of two */
	size_t n_buckets, count, limit;
	struct f4_list lru; /* unreferenced buffers, oldest first */
} __attribute__((aligned(64)));

struct f4_cache {
	struct f4_volume *vol;	/* borrowed */
	struct f4_disk *disk;	/* borrowed */
	uint32_t block_size;
	uint64_t limit;
	struct shard shards[SHARDS];
};

static uint64_t mix(uint64_t blk)
{
	return blk * 0x9e3779b97f4a7c15ull;
}

static struct shard *shard_of(struct f4_cache *c, uint64_t blk)
{
	return &c->shards[mix(blk) >> (64 - SHARD_BITS)];
}

static size_t bucket_of(const struct shard *s, uint64_t blk)
{
	return (size_t)(mix(blk) >> 24) & (s->n_buckets - 1);
}

static void buf_free(struct f4_buf *buf)
{
	free(buf->data);
	free(buf);
}

static struct f4_buf *buf_alloc(struct f4_cache *c, uint64_t blk, const struct f4_buf_class *class,
				uint32_t owner, uint32_t seed)
{
	struct f4_buf *buf = calloc(1, sizeof(*buf));
	size_t align = c->block_size < MAX_ALIGN ? c->block_size : MAX_ALIGN;
	void *data;

	if (!buf)
		return NULL;
	if (posix_memalign(&data, align, c->block_size) != 0) {
		free(buf);
		return NULL;
	}
	buf->data = data;
	buf->blk = blk;
	buf->class = class;
	buf->owner = owner;
	buf->seed = seed;
	buf->cache = c;
	buf->refs = 1;
	f4_list_init(&buf->lru);
	f4_list_init(&buf->txn_link);
	f4_list_init(&buf->ckpt_link);
	return buf;
}

int f4_cache_new(struct f4_volume *vol, struct f4_disk *disk, uint32_t block_size, uint64_t limit,
		 struct f4_cache **ret)
{
	struct f4_cache *c = aligned_alloc(64, sizeof(*c));
	uint64_t per_shard = limit / block_size / SHARDS;

	if (!c)
		return -ENOMEM;
	memset(c, 0, sizeof(*c));
	c->vol = vol;
	c->disk = disk;
	c->block_size = block_size;
	c->limit = limit;
	for (unsigned int i = 0; i < SHARDS; i++) {
		struct shard *s = &c->shards[i];

		pthread_mutex_init(&s->lock, NULL);
		pthread_cond_init(&s->read_done, NULL);
		f4_list_init(&s->lru);
		s->limit = per_shard > MIN_BUFS ? (size_t)per_shard : MIN_BUFS;
	}
	for (unsigned int i = 0; i < SHARDS; i++) {
		c->shards[i].n_buckets = 64;
		c->shards[i].buckets = calloc(64, sizeof(struct f4_buf *));
		if (!c->shards[i].buckets) {
			f4_cache_free(c);
			return -ENOMEM;
		}
	}
	*ret = c;
	return 0;
}

struct f4_cache *f4_cache_free(struct f4_cache *c)
{
	if (!c)
		return NULL;
	for (unsigned int i = 0; i < SHARDS; i++) {
		struct shard *s = &c->shards[i];

		for (size_t b = 0; s->buckets && b < s->n_buckets; b++) {
			while (s->buckets[b]) {
				struct f4_buf *buf = s->buckets[b];

				assert(buf->refs == 0);
				s->buckets[b] = buf->hash_next;
				buf_free(buf);
			}
		}
		free(s->buckets);
		pthread_cond_destroy(&s->read_done);
		pthread_mutex_destroy(&s->lock);
	}
	free(c);
	return NULL;
}

static struct f4_buf *find_locked(struct shard *s, uint64_t blk)
{
	struct f4_buf *buf = s->buckets[bucket_of(s, blk)];

	while (buf && buf->blk != blk)
		buf = buf->hash_next;
	return buf;
}

static void unhash_locked(struct shard *s, struct f4_buf *buf)
{
	struct f4_buf **p = &s->buckets[bucket_of(s, buf->blk)];

	while (*p != buf)
		p = &(*p)->hash_next;
	*p = buf->hash_next;
	buf->hash_next = NULL;
	buf->flags &= ~BUF_HASHED;
	f4_list_del(&buf->lru);
	s->count--;
}

/* Twice the buckets when there are two buffers in each; without memory it goes on as it is. */
static void maybe_grow_locked(struct shard *s)
{
	size_t n = s->n_buckets * 2, old = s->n_buckets;
	struct f4_buf **from = s->buckets, **to;

	if (s->count < n)
		return;
	to = calloc(n, sizeof(*to));
	if (!to)
		return;
	s->buckets = to;
	s->n_buckets = n;
	for (size_t i = 0; i < old; i++) {
		while (from[i]) {
			struct f4_buf *buf = from[i];
			size_t b = bucket_of(s, buf->blk);

			from[i] = buf->hash_next;
			buf->hash_next = to[b];
			to[b] = buf;
		}
	}
	free(from);
}

static void hash_locked(struct shard *s, struct f4_buf *buf)
{
	size_t b;

	maybe_grow_locked(s);
	b = bucket_of(s, buf->blk);
	buf->hash_next = s->buckets[b];
	s->buckets[b] = buf;
	buf->flags |= BUF_HASHED;
	s->count++;
}

/* Make room for one more: unhash old unreferenced buffers; they are chained for the caller to free. */
static struct f4_buf *evict_locked(struct shard *s)
{
	struct f4_buf *victims = NULL;

	while (s->count >= s->limit && !f4_list_empty(&s->lru)) {
		struct f4_buf *buf = f4_list_first(&s->lru, struct f4_buf, lru);

		unhash_locked(s, buf);
		buf->hash_next = victims;
		victims = buf;
	}
	return victims;
}

static void free_chain(struct f4_buf *buf)
{
	while (buf) {
		struct f4_buf *next = buf->hash_next;

		buf_free(buf);
		buf = next;
	}
}

static void ref_locked(struct f4_buf *buf)
{
	if (atomic_fetch_add(&buf->refs, 1) == 0)
		f4_list_del(&buf->lru);
}

/* Returns true when the caller has to free the buffer after unlocking. */
static bool unref_locked(struct shard *s, struct f4_buf *buf)
{
	if (atomic_fetch_sub(&buf->refs, 1) != 1)
		return false;
	if (!(buf->flags & BUF_HASHED))
		return true;
	f4_list_add_tail(&s->lru, &buf->lru);
	return false;
}

void f4_buf_get(struct f4_buf *buf)
{
	atomic_fetch_add(&buf->refs, 1);
}

void f4_buf_put(struct f4_buf *buf)
{
	struct shard *s;
	uint32_t refs;
	bool last;

	if (!buf)
		return;
	refs = atomic_load(&buf->refs);
	while (refs > 1)
		if (atomic_compare_exchange_weak(&buf->refs, &refs, refs - 1))
			return;
	s = shard_of(buf->cache, buf->blk);
	pthread_mutex_lock(&s->lock);
	last = unref_locked(s, buf);
	pthread_mutex_unlock(&s->lock);
	if (last)
		buf_free(buf);
}

void f4_buf_put_p(struct f4_buf **bufp)
{
	f4_buf_put(*bufp);
	*bufp = NULL;
}

/* Results of claim_locked(). */
enum claim { CLAIM_NONE, CLAIM_GOT, CLAIM_FAILED };

/*
 * Is @blk there, and as what the caller takes it for? The reference is the caller's for CLAIM_GOT.
 * *@ret_dead: a buffer to free after unlocking, or NULL.
 */
static enum claim claim_locked(struct shard *s, uint64_t blk, const struct f4_buf_class *class,
			       uint32_t owner, struct f4_buf **ret, struct f4_buf **ret_dead,
			       int *ret_error)
{
	struct f4_buf *buf = find_locked(s, blk);

	*ret_dead = NULL;
	if (!buf)
		return CLAIM_NONE;
	ref_locked(buf);
	while (buf->flags & BUF_READING)
		pthread_cond_wait(&s->read_done, &s->lock);
	if ((buf->flags & BUF_VALID) && buf->class == class && buf->owner == owner) {
		*ret = buf;
		return CLAIM_GOT;
	}
	*ret_error = buf->flags & BUF_VALID ? -EUCLEAN : buf->error;
	if ((buf->flags & (BUF_VALID | BUF_HASHED)) == (BUF_VALID | BUF_HASHED) &&
	    buf->refs == 1) {
		/* Left over from the block's former life: look at it anew. */
		unhash_locked(s, buf);
		unref_locked(s, buf);
		*ret_dead = buf;
		return CLAIM_NONE;
	}
	if (unref_locked(s, buf))
		*ret_dead = buf;
	return CLAIM_FAILED;
}

static int fill(struct f4_cache *c, struct f4_buf *buf)
{
	int r = f4_disk_read(c->disk, buf->data, c->block_size, buf->blk * c->block_size);

	if (r == 0 && buf->class && buf->class->verify)
		r = buf->class->verify(c->vol, buf, buf->data);
	return r;
}

int f4_buf_read(struct f4_cache *c, uint64_t blk, const struct f4_buf_class *class, uint32_t owner,
		uint32_t seed, struct f4_buf **ret)
{
	struct shard *s = shard_of(c, blk);
	struct f4_buf *buf, *dead, *victims;
	enum claim claim;
	int r = 0;

	if (blk > UINT64_MAX / c->block_size)
		return -EIO;
	pthread_mutex_lock(&s->lock);
	claim = claim_locked(s, blk, class, owner, ret, &dead, &r);
	if (claim != CLAIM_NONE) {
		pthread_mutex_unlock(&s->lock);
		if (dead)
			buf_free(dead);
		return claim == CLAIM_GOT ? 0 : r;
	}
	buf = buf_alloc(c, blk, class, owner, seed);
	if (!buf) {
		pthread_mutex_unlock(&s->lock);
		if (dead)
			buf_free(dead);
		return -ENOMEM;
	}
	victims = evict_locked(s);
	buf->flags = BUF_READING;
	hash_locked(s, buf);
	pthread_mutex_unlock(&s->lock);
	free_chain(victims);
	if (dead)
		buf_free(dead);

	r = fill(c, buf);

	pthread_mutex_lock(&s->lock);
	buf->flags &= ~BUF_READING;
	buf->error = r;
	if (r == 0)
		buf->flags |= BUF_VALID;
	else if (buf->flags & BUF_HASHED)
		unhash_locked(s, buf);
	pthread_cond_broadcast(&s->read_done);
	pthread_mutex_unlock(&s->lock);
	if (r < 0) {
		f4_buf_put(buf);
		return r;
	}
	*ret = buf;
	return 0;
}

int f4_buf_new(struct f4_cache *c, uint64_t blk, const struct f4_buf_class *class, uint32_t owner,
	       uint32_t seed, struct f4_buf **ret)
{
	struct shard *s = shard_of(c, blk);
	struct f4_buf *buf = buf_alloc(c, blk, class, owner, seed), *old, *victims;

	if (!buf)
		return -ENOMEM;
	memset(buf->data, 0, c->block_size);
	buf->flags = BUF_VALID;
	pthread_mutex_lock(&s->lock);
	old = find_locked(s, blk);
	if (old && old->refs > 0) {
		pthread_mutex_unlock(&s->lock);
		buf_free(buf);
		return -EUCLEAN;
	}
	if (old)
		unhash_locked(s, old);
	victims = evict_locked(s);
	hash_locked(s, buf);
	pthread_mutex_unlock(&s->lock);
	if (old)
		buf_free(old);
	free_chain(victims);
	*ret = buf;
	return 0;
}

struct f4_buf *f4_buf_find(struct f4_cache *c, uint64_t blk)
{
	struct shard *s = shard_of(c, blk);
	struct f4_buf *buf;

	pthread_mutex_lock(&s->lock);
	buf = find_locked(s, blk);
	if (buf && (buf->flags & BUF_VALID))
		ref_locked(buf);
	else
		buf = NULL;
	pthread_mutex_unlock(&s->lock);
	return buf;
}

struct f4_buf *f4_buf_detach(struct f4_cache *c, uint64_t blk)
{
	struct shard *s = shard_of(c, blk);
	struct f4_buf *buf;

	pthread_mutex_lock(&s->lock);
	buf = find_locked(s, blk);
	if (buf) {
		ref_locked(buf);
		unhash_locked(s, buf);
	}
	pthread_mutex_unlock(&s->lock);
	return buf;
}

static void invalidate_one(struct f4_cache *c, uint64_t blk)
{
	struct shard *s = shard_of(c, blk);
	struct f4_buf *buf;

	pthread_mutex_lock(&s->lock);
	buf = find_locked(s, blk);
	if (buf && buf->refs == 0)
		unhash_locked(s, buf);
	else
		buf = NULL;
	pthread_mutex_unlock(&s->lock);
	if (buf)
		buf_free(buf);
}

/* A long range: look at every unreferenced buffer instead of at every block. */
static void invalidate_scan(struct f4_cache *c, uint64_t blk, uint64_t n)
{
	for (unsigned int i = 0; i < SHARDS; i++) {
		struct shard *s = &c->shards[i];
		struct f4_buf *buf, *tmp, *victims = NULL;

		pthread_mutex_lock(&s->lock);
		f4_list_each_safe(buf, tmp, &s->lru, lru) {
			if (buf->blk < blk || buf->blk - blk >= n)
				continue;
			unhash_locked(s, buf);
			buf->hash_next = victims;
			victims = buf;
		}
		pthread_mutex_unlock(&s->lock);
		free_chain(victims);
	}
}

void f4_cache_invalidate(struct f4_cache *c, uint64_t blk, uint64_t n)
{
	if (n > 4096) {
		invalidate_scan(c, blk, n);
		return;
	}
	for (uint64_t i = 0; i < n; i++)
		invalidate_one(c, blk + i);
}

void f4_cache_readahead(struct f4_cache *c, uint64_t blk, uint32_t n)
{
	uint64_t pos;

	if (__builtin_mul_overflow(blk, (uint64_t)c->block_size, &pos))
		return;
	f4_disk_readahead(c->disk, pos, (uint64_t)n * c->block_size);
}

uint32_t f4_cache_block_size(const struct f4_cache *c)
{
	return c->block_size;
}

uint64_t f4_cache_limit(const struct f4_cache *c)
{
	return c->limit;
}

uint64_t f4_cache_count(struct f4_cache *c)
{
	uint64_t count = 0;

	for (unsigned int i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&c->shards[i].lock);
		count += c->shards[i].count;
		pthread_mutex_unlock(&c->shards[i].lock);
	}
	return count;
}
