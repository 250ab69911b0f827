/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The argument memfd: exact bytes, seals, and every lie that a foreign one can tell. */
#include "protocol/argv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/wire.h"
#include "tests/lib/check.h"

#define BYTES(s) s, sizeof(s) - 1

static const char *const args[] = { "fuse4fs", "-o", "ro", "", "/img", "/mnt" };
static const char args_bytes[] = "ARGS\0\0\0\6"
				 "\0\0\0\70\0\0\0\10" /* 56, 8 */
				 "\0\0\0\100\0\0\0\3" /* 64, 3 */
				 "\0\0\0\103\0\0\0\3" /* 67, 3 */
				 "\0\0\0\106\0\0\0\1" /* 70, 1 */
				 "\0\0\0\107\0\0\0\5" /* 71, 5 */
				 "\0\0\0\114\0\0\0\5" /* 76, 5 */
				 "fuse4fs\0-o\0ro\0\0/img\0/mnt";

static int memfd_with(const void *bytes, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && f4_fd_pwrite_all(fd, bytes, len, 0) != 0)
		f4_close_p(&fd);
	return fd;
}

static void exact_bytes(void)
{
	f4_auto_fd fd = -1;
	char buf[256];
	size_t n = 0;

	TEST_REQUIRE(f4_argv_create(6, args, &fd) == 0);
	TEST_EQ(f4_fd_read_all(fd, buf, sizeof(buf), &n), 0); /* from the shared offset: 0 */
	TEST_EQ(n, sizeof(args_bytes));
	TEST_CHECK(memcmp(buf, args_bytes, sizeof(args_bytes)) == 0);
}

static void sealed(void)
{
	f4_auto_fd fd = -1;

	TEST_REQUIRE(f4_argv_create(6, args, &fd) == 0);
	TEST_EQ(f4_fd_expect(fd, F4_FD_MEMORY_FIXED, O_RDONLY), 0);
	TEST_CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	TEST_EQ(f4_fd_pwrite_all(fd, "x", 1, 0), -EPERM);
	TEST_CHECK(ftruncate(fd, 0) != 0 && ftruncate(fd, 1 << 20) != 0);
	TEST_CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
}

static void round_trip(void)
{
	f4_auto_fd fd = -1;
	struct f4_argv a = F4_ARGV_INIT;

	TEST_REQUIRE(f4_argv_create(6, args, &fd) == 0);
	TEST_REQUIRE(f4_argv_read(fd, &a) == 0);
	TEST_EQ(a.argc, 6);
	for (unsigned int i = 0; i < 6; i++)
		TEST_STREQ(a.argv[i], args[i]);
	TEST_CHECK(a.argv[6] == NULL);
	f4_argv_done(&a);
	f4_argv_done(&a);
	TEST_CHECK(a.argv == NULL && a.argc == 0);
}

/* What libfuse's helper writes when it leaves "-t TYPE" out: a hole between table and strings. */
static void foreign_with_hole(void)
{
	static const char bytes[] = "ARGS\0\0\0\2"
				    "\0\0\0\50\0\0\0\4"
				    "\0\0\0\54\0\0\0\2"
				    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
				    "ext\0/";
	f4_auto_fd fd = memfd_with(bytes, sizeof(bytes));
	struct f4_argv a = F4_ARGV_INIT;

	TEST_REQUIRE(f4_argv_read(fd, &a) == 0);
	TEST_EQ(a.argc, 2);
	TEST_STREQ(a.argv[0], "ext");
	TEST_STREQ(a.argv[1], "/");
	f4_argv_done(&a);
}

