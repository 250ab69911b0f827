/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A journal on a simulated disk, without a filesystem: for the tests of the cache, the journal and
 * recovery. The filesystem's blocks are all of one class whose seal() writes a checksum.
 */
#ifndef F4_TESTS_JFIX_H
#define F4_TESTS_JFIX_H

#include "server/ext4/journal_priv.h"
#include "server/ext4/recovery.h"
#include "server/ext4/volume.h"
#include "tests/lib/disk_sim.h"

struct jfix_params {
	uint32_t block_size; /* 0: 4096 */
	uint32_t fs_blocks;  /* 0: 4096; the log's blocks come on top */
	uint32_t log_blocks; /* 0: 1024 */
	uint32_t compat, incompat; /* of the journal */
	bool no_log, v1_super, external;
	bool scattered;	     /* the log in many small runs, out of order */
	uint32_t first_sequence; /* 0: 1 */
	uint32_t num_fc;
};

struct jfix {
	struct jfix_params p;
	struct f4_volume vol; /* only what the journal looks at */
	struct f4_disk *disk, *log_disk;
	struct f4_cache *cache;
	struct f4_journal *j;
	struct f4_workers *workers;
	struct f4_log_extent *map;
	uint32_t map_len;
	uint32_t log_place; /* first block behind the filesystem */
	uint32_t interval_ms;
	bool no_barrier;
	_Atomic uint32_t committed; /* last tid told */
	_Atomic int aborted;
	void (*pre_commit)(struct f4_volume *vol, struct f4_handle *h);
	char last_line[256];
	pthread_mutex_t line_lock;
};

extern const struct f4_buf_class jfix_class;

/* jfix_init - make the disk(s) with an empty journal; jfix_done frees all (closes nothing). */
void jfix_init(struct jfix *f, const struct jfix_params *p);
void jfix_done(struct jfix *f);
/* jfix_use - go on with another disk (a crash state) in place of the filesystem's; consumes it. */
void jfix_use(struct jfix *f, struct f4_disk *disk);
/* jfix_open - cache and journal; jfix_close - close the journal, free the cache; what close said. */
int jfix_open(struct jfix *f);
int jfix_close(struct jfix *f);
/* jfix_drop - as a crash: nothing more is written. */
void jfix_drop(struct jfix *f);
/* jfix_recover - replay onto the disk and finish; as a mount would. */
int jfix_recover(struct jfix *f, struct f4_recovery_result *ret);

/* jfix_set - in handle @h, fill block @blk with @value. jfix_set1 - in a handle of its own. */
int jfix_set(struct jfix *f, struct f4_handle *h, uint64_t blk, uint32_t value);
int jfix_set1(struct jfix *f, uint64_t blk, uint32_t value, bool sync);
/* As jfix_set for a block just allocated. */
int jfix_create(struct jfix *f, struct f4_handle *h, uint64_t blk, uint32_t value);
/* jfix_get - the value through the cache. jfix_home - what the disk holds now; UINT32_MAX: broken block. */
uint32_t jfix_get(struct jfix *f, uint64_t blk);
uint32_t jfix_home(struct jfix *f, uint64_t blk);
/* jfix_log_super - a copy of the journal's superblock as it is on disk. */
void jfix_log_super(struct jfix *f, struct f4_jbd2_super *ret);
/* jfix_log_pos - byte position of log block @blk on the log's disk. */
uint64_t jfix_log_pos(const struct jfix *f, uint32_t blk);

#endif
