/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Directory blocks, names and hashes, without a volume: chains, damage, rec_len coding, stand-ins.
 */
#include "server/ext4/dir_block.h"

#include <errno.h>

#include "server/ext4/htree.h"
#include "server/ext4/sha256.h"
#include "tests/lib/check.h"

static struct f4_volume fake_volume(uint32_t block_size, bool csum)
{
	return (struct f4_volume){
		.block_size = block_size,
		.block_bits = (uint32_t)__builtin_ctz(block_size),
		.has_csum = csum,
		.inodes_count = 1000,
		.incompat = F4_INCOMPAT_FILETYPE,
		.compat = F4_COMPAT_DIR_INDEX,
		.def_hash_version = F4_HASH_HALF_MD4,
	};
}

static struct f4_inode fake_dir(struct f4_volume *vol, uint32_t flags)
{
	return (struct f4_inode){ .vol = vol, .ino = 12, .mode = 0040755, .flags = flags };
}

static struct f4_dir_name name_of(struct f4_inode *dir, const char *s)
{
	struct f4_dir_name n;

	memset(&n, 0, sizeof(n));
	if (f4_dir_name_init(dir, s, strlen(s), &n) < 0)
		TEST_FAIL_("name \"%s\" is refused", s);
	return n;
}

static void rec_len_coding(void)
{
	static const struct {
		uint32_t len, block;
	} good[] = { { 12, 1024 }, { 1024, 1024 }, { 4096, 4096 }, { 12, 65536 },
		     { 65524, 65536 }, { 65536, 65536 }, { 32768, 32768 } };

	for (size_t i = 0; i < F4_ARRAY_LEN(good); i++)
		TEST_EQ(f4_rec_len_decode(f4_rec_len_encode(good[i].len), good[i].block),
			good[i].len);
	TEST_EQ(f4_rec_len_decode(0, 65536), 65536);
	TEST_EQ(f4_rec_len_decode(0, 4096), 0);
	TEST_EQ(f4_dent_need(1), 12);
	TEST_EQ(f4_dent_need(4), 12);
	TEST_EQ(f4_dent_need(5), 16);
	TEST_EQ(f4_dent_need(255), 264);
}

/* Fill a block, find each, remove in an odd order, fill again. */
static void fill_and_empty(uint32_t block_size, bool csum)
{
	struct f4_volume vol = fake_volume(block_size, csum);
	struct f4_inode dir = fake_dir(&vol, 0);
	uint8_t *data = malloc(block_size);
	uint32_t limit, n = 0, off;
	struct f4_dent e;
	char name[32];

	f4_dirblk_init_first(&vol, data, 12, 2);
	limit = f4_dirblk_limit(&vol, data);
	TEST_EQ(f4_dirblk_check(&vol, data, 0, limit), 0);
	for (;; n++) {
		snprintf(name, sizeof(name), "file-%u-%.*s", n, (int)(n % 13), "abcdefghijklm");
		if (f4_dirblk_room(&vol, data, 0, limit, f4_dent_need((uint32_t)strlen(name)),
				   &off) != 1)
			break;
		f4_dirblk_put(&vol, data, off, name, (uint32_t)strlen(name),
			      n + 1 > 900 ? 900 : n + 1, 1);
		/* A block with '.' and '..' and more is no index root, so its limit stays. */
		TEST_EQ(f4_dirblk_limit(&vol, data), limit);
	}
	TEST_CHECK(n > block_size / 40);
	TEST_EQ(f4_dirblk_check(&vol, data, 0, limit), 0);
	for (uint32_t step = 0; step < 3; step++) {
		for (uint32_t i = step; i < n; i += 3) {
			snprintf(name, sizeof(name), "file-%u-%.*s", i, (int)(i % 13),
				 "abcdefghijklm");
			struct f4_dir_name key = name_of(&dir, name);

			TEST_EQ(f4_dirblk_find(&vol, data, 0, limit, &key, &e), 1);
			TEST_EQ(e.ino, i + 1 > 900 ? 900 : i + 1);
			TEST_EQ(f4_dirblk_delete(&vol, data, 0, limit, e.off), 0);
			TEST_EQ(f4_dirblk_find(&vol, data, 0, limit, &key, &e), 0);
			TEST_EQ(f4_dirblk_check(&vol, data, 0, limit), 0);
		}
	}
	/* All room is one piece again, up to the end. */
	TEST_EQ(f4_dirblk_room(&vol, data, 0, limit, limit - 24, &off), 1);
	TEST_EQ(off, 12);
	free(data);
}

