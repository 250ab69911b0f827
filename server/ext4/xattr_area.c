/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/ext4/xattr_area.h"

#include <errno.h>
#include <string.h>

#define ENTRY_SIZE ((uint32_t)sizeof(struct f4_xattr_entry))
/* Four zero bytes end the list of entries. */
#define TERMINATOR 4u

static uint32_t align4(uint32_t n)
{
	return (n + 3u) & ~3u;
}

/* A value whose place is in the area must lie behind the list of entries, which ends at @list_end. */
static int check_value(const struct f4_xarea *a, const struct f4_xattr_entry *raw,
		       uint32_t list_end, struct f4_xent *e)
{
	uint32_t offs = f4_get_le16(raw->e_value_offs);

	if (e->inum != 0)
		return e->size <= F4_XATTR_SIZE_MAX ? 0 : -EUCLEAN;
	if (e->size == 0)
		return 0;
	if (e->size > a->end || offs < list_end || offs > a->end ||
	    align4(e->size) > a->end - offs)
		return -EUCLEAN;
	e->value = a->base + offs;
	return 0;
}

int f4_xarea_load(const struct f4_xarea *a, struct f4_xent *ents, size_t *ret_n)
{
	uint32_t pos = a->first;
	size_t n = 0;

	/* First the names: they say where values may begin. */
	for (;;) {
		const struct f4_xattr_entry *raw = (const void *)(a->base + pos);
		uint32_t len;

		if (pos > a->end || a->end - pos < TERMINATOR)
			return -EUCLEAN;
		if (f4_load_le32(a->base + pos) == 0)
			break;
		if (a->end - pos < ENTRY_SIZE + TERMINATOR)
			return -EUCLEAN;
		len = align4(ENTRY_SIZE + raw->e_name_len);
		if (len > a->end - pos - TERMINATOR ||
		    memchr(raw->e_name, '\0', raw->e_name_len) != NULL)
			return -EUCLEAN;
		ents[n++] = (struct f4_xent){
			.index = raw->e_name_index,
			.name_len = raw->e_name_len,
			.name = raw->e_name,
			.size = f4_get_le32(raw->e_value_size),
			.inum = f4_get_le32(raw->e_value_inum),
			.hash = f4_get_le32(raw->e_hash),
		};
		pos += len;
	}
	for (size_t i = 0; i < n; i++) {
		const struct f4_xattr_entry *raw =
			(const void *)(ents[i].name - offsetof(struct f4_xattr_entry, e_name));
		int r = check_value(a, raw, pos + TERMINATOR, &ents[i]);

		if (r < 0)
			return r;
	}
	*ret_n = n;
	return 0;
}

uint32_t f4_xarea_need(const struct f4_xent *e)
{
	return align4(ENTRY_SIZE + e->name_len) + (e->inum ? 0 : align4(e->size));
}

int f4_xarea_build(uint8_t *base, uint32_t first, uint32_t end, const struct f4_xent *ents,
		   size_t n)
{
	uint64_t need = TERMINATOR;
	uint32_t pos = first, top = end;

	for (size_t i = 0; i < n; i++)
		need += f4_xarea_need(&ents[i]);
	if (need > end - first)
		return -ENOSPC;
	memset(base + first, 0, end - first);
	for (size_t i = 0; i < n; i++) {
		const struct f4_xent *e = &ents[i];
		struct f4_xattr_entry raw = {
			.e_name_len = e->name_len,
			.e_name_index = e->index,
			.e_value_inum = f4_mk_le32(e->inum),
			.e_value_size = f4_mk_le32(e->size),
			.e_hash = f4_mk_le32(e->hash),
		};

		if (e->inum == 0 && e->size > 0) {
			top -= align4(e->size);
			memcpy(base + top, e->value, e->size);
			raw.e_value_offs = f4_mk_le16((uint16_t)top);
		}
		memcpy(base + pos, &raw, ENTRY_SIZE);
		memcpy(base + pos + ENTRY_SIZE, e->name, e->name_len);
		pos += align4(ENTRY_SIZE + e->name_len);
	}
	return 0;
}

size_t f4_xent_find(const struct f4_xent *ents, size_t n, uint8_t index, const char *name,
		    size_t name_len)
{
	for (size_t i = 0; i < n; i++) {
		if (ents[i].index == index && ents[i].name_len == name_len &&
		    memcmp(ents[i].name, name, name_len) == 0)
			return i;
	}
	return n;
}

int f4_xent_order(const struct f4_xent *a, const struct f4_xent *b)
{
	if (a->index != b->index)
		return a->index < b->index ? -1 : 1;
	if (a->name_len != b->name_len)
		return a->name_len < b->name_len ? -1 : 1;
	return memcmp(a->name, b->name, a->name_len);
}

void f4_xent_remove(struct f4_xent *ents, size_t *n, size_t at)
{
	memmove(&ents[at], &ents[at + 1], (*n - at - 1) * sizeof(*ents));
	(*n)--;
}

void f4_xent_insert(struct f4_xent *ents, size_t *n, const struct f4_xent *e, bool sorted)
{
	size_t at = *n;

	while (sorted && at > 0 && f4_xent_order(e, &ents[at - 1]) < 0)
		at--;
	memmove(&ents[at + 1], &ents[at], (*n - at) * sizeof(*ents));
	ents[at] = *e;
	(*n)++;
}

static uint32_t rotate(uint32_t h, unsigned int by)
{
	return (h << by) | (h >> (32 - by));
}

static uint32_t hash_name(const struct f4_xent *e, bool signed_names)
{
	uint32_t h = 0;

	for (size_t i = 0; i < e->name_len; i++) {
		uint32_t c = signed_names ? (uint32_t)(int32_t)(int8_t)e->name[i] :
					    (uint8_t)e->name[i];

		h = rotate(h, 5) ^ c;
	}
	return h;
}

uint32_t f4_xent_hash(const struct f4_xent *e, bool signed_names)
{
	uint32_t h = hash_name(e, signed_names);

	for (uint32_t i = 0; i < e->size; i += 4) {
		uint8_t word[4] = { 0 };

		memcpy(word, e->value + i, e->size - i < 4 ? e->size - i : 4);
		h = rotate(h, 16) ^ f4_load_le32(word);
	}
	return h;
}

uint32_t f4_xent_hash_inode(const struct f4_xent *e, uint32_t value_hash, bool signed_names)
{
	return rotate(hash_name(e, signed_names), 16) ^ value_hash;
}

uint32_t f4_xarea_hash(const struct f4_xent *ents, size_t n)
{
	uint32_t h = 0;

	for (size_t i = 0; i < n; i++) {
		if (ents[i].hash == 0)
			return 0; /* "not to be shared" */
		h = rotate(h, 16) ^ ents[i].hash;
	}
	return h;
}
