/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line for one failure, on stderr.
 *
 * Two styles, set once at start: "tool" (`NAME: message`, what a person at a terminal reads) and
 * "daemon" (`<N>message`, the priority prefix that a service manager's journal understands).
 * Bytes that came from a peer, a command line or a disk are escaped: a control character, a
 * backslash or a byte that is not printable ASCII is printed as \xNN, so that no input can forge a
 * line. UTF-8 above 0x7f passes when it is well formed.
 *
 * The line is built in a buffer on the stack and written with one write(2): safe from any thread,
 * usable inside the seal. Lines longer than F4_LOG_LINE_MAX are cut.
 */
#ifndef F4_BASE_LOG_H
#define F4_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#define F4_LOG_LINE_MAX 2048u

enum f4_log_level {
	F4_LOG_ERR = 3,
	F4_LOG_WARNING = 4,
	F4_LOG_NOTICE = 5,
	F4_LOG_INFO = 6,
	F4_LOG_DEBUG = 7,
};

/*
 * f4_log_init - choose the style and the threshold; call once, before threads exist.
 * @tool_name: borrowed for ever; put before each line; NULL chooses the daemon style
 * @max:       messages above this level are dropped (default: F4_LOG_NOTICE)
 */
void f4_log_init(const char *tool_name, enum f4_log_level max);

/* How a line begins. */
enum f4_log_style {
	F4_LOG_TOOL,   /* NAME: */
	F4_LOG_DAEMON, /* <N> */
	F4_LOG_SYSLOG, /* <N>NAME: with the daemon facility in N and no newline: one datagram to a
			  system log's socket */
};

/*
 * f4_log_redirect - from now on lines go to @fd (borrowed) in @style; NAME is f4_log_init's, which
 * must not be NULL but for F4_LOG_DAEMON. Other threads may log meanwhile.
 */
void f4_log_redirect(int fd, enum f4_log_style style);

/* f4_log_set_context - words put before every later message ("sdb1 on /mnt"); copied, cut at 255 bytes. */
void f4_log_set_context(const char *context);

/* f4_log_enabled - would a message of this level be printed? */
bool f4_log_enabled(enum f4_log_level level);

/*
 * f4_log - print one line. The finished message is escaped as a whole, so arguments may be hostile;
 * a newline in it comes out as \x0a. errno is kept.
 */
void f4_log(enum f4_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define f4_err(...)    f4_log(F4_LOG_ERR, __VA_ARGS__)
#define f4_warn(...)   f4_log(F4_LOG_WARNING, __VA_ARGS__)
#define f4_notice(...) f4_log(F4_LOG_NOTICE, __VA_ARGS__)
#define f4_info(...)   f4_log(F4_LOG_INFO, __VA_ARGS__)
#define f4_debug(...)  f4_log(F4_LOG_DEBUG, __VA_ARGS__)

/*
 * f4_escape - copy @n bytes of @src to @dst, escaped as above and NUL-ended.
 * @dst_size: bytes in @dst, at least 1; output that does not fit is cut at a whole escape
 * Return: the length written, without the NUL.
 */
size_t f4_escape(char *dst, size_t dst_size, const char *src, size_t n);

#endif
