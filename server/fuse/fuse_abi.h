/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of the kernel's FUSE protocol that we read or write ourselves, underneath libfuse.
 *
 * Why our own: <linux/fuse.h> is as old as the machine that it was installed on and does not know
 * all that newer kernels offer, and libfuse's copy is private. All fields are in host order; both
 * ends run under one kernel. Only what is used is here.
 *
 * Source: kernel include/uapi/linux/fuse.h (protocol 7.45), the comments at each name there.
 */
#ifndef F4_FUSE_ABI_H
#define F4_FUSE_ABI_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define F4_ABI_MAJOR 7u
#define F4_ABI_MINOR 45u /* the newest that these structs were compared with */
#define F4_ABI_ROOT_NODE 1u

enum f4_abi_opcode {
	F4_ABI_FORGET = 2,
	F4_ABI_READ = 15,
	F4_ABI_WRITE = 16,
	F4_ABI_RELEASE = 18,
	F4_ABI_FSYNC = 20,
	F4_ABI_SETXATTR = 21,
	F4_ABI_INIT = 26,
	F4_ABI_READDIR = 28,
	F4_ABI_RELEASEDIR = 29,
	F4_ABI_FSYNCDIR = 30,
	F4_ABI_INTERRUPT = 36,
	F4_ABI_DESTROY = 38,
	F4_ABI_BATCH_FORGET = 42,
	F4_ABI_READDIRPLUS = 44,
	F4_ABI_SYNCFS = 50,
	F4_ABI_TMPFILE = 51,
	F4_ABI_STATX = 52,
	F4_ABI_OPCODES = 64, /* all that we look at are below; also F4_SESSION_OPCODES */
};

/* INIT flags; bits 32 and up travel in flags2. */
#define F4_ABI_ASYNC_READ	   (UINT64_C(1) << 0)
#define F4_ABI_EXPORT_SUPPORT	   (UINT64_C(1) << 4)
#define F4_ABI_BIG_WRITES	   (UINT64_C(1) << 5)
#define F4_ABI_DONT_MASK	   (UINT64_C(1) << 6)
#define F4_ABI_HAS_IOCTL_DIR	   (UINT64_C(1) << 11)
#define F4_ABI_DO_READDIRPLUS	   (UINT64_C(1) << 13)
#define F4_ABI_READDIRPLUS_AUTO	   (UINT64_C(1) << 14)
#define F4_ABI_ASYNC_DIO	   (UINT64_C(1) << 15)
#define F4_ABI_WRITEBACK_CACHE	   (UINT64_C(1) << 16)
#define F4_ABI_PARALLEL_DIROPS	   (UINT64_C(1) << 18)
#define F4_ABI_POSIX_ACL	   (UINT64_C(1) << 20)
#define F4_ABI_MAX_PAGES	   (UINT64_C(1) << 22)
#define F4_ABI_CACHE_SYMLINKS	   (UINT64_C(1) << 23)
#define F4_ABI_EXPLICIT_INVAL_DATA (UINT64_C(1) << 25)
#define F4_ABI_HANDLE_KILLPRIV_V2  (UINT64_C(1) << 28)
#define F4_ABI_SETXATTR_EXT	   (UINT64_C(1) << 29)
#define F4_ABI_INIT_EXT		   (UINT64_C(1) << 30)
#define F4_ABI_ALLOW_IDMAP	   (UINT64_C(1) << 40)
#define F4_ABI_OVER_IO_URING	   (UINT64_C(1) << 41)

/* setattr */
#define F4_ABI_FATTR_KILL_SUIDGID (1u << 11)
/* write_flags */
#define F4_ABI_WRITE_CACHE	  (1u << 0)
#define F4_ABI_WRITE_KILL_SUIDGID (1u << 2)
/* setxattr_flags */
#define F4_ABI_SETXATTR_ACL_KILL_SGID (1u << 0)
/* open_flags of a reply */
#define F4_ABI_FOPEN_KEEP_CACHE (1u << 1)

/* In place of an id that the kernel doesn't tell: FUSE_INVALID_UIDGID, under ALLOW_IDMAP. */
#define F4_ABI_NO_ID UINT32_MAX

