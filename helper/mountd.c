/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuse4fs-mountd: the attach broker, which mounts for users who may not.
 *
 * It takes a listening socket from a service manager or makes one, seals itself, and serves until it
 * has been idle for a while (under a service manager) or is told to end.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "helper/accept.h"
#include "helper/fail.h"
#include "helper/policy.h"
#include "helper/seal.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "protocol/base/str.h"
#include "protocol/wire.h"
#include "seccomp/filter.h"

#define TOOL "fuse4fs-mountd"

#define IDLE_SECS    30 /* under a service manager, which starts it again */
#define BACKLOG	     128
#define IDLE_MAX     86400u

struct mountd {
	const char *socket_path; /* borrowed; NULL: the usual one */
	struct f4_policy policy;
	int idle_ms; /* F4_ACCEPT_NEVER, or -2: as the surroundings suggest */
	bool verbose;
	bool done; /* all is done with the command line */
};

enum { IDLE_DEFAULT = -2 };

enum { OPT_GROUP = 1, OPT_IDLE, OPT_PRINT, OPT_SOCKET, OPT_USER_MOUNTS };

static void print_help(void)
{
	(void)puts("usage: " TOOL " [-v] [--socket PATH] [--group GROUP] [--idle SECONDS]\n"
		   "       [--user-mounts N]\n"
		   "Attach FUSE mounts for users. Normally started by a service manager, through\n"
		   "fuse4fs-mountd.socket. See " TOOL "(8).");
}

static int read_group(struct mountd *d, const char *name, struct f4_fail *f)
{
	const struct group *g = getgrnam(name);
	uint64_t n;

	if (g)
		d->policy.group = g->gr_gid;
	else if (f4_str_to_u64(name, 10, UINT32_MAX - 1, &n) == 0)
		d->policy.group = (gid_t)n;
	else
		return f4_fail(f, F4_EXIT_USAGE, 0, "--group %s: there is no such group", name);
	d->policy.only_group = true;
	return 0;
}

static int read_number(const char *option, const char *text, uint64_t max, uint64_t *ret,
		       struct f4_fail *f)
{
	if (f4_str_to_u64(text, 10, max, ret) == 0)
		return 0;
	return f4_fail(f, F4_EXIT_USAGE, 0, "%s %s: not a number up to %llu", option, text,
		       (unsigned long long)max);
}

/* The tables of both filters, or what SystemCallFilter= of the unit must have. */
static int print_seccomp(const char *what, struct f4_fail *f)
{
	static const struct {
		const char *name;
		const struct f4_seccomp_policy *policy;
		enum f4_seccomp_format format;
	} t[] = {
		{ "table", &f4_seccomp_mountd, F4_SECCOMP_TABLE },
		{ "names", &f4_seccomp_mountd, F4_SECCOMP_NAMES },
		{ "unit", &f4_seccomp_mountd, F4_SECCOMP_UNIT },
		{ "request-table", &f4_seccomp_request, F4_SECCOMP_TABLE },
		{ "request-names", &f4_seccomp_request, F4_SECCOMP_NAMES },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++)
		if (f4_str_eq(what, t[i].name))
			return f4_seccomp_print(t[i].policy, t[i].format, STDOUT_FILENO) < 0 ?
				       f4_fail(f, F4_EXIT_SYSTEM, errno, "stdout") :
				       0;
	return f4_fail(f, F4_EXIT_USAGE, 0,
		       "--print-seccomp=%s: one of table, names, unit, request-table, request-names",
		       what);
}

static int read_option(struct mountd *d, int c, struct f4_fail *f)
{
	uint64_t n = 0;

	switch (c) {
	case 'h':
		print_help();
		d->done = true;
		return 0;
	case 'V':
		(void)puts(TOOL " " F4_VERSION);
		d->done = true;
		return 0;
	case 'v':
		d->verbose = true;
		return 0;
	case OPT_GROUP:
		return read_group(d, optarg, f);
	case OPT_IDLE:
		if (read_number("--idle", optarg, IDLE_MAX, &n, f) != 0)
			return F4_FAILED;
		d->idle_ms = n ? (int)n * 1000 : F4_ACCEPT_NEVER;
		return 0;
	case OPT_PRINT:
		d->done = true;
		return print_seccomp(optarg, f);
	case OPT_SOCKET:
		d->socket_path = optarg;
		return 0;
	case OPT_USER_MOUNTS:
		if (read_number("--user-mounts", optarg, UINT32_MAX, &n, f) != 0)
			return F4_FAILED;
		d->policy.user_mounts = (uint32_t)n;
		return 0;
	default:
		return f4_fail(f, F4_EXIT_USAGE, 0, "unknown or incomplete option; see " TOOL "(8)");
	}
}

