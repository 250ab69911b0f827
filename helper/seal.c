/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The broker's seal; the contract is in seal.h. */
#include "helper/seal.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "seccomp/filter.h"

#define BIT(cap) (UINT64_C(1) << (cap))

/* Mount and unmount; become the peer. Nothing that overrides permissions. */
#define KEEP (BIT(CAP_SYS_ADMIN) | BIT(CAP_SETUID) | BIT(CAP_SETGID))

static int get_caps(struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capget, &head, data) < 0 ? -errno : 0;
}

/* Where this process may shrink the bounding set it does; under a service manager that did. */
static int drop_bounding(bool may)
{
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (cap < 64 && (KEEP & BIT(cap)))
			continue;
		if (may && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	}
	return 0;
}

static int seal_caps(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	uint32_t low = (uint32_t)KEEP, high = (uint32_t)(KEEP >> 32);
	int r = get_caps(data);

	if (r < 0)
		return r;
	if ((data[0].permitted & low) != low)
		return -EPERM;
	r = drop_bounding(data[0].effective & BIT(CAP_SETPCAP));
	if (r < 0)
		return r;
	data[0] = (struct __user_cap_data_struct){ .effective = low, .permitted = low };
	data[1] = (struct __user_cap_data_struct){ .effective = high, .permitted = high };
	if (syscall(SYS_capset, &head, data) < 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	r = get_caps(data);
	if (r < 0)
		return r;
	return data[0].effective == low && data[0].permitted == low && !data[0].inheritable &&
			       data[1].effective == high && data[1].permitted == high &&
			       !data[1].inheritable ?
		       0 :
		       -EPERM;
}

static int seal_limits(void)
{
	static const struct {
		__rlimit_resource_t which;
		rlim_t max;
	} t[] = {
		{ RLIMIT_CORE, 0 },	    /* it might hold what a peer sent */
		{ RLIMIT_NOFILE, 256 },	    /* refused connections, pipes, what a request brings */
		{ RLIMIT_AS, 512u << 20 },  /* a mount table of 64 MiB, twice, and some */
		{ RLIMIT_MEMLOCK, 0 },
		{ RLIMIT_MSGQUEUE, 0 },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct rlimit lim;

#ifdef F4_SANITIZED
		if (t[i].which == RLIMIT_AS)
			continue; /* shadow memory is terabytes of addresses */
#endif
		if (getrlimit(t[i].which, &lim) < 0)
			return -errno;
		if (lim.rlim_max > t[i].max)
			lim.rlim_max = t[i].max;
		lim.rlim_cur = lim.rlim_max;
		if (setrlimit(t[i].which, &lim) < 0)
			return -errno;
	}
	return 0;
}

static int close_all_but(int fd)
{
	if (fd > 3 && close_range(3, (unsigned int)fd - 1, 0) < 0)
		return -errno;
	return close_range((unsigned int)fd + 1, ~0u, 0) < 0 ? -errno : 0;
}

int f4_seal_broker(int listen_fd, const char **ret_what)
{
	int r = close_all_but(listen_fd);

	*ret_what = "closing foreign descriptors";
	if (r == 0) {
		*ret_what = "setting resource limits";
		r = seal_limits();
	}
	if (r == 0) {
		*ret_what = "keeping CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID, and no other";
		r = seal_caps();
	}
	if (r == 0) {
		*ret_what = "installing the system call filter";
		r = f4_seccomp_install(&f4_seccomp_mountd, 0);
	}
	return r;
}
