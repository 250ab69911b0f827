/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256, for the stand-ins of long encrypted names. Source: FIPS 180-4. */
#ifndef F4_EXT4_SHA256_H
#define F4_EXT4_SHA256_H

#include <stddef.h>
#include <stdint.h>

/* f4_sha256 - digest of @len bytes. */
void f4_sha256(const void *data, size_t len, uint8_t ret[32]);

#endif
