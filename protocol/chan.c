/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The channel; the contract is in chan.h. The only sendmsg and recvmsg of the project. */
#include "protocol/chan.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/base/str.h"

/* source: Linux 6.16, include/uapi/asm-generic/socket.h; parisc and sparc number theirs apart */
#if !defined(SO_PASSRIGHTS) && !defined(__hppa__) && !defined(__sparc__)
#define SO_PASSRIGHTS 83
#endif
/* source: Linux 4.13, the same file */
#if !defined(SO_PEERGROUPS) && !defined(__hppa__) && !defined(__sparc__)
#define SO_PEERGROUPS 59
#endif

/* One byte more than a packet may have, so that a longer one is noticed in plain mode too. */
#define IN_SIZE (F4_WIRE_PACKET_MAX + 1u)

/* What the kernel charges for a packet is up to twice its size and a bit. */
#define SNDBUF_MIN (4 * (int)(sizeof(struct f4_wire_open) + F4_WIRE_PATH_MAX))

#define GROUPS_MAX 65536u /* source: Linux NGROUPS_MAX */

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(F4_WIRE_FDS_MAX * sizeof(int))];
};

struct deadline {
	bool never;
	struct timespec at; /* CLOCK_MONOTONIC */
};

static struct deadline deadline_in(int timeout_ms)
{
	struct deadline d = { .never = timeout_ms < 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &d.at); /* cannot fail: the clock exists */
	if (!d.never) {
		d.at.tv_sec += timeout_ms / 1000;
		d.at.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
		if (d.at.tv_nsec >= 1000000000) {
			d.at.tv_sec++;
			d.at.tv_nsec -= 1000000000;
		}
	}
	return d;
}

/* The time that is left, zero when it is over. */
static struct timespec deadline_left(const struct deadline *d)
{
	struct timespec now, left;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* as above */
	left.tv_sec = d->at.tv_sec - now.tv_sec;
	left.tv_nsec = d->at.tv_nsec - now.tv_nsec;
	if (left.tv_nsec < 0) {
		left.tv_sec--;
		left.tv_nsec += 1000000000;
	}
	return left.tv_sec < 0 ? (struct timespec){ 0, 0 } : left;
}

/* Wait until @events or an end of the connection: 0, F4_CHAN_E_TIMEOUT or -errno. */
static int wait_for(const struct f4_chan *ch, short events, const struct deadline *d)
{
	for (;;) {
		struct pollfd p = { .fd = ch->fd, .events = events };
		struct timespec left = deadline_left(d);
		int n = ppoll(&p, 1, d->never ? NULL : &left, ch->wait_mask);

		if (n > 0)
			return 0; /* an error or hang-up is found out by the call that follows */
		if (n == 0)
			return F4_CHAN_E_TIMEOUT;
		if (errno != EINTR || ch->wait_mask)
			return -errno;
	}
}

static bool peer_gone(int e)
{
	return e == EPIPE || e == ECONNRESET || e == ENOTCONN;
}

void f4_chan_fds_done(struct f4_chan_fds *fds)
{
	for (unsigned int i = 0; i < fds->n; i++)
		f4_close_p(&fds->fd[i]);
	fds->n = 0;
}

static int check_socket(int fd)
{
	int type = 0, domain = 0;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return -errno;
	len = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return -errno;
	return type == SOCK_SEQPACKET && domain == AF_UNIX ? 0 : -EPROTOTYPE;
}

/* The larger of what is there and SNDBUF_MIN. */
static int ensure_sndbuf(int fd)
{
	for (int tries = 0; tries < 2; tries++) {
		int size = 0, want = SNDBUF_MIN;
		socklen_t len = sizeof(size);

		if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &len) < 0)
			return -errno;
		if (size >= SNDBUF_MIN)
			return 0;
		if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &want, sizeof(want)) < 0)
			return -errno;
	}
	return -ENOBUFS;
}

static int set_up_socket(int fd)
{
	int flags, off = 0, r;

	r = check_socket(fd);
	if (r == 0)
		r = f4_fd_cloexec(fd);
	if (r == 0)
		r = ensure_sndbuf(fd);
	if (r < 0)
		return r;
	/* A listener may have these on; they would add control data that nobody asked for. */
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &off, sizeof(off)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_PASSSEC, &off, sizeof(off)) < 0)
		return -errno;
	/* read(2) and write(2) have no MSG_DONTWAIT: the time limit is kept by ppoll alone. */
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int f4_chan_init(struct f4_chan *ch, int fd)
{
	int r;

	*ch = (struct f4_chan){ .fd = fd };
	r = set_up_socket(fd);
	if (r == 0) {
		ch->in = malloc(IN_SIZE + F4_WIRE_PACKET_MAX);
		if (!ch->in)
			r = -ENOMEM;
		else
			ch->out = ch->in + IN_SIZE;
	}
	if (r < 0)
		f4_chan_done(ch);
	return r;
}

