/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Strings: numbers out of hostile text, bounded copies, prefixes.
 *
 * Pure, but for f4_str_format()'s use of the C library's formatting.
 */
#ifndef F4_BASE_STR_H
#define F4_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool f4_str_eq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* f4_str_after - what follows @prefix in @s, or NULL when @s does not begin with it. */
static inline const char *f4_str_after(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

/*
 * f4_str_to_u64 - a whole string as an unsigned number: digits of @base (8, 10 or 16) and nothing
 * else: no sign, blank, prefix or empty string.
 * Return: 0; -EINVAL; -ERANGE when it is above @max.
 */
int f4_str_to_u64(const char *s, unsigned int base, uint64_t max, uint64_t *ret);

/*
 * f4_str_to_size - a decimal number of bytes with an optional suffix k, m, g or t (either case;
 * powers of 1024).
 * Return: as f4_str_to_u64().
 */
int f4_str_to_size(const char *s, uint64_t max, uint64_t *ret);

/* f4_str_copy - copy @src to @dst[@size]. Return: 0; -ENAMETOOLONG with @dst empty. @size > 0. */
int f4_str_copy(char *dst, size_t size, const char *src);

/* f4_str_format - snprintf(3) that fails where it would cut. Return: as f4_str_copy(). */
int f4_str_format(char *dst, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
