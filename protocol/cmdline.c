/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line; the contract is in cmdline.h.
 *
 * getopt(3) is not used: it keeps global state, and its permuting changes argv, which the helper
 * passes on as it was.
 */
#include "protocol/cmdline.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cursor {
	int argc, i;
	char *const *argv;
};

__attribute__((format(printf, 2, 3))) static int usage(struct f4_cmdline *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(c->message, sizeof(c->message), fmt, ap); /* cut is good enough */
	va_end(ap);
	return F4_CMDLINE_E_USAGE;
}

static int operand(struct f4_cmdline *c, const char *word)
{
	if (!c->source)
		c->source = word;
	else if (!c->dir)
		c->dir = word;
	else
		return usage(c, "%.200s: one operand too many; expected SOURCE and DIR", word);
	return 0;
}

static int parse_opts(struct f4_cmdline *c, const char *words)
{
	int rc = f4_opts_parse(&c->opts, words, c->sloppy);
	char *joined;

	if (rc != 0)
		return rc > 0 ? usage(c, "%s", c->opts.message) : rc;
	if (asprintf(&joined, "%s%s%s", c->words ? c->words : "", c->words ? "," : "", words) < 0)
		return -ENOMEM;
	free(c->words);
	c->words = joined;
	return 0;
}

/* The argument of option @letter: the rest of its word or the next word. */
static int argument(struct f4_cmdline *c, struct cursor *at, char letter, const char *rest,
		    const char **ret_value)
{
	if (*rest) {
		*ret_value = rest;
		return 0;
	}
	if (at->i + 1 >= at->argc)
		return usage(c, "option -%c needs an argument", letter);
	*ret_value = at->argv[++at->i];
	return 0;
}

/* One option letter. Return: 0 to go on in this word, 1 when the rest of the word is used up. */
static int letter(struct f4_cmdline *c, struct cursor *at, const char *p, int *rc)
{
	const char *value = NULL;

	switch (*p) {
	case 'f':
		c->fake = true;
		return 0;
	case 's':
		c->sloppy = true;
		return 0;
	case 'n':
		c->no_mtab = true;
		return 0;
	case 'v':
		c->verbose = true;
		return 0;
	case 'h':
		c->help = true;
		return 0;
	case 'V':
		c->version = true;
		return 0;
	case 'o':
	case 't':
	case 'N':
		*rc = argument(c, at, *p, p + 1, &value);
		if (*rc == 0 && *p == 't')
			c->type = value;
		else if (*rc == 0 && *p == 'N')
			c->netns = value;
		return 1;
	default:
		*rc = usage(c, "option -%c is unknown; see mount.fuse4fs(8)", *p);
		return 1;
	}
}

static int option_word(struct f4_cmdline *c, struct cursor *at, const char *word)
{
	int rc = 0;

	if (strcmp(word, "--help") == 0)
		c->help = true;
	else if (strcmp(word, "--version") == 0)
		c->version = true;
	else if (word[1] == '-')
		return usage(c, "option %.200s is unknown; see mount.fuse4fs(8)", word);
	else
		for (const char *p = word + 1; *p && rc == 0; p++)
			if (letter(c, at, p, &rc) == 1)
				break;
	return rc;
}

/* First pass: letters and operands. -o is looked at later, when it is known whether -s is there. */
static int scan(struct f4_cmdline *c, struct cursor *at)
{
	bool operands_only = false;
	int rc = 0;

	for (at->i = 1; at->i < at->argc && rc == 0; at->i++) {
		const char *word = at->argv[at->i];

		if (!operands_only && strcmp(word, "--") == 0)
			operands_only = true;
		else if (!operands_only && word[0] == '-' && word[1])
			rc = option_word(c, at, word);
		else
			rc = operand(c, word);
	}
	return rc;
}

/* Second pass: the -o strings in their order. The first pass found every word well formed. */
static int scan_opts(struct f4_cmdline *c, int argc, char *const argv[])
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		size_t at;

		if (argv[i][0] != '-' || argv[i][1] == '-')
			continue;
		at = strcspn(argv[i] + 1, "otN") + 1;
		if (!argv[i][at])
			continue;
		if (argv[i][at] == 'o') {
			const char *words = argv[i][at + 1] ? argv[i] + at + 1 : argv[++i];
			int rc = parse_opts(c, words);

			if (rc != 0)
				return rc;
		} else if (!argv[i][at + 1]) {
			i++;
		}
	}
	return 0;
}

int f4_cmdline_parse(struct f4_cmdline *c, int argc, char *const argv[])
{
	struct cursor at = { .argc = argc, .argv = argv };
	int rc;

	*c = (struct f4_cmdline){ 0 };
	f4_opts_init(&c->opts);
	rc = scan(c, &at);
	if (rc != 0 || c->help || c->version)
		return rc;
	if (!c->source || !c->dir)
		return usage(c, "expected SOURCE and DIR, got %s", c->source ? "one operand" : "none");
	if (!c->source[0] || !c->dir[0])
		return usage(c, "%s is empty", c->source[0] ? "DIR" : "SOURCE");
	rc = scan_opts(c, argc, argv);
	if (rc != 0)
		return rc;
	return f4_opts_check(&c->opts) > 0 ? usage(c, "%s", c->opts.message) : 0;
}

void f4_cmdline_done(struct f4_cmdline *c)
{
	f4_opts_done(&c->opts);
	free(c->words);
	c->words = NULL;
}
