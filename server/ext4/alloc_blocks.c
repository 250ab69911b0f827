/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Allocation of blocks.
 *
 * First the volume's counter is charged, then a place is looked for; so ENOSPC is said exactly when
 * the blocks are gone, and two threads never run after the same last block. The search:
 *  1. the goal itself: a file that grows goes on where it ended, whatever length is free there;
 *  2. a run as long as asked for: behind the goal, in its group, then in the groups after it;
 *  3. the same for shorter and shorter runs, down to one cluster anywhere.
 * Windows of other files' streams (alloc_window.c) are kept out of, except on the last round.
 * Groups are passed over by the counts in their descriptors, so a full volume costs reading
 * descriptors, not bitmaps.
 */
#include "server/ext4/alloc.h"

#include <errno.h>

#include "server/ext4/alloc_priv.h"
#include "server/ext4/bitmap.h"
#include "server/ext4/group.h"
#include "server/ext4/inode.h"
#include "server/ext4/volume_priv.h"

/* A round that wants long runs gives up after so many groups that had none ... */
#define GROUPS_PER_ROUND 64u
/* ... or whose descriptors said so. The last round goes on, from where it last found something. */
#define PEEKS_PER_ROUND 512u

struct search {
	struct f4_handle *h;
	struct f4_volume *vol;
	const struct f4_alloc_req *req;
	uint32_t want;	   /* clusters still hoped for */
	uint32_t min;	   /* clusters that a run must have in this round */
	bool windows;	   /* keep out of other files' windows */
	uint64_t blk;	   /* result */
	uint32_t got;	   /* result, clusters */
};

/* A run of free clusters in one group. */
struct run {
	uint32_t from, n;
};

bool f4_alloc_may_use_reserved(const struct f4_volume *vol, uint32_t uid, uint32_t gid)
{
	return uid == 0 || uid == vol->resuid || (vol->resgid != 0 && gid == vol->resgid);
}

/* Charges up to @want clusters to the counter; returns how many, 0 when none may be had. */
static uint32_t claim(struct f4_volume *vol, uint32_t want, bool reserved)
{
	int64_t free = atomic_load(&vol->free_clusters), usable;
	uint32_t n;

	do {
		usable = free - atomic_load(&vol->pending_clusters);
		if (!reserved)
			usable -= (int64_t)vol->reserved_clusters;
		if (usable <= 0)
			return 0;
		n = usable < want ? (uint32_t)usable : want;
	} while (!atomic_compare_exchange_weak(&vol->free_clusters, &free, free - n));
	return n;
}

static void unclaim(struct f4_volume *vol, uint32_t n)
{
	atomic_fetch_add(&vol->free_clusters, n);
}

static uint64_t cluster_blk(const struct f4_volume *vol, uint32_t group, uint32_t cluster)
{
	return f4_group_first_blk(vol, group) + ((uint64_t)cluster << vol->cluster_bits);
}

/*
 * The first run of at least @s->min clusters in [@from, @end), or else the longest there is (n 0:
 * nothing). @longest: the longest run seen, for the group's hint.
 */
static struct run scan(const struct search *s, const struct f4_group *g, const uint8_t *bm,
		       uint32_t from, uint32_t end, uint32_t *longest)
{
	struct f4_volume *vol = s->vol;
	struct run best = { 0, 0 };

	while ((from = f4_bitmap_next_zero(bm, g->pending, from, end)) < end) {
		uint32_t limit = end - from > s->want ? from + s->want : end;
		uint32_t n = f4_bitmap_next_one(bm, g->pending, from, limit) - from;
		uint64_t blk = cluster_blk(vol, g->number, from), skip = 0;

		*longest = n > *longest ? n : *longest;
		if (s->windows)
			skip = f4_windows_skip(vol, s->req->ino, blk, (uint64_t)n << vol->cluster_bits);
		if (skip) {
			uint64_t to = (skip - f4_group_first_blk(vol, g->number)) >> vol->cluster_bits;

			from = to > from && to < end ? (uint32_t)to : end;
			continue;
		}
		if (n > best.n)
			best = (struct run){ from, n };
		if (n >= s->min)
			return best;
		from += n;
	}
	return best;
}

