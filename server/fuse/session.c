/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a session: threads wait at the gate, the first answers INIT, all serve, one sees the
 * end.
 *
 * Ending. DESTROY (fuseblk) or a lost connection (plain fuse: unmount looks like an abort) sets
 * `ending`. A worker marks itself busy before it looks at `ending` and idle after its request, so
 * once the waiter has set `ending` and seen every worker idle, none will touch the volume again.
 * Workers may still sleep in read(2) then: nothing can wake them before the connection is gone, and
 * they need nothing but their own buffers.
 *
 * Rings (transport_ring.h). The first worker always reads /dev/fuse: INIT comes there, and FORGET
 * for ever. The others make their rings before the seal and learn with INIT's answer whether they
 * are used; if not they read /dev/fuse, too.
 */
#include "server/fuse/session.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/log.h"
#include "server/fuse/internal.h"
#include "server/fuse/inval.h"
#include "server/fuse/transport_ring.h"

/*
 * More than two cores can use: an fsync keeps its thread until the commit is durable, and only those
 * that are in the server at the same time share one. With four threads eight writers needed twice
 * the flushes.
 */
#define MIN_THREADS 10u
#define MAX_THREADS 16u
#define MAX_CPUS    64 /* that threads are made for */
#define STACK_BYTES (1u << 20)
/*
 * Between attempts to read from a descriptor that is not mounted yet (read(2) fails at once there), and
 * between reads of FORGETs.
 */
#define MOMENT_NS 1000000
/* How long f4_session_free waits for workers to notice that the connection is gone. */
#define FREE_WAIT_S 2

struct f4_worker *f4_worker_current(struct f4_session *s)
{
	return pthread_getspecific(s->worker_key);
}

/* libfuse's way out. In place of its reply to INIT goes ours. */
static ssize_t custom_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct f4_session *s = userdata;
	struct f4_worker *w = f4_worker_current(s);
	const struct f4_abi_out_header *out = iov[0].iov_base;
	struct f4_abi_out_header init_header;
	struct iovec init_iov[2];
	int r;

	if (w && w->init_reply && out->error == 0) {
		init_header = (struct f4_abi_out_header){
			.len = sizeof(init_header) + sizeof(*w->init_reply),
			.unique = out->unique,
		};
		init_iov[0] = (struct iovec){ &init_header, sizeof(init_header) };
		init_iov[1] = (struct iovec){ (void *)w->init_reply, sizeof(*w->init_reply) };
		iov = init_iov;
		count = 2;
	}
	if (!w || out->unique == 0)
		r = f4_transport_notify(fd, iov, count);
	else
		r = f4_transport_reply(&w->transport, iov, count);
	if (r < 0) {
		/* A lost connection is reported once, by the reader; libfuse stays silent on ENOENT. */
		if (r != -ENOENT && r != -ENODEV && r != -ECONNABORTED)
			f4_warn("FUSE: a reply of %u bytes was not taken: %s", out->len,
				strerror(-r));
		errno = ENOENT;
		return -1;
	}
	return (ssize_t)out->len;
}

/* Required by fuse_session_custom_io, never called: workers receive by themselves. */
static ssize_t custom_read(int fd, void *buf, size_t len, void *userdata)
{
	(void)userdata;
	return read(fd, buf, len);
}

static int make_fuse_session(struct f4_session *s)
{
	static const struct fuse_custom_io io = { .writev = custom_writev, .read = custom_read };
	char name[] = "fuse4fs", debug[] = "-odebug";
	char *argv[] = { name, debug, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(s->config.debug ? 2 : 1, argv);
	int r;

	s->se = fuse_session_new(&args, &f4_fuse_ops, sizeof(f4_fuse_ops), s);
	fuse_opt_free_args(&args);
	if (!s->se)
		return -ENOMEM;
	r = fuse_session_custom_io(s->se, &io, s->fd);
	if (r != 0) {
		fuse_session_destroy(s->se); /* has not taken the descriptor */
		s->se = NULL;
		return r < 0 ? r : -EINVAL;
	}
	return 0; /* fuse_session_destroy closes s->fd from now on */
}

static uint32_t count_cpus(const struct f4_session_config *config)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t n = cpus > 0 ? (uint32_t)(cpus > MAX_CPUS ? MAX_CPUS : cpus) : 1;

	return config->ring_queues && n > config->ring_queues ? config->ring_queues : n;
}

