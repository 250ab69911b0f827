/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a program that may make no namespaces, as a unit with RestrictNamespaces=yes is run: unshare(2),
 * setns(2) and clone(2) with such flags fail with EPERM.
 *
 *   no-unshare PROGRAM [ARGS...]
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static const unsigned int kinds[] = { CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWNET,
					      CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWPID,
					      CLONE_NEWCGROUP };
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = ctx && argc > 1 ? 0 : -EINVAL;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && r == 0; i++) {
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, kinds[i], kinds[i]));
		if (r == 0)
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
					     SCMP_A0(SCMP_CMP_MASKED_EQ, kinds[i], kinds[i]));
	}
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (r == 0)
		r = seccomp_load(ctx);
	if (r < 0) {
		fprintf(stderr, "no-unshare: %s\n", strerror(-r));
		return 2;
	}
	execv(argv[1], argv + 1);
	perror(argv[1]);
	return 2;
}
