/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Directories: linear blocks (dir.c), hash trees (htree.c), inline (inline.c).
 *
 * Callers hold the directory's lock: shared for lookup and iterate, exclusive for the rest. Names
 * are bytes, 1 to 255, without '/' and NUL. Every block is checked (checksum once, entry chain at
 * each use). In casefolded directories names compare by the volume's encoding.
 * Source: kernel Documentation/filesystems/ext4/directory.rst.
 */
#ifndef F4_EXT4_DIR_H
#define F4_EXT4_DIR_H

#include "server/ext4/inode.h"

struct f4_dir_entry {
	uint32_t ino;
	uint8_t type; /* F4_FT_*; 0 where the volume has no filetype feature */
	/* where it was found, valid while the lock is held */
	uint64_t blk;	/* physical block; 0: inline */
	uint32_t lblk;	/* logical block, where the directory is linear */
	uint32_t off;
};

/* Credits: the most that one insertion (htree splits on all levels, new blocks), one removal or one
 * change may need. */
uint32_t f4_dir_add_credits(const struct f4_inode *dir);
#define F4_DIR_REMOVE_CREDITS 4u

/* f4_dir_lookup - Return: 0; -ENOENT; -ENAMETOOLONG; -EUCLEAN; -EIO. '.' and '..' are found too. */
int f4_dir_lookup(struct f4_inode *dir, const char *name, size_t len, struct f4_dir_entry *ret);

/*
 * f4_dir_add - insert; the caller knows that it is not there. Updates size, mtime, ctime; the
 * caller stores the inode. -ENOSPC (also: index full), -EUCLEAN ... Nothing is changed on failure.
 */
int f4_dir_add(struct f4_handle *h, struct f4_inode *dir, const char *name, size_t len,
	       uint32_t ino, uint16_t mode);
/* f4_dir_remove - remove the entry found by lookup under the same lock. Updates mtime, ctime; the
 * caller stores the inode. */
int f4_dir_remove(struct f4_handle *h, struct f4_inode *dir, const char *name, size_t len,
		  const struct f4_dir_entry *ent);
/* f4_dir_replace - let the entry name another inode (rename over, exchange, '..'). Times are the
 * caller's. */
int f4_dir_replace(struct f4_handle *h, struct f4_inode *dir, const struct f4_dir_entry *ent,
		   uint32_t ino, uint16_t mode);
/* f4_dir_init - first block (or inline area) of a new directory: '.' and '..'. Needs
 * f4_dir_add_credits. */
int f4_dir_init(struct f4_handle *h, struct f4_inode *dir, uint32_t parent_ino);
/* f4_dir_is_empty - 1 yes, 0 no, or a negative errno. */
int f4_dir_is_empty(struct f4_inode *dir);

/*
 * f4_dir_iterate - call @emit for each entry from @cookie on (0: the start), '.' and '..' first.
 * The cookie given to @emit is where to go on *after* that entry; it survives deletions and
 * insertions of others (hash order in indexed and single-block directories, position else).
 * @emit: 0 go on, 1 stop (the entry was not taken), negative: error. Return: 0 or the error.
 */
typedef int (*f4_dir_emit)(void *arg, const char *name, size_t len, uint32_t ino, uint8_t type,
			   uint64_t next_cookie);
int f4_dir_iterate(struct f4_inode *dir, uint64_t cookie, f4_dir_emit emit, void *arg);

uint8_t f4_dir_mode_to_type(const struct f4_volume *vol, uint16_t mode);

#endif
