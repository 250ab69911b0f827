/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The on-disk layout of ext2, ext3 and ext4. Little-endian throughout; raw blocks are looked at
 * through these structs and through nothing else. The journal's layout is in jbd2.h.
 *
 * Source: kernel Documentation/filesystems/ext4 (globals, dynamic, ondisk), checked against the
 * offsets in <ext2fs/ext2_fs.h>.
 */
#ifndef F4_EXT4_FORMAT_H
#define F4_EXT4_FORMAT_H

#include <assert.h>
#include <stddef.h>

#include "protocol/base/endian.h"

#define F4_SB_OFFSET	 1024u
#define F4_SB_SIZE	 1024u
#define F4_SB_MAGIC	 0xEF53u
#define F4_MIN_BLOCK	 1024u
#define F4_MAX_BLOCK	 65536u
#define F4_NAME_MAX	 255u
#define F4_GOOD_OLD_INODE_SIZE 128u
#define F4_MAX_LOG_GROUPS_PER_FLEX 31u

/* Reserved inode numbers. */
#define F4_BAD_INO	1u
#define F4_ROOT_INO	2u
#define F4_USR_QUOTA_INO 3u
#define F4_GRP_QUOTA_INO 4u
#define F4_RESIZE_INO	7u
#define F4_JOURNAL_INO	8u
#define F4_GOOD_OLD_FIRST_INO 11u

/* s_state */
#define F4_STATE_VALID	0x0001u
#define F4_STATE_ERROR	0x0002u
#define F4_STATE_ORPHAN 0x0004u
#define F4_STATE_FC_REPLAY 0x0020u

/* s_errors */
#define F4_ERRORS_CONTINUE 1u
#define F4_ERRORS_RO	   2u
#define F4_ERRORS_PANIC	   3u

/* s_default_mount_opts: what tune2fs -o stores */
#define F4_DEFM_BSDGROUPS  0x0002u
#define F4_DEFM_UID16	   0x0010u
#define F4_DEFM_JMODE	   0x0060u
#define F4_DEFM_JMODE_DATA 0x0020u
#define F4_DEFM_NOBARRIER  0x0100u
#define F4_DEFM_DISCARD	   0x0400u

/* s_flags */
#define F4_FLAGS_SIGNED_HASH   0x0001u
#define F4_FLAGS_UNSIGNED_HASH 0x0002u
#define F4_FLAGS_TEST_FILESYS  0x0004u

/* s_feature_compat */
#define F4_COMPAT_DIR_PREALLOC	0x0001u
#define F4_COMPAT_IMAGIC_INODES 0x0002u
#define F4_COMPAT_HAS_JOURNAL	0x0004u
#define F4_COMPAT_EXT_ATTR	0x0008u
#define F4_COMPAT_RESIZE_INODE	0x0010u
#define F4_COMPAT_DIR_INDEX	0x0020u
#define F4_COMPAT_SPARSE_SUPER2 0x0200u
#define F4_COMPAT_FAST_COMMIT	0x0400u
#define F4_COMPAT_STABLE_INODES 0x0800u
#define F4_COMPAT_ORPHAN_FILE	0x1000u

/* s_feature_incompat */
#define F4_INCOMPAT_COMPRESSION	 0x00001u
#define F4_INCOMPAT_FILETYPE	 0x00002u
#define F4_INCOMPAT_RECOVER	 0x00004u
#define F4_INCOMPAT_JOURNAL_DEV	 0x00008u
#define F4_INCOMPAT_META_BG	 0x00010u
#define F4_INCOMPAT_EXTENTS	 0x00040u
#define F4_INCOMPAT_64BIT	 0x00080u
#define F4_INCOMPAT_MMP		 0x00100u
#define F4_INCOMPAT_FLEX_BG	 0x00200u
#define F4_INCOMPAT_EA_INODE	 0x00400u
#define F4_INCOMPAT_DIRDATA	 0x01000u
#define F4_INCOMPAT_CSUM_SEED	 0x02000u
#define F4_INCOMPAT_LARGEDIR	 0x04000u
#define F4_INCOMPAT_INLINE_DATA	 0x08000u
#define F4_INCOMPAT_ENCRYPT	 0x10000u
#define F4_INCOMPAT_CASEFOLD	 0x20000u

