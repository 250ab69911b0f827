/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The core on a real image, without a mount: made by mke2fs, opened as a volume, worked on through
 * the core's own functions, closed, judged by e2fsck.
 *
 *	struct coretest t;
 *
 *	TEST_REQUIRE(coretest_start(&t, "64M", "-b 4096 -O ^has_journal"));  // made and opened
 *	... coretest_create(&t, "a/b"), f4_op_...(t.vol), ...
 *	TEST_CHECK(coretest_finish(&t)); // closed, e2fsck -fn clean, removed
 *
 * What goes wrong is printed on stderr where it happens.
 */
#ifndef F4_TESTS_CORETEST_H
#define F4_TESTS_CORETEST_H

#include "server/ext4/inode.h"
#include "server/ext4/volume.h"

struct coretest {
	char dir[128];	/* a directory of its own under TMPDIR */
	char path[160]; /* the image */
	int fd;		/* of the image; -1 */
	struct f4_volume *vol; /* NULL when closed */
	struct f4_workers *workers; /* owned; NULL: synchronous */
	struct f4_volume_options opt; /* used by coretest_open; filled with defaults by coretest_mkfs */
	int verbose;	/* print the volume's log lines; errors are always kept in last_line */
	char last_line[512]; /* the last log line of level LOG_WARNING or worse */
};

/* coretest_mkfs - an image of @size ("64M") by mke2fs with @options (words, by the shell). Not opened. */
bool coretest_mkfs(struct coretest *t, const char *size, const char *options);

/* coretest_open - open it as t->opt says. Return: as f4_volume_open. t->vol is set. */
int coretest_open(struct coretest *t);
/* coretest_close - close it. Return: as f4_volume_close; 0 when it was not open. */
int coretest_close(struct coretest *t);
/* coretest_crash - let go of the volume as a crash does: nothing more reaches the image. */
void coretest_crash(struct coretest *t);

/* coretest_start - mkfs and open; prints why not. */
bool coretest_start(struct coretest *t, const char *size, const char *options);

/* coretest_fsck - e2fsck -fn: its exit status, output printed when it is not 0. The volume is closed. */
int coretest_fsck(struct coretest *t);
/* coretest_shell - a command with $IMG set; its exit status (128 + signal). For debugfs and the like. */
int coretest_shell(struct coretest *t, const char *command);

/* coretest_remove - close if open, remove everything. */
void coretest_remove(struct coretest *t);

/*
 * coretest_finish - close (must be 0), e2fsck (must be 0), remove. Returns whether all was well;
 * use it as TEST_CHECK(coretest_finish(&t)).
 */
bool coretest_finish(struct coretest *t);

/* coretest_poke - overwrite bytes of the image (the volume closed). */
bool coretest_poke(struct coretest *t, uint64_t pos, const void *data, size_t len);
bool coretest_peek(struct coretest *t, uint64_t pos, void *data, size_t len);
/* coretest_set_super - overwrite @len bytes at @off of the superblock; its checksum is made right. */
bool coretest_set_super(struct coretest *t, size_t off, const void *data, size_t len);

/* A reference to the inode at @path ("a/b", "" the root), or NULL. */
struct f4_inode *coretest_lookup(struct coretest *t, const char *path);
/* A new file (type and mode in @mode, e.g. S_IFREG | 0644) at @path; a reference, or NULL and *ret_err. */
struct f4_inode *coretest_mknod(struct coretest *t, const char *path, uint16_t mode, int *ret_err);
/* Shorthands: 0 or a negative errno. */
int coretest_create(struct coretest *t, const char *path);
int coretest_mkdir(struct coretest *t, const char *path);
int coretest_symlink(struct coretest *t, const char *path, const char *target);
int coretest_unlink(struct coretest *t, const char *path);
int coretest_rmdir(struct coretest *t, const char *path);
/* coretest_write - create if absent, write @len bytes at @pos. coretest_read - as many as there are. */
int coretest_write(struct coretest *t, const char *path, const void *data, size_t len, uint64_t pos);
int coretest_read(struct coretest *t, const char *path, void *buf, size_t len, uint64_t pos, size_t *ret);

#endif
