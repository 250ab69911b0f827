/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A model of a file's mapping, and random changes made to it and to the real mapping at once. Used
 * on the fake core by test_extent.c and test_indirect.c.
 *
 * The file's logical blocks are a few windows of WINDOW blocks, the last one at the end of what the
 * mapping can reach.
 */
#ifndef F4_TESTS_MAPMODEL_H
#define F4_TESTS_MAPMODEL_H

#include "tests/lib/fakecore.h"

#define WINDOWS 4u
#define WINDOW	4096u
#define SPREAD	1024u /* of a window: where the random changes are */

enum { HOLE, WRITTEN, UNWRITTEN };

static struct {
	struct f4_inode inode;
	uint32_t base[WINDOWS];
	uint8_t state[WINDOWS][WINDOW];
	bool extents;
	uint32_t failures; /* operations that the fake made fail */
} model;

static inline void model_init(bool extents, uint32_t last)
{
	memset(&model, 0, sizeof(model));
	model.inode.vol = &fake.vol;
	model.inode.ino = 12;
	model.inode.csum_seed = 0x1234;
	model.inode.mode = 0100644;
	pthread_mutex_init(&model.inode.map_lock, NULL);
	model.extents = extents;
	if (!extents)
		fake.vol.incompat = 0;
	f4_map_init(&model.inode);
	model.base[0] = 0;
	model.base[1] = WINDOW;
	model.base[2] = last / 3;
	model.base[3] = last - WINDOW;
}

/* Everything the mapping says is what the model says, no block is used twice or not allocated. */
static inline void model_compare(void)
{
	static uint8_t owner[FAKE_BLOCKS];
	uint64_t blocks, mapped = 0;

	memset(owner, 0, sizeof(owner));
	for (uint32_t w = 0; w < WINDOWS; w++) {
		for (uint32_t i = 0; i < WINDOW;) {
			uint8_t want = model.state[w][i], got;
			struct f4_map m;
			int r = f4_map_lookup(&model.inode, model.base[w] + i, WINDOW - i, &m);

			if (r || m.len == 0 || m.lblk != model.base[w] + i || m.len > WINDOW - i) {
				TEST_FAIL_("lookup of %u: %d, run of %u", model.base[w] + i, r, m.len);
				return;
			}
			got = !(m.flags & F4_MAP_MAPPED) ? HOLE :
			      m.flags & F4_MAP_UNWRITTEN ? UNWRITTEN : WRITTEN;
			for (uint32_t k = 0; k < m.len; k++, i++) {
				if (model.state[w][i] != got)
					TEST_FAIL_("block %u is %u, expected %u (%u)",
						   model.base[w] + i, got, model.state[w][i], want);
				if (got == HOLE)
					continue;
				mapped++;
				if (owner[m.pblk + k]++)
					TEST_FAIL_("block %llu mapped twice",
						   (unsigned long long)m.pblk + k);
				if (!fake.used[m.pblk + k])
					TEST_FAIL_("block %llu mapped but free",
						   (unsigned long long)m.pblk + k);
			}
			if (test_case_failed_)
				return;
		}
	}
	TEST_EQ(f4_map_check(&model.inode, &blocks), 0);
	TEST_EQ(blocks, fake_used());
	TEST_EQ(model.inode.blocks, blocks << (fake.vol.block_bits - 9));
	TEST_CHECK(mapped <= blocks);
	TEST_CHECK(!fake.reported);
}

static inline int model_alloc(uint32_t w, uint32_t from, uint32_t to, bool unwritten)
{
	struct f4_handle h;
	struct f4_map m;
	int r;

	while (from < to) {
		(void)f4_txn_begin(NULL, f4_map_credits(&model.inode), &h);
		r = f4_map_alloc(&h, &model.inode, model.base[w] + from, to - from,
				 unwritten ? F4_MAP_ALLOC_UNWRITTEN : 0, &m);
		(void)f4_txn_end(&h);
		if (r)
			return r;
		for (uint32_t i = 0; i < m.len; i++, from++) {
			bool was = model.state[w][from] != HOLE;

			TEST_EQ(was, !(m.flags & F4_MAP_NEW));
			if (!was)
				model.state[w][from] = unwritten ? UNWRITTEN : WRITTEN;
		}
	}
	return 0;
}