static uint32_t default_threads(const struct f4_session *s)
{
	uint32_t n = 2 * s->cpus;

	return n < MIN_THREADS ? MIN_THREADS : n > MAX_THREADS ? MAX_THREADS : n;
}

static bool wants_rings(const struct f4_session *s)
{
	return s->config.transport != F4_SESSION_DEVICE && s->config.ring_queues > 0;
}

uint32_t f4_session_count_queues(void)
{
	return f4_ring_count_queues();
}

static int make_workers(struct f4_session *s)
{
	uint32_t n = s->config.threads ? s->config.threads : default_threads(s);
	int r;

	if (wants_rings(s)) {
		s->ring_workers = n < s->cpus && !s->config.threads ? s->cpus : n;
		n = s->ring_workers + 1;
	}

	r = pthread_key_create(&s->worker_key, NULL);
	if (r != 0)
		return -r;
	s->worker_key_made = true;
	s->workers = calloc(n, sizeof(*s->workers));
	if (!s->workers)
		return -ENOMEM;
	s->workers_count = n;
	for (uint32_t i = 0; i < n; i++) {
		s->workers[i].session = s;
		s->workers[i].index = i;
		r = f4_transport_init(&s->workers[i].transport, s->fd);
		if (r < 0)
			return r;
	}
	return 0;
}

int f4_session_new(const struct f4_session_config *config, struct f4_session **ret)
{
	struct f4_session *s;
	int r;

	if (config->fuse_fd < 0 || config->threads > MAX_THREADS) {
		if (config->fuse_fd >= 0)
			(void)close(config->fuse_fd); /* consumed */
		return -EINVAL;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		(void)close(config->fuse_fd);
		return -ENOMEM;
	}
	s->config = *config;
	s->fd = config->fuse_fd;
	s->cpus = count_cpus(config);
	(void)pthread_mutex_init(&s->lock, NULL); /* default attributes can't fail */
	(void)pthread_cond_init(&s->cond, NULL);
	r = make_fuse_session(s);
	if (r == 0)
		r = make_workers(s);
	if (r < 0) {
		f4_session_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void f4_session_end(struct f4_session *s, bool destroyed, uint64_t unique)
{
	(void)pthread_mutex_lock(&s->lock);
	if (!atomic_load(&s->ending)) {
		s->destroyed = destroyed;
		s->destroy_unique = unique;
		atomic_store(&s->ending, true);
	}
	(void)pthread_cond_broadcast(&s->cond);
	(void)pthread_mutex_unlock(&s->lock);
}

static void dispatch(struct f4_worker *w, size_t len)
{
	const struct f4_abi_in_header *in = (const void *)w->transport.in;
	struct fuse_buf buf = { .mem = w->transport.in, .size = len };
	f4_raw_op raw;

	if (in->len != len) {
		f4_err("FUSE: a request of %zu bytes says that it has %u", len, in->len);
		return;
	}
	if (in->opcode < F4_SESSION_OPCODES) {
		_Atomic uint64_t *n = &w->requests[in->opcode];

		/* no read-modify-write: nobody else writes it */
		atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1,
				      memory_order_relaxed);
	}
	if (!f4_session_lets_in(w->session, in)) {
		f4_raw_error(w, in, -EACCES);
		return;
	}
	raw = f4_raw_find(in->opcode);
	if (raw)
		raw(w, in, in + 1, len - sizeof(*in));
	else
		fuse_session_process_buf(w->session->se, &buf);
}

/* Wait for a moment, or for the end. */
static void wait_a_moment(struct f4_session *s)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += MOMENT_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	(void)pthread_mutex_lock(&s->lock);
	if (!atomic_load(&s->ending))
		(void)pthread_cond_timedwait(&s->cond, &s->lock, &until);
	(void)pthread_mutex_unlock(&s->lock);
}

static int64_t coarse_now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* the clock exists; no system call */
	return now.tv_sec ? now.tv_sec : 1;
}

