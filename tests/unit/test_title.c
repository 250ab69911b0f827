/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process title: in the room of arguments and environment, and nowhere else. */
#include "server/service/title.h"

#include <fcntl.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "tests/lib/check.h"

/* What ps would show. */
static char *shown(void)
{
	f4_auto_fd fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	char *text = NULL;

	if (fd < 0 || f4_fd_slurp(fd, 65536, &text, NULL) < 0)
		return NULL;
	return text;
}

static void test_shown(void)
{
	f4_auto_free char *a = NULL, *b = NULL, *c = NULL;

	f4_title_set("server: %s", "disk on /mnt");
	a = shown();
	TEST_REQUIRE(a != NULL);
	TEST_STREQ(a, "server: disk on /mnt");
	f4_title_set("x");
	b = shown();
	TEST_REQUIRE(b != NULL);
	TEST_STREQ(b, "x");
	f4_title_set("a\nb\x1b[31m\x7f");
	c = shown();
	TEST_REQUIRE(c != NULL);
	TEST_STREQ(c, "a?b?[31m?");
}

static void test_environment_survives(void)
{
	f4_title_set("%0500d", 7); /* as long as it gets: over all of the old environment */
	TEST_REQUIRE(getenv("F4_TEST_TITLE") != NULL);
	TEST_STREQ(getenv("F4_TEST_TITLE"), "kept");
	TEST_CHECK(setenv("F4_TEST_TITLE", "changed", 1) == 0);
	TEST_STREQ(getenv("F4_TEST_TITLE"), "changed");
}

/* A small room in the middle of other memory. */
static void test_room_is_respected(void)
{
	static char area[64] = "before\0arg0\0one\0ENV=1\0after the end";
	char *argv[] = { area + 7, area + 12, NULL }, *env[] = { area + 16, NULL };
	char **real = environ;

	environ = env;
	f4_title_init(2, argv);
	f4_title_set("0123456789012345678901234567890");
	free(environ); /* the copy, in one piece */
	environ = real;
	TEST_STREQ(area, "before");
	TEST_STREQ(area + 7, "01234567890123");
	TEST_STREQ(area + 22, "after the end");
	/* Arguments that are not in one piece are no room. */
	argv[1] = area + 40;
	environ = (char *[]){ NULL };
	memcpy(area, "before\0arg0\0one\0ENV=1", 22);
	f4_title_init(2, argv);
	f4_title_set("0123456789");
	free(environ);
	environ = real;
	TEST_STREQ(area + 7, "0123");
	TEST_STREQ(area + 12, "one");
}

int main(int argc, char **argv)
{
	if (!getenv("F4_TEST_TITLE")) {
		setenv("F4_TEST_TITLE", "kept", 1);
		execv("/proc/self/exe", argv);
		return 1;
	}
	f4_title_init(argc, argv);
	TEST_RUN(test_shown);
	TEST_RUN(test_environment_survives);
	TEST_RUN(test_room_is_respected);
	return test_done();
}