static void chains(void)
{
	static const uint32_t sizes[] = { 1024, 2048, 4096, 65536 };

	for (size_t i = 0; i < F4_ARRAY_LEN(sizes); i++) {
		fill_and_empty(sizes[i], false);
		fill_and_empty(sizes[i], true);
	}
}

static void first_entry_is_removed(void)
{
	struct f4_volume vol = fake_volume(1024, true);
	struct f4_inode dir = fake_dir(&vol, 0);
	uint8_t data[1024];
	struct f4_dir_name key = name_of(&dir, "secret");
	struct f4_dent e;

	f4_dirblk_init(&vol, data);
	f4_dirblk_put(&vol, data, 0, "secret", 6, 7, 1);
	TEST_EQ(f4_dirblk_find(&vol, data, 0, 1012, &key, &e), 1);
	TEST_EQ(f4_dirblk_delete(&vol, data, 0, 1012, 4), -EUCLEAN); /* not where an entry begins */
	TEST_EQ(f4_dirblk_delete(&vol, data, 0, 1012, 0), 0);
	TEST_CHECK(!memmem(data, sizeof(data), "secret", 6));
	TEST_EQ(f4_dirblk_check(&vol, data, 0, 1012), 0);
	TEST_EQ(f4_dirblk_delete(&vol, data, 0, 1012, 1012), -EUCLEAN);
}

/* seal, then verify; then every damaged byte must be noticed where there is a checksum. */
static void checksum_of(struct f4_volume *vol, uint8_t *data)
{
	struct f4_buf buf = { .data = data, .owner = 12, .seed = 0x1234567 };

	f4_class_dir.seal(vol, &buf, data);
	TEST_EQ(f4_class_dir.verify(vol, &buf, data), 0);
	for (uint32_t i = 0; i < vol->block_size; i += 7) {
		data[i] ^= 0x40;
		if (f4_class_dir.verify(vol, &buf, data) == 0 && !f4_dirblk_is_dx(vol, data))
			TEST_FAIL_("damage at byte %u is not seen", i);
		data[i] ^= 0x40;
	}
	buf.seed ^= 1;
	TEST_EQ(f4_class_dir.verify(vol, &buf, data), -EUCLEAN);
}

static void checksums(void)
{
	struct f4_volume vol = fake_volume(1024, true);
	struct f4_buf buf = { .seed = 9 };
	uint8_t data[1024];

	f4_dirblk_init_first(&vol, data, 12, 2);
	f4_dirblk_put(&vol, data, 12, "hello", 5, 13, 1);
	checksum_of(&vol, data);
	f4_dirblk_init(&vol, data);
	checksum_of(&vol, data);
	/* An index node: what is in use, and the tail, are covered. */
	memset(data, 0, sizeof(data));
	f4_store_le16(data + 4, 1024);
	f4_store_le16(data + 8, (uint16_t)f4_htree_node_limit(&vol));
	f4_store_le16(data + 10, 3);
	f4_store_le32(data + 12, 5);
	TEST_EQ(f4_dirblk_is_dx(&vol, data), 1);
	f4_class_dir.seal(&vol, &buf, data);
	TEST_EQ(f4_class_dir.verify(&vol, &buf, data), 0);
	data[12]++;
	TEST_EQ(f4_class_dir.verify(&vol, &buf, data), -EUCLEAN);
	data[12]--;
	f4_store_le16(data + 8, 0xffff); /* a limit that puts the tail outside */
	TEST_EQ(f4_class_dir.verify(&vol, &buf, data), -EUCLEAN);
}

static void index_limits(void)
{
	struct f4_volume plain = fake_volume(4096, false), csum = fake_volume(4096, true);

	/*
	 * What mke2fs and the kernel write: (4096 - 8) / 8, (4096 - 32) / 8, one less with a tail.
	 */
	TEST_EQ(f4_htree_node_limit(&plain), 511);
	TEST_EQ(f4_htree_root_limit(&plain), 508);
	TEST_EQ(f4_htree_node_limit(&csum), 510);
	TEST_EQ(f4_htree_root_limit(&csum), 507);
	TEST_EQ(f4_htree_levels_max(&plain), 2);
	plain.incompat |= F4_INCOMPAT_LARGEDIR;
	TEST_EQ(f4_htree_levels_max(&plain), 3);
}

