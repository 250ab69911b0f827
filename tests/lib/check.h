/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The smallest unit test harness: a table of cases, one exit status.
 *
 * TEST_CHECK notes a failure and goes on, TEST_REQUIRE leaves the case (return). A test program
 * calls TEST_RUN(fn) for each of its cases and ends with `return test_done();`: 0 when all passed,
 * 1 when one failed, 77 when it was skipped (test_skip, with the reason). Each case prints one line.
 */
#ifndef F4_TESTS_CHECK_H
#define F4_TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_failures_, test_case_failed_, test_cases_;

#define TEST_FAIL_(fmt, ...)                                                                    \
	do {                                                                                    \
		test_case_failed_ = 1;                                                          \
		fprintf(stderr, "%s:%d: " fmt "\n", __FILE__, __LINE__, ##__VA_ARGS__);         \
	} while (0)

#define TEST_CHECK(cond)                                                                        \
	do {                                                                                    \
		if (!(cond))                                                                    \
			TEST_FAIL_("check failed: %s", #cond);                                  \
	} while (0)

#define TEST_REQUIRE(cond)                                                                      \
	do {                                                                                    \
		if (!(cond)) {                                                                  \
			TEST_FAIL_("required: %s", #cond);                                      \
			return;                                                                 \
		}                                                                               \
	} while (0)

/* Both sides are shown when they differ. */
#define TEST_EQ(got, want)                                                                      \
	do {                                                                                    \
		long long got_ = (long long)(got), want_ = (long long)(want);                   \
		if (got_ != want_)                                                              \
			TEST_FAIL_("%s is %lld, expected %s = %lld", #got, got_, #want, want_); \
	} while (0)

#define TEST_STREQ(got, want)                                                                   \
	do {                                                                                    \
		const char *got_ = (got), *want_ = (want);                                      \
		if (strcmp(got_, want_) != 0)                                                   \
			TEST_FAIL_("%s is \"%s\", expected \"%s\"", #got, got_, want_);         \
	} while (0)

#define TEST_RUN(fn)                                                                            \
	do {                                                                                    \
		test_case_failed_ = 0;                                                          \
		fn();                                                                           \
		test_cases_++;                                                                  \
		test_failures_ += test_case_failed_;                                            \
		printf("%s %s\n", test_case_failed_ ? "FAIL" : "ok  ", #fn);                    \
		fflush(stdout);                                                                 \
	} while (0)

static inline int test_done(void)
{
	if (test_cases_ == 0) {
		fprintf(stderr, "no case ran\n");
		return 1;
	}
	return test_failures_ ? 1 : 0;
}

static inline __attribute__((noreturn, unused)) void test_skip(const char *why)
{
	printf("skip: %s\n", why);
	exit(77);
}

#endif
