/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Resource limits: what a process without rights can still exhaust, and limits of the caller's that
 * must not reach a server that outlives him.
 *
 * A limit of the caller on file size or processor time is for the programs he starts, not for the
 * filesystem that they all write through: raised as far as it goes. Early ones hold while descriptors
 * still come in and threads are made; late ones are final.
 */
#include <errno.h>
#include <stdbool.h>
#include <sys/resource.h>

#include "protocol/base/cleanup.h"
#include "server/service/seal_stages.h"

#define SEALED_NOFILE 64 /* poll(2) refuses more entries than this; nothing is opened any more */

struct limit {
	int which;
	bool raise; /* soft up to hard; else both to .value */
	rlim_t value;
	const char *name;
};

static int apply(struct f4_seal *s, const struct limit *limits, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct rlimit lim;

		if (getrlimit(limits[i].which, &lim) < 0)
			return f4_seal_fail(s, -errno, "limit %s", limits[i].name);
		if (limits[i].raise) {
			lim.rlim_cur = lim.rlim_max;
		} else {
			lim.rlim_cur = limits[i].value < lim.rlim_max ? limits[i].value : lim.rlim_max;
			lim.rlim_max = lim.rlim_cur;
		}
		if (setrlimit(limits[i].which, &lim) < 0)
			return f4_seal_fail(s, -errno, "limit %s", limits[i].name);
	}
	return 0;
}

int f4_seal_limits_early(struct f4_seal *s)
{
	static const struct limit limits[] = {
		{ RLIMIT_CORE, false, 0, "core" }, /* it would hold the users' data */
		{ RLIMIT_MSGQUEUE, false, 0, "msgqueue" },
		{ RLIMIT_FSIZE, true, 0, "fsize" },
		{ RLIMIT_CPU, true, 0, "cpu" },
	};

	return apply(s, limits, F4_ARRAY_LEN(limits));
}

int f4_seal_limits_late(struct f4_seal *s)
{
	static const struct limit limits[] = {
		{ RLIMIT_NOFILE, false, SEALED_NOFILE, "nofile" },
		{ RLIMIT_NPROC, false, 0, "nproc" }, /* all threads exist */
	};

	return apply(s, limits, F4_ARRAY_LEN(limits));
}
