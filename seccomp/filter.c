/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From policy table to filter, by libseccomp.
 *
 * Foreign architectures (the 32-bit and x32 calls of an x86-64 kernel) are killed outright: a filter
 * that knows one numbering must not be asked in another.
 */
#include "seccomp/filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"

#ifdef F4_SANITIZED
#define SANITIZED true
#else
#define SANITIZED false
#endif

static void release_p(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
	*ctx = NULL;
}

static bool is_in_filter(const struct f4_seccomp_rule *rule, bool sanitized)
{
	if ((rule->use & F4_SECCOMP_SANITIZER) && !sanitized)
		return false;
	return rule->use & (F4_SECCOMP_SEALED | F4_SECCOMP_REFUSE);
}

/* to_cmp - conditions of @rule in libseccomp's terms. Return: how many. */
static unsigned int to_cmp(const struct f4_seccomp_rule *rule, struct scmp_arg_cmp *cmp)
{
	unsigned int n = 0;

	for (size_t i = 0; i < F4_SECCOMP_ARGS_MAX; i++) {
		const struct f4_seccomp_arg *a = &rule->args[i];

		switch (a->op) {
		case F4_SECCOMP_ANY:
			break;
		case F4_SECCOMP_IS:
			/* The kernel looks at 32 bits of these arguments, whatever is above them. */
			cmp[n++] = SCMP_CMP64(a->index, SCMP_CMP_MASKED_EQ, 0xffffffffu, a->value);
			break;
		case F4_SECCOMP_HAS_NONE:
			cmp[n++] = SCMP_CMP64(a->index, SCMP_CMP_MASKED_EQ, a->value, 0);
			break;
		case F4_SECCOMP_HAS_ALL:
			cmp[n++] = SCMP_CMP64(a->index, SCMP_CMP_MASKED_EQ, a->value, a->value);
			break;
		case F4_SECCOMP_SELF:
			cmp[n++] = SCMP_CMP64(a->index, SCMP_CMP_MASKED_EQ, 0xffffffffu,
					      (uint32_t)getpid());
			break;
		}
	}
	return n;
}

static int add_call(scmp_filter_ctx ctx, const struct f4_seccomp_rule *rule, int nr)
{
	struct scmp_arg_cmp cmp[F4_SECCOMP_ARGS_MAX];
	unsigned int n = to_cmp(rule, cmp);
	uint32_t action = SCMP_ACT_ALLOW;

	if (rule->use & F4_SECCOMP_REFUSE)
		action = SCMP_ACT_ERRNO((uint32_t)rule->refuse_errno);
	return seccomp_rule_add_exact_array(ctx, action, nr, n, cmp);
}

static int add_rule(scmp_filter_ctx ctx, const struct f4_seccomp_rule *rule)
{
	int nr = seccomp_syscall_resolve_name(rule->call);
	int r;

	if (nr >= 0) {
		r = add_call(ctx, rule, nr);
		if (r < 0 || !rule->other || sizeof(long) > 4)
			return r;
	}
	if (!rule->other)
		return 0; /* a call that this architecture does not have is not missed */
	nr = seccomp_syscall_resolve_name(rule->other);
	return nr >= 0 ? add_call(ctx, rule, nr) : 0;
}

