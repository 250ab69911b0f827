/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One area of extended attributes: entries that grow up, values that grow down. The same layout is
 * used behind an inode's fixed fields and in an attribute block; only where it begins and what
 * value offsets count from differ. Pure functions on memory: no locks, no I/O.
 *
 * Everything in an area comes from the disk. f4_xarea_load checks all of it before anything is
 * looked at; what it returns points into the area and is in bounds.
 * Source: kernel Documentation/filesystems/ext4/attributes.rst.
 */
#ifndef F4_EXT4_XATTR_AREA_H
#define F4_EXT4_XATTR_AREA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/ext4/format.h"

#define F4_XATTR_NAME_MAX 255u
/* The largest value that an inode of its own may hold, bytes. Source: kernel EXT4_XATTR_SIZE_MAX. */
#define F4_XATTR_SIZE_MAX (1u << 24)

/* Where an area is: entries from base + first, all before base + end; value offsets count from base. */
struct f4_xarea {
	const uint8_t *base; /* borrowed */
	uint32_t first, end; /* bytes, multiples of 4 */
};

/* An entry in host order. */
struct f4_xent {
	uint8_t index;	      /* F4_XATTR_INDEX_* */
	uint8_t name_len;     /* bytes, without the prefix */
	const char *name;     /* borrowed, not NUL-ended */
	const uint8_t *value; /* borrowed, @size bytes; NULL for an empty one and one in an inode */
	uint32_t size;	      /* bytes */
	uint32_t inum;	      /* the inode that holds the value, or 0 */
	uint32_t hash;
};

/* The most entries that fit in an area of @len bytes. */
static inline size_t f4_xarea_max_entries(uint32_t len)
{
	return len / sizeof(struct f4_xattr_entry);
}

/*
 * f4_xarea_load - check the whole area and list its entries.
 * @ents: room for f4_xarea_max_entries(end - first) of them
 * Return: 0, -EUCLEAN.
 */
int f4_xarea_load(const struct f4_xarea *a, struct f4_xent *ents, size_t *ret_n);

/*
 * f4_xarea_build - write the entries, in the given order, into a cleared area.
 * @base, @first, @end: as in struct f4_xarea; bytes before @first are left alone. No entry may point
 *                      into the area.
 * Return: 0, -ENOSPC with the area untouched.
 */
int f4_xarea_build(uint8_t *base, uint32_t first, uint32_t end, const struct f4_xent *ents,
		   size_t n);

/* f4_xarea_need - bytes that an entry with its value takes. */
uint32_t f4_xarea_need(const struct f4_xent *e);

/* f4_xent_find - position of the named entry among @n, or @n. */
size_t f4_xent_find(const struct f4_xent *ents, size_t n, uint8_t index, const char *name,
		    size_t name_len);

/* f4_xent_order - the order of entries in a block: <0, 0, >0. */
int f4_xent_order(const struct f4_xent *a, const struct f4_xent *b);

/* f4_xent_remove - take entry @at out of the list of *@n. */
void f4_xent_remove(struct f4_xent *ents, size_t *n, size_t at);
/* f4_xent_insert - add @e: at the end, or where f4_xent_order puts it. There must be room. */
void f4_xent_insert(struct f4_xent *ents, size_t *n, const struct f4_xent *e, bool sorted);

/*
 * f4_xent_hash - e_hash of an entry whose value is in the area.
 * @signed_names: as old kernels on machines with signed char computed it
 */
uint32_t f4_xent_hash(const struct f4_xent *e, bool signed_names);
/* f4_xent_hash_inode - e_hash of an entry whose value is in an inode with this value hash. */
uint32_t f4_xent_hash_inode(const struct f4_xent *e, uint32_t value_hash, bool signed_names);
/* f4_xarea_hash - h_hash of a block with these entries. */
uint32_t f4_xarea_hash(const struct f4_xent *ents, size_t n);

#endif