/* s_feature_ro_compat */
#define F4_RO_COMPAT_SPARSE_SUPER   0x00001u
#define F4_RO_COMPAT_LARGE_FILE	    0x00002u
#define F4_RO_COMPAT_BTREE_DIR	    0x00004u
#define F4_RO_COMPAT_HUGE_FILE	    0x00008u
#define F4_RO_COMPAT_GDT_CSUM	    0x00010u
#define F4_RO_COMPAT_DIR_NLINK	    0x00020u
#define F4_RO_COMPAT_EXTRA_ISIZE    0x00040u
#define F4_RO_COMPAT_HAS_SNAPSHOT   0x00080u
#define F4_RO_COMPAT_QUOTA	    0x00100u
#define F4_RO_COMPAT_BIGALLOC	    0x00200u
#define F4_RO_COMPAT_METADATA_CSUM  0x00400u
#define F4_RO_COMPAT_REPLICA	    0x00800u
#define F4_RO_COMPAT_READONLY	    0x01000u
#define F4_RO_COMPAT_PROJECT	    0x02000u
#define F4_RO_COMPAT_SHARED_BLOCKS  0x04000u
#define F4_RO_COMPAT_VERITY	    0x08000u
#define F4_RO_COMPAT_ORPHAN_PRESENT 0x10000u

