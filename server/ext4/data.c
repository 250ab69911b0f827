/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copying of file content. No copy of ours lies between the caller's buffer and the disk; zeroes
 * around it come from one constant page of zeroes.
 */
#include "server/ext4/data.h"

#include <assert.h>

const struct f4_buf_class f4_class_data = { .name = "file data" };

/* aligned for direct I/O */
static const uint8_t zeroes[F4_MAX_BLOCK] __attribute__((aligned(4096)));

/* Where byte @pos of the file is on the disk. */
static uint64_t disk_pos(const struct f4_inode *inode, const struct f4_map *map, uint64_t pos)
{
	uint32_t bits = inode->vol->block_bits;

	assert(pos >> bits >= map->lblk && pos >> bits < (uint64_t)map->lblk + map->len);
	return (map->pblk << bits) + (pos - ((uint64_t)map->lblk << bits));
}

static int get_block(struct f4_inode *inode, uint64_t blk, bool fresh, struct f4_buf **ret)
{
	struct f4_cache *cache = inode->vol->cache;

	if (fresh)
		return f4_buf_new(cache, blk, &f4_class_data, inode->ino, 0, ret);
	return f4_buf_read(cache, blk, &f4_class_data, inode->ino, 0, ret);
}

static int read_journalled(struct f4_inode *inode, uint64_t at, uint8_t *buf, size_t len)
{
	uint32_t bits = inode->vol->block_bits, size = inode->vol->block_size;

	while (len > 0) {
		f4_auto_buf *b = NULL;
		size_t off = at & (size - 1), n = size - off < len ? size - off : len;
		int r = get_block(inode, at >> bits, false, &b);

		if (r)
			return r;
		memcpy(buf, b->data + off, n);
		buf += n;
		at += n;
		len -= n;
	}
	return 0;
}

static int write_journalled(struct f4_handle *h, struct f4_inode *inode, uint64_t at,
			    const uint8_t *buf, size_t len, bool fresh)
{
	uint32_t bits = inode->vol->block_bits, size = inode->vol->block_size;

	while (len > 0) {
		f4_auto_buf *b = NULL;
		size_t off = at & (size - 1), n = size - off < len ? size - off : len;
		int r = get_block(inode, at >> bits, fresh, &b);

		if (!r)
			r = fresh ? f4_txn_create(h, b) : f4_txn_write(h, b);
		if (r)
			return r;
		memcpy(b->data + off, buf, n); /* fresh buffers are zeroes around it */
		buf += n;
		at += n;
		len -= n;
	}
	/* fdatasync has to wait for the content, which is in this transaction. */
	atomic_store(&inode->datasync_tid, h->tid);
	atomic_store(&inode->sync_tid, h->tid);
	return 0;
}

int f4_data_read(struct f4_inode *inode, const struct f4_map *map, uint64_t pos, void *buf,
		 size_t len)
{
	uint64_t at = disk_pos(inode, map, pos);

	if (f4_map_is_journalled(inode))
		return read_journalled(inode, at, buf, len);
	return f4_disk_read(inode->vol->disk, buf, len, at);
}

int f4_data_write(struct f4_handle *h, struct f4_inode *inode, const struct f4_map *map,
		  uint64_t pos, const void *buf, size_t len, bool fresh)
{
	struct f4_disk *disk = inode->vol->disk;
	uint64_t at = disk_pos(inode, map, pos);
	uint32_t mask = inode->vol->block_size - 1;
	size_t head = fresh ? pos & mask : 0;
	size_t tail = fresh ? (0 - (pos + len)) & mask : 0;
	struct iovec iov[3];
	int n = 0, r;

	if (f4_map_is_journalled(inode))
		return write_journalled(h, inode, at, buf, len, fresh);
	if (head)
		iov[n++] = (struct iovec){ (void *)zeroes, head };
	iov[n++] = (struct iovec){ (void *)buf, len };
	if (tail)
		iov[n++] = (struct iovec){ (void *)zeroes, tail };
	if (n == 1)
		r = f4_disk_write(disk, buf, len, at);
	else
		r = f4_disk_writev(disk, iov, n, at - head);
	atomic_fetch_add(&inode->data_written, 1);
	return r;
}

int f4_data_zero_edge(struct f4_inode *inode, uint64_t from, uint64_t to)
{
	struct f4_volume *vol = inode->vol;
	struct f4_handle h;
	struct f4_map map;
	int r, end;

	if (from >= to)
		return 0;
	assert(from >> vol->block_bits == (to - 1) >> vol->block_bits);
	r = f4_map_lookup(inode, (uint32_t)(from >> vol->block_bits), 1, &map);
	if (r || !(map.flags & F4_MAP_MAPPED) || (map.flags & F4_MAP_UNWRITTEN))
		return r;
	if (!f4_map_is_journalled(inode))
		return f4_data_write(NULL, inode, &map, from, zeroes, to - from, false);
	r = f4_txn_begin(vol->journal, 1, &h);
	if (r)
		return r;
	r = f4_data_write(&h, inode, &map, from, zeroes, to - from, false);
	atomic_store(&inode->sync_tid, h.tid);
	atomic_store(&inode->datasync_tid, h.tid);
	end = f4_txn_end(&h);
	return r ? r : end;
}
