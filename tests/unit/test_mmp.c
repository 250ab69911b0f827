/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Multiple mount protection: taken, kept, lost, refused. */
#include "server/ext4/mmp.h"

#include <errno.h>
#include <time.h>

#include "server/ext4/csum.h"
#include "server/ext4/inode.h"
#include "server/ext4/volume_priv.h"
#include "server/ext4/workers.h"
#include "tests/lib/check.h"
#include "tests/lib/coretest.h"

#define OPTIONS "-t ext4 -b 1024 -O mmp -E mmp_update_interval=1"

static uint64_t place;	 /* bytes: the block in the image */
static uint32_t fs_seed; /* of its checksum */

/* The image, closed and clean; where its block is. */
static bool make(struct coretest *t)
{
	struct f4_super sb;

	if (!coretest_mkfs(t, "16M", OPTIONS) || !coretest_peek(t, F4_SB_OFFSET, &sb, sizeof(sb)))
		return false;
	place = f4_get_le64(sb.s_mmp_block) * 1024;
	fs_seed = f4_crc32c(~0u, sb.s_uuid, sizeof(sb.s_uuid));
	return place != 0;
}

static uint32_t get_seq(struct coretest *t)
{
	struct f4_mmp_block b = { 0 };

	TEST_CHECK(coretest_peek(t, place, &b, sizeof(b)));
	return f4_get_le32(b.mmp_seq);
}

static void set_seq(struct coretest *t, uint32_t seq)
{
	struct f4_mmp_block b;

	TEST_CHECK(coretest_peek(t, place, &b, sizeof(b)));
	b.mmp_seq = f4_mk_le32(seq);
	b.mmp_checksum = f4_mk_le32(f4_crc32c(fs_seed, &b, offsetof(struct f4_mmp_block, mmp_checksum)));
	TEST_CHECK(coretest_poke(t, place, &b, sizeof(b)));
}

static void taken_and_given_back(void)
{
	struct coretest t;
	uint32_t seq;

	TEST_REQUIRE(make(&t));
	TEST_EQ(get_seq(&t), F4_MMP_SEQ_CLEAN);
	TEST_REQUIRE(coretest_open(&t) == 0);
	seq = get_seq(&t);
	TEST_CHECK(seq != 0 && seq <= F4_MMP_SEQ_MAX);
	TEST_EQ(f4_mmp_tick(t.vol), 0);
	TEST_EQ(get_seq(&t), seq + 1);
	TEST_EQ(f4_volume_remount(t.vol, true), 0);
	TEST_EQ(get_seq(&t), F4_MMP_SEQ_CLEAN);
	TEST_EQ(f4_volume_remount(t.vol, false), 0);
	TEST_CHECK(get_seq(&t) <= F4_MMP_SEQ_MAX);
	TEST_EQ(coretest_close(&t), 0);
	TEST_EQ(get_seq(&t), F4_MMP_SEQ_CLEAN);
	TEST_CHECK(coretest_finish(&t));
}

static void refused(void)
{
	struct coretest t;
	static const uint32_t marks[] = { F4_MMP_SEQ_FSCK, F4_MMP_SEQ_MAX + 2, 0xffffffff };

	TEST_REQUIRE(make(&t));
	for (size_t i = 0; i < F4_ARRAY_LEN(marks); i++) {
		set_seq(&t, marks[i]);
		TEST_EQ(coretest_open(&t), -EBUSY);
		TEST_EQ(get_seq(&t), marks[i]);
	}
	/* Read-only does not care. */
	t.opt.read_only = true;
	TEST_EQ(coretest_open(&t), 0);
	TEST_EQ(coretest_close(&t), 0);
	t.opt.read_only = false;
	/* Left behind by a crash, and nobody changes it. */
	set_seq(&t, 77);
	TEST_EQ(coretest_open(&t), 0);
	TEST_CHECK(coretest_finish(&t));
}

static void damaged(void)
{
	struct coretest t;
	uint32_t junk = 0x1234;
	struct f4_super before, after;

	TEST_REQUIRE(make(&t));
	TEST_CHECK(coretest_poke(&t, place + 100, &junk, sizeof(junk)));
	TEST_CHECK(coretest_peek(&t, F4_SB_OFFSET, &before, sizeof(before)));
	TEST_EQ(coretest_open(&t), -EUCLEAN);
	TEST_CHECK(coretest_peek(&t, F4_SB_OFFSET, &after, sizeof(after)));
	TEST_CHECK(memcmp(&before, &after, sizeof(after)) == 0);
	coretest_remove(&t);
}

