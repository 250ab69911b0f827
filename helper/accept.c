/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The broker's main process; the contract is in accept.h. */
#include "helper/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/child.h"
#include "helper/quota.h"
#include "helper/request.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/log.h"
#include "protocol/chan.h"

#define CHILDREN_MAX 512u
#define STUCK_MS     (3 * F4_ACCEPT_DEADLINE_MS) /* older: killed, but the kernel holds it */
#define REFUSED_MAX  32u /* refused connections that one child takes */
#define REFUSED_MS   20	 /* they wait so long for company */
#define REFUSERS_MAX 8u
#define ACCEPTS_MAX  16	 /* before children are looked after again */

enum kind { SUPERVISOR, REFUSER };

struct child {
	pid_t pid;
	enum kind kind;
	uid_t uid; /* of a supervisor's peer */
	long long born_ms;
};

struct broker {
	int listen_fd;
	const struct f4_policy *policy;
	const struct f4_seccomp_built *filter;
	struct f4_quota quota;
	struct child child[CHILDREN_MAX];
	size_t n_children;
	struct refused {
		int fd; /* owned */
		int why; /* F4_QUOTA_E_*, or 0: the broker has too much to do */
	} refused[REFUSED_MAX];
	size_t n_refused;
	long long refused_ms; /* since when the first one waits */
};

static volatile sig_atomic_t told_to_end;

static void on_end(int sig)
{
	told_to_end = sig;
}

static void on_child(int sig)
{
	(void)sig; /* only to end ppoll(2) */
}

/* --- in the children ----------------------------------------------------------------------- */

