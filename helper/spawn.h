/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A server of our own, where no service manager listens for one.
 *
 * It is started as a service manager would start it: its end of a socketpair as descriptor 3,
 * LISTEN_FDS=1 and LISTEN_PID in an otherwise empty environment, no other descriptor, a session of
 * its own, stdin and stdout from /dev/null. stderr is this process's: what the server logs until it
 * puts its log elsewhere is to be seen by who mounts.
 *
 * Until the mount stands, this process is the reaper of all that the server leaves behind on its
 * way into its sandbox (PR_SET_CHILD_SUBREAPER): f4_spawn_end() finds every one of them.
 */
#ifndef F4_HELPER_SPAWN_H
#define F4_HELPER_SPAWN_H

#include <sys/types.h>

#include "helper/fail.h"
#include "protocol/chan.h"

struct f4_spawn {
	char *others; /* owned: children that this process had before, which are not the server's */
};

#define F4_SPAWN_INIT { NULL }

/*
 * f4_spawn_start - start the server that belongs to this program: the one in this program's own
 * folder if there is one (a build, a copy), else the installed one.
 * @ch: written whatever happens; f4_chan_done() it. Our end.
 * Return: 0 or F4_FAILED. f4_spawn_done() @s in both cases.
 */
int f4_spawn_start(struct f4_spawn *s, struct f4_chan *ch, struct f4_fail *f);

/*
 * f4_spawn_end - see the server end, and whatever it left to us on its way. Call it when channel
 * and mount are closed, which an honest server takes as its sign to leave: it has a moment for
 * that, then SIGKILL. Returns within seconds. Harmless when nothing is left.
 */
void f4_spawn_end(const struct f4_spawn *s);

/* f4_spawn_done - free what @s owns; the server goes on. */
void f4_spawn_done(struct f4_spawn *s);

#endif
