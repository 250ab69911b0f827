/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The conversation with the server; the contract is in talk.h. */
#include "helper/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "protocol/argv.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/log.h"
#include "protocol/base/str.h"
#include "protocol/conv.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256 /* Linux 5.10, include/uapi/linux/mount.h */
#endif

/* Flags of DOIT that take something away from whoever uses the mount. */
#define NARROWING_FLAGS                                                                      \
	(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW | MS_SYNCHRONOUS | \
	 MS_DIRSYNC | MS_NOATIME | MS_NODIRATIME)

/* What OPEN and BDEV may ask for besides the access mode. */
#define OPEN_FLAGS_OK                                                                 \
	(O_ACCMODE | O_EXCL | O_DIRECT | O_SYNC | O_DSYNC | O_CLOEXEC | O_LARGEFILE | \
	 O_NONBLOCK | O_NOCTTY | O_NOFOLLOW)
#define OPEN_FLAGS_PASSED (O_ACCMODE | O_EXCL | O_DIRECT | O_SYNC | O_DSYNC)

#define ARGS_MAX       8u
#define MAX_READ_MIN   4096u
#define BLOCK_SIZE_MIN 512u
#define BLOCK_SIZE_MAX 65536u

struct state {
	struct f4_talk *t;
	struct f4_conv conv;
	struct f4_fail *f;
	struct f4_fail open_fail; /* why the last open failed: the reason, if the server gives up */
	bool source_given, journal_given, source_excl;
	bool mounted;
	unsigned int refusals;
	int chan_rc;  /* how the channel broke */
	char *reason; /* owned: the server's own words about its failure */
};

/* Words and status for a channel that broke. */
static int chan_failed(struct state *s, int rc, const char *when)
{
	s->chan_rc = rc;
	if (rc == F4_CHAN_E_EOF)
		return f4_fail(s->f, F4_EXIT_FAILED, 0,
			       "the server ended without a word%s%s", when[0] ? " " : "", when);
	if (rc == F4_CHAN_E_TIMEOUT)
		return f4_fail(s->f, F4_EXIT_FAILED, ETIMEDOUT, "the server says nothing%s%s",
			       when[0] ? " " : "", when);
	if (rc == -EINTR)
		return f4_fail(s->f, F4_EXIT_INTERRUPTED, 0, "interrupted");
	if (rc == -ENOMEM)
		return f4_fail_oom(s->f);
	return f4_fail(s->f, F4_EXIT_FAILED, 0, "the server breaks the protocol%s%s: %s",
		       when[0] ? " " : "", when, f4_chan_strerror(rc));
}

static int send_msg(struct state *s, const struct f4_msg *m, const int *fd)
{
	int rc = f4_conv_take(&s->conv, m);

	if (rc == 0)
		rc = f4_chan_send_msg(s->t->ch, m, fd, s->t->command_ms);
	return rc == 0 ? 0 : chan_failed(s, rc, f4_conv_state_name(s->conv.state));
}

static int receive(struct state *s, struct f4_msg *m, int timeout_ms)
{
	const char *when = f4_conv_state_name(s->conv.state);
	int rc = f4_chan_recv_msg(s->t->ch, m, 0, NULL, timeout_ms);

	if (rc == 0)
		rc = f4_conv_take(&s->conv, m);
	if (rc != 0)
		return chan_failed(s, rc, when);
	f4_debug("server: %s %s", f4_msg_name(m->type), m->text ? m->text : "");
	return 0;
}

static int reply(struct state *s, int error)
{
	struct f4_msg m = { .type = F4_MSG_REPLY, .reply.error = (uint32_t)error };

	return send_msg(s, &m, NULL);
}

static int send_file(struct state *s, const char *name, int fd, int error)
{
	struct f4_msg m = { .type = F4_MSG_FILE, .text = name, .file.error = (uint32_t)error };

	return send_msg(s, &m, error ? NULL : &fd);
}

