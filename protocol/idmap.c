/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owner shift; the contract is in idmap.h. */
#include "protocol/idmap.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "protocol/base/str.h"

#define ITEM_MAX 64u /* bytes with the NUL: "u:" and three numbers */

static bool overlap(uint32_t a, uint32_t a_count, uint32_t b, uint32_t b_count)
{
	return a < (uint64_t)b + b_count && b < (uint64_t)a + a_count;
}

static int add(struct f4_idmap_kind *k, struct f4_idmap_range r)
{
	if (k->n == F4_IDMAP_RANGES)
		return -E2BIG;
	for (uint32_t i = 0; i < k->n; i++)
		if (overlap(r.image, r.count, k->range[i].image, k->range[i].count) ||
		    overlap(r.shown, r.count, k->range[i].shown, k->range[i].count))
			return -EEXIST;
	k->range[k->n++] = r;
	return 0;
}

/* One number of @s, up to a colon or the end; *@s moves behind it. */
static bool take_number(char **s, uint64_t max, uint32_t *ret)
{
	char *colon = strchr(*s, ':');
	uint64_t n;

	if (colon)
		*colon = '\0';
	if (f4_str_to_u64(*s, 10, max, &n) != 0)
		return false;
	*ret = (uint32_t)n;
	*s = colon ? colon + 1 : *s + strlen(*s);
	return true;
}

/* "IMAGE:SHOWN:COUNT" */
static bool parse_range(char *s, struct f4_idmap_range *ret)
{
	char *end = s + strlen(s);

	if (!take_number(&s, UINT32_MAX - 1, &ret->image) || s == end ||
	    !take_number(&s, UINT32_MAX - 1, &ret->shown) || s == end || strchr(s, ':') ||
	    !take_number(&s, UINT32_MAX, &ret->count))
		return false;
	/* (uid_t)-1 is no id */
	return ret->count > 0 && (uint64_t)ret->image + ret->count <= UINT32_MAX &&
	       (uint64_t)ret->shown + ret->count <= UINT32_MAX;
}

static int parse_item(struct f4_idmap *m, char *item, uint32_t uid, uint32_t gid)
{
	struct f4_idmap_range r;
	bool users = true, groups = true;
	int rc;

	if (f4_str_eq(item, "self")) {
		rc = add(&m->uid, (struct f4_idmap_range){ 0, uid, 1 });
		return rc ? rc : add(&m->gid, (struct f4_idmap_range){ 0, gid, 1 });
	}
	if (item[0] == 'u' || item[0] == 'g') {
		users = item[0] == 'u';
		groups = !users;
		if (item[1] != ':')
			return -EINVAL;
		item += 2;
	}
	if (!parse_range(item, &r))
		return -EINVAL;
	rc = users ? add(&m->uid, r) : 0;
	return rc == 0 && groups ? add(&m->gid, r) : rc;
}

int f4_idmap_parse(const char *text, uint32_t uid, uint32_t gid, struct f4_idmap *ret)
{
	struct f4_idmap m = { 0 };
	char item[ITEM_MAX];

	for (;;) {
		size_t len = strcspn(text, "/");
		int rc;

		if (len >= sizeof(item))
			return -EINVAL;
		memcpy(item, text, len);
		item[len] = '\0';
		rc = parse_item(&m, item, uid, gid);
		if (rc < 0)
			return rc;
		if (!text[len])
			break;
		text += len + 1;
	}
	*ret = m;
	return 0;
}

uint32_t f4_idmap_show(const struct f4_idmap_kind *k, uint32_t id)
{
	for (uint32_t i = 0; i < k->n; i++)
		if (id >= k->range[i].image && id - k->range[i].image < k->range[i].count)
			return k->range[i].shown + (id - k->range[i].image);
	return k->n ? F4_IDMAP_NOBODY : id;
}

bool f4_idmap_store(const struct f4_idmap_kind *k, uint32_t id, uint32_t *ret)
{
	for (uint32_t i = 0; i < k->n; i++) {
		if (id >= k->range[i].shown && id - k->range[i].shown < k->range[i].count) {
			*ret = k->range[i].image + (id - k->range[i].shown);
			return true;
		}
	}
	*ret = k->n ? F4_IDMAP_NOBODY : id;
	return k->n == 0;
}
