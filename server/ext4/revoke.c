/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A set of revoked blocks: open addressing, linear probing, deleted places marked.
 */
#include <errno.h>
#include <stdlib.h>

#include "server/ext4/journal_priv.h"

#define KEY_DELETED UINT64_MAX

static size_t home_slot(const struct f4_revoke_set *set, uint64_t key)
{
	return (size_t)((key * 0x9e3779b97f4a7c15ull) >> 16) & (set->n_slots - 1);
}

static struct f4_revoke_slot *find(const struct f4_revoke_set *set, uint64_t key)
{
	size_t i;

	if (set->count == 0)
		return NULL;
	for (i = home_slot(set, key); set->slots[i].key != 0; i = (i + 1) & (set->n_slots - 1))
		if (set->slots[i].key == key)
			return &set->slots[i];
	return NULL;
}

static void insert(struct f4_revoke_set *set, uint64_t key, f4_tid tid)
{
	size_t i = home_slot(set, key);

	while (set->slots[i].key != 0)
		i = (i + 1) & (set->n_slots - 1);
	set->slots[i] = (struct f4_revoke_slot){ .key = key, .tid = tid };
	set->count++;
	set->used++;
}

/* A table at most half full, without the deleted places. */
static int rehash(struct f4_revoke_set *set)
{
	struct f4_revoke_set to = { .n_slots = 64 };

	while (to.n_slots < (set->count + 1) * 4)
		to.n_slots *= 2;
	to.slots = calloc(to.n_slots, sizeof(*to.slots));
	if (!to.slots)
		return -ENOMEM;
	for (size_t i = 0; i < set->n_slots; i++)
		if (set->slots[i].key != 0 && set->slots[i].key != KEY_DELETED)
			insert(&to, set->slots[i].key, set->slots[i].tid);
	free(set->slots);
	*set = to;
	return 0;
}

int f4_revoke_add(struct f4_revoke_set *set, uint64_t blk, f4_tid tid)
{
	uint64_t key = blk + 1;
	struct f4_revoke_slot *slot = find(set, key);
	int r;

	if (slot) {
		if (f4_tid_after(tid, slot->tid))
			slot->tid = tid;
		return 0;
	}
	if ((set->used + 1) * 2 > set->n_slots) {
		r = rehash(set);
		if (r < 0)
			return r;
	}
	insert(set, key, tid);
	return 0;
}

bool f4_revoke_del(struct f4_revoke_set *set, uint64_t blk)
{
	struct f4_revoke_slot *slot = find(set, blk + 1);

	if (!slot)
		return false;
	slot->key = KEY_DELETED;
	set->count--;
	return true;
}

bool f4_revoke_find(const struct f4_revoke_set *set, uint64_t blk, f4_tid *ret_tid)
{
	struct f4_revoke_slot *slot = find(set, blk + 1);

	if (slot)
		*ret_tid = slot->tid;
	return slot != NULL;
}

void f4_revoke_done(struct f4_revoke_set *set)
{
	free(set->slots);
	*set = (struct f4_revoke_set){ 0 };
}
