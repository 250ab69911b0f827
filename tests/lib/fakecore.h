/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The floor under the mapping code, faked in memory: cache, handles and allocator, strict about the
 * rules of their headers. A test includes this and then the .c files that it looks at; nothing of
 * the real core is linked.
 *
 * What it notices: a store to a buffer that no f4_txn_write announced, more blocks changed than
 * credits taken, a buffer still referenced at the end of a handle, a block freed twice or never
 * allocated, a freed tree block not forgotten. It can make allocations fail or come in small pieces.
 */
#ifndef F4_TESTS_FAKECORE_H
#define F4_TESTS_FAKECORE_H

#include <stdarg.h>

#include "server/ext4/alloc.h"
#include "server/ext4/csum.h"
#include "server/ext4/group.h"
#include "server/ext4/map.h"
#include "server/ext4/quota.h"
#include "tests/lib/check.h"

#define FAKE_BLOCKS 24000u
#define FAKE_FIRST  64u /* blocks before are "metadata" that no file may own */

static struct {
	struct f4_volume vol;
	struct f4_buf *buf[FAKE_BLOCKS];     /* cached */
	uint8_t *disk[FAKE_BLOCKS];	     /* sealed form of what was evicted */
	uint8_t *snap[FAKE_BLOCKS];	     /* content at the last end of a handle */
	bool in_handle[FAKE_BLOCKS];
	bool used[FAKE_BLOCKS];
	uint64_t zeroed_bytes;
	uint32_t seed, max_piece;
	uint32_t allocs, fail_alloc; /* the allocation with this number fails; 0: none */
	bool no_space, open, reported;
	bool quiet; /* a damaged mapping breaks the rules: not noted */
} fake;

#define FAKE_FAIL(...)                                                                        \
	do {                                                                                  \
		if (!fake.quiet)                                                              \
			TEST_FAIL_(__VA_ARGS__);                                              \
	} while (0)
#define FAKE_CHECK(cond)                                                                      \
	do {                                                                                  \
		if (!(cond))                                                                  \
			FAKE_FAIL("rule broken: %s", #cond);                                  \
	} while (0)

static inline uint32_t fake_rand(void)
{
	fake.seed = fake.seed * 1664525u + 1013904223u;
	return fake.seed >> 8;
}

static inline void fake_drop(uint64_t blk)
{
	if (fake.buf[blk]) {
		free(fake.buf[blk]->data);
		free(fake.buf[blk]);
	}
	free(fake.snap[blk]);
	fake.buf[blk] = NULL;
	fake.snap[blk] = NULL;
}

static inline void fake_done(void)
{
	for (uint32_t i = 0; i < FAKE_BLOCKS; i++) {
		fake_drop(i);
		free(fake.disk[i]);
	}
	memset(&fake, 0, sizeof(fake));
}

static inline void fake_init(uint32_t block_bits, uint32_t cluster_bits, bool csum)
{
	fake_done();
	fake.seed = 1;
	fake.vol.block_bits = block_bits;
	fake.vol.block_size = 1u << block_bits;
	fake.vol.cluster_bits = cluster_bits;
	fake.vol.cluster_ratio = 1u << cluster_bits;
	fake.vol.blocks_count = FAKE_BLOCKS;
	fake.vol.blocks_per_group = 8192;
	fake.vol.has_csum = csum;
	fake.vol.incompat = F4_INCOMPAT_EXTENTS;
}

static inline uint64_t fake_used(void)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < FAKE_BLOCKS; i++)
		n += fake.used[i];
	return n;
}

/* --- cache.h --- */

int f4_buf_read(struct f4_cache *cache, uint64_t blk, const struct f4_buf_class *class,
		uint32_t owner, uint32_t seed, struct f4_buf **ret)
{
	struct f4_buf *b;

	if (blk >= FAKE_BLOCKS)
		return -EIO;
	b = fake.buf[blk];
	if (!b) {
		b = calloc(1, sizeof(*b));
		b->blk = blk;
		b->class = class;
		b->owner = owner;
		b->seed = seed;
		b->data = calloc(1, fake.vol.block_size);
		if (fake.disk[blk])
			memcpy(b->data, fake.disk[blk], fake.vol.block_size);
		if (class->verify && class->verify(&fake.vol, b, b->data)) {
			free(b->data);
			free(b);
			return -EUCLEAN;
		}
		fake.buf[blk] = b;
		fake.snap[blk] = malloc(fake.vol.block_size);
		memcpy(fake.snap[blk], b->data, fake.vol.block_size);
	}
	if (b->class != class || b->owner != owner)
		return -EUCLEAN;
	b->refs++;
	*ret = b;
	return 0;
}