/*
 * Beside rings /dev/fuse has nothing but FORGET and INTERRUPT, for which nobody waits. A reader that
 * is not there needs no wake-up for each: a moment later many come in one read.
 */
static bool is_forget(const struct f4_worker *w)
{
	const struct f4_abi_in_header *in = (const void *)w->transport.in;

	return w->index == 0 && w->session->use_rings && /* which this worker has written */
	       (in->opcode == F4_ABI_FORGET || in->opcode == F4_ABI_BATCH_FORGET);
}

/* One request. Return: false when there will be no other. */
static bool serve_one(struct f4_worker *w)
{
	struct f4_session *s = w->session;
	bool forget;
	size_t len = 0;
	int r;

	r = f4_transport_receive(&w->transport, &len);
	switch (r) {
	case 0:
		break;
	case F4_TRANSPORT_E_AGAIN:
		return true;
	case F4_TRANSPORT_E_UNMOUNTED:
		wait_a_moment(s);
		return true;
	case F4_TRANSPORT_E_GONE:
		f4_session_end(s, false, 0);
		return false;
	default:
		f4_err("FUSE: reading a request: %s", strerror(-r));
		f4_session_end(s, false, 0);
		return false;
	}
	atomic_store(&w->busy, true);
	atomic_store_explicit(&w->since_s, coarse_now_s(), memory_order_relaxed);
	if (!atomic_load(&s->ending))
		dispatch(w, len);
	forget = is_forget(w);
	atomic_store_explicit(&w->since_s, 0, memory_order_relaxed);
	atomic_store(&w->busy, false);
	if (forget)
		wait_a_moment(s);
	return true;
}

/*
 * The kernel puts a request into the queue of its caller's CPU, and the caller sleeps until the reply:
 * a worker that stays on that CPU needs no other one to be woken for it, which costs several times
 * what the request does (much so in a virtual machine). Must be done before the seal; where it can't
 * be had (a cpuset, a service manager's unit) the worker runs where the scheduler puts it.
 */
static void stay_on_cpu(const struct f4_ring_plan *plan)
{
	cpu_set_t one;

	if (plan->workers < plan->online)
		return; /* it has queues of several CPUs */
	CPU_ZERO(&one);
	CPU_SET(plan->worker % plan->online, &one);
	(void)pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
}

/* A ring for a worker that is to have one. Runs in its thread: nobody else may use the ring. */
static void make_ring(struct f4_worker *w)
{
	struct f4_session *s = w->session;
	const struct f4_ring_plan plan = {
		.worker = w->index - 1, /* the first worker has none */
		.workers = s->ring_workers,
		.queues = s->config.ring_queues,
		.online = s->cpus,
	};
	int r;

	if (w->index == 0 || s->ring_workers == 0)
		return;
	stay_on_cpu(&plan);
	r = f4_transport_make_ring(&w->transport, &plan);
	(void)pthread_mutex_lock(&s->lock);
	if (r == 0)
		s->rings++;
	else
		s->ring_error = r;
	(void)pthread_mutex_unlock(&s->lock);
}

bool f4_session_has_rings(struct f4_session *s)
{
	bool all;

	(void)pthread_mutex_lock(&s->lock);
	all = s->ring_workers > 0 && s->rings == s->ring_workers;
	(void)pthread_mutex_unlock(&s->lock);
	return all;
}

bool f4_session_rings_ready(struct f4_session *s, uint64_t offered)
{
	enum f4_log_level level =
		s->config.transport == F4_SESSION_RING ? F4_LOG_NOTICE : F4_LOG_INFO;

	if (s->config.transport == F4_SESSION_DEVICE)
		return false;
	if (!wants_rings(s) || !(offered & F4_ABI_OVER_IO_URING))
		f4_log(level, "FUSE over io_uring is turned off (module parameter enable_uring of fuse) "
			      "or not in this kernel: /dev/fuse serves");
	else if (!f4_session_has_rings(s))
		f4_log(level, "rings for FUSE can't be made: %s: /dev/fuse serves",
		       strerror(-s->ring_error));
	else
		return true;
	return false;
}