/* Random bytes over a good block: every function ends, and says 0, 1 or -EUCLEAN; asan watches. */
static void hostile_blocks(void)
{
	struct f4_volume vol = fake_volume(1024, false);
	struct f4_inode dir = fake_dir(&vol, 0);
	unsigned int seed = 4711, refused = 0;

	for (int round = 0; round < 20000; round++) {
		uint8_t *data =
			malloc(1024); /* exactly: the allocator's red zones are the border */
		struct f4_dir_name key = name_of(&dir, "name-5");
		uint32_t off, limit;
		struct f4_dent e;
		char name[16];
		int r;

		vol.has_csum = round & 1;
		f4_dirblk_init_first(&vol, data, 12, 2);
		for (uint32_t i = 0; i < 20; i++) {
			int n = snprintf(name, sizeof(name), "name-%u", i);

			if (f4_dirblk_room(&vol, data, 0, f4_dirblk_limit(&vol, data),
					   f4_dent_need((uint32_t)n), &off) == 1)
				f4_dirblk_put(&vol, data, off, name, (uint32_t)n, i + 20, 1);
		}
		for (int i = rand_r(&seed) % 8; i >= 0; i--)
			data[rand_r(&seed) % (i & 1 ? 1024 : 200)] = (uint8_t)rand_r(&seed);
		limit = f4_dirblk_limit(&vol, data);
		r = f4_dirblk_check(&vol, data, 0, limit);
		TEST_CHECK(r == 0 || r == -EUCLEAN);
		refused += r != 0;
		if (f4_dirblk_find(&vol, data, 0, limit, &key, &e) == 1)
			TEST_CHECK(f4_dirblk_delete(&vol, data, 0, limit, e.off) == 0);
		if (f4_dirblk_room(&vol, data, 0, limit, 40, &off) == 1)
			f4_dirblk_put(&vol, data, off, "0123456789012345678901234567", 28, 5, 1);
		free(data);
	}
	TEST_CHECK(refused > 2000 && refused < 19000);
}

static void inline_becomes_block(void)
{
	struct f4_volume vol = fake_volume(1024, true);
	struct f4_inode dir = fake_dir(&vol, 0);
	uint8_t area[160] = { 0 }, data[1024];
	static const char *const names[] = {"a", "quite-a-long-name-indeed", "third",
					    "in-the-second-part"};
	struct f4_dir_name key;
	struct f4_dent e;

	f4_store_le32(area, 77);
	f4_dirblk_append(&vol, area, 4, 60, NULL, 0, 0, 0);
	f4_dirblk_append(&vol, area, 60, 160, NULL, 0, 0, 0);
	f4_dirblk_put(&vol, area, 4, names[0], 1, 21, 1);
	f4_dirblk_put(&vol, area, 4, names[1], 24, 22, 1);
	f4_dirblk_put(&vol, area, 60, names[2], 5, 23, 2);
	f4_dirblk_put(&vol, area, 60, names[3], 18, 24, 7);
	TEST_EQ(f4_dirblk_from_inline(&vol, data, 12, area, sizeof(area)), 0);
	TEST_EQ(f4_dirblk_check(&vol, data, 0, 1012), 0);
	for (uint32_t i = 0; i < 4; i++) {
		key = name_of(&dir, names[i]);
		TEST_EQ(f4_dirblk_find(&vol, data, 0, 1012, &key, &e), 1);
		TEST_EQ(e.ino, 21 + i);
	}
	TEST_EQ(e.off, 60 + 16 + F4_INLINE_DIR_SHIFT); /* behind "third" */
	key = name_of(&dir, "..");
	TEST_EQ(f4_dirblk_find(&vol, data, 0, 1012, &key, &e), 1);
	TEST_EQ(e.ino, 77);
	f4_store_le16(area + 64, 13);
	TEST_EQ(f4_dirblk_from_inline(&vol, data, 12, area, sizeof(area)), -EUCLEAN);
}

