/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bits of bitmap blocks: bit n is bit n % 8 of byte n / 8, on disk and here.
 *
 * Pure. A bitmap is a block: at least 1 KiB, 8-byte aligned, so whole 64-bit words are looked at.
 * @mask, where taken, is a second bitmap of the same size whose bits count as set too; NULL: none.
 */
#ifndef F4_EXT4_BITMAP_H
#define F4_EXT4_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

static inline bool f4_bitmap_test(const uint8_t *bm, uint32_t bit)
{
	return (bm[bit >> 3] >> (bit & 7)) & 1;
}

/* f4_bitmap_set/clear - @n bits from @from. */
void f4_bitmap_set(uint8_t *bm, uint32_t from, uint32_t n);
void f4_bitmap_clear(uint8_t *bm, uint32_t from, uint32_t n);

/* f4_bitmap_next_zero/one - the first such bit in [@from, @end); @end if there is none. */
uint32_t f4_bitmap_next_zero(const uint8_t *bm, const uint8_t *mask, uint32_t from, uint32_t end);
uint32_t f4_bitmap_next_one(const uint8_t *bm, const uint8_t *mask, uint32_t from, uint32_t end);

/* f4_bitmap_count_zero - clear bits in [0, @end). */
uint32_t f4_bitmap_count_zero(const uint8_t *bm, uint32_t end);

#endif
