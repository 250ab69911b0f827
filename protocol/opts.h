/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mount options: one table that the helper and the server both link.
 *
 * The helper and the server parse the same words with the same table, each for its own half: the
 * helper takes the kernel's mount flags and what it opens or forces, the server what it does with
 * the filesystem. Each word is of one kind:
 *
 *   acted on    changes a field below;
 *   no effect   accepted because an ext4 line of fstab may hold it; collected in @ignored;
 *   swallowed   belongs to fstab or mount(8) and means nothing here;
 *   refused     the message says why. So is a word that would be acted on but that this version
 *               can't honour yet: nothing is silently dropped.
 *
 * What is in no row is unknown: refused with its name, or collected in @unknown where the caller
 * asked for leniency (mount -s).
 *
 * Words are separated by commas. A comma inside double quotes or behind a backslash belongs to the
 * value; quotes around a value are taken off. Where words contradict each other the last one wins,
 * also across several strings. No system calls, no logging, no global state.
 */
#ifndef F4_PROTOCOL_OPTS_H
#define F4_PROTOCOL_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "no such number" for a field whose zero means something (uid, gid) */
#define F4_OPTS_NONE32 UINT32_MAX

/* The longest option string that is looked at, in bytes: more than one packet can carry. */
#define F4_OPTS_MAX 65536u

/* A switch that may be left to its default: the superblock's, or the caller's kind. */
enum f4_tri { F4_TRI_DEFAULT = 0, F4_TRI_OFF, F4_TRI_ON };

enum f4_opts_data {
	F4_OPTS_DATA_DEFAULT = 0,
	F4_OPTS_DATA_ORDERED,
	F4_OPTS_DATA_WRITEBACK,
	F4_OPTS_DATA_JOURNAL,
};

enum f4_opts_errors {
	F4_OPTS_ERRORS_DEFAULT = 0, /* as the superblock says */
	F4_OPTS_ERRORS_CONTINUE,
	F4_OPTS_ERRORS_RO,
	F4_OPTS_ERRORS_PANIC, /* end the mount: abort the connection */
};

enum f4_opts_atime {
	F4_OPTS_ATIME_RELATIME = 0,
	F4_OPTS_ATIME_NONE,
	F4_OPTS_ATIME_STRICT,
};

#define F4_OPTS_QUOTA_USR 1u
#define F4_OPTS_QUOTA_GRP 2u
#define F4_OPTS_QUOTA_PRJ 4u

/* How requests come from the kernel. */
enum f4_opts_transport {
	F4_OPTS_TRANSPORT_AUTO = 0, /* by io_uring where the kernel offers it */
	F4_OPTS_TRANSPORT_DEVICE,   /* /dev/fuse */
	F4_OPTS_TRANSPORT_RING,     /* as auto, but the absence of io_uring is worth a line */
};

struct f4_opts {
	/*
	 * The kernel's flags, MS_* of <sys/mount.h>: those that hold after the last word, and those
	 * that any word named, either way. A default that depends on the caller (nosuid, nodev)
	 * applies to a flag that nobody named.
	 */
	uint32_t ms_flags;
	uint32_t ms_named;
	bool remount;
	bool lazytime; /* times may stay in memory for as long as ext4's lazytime allows */

	/* Where the filesystem is inside the source. */
	uint64_t offset_bytes;
	uint64_t sizelimit_bytes; /* 0: up to the end */
	uint32_t partition;	  /* 1.. as the partition table counts; 0: none asked */
	uint64_t sb_1k;		  /* superblock to use, in units of 1024 bytes; 0: the first */

	/* The journal. */
	bool norecovery;
	char *journal_path; /* owned; NULL: the journal is where the superblock says */
	enum f4_opts_data data;
	uint32_t commit_secs; /* 0: the default */
	enum f4_tri barrier;

	/* The filesystem's behaviour. */
	enum f4_opts_errors errors;
	enum f4_tri discard, acl, user_xattr;
	enum f4_tri grpid;   /* on: a new inode takes its directory's group */
	uint32_t resuid;     /* F4_OPTS_NONE32: as the superblock says */
	uint32_t resgid;     /* likewise */
	enum f4_tri minixdf; /* on: statfs counts the overhead as blocks */
	bool debug;
	uint32_t max_dir_size_kb; /* 0: no limit */
	uint64_t cache_bytes;	  /* 0: the default */
	bool direct_io_device;
	uint16_t quota; /* F4_OPTS_QUOTA_*: limits to enforce */

	/* What FUSE is told. */
	enum f4_tri allow_other; /* default: on for root's mounts, off for users' */
	bool allow_root;  /* FUSE is told allow_other; the server turns others away */
	bool allow_idmap; /* the mount may get an id map of the kernel's */
	bool allow_suid, allow_dev; /* as `suid` and `dev`, by words that mount(8) passes on */
	bool default_permissions;   /* always true, except under fakeroot */
	bool writeback_cache;
	bool strict_open; /* each open(2) is a request, refused for immutable files at once */
	enum f4_opts_transport transport;

	/* Whose files they are. */
	bool fakeroot;
	char *idmap; /* owned, or NULL; of the form of idmap.h once f4_opts_check() has passed */

	/* LSM contexts for the kernel, without their quotes; owned, or NULL. */
	char *context, *fscontext, *defcontext, *rootcontext;

	/* Words without effect and unknown words, comma separated, as written; owned, or NULL. */
	char *ignored, *unknown;

	/* Why f4_opts_parse() or f4_opts_check() refused: one line without a newline. Raw words. */
	char message[512];
};

enum {
	F4_OPTS_E_REFUSED = 1, /* a word that is unknown, refused or has a wrong value: @message */
};

/*
 * f4_opts_init - every field at its default; nothing is owned yet.
 * f4_opts_done - free what @o owns; afterwards it is as after f4_opts_init(). For f4_cleanup.
 */
void f4_opts_init(struct f4_opts *o);
void f4_opts_done(struct f4_opts *o);

/*
 * f4_opts_parse - apply one option string on top of what @o holds.
 * @words:   borrowed; may be empty
 * @lenient: collect unknown words in @o->unknown instead of refusing them
 *
 * Return: 0; F4_OPTS_E_REFUSED with the reason in @o->message (what came before the refused word
 * has been applied); -ENOMEM.
 */
int f4_opts_parse(struct f4_opts *o, const char *words, bool lenient);

/*
 * f4_opts_check - look for words that exclude each other, once all strings are parsed; settles what
 * follows from several of them (default_permissions).
 * Return: 0, or F4_OPTS_E_REFUSED with the reason in @o->message.
 */
int f4_opts_check(struct f4_opts *o);

/* f4_opts_ro - was a read-only mount asked for? */
bool f4_opts_ro(const struct f4_opts *o);

/*
 * f4_opts_mount_flags - the MS_* flags that the mount gets: nosuid and nodev unless root asked for the
 * contrary, since nobody vouches for what is in an image.
 * @root: the mount is root's (of its user namespace)
 */
uint32_t f4_opts_mount_flags(const struct f4_opts *o, bool root);

/* f4_opts_atime - which access times the server is to keep. */
enum f4_opts_atime f4_opts_atime(const struct f4_opts *o);

/*
 * f4_opts_name - the name of row @i of the table, as the man page lists it ("commit=", "x-*").
 * Return: borrowed for ever; NULL past the end. For tests and for documentation checks.
 */
const char *f4_opts_name(size_t i);

#endif
