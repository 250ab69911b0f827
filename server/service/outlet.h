/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where log lines go, before and after the mount.
 *
 * Under a service manager stderr is its journal, for ever. A helper's child has the helper's stderr,
 * which belongs to whoever mounts: lines go there until the mount stands, then to the system log
 * (/dev/log), because a pipe that somebody reads to its end must not stay open as long as the mount.
 * Where there is no system log they are dropped; with debug they stay on stderr.
 */
#ifndef F4_SERVICE_OUTLET_H
#define F4_SERVICE_OUTLET_H

#include <stdbool.h>

struct f4_outlet {
	int first; /* owned: the helper's stderr, until the mount stands; -1 */
	bool syslog;
};

#define F4_OUTLET_INIT { .first = -1 }

/* f4_outlet_open - f4_log_init and, for a helper's child, both targets. Context: before the seal. */
void f4_outlet_open(struct f4_outlet *o, const char *program, bool spawned);

/* f4_outlet_stay - debug: stderr is kept, and everything is logged. Before f4_seal_close(). */
void f4_outlet_stay(struct f4_outlet *o, const char *program);

/* f4_outlet_mounted - the caller's stderr is let go. Other threads may log. Allowed after the seal. */
void f4_outlet_mounted(struct f4_outlet *o);

#endif
