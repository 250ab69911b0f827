/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A server of our own; the contract is in spawn.h. */
#include "helper/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/child.h"
#include "helper/mounts.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/base/str.h"

#define SERVER_NAME   "fuse4fs-server"
#define SERVICE_FD    3 /* where a service manager puts the first descriptor */
#define CHILDREN_MAX  (1u << 20)
#define GRACE_MS      3000
#define KILL_LIMIT_MS 5000

/* The path of the server. */
static int find_server(char *path, size_t size, struct f4_fail *f)
{
	f4_auto_free char *self = malloc(PATH_MAX);
	char *slash;
	ssize_t n;

	if (!self)
		return f4_fail_oom(f);
	n = readlink("/proc/self/exe", self, PATH_MAX - 1);
	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash) {
			*slash = '\0';
			if (f4_str_format(path, size, "%s/%s", self, SERVER_NAME) == 0 &&
			    access(path, X_OK) == 0)
				return 0;
		}
	}
	if (f4_str_format(path, size, "%s/%s", F4_LIBEXECDIR, SERVER_NAME) == 0 &&
	    access(path, X_OK) == 0)
		return 0;
	return f4_fail(f, F4_EXIT_SYSTEM, errno, "the server %s can't be run", path);
}

/* In the child: never returns. @status_fd gets the errno when there is no server to be. */
static void become_server(const char *path, int socket_fd, int status_fd)
{
	char pid_text[32];
	char *const argv[] = { (char *)SERVER_NAME, NULL };
	char room[512] = "F4_TITLE_ROOM=";
	char *const envp[] = { (char *)"LISTEN_FDS=1", pid_text, room, NULL };
	sigset_t none;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), error;

	/* The server shows its title where its arguments and environment were: let that be enough. */
	memset(room + strlen(room), '-', sizeof(room) - 1 - strlen(room));
	(void)snprintf(pid_text, sizeof(pid_text), "LISTEN_PID=%d", getpid()); /* it fits */
	(void)setsid(); /* a new process leads no group, so this can't fail */
	(void)umask(077);
	(void)signal(SIGPIPE, SIG_DFL); /* ignored signals would stay ignored in the server */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0 &&
	    dup2(socket_fd, SERVICE_FD) >= 0 && chdir("/") == 0 &&
	    close_range(SERVICE_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
		(void)execve(path, argv, envp);
	error = errno;
	(void)f4_fd_write_all(status_fd, &error, sizeof(error)); /* the parent sees EOF as "started" */
	_exit(127);
}

/*
 * Fork and become. @socket_fd must not be SERVICE_FD itself, which dup2(2) would leave
 * close-on-exec; the callers' F_DUPFD_CLOEXEC sees to that.
 */
static int run(const char *path, int socket_fd, struct f4_fail *f)
{
	f4_auto_fd status_out = -1;
	f4_auto_fd status_in = -1;
	int ends[2], error = 0;
	size_t got = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, errno, "no pipe");
	status_in = ends[0];
	status_out = fcntl(ends[1], F_DUPFD_CLOEXEC, SERVICE_FD + 1);
	(void)close(ends[1]);
	if (status_out < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, errno, "no descriptor");
	pid = fork();
	if (pid < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, errno, "the server can't be started");
	if (pid == 0)
		become_server(path, socket_fd, status_out);
	f4_close_p(&status_out);
	(void)f4_fd_read_all(status_in, &error, sizeof(error), &got);
	if (got == sizeof(error))
		return f4_fail(f, F4_EXIT_SYSTEM, error, "%s: can't be started", path);
	return 0;
}

/* The children that there are now: "12 34 56 ", as the kernel lists them. */
static int list_children(char **ret)
{
	f4_auto_fd fd = -1;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : f4_fd_slurp(fd, CHILDREN_MAX, ret, NULL);
}

int f4_spawn_start(struct f4_spawn *s, struct f4_chan *ch, struct f4_fail *f)
{
	f4_auto_free char *path = malloc(PATH_MAX);
	f4_auto_fd theirs = -1;
	int ends[2], rc;

	*ch = (struct f4_chan)F4_CHAN_INIT;
	*s = (struct f4_spawn)F4_SPAWN_INIT;
	if (!path)
		return f4_fail_oom(f);
	if (find_server(path, PATH_MAX, f) != 0)
		return F4_FAILED;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, errno, "the server can't be supervised");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, errno, "no socket for the server");
	theirs = fcntl(ends[1], F_DUPFD_CLOEXEC, SERVICE_FD + 1);
	(void)close(ends[1]);
	rc = f4_chan_init(ch, ends[0]);
	if (rc != 0 || theirs < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, 0, "no channel to the server: %s",
			       f4_chan_strerror(rc ? rc : -EMFILE));
	(void)list_children(&s->others); /* a kernel without that list: then nobody is swept either */
	return run(path, theirs, f);
}

/* Is @pid among @list? */
static bool listed(const char *list, uint64_t pid)
{
	while (list && *list) {
		size_t len = strcspn(list, " ");
		char digits[24];
		uint64_t n;

		(void)snprintf(digits, sizeof(digits), "%.*s", (int)len, list);
		if (f4_str_to_u64(digits, 10, INT_MAX, &n) == 0 && n == pid)
			return true;
		list += len + (list[len] == ' ');
	}
	return false;
}

/*
 * Reap, and with @hard kill, the children that are not @others. Return: how many are left.
 * An unreaped child's number can't belong to anybody else, so signals by number are safe here.
 */
static unsigned int sweep(const char *others, bool hard)
{
	f4_auto_free char *list = NULL;
	unsigned int left = 0;

	if (list_children(&list) < 0)
		return 0;
	for (char *p = list; p && *p;) {
		char *blank = strchr(p, ' ');
		uint64_t pid;

		if (blank)
			*blank++ = '\0';
		if (f4_str_to_u64(p, 10, INT_MAX, &pid) == 0 && pid > 0 && !listed(others, pid)) {
			if (hard)
				(void)kill((pid_t)pid, SIGKILL);
			left += waitpid((pid_t)pid, NULL, WNOHANG) == 0;
		}
		p = blank;
	}
	return left;
}

void f4_spawn_end(const struct f4_spawn *s)
{
	long long start = f4_now_ms(), now = start;
	unsigned int empty = 0;

	/* Reaping one may bring us its children: it is over when two looks found nobody. */
	while (empty < 2 && now < start + GRACE_MS + KILL_LIMIT_MS) {
		empty = sweep(s->others, now >= start + GRACE_MS) ? 0 : empty + 1;
		if (!empty)
			(void)usleep(2000);
		now = f4_now_ms();
	}
}

void f4_spawn_done(struct f4_spawn *s)
{
	free(s->others);
	s->others = NULL;
}
