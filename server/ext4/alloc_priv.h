/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the allocator's files. */
#ifndef F4_EXT4_ALLOC_PRIV_H
#define F4_EXT4_ALLOC_PRIV_H

#include "server/ext4/alloc.h"
#include "server/ext4/group.h"

/*
 * alloc_window.c: where streams of writes are going on. A file that is being appended to gets the
 * room ahead of it kept free of others, in memory only and only as long as there is other room.
 */
struct f4_windows;
struct f4_windows *f4_windows_new(void);
struct f4_windows *f4_windows_free(struct f4_windows *w);

/* f4_windows_note - @ino has just been given [@blk, @blk + @len); its window starts behind that. */
void f4_windows_note(struct f4_volume *vol, uint32_t ino, uint64_t blk, uint32_t len);

/*
 * f4_windows_skip - if [@blk, @blk + @len) runs into the window of another inode than @ino, the end
 * of that window, else 0.
 */
uint64_t f4_windows_skip(struct f4_volume *vol, uint32_t ino, uint64_t blk, uint64_t len);

#endif
