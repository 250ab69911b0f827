/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which user the server is.
 *
 * A process that was not started by root keeps its user: it can't have another one. Root's server
 * takes a user of its own: `fuse4fs` where the administrator has made one (in /etc/passwd: no name
 * service is asked, which might need the network or the very filesystem that is being mounted), else
 * an id from the range that systemd sets aside for transient services (61184 to 65519), one that no
 * passwd entry, no transient service and no other server of ours has. A lock on a file in
 * /run/fuse4fs/uid, named after the id, keeps it ours: it goes away with the process.
 *
 * Root of a user namespace that maps no other id stays what it is: outside it is the user who made the
 * namespace. (When that was root, the server's id is root's, without any of its rights.)
 */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/str.h"
#include "server/service/seal_stages.h"

#define USER_NAME     "fuse4fs"
#define PASSWD_FILE   "/etc/passwd"
#define LOCK_DIR_TOP  "/run/fuse4fs"
#define LOCK_DIR      LOCK_DIR_TOP "/uid"
#define MANAGER_DIR   "/run/systemd/dynamic-uid"
#define DYNAMIC_FIRST 61184u /* source: systemd docs/UIDS-GIDS.md */
#define DYNAMIC_LAST  65519u

struct choice {
	uid_t uid;
	gid_t gid;
	int lock; /* owned */
};

static void file_close_p(FILE **f)
{
	if (*f)
		(void)fclose(*f); /* only read */
	*f = NULL;
}

/* The passwd file, once: which ids of the range have an owner, and who is USER_NAME. */
struct users {
	bool named;
	uid_t uid;
	gid_t gid;
	bool taken[DYNAMIC_LAST - DYNAMIC_FIRST + 1];
};

static void read_users(struct users *u)
{
	f4_cleanup(file_close_p) FILE *f = fopen(PASSWD_FILE, "re");
	char line[2048];
	struct passwd pw, *found;

	memset(u, 0, sizeof(*u));
	if (!f)
		return; /* a container without one: nobody has a name */
	while (fgetpwent_r(f, &pw, line, sizeof(line), &found) == 0) {
		if (pw.pw_uid >= DYNAMIC_FIRST && pw.pw_uid <= DYNAMIC_LAST)
			u->taken[pw.pw_uid - DYNAMIC_FIRST] = true;
		if (!u->named && pw.pw_uid != 0 && f4_str_eq(pw.pw_name, USER_NAME)) {
			u->named = true;
			u->uid = pw.pw_uid;
			u->gid = pw.pw_gid;
		}
	}
}

/* is_mapped - does @map (uid_map or gid_map of the own user namespace) know @id? */
static bool is_mapped(const char *map, unsigned int id)
{
	f4_cleanup(file_close_p) FILE *f = fopen(map, "re");
	unsigned int first, outside, count;

	if (!f)
		return true; /* let setresuid tell */
	while (fscanf(f, "%u %u %u", &first, &outside, &count) == 3)
		if (id >= first && id - first < count)
			return true;
	return false;
}

