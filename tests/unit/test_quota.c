/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much one user may ask of the broker, and that it is nobody else's loss. */
#include "helper/quota.h"

#include "tests/lib/check.h"

static struct f4_quota q;

static void fresh(void)
{
	memset(&q, 0, sizeof(q));
}

static void at_a_time(void)
{
	fresh();
	for (unsigned int i = 0; i < F4_QUOTA_LIVE; i++)
		TEST_EQ(f4_quota_take(&q, 1000, 0), 0);
	TEST_EQ(f4_quota_take(&q, 1000, 0), F4_QUOTA_E_LIVE);
	TEST_EQ(f4_quota_take(&q, 1001, 0), 0); /* somebody else */
	f4_quota_give(&q, 1001);
	TEST_EQ(f4_quota_take(&q, 1000, 1000000), F4_QUOTA_E_LIVE); /* time doesn't help */
	f4_quota_give(&q, 1000);
	TEST_EQ(f4_quota_take(&q, 1000, 1000000), 0);
}

/* One request after the other; how many are granted in @ms. */
static unsigned int granted(uid_t uid, int64_t from_ms, int64_t ms)
{
	unsigned int n = 0;

	for (int64_t t = from_ms; t < from_ms + ms; t++)
		for (int i = 0; i < 10; i++)
			if (f4_quota_take(&q, uid, t) == 0) {
				f4_quota_give(&q, uid);
				n++;
			}
	return n;
}

static void a_second(void)
{
	unsigned int n;

	fresh();
	n = granted(1000, 5000, 1);
	TEST_EQ(n, 10);
	n = granted(1000, 5001, 999);
	TEST_CHECK(n >= F4_QUOTA_BURST + F4_QUOTA_RATE - 12 && n <= F4_QUOTA_BURST + F4_QUOTA_RATE - 9);
	TEST_EQ(f4_quota_take(&q, 1000, 6000 - 1), F4_QUOTA_E_RATE);
	n = granted(1000, 6000, 1000);
	TEST_CHECK(n >= F4_QUOTA_RATE - 1 && n <= F4_QUOTA_RATE + 1);
	n = granted(1001, 6000, 100); /* somebody else */
	TEST_CHECK(n >= F4_QUOTA_BURST);
	/* A long pause gives the burst back, and no more. */
	n = granted(1000, 1 << 30, 100);
	TEST_CHECK(n >= F4_QUOTA_BURST && n <= F4_QUOTA_BURST + F4_QUOTA_RATE / 10 + 1);
}

static void time_goes_back(void)
{
	fresh();
	TEST_EQ(f4_quota_take(&q, 1000, 1000), 0);
	f4_quota_give(&q, 1000);
	TEST_EQ(granted(1000, 0, 1), 10);
	TEST_CHECK(granted(1000, 0, 500) < F4_QUOTA_BURST + F4_QUOTA_RATE);
}

static void many_users(void)
{
	fresh();
	/* Users without a request make room; one who has used up its share keeps its place longest. */
	TEST_CHECK(granted(1, 0, 50) >= F4_QUOTA_BURST);
	for (uid_t u = 2; u < 2 + 3 * F4_QUOTA_USERS; u++) {
		TEST_EQ(f4_quota_take(&q, u, 51), 0);
		f4_quota_give(&q, u);
	}
	TEST_EQ(f4_quota_take(&q, 1, 51), F4_QUOTA_E_RATE);

	fresh();
	for (uid_t u = 1; u <= F4_QUOTA_USERS; u++)
		TEST_EQ(f4_quota_take(&q, u, 0), 0);
	TEST_EQ(f4_quota_take(&q, 5000, 0), F4_QUOTA_E_USERS);
	TEST_EQ(f4_quota_take(&q, 1, 0), 0); /* who is in the table is not affected */
	f4_quota_give(&q, 7);
	TEST_EQ(f4_quota_take(&q, 5000, 0), 0);
	f4_quota_give(&q, 5000);
}

static void words(void)
{
	for (int e = 0; e < 5; e++)
		TEST_CHECK(strstr(f4_quota_strerror(e), "too many"));
}

int main(void)
{
	TEST_RUN(at_a_time);
	TEST_RUN(a_second);
	TEST_RUN(time_goes_back);
	TEST_RUN(many_users);
	TEST_RUN(words);
	return test_done();
}