/* A wish of the server's is refused. Return: 0, or F4_FAILED when that was one too many. */
static int refused(struct state *s, const struct f4_msg *m, const char *why)
{
	f4_warn("refused to the server: %s %s: %s", f4_msg_name(m->type), m->text ? m->text : "",
		why);
	if (++s->refusals <= F4_TALK_REFUSALS_MAX)
		return 0;
	return f4_fail(s->f, F4_EXIT_FAILED, EPERM, "the server asks for what it may not have");
}

static int refuse_reply(struct state *s, const struct f4_msg *m, int error, const char *why)
{
	return refused(s, m, why) != 0 ? F4_FAILED : reply(s, error);
}

static int refuse_file(struct state *s, const struct f4_msg *m, int error, const char *why)
{
	return refused(s, m, why) != 0 ? F4_FAILED : send_file(s, m->text, -1, error);
}

/* --- hello and what is sent unasked ------------------------------------------------------- */

static int greet(struct state *s)
{
	struct f4_msg m = {
		.type = F4_MSG_HELLO,
		.hello = { F4_WIRE_VERSION, F4_WIRE_VERSION,
			   (s->t->offer_allow_other ? F4_HELLO_ALLOW_OTHER : 0) |
				   (s->t->offer_fuseblk ? F4_HELLO_FUSEBLK : 0) },
	};

	if (send_msg(s, &m, NULL) == 0 && receive(s, &m, s->t->hello_ms) == 0)
		return 0;
	/* A service manager that closes connections, or is too busy to start servers: nothing was sent. */
	if (!s->t->may_fall_back || (s->chan_rc != F4_CHAN_E_EOF && s->chan_rc != F4_CHAN_E_TIMEOUT &&
				     s->chan_rc != -ECONNRESET && s->chan_rc != -EPIPE))
		return F4_FAILED;
	f4_debug("%s", s->f->text);
	*s->f = (struct f4_fail){ 0 };
	return F4_TALK_E_FALLBACK;
}

/*
 * The command line for the server, in one fixed order. -t is left out, as upstream does; -f, -n and
 * -v are the helper's own (a server that stays verbose would keep the caller's stderr open). "--" only where an operand needs it: not every server knows it.
 */
static int make_argv(const struct f4_talk *t, int *ret_fd)
{
	const struct f4_cmdline *c = t->cmdline;
	const char *argv[ARGS_MAX];
	unsigned int n = 0;

	argv[n++] = t->subtype;
	if (c->sloppy)
		argv[n++] = "-s";
	if (c->words) {
		argv[n++] = "-o";
		argv[n++] = c->words;
	}
	if (c->source[0] == '-' || c->dir[0] == '-')
		argv[n++] = "--";
	argv[n++] = c->source;
	argv[n++] = c->dir;
	return f4_argv_create(n, argv, ret_fd);
}

static int send_first_files(struct state *s)
{
	f4_auto_fd argv_fd = -1;
	int rc = make_argv(s->t, &argv_fd);

	if (rc < 0)
		return f4_fail(s->f, F4_EXIT_SYSTEM, -rc, "the arguments can't be passed on");
	if (send_file(s, F4_FILE_ARGV, argv_fd, 0) != 0)
		return F4_FAILED;
	return send_file(s, F4_FILE_FUSEDEV, s->t->fuse_fd, 0);
}

/* --- files -------------------------------------------------------------------------------- */

static int set_block_size(int fd, uint32_t bytes)
{
	int size = (int)bytes;

	return ioctl(fd, BLKBSZSET, &size) < 0 ? errno : 0;
}

