/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Multiple mount protection; the contract is in mmp.h. */
#include "server/ext4/mmp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "server/ext4/csum.h"
#include "server/ext4/inode.h"
#include "server/ext4/volume_priv.h"
#include "server/ext4/workers.h"

/* Seconds. */
#define UPDATE_DEFAULT 5u
#define CHECK_MIN      5u
#define INTERVAL_MAX   300u
#define WAIT_EXTRA     60u

struct f4_mmp {
	uint64_t pos;	   /* bytes; constant */
	uint32_t interval; /* seconds between two heartbeats; constant */
	pthread_mutex_t lock; /* leaf; protects what follows */
	pthread_cond_t wake;
	uint32_t seq;	   /* what we wrote last */
	bool lost;	   /* somebody else wrote */
	bool stop, running;
};

static uint32_t mmp_csum(const struct f4_volume *vol, const struct f4_mmp_block *b)
{
	return f4_crc32c(vol->csum_seed, b, offsetof(struct f4_mmp_block, mmp_checksum));
}

static int block_read(struct f4_volume *vol, const struct f4_mmp *m, struct f4_mmp_block *b)
{
	int r = f4_disk_read(vol->disk, b, sizeof(*b), m->pos);

	if (r < 0)
		return r;
	if (f4_get_le32(b->mmp_magic) != F4_MMP_MAGIC ||
	    (vol->has_csum && f4_get_le32(b->mmp_checksum) != mmp_csum(vol, b))) {
		f4_volume_say(vol, LOG_ERR, "the block for multiple mount protection is damaged");
		return -EUCLEAN;
	}
	return 0;
}

/* What others have to wait for at least. */
static uint32_t check_interval(const struct f4_mmp *m)
{
	return 2 * m->interval > CHECK_MIN ? 2 * m->interval : CHECK_MIN;
}

static int block_write(struct f4_volume *vol, const struct f4_mmp *m, struct f4_mmp_block *b,
		       uint32_t seq)
{
	static const char node[] = "fuse4fs";

	memset(b->mmp_nodename, 0, sizeof(b->mmp_nodename));
	memcpy(b->mmp_nodename, node, sizeof(node));
	memset(b->mmp_bdevname, 0, sizeof(b->mmp_bdevname));
	b->mmp_seq = f4_mk_le32(seq);
	b->mmp_time = f4_mk_le64((uint64_t)f4_now().tv_sec);
	b->mmp_check_interval = f4_mk_le16((uint16_t)check_interval(m));
	if (vol->has_csum)
		b->mmp_checksum = f4_mk_le32(mmp_csum(vol, b));
	return f4_disk_write_fua(vol->disk, b, sizeof(*b), m->pos);
}

/* A number that another machine won't choose at the same time. */
static uint32_t new_seq(const struct f4_volume *vol)
{
	struct timespec now = f4_now();
	uint64_t x = (uint64_t)now.tv_nsec * 0x9E3779B97F4A7C15ull ^ (uint64_t)now.tv_sec ^
		     (uintptr_t)vol;

	x ^= x >> 29;
	return (uint32_t)(x % F4_MMP_SEQ_MAX) + 1;
}

static void wait_seconds(const struct f4_volume *vol, uint32_t seconds)
{
	struct timespec ts = { .tv_sec = seconds };

	if (vol->opt.no_mmp_wait)
		return;
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
		;
}

static int busy(struct f4_volume *vol, const struct f4_mmp_block *b, const char *why)
{
	char node[sizeof(b->mmp_nodename) + 1] = "";

	memcpy(node, b->mmp_nodename, sizeof(b->mmp_nodename));
	f4_volume_say(vol, LOG_ERR, "in use elsewhere: %s (multiple mount protection; node '%s')", why,
		      node);
	return -EBUSY;
}

/* Nobody has it: two looks, one interval apart, and our own mark must survive another one. */
static int acquire(struct f4_volume *vol, struct f4_mmp *m)
{
	struct f4_mmp_block b;
	uint32_t seq, check, wait;
	int r = block_read(vol, m, &b);

	if (r < 0)
		return r;
	seq = f4_get_le32(b.mmp_seq);
	check = f4_get_le16(b.mmp_check_interval);
	check = check < m->interval ? m->interval : check > INTERVAL_MAX ? INTERVAL_MAX : check;
	check = check < CHECK_MIN ? CHECK_MIN : check;
	wait = check * 2 + 1 < check + WAIT_EXTRA ? check * 2 + 1 : check + WAIT_EXTRA;
	if (seq == F4_MMP_SEQ_FSCK)
		return busy(vol, &b, "e2fsck is running on it, or was interrupted");
	if (seq != F4_MMP_SEQ_CLEAN) {
		if (seq > F4_MMP_SEQ_MAX)
			return busy(vol, &b, "unknown mark");
		f4_volume_say(vol, LOG_NOTICE,
			      "multiple mount protection: not marked free, watching it for %u seconds",
			      vol->opt.no_mmp_wait ? 0 : wait);
		wait_seconds(vol, wait);
		r = block_read(vol, m, &b);
		if (r < 0)
			return r;
		if (f4_get_le32(b.mmp_seq) != seq)
			return busy(vol, &b, "its mark is being changed");
	}
	m->seq = new_seq(vol);
	r = block_write(vol, m, &b, m->seq);
	if (r < 0)
		return r;
	wait_seconds(vol, wait);
	r = block_read(vol, m, &b);
	if (r == 0 && f4_get_le32(b.mmp_seq) != m->seq)
		r = busy(vol, &b, "somebody took it at the same moment");
	return r;
}

