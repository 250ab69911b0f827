/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The broker's policies as tables: what may not be in them, and README.md and the unit say the same. */
#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/base/str.h"
#include "seccomp/filter.h"
#include "tests/lib/check.h"

static char *printed(const struct f4_seccomp_policy *policy, enum f4_seccomp_format format)
{
	f4_auto_fd fd = memfd_create("print", MFD_CLOEXEC);
	char *text = NULL;

	if (fd < 0 || f4_seccomp_print(policy, format, fd) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
	    f4_fd_slurp(fd, 1 << 20, &text, NULL) < 0)
		return NULL;
	return text;
}

static char *source(const char *name)
{
	const char *src = getenv("F4_SRC");
	f4_auto_fd fd = -1;
	char path[4096], *text = NULL;

	if (f4_str_format(path, sizeof(path), "%s/%s", src ? src : ".", name) < 0)
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && f4_fd_slurp(fd, 1 << 20, &text, NULL) == 0 ? text : NULL;
}

static void complete(void)
{
	const struct f4_seccomp_policy *const policies[] = { &f4_seccomp_mountd,
							     &f4_seccomp_request };

	for (size_t p = 0; p < F4_ARRAY_LEN(policies); p++) {
		printf("%s: %zu calls\n", policies[p]->program, f4_seccomp_count(policies[p]));
		for (size_t i = 0; i < policies[p]->n_rules; i++) {
			const struct f4_seccomp_rule *rule = &policies[p]->rules[i];

			if (!rule->reason || strlen(rule->reason) < 5)
				TEST_FAIL_("%s has no reason", rule->call);
			if (seccomp_syscall_resolve_name(rule->call) == __NR_SCMP_ERROR)
				TEST_FAIL_("%s is no system call", rule->call);
		}
	}
}

/* Allowed without a condition in the filter of @policy? */
static bool allows(const struct f4_seccomp_policy *policy, const char *call, bool any_condition)
{
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct f4_seccomp_rule *rule = &policy->rules[i];

		if ((rule->use & F4_SECCOMP_SEALED) && !(rule->use & F4_SECCOMP_SANITIZER) &&
		    f4_str_eq(rule->call, call) &&
		    (any_condition || rule->args[0].op == F4_SECCOMP_ANY))
			return true;
	}
	return false;
}

static void forbidden(void)
{
	static const char *const never[] = {
		"execve", "execveat", "socket", "socketpair", "connect", "bind", "listen",
		"open", "openat2", "creat", "open_by_handle_at", "mount", "open_tree", "setns",
		"pivot_root", "chroot", "ptrace", "process_vm_readv", "process_vm_writev",
		"pidfd_getfd", "bpf", "keyctl", "perf_event_open", "io_uring_setup", "clone3",
		"unlink", "unlinkat", "rename", "renameat2", "mkdir", "mknod", "chmod", "fchmod",
		"chown", "fchown", "setxattr", "truncate", "ftruncate", "setuid", "setgid",
		"setfsuid", "personality", "init_module", "finit_module", "reboot", "dup", "ioctl",
	};
	static const char *const not_in_a_request[] = {
		"accept4", "kill", "unshare", "seccomp", "pidfd_open", "close_range", "rt_sigaction",
	};
	static const char *const careful[] = { "mmap",	"mprotect", "prctl", "fcntl", "clone",
					       "umount2", "unshare", "kill", "tgkill" };

	for (size_t i = 0; i < F4_ARRAY_LEN(never); i++)
		if (allows(&f4_seccomp_mountd, never[i], true) ||
		    allows(&f4_seccomp_request, never[i], true))
			TEST_FAIL_("%s is allowed", never[i]);
	for (size_t i = 0; i < F4_ARRAY_LEN(not_in_a_request); i++)
		if (allows(&f4_seccomp_request, not_in_a_request[i], true))
			TEST_FAIL_("%s is allowed in a request", not_in_a_request[i]);
	for (size_t i = 0; i < F4_ARRAY_LEN(careful); i++)
		if (allows(&f4_seccomp_mountd, careful[i], false) ||
		    allows(&f4_seccomp_request, careful[i], false))
			TEST_FAIL_("%s is allowed without a condition", careful[i]);
	TEST_CHECK(!allows(&f4_seccomp_request, "openat", false));
}

/* What a request may, the main process must be allowed too: both filters count. */
static void nested(void)
{
	for (size_t i = 0; i < f4_seccomp_request.n_rules; i++) {
		const struct f4_seccomp_rule *rule = &f4_seccomp_request.rules[i];

		if ((rule->use & F4_SECCOMP_SEALED) &&
		    !(rule->use & F4_SECCOMP_SANITIZER) &&
		    !allows(&f4_seccomp_mountd, rule->call, true))
			TEST_FAIL_("%s is not in the list of the main process", rule->call);
	}
}

static void readme_is_current(void)
{
	f4_auto_free char *readme = source("seccomp/README.md");
	f4_auto_free char *all = printed(&f4_seccomp_mountd, F4_SECCOMP_TABLE);
	f4_auto_free char *one = printed(&f4_seccomp_request, F4_SECCOMP_TABLE);

	TEST_REQUIRE(readme && all && one);
	TEST_CHECK(strstr(readme, all) != NULL);
	TEST_CHECK(strstr(readme, one) != NULL);
}

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = text; (p = strstr(p, word)); p += len)
		if ((p[-1] == '=' || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\n'))
			return true;
	return false;
}

/* Every call that the program names is in the unit's list, and none besides. */
static void unit_is_current(void)
{
	f4_auto_free char *unit = source("units/fuse4fs-mountd.service");
	f4_auto_free char *want = printed(&f4_seccomp_mountd, F4_SECCOMP_UNIT);
	size_t in_unit = 0, wanted = 0;
	static const char key[] = "SystemCallFilter=";

	TEST_REQUIRE(unit && want);
	for (char *p = want; (p = strstr(p, key)); wanted++) {
		char name[64];

		p += strlen(key);
		(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(p, "\n"), p);
		if (!has_word(unit, name))
			TEST_FAIL_("%s is missing in the unit", name);
	}
	for (char *p = unit; (p = strstr(p, key));)
		for (p += strlen(key); *p != '\n'; p++)
			in_unit += p[-1] == '=' || p[-1] == ' ';
	TEST_EQ(in_unit, wanted);
}

int main(void)
{
	TEST_RUN(complete);
	TEST_RUN(forbidden);
	TEST_RUN(nested);
	TEST_RUN(readme_is_current);
	TEST_RUN(unit_is_current);
	return test_done();
}
