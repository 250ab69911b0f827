/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Partition tables made in memory: the good ones as sfdisk lays them out, and every way that they can
 * be wrong.
 */
#include <errno.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/endian.h"
#include "server/service/partition.h"
#include "tests/lib/check.h"

#define MB (1024u * 1024u)

/* A disk of which only some pages exist: offsets beyond 4 GiB cost nothing. */
struct page {
	uint64_t pos;
	uint8_t bytes[4096];
};

static struct disk {
	uint64_t size;
	unsigned int n;
	struct page pages[300];
	uint64_t fail_at;
	unsigned int reads;
} disk;

static uint8_t *at(uint64_t pos)
{
	for (unsigned int i = 0; i < disk.n; i++)
		if (disk.pages[i].pos == pos / 4096)
			return disk.pages[i].bytes + pos % 4096;
	if (disk.n == F4_ARRAY_LEN(disk.pages))
		abort();
	memset(&disk.pages[disk.n], 0, sizeof(struct page));
	disk.pages[disk.n].pos = pos / 4096;
	return disk.pages[disk.n++].bytes + pos % 4096;
}

static int disk_read(void *arg, void *buf, size_t len, uint64_t pos)
{
	uint8_t *out = buf;

	(void)arg;
	disk.reads++;
	if (pos + len > disk.size)
		abort(); /* the reader promised not to */
	if (disk.fail_at && pos <= disk.fail_at && disk.fail_at < pos + len)
		return -EIO;
	for (size_t i = 0; i < len; i++) {
		out[i] = 0;
		for (unsigned int k = 0; k < disk.n; k++)
			if (disk.pages[k].pos == (pos + i) / 4096)
				out[i] = disk.pages[k].bytes[(pos + i) % 4096];
	}
	return 0;
}

static const struct f4_ptable_source *source(void)
{
	static struct f4_ptable_source src;

	src = (struct f4_ptable_source){ disk_read, NULL, disk.size, 512 };
	return &src;
}

static struct f4_ptable table;

static void reset(uint64_t size)
{
	memset(&disk, 0, sizeof(disk));
	disk.size = size;
}

static void put_ext(uint64_t start)
{
	f4_store_le16(at(start + 1024 + 56), 0xef53);
}

static void put_mbr(uint64_t sector, unsigned int i, uint8_t type, uint32_t start, uint32_t count)
{
	uint8_t *b = at(sector * 512);

	b[510] = 0x55;
	b[511] = 0xaa;
	b[446 + 16 * i + 4] = type;
	f4_store_le32(b + 446 + 16 * i + 8, start);
	f4_store_le32(b + 446 + 16 * i + 12, count);
}

struct gpt {
	uint32_t sector, entry_size, n;
	uint64_t lba, entries_lba;
};

/* Entries of one page at most: enough for a table of ours. */
static void put_gpt(const struct gpt *g, const uint64_t (*parts)[2], unsigned int n)
{
	uint8_t entries[4096] = { 0 }, *h = at(g->lba * g->sector);

	for (unsigned int i = 0; i < n; i++) {
		uint8_t *e = entries + i * g->entry_size;

		if (parts[i][1] == 0)
			continue;
		memset(e, 0x11, 32);
		f4_store_le64(e + 32, parts[i][0]);
		f4_store_le64(e + 40, parts[i][1]);
	}
	for (size_t i = 0; i < sizeof(entries) && i < (size_t)g->n * g->entry_size; i++)
		*at(g->entries_lba * g->sector + i) = entries[i];
	memcpy(h, "EFI PART", 8);
	f4_store_le32(h + 8, 0x10000);
	f4_store_le32(h + 12, 92);
	f4_store_le64(h + 24, g->lba);
	f4_store_le64(h + 72, g->entries_lba);
	f4_store_le32(h + 80, g->n);
	f4_store_le32(h + 84, g->entry_size);
	f4_store_le32(h + 88, f4_ptable_crc32(entries, (size_t)g->n * g->entry_size));
	f4_store_le32(h + 16, 0);
	f4_store_le32(h + 16, f4_ptable_crc32(h, 92));
	put_mbr(0, 0, 0xee, 1, 0xffffffff);
}

static const uint64_t two_parts[][2] = { { 2048, 4095 }, { 0, 0 }, { 10000000, 10002047 } };

static void test_crc_is_the_standard_one(void)
{
	TEST_EQ(f4_ptable_crc32("123456789", 9), 0xcbf43926);
}

