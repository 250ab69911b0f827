/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Quota entries in memory: a hash of those in use, a list of some that were, and which of them an
 * inode belongs to. An entry's block stays in the cache as long as the entry is in memory.
 */
#include "server/ext4/quota.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "server/ext4/quota_priv.h"
#include "server/ext4/volume_priv.h"

#define IDLE_MAX 128u /* entries kept without references: each holds a block in the cache */

/* --- the table; quota->lock held ------------------------------------------------------------- */

static uint32_t bucket_of(const struct f4_quota *q, uint8_t type, uint32_t id)
{
	return ((id * F4_QUOTA_TYPES + type) * 0x9E3779B1u) >> (32 - q->bits);
}

static struct f4_dquot *table_find(const struct f4_quota *q, uint8_t type, uint32_t id)
{
	struct f4_dquot *dq = q->buckets[bucket_of(q, type, id)];

	while (dq && (dq->id != id || dq->type != type))
		dq = dq->hash_next;
	return dq;
}

static void table_link(struct f4_quota *q, struct f4_dquot *dq)
{
	struct f4_dquot **b = &q->buckets[bucket_of(q, dq->type, dq->id)];

	dq->hash_next = *b;
	*b = dq;
}

static void table_grow(struct f4_quota *q)
{
	struct f4_dquot **old = q->buckets, **wide = calloc((size_t)2 << q->bits, sizeof(*wide));
	uint32_t n = 1u << q->bits;

	if (!wide)
		return; /* slower, that's all */
	q->buckets = wide;
	q->bits++;
	for (uint32_t i = 0; i < n; i++) {
		while (old[i]) {
			struct f4_dquot *dq = old[i];

			old[i] = dq->hash_next;
			table_link(q, dq);
		}
	}
	free(old);
}

static void table_insert(struct f4_quota *q, struct f4_dquot *dq)
{
	if (q->n++ >= 1u << q->bits && q->bits < 24)
		table_grow(q);
	table_link(q, dq);
}

static void table_remove(struct f4_quota *q, struct f4_dquot *dq)
{
	struct f4_dquot **p = &q->buckets[bucket_of(q, dq->type, dq->id)];

	while (*p != dq)
		p = &(*p)->hash_next;
	*p = dq->hash_next;
	q->n--;
}

static void dquot_free(struct f4_dquot *dq)
{
	f4_buf_put(dq->buf);
	free(dq);
}

static void take_ref(struct f4_quota *q, struct f4_dquot *dq)
{
	if (dq->refs++ == 0 && !f4_list_empty(&dq->lru)) {
		f4_list_del(&dq->lru);
		q->n_lru--;
	}
}

static void drop_ref(struct f4_quota *q, struct f4_dquot *dq)
{
	assert(dq->refs > 0);
	if (--dq->refs)
		return;
	f4_list_add(&q->lru, &dq->lru);
	if (++q->n_lru <= IDLE_MAX)
		return;
	dq = f4_list_entry(q->lru.prev, struct f4_dquot, lru);
	f4_list_del(&dq->lru);
	q->n_lru--;
	table_remove(q, dq);
	dquot_free(dq);
}

/* --- loading --------------------------------------------------------------------------------- */

static struct f4_dquot *get_cached(struct f4_quota *q, uint8_t type, uint32_t id)
{
	struct f4_dquot *dq;

	pthread_mutex_lock(&q->lock);
	dq = table_find(q, type, id);
	if (dq)
		take_ref(q, dq);
	pthread_mutex_unlock(&q->lock);
	return dq;
}

/* tree_lock held. */
static int load(struct f4_quota *q, uint8_t type, uint32_t id, bool make, struct f4_dquot **ret)
{
	struct f4_quota_file *file = &q->file[type];
	struct f4_dquot *dq = calloc(1, sizeof(*dq));
	int r = dq ? f4_qtree_find(file, id, &dq->buf, &dq->off) : -ENOMEM;

	if (r == -ENOENT && make)
		r = f4_qtree_insert(file, id, &dq->buf, &dq->off);
	if (r < 0) {
		free(dq);
		return r;
	}
	dq->id = id;
	dq->type = type;
	dq->refs = 1;
	f4_list_init(&dq->lru);
	f4_qt_decode(dq, (const void *)(dq->buf->data + dq->off));
	pthread_mutex_lock(&q->lock);
	table_insert(q, dq);
	pthread_mutex_unlock(&q->lock);
	*ret = dq;
	return 0;
}

