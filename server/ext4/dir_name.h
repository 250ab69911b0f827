/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names in directories: how they compare and how they hash.
 *
 * Plain directories compare bytes. Casefolded ones compare and hash by the volume's encoding, with
 * the tables of libext2fs. Encrypted ones hold ciphertext: without the key, which we never have,
 * each name is shown and found by a printable stand-in made of its hashes and its bytes, as the
 * kernel does. Private to the directory code.
 */
#ifndef F4_EXT4_DIR_NAME_H
#define F4_EXT4_DIR_NAME_H

#include "server/ext4/inode.h"

struct ext2fs_nls_table;

/* A name that is looked for. Points into itself: not to be copied. */
struct f4_dir_name {
	const uint8_t *bytes; /* as on disk; borrowed from the caller, or from @store */
	uint32_t len;
	const struct ext2fs_nls_table *nls; /* compare by this encoding; NULL: bytes */
	bool has_hash;	      /* the stand-in brought the hashes along */
	uint32_t hash, minor;
	bool prefix;	      /* @bytes is only the beginning; the rest has this digest */
	uint8_t digest[32];
	uint8_t store[F4_NAME_MAX];
};

/*
 * f4_dir_name_init - prepare looking for @name in @dir. '.' and '..' are names like others.
 * Return: 0; -EINVAL (empty); -ENAMETOOLONG (over 255 bytes); -ENOENT (no such stand-in can exist).
 */
int f4_dir_name_init(const struct f4_inode *dir, const char *name, size_t len,
		     struct f4_dir_name *ret);

/* f4_dir_name_match - is the entry's name @bytes the one that is looked for? */
bool f4_dir_name_match(const struct f4_dir_name *name, const uint8_t *bytes, uint32_t len);

/*
 * f4_dir_name_may_add - may @name be created in @dir? 0; -EINVAL (strict encoding, not valid in
 * it); -ENOKEY (encrypted directory); -EOPNOTSUPP (an encoding that we have no tables for).
 */
int f4_dir_name_may_add(const struct f4_inode *dir, const char *name, size_t len);

/*
 * f4_dir_hash_version - the hash that the on-disk number @raw stands for in @dir, with the
 * volume's choice of signed or unsigned bytes. Return: F4_HASH_*, or -EOPNOTSUPP: not computable.
 */
int f4_dir_hash_version(const struct f4_inode *dir, uint8_t raw);
/* f4_dir_hash_default - the same for new indexes, and the number to store. */
int f4_dir_hash_default(const struct f4_inode *dir, uint8_t *ret_raw);

/* f4_dir_hash - hash a name as on disk; @version from one of the above, not F4_HASH_SIPHASH. The
 * low bit of *ret_hash is 0. Return: 0; -EOPNOTSUPP. */
int f4_dir_hash(const struct f4_inode *dir, int version, const uint8_t *name, uint32_t len,
		uint32_t *ret_hash, uint32_t *ret_minor);

/* Longest stand-in: 8 bytes of hashes, 149 of name, 32 of digest, in base64. */
#define F4_NOKEY_MAX 252u
/* f4_dir_name_nokey - the stand-in for a ciphertext name. Return: its length; 0: too short to be
 * one. */
size_t f4_dir_name_nokey(uint32_t hash, uint32_t minor, const uint8_t *name, uint32_t len,
			 char ret[F4_NOKEY_MAX]);

#endif
