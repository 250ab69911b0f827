/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State for the service manager, by sd_notify(3)'s protocol on a socket of our own that is connected
 * before the seal: the library's function would make a new one for each message.
 */
#ifndef F4_SERVICE_NOTIFY_H
#define F4_SERVICE_NOTIFY_H

#include <stdint.h>

struct f4_notify {
	int fd;			/* owned; -1: nobody listens */
	uint64_t watchdog_usec; /* how often the manager wants to hear from us; 0: never */
};

#define F4_NOTIFY_INIT { .fd = -1 }

/*
 * f4_notify_open - connect to NOTIFY_SOCKET, if there is one, and read WATCHDOG_USEC; both leave the
 * environment. Failure means no notifications. Context: before f4_seal_isolate().
 */
void f4_notify_open(struct f4_notify *n);

/*
 * f4_notify_send - one message of "NAME=VALUE" lines ("READY=1\nSTATUS=..."). Values that hold bytes
 * of others must be escaped by the caller. Lost where nobody listens. Any thread; plain write(2).
 */
void f4_notify_send(const struct f4_notify *n, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

void f4_notify_done(struct f4_notify *n);

#endif