/* Open @src for the server. Return: the descriptor or -errno. */
static int open_for_server(struct state *s, struct f4_source *src, const struct f4_msg *m)
{
	int flags = (int)m->open.open_flags & OPEN_FLAGS_PASSED, fd, error;
	bool block = f4_source_is_block(src);

	if (m->type == F4_MSG_OPEN_BDEV && !block)
		return -ENOTBLK;
	/*
	 * A device is held exclusively, always: by this descriptor, or, where the mount may become
	 * fuseblk and the kernel is to claim it, by the claim of ours until then.
	 */
	if (block && !(s->t->offer_fuseblk && src == s->t->source))
		flags |= O_EXCL;
	if (!block)
		flags &= ~O_EXCL; /* without O_CREAT it means nothing on a file */
	if (flags & O_EXCL)
		f4_source_unclaim(src);
	fd = f4_source_open(src, flags);
	if (fd < 0)
		return fd;
	if (src == s->t->source)
		s->source_excl = (flags & O_EXCL) != 0;
	if (m->type == F4_MSG_OPEN_BDEV && m->open.block_size) {
		error = set_block_size(src->claim_fd >= 0 ? src->claim_fd : fd, m->open.block_size);
		if (error) {
			(void)close(fd);
			return -error;
		}
	}
	return fd;
}

static void note_open_failure(struct state *s, const struct f4_msg *m, int error)
{
	bool writing = (m->open.open_flags & O_ACCMODE) != O_RDONLY;

	/* A server that tries a block device first hears ENOTBLK and asks again: no reason yet. */
	if (error == ENOTBLK || (m->open.request_flags & F4_OPEN_QUIET))
		return;
	s->open_fail = (struct f4_fail){ 0 };
	(void)f4_fail(&s->open_fail, F4_EXIT_FAILED, error,
		      writing && (error == EACCES || error == EROFS || error == EPERM) ?
			      "%s: can't be opened for writing (mount it with -o ro?)" :
			      "%s: can't be opened",
		      m->text);
}

static int on_open(struct state *s, const struct f4_msg *m)
{
	struct f4_talk *t = s->t;
	struct f4_source *src = NULL;
	f4_auto_fd fd = -1;
	bool *given;

	if (f4_str_eq(m->text, t->source->name))
		src = t->source;
	else if (t->journal && f4_str_eq(m->text, t->journal->name))
		src = t->journal;
	if (!src)
		return refuse_file(s, m, EACCES, "the caller named no such file");
	given = src == t->source ? &s->source_given : &s->journal_given;
	if (*given)
		return refuse_file(s, m, EACCES, "it has it already");
	if (m->open.open_flags & ~(uint32_t)OPEN_FLAGS_OK)
		return refuse_file(s, m, EPERM, "open flags that it may not have");
	if (f4_opts_ro(&t->cmdline->opts) && (m->open.open_flags & O_ACCMODE) != O_RDONLY)
		return refuse_file(s, m, EROFS, "the mount is read-only");
	fd = open_for_server(s, src, m);
	if (fd < 0) {
		note_open_failure(s, m, -fd);
		if (++s->refusals > F4_TALK_REFUSALS_MAX)
			return f4_fail(s->f, F4_EXIT_FAILED, -fd, "%s: can't be opened", m->text);
		return send_file(s, m->text, -1, -fd);
	}
	*given = true;
	return send_file(s, m->text, fd, 0);
}

/* --- the mount ---------------------------------------------------------------------------- */

static int on_fsopen(struct state *s, const struct f4_msg *m)
{
	bool blk = (m->fsopen.flags & F4_FSOPEN_FUSEBLK) != 0;

	if (blk && !s->t->offer_fuseblk)
		return refuse_reply(s, m, EPERM, "fuseblk was not offered");
	if (blk && s->source_excl)
		return refuse_reply(s, m, EBUSY, "it holds the device exclusively, so the kernel "
						 "can't");
	if (!blk && s->t->offer_fuseblk && s->source_given && !s->source_excl)
		return refuse_reply(s, m, EINVAL, "it would leave the device unprotected");
	s->t->asked.fuseblk = blk;
	return reply(s, 0);
}