static int lost(struct f4_volume *vol, struct f4_mmp *m, const struct f4_mmp_block *b)
{
	m->lost = true;
	busy(vol, b, "its mark was overwritten; nothing is written any more");
	atomic_store(&vol->read_only, true);
	if (vol->journal)
		f4_journal_abort(vol->journal, -EBUSY);
	return -EBUSY;
}

int f4_mmp_tick(struct f4_volume *vol)
{
	struct f4_mmp *m = vol->mmp;
	struct f4_mmp_block b;
	int r;

	pthread_mutex_lock(&m->lock);
	if (m->lost) {
		r = -EBUSY;
	} else {
		r = block_read(vol, m, &b);
		if (r == 0 && f4_get_le32(b.mmp_seq) != m->seq)
			r = lost(vol, m, &b);
		if (r == 0) {
			m->seq = m->seq < F4_MMP_SEQ_MAX ? m->seq + 1 : 1;
			r = block_write(vol, m, &b, m->seq);
		}
	}
	pthread_mutex_unlock(&m->lock);
	if (r < 0 && r != -EBUSY)
		f4_volume_say(vol, LOG_ERR, "multiple mount protection: %s", strerror(-r));
	return r;
}

static void keep_alive(void *arg)
{
	struct f4_volume *vol = arg;
	struct f4_mmp *m = vol->mmp;

	pthread_mutex_lock(&m->lock);
	while (!m->stop && !m->lost) {
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += m->interval;
		while (!m->stop && pthread_cond_timedwait(&m->wake, &m->lock, &until) != ETIMEDOUT)
			;
		if (m->stop)
			break;
		pthread_mutex_unlock(&m->lock);
		(void)f4_mmp_tick(vol); /* it has said what there was to say */
		pthread_mutex_lock(&m->lock);
	}
	m->running = false;
	pthread_cond_broadcast(&m->wake);
	pthread_mutex_unlock(&m->lock);
}

static struct f4_mmp *mmp_free(struct f4_mmp *m)
{
	pthread_cond_destroy(&m->wake);
	pthread_mutex_destroy(&m->lock);
	free(m);
	return NULL;
}

static struct f4_mmp *mmp_new(void)
{
	struct f4_mmp *m = calloc(1, sizeof(*m));
	pthread_condattr_t attr;

	if (!m)
		return NULL;
	pthread_mutex_init(&m->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->wake, &attr);
	pthread_condattr_destroy(&attr);
	return m;
}

int f4_mmp_start(struct f4_volume *vol)
{
	const struct f4_mmp_place *at = &vol->state->mmp_place;
	struct f4_mmp *m;
	int r;

	if (at->blk <= vol->first_data_block || at->blk >= vol->blocks_count) {
		f4_volume_say(vol, LOG_ERR, "superblock: multiple mount protection in block %llu",
			      (unsigned long long)at->blk);
		return -EUCLEAN;
	}
	m = mmp_new();
	if (!m)
		return -ENOMEM;
	m->pos = at->blk << vol->block_bits;
	m->interval = at->interval == 0		   ? UPDATE_DEFAULT :
		      at->interval > INTERVAL_MAX / 2 ? INTERVAL_MAX / 2 : at->interval;
	r = acquire(vol, m);
	if (r < 0) {
		mmp_free(m);
		return r;
	}
	vol->mmp = m;
	if (vol->workers) {
		m->running = true;
		r = f4_workers_run(vol->workers, keep_alive, vol);
		if (r < 0) {
			m->running = false;
			f4_mmp_stop(vol);
		}
	}
	return r;
}

void f4_mmp_stop(struct f4_volume *vol)
{
	struct f4_mmp *m = vol->mmp;
	struct f4_mmp_block b;

	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	m->stop = true;
	pthread_cond_broadcast(&m->wake);
	while (m->running)
		pthread_cond_wait(&m->wake, &m->lock);
	/* Only what is still ours is given back. */
	if (!m->lost && block_read(vol, m, &b) == 0 && f4_get_le32(b.mmp_seq) == m->seq)
		(void)block_write(vol, m, &b, F4_MMP_SEQ_CLEAN); /* else the next one waits longer */
	pthread_mutex_unlock(&m->lock);
	vol->mmp = mmp_free(m);
}
