/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line in every order that mount(8) and people write it. */
#include "protocol/cmdline.h"

#include "protocol/base/cleanup.h"
#include "tests/lib/check.h"

#define WORDS 12

static int parse(struct f4_cmdline *c, const char *const words[WORDS])
{
	char *argv[WORDS + 2] = { (char *)"mount.fuse4fs" };
	int argc = 1;

	while (argc <= WORDS && words[argc - 1]) {
		argv[argc] = (char *)words[argc - 1];
		argc++;
	}
	return f4_cmdline_parse(c, argc, argv);
}

static void any_order(void)
{
	static const char *const t[][WORDS] = {
		{ "/img", "/dir", "-v", "-o", "ro,commit=7", "-t", "fuse.fuse4fs" },
		{ "-v", "-o", "ro,commit=7", "-t", "fuse.fuse4fs", "/img", "/dir" },
		{ "/img", "-o", "ro", "/dir", "-tfuse.fuse4fs", "-ocommit=7", "-v" },
		{ "-vo", "ro,commit=7", "-t", "fuse.fuse4fs", "--", "/img", "/dir" },
		{ "-t", "fuse.fuse4fs", "-o", "rw,commit=9", "/img", "/dir", "-voro,commit=7" },
		{ "-o", "ro", "-o", "commit=7", "-vt", "fuse.fuse4fs", "/img", "--", "/dir" },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct f4_cmdline c;

		TEST_EQ(parse(&c, t[i]), 0);
		TEST_REQUIRE(c.source && c.dir && c.type);
		TEST_STREQ(c.source, "/img");
		TEST_STREQ(c.dir, "/dir");
		TEST_STREQ(c.type, "fuse.fuse4fs");
		TEST_CHECK(c.verbose && !c.fake && !c.sloppy && !c.no_mtab);
		TEST_CHECK(f4_opts_ro(&c.opts));
		TEST_EQ(c.opts.commit_secs, 7);
		TEST_CHECK(c.words && strstr(c.words, "commit=7"));
		f4_cmdline_done(&c);
	}
}

static void letters(void)
{
	struct f4_cmdline c;

	TEST_EQ(parse(&c, (const char *const[WORDS]){ "-sfnv", "-N", "/proc/1/ns/mnt", "a", "b",
						      "-o", "bogus" }),
		0);
	TEST_CHECK(c.sloppy && c.fake && c.no_mtab && c.verbose);
	TEST_STREQ(c.netns, "/proc/1/ns/mnt");
	TEST_STREQ(c.opts.unknown, "bogus");
	f4_cmdline_done(&c);
	/* -s counts wherever it stands */
	TEST_EQ(parse(&c, (const char *const[WORDS]){ "a", "b", "-o", "bogus", "-s" }), 0);
	f4_cmdline_done(&c);
	TEST_EQ(parse(&c, (const char *const[WORDS]){ "--help" }), 0);
	TEST_CHECK(c.help);
	f4_cmdline_done(&c);
	TEST_EQ(parse(&c, (const char *const[WORDS]){ "-V" }), 0);
	TEST_CHECK(c.version);
	f4_cmdline_done(&c);
}

static void operands_are_data(void)
{
	struct f4_cmdline c;

	TEST_EQ(parse(&c, (const char *const[WORDS]){ "-o", "ro", "--", "-oro,suid", "-f" }), 0);
	TEST_STREQ(c.source, "-oro,suid");
	TEST_STREQ(c.dir, "-f");
	TEST_CHECK(!c.fake);
	f4_cmdline_done(&c);
	/* what an option takes as its argument is not looked at again */
	TEST_EQ(parse(&c, (const char *const[WORDS]){ "-t", "-o", "-N", "--", "a", "b" }), 0);
	TEST_STREQ(c.type, "-o");
	TEST_STREQ(c.netns, "--");
	f4_cmdline_done(&c);
	TEST_EQ(parse(&c, (const char *const[WORDS]){ "-", "b" }), 0);
	TEST_STREQ(c.source, "-");
	f4_cmdline_done(&c);
}

static void refused(void)
{
	static const struct {
		const char *words[WORDS];
		const char *message;
	} t[] = {
		{ { NULL }, "expected SOURCE and DIR, got none" },
		{ { "a" }, "expected SOURCE and DIR, got one operand" },
		{ { "a", "b", "c" }, "c: one operand too many; expected SOURCE and DIR" },
		{ { "", "b" }, "SOURCE is empty" },
		{ { "a", "" }, "DIR is empty" },
		{ { "a", "b", "-o" }, "option -o needs an argument" },
		{ { "a", "b", "-vt" }, "option -t needs an argument" },
		{ { "a", "b", "-x" }, "option -x is unknown; see mount.fuse4fs(8)" },
		{ { "a", "b", "--bind" }, "option --bind is unknown; see mount.fuse4fs(8)" },
		{ { "a", "b", "-o", "ro,bogus" },
		  "option 'bogus' is unknown; mount.fuse4fs(8) lists all" },
		{ { "a", "b", "-o", "partition=2", "-o", "offset=5" },
		  "options 'partition' and 'offset' or 'sizelimit' exclude each other" },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct f4_cmdline c;

		TEST_EQ(parse(&c, t[i].words), F4_CMDLINE_E_USAGE);
		TEST_STREQ(c.message, t[i].message);
		f4_cmdline_done(&c);
	}
}

static void empty_argv(void)
{
	struct f4_cmdline c;

	TEST_EQ(f4_cmdline_parse(&c, 0, NULL), F4_CMDLINE_E_USAGE);
	f4_cmdline_done(&c);
}

static void words_are_joined(void)
{
	struct f4_cmdline c;

	TEST_EQ(parse(&c, (const char *const[WORDS]){ "a", "-oro,noatime", "b", "-o", "commit=3" }), 0);
	TEST_STREQ(c.words, "ro,noatime,commit=3");
	f4_cmdline_done(&c);
	TEST_EQ(parse(&c, (const char *const[WORDS]){ "a", "b" }), 0);
	TEST_CHECK(!c.words);
	f4_cmdline_done(&c);
}

int main(void)
{
	TEST_RUN(any_order);
	TEST_RUN(letters);
	TEST_RUN(operands_are_data);
	TEST_RUN(refused);
	TEST_RUN(empty_argv);
	TEST_RUN(words_are_joined);
	return test_done();
}