struct f4_abi_in_header {
	/*00*/ uint32_t len;
	/*04*/ uint32_t opcode;
	/*08*/ uint64_t unique;
	/*10*/ uint64_t nodeid;
	/*18*/ uint32_t uid;
	/*1c*/ uint32_t gid;
	/*20*/ uint32_t pid;
	/*24*/ uint16_t total_extlen; /* 8-byte units */
	/*26*/ uint16_t padding;
};
static_assert(sizeof(struct f4_abi_in_header) == 40, "fuse_in_header");

struct f4_abi_out_header {
	/*0*/ uint32_t len;
	/*4*/ int32_t error; /* 0 or a negative errno above -512 */
	/*8*/ uint64_t unique;
};
static_assert(sizeof(struct f4_abi_out_header) == 16, "fuse_out_header");

/*
 * A request in a ring: both headers have a place of their own, what follows them in a read of
 * /dev/fuse is the payload, in a buffer of its own. The reply goes back in the same places.
 */
#define F4_ABI_RING_PART 128u
struct f4_abi_ring_headers {
	/*000*/ uint8_t in_out[F4_ABI_RING_PART]; /* f4_abi_in_header, f4_abi_out_header */
	/*080*/ uint8_t op_in[F4_ABI_RING_PART];  /* the fixed struct of the operation */
	/*100*/ uint64_t flags;
	/*108*/ uint64_t commit_id; /* goes back with the reply */
	/*110*/ uint32_t payload_size; /* bytes */
	/*114*/ uint32_t padding;
	/*118*/ uint64_t reserved;
};
static_assert(sizeof(struct f4_abi_ring_headers) == 288, "fuse_uring_req_header");

enum f4_abi_ring_command {
	F4_ABI_RING_REGISTER = 1,	  /* here are buffers; complete when a request is in them */
	F4_ABI_RING_COMMIT_AND_FETCH = 2, /* here is a reply; complete with the next request */
};

/* In the command area of a 128-byte submission entry. */
struct f4_abi_ring_command_arg {
	/*00*/ uint64_t flags;
	/*08*/ uint64_t commit_id;
	/*10*/ uint16_t queue;
	/*12*/ uint8_t padding[6];
};
static_assert(sizeof(struct f4_abi_ring_command_arg) == 24, "fuse_uring_cmd_req");

struct f4_abi_init_in {
	/*00*/ uint32_t major;
	/*04*/ uint32_t minor;
	/*08*/ uint32_t max_readahead; /* bytes */
	/*0c*/ uint32_t flags;
	/* from 7.36, when flags has INIT_EXT */
	/*10*/ uint32_t flags2;
	/*14*/ uint32_t unused[11];
};
static_assert(sizeof(struct f4_abi_init_in) == 64, "fuse_init_in");
#define F4_ABI_INIT_IN_OLD_SIZE 16u

struct f4_abi_init_out {
	/*00*/ uint32_t major;
	/*04*/ uint32_t minor;
	/*08*/ uint32_t max_readahead; /* bytes */
	/*0c*/ uint32_t flags;
	/*10*/ uint16_t max_background;
	/*12*/ uint16_t congestion_threshold;
	/*14*/ uint32_t max_write; /* bytes */
	/*18*/ uint32_t time_gran; /* ns */
	/*1c*/ uint16_t max_pages;
	/*1e*/ uint16_t map_alignment;
	/*20*/ uint32_t flags2;
	/*24*/ uint32_t max_stack_depth;
	/*28*/ uint16_t request_timeout; /* seconds */
	/*2a*/ uint16_t unused[11];
};
static_assert(sizeof(struct f4_abi_init_out) == 64, "fuse_init_out");

struct f4_abi_attr {
	/*00*/ uint64_t ino, size, blocks;
	/*18*/ uint64_t atime, mtime, ctime;
	/*30*/ uint32_t atimensec, mtimensec, ctimensec;
	/*3c*/ uint32_t mode, nlink, uid, gid, rdev, blksize, flags;
};
static_assert(sizeof(struct f4_abi_attr) == 88, "fuse_attr");

struct f4_abi_entry_out {
	/*00*/ uint64_t nodeid;
	/*08*/ uint64_t generation;
	/*10*/ uint64_t entry_valid; /* seconds */
	/*18*/ uint64_t attr_valid;
	/*20*/ uint32_t entry_valid_nsec;
	/*24*/ uint32_t attr_valid_nsec;
	/*28*/ struct f4_abi_attr attr;
};
static_assert(sizeof(struct f4_abi_entry_out) == 128, "fuse_entry_out");

