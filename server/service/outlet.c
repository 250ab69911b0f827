/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where log lines go; the contract is in outlet.h.
 *
 * Descriptor 2 itself becomes the later target at once, so that nothing has to be duplicated after
 * the seal and what a library prints by itself goes there.
 */
#include "server/service/outlet.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/log.h"

#define SYSTEM_LOG "/dev/log"

static int connect_system_log(void)
{
	/* Non-blocking: a system log that hangs must not hold a filesystem. */
	f4_auto_fd fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = SYSTEM_LOG };

	if (fd < 0 || connect(fd, (const struct sockaddr *)&un, sizeof(un)) < 0)
		return -1;
	return f4_take_fd(&fd);
}

/*
 * Reports of a sanitizer must be seen: a test build keeps stderr where that is a file, which nobody
 * reads to an end that never comes.
 */
static bool keeps_stderr(void)
{
#ifdef F4_SANITIZED
	struct stat st;

	return fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode);
#else
	return false;
#endif
}

void f4_outlet_open(struct f4_outlet *o, const char *program, bool spawned)
{
	f4_auto_fd later = -1;

	*o = (struct f4_outlet)F4_OUTLET_INIT;
	/* A service manager's journal also gets when a mount began and ended. */
	f4_log_init(spawned ? program : NULL, spawned ? F4_LOG_NOTICE : F4_LOG_INFO);
	if (!spawned || keeps_stderr())
		return;
	later = connect_system_log();
	o->syslog = later >= 0;
	if (later < 0)
		later = open("/dev/null", O_WRONLY | O_CLOEXEC);
	o->first = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (later < 0 || o->first < 0 || dup2(later, STDERR_FILENO) < 0) {
		f4_close_p(&o->first); /* stderr stays what it is */
		return;
	}
	f4_log_redirect(o->first, F4_LOG_TOOL);
}

void f4_outlet_stay(struct f4_outlet *o, const char *program)
{
	if (o->first >= 0 && dup2(o->first, STDERR_FILENO) < 0)
		return;
	f4_log_init(o->first >= 0 ? program : NULL, F4_LOG_DEBUG);
	f4_close_p(&o->first);
}

void f4_outlet_mounted(struct f4_outlet *o)
{
	if (o->first < 0)
		return;
	f4_log_redirect(STDERR_FILENO, o->syslog ? F4_LOG_SYSLOG : F4_LOG_DAEMON);
	f4_close_p(&o->first);
}
