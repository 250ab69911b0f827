/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The channel against peers that cut, flood, keep silent, die and send what nobody wants. */
#include "protocol/chan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "tests/lib/check.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* source: Linux 6.16, include/uapi/asm-generic/socket.h */
#endif

#define BYTES(s) s, sizeof(s) - 1
#define SOON	 1000 /* ms: what is there already is found at once */

static const struct f4_msg file_ok = { .type = F4_MSG_FILE, .text = "argv" };
static const struct f4_msg file_no = { .type = F4_MSG_FILE, .text = "argv", .file = { ENOENT } };
static const struct f4_msg ok = { .type = F4_MSG_REPLY };

/* A channel and the raw socket at its other end. */
struct pair {
	struct f4_chan ch;
	int raw; /* owned */
};

static void pair_done(struct pair *p)
{
	f4_chan_done(&p->ch);
	f4_close_p(&p->raw);
}

static struct pair pair_new(void)
{
	struct pair p = { .raw = -1 };
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) != 0 ||
	    f4_chan_init(&p.ch, sv[0]) != 0)
		abort();
	p.raw = sv[1];
	return p;
}

#define auto_pair f4_cleanup(pair_done) struct pair

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Send from the raw end: @len bytes with @nfds times descriptor @fd. */
static bool raw_send(int raw, const void *bytes, size_t len, int fd, unsigned int nfds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds > 0) {
		struct cmsghdr *c;

		mh.msg_control = control.bytes;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		*c = (struct cmsghdr){ CMSG_LEN(nfds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		for (unsigned int i = 0; i < nfds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
	}
	return sendmsg(raw, &mh, MSG_NOSIGNAL) == (ssize_t)len;
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void round_trip(void)
{
	auto_pair p = pair_new();
	f4_cleanup(f4_chan_done) struct f4_chan other = F4_CHAN_INIT;
	f4_cleanup(f4_chan_fds_done) struct f4_chan_fds fds = { 0 };
	f4_auto_fd mem = memfd_create("test", 0);
	int before;
	struct f4_msg m;

	TEST_REQUIRE(f4_chan_init(&other, f4_take_fd(&p.raw)) == 0);
	before = open_fds();
	TEST_EQ(f4_chan_send_msg(&p.ch, &file_ok, &mem, SOON), 0);
	TEST_REQUIRE(f4_chan_recv_msg(&other, &m, 1, &fds, SOON) == 0);
	TEST_EQ(m.type, F4_MSG_FILE);
	TEST_STREQ(m.text, "argv");
	TEST_EQ(fds.n, 1);
	TEST_CHECK(fcntl(fds.fd[0], F_GETFD) & FD_CLOEXEC);
	TEST_EQ(f4_fd_expect(fds.fd[0], F4_FD_MEMORY, O_RDWR), 0);
	TEST_EQ(open_fds(), before + 1);
	f4_chan_fds_done(&fds);
	TEST_EQ(open_fds(), before);

	/* and back, with a text that lies in the receive buffer */
	TEST_EQ(f4_chan_send_msg(&other, &(struct f4_msg){ .type = F4_MSG_OPEN, .text = m.text },
				 NULL, SOON), 0);
	TEST_REQUIRE(f4_chan_recv_msg(&p.ch, &m, 0, NULL, SOON) == 0);
	TEST_STREQ(m.text, "argv");
}

static void three_descriptors(void)
{
	auto_pair p = pair_new();
	f4_cleanup(f4_chan_done) struct f4_chan other = F4_CHAN_INIT;
	f4_cleanup(f4_chan_fds_done) struct f4_chan_fds fds = { 0 };
	static const struct f4_msg attach = { .type = F4_MSG_ATTACH, .text = "src",
					      .attach = { F4_ATTACH_SOURCE_FD, 0 } };
	f4_auto_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
	f4_auto_fd root = open("/", O_PATH | O_CLOEXEC);
	int send[] = { null, root, null };
	struct f4_msg m;

	TEST_REQUIRE(f4_chan_init(&other, f4_take_fd(&p.raw)) == 0);
	TEST_EQ(f4_chan_send_msg(&p.ch, &attach, send, SOON), 0);
	TEST_REQUIRE(f4_chan_recv_msg(&other, &m, 3, &fds, SOON) == 0);
	TEST_EQ(fds.n, 3);
	TEST_EQ(f4_fd_expect(fds.fd[1], F4_FD_PATH_DIR, 0), 0); /* in order */
	TEST_EQ(f4_fd_expect(fds.fd[0], F4_FD_PATH_DIR, 0), F4_FD_E_ACCESS);
}

/* What a peer may do wrong with descriptors; nothing that came stays open. */
static void wrong_descriptors(void)
{
	static const struct {
		const char *what;
		const char *bytes;
		size_t len;
		unsigned int sent, room;
		int want;
	} t[] = {
		{ "none where one belongs", BYTES("FILE\0\0\0\0argv\0"), 0, 1, F4_CHAN_E_FDS },
		{ "none, and none awaited", BYTES("FILE\0\0\0\0argv\0"), 0, 0, F4_CHAN_E_FDS },
		{ "two for one", BYTES("FILE\0\0\0\0argv\0"), 2, 1, F4_CHAN_E_CTRUNC },
		{ "eight for one", BYTES("FILE\0\0\0\0argv\0"), 8, 1, F4_CHAN_E_CTRUNC },
		{ "one with an error", BYTES("FILE\0\0\0\2argv\0"), 1, 1, F4_CHAN_E_FDS },
		{ "one with a reply", BYTES("REPL\0\0\0\0"), 1, 1, F4_CHAN_E_FDS },
		{ "one where none is awaited", BYTES("REPL\0\0\0\0"), 1, 0, F4_CHAN_E_FDS },
		{ "eight where none is awaited", BYTES("REPL\0\0\0\0"), 8, 0, F4_CHAN_E_FDS },
		{ "one for two", BYTES("ATCH\0\1\0\0\0\0\0\0\0\0\0\0s\0"), 1, 3, F4_CHAN_E_FDS },
		{ "three for two", BYTES("ATCH\0\1\0\0\0\0\0\0\0\0\0\0s\0"), 3, 3, F4_CHAN_E_FDS },
		{ "four for three", BYTES("ATCH\0\1\0\0\0\0\4\0\0\0\0\0s\0"), 4, 3,
		  F4_CHAN_E_CTRUNC },
		{ "one with rubbish", BYTES("XXXX"), 1, 1, F4_MSG_E_MAGIC },
		{ "one with nothing", BYTES(""), 1, 1, F4_CHAN_E_EOF },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		auto_pair p = pair_new();
		f4_auto_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
		struct f4_chan_fds fds = { .n = 7 };
		struct f4_msg m = { .type = F4_MSG_MAX };
		int before = open_fds(), r;

		TEST_REQUIRE(raw_send(p.raw, t[i].bytes, t[i].len, null, t[i].sent));
		r = f4_chan_recv_msg(&p.ch, &m, t[i].room, &fds, SOON);
		if (r != t[i].want)
			TEST_FAIL_("%s: %s, expected %s", t[i].what, f4_chan_strerror(r),
				   f4_chan_strerror(t[i].want));
		TEST_EQ(fds.n, 0);
		TEST_EQ(m.type, F4_MSG_MAX);
		TEST_EQ(open_fds(), before);
	}
}

/* A descriptor that the kernel may not install (no number left) is seen as missing. */
static void withheld_descriptor(void)
{
	auto_pair p = pair_new();
	struct f4_chan_fds fds;
	struct rlimit old, none;
	struct f4_msg m;
	int r;

	TEST_REQUIRE(f4_chan_send(&p.ch, "x", 1, NULL, 0, SOON) == 0);
	TEST_REQUIRE(raw_send(p.raw, BYTES("FILE\0\0\0\0argv\0"), p.raw, 1));
	TEST_REQUIRE(getrlimit(RLIMIT_NOFILE, &old) == 0);
	none = old;
	none.rlim_cur = 0;
	TEST_REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
	r = f4_chan_recv_msg(&p.ch, &m, 1, &fds, SOON);
	TEST_REQUIRE(setrlimit(RLIMIT_NOFILE, &old) == 0);
	TEST_EQ(r, F4_CHAN_E_CTRUNC);
	TEST_EQ(fds.n, 0);
}

static void too_long(void)
{
	static char big[F4_WIRE_PACKET_MAX + 2];

	memcpy(big, "OPTS", 4);
	for (int plain = 0; plain < 2; plain++) {
		auto_pair p = pair_new();
		struct f4_msg m;
		char small[4];
		size_t n = 0;

		if (plain)
			f4_chan_set_plain(&p.ch);
		memset(big + 4, 'o', sizeof(big) - 4);
		TEST_REQUIRE(raw_send(p.raw, big, F4_WIRE_PACKET_MAX + 2, -1, 0));
		TEST_EQ(f4_chan_recv_msg(&p.ch, &m, 0, NULL, SOON), F4_CHAN_E_TRUNC);
		TEST_REQUIRE(raw_send(p.raw, big, F4_WIRE_PACKET_MAX + 1, -1, 0));
		TEST_EQ(f4_chan_recv_msg(&p.ch, &m, 0, NULL, SOON),
			plain ? F4_CHAN_E_TRUNC : F4_MSG_E_SIZE);
		big[F4_WIRE_PACKET_MAX - 1] = '\0';
		TEST_REQUIRE(raw_send(p.raw, big, F4_WIRE_PACKET_MAX, -1, 0));
		TEST_EQ(f4_chan_recv_msg(&p.ch, &m, 0, NULL, SOON), 0);
		TEST_EQ(m.text_len, F4_WIRE_PACKET_MAX - 5);
		TEST_REQUIRE(raw_send(p.raw, "12345", 5, -1, 0));
		TEST_EQ(f4_chan_recv(&p.ch, small, sizeof(small), 0, NULL, &n, SOON),
			F4_CHAN_E_TRUNC);
	}
}

static void silence(void)
{
	for (int plain = 0; plain < 2; plain++) {
		auto_pair p = pair_new();
		long t0 = now_ms(), took;
		struct f4_msg m;

		if (plain)
			f4_chan_set_plain(&p.ch);
		TEST_EQ(f4_chan_recv_msg(&p.ch, &m, 0, NULL, 150), F4_CHAN_E_TIMEOUT);
		took = now_ms() - t0;
		TEST_CHECK(took >= 149 && took < 5000);
		TEST_EQ(f4_chan_recv_msg(&p.ch, &m, 0, NULL, 0), F4_CHAN_E_TIMEOUT);
	}
}

/* A peer that never reads fills the buffers; then the limit ends the send. */
static void deaf_peer(void)
{
	for (int plain = 0; plain < 2; plain++) {
		auto_pair p = pair_new();
		int r = 0;

		if (plain)
			f4_chan_set_plain(&p.ch);
		for (int i = 0; i < 100000 && r == 0; i++)
			r = f4_chan_send_msg(&p.ch, &ok, NULL, 50);
		TEST_EQ(r, F4_CHAN_E_TIMEOUT);
	}
}

static void peer_death(void)
{
	(void)signal(SIGPIPE, SIG_DFL); /* normal mode raises none */
	for (int plain = 0; plain < 2; plain++) {
		auto_pair p = pair_new();
		struct f4_msg m;

		if (plain) {
			f4_chan_set_plain(&p.ch);
			(void)signal(SIGPIPE, SIG_IGN); /* what plain mode's user does */
		}
		f4_close_p(&p.raw);
		TEST_EQ(f4_chan_recv_msg(&p.ch, &m, 0, NULL, F4_CHAN_FOREVER), F4_CHAN_E_EOF);
		TEST_EQ(f4_chan_send_msg(&p.ch, &ok, NULL, SOON), F4_CHAN_E_EOF);
		TEST_EQ(f4_chan_recv_msg(&p.ch, &m, 0, NULL, F4_CHAN_FOREVER), F4_CHAN_E_EOF);
	}
	(void)signal(SIGPIPE, SIG_DFL);
}

/* Dying while the other side waits ends the wait. */
static void death_while_waiting(void)
{
	auto_pair p = pair_new();
	struct f4_msg m;
	pid_t pid = fork();

	if (pid == 0) {
		f4_chan_done(&p.ch);
		usleep(50000);
		_exit(0);
	}
	f4_close_p(&p.raw);
	TEST_EQ(f4_chan_recv_msg(&p.ch, &m, 0, NULL, 20000), F4_CHAN_E_EOF);
	TEST_EQ(waitpid(pid, NULL, 0), pid);
}

/* The last words of a peer that left without reading ours are heard. */
static void last_words(void)
{
	for (int plain = 0; plain < 2; plain++) {
		auto_pair p = pair_new();
		struct f4_msg m = { 0 };

		if (plain)
			f4_chan_set_plain(&p.ch);
		TEST_EQ(f4_chan_send_msg(&p.ch, &ok, NULL, SOON), 0);
		TEST_REQUIRE(raw_send(p.raw, BYTES("BYEE\0\0\0\2"), -1, 0));
		f4_close_p(&p.raw);
		TEST_EQ(f4_chan_recv_msg(&p.ch, &m, 0, NULL, SOON), 0);
		TEST_EQ(m.type, F4_MSG_BYE);
		TEST_EQ(f4_chan_recv_msg(&p.ch, &m, 0, NULL, SOON), F4_CHAN_E_EOF);
	}
}

static void refuse_fds(void)
{
	auto_pair p = pair_new();
	int off = 1;
	socklen_t len = sizeof(off);
	bool kernel = getsockopt(p.ch.fd, SOL_SOCKET, SO_PASSRIGHTS, &off, &len) == 0;

	TEST_EQ(f4_chan_refuse_fds(&p.ch), 0);
	/* Without it the receiver refuses: wrong_descriptors() is that fallback's test. */
	errno = 0;
	TEST_EQ(raw_send(p.raw, BYTES("REPL\0\0\0\0"), p.raw, 1), !kernel);
	TEST_EQ(errno, kernel ? EPERM : 0);
	if (kernel) {
		f4_cleanup(f4_chan_done) struct f4_chan other = F4_CHAN_INIT;
		int fd = p.raw;

		TEST_REQUIRE(f4_chan_init(&other, fcntl(p.raw, F_DUPFD_CLOEXEC, 3)) == 0);
		TEST_EQ(f4_chan_send_msg(&other, &file_ok, &fd, SOON), -EPERM);
	}
}

/* In plain mode a descriptor that comes is gone; the message that needs one is refused. */
static void plain_drops_descriptors(void)
{
	auto_pair p = pair_new();
	f4_auto_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int before = open_fds();
	struct f4_msg m;

	f4_chan_set_plain(&p.ch);
	TEST_REQUIRE(raw_send(p.raw, BYTES("REPL\0\0\0\0"), null, 1));
	TEST_EQ(f4_chan_recv_msg(&p.ch, &m, 0, NULL, SOON), 0);
	TEST_REQUIRE(raw_send(p.raw, BYTES("FILE\0\0\0\0argv\0"), null, 1));
	TEST_EQ(f4_chan_recv_msg(&p.ch, &m, 0, NULL, SOON), F4_CHAN_E_FDS);
	TEST_EQ(open_fds(), before);
	TEST_EQ(f4_chan_send_msg(&p.ch, &file_no, NULL, SOON), 0);
}

static void wrong_sockets(void)
{
	static const int kinds[][2] = { { AF_UNIX, SOCK_STREAM },
					{ AF_UNIX, SOCK_DGRAM },
					{ AF_INET, SOCK_STREAM } };
	f4_cleanup(f4_chan_done) struct f4_chan ch = F4_CHAN_INIT;
	int before = open_fds();

	for (size_t i = 0; i < F4_ARRAY_LEN(kinds); i++) {
		int s = socket(kinds[i][0], kinds[i][1] | SOCK_CLOEXEC, 0);

		if (s >= 0)
			TEST_EQ(f4_chan_init(&ch, s), -EPROTOTYPE);
	}
	TEST_EQ(f4_chan_init(&ch, open("/dev/null", O_RDWR | O_CLOEXEC)), -ENOTSOCK);
	TEST_EQ(f4_chan_init(&ch, -1), -EBADF);
	TEST_EQ(open_fds(), before); /* consumed each time */
	f4_chan_done(&ch);
	f4_chan_done(&ch);
}

static void small_send_buffer(void)
{
	static char path[F4_WIRE_PATH_MAX];
	struct f4_msg m = { .type = F4_MSG_OPEN, .text = path };
	f4_cleanup(f4_chan_done) struct f4_chan ch = F4_CHAN_INIT;
	f4_auto_fd other = -1;
	int sv[2], tiny = 1, size = 0;
	socklen_t len = sizeof(size);

	memset(path, 'p', sizeof(path) - 1);
	TEST_REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == 0);
	other = sv[1];
	TEST_REQUIRE(setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &tiny, sizeof(tiny)) == 0);
	TEST_REQUIRE(f4_chan_init(&ch, sv[0]) == 0);
	TEST_REQUIRE(getsockopt(ch.fd, SOL_SOCKET, SO_SNDBUF, &size, &len) == 0);
	TEST_CHECK(size >= 2 * (int)sizeof(path)); /* a packet is charged with its overhead */
	TEST_EQ(f4_chan_send_msg(&ch, &m, NULL, SOON), 0);
}

/* Credentials that a listener asks for would be control data that nobody awaits. */
static void inherited_passcred(void)
{
	f4_cleanup(f4_chan_done) struct f4_chan ch = F4_CHAN_INIT;
	f4_auto_fd other = -1;
	struct f4_msg m;
	int sv[2], on = 1;

	TEST_REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) == 0);
	other = sv[1];
	TEST_REQUIRE(setsockopt(sv[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0);
	TEST_REQUIRE(f4_chan_init(&ch, sv[0]) == 0);
	TEST_CHECK(fcntl(ch.fd, F_GETFD) & FD_CLOEXEC);
	TEST_REQUIRE(raw_send(other, BYTES("REPL\0\0\0\0"), -1, 0));
	TEST_EQ(f4_chan_recv_msg(&ch, &m, 0, NULL, SOON), 0);
	/* and when it is on nevertheless, the packet is refused */
	TEST_REQUIRE(setsockopt(ch.fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0);
	TEST_REQUIRE(raw_send(other, BYTES("FILE\0\0\0\2a\0"), -1, 0));
	TEST_CHECK(f4_chan_recv_msg(&ch, &m, 3, &(struct f4_chan_fds){ 0 }, SOON) > 0);
}

static void connecting(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "f4-test-sock" };
	f4_cleanup(f4_chan_done) struct f4_chan ch = F4_CHAN_INIT, ch2 = F4_CHAN_INIT;
	f4_auto_fd listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), got = -1;
	char longname[200];
	long t0;

	unlink(sa.sun_path);
	TEST_EQ(f4_chan_connect(&ch, sa.sun_path, SOON), -ENOENT);
	TEST_REQUIRE(bind(listener, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	TEST_EQ(f4_chan_connect(&ch, sa.sun_path, SOON), -ECONNREFUSED);
	TEST_REQUIRE(listen(listener, 0) == 0);
	TEST_EQ(f4_chan_connect(&ch, sa.sun_path, SOON), 0);
	TEST_EQ(f4_chan_send_msg(&ch, &ok, NULL, SOON), 0);
	t0 = now_ms();
	TEST_EQ(f4_chan_connect(&ch2, sa.sun_path, 150), F4_CHAN_E_TIMEOUT); /* queue full */
	TEST_CHECK(now_ms() - t0 >= 140);
	got = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	TEST_CHECK(got >= 0);
	unlink(sa.sun_path);
	memset(longname, 'x', sizeof(longname));
	longname[sizeof(longname) - 1] = '\0';
	TEST_EQ(f4_chan_connect(&ch2, longname, SOON), -ENAMETOOLONG);
}

static void on_alarm(int sig)
{
}

/* With a wait mask a signal ends the wait; without, it does not. */
static void signals(void)
{
	auto_pair p = pair_new();
	struct sigaction sa = { .sa_handler = on_alarm }, old;
	struct itimerval soon = { .it_value = { 0, 50000 } };
	sigset_t none;
	struct f4_msg m;

	sigemptyset(&none);
	TEST_REQUIRE(sigaction(SIGALRM, &sa, &old) == 0);
	setitimer(ITIMER_REAL, &soon, NULL);
	TEST_EQ(f4_chan_recv_msg(&p.ch, &m, 0, NULL, 200), F4_CHAN_E_TIMEOUT);
	p.ch.wait_mask = &none;
	setitimer(ITIMER_REAL, &soon, NULL);
	TEST_EQ(f4_chan_recv_msg(&p.ch, &m, 0, NULL, 20000), -EINTR);
	sigaction(SIGALRM, &old, NULL);
}

static void credentials(void)
{
	auto_pair p = pair_new();
	struct f4_peer peer;
	f4_auto_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);

	TEST_REQUIRE(f4_peer_get(p.ch.fd, &peer) == 0);
	TEST_EQ(peer.uid, geteuid());
	TEST_EQ(peer.gid, getegid());
	TEST_EQ(peer.pid, getpid());
	TEST_EQ(peer.ngroups, getgroups(0, NULL));
	f4_peer_done(&peer);
	TEST_CHECK(peer.groups == NULL);
	TEST_EQ(f4_peer_get(null, &peer), -ENOTSOCK);
	TEST_CHECK(peer.uid == (uid_t)-1);
}

static int child_many_groups(void)
{
	static gid_t many[1000];
	struct f4_peer peer;
	auto_pair p = { .ch = F4_CHAN_INIT, .raw = -1 };
	int bad = 0;

	for (size_t i = 0; i < F4_ARRAY_LEN(many); i++)
		many[i] = (gid_t)(5000 + i);
	if (setgroups(F4_ARRAY_LEN(many), many) != 0)
		return errno == EPERM ? 77 : 1;
	p = pair_new();
	if (setgroups(0, NULL) != 0 || f4_peer_get(p.ch.fd, &peer) != 0)
		return 2;
	if (peer.ngroups != F4_ARRAY_LEN(many)) /* as they were at connect */
		return 3;
	for (size_t i = 0; i < F4_ARRAY_LEN(many); i++)
		bad += peer.groups[i] != many[i];
	f4_peer_done(&peer);
	return bad ? 4 : 0;
}

static void many_groups(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(child_many_groups());
	TEST_REQUIRE(waitpid(pid, &status, 0) == pid);
	TEST_CHECK(WIFEXITED(status));
	if (WEXITSTATUS(status) != 77) /* groups can be set by root alone */
		TEST_EQ(WEXITSTATUS(status), 0);
}

static void words(void)
{
	TEST_STREQ(f4_chan_strerror(F4_CHAN_E_EOF), "the other side has hung up");
	TEST_STREQ(f4_chan_strerror(F4_CHAN_E_CONTROL), "unknown control data");
	TEST_STREQ(f4_chan_strerror(F4_MSG_E_TWICE), "message repeated");
	TEST_STREQ(f4_chan_strerror(-EPERM), "Operation not permitted");
	TEST_STREQ(f4_chan_strerror(9999), "unknown protocol error");
}

int main(void)
{
	TEST_RUN(round_trip);
	TEST_RUN(three_descriptors);
	TEST_RUN(wrong_descriptors);
	TEST_RUN(withheld_descriptor);
	TEST_RUN(too_long);
	TEST_RUN(silence);
	TEST_RUN(deaf_peer);
	TEST_RUN(peer_death);
	TEST_RUN(death_while_waiting);
	TEST_RUN(last_words);
	TEST_RUN(refuse_fds);
	TEST_RUN(plain_drops_descriptors);
	TEST_RUN(wrong_sockets);
	TEST_RUN(small_send_buffer);
	TEST_RUN(inherited_passcred);
	TEST_RUN(connecting);
	TEST_RUN(signals);
	TEST_RUN(credentials);
	TEST_RUN(many_groups);
	TEST_RUN(words);
	return test_done();
}
