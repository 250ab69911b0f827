/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzer of the command line and the mount options, as they come to a sealed server in an argument
 * file that a hostile helper wrote. Input: arguments, each ended by a zero byte.
 */
#include "tests/lib/fuzz_main.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/cmdline.h"

#define ARGS_MAX 64

#define MUST(cond)               \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

static void check(const struct f4_cmdline *c)
{
	const struct f4_opts *o = &c->opts;

	MUST(c->help || c->version || (c->source && c->source[0] && c->dir && c->dir[0]));
	MUST(o->partition <= 65536 && o->commit_secs <= INT32_MAX / 1000);
	MUST(o->offset_bytes <= INT64_MAX && o->sizelimit_bytes <= INT64_MAX);
	MUST(!o->partition || !(o->offset_bytes || o->sizelimit_bytes));
	MUST((o->ms_flags & ~o->ms_named) == 0);
	MUST(c->sloppy || !o->unknown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *argv[ARGS_MAX + 1] = { (char *)"fuse4fs" };
	struct f4_cmdline c;
	int argc = 1, rc;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (size_t at = 0; at < size && argc < ARGS_MAX; at += strlen(text + at) + 1)
		argv[argc++] = text + at;
	rc = f4_cmdline_parse(&c, argc, argv);
	if (rc == 0)
		check(&c);
	else if (rc > 0)
		MUST(c.message[0]);
	f4_cmdline_done(&c);
	free(text);
	return 0;
}
