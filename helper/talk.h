/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The conversation with the server, and what the server may have.
 *
 * The server is about to parse bytes that nobody vouches for, so it is believed nothing:
 *   files    it gets what the caller named, source and journal, under exactly the name that the
 *            caller used, each once, for reading and writing only if the caller asked for that,
 *            never created or truncated;
 *   mount    where, what is shown as source, whose it is and every flag come from the caller's
 *            command line. What the server sends can only narrow them: read-only, nosuid, nodev,
 *            noexec and the like, a smaller max_read, a block size;
 *   order    as conv.h has it; one step out of it ends the conversation.
 * A refused wish is answered with an errno and logged; more than F4_TALK_REFUSALS_MAX end it.
 *
 * Logging: refusals (warning) and steps (debug). The reason of a failure goes to struct f4_fail.
 */
#ifndef F4_HELPER_TALK_H
#define F4_HELPER_TALK_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "helper/fail.h"
#include "helper/source.h"
#include "helper/target.h"
#include "protocol/chan.h"
#include "protocol/cmdline.h"

#define F4_TALK_REFUSALS_MAX 8u

/* What the server asked of the mount, within what it may ask. */
struct f4_talk_asked {
	bool fuseblk;
	bool no_utab;
	uint32_t ms_flags;   /* restrictions to add: none lifts one */
	uint32_t max_read;   /* bytes; 0: not asked */
	uint32_t block_size; /* bytes; 0: not asked */
};

struct f4_talk {
	/* Set by the caller; all borrowed. */
	struct f4_chan *ch;
	const struct f4_cmdline *cmdline;
	const char *subtype;
	struct f4_source *source;  /* its claim is given up when the server holds the device itself */
	struct f4_source *journal; /* NULL: none was named */
	const struct f4_target *target;
	int fuse_fd;
	bool offer_fuseblk, offer_allow_other;
	bool may_fall_back; /* a connection that is closed or silent at the hello: F4_TALK_E_FALLBACK */
	int hello_ms, command_ms; /* how long the server may take to say hello, and between commands */
	const sigset_t *wait_mask;

	/*
	 * The mount itself, when the server asks for it. Return: 0 or F4_FAILED, with @f filled in,
	 * of which the server is told the errno.
	 */
	int (*mount)(void *arg, const struct f4_talk_asked *asked, struct f4_fail *f);
	void *arg;

	/* Filled in by f4_talk_run(). */
	struct f4_talk_asked asked;
	int reason_errno; /* what the server gave as the reason of its failure, or 0 */
};

/* Positive results besides F4_FAILED. */
enum {
	F4_TALK_E_FALLBACK = 2, /* "no service here": start a server of our own */
};

/*
 * f4_talk_run - hold the conversation to its end.
 * Return: 0: the server has said a good goodbye after a good mount; F4_TALK_E_FALLBACK; F4_FAILED.
 */
int f4_talk_run(struct f4_talk *t, struct f4_fail *f);

#endif