static void create_limits(void)
{
	static char big[F4_WIRE_ARGS_BYTES_MAX];
	static const char *many[F4_WIRE_ARGS_COUNT_MAX + 1];
	const char *one[] = { big };
	f4_auto_fd fd = -1;
	struct f4_argv a = F4_ARGV_INIT;
	struct stat st;

	for (size_t i = 0; i < F4_ARRAY_LEN(many); i++)
		many[i] = "a";
	TEST_EQ(f4_argv_create(0, many, &fd), -EINVAL);
	TEST_EQ(f4_argv_create(F4_WIRE_ARGS_COUNT_MAX + 1, many, &fd), -E2BIG);
	TEST_REQUIRE(f4_argv_create(F4_WIRE_ARGS_COUNT_MAX, many, &fd) == 0);
	TEST_REQUIRE(f4_argv_read(fd, &a) == 0);
	TEST_EQ(a.argc, F4_WIRE_ARGS_COUNT_MAX);
	f4_argv_done(&a);
	f4_close_p(&fd);

	memset(big, 'b', sizeof(big) - 16);
	TEST_EQ(f4_argv_create(1, one, &fd), -E2BIG); /* one byte too many, with its NUL */
	big[sizeof(big) - 17] = '\0';
	TEST_REQUIRE(f4_argv_create(1, one, &fd) == 0);
	TEST_REQUIRE(fstat(fd, &st) == 0);
	TEST_EQ(st.st_size, F4_WIRE_ARGS_BYTES_MAX);
	TEST_REQUIRE(f4_argv_read(fd, &a) == 0);
	TEST_EQ(strlen(a.argv[0]), sizeof(big) - 17);
	f4_argv_done(&a);
}

static void lies(void)
{
	static const struct {
		int e;
		const char *bytes;
		size_t len;
	} t[] = {
		{ F4_ARGV_E_SIZE, BYTES("") },
		{ F4_ARGV_E_SIZE, BYTES("ARGS\0\0\0") },
		{ F4_ARGV_E_MAGIC, BYTES("SGRA\0\0\0\1\0\0\0\20\0\0\0\2a\0") },
		{ F4_ARGV_E_COUNT, BYTES("ARGS\0\0\0\0") },
		{ F4_ARGV_E_COUNT, BYTES("ARGS\377\377\377\377\0\0\0\20\0\0\0\2a\0") }, /* 4 billion */
		{ F4_ARGV_E_COUNT, BYTES("ARGS\0\0\1\1\0\0\0\20\0\0\0\2a\0") },	  /* 257 */
		{ F4_ARGV_E_SIZE, BYTES("ARGS\0\0\0\2\0\0\0\20\0\0\0\2a\0") }, /* table cut */
		{ F4_ARGV_E_SIZE, BYTES("ARGS\0\0\0\1\0\0\0\20\0\0\0") },
		{ F4_ARGV_E_RANGE, BYTES("ARGS\0\0\0\1\0\0\0\17\0\0\0\2a\0") },   /* in the table */
		{ F4_ARGV_E_RANGE, BYTES("ARGS\0\0\0\1\0\0\0\0\0\0\0\22a\0") },
		{ F4_ARGV_E_RANGE, BYTES("ARGS\0\0\0\1\0\0\0\20\0\0\0\3a\0") },   /* beyond */
		{ F4_ARGV_E_RANGE, BYTES("ARGS\0\0\0\1\0\0\0\23\0\0\0\0a\0") },
		{ F4_ARGV_E_RANGE, BYTES("ARGS\0\0\0\1\377\377\377\377\0\0\0\2a\0") },
		{ F4_ARGV_E_RANGE, BYTES("ARGS\0\0\0\1\0\0\0\20\377\377\377\377a\0") },
		{ F4_ARGV_E_RANGE, BYTES("ARGS\0\0\0\1\377\377\377\360\0\0\0\20a\0") }, /* wraps */
		{ F4_ARGV_E_STRING, BYTES("ARGS\0\0\0\1\0\0\0\20\0\0\0\0a\0") },  /* no NUL */
		{ F4_ARGV_E_STRING, BYTES("ARGS\0\0\0\1\0\0\0\22\0\0\0\0a\0") },
		{ F4_ARGV_E_STRING, BYTES("ARGS\0\0\0\1\0\0\0\20\0\0\0\1a\0") },
		{ F4_ARGV_E_STRING, BYTES("ARGS\0\0\0\1\0\0\0\20\0\0\0\4a\0b\0") }, /* inner */
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct f4_argv a = F4_ARGV_INIT;
		f4_auto_fd fd = memfd_with(t[i].bytes, t[i].len);
		f4_auto_free char *exact = malloc(t[i].len ? t[i].len : 1);
		int r;

		memcpy(exact, t[i].bytes, t[i].len); /* so that ASan sees one byte too far */
		r = f4_argv_decode(exact, t[i].len, &a);
		if (r != t[i].e)
			TEST_FAIL_("row %zu: %s, expected %s", i, f4_argv_strerror(r),
				   f4_argv_strerror(t[i].e));
		TEST_EQ(f4_argv_read(fd, &a), t[i].e);
		TEST_CHECK(a.argv == NULL && a.bytes == NULL);
	}
}

