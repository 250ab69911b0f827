/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owner shift: its words, both directions, edges. */
#include <errno.h>

#include "protocol/base/cleanup.h"
#include "protocol/idmap.h"
#include "tests/lib/check.h"

static void test_words(void)
{
	static const struct {
		const char *text;
		int r;
		uint32_t uids, gids;
	} t[] = {
		{ "self", 0, 1, 1 },
		{ "0:1000:1", 0, 1, 1 },
		{ "u:0:1000:1", 0, 1, 0 },
		{ "g:0:1000:1", 0, 0, 1 },
		{ "self/1:100000:65535", 0, 2, 2 },
		{ "u:0:5:1/g:0:6:1/u:1:7:2", 0, 2, 1 },
		{ "0:0:4294967295", 0, 1, 1 },
		{ "4294967294:4294967294:1", 0, 1, 1 },
		{ "", -EINVAL, 0, 0 },
		{ "/", -EINVAL, 0, 0 },
		{ "self/", -EINVAL, 0, 0 },
		{ "selfish", -EINVAL, 0, 0 },
		{ "0", -EINVAL, 0, 0 },
		{ "0:0", -EINVAL, 0, 0 },
		{ "0:0:", -EINVAL, 0, 0 },
		{ "0:0:0", -EINVAL, 0, 0 },
		{ "0:0:1:", -EINVAL, 0, 0 },
		{ "0:0:1:1", -EINVAL, 0, 0 },
		{ ":0:1", -EINVAL, 0, 0 },
		{ "u0:0:1", -EINVAL, 0, 0 },
		{ "-1:0:1", -EINVAL, 0, 0 },
		{ " 0:0:1", -EINVAL, 0, 0 },
		{ "0:4294967295:1", -EINVAL, 0, 0 },
		{ "1:0:4294967295", -EINVAL, 0, 0 },
		{ "0:1:4294967295", -EINVAL, 0, 0 },
		{ "0:0:4294967296", -EINVAL, 0, 0 },
		{ "u:00000000000000000000000000000000000000000000000000000000000000:0:1", -EINVAL, 0, 0 },
		{ "self/self", -EEXIST, 0, 0 },
		{ "self/0:5:1", -EEXIST, 0, 0 },
		{ "self/5:1000:1", -EEXIST, 0, 0 },
		{ "10:10:10/0:100:11", -EEXIST, 0, 0 },
		{ "10:10:10/100:0:11", -EEXIST, 0, 0 },
		{ "10:10:10/0:100:10/20:0:10", 0, 3, 3 },
		{ "0:0:1/2:2:1/4:4:1/6:6:1/8:8:1/10:10:1/12:12:1/14:14:1/16:16:1/18:18:1/20:20:1/22:22:1/"
		  "24:24:1/26:26:1/28:28:1/30:30:1", 0, 16, 16 },
		{ "0:0:1/2:2:1/4:4:1/6:6:1/8:8:1/10:10:1/12:12:1/14:14:1/16:16:1/18:18:1/20:20:1/22:22:1/"
		  "24:24:1/26:26:1/28:28:1/30:30:1/32:32:1", -E2BIG, 0, 0 },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct f4_idmap m = { .uid.n = 77 };
		int r = f4_idmap_parse(t[i].text, 1000, 2000, &m);

		if (r != t[i].r)
			printf("%s\n", t[i].text);
		TEST_EQ(r, t[i].r);
		TEST_EQ(m.uid.n, r == 0 ? t[i].uids : 77);
		if (r == 0)
			TEST_EQ(m.gid.n, t[i].gids);
	}
}

static void test_both_ways(void)
{
	struct f4_idmap m;
	uint32_t id;

	TEST_REQUIRE(f4_idmap_parse("self/u:5:100:3/g:4294967294:0:1", 1000, 2000, &m) == 0);
	TEST_EQ(f4_idmap_show(&m.uid, 0), 1000);
	TEST_EQ(f4_idmap_show(&m.gid, 0), 2000);
	TEST_EQ(f4_idmap_show(&m.uid, 5), 100);
	TEST_EQ(f4_idmap_show(&m.uid, 7), 102);
	TEST_EQ(f4_idmap_show(&m.uid, 8), F4_IDMAP_NOBODY);
	TEST_EQ(f4_idmap_show(&m.uid, 4), F4_IDMAP_NOBODY);
	TEST_EQ(f4_idmap_show(&m.uid, 1000), F4_IDMAP_NOBODY);
	TEST_EQ(f4_idmap_show(&m.gid, 4294967294), 0);
	TEST_CHECK(f4_idmap_store(&m.uid, 1000, &id) && id == 0);
	TEST_CHECK(f4_idmap_store(&m.uid, 102, &id) && id == 7);
	TEST_CHECK(f4_idmap_store(&m.gid, 0, &id) && id == 4294967294);
	TEST_CHECK(!f4_idmap_store(&m.uid, 0, &id) && id == F4_IDMAP_NOBODY);
	TEST_CHECK(!f4_idmap_store(&m.uid, F4_IDMAP_NOBODY, &id));

	m = (struct f4_idmap){ 0 };
	TEST_EQ(f4_idmap_show(&m.uid, 12), 12);
	TEST_CHECK(f4_idmap_store(&m.gid, UINT32_MAX, &id) && id == UINT32_MAX);
}

int main(void)
{
	TEST_RUN(test_words);
	TEST_RUN(test_both_ways);
	return test_done();
}
