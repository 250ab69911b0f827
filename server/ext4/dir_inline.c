/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inline directories: the parent's number, a chain of entries in the rest of i_block, and another
 * in the value of the in-inode xattr system.data, if there is one. No entry lies in both.
 */
#include "server/ext4/dir_inline.h"

#include <errno.h>
#include <string.h>

#include "server/ext4/inline.h"

struct area {
	uint8_t *data; /* owned */
	uint32_t len;
};

static void area_done(struct area *a)
{
	free(a->data);
}

#define auto_area f4_cleanup(area_done) struct area

/* Both chains of an area of @len bytes. */
static uint32_t chain_start(uint32_t i)
{
	return i == 0 ? F4_INLINE_DIR_START : F4_INLINE_DIR_SPLIT;
}

static uint32_t chain_end(uint32_t i, uint32_t len)
{
	return i == 0 ? F4_INLINE_DIR_SPLIT : len;
}

/* Room for the content and for what it may grow to. */
static int area_load(struct f4_inode *dir, struct area *a)
{
	struct f4_volume *vol = dir->vol;
	size_t len, size = vol->inode_size + F4_INLINE_DIR_SPLIT;

	a->data = calloc(1, size);
	if (!a->data)
		return -ENOMEM;
	int r = f4_inline_read(dir, a->data, size, &len);
	if (r < 0)
		return r;
	a->len = (uint32_t)len;
	if (len < F4_INLINE_DIR_SPLIT || len > size)
		return f4_corrupt(vol, dir->ino, 0, "inline directory of %zu bytes", len);
	for (uint32_t i = 0; i < 2; i++) {
		if (f4_dirblk_check(vol, a->data, chain_start(i), chain_end(i, a->len)) < 0)
			return f4_corrupt(vol, dir->ino, 0, "inline directory with a broken entry");
	}
	return 0;
}

int f4_dir_inline_load(struct f4_inode *dir, uint8_t **ret, uint32_t *ret_len)
{
	auto_area a = { 0 };
	int r = area_load(dir, &a);

	if (r < 0)
		return r;
	*ret_len = a.len;
	*ret = f4_take_ptr(a.data);
	return 0;
}

int f4_dir_inline_lookup(struct f4_inode *dir, const struct f4_dir_name *name,
			 struct f4_dir_entry *ret)
{
	auto_area a = { 0 };
	struct f4_dent e;
	int r = area_load(dir, &a);

	if (r < 0)
		return r;
	memset(ret, 0, sizeof(*ret));
	ret->type = f4_has_incompat(dir->vol, F4_INCOMPAT_FILETYPE) ? F4_FT_DIR : 0;
	if (f4_name_is_dot(name->bytes, name->len)) {
		ret->ino = dir->ino;
		ret->off = F4_INLINE_OFF_DOT;
		return 0;
	}
	if (f4_name_is_dotdot(name->bytes, name->len)) {
		ret->ino = f4_load_le32(a.data);
		return 0;
	}
	for (uint32_t i = 0; i < 2; i++) {
		if (f4_dirblk_find(dir->vol, a.data, chain_start(i), chain_end(i, a.len), name,
				   &e) == 1) {
			*ret = (struct f4_dir_entry){ .ino = e.ino, .type = e.type, .off = e.off };
			return 0;
		}
	}
	return -ENOENT;
}

/* Let the second chain fill all that the inode has room for, as the kernel does. */
static int area_grow(struct f4_inode *dir, struct area *a)
{
	uint32_t max = (uint32_t)f4_inline_max(dir) & ~3u, last = F4_INLINE_DIR_SPLIT;
	struct f4_dirent *d;
	struct f4_dent e;

	if (max > dir->vol->inode_size || max < a->len + F4_DENT_MIN)
		return -ENOSPC;
	for (uint32_t off = last; off < a->len; off += e.rec_len) {
		if (f4_dent_at(dir->vol, a->data, off, a->len, &e) < 0)
			return -EUCLEAN;
		last = off;
	}
	d = (void *)(a->data + last);
	if (last == a->len) /* the first entry of the chain */
		memset(d, 0, sizeof(*d));
	d->rec_len = f4_mk_le16(f4_rec_len_encode(max - last));
	a->len = max;
	return 0;
}

