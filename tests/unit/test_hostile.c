/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images that lie: superblocks with each field wrong in turn, and metadata with random bytes in it.
 * The first must be answered with the right error and a line that says why; the second may do
 * anything but crash, hang or read what is not theirs (the sanitizers watch).
 */
#include <errno.h>
#include <sys/stat.h>
#include <syslog.h>

#include "protocol/base/str.h"
#include "server/ext4/csum.h"
#include "server/ext4/dir.h"
#include "server/ext4/file.h"
#include "server/ext4/group.h"
#include "server/ext4/inode.h"
#include "server/ext4/ops.h"
#include "server/ext4/volume_priv.h"
#include "server/ext4/xattr.h"
#include "tests/lib/check.h"
#include "tests/lib/coretest.h"
#include "tests/lib/disk_sim.h"

static char last_line[512];

static void keep_line(void *arg, int level, const char *line)
{
	if (level <= LOG_WARNING)
		(void)snprintf(last_line, sizeof(last_line), "%s", line);
}

/* Opens @disk (consumed). */
static int open_disk(struct f4_disk *disk, bool read_only, struct f4_volume **ret)
{
	struct f4_volume_params vp = {
		.disk = disk,
		.opt = { .read_only = read_only, .no_mmp_wait = true, .resuid = -1, .resgid = -1 },
		.log = keep_line,
	};

	last_line[0] = '\0';
	return f4_volume_open(&vp, ret);
}

static void set_super(struct f4_disk *d, size_t off, uint64_t value, size_t size)
{
	struct f4_super sb;
	uint64_t le = htole64(value);

	(void)f4_disk_read(d, &sb, sizeof(sb), F4_SB_OFFSET);
	memcpy((uint8_t *)&sb + off, &le, size);
	if (f4_get_le32(sb.s_feature_ro_compat) & F4_RO_COMPAT_METADATA_CSUM)
		sb.s_checksum = f4_mk_le32(
			f4_crc32c(~0u, &sb, offsetof(struct f4_super, s_checksum)));
	(void)f4_disk_write(d, &sb, sizeof(sb), F4_SB_OFFSET);
}

#define FIELD(f) offsetof(struct f4_super, f), sizeof(((struct f4_super *)0)->f), #f

static const struct {
	size_t off, size;
	const char *name;
	uint64_t value;
	int want; /* of a read-write open; 1: it opens, but read-only */
} table[] = {
	{ FIELD(s_magic), 0, -EINVAL },
	{ FIELD(s_log_block_size), 7, -EUCLEAN },
	{ FIELD(s_log_block_size), 0xffffffff, -EUCLEAN },
	{ FIELD(s_log_cluster_size), 5, -EUCLEAN },
	{ FIELD(s_blocks_count_lo), 0, -EUCLEAN },
	{ FIELD(s_blocks_count_lo), 1, -EUCLEAN },
	{ FIELD(s_blocks_count_lo), 0xffffffff, -EUCLEAN },
	{ FIELD(s_blocks_count_hi), 1, -EUCLEAN },
	{ FIELD(s_blocks_count_hi), 0xffffffff, -EUCLEAN },
	{ FIELD(s_blocks_per_group), 0, -EUCLEAN },
	{ FIELD(s_blocks_per_group), 1, -EUCLEAN },
	{ FIELD(s_blocks_per_group), 0xffffffff, -EUCLEAN },
	{ FIELD(s_inodes_per_group), 0, -EUCLEAN },
	{ FIELD(s_inodes_per_group), 1, -EUCLEAN },
	{ FIELD(s_inodes_per_group), 0x80000000, -EUCLEAN },
	{ FIELD(s_inodes_count), 0, -EUCLEAN },
	{ FIELD(s_inodes_count), 0xffffffff, -EUCLEAN },
	{ FIELD(s_first_data_block), 0, -EUCLEAN },
	{ FIELD(s_first_data_block), 2, -EUCLEAN },
	{ FIELD(s_first_data_block), 0xffffffff, -EUCLEAN },
	{ FIELD(s_inode_size), 0, -EUCLEAN },
	{ FIELD(s_inode_size), 129, -EUCLEAN },
	{ FIELD(s_inode_size), 2048, -EUCLEAN },
	{ FIELD(s_inode_size), 0x8000, -EUCLEAN },
	{ FIELD(s_first_ino), 0, -EUCLEAN },
	{ FIELD(s_first_ino), 0xffffffff, -EUCLEAN },
	{ FIELD(s_desc_size), 0, -EUCLEAN },
	{ FIELD(s_desc_size), 32, -EUCLEAN },
	{ FIELD(s_desc_size), 96, -EUCLEAN },
	{ FIELD(s_desc_size), 0x8000, -EUCLEAN },
	{ FIELD(s_reserved_gdt_blocks), 0xffff, -EUCLEAN },
	{ FIELD(s_checksum_type), 2, -EUCLEAN },
	{ FIELD(s_def_hash_version), 7, -EUCLEAN },
	{ FIELD(s_rev_level), 2, 1 },
	{ FIELD(s_journal_inum), 0xffffffff, -EUCLEAN },
	{ FIELD(s_journal_inum), 2, -EUCLEAN },
	{ FIELD(s_journal_inum), 12, -EUCLEAN },
	{ FIELD(s_journal_inum), 0, -EINVAL },
	{ FIELD(s_feature_incompat), 0x80000000, -EOPNOTSUPP },
	{ FIELD(s_feature_incompat), 0x8, -EOPNOTSUPP },
	{ FIELD(s_feature_incompat), 0x1, -EOPNOTSUPP },
	/* Harmless: lived with. */
	{ FIELD(s_log_groups_per_flex), 255, 0 },
	{ FIELD(s_free_blocks_count_lo), 0xffffffff, 0 },
	{ FIELD(s_free_inodes_count), 0xffffffff, 0 },
	{ FIELD(s_r_blocks_count_lo), 0xffffffff, 0 },
	{ FIELD(s_want_extra_isize), 0xffff, 0 },
	{ FIELD(s_want_extra_isize), 33, 0 },
	{ FIELD(s_overhead_clusters), 0xffffffff, 0 },
	{ FIELD(s_last_orphan), 5, 0 },
	{ FIELD(s_last_orphan), 0xffffffff, 0 },
	{ FIELD(s_last_orphan), 11, 0 },
	{ FIELD(s_errors), 0xffff, 0 },
	{ FIELD(s_creator_os), 0xffffffff, 0 },
};