/* Cut anywhere, it is refused. */
static void cut(void)
{
	for (size_t n = 0; n < sizeof(args_bytes); n++) {
		struct f4_argv a = F4_ARGV_INIT;

		TEST_CHECK(f4_argv_decode(args_bytes, n, &a) > 0);
	}
}

/* All strings at one place: no more memory than the file has. */
static void overlapping(void)
{
	struct f4_argv a = F4_ARGV_INIT;

	TEST_REQUIRE(f4_argv_decode("ARGS\0\0\0\2\0\0\0\30\0\0\0\3\0\0\0\31\0\0\0\2xy", 27, &a) == 0);
	TEST_STREQ(a.argv[0], "xy");
	TEST_STREQ(a.argv[1], "y");
	f4_argv_done(&a);
}

static void wrong_files(void)
{
	f4_auto_fd null = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	f4_auto_fd proc = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	f4_auto_fd dir = open("/", O_RDONLY | O_CLOEXEC);
	f4_auto_fd sparse = memfd_create("test", MFD_CLOEXEC);
	struct f4_argv a = F4_ARGV_INIT;

	TEST_EQ(f4_argv_read(null, &a), F4_ARGV_E_KIND);
	TEST_EQ(f4_argv_read(proc, &a), F4_ARGV_E_KIND);
	TEST_EQ(f4_argv_read(dir, &a), F4_ARGV_E_KIND);
	TEST_EQ(f4_argv_read(-1, &a), -EBADF);
	TEST_REQUIRE(ftruncate(sparse, (off_t)F4_WIRE_ARGS_BYTES_MAX + 1) == 0);
	TEST_EQ(f4_argv_read(sparse, &a), F4_ARGV_E_SIZE);
	TEST_REQUIRE(ftruncate(sparse, (off_t)1 << 50) == 0);
	TEST_EQ(f4_argv_read(sparse, &a), F4_ARGV_E_SIZE);
}

/* The copy stays as it was when the peer rewrites the file afterwards. */
static void changed_after(void)
{
	f4_auto_fd fd = memfd_with(args_bytes, sizeof(args_bytes));
	struct f4_argv a = F4_ARGV_INIT;

	TEST_REQUIRE(f4_argv_read(fd, &a) == 0);
	TEST_EQ(f4_fd_pwrite_all(fd, "EVIL", 4, 71), 0);
	TEST_STREQ(a.argv[4], "/img");
	f4_argv_done(&a);
}

static void words(void)
{
	for (int e = 0; e <= F4_ARGV_E_CHANGED; e++)
		TEST_CHECK(strcmp(f4_argv_strerror(e), "unknown error") != 0);
	TEST_STREQ(f4_argv_strerror(-ENOMEM), "Cannot allocate memory");
	TEST_STREQ(f4_argv_strerror(99), "unknown error");
}

int main(void)
{
	TEST_RUN(exact_bytes);
	TEST_RUN(sealed);
	TEST_RUN(round_trip);
	TEST_RUN(foreign_with_hole);
	TEST_RUN(create_limits);
	TEST_RUN(lies);
	TEST_RUN(cut);
	TEST_RUN(overlapping);
	TEST_RUN(wrong_files);
	TEST_RUN(changed_after);
	TEST_RUN(words);
	return test_done();
}