struct f4_super {
	/*000*/ f4_le32 s_inodes_count;
	/*004*/ f4_le32 s_blocks_count_lo;
	/*008*/ f4_le32 s_r_blocks_count_lo;
	/*00c*/ f4_le32 s_free_blocks_count_lo; /* blocks, also under bigalloc */
	/*010*/ f4_le32 s_free_inodes_count;
	/*014*/ f4_le32 s_first_data_block;
	/*018*/ f4_le32 s_log_block_size;
	/*01c*/ f4_le32 s_log_cluster_size;
	/*020*/ f4_le32 s_blocks_per_group;
	/*024*/ f4_le32 s_clusters_per_group;
	/*028*/ f4_le32 s_inodes_per_group;
	/*02c*/ f4_le32 s_mtime;
	/*030*/ f4_le32 s_wtime;
	/*034*/ f4_le16 s_mnt_count;
	/*036*/ f4_le16 s_max_mnt_count;
	/*038*/ f4_le16 s_magic;
	/*03a*/ f4_le16 s_state;
	/*03c*/ f4_le16 s_errors;
	/*03e*/ f4_le16 s_minor_rev_level;
	/*040*/ f4_le32 s_lastcheck;
	/*044*/ f4_le32 s_checkinterval;
	/*048*/ f4_le32 s_creator_os;
	/*04c*/ f4_le32 s_rev_level;
	/*050*/ f4_le16 s_def_resuid;
	/*052*/ f4_le16 s_def_resgid;
	/*054*/ f4_le32 s_first_ino;
	/*058*/ f4_le16 s_inode_size;
	/*05a*/ f4_le16 s_block_group_nr;
	/*05c*/ f4_le32 s_feature_compat;
	/*060*/ f4_le32 s_feature_incompat;
	/*064*/ f4_le32 s_feature_ro_compat;
	/*068*/ uint8_t s_uuid[16];
	/*078*/ uint8_t s_volume_name[16];
	/*088*/ uint8_t s_last_mounted[64];
	/*0c8*/ f4_le32 s_algorithm_usage_bitmap;
	/*0cc*/ uint8_t s_prealloc_blocks;
	/*0cd*/ uint8_t s_prealloc_dir_blocks;
	/*0ce*/ f4_le16 s_reserved_gdt_blocks;
	/*0d0*/ uint8_t s_journal_uuid[16];
	/*0e0*/ f4_le32 s_journal_inum;
	/*0e4*/ f4_le32 s_journal_dev;
	/*0e8*/ f4_le32 s_last_orphan;
	/*0ec*/ f4_le32 s_hash_seed[4];
	/*0fc*/ uint8_t s_def_hash_version;
	/*0fd*/ uint8_t s_jnl_backup_type;
	/*0fe*/ f4_le16 s_desc_size;
	/*100*/ f4_le32 s_default_mount_opts;
	/*104*/ f4_le32 s_first_meta_bg;
	/*108*/ f4_le32 s_mkfs_time;
	/*10c*/ f4_le32 s_jnl_blocks[17];
	/*150*/ f4_le32 s_blocks_count_hi;
	/*154*/ f4_le32 s_r_blocks_count_hi;
	/*158*/ f4_le32 s_free_blocks_count_hi;
	/*15c*/ f4_le16 s_min_extra_isize;
	/*15e*/ f4_le16 s_want_extra_isize;
	/*160*/ f4_le32 s_flags;
	/*164*/ f4_le16 s_raid_stride;
	/*166*/ f4_le16 s_mmp_update_interval;
	/*168*/ f4_le64 s_mmp_block;
	/*170*/ f4_le32 s_raid_stripe_width;
	/*174*/ uint8_t s_log_groups_per_flex;
	/*175*/ uint8_t s_checksum_type;
	/*176*/ uint8_t s_encryption_level;
	/*177*/ uint8_t s_reserved_pad;
	/*178*/ f4_le64 s_kbytes_written;
	/*180*/ f4_le32 s_snapshot_inum;
	/*184*/ f4_le32 s_snapshot_id;
	/*188*/ f4_le64 s_snapshot_r_blocks_count;
	/*190*/ f4_le32 s_snapshot_list;
	/*194*/ f4_le32 s_error_count;
	/*198*/ f4_le32 s_first_error_time;
	/*19c*/ f4_le32 s_first_error_ino;
	/*1a0*/ f4_le64 s_first_error_block;
	/*1a8*/ uint8_t s_first_error_func[32];
	/*1c8*/ f4_le32 s_first_error_line;
	/*1cc*/ f4_le32 s_last_error_time;
	/*1d0*/ f4_le32 s_last_error_ino;
	/*1d4*/ f4_le32 s_last_error_line;
	/*1d8*/ f4_le64 s_last_error_block;
	/*1e0*/ uint8_t s_last_error_func[32];
	/*200*/ uint8_t s_mount_opts[64];
	/*240*/ f4_le32 s_usr_quota_inum;
	/*244*/ f4_le32 s_grp_quota_inum;
	/*248*/ f4_le32 s_overhead_clusters;
	/*24c*/ f4_le32 s_backup_bgs[2];
	/*254*/ uint8_t s_encrypt_algos[4];
	/*258*/ uint8_t s_encrypt_pw_salt[16];
	/*268*/ f4_le32 s_lpf_ino;
	/*26c*/ f4_le32 s_prj_quota_inum;
	/*270*/ f4_le32 s_checksum_seed;
	/*274*/ uint8_t s_wtime_hi;
	/*275*/ uint8_t s_mtime_hi;
	/*276*/ uint8_t s_mkfs_time_hi;
	/*277*/ uint8_t s_lastcheck_hi;
	/*278*/ uint8_t s_first_error_time_hi;
	/*279*/ uint8_t s_last_error_time_hi;
	/*27a*/ uint8_t s_first_error_errcode;
	/*27b*/ uint8_t s_last_error_errcode;
	/*27c*/ f4_le16 s_encoding;
	/*27e*/ f4_le16 s_encoding_flags;
	/*280*/ f4_le32 s_orphan_file_inum;
	/*284*/ f4_le32 s_reserved[94];
	/*3fc*/ f4_le32 s_checksum;
};
static_assert(sizeof(struct f4_super) == F4_SB_SIZE, "superblock size");
static_assert(offsetof(struct f4_super, s_blocks_count_hi) == 0x150, "superblock layout");
static_assert(offsetof(struct f4_super, s_usr_quota_inum) == 0x240, "superblock layout");
static_assert(offsetof(struct f4_super, s_checksum) == 0x3fc, "superblock layout");

/* bg_flags */
#define F4_BG_INODE_UNINIT 0x0001u
#define F4_BG_BLOCK_UNINIT 0x0002u
#define F4_BG_INODE_ZEROED 0x0004u

