/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checksums of metadata: crc32c for metadata_csum, crc16 for uninit_bg.
 * Source: kernel Documentation/filesystems/ext4/checksums.rst.
 */
#ifndef F4_EXT4_CSUM_H
#define F4_EXT4_CSUM_H

#include <stddef.h>
#include <stdint.h>

/* f4_crc32c - continue @crc (start: ~0) over @len bytes; no final inversion. Uses the CPU's instruction where there is one. */
uint32_t f4_crc32c(uint32_t crc, const void *data, size_t len);

/* f4_crc16 - the reflected 0x8005 polynomial, as the group descriptors of uninit_bg use it. */
uint16_t f4_crc16(uint16_t crc, const void *data, size_t len);

/* f4_crc32c_soft - f4_crc32c without the instruction; for its test and other processors. */
uint32_t f4_crc32c_soft(uint32_t crc, const void *data, size_t len);

/* f4_crc32_be - 0x04c11db7, high bit first, as the journal's first kind of checksum uses it. */
uint32_t f4_crc32_be(uint32_t crc, const void *data, size_t len);

#endif
