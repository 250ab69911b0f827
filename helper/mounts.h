/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mount table of this process, from /proc/self/mountinfo.
 *
 * Source: proc_pid_mountinfo(5). The text comes from the kernel, but source and option strings in
 * it may be anybody's.
 */
#ifndef F4_HELPER_MOUNTS_H
#define F4_HELPER_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct f4_mount {
	int id, parent;
	dev_t dev;
	/* All borrowed from the table, unescaped. */
	const char *root, *target, *type, *source;
	const char *options;	   /* of the mount */
	const char *super_options; /* of the filesystem; still escaped, values may hold anything */
};

struct f4_mounts {
	size_t n;
	struct f4_mount *v; /* owned; in the kernel's order, later mounts of a place behind earlier */
	char *text;	    /* owned */
};

#define F4_MOUNTS_INIT { 0, NULL, NULL }

/* f4_mounts_load - read the table. Return: 0; -ENOMEM, -EFBIG; -errno of open(2), read(2). */
int f4_mounts_load(struct f4_mounts *m);

/* f4_mounts_parse - the same from @text, which is owned by @m afterwards, also on failure. */
int f4_mounts_parse(struct f4_mounts *m, char *text);

void f4_mounts_done(struct f4_mounts *m);

/* f4_mounts_by_id - the entry with this mount id, or NULL. */
const struct f4_mount *f4_mounts_by_id(const struct f4_mounts *m, int id);

/* f4_mounts_topmost - the entry that a lookup of @path ends in when it is a mount's root; or NULL. */
const struct f4_mount *f4_mounts_topmost(const struct f4_mounts *m, const char *path);

/* f4_mounts_has_child - is anything mounted on or below @mount? */
bool f4_mounts_has_child(const struct f4_mounts *m, const struct f4_mount *mount);

/* f4_mount_is_ours - is its type fuse.@subtype or fuseblk.@subtype? */
bool f4_mount_is_ours(const struct f4_mount *mount, const char *subtype);

/*
 * f4_mount_user_id - the user_id= of a FUSE mount, as this user namespace sees it.
 * Return: true and *@ret when there is one.
 */
bool f4_mount_user_id(const struct f4_mount *mount, uid_t *ret);

/* f4_fd_mount_id - the id of the mount that @fd (any kind, also O_PATH) is in. Return: 0 or -errno. */
int f4_fd_mount_id(int fd, int *ret_id);

/*
 * f4_fd_path - where @fd is, as the kernel shows it in /proc/self/fd.
 * @ret: owned by the caller
 * Return: 0; -ENOMEM, -ENAMETOOLONG; -errno of readlink(2).
 */
int f4_fd_path(int fd, char **ret);

#endif