/* connect(2), which waits for room in the listener's queue as long as SO_SNDTIMEO says. */
static int connect_within(int fd, const struct sockaddr_un *sa, int timeout_ms)
{
	struct deadline d = deadline_in(timeout_ms);

	for (;;) {
		struct timespec left = deadline_left(&d);
		struct timeval tv = { left.tv_sec, left.tv_nsec / 1000 };

		if (tv.tv_sec == 0 && tv.tv_usec == 0)
			return F4_CHAN_E_TIMEOUT; /* and zero would mean for ever */
		if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
			return -errno;
		if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0)
			return 0;
		if (errno == EAGAIN)
			return F4_CHAN_E_TIMEOUT;
		if (errno != EINTR)
			return -errno;
	}
}

int f4_chan_connect(struct f4_chan *ch, const char *path, int timeout_ms)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	f4_auto_fd fd = -1;
	int r;

	*ch = (struct f4_chan)F4_CHAN_INIT;
	r = f4_str_copy(sa.sun_path, sizeof(sa.sun_path), path);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = connect_within(fd, &sa, timeout_ms);
	if (r != 0)
		return r;
	return f4_chan_init(ch, f4_take_fd(&fd));
}

void f4_chan_done(struct f4_chan *ch)
{
	int saved = errno;

	f4_close_p(&ch->fd);
	free(ch->in);
	ch->in = ch->out = NULL;
	errno = saved;
}

int f4_chan_refuse_fds(struct f4_chan *ch)
{
#ifdef SO_PASSRIGHTS
	int off = 0;

	if (setsockopt(ch->fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off)) < 0 &&
	    errno != ENOPROTOOPT)
		return -errno;
#endif
	return 0;
}

void f4_chan_set_plain(struct f4_chan *ch)
{
	ch->plain = true;
}

static ssize_t send_once(const struct f4_chan *ch, const void *bytes, size_t len, const int *fds,
			 unsigned int nfds)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control = { 0 };

	if (ch->plain)
		return write(ch->fd, bytes, len);
	if (nfds > 0) {
		struct cmsghdr *c;

		mh.msg_control = control.bytes;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	return sendmsg(ch->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int f4_chan_send(struct f4_chan *ch, const void *bytes, size_t len, const int *fds,
		 unsigned int nfds, int timeout_ms)
{
	struct deadline d = deadline_in(timeout_ms);

	assert(len > 0 && len <= F4_WIRE_PACKET_MAX);
	assert(nfds <= F4_WIRE_FDS_MAX && !(ch->plain && nfds > 0));
	for (;;) {
		ssize_t n = send_once(ch, bytes, len, fds, nfds);
		int r;

		if (n >= 0)
			return (size_t)n == len ? 0 : -EIO; /* a packet goes whole or not at all */
		if (errno == EINTR)
			continue; /* only waiting can be interrupted, and that is wait_for() */
		if (peer_gone(errno))
			return F4_CHAN_E_EOF;
		if (errno != EAGAIN)
			return -errno;
		r = wait_for(ch, POLLOUT, &d);
		if (r != 0)
			return r;
	}
}

/* Take the descriptors out of the control data: 0 or F4_CHAN_E_CONTROL, with all of them in @fds. */
static int take_control(struct msghdr *mh, struct f4_chan_fds *fds)
{
	int r = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
			r = F4_CHAN_E_CONTROL;
			continue;
		}
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (fds->n < F4_WIRE_FDS_MAX)
				fds->fd[fds->n++] = fd;
			else
				f4_close_p(&fd); /* cannot be: there was no room for it */
		}
	}
	return r;
}

/* One try. Return: bytes, 0 at the end, -1 with errno; *@ret_e is 0 or why the packet is refused. */
static ssize_t recv_once(const struct f4_chan *ch, void *buf, size_t size, unsigned int max_fds,
			 struct f4_chan_fds *fds, int *ret_e)
{
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control;
	ssize_t n;

	if (ch->plain) {
		n = read(ch->fd, buf, size);
		*ret_e = n > 0 && (size_t)n == size ? F4_CHAN_E_TRUNC : 0;
		return n;
	}
	if (max_fds > 0) {
		/* CMSG_LEN, not CMSG_SPACE: the padding would make room for one more. */
		mh.msg_control = control.bytes;
		mh.msg_controllen = CMSG_LEN(max_fds * sizeof(int));
	}
	n = recvmsg(ch->fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return n;
	*ret_e = take_control(&mh, fds);
	if (mh.msg_flags & MSG_TRUNC)
		*ret_e = F4_CHAN_E_TRUNC;
	else if (mh.msg_flags & MSG_CTRUNC) /* with no room at all, it can only be an unwanted one */
		*ret_e = max_fds == 0 ? F4_CHAN_E_FDS : F4_CHAN_E_CTRUNC;
	return n;
}

int f4_chan_recv(struct f4_chan *ch, void *buf, size_t size, unsigned int max_fds,
		 struct f4_chan_fds *ret_fds, size_t *ret_len, int timeout_ms)
{
	struct deadline d = deadline_in(timeout_ms);
	struct f4_chan_fds fds = { 0 };
	bool reset = false;

