/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inline data: the first 60 bytes of the content are i_block, the rest is the value of the xattr
 * system.data in the inode's body. The xattr exists, empty if need be, whenever the flag is set:
 * that is how the kernel finds the place.
 */
#include "server/ext4/inline.h"

#include <errno.h>
#include <string.h>

#include "server/ext4/data.h"
#include "server/ext4/dir_block.h"
#include "server/ext4/map.h"
#include "server/ext4/xattr.h"
#include "server/ext4/xattr_area.h"

#define NAME	 "data"
#define NAME_LEN (sizeof(NAME) - 1)

/*
 * Bytes that the value may have beside the other attributes in the body; negative: not even the
 * entry fits.
 */
static int64_t value_room(const struct f4_inode *inode)
{
	uint32_t at = F4_GOOD_OLD_INODE_SIZE + (uint32_t)inode->extra_isize + 4;
	f4_auto_free struct f4_xent *ents = NULL;
	struct f4_xent self = { .name_len = NAME_LEN };
	const uint8_t *raw = f4_inode_raw(inode);
	struct f4_xarea area = { .base = raw + at };
	int64_t room;
	size_t n = 0, i;

	if (inode->extra_isize == 0 || at % 4 || at + 4 > inode->vol->inode_size)
		return -1;
	area.end = inode->vol->inode_size - at;
	if (f4_load_le32(raw + at - 4) == F4_XATTR_MAGIC) {
		ents = calloc(f4_xarea_max_entries(area.end) + 1, sizeof(*ents));
		if (!ents || f4_xarea_load(&area, ents, &n))
			return -1; /* damage is reported by who needs the attributes */
	}
	room = (int64_t)area.end - 4 - f4_xarea_need(&self);
	for (i = 0; i < n; i++) {
		if (ents[i].index != F4_XATTR_INDEX_SYSTEM || ents[i].name_len != NAME_LEN ||
		    memcmp(ents[i].name, NAME, NAME_LEN) != 0)
			room -= f4_xarea_need(&ents[i]);
	}
	return room;
}

size_t f4_inline_max(struct f4_inode *inode)
{
	int64_t room;

	if (!f4_has_incompat(inode->vol, F4_INCOMPAT_INLINE_DATA))
		return 0;
	room = value_room(inode);
	return room < 0 ? 0 : F4_I_BLOCK_BYTES + ((size_t)room & ~(size_t)3);
}

int f4_inline_read(struct f4_inode *inode, void *buf, size_t size, size_t *ret_len)
{
	f4_auto_free uint8_t *value = NULL;
	size_t len = 0, all, head;
	int r;

	r = f4_xattr_get_locked(inode, F4_XATTR_INDEX_SYSTEM, NAME, NULL, 0, &len);
	if (r && r != -ENODATA) /* no more than i_block then: not worth a complaint */
		return r;
	if (r)
		len = 0;
	if (len > 0) {
		value = malloc(len);
		if (!value)
			return -ENOMEM;
		r = f4_xattr_get_locked(inode, F4_XATTR_INDEX_SYSTEM, NAME, value, len, &len);
		if (r)
			return r;
	}
	all = F4_I_BLOCK_BYTES + len;
	if (!f4_is_dir(inode) && all > inode->size)
		all = (size_t)inode->size;
	if (all > size)
		all = size;
	head = all < F4_I_BLOCK_BYTES ? all : F4_I_BLOCK_BYTES;
	memcpy(buf, inode->i_block, head);
	if (all > head)
		memcpy((uint8_t *)buf + head, value, all - head);
	*ret_len = all;
	return 0;
}

int f4_inline_write(struct f4_handle *h, struct f4_inode *inode, const void *data, size_t len)
{
	size_t head = len < F4_I_BLOCK_BYTES ? len : F4_I_BLOCK_BYTES;
	const uint8_t *rest = (const uint8_t *)data + head;
	int r;

	if (len > f4_inline_max(inode))
		return -ENOSPC;
	r = f4_xattr_set_locked(h, inode, F4_XATTR_INDEX_SYSTEM, NAME, len > head ? rest : data,
				len - head, 0);
	if (r)
		return r;
	memset(inode->i_block, 0, sizeof(inode->i_block));
	memcpy(inode->i_block, data, head);
	inode->size = len;
	return 0;
}

