/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asking the attach broker; the contract is in broker.h. */
#include "helper/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "helper/child.h"
#include "helper/mounts.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/log.h"
#include "protocol/base/str.h"
#include "protocol/chan.h"

#define CONNECT_MS 5000
#define SEND_MS	   5000
#define ANSWER_MS  15000 /* the broker's own limits are below */
#define PATIENCE_MS 5000 /* with a broker that is busy */
#define PAUSE_MS   40

const char *f4_broker_path(void)
{
	/* For tests, and harmless: this program has its caller's rights and no more. */
	const char *path = secure_getenv("FUSE4FS_ATTACH_SOCKET");

	return path && path[0] == '/' ? path : F4_WIRE_ATTACH_PATH;
}

enum {
	AGAIN = F4_BROKER_E_NONE + 1, /* busy for the moment */
	NOT_PROVEN,		      /* the source */
};

/*
 * The answer. A broker that turns somebody away doesn't take the request out of the socket: then
 * the first receive says that the connection was reset, and the answer is behind that.
 */
static int receive(struct f4_chan *ch, struct f4_msg *ret)
{
	int r = f4_chan_recv_msg(ch, ret, 0, NULL, ANSWER_MS);

	return r == F4_CHAN_E_EOF ? f4_chan_recv_msg(ch, ret, 0, NULL, ANSWER_MS) : r;
}

static int why_not(const struct f4_msg *answer)
{
	switch (answer->answer.rule) {
	case F4_RULE_RATE:
		return AGAIN;
	case F4_RULE_SOURCE:
		return NOT_PROVEN;
	default:
		return F4_FAILED;
	}
}

/* One connection. Return: 0; F4_BROKER_E_NONE; F4_FAILED, AGAIN or NOT_PROVEN, with @f filled in. */
static int ask_once(const struct f4_msg *request, const int *fds, const char *object,
		    const sigset_t *wait_mask, struct f4_fail *f)
{
	struct f4_chan ch f4_cleanup(f4_chan_done) = F4_CHAN_INIT;
	struct f4_msg answer;
	int r = f4_chan_connect(&ch, f4_broker_path(), CONNECT_MS);

	if (r == -ENOENT || r == -ECONNREFUSED || r == -ENOTDIR || r == -EACCES) {
		f4_debug("%s: %s", f4_broker_path(), f4_chan_strerror(r));
		return F4_BROKER_E_NONE;
	}
	ch.wait_mask = wait_mask;
	if (r == 0)
		r = f4_chan_send_msg(&ch, request, fds, SEND_MS);
	if (r == 0 || r == F4_CHAN_E_EOF)
		r = receive(&ch, &answer);
	if (r == -EINTR)
		return f4_fail(f, F4_EXIT_INTERRUPTED, 0, "interrupted");
	if (r == 0 && answer.type != F4_MSG_ANSWER)
		r = F4_MSG_E_STATE;
	if (r != 0) {
		(void)f4_fail(f, F4_EXIT_SYSTEM, 0, "%s: the attach broker at %s: %s", object,
			      f4_broker_path(), f4_chan_strerror(r));
		return r == F4_CHAN_E_EOF ? AGAIN : F4_FAILED;
	}
	if (answer.answer.error == 0)
		return 0;
	(void)f4_fail(f, answer.answer.rule == F4_RULE_BUSY ? F4_EXIT_FAILED : F4_EXIT_USAGE, 0,
		      "%s: refused by the attach broker (rule %s): %s", object,
		      f4_rule_name(answer.answer.rule), answer.text);
	f->error = (int)answer.answer.error;
	return why_not(&answer);
}

static int ask(const struct f4_msg *request, const int *fds, const char *object,
	       const sigset_t *wait_mask, struct f4_fail *f)
{
	long long end = f4_now_ms() + PATIENCE_MS;
	struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };

	for (;;) {
		int r = ask_once(request, fds, object, wait_mask, f);

		if (r != AGAIN)
			return r;
		if (f4_now_ms() >= end)
			return F4_FAILED;
		f4_debug("%s; trying again", f->text);
		*f = (struct f4_fail){ 0 };
		if (ppoll(NULL, 0, &pause, wait_mask) < 0 && wait_mask)
			return f4_fail(f, F4_EXIT_INTERRUPTED, 0, "interrupted");
	}
}

static uint32_t attach_flags(const struct f4_broker_mount *m)
{
	static const struct {
		uint32_t ms, flag;
	} t[] = {
		{ MS_RDONLY, F4_ATTACH_RDONLY },
		{ MS_NOEXEC, F4_ATTACH_NOEXEC },
		{ MS_SYNCHRONOUS, F4_ATTACH_SYNC },
		{ MS_DIRSYNC, F4_ATTACH_DIRSYNC },
		{ MS_NOATIME, F4_ATTACH_NOATIME },
		{ MS_NODIRATIME, F4_ATTACH_NODIRATIME },
		{ MS_LAZYTIME, F4_ATTACH_LAZYTIME },
	};
	uint32_t flags = 0;

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++)
		flags |= m->ms_flags & t[i].ms ? t[i].flag : 0;
	if ((m->ms_flags & MS_STRICTATIME) && !(m->ms_flags & MS_NOATIME))
		flags |= F4_ATTACH_STRICTATIME;
	flags |= m->allow_other ? F4_ATTACH_ALLOW_OTHER : 0;
	flags |= m->default_permissions ? F4_ATTACH_DEFAULT_PERMISSIONS : 0;
	return flags;
}

/* Does the descriptor prove the name, as far as can be seen from here? */
static bool proves(const struct f4_broker_mount *m)
{
	f4_auto_free char *path = NULL;

	if (m->source_fd < 0 || m->source[0] != '/' || f4_fd_path(m->source_fd, &path) < 0)
		return false;
	return f4_str_eq(path, m->source);
}

int f4_broker_attach(const struct f4_broker_mount *m, const sigset_t *wait_mask,
		     struct f4_fail *f)
{
	const int fds[] = { m->fuse_fd, m->target_fd, m->source_fd };
	struct f4_msg request = {
		.type = F4_MSG_ATTACH,
		.text = m->source,
		.attach = { .flags = attach_flags(m), .max_read = m->max_read },
	};
	int r;

	if (proves(m)) {
		request.attach.flags |= F4_ATTACH_SOURCE_FD;
		r = ask(&request, fds, m->target, wait_mask, f);
		if (r != NOT_PROVEN)
			return r;
		/* Another mount namespace, or renamed meanwhile: shown with a prefix, then. */
		f4_debug("%s", f->text);
		*f = (struct f4_fail){ 0 };
		request.attach.flags &= ~F4_ATTACH_SOURCE_FD;
	}
	r = ask(&request, fds, m->target, wait_mask, f);
	return r == NOT_PROVEN ? F4_FAILED : r;
}

int f4_broker_detach(const char *path, bool lazy, const sigset_t *wait_mask, struct f4_fail *f)
{
	f4_auto_free char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	struct f4_msg request = {
		.type = F4_MSG_DETACH,
		.detach = { .flags = lazy ? F4_DETACH_LAZY : 0 },
	};
	f4_auto_fd fd = -1;

	if (!dir)
		return f4_fail_oom(f);
	if (!slash || !slash[1])
		return f4_fail(f, F4_EXIT_FAILED, EINVAL, "%s: can't be unmounted", path);
	*slash = '\0';
	request.text = slash + 1;
	fd = open(dir[0] ? dir : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return f4_fail(f, F4_EXIT_FAILED, errno, "%s: its directory can't be opened", path);
	return ask(&request, &fd, path, wait_mask, f);
}
