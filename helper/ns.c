/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Another mount namespace; the contract is in ns.h. */
#include "helper/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/str.h"

int f4_ns_init(struct f4_ns *ns, const char *name, struct f4_fail *f)
{
	const char *path = name;
	char by_pid[64];
	uint64_t pid;

	*ns = (struct f4_ns)F4_NS_INIT;
	ns->name = name;
	if (!name)
		return 0;
	if (f4_str_to_u64(name, 10, INT_MAX, &pid) == 0) {
		(void)snprintf(by_pid, sizeof(by_pid), "/proc/%d/ns/mnt", (int)pid); /* it fits */
		path = by_pid;
	}
	ns->target_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (ns->target_fd < 0)
		return f4_fail(f, F4_EXIT_FAILED, errno, "namespace %s: can't be opened", name);
	ns->origin_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	ns->origin_cwd = open(".", O_PATH | O_CLOEXEC);
	if (ns->origin_fd < 0 || ns->origin_cwd < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, errno, "this namespace can't be kept");
	return 0;
}

void f4_ns_done(struct f4_ns *ns)
{
	f4_close_p(&ns->target_fd);
	f4_close_p(&ns->origin_fd);
	f4_close_p(&ns->origin_cwd);
}

int f4_ns_enter(const struct f4_ns *ns, struct f4_fail *f)
{
	if (!ns->name)
		return 0;
	if (setns(ns->target_fd, CLONE_NEWNS) < 0)
		return f4_fail(f, F4_EXIT_FAILED, errno, "namespace %s: can't be entered", ns->name);
	return 0;
}

int f4_ns_leave(const struct f4_ns *ns, struct f4_fail *f)
{
	if (!ns->name)
		return 0;
	if (setns(ns->origin_fd, CLONE_NEWNS) < 0 || fchdir(ns->origin_cwd) < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, errno, "the way back from namespace %s",
			       ns->name);
	return 0;
}
