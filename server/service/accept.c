/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket that the program was started with; the contract is in accept.h. */
#include "server/service/accept.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/base/str.h"

static int option(int which, int *ret)
{
	socklen_t len = sizeof(*ret);

	return getsockopt(F4_ACCEPT_FD, SOL_SOCKET, which, ret, &len) < 0 ? -errno : 0;
}

/* Source: sd_listen_fds(3). */
static bool is_named_by_environment(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t n;

	if (!pid || f4_str_to_u64(pid, 10, UINT32_MAX, &n) < 0 || n != (uint64_t)getpid())
		return false;
	return fds && f4_str_to_u64(fds, 10, UINT32_MAX, &n) == 0 && n == 1;
}

static int check_kind(const char **ret_why)
{
	int domain, type, listening, r;

	r = option(SO_DOMAIN, &domain);
	if (r == 0)
		r = option(SO_TYPE, &type);
	if (r == 0)
		r = option(SO_ACCEPTCONN, &listening);
	if (r < 0) {
		*ret_why = "descriptor 3 is not a socket";
		return r;
	}
	if (domain != AF_UNIX || type != SOCK_SEQPACKET) {
		*ret_why = "descriptor 3 is not a SOCK_SEQPACKET unix socket";
		return -EINVAL;
	}
	if (listening) {
		*ret_why = "descriptor 3 is a listening socket (the unit needs Accept=yes)";
		return -EINVAL;
	}
	return 0;
}

int f4_accept_check(struct f4_accept *ret, const char **ret_why)
{
	struct sockaddr_un name;
	socklen_t name_len = sizeof(name), cred_len = sizeof(struct ucred);
	struct ucred cred;
	bool named = is_named_by_environment();
	int r;

	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	if (!named) {
		*ret_why = "it is started by mount.fuse4fs or by a service manager, with a socket "
			   "(LISTEN_FDS=1, LISTEN_PID)";
		return -EINVAL;
	}
	r = check_kind(ret_why);
	if (r < 0)
		return r;
	*ret_why = "descriptor 3 is not connected";
	if (getsockname(F4_ACCEPT_FD, &name, &name_len) < 0 ||
	    getsockopt(F4_ACCEPT_FD, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) < 0)
		return -errno;
	if (cred.pid == 0 && cred.uid == (uid_t)-1)
		return -EINVAL; /* what the kernel says of a socket that was never connected */
	ret->spawned = name_len == sizeof(sa_family_t);
	ret->peer_uid = cred.uid;
	ret->peer_gid = cred.gid;
	return 0;
}