static void test_no_table(void)
{
	reset(4096);
	TEST_EQ(f4_ptable_load(source(), &table), 0);
	TEST_EQ(table.kind, F4_PTABLE_NONE);
	reset(100); /* shorter than a sector */
	TEST_EQ(f4_ptable_load(source(), &table), 0);
	TEST_EQ(table.kind, F4_PTABLE_NONE);
	reset(0);
	TEST_EQ(f4_ptable_load(source(), &table), 0);
	/* The boot sector of a FAT filesystem is no table: its code is where the status bytes are. */
	reset(MB);
	put_mbr(0, 0, 0x20, 0x6e6f6e, 0x6d726974);
	*at(446) = 0x73;
	TEST_EQ(f4_ptable_load(source(), &table), 0);
	TEST_EQ(table.kind, F4_PTABLE_NONE);
}

static void test_mbr_primary(void)
{
	char words[300];

	reset(100ull * MB);
	put_mbr(0, 0, 0x0c, 2048, 2048);
	put_mbr(0, 2, 0x83, 8192, 16384);
	put_ext(8192ull * 512);
	TEST_EQ(f4_ptable_load(source(), &table), 0);
	TEST_EQ(table.kind, F4_PTABLE_MBR);
	TEST_EQ(table.n, 2);
	TEST_REQUIRE(f4_ptable_find(&table, 3) != NULL);
	TEST_EQ(f4_ptable_find(&table, 3)->start, 8192 * 512);
	TEST_EQ(f4_ptable_find(&table, 3)->size, 16384 * 512);
	TEST_CHECK(f4_ptable_find(&table, 3)->has_ext);
	TEST_CHECK(!f4_ptable_find(&table, 1)->has_ext);
	TEST_CHECK(f4_ptable_find(&table, 2) == NULL);
	f4_ptable_describe(&table, words, sizeof(words));
	TEST_STREQ(words, "a whole disk (MBR partition table): ext4 is there with the option partition=3 "
			  "or offset=4194304");
	f4_ptable_describe(&table, words, 20); /* cut, not overrun */
	TEST_EQ(strlen(words), 19);
}

static void test_mbr_logical(void)
{
	reset(100ull * MB);
	put_mbr(0, 1, 0x05, 2048, 100000);
	put_mbr(2048, 0, 0x83, 63, 1000);
	put_mbr(2048, 1, 0x05, 4096, 5000);
	put_mbr(2048 + 4096, 0, 0x83, 2048, 100);
	put_ext((2048ull + 4096 + 2048) * 512);
	TEST_EQ(f4_ptable_load(source(), &table), 0);
	TEST_EQ(table.n, 2);
	TEST_EQ(table.v[0].number, 5);
	TEST_EQ(table.v[0].start, (2048 + 63) * 512);
	TEST_EQ(table.v[1].number, 6);
	TEST_EQ(table.v[1].start, (2048 + 4096 + 2048) * 512);
	TEST_CHECK(table.v[1].has_ext);
}

static void test_mbr_hostile(void)
{
	/* A chain that is a circle. */
	reset(100ull * MB);
	put_mbr(0, 0, 0x05, 2048, 100000);
	put_mbr(2048, 0, 0x83, 1, 10);
	put_mbr(2048, 1, 0x05, 100, 10);
	put_mbr(2148, 0, 0x83, 1, 10);
	put_mbr(2148, 1, 0x05, 100, 10);
	TEST_EQ(f4_ptable_load(source(), &table), 0);
	TEST_CHECK(table.n <= F4_PTABLE_MAX);
	TEST_CHECK(disk.reads < 2 * F4_PTABLE_MAX + 10);
	/* Partitions beyond the end, of no length, of the largest numbers; an extended one beyond it. */
	reset(MB);
	put_mbr(0, 0, 0x83, 4096, 10);
	put_mbr(0, 1, 0x83, 1, 0);
	put_mbr(0, 2, 0x83, 0xffffffff, 0xffffffff);
	put_mbr(0, 3, 0x0f, 0xffffffff, 0xffffffff);
	TEST_EQ(f4_ptable_load(source(), &table), 0);
	TEST_EQ(table.kind, F4_PTABLE_MBR);
	TEST_EQ(table.n, 0);
	/* An I/O error is one. */
	disk.fail_at = 5;
	TEST_EQ(f4_ptable_load(source(), &table), -EIO);
}

static void test_gpt(void)
{
	reset(8ull * 1024 * MB);
	put_gpt(&(struct gpt){ 512, 128, 16, 1, 2 }, two_parts, 3);
	put_ext(10000000ull * 512); /* beyond 4 GiB */
	TEST_EQ(f4_ptable_load(source(), &table), 0);
	TEST_EQ(table.kind, F4_PTABLE_GPT);
	TEST_EQ(table.n, 2);
	TEST_REQUIRE(f4_ptable_find(&table, 3) != NULL);
	TEST_EQ(f4_ptable_find(&table, 3)->start, 5120000000);
	TEST_EQ(f4_ptable_find(&table, 3)->size, 2048 * 512);
	TEST_CHECK(f4_ptable_find(&table, 3)->has_ext);
	TEST_CHECK(f4_ptable_find(&table, 2) == NULL);
}

