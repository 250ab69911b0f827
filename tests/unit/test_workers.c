/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads that wait for jobs: all run, busy is said, free waits. */
#include "server/ext4/workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "tests/lib/check.h"

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool open;
	int inside;
	atomic_int done;
};

static void pass_gate(void *arg)
{
	struct gate *g = arg;

	pthread_mutex_lock(&g->lock);
	g->inside++;
	pthread_cond_broadcast(&g->cond);
	while (!g->open)
		pthread_cond_wait(&g->cond, &g->lock);
	pthread_mutex_unlock(&g->lock);
	g->done++;
}

static void open_gate(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->open = true;
	pthread_cond_broadcast(&g->cond);
	pthread_mutex_unlock(&g->lock);
}

static void jobs_run_side_by_side(void)
{
	struct gate g = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	struct f4_workers *w;

	TEST_REQUIRE(f4_workers_new(3, &w) == 0);
	for (int i = 0; i < 3; i++)
		TEST_EQ(f4_workers_run(w, pass_gate, &g), 0);
	pthread_mutex_lock(&g.lock);
	while (g.inside < 3)
		pthread_cond_wait(&g.cond, &g.lock);
	pthread_mutex_unlock(&g.lock);
	TEST_EQ(f4_workers_run(w, pass_gate, &g), -EAGAIN);
	open_gate(&g);
	/* A thread is free again as soon as its job returned. */
	for (int i = 0; i < 50; i++)
		TEST_EQ(f4_workers_run(w, pass_gate, &g), 0);
	TEST_CHECK(f4_workers_free(w) == NULL);
	TEST_EQ(g.done, 53);
}

static void none_and_null(void)
{
	struct f4_workers *w;

	TEST_CHECK(f4_workers_free(NULL) == NULL);
	TEST_REQUIRE(f4_workers_new(0, &w) == 0);
	TEST_CHECK(f4_workers_free(w) == NULL);
}

int main(void)
{
	TEST_RUN(jobs_run_side_by_side);
	TEST_RUN(none_and_null);
	return test_done();
}
