/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Usage and limits: what the handles do to quota entries.
 *
 * Each change first brings the entries' blocks into the handle's transaction, then, under
 * quota->lock, checks all types' limits, changes the usage and writes the entries into their blocks.
 *
 * A soft limit may be passed for the time of grace, which begins when it is passed; then it is as
 * hard as the hard one. Limits count only for types that the mount enforces, and not for uid 0.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "server/ext4/quota_priv.h"

static uint64_t now_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME_COARSE, &ts); /* can't fail for this clock */
	return (uint64_t)ts.tv_sec;
}

static int announce(struct f4_handle *h, struct f4_dquot *const dq[F4_QUOTA_TYPES])
{
	int r = 0;

	for (size_t t = 0; t < F4_QUOTA_TYPES && r == 0; t++)
		if (dq[t])
			r = f4_txn_write(h, dq[t]->buf);
	return r;
}

static void store(struct f4_dquot *dq)
{
	f4_qt_encode(dq, (void *)(dq->buf->data + dq->off));
}

/* --- quota->lock held from here on ----------------------------------------------------------- */

/* How much of @used's kind may still be added. */
static uint64_t room(uint64_t used, uint64_t hard, uint64_t soft, uint64_t grace_end, uint64_t now)
{
	uint64_t left = UINT64_MAX;

	if (hard)
		left = used < hard ? hard - used : 0;
	if (soft && grace_end && now >= grace_end) {
		uint64_t s = used < soft ? soft - used : 0;

		left = s < left ? s : left;
	}
	return left;
}

static bool enforced(const struct f4_quota *q, const struct f4_handle *h, const struct f4_dquot *dq)
{
	return dq && !h->nolimit && q->file[dq->type].enforce;
}

static uint64_t bytes_room(const struct f4_quota *q, const struct f4_handle *h,
			   const struct f4_dquot *dq, uint64_t now)
{
	if (!enforced(q, h, dq))
		return UINT64_MAX;
	return room(dq->bytes, dq->bhard, dq->bsoft, dq->btime, now);
}

static uint64_t inodes_room(const struct f4_quota *q, const struct f4_handle *h,
			    const struct f4_dquot *dq, uint64_t now)
{
	if (!enforced(q, h, dq))
		return UINT64_MAX;
	return room(dq->inodes, dq->ihard, dq->isoft, dq->itime, now);
}

static uint64_t plus(uint64_t n, uint64_t more)
{
	return more > UINT64_MAX - n ? UINT64_MAX : n + more;
}

static void add(const struct f4_quota *q, struct f4_dquot *dq, uint64_t bytes, uint64_t inodes,
		uint64_t now)
{
	const struct f4_quota_file *file = &q->file[dq->type];

	dq->bytes = plus(dq->bytes, bytes);
	dq->inodes = plus(dq->inodes, inodes);
	if (file->enforce && dq->bsoft && dq->bytes > dq->bsoft && dq->btime == 0)
		dq->btime = now + file->bgrace;
	if (file->enforce && dq->isoft && dq->inodes > dq->isoft && dq->itime == 0)
		dq->itime = now + file->igrace;
	store(dq);
}

static void sub(struct f4_dquot *dq, uint64_t bytes, uint64_t inodes)
{
	/* Less than nothing: the file was wrong before, e2fsck will count. */
	dq->bytes -= bytes < dq->bytes ? bytes : dq->bytes;
	dq->inodes -= inodes < dq->inodes ? inodes : dq->inodes;
	if (dq->bytes <= dq->bsoft)
		dq->btime = 0;
	if (dq->inodes <= dq->isoft)
		dq->itime = 0;
	store(dq);
}

static void add_all(const struct f4_quota *q, struct f4_dquot *const dq[F4_QUOTA_TYPES],
		    uint64_t bytes, uint64_t inodes, uint64_t now)
{
	for (size_t t = 0; t < F4_QUOTA_TYPES; t++)
		if (dq[t])
			add(q, dq[t], bytes, inodes, now);
}

static void sub_all(struct f4_dquot *const dq[F4_QUOTA_TYPES], uint64_t bytes, uint64_t inodes)
{
	for (size_t t = 0; t < F4_QUOTA_TYPES; t++)
		if (dq[t])
			sub(dq[t], bytes, inodes);
}