/* As the first thing: end with the parent. */
static void end_with(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
		_exit(1);
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Close all from 3 up but the @n in @keep, which are sorted. */
static void close_others(int *keep, size_t n)
{
	unsigned int from = 3;

	qsort(keep, n, sizeof(*keep), by_number);
	for (size_t i = 0; i < n; i++) {
		if ((unsigned int)keep[i] > from)
			(void)close_range(from, (unsigned int)keep[i] - 1, 0); /* of our own: can't fail */
		from = (unsigned int)keep[i] + 1;
	}
	(void)close_range(from, ~0u, 0);
}

/* Reap @pid. Return: true when it has done its work. */
static bool ended_well(pid_t pid)
{
	int status;
	pid_t r;

	do
		r = waitpid(pid, &status, 0);
	while (r < 0 && errno == EINTR);
	return r == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void refuse(int fd, enum f4_rule rule, int error, const char *text)
{
	struct f4_verdict v = { 0 };

	(void)f4_refuse(&v, rule, error, "%s", text);
	f4_request_refuse(fd, &v);
}

/* A request that is about to do its work gets as long again: that part waits for no peer. */
static bool is_late(int pidfd, struct f4_request_gate *gate)
{
	int open = F4_GATE_OPEN;

	if (f4_pidfd_wait(pidfd, F4_ACCEPT_DEADLINE_MS, NULL) == 0)
		return false;
	if (atomic_compare_exchange_strong(&gate->state, &open, F4_GATE_SHUT))
		return true;
	return f4_pidfd_wait(pidfd, F4_ACCEPT_DEADLINE_MS, NULL) != 0;
}

/*
 * Fork into a pid namespace: what the child leaves behind ends with it. Return: as fork(2).
 */
static pid_t fork_apart(void)
{
	int alive[2]; /* kept open by this process for as long as it is there */
	pid_t pid;
	char byte;

	if (pipe2(alive, O_CLOEXEC | O_NONBLOCK) < 0 || unshare(CLONE_NEWPID) < 0)
		return -1;
	pid = fork();
	if (pid != 0)
		return pid;
	(void)close(alive[1]);
	/* getppid(2) is 0 across namespaces, so it can't tell whether the parent is gone already. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || read(alive[0], &byte, 1) >= 0)
		_exit(1);
	(void)close(alive[0]);
	return 0;
}

/*
 * Run the request in a child of its own and see that it ends. One that can't be killed, since it
 * waits in the kernel for a filesystem of the peer's, is waited for: it goes on counting as the
 * peer's.
 */
static void supervise(int fd, const struct broker *b)
{
	struct f4_request_gate *gate;
	bool late = false;
	int pidfd;
	pid_t pid;

	gate = mmap(NULL, sizeof(*gate), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = gate == MAP_FAILED ? -1 : fork_apart();
	if (pid == 0)
		_exit(f4_request_serve(fd, b->policy, b->filter, gate) == 0 ? 0 : 1);
	if (pid < 0) {
		refuse(fd, F4_RULE_KERNEL, ENOMEM, "the broker has no room for a process");
		return;
	}
	pidfd = f4_pidfd_open(pid);
	if (pidfd < 0 || is_late(pidfd, gate)) {
		late = true;
		(void)kill(pid, SIGKILL);
		refuse(fd, F4_RULE_DEADLINE, ETIMEDOUT, "the request took too long");
		f4_notice("a request took too long and was ended");
	}
	if (!ended_well(pid) && !late)
		refuse(fd, F4_RULE_KERNEL, EIO, "the broker's process for this request has died");
}

static void refuse_all(const struct refused *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		refuse(r[i].fd, F4_RULE_RATE, EAGAIN, f4_quota_strerror(r[i].why));
}

/* --- in the main process ------------------------------------------------------------------- */

/*
 * Fork, and hand the @n connections in @conns to the child: it begins once they are its alone.
 * Return: 0 in the child; the child's pid in the parent, where the connections are closed; -errno,
 * and they are still the parent's.
 */
static pid_t hand_over(const struct refused *conns, size_t n)
{
	f4_auto_fd closed_in = -1;
	f4_auto_fd closed_out = -1;
	f4_auto_fd go_in = -1;
	f4_auto_fd go_out = -1;
	int keep[REFUSED_MAX + 2], ends[2];
	pid_t self = getpid(), pid;
	char byte;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	closed_in = ends[0];
	closed_out = ends[1];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	go_in = ends[0];
	go_out = ends[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		end_with(self);
		for (size_t i = 0; i < n; i++)
			keep[i] = conns[i].fd;
		keep[n] = go_in;
		/*
		 * Others' connections go first, while the parent still has them, and with them
		 * closed_out, which tells it.
		 */
		close_others(keep, n + 1);
		closed_in = closed_out = go_out = -1;
		while (read(go_in, &byte, 1) < 0 && errno == EINTR)
			;
		return 0;
	}
	f4_close_p(&closed_out);
	while (read(closed_in, &byte, 1) < 0 && errno == EINTR)
		;
	for (size_t i = 0; i < n; i++)
		(void)close(conns[i].fd); /* the child has it as well, so nothing happens yet */
	return pid;
}

static void adopt(struct broker *b, pid_t pid, enum kind kind, uid_t uid)
{
	b->child[b->n_children++] = (struct child){
		.pid = pid,
		.kind = kind,
		.uid = uid,
		.born_ms = f4_now_ms(),
	};
}

static void reap(struct broker *b)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		for (size_t i = 0; i < b->n_children; i++) {
			if (b->child[i].pid != pid)
				continue;
			if (b->child[i].kind == SUPERVISOR)
				f4_quota_give(&b->quota, b->child[i].uid);
			b->child[i] = b->child[--b->n_children];
			break;
		}
	}
}

static size_t count(const struct broker *b, enum kind kind, long long born_after_ms)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_children; i++)
		n += b->child[i].kind == kind && b->child[i].born_ms > born_after_ms;
	return n;
}

/* Return: false when there is no process to be had: later, then. */
static bool dismiss_refused(struct broker *b)
{
	pid_t pid = hand_over(b->refused, b->n_refused);

	if (pid == 0) {
		refuse_all(b->refused, b->n_refused);
		_exit(0);
	}
	if (pid < 0)
		return false;
	adopt(b, pid, REFUSER, 0);
	b->n_refused = 0;
	return true;
}

static void put_refused(struct broker *b, int fd, int why)
{
	if (b->n_refused == 0)
		b->refused_ms = f4_now_ms();
	b->refused[b->n_refused++] = (struct refused){ .fd = fd, .why = why };
}

