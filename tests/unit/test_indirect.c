/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Block maps on the fake core: random changes against a model, all levels, failures, damage. */
#include "tests/lib/mapmodel.h"

#include "server/ext4/extent.h"
#include "server/ext4/indirect.c"
#include "server/ext4/map.c"

/* The dispatcher wants them; no inode here has an extent tree. */
void f4_ext_init_root(uint8_t *i_block)
{
}
int f4_ext_lookup(struct f4_inode *inode, uint32_t lblk, struct f4_map *ret)
{
	return -ENOSYS;
}
int f4_ext_alloc(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t len,
		 uint32_t flags, struct f4_map *ret)
{
	return -ENOSYS;
}
int f4_ext_convert(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t len,
		   bool unwritten)
{
	return -ENOSYS;
}
int f4_ext_remove(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t end,
		  uint32_t *ret_end)
{
	return -ENOSYS;
}
uint32_t f4_ext_credits(const struct f4_inode *inode)
{
	return 0;
}
int f4_ext_check(struct f4_inode *inode, uint64_t *ret_blocks)
{
	return -ENOSYS;
}

/* Blocks that a map can reach: 12 + n + n^2 + n^3 pointers. */
static uint32_t reach(uint32_t block_bits)
{
	uint64_t n = 1u << (block_bits - 2), all = 12 + n + n * n + n * n * n;

	return all < UINT32_MAX ? (uint32_t)all : UINT32_MAX;
}

static void random_steps(uint32_t block_bits, uint32_t max_piece, uint32_t steps)
{
	fake_init(block_bits, 0, false);
	fake.max_piece = max_piece;
	model_init(false, reach(block_bits));
	for (uint32_t i = 0; i < steps && !test_case_failed_; i++) {
		if (i % 7 == 3)
			fake.fail_alloc = fake.allocs + 1 + fake_rand() % 6;
		fake.no_space = i % 101 < 5;
		model_step();
		if (i % 16 == 0)
			model_compare();
	}
	fake.no_space = false;
	fake.fail_alloc = 0;
	model_compare();
	TEST_CHECK(model.failures > 10);
	model_remove_all();
	fake_done();
}

static void random_1k(void)
{
	random_steps(10, 5, 3000);
}
static void random_1k_long_runs(void)
{
	random_steps(10, 0, 2000);
}
static void random_4k(void)
{
	random_steps(12, 0, 2000);
}

/* A single block at the very end needs a block on each level, and gives them back. */
static void sparse(void)
{
	struct f4_map m;

	fake_init(10, 0, false);
	model_init(false, reach(10));
	TEST_EQ(model_alloc(3, WINDOW - 1, WINDOW, false), 0);
	TEST_EQ(fake_used(), 4);
	TEST_EQ(f4_map_lookup(&model.inode, 0, UINT32_MAX, &m), 0);
	TEST_CHECK(!(m.flags & F4_MAP_MAPPED));
	/* Beyond what it reaches nothing is, and nothing can be. */
	TEST_EQ(f4_map_lookup(&model.inode, reach(10), 10, &m), 0);
	TEST_CHECK(!(m.flags & F4_MAP_MAPPED));
	model_compare();
	model_remove_all();
	fake_done();
}

static void unwritten_is_refused(void)
{
	struct f4_handle h;
	struct f4_map m;

	fake_init(10, 0, false);
	model_init(false, reach(10));
	(void)f4_txn_begin(NULL, F4_IND_CREDITS, &h);
	TEST_EQ(f4_map_alloc(&h, &model.inode, 0, 1, F4_MAP_ALLOC_UNWRITTEN, &m), -EOPNOTSUPP);
	TEST_EQ(f4_map_unwrite(&h, &model.inode, 0, 1), -EOPNOTSUPP);
	TEST_EQ(f4_map_alloc(&h, &model.inode, reach(10), 1, 0, &m), -EFBIG);
	(void)f4_txn_end(&h);
	TEST_EQ(fake_used(), 0);
	fake_done();
}

/* Pointers that lead anywhere, also back up: an errno, in bounded time. */
static void damage(void)
{
	struct f4_handle h;
	uint32_t found = 0;

	for (uint32_t round = 0; round < 200; round++) {
		fake_init(10, 0, false);
		fake.seed = round + 1;
		fake.quiet = true;
		model_init(false, reach(10));
		for (uint32_t w = 0; w < WINDOWS; w++)
			(void)model_alloc(w, 0, 40, false);
		for (uint32_t n = 0; n < 3; n++) {
			uint32_t slot = fake_rand() % F4_N_BLOCKS, blk = fake_rand() % 90;
			uint32_t victim = FAKE_FIRST + fake_rand() % 200;
			/* A pointer of i_block, or one of a cached pointer block. */
			uint8_t *raw = fake.buf[victim] ? fake.buf[victim]->data :
							  model.inode.i_block;

			f4_store_le32(raw + slot * 4, fake_rand() % 2 ? blk : fake_rand());
		}
		f4_map_forget_cache(&model.inode);
		for (uint32_t n = 0; n < 30; n++) {
			uint32_t lblk = model.base[fake_rand() % WINDOWS] + fake_rand() % 80, left;
			struct f4_map m;

			(void)f4_txn_begin(NULL, 1000, &h);
			(void)f4_map_lookup(&model.inode, lblk, 10, &m);
			(void)f4_map_alloc(&h, &model.inode, lblk, 3, 0, &m);
			(void)f4_map_remove(&h, &model.inode, lblk, lblk + 20, &left);
			(void)f4_txn_end(&h);
		}
		found += fake.reported;
	}
	TEST_CHECK(found > 50);
	fake_done();
}

int main(void)
{
	TEST_RUN(random_1k);
	TEST_RUN(random_1k_long_runs);
	TEST_RUN(random_4k);
	TEST_RUN(sparse);
	TEST_RUN(unwritten_is_refused);
	TEST_RUN(damage);
	return test_done();
}
