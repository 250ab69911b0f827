/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Directories: the front of linear, indexed and inline ones; linear ones are here.
 *
 * A directory starts inline where the volume has that, else as one linear block. A linear block
 * that is full becomes an index with two leaves where the volume has dir_index; without it, blocks
 * are added at the end. Blocks are never given back before the directory itself goes.
 */
#include "server/ext4/dir.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "server/ext4/dir_block.h"
#include "server/ext4/dir_inline.h"
#include "server/ext4/htree.h"
#include "server/ext4/inline.h"
#include "server/ext4/map.h"
#include "server/ext4/xattr.h"

uint8_t f4_dir_mode_to_type(const struct f4_volume *vol, uint16_t mode)
{
	static const uint8_t types[16] = {
		[001] = F4_FT_FIFO,   [002] = F4_FT_CHRDEV,   [004] = F4_FT_DIR,
		[006] = F4_FT_BLKDEV, [010] = F4_FT_REG_FILE, [012] = F4_FT_SYMLINK,
		[014] = F4_FT_SOCK,
	};

	return f4_has_incompat(vol, F4_INCOMPAT_FILETYPE) ? types[mode >> 12] : 0;
}

uint32_t f4_dir_add_credits(const struct f4_inode *dir)
{
	const struct f4_volume *vol = dir->vol;
	uint32_t levels = 1, fresh = 2, credits; /* conversion to an index: root, two leaves */

	if (f4_htree_wanted(dir)) {
		levels = f4_htree_levels_max(vol);
		fresh = levels + 1;
	} else if (!f4_has_compat(vol, F4_COMPAT_DIR_INDEX)) {
		fresh = 1;
	}
	credits = levels + 1 + fresh + fresh * f4_map_credits(dir) + 1;
	if (f4_is_inline(dir) || f4_has_incompat(vol, F4_INCOMPAT_INLINE_DATA))
		credits += f4_xattr_credits(dir);
	return credits;
}

static void changed(struct f4_inode *dir)
{
	f4_inode_touch(dir, F4_TOUCH_M | F4_TOUCH_C);
	dir->version++;
}

/* --- lookup --------------------------------------------------------------------------------- */

static int find_in_block(struct f4_inode *dir, const struct f4_buf *buf,
			 const struct f4_dir_name *name, struct f4_dir_entry *ret)
{
	struct f4_volume *vol = dir->vol;
	struct f4_dent e;
	int r = f4_dirblk_find(vol, buf->data, 0, f4_dirblk_limit(vol, buf->data), name, &e);

	if (r < 0)
		return f4_corrupt(vol, dir->ino, buf->blk, "broken entry at byte %u", e.off);
	if (r == 0)
		return -ENOENT;
	*ret = (struct f4_dir_entry){ .ino = e.ino, .type = e.type, .blk = buf->blk, .off = e.off };
	return 0;
}

struct find_arg {
	const struct f4_dir_name *name;
	struct f4_dir_entry *ret;
};

/* 1: found. */
static int find_one(struct f4_inode *dir, struct f4_buf *buf, uint32_t lblk, void *arg)
{
	struct find_arg *a = arg;
	int r = find_in_block(dir, buf, a->name, a->ret);

	a->ret->lblk = lblk;
	return r == 0 ? 1 : r == -ENOENT ? 0 : r;
}

static int linear_lookup(struct f4_inode *dir, const struct f4_dir_name *name, uint32_t blocks,
			 struct f4_dir_entry *ret)
{
	struct find_arg a = { .name = name, .ret = ret };
	int r = f4_dir_each_block(dir, 0, blocks, find_one, &a);

	return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}

int f4_dir_lookup(struct f4_inode *dir, const char *name, size_t len, struct f4_dir_entry *ret)
{
	struct f4_dir_name n;
	uint32_t blocks;
	int r = f4_dir_name_init(dir, name, len, &n);

	if (r < 0)
		return r;
	if (f4_is_inline(dir))
		return f4_dir_inline_lookup(dir, &n, ret);
	r = f4_dir_blocks(dir, &blocks);
	if (r < 0)
		return r;
	if (f4_name_is_dot(name, len) || f4_name_is_dotdot(name, len))
		return linear_lookup(dir, &n, 1, ret); /* they are nowhere else */
	if (f4_htree_wanted(dir)) {
		r = f4_htree_lookup(dir, &n, ret);
		if (r != F4_HTREE_UNUSABLE)
			return r;
	}
	return linear_lookup(dir, &n, blocks, ret);
}

/* --- adding --------------------------------------------------------------------------------- */

struct room_arg {
	uint32_t need;
	struct f4_buf *buf; /* owned: found here */
	uint32_t lblk, off;
};

