/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers out of hostile text, bounded copies. */
#include "protocol/base/str.h"

#include <errno.h>

#include "protocol/base/cleanup.h"
#include "tests/lib/check.h"

static void numbers(void)
{
	static const struct {
		const char *s;
		unsigned int base;
		uint64_t max;
		int r;
		uint64_t v;
	} t[] = {
		{ "0", 10, UINT64_MAX, 0, 0 },
		{ "007", 10, UINT64_MAX, 0, 7 },
		{ "18446744073709551615", 10, UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", 10, UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999999", 10, UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999999x", 10, UINT64_MAX, -EINVAL, 0 },
		{ "256", 10, 255, -ERANGE, 0 },
		{ "255", 10, 255, 0, 255 },
		{ "0755", 8, 07777, 0, 0755 },
		{ "8", 8, 07777, -EINVAL, 0 },
		{ "fFfF", 16, 0xffff, 0, 0xffff },
		{ "g", 16, 0xffff, -EINVAL, 0 },
		{ "", 10, 9, -EINVAL, 0 },
		{ " 1", 10, 9, -EINVAL, 0 },
		{ "1 ", 10, 9, -EINVAL, 0 },
		{ "-1", 10, UINT64_MAX, -EINVAL, 0 },
		{ "+1", 10, UINT64_MAX, -EINVAL, 0 },
		{ "0x1", 16, 9, -EINVAL, 0 },
		{ "1\n", 10, 9, -EINVAL, 0 },
		{ "a", 10, 99, -EINVAL, 0 },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		uint64_t v = 0;

		TEST_EQ(f4_str_to_u64(t[i].s, t[i].base, t[i].max, &v), t[i].r);
		TEST_EQ(v, t[i].v);
	}
}

static void sizes(void)
{
	static const struct {
		const char *s;
		uint64_t max;
		int r;
		uint64_t v;
	} t[] = {
		{ "512", UINT64_MAX, 0, 512 },
		{ "1k", UINT64_MAX, 0, 1024 },
		{ "64M", UINT64_MAX, 0, 64u << 20 },
		{ "3g", UINT64_MAX, 0, 3ull << 30 },
		{ "2T", UINT64_MAX, 0, 2ull << 40 },
		{ "16777215t", UINT64_MAX, 0, 16777215ull << 40 },
		{ "16777216t", UINT64_MAX, -ERANGE, 0 },
		{ "5k", 4096, -ERANGE, 0 },
		{ "4k", 4096, 0, 4096 },
		{ "k", UINT64_MAX, -EINVAL, 0 },
		{ "1kk", UINT64_MAX, -EINVAL, 0 },
		{ "1x", UINT64_MAX, -EINVAL, 0 },
		{ "1a", UINT64_MAX, -EINVAL, 0 },
		{ "", UINT64_MAX, -EINVAL, 0 },
		{ "-1k", UINT64_MAX, -EINVAL, 0 },
		{ "1\x4b\x20", UINT64_MAX, -EINVAL, 0 },
		{ "1\x0b", UINT64_MAX, -EINVAL, 0 }, /* 'k' without its letter bits */
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		uint64_t v = 0;

		TEST_EQ(f4_str_to_size(t[i].s, t[i].max, &v), t[i].r);
		TEST_EQ(v, t[i].v);
	}
}

static void copies(void)
{
	char b[4] = "zzz";

	TEST_EQ(f4_str_copy(b, sizeof(b), "abc"), 0);
	TEST_STREQ(b, "abc");
	TEST_EQ(f4_str_copy(b, sizeof(b), "abcd"), -ENAMETOOLONG);
	TEST_STREQ(b, "");
	TEST_EQ(f4_str_format(b, sizeof(b), "%d", 123), 0);
	TEST_STREQ(b, "123");
	TEST_EQ(f4_str_format(b, sizeof(b), "%d", 1234), -ENAMETOOLONG);
	TEST_STREQ(b, "");
}

static void prefixes(void)
{
	TEST_STREQ(f4_str_after("offset=12", "offset="), "12");
	TEST_STREQ(f4_str_after("offset=", "offset="), "");
	TEST_CHECK(f4_str_after("offset", "offset=") == NULL);
	TEST_CHECK(f4_str_after("xoffset=", "offset=") == NULL);
	TEST_CHECK(f4_str_eq("a", "a") && !f4_str_eq("a", "ab"));
}

int main(void)
{
	TEST_RUN(numbers);
	TEST_RUN(sizes);
	TEST_RUN(copies);
	TEST_RUN(prefixes);
	return test_done();
}
