/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Partition tables; the contract is in partition.h. */
#include "server/service/partition.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/endian.h"

#define EXT_SB_OFFSET	 1024u
#define EXT_MAGIC_OFFSET (EXT_SB_OFFSET + 56u)
#define EXT_MAGIC	 0xef53u

#define MBR_SIZE	 512u
#define MBR_ENTRIES	 446u
#define MBR_SIGNATURE	 510u
#define MBR_TYPE_GPT	 0xeeu
#define MBR_PRIMARY	 4u
#define MBR_FIRST_LOGICAL 5u

#define GPT_HEADER_MIN	92u
#define GPT_ENTRY_MIN	128u
#define GPT_ENTRIES_MAX (128u * 1024u) /* bytes of entries that are looked at: 1024 of the usual size */

struct mbr_entry {
	uint8_t status;	  /*  0 */
	uint8_t chs1[3];  /*  1 */
	uint8_t type;	  /*  4 */
	uint8_t chs2[3];  /*  5 */
	uint8_t start[4]; /*  8 first sector, little-endian, unaligned on disk */
	uint8_t count[4]; /* 12 sectors */
};

static_assert(sizeof(struct mbr_entry) == 16, "");

struct gpt_header {
	uint8_t signature[8];	/*  0 "EFI PART" */
	f4_le32 revision;	/*  8 */
	f4_le32 header_size;	/* 12 */
	f4_le32 header_crc;	/* 16 over header_size bytes with this field zero */
	f4_le32 reserved;	/* 20 */
	f4_le64 my_lba;		/* 24 */
	f4_le64 other_lba;	/* 32 */
	f4_le64 first_usable;	/* 40 */
	f4_le64 last_usable;	/* 48 */
	uint8_t disk_guid[16];	/* 56 */
	f4_le64 entries_lba;	/* 72 */
	f4_le32 entries_n;	/* 80 */
	f4_le32 entry_size;	/* 84 */
	f4_le32 entries_crc;	/* 88 */
	f4_le32 padding;	/* 92 ours: the struct is a multiple of 8 */
};

static_assert(sizeof(struct gpt_header) == 96 && offsetof(struct gpt_header, entries_crc) == 88, "");

struct gpt_entry {
	uint8_t type[16]; /*  0 all zero: unused */
	uint8_t guid[16]; /* 16 */
	f4_le64 first;	  /* 32 sector */
	f4_le64 last;	  /* 40 sector, included */
};

static_assert(sizeof(struct gpt_entry) == 48, "");

