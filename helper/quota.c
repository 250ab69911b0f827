/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much one user may ask; the contract is in quota.h. */
#include "helper/quota.h"

#include <assert.h>

#define BURST_MILLI (F4_QUOTA_BURST * 1000u)

static struct f4_quota_user *find(struct f4_quota *q, uid_t uid)
{
	for (size_t i = 0; i < q->n; i++)
		if (q->user[i].uid == uid)
			return &q->user[i];
	return NULL;
}

/* F4_QUOTA_RATE requests a second are as many thousandths a millisecond. */
static void refill(struct f4_quota_user *u, int64_t now_ms)
{
	uint64_t passed = now_ms > u->since_ms ? (uint64_t)(now_ms - u->since_ms) : 0;
	uint64_t milli = u->milli + passed * F4_QUOTA_RATE;

	u->milli = milli < BURST_MILLI ? (uint32_t)milli : BURST_MILLI;
	u->since_ms = now_ms;
}

/* A place for another user: a free one, else that of the user who asks for least. */
static struct f4_quota_user *make_room(struct f4_quota *q, int64_t now_ms)
{
	struct f4_quota_user *best = NULL;

	if (q->n < F4_QUOTA_USERS)
		return &q->user[q->n++];
	for (size_t i = 0; i < q->n; i++) {
		refill(&q->user[i], now_ms);
		if (q->user[i].live == 0 && (!best || q->user[i].milli > best->milli))
			best = &q->user[i];
	}
	return best;
}

int f4_quota_take(struct f4_quota *q, uid_t uid, int64_t now_ms)
{
	struct f4_quota_user *u = find(q, uid);

	if (!u) {
		u = make_room(q, now_ms);
		if (!u)
			return F4_QUOTA_E_USERS;
		*u = (struct f4_quota_user){ .uid = uid, .milli = BURST_MILLI, .since_ms = now_ms };
	}
	refill(u, now_ms);
	if (u->live >= F4_QUOTA_LIVE)
		return F4_QUOTA_E_LIVE;
	if (u->milli < 1000)
		return F4_QUOTA_E_RATE;
	u->milli -= 1000;
	u->live++;
	return 0;
}

void f4_quota_give(struct f4_quota *q, uid_t uid)
{
	struct f4_quota_user *u = find(q, uid);

	assert(u && u->live > 0); /* users with a request are never dropped */
	u->live--;
}

const char *f4_quota_strerror(int e)
{
	switch (e) {
	case F4_QUOTA_E_LIVE:
		return "too many requests by this user at a time; try again";
	case F4_QUOTA_E_RATE:
		return "too many requests by this user in the last seconds; try again";
	case F4_QUOTA_E_USERS:
		return "too many users at a time; try again";
	default:
		return "too many requests; try again";
	}
}
