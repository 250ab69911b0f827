/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The server's side of the service protocol: what the helper is asked, in which order, and how it
 * hears why a mount failed.
 *
 * Every wait has a limit. What goes wrong in the dialog itself (a helper that is silent, gone or
 * breaks the protocol) ends it; what the helper refuses is a result. Non-logging: reasons are text
 * in @why.
 */
#ifndef F4_SERVICE_DIALOG_H
#define F4_SERVICE_DIALOG_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/chan.h"
#include "protocol/conv.h"

/* Limits in milliseconds. */
#define F4_DIALOG_HELLO_MS  2000  /* nobody holds a server by saying nothing */
#define F4_DIALOG_FIRST_MS  2000  /* argv and fusedev follow at once */
#define F4_DIALOG_OPEN_MS   20000 /* a sleeping disk, an automount */
#define F4_DIALOG_REPLY_MS  5000
#define F4_DIALOG_MOUNT_MS  60000 /* the helper waits for the kernel, which waits for us */

/* Exit statuses of mount(8), as goodbye codes. */
enum f4_dialog_code {
	F4_DIALOG_OK = 0,
	F4_DIALOG_USAGE = 1,
	F4_DIALOG_INTERNAL = 4,
	F4_DIALOG_FAILED = 32,
};

/* The dialog is over: @why says how it broke. */
enum { F4_DIALOG_E_BROKEN = 1 };

struct f4_dialog {
	struct f4_chan chan;
	struct f4_conv conv;
	uint32_t hello_flags; /* F4_HELLO_*: what the helper may do */
	bool broken;
	char why[192];
};

#define F4_DIALOG_INIT { .chan = F4_CHAN_INIT }

/*
 * f4_dialog_init - @fd is consumed. f4_dialog_done() it.
 * @wait_mask: borrowed; the signal mask while waiting, or NULL: a signal then breaks the dialog
 * Return: 0 or F4_DIALOG_E_BROKEN.
 */
int f4_dialog_init(struct f4_dialog *d, int fd, const sigset_t *wait_mask);
void f4_dialog_done(struct f4_dialog *d);

/* f4_dialog_hello - Return: 0 or F4_DIALOG_E_BROKEN. */
int f4_dialog_hello(struct f4_dialog *d);

/*
 * f4_dialog_first - argv and fusedev, which come unasked.
 * Return: 0 with both descriptors owned by the caller, of unproven kind; F4_DIALOG_E_BROKEN; or
 * -errno when the helper says that it has none (then d->why says of what).
 */
int f4_dialog_first(struct f4_dialog *d, int *ret_argv_fd, int *ret_fuse_fd);

/*
 * f4_dialog_open - ask for a file.
 * @bdev:  as a block device; not one: -ENOTBLK
 * @flags: of open(2)
 * Return: 0 with the descriptor owned by the caller, of unproven kind; -errno as the helper has it;
 * F4_DIALOG_E_BROKEN.
 */
int f4_dialog_open(struct f4_dialog *d, bool bdev, const char *path, int flags, int *ret_fd);

/* f4_dialog_seal - no descriptor is awaited any more: plain reads and writes from now on. */
void f4_dialog_seal(struct f4_dialog *d);

/*
 * f4_dialog_ask - one of TYPE, NAME, MNTP, OPTS, MTAB, DOIT.
 * Return: 0; -errno as the helper replied; F4_DIALOG_E_BROKEN.
 */
int f4_dialog_ask(struct f4_dialog *d, const struct f4_msg *m);

/*
 * f4_dialog_bye - the last word.
 * @code:  F4_DIALOG_OK, or why not
 * @error: positive errno behind it or 0; @reason: one line for whoever mounts, NULL with F4_DIALOG_OK.
 *         Sent ahead as F4_MTAB_REASON where the dialog has come so far (see wire.h).
 * Return: true when the helper was told (the reason as well, if there is one).
 */
bool f4_dialog_bye(struct f4_dialog *d, enum f4_dialog_code code, int error, const char *reason);

#endif
