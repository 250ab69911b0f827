/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Acting as the peer; the contract is in become.h. */
#include "helper/become.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"

#define SYS_ADMIN_BIT (1u << CAP_SYS_ADMIN) /* in the first of two words */

static bool set_caps(uint32_t low)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
		{ .effective = low, .permitted = low },
	};

	return syscall(SYS_capset, &head, data) == 0;
}

static bool has_caps(uint32_t low)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	return syscall(SYS_capget, &head, data) == 0 && data[0].effective == low &&
	       data[0].permitted == low && !data[0].inheritable && !data[1].effective &&
	       !data[1].permitted && !data[1].inheritable;
}

/* What the kernel says, not what was asked for. */
static bool is_peer(const struct f4_peer *peer)
{
	f4_auto_free gid_t *groups = calloc(peer->ngroups + 1, sizeof(*groups));
	uid_t uid[3];
	gid_t gid[3];

	if (!groups || getresuid(&uid[0], &uid[1], &uid[2]) < 0 ||
	    getresgid(&gid[0], &gid[1], &gid[2]) < 0)
		return false;
	for (int i = 0; i < 3; i++)
		if (uid[i] != peer->uid || gid[i] != peer->gid)
			return false;
	/* Both lists are in the kernel's order. */
	return getgroups((int)peer->ngroups + 1, groups) == (int)peer->ngroups &&
	       (peer->ngroups == 0 ||
		memcmp(groups, peer->groups, peer->ngroups * sizeof(*groups)) == 0);
}

/*
 * The order matters. The effective id is switched first, which makes the process as dumpable as
 * fs.suid_dumpable says; that is put right, and only then the real and saved ids follow, by which
 * it goes who may trace a process: they leave dumpability alone.
 */
static bool become(const struct f4_peer *peer, enum f4_become_caps caps)
{
	uint32_t keep = caps == F4_BECOME_MAY_UNMOUNT ? SYS_ADMIN_BIT : 0;

	if (prctl(PR_SET_KEEPCAPS, keep ? 1 : 0, 0, 0, 0) < 0 ||
	    setgroups(peer->ngroups, peer->groups) < 0 ||
	    setresgid(peer->gid, peer->gid, peer->gid) < 0 ||
	    setresuid((uid_t)-1, peer->uid, (uid_t)-1) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    setresuid(peer->uid, (uid_t)-1, peer->uid) < 0)
		return false;
	return set_caps(keep) && has_caps(keep) && is_peer(peer) &&
	       prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
}

int f4_become_run(const struct f4_peer *peer, enum f4_become_caps caps,
		  void (*call)(void *arg, void *result), void *arg, void *result, size_t size)
{
	f4_auto_fd out = -1;
	f4_auto_fd in = -1;
	int ends[2], r;
	size_t got = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	in = ends[0];
	out = ends[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		if (!become(peer, caps))
			_exit(1);
		call(arg, result);
		_exit(f4_fd_write_all(out, result, size) == 0 ? 0 : 1);
	}
	f4_close_p(&out);
	r = f4_fd_read_all(in, result, size, &got);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (r < 0)
		return r;
	return got == size ? 0 : -EPROTO;
}
