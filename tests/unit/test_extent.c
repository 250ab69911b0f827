/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extent trees on the fake core: random changes against a model, in every shape that the tree code
 * cares for, with allocations that fail; and trees that someone has damaged.
 */
#include "tests/lib/mapmodel.h"

#include "server/ext4/extent.c"
#undef HDR_BYTES
#undef ENTRY_BYTES
#define entry edit_entry
#include "server/ext4/extent_edit.c"
#undef entry
#include "server/ext4/extent_alloc.c"
#include "server/ext4/indirect.h"
#include "server/ext4/map.c"

/* The dispatcher wants them; no inode here has a block map. */
int f4_ind_lookup(struct f4_inode *inode, uint32_t lblk, struct f4_map *ret)
{
	return -ENOSYS;
}
int f4_ind_alloc(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t len,
		 uint32_t flags, struct f4_map *ret)
{
	return -ENOSYS;
}
int f4_ind_remove(struct f4_handle *h, struct f4_inode *inode, uint32_t lblk, uint32_t end,
		  uint32_t *ret_end)
{
	return -ENOSYS;
}
int f4_ind_check(struct f4_inode *inode, uint64_t *ret_blocks)
{
	return -ENOSYS;
}

static uint32_t depth(void)
{
	return hdr_depth(model.inode.i_block);
}

static void random_steps(uint32_t block_bits, uint32_t cluster_bits, bool csum, uint32_t max_piece,
			 uint32_t steps)
{
	fake_init(block_bits, cluster_bits, csum);
	fake.max_piece = max_piece;
	model_init(true, F4_EXT_END);
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
	model_remove_all();
	TEST_EQ(depth(), 0);
	fake_done();
}

static void random_1k(void)
{
	random_steps(10, 0, true, 3, 1500);
}
static void random_1k_no_csum(void)
{
	random_steps(10, 0, false, 1, 1000);
}
static void random_4k(void)
{
	random_steps(12, 0, true, 0, 1000);
}
static void random_clusters(void)
{
	random_steps(12, 4, true, 2, 1500);
}
static void random_clusters_1k(void)
{
	random_steps(10, 3, true, 1, 1500);
}

/* Every other block: as many extents as there can be, then all gone again. */
static void deep_tree(void)
{
	static const uint32_t order[] = { 1, WINDOW - 1, 1389 };

	for (size_t k = 0; k < F4_ARRAY_LEN(order); k++) {
		fake_init(10, 0, true);
		model_init(true, F4_EXT_END);
		for (uint32_t i = 0, at = 0; i < WINDOW; i++, at = (at + order[k]) % WINDOW)
			for (uint32_t w = 0; w < WINDOWS; w++)
				if (at % 2 == 0)
					TEST_EQ(model_alloc(w, at, at + 1, false), 0);
		TEST_CHECK(depth() >= 2);
		model_compare();
		model_remove_all();
		TEST_EQ(depth(), 0);
	}
	fake_done();
}

/* Leaves that go from the front: keys rise on all levels. */
static void removed_from_the_front(void)
{
	fake_init(10, 0, true);
	model_init(true, F4_EXT_END);
	f4_store_le16(model.inode.i_block + offsetof(struct f4_extent_header, eh_max), 2);
	for (uint32_t w = WINDOWS; w-- > 0;)
		for (uint32_t i = WINDOW; i > 0; i -= 2)
			TEST_EQ(model_alloc(w, i - 1, i, false), 0);
	TEST_CHECK(depth() >= 3); /* nodes are half full, the root holds two */
	for (uint32_t w = 0; w < WINDOWS && !test_case_failed_; w++)
		for (uint32_t i = 0; i < WINDOW && !test_case_failed_; i += 16) {
			TEST_EQ(model_remove(w, i, i + 16), 0);
			if (i % 256 == 0)
				model_compare();
		}
	TEST_EQ(fake_used(), 0);
	fake_done();
}

/* Appends of any size to one file, where there is room, are one extent. */
static void appends_are_one_extent(void)
{
	struct f4_map m;

	fake_init(12, 0, true);
	model_init(true, F4_EXT_END);
	for (uint32_t at = 0; at < WINDOW; at += 16)
		TEST_EQ(model_alloc(0, at, at + 16, false), 0);
	TEST_EQ(f4_map_lookup(&model.inode, 0, UINT32_MAX, &m), 0);
	TEST_EQ(m.len, WINDOW);
	TEST_EQ(depth(), 0);
	/* Split in three and healed again. */
	TEST_EQ(model_convert(0, 100, 200, true), 0);
	TEST_EQ(f4_map_lookup(&model.inode, 0, UINT32_MAX, &m), 0);
	TEST_EQ(m.len, 100);
	TEST_EQ(model_convert(0, 150, 200, false), 0);
	TEST_EQ(model_convert(0, 100, 150, false), 0);
	TEST_EQ(f4_map_lookup(&model.inode, 0, UINT32_MAX, &m), 0);
	TEST_EQ(m.len, WINDOW);
	model_remove_all();
	fake_done();
}

