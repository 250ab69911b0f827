/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bitmaps a word at a time against bits one by one. */
#include "server/ext4/bitmap.h"

#include "tests/lib/check.h"

#define BITS 2048u

static uint64_t seed = 12345;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

static uint32_t slow_next(const uint8_t *bm, const uint8_t *mask, uint32_t from, uint32_t end, bool want)
{
	while (from < end && (f4_bitmap_test(bm, from) || (mask && f4_bitmap_test(mask, from))) != want)
		from++;
	return from < end ? from : end;
}

static void set_clear_model(void)
{
	_Alignas(8) uint8_t bm[BITS / 8] = { 0 };
	uint8_t model[BITS] = { 0 };

	for (uint32_t round = 0; round < 5000; round++) {
		uint32_t from = rnd(BITS), n = rnd(rnd(4) ? 20 : BITS - from + 1), zero = 0, end = rnd(BITS + 1);
		bool set = rnd(2);

		n = n > BITS - from ? BITS - from : n;
		if (set)
			f4_bitmap_set(bm, from, n);
		else
			f4_bitmap_clear(bm, from, n);
		memset(model + from, set, n);
		for (uint32_t i = 0; i < BITS; i++)
			TEST_REQUIRE(f4_bitmap_test(bm, i) == model[i]);
		for (uint32_t i = 0; i < end; i++)
			zero += !model[i];
		TEST_EQ(f4_bitmap_count_zero(bm, end), zero);
	}
}

static void next_model(void)
{
	_Alignas(8) uint8_t bm[BITS / 8] = { 0 }, mask[BITS / 8] = { 0 };

	for (uint32_t round = 0; round < 300; round++) {
		f4_bitmap_set(bm, rnd(BITS - 100), rnd(100));
		f4_bitmap_clear(bm, rnd(BITS - 300), rnd(300));
		f4_bitmap_set(mask, rnd(BITS - 10), rnd(10));
		f4_bitmap_clear(mask, rnd(BITS - 60), rnd(60));
		for (uint32_t i = 0; i < 100; i++) {
			const uint8_t *m = rnd(2) ? mask : NULL;
			uint32_t end = rnd(BITS + 1), from = rnd(BITS + 1);

			TEST_EQ(f4_bitmap_next_zero(bm, m, from, end), slow_next(bm, m, from, end, false));
			TEST_EQ(f4_bitmap_next_one(bm, m, from, end), slow_next(bm, m, from, end, true));
		}
	}
}

int main(void)
{
	TEST_RUN(set_clear_model);
	TEST_RUN(next_model);
	return test_done();
}
