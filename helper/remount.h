/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mount -o remount: other flags for a mount that stands.
 *
 * The kernel changes what it enforces by itself and tells a FUSE server nothing. So the server is
 * told by F4_IOC_REMOUNT on the root directory: first for ro, so that it has all on the device
 * before the kernel calls the mount read-only; last for rw, so that no write comes before the
 * server takes it.
 */
#ifndef F4_HELPER_REMOUNT_H
#define F4_HELPER_REMOUNT_H

#include <stdint.h>

#include "helper/fail.h"
#include "protocol/cmdline.h"

/*
 * f4_remount - change the mount that is on @c->dir.
 * @ms_flags: the MS_* flags that it is to have
 * Return: 0 or F4_FAILED.
 */
int f4_remount(const struct f4_cmdline *c, const char *subtype, uint32_t ms_flags,
	       struct f4_fail *f);

#endif
