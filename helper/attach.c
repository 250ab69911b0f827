/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making the mount; the contract is in attach.h. */
#include "helper/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "helper/broker.h"
#include "helper/child.h"
#include "helper/mounts.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/base/kernel.h"
#include "protocol/base/log.h"
#include "protocol/base/str.h"
#include "protocol/wire.h"

/* Linux 5.14 and 5.10; not in glibc 2.36. Source: include/uapi/linux/mount.h. */
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

#define F4_READ_AHEAD_KB "2048"

struct config {
	int fd; /* from fsopen(2) */
	bool only_new;
	struct f4_fail *f;
};

/* The kernel's own words about the last refusal, "" when it has none. */
static void kernel_says(int fd, char *buf, size_t size)
{
	char line[256];
	ssize_t n;

	buf[0] = '\0';
	while ((n = read(fd, line, sizeof(line) - 1)) > 0) {
		line[n] = '\0';
		if (line[0] == 'e' && line[1] == ' ') {
			line[strcspn(line, "\n")] = '\0';
			(void)snprintf(buf, size, " (%s)", line + 2); /* cut is good enough */
		}
	}
}

static int set_string(struct config *c, const char *key, const char *value)
{
	char words[300];
	int error;

	if (fsconfig(c->fd, FSCONFIG_SET_STRING, key, value, 0) == 0)
		return 0;
	error = errno;
	kernel_says(c->fd, words, sizeof(words));
	return f4_fail(c->f, F4_EXIT_FAILED, error, "mount option '%s=%s': the kernel refuses it%s",
		       key, value, words);
}

static int set_number(struct config *c, const char *key, const char *format, unsigned int n)
{
	char text[32];

	(void)snprintf(text, sizeof(text), f4_str_eq(format, "o") ? "%o" : "%u", n); /* it fits */
	return set_string(c, key, text);
}

static int set_flag(struct config *c, const char *key)
{
	if (fsconfig(c->fd, FSCONFIG_SET_FLAG, key, NULL, 0) == 0)
		return 0;
	return f4_fail(c->f, F4_EXIT_FAILED, errno, "mount option '%s': the kernel refuses it", key);
}

static int set_superblock_flags(struct config *c, uint32_t ms)
{
	static const struct {
		uint32_t ms;
		const char *key;
	} t[] = {
		{ MS_RDONLY, "ro" },
		{ MS_SYNCHRONOUS, "sync" },
		{ MS_DIRSYNC, "dirsync" },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++)
		if ((ms & t[i].ms) && set_flag(c, t[i].key) != 0)
			return F4_FAILED;
	return 0;
}

static unsigned int mount_attributes(uint32_t ms)
{
	unsigned int attr = 0;

	attr |= ms & MS_RDONLY ? MOUNT_ATTR_RDONLY : 0;
	attr |= ms & MS_NOSUID ? MOUNT_ATTR_NOSUID : 0;
	attr |= ms & MS_NODEV ? MOUNT_ATTR_NODEV : 0;
	attr |= ms & MS_NOEXEC ? MOUNT_ATTR_NOEXEC : 0;
	attr |= ms & MS_NODIRATIME ? MOUNT_ATTR_NODIRATIME : 0;
	attr |= ms & MS_NOSYMFOLLOW ? MOUNT_ATTR_NOSYMFOLLOW : 0;
	if (ms & MS_NOATIME)
		attr |= MOUNT_ATTR_NOATIME;
	else if (ms & MS_STRICTATIME)
		attr |= MOUNT_ATTR_STRICTATIME;
	else
		attr |= MOUNT_ATTR_RELATIME;
	return attr;
}

static int set_contexts(struct config *c, const struct f4_opts *o)
{
	const struct {
		const char *key, *value;
	} t[] = {
		{ "context", o->context },
		{ "fscontext", o->fscontext },
		{ "defcontext", o->defcontext },
		{ "rootcontext", o->rootcontext },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++)
		if (t[i].value && set_string(c, t[i].key, t[i].value) != 0)
			return F4_FAILED;
	return 0;
}

