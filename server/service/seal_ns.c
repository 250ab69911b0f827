/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Own namespaces.
 *
 * The user namespace comes first: inside it any user may make the others, and capabilities in it are
 * worth nothing outside. It maps one user and one group, the server's own, to themselves. Each kind
 * is asked for by itself, so that one that is refused does not cost the rest.
 *
 * A pid namespace begins with the next child: the process forks, the child is its first process and
 * goes on, the parent ends at once. The child is also the leader of a session without a terminal.
 *
 * Facts, not the environment, tell what a service manager has made already: the kernel gives the
 * machine's first namespaces fixed inode numbers, a network namespace of one's own has no interface
 * but lo, a user namespace of one's own knows two users at most, and a mount namespace of one's own is
 * told by what its root lacks. A manager before systemd 257 has no pid and cgroup namespaces to give;
 * what they would hide, the empty root and the system call filter deny.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/base/str.h"
#include "server/service/seal_stages.h"

enum need {
	MADE,	 /* by us, or the mount fails */
	PRIVATE, /* by us or by the service manager */
	WANTED,	 /* a word in the notes where neither of us made it */
	LEFT,	 /* the service manager's choice */
};

static bool ns_is_not_first(unsigned long first, const char *path);
static bool has_only_loopback(unsigned long first, const char *path);
static bool root_is_bare(unsigned long first, const char *path);
static bool has_few_users(unsigned long first, const char *path);

/*
 * A user namespace can be forbidden to everybody, by sysctl; root's server then has its namespaces
 * all the same, and its capabilities go later instead of becoming worthless now.
 */
static const struct kind {
	const char *name;
	int flag;
	enum need need[F4_SEAL_PLACE_MAX]; /* manager, root, user */
	bool (*is_private)(unsigned long first, const char *path);
	unsigned long first; /* inode of the machine's own. Source: include/linux/proc_ns.h */
	const char *path;
} kinds[] = {
	{ "user", CLONE_NEWUSER, { WANTED, WANTED, MADE }, has_few_users, 0,
	  "/proc/self/uid_map" },
	{ "mnt", CLONE_NEWNS, { WANTED, MADE, MADE }, root_is_bare, 0, "/" },
	{ "net", CLONE_NEWNET, { PRIVATE, MADE, MADE }, has_only_loopback, 0, "/proc/self/net/dev" },
	{ "ipc", CLONE_NEWIPC, { PRIVATE, MADE, MADE }, ns_is_not_first, 0xefffffff,
	  "/proc/self/ns/ipc" },
	{ "uts", CLONE_NEWUTS, { PRIVATE, MADE, MADE }, ns_is_not_first, 0xeffffffe,
	  "/proc/self/ns/uts" },
	{ "cgroup", CLONE_NEWCGROUP, { LEFT, MADE, MADE }, NULL, 0, NULL },
	{ "pid", CLONE_NEWPID, { LEFT, MADE, MADE }, NULL, 0, NULL },
};

static bool ns_is_not_first(unsigned long first, const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_ino != first;
}

/* Root and one more; a container for many has a namespace too, with thousands. */
static bool has_few_users(unsigned long first, const char *path)
{
	f4_auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	f4_auto_free char *text = NULL;
	unsigned long long count, sum = 0;

	(void)first;
	if (fd < 0 || f4_fd_slurp(fd, 65536, &text, NULL) < 0)
		return false;
	for (char *line = text; line && sum <= 2 && sscanf(line, "%*u %*u %llu", &count) == 1;) {
		sum += count;
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return sum > 0 && sum <= 2;
}

static bool root_is_bare(unsigned long first, const char *path)
{
	(void)first;
	(void)path;
	return f4_seal_root_is_bare();
}

static bool has_only_loopback(unsigned long first, const char *path)
{
	f4_auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	f4_auto_free char *text = NULL;
	unsigned int others = 0, lo = 0;

	(void)first;
	if (fd < 0 || f4_fd_slurp(fd, 65536, &text, NULL) < 0)
		return false;
	/* Two lines of headings, then one interface a line: "    lo: 0 0 ...". */
	for (char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		size_t blanks = strspn(line, " ");
		size_t name = strcspn(line + blanks, ":|\n");

		if (line[blanks + name] != ':')
			continue;
		if (name == 2 && strncmp(line + blanks, "lo", 2) == 0)
			lo++;
		else
			others++;
	}
	return lo == 1 && others == 0;
}

static int write_proc(struct f4_seal *s, const char *path, const char *text)
{
	f4_auto_fd fd = open(path, O_WRONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return f4_seal_fail(s, -errno, "%s", path);
	r = f4_fd_write_all(fd, text, strlen(text));
	return r < 0 ? f4_seal_fail(s, r, "%s", path) : 0;
}

static int map_self(struct f4_seal *s)
{
	char line[64];
	int r;

	/* After a change of user the kernel gives /proc/self to root: take it back for a moment. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		return f4_seal_fail(s, -errno, "preparing the id maps");
	r = write_proc(s, "/proc/self/setgroups", "deny");
	if (r < 0)
		return r;
	r = f4_str_format(line, sizeof(line), "%u %u 1", s->gid, s->gid);
	if (r == 0)
		r = write_proc(s, "/proc/self/gid_map", line);
	if (r < 0)
		return r;
	r = f4_str_format(line, sizeof(line), "%u %u 1", s->uid, s->uid);
	if (r == 0)
		r = write_proc(s, "/proc/self/uid_map", line);
	return r;
}

static int refused(struct f4_seal *s, const struct kind *k, int err)
{
	if (k->flag == CLONE_NEWUSER)
		return f4_seal_fail(s, err,
				    "a user namespace is refused (see sysctl user.max_user_namespaces, "
				    "kernel.unprivileged_userns_clone, the container's or LSM's policy)");
	return f4_seal_fail(s, err, "a %s namespace is refused", k->name);
}

static int make(struct f4_seal *s, const struct kind *k)
{
	char word[32];
	int err;

	if (unshare(k->flag) == 0) {
		s->namespaces |= (unsigned int)k->flag;
		return k->flag == CLONE_NEWUSER ? map_self(s) : 0;
	}
	err = -errno;
	switch (k->need[s->place]) {
	case MADE:
		return refused(s, k, err);
	case PRIVATE:
		if (!k->is_private(k->first, k->path))
			return f4_seal_fail(s, err,
					    "the %s namespace is not private and none can be made",
					    k->name);
		return 0;
	case LEFT:
		return 0;
	case WANTED:
		break;
	}
	if (k->is_private && s->place == F4_SEAL_MANAGER && k->is_private(k->first, k->path))
		return 0;
	if (f4_str_format(word, sizeof(word), "%s namespace", k->name) == 0)
		f4_seal_note(s, word);
	return 0;
}

/* go_on_as_child - only the child returns. */
static int go_on_as_child(struct f4_seal *s)
{
	pid_t child = fork();

	if (child < 0)
		return f4_seal_fail(s, -errno, "first process of the pid namespace");
	if (child > 0) {
		if (s->parent)
			s->parent(s->parent_arg, child);
		_exit(0); /* nothing of the child's may be flushed or undone here */
	}
	if (setsid() < 0)
		return f4_seal_fail(s, -errno, "leaving the terminal");
	return 0;
}

int f4_seal_namespaces(struct f4_seal *s)
{
	int r;

	for (size_t i = 0; i < F4_ARRAY_LEN(kinds); i++) {
		r = make(s, &kinds[i]);
		if (r < 0)
			return r;
	}
	return s->namespaces & CLONE_NEWPID ? go_on_as_child(s) : 0;
}
