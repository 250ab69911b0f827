/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A read-only disk seen with some blocks replaced: what recovery would have written, in memory.
 *
 * Blocks are put before the volume is in use and never change afterwards, so reads take no lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/cleanup.h"
#include "server/ext4/disk.h"

struct overlay_block {
	struct overlay_block *next; /* owned */
	uint64_t blk;
	uint8_t data[];
};

struct overlay {
	struct f4_disk disk;
	struct f4_disk *base; /* owned */
	uint32_t block_size;
	size_t count, n_buckets; /* a power of two; 0 while nothing was put */
	struct overlay_block **buckets;
};

static struct overlay *to_overlay(struct f4_disk *d)
{
	return f4_container_of(d, struct overlay, disk);
}

static size_t bucket_of(uint64_t blk, size_t n_buckets)
{
	return (size_t)((blk * 0x9e3779b97f4a7c15ull) >> 20) & (n_buckets - 1);
}

static struct overlay_block *find(const struct overlay *o, uint64_t blk)
{
	struct overlay_block *b;

	if (o->n_buckets == 0)
		return NULL;
	for (b = o->buckets[bucket_of(blk, o->n_buckets)]; b; b = b->next)
		if (b->blk == blk)
			return b;
	return NULL;
}

/* Copy @len bytes of @src to what the vector holds from byte @at on. */
static void iov_patch(const struct iovec *iov, int n, size_t at, const uint8_t *src, size_t len)
{
	for (int i = 0; i < n && len > 0; i++) {
		size_t part;

		if (at >= iov[i].iov_len) {
			at -= iov[i].iov_len;
			continue;
		}
		part = iov[i].iov_len - at;
		if (part > len)
			part = len;
		memcpy((uint8_t *)iov[i].iov_base + at, src, part);
		src += part;
		len -= part;
		at = 0;
	}
}

static int overlay_readv(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	struct overlay *o = to_overlay(d);
	uint64_t end = pos, at;
	int r = f4_disk_readv(o->base, iov, n, pos);

	if (r < 0 || o->count == 0)
		return r;
	for (int i = 0; i < n; i++)
		end += iov[i].iov_len;
	for (at = pos; at < end;) {
		uint64_t blk = at / o->block_size;
		size_t off = (size_t)(at % o->block_size);
		size_t part = o->block_size - off;
		const struct overlay_block *b = find(o, blk);

		if (part > end - at)
			part = (size_t)(end - at);
		if (b)
			iov_patch(iov, n, (size_t)(at - pos), b->data + off, part);
		at += part;
	}
	return 0;
}

/* Not reached: the front refuses writes to a read-only disk. */
static int overlay_writev(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	return -EROFS;
}

static int overlay_flush(struct f4_disk *d)
{
	return 0;
}

static void overlay_readahead(struct f4_disk *d, uint64_t pos, uint64_t len)
{
	f4_disk_readahead(to_overlay(d)->base, pos, len);
}

static void overlay_destroy(struct f4_disk *d)
{
	struct overlay *o = to_overlay(d);

	for (size_t i = 0; i < o->n_buckets; i++) {
		while (o->buckets[i]) {
			struct overlay_block *b = o->buckets[i];

			o->buckets[i] = b->next;
			free(b);
		}
	}
	free(o->buckets);
	f4_disk_free(o->base);
	free(o);
}

static const struct f4_disk_ops overlay_ops = {
	.readv = overlay_readv,
	.writev = overlay_writev,
	.flush = overlay_flush,
	.readahead = overlay_readahead,
	.destroy = overlay_destroy,
};

int f4_disk_overlay_new(struct f4_disk *base, uint32_t block_size, struct f4_disk **ret)
{
	struct overlay *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->disk.ops = &overlay_ops;
	o->disk.size_bytes = base->size_bytes;
	o->disk.sector_size = base->sector_size;
	o->disk.read_only = true;
	o->base = base;
	o->block_size = block_size;
	*ret = &o->disk;
	return 0;
}

static int grow(struct overlay *o)
{
	size_t n = o->n_buckets ? o->n_buckets * 4 : 256;
	struct overlay_block **buckets = calloc(n, sizeof(*buckets));

	if (!buckets)
		return -ENOMEM;
	for (size_t i = 0; i < o->n_buckets; i++) {
		while (o->buckets[i]) {
			struct overlay_block *b = o->buckets[i];
			size_t to = bucket_of(b->blk, n);

			o->buckets[i] = b->next;
			b->next = buckets[to];
			buckets[to] = b;
		}
	}
	free(o->buckets);
	o->buckets = buckets;
	o->n_buckets = n;
	return 0;
}

int f4_disk_overlay_put(struct f4_disk *overlay, uint64_t blk, const void *data)
{
	struct overlay *o = to_overlay(overlay);
	struct overlay_block *b = find(o, blk);
	size_t to;
	int r;

	if (!b) {
		if (o->count >= o->n_buckets) {
			r = grow(o);
			if (r < 0)
				return r;
		}
		b = malloc(sizeof(*b) + o->block_size);
		if (!b)
			return -ENOMEM;
		to = bucket_of(blk, o->n_buckets);
		b->blk = blk;
		b->next = o->buckets[to];
		o->buckets[to] = b;
		o->count++;
	}
	memcpy(b->data, data, o->block_size);
	return 0;
}