static int configure(struct config *c, const struct f4_attach_request *r)
{
	/* The descriptor must be given as a string: FSCONFIG_SET_FD is EINVAL for fuse. */
	if (set_string(c, "source", r->source) != 0 || set_string(c, "subtype", r->subtype) != 0 ||
	    set_number(c, "fd", "u", (unsigned int)r->fuse_fd) != 0 ||
	    set_number(c, "rootmode", "o", r->rootmode & S_IFMT) != 0 ||
	    set_number(c, "user_id", "u", r->uid) != 0 ||
	    set_number(c, "group_id", "u", r->gid) != 0)
		return F4_FAILED;
	if (r->allow_other && set_flag(c, "allow_other") != 0)
		return F4_FAILED;
	if (r->default_permissions && set_flag(c, "default_permissions") != 0)
		return F4_FAILED;
	if (r->max_read && set_number(c, "max_read", "u", r->max_read) != 0)
		return F4_FAILED;
	if (r->fuseblk && r->block_size && set_number(c, "blksize", "u", r->block_size) != 0)
		return F4_FAILED;
	if (set_superblock_flags(c, r->ms_flags) != 0)
		return F4_FAILED;
	return set_contexts(c, r->opts);
}

static int call_create(void *arg)
{
	const struct config *c = arg;

	if (c->only_new) {
		if (fsconfig(c->fd, F4_FSCONFIG_CMD_CREATE_EXCL, NULL, NULL, 0) == 0)
			return 0;
		if (errno != EOPNOTSUPP)
			return errno;
	}
	return fsconfig(c->fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 ? errno : 0;
}

/* Words for the end of a child that did not end as it should. */
static int child_failed(struct f4_fail *f, int rc, const char *what)
{
	switch (rc) {
	case F4_CHILD_E_TIMEOUT:
		return f4_fail(f, F4_EXIT_FAILED, ETIMEDOUT, "%s: the server doesn't answer", what);
	case F4_CHILD_E_INTERRUPTED:
		return f4_fail(f, F4_EXIT_INTERRUPTED, 0, "interrupted");
	default:
		return f4_fail(f, F4_EXIT_SYSTEM, rc < 0 ? -rc : 0, "%s: no helper process", what);
	}
}

/* What keeps users from making a user namespace, as a sysctl to set; NULL: nothing that is known. */
static const char *userns_switch(void)
{
	/* The first is the kernel's; the others are Debian's and Ubuntu's additions. */
	static const struct {
		const char *path, *off, *set;
	} t[] = {
		{ "/proc/sys/user/max_user_namespaces", "0\n", "user.max_user_namespaces=1000" },
		{ "/proc/sys/kernel/unprivileged_userns_clone", "0\n",
		  "kernel.unprivileged_userns_clone=1" },
		{ "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n",
		  "kernel.apparmor_restrict_unprivileged_userns=0" },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		f4_auto_fd fd = open(t[i].path, O_RDONLY | O_CLOEXEC);
		char value[3] = "";

		if (fd >= 0 && read(fd, value, 2) == 2 && f4_str_eq(value, t[i].off))
			return t[i].set;
	}
	return NULL;
}

static int no_right(struct f4_fail *f, int error)
{
	const char *set = userns_switch();

	if (error == ENODEV)
		return f4_fail(f, F4_EXIT_FAILED, error,
			       "the kernel doesn't know FUSE: load it with modprobe fuse");
	if (error == ENOSYS)
		return f4_fail(f, F4_EXIT_FAILED, error, "the kernel is older than 5.2, or a "
							 "sandbox forbids fsopen(2)");
	if (geteuid() == 0)
		return f4_fail(f, F4_EXIT_USAGE, error,
			       "mounting is denied here even to root: this needs CAP_SYS_ADMIN over "
			       "the mount namespace, which a container may lack (unshare -Urm gives "
			       "one where user namespaces are allowed)");
	return f4_fail(f, F4_EXIT_USAGE, error,
		       "this user may not mount, and no attach broker listens at %s (systemctl "
		       "start fuse4fs-mountd.socket)%s%s%s",
		       f4_broker_path(),
		       set ? "; user namespaces, the other way, are off here (sysctl " :
			     "; or mount as root of a user namespace (unshare -Urm",
		       set ? set : "", ")");
}

/* --- by the broker ------------------------------------------------------------------------- */

/*
 * The root of the mount that has come to be at @t, of this user's: an O_PATH descriptor, or -1.
 * @t->fd is still what is below it.
 */
static int find_placed(const struct f4_target *t, const char *subtype)
{
	struct f4_mounts m f4_cleanup(f4_mounts_done) = F4_MOUNTS_INIT;
	f4_auto_fd fd = open(t->path, O_PATH | O_CLOEXEC);
	const struct f4_mount *mount;
	int before, now;
	uid_t owner;

	if (fd < 0 || f4_fd_mount_id(t->fd, &before) < 0 || f4_fd_mount_id(fd, &now) < 0 ||
	    now == before || f4_mounts_load(&m) < 0)
		return -1;
	mount = f4_mounts_by_id(&m, now);
	if (!mount || !f4_mount_is_ours(mount, subtype) || !f4_mount_user_id(mount, &owner) ||
	    owner != getuid())
		return -1;
	return f4_take_fd(&fd);
}

/* What was asked for and then given up may have been done all the same. */
static void undo_placed(const struct f4_attach_request *r)
{
	struct f4_fail ignored = { 0 };
	f4_auto_fd fd = find_placed(r->target, r->subtype);

	if (fd >= 0)
		(void)f4_broker_detach(r->target->path, true, NULL, &ignored); /* else it is dead */
}

static int ask_broker(struct f4_attach *a, const struct f4_attach_request *r,
		      const sigset_t *wait_mask, struct f4_fail *f)
{
	const struct f4_broker_mount m = {
		.fuse_fd = r->fuse_fd,
		.target_fd = r->target->fd,
		.source_fd = r->source_fd,
		.source = r->source,
		.target = r->target->name,
		.ms_flags = r->ms_flags,
		.allow_other = r->allow_other,
		.default_permissions = r->default_permissions,
		.max_read = r->max_read,
	};
	int rc;

	if (r->opts->context || r->opts->fscontext || r->opts->defcontext || r->opts->rootcontext)
		return f4_fail(f, F4_EXIT_USAGE, EPERM, "mount option 'context' and its like");
	rc = f4_broker_attach(&m, wait_mask, f);
	if (rc == F4_BROKER_E_NONE)
		return no_right(f, EPERM);
	if (rc != 0) {
		if (f->error == 0) /* no answer; a refusal has the broker's errno */
			undo_placed(r);
		return rc;
	}
	a->how = F4_ATTACH_PLACED;
	a->undo = strdup(r->target->path);
	a->mount_fd = find_placed(r->target, r->subtype);
	if (!a->undo)
		undo_placed(r);
	if (a->mount_fd < 0 || !a->undo)
		return f4_fail(f, F4_EXIT_FAILED, 0, "%s: mounted by the broker, and not there",
			       r->target->name);
	f4_debug("%s: attached by the broker", r->target->name);
	return 0;
}

/* May the broker help? Not root, who needs no help where there is any to be had. */
static bool may_ask(const struct f4_attach_request *r, int error)
{
	return error == EPERM && geteuid() != 0 && r->target && !r->fuseblk &&
	       f4_str_eq(r->subtype, F4_WIRE_SUBTYPE);
}

int f4_attach_create(struct f4_attach *a, const struct f4_attach_request *r,
		     void (*before_create)(void *arg), void *arg, int timeout_ms,
		     const sigset_t *wait_mask, struct f4_fail *f)
{
	f4_auto_fd fd = fsopen(r->fuseblk ? "fuseblk" : "fuse", FSOPEN_CLOEXEC);
	struct config c = { .fd = fd, .only_new = r->only_new, .f = f };
	char words[300];
	int rc;

	if (fd < 0)
		return may_ask(r, errno) ? ask_broker(a, r, wait_mask, f) : no_right(f, errno);
	if (configure(&c, r) != 0)
		return F4_FAILED;
	if (before_create)
		before_create(arg);
	if (timeout_ms == F4_ATTACH_NO_CHILD)
		rc = -call_create(&c);
	else
		rc = f4_child_call(call_create, &c, timeout_ms, wait_mask);
	if (rc > 0)
		return child_failed(f, rc, r->source);
	if (rc < 0) {
		kernel_says(fd, words, sizeof(words));
		return f4_fail(f, F4_EXIT_FAILED, -rc, "%s: the kernel makes no %s mount of it%s",
			       r->source, r->fuseblk ? "fuseblk" : "fuse", words);
	}
	a->mount_fd = fsmount(fd, FSMOUNT_CLOEXEC, mount_attributes(r->ms_flags));
	if (a->mount_fd < 0)
		return f4_fail(f, F4_EXIT_FAILED, errno, "%s: the kernel gives no mount", r->source);
	a->how = F4_ATTACH_DETACHED;
	return 0;
}

/*
 * The kernel reads 128 KiB ahead on FUSE, a request each, where a device gets what suits it. One
 * request can carry a megabyte; two of them keep the server busy while the reader copies. Only root
 * may say so; for others it stays as it is.
 */
static void widen_readahead(const struct statx *sx)
{
	static const char *const kinds[] = { "", "-fuseblk" };
	char path[80];

	for (size_t i = 0; i < F4_ARRAY_LEN(kinds); i++) {
		f4_auto_fd fd = -1;

		(void)snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u%s/read_ahead_kb",
			       sx->stx_dev_major, sx->stx_dev_minor, kinds[i]); /* fits */
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd >= 0)
			(void)f4_fd_write_all(fd, F4_READ_AHEAD_KB, strlen(F4_READ_AHEAD_KB));
	}
}