uint32_t f4_ptable_crc32(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

static int read_at(const struct f4_ptable_source *src, void *buf, size_t len, uint64_t pos)
{
	if (pos > src->size || len > src->size - pos)
		return -ENODATA;
	return src->read(src->arg, buf, len, pos);
}

bool f4_ptable_has_ext(const struct f4_ptable_source *src, uint64_t pos)
{
	uint8_t magic[2];

	if (pos > UINT64_MAX - EXT_MAGIC_OFFSET)
		return false;
	if (read_at(src, magic, sizeof(magic), pos + EXT_MAGIC_OFFSET) < 0)
		return false;
	return f4_load_le16(magic) == EXT_MAGIC;
}

/* add - @start and @sectors are in sectors of @sector bytes; what does not fit the disk is left out. */
static void add(const struct f4_ptable_source *src, struct f4_ptable *t, uint32_t number,
		uint64_t start, uint64_t sectors, uint32_t sector)
{
	struct f4_partition *p = &t->v[t->n];
	uint64_t all = src->size / sector;

	if (t->n == F4_PTABLE_MAX || sectors == 0 || start >= all || sectors > all - start)
		return;
	*p = (struct f4_partition){
		.number = number,
		.start = start * sector,
		.size = sectors * sector,
	};
	p->has_ext = f4_ptable_has_ext(src, p->start);
	t->n++;
}

/* --- MBR ----------------------------------------------------------------------------------- */

static bool is_extended(uint8_t type)
{
	return type == 0x05 || type == 0x0f || type == 0x85;
}

static bool has_signature(const uint8_t *sector)
{
	return sector[MBR_SIGNATURE] == 0x55 && sector[MBR_SIGNATURE + 1] == 0xaa;
}

/*
 * The chain of logical partitions: each link has one partition, relative to the link, and the next
 * link, relative to the extended partition. A chain that comes back to where it was would go on for
 * ever: it is cut at the length of the table.
 */
static int load_logical(const struct f4_ptable_source *src, struct f4_ptable *t, uint64_t ext_start,
			uint64_t ext_sectors, uint32_t sector)
{
	uint64_t link = 0;

	for (uint32_t i = 0; i < F4_PTABLE_MAX; i++) {
		uint8_t block[MBR_SIZE];
		struct mbr_entry e[2];
		uint64_t start, next;
		int r;

		r = read_at(src, block, sizeof(block), (ext_start + link) * sector);
		if (r == -ENODATA)
			return 0;
		if (r < 0)
			return r;
		if (!has_signature(block))
			return 0; /* an extended partition that was never written to */
		memcpy(e, block + MBR_ENTRIES, sizeof(e));
		start = f4_load_le32(e[0].start);
		if (e[0].type != 0 && !is_extended(e[0].type))
			add(src, t, MBR_FIRST_LOGICAL + i, ext_start + link + start,
			    f4_load_le32(e[0].count), sector);
		next = f4_load_le32(e[1].start);
		if (!is_extended(e[1].type) || next == 0 || next >= ext_sectors)
			return 0;
		link = next;
	}
	return 0;
}

static int load_mbr(const struct f4_ptable_source *src, const uint8_t *block, struct f4_ptable *t)
{
	struct mbr_entry e[MBR_PRIMARY];
	uint32_t sector = src->sector_size;
	int r;

	memcpy(e, block + MBR_ENTRIES, sizeof(e));
	/* A boot sector of a filesystem ends with the same two bytes: status bytes tell them apart. */
	for (uint32_t i = 0; i < MBR_PRIMARY; i++)
		if (e[i].status & 0x7f)
			return 0;
	t->kind = F4_PTABLE_MBR;
	for (uint32_t i = 0; i < MBR_PRIMARY; i++)
		if (e[i].type != 0 && !is_extended(e[i].type))
			add(src, t, i + 1, f4_load_le32(e[i].start), f4_load_le32(e[i].count), sector);
	for (uint32_t i = 0; i < MBR_PRIMARY; i++) {
		if (!is_extended(e[i].type))
			continue;
		r = load_logical(src, t, f4_load_le32(e[i].start), f4_load_le32(e[i].count), sector);
		return r; /* there is one at most */
	}
	return 0;
}

/* --- GPT ----------------------------------------------------------------------------------- */

/* read_header - Return: 0 a good one, -ENOENT nothing that looks like one, -EUCLEAN a bad one. */
static int read_header(const struct f4_ptable_source *src, uint64_t lba, uint32_t sector,
		       struct gpt_header *ret)
{
	f4_auto_free uint8_t *block = malloc(sector);
	uint32_t size, crc;
	int r;

	if (!block)
		return -ENOMEM;
	if (lba > UINT64_MAX / sector)
		return -ENOENT;
	r = read_at(src, block, sector, lba * sector);
	if (r < 0)
		return r == -ENODATA ? -ENOENT : r;
	memcpy(ret, block, sizeof(*ret));
	if (memcmp(ret->signature, "EFI PART", 8) != 0)
		return -ENOENT;
	size = f4_get_le32(ret->header_size);
	if (size < GPT_HEADER_MIN || size > sector)
		return -EUCLEAN;
	crc = f4_get_le32(ret->header_crc);
	memset(block + offsetof(struct gpt_header, header_crc), 0, sizeof(ret->header_crc));
	if (f4_ptable_crc32(block, size) != crc || f4_get_le64(ret->my_lba) != lba)
		return -EUCLEAN;
	return 0;
}

static int load_entries(const struct f4_ptable_source *src, const struct gpt_header *h,
			uint32_t sector, struct f4_ptable *t)
{
	static const uint8_t unused[16];
	f4_auto_free uint8_t *bytes = NULL;
	uint64_t lba = f4_get_le64(h->entries_lba);
	uint32_t size = f4_get_le32(h->entry_size), n = f4_get_le32(h->entries_n);
	int r;

	/* Sizes other than 128 * 2^n are against the standard. */
	if (size < GPT_ENTRY_MIN || (size & (size - 1)) != 0 || n == 0 ||
	    n > GPT_ENTRIES_MAX / size || lba > UINT64_MAX / sector)
		return -EUCLEAN;
	bytes = malloc((size_t)n * size);
	if (!bytes)
		return -ENOMEM;
	r = read_at(src, bytes, (size_t)n * size, lba * sector);
	if (r < 0)
		return r == -ENODATA ? -EUCLEAN : r;
	if (f4_ptable_crc32(bytes, (size_t)n * size) != f4_get_le32(h->entries_crc))
		return -EUCLEAN;
	t->kind = F4_PTABLE_GPT;
	t->n = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct gpt_entry e;
		uint64_t first, last;

		memcpy(&e, bytes + (size_t)i * size, sizeof(e));
		first = f4_get_le64(e.first);
		last = f4_get_le64(e.last);
		if (memcmp(e.type, unused, sizeof(unused)) == 0 || last < first ||
		    last - first == UINT64_MAX)
			continue;
		add(src, t, i + 1, first, last - first + 1, sector);
	}
	return 0;
}

