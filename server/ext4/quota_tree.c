/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The quota file: a tree of four levels, 256 numbers of blocks in a block, over leaves of 14 entries.
 *
 * Its blocks of 1 KiB lie in the filesystem's blocks and are metadata: read through the cache,
 * changed in handles. An id that appears for the first time gets an entry in handles of its own,
 * before the handle that charges it; entries are never taken out again, as an id that had files
 * usually has some again.
 *
 * An insertion first makes the room that it needs at the end of the file (a handle for each block;
 * what fails here leaves a longer file and nothing else), then reads everything that it will
 * change, then changes it.
 *
 * The file's inode is locked by nobody else, so its lock may be taken while other inodes' are held.
 */
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "protocol/base/cleanup.h"
#include "server/ext4/map.h"
#include "server/ext4/quota_priv.h"

static const uint32_t magics[F4_QUOTA_TYPES] = {
	[F4_QUOTA_USER] = 0xd9c01f11,
	[F4_QUOTA_GROUP] = 0xd9c01927,
	[F4_QUOTA_PROJECT] = 0xd9c03f14,
};

static const struct f4_buf_class class_quota = { .name = "quota block" };

/* One block of the file. */
struct qblk {
	struct f4_buf *buf; /* ref */
	uint8_t *data;	    /* F4_QT_BYTES */
	uint32_t nr;
};

static void qblk_done(struct qblk *b)
{
	f4_buf_put(b->buf);
	b->buf = NULL;
}
#define auto_qblk f4_cleanup(qblk_done) struct qblk

static uint32_t qblk_lblk(const struct f4_volume *vol, uint32_t nr)
{
	return (uint32_t)(((uint64_t)nr << F4_QT_BITS) >> vol->block_bits);
}

static int qblk_read(struct f4_quota_file *file, uint32_t nr, struct qblk *ret)
{
	struct f4_inode *inode = file->inode;
	struct f4_volume *vol = inode->vol;
	struct f4_map map;
	int r;

	if (nr >= file->blocks)
		return f4_corrupt(vol, inode->ino, 0, "quota file: block %u of %u", nr, file->blocks);
	r = f4_map_lookup(inode, qblk_lblk(vol, nr), 1, &map);
	if (r < 0)
		return r;
	if (!(map.flags & F4_MAP_MAPPED) || (map.flags & F4_MAP_UNWRITTEN))
		return f4_corrupt(vol, inode->ino, 0, "quota file: block %u is missing", nr);
	r = f4_buf_read(vol->cache, map.pblk, &class_quota, inode->ino, 0, &ret->buf);
	if (r == -EUCLEAN)
		return f4_corrupt(vol, inode->ino, map.pblk, "quota file: its block has another use");
	if (r < 0)
		return r;
	ret->nr = nr;
	ret->data = ret->buf->data + (((uint64_t)nr << F4_QT_BITS) & (vol->block_size - 1));
	return 0;
}

static struct f4_qt_leaf *leaf_of(const struct qblk *b)
{
	return (void *)b->data;
}

static struct f4_qt_entry *entry_of(const struct qblk *b, uint32_t i)
{
	return (void *)(b->data + sizeof(struct f4_qt_leaf) + i * sizeof(struct f4_qt_entry));
}

static uint32_t ref_index(uint32_t id, uint32_t depth)
{
	return (id >> ((F4_QT_DEPTH - 1 - depth) * 8)) & 0xff;
}

static uint32_t get_ref(const struct qblk *b, uint32_t i)
{
	return f4_load_le32(b->data + 4 * (size_t)i);
}

static void set_ref(struct qblk *b, uint32_t i, uint32_t nr)
{
	f4_store_le32(b->data + 4 * (size_t)i, nr);
}

static bool is_unused(const struct f4_qt_entry *e)
{
	static const struct f4_qt_entry zero;

	return memcmp(e, &zero, sizeof(zero)) == 0;
}

