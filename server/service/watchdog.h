/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One thread beside those that parse the image: it takes the signals that ask the server to end,
 * tells the service manager that the server is alive, and ends the process when a request hangs.
 *
 * SIGTERM and SIGINT can't end a server whose filesystem is mounted: nobody could read a file any
 * more, and what is not written would be lost. They mean: put everything on the device now. The
 * server ends when it is unmounted.
 *
 * A mount of type fuseblk whose server does not answer holds umount(2), and with it a shutdown,
 * beyond every signal to the caller. So a request that takes longer than the limit ends the process,
 * which aborts the connection; the journal makes that no worse than a crash.
 */
#ifndef F4_SERVICE_WATCHDOG_H
#define F4_SERVICE_WATCHDOG_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct f4_notify;

#define F4_WATCHDOG_LIMIT_S 600 /* the slowest honest device: one flush of its cache */

struct f4_watchdog_config {
	const struct f4_notify *notify; /* borrowed */
	/* How many seconds the longest running request has taken so far; 0: none runs. */
	uint64_t (*oldest_request_s)(void *arg);
	void (*sync)(void *arg);     /* put everything on the device */
	void (*look)(void *arg);     /* called every few seconds while armed; never waits long */
	uint32_t limit_s;	     /* 0: requests are not watched */
};

struct f4_watchdog; /* one a process */

/*
 * f4_watchdog_start - before the seal; the thread sleeps until f4_watchdog_arm(). The caller has
 * blocked SIGTERM and SIGINT; only the thread takes them.
 * Return: 0 or -errno. The thread has started when it returns.
 */
int f4_watchdog_start(const struct f4_watchdog_config *config);

/* f4_watchdog_arm - the filesystem is mounted: begin. @arg is for the functions of the config. */
void f4_watchdog_arm(void *arg);

/*
 * f4_watchdog_disarm - the volume is about to go: @arg is not used after the return. Waits for a
 * sync that is running. Hanging requests are not watched any more, but the manager still hears.
 */
void f4_watchdog_disarm(void);

/* f4_watchdog_block_signals - SIGTERM and SIGINT wait; @ret_waiting: a mask that lets them through. */
void f4_watchdog_block_signals(sigset_t *ret_waiting);

#endif