/* build - *@ret_ctx is owned by the caller, also on failure. */
static int build(const struct f4_seccomp_policy *policy, unsigned int with, scmp_filter_ctx *ret_ctx)
{
	static const struct {
		enum scmp_filter_attr attr;
		uint32_t value;
	} attrs[] = {
		{ SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS },
		{ SCMP_FLTATR_CTL_NNP, 1 },
		{ SCMP_FLTATR_CTL_TSYNC, 1 },
		{ SCMP_FLTATR_CTL_LOG, 1 },
		{ SCMP_FLTATR_CTL_OPTIMIZE, 2 }, /* a tree: the hot calls must not pay for the rare */
		{ SCMP_FLTATR_API_SYSRAWRC, 1 }, /* the kernel's errno, not ECANCELED for all of them */
	};
	int r;

	*ret_ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!*ret_ctx)
		return -ENOMEM;
	for (size_t i = 0; i < F4_ARRAY_LEN(attrs); i++) {
		r = seccomp_attr_set(*ret_ctx, attrs[i].attr, attrs[i].value);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < policy->n_rules; i++) {
		if (!is_in_filter(&policy->rules[i], SANITIZED))
			continue;
		if ((policy->rules[i].use & F4_SECCOMP_RINGS) && !(with & F4_SECCOMP_RINGS))
			continue;
		r = add_rule(*ret_ctx, &policy->rules[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

int f4_seccomp_install(const struct f4_seccomp_policy *policy, unsigned int with)
{
	f4_cleanup(release_p) scmp_filter_ctx ctx = NULL;
	int r = build(policy, with, &ctx);

	if (r < 0)
		return r;
	r = seccomp_load(ctx);
	/* A positive code of TSYNC names the thread that could not be confined. */
	return r > 0 ? -ESRCH : r;
}

int f4_seccomp_build(const struct f4_seccomp_policy *policy, struct f4_seccomp_built *ret)
{
	f4_cleanup(release_p) scmp_filter_ctx ctx = NULL;
	f4_auto_free char *text = NULL;
	f4_auto_fd fd = -1;
	size_t len = 0;
	int r = build(policy, 0, &ctx);

	if (r < 0)
		return r;
	fd = memfd_create("seccomp", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	r = f4_fd_slurp(fd, BPF_MAXINSNS * sizeof(struct sock_filter), &text, &len);
	if (r < 0)
		return r;
	ret->len = (unsigned short)(len / sizeof(struct sock_filter));
	ret->program = f4_take_ptr(text);
	return 0;
}

int f4_seccomp_install_built(const struct f4_seccomp_built *built)
{
	const struct sock_fprog prog = { .len = built->len, .filter = built->program };

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, &prog) < 0 ?
		       -errno :
		       0;
}

void f4_seccomp_built_done(struct f4_seccomp_built *built)
{
	free(f4_take_ptr(built->program));
	built->len = 0;
}

/* Has an earlier row of the same kind the same name? */
static bool is_repeat(const struct f4_seccomp_policy *policy, size_t i, unsigned int use)
{
	for (size_t k = 0; k < i; k++)
		if ((policy->rules[k].use & use) && !(policy->rules[k].use & F4_SECCOMP_SANITIZER) &&
		    strcmp(policy->rules[k].call, policy->rules[i].call) == 0)
			return true;
	return false;
}

static bool is_counted(const struct f4_seccomp_policy *policy, size_t i, unsigned int use)
{
	unsigned int u = policy->rules[i].use;

	return (u & use) && !(u & F4_SECCOMP_SANITIZER) && !is_repeat(policy, i, use);
}

size_t f4_seccomp_count(const struct f4_seccomp_policy *policy)
{
	size_t n = 0;

	for (size_t i = 0; i < policy->n_rules; i++)
		n += is_counted(policy, i, F4_SECCOMP_SEALED);
	return n;
}

/* condition - what a row says about its arguments, for people. */
static void condition(const struct f4_seccomp_rule *rule, char *out, size_t size)
{
	static const char *const words[] = {
		[F4_SECCOMP_ANY] = "",
		[F4_SECCOMP_IS] = "is",
		[F4_SECCOMP_HAS_NONE] = "without bits",
		[F4_SECCOMP_HAS_ALL] = "with bits",
		[F4_SECCOMP_SELF] = "is the own process",
	};
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < F4_SECCOMP_ARGS_MAX; i++) {
		const struct f4_seccomp_arg *a = &rule->args[i];
		int n;

		if (a->op == F4_SECCOMP_ANY)
			continue;
		n = snprintf(out + len, size - len, "%sargument %u %s", len ? ", " : "", a->index,
			     words[a->op]);
		if (n > 0 && (size_t)n < size - len)
			len += (size_t)n;
		if (a->op == F4_SECCOMP_SELF)
			continue;
		n = snprintf(out + len, size - len, " 0x%x", a->value);
		if (n > 0 && (size_t)n < size - len)
			len += (size_t)n;
	}
	if (rule->use & F4_SECCOMP_REFUSE)
		(void)snprintf(out + len, size - len, "%srefused: %s", len ? ", " : "",
			       strerrorname_np(rule->refuse_errno));
}

static int print_table(const struct f4_seccomp_policy *policy, int fd)
{
	char cond[160];

	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct f4_seccomp_rule *rule = &policy->rules[i];

		if (!is_in_filter(rule, true))
			continue;
		condition(rule, cond, sizeof(cond));
		if (dprintf(fd, "| `%s` | %s | %s%s%s |\n", rule->call, cond,
			    rule->use & F4_SECCOMP_SANITIZER ? "(sanitizers only) " : "",
			    rule->use & F4_SECCOMP_RINGS ? "(with rings only) " : "", rule->reason) < 0)
			return -errno;
	}
	return 0;
}

static int print_names(const struct f4_seccomp_policy *policy, unsigned int use, const char *head,
		       int fd)
{
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct f4_seccomp_rule *rule = &policy->rules[i];

		if (!is_counted(policy, i, use))
			continue;
		if (dprintf(fd, "%s%s\n", head, rule->call) < 0)
			return -errno;
		/* A unit may run on any architecture; systemd skips the names that one lacks. */
		if (head[0] && rule->other && dprintf(fd, "%s%s\n", head, rule->other) < 0)
			return -errno;
	}
	return 0;
}

int f4_seccomp_print(const struct f4_seccomp_policy *policy, enum f4_seccomp_format format, int fd)
{
	switch (format) {
	case F4_SECCOMP_TABLE:
		return print_table(policy, fd);
	case F4_SECCOMP_NAMES:
		return print_names(policy, F4_SECCOMP_SEALED, "", fd);
	case F4_SECCOMP_UNIT:
		return print_names(policy, F4_SECCOMP_SEALED | F4_SECCOMP_REFUSE | F4_SECCOMP_START,
				   "SystemCallFilter=", fd);
	case F4_SECCOMP_FORMAT_MAX:
		break;
	}
	return -EINVAL;
}