/* 1: found. */
static int room_one(struct f4_inode *dir, struct f4_buf *buf, uint32_t lblk, void *arg)
{
	struct f4_volume *vol = dir->vol;
	struct room_arg *a = arg;
	int r = f4_dirblk_room(vol, buf->data, 0, f4_dirblk_limit(vol, buf->data), a->need,
			       &a->off);

	if (r < 0)
		return f4_corrupt(vol, dir->ino, buf->blk, "broken entries");
	if (r == 1) {
		f4_buf_get(buf);
		a->buf = buf;
		a->lblk = lblk;
	}
	return r;
}

static int linear_append(struct f4_handle *h, struct f4_inode *dir, const struct f4_dir_name *name,
			 uint32_t ino, uint8_t type)
{
	struct f4_dir_grow g;
	int r = f4_dir_grow(h, dir, 1, &g);

	if (r < 0)
		return r;
	f4_dirblk_init(dir->vol, g.buf[0]->data);
	f4_dirblk_put(dir->vol, g.buf[0]->data, 0, name->bytes, name->len, ino, type);
	dir->dir_insert_hint = g.lblk[0];
	f4_dir_grow_done(dir, &g);
	return 0;
}

/*
 * Blocks before the hint had no room for what came last; a removal moves the hint back. So filling
 * a directory does not walk it each time, and room that was made is found again.
 */
static int linear_add(struct f4_handle *h, struct f4_inode *dir, const struct f4_dir_name *name,
		      uint32_t ino, uint8_t type, bool may_index)
{
	struct room_arg a = { .need = f4_dent_need(name->len) };
	f4_auto_buf *buf = NULL;
	uint32_t blocks;
	int r = f4_dir_blocks(dir, &blocks);

	if (r < 0)
		return r;
	if (dir->dir_insert_hint >= blocks)
		dir->dir_insert_hint = blocks - 1;
	r = f4_dir_each_block(dir, dir->dir_insert_hint, blocks, room_one, &a);
	buf = a.buf;
	if (r < 0)
		return r;
	if (r == 1) {
		r = f4_txn_write(h, buf);
		if (r < 0)
			return r;
		f4_dirblk_put(dir->vol, buf->data, a.off, name->bytes, name->len, ino, type);
		dir->dir_insert_hint = a.lblk;
		return 0;
	}
	if (blocks == 1 && may_index && f4_has_compat(dir->vol, F4_COMPAT_DIR_INDEX)) {
		r = f4_dir_read(dir, 0, &buf);
		if (r == 0 && buf)
			r = f4_htree_make(h, dir, buf, name, ino, type);
		if (r != F4_HTREE_UNUSABLE && !(r == 0 && !buf))
			return r;
	}
	return linear_append(h, dir, name, ino, type);
}

/*
 * An index that can't be kept up must not stay: the kernel and we would look for the new name in
 * it. Without checksums dropping the flag is all that it takes, index blocks then are free room.
 * With them the blocks would fail their checks.
 */
static int drop_index(struct f4_inode *dir)
{
	struct f4_volume *vol = dir->vol;

	if (vol->has_csum)
		return f4_corrupt(vol, dir->ino, 0, "directory index of an unknown kind");
	f4_volume_say(vol, LOG_WARNING,
		      "directory %u: its index is of an unknown kind, going on without it",
		      dir->ino);
	dir->flags &= ~F4_FL_INDEX;
	dir->dir_insert_hint = 0;
	return 0;
}

static int add_in_blocks(struct f4_handle *h, struct f4_inode *dir, const struct f4_dir_name *name,
			 uint32_t ino, uint8_t type)
{
	bool may_index = true;
	int r;

	if (f4_htree_wanted(dir)) {
		r = f4_htree_add(h, dir, name, ino, type);
		if (r != F4_HTREE_UNUSABLE)
			return r;
		may_index = false;
	}
	if (dir->flags & F4_FL_INDEX) {
		r = drop_index(dir);
		if (r < 0)
			return r;
	}
	return linear_add(h, dir, name, ino, type, may_index);
}

int f4_dir_add(struct f4_handle *h, struct f4_inode *dir, const char *name, size_t len,
	       uint32_t ino, uint16_t mode)
{
	uint8_t type = f4_dir_mode_to_type(dir->vol, mode);
	struct f4_dir_name n;
	int r = f4_dir_name_may_add(dir, name, len);

	if (r == 0)
		r = f4_dir_name_init(dir, name, len, &n);
	if (r < 0)
		return r;
	if (f4_is_inline(dir)) {
		r = f4_dir_inline_add(h, dir, &n, ino, type);
		if (r == -ENOSPC)
			r = f4_inline_dir_to_blocks(h, dir);
		else if (r == 0)
			changed(dir);
		if (r < 0 || f4_is_inline(dir))
			return r;
	}
	r = add_in_blocks(h, dir, &n, ino, type);
	if (r == 0)
		changed(dir);
	return r;
}

