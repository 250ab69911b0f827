/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of inodes in memory.
 *
 * Sixty-four shards, each a hash with a lock. A struct is
 *   LOADING   one thread reads it, others who want it wait on the shard's condition,
 *   LIVE      usable; without references it sits on the shard's LRU list until the shard is full,
 *   DELETING  unlinked and given up by all: its last owner frees it on disk; nobody else gets it.
 * What is unlinked but still known to the FUSE kernel stays LIVE and off the LRU list.
 *
 * A struct that leaves by the LRU may still have a FUSE lookup count: the number alone then goes to
 * a small table of counts and comes back with the struct. So memory follows the working set, not
 * what the kernel has ever seen.
 *
 * Encoding into the inode table's block goes under one of a few raw locks, because the orphan list
 * changes a neighbour's raw inode whose lock it can't take.
 */
#include "server/ext4/inode.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/ext4/alloc.h"
#include "server/ext4/group.h"
#include "server/ext4/inode_priv.h"
#include "server/ext4/inode_table.h"
#include "server/ext4/orphan.h"
#include "server/ext4/quota.h"
#include "server/ext4/volume_priv.h"

static struct f4_inode_shard *shard_of(struct f4_volume *vol, uint32_t ino)
{
	/* Neighbours are used together: spread them over the locks. */
	return &vol->inodes->shard[ino % F4_INODE_SHARDS];
}

static uint32_t bucket_of(const struct f4_inode_shard *s, uint32_t ino)
{
	return (ino / F4_INODE_SHARDS * 0x9E3779B1u) >> (32 - s->bits);
}

static int shard_init(struct f4_inode_shard *s)
{
	s->bits = 4;
	s->buckets = calloc((size_t)1 << s->bits, sizeof(*s->buckets));
	if (!s->buckets)
		return -ENOMEM;
	f4_list_init(&s->lru);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->loaded, NULL);
	return 0;
}

int f4_inodes_new(struct f4_volume *vol, struct f4_inode_table **ret)
{
	struct f4_inode_table *t = calloc(1, sizeof(*t));
	uint64_t keep = vol->state->cache_bytes / (4 * (uint64_t)vol->block_size);

	if (!t)
		return -ENOMEM;
	/* Each keeps its block of the inode table in the cache. */
	keep = keep < 512 ? 512 : keep > 8192 ? 8192 : keep;
	t->lru_max = (uint32_t)keep / F4_INODE_SHARDS;
	for (size_t i = 0; i < F4_INODE_SHARDS; i++) {
		if (shard_init(&t->shard[i]) < 0)
			return f4_inodes_free(t), -ENOMEM;
		pthread_mutex_init(&t->raw_lock[i], NULL);
	}
	*ret = t;
	return 0;
}

static void shard_done(struct f4_inode_shard *s)
{
	if (!s->buckets)
		return;
	for (uint32_t b = 0; b < 1u << s->bits; b++) {
		while (s->buckets[b]) {
			struct f4_inode *inode = s->buckets[b];

			s->buckets[b] = inode->hash_next;
			f4_inode_discard(inode);
		}
	}
	free(s->buckets);
	free(s->counts);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->loaded);
}

struct f4_inode_table *f4_inodes_free(struct f4_inode_table *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < F4_INODE_SHARDS; i++) {
		shard_done(&t->shard[i]);
		pthread_mutex_destroy(&t->raw_lock[i]);
	}
	free(t);
	return NULL;
}

struct f4_inode *f4_inode_alloc(struct f4_volume *vol, uint32_t ino)
{
	struct f4_inode *inode = calloc(1, sizeof(*inode));

	if (!inode)
		return NULL;
	inode->vol = vol;
	inode->ino = ino;
	inode->refs = 1;
	f4_list_init(&inode->lru);
	f4_list_init(&inode->orphan_link);
	pthread_rwlock_init(&inode->lock, NULL);
	pthread_mutex_init(&inode->map_lock, NULL);
	return inode;
}

void f4_inode_discard(struct f4_inode *inode)
{
	f4_quota_detach(inode);
	f4_buf_put(inode->table_buf);
	pthread_rwlock_destroy(&inode->lock);
	pthread_mutex_destroy(&inode->map_lock);
	free(inode);
}

static struct f4_inode *shard_find(struct f4_inode_shard *s, uint32_t ino)
{
	struct f4_inode *inode = s->buckets[bucket_of(s, ino)];