/* INIT is answered: the ring begins, or is of no use. */
static void begin_ring(struct f4_worker *w)
{
	struct f4_session *s = w->session;
	bool use;
	int r;

	if (!w->transport.ring)
		return;
	(void)pthread_mutex_lock(&s->lock);
	use = s->use_rings && !atomic_load(&s->ending);
	(void)pthread_mutex_unlock(&s->lock);
	if (!use) {
		f4_transport_drop_ring(&w->transport);
		return;
	}
	r = f4_transport_begin_ring(&w->transport);
	if (r < 0 && r != -ENOTCONN && r != -ECONNABORTED)
		f4_notice("the kernel refuses a ring for FUSE: %s: /dev/fuse serves", strerror(-r));
}

/* DESTROY came by this worker's transport, and goes back by it. */
static void answer_destroy(struct f4_worker *w)
{
	struct f4_abi_out_header out = { .len = sizeof(out) };
	struct iovec iov = { &out, sizeof(out) };
	struct f4_session *s = w->session;

	(void)pthread_mutex_lock(&s->lock);
	(void)pthread_cond_broadcast(&s->cond); /* idle: who saw `ending` while we were busy looks again */
	while (!s->released)
		(void)pthread_cond_wait(&s->cond, &s->lock);
	out.unique = s->destroy_unique;
	(void)pthread_mutex_unlock(&s->lock);
	(void)f4_transport_reply(&w->transport, &iov, 1); /* the connection may be gone: then nobody waits */
	f4_transport_flush(&w->transport);
	(void)pthread_mutex_lock(&s->lock);
	s->destroy_unique = 0;
	(void)pthread_cond_broadcast(&s->cond);
	(void)pthread_mutex_unlock(&s->lock);
}

/* The first worker reads from the gate on, the others once INIT is answered. False: the end came first. */
static bool wait_for_start(struct f4_worker *w)
{
	struct f4_session *s = w->session;
	bool ok;

	(void)pthread_mutex_lock(&s->lock);
	s->waiting++;
	(void)pthread_cond_broadcast(&s->cond);
	while (!atomic_load(&s->ending) && !(w->index == 0 ? s->gate : s->serving))
		(void)pthread_cond_wait(&s->cond, &s->lock);
	ok = !atomic_load(&s->ending);
	(void)pthread_mutex_unlock(&s->lock);
	return ok;
}

static void *worker_main(void *arg)
{
	struct f4_worker *w = arg;
	struct f4_session *s = w->session;

	(void)pthread_setspecific(s->worker_key, w); /* no memory is needed for the first keys */
	(void)prctl(PR_SET_NAME, "fuse"); /* for people */
	make_ring(w);
	if (wait_for_start(w)) {
		begin_ring(w);
		while (!atomic_load(&s->ending) && serve_one(w))
			;
		f4_transport_flush(&w->transport); /* a last reply */
	}
	if (w->owes_destroy)
		answer_destroy(w);
	(void)pthread_mutex_lock(&s->lock);
	atomic_store(&w->gone, true);
	(void)pthread_cond_broadcast(&s->cond);
	(void)pthread_mutex_unlock(&s->lock);
	return NULL;
}

int f4_session_start_threads(struct f4_session *s)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int r = 0;

	/* Signals are for the main thread. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (uint32_t i = 0; i < s->workers_count && r == 0; i++) {
		struct f4_worker *w = &s->workers[i];

		r = pthread_create(&w->thread, &attr, worker_main, w);
		w->started = r == 0;
	}
	(void)pthread_attr_destroy(&attr);
	if (r == 0)
		r = -f4_inval_new(s->se, &s->inval);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r == 0) {
		(void)pthread_mutex_lock(&s->lock);
		while (s->waiting < s->workers_count)
			(void)pthread_cond_wait(&s->cond, &s->lock);
		(void)pthread_mutex_unlock(&s->lock);
	}
	return -r;
}

void f4_session_open_gate(struct f4_session *s, struct f4_volume *vol)
{
	(void)pthread_mutex_lock(&s->lock);
	s->vol = vol;
	s->gate = true;
	(void)pthread_cond_broadcast(&s->cond);
	(void)pthread_mutex_unlock(&s->lock);
}

int f4_session_wait_mounted(struct f4_session *s, uint32_t limit_s)
{
	struct timespec until;
	int r = 0;

	(void)clock_gettime(CLOCK_REALTIME, &until); /* the clock exists */
	until.tv_sec += limit_s;
	(void)pthread_mutex_lock(&s->lock);
	while (!atomic_load(&s->ending) && !s->serving && r == 0)
		r = -pthread_cond_timedwait(&s->cond, &s->lock, &until);
	if (s->serving)
		r = 0;
	else if (atomic_load(&s->ending))
		r = -ENOTCONN;
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

