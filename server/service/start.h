/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first half of the server's life: from the start of the process to the moment when it holds all
 * that it will ever hold, isolated but for the system call filter.
 *
 *   begin      descriptor 3, signals, log; descriptors that nobody passed are closed
 *   greet      hello, then argv and /dev/fuse arrive; a starter that says nothing ends here
 *   isolate    user id, namespaces, empty root, capabilities, Landlock; from here on a child
 *   options    the argument file is read
 *   files      image and journal arrive, are proven and locked
 *
 * Nothing of the image is read. Logging: failures are told to whoever mounts, else to the log.
 */
#ifndef F4_SERVICE_START_H
#define F4_SERVICE_START_H

#include <signal.h>

#include "protocol/argv.h"
#include "protocol/cmdline.h"
#include "server/service/accept.h"
#include "server/service/dialog.h"
#include "server/service/notify.h"
#include "server/service/outlet.h"
#include "server/service/seal.h"
#include "server/service/source.h"

#define F4_START_WHY_MAX      1024u
#define F4_START_EXIT_ABORTED 134 /* exit status after a failed assertion of ours */

struct f4_start {
	const char *program; /* borrowed for ever */
	struct f4_accept accept;
	struct f4_outlet outlet;
	struct f4_notify notify;
	struct f4_seal seal;
	struct f4_dialog dialog;
	sigset_t waiting; /* the signal mask of the dialog's waits */
	int proc_locks;	  /* owned; -1 */
	int argv_fd;	  /* owned; -1 */
	int fuse_fd;	  /* owned; -1; /dev/fuse */

	struct f4_argv argv;
	struct f4_cmdline cmdline;	       /* borrows from argv */
	struct f4_source_file source, journal; /* journal.fd -1: none was named */
	char shown[640];		       /* "SOURCE on DIR", escaped, for people */
};

#define F4_START_INIT                                                                        \
	{                                                                                    \
		.outlet = F4_OUTLET_INIT, .notify = F4_NOTIFY_INIT, .dialog = F4_DIALOG_INIT, \
		.seal = { .uid_lock = -1 }, .proc_locks = -1, .argv_fd = -1, .fuse_fd = -1,   \
		.argv = F4_ARGV_INIT, .source = F4_SOURCE_FILE_INIT,                          \
		.journal = F4_SOURCE_FILE_INIT,                                               \
	}

/* The mount failed, and everybody was told. */
enum { F4_START_E_FAILED = 1 };

/*
 * f4_start_run - all of it. @s is F4_START_INIT; f4_start_done() it whatever happens.
 * Return: 0 or F4_START_E_FAILED. Context: single-threaded; returns in a child of the caller's process.
 */
int f4_start_run(struct f4_start *s, const char *program);

/*
 * f4_start_fail - a later step failed: @why, one line, is told to whoever mounts, through the helper
 * or, where it can't take it, on the log. The caller has let go of the image before.
 * @error: positive errno behind it, or 0
 */
void f4_start_fail(struct f4_start *s, enum f4_dialog_code code, int error, const char *why);

/* f4_start_fail_dialog - the dialog itself broke. */
void f4_start_fail_dialog(struct f4_start *s);

void f4_start_done(struct f4_start *s);

#endif