	while (inode && inode->ino != ino)
		inode = inode->hash_next;
	return inode;
}

static void shard_grow(struct f4_inode_shard *s)
{
	uint32_t old_bits = s->bits;
	struct f4_inode **old = s->buckets;
	struct f4_inode **buckets = calloc((size_t)2 << old_bits, sizeof(*buckets));

	if (!buckets)
		return; /* slower, that's all */
	s->buckets = buckets;
	s->bits = old_bits + 1;
	for (uint32_t b = 0; b < 1u << old_bits; b++) {
		while (old[b]) {
			struct f4_inode *inode = old[b];
			uint32_t to = bucket_of(s, inode->ino);

			old[b] = inode->hash_next;
			inode->hash_next = buckets[to];
			buckets[to] = inode;
		}
	}
	free(old);
}

static void shard_insert(struct f4_inode_shard *s, struct f4_inode *inode)
{
	uint32_t b;

	if (s->n++ >= 2u << s->bits && s->bits < 26)
		shard_grow(s);
	b = bucket_of(s, inode->ino);
	inode->hash_next = s->buckets[b];
	s->buckets[b] = inode;
}

static void shard_remove(struct f4_inode_shard *s, struct f4_inode *inode)
{
	struct f4_inode **p = &s->buckets[bucket_of(s, inode->ino)];

	while (*p != inode)
		p = &(*p)->hash_next;
	*p = inode->hash_next;
	inode->hash_next = NULL;
	s->n--;
}

/* Drops what the LRU list has too many of; called with the lock held. */
static void shard_trim(struct f4_inode_shard *s, uint32_t max)
{
	while (s->n_lru > max) {
		struct f4_inode *inode = f4_list_entry(s->lru.prev, struct f4_inode, lru);
		uint64_t lookups = atomic_load(&inode->lookups);

		if (lookups && f4_inode_count_add(s, inode->ino, lookups) < 0)
			return; /* no memory for the count: keep the struct */
		f4_list_del(&inode->lru);
		s->n_lru--;
		shard_remove(s, inode);
		f4_inode_discard(inode);
	}
}

/* No reference is left: to the LRU list, unless only the kernel's count keeps it. */
static void shard_park(struct f4_volume *vol, struct f4_inode_shard *s, struct f4_inode *inode)
{
	if (inode->links == 0 || inode->on_orphan_list)
		return;
	f4_list_add(&s->lru, &inode->lru);
	s->n_lru++;
	shard_trim(s, vol->inodes->lru_max);
}

static void shard_unpark(struct f4_inode_shard *s, struct f4_inode *inode)
{
	if (f4_list_empty(&inode->lru))
		return;
	f4_list_del(&inode->lru);
	s->n_lru--;
}

int f4_inode_table_place(struct f4_volume *vol, uint32_t ino, uint64_t *ret_blk, uint32_t *ret_off)
{
	uint32_t index = (ino - 1) % vol->inodes_per_group;
	struct f4_group *g;
	int r = f4_group_lock(vol, f4_ino_group(vol, ino), &g);

	if (r < 0)
		return r;
	/* Behind the mark, the table may never have been written. */
	if (index >= vol->inodes_per_group - g->itable_unused || (g->flags & F4_BG_INODE_UNINIT))
		r = -ESTALE;
	*ret_blk = g->inode_table + index / vol->inodes_per_block;
	*ret_off = index % vol->inodes_per_block * vol->inode_size;
	f4_group_unlock(g);
	return r;
}

/*
 * Values of attributes are reached through attributes only, and nothing else is. The flag is constant.
 * Return: 0; -ESTALE; -EUCLEAN, reported.
 */
static int check_kind(struct f4_inode *inode, uint32_t flags)
{
	if (!f4_has_incompat(inode->vol, F4_INCOMPAT_EA_INODE) || (flags & F4_IGET_ORPHAN) ||
	    !(inode->flags & F4_FL_EA_INODE) == !(flags & F4_IGET_EA_INODE))
		return 0;
	if (flags & F4_IGET_HANDLE)
		return -ESTALE;
	return f4_corrupt(inode->vol, inode->ino, 0, "an attribute's inode in the wrong place");
}