/* Values from debugfs's dx_hash. */
static void hashes(void)
{
	static const struct {
		int version;
		const char *name;
		uint32_t hash, minor;
	} t[] = {
		{ (int)F4_HASH_LEGACY, "hello", 0x32252546, 0 },
		{ (int)F4_HASH_TEA, "hello", 0x6f5bb1a8, 0x231917c2 },
	};
	struct f4_volume vol = fake_volume(4096, false);
	struct f4_inode dir = fake_dir(&vol, 0);
	uint32_t hash, minor;
	uint8_t raw;

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		TEST_EQ(f4_dir_hash(&dir, t[i].version, (const uint8_t *)t[i].name,
				    (uint32_t)strlen(t[i].name), &hash, &minor), 0);
		TEST_EQ(hash, t[i].hash);
		TEST_EQ(minor, t[i].minor);
	}
	static const uint32_t seed[4] = { 0x67452301, 0xefcdab89, 0x67452301, 0xefcdab89 };
	memcpy(vol.hash_seed, seed,
	       sizeof(seed)); /* 01234567-89ab-cdef-0123-456789abcdef as bytes */
	TEST_EQ(f4_dir_hash(&dir, (int)F4_HASH_HALF_MD4, (const uint8_t *)"hello", 5, &hash,
			    &minor),
		0);
	TEST_EQ(hash, 0xa26e4a80);
	TEST_EQ(minor, 0x97e5b7f7);
	TEST_EQ(f4_dir_hash_version(&dir, 1), F4_HASH_HALF_MD4);
	TEST_EQ(f4_dir_hash_version(&dir, 3),
		-EOPNOTSUPP); /* never on disk: a superblock flag says it */
	TEST_EQ(f4_dir_hash_version(&dir, 6), -EOPNOTSUPP);
	TEST_EQ(f4_dir_hash_version(&dir, 200), -EOPNOTSUPP);
	vol.def_hash_version = F4_HASH_HALF_MD4_UNSIGNED;
	TEST_EQ(f4_dir_hash_version(&dir, 2), F4_HASH_TEA_UNSIGNED);
	TEST_EQ(f4_dir_hash_default(&dir, &raw), F4_HASH_HALF_MD4_UNSIGNED);
	TEST_EQ(raw, 1);
}

static void digest(void)
{
	static const uint8_t want[4] = { 0xba, 0x78, 0x16, 0xbf };
	static const uint8_t want56[4] = { 0x24, 0x8d, 0x6a, 0x61 };
	uint8_t d[32];

	f4_sha256("abc", 3, d);
	TEST_EQ(memcmp(d, want, 4), 0);
	f4_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, d);
	TEST_EQ(memcmp(d, want56, 4), 0);
}

/* A stand-in is printable, leads back to its name, and to no other. */
static void stand_ins(void)
{
	struct f4_volume vol = fake_volume(4096, false);
	struct f4_inode dir = fake_dir(&vol, F4_FL_ENCRYPT);
	uint8_t cipher[255];
	char shown[F4_NOKEY_MAX];

	for (uint32_t i = 0; i < sizeof(cipher); i++)
		cipher[i] = (uint8_t)(i * 37 + 11);
	for (uint32_t len = 16; len <= 255; len++) {
		size_t n = f4_dir_name_nokey(0xdeadbeee, 0x12345678, cipher, len, shown);
		struct f4_dir_name key;

		TEST_CHECK(n > 0 && n <= F4_NOKEY_MAX && !memchr(shown, '/', n));
		TEST_EQ(f4_dir_name_init(&dir, shown, n, &key), 0);
		TEST_EQ(key.hash, 0xdeadbeee);
		TEST_EQ(key.minor, 0x12345678);
		TEST_CHECK(f4_dir_name_match(&key, cipher, len));
		TEST_CHECK(!f4_dir_name_match(&key, cipher, len - 1));
		cipher[len - 1] ^= 1;
		TEST_CHECK(!f4_dir_name_match(&key, cipher, len));
		cipher[len - 1] ^= 1;
	}
	TEST_EQ(f4_dir_name_nokey(0, 0, cipher, 15, shown), 0);
	struct f4_dir_name key;
	TEST_EQ(f4_dir_name_init(&dir, "plain", 5, &key), -ENOENT);
	TEST_EQ(f4_dir_name_init(&dir, "with space", 10, &key), -ENOENT);
	TEST_EQ(f4_dir_name_init(&dir, "..", 2, &key), 0);
	TEST_EQ(f4_dir_name_may_add(&dir, "x", 1), -ENOKEY);
}

static void name_limits(void)
{
	struct f4_volume vol = fake_volume(4096, false);
	struct f4_inode dir = fake_dir(&vol, 0);
	struct f4_dir_name key;
	char long_name[257];

	memset(long_name, 'x', sizeof(long_name));
	TEST_EQ(f4_dir_name_init(&dir, "", 0, &key), -EINVAL);
	TEST_EQ(f4_dir_name_init(&dir, long_name, 255, &key), 0);
	TEST_EQ(f4_dir_name_init(&dir, long_name, 256, &key), -ENAMETOOLONG);
}

int main(void)
{
	TEST_RUN(rec_len_coding);
	TEST_RUN(chains);
	TEST_RUN(first_entry_is_removed);
	TEST_RUN(checksums);
	TEST_RUN(index_limits);
	TEST_RUN(hostile_blocks);
	TEST_RUN(inline_becomes_block);
	TEST_RUN(hashes);
	TEST_RUN(digest);
	TEST_RUN(stand_ins);
	TEST_RUN(name_limits);
	return test_done();
}
