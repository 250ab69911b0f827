/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of groups, shared by group*.c and block_validity.c only. */
#ifndef F4_EXT4_GROUP_PRIV_H
#define F4_EXT4_GROUP_PRIV_H

#include "server/ext4/group.h"

#define F4_GROUP_CHUNK 64u /* groups whose structs are made together */

/* Metadata at a fixed place, as a sorted list of runs for one flex group (or group). */
struct f4_zone {
	uint64_t blk, len;
};
struct f4_zone_set {
	uint32_t n;
	struct f4_zone zone[];
};

struct f4_group_table {
	struct f4_volume *vol; /* borrowed */
	uint32_t n_chunks;
	_Atomic(struct f4_group *) *chunks; /* owned; set once, under lock */
	uint32_t n_zones;
	_Atomic(struct f4_zone_set *) *zones; /* owned; set once, under lock */
	struct f4_zone_set *log_zones; /* owned; the journal's blocks; set at open */
	pthread_mutex_t lock; /* leaf */
	struct f4_list dirty; /* groups whose checksums wait for the commit; protected by lock */
	struct f4_list pends; /* struct f4_pend, oldest first; protected by lock */
};

/* f4_group_ptr - the struct of @group if it was ever made, else NULL. No lock. */
struct f4_group *f4_group_ptr(const struct f4_volume *vol, uint32_t group);

/* f4_group_desc_csum_ok - is the checksum of the whole descriptor right (or none kept)? */
bool f4_group_desc_csum_ok(const struct f4_volume *vol, uint32_t group,
			   const struct f4_group_desc *desc);

/* Fields that are split in two halves, the high one absent with 32-byte descriptors. */
static inline uint64_t f4_desc_join(const struct f4_volume *v, f4_le32 lo, const f4_le32 *hi)
{
	return f4_get_le32(lo) | (v->desc_size > 32 ? (uint64_t)f4_get_le32(*hi) << 32 : 0);
}

/* f4_pends_free - at the end of the table. */
void f4_pends_free(struct f4_group_table *t);

#endif
