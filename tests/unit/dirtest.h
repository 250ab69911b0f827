/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of directories share: an image (tests/lib/coretest.h) on a simulated disk, so that
 * no test waits for a device, its root, and listings.
 */
#ifndef F4_TESTS_DIRTEST_H
#define F4_TESTS_DIRTEST_H

#include "server/ext4/dir.h"
#include "server/ext4/ops.h"
#include "tests/lib/coretest.h"
#include "tests/lib/disk_sim.h"

struct dirtest {
	struct coretest core; /* never open: the file by itself */
	struct f4_disk *disk; /* owned; a simulated one. A test may put a clone in its place */
	struct f4_volume *vol;
	struct f4_inode *root;
};

/* What fails in these three ends the test program. @tune: a shell command on $IMG, or NULL. */
void dt_mkfs(struct dirtest *t, const char *args, const char *size, const char *tune);
void dt_open(struct dirtest *t);
void dt_done(struct dirtest *t);
/* dt_close - as f4_volume_close; the disk stays. */
int dt_close(struct dirtest *t);
/* dt_fsck - what is on the disk, into the file: e2fsck -fn, its exit status. */
int dt_fsck(struct dirtest *t);
/* dt_shell - the same for any command, whose changes to $IMG are on the disk afterwards. */
int dt_shell(struct dirtest *t, const char *command);

/* dt_get - a reference, or the test program ends. */
struct f4_inode *dt_get(struct dirtest *t, uint32_t ino);
/* dt_create - as f4_op_create for root's user; the reference is put. @ret_ino may be NULL. */
int dt_create(struct f4_inode *dir, const char *name, uint32_t mode, uint32_t *ret_ino);

/* One name out of a listing. */
struct dt_name {
	char name[256];
	size_t len;
	uint32_t ino;
	uint8_t type;
	uint64_t next;
};

/* dt_read - at most @max entries from *cookie on, which is moved. Return: how many, or an error. */
int dt_read(struct f4_inode *dir, uint64_t *cookie, struct dt_name *names, int max);

#endif