static int dquot_get(struct f4_quota *q, uint8_t type, uint32_t id, bool make, struct f4_dquot **ret)
{
	struct f4_dquot *dq = get_cached(q, type, id);
	int r = 0;

	if (!dq) {
		pthread_mutex_lock(&q->tree_lock);
		dq = get_cached(q, type, id); /* somebody else was first */
		if (!dq)
			r = load(q, type, id, make, &dq);
		pthread_mutex_unlock(&q->tree_lock);
	}
	if (r == 0)
		*ret = dq;
	return r;
}

int f4_quota_hold(struct f4_volume *vol, const uint32_t ids[F4_QUOTA_TYPES],
		  struct f4_quota_owner *ret)
{
	struct f4_quota_owner owner = { 0 };
	struct f4_quota *q = vol->quota;

	for (uint8_t t = 0; q && t < F4_QUOTA_TYPES; t++) {
		int r;

		if (!q->file[t].inode)
			continue;
		r = dquot_get(q, t, ids[t], true, &owner.dq[t]);
		if (r < 0) {
			f4_quota_release(vol, &owner);
			return r;
		}
	}
	*ret = owner;
	return 0;
}

void f4_quota_release(struct f4_volume *vol, struct f4_quota_owner *owner)
{
	struct f4_quota *q = vol->quota;

	if (!q)
		return;
	pthread_mutex_lock(&q->lock);
	for (size_t t = 0; t < F4_QUOTA_TYPES; t++)
		if (owner->dq[t])
			drop_ref(q, owner->dq[t]);
	pthread_mutex_unlock(&q->lock);
	*owner = (struct f4_quota_owner){ 0 };
}

/* --- inodes ---------------------------------------------------------------------------------- */

static bool is_exempt(const struct f4_inode *inode)
{
	const struct f4_volume *vol = inode->vol;

	if ((inode->flags & F4_FL_EA_INODE) ||
	    (inode->ino < vol->first_ino && inode->ino != F4_ROOT_INO))
		return true;
	for (size_t i = 0; i < F4_ARRAY_LEN(vol->state->special_ino); i++)
		if (inode->ino == vol->state->special_ino[i])
			return true;
	return false;
}

void f4_quota_attach(struct f4_inode *inode)
{
	const uint32_t ids[F4_QUOTA_TYPES] = {
		[F4_QUOTA_USER] = inode->uid,
		[F4_QUOTA_GROUP] = inode->gid,
		[F4_QUOTA_PROJECT] = inode->projid,
	};
	struct f4_volume *vol = inode->vol;
	struct f4_quota *q = vol->quota;
	struct f4_quota_owner owner;
	int r;

	/* While nothing may be written it stays as it is: a remount may follow. */
	if (!q || inode->quota_state != F4_INODE_UNATTACHED || f4_volume_check_write(vol) < 0)
		return;
	inode->quota_state = F4_INODE_EXEMPT;
	if (is_exempt(inode))
		return;
	r = f4_quota_hold(vol, ids, &owner);
	if (r < 0) {
		if (!q->said)
			f4_volume_say(vol, LOG_WARNING,
				      "inode %u is not accounted to its quotas (%s): run e2fsck",
				      inode->ino, strerror(-r));
		q->said = true;
		return;
	}
	memcpy(inode->dquot, owner.dq, sizeof(inode->dquot));
	inode->charged = inode->blocks;
	inode->quota_state = F4_INODE_ATTACHED;
}

void f4_quota_detach(struct f4_inode *inode)
{
	struct f4_quota_owner owner;

	if (inode->quota_state != F4_INODE_ATTACHED)
		return;
	memcpy(owner.dq, inode->dquot, sizeof(inode->dquot));
	f4_quota_release(inode->vol, &owner);
	memset(inode->dquot, 0, sizeof(inode->dquot));
	inode->quota_state = F4_INODE_EXEMPT;
}

void f4_quota_exempt(struct f4_inode *inode)
{
	inode->quota_state = F4_INODE_EXEMPT;
}

/* --- the volume ------------------------------------------------------------------------------ */

static int open_file(struct f4_volume *vol, enum f4_quota_type type, uint32_t ino, bool enforce)
{
	struct f4_quota_file *file = &vol->quota->file[type];
	int r;

	if (ino == 0)
		return 0;
	r = f4_inode_get(vol, ino, F4_IGET_SPECIAL, &file->inode);
	if (r == -ESTALE)
		return f4_corrupt(vol, ino, 0, "the quota file's inode is not in use");
	if (r == 0)
		r = f4_qtree_open(vol, file, type);
	file->enforce = enforce;
	return r;
}