static void super_fields(void)
{
	struct coretest t;
	struct f4_disk *base;

	TEST_REQUIRE(coretest_mkfs(&t, "8M", "-t ext4 -b 1024"));
	base = f4_sim_load(t.path);
	coretest_remove(&t);
	TEST_REQUIRE(base != NULL);
	for (size_t i = 0; i < F4_ARRAY_LEN(table); i++) {
		struct f4_disk *d = f4_sim_clone(base);
		struct f4_volume *vol = NULL;
		int r;

		set_super(d, table[i].off, table[i].value, table[i].size);
		r = open_disk(d, false, &vol);
		if (r == 0) {
			if (vol->read_only)
				r = 1;
			TEST_EQ(f4_volume_close(vol), 0);
		}
		if (r != table[i].want)
			TEST_FAIL_("%s = 0x%llx: %d, expected %d (%s)", table[i].name,
				   (unsigned long long)table[i].value, r, table[i].want, last_line);
		if (table[i].want < 0 && last_line[0] == '\0')
			TEST_FAIL_("%s = 0x%llx: no word about it", table[i].name,
				   (unsigned long long)table[i].value);
	}
	f4_disk_free(base);
}

static int emit_count(void *arg, const char *name, size_t len, uint32_t ino, uint8_t type, uint64_t next)
{
	return ++*(uint32_t *)arg > 1000;
}

/* Look at all of it, change some of it; results don't matter. */
static void walk_and_change(struct f4_volume *vol)
{
	static const struct f4_cred cred = { 0 };
	struct f4_op_new spec = { .mode = S_IFREG | 0644 };
	struct f4_inode *root, *inode;
	uint8_t buf[4096];

	if (f4_inode_get(vol, F4_ROOT_INO, 0, &root) < 0)
		return;
	for (uint32_t ino = 1; ino < 60; ino++) {
		struct f4_attr attr;
		uint32_t n = 0;
		size_t got;

		if (f4_inode_get(vol, ino, 0, &inode) < 0)
			continue;
		f4_inode_attr(inode, &attr);
		if (f4_is_dir(inode)) {
			f4_inode_rdlock(inode);
			(void)f4_dir_iterate(inode, 0, emit_count, &n);
			f4_inode_unlock(inode);
		} else if (f4_is_reg(inode)) {
			(void)f4_file_read(inode, buf, sizeof(buf), 0, &got);
			(void)f4_file_write(inode, buf, sizeof(buf), 3000, 0, &cred, &got);
			(void)f4_file_truncate(inode, 5);
		} else if (f4_is_lnk(inode)) {
			(void)f4_file_readlink(inode, (char *)buf, sizeof(buf), &got);
		}
		(void)f4_xattr_list(inode, (char *)buf, sizeof(buf), &got);
		f4_inode_put(inode);
	}
	for (char c = 'a'; c < 'f'; c++)
		if (f4_op_create(root, &c, 1, &spec, &inode) == 0)
			f4_inode_put(inode);
	(void)f4_op_unlink(root, "file3", 5);
	(void)f4_op_unlink(root, "a", 1);
	f4_inode_put(root);
	(void)f4_volume_sync(vol);
}