/* A full leaf and a full disk: preallocated blocks can still be written to. */
static void convert_without_room(void)
{
	fake_init(10, 0, true);
	model_init(true, F4_EXT_END);
	for (uint32_t i = 0; i < 8; i += 2)
		TEST_EQ(model_alloc(0, i * 10, i * 10 + 10, true), 0);
	fake.no_space = true;
	TEST_EQ(model_convert(0, 23, 24, false), 0);
	TEST_EQ(fake.zeroed_bytes, 9 * 1024);
	TEST_EQ(model.state[0][22], WRITTEN);
	TEST_EQ(model.state[0][42], UNWRITTEN);
	model_compare();
	fake_done();
}

/* --- damage --- */

/* Walk and change a tree that may be anything; the only demand is to survive with an errno. */
static void use_damaged(void)
{
	struct f4_handle h;
	struct f4_map m;
	uint64_t blocks;
	uint32_t left;

	for (uint32_t w = 0; w < WINDOWS; w++)
		for (uint32_t i = 0; i < WINDOW; i += 64)
			(void)f4_map_lookup(&model.inode, model.base[w] + i, 64, &m);
	(void)f4_map_check(&model.inode, &blocks);
	for (uint32_t i = 0; i < 8; i++) {
		uint32_t lblk = model.base[fake_rand() % WINDOWS] + fake_rand() % WINDOW;

		(void)f4_txn_begin(NULL, 1000, &h);
		switch (i % 4) {
		case 0:
			(void)f4_map_alloc(&h, &model.inode, lblk, 5, 0, &m);
			break;
		case 1:
			(void)f4_map_convert(&h, &model.inode, lblk, 3);
			break;
		case 2:
			(void)f4_map_unwrite(&h, &model.inode, lblk, 3);
			break;
		default:
			(void)f4_map_remove(&h, &model.inode, lblk, lblk + 40, &left);
			break;
		}
		(void)f4_txn_end(&h);
	}
}

static void build_tree(uint32_t seed)
{
	fake_init(10, 0, false); /* without checksums damage gets further */
	fake.seed = seed;
	fake.max_piece = 2;
	model_init(true, F4_EXT_END);
	for (uint32_t i = 0; i < 60; i++)
		model_step();
}

/* The tree block on the fake disk with this number, NULL if there is none. */
static uint8_t *nth_block(uint32_t n)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < FAKE_BLOCKS; i++)
		count += fake.disk[i] != NULL;
	if (count == 0)
		return NULL;
	n %= count;
	for (uint32_t i = 0; i < FAKE_BLOCKS; i++)
		if (fake.disk[i] && n-- == 0)
			return fake.disk[i];
	return NULL;
}

static void evict_all(void)
{
	struct f4_handle h;
	uint32_t cached;

	do {
		(void)f4_txn_begin(NULL, 1, &h);
		(void)f4_txn_end(&h);
		cached = 0;
		for (uint32_t i = 0; i < FAKE_BLOCKS; i++)
			cached += fake.buf[i] != NULL;
	} while (cached);
	f4_map_forget_cache(&model.inode);
}

static void damaged_trees(void)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	uint32_t found = 0;

	for (uint32_t round = 0; round < 400; round++) {
		uint8_t *at;

		build_tree(round / 20);
		evict_all();
		fake.seed = round * 77 + 5;
		for (uint32_t n = 1 + fake_rand() % 3; n > 0; n--) {
			uint8_t *blk = nth_block(fake_rand());

			at = fake_rand() % 3 == 0 || !blk ? &model.inode.i_block[fake_rand() % 60] :
			     fake_rand() % 2 ? &blk[fake_rand() % 36] : &blk[fake_rand() % 1024];
			*at = fake_rand() % 2 ? values[fake_rand() % F4_ARRAY_LEN(values)] :
						(uint8_t)fake_rand();
		}
		fake.quiet = true; /* a block freed twice and the like is what damage leads to */
		use_damaged();
		found += fake.reported;
	}
	fake_done();
	TEST_CHECK(found > 100); /* most damage is noticed */
}

/* Two index entries for one leaf, a leaf that is its own child: no walk runs for ever. */
static void cycles(void)
{
	struct f4_map m;
	uint32_t root_child;
	int r;

	build_tree(3);
	evict_all();
	TEST_REQUIRE(depth() >= 1);
	root_child = f4_load_le32(model.inode.i_block + 16);
	TEST_REQUIRE(fake.disk[root_child] != NULL);
	/* The child says that it is an index node and leads to itself. */
	f4_store_le16(fake.disk[root_child] + 6, 1);
	f4_store_le16(fake.disk[root_child] + 2, 1);
	f4_store_le32(fake.disk[root_child] + 12 + 4, root_child);
	f4_store_le16(fake.disk[root_child] + 12 + 8, 0);
	f4_store_le16(model.inode.i_block + 6, 5);
	r = f4_map_lookup(&model.inode, 0, 1, &m);
	TEST_EQ(r, -EUCLEAN);
	TEST_CHECK(fake.reported);
	fake_done();
}

int main(void)
{
	TEST_RUN(random_1k);
	TEST_RUN(random_1k_no_csum);
	TEST_RUN(random_4k);
	TEST_RUN(random_clusters);
	TEST_RUN(random_clusters_1k);
	TEST_RUN(deep_tree);
	TEST_RUN(removed_from_the_front);
	TEST_RUN(appends_are_one_extent);
	TEST_RUN(convert_without_room);
	TEST_RUN(cycles);
	TEST_RUN(damaged_trees);
	return test_done();
}