static void test_gpt_4k_sectors_and_large_entries(void)
{
	static const uint64_t parts[][2] = { { 256, 1000 } };

	reset(64ull * MB);
	put_gpt(&(struct gpt){ 4096, 256, 16, 1, 2 }, parts, 1);
	put_ext(MB);
	TEST_EQ(f4_ptable_load(source(), &table), 0);
	TEST_EQ(table.n, 1);
	TEST_EQ(table.v[0].start, MB);
	TEST_CHECK(table.v[0].has_ext);
}

static void test_gpt_copy(void)
{
	reset(8ull * 1024 * MB);
	put_gpt(&(struct gpt){ 512, 128, 16, disk.size / 512 - 1, disk.size / 512 - 33 }, two_parts, 3);
	TEST_EQ(f4_ptable_load(source(), &table), 0);
	TEST_EQ(table.n, 2);
	/* The first one is there and damaged. */
	put_gpt(&(struct gpt){ 512, 128, 16, 1, 2 }, two_parts, 1);
	*at(512 + 40) ^= 1;
	TEST_EQ(f4_ptable_load(source(), &table), 0);
	TEST_EQ(table.n, 2);
}

static void test_gpt_damaged(void)
{
	static const struct {
		unsigned int offset; /* in the header */
		uint32_t value;
	} bad[] = {
		{ 12, 91 },	     { 12, 513 },	{ 12, 0xffffffff }, { 24, 2 },
		{ 72, 0xffffffff },  { 80, 0 },		{ 80, 0xffffffff }, { 80, 2000 },
		{ 84, 0 },	     { 84, 64 },	{ 84, 129 },	    { 84, 0xffffffff },
		{ 84, 0x80000000u }, { 88, 1 },
	};
	uint64_t backwards[][2] = { { 5000, 4999 }, { 0, UINT64_MAX }, { UINT64_MAX, UINT64_MAX } };

	for (size_t i = 0; i < F4_ARRAY_LEN(bad); i++) {
		uint8_t *h;

		reset(100ull * MB);
		put_gpt(&(struct gpt){ 512, 128, 16, 1, 2 }, two_parts, 1);
		h = at(512);
		f4_store_le32(h + bad[i].offset, bad[i].value);
		f4_store_le32(h + 16, 0);
		f4_store_le32(h + 16, f4_ptable_crc32(h, 92));
		if (f4_ptable_load(source(), &table) != -EUCLEAN)
			TEST_FAIL_("bad header %zu was taken", i);
	}
	/* Protective MBR alone. */
	reset(100ull * MB);
	put_mbr(0, 0, 0xee, 1, 0xffffffff);
	TEST_EQ(f4_ptable_load(source(), &table), -EUCLEAN);
	TEST_EQ(table.kind, F4_PTABLE_GPT);
	/* Entries that make no sense are left out. */
	reset(100ull * MB);
	put_gpt(&(struct gpt){ 512, 128, 16, 1, 2 }, backwards, 3);
	TEST_EQ(f4_ptable_load(source(), &table), 0);
	TEST_EQ(table.n, 0);
	/* An address whose byte offset would wrap round. */
	reset(100ull * MB);
	put_gpt(&(struct gpt){ 512, 128, 16, 1, 2 }, two_parts, 1);
	f4_store_le64(at(512 + 72), UINT64_MAX / 512 + 2);
	f4_store_le32(at(512 + 16), 0);
	f4_store_le32(at(512 + 16), f4_ptable_crc32(at(512), 92));
	TEST_EQ(f4_ptable_load(source(), &table), -EUCLEAN);
	disk.fail_at = 512;
	TEST_EQ(f4_ptable_load(source(), &table), -EIO);
}

static void test_superblock_edges(void)
{
	reset(1024 + 58);
	put_ext(0);
	TEST_CHECK(f4_ptable_has_ext(source(), 0));
	disk.size--;
	TEST_CHECK(!f4_ptable_has_ext(source(), 0));
	TEST_CHECK(!f4_ptable_has_ext(source(), UINT64_MAX));
	TEST_CHECK(!f4_ptable_has_ext(source(), UINT64_MAX - 1080));
}

int main(void)
{
	TEST_RUN(test_crc_is_the_standard_one);
	TEST_RUN(test_no_table);
	TEST_RUN(test_mbr_primary);
	TEST_RUN(test_mbr_logical);
	TEST_RUN(test_mbr_hostile);
	TEST_RUN(test_gpt);
	TEST_RUN(test_gpt_4k_sectors_and_large_entries);
	TEST_RUN(test_gpt_copy);
	TEST_RUN(test_gpt_damaged);
	TEST_RUN(test_superblock_edges);
	return test_done();
}
