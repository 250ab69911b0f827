/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integers with a byte order, as types that the compiler keeps apart.
 *
 * A field of an on-disk or on-wire struct has one of these types, so that reading it without a
 * conversion does not compile: each is a struct of one member, which no arithmetic accepts.
 * f4_leNN is little-endian (ext4), f4_beNN big-endian (JBD2, the service protocol). They have the
 * size and alignment of the integer they hold, except the _u ones, which are byte aligned.
 */
#ifndef F4_BASE_ENDIAN_H
#define F4_BASE_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define F4_ENDIAN_TYPE(order, bits)                                                              \
	typedef struct {                                                                         \
		uint##bits##_t raw;                                                              \
	} f4_##order##bits;                                                                      \
	static inline uint##bits##_t f4_get_##order##bits(f4_##order##bits v)                    \
	{                                                                                        \
		return order##bits##toh(v.raw);                                                  \
	}                                                                                        \
	static inline f4_##order##bits f4_mk_##order##bits(uint##bits##_t v)                     \
	{                                                                                        \
		return (f4_##order##bits){ hto##order##bits(v) };                                \
	}                                                                                        \
	/* Load and store at any address, aligned or not. */                                     \
	static inline uint##bits##_t f4_load_##order##bits(const void *p)                        \
	{                                                                                        \
		uint##bits##_t v;                                                                \
		memcpy(&v, p, sizeof(v));                                                        \
		return order##bits##toh(v);                                                      \
	}                                                                                        \
	static inline void f4_store_##order##bits(void *p, uint##bits##_t v)                     \
	{                                                                                        \
		v = hto##order##bits(v);                                                         \
		memcpy(p, &v, sizeof(v));                                                        \
	}

F4_ENDIAN_TYPE(le, 16)
F4_ENDIAN_TYPE(le, 32)
F4_ENDIAN_TYPE(le, 64)
F4_ENDIAN_TYPE(be, 16)
F4_ENDIAN_TYPE(be, 32)
F4_ENDIAN_TYPE(be, 64)

#endif