static uint32_t rnd(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*state >> 33);
}

/* Up to 8 random bytes or words in the metadata; the first blocks of the image hold all of it. */
static void damage(struct f4_disk *d, uint64_t *seed, uint64_t area)
{
	uint32_t n = 1 + rnd(seed) % 8;

	while (n--) {
		uint32_t kind = rnd(seed) % 3, value = kind ? kind == 1 ? 0xffffffff : 0 : rnd(seed);
		uint64_t pos = rnd(seed) % (area / 4) * 4;

		(void)f4_disk_write(d, &value, rnd(seed) % 2 ? 4 : 2, pos);
	}
	/* The superblock is the gate; half of the time it opens. */
	if (rnd(seed) % 2)
		set_super(d, rnd(seed) % 1020, rnd(seed), 1 + rnd(seed) % 4);
}

static void random_damage(const char *options, uint32_t rounds)
{
	struct coretest t;
	struct f4_disk *base;
	uint32_t opened = 0;

	TEST_REQUIRE(coretest_start(&t, "4M", options));
	for (uint32_t i = 0; i < 20; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "file%u", i);
		TEST_EQ(coretest_write(&t, name, "0123456789", 10, i * 1000), 0);
	}
	TEST_EQ(coretest_mkdir(&t, "dir"), 0);
	TEST_EQ(coretest_symlink(&t, "link", "target"), 0);
	TEST_EQ(coretest_close(&t), 0);
	base = f4_sim_load(t.path);
	coretest_remove(&t);
	TEST_REQUIRE(base != NULL);
	for (uint32_t i = 0; i < rounds; i++) {
		struct f4_disk *d = f4_sim_clone(base);
		struct f4_volume *vol;
		uint64_t seed = i * 7919u + 1;

		damage(d, &seed, 512 << 10);
		if (open_disk(d, i % 8 == 7, &vol) == 0) {
			opened++;
			walk_and_change(vol);
			(void)f4_volume_close(vol);
		}
	}
	TEST_CHECK(opened > rounds / 8); /* otherwise nothing was tried */
	f4_disk_free(base);
}

static uint32_t rounds(void)
{
	const char *s = getenv("F4_HOSTILE_ROUNDS"); /* more, for a long run */
	uint64_t n = 150;

	if (s && f4_str_to_u64(s, 10, 1000000, &n) < 0)
		n = 150;
	return (uint32_t)n;
}

/* Without checksums, so that what is damaged gets through to those who compute with it. */
static void random_ext4(void)
{
	random_damage("-t ext4 -b 1024 -N 64 -O ^metadata_csum,^resize_inode -J size=1", rounds());
}
static void random_ext2(void)
{
	random_damage("-t ext2 -b 1024 -N 64", rounds());
}
static void random_inline(void)
{
	random_damage("-t ext4 -b 1024 -N 64 -O ^metadata_csum,^has_journal,inline_data,uninit_bg", rounds());
}
static void random_bigalloc(void)
{
	random_damage("-t ext4 -b 1024 -C 4096 -N 64 -O ^metadata_csum,^has_journal,bigalloc",
		      rounds());
}
static void random_csum(void)
{
	random_damage("-t ext4 -b 1024 -N 64 -J size=1", rounds());
}

int main(void)
{
	TEST_RUN(super_fields);
	TEST_RUN(random_ext4);
	TEST_RUN(random_ext2);
	TEST_RUN(random_inline);
	TEST_RUN(random_bigalloc);
	TEST_RUN(random_csum);
	return test_done();
}
