/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checksums of metadata.
 *
 * crc32c is on the path of every commit and every metadata block read, so it uses the processor's
 * instruction where there is one, else eight bytes per step from tables. The choice is made anew
 * at each call: it is one load, and the core keeps no global state.
 */
#include "server/ext4/csum.h"

#include "protocol/base/endian.h"
#include "server/ext4/csum_table.h"

uint32_t f4_crc32c_soft(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len >= 8) {
		uint32_t lo = f4_load_le32(p) ^ crc, hi = f4_load_le32(p + 4);

		crc = crc32c_table[7][lo & 0xff] ^ crc32c_table[6][(lo >> 8) & 0xff] ^
		      crc32c_table[5][(lo >> 16) & 0xff] ^ crc32c_table[4][lo >> 24] ^
		      crc32c_table[3][hi & 0xff] ^ crc32c_table[2][(hi >> 8) & 0xff] ^
		      crc32c_table[1][(hi >> 16) & 0xff] ^ crc32c_table[0][hi >> 24];
		p += 8;
		len -= 8;
	}
	while (len-- > 0)
		crc = (crc >> 8) ^ crc32c_table[0][(crc ^ *p++) & 0xff];
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *data,
							       size_t len)
{
	const uint8_t *p = data;
	uint64_t c = crc;

	while (len >= 8) {
		uint64_t v;

		memcpy(&v, p, sizeof(v));
		c = __builtin_ia32_crc32di(c, v);
		p += 8;
		len -= 8;
	}
	crc = (uint32_t)c;
	while (len-- > 0)
		crc = __builtin_ia32_crc32qi(crc, *p++);
	return crc;
}
#endif

uint32_t f4_crc32c(uint32_t crc, const void *data, size_t len)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_sse42(crc, data, len);
#endif
	return f4_crc32c_soft(crc, data, len);
}

uint16_t f4_crc16(uint16_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len-- > 0)
		crc = (uint16_t)((crc >> 8) ^ crc16_table[(crc ^ *p++) & 0xff]);
	return crc;
}

uint32_t f4_crc32_be(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len-- > 0)
		crc = (crc << 8) ^ crc32be_table[(crc >> 24) ^ *p++];
	return crc;
}