static bool manager_has(uid_t uid)
{
	char path[64];

	return f4_str_format(path, sizeof(path), MANAGER_DIR "/direct:%u", uid) == 0 &&
	       faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* open_lock_dir - the directory of locks; nobody but root can write it. Return: descriptor or -errno. */
static int open_lock_dir(void)
{
	f4_auto_fd fd = -1;
	struct stat st;

	/* The umask took bits away from a directory where the broker has its socket, for everybody. */
	if (mkdir(LOCK_DIR_TOP, 0755) == 0)
		(void)chmod(LOCK_DIR_TOP, 0755); /* systemd-tmpfiles puts it right otherwise */
	else if (errno != EEXIST)
		return -errno;
	if (mkdir(LOCK_DIR, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(LOCK_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != 0 || (st.st_mode & 022))
		return -EPERM;
	return f4_take_fd(&fd);
}

/* take_lock - Return: 1 the id is ours now, 0 another server has it, -errno. */
static int take_lock(int dir, uid_t uid, int *ret_fd)
{
	f4_auto_fd fd = -1;
	char name[16];
	int r;

	r = f4_str_format(name, sizeof(name), "%u", uid);
	if (r < 0)
		return r;
	fd = openat(dir, name, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 0 : -errno;
	*ret_fd = f4_take_fd(&fd);
	return 1;
}

static int choose_dynamic(struct f4_seal *s, const struct users *users, struct choice *ret)
{
	const unsigned int n = DYNAMIC_LAST - DYNAMIC_FIRST + 1;
	f4_auto_fd dir = open_lock_dir();
	unsigned int start = (unsigned int)getpid() % n;

	for (unsigned int i = 0; i < n; i++) {
		unsigned int at = (start + i) % n;
		uid_t uid = DYNAMIC_FIRST + at;
		int r;

		if (users->taken[at] || manager_has(uid))
			continue;
		/* Where /run can't be written the process id still tells the servers apart. */
		r = dir >= 0 ? take_lock(dir, uid, &ret->lock) : 1;
		if (r < 0)
			return f4_seal_fail(s, r, LOCK_DIR "/%u", uid);
		if (r > 0) {
			ret->uid = ret->gid = uid;
			return 0;
		}
	}
	return f4_seal_fail(s, -EAGAIN, "all user ids from %u to %u are in use", DYNAMIC_FIRST,
			    DYNAMIC_LAST);
}

/*
 * Capabilities that the later steps need where no user namespace can be made: namespaces and
 * mounts; entering the own mount namespace from inside a chroot; locking the securebits.
 */
static void keep_for_later(void)
{
	static const unsigned int later[] = { CAP_SYS_ADMIN, CAP_SYS_CHROOT, CAP_SETPCAP };

	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < F4_ARRAY_LEN(later); i++)
		if (prctl(PR_CAPBSET_READ, later[i], 0, 0, 0) == 1)
			(void)capng_update(CAPNG_ADD,
					   (capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED),
					   later[i]);
}

/*
 * Empty the bounding set while we are root, for the case that no user namespace comes (a chroot): with
 * CAP_SETPCAP. Root of a container may lack that; no_new_privs then makes the set meaningless.
 */
static void empty_bounds(void)
{
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* EPERM: see above */
}

static int become(struct f4_seal *s, const struct choice *c)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;
	int r;

	if (capng_get_caps_process() < 0)
		return f4_seal_fail(s, -EPERM, "reading the own capabilities");
	keep_for_later();
	empty_bounds();
	r = capng_change_id((int)c->uid, (int)c->gid,
			    (capng_flags_t)(CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_AMBIENT));
	if (r < 0)
		return f4_seal_fail(s, -EPERM, "becoming user %u (code %d)", c->uid, r);
	if (getresuid(&ruid, &euid, &suid) < 0 || getresgid(&rgid, &egid, &sgid) < 0 ||
	    ruid != c->uid || euid != c->uid || suid != c->uid || rgid != c->gid ||
	    egid != c->gid || sgid != c->gid || getgroups(0, NULL) != 0)
		return f4_seal_fail(s, -EPERM, "becoming user %u left something of root", c->uid);
	return 0;
}

static int leave_root(struct f4_seal *s)
{
	static struct users users; /* 4 KiB: not on the stack */
	struct choice c = { .lock = -1 };
	int r;

	read_users(&users);
	if (users.named && is_mapped("/proc/self/uid_map", users.uid) &&
	    is_mapped("/proc/self/gid_map", users.gid)) {
		c.uid = users.uid;
		c.gid = users.gid;
	} else if (is_mapped("/proc/self/uid_map", DYNAMIC_LAST) &&
		   is_mapped("/proc/self/gid_map", DYNAMIC_LAST)) {
		r = choose_dynamic(s, &users, &c);
		if (r < 0)
			return r;
	} else {
		return 0; /* nobody else exists in this user namespace */
	}
	s->uid_lock = c.lock;
	r = become(s, &c);
	if (r < 0)
		return r;
	s->uid = c.uid;
	s->gid = c.gid;
	return 0;
}

int f4_seal_identity(struct f4_seal *s)
{
	if (geteuid() != getuid() || getegid() != getgid())
		return f4_seal_fail(s, -EPERM, "started with two identities (set-user-id?)");
	if (geteuid() != 0)
		return 0;
	return leave_root(s);
}