uint64_t f4_session_oldest_request_s(struct f4_session *s)
{
	int64_t now = coarse_now_s(), oldest = now;

	for (uint32_t i = 0; i < s->workers_count; i++) {
		int64_t since = atomic_load_explicit(&s->workers[i].since_s, memory_order_relaxed);

		if (since && since < oldest)
			oldest = since;
	}
	return (uint64_t)(now - oldest);
}

static bool any_busy(const struct f4_session *s)
{
	for (uint32_t i = 0; i < s->workers_count; i++)
		if (atomic_load(&s->workers[i].busy))
			return true;
	return false;
}

int f4_session_wait(struct f4_session *s, bool *ret_clean)
{
	(void)pthread_mutex_lock(&s->lock);
	while (!atomic_load(&s->ending) || any_busy(s))
		(void)pthread_cond_wait(&s->cond, &s->lock);
	*ret_clean = s->destroyed;
	(void)pthread_mutex_unlock(&s->lock);
	return 0;
}

static void release_destroy(struct f4_session *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->released = true;
	(void)pthread_cond_broadcast(&s->cond);
	(void)pthread_mutex_unlock(&s->lock);
}

void f4_session_reply_destroy(struct f4_session *s)
{
	release_destroy(s);
	(void)pthread_mutex_lock(&s->lock);
	while (s->destroy_unique != 0)
		(void)pthread_cond_wait(&s->cond, &s->lock);
	(void)pthread_mutex_unlock(&s->lock);
}

void f4_session_stop(struct f4_session *s)
{
	f4_session_end(s, false, 0);
}

void f4_session_requests(const struct f4_session *s, uint64_t ret[F4_SESSION_OPCODES])
{
	memset(ret, 0, F4_SESSION_OPCODES * sizeof(ret[0]));
	for (uint32_t i = 0; i < s->workers_count; i++)
		for (uint32_t op = 0; op < F4_SESSION_OPCODES; op++)
			ret[op] += atomic_load_explicit(&s->workers[i].requests[op],
							memory_order_relaxed);
}

/* True when every started worker has left. */
static bool wait_workers_gone(struct f4_session *s)
{
	struct timespec until;
	bool all = true;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += FREE_WAIT_S;
	(void)pthread_mutex_lock(&s->lock);
	for (uint32_t i = 0; i < s->workers_count && all; i++) {
		while (s->workers[i].started && !atomic_load(&s->workers[i].gone) && all)
			all = pthread_cond_timedwait(&s->cond, &s->lock, &until) != ETIMEDOUT;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return all;
}

struct f4_session *f4_session_free(struct f4_session *s)
{
	if (!s)
		return NULL;
	f4_session_end(s, false, 0);
	release_destroy(s);
	/*
	 * A worker that still sleeps in read(2) uses its buffers when it wakes. The connection then
	 * outlives us (somebody else holds the descriptor) and the process is about to end: what
	 * those workers use is left to it.
	 */
	if (!wait_workers_gone(s))
		return NULL;
	s->inval = f4_inval_free(s->inval);
	if (s->inval)
		return NULL; /* held by the kernel in the same way */
	for (uint32_t i = 0; i < s->workers_count; i++) {
		if (s->workers[i].started)
			(void)pthread_join(s->workers[i].thread, NULL);
		f4_transport_done(&s->workers[i].transport);
	}
	free(s->workers);
	if (s->worker_key_made)
		(void)pthread_key_delete(s->worker_key);
	if (s->se)
		fuse_session_destroy(s->se);
	else
		(void)close(s->fd);
	(void)pthread_cond_destroy(&s->cond);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
	return NULL;
}
