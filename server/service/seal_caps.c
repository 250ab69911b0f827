/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No capability in any set, no way back to one, no debugger.
 *
 * Securebits make sure that user id 0 of the namespace would mean nothing; they can be set only by
 * a process that has CAP_SETPCAP, which one without a user namespace of its own and without root has
 * not: there the bounding set and the securebits stay as the service manager set them, and
 * no_new_privs alone makes them moot (nothing is executed any more anyway).
 */
#include <cap-ng.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/service/seal_stages.h"

#define LOCKED_BITS                                                                          \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |                     \
	 SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | \
	 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

/* What the kernel says, not what the library remembers. */
static int check(struct f4_seal *s, bool had_setpcap)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, data) < 0)
		return f4_seal_fail(s, -errno, "reading the own capabilities");
	for (unsigned int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		if (data[i].effective || data[i].permitted || data[i].inheritable)
			return f4_seal_fail(s, -EPERM, "a capability is left");
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1)
			return f4_seal_fail(s, -EPERM, "an ambient capability is left");
		if (had_setpcap && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
			return f4_seal_fail(s, -EPERM, "a capability is left in the bounding set");
	}
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return f4_seal_fail(s, -EPERM, "new privileges are still possible");
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return f4_seal_fail(s, -EPERM, "the process is still dumpable");
	return 0;
}

/* A service manager that gave none may have forbidden capset(2) as well; check() proves it. */
static int give_up(struct f4_seal *s, bool can)
{
	int r;

	if (can && prctl(PR_SET_SECUREBITS, LOCKED_BITS, 0, 0, 0) < 0)
		return f4_seal_fail(s, -errno, "locking the securebits");
	if (!can && capng_have_capabilities(CAPNG_SELECT_CAPS) == CAPNG_NONE)
		return 0;
	capng_clear(CAPNG_SELECT_ALL);
	r = capng_apply(can ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS);
	return r < 0 ? f4_seal_fail(s, -EPERM, "giving up capabilities (code %d)", r) : 0;
}

int f4_seal_caps(struct f4_seal *s)
{
	bool can;
	int r;

	if (capng_get_caps_process() < 0)
		return f4_seal_fail(s, -EPERM, "reading the own capabilities");
	can = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) == 1;
	r = give_up(s, can);
	if (r < 0)
		return r;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return f4_seal_fail(s, -errno, "giving up ambient capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return f4_seal_fail(s, -errno, "no new privileges");
	/* Neither a core file nor /proc/PID/mem nor a debugger of the same user. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return f4_seal_fail(s, -errno, "making the process undumpable");
	return check(s, can);
}