/* The first 32 bytes are all there is when s_desc_size is 32. */
struct f4_group_desc {
	/*00*/ f4_le32 bg_block_bitmap_lo;
	/*04*/ f4_le32 bg_inode_bitmap_lo;
	/*08*/ f4_le32 bg_inode_table_lo;
	/*0c*/ f4_le16 bg_free_blocks_count_lo; /* clusters */
	/*0e*/ f4_le16 bg_free_inodes_count_lo;
	/*10*/ f4_le16 bg_used_dirs_count_lo;
	/*12*/ f4_le16 bg_flags;
	/*14*/ f4_le32 bg_exclude_bitmap_lo;
	/*18*/ f4_le16 bg_block_bitmap_csum_lo;
	/*1a*/ f4_le16 bg_inode_bitmap_csum_lo;
	/*1c*/ f4_le16 bg_itable_unused_lo;
	/*1e*/ f4_le16 bg_checksum;
	/*20*/ f4_le32 bg_block_bitmap_hi;
	/*24*/ f4_le32 bg_inode_bitmap_hi;
	/*28*/ f4_le32 bg_inode_table_hi;
	/*2c*/ f4_le16 bg_free_blocks_count_hi;
	/*2e*/ f4_le16 bg_free_inodes_count_hi;
	/*30*/ f4_le16 bg_used_dirs_count_hi;
	/*32*/ f4_le16 bg_itable_unused_hi;
	/*34*/ f4_le32 bg_exclude_bitmap_hi;
	/*38*/ f4_le16 bg_block_bitmap_csum_hi;
	/*3a*/ f4_le16 bg_inode_bitmap_csum_hi;
	/*3c*/ f4_le32 bg_reserved;
};
static_assert(sizeof(struct f4_group_desc) == 64, "group descriptor size");

/* i_flags */
#define F4_FL_SECRM	   0x00000001u
#define F4_FL_UNRM	   0x00000002u
#define F4_FL_COMPR	   0x00000004u
#define F4_FL_SYNC	   0x00000008u
#define F4_FL_IMMUTABLE	   0x00000010u
#define F4_FL_APPEND	   0x00000020u
#define F4_FL_NODUMP	   0x00000040u
#define F4_FL_NOATIME	   0x00000080u
#define F4_FL_ENCRYPT	   0x00000800u
#define F4_FL_INDEX	   0x00001000u
#define F4_FL_JOURNAL_DATA 0x00004000u
#define F4_FL_NOTAIL	   0x00008000u
#define F4_FL_DIRSYNC	   0x00010000u
#define F4_FL_TOPDIR	   0x00020000u
#define F4_FL_HUGE_FILE	   0x00040000u
#define F4_FL_EXTENTS	   0x00080000u
#define F4_FL_VERITY	   0x00100000u
#define F4_FL_EA_INODE	   0x00200000u
#define F4_FL_DAX	   0x02000000u
#define F4_FL_INLINE_DATA  0x10000000u
#define F4_FL_PROJINHERIT  0x20000000u
#define F4_FL_CASEFOLD	   0x40000000u

#define F4_N_BLOCKS	 15u
#define F4_NDIR_BLOCKS	 12u
#define F4_IND_BLOCK	 12u
#define F4_DIND_BLOCK	 13u
#define F4_TIND_BLOCK	 14u
#define F4_I_BLOCK_BYTES 60u

