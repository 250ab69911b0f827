/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Windows: the room ahead of files that are being written in order.
 *
 * A small table, one slot for a hash of inode numbers. A file that got blocks twice in a row gets a
 * window behind them, doubled each time it is used, up to a limit. Nothing on disk knows of it, the
 * counters neither; a window only makes others look elsewhere first.
 */
#include "server/ext4/alloc_priv.h"

#include <stdlib.h>

#include "server/ext4/volume_priv.h"

#define SLOTS	   64u
#define WINDOW_MIN (256u << 10) /* bytes */
#define WINDOW_MAX (8u << 20)

struct window {
	uint32_t ino;
	uint64_t next;	/* where the file's next block would go */
	uint64_t end;	/* the window is [next, end) */
	uint64_t bytes; /* its size when it is renewed */
};

struct f4_windows {
	pthread_mutex_t lock; /* leaf */
	struct window slot[SLOTS];
	_Atomic uint32_t used; /* slots with a window: no lock is taken while there is none */
};

struct f4_windows *f4_windows_new(void)
{
	struct f4_windows *w = calloc(1, sizeof(*w));

	if (w)
		pthread_mutex_init(&w->lock, NULL);
	return w;
}

struct f4_windows *f4_windows_free(struct f4_windows *w)
{
	if (!w)
		return NULL;
	pthread_mutex_destroy(&w->lock);
	free(w);
	return NULL;
}

void f4_windows_note(struct f4_volume *vol, uint32_t ino, uint64_t blk, uint32_t len)
{
	struct f4_windows *w = vol->state->windows;
	struct window *s = &w->slot[ino % SLOTS];
	uint64_t had;

	pthread_mutex_lock(&w->lock);
	had = s->end > s->next;
	if (s->ino == ino && s->next == blk) {
		s->bytes = s->bytes ? s->bytes * 2 : WINDOW_MIN;
		s->bytes = s->bytes > WINDOW_MAX ? WINDOW_MAX : s->bytes;
	} else if (s->ino == ino) {
		s->bytes = 0; /* not in order: no window, but perhaps from here on */
	} else {
		s->ino = ino;
		s->bytes = 0;
	}
	s->next = blk + len;
	s->end = s->next + (s->bytes >> vol->block_bits);
	if ((s->end > s->next) != had)
		atomic_fetch_add(&w->used, had ? -1u : 1u);
	pthread_mutex_unlock(&w->lock);
}

uint64_t f4_windows_skip(struct f4_volume *vol, uint32_t ino, uint64_t blk, uint64_t len)
{
	struct f4_windows *w = vol->state->windows;
	uint64_t end = 0;

	if (atomic_load_explicit(&w->used, memory_order_relaxed) == 0)
		return 0;
	pthread_mutex_lock(&w->lock);
	for (uint32_t i = 0; i < SLOTS; i++) {
		const struct window *s = &w->slot[i];

		if (s->ino != ino && s->next < blk + len && s->end > blk && s->end > end)
			end = s->end;
	}
	pthread_mutex_unlock(&w->lock);
	return end;
}

void f4_alloc_done(struct f4_volume *vol, uint32_t ino)
{
	struct f4_windows *w = vol->state->windows;
	struct window *s = &w->slot[ino % SLOTS];

	pthread_mutex_lock(&w->lock);
	if (s->ino == ino) {
		if (s->end > s->next)
			atomic_fetch_sub(&w->used, 1);
		*s = (struct window){ 0 };
	}
	pthread_mutex_unlock(&w->lock);
}
