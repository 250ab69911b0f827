/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checksums against published check values, and the two crc32c ways against each other. */
#include "server/ext4/csum.h"

#include <stdint.h>

#include "tests/lib/check.h"

static const char digits[] = "123456789";

/* The "check" values of the well-known catalogue of CRC algorithms. */
static void known_values(void)
{
	TEST_EQ(f4_crc32c(~0u, digits, 9) ^ ~0u, 0xe3069283u);
	TEST_EQ(f4_crc32c_soft(~0u, digits, 9) ^ ~0u, 0xe3069283u);
	TEST_EQ(f4_crc16(0, digits, 9), 0xbb3du);
	TEST_EQ(f4_crc16(0xffff, digits, 9), 0x4b37u);
	TEST_EQ(f4_crc32_be(~0u, digits, 9), 0x0376e6e7u);
	TEST_EQ(f4_crc32c(1234, digits, 0), 1234);
}

/* Any split of the input gives the same, at any alignment and length. */
static void splits_and_ways_agree(void)
{
	uint8_t buf[300];
	uint32_t x = 1;

	for (size_t i = 0; i < sizeof(buf); i++) {
		x = x * 1103515245u + 12345u;
		buf[i] = (uint8_t)(x >> 16);
	}
	for (size_t off = 0; off < 9; off++) {
		for (size_t len = 0; len + off <= sizeof(buf); len += 7) {
			uint32_t whole = f4_crc32c(~0u, buf + off, len);
			size_t cut = len / 3;
			uint32_t half = f4_crc32c(~0u, buf + off, cut);

			TEST_EQ(f4_crc32c(half, buf + off + cut, len - cut), whole);
			TEST_EQ(f4_crc32c_soft(~0u, buf + off, len), whole);
		}
	}
}

int main(void)
{
	TEST_RUN(known_values);
	TEST_RUN(splits_and_ways_agree);
	return test_done();
}
