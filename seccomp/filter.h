/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System call policies: a table says what a program may call and why, this module turns the table
 * into a filter of the running process, or into text for a unit file.
 *
 * A policy is an allow list. What it does not name kills the whole process, by SIGSYS, and the
 * kernel logs it: a call that nobody foresaw is either a bug of ours or an intruder, and a mount that
 * ends is the smaller harm. Some calls are answered with an errno instead (F4_SECCOMP_REFUSE): the C
 * library makes them in passing and copes when they fail.
 *
 * One row is one call with at most two conditions on its arguments; a call that is allowed in several
 * forms has several rows. Each row bears its reason. The names are those of x86-64; where another
 * architecture has the same thing under another name, the row tells it too.
 */
#ifndef F4_SECCOMP_FILTER_H
#define F4_SECCOMP_FILTER_H

#include <stddef.h>
#include <stdint.h>

/* When a row counts. */
#define F4_SECCOMP_SEALED    0x1u /* allowed in the filter */
#define F4_SECCOMP_REFUSE    0x2u /* in the filter: answered with .refuse_errno */
#define F4_SECCOMP_START     0x4u /* only before the filter: for SystemCallFilter= of a unit */
#define F4_SECCOMP_SANITIZER 0x8u /* modifies the above: only in builds with sanitizers */
#define F4_SECCOMP_RINGS     0x10u /* modifies the first: only where the program has made rings */
#define F4_SECCOMP_ALONE     0x20u /* before the filter, and not in a unit that isolates already */

enum f4_seccomp_op {
	F4_SECCOMP_ANY = 0,  /* no condition */
	F4_SECCOMP_IS,       /* the low 32 bits of the argument are .value */
	F4_SECCOMP_HAS_NONE, /* no bit of .value is set in the argument */
	F4_SECCOMP_HAS_ALL,  /* every bit of .value is set in the argument */
	F4_SECCOMP_SELF,     /* the argument is the caller's process id */
};

struct f4_seccomp_arg {
	enum f4_seccomp_op op;
	unsigned int index; /* of the argument, from 0 */
	uint32_t value;
};

#define F4_SECCOMP_ARGS_MAX 2

struct f4_seccomp_rule {
	const char *call;
	const char *other; /* its name where time or offsets are 64 bits wide on a 32-bit machine,
			      or where .call does not exist; NULL: none */
	unsigned int use;  /* F4_SECCOMP_* */
	int refuse_errno;
	struct f4_seccomp_arg args[F4_SECCOMP_ARGS_MAX];
	const char *reason;
};

struct f4_seccomp_policy {
	const char *program;
	const struct f4_seccomp_rule *rules;
	size_t n_rules;
};

/* What the sealed server may call. */
extern const struct f4_seccomp_policy f4_seccomp_server;
/* What the broker may call, and what its process for one request may. */
extern const struct f4_seccomp_policy f4_seccomp_mountd, f4_seccomp_request;

/*
 * f4_seccomp_install - confine every thread of the process to @policy, for ever.
 *
 * @with: F4_SECCOMP_RINGS, or 0: conditional rows that this process needs
 *
 * Sets no_new_privs as well. Threads that exist get the filter too; threads made later inherit it.
 * Return: 0, or a negative errno: -ENOSYS when the kernel has no seccomp filters, -ESRCH when a
 * thread could not be confined. On failure nothing is confined.
 * Context: single or multi-threaded; allocates; opens nothing.
 */
int f4_seccomp_install(const struct f4_seccomp_policy *policy, unsigned int with);

/*
 * The same in two steps, for a program whose children confine themselves: building the filter takes
 * a thousand times as long as installing it.
 *
 * f4_seccomp_build - the filter of @policy, which may have no F4_SECCOMP_SELF row, without conditional rows.
 * Return: 0 or a negative errno. f4_seccomp_built_done() it.
 * f4_seccomp_install_built - confine the calling thread, the only one, which has no_new_privs.
 * Return: 0 or a negative errno of seccomp(2).
 */
struct f4_seccomp_built {
	void *program; /* owned: struct sock_filter[len] */
	unsigned short len;
};

int f4_seccomp_build(const struct f4_seccomp_policy *policy, struct f4_seccomp_built *ret);
int f4_seccomp_install_built(const struct f4_seccomp_built *built);
void f4_seccomp_built_done(struct f4_seccomp_built *built);

/* f4_seccomp_count - how many different calls the filter of @policy allows (unsanitized build). */
size_t f4_seccomp_count(const struct f4_seccomp_policy *policy);

enum f4_seccomp_format {
	F4_SECCOMP_TABLE, /* name, condition and reason of each row of the filter, as README.md has it */
	F4_SECCOMP_NAMES, /* the names that the filter allows, one a line */
	F4_SECCOMP_UNIT,  /* SystemCallFilter= lines: the filter's calls and those needed to get there */
	F4_SECCOMP_FORMAT_MAX,
};

/*
 * f4_seccomp_print - write @policy to @fd.
 * @fd: borrowed
 * Return: 0, or a negative errno of the write.
 */
int f4_seccomp_print(const struct f4_seccomp_policy *policy, enum f4_seccomp_format format, int fd);

#endif
