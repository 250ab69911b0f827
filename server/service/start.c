/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the start of the process to the image's descriptor; the contract is in start.h. */
#include "server/service/start.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "server/service/lock.h"
#include "server/service/title.h"
#include "server/service/watchdog.h"

void f4_start_fail(struct f4_start *s, enum f4_dialog_code code, int error, const char *why)
{
	bool told = f4_dialog_bye(&s->dialog, code, error, why);

	/* One failure, one line: the helper prints what it was told; a manager's journal wants it too. */
	if (!told || !s->accept.spawned)
		f4_err("%s", why);
}

void f4_start_fail_dialog(struct f4_start *s)
{
	f4_err("%s", s->dialog.why);
}

static int fail(struct f4_start *s, enum f4_dialog_code code, int error, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int fail(struct f4_start *s, enum f4_dialog_code code, int error, const char *fmt, ...)
{
	char why[F4_START_WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap); /* cut, it still tells */
	va_end(ap);
	/* Nothing is held when whoever mounts hears of it. */
	f4_source_file_done(&s->source);
	f4_source_file_done(&s->journal);
	f4_start_fail(s, code, error, why);
	return F4_START_E_FAILED;
}

static int fail_dialog(struct f4_start *s)
{
	f4_start_fail_dialog(s);
	return F4_START_E_FAILED;
}

/* The first process of a pid namespace ignores SIGABRT's default action: abort() would not end it. */
static void aborted(int sig)
{
	(void)sig;
	_exit(F4_START_EXIT_ABORTED);
}

static int begin(struct f4_start *s)
{
	const char *why;
	int r;

	r = f4_accept_check(&s->accept, &why);
	if (r < 0) {
		f4_log_init(s->program, F4_LOG_NOTICE);
		f4_err("%s", why);
		return F4_START_E_FAILED;
	}
	f4_watchdog_block_signals(&s->waiting);
	(void)signal(SIGABRT, aborted);
	r = f4_seal_prepare(&s->seal,
			    !s->accept.spawned ? F4_SEAL_MANAGER :
			    getuid() == 0      ? F4_SEAL_ROOT :
						 F4_SEAL_USER,
			    F4_ACCEPT_FD);
	f4_outlet_open(&s->outlet, s->program, s->accept.spawned);
	f4_notify_open(&s->notify);
	if (r < 0) {
		f4_err("%s", s->seal.reason);
		return F4_START_E_FAILED;
	}
	s->proc_locks = f4_lock_prepare();
	return 0;
}

static int greet(struct f4_start *s)
{
	int r;

	if (f4_dialog_init(&s->dialog, F4_ACCEPT_FD, &s->waiting) || f4_dialog_hello(&s->dialog))
		return fail_dialog(s);
	r = f4_dialog_first(&s->dialog, &s->argv_fd, &s->fuse_fd);
	if (r == F4_DIALOG_E_BROKEN)
		return fail_dialog(s);
	if (r < 0)
		return fail(s, F4_DIALOG_FAILED, -r, "%s: %s", s->dialog.why, strerror(-r));
	r = f4_fd_expect(s->fuse_fd, F4_FD_FUSE, O_RDWR);
	if (r)
		return fail(s, F4_DIALOG_FAILED, EBADF, "what the helper sent as fusedev is not "
							"/dev/fuse, open for reading and writing");
	return 0;
}

static void tell_main_process(void *arg, pid_t child)
{
	const struct f4_start *s = arg;

	/* Type=notify follows the process that is the main one from now on. */
	f4_notify_send(&s->notify, "MAINPID=%d", child);
}

static int isolate(struct f4_start *s)
{
	s->seal.parent = tell_main_process;
	s->seal.parent_arg = s;
	if (f4_seal_isolate(&s->seal) < 0)
		return fail(s, F4_DIALOG_FAILED, EPERM, "the server can't be sealed: %s",
			    s->seal.reason);
	if (s->seal.notes[0])
		f4_warn("sealed without: %s", s->seal.notes);
	return 0;
}

/* --- gather -------------------------------------------------------------------------------- */

static int read_options(struct f4_start *s)
{
	struct f4_cmdline *c = &s->cmdline;
	char source[256], dir[256];
	int r;

	r = f4_argv_read(s->argv_fd, &s->argv);
	f4_close_p(&s->argv_fd);
	if (r)
		return fail(s, F4_DIALOG_USAGE, EINVAL, "the helper's arguments: %s",
			    f4_argv_strerror(r));
	/* The parser takes what main() gets; it changes no string. */
	r = f4_cmdline_parse(c, (int)s->argv.argc, (char *const *)(uintptr_t)s->argv.argv);
	if (r == F4_CMDLINE_E_USAGE)
		return fail(s, F4_DIALOG_USAGE, EINVAL, "%s", c->message);
	if (r < 0)
		return fail(s, F4_DIALOG_INTERNAL, -r, "options: %s", strerror(-r));
	if (c->help || c->version || !c->source || !c->dir)
		return fail(s, F4_DIALOG_USAGE, EINVAL, "the helper named no source and mount point");

	(void)f4_escape(source, sizeof(source), c->source, strlen(c->source));
	(void)f4_escape(dir, sizeof(dir), c->dir, strlen(c->dir));
	(void)snprintf(s->shown, sizeof(s->shown), "%s on %s", source, dir); /* cut, for people */
	f4_title_set("%s: %s", s->program, s->shown);
	if (c->opts.debug || c->verbose)
		f4_outlet_stay(&s->outlet, s->program);
	if (c->opts.ignored)
		f4_debug("without effect: %s", c->opts.ignored);
	return 0;
}

static int get_files(struct f4_start *s)
{
	const struct f4_opts *o = &s->cmdline.opts;
	struct f4_source_request req = {
		.path = s->cmdline.source,
		.read_only = f4_opts_ro(o),
		.direct = o->direct_io_device,
		.may_be_fuseblk = s->dialog.hello_flags & F4_HELLO_FUSEBLK,
		.proc_locks = s->proc_locks,
	};
	struct f4_source_failure why;
	int r;

	r = f4_source_get(&s->dialog, &req, &s->source, &why);
	if (r == 0 && o->journal_path) {
		req.path = o->journal_path;
		req.direct = req.may_be_fuseblk = false;
		r = f4_source_get(&s->dialog, &req, &s->journal, &why);
	}
	f4_close_p(&s->proc_locks);
	if (r == F4_DIALOG_E_BROKEN)
		return fail_dialog(s);
	if (r)
		return fail(s, F4_DIALOG_FAILED, why.error, "%s", why.text);
	return 0;
}

int f4_start_run(struct f4_start *s, const char *program)
{
	static int (*const steps[])(struct f4_start *) = { begin, greet, isolate, read_options,
							   get_files };
	int r = 0;

	s->program = program;
	for (size_t i = 0; i < F4_ARRAY_LEN(steps) && r == 0; i++)
		r = steps[i](s);
	return r;
}

void f4_start_done(struct f4_start *s)
{
	f4_dialog_done(&s->dialog);
	f4_close_p(&s->fuse_fd);
	f4_close_p(&s->argv_fd);
	f4_close_p(&s->proc_locks);
	f4_source_file_done(&s->source);
	f4_source_file_done(&s->journal);
	f4_cmdline_done(&s->cmdline);
	f4_argv_done(&s->argv);
	f4_notify_done(&s->notify);
	f4_seal_done(&s->seal);
}
