/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The small parts of the helper: sources, holders, fuse.conf, children under a deadline, failures. */
#include "helper/holder.c"

#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "helper/child.h"
#include "helper/fuseconf.h"
#include "tests/lib/check.h"

static char dir[] = "/tmp/f4helper.XXXXXX";

static void path_in_dir(char *buf, size_t size, const char *name)
{
	(void)snprintf(buf, size, "%s/%s", dir, name);
}

static int make_file(const char *name)
{
	char path[4096];

	path_in_dir(path, sizeof(path), name);
	return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static void source_by_path(void)
{
	struct f4_source s f4_cleanup(f4_source_done) = F4_SOURCE_INIT;
	f4_auto_fd made = make_file("img");
	f4_auto_fd fd = -1;
	struct f4_fail f = { 0 };
	char path[4096];

	path_in_dir(path, sizeof(path), "img");
	TEST_REQUIRE(made >= 0);
	TEST_REQUIRE(f4_source_init(&s, path, &f) == 0);
	TEST_STREQ(s.shown, path);
	TEST_EQ(s.given_fd, -1);
	TEST_CHECK(!f4_source_is_block(&s));
	fd = f4_source_open(&s, O_RDWR);
	TEST_CHECK(fd >= 0);
	TEST_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	TEST_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	TEST_EQ(f4_source_claim(&s), 0);
}

/* The name is resolved once: what takes its place afterwards is not opened. */
static void source_is_pinned(void)
{
	struct f4_source s f4_cleanup(f4_source_done) = F4_SOURCE_INIT;
	f4_auto_fd a = make_file("pinned");
	f4_auto_fd b = make_file("other");
	f4_auto_fd fd = -1;
	struct f4_fail f = { 0 };
	struct stat opened, first;
	char path[4096], other[4096];

	path_in_dir(path, sizeof(path), "pinned");
	path_in_dir(other, sizeof(other), "other");
	TEST_REQUIRE(f4_source_init(&s, path, &f) == 0 && fstat(a, &first) == 0);
	TEST_REQUIRE(b >= 0 && rename(other, path) == 0);
	fd = f4_source_open(&s, O_RDONLY);
	TEST_REQUIRE(fd >= 0 && fstat(fd, &opened) == 0);
	TEST_CHECK(opened.st_ino == first.st_ino);
}

static void source_by_descriptor(void)
{
	f4_auto_fd fd = make_file("given");
	f4_auto_fd ro = -1;
	char path[4096];

	path_in_dir(path, sizeof(path), "given");
	ro = open(path, O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < 3; i++) {
		struct f4_source s f4_cleanup(f4_source_done) = F4_SOURCE_INIT;
		f4_auto_fd got = -1;
		struct f4_fail f = { 0 };
		char name[64];

		(void)snprintf(name, sizeof(name), i == 0 ? "fd:%d" : i == 1 ? "/dev/fd/%d" :
			       "/proc/self/fd/%d", fd);
		TEST_REQUIRE(f4_source_init(&s, name, &f) == 0);
		TEST_EQ(s.given_fd, fd);
		TEST_STREQ(s.shown, path);
		got = f4_source_open(&s, O_RDWR);
		TEST_CHECK(got >= 0);
		/* opened anew: a lock on it is not the caller's lock */
		TEST_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
		TEST_EQ(flock(got, LOCK_EX | LOCK_NB), -1);
		TEST_EQ(flock(fd, LOCK_UN), 0);
	}
}

static void source_shown(void)
{
	struct f4_fail f = { 0 };
	f4_auto_fd memory = memfd_create("x", MFD_CLOEXEC);
	f4_auto_fd deep = -1;
	char name[64], longdir[300], path[4096];

	(void)snprintf(name, sizeof(name), "fd:%d", memory);
	{
		struct f4_source s f4_cleanup(f4_source_done) = F4_SOURCE_INIT;

		TEST_REQUIRE(f4_source_init(&s, name, &f) == 0);
		TEST_STREQ(s.shown, "fuse4fs:/memfd:x (deleted)");
	}
	/* longer than fsconfig(2) takes: the end of it, not cut inside a character */
	memset(longdir, 'd', 150);
	for (int i = 150; i < 250; i += 2)
		memcpy(longdir + i, "\xc3\xbc", 2);
	longdir[250] = '\0';
	path_in_dir(path, sizeof(path), longdir);
	TEST_REQUIRE(mkdir(path, 0700) == 0);
	(void)snprintf(path, sizeof(path), "%s/%s/img", dir, longdir);
	deep = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	{
		struct f4_source s f4_cleanup(f4_source_done) = F4_SOURCE_INIT;
		size_t len;

		TEST_REQUIRE(deep >= 0 && f4_source_init(&s, path, &f) == 0);
		len = strlen(s.shown);
		TEST_CHECK(len < F4_SOURCE_SHOWN_MAX && len > F4_SOURCE_SHOWN_MAX - 6);
		TEST_CHECK(f4_str_after(s.shown, "fuse4fs:") != NULL);
		TEST_STREQ(s.shown + len - 4, "/img");
		TEST_CHECK(((unsigned char)s.shown[8] & 0xc0) != 0x80);
	}
}

static void source_refused(void)
{
	static const struct {
		const char *name, *says;
	} t[] = {
		{ "/nowhere/at/all", "can't be found: No such file or directory" },
		{ "/dev/null", "is neither a block device nor an image file" },
		{ "/", "is a directory" },
		{ "fd:999", "no such descriptor is open" },
		{ "UUID=1234", "tags are looked up by mount(8)" },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct f4_source s f4_cleanup(f4_source_done) = F4_SOURCE_INIT;
		struct f4_fail f = { 0 };

		TEST_EQ(f4_source_init(&s, t[i].name, &f), F4_FAILED);
		TEST_EQ(f.status, F4_EXIT_FAILED);
		if (!strstr(f.text, t[i].says))
			TEST_FAIL_("\"%s\" does not say \"%s\"", f.text, t[i].says);
	}
}

static void holder_is_named(void)
{
	struct f4_source s f4_cleanup(f4_source_done) = F4_SOURCE_INIT;
	f4_auto_fd fd = make_file("held");
	struct f4_fail f = { 0 };
	char path[4096], who[256], want[64];
	pid_t pid = 0;

	path_in_dir(path, sizeof(path), "held");
	TEST_REQUIRE(f4_source_init(&s, path, &f) == 0);
	TEST_EQ(f4_holder_check(&s, true, who, sizeof(who)), 0);
	TEST_EQ(flock(fd, LOCK_SH), 0);
	TEST_EQ(f4_holder_check(&s, false, who, sizeof(who)), 0);
	TEST_EQ(f4_holder_check(&s, true, who, sizeof(who)), F4_HOLDER_E_HELD);
	(void)snprintf(want, sizeof(want), "process %d (", getpid());
	TEST_CHECK(strstr(who, want) != NULL);
	TEST_EQ(f4_holder_locks(s.st.st_dev, s.st.st_ino, &pid), 1);
	TEST_EQ(pid, getpid());
	TEST_EQ(flock(fd, LOCK_EX), 0);
	TEST_EQ(f4_holder_check(&s, false, who, sizeof(who)), F4_HOLDER_E_HELD);
	TEST_EQ(flock(fd, LOCK_UN), 0);
	TEST_EQ(f4_holder_check(&s, true, who, sizeof(who)), 0);
	TEST_EQ(f4_holder_locks(s.st.st_dev, s.st.st_ino, &pid), 0);
}

static void lock_lines(void)
{
	static const struct {
		const char *line;
		int is;
	} t[] = {
		{ "1: FLOCK  ADVISORY  WRITE 812 fd:01:131 0 EOF", 1 },
		{ "17: FLOCK  ADVISORY  READ  812 fd:01:131 0 EOF", 1 },
		{ "1: -> FLOCK  ADVISORY  WRITE 813 fd:01:131 0 EOF", 0 },
		{ "1: POSIX  ADVISORY  WRITE 812 fd:01:131 0 EOF", 0 },
		{ "1: FLOCK  ADVISORY  WRITE 812 fd:02:131 0 EOF", 0 },
		{ "1: FLOCK  ADVISORY  WRITE 812 fd:01:132 0 EOF", 0 },
		{ "", 0 },
		{ "1: FLOCK", 0 },
		{ "1: FLOCKFLOCKFLOCKFLOCKFLOCKFLOCK  ADVISORY  WRITE 812 fd:01:131", 0 },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		pid_t pid = 0;

		TEST_EQ(lock_line_is(t[i].line, makedev(0xfd, 1), 131, &pid), t[i].is);
		TEST_EQ(pid, t[i].is ? 812 : 0);
	}
}

static void fuse_conf(void)
{
	static const struct {
		const char *text;
		bool allow;
		uint32_t max;
	} t[] = {
		{ "", false, 1000 },
		{ "user_allow_other", true, 1000 },
		{ "#user_allow_other\n", false, 1000 },
		{ "  user_allow_other  # yes\nmount_max=5\n", true, 5 },
		{ "mount_max = 20\r\n", false, 20 },
		{ "mount_max = -1\n", false, UINT32_MAX },
		{ "mount_max = -5\nmount_max = x\nmount_max\n=\n", false, 1000 },
		{ "mount_max = 99999999999999\n", false, 1000 },
		{ "user_allow_other_things\nuser_allow_other=1\n", false, 1000 },
		{ "mount_max = 0", false, 0 },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		f4_auto_free char *text = strdup(t[i].text);
		struct f4_fuseconf c;

		f4_fuseconf_parse(&c, text);
		TEST_EQ(c.user_allow_other, t[i].allow);
		TEST_EQ(c.mount_max, t[i].max);
	}
}

static int call_return(void *arg)
{
	return *(int *)arg;
}

static int call_hang(void *arg)
{
	for (;;)
		(void)pause();
	return 0;
}

static int call_die(void *arg)
{
	(void)raise(SIGKILL);
	return 0;
}

static void on_alarm(int sig)
{
}

static void child_calls(void)
{
	struct sigaction act = { .sa_handler = on_alarm };
	sigset_t block, mask;
	int n = 0;

	TEST_EQ(f4_child_call(call_return, &n, 5000, NULL), 0);
	n = ENOTCONN;
	TEST_EQ(f4_child_call(call_return, &n, 5000, NULL), -ENOTCONN);
	TEST_EQ(f4_child_call(call_die, NULL, 5000, NULL), F4_CHILD_E_DIED);
	TEST_EQ(f4_child_call(call_hang, NULL, 30, NULL), F4_CHILD_E_TIMEOUT);
	TEST_EQ(waitpid(-1, NULL, WNOHANG), -1); /* all are reaped */

	(void)sigaction(SIGALRM, &act, NULL);
	sigemptyset(&block);
	sigaddset(&block, SIGALRM);
	(void)sigprocmask(SIG_BLOCK, &block, &mask);
	(void)alarm(1);
	TEST_EQ(f4_child_call(call_hang, NULL, 10000, &mask), F4_CHILD_E_INTERRUPTED);
	TEST_EQ(waitpid(-1, NULL, WNOHANG), -1);
}

static void failures(void)
{
	struct f4_fail f = { 0 };

	TEST_EQ(f4_fail(&f, F4_EXIT_FAILED, ENOENT, "%s: is not there", "x"), F4_FAILED);
	TEST_STREQ(f.text, "x: is not there: No such file or directory");
	TEST_EQ(f4_fail(&f, F4_EXIT_USAGE, 0, "later"), F4_FAILED);
	TEST_EQ(f.status, F4_EXIT_FAILED);
	TEST_STREQ(f.text, "x: is not there: No such file or directory");
}

int main(void)
{
	char cmd[128];

	if (!mkdtemp(dir))
		return 1;
	TEST_RUN(source_by_path);
	TEST_RUN(source_is_pinned);
	TEST_RUN(source_by_descriptor);
	TEST_RUN(source_shown);
	TEST_RUN(source_refused);
	TEST_RUN(holder_is_named);
	TEST_RUN(lock_lines);
	TEST_RUN(fuse_conf);
	TEST_RUN(child_calls);
	TEST_RUN(failures);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd) == 0 ? test_done() : 1;
}
