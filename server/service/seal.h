/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seal: how the server gives up everything but the descriptors it holds.
 *
 * Three steps, each irrevocable, in the order in which what they take away stops being needed:
 *
 *   f4_seal_prepare   right after start: nothing inherited by accident (descriptors, executable
 *                     data), and what the C library opens at first use is opened now.
 *   f4_seal_isolate   once the helper has sent argv and fusedev: a user id without rights, own
 *                     namespaces, an empty root, no capability, no new privileges, Landlock. Goes on
 *                     in a child (the first process of the pid namespace); the parent ends.
 *   f4_seal_close     once all descriptors are here and all threads exist: resource limits and the
 *                     system call filter, for every thread. Only then may the image be read.
 *
 * What each step must achieve depends on the surroundings (enum f4_seal_place); the tables are in
 * seal.c (steps) and seal_ns.c (namespaces). A step that is demanded and fails ends the program; one
 * that is only wanted leaves a word in @notes.
 *
 * Non-logging: reasons come back as text.
 */
#ifndef F4_SERVICE_SEAL_H
#define F4_SERVICE_SEAL_H

#include <sys/types.h>

struct f4_seccomp_policy;

/* Who started the process. */
enum f4_seal_place {
	F4_SEAL_MANAGER, /* a service manager, which may have made a sandbox already */
	F4_SEAL_ROOT,	 /* root's helper */
	F4_SEAL_USER,	 /* a user's helper */
	F4_SEAL_PLACE_MAX
};

struct f4_seal {
	enum f4_seal_place place;
	uid_t uid;		 /* as seen where the program was started; the one it serves with */
	gid_t gid;
	unsigned int namespaces; /* CLONE_NEW*: made by us */
	int uid_lock;		 /* owned; keeps @uid ours among the servers of this machine; -1 */

	/* Called in the parent after the fork, before it ends. May be NULL. */
	void (*parent)(void *arg, pid_t child);
	void *parent_arg;

	char reason[256]; /* why a call failed: one line */
	char notes[256];  /* what was wanted and is not there: words, or "" */
};

/*
 * f4_seal_prepare - first thing in main, while the process has one thread.
 * @s:     overwritten
 * @place: the caller knows it from the service socket
 * @keep:  the highest descriptor to keep; all above it are closed
 * stdin becomes /dev/null. Return: 0 or -errno with @s->reason.
 */
int f4_seal_prepare(struct f4_seal *s, enum f4_seal_place place, int keep);

/*
 * f4_seal_isolate - single-threaded; returns in the child. Nothing can be opened by path afterwards.
 * Return: 0 or -errno with @s->reason.
 */
int f4_seal_isolate(struct f4_seal *s);

/*
 * f4_seal_close - any number of threads. @with: conditional rows of @policy, as f4_seccomp_install().
 * Return: 0 or -errno with @s->reason. After 0 a call that @policy does not allow ends the process.
 */
int f4_seal_close(struct f4_seal *s, const struct f4_seccomp_policy *policy, unsigned int with);

/* f4_seal_done - release what @s owns. The seal itself stays. */
void f4_seal_done(struct f4_seal *s);

#endif
