/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The crash laboratory: the real core on a simulated disk, power cuts, and a judge.
 *
 * A *run* makes requests on a volume, one after the other, and writes down after each one what the
 * tree looks like and what each piece of each file holds. Then crash states of the disk's recording
 * are built, each is mounted with the core's own recovery, and judged:
 *
 *   - it mounts, reads without an error, and unmounts;
 *   - the tree is exactly that after some request k (every request's effect is whole or absent), and
 *     k is not before the last request whose transaction was reported durable before the crash; a
 *     request that spanned several transactions (a long write, a truncate) may be half done, on its
 *     own inode only;
 *   - each 512-byte piece of each file holds what request k, or a later request that wrote in place,
 *     or nothing older than its last fsync, left there: never anything of another file;
 *   - a sample: e2fsck -fn finds nothing.
 */
#ifndef F4_TESTS_CRASH_LAB_H
#define F4_TESTS_CRASH_LAB_H

#include "server/ext4/file.h"
#include "server/ext4/journal_priv.h"
#include "server/ext4/ops.h"
#include "server/ext4/xattr.h"
#include "tests/lib/disk_sim.h"

/* --- tree.c: what a volume looks like --- */

struct rec {
	char *path; /* owned */
	uint32_t ino, generation, mode, links, uid, gid, flags, rdev;
	uint64_t size, blocks;
	struct timespec mtime, ctime, crtime;
	uint64_t xattrs; /* hash of names and values */
	uint64_t target; /* hash of a symlink's */
};

struct tree {
	struct rec *recs; /* owned */
	size_t n, max;
	uint64_t digest;  /* does not depend on the order */
};

/* tree_read - everything reachable from the root. Return: 0 or a negative errno; *ret_where then says where. */
int tree_read(struct f4_volume *vol, struct tree *ret, char where[128]);
void tree_done(struct tree *t);
/* tree_masked - the digest with size, blocks, times of inode @ino left out. */
uint64_t tree_masked(const struct tree *t, uint32_t ino);
/* tree_print_diff - for people: what differs between the two, at most a few lines. */
void tree_print_diff(const struct tree *got, const struct tree *want);

/* --- model.c: what each piece of each file may hold --- */

#define UNIT 512u

struct model;
struct model *model_new(void);
struct model *model_free(struct model *m);
/* Changes by request @op. Positions are multiples of UNIT, but for the end of a write at or behind the file's. */
void model_write(struct model *m, uint32_t op, uint32_t ino, uint32_t gen, uint64_t pos, uint64_t len);
void model_truncate(struct model *m, uint32_t op, uint32_t ino, uint32_t gen, uint64_t size);
void model_zero(struct model *m, uint32_t op, uint32_t ino, uint32_t gen, uint64_t pos, uint64_t len);
/* As model_zero for a request that failed on its way: each piece may be zero now, or as it was. */
void model_maybe_zero(struct model *m, uint32_t op, uint32_t ino, uint32_t gen, uint64_t pos,
		      uint64_t len);
void model_fsync(struct model *m, uint32_t op, uint32_t ino, uint32_t gen);
/* model_fill - the bytes that request @op writes at @pos. */
void model_fill(uint8_t *buf, uint32_t op, uint32_t ino, uint32_t gen, uint64_t pos, uint64_t len);
/*
 * model_check - is @data the content of bytes [0, @len) as of request @k, with what was begun up to
 * request @begun perhaps visible where it was written in place, and nothing older than an fsync
 * that ended with request @done or earlier? @strict: nothing after @k may be visible (data=journal).
 * Return: NULL, or what is wrong; *ret_unit: where.
 */
const char *model_check(const struct model *m, uint32_t ino, uint32_t gen, const uint8_t *data,
			uint64_t len, uint32_t k, uint32_t done, uint32_t begun, bool strict,
			uint64_t *ret_unit);

/* model_explain - print what is known about a piece, and what @data (UNIT bytes) claims to be. */
void model_explain(const struct model *m, uint32_t ino, uint32_t gen, uint64_t unit,
		   const uint8_t *data);

/* --- ops.c: requests --- */

enum op {
	OP_CREATE, OP_MKDIR, OP_SYMLINK, OP_MKNOD, OP_LINK, OP_UNLINK, OP_RMDIR, OP_RENAME,
	OP_EXCHANGE, OP_APPEND, OP_OVERWRITE, OP_SPARSE, OP_BIGWRITE, OP_TRUNCATE, OP_EXTEND,
	OP_PUNCH, OP_ZERO, OP_FALLOC, OP_SETXATTR, OP_DELXATTR, OP_CHMOD, OP_FSYNC, OP_FDATASYNC,
	OP_SYNC, OP_COMMIT, OP_HOLD, OP_DROP, OP_TMPFILE, OP_LINKTMP, OP_MAX
};

struct workload {
	const char *name;
	uint32_t names;	   /* different names in a directory */
	uint32_t name_len; /* bytes; 0: short */
	uint32_t dirs;
	uint8_t weight[OP_MAX];
};
extern const struct workload workloads[];
extern const size_t n_workloads;

struct shape {
	const char *name, *size, *mkfs;
	bool data_journal;
	bool fill;	   /* begin with a nearly full volume */
};
extern const struct shape shapes[];
extern const size_t n_shapes;

#define MAX_OPS	 600u
#define MAX_HELD 6u

struct lab {
	const struct workload *load;
	const struct shape *shape;
	struct f4_disk *image; /* borrowed: the beginning */
	struct f4_disk *disk;  /* owned: the recording */
	struct f4_volume *vol;
	struct model *model;
	uint64_t rnd;
	uint32_t op;		/* the request at work, from 1 */
	uint32_t op_ino;	/* whom it changes */
	bool op_sync;		/* it is to commit by itself */
	struct f4_inode *held[MAX_HELD];
	uint32_t n_ops;
	/* by request; 0: the beginning */
	struct tree trees[MAX_OPS + 1];
	f4_tid tid[MAX_OPS + 1];    /* the last transaction that may hold something of 0 .. n */
	uint32_t floor[MAX_OPS + 1]; /* durable when n ended */
	uint32_t soft_ino[MAX_OPS + 1]; /* 0: n is atomic */
	char last_line[256];
	bool broken;		/* the run itself failed */
};

uint32_t lab_rnd(struct lab *l, uint32_t n);
/* lab_request - one random request. Return: 0 or a negative errno that no request may give. */
int lab_request(struct lab *l);
int lab_fill(struct lab *l);

/* --- run.c --- */

/* lab_open - a volume on @disk (borrowed). */
int lab_open(struct lab *l, const struct shape *shape, struct f4_disk *disk, struct f4_volume **ret);
/* lab_run - @n requests with journal faults planted; l->broken tells when it went wrong by itself. */
void lab_run(struct lab *l, const struct workload *load, const struct shape *shape,
	     struct f4_disk *image, uint64_t seed, uint32_t n, uint32_t faults);
void lab_done(struct lab *l);

/* --- judge.c --- */

struct verdict {
	char what[256]; /* empty: fine */
};
/*
 * lab_judge - recover @state (ours to change), and compare; @done requests had ended before the
 * crash. @fsck: a directory for e2fsck's image, NULL: not this time.
 */
void lab_judge(struct lab *l, struct f4_disk *state, uint32_t done, const char *fsck, bool verbose,
	       struct verdict *ret);

#endif
