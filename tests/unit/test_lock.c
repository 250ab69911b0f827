/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The image's lock: who may have it, who is named, and the kernel's list of locks. */
#include "server/service/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "tests/lib/check.h"

static void test_list(void)
{
	static const char list[] =
		"1: POSIX  ADVISORY  WRITE 11 08:01:42 0 EOF\n"
		"2: FLOCK  ADVISORY  READ  12 08:01:42 0 EOF\n"
		"2: -> FLOCK  ADVISORY  WRITE 13 08:01:42 0 EOF\n"
		"3: FLOCK  ADVISORY  WRITE 14 fe:1a:18446744073709551615 0 EOF\n"
		"4: FLOCK  ADVISORY  WRITE 0 00:2b:7 0 EOF\n"
		"5: FLOCK  ADVISORY  WRITE -1 00:2b:8 0 EOF\n"
		"nonsense\n"
		"6: FLOCK  ADVISORY  WRITE 15 00:2b:9 0 EOF"; /* no newline at the end */
	pid_t pid = -1;

	TEST_CHECK(f4_lock_find(list, makedev(8, 1), 42, false, &pid));
	TEST_EQ(pid, 12);
	TEST_CHECK(!f4_lock_find(list, makedev(8, 1), 42, true, &pid)); /* readers among themselves */
	TEST_CHECK(f4_lock_find(list, makedev(0xfe, 0x1a), (ino_t)-1, true, &pid));
	TEST_EQ(pid, 14);
	TEST_CHECK(f4_lock_find(list, makedev(0, 0x2b), 7, true, &pid));
	TEST_EQ(pid, 0);
	TEST_CHECK(f4_lock_find(list, makedev(0, 0x2b), 8, true, &pid));
	TEST_EQ(pid, 0);
	TEST_CHECK(f4_lock_find(list, makedev(0, 0x2b), 9, true, &pid));
	TEST_EQ(pid, 15);
	TEST_CHECK(!f4_lock_find(list, makedev(8, 2), 42, false, &pid));
	TEST_CHECK(!f4_lock_find("", makedev(8, 2), 42, false, &pid));
}

static int new_open(const char *path)
{
	return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static void test_holder_is_named(void)
{
	f4_auto_fd mine = new_open("lock-image"), locks = f4_lock_prepare();
	char who[64] = "", want[64];
	int ready[2], end[2];
	pid_t child;
	char c;

	TEST_REQUIRE(mine >= 0 && locks >= 0 && pipe(ready) == 0 && pipe(end) == 0);
	child = fork();
	if (child == 0) {
		int fd = new_open("lock-image");

		close(end[1]);
		if (flock(fd, LOCK_EX) < 0 || write(ready[1], "x", 1) != 1 || read(end[0], &c, 1) < 0)
			_exit(1);
		_exit(0);
	}
	TEST_REQUIRE(read(ready[0], &c, 1) == 1);
	TEST_EQ(f4_lock_take(mine, false, locks, who, sizeof(who)), F4_LOCK_E_HELD);
	snprintf(want, sizeof(want), "process %d", child);
	TEST_STREQ(who, want);
	TEST_EQ(f4_lock_take(mine, true, locks, who, sizeof(who)), F4_LOCK_E_HELD);
	TEST_STREQ(who, want);
	TEST_EQ(f4_lock_take(mine, true, -1, who, sizeof(who)), F4_LOCK_E_HELD);
	TEST_STREQ(who, "another process");
	close(end[1]);
	TEST_REQUIRE(waitpid(child, NULL, 0) == child);
	TEST_EQ(f4_lock_take(mine, false, locks, who, sizeof(who)), 0);
}

static void test_readers_share(void)
{
	f4_auto_fd a = new_open("lock-image"), b = new_open("lock-image"), c = new_open("lock-image");
	char who[64];

	TEST_REQUIRE(a >= 0 && b >= 0 && c >= 0);
	TEST_EQ(f4_lock_take(a, true, -1, who, sizeof(who)), 0);
	TEST_EQ(f4_lock_take(b, true, -1, who, sizeof(who)), 0);
	TEST_EQ(f4_lock_take(c, false, -1, who, sizeof(who)), F4_LOCK_E_HELD);
	f4_lock_release(a);
	f4_lock_release(b);
	TEST_EQ(f4_lock_take(c, false, -1, who, sizeof(who)), 0);
	TEST_EQ(f4_lock_check_loop(c, false, -1, who, sizeof(who)), 0); /* not a loop device */
	TEST_EQ(f4_lock_take(-1, false, -1, who, sizeof(who)), -EBADF);
}

int main(void)
{
	TEST_RUN(test_list);
	TEST_RUN(test_holder_is_named);
	TEST_RUN(test_readers_share);
	unlink("lock-image");
	return test_done();
}
