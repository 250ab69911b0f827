/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Freed, but not for everybody yet: a cluster freed in a transaction may be used again only when
 * that transaction has committed. Until then its old owner comes back with a crash, and what was
 * written there meanwhile would be in the old file.
 *
 * Two views of the same set: a bitmap for each group, which the allocator looks at, and a list of
 * runs in the order of their transactions, which the commit works off.
 */
#include "server/ext4/group.h"

#include <stdlib.h>

#include "server/ext4/bitmap.h"
#include "server/ext4/group_priv.h"

struct f4_pend {
	struct f4_list link; /* protected by the table's lock */
	uint32_t group, from, n;
	f4_tid tid;
};

struct f4_pend *f4_groups_pend_new(struct f4_volume *vol, struct f4_group *g)
{
	struct f4_pend *p;

	if (!g->pending)
		g->pending = calloc(1, vol->block_size);
	if (!g->pending)
		return NULL;
	p = malloc(sizeof(*p));
	if (p)
		f4_list_init(&p->link);
	return p;
}

void f4_groups_pend(struct f4_volume *vol, struct f4_group *g, struct f4_pend *pend, f4_tid tid,
		    uint32_t from, uint32_t n)
{
	struct f4_group_table *t = vol->groups;
	struct f4_pend *last = NULL;

	f4_bitmap_set(g->pending, from, n);
	g->pending_count += n;
	atomic_fetch_add(&vol->pending_clusters, n);
	pend->group = g->number;
	pend->from = from;
	pend->n = n;
	pend->tid = tid;
	pthread_mutex_lock(&t->lock);
	if (!f4_list_empty(&t->pends))
		last = f4_list_entry(t->pends.prev, struct f4_pend, link);
	/* Files are cut from the back, in pieces: neighbours become one run. */
	if (last && last->group == g->number && last->tid == tid &&
	    (last->from + last->n == from || from + n == last->from)) {
		last->from = last->from < from ? last->from : from;
		last->n += n;
		free(pend);
	} else {
		f4_list_add_tail(&t->pends, &pend->link);
	}
	pthread_mutex_unlock(&t->lock);
}

static void pend_discard(struct f4_volume *vol, const struct f4_pend *p)
{
	uint64_t blk = f4_group_first_blk(vol, p->group) + ((uint64_t)p->from << vol->cluster_bits);
	uint64_t len = (uint64_t)p->n << vol->cluster_bits;

	if (len > vol->blocks_count - blk)
		len = vol->blocks_count - blk;
	/* A hint: a device that refuses it has lost nothing. */
	(void)f4_disk_discard(vol->disk, blk << vol->block_bits, len << vol->block_bits);
}

static void pend_release(struct f4_volume *vol, const struct f4_pend *p)
{
	struct f4_group *g = f4_group_ptr(vol, p->group);

	/* Before the clusters are anybody's: a discard after that would eat new data. */
	if (vol->opt.discard)
		pend_discard(vol, p);
	pthread_mutex_lock(&g->lock);
	f4_bitmap_clear(g->pending, p->from, p->n);
	g->pending_count -= p->n;
	if (g->pending_count == 0) {
		free(g->pending);
		g->pending = NULL;
	}
	g->largest_free = UINT32_MAX;
	pthread_mutex_unlock(&g->lock);
	atomic_fetch_sub(&vol->pending_clusters, p->n);
}

void f4_groups_committed(struct f4_volume *vol, f4_tid tid)
{
	struct f4_group_table *t = vol->groups;

	for (;;) {
		struct f4_pend *p = NULL;

		pthread_mutex_lock(&t->lock);
		if (!f4_list_empty(&t->pends)) {
			p = f4_list_first(&t->pends, struct f4_pend, link);
			if (f4_tid_after(p->tid, tid))
				p = NULL;
			else
				f4_list_del(&p->link);
		}
		pthread_mutex_unlock(&t->lock);
		if (!p)
			return;
		pend_release(vol, p);
		free(p);
	}
}

void f4_pends_free(struct f4_group_table *t)
{
	while (!f4_list_empty(&t->pends)) {
		struct f4_pend *p = f4_list_first(&t->pends, struct f4_pend, link);

		f4_list_del(&p->link);
		free(p);
	}
}