/* Reads and checks; @inode is nobody else's yet. */
static int inode_load(struct f4_inode *inode, uint32_t flags)
{
	struct f4_volume *vol = inode->vol;
	const struct f4_raw_inode *ri;
	const char *problem;
	uint64_t blk;
	int r = f4_inode_table_place(vol, inode->ino, &blk, &inode->table_off);

	if (r < 0)
		return r;
	r = f4_buf_read(vol->cache, blk, &f4_class_inode_table, 0, 0, &inode->table_buf);
	if (r == -EUCLEAN)
		return f4_corrupt(vol, inode->ino, blk, "inode table block has another use");
	if (r < 0)
		return r;
	ri = (const void *)f4_inode_raw(inode);
	if (f4_get_le16(ri->i_links_count) == 0 &&
	    (!(flags & F4_IGET_ORPHAN) || f4_get_le16(ri->i_mode) == 0))
		return -ESTALE;
	if (!f4_inode_raw_csum_ok(vol, inode->ino, f4_inode_raw(inode)))
		return f4_corrupt(vol, inode->ino, blk, "checksum of the inode is wrong");
	problem = f4_inode_decode(inode, f4_inode_raw(inode));
	if (problem)
		return f4_corrupt(vol, inode->ino, blk, "%s", problem);
	r = check_kind(inode, flags);
	if (r < 0)
		return r;
	/* It may have been changed by a transaction that is not durable, before it left memory. */
	if (vol->journal) {
		atomic_store(&inode->sync_tid, f4_journal_running_tid(vol->journal));
		atomic_store(&inode->datasync_tid, atomic_load(&inode->sync_tid));
	}
	return 0;
}

static bool ino_allowed(const struct f4_volume *vol, uint32_t ino, uint32_t flags)
{
	if (ino == 0 || ino > vol->inodes_count)
		return false;
	if (flags & F4_IGET_SPECIAL)
		return true;
	for (size_t i = 0; i < F4_ARRAY_LEN(vol->state->special_ino); i++)
		if (ino == vol->state->special_ino[i])
			return false;
	return ino == F4_ROOT_INO || ino >= vol->first_ino;
}

int f4_inode_get(struct f4_volume *vol, uint32_t ino, uint32_t flags, struct f4_inode **ret)
{
	struct f4_inode_shard *s;
	struct f4_inode *inode;
	int r;

	if (!ino_allowed(vol, ino, flags))
		return -ESTALE;
	s = shard_of(vol, ino);
	pthread_mutex_lock(&s->lock);
	while ((inode = shard_find(s, ino)) && inode->state == F4_INODE_LOADING)
		pthread_cond_wait(&s->loaded, &s->lock);
	if (inode) {
		r = inode->state == F4_INODE_LIVE ? 0 : -ESTALE;
		if (r == 0)
			r = check_kind(inode, flags);
		if (r == 0) {
			inode->refs++;
			shard_unpark(s, inode);
			*ret = inode;
		}
		pthread_mutex_unlock(&s->lock);
		return r;
	}
	inode = f4_inode_alloc(vol, ino);
	if (!inode) {
		pthread_mutex_unlock(&s->lock);
		return -ENOMEM;
	}
	inode->state = F4_INODE_LOADING;
	shard_insert(s, inode);
	pthread_mutex_unlock(&s->lock);

	r = inode_load(inode, flags);

	pthread_mutex_lock(&s->lock);
	inode->state = F4_INODE_LIVE;
	if (r == 0)
		atomic_store(&inode->lookups, f4_inode_count_take(s, ino, UINT64_MAX));
	else
		shard_remove(s, inode);
	pthread_cond_broadcast(&s->loaded);
	pthread_mutex_unlock(&s->lock);
	if (r == 0)
		*ret = inode;
	else
		f4_inode_discard(inode);
	return r;
}

void f4_inode_ref(struct f4_inode *inode)
{
	struct f4_inode_shard *s = shard_of(inode->vol, inode->ino);

	pthread_mutex_lock(&s->lock);
	assert(inode->refs > 0);
	inode->refs++;
	pthread_mutex_unlock(&s->lock);
}

int f4_inode_insert(struct f4_inode *inode)
{
	struct f4_inode_shard *s = shard_of(inode->vol, inode->ino);
	bool used;

	pthread_mutex_lock(&s->lock);
	used = shard_find(s, inode->ino) != NULL;
	if (!used) {
		inode->state = F4_INODE_LIVE;
		shard_insert(s, inode);
	}
	pthread_mutex_unlock(&s->lock);
	if (used)
		return f4_corrupt(inode->vol, inode->ino, 0, "free in its bitmap, but in use");
	return 0;
}