/* Convert what is mapped in the range, either way. */
static inline int model_convert(uint32_t w, uint32_t from, uint32_t to, bool unwritten)
{
	while (from < to) {
		struct f4_handle h;
		struct f4_map m;
		int r = f4_map_lookup(&model.inode, model.base[w] + from, to - from, &m);

		if (r)
			return r;
		if (m.flags & F4_MAP_MAPPED) {
			uint64_t zeroed = fake.zeroed_bytes;

			(void)f4_txn_begin(NULL, f4_map_credits(&model.inode), &h);
			r = unwritten ? f4_map_unwrite(&h, &model.inode, m.lblk, m.len) :
					f4_map_convert(&h, &model.inode, m.lblk, m.len);
			(void)f4_txn_end(&h);
			if (r)
				return r;
			memset(&model.state[w][from], unwritten ? UNWRITTEN : WRITTEN, m.len);
			if (fake.zeroed_bytes != zeroed) { /* the whole extent became written */
				uint32_t a = from, b = from + m.len;

				while (a > 0 && model.state[w][a - 1] == UNWRITTEN &&
				       f4_map_lookup(&model.inode, model.base[w] + a - 1, 1, &m) == 0 &&
				       !(m.flags & F4_MAP_UNWRITTEN))
					model.state[w][--a] = WRITTEN;
				while (b < WINDOW && model.state[w][b] == UNWRITTEN &&
				       f4_map_lookup(&model.inode, model.base[w] + b, 1, &m) == 0 &&
				       !(m.flags & F4_MAP_UNWRITTEN))
					model.state[w][b++] = WRITTEN;
				from = b < to ? b : to;
				continue;
			}
		}
		from += m.len;
	}
	return 0;
}

static inline int model_remove(uint32_t w, uint32_t from, uint32_t to)
{
	uint32_t left = model.base[w] + to, rounds = 0;

	while (left > model.base[w] + from) {
		uint32_t before = left;
		struct f4_handle h;
		int r;

		(void)f4_txn_begin(NULL, f4_map_credits(&model.inode), &h);
		r = f4_map_remove(&h, &model.inode, model.base[w] + from, left, &left);
		(void)f4_txn_end(&h);
		if (r)
			return r;
		for (uint32_t i = left - model.base[w]; i < before - model.base[w]; i++)
			if (i < WINDOW)
				model.state[w][i] = HOLE;
		TEST_CHECK(rounds++ < 2 * WINDOW);
		if (test_case_failed_)
			break;
	}
	return 0;
}

/* One random change. What the fake makes fail leaves a part done: model and mapping still agree. */
static inline void model_step(void)
{
	uint32_t w = fake_rand() % WINDOWS, from = fake_rand() % SPREAD, to;
	int r = 0;

	to = from + 1 + fake_rand() % (fake_rand() % 8 ? 9 : SPREAD);
	to = to > SPREAD ? SPREAD : to;
	switch (fake_rand() % (model.extents ? 8 : 5)) {
	case 0:
	case 1:
	case 2:
		r = model_alloc(w, from, to, false);
		break;
	case 3:
	case 4:
		r = model_remove(w, from, to);
		break;
	case 5:
		r = model_alloc(w, from, to, true);
		break;
	case 6:
		r = model_convert(w, from, to, false);
		break;
	default:
		r = model_convert(w, from, to, true);
		break;
	}
	if (r == -ENOSPC)
		model.failures++;
	else
		TEST_EQ(r, 0);
}

static inline void model_remove_all(void)
{
	for (uint32_t w = 0; w < WINDOWS; w++)
		TEST_EQ(model_remove(w, 0, WINDOW), 0);
	model_compare();
	TEST_EQ(fake_used(), 0);
	TEST_EQ(model.inode.blocks, 0);
}

#endif