/* @fd: consumed */
static void take_in(struct broker *b, int fd)
{
	struct refused conn = { .fd = fd };
	struct f4_peer peer;
	long long now = f4_now_ms();
	int why;
	pid_t pid;

	if (f4_peer_get(fd, &peer) < 0) {
		put_refused(b, fd, 0);
		return;
	}
	why = f4_quota_take(&b->quota, peer.uid, now);
	if (why != 0) {
		put_refused(b, fd, why);
	} else if (count(b, SUPERVISOR, now - STUCK_MS) >= F4_ACCEPT_LIVE_MAX) {
		f4_quota_give(&b->quota, peer.uid);
		put_refused(b, fd, 0);
	} else {
		pid = hand_over(&conn, 1);
		if (pid == 0) {
			supervise(fd, b);
			_exit(0);
		}
		if (pid > 0) {
			adopt(b, pid, SUPERVISOR, peer.uid);
		} else {
			f4_quota_give(&b->quota, peer.uid);
			put_refused(b, fd, 0);
		}
	}
	f4_peer_done(&peer);
}

static bool has_room(const struct broker *b)
{
	return b->n_refused < REFUSED_MAX && b->n_children + 1 < CHILDREN_MAX;
}

/* Return: 0 or -errno of a socket that is of no use any more. */
static int accept_some(struct broker *b)
{
	for (int i = 0; i < ACCEPTS_MAX && has_room(b); i++) {
		int fd = accept4(b->listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			take_in(b, fd);
			continue;
		}
		switch (errno) {
		case EAGAIN:
		case EINTR:
			return 0;
		case ECONNABORTED:
		case EPERM: /* a security module refuses this one */
			continue;
		case EMFILE:
		case ENFILE:
		case ENOBUFS:
		case ENOMEM:
			f4_err("no room to accept a connection: %s", strerrordesc_np(errno));
			return 0;
		default:
			return -errno;
		}
	}
	return 0;
}

enum { TIME_OVER = 0, CONNECTION = 1, SIGNALLED = 2 };

/* Wait for a connection, the end of a child, or the time for what is put off. */
static int wait_for_work(struct broker *b, int idle_ms, const sigset_t *mask)
{
	struct pollfd p = { .fd = has_room(b) ? b->listen_fd : -1, .events = POLLIN };
	int ms = b->n_refused > 0 ? REFUSED_MS : b->n_children > 0 ? -1 : idle_ms;
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	int n = ppoll(&p, 1, ms < 0 ? NULL : &t, mask);

	if (n < 0)
		return errno == EINTR ? SIGNALLED : -errno;
	return n > 0 ? CONNECTION : TIME_OVER;
}

static void set_signals(sigset_t *ret_wait_mask)
{
	struct sigaction end = { .sa_handler = on_end }, child = { .sa_handler = on_child };
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t block;

	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGINT);
	/* None of these can fail: the signals exist. */
	(void)sigprocmask(SIG_SETMASK, &block, NULL);
	(void)sigaction(SIGTERM, &end, NULL);
	(void)sigaction(SIGINT, &end, NULL);
	(void)sigaction(SIGCHLD, &child, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
	sigemptyset(ret_wait_mask);
}

int f4_accept_run(int listen_fd, const struct f4_policy *policy,
		  const struct f4_seccomp_built *filter, int idle_ms)
{
	static struct broker b; /* too large for a stack */
	sigset_t mask;
	int flags = fcntl(listen_fd, F_GETFL), r;

	b.listen_fd = listen_fd;
	b.policy = policy;
	b.filter = filter;
	if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	set_signals(&mask);
	while (!told_to_end) {
		r = wait_for_work(&b, idle_ms, &mask);
		reap(&b);
		if (r == CONNECTION)
			r = accept_some(&b);
		else if (r == TIME_OVER && b.n_refused == 0 && b.n_children == 0)
			return 0; /* only an idle_ms that is no F4_ACCEPT_NEVER ends like this */
		if (r < 0)
			return r;
		if (b.n_refused > 0 && count(&b, REFUSER, 0) < REFUSERS_MAX &&
		    (b.n_refused == REFUSED_MAX || f4_now_ms() - b.refused_ms >= REFUSED_MS))
			(void)dismiss_refused(&b); /* if not now, then in the next round */
	}
	return 0;
}
