/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Partition tables of whole-disk images: GPT and MBR, as untrusted as the filesystem behind them.
 *
 * A small reader of our own, used inside the seal, on any source of bytes: what libraries offer opens
 * paths in /dev and /sys. It looks for ext2, ext3 and ext4 superblocks at the partitions' starts only
 * to tell a person where they are.
 *
 * Numbers are those that Linux gives the partitions: GPT by the place of the entry, MBR 1 to 4 for the
 * primary ones and from 5 on for the logical ones in the order of their chain. Everything is bounded:
 * at most F4_PTABLE_MAX partitions, a chain of that length, one read of 128 KiB.
 *
 * Source: UEFI specification 2.10, chapter 5 (GPT, protective MBR); for extended partitions Linux
 * block/partitions/msdos.c.
 */
#ifndef F4_SERVICE_PARTITION_H
#define F4_SERVICE_PARTITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define F4_PTABLE_MAX 256u

enum f4_ptable_kind { F4_PTABLE_NONE, F4_PTABLE_MBR, F4_PTABLE_GPT };

struct f4_partition {
	uint32_t number;
	uint64_t start, size; /* bytes; inside the disk */
	bool has_ext;	      /* an ext2, ext3 or ext4 superblock is where one should be */
};

struct f4_ptable {
	enum f4_ptable_kind kind;
	unsigned int n;
	struct f4_partition v[F4_PTABLE_MAX];
};

/* Where the bytes come from. */
struct f4_ptable_source {
	int (*read)(void *arg, void *buf, size_t len, uint64_t pos); /* all of it, or -errno */
	void *arg;
	uint64_t size;	      /* bytes */
	uint32_t sector_size; /* bytes; what the device says, 512 for a file */
};

/*
 * f4_ptable_load - read the table.
 * @ret: overwritten; kind F4_PTABLE_NONE when there is none (then the result is 0 as well)
 * A damaged GPT is read from its copy at the end of the disk; entries that reach beyond the disk,
 * are empty or reversed are left out.
 * Return: 0; -EUCLEAN: a table that is there is damaged; -errno of the source.
 */
int f4_ptable_load(const struct f4_ptable_source *src, struct f4_ptable *ret);

/* f4_ptable_has_ext - is an ext2, ext3 or ext4 superblock 1024 bytes behind @pos? False on errors. */
bool f4_ptable_has_ext(const struct f4_ptable_source *src, uint64_t pos);

/* f4_ptable_find - the partition with this number, or NULL. */
const struct f4_partition *f4_ptable_find(const struct f4_ptable *t, uint32_t number);

/*
 * f4_ptable_describe - for a person: which partitions hold ext4 and the options to mount them.
 * @out: @size bytes; cut where it does not fit
 */
void f4_ptable_describe(const struct f4_ptable *t, char *out, size_t size);

/* f4_ptable_crc32 - CRC-32 (IEEE 802.3) as GPT has it. For tests that make tables. */
uint32_t f4_ptable_crc32(const void *bytes, size_t len);

#endif