/* load_gpt_sized - with sectors of @sector bytes: the table, else its copy. -ENOENT: there is none. */
static int load_gpt_sized(const struct f4_ptable_source *src, uint32_t sector, struct f4_ptable *t)
{
	struct gpt_header h;
	uint64_t sectors = src->size / sector;
	int r, copy;

	if (sectors < 3)
		return -ENOENT;
	r = read_header(src, 1, sector, &h);
	if (r == 0)
		r = load_entries(src, &h, sector, t);
	if (r != -ENOENT && r != -EUCLEAN)
		return r;
	copy = read_header(src, sectors - 1, sector, &h);
	if (copy == 0)
		copy = load_entries(src, &h, sector, t);
	if (copy != -ENOENT)
		return copy;
	return r;
}

static int load_gpt(const struct f4_ptable_source *src, struct f4_ptable *t)
{
	/* An image of a 4k disk is a file of no particular sector size: both are tried. */
	static const uint32_t sizes[] = { 512, 4096 };
	bool damaged = false;

	for (size_t i = 0; i < F4_ARRAY_LEN(sizes); i++) {
		int r = load_gpt_sized(src, sizes[i], t);

		if (r == 0 || (r != -ENOENT && r != -EUCLEAN))
			return r;
		damaged |= r == -EUCLEAN;
	}
	return damaged ? -EUCLEAN : -ENOENT;
}

int f4_ptable_load(const struct f4_ptable_source *src, struct f4_ptable *ret)
{
	uint8_t block[MBR_SIZE];
	bool protective = false;
	int r;

	assert(src->sector_size >= 512);
	memset(ret, 0, sizeof(*ret));
	r = read_at(src, block, sizeof(block), 0);
	if (r == -ENODATA)
		return 0;
	if (r < 0)
		return r;
	if (!has_signature(block))
		return 0;
	for (uint32_t i = 0; i < MBR_PRIMARY; i++) {
		struct mbr_entry e;

		memcpy(&e, block + MBR_ENTRIES + i * sizeof(e), sizeof(e));
		protective |= e.type == MBR_TYPE_GPT;
	}
	if (!protective)
		return load_mbr(src, block, ret);
	r = load_gpt(src, ret);
	if (r == -ENOENT || r == -EUCLEAN) {
		ret->n = 0;
		ret->kind = F4_PTABLE_GPT;
		return -EUCLEAN;
	}
	return r;
}

const struct f4_partition *f4_ptable_find(const struct f4_ptable *t, uint32_t number)
{
	for (unsigned int i = 0; i < t->n; i++)
		if (t->v[i].number == number)
			return &t->v[i];
	return NULL;
}

void f4_ptable_describe(const struct f4_ptable *t, char *out, size_t size)
{
	const char *kind = t->kind == F4_PTABLE_GPT ? "GPT" : "MBR";
	unsigned int found = 0;
	size_t len;
	int n;

	n = snprintf(out, size, "a whole disk (%s partition table)", kind);
	len = n < 0 ? 0 : (size_t)n;
	for (unsigned int i = 0; i < t->n && len < size; i++) {
		const struct f4_partition *p = &t->v[i];

		if (!p->has_ext)
			continue;
		n = snprintf(out + len, size - len, "%s partition=%u or offset=%llu",
			     found++ ? ";" : ": ext4 is there with the option", p->number,
			     (unsigned long long)p->start);
		len += n < 0 ? 0 : (size_t)n;
	}
	if (found == 0 && len < size)
		(void)snprintf(out + len, size - len, " without an ext4 partition");
}