/* Take @run: bitmap, descriptor. The group's lock is held. */
static int take(struct search *s, struct f4_group *g, struct f4_buf *bm, struct run run)
{
	struct f4_volume *vol = s->vol;
	uint64_t blk = cluster_blk(vol, g->number, run.from);
	uint64_t len = (uint64_t)run.n << vol->cluster_bits;
	f4_auto_buf *gdt = NULL;
	int r;

	if (len > vol->blocks_count - blk)
		len = vol->blocks_count - blk; /* the last cluster may stick out */
	if (run.n > g->free_clusters || !f4_volume_blocks_ok(vol, blk, len)) {
		g->bad_blocks = true;
		return f4_corrupt(vol, s->req->ino, blk, "group %u: metadata is marked free",
				  g->number);
	}
	r = f4_group_change_blocks(s->h, vol, g, bm, &gdt);
	if (r < 0)
		return r;
	f4_bitmap_set(bm->data, run.from, run.n);
	g->free_clusters -= run.n;
	f4_group_store(vol, g, gdt, F4_GROUP_BLOCK_BITMAP);
	s->blk = blk;
	s->got = run.n;
	return 0;
}

/* The goal itself, if it is free. */
static struct run at_goal(const struct search *s, const struct f4_group *g, const uint8_t *bm,
			  uint32_t goal, uint32_t end)
{
	uint32_t limit = end - goal > s->want ? goal + s->want : end;

	return (struct run){ goal, f4_bitmap_next_one(bm, g->pending, goal, limit) - goal };
}

/*
 * Look in one group, from cluster @goal on, then from its start. @exact: only at the goal.
 * Return: 0 (s->got tells whether something was found) or an error that ends the search.
 */
static int search_group(struct search *s, uint32_t group, uint32_t goal, bool at_goal_first,
			bool exact)
{
	struct f4_volume *vol = s->vol;
	uint32_t end = f4_group_clusters(vol, group), longest = 0;
	f4_auto_buf *bm = NULL;
	struct f4_group *g;
	struct run run = { 0, 0 };
	int r = f4_group_lock(vol, group, &g);

	if (r < 0)
		return r == -EUCLEAN ? 0 : r; /* damaged groups are passed over */
	if (g->bad_blocks || g->free_clusters <= g->pending_count ||
	    (!at_goal_first && g->largest_free < s->min))
		goto out;
	r = f4_group_blocks_bitmap(vol, g, &bm);
	if (r < 0)
		goto out;
	if (at_goal_first)
		run = at_goal(s, g, bm->data, goal, end);
	if (run.n == 0 && !exact) {
		run = scan(s, g, bm->data, goal, end, &longest);
		if (run.n < s->min && goal) {
			struct run low = scan(s, g, bm->data, 0, end, &longest);

			run = low.n > run.n ? low : run;
			/* The whole group was looked at: the longest run is known, up to the want. */
			if (longest < s->want)
				g->largest_free = longest;
		}
		if (run.n < s->min)
			run.n = 0;
	}
	if (run.n)
		r = take(s, g, bm, run);
out:
	f4_group_unlock(g);
	return r == -EUCLEAN ? 0 : r;
}

/* The @i-th group that a round looks at. */
static uint32_t round_group(const struct search *s, uint32_t goal_group, uint64_t i)
{
	if (i < PEEKS_PER_ROUND)
		return (uint32_t)((goal_group + i) % s->vol->groups_count);
	return (uint32_t)((atomic_load(&s->vol->state->last_group) + i - PEEKS_PER_ROUND) %
			  s->vol->groups_count);
}

