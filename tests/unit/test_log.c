/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Escaping of hostile bytes in log lines, and the two styles. */
#include "protocol/base/log.h"

#include "protocol/base/cleanup.h"
#include "tests/lib/check.h"

static void escape_table(void)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{ "plain", "plain" },
		{ "a\nb", "a\\x0ab" },
		{ "tab\t\\", "tab\\x09\\x5c" },
		{ "\x1b[31m", "\\x1b[31m" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "\xc2\x85", "\\xc2\\x85" },	      /* C1 control */
		{ "\xc0\xaf", "\\xc0\\xaf" },	      /* overlong */
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" }, /* surrogate */
		{ "\xe2\x82", "\\xe2\\x82" },	      /* cut short */
		{ "\x7f", "\\x7f" },
		{ "", "" },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		char buf[64];

		TEST_EQ(f4_escape(buf, sizeof(buf), t[i].in, strlen(t[i].in)), strlen(t[i].out));
		TEST_STREQ(buf, t[i].out);
	}
}

static void escape_cuts_whole(void)
{
	char buf[6];

	TEST_EQ(f4_escape(buf, sizeof(buf), "ab\n\n", 4), 2);
	TEST_STREQ(buf, "ab");
	TEST_EQ(f4_escape(buf, 1, "ab", 2), 0);
	TEST_STREQ(buf, "");
}

/* What f4_err() writes to stderr, NUL-ended. */
static void capture(char *out, size_t size, const char *tool, const char *arg)
{
	int p[2], saved;
	ssize_t n;

	if (pipe(p) != 0)
		abort();
	saved = dup(STDERR_FILENO);
	dup2(p[1], STDERR_FILENO);
	f4_log_init(tool, F4_LOG_NOTICE);
	f4_info("not shown");
	f4_err("%s: cannot open", arg);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(p[1]);
	n = read(p[0], out, size - 1);
	close(p[0]);
	out[n > 0 ? n : 0] = '\0';
}

static void styles(void)
{
	char line[4096];

	capture(line, sizeof(line), "mount.fuse4fs", "/x\ny");
	TEST_STREQ(line, "mount.fuse4fs: /x\\x0ay: cannot open\n");
	capture(line, sizeof(line), NULL, "/x");
	TEST_STREQ(line, "<3>/x: cannot open\n");
}

static void context(void)
{
	char line[4096];

	f4_log_set_context("img on /mnt");
	capture(line, sizeof(line), NULL, "ino 12");
	TEST_STREQ(line, "<3>img on /mnt: ino 12: cannot open\n");
	f4_log_set_context("");
}

/* After a redirection nothing goes to stderr any more. */
static void redirected(void)
{
	char buf[200];
	int p[2], e[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	TEST_REQUIRE(pipe(p) == 0 && pipe(e) == 0);
	dup2(e[1], STDERR_FILENO);
	close(e[1]);
	f4_log_init("tool", F4_LOG_NOTICE);
	f4_log_redirect(p[1], F4_LOG_SYSLOG);
	f4_err("%s", "a\nb");
	f4_log_redirect(p[1], F4_LOG_DAEMON);
	f4_warn("c");
	f4_log_redirect(STDERR_FILENO, F4_LOG_TOOL);
	f4_err("d");
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(p[1]);
	n = read(p[0], buf, sizeof(buf) - 1);
	TEST_REQUIRE(n > 0);
	buf[n] = '\0';
	TEST_STREQ(buf, "<27>tool: a\\x0ab<4>c\n");
	n = read(e[0], buf, sizeof(buf) - 1);
	TEST_REQUIRE(n > 0);
	buf[n] = '\0';
	TEST_STREQ(buf, "tool: d\n");
	close(p[0]);
	close(e[0]);
}

int main(void)
{
	TEST_RUN(escape_table);
	TEST_RUN(escape_cuts_whole);
	TEST_RUN(styles);
	TEST_RUN(context);
	TEST_RUN(redirected);
	return test_done();
}