struct f4_abi_attr_out {
	/*00*/ uint64_t attr_valid;
	/*08*/ uint32_t attr_valid_nsec;
	/*0c*/ uint32_t dummy;
	/*10*/ struct f4_abi_attr attr;
};
static_assert(sizeof(struct f4_abi_attr_out) == 104, "fuse_attr_out");

struct f4_abi_create_in {
	/*0*/ uint32_t flags;
	/*4*/ uint32_t mode;
	/*8*/ uint32_t umask;
	/*c*/ uint32_t open_flags;
};
static_assert(sizeof(struct f4_abi_create_in) == 16, "fuse_create_in");

struct f4_abi_open_out {
	/*00*/ uint64_t fh;
	/*08*/ uint32_t open_flags;
	/*0c*/ int32_t backing_id;
};
static_assert(sizeof(struct f4_abi_open_out) == 16, "fuse_open_out");

struct f4_abi_write_in {
	/*00*/ uint64_t fh;
	/*08*/ uint64_t offset;
	/*10*/ uint32_t size;
	/*14*/ uint32_t write_flags;
	/*18*/ uint64_t lock_owner;
	/*20*/ uint32_t flags; /* of open(2) */
	/*24*/ uint32_t padding;
};
static_assert(sizeof(struct f4_abi_write_in) == 40, "fuse_write_in");

struct f4_abi_write_out {
	uint32_t size, padding;
};
static_assert(sizeof(struct f4_abi_write_out) == 8, "fuse_write_out");

/* Without SETXATTR_EXT only the first eight bytes are there. */
struct f4_abi_setxattr_in {
	/*0*/ uint32_t size;
	/*4*/ uint32_t flags; /* XATTR_CREATE, XATTR_REPLACE */
	/*8*/ uint32_t setxattr_flags;
	/*c*/ uint32_t padding;
};
static_assert(sizeof(struct f4_abi_setxattr_in) == 16, "fuse_setxattr_in");
#define F4_ABI_SETXATTR_IN_OLD_SIZE 8u

struct f4_abi_dirent {
	/*00*/ uint64_t ino;
	/*08*/ uint64_t off; /* cookie of the next entry */
	/*10*/ uint32_t namelen;
	/*14*/ uint32_t type; /* DT_* */
	/*18*/ char name[];
};
static_assert(sizeof(struct f4_abi_dirent) == 24, "fuse_dirent");
#define F4_ABI_DIRENT_ALIGN(x) (((x) + 7u) & ~(size_t)7u)

struct f4_abi_statx_in {
	/*00*/ uint32_t getattr_flags;
	/*04*/ uint32_t reserved;
	/*08*/ uint64_t fh;
	/*10*/ uint32_t sx_flags;
	/*14*/ uint32_t sx_mask;
};
static_assert(sizeof(struct f4_abi_statx_in) == 24, "fuse_statx_in");

struct f4_abi_sx_time {
	int64_t tv_sec;
	uint32_t tv_nsec;
	int32_t reserved;
};

struct f4_abi_statx {
	/*00*/ uint32_t mask; /* STATX_* of <linux/stat.h> */
	/*04*/ uint32_t blksize;
	/*08*/ uint64_t attributes;
	/*10*/ uint32_t nlink, uid, gid;
	/*1c*/ uint16_t mode, spare0;
	/*20*/ uint64_t ino, size, blocks;
	/*38*/ uint64_t attributes_mask;
	/*40*/ struct f4_abi_sx_time atime, btime, ctime, mtime;
	/*80*/ uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	/*90*/ uint64_t spare2[14];
};
static_assert(sizeof(struct f4_abi_statx) == 256, "fuse_statx");

struct f4_abi_statx_out {
	/*00*/ uint64_t attr_valid;
	/*08*/ uint32_t attr_valid_nsec;
	/*0c*/ uint32_t flags;
	/*10*/ uint64_t spare[2];
	/*20*/ struct f4_abi_statx stat;
};
static_assert(sizeof(struct f4_abi_statx_out) == 288, "fuse_statx_out");

#endif
