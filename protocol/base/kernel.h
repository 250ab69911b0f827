/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values of the kernel's interface that are newer than the headers a program may be built with.
 *
 * Each group names the kernel that brought it and the file of the kernel tree that defines it. All
 * are probed at run time; nothing here says that the running kernel has them.
 */
#ifndef F4_BASE_KERNEL_H
#define F4_BASE_KERNEL_H

#include <stdint.h>

/*
 * Landlock. Source: include/uapi/linux/landlock.h.
 * Interface 1: kernel 5.13; 2 (REFER): 5.19; 3 (TRUNCATE): 6.2; 4 (network): 6.7; 5 (IOCTL_DEV):
 * 6.10; 6 (scopes): 6.12. Names of our own, so that they never meet the header's.
 */
#define F4_LANDLOCK_VERSION_FLAG 0x1u /* landlock_create_ruleset: tell the interface's version */

#define F4_LANDLOCK_FS_V1 0x1fffull /* execute, write, read, readdir, remove *2, make *7 */
#define F4_LANDLOCK_FS_V2 0x3fffull /* and refer */
#define F4_LANDLOCK_FS_V3 0x7fffull /* and truncate */
#define F4_LANDLOCK_FS_V5 0xffffull /* and ioctl of devices */
#define F4_LANDLOCK_NET	  0x3ull    /* bind and connect of TCP */
#define F4_LANDLOCK_SCOPE 0x3ull    /* abstract unix sockets, signals */

struct f4_landlock_attr {
	uint64_t handled_fs;  /*  0 interface 1 */
	uint64_t handled_net; /*  8 interface 4 */
	uint64_t scoped;      /* 16 interface 6 */
};

/* fsconfig(2): make a superblock, don't use one that exists. Linux 6.6. Source: .../mount.h. */
#define F4_FSCONFIG_CMD_CREATE_EXCL 8

/* statfs(2) type of tmpfs. Source: include/uapi/linux/magic.h. */
#define F4_TMPFS_MAGIC 0x01021994

#endif