/* Somebody else writes the block while we have it. */
static void stolen(void)
{
	struct coretest t;

	TEST_REQUIRE(make(&t));
	TEST_REQUIRE(coretest_open(&t) == 0);
	TEST_EQ(coretest_create(&t, "a"), 0);
	TEST_EQ(f4_volume_sync(t.vol), 0);
	TEST_EQ(coretest_create(&t, "b"), 0);
	set_seq(&t, 4242);
	TEST_EQ(f4_mmp_tick(t.vol), -EBUSY);
	TEST_EQ(f4_mmp_tick(t.vol), -EBUSY);
	TEST_EQ(coretest_create(&t, "c"), -EROFS);
	TEST_CHECK(strstr(t.last_line, "journal") != NULL || strstr(t.last_line, "in use elsewhere") != NULL);
	TEST_CHECK(coretest_close(&t) < 0);
	TEST_EQ(get_seq(&t), 4242);
	coretest_remove(&t);
}

/* A second one that comes while the first is alive. */
static struct coretest *victim;
static int reads;

static int steal_readv(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos);

struct steal_disk {
	struct f4_disk disk;
	struct f4_disk *base;
};

static int steal_writev(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	return f4_disk_writev(((struct steal_disk *)d)->base, iov, n, pos);
}

static int steal_flush(struct f4_disk *d)
{
	return f4_disk_flush(((struct steal_disk *)d)->base);
}

static void steal_destroy(struct f4_disk *d)
{
	f4_disk_free(((struct steal_disk *)d)->base);
	free(d);
}

static const struct f4_disk_ops steal_ops = {
	.readv = steal_readv,
	.writev = steal_writev,
	.flush = steal_flush,
	.destroy = steal_destroy,
};

/* The other one's heartbeat comes between our first look and the second. */
static int steal_readv(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	if (pos == place && ++reads == 2)
		set_seq(victim, 1001);
	return f4_disk_readv(((struct steal_disk *)d)->base, iov, n, pos);
}

static void alive_elsewhere(void)
{
	struct coretest t;
	struct f4_volume_params vp = { .opt = { .no_mmp_wait = true, .resuid = -1, .resgid = -1 } };
	struct f4_disk_fd_params dp = { 0 };
	struct steal_disk *sd = calloc(1, sizeof(*sd));
	struct f4_volume *vol;

	TEST_REQUIRE(sd != NULL && make(&t));
	set_seq(&t, 1000);
	TEST_REQUIRE(coretest_open(&t) == 0); /* only for its descriptor */
	(void)f4_volume_shutdown(t.vol, false);
	set_seq(&t, 1000);
	dp.fd = t.fd;
	TEST_REQUIRE(f4_disk_fd_new(&dp, &sd->base) == 0);
	sd->disk = *sd->base;
	sd->disk.ops = &steal_ops;
	vp.disk = &sd->disk;
	victim = &t;
	reads = 0;
	TEST_EQ(f4_volume_open(&vp, &vol), -EBUSY);
	TEST_EQ(reads, 2);
	TEST_EQ(get_seq(&t), 1001); /* not overwritten */
	coretest_remove(&t);
}

static void kept_alive(void)
{
	struct coretest t;
	uint32_t seq;

	TEST_REQUIRE(make(&t));
	TEST_REQUIRE(f4_workers_new(F4_WORKERS_PER_VOLUME, &t.workers) == 0);
	TEST_REQUIRE(coretest_open(&t) == 0);
	seq = get_seq(&t);
	for (int i = 0; i < 100 && get_seq(&t) == seq; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	TEST_EQ(get_seq(&t), seq + 1);
	TEST_EQ(coretest_close(&t), 0);
	TEST_EQ(get_seq(&t), F4_MMP_SEQ_CLEAN);
	t.workers = f4_workers_free(t.workers);
	TEST_CHECK(coretest_finish(&t));
}

int main(void)
{
	TEST_RUN(taken_and_given_back);
	TEST_RUN(refused);
	TEST_RUN(damaged);
	TEST_RUN(stolen);
	TEST_RUN(alive_elsewhere);
	TEST_RUN(kept_alive);
	return test_done();
}