/* --- the header ------------------------------------------------------------------------------ */

int f4_qtree_open(struct f4_volume *vol, struct f4_quota_file *file, enum f4_quota_type type)
{
	struct f4_inode *inode = file->inode;
	const struct f4_qt_header *hdr;
	auto_qblk b = { 0 };
	int r;

	file->blocks = F4_QT_ROOT + 1; /* until the header is read */
	if (!f4_is_reg(inode) || f4_is_inline(inode) || inode->size < 2 * F4_QT_BYTES)
		return f4_corrupt(vol, inode->ino, 0, "the quota file is none");
	r = qblk_read(file, 0, &b);
	if (r < 0)
		return r;
	hdr = (const void *)b.data;
	if (f4_get_le32(hdr->magic) != magics[type] || f4_get_le32(hdr->version) != F4_QT_VERSION)
		return f4_corrupt(vol, inode->ino, b.buf->blk, "quota file: magic %08x, version %u",
				  f4_get_le32(hdr->magic), f4_get_le32(hdr->version));
	file->bgrace = f4_get_le32(hdr->bgrace);
	file->igrace = f4_get_le32(hdr->igrace);
	file->blocks = f4_get_le32(hdr->blocks);
	file->free_blk = f4_get_le32(hdr->free_blk);
	file->free_entry = f4_get_le32(hdr->free_entry);
	if (file->blocks <= F4_QT_ROOT || (uint64_t)file->blocks << F4_QT_BITS > inode->size ||
	    file->free_blk >= file->blocks || file->free_entry >= file->blocks)
		return f4_corrupt(vol, inode->ino, b.buf->blk, "quota file: the header can't be true");
	return 0;
}

static void store_header(const struct f4_quota_file *file, struct qblk *b)
{
	struct f4_qt_header *hdr = (void *)b->data;

	hdr->blocks = f4_mk_le32(file->blocks);
	hdr->free_blk = f4_mk_le32(file->free_blk);
	hdr->free_entry = f4_mk_le32(file->free_entry);
}

/* --- looking up ------------------------------------------------------------------------------ */

/* The slot of @id in a leaf, or with NULL the first free one; F4_QT_LEAF_ENTRIES: none. */
static uint32_t find_slot(struct f4_volume *vol, const struct qblk *b, const uint32_t *id)
{
	uint32_t i;

	pthread_mutex_lock(&vol->quota->lock); /* its neighbours may be changing */
	for (i = 0; i < F4_QT_LEAF_ENTRIES; i++) {
		const struct f4_qt_entry *e = entry_of(b, i);

		if (id ? f4_get_le32(e->id) == *id && !is_unused(e) : is_unused(e))
			break;
	}
	pthread_mutex_unlock(&vol->quota->lock);
	return i;
}

static int find_in_leaf(struct f4_quota_file *file, const struct qblk *b, uint32_t id)
{
	uint32_t i = find_slot(file->inode->vol, b, &id);

	if (i < F4_QT_LEAF_ENTRIES)
		return (int)i;
	return f4_corrupt(file->inode->vol, file->inode->ino, b->buf->blk,
			  "quota file: no entry for %u in its leaf", id);
}

static int find_locked(struct f4_quota_file *file, uint32_t id, struct f4_buf **ret_buf,
		       uint32_t *ret_off)
{
	uint32_t nr = F4_QT_ROOT;
	int i;

	for (uint32_t depth = 0;; depth++) {
		auto_qblk b = { 0 };
		int r = qblk_read(file, nr, &b);

		if (r < 0)
			return r;
		if (depth == F4_QT_DEPTH) {
			i = find_in_leaf(file, &b, id);
			if (i < 0)
				return i;
			*ret_off = (uint32_t)((const uint8_t *)entry_of(&b, (uint32_t)i) -
					      b.buf->data);
			*ret_buf = f4_take_ptr(b.buf);
			return 0;
		}
		nr = get_ref(&b, ref_index(id, depth));
		if (nr == 0)
			return -ENOENT;
	}
}

