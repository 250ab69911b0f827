/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State for the service manager; the contract is in notify.h. Source: sd_notify(3). */
#include "server/service/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/str.h"

static int connect_to(const char *name)
{
	f4_auto_fd fd = -1;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t len = strlen(name);

	/* A path or, after '@', an abstract name; other families (vsock) are for virtual machines. */
	if ((name[0] != '/' && name[0] != '@') || len < 2 || len > sizeof(un.sun_path))
		return -1;
	memcpy(un.sun_path, name, len);
	if (name[0] == '@')
		un.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&un,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		return -1;
	return f4_take_fd(&fd);
}

void f4_notify_open(struct f4_notify *n)
{
	const char *name = getenv("NOTIFY_SOCKET");
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t value;

	*n = (struct f4_notify)F4_NOTIFY_INIT;
	if (name)
		n->fd = connect_to(name);
	if (usec && (!pid || (f4_str_to_u64(pid, 10, UINT32_MAX, &value) == 0 &&
			      value == (uint64_t)getpid())))
		(void)f4_str_to_u64(usec, 10, UINT64_MAX, &n->watchdog_usec); /* else: never */
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
}

void f4_notify_send(const struct f4_notify *n, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int len;

	if (n->fd < 0)
		return;
	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (len < 0)
		return;
	if ((size_t)len >= sizeof(text))
		len = sizeof(text) - 1;
	if (write(n->fd, text, (size_t)len) < 0)
		return; /* nobody to tell */
}

void f4_notify_done(struct f4_notify *n)
{
	f4_close_p(&n->fd);
}