static int check(const struct f4_quota *q, const struct f4_handle *h,
		 struct f4_dquot *const dq[F4_QUOTA_TYPES], uint64_t bytes, uint64_t inodes,
		 uint64_t now)
{
	for (size_t t = 0; t < F4_QUOTA_TYPES; t++)
		if (bytes_room(q, h, dq[t], now) < bytes || inodes_room(q, h, dq[t], now) < inodes)
			return -EDQUOT;
	return 0;
}

/* --- the calls ------------------------------------------------------------------------------- */

static bool is_charged(const struct f4_inode *inode)
{
	return inode->vol->quota && inode->quota_state == F4_INODE_ATTACHED;
}

int f4_quota_charge_new(struct f4_handle *h, struct f4_inode *inode, const struct f4_quota_owner *owner)
{
	struct f4_quota *q = inode->vol->quota;
	uint64_t now;
	int r;

	if (!q)
		return 0;
	inode->quota_state = F4_INODE_EXEMPT;
	r = announce(h, owner->dq);
	if (r < 0)
		return r;
	now = now_seconds();
	pthread_mutex_lock(&q->lock);
	r = check(q, h, owner->dq, 0, 1, now);
	for (size_t t = 0; t < F4_QUOTA_TYPES && r == 0; t++) {
		inode->dquot[t] = owner->dq[t];
		if (owner->dq[t])
			owner->dq[t]->refs++; /* the caller's keeps it from the list of idle ones */
	}
	if (r == 0) {
		add_all(q, inode->dquot, 0, 1, now);
		inode->charged = 0;
		inode->quota_state = F4_INODE_ATTACHED;
	}
	pthread_mutex_unlock(&q->lock);
	return r;
}

int f4_quota_release_inode(struct f4_handle *h, struct f4_inode *inode)
{
	struct f4_quota *q = inode->vol->quota;
	int r;

	if (!is_charged(inode))
		return 0;
	r = announce(h, inode->dquot);
	if (r < 0)
		return r;
	pthread_mutex_lock(&q->lock);
	sub_all(inode->dquot, inode->charged << 9, 1);
	pthread_mutex_unlock(&q->lock);
	inode->charged = 0;
	f4_quota_detach(inode);
	return 0;
}

/* As many of @want clusters as the owners may have, charged. */
static int claim(struct f4_handle *h, struct f4_inode *inode, uint32_t want, bool refuse,
		 uint32_t *ret)
{
	struct f4_volume *vol = inode->vol;
	struct f4_quota *q = vol->quota;
	uint32_t bits = vol->cluster_bits + vol->block_bits, n = want;
	uint64_t now;
	int r = announce(h, inode->dquot);

	if (r < 0)
		return r;
	now = now_seconds();
	pthread_mutex_lock(&q->lock);
	for (size_t t = 0; refuse && t < F4_QUOTA_TYPES; t++) {
		uint64_t left = bytes_room(q, h, inode->dquot[t], now) >> bits;

		n = left < n ? (uint32_t)left : n;
	}
	if (n)
		add_all(q, inode->dquot, (uint64_t)n << bits, 0, now);
	pthread_mutex_unlock(&q->lock);
	inode->charged += (uint64_t)n << (bits - 9);
	*ret = n;
	return n ? 0 : -EDQUOT;
}

/* Clusters that were charged in this handle and are not used. */
static void unclaim(struct f4_inode *inode, uint64_t clusters)
{
	struct f4_volume *vol = inode->vol;
	uint64_t bytes = clusters << (vol->cluster_bits + vol->block_bits);

	if (clusters == 0 || !is_charged(inode))
		return;
	pthread_mutex_lock(&vol->quota->lock);
	sub_all(inode->dquot, bytes, 0);
	pthread_mutex_unlock(&vol->quota->lock);
	inode->charged -= bytes >> 9;
}

