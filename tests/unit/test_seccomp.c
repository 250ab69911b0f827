/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system call policies as tables: small, without forbidden names, each row with its reason, and
 * README.md says the same. What the filter does in the kernel is tried by tests/cases/seal-acts.
 */
#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/base/str.h"
#include "seccomp/filter.h"
#include "tests/lib/check.h"

static char *printed(enum f4_seccomp_format format)
{
	f4_auto_fd fd = memfd_create("print", MFD_CLOEXEC);
	char *text = NULL;

	if (fd < 0 || f4_seccomp_print(&f4_seccomp_server, format, fd) < 0 ||
	    lseek(fd, 0, SEEK_SET) < 0 || f4_fd_slurp(fd, 1 << 20, &text, NULL) < 0)
		return NULL;
	return text;
}

static void test_count_is_below_45(void)
{
	size_t n = f4_seccomp_count(&f4_seccomp_server);

	printf("allowed calls: %zu\n", n);
	TEST_CHECK(n < 45);
	TEST_CHECK(n > 10);
}

static void test_every_row_is_complete(void)
{
	for (size_t i = 0; i < f4_seccomp_server.n_rules; i++) {
		const struct f4_seccomp_rule *rule = &f4_seccomp_server.rules[i];

		if (!rule->reason || strlen(rule->reason) < 5)
			TEST_FAIL_("%s has no reason", rule->call);
		if (seccomp_syscall_resolve_name(rule->call) == __NR_SCMP_ERROR)
			TEST_FAIL_("%s is no system call", rule->call);
		if (rule->other && seccomp_syscall_resolve_name(rule->other) == __NR_SCMP_ERROR)
			TEST_FAIL_("%s is no system call", rule->other);
		if ((rule->use & F4_SECCOMP_REFUSE) && rule->refuse_errno <= 0)
			TEST_FAIL_("%s is refused without an errno", rule->call);
		if (!(rule->use & ~F4_SECCOMP_SANITIZER))
			TEST_FAIL_("%s is for nothing", rule->call);
	}
}

/* What a reader would be shocked to find in the list, sanitizers or not. */
static void test_no_forbidden_name(void)
{
	static const char *const never[] = {
		"open", "openat", "openat2", "creat", "stat", "lstat", "newfstatat", "statx",
		"access", "faccessat", "faccessat2", "readlink", "readlinkat", "chdir", "fchdir",
		"chroot", "mkdir", "mkdirat", "unlink", "unlinkat", "rename", "renameat",
		"renameat2", "link", "linkat", "symlink", "symlinkat", "mknod", "mknodat",
		"socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendmsg",
		"sendto", "sendmmsg", "recvmsg", "recvfrom", "execve", "execveat", "fork", "vfork",
		"clone", "clone3", "ptrace", "process_vm_readv", "process_vm_writev", "kill",
		"tkill", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "setuid", "setgid",
		"setresuid", "setresgid", "setgroups", "capset", "unshare", "setns", "mount",
		"umount2", "fsopen", "fsmount", "move_mount", "open_tree", "pivot_root", "seccomp",
		"io_uring_setup", "io_uring_register", "bpf", "keyctl", "add_key", "request_key",
		"perf_event_open", "userfaultfd", "memfd_create", "dup", "dup2", "dup3", "pipe",
		"pipe2", "pkey_mprotect", "personality", "init_module", "finit_module", "reboot",
	};

	for (size_t i = 0; i < f4_seccomp_server.n_rules; i++) {
		const struct f4_seccomp_rule *rule = &f4_seccomp_server.rules[i];

		if (!(rule->use & F4_SECCOMP_SEALED))
			continue;
		for (size_t k = 0; k < F4_ARRAY_LEN(never); k++)
			if (f4_str_eq(rule->call, never[k]))
				TEST_FAIL_("%s is allowed", rule->call);
	}
}

/* These are dangerous as a whole: no row may allow them without a condition. */
static void test_conditions_where_needed(void)
{
	static const char *const careful[] = { "mmap",	"mprotect", "ioctl", "fcntl",
					       "prctl", "tgkill",   "flock", "pwritev2" };

	for (size_t i = 0; i < f4_seccomp_server.n_rules; i++) {
		const struct f4_seccomp_rule *rule = &f4_seccomp_server.rules[i];

		if (!(rule->use & F4_SECCOMP_SEALED))
			continue;
		for (size_t k = 0; k < F4_ARRAY_LEN(careful); k++)
			if (f4_str_eq(rule->call, careful[k]) &&
			    rule->args[0].op == F4_SECCOMP_ANY)
				TEST_FAIL_("%s is allowed without a condition", rule->call);
	}
}

static void test_names_are_counted_once(void)
{
	f4_auto_free char *text = printed(F4_SECCOMP_NAMES);
	size_t lines = 0;

	TEST_REQUIRE(text != NULL);
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	TEST_EQ(lines, f4_seccomp_count(&f4_seccomp_server));
	TEST_CHECK(strstr(text, "pread64\n") != NULL);
	TEST_CHECK(strstr(text, "openat") == NULL);
	TEST_CHECK(strstr(text, "sigaltstack") == NULL); /* sanitizers' */
}

static void test_unit_has_start_and_sealed(void)
{
	f4_auto_free char *text = printed(F4_SECCOMP_UNIT);

	TEST_REQUIRE(text != NULL);
	TEST_CHECK(strstr(text, "SystemCallFilter=pread64\n") != NULL);
	TEST_CHECK(strstr(text, "SystemCallFilter=execve\n") != NULL);
	TEST_CHECK(strstr(text, "SystemCallFilter=openat\n") != NULL);
	TEST_CHECK(strstr(text, "ptrace") == NULL);
}

/* The table in README.md is the one that --print-seccomp=table prints. */
static void test_readme_is_current(void)
{
	f4_auto_free char *text = printed(F4_SECCOMP_TABLE), *readme = NULL;
	const char *src = getenv("F4_SRC");
	f4_auto_fd fd = -1;
	char path[4096];
	char *begin, *end;

	TEST_REQUIRE(text != NULL);
	TEST_REQUIRE(f4_str_format(path, sizeof(path), "%s/seccomp/README.md", src ? src : ".") == 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	TEST_REQUIRE(fd >= 0 && f4_fd_slurp(fd, 1 << 20, &readme, NULL) == 0);
	begin = strstr(readme, "| --- |");
	TEST_REQUIRE(begin != NULL);
	begin = strchr(begin, '\n') + 1;
	end = strstr(begin, "\n\n");
	TEST_REQUIRE(end != NULL);
	end[1] = '\0';
	TEST_STREQ(begin, text);
}

int main(void)
{
	TEST_RUN(test_count_is_below_45);
	TEST_RUN(test_every_row_is_complete);
	TEST_RUN(test_no_forbidden_name);
	TEST_RUN(test_conditions_where_needed);
	TEST_RUN(test_names_are_counted_once);
	TEST_RUN(test_unit_has_start_and_sealed);
	TEST_RUN(test_readme_is_current);
	return test_done();
}