static int call_answer(void *arg)
{
	const struct f4_attach *a = arg;
	struct statfs sf;
	struct statx sx;

	/* Two requests: the superblock's numbers, and the root's attributes. */
	if (fstatfs(a->mount_fd, &sf) < 0 ||
	    statx(a->mount_fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &sx) < 0)
		return errno;
	widen_readahead(&sx); /* INIT, which sets it, is over */
	return 0;
}

int f4_attach_answers(const struct f4_attach *a, int timeout_ms, const sigset_t *wait_mask,
		      struct f4_fail *f)
{
	int rc = f4_child_call(call_answer, (void *)a, timeout_ms, wait_mask);

	if (rc == -ENOTCONN || rc == -ECONNABORTED)
		return f4_fail(f, F4_EXIT_FAILED, -rc, "the server died before it served anything");
	if (rc < 0)
		return f4_fail(f, F4_EXIT_FAILED, -rc, "the filesystem's root can't be read");
	return rc > 0 ? child_failed(f, rc, "the new mount") : 0;
}

int f4_attach_place(struct f4_attach *a, const struct f4_target *t, struct f4_fail *f)
{
	if (a->how == F4_ATTACH_PLACED) {
		free(f4_take_ptr(a->undo));
		return 0;
	}
	if (move_mount(a->mount_fd, "", t->fd, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0) {
		a->how = F4_ATTACH_PLACED;
		return 0;
	}
	if (errno == EINVAL)
		return f4_fail(f, F4_EXIT_FAILED, errno,
			       "%s: can't be mounted on: it is in another mount namespace, or "
			       "below a mount that was moved away",
			       t->name);
	return f4_fail(f, F4_EXIT_FAILED, errno, "%s: can't be mounted on", t->name);
}

void f4_attach_done(struct f4_attach *a)
{
	struct f4_fail ignored = { 0 };

	f4_close_p(&a->mount_fd);
	if (a->undo)
		(void)f4_broker_detach(a->undo, true, NULL, &ignored); /* without one it stays, dead */
	free(f4_take_ptr(a->undo));
	a->how = F4_ATTACH_NONE;
}