int f4_inline_init(struct f4_handle *h, struct f4_inode *inode)
{
	int r;

	if (f4_inline_max(inode) == 0)
		return -ENOSPC;
	r = f4_xattr_set_locked(h, inode, F4_XATTR_INDEX_SYSTEM, NAME, "", 0, 0);
	if (r)
		return r;
	inode->flags |= F4_FL_INLINE_DATA;
	inode->flags &= ~F4_FL_EXTENTS;
	memset(inode->i_block, 0, sizeof(inode->i_block));
	inode->size = 0;
	f4_map_forget_cache(inode);
	return 0;
}

/* What has to come back when the way to blocks fails half way. */
struct saved {
	uint8_t i_block[F4_I_BLOCK_BYTES];
	uint32_t flags;
	uint64_t blocks;
};

static void save(const struct f4_inode *inode, struct saved *s)
{
	memcpy(s->i_block, inode->i_block, sizeof(s->i_block));
	s->flags = inode->flags;
	s->blocks = inode->blocks;
}

static void restore(struct f4_inode *inode, const struct saved *s)
{
	memcpy(inode->i_block, s->i_block, sizeof(s->i_block));
	inode->flags = s->flags;
	inode->blocks = s->blocks;
	f4_map_forget_cache(inode);
}

/* Give the inode an ordinary mapping with, if @want, its first block in @map. */
static int start_mapping(struct f4_handle *h, struct f4_inode *inode, bool want, uint32_t flags,
			 struct f4_map *map)
{
	inode->flags &= ~F4_FL_INLINE_DATA;
	f4_map_init(inode);
	return want ? f4_map_alloc(h, inode, 0, 1, flags, map) : 0;
}

/* The content has another place: the xattr goes. Undoes all on failure. */
static int drop_value(struct f4_handle *h, struct f4_inode *inode, int r, const struct f4_map *map,
		      const struct saved *s)
{
	uint32_t end;

	if (!r)
		r = f4_xattr_set_locked(h, inode, F4_XATTR_INDEX_SYSTEM, NAME, NULL, 0, 0);
	if (r) {
		if (map->len && f4_map_remove(h, inode, 0, 1, &end))
			f4_journal_abort(inode->vol->journal, r);
		restore(inode, s);
	}
	return r;
}

int f4_inline_to_blocks(struct f4_handle *h, struct f4_inode *inode)
{
	size_t size = inode->size, got = 0;
	f4_auto_free uint8_t *all = NULL;
	struct f4_map map = { 0 };
	struct saved s;
	int r;

	if (size > inode->vol->block_size) /* it never was longer than an inode */
		return f4_corrupt(inode->vol, inode->ino, 0, "inline data of %zu bytes", size);
	all = calloc(1, size + 1);
	if (!all)
		return -ENOMEM;
	r = f4_inline_read(inode, all, size, &got);
	if (r)
		return r;
	save(inode, &s);
	r = start_mapping(h, inode, size > 0, 0, &map);
	if (!r && size > 0)
		r = f4_data_write(h, inode, &map, 0, all, size, true);
	return drop_value(h, inode, r, &map, &s);
}

int f4_inline_dir_to_blocks(struct f4_handle *h, struct f4_inode *inode)
{
	struct f4_volume *vol = inode->vol;
	f4_auto_free uint8_t *area = calloc(1, (size_t)vol->inode_size + F4_I_BLOCK_BYTES);
	struct f4_buf *buf = NULL;
	struct f4_map map = { 0 };
	struct saved s;
	size_t len;
	int r;

	if (!area)
		return -ENOMEM;
	r = f4_inline_read(inode, area, (size_t)vol->inode_size + F4_I_BLOCK_BYTES, &len);
	if (r)
		return r;
	save(inode, &s);
	r = start_mapping(h, inode, true, F4_MAP_ALLOC_METADATA, &map);
	if (!r)
		r = f4_buf_new(vol->cache, map.pblk, &f4_class_dir, inode->ino, inode->csum_seed,
			       &buf);
	if (!r)
		r = f4_txn_create(h, buf);
	if (!r && f4_dirblk_from_inline(vol, buf->data, inode->ino, area, len))
		r = f4_corrupt(vol, inode->ino, 0, "inline directory with a broken entry");
	f4_buf_put(buf);
	r = drop_value(h, inode, r, &map, &s);
	if (!r)
		inode->size = vol->block_size;
	return r;
}
