/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names: encodings, hashes, stand-ins for ciphertext.
 *
 * The hashes are those of libext2fs (the legacy, half-MD4 and TEA ones of ext3). The stand-in of an
 * encrypted name is the kernel's (fs/crypto/fname.c, "no-key name"): the two halves of the hash
 * in machine order, then the ciphertext, or its first 149 bytes and the SHA-256 of the rest, all
 * in base64 with '-' and '_' and no padding.
 */
#include "server/ext4/dir_name.h"

#include <errno.h>
#include <string.h>

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>

#include "server/ext4/dir_block.h"
#include "server/ext4/sha256.h"

#define NOKEY_HASHES  8u
#define NOKEY_BYTES   149u
#define NOKEY_DIGEST  32u
#define NOKEY_RAW_MAX (NOKEY_HASHES + NOKEY_BYTES + NOKEY_DIGEST)
#define CIPHER_MIN    16u /* a block of the cipher */

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t encode64(const uint8_t *src, size_t len, char *dst)
{
	uint32_t acc = 0, bits = 0;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		acc = (acc << 8) | src[i];
		for (bits += 8; bits >= 6; bits -= 6)
			dst[n++] = base64url[(acc >> (bits - 6)) & 63];
	}
	if (bits)
		dst[n++] = base64url[(acc << (6 - bits)) & 63];
	return n;
}

/* Return: bytes written to @dst, or -1: not a canonical encoding. */
static int decode64(const char *src, size_t len, uint8_t *dst, size_t max)
{
	uint32_t acc = 0, bits = 0;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		const char *p = src[i] ? strchr(base64url, src[i]) : NULL;

		if (!p)
			return -1;
		acc = (acc << 6) | (uint32_t)(p - base64url);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			if (n == max)
				return -1;
			dst[n++] = (uint8_t)(acc >> bits);
		}
	}
	return acc & ((1u << bits) - 1) ? -1 : (int)n;
}

size_t f4_dir_name_nokey(uint32_t hash, uint32_t minor, const uint8_t *name, uint32_t len,
			 char ret[F4_NOKEY_MAX])
{
	uint8_t raw[NOKEY_RAW_MAX];
	size_t n = len < NOKEY_BYTES ? len : NOKEY_BYTES;

	static_assert((NOKEY_RAW_MAX * 4 + 2) / 3 <= F4_NOKEY_MAX, "stand-in size");
	if (len < CIPHER_MIN)
		return 0;
	memcpy(raw, &hash, 4);
	memcpy(raw + 4, &minor, 4);
	memcpy(raw + NOKEY_HASHES, name, n);
	n += NOKEY_HASHES;
	if (len > NOKEY_BYTES) {
		f4_sha256(name + NOKEY_BYTES, len - NOKEY_BYTES, raw + n);
		n += NOKEY_DIGEST;
	}
	return encode64(raw, n, ret);
}

static int nokey_init(const char *name, size_t len, struct f4_dir_name *ret)
{
	uint8_t raw[NOKEY_RAW_MAX];
	int n = decode64(name, len, raw, sizeof(raw));

	if (n < (int)(NOKEY_HASHES + CIPHER_MIN) ||
	    (n > (int)(NOKEY_HASHES + NOKEY_BYTES) && n != (int)NOKEY_RAW_MAX))
		return -ENOENT;
	ret->has_hash = true;
	memcpy(&ret->hash, raw, 4);
	memcpy(&ret->minor, raw + 4, 4);
	ret->len = (uint32_t)n - NOKEY_HASHES;
	if (n == (int)NOKEY_RAW_MAX) {
		ret->prefix = true;
		ret->len = NOKEY_BYTES;
		memcpy(ret->digest, raw + NOKEY_HASHES + NOKEY_BYTES, NOKEY_DIGEST);
	}
	memcpy(ret->store, raw + NOKEY_HASHES, ret->len);
	ret->bytes = ret->store;
	return 0;
}

static bool is_folded(const struct f4_inode *dir)
{
	return (dir->flags & F4_FL_CASEFOLD) && f4_has_incompat(dir->vol, F4_INCOMPAT_CASEFOLD);
}

static const struct ext2fs_nls_table *dir_nls(const struct f4_inode *dir)
{
	const struct f4_volume *vol = dir->vol;
	const struct f4_super *sb;

	if (!is_folded(dir))
		return NULL;
	/* The encoding never changes while mounted, so its bytes need no lock. */
	sb = (const void *)(vol->sb_buf->data + vol->sb_offset);
	return ext2fs_load_nls_table(f4_get_le16(sb->s_encoding));
}

