/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of the two protocols: layouts, magics, limits. No code.
 *
 * This is the only file that knows layouts; msg.c turns them into structs in host order and back,
 * PROTOCOL.md has them as tables and must change in the same commit. All integers are big-endian,
 * all structs naturally aligned and free of padding (asserted below). A message that ends in a
 * string has it after the fixed part: the rest of the packet, whose last and only NUL is its last
 * byte.
 *
 * Service protocol, version 1 (helper <-> server):
 *   source: libfuse include/fuse_service_priv.h, lib/fuse_service.c, util/mount_service.c
 * Attach protocol, version 1 (helper -> broker): ours, same framing.
 */
#ifndef F4_PROTOCOL_WIRE_H
#define F4_PROTOCOL_WIRE_H

#include <assert.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/endian.h"

#define F4_WIRE_SOCKET_DIR    "/run/filesystems" /* a listening socket for each subtype */
#define F4_WIRE_SUBTYPE	      "fuse4fs"
#define F4_WIRE_SERVICE_PATH  F4_WIRE_SOCKET_DIR "/" F4_WIRE_SUBTYPE
#define F4_WIRE_ATTACH_PATH   "/run/fuse4fs/attach"

#define F4_WIRE_PACKET_MAX 65536u /* bytes in one packet; one packet is one message */
#define F4_WIRE_PATH_MAX   4096u  /* bytes of a path or name, with its NUL (Linux PATH_MAX) */
#define F4_WIRE_TEXT_MAX   512u	  /* bytes of the broker's explanation, with its NUL */
#define F4_WIRE_NAME_MAX   256u	  /* bytes of one name in a directory, with its NUL */
#define F4_WIRE_ERRNO_MAX  4095u  /* the largest errno the kernel can return */
#define F4_WIRE_FDS_MAX	   3u	  /* descriptors that one message can carry */

static_assert(F4_WIRE_PATH_MAX == PATH_MAX && F4_WIRE_NAME_MAX == NAME_MAX + 1,
	      "the limits are the kernel's");

#define F4_WIRE_MAGIC(a, b, c, d) \
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

/* --- service protocol ------------------------------------------------------------------- */
#define F4_WIRE_HELLO	    F4_WIRE_MAGIC('S', 'A', 'F', 'T')
#define F4_WIRE_HELLO_REPLY F4_WIRE_MAGIC('L', 'A', 'S', 'T')
#define F4_WIRE_FILE	    F4_WIRE_MAGIC('F', 'I', 'L', 'E')
#define F4_WIRE_OPEN	    F4_WIRE_MAGIC('O', 'P', 'E', 'N')
#define F4_WIRE_OPEN_BDEV   F4_WIRE_MAGIC('B', 'D', 'E', 'V')
#define F4_WIRE_FSOPEN	    F4_WIRE_MAGIC('T', 'Y', 'P', 'E')
#define F4_WIRE_SOURCE	    F4_WIRE_MAGIC('N', 'A', 'M', 'E')
#define F4_WIRE_MOUNTPOINT  F4_WIRE_MAGIC('M', 'N', 'T', 'P')
#define F4_WIRE_MNTOPTS	    F4_WIRE_MAGIC('O', 'P', 'T', 'S')
#define F4_WIRE_MTABOPTS    F4_WIRE_MAGIC('M', 'T', 'A', 'B')
#define F4_WIRE_MOUNT	    F4_WIRE_MAGIC('D', 'O', 'I', 'T')
#define F4_WIRE_BYE	    F4_WIRE_MAGIC('B', 'Y', 'E', 'E')
#define F4_WIRE_REPLY	    F4_WIRE_MAGIC('R', 'E', 'P', 'L')

#define F4_WIRE_VERSION 1u /* the only service protocol version there is */

#define F4_HELLO_ALLOW_OTHER 0x1u /* the caller may mount with allow_other */
#define F4_HELLO_FUSEBLK     0x2u /* the caller may mount as fuseblk */
#define F4_HELLO_FLAGS	     (F4_HELLO_ALLOW_OTHER | F4_HELLO_FUSEBLK)

