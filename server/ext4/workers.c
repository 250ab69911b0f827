/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads made before the seal. One mutex, one condition: jobs are few and long.
 */
#include "server/ext4/workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "protocol/base/cleanup.h"

struct job {
	void (*fn)(void *arg);
	void *arg;
};

struct f4_workers {
	pthread_mutex_t lock;
	pthread_cond_t wake;   /* a job is pending, or stop */
	pthread_cond_t freed;  /* a thread became idle */
	size_t n_threads;  /* constant after new */
	size_t idle;	   /* threads without a job, less jobs not taken yet; protected by lock */
	size_t n_pending;  /* protected by lock */
	size_t started;	   /* threads that have begun to wait; protected by lock */
	struct job *pending; /* owned, n_threads places; protected by lock */
	bool stop;	   /* protected by lock */
	pthread_t threads[];
};

static void *worker_main(void *arg)
{
	struct f4_workers *w = arg;

	(void)prctl(PR_SET_NAME, "ext4"); /* for people */
	pthread_mutex_lock(&w->lock);
	w->started++;
	pthread_cond_signal(&w->freed);
	for (;;) {
		struct job job;

		while (w->n_pending == 0 && !w->stop)
			pthread_cond_wait(&w->wake, &w->lock);
		if (w->n_pending == 0)
			break;
		job = w->pending[--w->n_pending];
		pthread_mutex_unlock(&w->lock);
		job.fn(job.arg);
		pthread_mutex_lock(&w->lock);
		w->idle++;
		pthread_cond_signal(&w->freed);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

int f4_workers_new(size_t n, struct f4_workers **ret)
{
	struct f4_workers *w = calloc(1, sizeof(*w) + n * sizeof(w->threads[0]));
	sigset_t all, saved;
	int r = 0;

	if (!w)
		return -ENOMEM;
	w->pending = calloc(n ? n : 1, sizeof(*w->pending));
	if (!w->pending) {
		free(w);
		return -ENOMEM;
	}
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	pthread_cond_init(&w->freed, NULL);
	/* Signals are the main thread's affair. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	for (; w->n_threads < n && r == 0; w->n_threads += r == 0)
		r = pthread_create(&w->threads[w->n_threads], NULL, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	/* The start of a thread makes calls that are not allowed after the seal: let it be over. */
	pthread_mutex_lock(&w->lock);
	while (w->started < w->n_threads)
		pthread_cond_wait(&w->freed, &w->lock);
	w->idle = w->n_threads;
	pthread_mutex_unlock(&w->lock);
	if (r != 0) {
		f4_workers_free(w);
		return -r;
	}
	*ret = w;
	return 0;
}

int f4_workers_run(struct f4_workers *w, void (*fn)(void *arg), void *arg)
{
	struct timespec deadline;
	int r = -EAGAIN;

	/* A thread whose job has just told its owner that it is done may not be back here yet. */
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += 1;
	pthread_mutex_lock(&w->lock);
	while (w->idle == 0 && !w->stop &&
	       pthread_cond_timedwait(&w->freed, &w->lock, &deadline) == 0)
		;
	if (w->idle > 0 && !w->stop) {
		w->idle--;
		w->pending[w->n_pending++] = (struct job){ .fn = fn, .arg = arg };
		pthread_cond_signal(&w->wake);
		r = 0;
	}
	pthread_mutex_unlock(&w->lock);
	return r;
}

struct f4_workers *f4_workers_free(struct f4_workers *w)
{
	if (!w)
		return NULL;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->wake);
	pthread_mutex_unlock(&w->lock);
	for (size_t i = 0; i < w->n_threads; i++)
		pthread_join(w->threads[i], NULL);
	pthread_cond_destroy(&w->wake);
	pthread_cond_destroy(&w->freed);
	pthread_mutex_destroy(&w->lock);
	free(w->pending);
	free(w);
	return NULL;
}