static bool is_encrypted(const struct f4_inode *dir)
{
	return (dir->flags & F4_FL_ENCRYPT) != 0;
}

int f4_dir_name_init(const struct f4_inode *dir, const char *name, size_t len,
		     struct f4_dir_name *ret)
{
	if (len == 0)
		return -EINVAL;
	if (len > F4_NAME_MAX)
		return -ENAMETOOLONG;
	ret->bytes = (const uint8_t *)name;
	ret->len = (uint32_t)len;
	ret->nls = NULL;
	ret->has_hash = ret->prefix = false;
	if (f4_name_is_dot(name, len) || f4_name_is_dotdot(name, len))
		return 0;
	if (is_encrypted(dir))
		return nokey_init(name, len, ret);
	ret->nls = dir_nls(dir);
	return 0;
}

bool f4_dir_name_match(const struct f4_dir_name *name, const uint8_t *bytes, uint32_t len)
{
	uint8_t digest[32];

	if (name->prefix) {
		if (len <= name->len || memcmp(bytes, name->bytes, name->len) != 0)
			return false;
		f4_sha256(bytes + name->len, len - name->len, digest);
		return memcmp(digest, name->digest, sizeof(digest)) == 0;
	}
	if (len == name->len && memcmp(bytes, name->bytes, len) == 0)
		return true;
	if (!name->nls || len == 0)
		return false;
	return ext2fs_casefold_cmp(name->nls, name->bytes, name->len, bytes, len) == 0;
}

int f4_dir_name_may_add(const struct f4_inode *dir, const char *name, size_t len)
{
	const struct f4_volume *vol = dir->vol;
	const struct ext2fs_nls_table *nls;
	const struct f4_super *sb;
	char copy[F4_NAME_MAX + 1], *bad;

	if (is_encrypted(dir))
		return -ENOKEY;
	if (!is_folded(dir))
		return 0;
	nls = dir_nls(dir);
	if (!nls)
		return -EOPNOTSUPP;
	sb = (const void *)(vol->sb_buf->data + vol->sb_offset);
	if (!(f4_get_le16(sb->s_encoding_flags) & EXT4_ENC_STRICT_MODE_FL) || len > F4_NAME_MAX)
		return 0;
	memcpy(copy, name, len);
	copy[len] = '\0';
	return ext2fs_check_encoded_name(nls, copy, len, &bad) == 0 ? 0 : -EINVAL;
}

static bool unsigned_bytes(const struct f4_volume *vol)
{
	return vol->def_hash_version >= F4_HASH_LEGACY_UNSIGNED &&
	       vol->def_hash_version <= F4_HASH_TEA_UNSIGNED;
}

int f4_dir_hash_version(const struct f4_inode *dir, uint8_t raw)
{
	bool fold = is_folded(dir);

	if (fold && is_encrypted(dir)) /* keyed, and stored beside each name */
		return raw == F4_HASH_SIPHASH ? (int)raw : -EOPNOTSUPP;
	if (fold && !dir_nls(dir))
		return -EOPNOTSUPP;
	if (raw > F4_HASH_TEA)
		return -EOPNOTSUPP;
	return raw + (unsigned_bytes(dir->vol) ? (int)F4_HASH_LEGACY_UNSIGNED : 0);
}

int f4_dir_hash_default(const struct f4_inode *dir, uint8_t *ret_raw)
{
	uint8_t raw = dir->vol->def_hash_version;
	bool fold = is_folded(dir);

	if (unsigned_bytes(dir->vol))
		raw = (uint8_t)(raw - F4_HASH_LEGACY_UNSIGNED);
	if (fold && is_encrypted(dir))
		raw = F4_HASH_SIPHASH;
	*ret_raw = raw;
	return f4_dir_hash_version(dir, raw);
}

int f4_dir_hash(const struct f4_inode *dir, int version, const uint8_t *name, uint32_t len,
		uint32_t *ret_hash, uint32_t *ret_minor)
{
	const struct ext2fs_nls_table *nls = is_encrypted(dir) ? NULL : dir_nls(dir);
	ext2_dirhash_t hash, minor;

	if (ext2fs_dirhash2(version, (const char *)name, (int)len, nls,
			    nls ? (int)F4_FL_CASEFOLD : 0, dir->vol->hash_seed, &hash, &minor) != 0)
		return -EOPNOTSUPP;
	/* The highest hash is the end mark of the kernel's readdir positions: nothing has it. */
	*ret_hash = hash == 0xfffffffeu ? 0xfffffffcu : hash;
	*ret_minor = minor;
	return 0;
}
