/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strings; the contract is in str.h. */
#include "protocol/base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The number in the first @n characters of @s. */
static int parse_digits(const char *s, size_t n, unsigned int base, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	bool over = false;

	if (n == 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int d = digit_value(s[i]);

		if (d < 0 || (unsigned int)d >= base)
			return -EINVAL;
		/* Go on when it is too large: "9...9x" is no number, whatever its size. */
		over |= __builtin_mul_overflow(v, (uint64_t)base, &v);
		over |= __builtin_add_overflow(v, (uint64_t)d, &v);
	}
	if (over || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int f4_str_to_u64(const char *s, unsigned int base, uint64_t max, uint64_t *ret)
{
	return parse_digits(s, strlen(s), base, max, ret);
}

int f4_str_to_size(const char *s, uint64_t max, uint64_t *ret)
{
	static const char suffixes[] = "kmgt";
	size_t n = strlen(s);
	unsigned int shift = 0;
	uint64_t v = 0;
	int r;

	if (n > 0 && digit_value(s[n - 1]) < 0) {
		const char *p = strchr(suffixes, s[n - 1] | 0x20);

		if (!p || *p == '\0')
			return -EINVAL;
		shift = 10 * (unsigned int)(p - suffixes + 1);
		n--;
	}
	r = parse_digits(s, n, 10, UINT64_MAX, &v);
	if (r < 0)
		return r;
	if (v > max >> shift)
		return -ERANGE;
	*ret = v << shift;
	return 0;
}

int f4_str_copy(char *dst, size_t size, const char *src)
{
	size_t n = strlen(src);

	if (n >= size) {
		dst[0] = '\0';
		return -ENAMETOOLONG;
	}
	memcpy(dst, src, n + 1);
	return 0;
}

int f4_str_format(char *dst, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(dst, size, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= size) {
		dst[0] = '\0';
		return -ENAMETOOLONG;
	}
	return 0;
}