int f4_buf_new(struct f4_cache *cache, uint64_t blk, const struct f4_buf_class *class,
	       uint32_t owner, uint32_t seed, struct f4_buf **ret)
{
	struct f4_buf *b = fake.buf[blk];

	if (b && b->refs)
		return -EUCLEAN;
	fake_drop(blk);
	b = calloc(1, sizeof(*b));
	b->blk = blk;
	b->class = class;
	b->owner = owner;
	b->seed = seed;
	b->refs = 1;
	b->data = calloc(1, fake.vol.block_size);
	fake.buf[blk] = b;
	fake.snap[blk] = calloc(1, fake.vol.block_size);
	*ret = b;
	return 0;
}

void f4_buf_put(struct f4_buf *buf)
{
	if (!buf)
		return;
	FAKE_CHECK(buf->refs > 0);
	buf->refs--;
}

void f4_buf_put_p(struct f4_buf **bufp)
{
	f4_buf_put(*bufp);
}

/* --- journal.h --- */

int f4_txn_begin(struct f4_journal *journal, uint32_t credits, struct f4_handle *h)
{
	FAKE_CHECK(!fake.open);
	fake.open = true;
	*h = (struct f4_handle){ .tid = 1, .reserved = credits };
	return 0;
}

static inline void fake_use(struct f4_handle *h, uint64_t blk)
{
	if (fake.in_handle[blk])
		return;
	fake.in_handle[blk] = true;
	FAKE_CHECK(h->reserved > 0); /* more blocks changed than credits */
	if (h->reserved)
		h->reserved--;
}

/* Bitmaps and descriptors: as if every call met groups that the handle had not touched before. */
static inline void fake_use_n(struct f4_handle *h, uint32_t n)
{
	FAKE_CHECK(h->reserved >= n);
	h->reserved -= n < h->reserved ? n : h->reserved;
}

int f4_txn_write(struct f4_handle *h, struct f4_buf *buf)
{
	FAKE_CHECK(fake.open && buf->refs > 0);
	fake_use(h, buf->blk);
	return 0;
}

int f4_txn_create(struct f4_handle *h, struct f4_buf *buf)
{
	return f4_txn_write(h, buf);
}

int f4_txn_forget(struct f4_handle *h, uint64_t blk)
{
	FAKE_CHECK(!fake.used[blk]);
	FAKE_CHECK(!fake.buf[blk] || fake.buf[blk]->refs == 0);
	fake_drop(blk);
	free(fake.disk[blk]);
	fake.disk[blk] = NULL;
	fake.in_handle[blk] = false;
	return 0;
}

int f4_txn_extend(struct f4_handle *h, uint32_t credits)
{
	if (fake_rand() % 2)
		return -ENOSPC;
	h->reserved += credits;
	return 0;
}

/* The end of a handle: nothing may have changed unannounced. Now and then everything is evicted. */
int f4_txn_end(struct f4_handle *h)
{
	bool evict = fake_rand() % 4 == 0;

	FAKE_CHECK(fake.open);
	fake.open = false;
	for (uint32_t i = 0; i < FAKE_BLOCKS; i++) {
		struct f4_buf *b = fake.buf[i];

		if (!b && !fake.disk[i])
			continue;
		FAKE_CHECK(fake.used[i]); /* else it was freed and not forgotten */
		if (b) {
			FAKE_CHECK(b->refs == 0);
			if (!fake.in_handle[i] &&
			    memcmp(b->data, fake.snap[i], fake.vol.block_size) != 0)
				FAKE_FAIL("block %u changed without f4_txn_write", i);
			memcpy(fake.snap[i], b->data, fake.vol.block_size);
			if (evict && b->refs == 0) {
				if (!fake.disk[i])
					fake.disk[i] = malloc(fake.vol.block_size);
				memcpy(fake.disk[i], b->data, fake.vol.block_size);
				if (b->class->seal)
					b->class->seal(&fake.vol, b, fake.disk[i]);
				fake_drop(i);
			}
		}
		fake.in_handle[i] = false;
	}
	return 0;
}

