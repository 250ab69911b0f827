/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /etc/fuse.conf, the administrator's word on what ordinary users may mount.
 *
 * Source: fuse(8) and fusermount3(1): lines "user_allow_other" and "mount_max = N", "#" begins a
 * comment. Lines that mean nothing are skipped, as they always were.
 */
#ifndef F4_HELPER_FUSECONF_H
#define F4_HELPER_FUSECONF_H

#include <stdbool.h>
#include <stdint.h>

#define F4_FUSECONF_PATH      "/etc/fuse.conf"
#define F4_FUSECONF_MOUNT_MAX 1000u /* where the file says nothing */

struct f4_fuseconf {
	bool user_allow_other;
	uint32_t mount_max; /* FUSE mounts of all ordinary users together; UINT32_MAX: no limit */
};

/*
 * f4_fuseconf_load - read the file. One that is not there, or that can't be read, allows nothing
 * and leaves the default limit.
 */
void f4_fuseconf_load(struct f4_fuseconf *c);

/* f4_fuseconf_parse - the same from @text, which is changed. */
void f4_fuseconf_parse(struct f4_fuseconf *c, char *text);

#endif