int f4_quota_open(struct f4_volume *vol)
{
	const uint32_t *special = vol->state->special_ino;
	struct f4_quota *q;
	int r;

	if (!f4_has_ro_compat(vol, F4_RO_COMPAT_QUOTA)) {
		if (vol->opt.quota_usr || vol->opt.quota_grp || vol->opt.quota_prj)
			f4_volume_say(vol, LOG_WARNING,
				      "quota limits are asked for, but the image has no quota feature");
		return 0;
	}
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->bits = 6;
	q->buckets = calloc((size_t)1 << q->bits, sizeof(*q->buckets));
	if (!q->buckets) {
		free(q);
		return -ENOMEM;
	}
	f4_list_init(&q->lru);
	pthread_mutex_init(&q->lock, NULL);
	pthread_mutex_init(&q->tree_lock, NULL);
	vol->quota = q;
	r = open_file(vol, F4_QUOTA_USER, special[1], vol->opt.quota_usr);
	if (r == 0)
		r = open_file(vol, F4_QUOTA_GROUP, special[2], vol->opt.quota_grp);
	if (r == 0)
		r = open_file(vol, F4_QUOTA_PROJECT, special[3], vol->opt.quota_prj);
	if (r == 0 && vol->opt.quota_prj && special[3] == 0)
		f4_volume_say(vol, LOG_WARNING,
			      "project limits are asked for, but the image has no project quota");
	if (r < 0)
		f4_volume_say(vol, LOG_ERR, "a quota file can't be used: run e2fsck");
	return r;
}

/* The files' inodes are not given back: the table of inodes is gone already. */
void f4_quota_close(struct f4_volume *vol)
{
	struct f4_quota *q = f4_take_ptr(vol->quota);

	if (!q)
		return;
	for (uint32_t i = 0; i < 1u << q->bits; i++) {
		while (q->buckets[i]) {
			struct f4_dquot *dq = q->buckets[i];

			q->buckets[i] = dq->hash_next;
			dquot_free(dq);
		}
	}
	pthread_mutex_destroy(&q->lock);
	pthread_mutex_destroy(&q->tree_lock);
	free(q->buckets);
	free(q);
}

int f4_quota_usage(struct f4_volume *vol, enum f4_quota_type type, uint32_t id,
		   struct f4_quota_usage *ret)
{
	struct f4_quota *q = vol->quota;
	struct f4_dquot *dq;
	int r;

	if (!q || !q->file[type].inode)
		return -ESRCH;
	r = dquot_get(q, (uint8_t)type, id, false, &dq);
	if (r < 0)
		return r;
	pthread_mutex_lock(&q->lock);
	*ret = (struct f4_quota_usage){
		.bytes = dq->bytes, .inodes = dq->inodes,
		.bytes_hard = dq->bhard, .bytes_soft = dq->bsoft,
		.inodes_hard = dq->ihard, .inodes_soft = dq->isoft,
	};
	drop_ref(q, dq);
	pthread_mutex_unlock(&q->lock);
	return 0;
}

/* The lower of two limits of which 0 is none. */
static uint64_t lower(uint64_t a, uint64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void f4_quota_statfs(struct f4_inode *dir, struct f4_statfs *st)
{
	struct f4_volume *vol = dir->vol;
	struct f4_quota_usage u;
	uint64_t limit, used, left;
	uint32_t flags, projid;

	if (!vol->quota || !vol->quota->file[F4_QUOTA_PROJECT].enforce)
		return;
	f4_inode_rdlock(dir);
	flags = dir->flags;
	projid = dir->projid;
	f4_inode_unlock(dir);
	if (!(flags & F4_FL_PROJINHERIT) || f4_quota_usage(vol, F4_QUOTA_PROJECT, projid, &u) < 0)
		return;
	limit = lower(u.bytes_soft, u.bytes_hard) >> vol->block_bits;
	used = u.bytes >> vol->block_bits;
	if (limit) {
		left = limit > used ? limit - used : 0;
		st->blocks = smaller(st->blocks, limit);
		st->free_blocks = smaller(st->free_blocks, left);
		st->avail_blocks = smaller(st->avail_blocks, left);
	}
	limit = lower(u.inodes_soft, u.inodes_hard);
	if (limit) {
		left = limit > u.inodes ? limit - u.inodes : 0;
		st->files = smaller(st->files, limit);
		st->free_files = smaller(st->free_files, left);
	}
}