int f4_qtree_find(struct f4_quota_file *file, uint32_t id, struct f4_buf **ret_buf, uint32_t *ret_off)
{
	int r;

	f4_inode_rdlock(file->inode);
	r = find_locked(file, id, ret_buf, ret_off);
	f4_inode_unlock(file->inode);
	return r;
}

/* --- growing --------------------------------------------------------------------------------- */

/* Is the filesystem's block that holds block @nr there? 1, 0 or a negative errno. */
static int has_room(struct f4_quota_file *file, uint32_t nr)
{
	struct f4_map map;
	int r = f4_map_lookup(file->inode, qblk_lblk(file->inode->vol, nr), 1, &map);

	return r < 0 ? r : (map.flags & F4_MAP_MAPPED) != 0;
}

static int add_block(struct f4_handle *h, struct f4_quota_file *file, uint32_t lblk)
{
	struct f4_inode *inode = file->inode;
	struct f4_volume *vol = inode->vol;
	uint64_t end = ((uint64_t)lblk + 1) << vol->block_bits;
	f4_auto_buf *buf = NULL;
	struct f4_map map;
	int r;

	r = f4_map_alloc(h, inode, lblk, 1, F4_MAP_ALLOC_RESERVED | F4_MAP_ALLOC_METADATA, &map);
	if (r < 0)
		return r;
	if (map.flags & F4_MAP_NEW) /* else the file ended inside of the block */
		r = f4_buf_new(vol->cache, map.pblk, &class_quota, inode->ino, 0, &buf);
	if (r == 0 && buf)
		r = f4_txn_create(h, buf);
	if (r < 0) {
		f4_journal_abort(vol->journal, r); /* no memory: the block is mapped and not cleared */
		return r;
	}
	if (inode->size < end)
		inode->size = end;
	return f4_inode_store(h, inode);
}

static int add_block_handle(struct f4_quota_file *file, uint32_t lblk)
{
	struct f4_inode *inode = file->inode;
	struct f4_handle h;
	int r = f4_txn_begin(inode->vol->journal, f4_map_credits(inode) + 2, &h), r2;

	if (r < 0)
		return r;
	r = add_block(&h, file, lblk);
	r2 = f4_txn_end(&h);
	return r < 0 ? r : r2;
}

