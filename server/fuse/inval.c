/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One thread, a ring of ranges, and those who wait for a moment; see inval.h. */
#include "server/fuse/inval.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "protocol/base/log.h"

#define RING 1024u
#define WAIT_NS 20000000  /* how long a reply is held back at most */
#define END_WAIT_S 2	  /* how long the end waits for the thread */
#define STACK_BYTES (64u << 10)

struct range {
	uint64_t node, pos, len;
};

struct f4_inval {
	struct fuse_session *se; /* borrowed */
	pthread_t thread;
	pthread_mutex_t lock; /* leaf; protects all below */
	pthread_cond_t work;  /* the ring has something, or it is the end */
	pthread_cond_t progress; /* done has grown, or the thread runs or is gone */
	struct range ring[RING];
	uint64_t queued, done; /* counts since the start; their difference is in the ring */
	bool running, ending, gone;
};

static void *thread_main(void *arg)
{
	struct f4_inval *v = arg;

	(void)prctl(PR_SET_NAME, "fuse-inval"); /* for people */
	(void)pthread_mutex_lock(&v->lock);
	v->running = true;
	(void)pthread_cond_broadcast(&v->progress);
	while (!v->ending) {
		struct range r = v->ring[v->done % RING];

		if (v->queued == v->done) {
			(void)pthread_cond_wait(&v->work, &v->lock);
			continue;
		}
		(void)pthread_mutex_unlock(&v->lock);
		/* Fails for an inode that the kernel has forgotten: then it has no pages either. */
		(void)fuse_lowlevel_notify_inval_inode(v->se, r.node, (off_t)r.pos, (off_t)r.len);
		(void)pthread_mutex_lock(&v->lock);
		v->done++;
		(void)pthread_cond_broadcast(&v->progress);
	}
	v->gone = true;
	(void)pthread_cond_broadcast(&v->progress);
	(void)pthread_mutex_unlock(&v->lock);
	return NULL;
}

int f4_inval_new(struct fuse_session *se, struct f4_inval **ret)
{
	struct f4_inval *v = calloc(1, sizeof(*v));
	pthread_attr_t attr;
	int r;

	if (!v)
		return -ENOMEM;
	v->se = se;
	(void)pthread_mutex_init(&v->lock, NULL); /* default attributes can't fail */
	(void)pthread_cond_init(&v->work, NULL);
	(void)pthread_cond_init(&v->progress, NULL);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	r = pthread_create(&v->thread, &attr, thread_main, v);
	(void)pthread_attr_destroy(&attr);
	if (r != 0) {
		free(v);
		return -r;
	}
	/* The C library makes calls at the start of a thread that the seal does not allow. */
	(void)pthread_mutex_lock(&v->lock);
	while (!v->running)
		(void)pthread_cond_wait(&v->progress, &v->lock);
	(void)pthread_mutex_unlock(&v->lock);
	*ret = v;
	return 0;
}

static struct timespec after(int64_t seconds, int64_t ns)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t); /* the clock exists */
	t.tv_nsec += ns;
	t.tv_sec += seconds + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

void f4_inval_range(struct f4_inval *v, uint64_t node, uint64_t pos, uint64_t len)
{
	struct timespec until = after(0, WAIT_NS);
	bool room;
	int r = 0;

	(void)pthread_mutex_lock(&v->lock);
	room = v->queued - v->done < RING;
	if (room) {
		uint64_t ticket = v->queued + 1;

		v->ring[v->queued % RING] = (struct range){ node, pos, len };
		v->queued = ticket;
		(void)pthread_cond_signal(&v->work);
		while (v->done < ticket && !v->ending && r == 0)
			r = pthread_cond_timedwait(&v->progress, &v->lock, &until);
	}
	(void)pthread_mutex_unlock(&v->lock);
	if (!room)
		f4_warn("FUSE: node %llu: the kernel may keep old pages beside a direct write",
			(unsigned long long)node);
}

struct f4_inval *f4_inval_free(struct f4_inval *v)
{
	struct timespec until = after(END_WAIT_S, 0);
	bool gone;
	int r = 0;

	if (!v)
		return NULL;
	(void)pthread_mutex_lock(&v->lock);
	v->ending = true;
	(void)pthread_cond_broadcast(&v->work);
	(void)pthread_cond_broadcast(&v->progress);
	while (!v->gone && r == 0)
		r = pthread_cond_timedwait(&v->progress, &v->lock, &until);
	gone = v->gone;
	(void)pthread_mutex_unlock(&v->lock);
	if (!gone)
		return v;
	(void)pthread_join(v->thread, NULL);
	(void)pthread_cond_destroy(&v->progress);
	(void)pthread_cond_destroy(&v->work);
	(void)pthread_mutex_destroy(&v->lock);
	free(v);
	return NULL;
}