void f4_inode_unhash(struct f4_inode *inode)
{
	struct f4_inode_shard *s = shard_of(inode->vol, inode->ino);

	pthread_mutex_lock(&s->lock);
	if (inode->state != F4_INODE_GONE) {
		shard_remove(s, inode);
		inode->state = F4_INODE_GONE;
	}
	pthread_mutex_unlock(&s->lock);
}

/* Is this unlinked inode nobody's any more? Then the caller is its last owner. Lock held. */
static bool claim_deletion(struct f4_inode *inode)
{
	if (inode->refs || inode->links || atomic_load(&inode->lookups) ||
	    inode->state != F4_INODE_LIVE)
		return false;
	inode->state = F4_INODE_DELETING;
	return true;
}

/* The end of an inode that claim_deletion gave to us. */
static int finish_deletion(struct f4_inode *inode)
{
	struct f4_volume *vol = inode->vol;
	int r = 0;

	/* What can't be deleted now stays on the orphan list on disk for the next mount. */
	if (f4_volume_check_write(vol) == 0)
		r = f4_inode_delete(inode);
	f4_inode_unhash(inode);
	f4_orphan_drop(inode);
	f4_inode_discard(inode);
	return r;
}

void f4_inode_put(struct f4_inode *inode)
{
	struct f4_inode_shard *s;
	struct f4_volume *vol;
	bool ours = false;

	if (!inode)
		return;
	vol = inode->vol;
	s = shard_of(vol, inode->ino);
	pthread_mutex_lock(&s->lock);
	assert(inode->refs > 0);
	if (--inode->refs == 0) {
		ours = claim_deletion(inode);
		if (!ours)
			shard_park(vol, s, inode);
	}
	pthread_mutex_unlock(&s->lock);
	if (ours)
		(void)finish_deletion(inode); /* nobody is left to tell; the volume has recorded it */
	f4_error_flush(vol);
}

void f4_inode_put_inside(struct f4_inode *inode)
{
	struct f4_inode_shard *s;

	if (!inode)
		return;
	s = shard_of(inode->vol, inode->ino);
	pthread_mutex_lock(&s->lock);
	assert(inode->refs > 0);
	if (--inode->refs == 0)
		shard_park(inode->vol, s, inode);
	pthread_mutex_unlock(&s->lock);
}

void f4_inode_put_p(struct f4_inode **p)
{
	f4_inode_put(*p);
	*p = NULL;
}

void f4_inode_forget(struct f4_volume *vol, uint32_t ino, uint64_t n)
{
	struct f4_inode_shard *s = shard_of(vol, ino);
	struct f4_inode *inode;
	bool ours = false;

	pthread_mutex_lock(&s->lock);
	inode = shard_find(s, ino);
	if (inode && inode->state != F4_INODE_LOADING) {
		uint64_t have = atomic_load(&inode->lookups);

		atomic_fetch_sub(&inode->lookups, n < have ? n : have);
		ours = claim_deletion(inode);
	} else {
		(void)f4_inode_count_take(s, ino, n);
	}
	pthread_mutex_unlock(&s->lock);
	if (ours)
		(void)finish_deletion(inode); /* as in f4_inode_put */
}

/* The first struct in @s that nothing keeps but FUSE's count, claimed for deletion. Lock held. */
static struct f4_inode *shard_next_unlinked(struct f4_inode_shard *s)
{
	for (uint32_t b = 0; b < 1u << s->bits; b++) {
		for (struct f4_inode *i = s->buckets[b]; i; i = i->hash_next) {
			atomic_store(&i->lookups, 0);
			if (claim_deletion(i))
				return i;
		}
	}
	return NULL;
}

int f4_inodes_release_all(struct f4_volume *vol)
{
	int first = 0;

	for (size_t n = 0; n < F4_INODE_SHARDS; n++) {
		struct f4_inode_shard *s = &vol->inodes->shard[n];

		for (;;) {
			struct f4_inode *inode;
			int r;

			pthread_mutex_lock(&s->lock);
			inode = shard_next_unlinked(s);
			pthread_mutex_unlock(&s->lock);
			if (!inode)
				break;
			r = finish_deletion(inode);
			if (r < 0 && first == 0)
				first = r;
		}
		pthread_mutex_lock(&s->lock);
		s->n_counts = 0;
		if (s->counts)
			memset(s->counts, 0, sizeof(*s->counts) << s->counts_bits);
		shard_trim(s, 0);
		pthread_mutex_unlock(&s->lock);
	}
	return first;
}
