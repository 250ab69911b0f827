/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lookup counts without their inodes: a hash with open addressing and backward-shift deletion, so
 * that nothing but live counts is ever in it.
 */
#include "server/ext4/inode_table.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t slot_of(uint32_t bits, uint32_t ino)
{
	return (ino / F4_INODE_SHARDS * 0x9E3779B1u) >> (32 - bits);
}

static void counts_put(struct f4_inode_count *t, uint32_t bits, uint32_t ino, uint64_t n)
{
	uint32_t mask = (1u << bits) - 1, i = slot_of(bits, ino);

	while (t[i].ino && t[i].ino != ino)
		i = (i + 1) & mask;
	t[i].ino = ino;
	t[i].n += n;
}

static int counts_grow(struct f4_inode_shard *s)
{
	uint32_t bits = s->counts ? s->counts_bits + 1 : 4;
	struct f4_inode_count *t;

	if (bits > 26)
		return -ENOMEM;
	t = calloc((size_t)1 << bits, sizeof(*t));
	if (!t)
		return -ENOMEM;
	for (uint32_t i = 0; s->counts && i < 1u << s->counts_bits; i++)
		if (s->counts[i].ino)
			counts_put(t, bits, s->counts[i].ino, s->counts[i].n);
	free(s->counts);
	s->counts = t;
	s->counts_bits = bits;
	return 0;
}

int f4_inode_count_add(struct f4_inode_shard *s, uint32_t ino, uint64_t n)
{
	/* At most three quarters full. */
	if (!s->counts || (s->n_counts + 1) * 4 > 3u << s->counts_bits) {
		int r = counts_grow(s);

		if (r < 0)
			return r;
	}
	counts_put(s->counts, s->counts_bits, ino, n);
	s->n_counts++; /* an inode is either here or in memory, so it was not here */
	return 0;
}

/* Empties slot @i and moves up what only stood behind it because of it. */
static void counts_remove(struct f4_inode_shard *s, uint32_t i)
{
	struct f4_inode_count *t = s->counts;
	uint32_t mask = (1u << s->counts_bits) - 1, j = i;

	for (;;) {
		uint32_t home;

		t[i] = (struct f4_inode_count){ 0 };
		do {
			j = (j + 1) & mask;
			if (!t[j].ino) {
				s->n_counts--;
				return;
			}
			home = slot_of(s->counts_bits, t[j].ino);
			/* Stays if its home lies behind the hole, cyclically in (i, j]. */
		} while (((j - home) & mask) < ((j - i) & mask));
		t[i] = t[j];
		i = j;
	}
}

uint64_t f4_inode_count_take(struct f4_inode_shard *s, uint32_t ino, uint64_t n)
{
	uint32_t mask = (1u << s->counts_bits) - 1, i;

	if (!s->counts)
		return 0;
	i = slot_of(s->counts_bits, ino);
	while (s->counts[i].ino && s->counts[i].ino != ino)
		i = (i + 1) & mask;
	if (!s->counts[i].ino)
		return 0;
	if (n < s->counts[i].n) {
		s->counts[i].n -= n;
		return n;
	}
	n = s->counts[i].n;
	counts_remove(s, i);
	return n;
}
