/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that exist before the seal and get their work after it.
 *
 * Inside the seal no thread can be made, and before it no volume can be opened. So the server makes
 * the core's background threads early; each sleeps until a job is given to it. A job may run for
 * the volume's whole life (the journal's timer does).
 */
#ifndef F4_EXT4_WORKERS_H
#define F4_EXT4_WORKERS_H

#include <stddef.h>

struct f4_workers;

/* Background threads that one volume uses at most: journal, memory and MMP upkeep. */
#define F4_WORKERS_PER_VOLUME 3u

/*
 * f4_workers_new - start @n threads. All of them wait for work when it returns.
 * Return: 0 or a negative errno of pthread_create.
 */
int f4_workers_new(size_t n, struct f4_workers **ret);

/*
 * f4_workers_run - let an idle thread run fn(arg).
 * Return: 0; -EAGAIN when all stay busy (the caller's bug or F4_WORKERS_PER_VOLUME is too small).
 * The job must return by itself when its owner tells it to.
 */
int f4_workers_run(struct f4_workers *w, void (*fn)(void *arg), void *arg);

/* f4_workers_free - wait for running jobs, end the threads; NULL allowed. Return: NULL. */
struct f4_workers *f4_workers_free(struct f4_workers *w);

#endif