struct f4_raw_inode {
	/*00*/ f4_le16 i_mode;
	/*02*/ f4_le16 i_uid_lo;
	/*04*/ f4_le32 i_size_lo;
	/*08*/ f4_le32 i_atime;
	/*0c*/ f4_le32 i_ctime;
	/*10*/ f4_le32 i_mtime;
	/*14*/ f4_le32 i_dtime; /* also the next inode of the orphan list */
	/*18*/ f4_le16 i_gid_lo;
	/*1a*/ f4_le16 i_links_count;
	/*1c*/ f4_le32 i_blocks_lo; /* 512-byte units, or blocks under F4_FL_HUGE_FILE */
	/*20*/ f4_le32 i_flags;
	/*24*/ f4_le32 i_version_lo;
	/*28*/ uint8_t i_block[F4_I_BLOCK_BYTES];
	/*64*/ f4_le32 i_generation;
	/*68*/ f4_le32 i_file_acl_lo;
	/*6c*/ f4_le32 i_size_hi;
	/*70*/ f4_le32 i_obso_faddr;
	/*74*/ f4_le16 i_blocks_hi;
	/*76*/ f4_le16 i_file_acl_hi;
	/*78*/ f4_le16 i_uid_hi;
	/*7a*/ f4_le16 i_gid_hi;
	/*7c*/ f4_le16 i_checksum_lo;
	/*7e*/ f4_le16 i_reserved;
	/* valid as far as i_extra_isize says; absent with 128-byte inodes */
	/*80*/ f4_le16 i_extra_isize;
	/*82*/ f4_le16 i_checksum_hi;
	/*84*/ f4_le32 i_ctime_extra;
	/*88*/ f4_le32 i_mtime_extra;
	/*8c*/ f4_le32 i_atime_extra;
	/*90*/ f4_le32 i_crtime;
	/*94*/ f4_le32 i_crtime_extra;
	/*98*/ f4_le32 i_version_hi;
	/*9c*/ f4_le32 i_projid;
};
static_assert(sizeof(struct f4_raw_inode) == 160, "inode size");
static_assert(offsetof(struct f4_raw_inode, i_extra_isize) == 128, "inode layout");

/* Extent tree. Header magic, depth limit and the tail that holds the checksum of a tree block. */
#define F4_EXT_MAGIC	    0xF30Au
#define F4_EXT_MAX_DEPTH    5u
#define F4_EXT_INIT_MAX_LEN 32768u /* longer: unwritten, of ee_len - 32768 blocks */
struct f4_extent_header {
	/*0*/ f4_le16 eh_magic;
	/*2*/ f4_le16 eh_entries;
	/*4*/ f4_le16 eh_max;
	/*6*/ f4_le16 eh_depth;
	/*8*/ f4_le32 eh_generation;
};
struct f4_extent {
	/*0*/ f4_le32 ee_block;
	/*4*/ f4_le16 ee_len;
	/*6*/ f4_le16 ee_start_hi;
	/*8*/ f4_le32 ee_start_lo;
};
struct f4_extent_idx {
	/*0*/ f4_le32 ei_block;
	/*4*/ f4_le32 ei_leaf_lo;
	/*8*/ f4_le16 ei_leaf_hi;
	/*a*/ f4_le16 ei_unused;
};
static_assert(sizeof(struct f4_extent_header) == 12, "extent header");
static_assert(sizeof(struct f4_extent) == 12, "extent");
static_assert(sizeof(struct f4_extent_idx) == 12, "extent index");
struct f4_extent_tail {
	f4_le32 et_checksum;
};

/* Directories. */
#define F4_FT_UNKNOWN  0u
#define F4_FT_REG_FILE 1u
#define F4_FT_DIR      2u
#define F4_FT_CHRDEV   3u
#define F4_FT_BLKDEV   4u
#define F4_FT_FIFO     5u
#define F4_FT_SOCK     6u
#define F4_FT_SYMLINK  7u
#define F4_FT_DIR_CSUM 0xDEu

struct f4_dirent {
	/*0*/ f4_le32 inode;
	/*4*/ f4_le16 rec_len; /* see f4_dir rec_len coding for 64 KiB blocks */
	/*6*/ uint8_t name_len;
	/*7*/ uint8_t file_type;
	/*8*/ char name[];
};
static_assert(sizeof(struct f4_dirent) == 8, "dirent");
struct f4_dirent_tail {
	/*0*/ f4_le32 det_reserved_zero1;
	/*4*/ f4_le16 det_rec_len;
	/*6*/ uint8_t det_reserved_zero2;
	/*7*/ uint8_t det_reserved_ft;
	/*8*/ f4_le32 det_checksum;
};
static_assert(sizeof(struct f4_dirent_tail) == 12, "dirent tail");