void f4_journal_abort(struct f4_journal *journal, int error)
{
	FAKE_FAIL("journal aborted: %d", error);
}

/* --- alloc.h --- */

int f4_alloc_blocks(struct f4_handle *h, struct f4_volume *vol, const struct f4_alloc_req *req,
		    uint64_t *ret_blk, uint32_t *ret_len)
{
	uint64_t ratio = vol->cluster_ratio, at, n, want = (req->len + ratio - 1) / ratio * ratio;
	uint64_t goal = req->goal >= FAKE_FIRST && req->goal < FAKE_BLOCKS ? req->goal : FAKE_FIRST;

	FAKE_CHECK(fake.open && req->len > 0);
	if (++fake.allocs == fake.fail_alloc || fake.no_space)
		return -ENOSPC;
	if (fake.max_piece && want > fake.max_piece * ratio)
		want = (fake_rand() % fake.max_piece + 1) * ratio;
	goal &= ~(ratio - 1);
	for (uint64_t step = 0; step < FAKE_BLOCKS; step += ratio) {
		at = goal + step;
		if (at >= FAKE_BLOCKS)
			at = at - FAKE_BLOCKS / ratio * ratio + FAKE_FIRST;
		if (at + ratio > FAKE_BLOCKS || fake.used[at])
			continue;
		for (n = 0; n < want && at + n < FAKE_BLOCKS / ratio * ratio && !fake.used[at + n];)
			fake.used[at + n++] = true;
		fake_use_n(h, F4_ALLOC_CREDITS);
		*ret_blk = at;
		*ret_len = (uint32_t)(n < req->len ? n : req->len);
		return 0;
	}
	return -ENOSPC;
}

int f4_alloc_free(struct f4_handle *h, struct f4_volume *vol, uint32_t ino, uint64_t blk,
		  uint64_t len)
{
	uint32_t mask = vol->cluster_ratio - 1;

	FAKE_CHECK(fake.open && (blk & mask) == 0 && (len & mask) == 0 && len > 0);
	for (uint64_t i = blk; i < blk + len; i++) {
		if (i >= FAKE_BLOCKS || !fake.used[i])
			FAKE_FAIL("block %llu freed twice", (unsigned long long)i);
		else
			fake.used[i] = false;
	}
	fake_use_n(h, 2 + 2 * (uint32_t)((blk + len - 1) / vol->blocks_per_group -
					 blk / vol->blocks_per_group));
	return 0;
}

int f4_quota_alloc(struct f4_handle *h, struct f4_inode *inode, const struct f4_alloc_req *req,
		   uint64_t *ret_blk, uint32_t *ret_len)
{
	return f4_alloc_blocks(h, inode->vol, req, ret_blk, ret_len);
}

int f4_quota_unalloc(struct f4_handle *h, struct f4_inode *inode, uint64_t blk, uint64_t len)
{
	return f4_alloc_free(h, inode->vol, inode->ino, blk, len);
}

bool f4_volume_blocks_ok(struct f4_volume *vol, uint64_t blk, uint64_t len)
{
	return blk >= FAKE_FIRST && len <= vol->blocks_count && blk <= vol->blocks_count - len;
}

int f4_volume_error(struct f4_volume *vol, const char *func, int line, uint32_t ino, uint64_t blk,
		    const char *fmt, ...)
{
	fake.reported = true;
	return -EUCLEAN;
}

int f4_disk_zero(struct f4_disk *d, uint64_t pos, uint64_t len)
{
	fake.zeroed_bytes += len;
	return 0;
}

/* --- csum.h --- */

uint32_t f4_crc32c(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len--) { /* any sum will do, if it sees every byte */
		crc = (crc << 5 | crc >> 27) ^ *p++;
		crc *= 2654435761u;
	}
	return crc;
}

#endif
