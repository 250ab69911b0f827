/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The owner shift of a mount: which id of the image is which id for those who use it.
 *
 *   idmap=ITEM[/ITEM ...]
 *   ITEM   self                      the image's root is who mounts: uid 0 and gid 0
 *          [u:|g:]IMAGE:SHOWN:COUNT  COUNT ids from IMAGE are shown as those from SHOWN; users,
 *                                    groups, or both
 *
 * An id is in at most one range on each side, so the map can be read both ways. What is in none has
 * no meaning on the other side, as with the kernel's own maps: it is shown as nobody, and nothing can
 * be given to it. No system calls, no logging.
 */
#ifndef F4_PROTOCOL_IDMAP_H
#define F4_PROTOCOL_IDMAP_H

#include <stdbool.h>
#include <stdint.h>

#define F4_IDMAP_RANGES 16u /* of users, and of groups */

/* Shown for what has no meaning: Linux's default overflow id. */
#define F4_IDMAP_NOBODY 65534u

struct f4_idmap_range {
	uint32_t image, shown, count;
};

struct f4_idmap_kind {
	uint32_t n; /* ranges; 0: every id is itself */
	struct f4_idmap_range range[F4_IDMAP_RANGES];
};

struct f4_idmap {
	struct f4_idmap_kind uid, gid;
};

/*
 * f4_idmap_parse - read the value of idmap=.
 * @uid, @gid: who mounts
 * Return: 0; -EINVAL: not of the form above, or ids beyond 4294967294; -EEXIST: ranges overlap;
 * -E2BIG: too many.
 */
int f4_idmap_parse(const char *text, uint32_t uid, uint32_t gid, struct f4_idmap *ret);

/* f4_idmap_show - the image's @id as the mount shows it; F4_IDMAP_NOBODY where it has no meaning. */
uint32_t f4_idmap_show(const struct f4_idmap_kind *k, uint32_t id);

/* f4_idmap_store - what the image gets for @id. false: it has no meaning there. */
bool f4_idmap_store(const struct f4_idmap_kind *k, uint32_t id, uint32_t *ret);

#endif