#define F4_HASH_LEGACY		  0u
#define F4_HASH_HALF_MD4	  1u
#define F4_HASH_TEA		  2u
#define F4_HASH_LEGACY_UNSIGNED	  3u
#define F4_HASH_HALF_MD4_UNSIGNED 4u
#define F4_HASH_TEA_UNSIGNED	  5u
#define F4_HASH_SIPHASH		  6u

struct f4_dx_root_info { /* at 0x18 of directory block 0, after '.' and '..' */
	/*0*/ f4_le32 reserved_zero;
	/*4*/ uint8_t hash_version;
	/*5*/ uint8_t info_length; /* 8 */
	/*6*/ uint8_t indirect_levels;
	/*7*/ uint8_t unused_flags;
};
struct f4_dx_entry { /* entry 0 holds limit and count in place of its hash */
	/*0*/ f4_le32 hash;
	/*4*/ f4_le32 block;
};
struct f4_dx_countlimit {
	/*0*/ f4_le16 limit;
	/*2*/ f4_le16 count;
};
struct f4_dx_tail {
	/*0*/ f4_le32 dt_reserved;
	/*4*/ f4_le32 dt_checksum;
};
static_assert(sizeof(struct f4_dx_root_info) == 8, "dx root info");
static_assert(sizeof(struct f4_dx_entry) == 8, "dx entry");

/* Extended attributes. */
#define F4_XATTR_MAGIC	      0xEA020000u
#define F4_XATTR_REFCOUNT_MAX 1024u
struct f4_xattr_block_header {
	/*00*/ f4_le32 h_magic;
	/*04*/ f4_le32 h_refcount;
	/*08*/ f4_le32 h_blocks;
	/*0c*/ f4_le32 h_hash;
	/*10*/ f4_le32 h_checksum;
	/*14*/ f4_le32 h_reserved[3];
};
static_assert(sizeof(struct f4_xattr_block_header) == 32, "xattr header");
struct f4_xattr_entry {
	/*00*/ uint8_t e_name_len;
	/*01*/ uint8_t e_name_index;
	/*02*/ f4_le16 e_value_offs;
	/*04*/ f4_le32 e_value_inum;
	/*08*/ f4_le32 e_value_size;
	/*0c*/ f4_le32 e_hash;
	/*10*/ char e_name[];
};
static_assert(sizeof(struct f4_xattr_entry) == 16, "xattr entry");
#define F4_XATTR_INDEX_USER	     1u
#define F4_XATTR_INDEX_ACL_ACCESS    2u
#define F4_XATTR_INDEX_ACL_DEFAULT   3u
#define F4_XATTR_INDEX_TRUSTED	     4u
#define F4_XATTR_INDEX_SECURITY	     6u
#define F4_XATTR_INDEX_SYSTEM	     7u
#define F4_XATTR_INDEX_RICHACL	     8u
#define F4_XATTR_INDEX_ENCRYPTION    9u
#define F4_XATTR_INDEX_HURD	     10u

/* Multiple mount protection. */
#define F4_MMP_MAGIC	 0x004D4D50u
#define F4_MMP_SEQ_CLEAN 0xFF4D4D50u
#define F4_MMP_SEQ_FSCK	 0xE24D4D50u
#define F4_MMP_SEQ_MAX	 0xE24D4D4Fu
struct f4_mmp_block {
	/*000*/ f4_le32 mmp_magic;
	/*004*/ f4_le32 mmp_seq;
	/*008*/ f4_le64 mmp_time;
	/*010*/ char mmp_nodename[64];
	/*050*/ char mmp_bdevname[32];
	/*070*/ f4_le16 mmp_check_interval;
	/*072*/ f4_le16 mmp_pad1;
	/*074*/ f4_le32 mmp_pad2[226];
	/*3fc*/ f4_le32 mmp_checksum;
};
static_assert(sizeof(struct f4_mmp_block) == 1024, "mmp block");

/* Last bytes of a block of the orphan file. */
#define F4_ORPHAN_BLOCK_MAGIC 0x0b10ca04u
struct f4_orphan_tail {
	f4_le32 ob_magic;
	f4_le32 ob_checksum;
};

#endif
