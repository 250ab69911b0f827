/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /run/mount/utab: what mount(8) and umount(8) remember about a mount that the kernel does not.
 *
 * Written through libmount, which owns that file's format and locking. Only a mount made by root is
 * written down, and only where the file is writable: a container or a user namespace has none.
 */
#ifndef F4_HELPER_UTAB_H
#define F4_HELPER_UTAB_H

/*
 * f4_utab_add - write a mount down with "helper=SUBTYPE", so that umount(8) calls our helper.
 * @type:    as the mount table shows it ("fuse.fuse4fs")
 * @options: the caller's -o words, or NULL; of them, libmount keeps its own ("user=", "_netdev")
 * Return: 0, also where there is no utab to write; -errno.
 */
int f4_utab_add(const char *source, const char *target, const char *type, const char *subtype,
		const char *options);

/* f4_utab_remove - forget the mount at @target. Return: as f4_utab_add(). */
int f4_utab_remove(const char *target);

#endif