#define F4_OPEN_QUIET 0x1u /* the helper prints nothing when the open fails */
#define F4_OPEN_FLAGS F4_OPEN_QUIET

#define F4_FSOPEN_FUSEBLK 0x1u
#define F4_FSOPEN_FLAGS	  F4_FSOPEN_FUSEBLK

/* The names of the two files that a helper sends unasked. */
#define F4_FILE_ARGV	"argv"
#define F4_FILE_FUSEDEV "fusedev"

/* Goodbye codes are exit statuses of mount(8); this one asks the helper to start its own server. */
#define F4_BYE_FALLBACK 2u

/*
 * Why the mount failed, within version 1. Before a goodbye that is not 0 our server sends one MTAB
 * whose text is F4_MTAB_ERRNO, a positive errno in decimal (0: none fits), F4_MTAB_REASON and then,
 * up to the end of the text, one line for a person (raw bytes: escape before printing). MTAB options
 * take effect only once a mount has succeeded, so a foreign helper stores and forgets them. It is not
 * sent where an MTAB was sent already: then the DOIT failed, and the helper knows why by itself.
 */
#define F4_MTAB_ERRNO  "x-fuse4fs.errno="
#define F4_MTAB_REASON ",x-fuse4fs.reason="

struct f4_wire_hello {
	f4_be32 magic;	     /*  0 */
	f4_be16 min_version; /*  4 */
	f4_be16 max_version; /*  6 */
	f4_be32 flags;	     /*  8 F4_HELLO_* */
};

struct f4_wire_hello_reply {
	f4_be32 magic;	  /*  0 */
	f4_be16 version;  /*  4 */
	f4_be16 reserved; /*  6 zero */
};

struct f4_wire_file { /* + name; one descriptor when error is 0, else none */
	f4_be32 magic; /*  0 */
	f4_be32 error; /*  4 positive errno, 0 = the descriptor is here */
};

struct f4_wire_open { /* + path; OPEN and BDEV */
	f4_be32 magic;	       /*  0 */
	f4_be32 open_flags;    /*  4 O_*, as open(2) has them on this machine */
	f4_be32 create_mode;   /*  8 */
	f4_be32 request_flags; /* 12 F4_OPEN_* */
	f4_be32 block_size;    /* 16 bytes; BDEV: 0 = leave it alone; OPEN: 0 */
};

struct f4_wire_fsopen {
	f4_be32 magic; /*  0 */
	f4_be32 flags; /*  4 F4_FSOPEN_* */
};

struct f4_wire_string { /* + text; NAME, OPTS, MTAB */
	f4_be32 magic; /*  0 */
};

struct f4_wire_mountpoint { /* + path */
	f4_be32 magic;	  /*  0 */
	f4_be16 format;	  /*  4 S_IFDIR, S_IFREG or 0 = either */
	f4_be16 reserved; /*  6 zero */
};

struct f4_wire_mount {
	f4_be32 magic;	  /*  0 */
	f4_be32 ms_flags; /*  4 MS_* of mount(2) */
};

struct f4_wire_bye {
	f4_be32 magic;	   /*  0 */
	f4_be32 exit_code; /*  4 */
};

struct f4_wire_reply {
	f4_be32 magic; /*  0 */
	f4_be32 error; /*  4 positive errno, 0 = done */
};

/* --- attach protocol -------------------------------------------------------------------- */
#define F4_WIRE_ATTACH F4_WIRE_MAGIC('A', 'T', 'C', 'H')
#define F4_WIRE_DETACH F4_WIRE_MAGIC('D', 'T', 'C', 'H')
#define F4_WIRE_ANSWER F4_WIRE_MAGIC('A', 'N', 'S', 'W')

#define F4_WIRE_ATTACH_VERSION 1u

