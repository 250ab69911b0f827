/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The conversation against a peer in this process: what a case with a whole helper can't show in
 * reasonable time (limits), and what the honest steps look like from outside. The hostile rows are
 * in tests/cases/mount-hostile-server.
 */
#include "helper/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/child.h"
#include "protocol/argv.h"
#include "protocol/base/cleanup.h"
#include "tests/lib/check.h"

#define LIMIT_MS 200

/* How far the peer goes before it falls silent. */
enum stop { STOP_HELLO, STOP_FIRST_FILES, STOP_ASKED, STOP_NEVER };

struct peer {
	struct f4_chan ch;
	enum stop stop;
	unsigned int argc;
	char args[8][64];
	int fds_seen;
};

static struct {
	struct f4_talk_asked asked;
	int calls, fail_with;
} mount_call;

static int take_mount(void *arg, const struct f4_talk_asked *asked, struct f4_fail *f)
{
	mount_call.calls++;
	mount_call.asked = *asked;
	if (mount_call.fail_with)
		return f4_fail(f, F4_EXIT_FAILED, mount_call.fail_with, "no mount");
	return 0;
}

static void note_args(struct peer *p, int fd)
{
	struct f4_argv a = F4_ARGV_INIT;

	if (f4_argv_read(fd, &a) != 0)
		return;
	p->argc = a.argc;
	for (unsigned int i = 0; i < a.argc && i < 8; i++)
		(void)snprintf(p->args[i], sizeof(p->args[i]), "%s", a.argv[i]);
	f4_argv_done(&a);
}

static int ask(struct peer *p, const struct f4_msg *m)
{
	struct f4_chan_fds fds = { 0 };
	struct f4_msg answer;

	if (f4_chan_send_msg(&p->ch, m, NULL, 2000) != 0 ||
	    f4_chan_recv_msg(&p->ch, &answer, 1, &fds, 2000) != 0)
		return -1;
	p->fds_seen += (int)fds.n;
	f4_chan_fds_done(&fds);
	return (int)(answer.type == F4_MSG_FILE ? answer.file.error : answer.reply.error);
}

/* Wait until the other end hangs up. */
static void wait_end(struct peer *p)
{
	struct f4_msg m;

	(void)f4_chan_recv_msg(&p->ch, &m, 0, NULL, 10000);
}

static int first(struct peer *p)
{
	struct f4_msg m, reply = { .type = F4_MSG_HELLO_REPLY, .hello_reply.version = 1 };

	if (f4_chan_recv_msg(&p->ch, &m, 0, NULL, 2000) != 0 || m.type != F4_MSG_HELLO)
		return -1;
	if (p->stop == STOP_HELLO)
		return 1;
	if (f4_chan_send_msg(&p->ch, &reply, NULL, 2000) != 0)
		return -1;
	for (int i = 0; i < 2; i++) {
		struct f4_chan_fds fds = { 0 };

		if (f4_chan_recv_msg(&p->ch, &m, 1, &fds, 2000) != 0 || m.type != F4_MSG_FILE)
			return -1;
		if (i == 0)
			note_args(p, fds.fd[0]);
		p->fds_seen += (int)fds.n;
		f4_chan_fds_done(&fds);
	}
	return p->stop == STOP_FIRST_FILES;
}

static void *serve(void *arg)
{
	struct peer *p = arg;
	const struct f4_msg steps[] = {
		{ .type = F4_MSG_OPEN, .text = "image", .open.open_flags = O_RDWR },
		{ .type = F4_MSG_FSOPEN },
		{ .type = F4_MSG_SOURCE, .text = "/etc/passwd" },
		{ .type = F4_MSG_MOUNTPOINT, .text = "dir", .mountpoint.format = S_IFDIR },
		{ .type = F4_MSG_MNTOPTS, .text = "max_read=65536,ro" },
		{ .type = F4_MSG_MTABOPTS, .text = "a,-n" },
		{ .type = F4_MSG_MOUNT, .mount.ms_flags = MS_NOEXEC | MS_REMOUNT | MS_BIND },
	};
	struct f4_msg bye = { .type = F4_MSG_BYE };
	int error = 0;

	if (first(p) != 0) {
		wait_end(p);
		return NULL;
	}
	for (size_t i = 0; i < F4_ARRAY_LEN(steps); i++) {
		error = ask(p, &steps[i]);
		if (i == 3 && p->stop == STOP_ASKED) {
			wait_end(p);
			return NULL;
		}
	}
	bye.bye.exit_code = error ? 32 : 0;
	(void)f4_chan_send_msg(&p->ch, &bye, NULL, 2000);
	wait_end(p);
	return NULL;
}

struct world {
	struct f4_cmdline cmdline;
	struct f4_source source;
	struct f4_target target;
	struct f4_fail f;
	struct f4_talk talk;
	struct peer peer;
	char dir[32], cwd[4096];
};

