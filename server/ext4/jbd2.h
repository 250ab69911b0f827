/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The on-disk layout of the journal (JBD2). Big-endian throughout.
 *
 * A log is a run of blocks: block 0 holds the superblock (on an external journal device the
 * filesystem-like superblock comes first; the caller's map hides that), blocks s_first to s_maxlen
 * are a ring. A transaction is revoke blocks and descriptor blocks, each descriptor followed by the
 * blocks that its tags name, and one commit block; all carry the transaction's number.
 *
 * Source: kernel Documentation/filesystems/ext4/journal.rst.
 */
#ifndef F4_EXT4_JBD2_H
#define F4_EXT4_JBD2_H

#include <assert.h>
#include <stddef.h>

#include "protocol/base/endian.h"

#define F4_JBD2_MAGIC	    0xC03B3998u
#define F4_JBD2_MIN_BLOCKS  1024u
#define F4_JBD2_SB_SIZE	    1024u
#define F4_JBD2_DEFAULT_FC_BLOCKS 256u

/* h_blocktype */
#define F4_JBD2_DESCRIPTOR 1u
#define F4_JBD2_COMMIT	   2u
#define F4_JBD2_SUPER_V1   3u
#define F4_JBD2_SUPER_V2   4u
#define F4_JBD2_REVOKE	   5u

/* s_feature_compat, s_feature_incompat */
#define F4_JBD2_COMPAT_CHECKSUM	      0x01u
#define F4_JBD2_INCOMPAT_REVOKE	      0x01u
#define F4_JBD2_INCOMPAT_64BIT	      0x02u
#define F4_JBD2_INCOMPAT_ASYNC_COMMIT 0x04u
#define F4_JBD2_INCOMPAT_CSUM_V2      0x08u
#define F4_JBD2_INCOMPAT_CSUM_V3      0x10u
#define F4_JBD2_INCOMPAT_FAST_COMMIT  0x20u
#define F4_JBD2_INCOMPAT_KNOWN	      0x3fu

/* Checksum types, s_checksum_type and h_chksum_type */
#define F4_JBD2_CHKSUM_CRC32  1u
#define F4_JBD2_CHKSUM_CRC32C 4u
#define F4_JBD2_CHKSUM_CRC32_SIZE 4u

/* Tag flags */
#define F4_JBD2_TAG_ESCAPE    0x1u /* the block began with the magic; zeroes stand there in the log */
#define F4_JBD2_TAG_SAME_UUID 0x2u /* no 16 byte uuid follows the tag */
#define F4_JBD2_TAG_DELETED   0x4u
#define F4_JBD2_TAG_LAST      0x8u

struct f4_jbd2_header {
	/*0*/ f4_be32 h_magic;
	/*4*/ f4_be32 h_blocktype;
	/*8*/ f4_be32 h_sequence;
};
static_assert(sizeof(struct f4_jbd2_header) == 12, "journal block header");

struct f4_jbd2_super {
	/*000*/ struct f4_jbd2_header s_header;
	/*00c*/ f4_be32 s_blocksize;
	/*010*/ f4_be32 s_maxlen; /* blocks of the log, this one included */
	/*014*/ f4_be32 s_first;
	/*018*/ f4_be32 s_sequence; /* of the first transaction to look for */
	/*01c*/ f4_be32 s_start;    /* where it is; 0: the log is clean */
	/*020*/ f4_be32 s_errno;    /* a negative errno, or 0 */
	/* version 2 */
	/*024*/ f4_be32 s_feature_compat;
	/*028*/ f4_be32 s_feature_incompat;
	/*02c*/ f4_be32 s_feature_ro_compat;
	/*030*/ uint8_t s_uuid[16];
	/*040*/ f4_be32 s_nr_users;
	/*044*/ f4_be32 s_dynsuper;
	/*048*/ f4_be32 s_max_transaction;
	/*04c*/ f4_be32 s_max_trans_data;
	/*050*/ uint8_t s_checksum_type;
	/*051*/ uint8_t s_padding2[3];
	/*054*/ f4_be32 s_num_fc_blks;
	/*058*/ f4_be32 s_head;
	/*05c*/ f4_be32 s_padding[40];
	/*0fc*/ f4_be32 s_checksum; /* crc32c of the 1024 bytes with this field zero */
	/*100*/ uint8_t s_users[16 * 48];
};
static_assert(sizeof(struct f4_jbd2_super) == F4_JBD2_SB_SIZE, "journal superblock");
static_assert(offsetof(struct f4_jbd2_super, s_checksum) == 0xfc, "journal superblock layout");

/*
 * Tags come in five sizes: v3 checksums: struct f4_jbd2_tag3 (16 bytes). Else the fields of struct
 * f4_jbd2_tag; without 64BIT the high half is missing (8 bytes); with v2 checksums two unused
 * bytes follow (10 and 14).
 */
struct f4_jbd2_tag3 {
	/*0*/ f4_be32 t_blocknr;
	/*4*/ f4_be32 t_flags;
	/*8*/ f4_be32 t_blocknr_high;
	/*c*/ f4_be32 t_checksum; /* crc32c of sequence number and block as it is in the log */
};
static_assert(sizeof(struct f4_jbd2_tag3) == 16, "journal tag v3");
struct f4_jbd2_tag {
	/*0*/ f4_be32 t_blocknr;
	/*4*/ f4_be16 t_checksum; /* v2: low half of the crc32c */
	/*6*/ f4_be16 t_flags;
	/*8*/ f4_be32 t_blocknr_high;
};
static_assert(sizeof(struct f4_jbd2_tag) == 12, "journal tag");

/* Last bytes of descriptor and revoke blocks with v2 and v3 checksums. */
struct f4_jbd2_tail {
	f4_be32 t_checksum; /* crc32c of the block with this field zero */
};

struct f4_jbd2_revoke {
	/*0*/ struct f4_jbd2_header r_header;
	/*c*/ f4_be32 r_count; /* bytes used in the block, this header included */
	/* then block numbers: f4_be64 with 64BIT, else f4_be32 */
};
static_assert(sizeof(struct f4_jbd2_revoke) == 16, "revoke header");

struct f4_jbd2_commit {
	/*00*/ struct f4_jbd2_header h_header;
	/*0c*/ uint8_t h_chksum_type;
	/*0d*/ uint8_t h_chksum_size;
	/*0e*/ uint8_t h_padding[2];
	/*10*/ f4_be32 h_chksum[8]; /* v1: crc32 of all blocks; v2, v3: crc32c of this block */
	/*30*/ f4_be64 h_commit_sec;
	/*38*/ f4_be32 h_commit_nsec;
};
static_assert(offsetof(struct f4_jbd2_commit, h_commit_sec) == 0x30, "commit block layout");

/* Fast-commit area: little-endian records of type and length, each stream begun and ended so. */
#define F4_JBD2_FC_TAG_PAD  0x0007u
#define F4_JBD2_FC_TAG_TAIL 0x0008u
#define F4_JBD2_FC_TAG_HEAD 0x0009u
struct f4_jbd2_fc_tl {
	f4_le16 fc_tag;
	f4_le16 fc_len;
};
struct f4_jbd2_fc_head {
	f4_le32 fc_features;
	f4_le32 fc_tid;
};
struct f4_jbd2_fc_tail {
	f4_le32 fc_tid;
	f4_le32 fc_crc; /* crc32c of all from the last tail to before this field */
};

#endif
