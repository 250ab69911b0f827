/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Areas of extended attributes: build, load, order, hashes, and what damaged ones must not do. */
#include <errno.h>
#include <stdint.h>

#include "server/ext4/xattr_area.h"
#include "tests/lib/check.h"

#define AREA 256u
#define FIRST 32u

static struct f4_xent ent(uint8_t index, const char *name, const char *value)
{
	return (struct f4_xent){
		.index = index,
		.name = name,
		.name_len = (uint8_t)strlen(name),
		.value = (const uint8_t *)value,
		.size = (uint32_t)strlen(value),
	};
}

static int load(const uint8_t *base, struct f4_xent *ents, size_t *n)
{
	struct f4_xarea a = { .base = base, .first = FIRST, .end = AREA };

	return f4_xarea_load(&a, ents, n);
}

static void builds_and_loads(void)
{
	_Alignas(8) uint8_t area[AREA];
	struct f4_xent in[4], out[AREA / 16];
	size_t n = 0, got = 0;

	memset(area, 0xAA, sizeof(area));
	f4_xent_insert(in, &n, &(struct f4_xent){ .index = 2, .name = "", .value = NULL }, true);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "zz", "a", "ab" };
		struct f4_xent e = ent(1, names[i], "value");

		f4_xent_insert(in, &n, &e, true);
	}
	TEST_EQ(f4_xarea_build(area, FIRST, AREA, in, n), 0);
	TEST_EQ(area[FIRST - 1], 0xAA);
	TEST_EQ(load(area, out, &got), 0);
	TEST_REQUIRE(got == 4);
	/* by index, then length, then bytes */
	TEST_CHECK(out[0].name_len == 1 && out[0].name[0] == 'a');
	TEST_CHECK(out[1].name_len == 2 && memcmp(out[1].name, "ab", 2) == 0);
	TEST_CHECK(out[2].name_len == 2 && memcmp(out[2].name, "zz", 2) == 0);
	TEST_CHECK(out[3].index == 2 && out[3].name_len == 0 && out[3].size == 0);
	for (int i = 0; i < 3; i++)
		TEST_CHECK(out[i].size == 5 && memcmp(out[i].value, "value", 5) == 0);
	TEST_EQ(f4_xent_find(out, got, 1, "zz", 2), 2);
	TEST_EQ(f4_xent_find(out, got, 4, "zz", 2), 4);
	TEST_EQ(f4_xent_find(out, got, 1, "z", 1), 4);
	f4_xent_remove(out, &got, 0);
	TEST_EQ(got, 3);
	TEST_EQ(f4_xent_find(out, got, 1, "a", 1), 3);
}

static void says_when_full(void)
{
	_Alignas(8) uint8_t area[AREA], before[AREA];
	char value[AREA];
	struct f4_xent e, out[AREA / 16];
	size_t n;

	memset(area, 0x55, sizeof(area));
	memcpy(before, area, sizeof(area));
	memset(value, 'v', sizeof(value));
	/* exactly what fits: entry 16 + 4, terminator 4 */
	value[AREA - FIRST - 24] = '\0';
	e = ent(1, "name", value);
	TEST_EQ(f4_xarea_build(area, FIRST, AREA, &e, 1), 0);
	TEST_EQ(load(area, out, &n), 0);
	memcpy(area, before, sizeof(area));
	value[AREA - FIRST - 24] = 'v';
	value[AREA - FIRST - 23] = '\0';
	e = ent(1, "name", value);
	TEST_EQ(f4_xarea_build(area, FIRST, AREA, &e, 1), -ENOSPC);
	TEST_CHECK(memcmp(area, before, sizeof(area)) == 0);
}

static void refuses_damage(void)
{
	static const struct {
		const char *what;
		unsigned int off; /* in the first entry */
		uint8_t byte;
	} cases[] = {
		{ "name beyond the end", 0, 255 },
		{ "value in front of the entries", 3, 0 },
		{ "value begins at the end", 2, 0xfe },
		{ "value too long", 9, 1 },
		{ "value of 4 GiB", 11, 0xff },
		{ "NUL in the name", 16, 0 },
	};
	_Alignas(8) uint8_t area[AREA];
	struct f4_xent e = ent(1, "name", "value"), out[AREA / 16];
	size_t n;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		TEST_EQ(f4_xarea_build(area, FIRST, AREA, &e, 1), 0);
		if (cases[i].off == 3) /* an offset into the entry itself */
			area[FIRST + 2] = FIRST;
		area[FIRST + cases[i].off] = cases[i].byte;
		if (load(area, out, &n) != -EUCLEAN)
			TEST_FAIL_("accepted: %s", cases[i].what);
	}
	/* no end of the list */
	memset(area, 0x11, sizeof(area));
	TEST_EQ(load(area, out, &n), -EUCLEAN);
	/* entries up to the last byte */
	memset(area, 0, sizeof(area));
	for (size_t pos = FIRST; pos < AREA; pos += 16)
		area[pos + 1] = 1;
	TEST_EQ(load(area, out, &n), -EUCLEAN);
}

/* No bytes at all may lead outside; the sanitizers see it. */
static void survives_noise(void)
{
	static uint8_t area[AREA];
	struct f4_xent out[AREA / 16];
	uint32_t seed = 1, good = 0;
	size_t n;

	for (int round = 0; round < 200000; round++) {
		for (size_t i = FIRST; i < AREA; i++) {
			seed = seed * 1103515245u + 12345u;
			/* mostly small numbers: they get further */
			area[i] = (seed >> 16) % 5 ? 0 : (uint8_t)(seed >> 24) % 40;
		}
		if (load(area, out, &n) < 0)
			continue;
		good++;
		for (size_t i = 0; i < n; i++)
			if (out[i].value)
				TEST_CHECK(out[i].value >= area + FIRST &&
					   out[i].value + out[i].size <= area + AREA);
	}
	TEST_CHECK(good > 100); /* some got through the checks */
}

/* Values from the definition, the longer one by a second implementation. */
static void hashes(void)
{
	struct f4_xent e = ent(1, "a", "");
	struct f4_xent high = ent(1, "\xe4", "");

	TEST_EQ(f4_xent_hash(&e, false), 'a');
	e = ent(1, "ab", "");
	TEST_EQ(f4_xent_hash(&e, false), ('a' << 5) ^ 'b');
	e = ent(1, "a", "1234");
	TEST_EQ(f4_xent_hash(&e, false), ((uint32_t)'a' << 16) ^ 0x34333231u);
	e = ent(1, "a", "12345");
	TEST_EQ(f4_xent_hash(&e, false), 0x32313467u);
	TEST_EQ(f4_xent_hash(&high, false), 0xe4);
	TEST_EQ(f4_xent_hash(&high, true), 0xffffffe4);
	TEST_EQ(f4_xent_hash_inode(&e, 0x1111, false), ((uint32_t)'a' << 16) ^ 0x1111);
	high.hash = 0;
	TEST_EQ(f4_xarea_hash(&high, 1), 0);
	high.hash = 0x80000001;
	TEST_EQ(f4_xarea_hash(&high, 1), 0x80000001);
}

int main(void)
{
	TEST_RUN(builds_and_loads);
	TEST_RUN(says_when_full);
	TEST_RUN(refuses_damage);
	TEST_RUN(survives_noise);
	TEST_RUN(hashes);
	return test_done();
}