/* What the caller asks for; nosuid and nodev are not here because they are always on. */
#define F4_ATTACH_RDONLY	      0x0001u
#define F4_ATTACH_NOEXEC	      0x0002u
#define F4_ATTACH_SYNC		      0x0004u
#define F4_ATTACH_DIRSYNC	      0x0008u
#define F4_ATTACH_NOATIME	      0x0010u
#define F4_ATTACH_STRICTATIME	      0x0020u
#define F4_ATTACH_NODIRATIME	      0x0040u
#define F4_ATTACH_LAZYTIME	      0x0080u
#define F4_ATTACH_ALLOW_OTHER	      0x0100u
#define F4_ATTACH_DEFAULT_PERMISSIONS 0x0200u
#define F4_ATTACH_SOURCE_FD	      0x0400u /* a third descriptor proves the source */
#define F4_ATTACH_FLAGS		      0x07ffu

#define F4_DETACH_LAZY	0x1u
#define F4_DETACH_FLAGS F4_DETACH_LAZY

struct f4_wire_attach { /* + source; descriptors: /dev/fuse, O_PATH mount point[, source] */
	f4_be32 magic;	  /*  0 */
	f4_be16 version;  /*  4 */
	f4_be16 reserved; /*  6 zero */
	f4_be32 flags;	  /*  8 F4_ATTACH_* */
	f4_be32 max_read; /* 12 bytes, the option of that name; 0 = the kernel's default */
};

struct f4_wire_detach { /* + name of the mount point; descriptor: O_PATH of the directory it is in */
	f4_be32 magic;	  /*  0 */
	f4_be16 version;  /*  4 */
	f4_be16 reserved; /*  6 zero */
	f4_be32 flags;	  /*  8 F4_DETACH_* */
};

struct f4_wire_answer { /* + text, which may be empty when error is 0 */
	f4_be32 magic;	  /*  0 */
	f4_be32 error;	  /*  4 positive errno, 0 = done */
	f4_be16 rule;	  /*  8 enum f4_rule (msg.h): which rule refused; 0 when error is 0 */
	f4_be16 reserved; /* 10 zero */
};

/* --- argument memfd ---------------------------------------------------------------------- */
#define F4_WIRE_ARGS F4_WIRE_MAGIC('A', 'R', 'G', 'S')

#define F4_WIRE_ARGS_COUNT_MAX 256u	   /* arguments, argv[0] included */
#define F4_WIRE_ARGS_BYTES_MAX (1u << 20) /* bytes in the whole memfd */

struct f4_wire_args { /* + argc times struct f4_wire_arg + the strings */
	f4_be32 magic; /*  0 */
	f4_be32 argc;  /*  4 */
};

struct f4_wire_arg {
	f4_be32 pos; /*  0 bytes from the beginning of the memfd */
	f4_be32 len; /*  4 bytes, with the NUL */
};

static_assert(sizeof(struct f4_wire_hello) == 12 && offsetof(struct f4_wire_hello, flags) == 8, "");
static_assert(sizeof(struct f4_wire_hello_reply) == 8, "");
static_assert(sizeof(struct f4_wire_file) == 8, "");
static_assert(sizeof(struct f4_wire_open) == 20 &&
	      offsetof(struct f4_wire_open, block_size) == 16, "");
static_assert(sizeof(struct f4_wire_fsopen) == 8, "");
static_assert(sizeof(struct f4_wire_string) == 4, "");
static_assert(sizeof(struct f4_wire_mountpoint) == 8 &&
	      offsetof(struct f4_wire_mountpoint, reserved) == 6, "");
static_assert(sizeof(struct f4_wire_mount) == 8, "");
static_assert(sizeof(struct f4_wire_bye) == 8, "");
static_assert(sizeof(struct f4_wire_reply) == 8, "");
static_assert(sizeof(struct f4_wire_attach) == 16 &&
	      offsetof(struct f4_wire_attach, max_read) == 12, "");
static_assert(sizeof(struct f4_wire_detach) == 12, "");
static_assert(sizeof(struct f4_wire_answer) == 12 && offsetof(struct f4_wire_answer, rule) == 8, "");
static_assert(sizeof(struct f4_wire_args) == 8 && sizeof(struct f4_wire_arg) == 8, "");

#endif
