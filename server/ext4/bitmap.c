/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bitmaps a word at a time; the contract is in bitmap.h. */
#include "server/ext4/bitmap.h"

#include <string.h>

#include "protocol/base/endian.h"

static inline uint64_t word_at(const uint8_t *bm, const uint8_t *mask, uint32_t word)
{
	uint64_t w = f4_load_le64(bm + (size_t)word * 8);

	return mask ? w | f4_load_le64(mask + (size_t)word * 8) : w;
}

/* Bits [from, from + n) inside one byte, n <= 8 - from. */
static inline uint8_t byte_mask(uint32_t from, uint32_t n)
{
	return (uint8_t)(((1u << n) - 1) << from);
}

void f4_bitmap_set(uint8_t *bm, uint32_t from, uint32_t n)
{
	while (n && (from & 7)) {
		uint32_t k = 8 - (from & 7) < n ? 8 - (from & 7) : n;

		bm[from >> 3] |= byte_mask(from & 7, k);
		from += k;
		n -= k;
	}
	memset(bm + (from >> 3), 0xff, n >> 3);
	from += n & ~7u;
	if (n & 7)
		bm[from >> 3] |= byte_mask(0, n & 7);
}

void f4_bitmap_clear(uint8_t *bm, uint32_t from, uint32_t n)
{
	while (n && (from & 7)) {
		uint32_t k = 8 - (from & 7) < n ? 8 - (from & 7) : n;

		bm[from >> 3] &= (uint8_t)~byte_mask(from & 7, k);
		from += k;
		n -= k;
	}
	memset(bm + (from >> 3), 0, n >> 3);
	from += n & ~7u;
	if (n & 7)
		bm[from >> 3] &= (uint8_t)~byte_mask(0, n & 7);
}

/* @flip: all ones to look for zeroes, 0 to look for ones. */
static uint32_t next_bit(const uint8_t *bm, const uint8_t *mask, uint32_t from, uint32_t end,
			 uint64_t flip)
{
	uint64_t w;

	if (from >= end)
		return end;
	w = (word_at(bm, mask, from / 64) ^ flip) & (~0ull << (from % 64));
	from -= from % 64;
	while (w == 0) {
		from += 64;
		if (from >= end)
			return end;
		w = word_at(bm, mask, from / 64) ^ flip;
	}
	from += (uint32_t)__builtin_ctzll(w);
	return from < end ? from : end;
}

uint32_t f4_bitmap_next_zero(const uint8_t *bm, const uint8_t *mask, uint32_t from, uint32_t end)
{
	return next_bit(bm, mask, from, end, ~0ull);
}

uint32_t f4_bitmap_next_one(const uint8_t *bm, const uint8_t *mask, uint32_t from, uint32_t end)
{
	return next_bit(bm, mask, from, end, 0);
}

uint32_t f4_bitmap_count_zero(const uint8_t *bm, uint32_t end)
{
	uint32_t n = 0, bit;

	for (bit = 0; bit + 64 <= end; bit += 64)
		n += (uint32_t)__builtin_popcountll(~word_at(bm, NULL, bit / 64));
	if (bit < end)
		n += (uint32_t)__builtin_popcountll(~word_at(bm, NULL, bit / 64) &
						    ((1ull << (end - bit)) - 1));
	return n;
}
