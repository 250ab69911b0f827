/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls under a deadline; the contract is in child.h. */
#include "helper/child.h"

#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"

long long f4_now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail with this clock */
	return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int f4_pidfd_open(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}

int f4_pidfd_kill(int pidfd)
{
	return syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 ? -errno : 0;
}

int f4_pidfd_wait(int pidfd, int timeout_ms, const sigset_t *wait_mask)
{
	long long end = f4_now_ms() + timeout_ms;

	for (;;) {
		struct pollfd p = { .fd = pidfd, .events = POLLIN };
		long long left = end - f4_now_ms();
		struct timespec t;
		int n;

		if (left < 0)
			left = 0;
		t = (struct timespec){ .tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000 };
		n = ppoll(&p, 1, &t, wait_mask);
		if (n > 0)
			return 0;
		if (n == 0)
			return F4_CHILD_E_TIMEOUT;
		if (errno != EINTR)
			return -errno;
		if (wait_mask)
			return F4_CHILD_E_INTERRUPTED;
	}
}

/* Reap @pid, which has ended or is about to. Return: its wait status, or -1. */
static int reap(pid_t pid)
{
	int status;
	pid_t r;

	do
		r = waitpid(pid, &status, 0);
	while (r < 0 && errno == EINTR);
	return r == pid ? status : -1;
}

int f4_child_call(int (*call)(void *arg), void *arg, int timeout_ms, const sigset_t *wait_mask)
{
	f4_auto_fd pidfd = -1;
	int rc, status;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(call(arg));
	pidfd = f4_pidfd_open(pid);
	rc = pidfd < 0 ? pidfd : f4_pidfd_wait(pidfd, timeout_ms, wait_mask);
	if (rc != 0)
		(void)kill(pid, SIGKILL); /* our unreaped child: the number is still its own */
	status = reap(pid);
	if (rc != 0)
		return rc;
	if (status < 0 || !WIFEXITED(status))
		return F4_CHILD_E_DIED;
	return -WEXITSTATUS(status);
}