static int on_mountpoint(struct state *s, const struct f4_msg *m)
{
	mode_t have = s->t->target->st.st_mode & S_IFMT;

	if (!f4_str_eq(m->text, s->t->cmdline->dir))
		return refuse_reply(s, m, EACCES, "the caller named another mount point");
	if (m->mountpoint.format && m->mountpoint.format != have) {
		(void)f4_fail(s->f, F4_EXIT_FAILED, have == S_IFDIR ? EISDIR : ENOTDIR,
			      "%s: can't be mounted on", m->text);
		return reply(s, have == S_IFDIR ? EISDIR : ENOTDIR);
	}
	return reply(s, 0);
}

/* One word of OPTS. Return: 0, or the errno to refuse it with. */
static int take_option(struct state *s, const char *word)
{
	static const struct {
		const char *name;
		uint32_t ms;
	} flags[] = {
		{ "ro", MS_RDONLY },
		{ "nosuid", MS_NOSUID },
		{ "nodev", MS_NODEV },
		{ "noexec", MS_NOEXEC },
		{ "default_permissions", 0 }, /* the helper sets it anyway, where it is right */
		{ "", 0 },
	};
	struct f4_talk_asked *a = &s->t->asked;
	const char *value;
	uint64_t n;

	for (size_t i = 0; i < F4_ARRAY_LEN(flags); i++) {
		if (f4_str_eq(word, flags[i].name)) {
			a->ms_flags |= flags[i].ms;
			return 0;
		}
	}
	if (f4_str_eq(word, "allow_other")) /* the helper decides; a server may only know of it */
		return s->t->offer_allow_other ? 0 : EPERM;
	value = f4_str_after(word, "max_read=");
	if (value && f4_str_to_u64(value, 10, UINT32_MAX, &n) == 0 && n >= MAX_READ_MIN) {
		a->max_read = (uint32_t)n;
		return 0;
	}
	value = f4_str_after(word, "blksize=");
	if (value && f4_str_to_u64(value, 10, BLOCK_SIZE_MAX, &n) == 0 && n >= BLOCK_SIZE_MIN &&
	    (n & (n - 1)) == 0) {
		a->block_size = (uint32_t)n;
		return 0;
	}
	return EPERM;
}

static int on_mntopts(struct state *s, const struct f4_msg *m)
{
	f4_auto_free char *words = strdup(m->text);
	char *word = words;

	if (!words)
		return f4_fail_oom(s->f);
	while (word) {
		char *comma = strchr(word, ',');
		int error;

		if (comma)
			*comma++ = '\0';
		error = take_option(s, word);
		if (error)
			return refuse_reply(s, m, error, "a mount option that it may not set");
		word = comma;
	}
	return reply(s, 0);
}

static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		if (strncmp(p, word, len) == 0 && (p[len] == '\0' || p[len] == ','))
			return true;
	return false;
}

/* Options for utab, or, in this dress, why our server is going to fail (wire.h). */
static int on_mtabopts(struct state *s, const struct f4_msg *m)
{
	const char *number = f4_str_after(m->text, F4_MTAB_ERRNO);
	const char *words = number ? strstr(number, F4_MTAB_REASON) : NULL;
	char digits[8];
	uint64_t n;

	if (has_word(m->text, "-n"))
		s->t->asked.no_utab = true;
	if (!words)
		return reply(s, 0);
	if ((size_t)(words - number) < sizeof(digits)) {
		memcpy(digits, number, (size_t)(words - number));
		digits[words - number] = '\0';
		if (f4_str_to_u64(digits, 10, F4_WIRE_ERRNO_MAX, &n) == 0)
			s->t->reason_errno = (int)n;
	}
	free(s->reason);
	s->reason = strdup(words + strlen(F4_MTAB_REASON));
	return s->reason ? reply(s, 0) : f4_fail_oom(s->f);
}