/* One round over the groups, from the goal's on. */
static int search_round(struct search *s, uint32_t goal_group, uint32_t goal)
{
	struct f4_volume *vol = s->vol;
	bool last_round = s->min == 1 && !s->windows;
	uint64_t n = vol->groups_count;
	uint32_t looked = 0;

	if (n > PEEKS_PER_ROUND)
		n = last_round ? n + PEEKS_PER_ROUND : PEEKS_PER_ROUND;
	for (uint64_t i = 0; i < n && s->got == 0; i++) {
		uint32_t group = round_group(s, goal_group, i);
		uint32_t free, inodes, dirs;
		int r = f4_group_peek(vol, group, &free, &inodes, &dirs);

		if (r < 0)
			return r;
		if (free < s->min)
			continue;
		if (!last_round && looked++ >= GROUPS_PER_ROUND)
			return 0;
		r = search_group(s, group, i == 0 ? goal : 0, false, false);
		if (r < 0)
			return r;
		if (s->got && i >= PEEKS_PER_ROUND)
			atomic_store(&vol->state->last_group, group);
	}
	return 0;
}

static int search_rounds(struct search *s, uint32_t group, uint32_t goal)
{
	uint32_t most = s->vol->clusters_per_group;
	int r;

	s->windows = true;
	for (s->min = s->want < most ? s->want : most;; s->min = s->min > 8 ? s->min / 8 : 1) {
		r = search_round(s, group, goal);
		if (r < 0 || s->got)
			return r;
		if (s->min == 1)
			break;
	}
	s->windows = false;
	return search_round(s, group, goal);
}

/* The goal as group and cluster; without one, a place in the inode's group. */
static void goal_place(const struct search *s, uint32_t *group, uint32_t *cluster, bool *given)
{
	const struct f4_volume *vol = s->vol;
	uint64_t goal = s->req->goal;

	*given = goal >= f4_group_first_blk(vol, 0) && goal < vol->blocks_count;
	if (*given) {
		*group = f4_blk_group(vol, goal);
		*cluster = (uint32_t)((goal - f4_group_first_blk(vol, *group)) >> vol->cluster_bits);
		return;
	}
	*cluster = 0;
	*group = s->req->ino ? f4_ino_group(vol, s->req->ino) : 0;
	if (*group >= vol->groups_count)
		*group = 0;
	/* The first group of a large flex group is full of inode tables: data starts behind it. */
	if (vol->flex_bits >= 2 && !(s->req->flags & F4_ALLOC_METADATA)) {
		uint32_t first = *group & ~((1u << vol->flex_bits) - 1);

		*group = first + 1 < vol->groups_count ? first + 1 : first;
	}
}

int f4_alloc_blocks(struct f4_handle *h, struct f4_volume *vol, const struct f4_alloc_req *req,
		    uint64_t *ret_blk, uint32_t *ret_len)
{
	struct search s = { .h = h, .vol = vol, .req = req };
	uint32_t group, goal, claimed, want;
	bool given, exact = req->flags & F4_ALLOC_EXACT;
	int r = 0;

	want = (uint32_t)(((uint64_t)req->len + vol->cluster_ratio - 1) >> vol->cluster_bits);
	claimed = claim(vol, want, req->flags & F4_ALLOC_RESERVED);
	if (claimed == 0)
		return -ENOSPC;
	s.want = claimed;
	goal_place(&s, &group, &goal, &given);
	if (given)
		r = search_group(&s, group, goal, true, exact);
	if (r == 0 && s.got == 0 && !exact)
		r = search_rounds(&s, group, goal);
	if (s.got < claimed)
		unclaim(vol, claimed - s.got);
	if (r < 0)
		return r;
	if (s.got == 0)
		return -ENOSPC;
	*ret_blk = s.blk;
	*ret_len = s.got << vol->cluster_bits;
	if (*ret_len > vol->blocks_count - s.blk)
		*ret_len = (uint32_t)(vol->blocks_count - s.blk);
	if (!(req->flags & F4_ALLOC_METADATA))
		f4_windows_note(vol, req->ino, s.blk, *ret_len);
	return 0;
}

bool f4_alloc_should_retry(struct f4_volume *vol, uint32_t attempt)
{
	if (attempt >= 3 || atomic_load(&vol->pending_clusters) <= 0)
		return false;
	return f4_journal_commit_wait(vol->journal, f4_journal_running_tid(vol->journal)) == 0;
}