int f4_quota_alloc(struct f4_handle *h, struct f4_inode *inode, const struct f4_alloc_req *req,
		   uint64_t *ret_blk, uint32_t *ret_len)
{
	struct f4_volume *vol = inode->vol;
	struct f4_alloc_req cut = *req;
	uint32_t want, may, got;
	int r;

	if (!is_charged(inode))
		return f4_alloc_blocks(h, vol, req, ret_blk, ret_len);
	want = (uint32_t)(((uint64_t)req->len + vol->cluster_ratio - 1) >> vol->cluster_bits);
	r = claim(h, inode, want, !(req->flags & F4_ALLOC_TREE), &may);
	if (r < 0)
		return r;
	if (may < want)
		cut.len = may << vol->cluster_bits;
	r = f4_alloc_blocks(h, vol, &cut, ret_blk, ret_len);
	got = r < 0 ? 0 : (uint32_t)(((uint64_t)*ret_len + vol->cluster_ratio - 1) >> vol->cluster_bits);
	unclaim(inode, may - got);
	return r;
}

int f4_quota_unalloc(struct f4_handle *h, struct f4_inode *inode, uint64_t blk, uint64_t len)
{
	struct f4_volume *vol = inode->vol;

	unclaim(inode, (len + vol->cluster_ratio - 1) >> vol->cluster_bits);
	return f4_alloc_free(h, vol, inode->ino, blk, len);
}

int f4_quota_settle(struct f4_handle *h, struct f4_inode *inode)
{
	struct f4_quota *q = inode->vol->quota;
	int r;

	if (!is_charged(inode) || inode->charged == inode->blocks)
		return 0;
	r = announce(h, inode->dquot);
	if (r < 0)
		return r;
	pthread_mutex_lock(&q->lock);
	if (inode->blocks > inode->charged)
		add_all(q, inode->dquot, (inode->blocks - inode->charged) << 9, 0, now_seconds());
	else
		sub_all(inode->dquot, (inode->charged - inode->blocks) << 9, 0);
	pthread_mutex_unlock(&q->lock);
	inode->charged = inode->blocks;
	return 0;
}

int f4_quota_attr(struct f4_handle *h, struct f4_inode *inode, int inodes, int64_t sectors)
{
	struct f4_quota *q = inode->vol->quota;
	uint64_t now, more = inodes > 0 ? (uint64_t)inodes : 0;
	uint64_t bytes = sectors > 0 ? (uint64_t)sectors << 9 : 0;
	uint64_t less = sectors < 0 ? (uint64_t)-sectors : 0;
	int r;

	if (!is_charged(inode) || (inodes == 0 && sectors == 0))
		return 0;
	r = announce(h, inode->dquot);
	if (r < 0)
		return r;
	now = now_seconds();
	pthread_mutex_lock(&q->lock);
	r = check(q, h, inode->dquot, bytes, more, now);
	if (r == 0) {
		add_all(q, inode->dquot, bytes, more, now);
		sub_all(inode->dquot, less << 9, inodes < 0 ? (uint64_t)-(int64_t)inodes : 0);
		inode->charged += (bytes >> 9) - less;
	}
	pthread_mutex_unlock(&q->lock);
	return r;
}

int f4_quota_transfer(struct f4_handle *h, struct f4_inode *inode, uint32_t values,
		      struct f4_quota_owner *to)
{
	struct f4_quota *q = inode->vol->quota;
	uint64_t bytes = inode->charged << 9, n = 1 + (uint64_t)values, now;
	struct f4_quota_owner gain = { 0 };
	bool any = false;
	int r;

	if (!is_charged(inode))
		return 0;
	for (size_t t = 0; t < F4_QUOTA_TYPES; t++) {
		if (to->dq[t] && to->dq[t] != inode->dquot[t]) {
			gain.dq[t] = to->dq[t];
			any = true;
		}
	}
	if (!any)
		return 0;
	r = announce(h, inode->dquot);
	if (r == 0)
		r = announce(h, gain.dq);
	if (r < 0)
		return r;
	now = now_seconds();
	pthread_mutex_lock(&q->lock);
	r = check(q, h, gain.dq, bytes, n, now);
	for (size_t t = 0; t < F4_QUOTA_TYPES && r == 0; t++) {
		if (!gain.dq[t] || !inode->dquot[t])
			continue;
		sub(inode->dquot[t], bytes, n);
		add(q, gain.dq[t], bytes, n, now);
		to->dq[t] = inode->dquot[t];
		inode->dquot[t] = gain.dq[t];
	}
	pthread_mutex_unlock(&q->lock);
	return r;
}
