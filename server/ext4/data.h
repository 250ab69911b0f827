/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copying between callers' buffers and mapped runs of a file. What is mapped where is map.c's; when
 * to allocate and what that means for the file is file.c's.
 *
 * Content of ordinary files goes straight to and from the disk; what f4_map_is_journalled says goes
 * through the cache inside the handle. Inode lock held: shared to read and to write in place what
 * is not journalled, exclusive else.
 */
#ifndef F4_EXT4_DATA_H
#define F4_EXT4_DATA_H

#include "server/ext4/map.h"

/* Blocks of content in the cache; no form of their own. The owner is the inode. */
extern const struct f4_buf_class f4_class_data;

/*
 * f4_data_read - bytes [@pos, @pos + @len) of the file, all inside @map (mapped, written), to @buf.
 * Return: 0; -EIO; -EUCLEAN, -ENOMEM (journalled).
 */
int f4_data_read(struct f4_inode *inode, const struct f4_map *map, uint64_t pos, void *buf,
		 size_t len);

/*
 * f4_data_write - @buf to bytes [@pos, @pos + @len), all inside @map.
 * @h:     needed when journalled, with a credit for each block; else unused, may be NULL
 * @fresh: the blocks were new or unwritten: the rest of the first and of the last becomes zeroes
 * Marks the inode as having data that only a flush makes durable.
 * Return: 0; -EIO ...; part may have been written then.
 */
int f4_data_write(struct f4_handle *h, struct f4_inode *inode, const struct f4_map *map,
		  uint64_t pos, const void *buf, size_t len, bool fresh);

/*
 * f4_data_zero_edge - bytes [@from, @to), inside of one block, become zeroes where the block is
 * mapped and written; nothing to do where it reads as zeroes anyway. Exclusive lock, not in a handle
 * (journalled content: makes one of its own).
 */
int f4_data_zero_edge(struct f4_inode *inode, uint64_t from, uint64_t to);

#endif
