/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Logging; the contract is in log.h. */
#include "protocol/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FACILITY_DAEMON (3 << 3) /* source: RFC 5424, table 1 */

static const char *log_tool;
/* Where and how, in one word so that a change is seen whole: fd * 4 + style. */
static _Atomic int log_target = STDERR_FILENO * 4 + F4_LOG_DAEMON;
static enum f4_log_level log_max = F4_LOG_NOTICE;
static char log_context[256];

void f4_log_init(const char *tool_name, enum f4_log_level max)
{
	log_tool = tool_name;
	log_max = max;
	log_target = STDERR_FILENO * 4 + (int)(tool_name ? F4_LOG_TOOL : F4_LOG_DAEMON);
}

void f4_log_redirect(int fd, enum f4_log_style style)
{
	log_target = fd * 4 + (int)style;
}

void f4_log_set_context(const char *context)
{
	(void)snprintf(log_context, sizeof(log_context), "%s", context); /* cut is documented */
}

bool f4_log_enabled(enum f4_log_level level)
{
	return level <= log_max;
}

/* Length of the well-formed UTF-8 sequence at @s (2 to 4 bytes), 0 when it is none. */
static size_t utf8_len(const unsigned char *s, size_t n)
{
	size_t len = s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 :
		     s[0] >= 0xe0 && s[0] < 0xf0  ? 3 :
		     s[0] >= 0xc2 && s[0] < 0xe0  ? 2 :
						    0;

	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* C1 controls, overlong forms, surrogates and what lies beyond U+10FFFF */
	if ((s[0] == 0xc2 && s[1] < 0xa0) || (s[0] == 0xe0 && s[1] < 0xa0) ||
	    (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] >= 0x90))
		return 0;
	return len;
}

size_t f4_escape(char *dst, size_t dst_size, const char *src, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	size_t out = 0;

	for (size_t i = 0; i < n;) {
		const unsigned char *s = (const unsigned char *)src + i;
		size_t len = (s[0] >= 0x20 && s[0] < 0x7f && s[0] != '\\') ? 1 : utf8_len(s, n - i);

		if (len > 0) {
			if (out + len >= dst_size)
				break;
			memcpy(dst + out, s, len);
			out += len;
			i += len;
			continue;
		}
		if (out + 4 >= dst_size)
			break;
		dst[out++] = '\\';
		dst[out++] = 'x';
		dst[out++] = hex[s[0] >> 4];
		dst[out++] = hex[s[0] & 15];
		i++;
	}
	dst[out] = '\0';
	return out;
}

void f4_log(enum f4_log_level level, const char *fmt, ...)
{
	char msg[F4_LOG_LINE_MAX], line[F4_LOG_LINE_MAX];
	int saved = errno, n, head = 0, target = log_target;
	size_t len;
	va_list ap;

	if (!f4_log_enabled(level))
		return;
	n = snprintf(msg, sizeof(msg), "%s%s", log_context, log_context[0] ? ": " : "");
	if (n < 0)
		n = 0;
	va_start(ap, fmt);
	(void)vsnprintf(msg + n, sizeof(msg) - (size_t)n, fmt, ap); /* a cut line is documented */
	va_end(ap);

	switch ((enum f4_log_style)(target % 4)) {
	case F4_LOG_TOOL:
		head = snprintf(line, sizeof(line), "%s: ", log_tool);
		break;
	case F4_LOG_DAEMON:
		head = snprintf(line, sizeof(line), "<%d>", (int)level);
		break;
	case F4_LOG_SYSLOG:
		head = snprintf(line, sizeof(line), "<%d>%s: ", FACILITY_DAEMON | (int)level,
				log_tool);
		break;
	}
	if (head < 0 || (size_t)head >= sizeof(line) / 2)
		head = 0;
	len = (size_t)head;
	len += f4_escape(line + len, sizeof(line) - len - 1, msg, strlen(msg));
	if (target % 4 != F4_LOG_SYSLOG)
		line[len++] = '\n';
	/* A closed or full stderr must not stop the work: there is nowhere left to say it. */
	if (write(target / 4, line, len) < 0)
		errno = saved;
	errno = saved;
}
