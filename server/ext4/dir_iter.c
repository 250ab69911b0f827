/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a directory in pieces, each from a position that the reader kept.
 *
 * Positions (cookies): 0 is before '.', 1 before '..', and 2 + P before the entry at P. P is
 * - in hash order (indexed directories, and those of one block or inline that will become indexed):
 *   31 bits of the hash, 28 bits of the second hash, and 4 bits that number names that are equal so
 *   far. It depends on the name alone, so splits, removals and insertions of other names move
 *   nothing. Where the hash has no second half (the legacy one), a checksum of the name serves.
 *   (More than 16 names with 59 equal bits can only be made on purpose: the 17th is shown only when
 *   the reader's buffer takes the whole group.)
 * - in order of place (other directories): the byte in the directory. Entries never move there.
 *
 * Reading in hash order takes one leaf at a time, with those that continue its last hash, sorts its
 * names in memory and hands them out. Memory is bounded: of more than SET_MAX names the smallest
 * positions are kept and the rest is read again.
 */
#include "server/ext4/dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/ext4/csum.h"
#include "server/ext4/dir_block.h"
#include "server/ext4/dir_inline.h"
#include "server/ext4/htree.h"
#include "server/ext4/map.h"

#define COOKIE_DOT    0u
#define COOKIE_DOTDOT 1u
#define COOKIE_FIRST  2u
#define SAME_MASK     15u   /* bits of a position that number equal names */
#define SET_MAX	      8192u /* names held at a time; half of them are kept when it overflows */
#define READAHEAD_MAX 256u  /* blocks asked for when a reader starts */

struct item {
	uint64_t key; /* position without the numbering */
	uint32_t ino;
	uint32_t name; /* in the arena */
	uint8_t len, type;
};

/* Names waiting to be handed out. */
struct set {
	struct f4_inode *dir;
	int version;	/* hash; -1: order of place */
	uint64_t from;	/* positions before are done */
	uint64_t below; /* positions from here on were dropped for want of room; UINT64_MAX: none */
	struct item *items; /* owned */
	uint32_t n, cap;
	uint8_t *arena; /* owned */
	size_t used, size;
	f4_dir_emit emit;
	void *arg;
};

/* From emit_all and the walkers: the reader has enough. */
#define STOP 1

static void set_done(struct set *s)
{
	free(s->items);
	free(s->arena);
}

static void set_reset(struct set *s, uint64_t from)
{
	s->n = 0;
	s->used = 0;
	s->below = UINT64_MAX;
	if (from > s->from)
		s->from = from;
}

static int by_key(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

/* Keep the smaller half, whole groups of equal keys only; names stay where they are. */
static void set_shrink(struct set *s)
{
	uint32_t keep = SET_MAX / 2;

	qsort(s->items, s->n, sizeof(*s->items), by_key);
	s->below = s->items[keep].key;
	while (keep > 0 && s->items[keep - 1].key == s->below)
		keep--;
	if (keep == 0) { /* thousands of equal names: see the file's head */
		keep = SAME_MASK + 1;
		s->below += SAME_MASK + 1;
	}
	s->n = keep;
}

/* After a shrink the arena is mostly of dropped names: move the kept ones together. */
static int set_compact(struct set *s)
{
	uint8_t *fresh = malloc(s->size);
	size_t used = 0;

	if (!fresh)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->n; i++) {
		memcpy(fresh + used, s->arena + s->items[i].name, s->items[i].len);
		s->items[i].name = (uint32_t)used;
		used += s->items[i].len;
	}
	free(s->arena);
	s->arena = fresh;
	s->used = used;
	return 0;
}

static int set_reserve(struct set *s)
{
	if (s->n == SET_MAX) {
		set_shrink(s);
		int r = set_compact(s);
		if (r < 0)
			return r;
	}
	if (s->n == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 256;
		struct item *p = reallocarray(s->items, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		s->items = p;
		s->cap = cap;
	}
	if (s->size - s->used < F4_NAME_MAX) {
		size_t size = s->size ? s->size * 2 : 16384;
		uint8_t *p = realloc(s->arena, size);

		if (!p)
			return -ENOMEM;
		s->arena = p;
		s->size = size;
	}
	return 0;
}

static bool readable_name(const struct f4_dent *e)
{
	return e->name_len > 0 && !memchr(e->name, '/', e->name_len) &&
	       !memchr(e->name, '\0', e->name_len);
}

/* The hashes of an entry: computed, or stored behind the name where they are keyed. */
static int entry_hash(const struct set *s, const struct f4_dent *e, uint32_t *hash, uint32_t *minor)
{
	if (s->version != (int)F4_HASH_SIPHASH)
		return f4_dir_hash(s->dir, s->version, e->name, e->name_len, hash, minor);
	if (e->rec_len < f4_dent_need(e->name_len) + 8u)
		return -EUCLEAN;
	*hash = f4_load_le32(e->name - 8 + f4_dent_need(e->name_len)) & ~1u;
	*minor = f4_load_le32(e->name - 4 + f4_dent_need(e->name_len));
	return 0;
}

static uint64_t position_of(int version, const struct f4_dent *e, uint32_t hash, uint32_t minor)
{
	if (version == (int)F4_HASH_LEGACY || version == (int)F4_HASH_LEGACY_UNSIGNED)
		minor = f4_crc32c(~0u, e->name, e->name_len);
	return ((uint64_t)(hash >> 1) << 32) | (minor & ~SAME_MASK);
}

static void bad_name(struct f4_inode *dir, const struct f4_dent *e)
{
	(void)f4_corrupt(dir->vol, dir->ino, 0, "entry for inode %u has an impossible name",
			 e->ino);
}

static bool is_dots(const struct f4_dent *e)
{
	return f4_name_is_dot(e->name, e->name_len) || f4_name_is_dotdot(e->name, e->name_len);
}

/*
 * The name as readers see it. Return: its length; 0: not one that can be shown (reported; the
 * others still are).
 */
static size_t shown_name(struct f4_inode *dir, const struct f4_dent *e, uint32_t hash,
			 uint32_t minor, char *ret)
{
	size_t len = e->name_len;

	if (dir->flags & F4_FL_ENCRYPT)
		len = f4_dir_name_nokey(hash, minor, e->name, e->name_len, ret);
	else if (readable_name(e))
		memcpy(ret, e->name, len);
	else
		len = 0;
	if (len == 0)
		bad_name(dir, e);
	return len;
}

static int set_add(struct set *s, const struct f4_dent *e)
{
	uint32_t hash = 0, minor = 0;
	struct item *it;
	uint64_t key;
	int r;

	if (e->ino == 0 || is_dots(e))
		return 0;
	r = entry_hash(s, e, &hash, &minor);
	if (r < 0)
		return r;
	key = position_of(s->version, e, hash, minor);
	if (key < (s->from & ~(uint64_t)SAME_MASK) || key >= s->below)
		return 0;
	r = set_reserve(s);
	if (r < 0 || key >= s->below)
		return r;
	it = &s->items[s->n];
	it->len = (uint8_t)shown_name(s->dir, e, hash, minor, (char *)s->arena + s->used);
	if (it->len == 0)
		return 0;
	it->key = key;
	it->ino = e->ino;
	it->type = e->type;
	it->name = (uint32_t)s->used;
	s->used += it->len;
	s->n++;
	return 0;
}

static int add_chain(struct set *s, const uint8_t *data, uint32_t start, uint32_t limit,
		     uint64_t blk)
{
	struct f4_volume *vol = s->dir->vol;
	struct f4_dent e;
	int r;

	for (uint32_t off = start; off < limit; off += e.rec_len) {
		r = f4_dent_at(vol, data, off, limit, &e);
		if (r == 0)
			r = set_add(s, &e);
		if (r == -EUCLEAN)
			return f4_corrupt(vol, s->dir->ino, blk, "broken entry at byte %u", off);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Hand the set out in order. 0; STOP; or the error of emit. */
static int emit_all(struct set *s)
{
	uint32_t same = 0;

	if (s->n == 0) /* then there is no array either */
		return 0;
	qsort(s->items, s->n, sizeof(*s->items), by_key);
	for (uint32_t i = 0; i < s->n; i++) {
		const struct item *it = &s->items[i];
		uint64_t pos;
		int r;

		same = i > 0 && it->key == it[-1].key ? same + 1 : 0;
		pos = it->key | (same < SAME_MASK ? same : SAME_MASK);
		if (pos < s->from)
			continue;
		r = s->emit(s->arg, (const char *)s->arena + it->name, it->len, it->ino, it->type,
			    pos + 1 + COOKIE_FIRST);
		if (r != 0)
			return r;
	}
	return 0;
}

/* --- hash order ----------------------------------------------------------------------------- */

/*
 * The leaf that the path leads to, and those that continue its last hash. Return: as f4_htree_next.
 */
static int add_leaves(struct set *s, struct f4_htree_path *p, uint32_t *ret_hash)
{
	int r;

	do {
		f4_auto_buf *leaf = NULL;

		r = f4_htree_leaf(s->dir, p, &leaf);
		if (r == 0)
			r = add_chain(s, leaf->data, 0, f4_dirblk_limit(s->dir->vol, leaf->data),
				      leaf->blk);
		if (r == 0)
			r = f4_htree_next(s->dir, p, NULL, ret_hash);
	} while (r == 0 && (*ret_hash & 1));
	return r;
}

static int iterate_htree(struct set *s, struct f4_htree_path *p)
{
	uint32_t next = 0;
	int r, more;

	s->version = p->version;
	r = f4_htree_descend(s->dir, (uint32_t)(s->from >> 32) << 1, p);
	while (r == 0) {
		more = add_leaves(s, p, &next);
		if (more < 0)
			return more;
		r = emit_all(s);
		if (r != 0)
			return r;
		if (s->below != UINT64_MAX) {
			set_reset(s, s->below);
			r = f4_htree_descend(s->dir, (uint32_t)(s->from >> 32) << 1, p);
		} else if (more == F4_HTREE_END) {
			return 0;
		} else {
			set_reset(s, (uint64_t)(next >> 1) << 32);
		}
	}
	return r;
}

/* A set that is read from one place: again for as long as it did not all fit. */
static int iterate_chains(struct set *s, const uint8_t *data, const uint32_t (*chains)[2],
			  size_t n, uint64_t blk)
{
	int r;

	for (;;) {
		for (size_t i = 0; i < n; i++) {
			r = add_chain(s, data, chains[i][0], chains[i][1], blk);
			if (r < 0)
				return r;
		}
		r = emit_all(s);
		if (r != 0 || s->below == UINT64_MAX)
			return r;
		set_reset(s, s->below);
	}
}

/* --- order of place ------------------------------------------------------------------------- */

/* Entries of [start, limit), whose place in the directory is @base bytes further. */
static int emit_chain(struct set *s, const uint8_t *data, uint32_t start, uint32_t limit,
		      uint64_t base, uint64_t blk)
{
	struct f4_dent e;
	char name[F4_NAME_MAX];
	size_t len;
	int r;

	for (uint32_t off = start; off < limit; off += e.rec_len) {
		if (f4_dent_at(s->dir->vol, data, off, limit, &e) < 0)
			return f4_corrupt(s->dir->vol, s->dir->ino, blk, "broken entry at byte %u",
					  off);
		if (e.ino == 0 || base + off < s->from || is_dots(&e))
			continue;
		len = shown_name(s->dir, &e, 0, 0, name);
		if (len == 0)
			continue;
		r = s->emit(s->arg, name, len, e.ino, e.type,
			    base + off + e.rec_len + COOKIE_FIRST);
		if (r != 0)
			return r;
	}
	return 0;
}

static int emit_block(struct f4_inode *dir, struct f4_buf *buf, uint32_t lblk, void *arg)
{
	return emit_chain(arg, buf->data, 0, f4_dirblk_limit(dir->vol, buf->data),
			  (uint64_t)lblk << dir->vol->block_bits, buf->blk);
}

/* --- the three kinds ------------------------------------------------------------------------ */

static int iterate_inline(struct set *s)
{
	struct f4_volume *vol = s->dir->vol;
	f4_auto_free uint8_t *area = NULL;
	uint32_t len;
	uint8_t raw;
	int r = f4_dir_inline_load(s->dir, &area, &len);

	if (r < 0)
		return r;
	const uint32_t chains[2][2] = { { F4_INLINE_DIR_START, F4_INLINE_DIR_SPLIT },
					{ F4_INLINE_DIR_SPLIT, len } };
	s->version = f4_dir_hash_default(s->dir, &raw);
	if (f4_has_compat(vol, F4_COMPAT_DIR_INDEX) && s->version >= 0)
		return iterate_chains(s, area, chains, 2, 0);
	for (int i = 0; i < 2 && r == 0; i++)
		r = emit_chain(s, area, chains[i][0], chains[i][1], F4_INLINE_DIR_SHIFT, 0);
	return r;
}

static int iterate_single(struct set *s)
{
	f4_auto_buf *buf = NULL;
	int r = f4_dir_read(s->dir, 0, &buf);

	if (r < 0 || !buf)
		return r;
	const uint32_t chain[1][2] = { { 0, f4_dirblk_limit(s->dir->vol, buf->data) } };
	return iterate_chains(s, buf->data, chain, 1, buf->blk);
}

static int iterate_blocks(struct set *s)
{
	struct f4_inode *dir = s->dir;
	struct f4_htree_path p;
	uint32_t blocks;
	uint8_t raw;
	int r = f4_dir_blocks(dir, &blocks);

	if (r < 0)
		return r;
	if (f4_htree_wanted(dir)) {
		r = f4_htree_open(dir, &p);
		if (r < 0)
			return r;
		if (r == 0) {
			r = iterate_htree(s, &p);
			f4_htree_done(&p);
			return r;
		}
	} else if (blocks == 1 && f4_has_compat(dir->vol, F4_COMPAT_DIR_INDEX)) {
		s->version = f4_dir_hash_default(dir, &raw);
		if (s->version >= 0)
			return iterate_single(s);
	}
	if (s->from >> dir->vol->block_bits >= blocks)
		return 0;
	return f4_dir_each_block(dir, (uint32_t)(s->from >> dir->vol->block_bits), blocks,
				 emit_block, s);
}

/* A reader begins: most read on to the end, and leaves in hash order are all over the place. */
static void readahead(struct f4_inode *dir)
{
	uint64_t blocks = dir->size >> dir->vol->block_bits;
	uint32_t end = blocks < READAHEAD_MAX ? (uint32_t)blocks : READAHEAD_MAX;
	struct f4_map m;

	if (f4_is_inline(dir) || end < 2)
		return;
	for (uint32_t lblk = 0; lblk < end; lblk += m.len) {
		if (f4_map_lookup(dir, lblk, end - lblk, &m) < 0 || m.len == 0)
			return; /* met again, and reported, when it is read */
		if (m.flags & F4_MAP_MAPPED)
			f4_cache_readahead(dir->vol->cache, m.pblk, m.len);
	}
}

static int emit_dots(struct f4_inode *dir, uint64_t cookie, f4_dir_emit emit, void *arg)
{
	struct f4_dir_entry up;
	int r = 0;

	if (cookie == COOKIE_DOT)
		r = emit(arg, ".", 1, dir->ino, F4_FT_DIR, COOKIE_DOTDOT);
	if (r != 0 || cookie > COOKIE_DOTDOT)
		return r;
	r = f4_dir_lookup(dir, "..", 2, &up);
	if (r == -ENOENT) /* damaged, but the names are worth showing */
		(void)f4_corrupt(dir->vol, dir->ino, 0, "directory without '..'");
	else if (r == 0)
		r = emit(arg, "..", 2, up.ino, F4_FT_DIR, COOKIE_FIRST);
	return r == -ENOENT ? 0 : r;
}

int f4_dir_iterate(struct f4_inode *dir, uint64_t cookie, f4_dir_emit emit, void *arg)
{
	struct set s = { .dir = dir, .version = -1, .below = UINT64_MAX, .emit = emit, .arg = arg };
	int r;

	if (dir->links == 0)
		return -ENOENT;
	if (cookie < COOKIE_FIRST) {
		readahead(dir);
		r = emit_dots(dir, cookie, emit, arg);
		if (r != 0)
			return r < 0 ? r : 0;
		cookie = COOKIE_FIRST;
	}
	s.from = cookie - COOKIE_FIRST;
	r = f4_is_inline(dir) ? iterate_inline(&s) : iterate_blocks(&s);
	set_done(&s);
	return r == STOP ? 0 : r;
}
