/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of a mount helper, parsed the same way by the helper (which gets it from
 * mount(8) or a user) and by the server (which gets it through the argv memfd).
 *
 *     [-sfnvhV] [-N NS] [-o OPTS]... [-t TYPE] [--] SOURCE DIR
 *
 * Words come in any order: options before, between and after the operands. "--" ends the options.
 * No system calls, no logging.
 */
#ifndef F4_PROTOCOL_CMDLINE_H
#define F4_PROTOCOL_CMDLINE_H

#include <stdbool.h>

#include "protocol/opts.h"

struct f4_cmdline {
	bool fake;	/* -f: check everything, mount nothing */
	bool sloppy;	/* -s: unknown options are warnings */
	bool no_mtab;	/* -n: write no utab */
	bool verbose;	/* -v */
	bool help;	/* -h, --help: nothing else was checked */
	bool version;	/* -V, --version: nothing else was checked */
	const char *netns;  /* -N; borrowed from argv, or NULL */
	const char *type;   /* -t; borrowed, or NULL */
	const char *source; /* borrowed */
	const char *dir;    /* borrowed */
	char *words;	    /* owned: all -o strings, joined by commas; NULL without -o */
	struct f4_opts opts; /* owns strings */
	char message[640];   /* why it was refused: one line, raw bytes */
};

enum {
	F4_CMDLINE_E_USAGE = 1, /* not a valid command line or option: @message says why */
};

/*
 * f4_cmdline_parse - parse a whole command line.
 * @c:    filled in any case; end it with f4_cmdline_done()
 * @argc: entries of @argv, at least 0; argv[0] is skipped
 * @argv: borrowed for as long as @c is used
 *
 * Return: 0; F4_CMDLINE_E_USAGE with the reason in @c->message; -ENOMEM.
 */
int f4_cmdline_parse(struct f4_cmdline *c, int argc, char *const argv[]);

/* f4_cmdline_done - free what @c owns; for f4_cleanup. */
void f4_cmdline_done(struct f4_cmdline *c);

#endif
