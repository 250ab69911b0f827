/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /etc/fuse.conf; the contract is in fuseconf.h. */
#include "helper/fuseconf.h"

#include <fcntl.h>
#include <string.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/base/str.h"

#define CONF_MAX 65536u

/* Blanks off both ends, in place. */
static char *trim(char *s)
{
	size_t len;

	s += strspn(s, " \t\r");
	len = strlen(s);
	while (len > 0 && strchr(" \t\r", s[len - 1]))
		len--;
	s[len] = '\0';
	return s;
}

static void parse_line(struct f4_fuseconf *c, char *line)
{
	char *equals;
	uint64_t n;

	line[strcspn(line, "#")] = '\0';
	line = trim(line);
	if (f4_str_eq(line, "user_allow_other")) {
		c->user_allow_other = true;
		return;
	}
	equals = strchr(line, '=');
	if (!equals)
		return;
	*equals = '\0';
	if (!f4_str_eq(trim(line), "mount_max"))
		return;
	line = trim(equals + 1);
	if (f4_str_eq(line, "-1"))
		c->mount_max = UINT32_MAX;
	else if (f4_str_to_u64(line, 10, UINT32_MAX - 1, &n) == 0)
		c->mount_max = (uint32_t)n;
}

void f4_fuseconf_parse(struct f4_fuseconf *c, char *text)
{
	*c = (struct f4_fuseconf){ .mount_max = F4_FUSECONF_MOUNT_MAX };
	while (text && *text) {
		char *end = strchr(text, '\n');

		if (end)
			*end++ = '\0';
		parse_line(c, text);
		text = end;
	}
}

void f4_fuseconf_load(struct f4_fuseconf *c)
{
	f4_auto_fd fd = open(F4_FUSECONF_PATH, O_RDONLY | O_CLOEXEC);
	f4_auto_free char *text = NULL;

	if (fd < 0 || f4_fd_slurp(fd, CONF_MAX, &text, NULL) != 0)
		text = NULL;
	f4_fuseconf_parse(c, text);
}
