/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Landlock: a ruleset that handles everything the kernel's version knows and allows nothing.
 *
 * It holds even where the root could not be emptied, and against what a later kernel bug would let
 * through the other walls. Descriptors that were opened elsewhere keep the rights they came with.
 * A kernel without it is noted, not refused: there is no way to have it.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/kernel.h"
#include "server/service/seal_stages.h"

static size_t everything(int version, struct f4_landlock_attr *ret)
{
	*ret = (struct f4_landlock_attr){ .handled_fs = F4_LANDLOCK_FS_V1 };
	if (version >= 2)
		ret->handled_fs = F4_LANDLOCK_FS_V2;
	if (version >= 3)
		ret->handled_fs = F4_LANDLOCK_FS_V3;
	if (version >= 5)
		ret->handled_fs = F4_LANDLOCK_FS_V5;
	if (version < 4)
		return offsetof(struct f4_landlock_attr, handled_net);
	ret->handled_net = F4_LANDLOCK_NET;
	if (version < 6)
		return offsetof(struct f4_landlock_attr, scoped);
	ret->scoped = F4_LANDLOCK_SCOPE;
	return sizeof(*ret);
}

int f4_seal_landlock(struct f4_seal *s)
{
	f4_auto_fd rules = -1;
	struct f4_landlock_attr attr;
	long version;
	size_t size;

	version = syscall(SYS_landlock_create_ruleset, NULL, 0, F4_LANDLOCK_VERSION_FLAG);
	if (version < 0 && (errno == ENOSYS || errno == EOPNOTSUPP)) {
		f4_seal_note(s, "Landlock (not in this kernel)");
		return 0;
	}
	if (version < 0)
		return f4_seal_fail(s, -errno, "Landlock");
	size = everything((int)version, &attr);
	rules = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (rules < 0)
		return f4_seal_fail(s, -errno, "Landlock (version %ld)", version);
	if (syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		return f4_seal_fail(s, -errno, "Landlock (version %ld)", version);
	return 0;
}