static int read_cmdline(struct mountd *d, int argc, char *argv[], struct f4_fail *f)
{
	static const struct option options[] = {
		{ "group", required_argument, NULL, OPT_GROUP },
		{ "help", no_argument, NULL, 'h' },
		{ "idle", required_argument, NULL, OPT_IDLE },
		{ "print-seccomp", required_argument, NULL, OPT_PRINT },
		{ "socket", required_argument, NULL, OPT_SOCKET },
		{ "user-mounts", required_argument, NULL, OPT_USER_MOUNTS },
		{ "verbose", no_argument, NULL, 'v' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	opterr = 0;
	while (!d->done && (c = getopt_long(argc, argv, "hvV", options, NULL)) != -1)
		if (read_option(d, c, f) != 0)
			return F4_FAILED;
	if (!d->done && optind < argc)
		return f4_fail(f, F4_EXIT_USAGE, 0, "%s: no operand is taken; see " TOOL "(8)",
			       argv[optind]);
	return 0;
}

/* --- the socket ---------------------------------------------------------------------------- */

/* Is somebody listening at @addr? */
static bool is_alive(const struct sockaddr_un *addr)
{
	f4_auto_fd fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 && (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 ||
			   errno == EAGAIN);
}

/* The directory of the socket: root's, searchable by all. */
static int make_dir(const char *path, struct f4_fail *f)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	if (f4_str_copy(dir, sizeof(dir), path) < 0)
		return f4_fail(f, F4_EXIT_USAGE, ENAMETOOLONG, "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return f4_fail(f, F4_EXIT_SYSTEM, errno, "%s: can't be made", dir);
	return 0;
}

static int listen_at(const char *path, int *ret, struct f4_fail *f)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	f4_auto_fd fd = -1;
	struct stat st;

	if (f4_str_copy(addr.sun_path, sizeof(addr.sun_path), path) < 0)
		return f4_fail(f, F4_EXIT_USAGE, ENAMETOOLONG, "%s", path);
	if (make_dir(path, f) != 0)
		return F4_FAILED;
	if (is_alive(&addr))
		return f4_fail(f, F4_EXIT_SYSTEM, EADDRINUSE, "%s", path);
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(path); /* if not, bind(2) says so */
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || f4_fd_above_stdio(&fd) < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, errno, "no socket");
	/* Everybody may connect: who is served is decided by what the kernel says about them. */
	if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 || chmod(path, 0666) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, errno, "%s: can't be listened at", path);
	*ret = f4_take_fd(&fd);
	return 0;
}

/* Return: 0 or F4_FAILED. *@ret_given: it is the service manager's. */
static int get_socket(const struct mountd *d, int *ret, bool *ret_given, struct f4_fail *f)
{
	int n = sd_listen_fds(1);

	if (n < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, -n, "descriptors of the service manager");
	*ret_given = n > 0;
	if (n == 0)
		return listen_at(d->socket_path ? d->socket_path : F4_WIRE_ATTACH_PATH, ret, f);
	if (n > 1 || d->socket_path ||
	    sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1, NULL, 0) <= 0)
		return f4_fail(f, F4_EXIT_USAGE, 0,
			       "the service manager must pass one listening SOCK_SEQPACKET socket, "
			       "and --socket is not for then");
	*ret = SD_LISTEN_FDS_START;
	return 0;
}

/* In the initial user namespace all ids are themselves. */
static bool has_all_ids(void)
{
	f4_auto_fd fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
	f4_auto_free char *text = NULL;
	unsigned int inside, outside, n;

	if (fd < 0 || f4_fd_slurp(fd, 4096, &text, NULL) != 0)
		return false;
	return sscanf(text, "%u %u %u", &inside, &outside, &n) == 3 && inside == 0 &&
	       outside == 0 && n == UINT32_MAX;
}

static int run(struct mountd *d, int argc, char *argv[], struct f4_fail *f)
{
	struct f4_seccomp_built filter f4_cleanup(f4_seccomp_built_done) = { 0 };
	f4_auto_fd fd = -1;
	const char *what;
	bool given = false;
	int r;

	if (read_cmdline(d, argc, argv, f) != 0 || d->done)
		return d->done ? 0 : F4_FAILED;
	if (geteuid() != 0)
		return f4_fail(f, F4_EXIT_USAGE, EPERM, "must be started by root");
	(void)umask(022);
	if (get_socket(d, &fd, &given, f) != 0)
		return F4_FAILED;
	f4_log_init(given ? NULL : TOOL, d->verbose ? F4_LOG_DEBUG : F4_LOG_NOTICE);
	if (d->idle_ms == IDLE_DEFAULT)
		d->idle_ms = given ? IDLE_SECS * 1000 : F4_ACCEPT_NEVER;
	d->policy.all_ids = has_all_ids();
	if (chdir("/") < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, errno, "/");
	r = f4_seccomp_build(&f4_seccomp_request, &filter);
	if (r < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, -r, "the filter of system calls");
	(void)sd_notify(1, "READY=1"); /* now: the notify socket is out of reach behind the seal */
	r = f4_seal_broker(fd, &what);
	if (r < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, -r, "the seal: %s", what);
	r = f4_accept_run(fd, &d->policy, &filter, d->idle_ms);
	return r < 0 ? f4_fail(f, F4_EXIT_SYSTEM, -r, "the listening socket") : 0;
}

int main(int argc, char *argv[])
{
	struct mountd d = {
		.policy = { .user_mounts = F4_POLICY_USER_MOUNTS },
		.idle_ms = IDLE_DEFAULT,
	};
	struct f4_fail f = { 0 };

	f4_log_init(TOOL, F4_LOG_NOTICE);
	if (f4_fd_ensure_stdio() < 0)
		return F4_EXIT_SYSTEM;
	if (run(&d, argc, argv, &f) != 0)
		f4_err("%s", f.text);
#ifdef F4_SANITIZED
	/* At the exit a leak checker would start a thread: not behind the seal. */
	_exit((int)f.status);
#endif
	return (int)f.status;
}