	assert(size > 0 && max_fds <= F4_WIRE_FDS_MAX && (max_fds == 0 || ret_fds));
	if (ret_fds)
		ret_fds->n = 0;
	for (;;) {
		int r = 0;
		ssize_t n = recv_once(ch, buf, size, max_fds, &fds, &r);

		if (n > 0 && r == 0) {
			if (ret_fds)
				*ret_fds = fds;
			*ret_len = (size_t)n;
			return 0;
		}
		if (n >= 0) {
			f4_chan_fds_done(&fds);
			return r ? r : F4_CHAN_E_EOF;
		}
		if (errno == EINTR)
			continue;
		if (errno == ECONNRESET && !reset) {
			/* Told before the packets that the peer sent in time: ask again for those. */
			reset = true;
			continue;
		}
		if (peer_gone(errno))
			return F4_CHAN_E_EOF;
		if (errno != EAGAIN)
			return -errno;
		r = wait_for(ch, POLLIN, &d);
		if (r != 0)
			return r;
	}
}

int f4_chan_send_msg(struct f4_chan *ch, const struct f4_msg *m, const int *fds, int timeout_ms)
{
	size_t len = 0;
	int r = f4_msg_encode(m, ch->out, F4_WIRE_PACKET_MAX, &len);

	if (r < 0)
		return r;
	assert((f4_msg_fds(m) > 0) == (fds != NULL));
	return f4_chan_send(ch, ch->out, len, fds, f4_msg_fds(m), timeout_ms);
}

int f4_chan_recv_msg(struct f4_chan *ch, struct f4_msg *ret, unsigned int max_fds,
		     struct f4_chan_fds *ret_fds, int timeout_ms)
{
	f4_cleanup(f4_chan_fds_done) struct f4_chan_fds fds = { 0 };
	struct f4_msg m;
	size_t len = 0;
	int r;

	assert(max_fds == 0 || ret_fds);
	if (ret_fds)
		ret_fds->n = 0;
	r = f4_chan_recv(ch, ch->in, IN_SIZE, max_fds, &fds, &len, timeout_ms);
	if (r == 0)
		r = f4_msg_decode(ch->in, len, &m);
	if (r != 0)
		return r;
	if (fds.n != f4_msg_fds(&m))
		return F4_CHAN_E_FDS;
	if (ret_fds) {
		*ret_fds = fds;
		fds.n = 0;
	}
	*ret = m;
	return 0;
}

const char *f4_chan_strerror(int e)
{
	static const char *const words[] = {
		[F4_CHAN_E_EOF - F4_CHAN_E_EOF] = "the other side has hung up",
		[F4_CHAN_E_TIMEOUT - F4_CHAN_E_EOF] = "no answer in time",
		[F4_CHAN_E_TRUNC - F4_CHAN_E_EOF] = "packet too long",
		[F4_CHAN_E_CTRUNC - F4_CHAN_E_EOF] =
			"more descriptors than awaited, or one withheld by a security module",
		[F4_CHAN_E_FDS - F4_CHAN_E_EOF] = "wrong number of descriptors",
		[F4_CHAN_E_CONTROL - F4_CHAN_E_EOF] = "unknown control data",
	};
	const char *s;

	static_assert(F4_ARRAY_LEN(words) == F4_CHAN_E_MAX - F4_CHAN_E_EOF, "words for each code");
	if (e >= F4_CHAN_E_EOF && e < F4_CHAN_E_MAX)
		return words[e - F4_CHAN_E_EOF];
	if (e >= 0)
		return f4_msg_strerror(e);
	s = strerrordesc_np(-e);
	return s ? s : "unknown error";
}

static int get_groups(int fd, struct f4_peer *p)
{
	socklen_t bytes = 0;

	/* The first call tells the size; the set is fixed once the peer has connected. */
	for (int tries = 0; tries < 3; tries++) {
		f4_auto_free gid_t *groups = NULL;

		if (bytes > 0) {
			groups = malloc(bytes);
			if (!groups)
				return -ENOMEM;
		}
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) == 0) {
			p->groups = f4_take_ptr(groups);
			p->ngroups = bytes / sizeof(gid_t);
			return 0;
		}
		if (errno != ERANGE || bytes > GROUPS_MAX * sizeof(gid_t))
			return -errno;
	}
	return -ERANGE;
}

int f4_peer_get(int fd, struct f4_peer *ret)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int r;

	*ret = (struct f4_peer){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	r = get_groups(fd, ret);
	if (r < 0)
		return r;
	ret->uid = cred.uid;
	ret->gid = cred.gid;
	ret->pid = cred.pid;
	return 0;
}

void f4_peer_done(struct f4_peer *p)
{
	free(p->groups);
	*p = (struct f4_peer){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
}