static int on_mount(struct state *s, const struct f4_msg *m)
{
	struct f4_talk *t = s->t;

	if (s->f->status != F4_EXIT_OK)
		return F4_FAILED; /* it failed before, and nothing has changed */
	if (!s->source_given)
		return refuse_reply(s, m, EINVAL, "it never asked for the source");
	t->asked.ms_flags |= m->mount.ms_flags & (uint32_t)NARROWING_FLAGS;
	if (t->mount(t->arg, &t->asked, s->f) != 0)
		return reply(s, s->f->error ? s->f->error : EIO);
	s->mounted = true;
	return reply(s, 0);
}

static enum f4_exit exit_status(uint32_t code)
{
	switch (code) {
	case F4_EXIT_USAGE:
	case F4_EXIT_SYSTEM:
	case F4_EXIT_INTERNAL:
	case F4_EXIT_INTERRUPTED:
		return (enum f4_exit)code;
	default:
		return F4_EXIT_FAILED;
	}
}

static int on_bye(struct state *s, const struct f4_msg *m)
{
	if (m->bye.exit_code == 0 && s->mounted)
		return 0;
	if (s->f->status != F4_EXIT_OK)
		return F4_FAILED; /* the helper knows why by itself */
	if (s->open_fail.status != F4_EXIT_OK) {
		*s->f = s->open_fail;
		return F4_FAILED;
	}
	if (m->bye.exit_code == F4_BYE_FALLBACK && !s->mounted && !s->reason)
		return F4_TALK_E_FALLBACK;
	if (s->reason)
		return f4_fail(s->f, exit_status(m->bye.exit_code), 0, "%s", s->reason);
	return f4_fail(s->f, exit_status(m->bye.exit_code), 0,
		       "the server gave up (code %u); its log says why", m->bye.exit_code);
}

static int step(struct state *s, const struct f4_msg *m)
{
	switch (m->type) {
	case F4_MSG_OPEN:
	case F4_MSG_OPEN_BDEV:
		return on_open(s, m);
	case F4_MSG_FSOPEN:
		return on_fsopen(s, m);
	case F4_MSG_SOURCE:
		return reply(s, 0); /* what is shown comes from the caller's name for it */
	case F4_MSG_MOUNTPOINT:
		return on_mountpoint(s, m);
	case F4_MSG_MNTOPTS:
		return on_mntopts(s, m);
	case F4_MSG_MTABOPTS:
		return on_mtabopts(s, m);
	case F4_MSG_MOUNT:
		return on_mount(s, m);
	case F4_MSG_HELLO:
	case F4_MSG_HELLO_REPLY:
	case F4_MSG_FILE:
	case F4_MSG_BYE:
	case F4_MSG_REPLY:
	case F4_MSG_ATTACH:
	case F4_MSG_DETACH:
	case F4_MSG_ANSWER:
	case F4_MSG_MAX:
	default:
		return f4_fail(s->f, F4_EXIT_INTERNAL, 0, "message %s let through",
			       f4_msg_name(m->type)); /* conv.h lets none of these come here */
	}
}

static int converse(struct state *s)
{
	struct f4_msg m;
	int rc = greet(s);

	if (rc != 0)
		return rc;
	if (send_first_files(s) != 0)
		return F4_FAILED;
	for (;;) {
		if (receive(s, &m, s->t->command_ms) != 0)
			return F4_FAILED;
		if (m.type == F4_MSG_BYE)
			return on_bye(s, &m);
		if (step(s, &m) != 0)
			return F4_FAILED;
	}
}

int f4_talk_run(struct f4_talk *t, struct f4_fail *f)
{
	struct state s = { .t = t, .f = f };
	int rc;

	t->asked = (struct f4_talk_asked){ 0 };
	t->reason_errno = 0;
	t->ch->wait_mask = t->wait_mask;
	f4_conv_init(&s.conv, F4_CONV_HELLO);
	/* No message of a server's carries a descriptor. */
	rc = f4_chan_refuse_fds(t->ch);
	if (rc < 0)
		rc = f4_fail(f, F4_EXIT_SYSTEM, -rc, "the server's socket");
	else
		rc = converse(&s);
	free(s.reason);
	return rc;
}
