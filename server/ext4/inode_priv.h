/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared by the files of the inode: the table in memory (inode.c), the form on disk (inode_disk.c),
 * new ones (inode_new.c) and changes of attributes (inode_attr.c). Also the checksum of a raw inode
 * for those who read one before there is a table (log_map.c).
 */
#ifndef F4_EXT4_INODE_PRIV_H
#define F4_EXT4_INODE_PRIV_H

#include "server/ext4/inode.h"

/* inode_disk.c ------------------------------------------------------------------------------ */

/* f4_inode_raw_csum_ok - is the checksum of @raw (vol->inode_size bytes) right, or none kept? */
bool f4_inode_raw_csum_ok(const struct f4_volume *vol, uint32_t ino, const uint8_t *raw);

/* f4_inode_seed - the crc seed of an inode's metadata. */
uint32_t f4_inode_seed(const struct f4_volume *vol, uint32_t ino, uint32_t generation);

/*
 * f4_inode_decode - fill the fields of @inode from @raw. Checks what makes the inode unusable.
 * Return: NULL, or words that say what is wrong.
 */
const char *f4_inode_decode(struct f4_inode *inode, const uint8_t *raw);

/* f4_inode_encode - write the fields to @raw and set the checksum. Updates F4_FL_HUGE_FILE in both. */
void f4_inode_encode(struct f4_inode *inode, uint8_t *raw);

/* f4_inode_raw_seal - set the checksum of @raw. */
void f4_inode_raw_seal(const struct f4_volume *vol, uint32_t seed, uint8_t *raw);

/* f4_inode_raw_widen - give an inode that has no extra fields the room for them, cleared. */
void f4_inode_raw_widen(const struct f4_volume *vol, uint8_t *raw);

/* f4_inode_clamp_time - @ts as the inode can store it. */
struct timespec f4_inode_clamp_time(const struct f4_inode *inode, struct timespec ts);

/* inode.c ----------------------------------------------------------------------------------- */

/* f4_inode_alloc - a struct with one reference that is in no table yet. NULL: no memory. */
struct f4_inode *f4_inode_alloc(struct f4_volume *vol, uint32_t ino);
/* f4_inode_discard - free such a struct. */
void f4_inode_discard(struct f4_inode *inode);
/* f4_inode_insert - put a new inode into the table. Return: 0; -EUCLEAN (the number is in use). */
int f4_inode_insert(struct f4_inode *inode);
/* f4_inode_unhash - the number is about to be free: nobody finds the struct any more. */
void f4_inode_unhash(struct f4_inode *inode);

/* f4_inode_table_place - the block of the inode table that holds @ino, and the offset in it. */
int f4_inode_table_place(struct f4_volume *vol, uint32_t ino, uint64_t *ret_blk, uint32_t *ret_off);

/*
 * f4_inode_store_dtime - change the field that chains orphans, in memory and in the table's block,
 * of an inode whose lock need not be held. orphan_lock held. One credit.
 */
int f4_inode_store_dtime(struct f4_handle *h, struct f4_inode *inode, uint32_t dtime);

#endif
