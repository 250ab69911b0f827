/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the attach broker allows, decided from facts.
 *
 * Every fact comes from the kernel (who is at the other end of the socket, what the descriptors are,
 * what the mount table says) and was found out by somebody else (request.c); nothing here makes a
 * system call, so that each rule has its test. Nothing that a request claims counts, but for what it
 * asks for.
 *
 * A refusal is a rule of msg.h, an errno, and a sentence that says what to do about it.
 */
#ifndef F4_HELPER_POLICY_H
#define F4_HELPER_POLICY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "helper/fuseconf.h"
#include "helper/mounts.h"
#include "protocol/msg.h"

/* Mounts that one user may have at a time, beside the mount_max of all. */
#define F4_POLICY_USER_MOUNTS 256u

/* fsconfig(2) takes strings of up to 255 bytes. */
#define F4_POLICY_SOURCE_MAX 256u

/* What the administrator says. */
struct f4_policy {
	struct f4_fuseconf fuse;
	uint32_t user_mounts;	 /* F4_POLICY_USER_MOUNTS, or as asked */
	bool all_ids;		 /* all user ids mean somebody here; else the overflow id does not */
	bool only_group;	 /* serve the members of @group alone */
	gid_t group;
};

struct f4_verdict {
	enum f4_rule rule; /* F4_RULE_NONE: allowed */
	uint32_t error;	   /* positive errno; 0 when allowed */
	char text[F4_WIRE_TEXT_MAX];
};

/*
 * f4_refuse - fill in a refusal.
 * @error: positive errno below F4_WIRE_ERRNO_MAX; anything else becomes EIO
 * Return: false, for `return f4_refuse(...)`.
 */
bool f4_refuse(struct f4_verdict *v, enum f4_rule rule, int error, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* The functions below return true when allowed; else they fill in *@v. */

/* f4_policy_peer - is this somebody to serve at all? (access) */
bool f4_policy_peer(const struct f4_policy *p, uid_t uid, gid_t gid, const gid_t *groups,
		    size_t ngroups, struct f4_verdict *v);

/* f4_policy_options - may an ordinary user have these F4_ATTACH_* flags? (allow-other, option) */
bool f4_policy_options(const struct f4_policy *p, uint32_t flags, struct f4_verdict *v);

/* A mount point, as its would-be owner's own rights see it. */
struct f4_place {
	int fd_error;	   /* enum f4_fd_error or -errno of f4_fd_expect(F4_FD_PATH_MOUNT); 0: good */
	mode_t mode;	   /* st_mode */
	uid_t owner;
	int access_error;  /* positive errno of asking for write permission; 0: granted */
	uint64_t fs_type;  /* f_type of statfs(2) */
	bool in_table;	   /* its mount is one that the broker's mount namespace has */
};

/* f4_policy_place - may @uid mount there? (mount-point, fs-type, namespace, sticky, writable) */
bool f4_policy_place(const struct f4_place *place, uid_t uid, struct f4_verdict *v);

/* f4_policy_fs_type - may be mounted on for users: no pseudo filesystem is. */
bool f4_policy_fs_type(uint64_t fs_type);

/* f4_policy_counts - is there room for one more mount of @uid's? (mount-max) */
bool f4_policy_counts(const struct f4_policy *p, const struct f4_mounts *m, uid_t uid,
		      struct f4_verdict *v);

/* What a descriptor proves about a source's name. */
struct f4_proof {
	bool given;	  /* there is a descriptor */
	int access_error; /* positive errno of asking for read permission; 0: granted */
	mode_t mode;
	bool in_table;	  /* its mount is one that the broker's mount namespace has */
	const char *path; /* borrowed: where the kernel says it is; NULL: not known */
};

/*
 * f4_policy_source - what the mount table will show. (source)
 * @text: what the request says
 * @ret:  F4_POLICY_SOURCE_MAX bytes: @text itself if it is proven, else behind "fuse4fs:"; control
 *        characters as \xNN
 */
bool f4_policy_source(const char *text, const struct f4_proof *proof, char *ret,
		      struct f4_verdict *v);

/*
 * f4_policy_detach - may @uid unmount the topmost mount of a place? (not-ours, owner, topmost)
 * @id:     of that mount
 * @ret:    its entry, borrowed from @m
 */
bool f4_policy_detach(const struct f4_mounts *m, int id, uid_t uid, const struct f4_mount **ret,
		      struct f4_verdict *v);

#endif
