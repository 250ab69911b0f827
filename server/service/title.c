/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process title; the contract is in title.h. Source: Linux fs/proc/base.c, get_mm_cmdline(). */
#include "server/service/title.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *room;
static size_t room_len;

/* The end of the run of strings that begins at @start and goes on through @v. */
static char *extend(char *end, char **v)
{
	for (; *v && *v == end; v++)
		end = *v + strlen(*v) + 1;
	return end;
}

/* The environment in one piece of memory of its own, pointers first; kept as long as the process lives. */
static char **environment;

static int copy_environment(void)
{
	size_t n = 0, bytes = 0, len;
	char **copy, *to;

	for (; environ[n]; n++)
		bytes += strlen(environ[n]) + 1;
	copy = malloc((n + 1) * sizeof(*copy) + bytes);
	if (!copy)
		return -1;
	to = (char *)(copy + n + 1);
	for (size_t i = 0; i < n; i++, to += len) {
		len = strlen(environ[i]) + 1;
		memcpy(to, environ[i], len);
		copy[i] = to;
	}
	copy[n] = NULL;
	environ = environment = copy;
	return 0;
}

void f4_title_init(int argc, char **argv)
{
	char *end;

	if (argc < 1 || !argv[0])
		return;
	end = extend(argv[0], argv);
	end = extend(end, environ);
	if (copy_environment() < 0)
		return;
	room = argv[0];
	room_len = (size_t)(end - argv[0]);
}

void f4_title_set(const char *fmt, ...)
{
	char title[512];
	size_t len;
	va_list ap;
	int n;

	if (room_len < 2)
		return;
	va_start(ap, fmt);
	n = vsnprintf(title, sizeof(title), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	len = (size_t)n < sizeof(title) ? (size_t)n : sizeof(title) - 1;
	if (len > room_len - 1)
		len = room_len - 1;
	for (size_t i = 0; i < len; i++)
		room[i] = (unsigned char)title[i] < 0x20 || title[i] == 0x7f ? '?' : title[i];
	memset(room + len, 0, room_len - len);
}
