/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process title: what ps and /proc/PID/cmdline show.
 *
 * The kernel shows the memory where the arguments were when the program started and, when that is
 * full, the environment behind it. Both are written over; nobody may use argv[] afterwards, and the
 * environment has moved to the heap. Room is what the starter gave: the helper passes an environment
 * variable for that alone (F4_TITLE_ROOM).
 */
#ifndef F4_SERVICE_TITLE_H
#define F4_SERVICE_TITLE_H

/* f4_title_init - first thing in main. Without memory there will be no title. */
void f4_title_init(int argc, char **argv);

/* f4_title_set - cut to the room there is; control characters come out as '?'. Any time, one thread. */
void f4_title_set(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