static void setup(struct world *w)
{
	static char *const argv[] = { (char *)"x", (char *)"-t", (char *)"fuse.fuse4fs", (char *)"image",
				      (char *)"-orw", (char *)"dir", (char *)"-ocommit=3" };
	struct f4_fail f = { 0 };

	*w = (struct world){ .dir = "/tmp/f4talk.XXXXXX" };
	mount_call.calls = mount_call.fail_with = 0;
	if (!getcwd(w->cwd, sizeof(w->cwd)) || !mkdtemp(w->dir) || chdir(w->dir) < 0 ||
	    mkdir("dir", 0700) < 0 || close(open("image", O_CREAT | O_RDWR, 0600)) < 0 ||
	    f4_cmdline_parse(&w->cmdline, 7, argv) != 0 ||
	    f4_source_init(&w->source, "image", &f) != 0 ||
	    f4_target_init(&w->target, "dir", "fuse4fs", true, &f) != 0)
		abort();
}

static void teardown(struct world *w)
{
	f4_target_done(&w->target);
	f4_source_done(&w->source);
	f4_cmdline_done(&w->cmdline);
	if (unlink("image") < 0 || rmdir("dir") < 0 || chdir(w->cwd) < 0 || rmdir(w->dir) < 0)
		abort();
}

static int run(struct world *w, enum stop stop)
{
	struct f4_chan ch f4_cleanup(f4_chan_done) = F4_CHAN_INIT;
	f4_auto_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pthread_t thread;
	int ends[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0 ||
	    f4_chan_init(&ch, ends[0]) != 0 || f4_chan_init(&w->peer.ch, ends[1]) != 0)
		abort();
	w->peer.stop = stop;
	w->talk = (struct f4_talk){
		.ch = &ch,
		.cmdline = &w->cmdline,
		.subtype = "fuse4fs",
		.source = &w->source,
		.target = &w->target,
		.fuse_fd = null,
		.hello_ms = LIMIT_MS,
		.command_ms = stop == STOP_NEVER ? 5000 : LIMIT_MS,
		.mount = take_mount,
	};
	if (pthread_create(&thread, NULL, serve, &w->peer) != 0)
		abort();
	rc = f4_talk_run(&w->talk, &w->f);
	f4_chan_done(&ch);
	(void)pthread_join(thread, NULL);
	f4_chan_done(&w->peer.ch);
	return rc;
}

static void good(void)
{
	static const char *const want[] = { "fuse4fs", "-o", "rw,commit=3", "image", "dir" };
	struct world w;

	setup(&w);
	TEST_EQ(run(&w, STOP_NEVER), 0);
	TEST_EQ(w.f.status, F4_EXIT_OK);
	TEST_EQ(mount_call.calls, 1);
	/* only what narrows came through */
	TEST_EQ(mount_call.asked.ms_flags, MS_NOEXEC | MS_RDONLY);
	TEST_EQ(mount_call.asked.max_read, 65536);
	TEST_CHECK(!mount_call.asked.fuseblk && mount_call.asked.no_utab);
	TEST_EQ(w.peer.fds_seen, 3);
	TEST_EQ(w.peer.argc, F4_ARRAY_LEN(want));
	for (size_t i = 0; i < F4_ARRAY_LEN(want); i++)
		TEST_STREQ(w.peer.args[i], want[i]);
	teardown(&w);
}

static void mount_fails(void)
{
	struct world w;

	setup(&w);
	mount_call.fail_with = EBUSY;
	TEST_EQ(run(&w, STOP_NEVER), F4_FAILED);
	TEST_EQ(w.f.status, F4_EXIT_FAILED);
	TEST_EQ(w.f.error, EBUSY);
	TEST_STREQ(w.f.text, "no mount: Device or resource busy");
	teardown(&w);
}

static void silence(void)
{
	static const struct {
		enum stop stop;
		const char *says;
	} t[] = {
		{ STOP_HELLO, "the server says nothing after the hello" },
		{ STOP_FIRST_FILES, "the server says nothing between commands" },
		{ STOP_ASKED, "the server says nothing between commands" },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		long long start = f4_now_ms();
		struct world w;

		setup(&w);
		TEST_EQ(run(&w, t[i].stop), F4_FAILED);
		TEST_EQ(w.f.status, F4_EXIT_FAILED);
		TEST_CHECK(strstr(w.f.text, t[i].says) != NULL);
		TEST_CHECK(f4_now_ms() - start >= LIMIT_MS - 1 && f4_now_ms() - start < 5000);
		teardown(&w);
	}
}

int main(void)
{
	TEST_RUN(good);
	TEST_RUN(mount_fails);
	TEST_RUN(silence);
	return test_done();
}