static int area_room(struct f4_inode *dir, const struct area *a, uint32_t need, uint32_t *ret)
{
	for (uint32_t i = 0; i < 2; i++) {
		if (f4_dirblk_room(dir->vol, a->data, chain_start(i), chain_end(i, a->len), need,
				   ret) == 1)
			return 0;
	}
	return -ENOSPC;
}

static int area_store(struct f4_handle *h, struct f4_inode *dir, const struct area *a)
{
	int r = f4_inline_write(h, dir, a->data, a->len);

	if (r == 0)
		dir->size = a->len;
	return r;
}

int f4_dir_inline_add(struct f4_handle *h, struct f4_inode *dir, const struct f4_dir_name *name,
		      uint32_t ino, uint8_t type)
{
	uint32_t need = f4_dent_need(name->len), off;
	auto_area a = { 0 };
	int r = area_load(dir, &a);

	if (r < 0)
		return r;
	if (area_room(dir, &a, need, &off) < 0) {
		r = area_grow(dir, &a);
		if (r == 0)
			r = area_room(dir, &a, need, &off);
		if (r < 0)
			return r;
	}
	f4_dirblk_put(dir->vol, a.data, off, name->bytes, name->len, ino, type);
	return area_store(h, dir, &a);
}

int f4_dir_inline_remove(struct f4_handle *h, struct f4_inode *dir, const struct f4_dir_entry *ent)
{
	uint32_t i = ent->off >= F4_INLINE_DIR_SPLIT;
	auto_area a = { 0 };
	int r = area_load(dir, &a);

	if (r < 0)
		return r;
	r = f4_dirblk_delete(dir->vol, a.data, chain_start(i), chain_end(i, a.len), ent->off);
	if (r < 0)
		return f4_corrupt(dir->vol, dir->ino, 0, "inline directory: no entry at byte %u",
				  ent->off);
	return area_store(h, dir, &a);
}

int f4_dir_inline_replace(struct f4_handle *h, struct f4_inode *dir,
			  const struct f4_dir_entry *ent, uint32_t ino, uint8_t type)
{
	auto_area a = { 0 };
	int r = area_load(dir, &a);

	if (r < 0)
		return r;
	if (ent->off > a.len - F4_DENT_MIN)
		return -EINVAL;
	f4_store_le32(a.data + ent->off, ino);
	if (ent->off != 0) /* at 0 is the parent's number alone */
		f4_dirent_of(a.data, ent->off)->file_type = type;
	return area_store(h, dir, &a);
}

int f4_dir_inline_is_empty(struct f4_inode *dir)
{
	auto_area a = { 0 };
	struct f4_dent e;
	int r = area_load(dir, &a);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t end = chain_end(i, a.len);

		for (uint32_t off = chain_start(i); off < end; off += e.rec_len) {
			if (f4_dent_at(dir->vol, a.data, off, end, &e) < 0)
				return -EUCLEAN;
			if (e.ino != 0)
				return 0;
		}
	}
	return 1;
}

int f4_dir_inline_init(struct f4_handle *h, struct f4_inode *dir, uint32_t parent)
{
	uint8_t data[F4_INLINE_DIR_SPLIT] = { 0 };
	struct area a = { .data = data, .len = sizeof(data) };
	int r;

	if (!f4_is_inline(dir)) {
		r = f4_inline_init(h, dir);
		if (r < 0)
			return r;
	}
	f4_store_le32(data, parent);
	f4_dirblk_append(dir->vol, data, F4_INLINE_DIR_START, F4_INLINE_DIR_SPLIT, NULL, 0, 0, 0);
	return area_store(h, dir, &a);
}
