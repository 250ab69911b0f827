/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The server's side of the service protocol; the contract is in dialog.h. */
#include "server/service/dialog.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/str.h"

#define REASON_MAX 1536u /* bytes of a reason that are sent: the helper prints one line */

static int broken(struct f4_dialog *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int broken(struct f4_dialog *d, const char *fmt, ...)
{
	va_list ap;

	d->broken = true;
	va_start(ap, fmt);
	(void)vsnprintf(d->why, sizeof(d->why), fmt, ap); /* cut, it still tells */
	va_end(ap);
	return F4_DIALOG_E_BROKEN;
}

/* What went wrong on the channel, and when. */
static int chan_broken(struct f4_dialog *d, int rc, const char *when)
{
	if (rc == F4_CHAN_E_EOF)
		return broken(d, "the helper left %s", when);
	if (rc == F4_CHAN_E_TIMEOUT)
		return broken(d, "the helper says nothing %s", when);
	if (rc == -EINTR)
		return broken(d, "asked to end %s", when);
	return broken(d, "%s: %s", when, f4_chan_strerror(rc));
}

static int send_msg(struct f4_dialog *d, const struct f4_msg *m, const char *when)
{
	int rc;

	if (d->broken)
		return F4_DIALOG_E_BROKEN;
	rc = f4_conv_take(&d->conv, m);
	if (rc == 0)
		rc = f4_chan_send_msg(&d->chan, m, NULL, F4_DIALOG_REPLY_MS);
	return rc ? chan_broken(d, rc, when) : 0;
}

static int receive(struct f4_dialog *d, struct f4_msg *m, struct f4_chan_fds *fds, int timeout_ms,
		   const char *when)
{
	int rc;

	if (d->broken)
		return F4_DIALOG_E_BROKEN;
	rc = f4_chan_recv_msg(&d->chan, m, fds ? 1 : 0, fds, timeout_ms);
	if (rc)
		return chan_broken(d, rc, when);
	rc = f4_conv_take(&d->conv, m);
	if (rc == 0)
		return 0;
	if (fds)
		f4_chan_fds_done(fds);
	return broken(d, "%s: %s came: %s", when, f4_msg_name(m->type), f4_chan_strerror(rc));
}

int f4_dialog_init(struct f4_dialog *d, int fd, const sigset_t *wait_mask)
{
	int r;

	*d = (struct f4_dialog)F4_DIALOG_INIT;
	f4_conv_init(&d->conv, F4_CONV_HELLO);
	r = f4_chan_init(&d->chan, fd);
	if (r < 0)
		return chan_broken(d, r, "the service socket");
	d->chan.wait_mask = wait_mask;
	return 0;
}

void f4_dialog_done(struct f4_dialog *d)
{
	f4_chan_done(&d->chan);
}

int f4_dialog_hello(struct f4_dialog *d)
{
	struct f4_msg m, reply = { .type = F4_MSG_HELLO_REPLY,
				   .hello_reply.version = F4_WIRE_VERSION };
	int r;

	r = receive(d, &m, NULL, F4_DIALOG_HELLO_MS, "before its greeting");
	if (r)
		return r;
	d->hello_flags = m.hello.flags;
	return send_msg(d, &reply, "at the greeting");
}

/* One FILE. Return: 0, -errno that the helper sent, F4_DIALOG_E_BROKEN. */
static int receive_file(struct f4_dialog *d, const char *name, int timeout_ms, int *ret_fd)
{
	struct f4_chan_fds fds = { 0 };
	char when[96];
	struct f4_msg m;
	int r;

	(void)snprintf(when, sizeof(when), "when it should have sent %.40s", name);
	r = receive(d, &m, &fds, timeout_ms, when);
	if (r)
		return r;
	/* The dialog's table lets only FILE through here, and the channel one descriptor with it. */
	if (!f4_str_eq(m.text, name)) {
		f4_chan_fds_done(&fds);
		return broken(d, "the helper sent another file than %.100s", name);
	}
	if (m.file.error)
		return -(int)m.file.error;
	*ret_fd = f4_take_fd(&fds.fd[0]);
	return 0;
}

int f4_dialog_first(struct f4_dialog *d, int *ret_argv_fd, int *ret_fuse_fd)
{
	f4_auto_fd argv_fd = -1;
	int r;

	r = receive_file(d, F4_FILE_ARGV, F4_DIALOG_FIRST_MS, &argv_fd);
	if (r < 0)
		(void)snprintf(d->why, sizeof(d->why), "the helper has no arguments to send");
	if (r)
		return r;
	r = receive_file(d, F4_FILE_FUSEDEV, F4_DIALOG_FIRST_MS, ret_fuse_fd);
	if (r < 0)
		(void)snprintf(d->why, sizeof(d->why), "the helper has no /dev/fuse to send");
	if (r)
		return r;
	*ret_argv_fd = f4_take_fd(&argv_fd);
	return 0;
}

int f4_dialog_open(struct f4_dialog *d, bool bdev, const char *path, int flags, int *ret_fd)
{
	struct f4_msg m = {
		.type = bdev ? F4_MSG_OPEN_BDEV : F4_MSG_OPEN,
		.text = path,
		.open = { .open_flags = (uint32_t)flags },
	};
	int r;

	r = send_msg(d, &m, "asking for a file");
	if (r)
		return r;
	return receive_file(d, path, F4_DIALOG_OPEN_MS, ret_fd);
}

void f4_dialog_seal(struct f4_dialog *d)
{
	(void)f4_chan_refuse_fds(&d->chan); /* plain mode discards them too, later */
	f4_chan_set_plain(&d->chan);
}

int f4_dialog_ask(struct f4_dialog *d, const struct f4_msg *m)
{
	int limit = m->type == F4_MSG_MOUNT ? F4_DIALOG_MOUNT_MS : F4_DIALOG_REPLY_MS;
	char when[32];
	struct f4_msg reply;
	int r;

	(void)snprintf(when, sizeof(when), "at %s", f4_msg_name(m->type));
	r = send_msg(d, m, when);
	if (r)
		return r;
	r = receive(d, &reply, NULL, limit, when);
	if (r)
		return r;
	return -(int)reply.reply.error;
}

/* The reason goes ahead of the goodbye where an MTAB is still possible. */
static bool send_reason(struct f4_dialog *d, int error, const char *reason)
{
	char text[REASON_MAX + 64];
	struct f4_msg m = { .type = F4_MSG_MTABOPTS, .text = text };

	if (d->conv.state != F4_CONV_READY || f4_conv_seen(&d->conv, F4_MSG_MTABOPTS))
		return false;
	if (snprintf(text, sizeof(text), F4_MTAB_ERRNO "%d" F4_MTAB_REASON "%.*s", error,
		     (int)REASON_MAX, reason) < 0)
		return false;
	return f4_dialog_ask(d, &m) == 0;
}

bool f4_dialog_bye(struct f4_dialog *d, enum f4_dialog_code code, int error, const char *reason)
{
	struct f4_msg m = { .type = F4_MSG_BYE, .bye.exit_code = (uint32_t)code };
	bool told = true;

	if (d->broken)
		return false;
	if (reason)
		told = send_reason(d, error, reason);
	return send_msg(d, &m, "at the goodbye") == 0 && told;
}