int f4_dir_init(struct f4_handle *h, struct f4_inode *dir, uint32_t parent_ino)
{
	struct f4_volume *vol = dir->vol;
	struct f4_dir_grow g;
	int r;

	if (f4_has_incompat(vol, F4_INCOMPAT_INLINE_DATA)) {
		r = f4_dir_inline_init(h, dir, parent_ino);
		if (r != -ENOSPC)
			return r;
		dir->flags &= ~F4_FL_INLINE_DATA;
		f4_map_init(dir);
	}
	dir->size = 0;
	r = f4_dir_grow(h, dir, 1, &g);
	if (r < 0)
		return r;
	f4_dirblk_init_first(vol, g.buf[0]->data, dir->ino, parent_ino);
	f4_dir_grow_done(dir, &g);
	return 0;
}

/* --- removing and replacing ----------------------------------------------------------------- */

int f4_dir_remove(struct f4_handle *h, struct f4_inode *dir, const char *name, size_t len,
		  const struct f4_dir_entry *ent)
{
	struct f4_volume *vol = dir->vol;
	f4_auto_buf *buf = NULL;
	int r;

	if (f4_is_inline(dir)) {
		r = f4_dir_inline_remove(h, dir, ent);
		if (r == 0)
			changed(dir);
		return r;
	}
	r = f4_dir_read_at(dir, ent->blk, &buf);
	if (r == 0)
		r = f4_txn_write(h, buf);
	if (r < 0)
		return r;
	r = f4_dirblk_delete(vol, buf->data, 0, f4_dirblk_limit(vol, buf->data), ent->off);
	if (r < 0)
		return f4_corrupt(vol, dir->ino, ent->blk, "no entry at byte %u", ent->off);
	if (ent->lblk < dir->dir_insert_hint)
		dir->dir_insert_hint = ent->lblk;
	changed(dir);
	return 0;
}

int f4_dir_replace(struct f4_handle *h, struct f4_inode *dir, const struct f4_dir_entry *ent,
		   uint32_t ino, uint16_t mode)
{
	struct f4_volume *vol = dir->vol;
	uint8_t type = f4_dir_mode_to_type(vol, mode);
	f4_auto_buf *buf = NULL;
	struct f4_dent e;
	struct f4_dirent *d;
	int r;

	if (f4_is_inline(dir))
		return f4_dir_inline_replace(h, dir, ent, ino, type);
	r = f4_dir_read_at(dir, ent->blk, &buf);
	if (r == 0)
		r = f4_txn_write(h, buf);
	if (r < 0)
		return r;
	if (f4_dent_at(vol, buf->data, ent->off, f4_dirblk_limit(vol, buf->data), &e) < 0)
		return f4_corrupt(vol, dir->ino, ent->blk, "no entry at byte %u", ent->off);
	d = (void *)(buf->data + ent->off);
	d->inode = f4_mk_le32(ino);
	if (f4_has_incompat(vol, F4_INCOMPAT_FILETYPE))
		d->file_type = type;
	return 0;
}

/* --- emptiness ------------------------------------------------------------------------------ */

/* 1: holds a name. Index blocks have no entries but '.' and '..'. */
static int names_one(struct f4_inode *dir, struct f4_buf *buf, uint32_t lblk, void *arg)
{
	struct f4_volume *vol = dir->vol;
	uint32_t limit = f4_dirblk_limit(vol, buf->data);
	struct f4_dent e;

	for (uint32_t off = 0; off < limit; off += e.rec_len) {
		if (f4_dent_at(vol, buf->data, off, limit, &e) < 0)
			return f4_corrupt(vol, dir->ino, buf->blk, "broken entry at byte %u", off);
		if (e.ino != 0 && !(lblk == 0 && (f4_name_is_dot(e.name, e.name_len) ||
						  f4_name_is_dotdot(e.name, e.name_len))))
			return 1;
	}
	return 0;
}

int f4_dir_is_empty(struct f4_inode *dir)
{
	uint32_t blocks;
	int r;

	if (f4_is_inline(dir))
		return f4_dir_inline_is_empty(dir);
	r = f4_dir_blocks(dir, &blocks);
	if (r < 0)
		return r;
	r = f4_dir_each_block(dir, 0, blocks, names_one, NULL);
	return r < 0 ? r : !r;
}