/* The file holds @n blocks more than it counts. */
static int make_room(struct f4_quota_file *file, uint32_t n)
{
	struct f4_volume *vol = file->inode->vol;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t nr = (uint64_t)file->blocks + i;
		uint32_t attempt = 0;
		int r;

		if (nr > UINT32_MAX >> F4_QT_BITS)
			return -EFBIG;
		r = has_room(file, (uint32_t)nr);
		if (r != 0 && r != 1)
			return r;
		if (r == 1 && (nr + 1) << F4_QT_BITS <= file->inode->size)
			continue;
		do {
			r = add_block_handle(file, qblk_lblk(vol, (uint32_t)nr));
		} while (r == -ENOSPC && f4_alloc_should_retry(vol, attempt++));
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- inserting ------------------------------------------------------------------------------- */

/* All that an insertion reads and changes. */
struct insertion {
	struct qblk header, path[F4_QT_DEPTH + 1], next; /* path[F4_QT_DEPTH]: the leaf */
	uint32_t have;	 /* levels of the path that exist */
	bool old_leaf;	 /* the leaf is one with room */
	uint32_t slot;
	uint32_t n_new;	 /* blocks that are made */
};

static void insertion_done(struct insertion *in)
{
	qblk_done(&in->header);
	qblk_done(&in->next);
	for (uint32_t i = 0; i <= F4_QT_DEPTH; i++)
		qblk_done(&in->path[i]);
}

/* The way down as far as it is there, and the leaf with room. */
static int read_way(struct f4_quota_file *file, uint32_t id, struct insertion *in)
{
	uint32_t nr = F4_QT_ROOT;
	int r = qblk_read(file, 0, &in->header);

	for (uint32_t depth = 0; r == 0 && depth < F4_QT_DEPTH && nr; depth++) {
		r = qblk_read(file, nr, &in->path[depth]);
		if (r == 0) {
			nr = get_ref(&in->path[depth], ref_index(id, depth));
			in->have = depth + 1;
		}
	}
	if (r == 0 && in->have == F4_QT_DEPTH && nr)
		return -EEXIST; /* a bug: it was looked up under the same lock */
	in->old_leaf = file->free_entry != 0;
	in->n_new = F4_QT_DEPTH - in->have + !in->old_leaf;
	return r;
}

static int read_leaf(struct f4_quota_file *file, struct insertion *in)
{
	struct qblk *leaf = &in->path[F4_QT_DEPTH];
	uint32_t next;
	int r = qblk_read(file, file->free_entry, leaf);

	if (r < 0)
		return r;
	in->slot = find_slot(file->inode->vol, leaf, NULL);
	next = f4_get_le32(leaf_of(leaf)->next);
	if (in->slot == F4_QT_LEAF_ENTRIES || next == leaf->nr)
		return f4_corrupt(file->inode->vol, file->inode->ino, leaf->buf->blk,
				  "quota file: a full leaf on the list of those with room");
	return next ? qblk_read(file, next, &in->next) : 0;
}

/*
 * The new blocks: from the end of the file. (The list of free blocks is left to others: only
 * deletion makes one, and following it would need more reads in the handle.)
 */
static int read_new(struct f4_quota_file *file, struct insertion *in)
{
	uint32_t nr = file->blocks;

	file->blocks += in->n_new;
	for (uint32_t i = in->have; i <= F4_QT_DEPTH; i++) {
		int r;

		if (i == F4_QT_DEPTH && in->old_leaf)
			break;
		r = qblk_read(file, nr++, &in->path[i]);
		if (r < 0) {
			file->blocks -= in->n_new;
			return r;
		}
	}
	return 0;
}

static int announce(struct f4_handle *h, struct insertion *in)
{
	int r = f4_txn_write(h, in->header.buf);

	for (uint32_t i = 0; i <= F4_QT_DEPTH && r == 0; i++)
		r = f4_txn_write(h, in->path[i].buf);
	if (r == 0 && in->next.buf)
		r = f4_txn_write(h, in->next.buf);
	return r;
}

/* A leaf is full: the next one heads the list. */
static void leave_list(struct f4_quota_file *file, struct insertion *in)
{
	struct f4_qt_leaf *leaf = leaf_of(&in->path[F4_QT_DEPTH]);

	if (in->next.buf)
		leaf_of(&in->next)->prev = f4_mk_le32(0);
	file->free_entry = f4_get_le32(leaf->next);
	leaf->next = leaf->prev = f4_mk_le32(0);
}

static void change(struct f4_quota_file *file, uint32_t id, struct insertion *in)
{
	struct qblk *leaf = &in->path[F4_QT_DEPTH];
	struct f4_dquot fresh = { .id = id };
	uint32_t n;

	for (uint32_t i = in->have; i < F4_QT_DEPTH; i++)
		memset(in->path[i].data, 0, F4_QT_BYTES);
	if (!in->old_leaf) {
		memset(leaf->data, 0, F4_QT_BYTES);
		file->free_entry = leaf->nr;
	}
	for (uint32_t i = in->have - 1; i < F4_QT_DEPTH; i++)
		set_ref(&in->path[i], ref_index(id, i), in->path[i + 1].nr);
	n = f4_get_le16(leaf_of(leaf)->entries) + 1u;
	leaf_of(leaf)->entries = f4_mk_le16((uint16_t)n);
	pthread_mutex_lock(&file->inode->vol->quota->lock);
	f4_qt_encode(&fresh, entry_of(leaf, in->slot));
	pthread_mutex_unlock(&file->inode->vol->quota->lock);
	if (n >= F4_QT_LEAF_ENTRIES)
		leave_list(file, in);
	store_header(file, &in->header);
}

static int insert_handle(struct f4_quota_file *file, uint32_t id, struct insertion *in)
{
	struct f4_volume *vol = file->inode->vol;
	struct f4_handle h;
	int r = f4_txn_begin(vol->journal, F4_QT_DEPTH + 3, &h), r2;

	if (r < 0)
		return r;
	r = announce(&h, in);
	if (r == 0)
		change(file, id, in);
	r2 = f4_txn_end(&h);
	return r < 0 ? r : r2;
}

static int insert_locked(struct f4_quota_file *file, uint32_t id, struct insertion *in)
{
	int r = read_way(file, id, in);

	if (r == 0)
		r = make_room(file, in->n_new);
	if (r == 0 && in->old_leaf)
		r = read_leaf(file, in);
	if (r == 0)
		r = read_new(file, in);
	if (r < 0)
		return r;
	r = insert_handle(file, id, in);
	if (r < 0)
		file->blocks -= in->n_new; /* the journal is aborted: nothing counts any more */
	return r;
}

int f4_qtree_insert(struct f4_quota_file *file, uint32_t id, struct f4_buf **ret_buf,
		    uint32_t *ret_off)
{
	struct insertion in = { 0 };
	struct qblk *leaf = &in.path[F4_QT_DEPTH];
	int r;

	f4_inode_wrlock(file->inode);
	r = insert_locked(file, id, &in);
	f4_inode_unlock(file->inode);
	if (r == 0) {
		*ret_off = (uint32_t)((uint8_t *)entry_of(leaf, in.slot) - leaf->buf->data);
		*ret_buf = f4_take_ptr(leaf->buf);
	}
	insertion_done(&in);
	return r;
}

/* --- entries --------------------------------------------------------------------------------- */

static uint64_t from_kib(f4_le64 kib)
{
	uint64_t n = f4_get_le64(kib);

	return n > UINT64_MAX >> 10 ? UINT64_MAX : n << 10;
}

static f4_le64 to_kib(uint64_t bytes)
{
	return f4_mk_le64(bytes >> 10); /* limits were KiB when they were read */
}

/* An entry of nothing but zeroes is no entry, so one of id 0 then has an itime of 1. */
void f4_qt_decode(struct f4_dquot *dq, const struct f4_qt_entry *e)
{
	dq->bytes = f4_get_le64(e->bytes);
	dq->inodes = f4_get_le64(e->inodes);
	dq->bhard = from_kib(e->bhard);
	dq->bsoft = from_kib(e->bsoft);
	dq->ihard = f4_get_le64(e->ihard);
	dq->isoft = f4_get_le64(e->isoft);
	dq->btime = f4_get_le64(e->btime);
	dq->itime = f4_get_le64(e->itime);
	if (dq->itime == 1 && dq->isoft == 0)
		dq->itime = 0;
}

void f4_qt_encode(const struct f4_dquot *dq, struct f4_qt_entry *e)
{
	*e = (struct f4_qt_entry){
		.id = f4_mk_le32(dq->id),
		.ihard = f4_mk_le64(dq->ihard),
		.isoft = f4_mk_le64(dq->isoft),
		.inodes = f4_mk_le64(dq->inodes),
		.bhard = to_kib(dq->bhard),
		.bsoft = to_kib(dq->bsoft),
		.bytes = f4_mk_le64(dq->bytes),
		.btime = f4_mk_le64(dq->btime),
		.itime = f4_mk_le64(dq->itime),
	};
	if (is_unused(e))
		e->itime = f4_mk_le64(1);
}
