/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The disk seam: ranges, the descriptor backend (also with O_DIRECT), overlay, simulation. */
#include "server/ext4/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "tests/lib/check.h"
#include "tests/lib/disk_sim.h"

#define SIZE (1u << 20)

static int make_file(int flags)
{
	int fd = open("image", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint8_t buf[4096];

	for (uint32_t i = 0; i < SIZE; i += sizeof(buf)) {
		for (uint32_t k = 0; k < sizeof(buf); k++)
			buf[k] = (uint8_t)((i + k) / 512 + 1);
		if (write(fd, buf, sizeof(buf)) != sizeof(buf))
			abort();
	}
	close(fd);
	return open("image", O_RDWR | O_CLOEXEC | flags);
}

static void check_ranges(struct f4_disk *d)
{
	uint8_t b[1024];

	TEST_EQ(f4_disk_read(d, b, 512, d->size_bytes), -EIO);
	TEST_EQ(f4_disk_read(d, b, 512, d->size_bytes - 511), -EIO);
	TEST_EQ(f4_disk_write(d, b, 512, UINT64_MAX - 100), -EIO);
	TEST_EQ(f4_disk_read(d, b, 0, d->size_bytes), 0);
	TEST_EQ(f4_disk_zero(d, d->size_bytes - 1, 2), -EIO);
	TEST_EQ(f4_disk_discard(d, 512, UINT64_MAX - 100), -EIO);
	TEST_EQ(f4_disk_write_fua(d, b, 1024, d->size_bytes - 512), -EIO);
}

/* Writes and reads of all alignments beside a model in memory. */
static void exercise(struct f4_disk *d, uint8_t *model)
{
	static uint8_t buf[20000] __attribute__((aligned(4096)));
	uint64_t rnd = 5;

	for (int i = 0; i < 400; i++) {
		uint32_t pos, len, cut, mem;
		struct iovec iov[2];

		rnd = rnd * 6364136223846793005ull + 1442695040888963407ull;
		pos = (uint32_t)(rnd >> 33) % (uint32_t)d->size_bytes;
		len = (uint32_t)(rnd >> 20) % 12000;
		mem = rnd & 1 ? 0 : (uint32_t)(rnd >> 50) % 7;
		if (rnd & 2) {
			pos &= ~4095u;
			len &= ~4095u;
		}
		if (pos + len > d->size_bytes)
			len = (uint32_t)d->size_bytes - pos;
		cut = len / 3;
		for (uint32_t k = 0; k < len; k++)
			buf[mem + k] = (uint8_t)(rnd >> (k % 50));
		iov[0] = (struct iovec){ buf + mem, cut };
		iov[1] = (struct iovec){ buf + mem + cut, len - cut };
		if (rnd & 4) {
			memcpy(model + pos, buf + mem, len);
			if (rnd & 8)
				TEST_EQ(f4_disk_writev(d, iov, 2, pos), 0);
			else
				TEST_EQ(f4_disk_write_fua(d, buf + mem, len, pos), 0);
		} else {
			TEST_EQ(f4_disk_readv(d, iov, 2, pos), 0);
			TEST_CHECK(memcmp(buf + mem, model + pos, len) == 0);
		}
	}
	for (uint32_t pos = 0; pos < d->size_bytes; pos += 4096) {
		uint32_t n = d->size_bytes - pos < 4096 ? (uint32_t)d->size_bytes - pos : 4096;

		TEST_EQ(f4_disk_read(d, buf, n, pos), 0);
		TEST_CHECK(memcmp(buf, model + pos, n) == 0);
	}
	TEST_EQ(f4_disk_flush(d), 0);
}

static uint8_t *snapshot(struct f4_disk *d)
{
	uint8_t *model = malloc(d->size_bytes);

	TEST_EQ(f4_disk_read(d, model, d->size_bytes, 0), 0);
	return model;
}

static void on_a_file(int flags, uint64_t offset, uint64_t limit)
{
	f4_auto_fd int_fd = make_file(flags);
	struct f4_disk_fd_params p = { .fd = int_fd, .offset = offset, .size_limit = limit,
				       .direct = (flags & O_DIRECT) != 0 };
	struct f4_disk *d;
	f4_auto_free uint8_t *model = NULL;
	uint8_t before[512], after[512];

	if (int_fd < 0 && (flags & O_DIRECT)) {
		printf("     no O_DIRECT here\n");
		return;
	}
	TEST_REQUIRE(f4_disk_fd_new(&p, &d) == 0);
	TEST_EQ(d->size_bytes, limit ? limit : SIZE - offset);
	model = snapshot(d);
	TEST_EQ(model[0], (uint8_t)(offset / 512 + 1));
	check_ranges(d);
	exercise(d, model);
	TEST_EQ(f4_disk_zero(d, 1024, 8192), 0);
	memset(model + 1024, 0, 8192);
	exercise(d, model);
	/* A discard touches nothing around it. */
	TEST_EQ(f4_disk_read(d, before, 512, 4096 - 512), 0);
	TEST_EQ(f4_disk_discard(d, 4096, 4096), 0);
	TEST_EQ(f4_disk_read(d, after, 512, 4096 - 512), 0);
	TEST_CHECK(memcmp(before, after, 512) == 0);
	f4_disk_readahead(d, 0, 65536);
	TEST_CHECK(f4_disk_free(d) == NULL);
	/* The bytes outside are as they were. */
	for (uint32_t pos = 0; pos < SIZE; pos += 512) {
		uint8_t b;

		if (pos >= offset && pos < offset + (limit ? limit : SIZE - offset))
			continue;
		f4_auto_fd plain = open("image", O_RDONLY | O_CLOEXEC);

		TEST_EQ(pread(plain, &b, 1, pos), 1);
		TEST_EQ(b, (uint8_t)(pos / 512 + 1));
	}
}

static void files(void)
{
	on_a_file(0, 0, 0);
	on_a_file(0, 63 * 512, 0);
	on_a_file(0, 4096, 500 * 512);
}

static void direct_io(void)
{
	on_a_file(O_DIRECT, 0, 0);
	on_a_file(O_DIRECT, 63 * 512, 0);
	on_a_file(O_DIRECT, 4096, 500 * 512);
}

static void refusals(void)
{
	f4_auto_fd file = make_file(0);
	f4_auto_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct f4_disk *d;
	uint8_t b[512] = { 0 };

	TEST_EQ(f4_disk_fd_new(&(struct f4_disk_fd_params){ .fd = null }, &d), -EINVAL);
	TEST_EQ(f4_disk_fd_new(&(struct f4_disk_fd_params){ .fd = -1 }, &d), -EBADF);
	TEST_EQ(f4_disk_fd_new(&(struct f4_disk_fd_params){ .fd = file, .offset = SIZE }, &d),
		-EINVAL);
	TEST_REQUIRE(f4_disk_fd_new(&(struct f4_disk_fd_params){ .fd = file, .read_only = true },
				    &d) == 0);
	TEST_EQ(f4_disk_write(d, b, 512, 0), -EROFS);
	TEST_EQ(f4_disk_write_fua(d, b, 512, 0), -EROFS);
	TEST_EQ(f4_disk_zero(d, 0, 512), -EROFS);
	TEST_EQ(f4_disk_discard(d, 0, 512), -EROFS);
	TEST_EQ(f4_disk_flush(d), 0);
	TEST_EQ(f4_disk_read(d, b, 512, 0), 0);
	TEST_EQ(b[0], 1);
	/* The file shrinks under us. */
	TEST_EQ(ftruncate(file, 4096), 0);
	TEST_EQ(f4_disk_read(d, b, 512, 8192), -EIO);
	f4_disk_free(d);
	f4_disk_free(NULL);
}

static void overlay(void)
{
	struct f4_disk *base = f4_sim_new(SIZE), *d;
	uint8_t block[1024], buf[5000];
	struct iovec iov[3] = { { buf, 100 }, { buf + 100, 2000 }, { buf + 2100, 2900 } };

	memset(buf, 0x11, sizeof(buf));
	for (uint32_t pos = 0; pos < SIZE; pos += 4096)
		TEST_EQ(f4_disk_write(base, buf, 4096, pos), 0);
	TEST_REQUIRE(f4_disk_overlay_new(base, 1024, &d) == 0);
	for (uint32_t i = 0; i < 900; i += 3) {
		memset(block, (int)(i & 0x7f) + 0x80, sizeof(block));
		TEST_EQ(f4_disk_overlay_put(d, i, block), 0);
	}
	memset(block, 0xee, sizeof(block));
	TEST_EQ(f4_disk_overlay_put(d, 3, block), 0); /* the last one counts */
	TEST_EQ(f4_disk_readv(d, iov, 3, 3 * 1024 - 500), 0);
	for (uint32_t k = 0; k < 5000; k++) {
		uint32_t blk = (3 * 1024 - 500 + k) / 1024;

		TEST_EQ(buf[k], blk == 3 ? 0xee : blk == 6 ? 0x86 : 0x11);
	}
	TEST_EQ(f4_disk_write(d, block, 1024, 0), -EROFS);
	check_ranges(d);
	TEST_EQ(f4_disk_read(base, buf, 1, 3 * 1024), 0);
	TEST_EQ(buf[0], 0x11);
	f4_disk_free(d);
}

static void simulation(void)
{
	struct f4_disk *image = f4_sim_new(SIZE), *d = f4_sim_clone(image), *state;
	struct f4_sim_walk *w;
	uint8_t b[1024];
	uint32_t seen = 0;

	f4_sim_record(d);
	memset(b, 1, sizeof(b));
	TEST_EQ(f4_disk_write(d, b, 1024, 0), 0); /* event 0 */
	TEST_EQ(f4_disk_flush(d), 0);
	memset(b, 2, sizeof(b));
	TEST_EQ(f4_disk_write(d, b, 1024, 0), 0); /* 2 */
	TEST_EQ(f4_disk_write_fua(d, b, 1024, 4096), 0);
	w = f4_sim_walk_new(d);
	state = f4_sim_crash(w, 1, F4_SIM_NONE, 0);
	TEST_EQ(f4_disk_read(state, b, 1, 0), 0);
	TEST_EQ(b[0], 0);
	f4_disk_free(state);
	state = f4_sim_crash(w, 4, F4_SIM_NONE, 0);
	TEST_EQ(f4_disk_read(state, b, 1, 0), 0);
	TEST_EQ(b[0], 1); /* flushed */
	TEST_EQ(f4_disk_read(state, b, 1, 4096), 0);
	TEST_EQ(b[0], 2); /* FUA */
	f4_disk_free(state);
	for (uint64_t seed = 0; seed < 64; seed++) {
		state = f4_sim_crash(w, 4, F4_SIM_TORN, seed);
		TEST_EQ(f4_disk_read(state, b, 1024, 0), 0);
		seen |= 1u << ((b[0] - 1) * 2 + b[512] - 1);
		f4_disk_free(state);
	}
	TEST_EQ(seen, 15); /* each sector old or new on its own */
	f4_sim_walk_free(w);
	f4_sim_fail(d, F4_SIM_FLUSH, 2, -ENOSPC, false);
	TEST_EQ(f4_disk_flush(d), 0);
	TEST_EQ(f4_disk_flush(d), -ENOSPC);
	TEST_EQ(f4_disk_flush(d), 0);
	TEST_EQ(f4_sim_failed(d), 1);
	f4_disk_free(d);
	f4_disk_free(image);
}

int main(void)
{
	TEST_RUN(files);
	TEST_RUN(direct_io);
	TEST_RUN(refusals);
	TEST_RUN(overlay);
	TEST_RUN(simulation);
	return test_done();
}
