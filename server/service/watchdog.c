/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two threads: one takes signals (and may be busy with a sync for long), one watches.
 */
#include "server/service/watchdog.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/log.h"
#include "server/service/notify.h"

#define LOOK_EVERY_S 10
#define STACK_BYTES  (256u << 10)
#define EXIT_HUNG    70 /* for the service manager: EX_SOFTWARE of sysexits.h */

static struct {
	struct f4_watchdog_config config;
	pthread_mutex_t lock;
	pthread_cond_t change;
	unsigned int started; /* threads that run; protected by lock */
	bool armed, watching; /* protected by lock */
	bool syncing;	      /* protected by lock */
	void *arg;	      /* borrowed while armed */
	struct timespec closing_since; /* protected by lock */
} dog = { .lock = PTHREAD_MUTEX_INITIALIZER };

static volatile sig_atomic_t asked_to_end;

static void note_signal(int sig)
{
	(void)sig;
	asked_to_end = 1;
}

static void started(const char *name)
{
	(void)prctl(PR_SET_NAME, name); /* for people */
	(void)pthread_mutex_lock(&dog.lock);
	dog.started++;
	(void)pthread_cond_broadcast(&dog.change);
	while (!dog.armed)
		(void)pthread_cond_wait(&dog.change, &dog.lock);
	(void)pthread_mutex_unlock(&dog.lock);
}

static void sync_now(void)
{
	bool syncing;

	(void)pthread_mutex_lock(&dog.lock);
	syncing = dog.syncing = dog.armed;
	(void)pthread_mutex_unlock(&dog.lock);
	if (!syncing)
		return; /* it is being closed: everything goes to the device anyway */
	f4_notice("asked to end: everything goes to the device now, the end comes with the unmount");
	f4_notify_send(dog.config.notify, "STATUS=Asked to end, waiting for the unmount");
	dog.config.sync(dog.arg);
	(void)pthread_mutex_lock(&dog.lock);
	dog.syncing = false;
	(void)pthread_cond_broadcast(&dog.change);
	(void)pthread_mutex_unlock(&dog.lock);
}

static void *signal_main(void *arg)
{
	sigset_t none;

	(void)arg;
	(void)sigfillset(&none);
	(void)sigdelset(&none, SIGTERM);
	(void)sigdelset(&none, SIGINT);
	started("signals");
	for (;;) {
		(void)ppoll(NULL, 0, NULL, &none); /* returns for a signal alone */
		if (asked_to_end) {
			asked_to_end = 0;
			sync_now();
		}
	}
	return NULL;
}

/* Seconds that the longest request, or the closing of the volume, has taken. */
static uint64_t hanging_s(void)
{
	struct timespec now;
	uint64_t s = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* the clock exists */
	(void)pthread_mutex_lock(&dog.lock);
	if (dog.armed) {
		s = dog.config.oldest_request_s(dog.arg);
		dog.config.look(dog.arg);
	}
	if (!dog.armed && dog.watching)
		s = (uint64_t)(now.tv_sec - dog.closing_since.tv_sec);
	(void)pthread_mutex_unlock(&dog.lock);
	return s;
}

static void *watch_main(void *arg)
{
	uint64_t usec = dog.config.notify->watchdog_usec / 2;
	struct timespec every = { LOOK_EVERY_S, 0 };

	(void)arg;
	if (usec && usec < LOOK_EVERY_S * 1000000ull) {
		every.tv_sec = (time_t)(usec / 1000000);
		every.tv_nsec = (long)(usec % 1000000) * 1000;
	}
	started("watchdog");
	for (;;) {
		uint64_t s = hanging_s();

		if (dog.config.limit_s && s > dog.config.limit_s) {
			f4_err("a request hangs for %llu seconds: giving up the filesystem",
			       (unsigned long long)s);
			_exit(EXIT_HUNG);
		}
		if (usec)
			f4_notify_send(dog.config.notify, "WATCHDOG=1");
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &every, NULL);
	}
	return NULL;
}

static int start_thread(void *(*fn)(void *))
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	r = pthread_attr_init(&attr);
	if (r)
		return -r;
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, fn, NULL);
	(void)pthread_attr_destroy(&attr);
	return -r;
}

void f4_watchdog_block_signals(sigset_t *ret_waiting)
{
	static const int ignored[] = { SIGPIPE, SIGHUP, SIGXFSZ, SIGUSR1, SIGUSR2, SIGALRM };
	struct sigaction act = { .sa_handler = note_signal };
	sigset_t ours;

	(void)sigemptyset(&ours);
	(void)sigaddset(&ours, SIGTERM);
	(void)sigaddset(&ours, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &ours, ret_waiting);
	(void)sigdelset(ret_waiting, SIGTERM);
	(void)sigdelset(ret_waiting, SIGINT);
	(void)sigaction(SIGTERM, &act, NULL);
	(void)sigaction(SIGINT, &act, NULL);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		(void)signal(ignored[i], SIG_IGN);
}

int f4_watchdog_start(const struct f4_watchdog_config *config)
{
	unsigned int want = 1;
	int r;

	dog.config = *config;
	r = pthread_cond_init(&dog.change, NULL);
	if (r)
		return -r;
	r = start_thread(signal_main);
	if (r == 0 && (config->limit_s || config->notify->watchdog_usec)) {
		dog.watching = true;
		want++;
		r = start_thread(watch_main);
	}
	if (r < 0)
		return r;
	/* The start of a thread makes calls that are not allowed after the seal. */
	(void)pthread_mutex_lock(&dog.lock);
	while (dog.started < want)
		(void)pthread_cond_wait(&dog.change, &dog.lock);
	(void)pthread_mutex_unlock(&dog.lock);
	return 0;
}

void f4_watchdog_arm(void *arg)
{
	(void)pthread_mutex_lock(&dog.lock);
	dog.arg = arg;
	dog.armed = true;
	(void)pthread_cond_broadcast(&dog.change);
	(void)pthread_mutex_unlock(&dog.lock);
}

void f4_watchdog_disarm(void)
{
	(void)pthread_mutex_lock(&dog.lock);
	dog.armed = false;
	(void)clock_gettime(CLOCK_MONOTONIC, &dog.closing_since); /* the clock exists */
	while (dog.syncing)
		(void)pthread_cond_wait(&dog.change, &dog.lock);
	(void)pthread_mutex_unlock(&dog.lock);
}
