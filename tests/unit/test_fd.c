/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole reads and writes, descriptor numbers, and what a foreign descriptor really is. */
#include "protocol/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "tests/lib/check.h"

static int memfd(void)
{
	return memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

static int temp_file(void)
{
	const char *dir = getenv("TMPDIR");

	return open(dir ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static bool has_cloexec(int fd)
{
	return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

static void cloexec(void)
{
	f4_auto_fd fd = open("/dev/null", O_RDONLY);

	TEST_CHECK(!has_cloexec(fd));
	TEST_EQ(f4_fd_cloexec(fd), 0);
	TEST_CHECK(has_cloexec(fd));
	TEST_EQ(f4_fd_cloexec(fd), 0);
	TEST_EQ(f4_fd_cloexec(-1), -EBADF);
}

/* Run @fn in a child with stdio closed as @fn wants it: its exit status. */
static int in_child(int (*fn)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int child_above_stdio(void)
{
	int fd, high;

	close(0);
	fd = open("/dev/null", O_RDONLY);
	if (fd != 0 || f4_fd_above_stdio(&fd) != 0)
		return 1;
	if (fd < 3 || !has_cloexec(fd) || fcntl(0, F_GETFD) >= 0)
		return 2;
	high = fd;
	if (f4_fd_above_stdio(&fd) != 0 || fd != high)
		return 3;
	fd = -1;
	return f4_fd_above_stdio(&fd) == -EBADF && fd == -1 ? 0 : 4;
}

static int child_ensure_stdio(void)
{
	struct stat st;

	close(0);
	close(2);
	if (f4_fd_ensure_stdio() != 0)
		return 1;
	for (int fd = 0; fd <= 2; fd += 2)
		if (fstat(fd, &st) != 0 || st.st_rdev != makedev(1, 3) || has_cloexec(fd))
			return 2;
	return f4_fd_ensure_stdio() == 0 ? 0 : 3;
}

static void low_numbers(void)
{
	TEST_EQ(in_child(child_above_stdio), 0);
	TEST_EQ(in_child(child_ensure_stdio), 0);
}

static void write_and_read(void)
{
	f4_auto_fd fd = memfd();
	char buf[16] = "";
	size_t n = 0;

	TEST_REQUIRE(fd >= 0);
	TEST_EQ(f4_fd_write_all(fd, "hello ", 6), 0);
	TEST_EQ(f4_fd_pwrite_all(fd, "world", 5, 6), 0);
	TEST_EQ(lseek(fd, 0, SEEK_CUR), 6);
	TEST_EQ(f4_fd_pread_all(fd, buf, sizeof(buf), 0, &n), 0);
	TEST_EQ(n, 11);
	TEST_CHECK(memcmp(buf, "hello world", 11) == 0);
	TEST_EQ(f4_fd_pread_all(fd, buf, 5, 6, &n), 0);
	TEST_EQ(n, 5);
	TEST_EQ(f4_fd_read_all(fd, buf, 3, &n), 0);
	TEST_CHECK(n == 3 && memcmp(buf, "wor", 3) == 0);
	TEST_EQ(f4_fd_read_all(-1, buf, 3, &n), -EBADF);
	TEST_EQ(f4_fd_pread_all(-1, buf, 3, 0, &n), -EBADF);
	TEST_EQ(f4_fd_write_all(-1, buf, 3), -EBADF);
	TEST_EQ(f4_fd_pwrite_all(-1, buf, 3, 0), -EBADF);
}

/* A pipe gives and takes less than asked for: all of it arrives nevertheless. */
static void short_counts(void)
{
	enum { TOTAL = 300000 };
	f4_auto_free unsigned char *buf = malloc(TOTAL);
	f4_auto_fd in = -1, out = -1;
	int p[2], bad = 0, status = 0;
	size_t n = 0;
	pid_t pid;

	TEST_REQUIRE(pipe2(p, O_CLOEXEC) == 0);
	in = p[0];
	out = p[1];
	pid = fork();
	if (pid == 0) {
		for (size_t i = 0; i < TOTAL; i++)
			buf[i] = (unsigned char)(i * 7);
		_exit(f4_fd_write_all(out, buf, TOTAL) == 0 ? 0 : 1);
	}
	f4_close_p(&out);
	TEST_EQ(f4_fd_read_all(in, buf, TOTAL, &n), 0);
	TEST_EQ(n, TOTAL);
	for (size_t i = 0; i < n; i++)
		bad += buf[i] != (unsigned char)(i * 7);
	TEST_EQ(bad, 0);
	TEST_EQ(f4_fd_read_all(in, buf, TOTAL, &n), 0);
	TEST_EQ(n, 0);
	TEST_REQUIRE(waitpid(pid, &status, 0) == pid);
	TEST_EQ(status, 0);
}

static void slurp(void)
{
	static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 8192, 20000 };

	for (size_t i = 0; i < F4_ARRAY_LEN(sizes); i++) {
		f4_auto_fd fd = memfd();
		f4_auto_free char *s = NULL;
		size_t n = 99;

		TEST_REQUIRE(ftruncate(fd, (off_t)sizes[i]) == 0);
		TEST_EQ(f4_fd_slurp(fd, sizes[i], &s, &n), 0);
		TEST_REQUIRE(s != NULL);
		TEST_EQ(n, sizes[i]);
		TEST_EQ(s[n], '\0');
		if (sizes[i] == 0)
			continue;
		TEST_REQUIRE(lseek(fd, 0, SEEK_SET) == 0);
		n = 99;
		TEST_EQ(f4_fd_slurp(fd, sizes[i] - 1, &s, &n), -EFBIG);
		TEST_EQ(n, 99);
	}
}

/* Each kind of descriptor against each expectation. */
static void kinds(void)
{
	f4_auto_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
	f4_auto_fd file = temp_file(), mem = memfd(), fixed = memfd();
	f4_auto_fd dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f4_auto_fd dir_path = open("/", O_PATH | O_CLOEXEC);
	f4_auto_fd file_path = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	f4_auto_fd null_path = open("/dev/null", O_PATH | O_CLOEXEC);
	f4_auto_fd sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct {
		int fd;
		int want[F4_FD_KIND_MAX];
	} t[] = {
		/* order: FUSE REGULAR BLOCK IMAGE MEMORY MEMORY_FIXED PATH_DIR PATH_MOUNT SOCKET */
		{ null, { 1, 1, 1, 1, 1, 1, 2, 2, 1 } },
		{ mem, { 1, 0, 1, 0, 0, 3, 2, 2, 1 } },
		{ fixed, { 1, 0, 1, 0, 0, 0, 2, 2, 1 } },
		{ dir, { 1, 1, 1, 1, 1, 1, 2, 2, 1 } },
		{ dir_path, { 2, 2, 2, 2, 2, 2, 0, 0, 2 } },
		{ file_path, { 2, 2, 2, 2, 2, 2, 1, 0, 2 } },
		{ null_path, { 2, 2, 2, 2, 2, 2, 1, 1, 2 } },
		{ sock, { 1, 1, 1, 1, 1, 1, 2, 2, 0 } },
	};

	TEST_REQUIRE(file >= 0 && fcntl(fixed, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK |
								    F_SEAL_GROW | F_SEAL_WRITE) == 0);
	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		for (unsigned int k = 0; k < F4_FD_KIND_MAX; k++) {
			int r = f4_fd_expect(t[i].fd, k, O_RDONLY);

			if (r != t[i].want[k])
				TEST_FAIL_("row %zu as %s: %d, expected %d", i,
					   f4_fd_kind_name(k), r, t[i].want[k]);
		}
	}
	TEST_EQ(f4_fd_expect(file, F4_FD_IMAGE, O_RDWR), 0);
	TEST_EQ(f4_fd_expect(-1, F4_FD_IMAGE, O_RDWR), -EBADF);
}

static void partly_sealed(void)
{
	f4_auto_fd fd = memfd();

	TEST_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
	TEST_EQ(f4_fd_expect(fd, F4_FD_MEMORY_FIXED, O_RDONLY), F4_FD_E_SEALS);
	TEST_EQ(f4_fd_expect(fd, F4_FD_MEMORY, O_RDONLY), 0);
}

static void access_modes(void)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };
	static const int want[3][3] = { /* [opened for][asked for] */
		{ 0, F4_FD_E_ACCESS, F4_FD_E_ACCESS },
		{ F4_FD_E_ACCESS, 0, F4_FD_E_ACCESS },
		{ 0, 0, 0 },
	};
	char path[] = "f4-fd.XXXXXX";
	f4_auto_fd made = mkstemp(path);

	TEST_REQUIRE(made >= 0);
	for (int o = 0; o < 3; o++) {
		f4_auto_fd fd = open(path, modes[o] | O_CLOEXEC);

		for (int a = 0; a < 3; a++)
			TEST_EQ(f4_fd_expect(fd, F4_FD_REGULAR, modes[a]), want[o][a]);
	}
	unlink(path);
}

/* The real device and, where devices can be made, a block device. */
static void devices(void)
{
	f4_auto_fd fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fuse >= 0) {
		TEST_EQ(f4_fd_expect(fuse, F4_FD_FUSE, O_RDWR), 0);
		TEST_EQ(f4_fd_expect(fuse, F4_FD_IMAGE, O_RDWR), F4_FD_E_KIND);
	}
	if (mknod("blk", S_IFBLK | 0600, makedev(7, 0)) == 0) {
		f4_auto_fd blk = open("blk", O_RDONLY | O_CLOEXEC);

		if (blk >= 0) {
			TEST_EQ(f4_fd_expect(blk, F4_FD_BLOCK, O_RDONLY), 0);
			TEST_EQ(f4_fd_expect(blk, F4_FD_IMAGE, O_RDONLY), 0);
			TEST_EQ(f4_fd_expect(blk, F4_FD_REGULAR, O_RDONLY), F4_FD_E_KIND);
			TEST_EQ(f4_fd_expect(blk, F4_FD_BLOCK, O_RDWR), F4_FD_E_ACCESS);
		}
		unlink("blk");
	}
}

int main(void)
{
	TEST_RUN(cloexec);
	TEST_RUN(low_numbers);
	TEST_RUN(write_and_read);
	TEST_RUN(short_counts);
	TEST_RUN(slurp);
	TEST_RUN(kinds);
	TEST_RUN(partly_sealed);
	TEST_RUN(access_modes);
	TEST_RUN(devices);
	return test_done();
}
