/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One request; the contract is in request.h. */
#include "helper/request.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "helper/attach.h"
#include "helper/become.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "protocol/chan.h"

/* Linux 5.8; in the headers since glibc 2.37. Source: include/uapi/linux/stat.h. */
#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x00001000U
#endif

#define HELLO_MS   2000		/* from the connection to the request */
#define SEND_MS	   1000		/* the answer: one packet into an empty queue */
#define TABLE_MAX  (64u << 20)	/* bytes; a hundred thousand mounts with long names fit */
#define EXPIRES	   20		/* unmounting is tried so often while somebody keeps looking in */
#define NO_MOUNT   (-1)

/* The order of the descriptors in a request. */
enum { FD_FUSE = 0, FD_PLACE = 1, FD_SOURCE = 2, FD_DIR = 0 };

struct request {
	struct f4_policy policy;
	const struct f4_seccomp_built *filter; /* borrowed */
	struct f4_request_gate *gate; /* borrowed */
	struct f4_peer peer;
	int table_fd; /* owned: /proc/self/mountinfo */
	struct f4_chan ch;
	struct f4_chan_fds fds;
	struct f4_msg m;
	struct f4_mounts table;
	struct f4_verdict verdict;
};

static void request_done(struct request *q)
{
	f4_mounts_done(&q->table);
	f4_peer_done(&q->peer);
	f4_chan_fds_done(&q->fds);
	f4_chan_done(&q->ch);
	f4_close_p(&q->table_fd);
}

/*
 * From here on there is no way back: only if the deadline is not over, and somebody still wants it.
 * Who has hung up has taken the mount as failed.
 */
static bool commit(struct request *q)
{
	struct pollfd p = { .fd = q->ch.fd, .events = POLLRDHUP };
	struct timespec now = { 0, 0 };
	int open = F4_GATE_OPEN;

	if (ppoll(&p, 1, &now, NULL) != 0)
		return f4_refuse(&q->verdict, F4_RULE_DEADLINE, ECONNRESET, "the caller has hung up");

	if (atomic_compare_exchange_strong(&q->gate->state, &open, F4_GATE_PASSED) ||
	    open == F4_GATE_PASSED)
		return true;
	return f4_refuse(&q->verdict, F4_RULE_DEADLINE, ETIMEDOUT, "the request took too long");
}

/* --- facts --------------------------------------------------------------------------------- */

/* The mount table as it is now. */
static int load_table(struct request *q)
{
	char *text = NULL;
	int r;

	f4_mounts_done(&q->table);
	if (lseek(q->table_fd, 0, SEEK_SET) < 0)
		return -errno;
	r = f4_fd_slurp(q->table_fd, TABLE_MAX, &text, NULL);
	return r < 0 ? r : f4_mounts_parse(&q->table, text);
}

static bool in_table(const struct request *q, int id)
{
	return id != NO_MOUNT && f4_mounts_by_id(&q->table, id) != NULL;
}

/*
 * The id of the mount that @fd is in, and whether @fd is its root (may be NULL), without asking the
 * filesystem. Return: 0 or -errno.
 */
static int mount_id(int fd, int *ret, bool *ret_root)
{
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &sx) < 0)
		return -errno;
	if (!(sx.stx_mask & STATX_MNT_ID) || sx.stx_mnt_id > INT32_MAX)
		return -EPROTO;
	*ret = (int)sx.stx_mnt_id;
	if (ret_root)
		*ret_root = sx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
	return 0;
}

static int ask(int fd, int mode)
{
	return faccessat(fd, "", mode, AT_EMPTY_PATH | AT_EACCESS) < 0 ? errno : 0;
}

/* What the peer's own rights make of its descriptors. */
struct look {
	struct f4_place place;
	int place_mount;
	mode_t source_mode;
	int source_error, source_mount;
};

static void look(void *arg, void *result)
{
	const struct request *q = arg;
	struct look *l = result;
	struct statfs fs;
	struct stat st;
	int fd = q->fds.fd[FD_PLACE];

	l->place_mount = l->source_mount = NO_MOUNT;
	l->place.fd_error = f4_fd_expect(fd, F4_FD_PATH_MOUNT, 0);
	if (l->place.fd_error != 0)
		return;
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0) {
		l->place.fd_error = -errno;
		return;
	}
	l->place.mode = st.st_mode;
	l->place.owner = st.st_uid;
	l->place.fs_type = (uint64_t)fs.f_type;
	l->place.access_error = ask(fd, W_OK);
	(void)mount_id(fd, &l->place_mount, NULL); /* an unknown one is in no table */
	if (q->fds.n <= FD_SOURCE)
		return;
	fd = q->fds.fd[FD_SOURCE];
	if (fstat(fd, &st) < 0) {
		l->source_error = errno;
		return;
	}
	l->source_mode = st.st_mode;
	l->source_error = ask(fd, R_OK);
	(void)mount_id(fd, &l->source_mount, NULL);
}

/*
 * Is /dev/fuse unused? Mounting one that is in use would show the same filesystem, with the options
 * and the owner that it got elsewhere, once more. It reports an error to poll(2) as long as it has no
 * connection; CREATE_EXCL, where the kernel has that, settles what happens after this look.
 */
static bool is_unused(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };
	struct timespec now = { 0, 0 };

	return ppoll(&p, 1, &now, NULL) == 1 && (p.revents & POLLERR);
}

/* --- attach -------------------------------------------------------------------------------- */

static uint32_t ms_flags(uint32_t flags)
{
	static const struct {
		uint32_t flag, ms;
	} t[] = {
		{ F4_ATTACH_RDONLY, MS_RDONLY },
		{ F4_ATTACH_NOEXEC, MS_NOEXEC },
		{ F4_ATTACH_SYNC, MS_SYNCHRONOUS },
		{ F4_ATTACH_DIRSYNC, MS_DIRSYNC },
		{ F4_ATTACH_NOATIME, MS_NOATIME },
		{ F4_ATTACH_STRICTATIME, MS_STRICTATIME },
		{ F4_ATTACH_NODIRATIME, MS_NODIRATIME },
		{ F4_ATTACH_LAZYTIME, MS_LAZYTIME },
	};
	uint32_t ms = MS_NOSUID | MS_NODEV;

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++)
		ms |= flags & t[i].flag ? t[i].ms : 0;
	return ms;
}

/* The kernel's refusals that mean something which our rules have a name for. */
static bool create_failed(struct request *q, const struct f4_fail *f)
{
	if (f->error == EINVAL || f->error == EBUSY)
		return f4_refuse(&q->verdict, F4_RULE_FUSE_FD, f->error,
				 "the FUSE device is mounted already, or was opened in another user "
				 "namespace");
	return f4_refuse(&q->verdict, F4_RULE_KERNEL, f->error, "%s", f->text);
}

static bool place_failed(struct request *q, const struct f4_fail *f)
{
	if (f->error == EINVAL)
		return f4_refuse(&q->verdict, F4_RULE_NAMESPACE, EINVAL,
				 "the mount point is in another mount namespace, or its mount is gone");
	if (f->error == ENOENT)
		return f4_refuse(&q->verdict, F4_RULE_MOUNT_POINT, ENOENT,
				 "the mount point was removed");
	return f4_refuse(&q->verdict, F4_RULE_KERNEL, f->error, "%s", f->text);
}

static bool make_mount(struct request *q, const struct look *l, const char *source)
{
	struct f4_attach a f4_cleanup(f4_attach_done) = F4_ATTACH_INIT;
	struct f4_target t = { .name = "the mount point", .fd = q->fds.fd[FD_PLACE] };
	struct f4_opts none;
	struct f4_fail f = { 0 };
	struct f4_attach_request r = {
		.subtype = F4_WIRE_SUBTYPE,
		.source = source,
		.fuse_fd = q->fds.fd[FD_FUSE],
		.ms_flags = ms_flags(q->m.attach.flags),
		.uid = q->peer.uid,
		.gid = q->peer.gid,
		.rootmode = l->place.mode & S_IFMT,
		.allow_other = q->m.attach.flags & F4_ATTACH_ALLOW_OTHER,
		.default_permissions = q->m.attach.flags & F4_ATTACH_DEFAULT_PERMISSIONS,
		.max_read = q->m.attach.max_read,
		.opts = &none,
		.only_new = true,
	};

	f4_opts_init(&none);
	if (f4_attach_create(&a, &r, NULL, NULL, F4_ATTACH_NO_CHILD, NULL, &f) != 0)
		return create_failed(q, &f);
	if (!commit(q))
		return false;
	if (f4_attach_place(&a, &t, &f) != 0)
		return place_failed(q, &f);
	return true;
}

static bool attach(struct request *q)
{
	char source[F4_POLICY_SOURCE_MAX];
	f4_auto_free char *path = NULL;
	struct f4_proof proof = { .given = q->fds.n > FD_SOURCE };
	struct look l = { 0 };
	int r = f4_fd_expect(q->fds.fd[FD_FUSE], F4_FD_FUSE, O_RDWR);

	if (r != 0)
		return f4_refuse(&q->verdict, F4_RULE_FUSE_FD, EINVAL,
				 "the first descriptor is not /dev/fuse, opened for reading and writing");
	if (!is_unused(q->fds.fd[FD_FUSE]))
		return f4_refuse(&q->verdict, F4_RULE_FUSE_FD, EBUSY,
				 "the FUSE device is mounted already");
	if (!f4_policy_options(&q->policy, q->m.attach.flags, &q->verdict))
		return false;
	r = f4_become_run(&q->peer, F4_BECOME_PLAIN, look, q, &l, sizeof(l));
	if (r == 0)
		r = load_table(q);
	if (r < 0)
		return f4_refuse(&q->verdict, F4_RULE_KERNEL, -r, "the mount point can't be examined");
	l.place.in_table = in_table(q, l.place_mount);
	if (!f4_policy_place(&l.place, q->peer.uid, &q->verdict) ||
	    !f4_policy_counts(&q->policy, &q->table, q->peer.uid, &q->verdict))
		return false;
	if (proof.given) {
		if (f4_fd_path(q->fds.fd[FD_SOURCE], &path) < 0)
			path = NULL;
		proof.path = path;
		proof.mode = l.source_mode;
		proof.access_error = l.source_error;
		proof.in_table = in_table(q, l.source_mount);
	}
	return f4_policy_source(q->m.text, &proof, source, &q->verdict) && make_mount(q, &l, source);
}

/* --- detach -------------------------------------------------------------------------------- */

/* Which mount a lookup by the peer ends in. */
struct find {
	int error; /* positive errno of the lookup */
	int mount;
	int mount_error; /* positive errno of asking for the mount's id */
	bool is_root;	 /* the name is the mount's root, not something in it */
};

static void find(void *arg, void *result)
{
	const struct request *q = arg;
	struct find *f = result;
	f4_auto_fd fd = openat(q->fds.fd[FD_DIR], q->m.text, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	f->mount = NO_MOUNT;
	if (fd < 0)
		f->error = errno;
	else
		f->mount_error = -mount_id(fd, &f->mount, &f->is_root);
}

struct unmount {
	const struct request *q;
	int flags;
};

/* By name in the directory, both as the peer: umount2(2) takes no descriptor. */
static void unmount(void *arg, void *result)
{
	const struct unmount *u = arg;
	int *error = result;

	if (fchdir(u->q->fds.fd[FD_DIR]) < 0 || umount2(u->q->m.text, u->flags) < 0)
		*error = errno;
	else
		*error = 0;
}

static int run_unmount(struct request *q, int flags)
{
	struct unmount u = { .q = q, .flags = flags | UMOUNT_NOFOLLOW };
	int error = 0, r;

	r = f4_become_run(&q->peer, F4_BECOME_MAY_UNMOUNT, unmount, &u, &error, sizeof(error));
	return r < 0 ? r : -error;
}

static bool find_own(struct request *q, struct f4_mount *ret)
{
	const struct f4_mount *mount;
	struct find f = { 0 };
	int r = f4_fd_expect(q->fds.fd[FD_DIR], F4_FD_PATH_DIR, 0);

	if (r > 0)
		return f4_refuse(&q->verdict, F4_RULE_PROTOCOL, ENOTDIR,
				 "the descriptor is not a directory opened with O_PATH");
	r = f4_become_run(&q->peer, F4_BECOME_PLAIN, find, q, &f, sizeof(f));
	if (r == 0)
		r = load_table(q);
	if (r < 0)
		return f4_refuse(&q->verdict, F4_RULE_KERNEL, -r, "the mount can't be examined");
	if (f.error)
		return f4_refuse(&q->verdict, F4_RULE_NOT_OURS, f.error,
				 "the mount can't be found there as its user");
	/* The root of a FUSE mount tells nothing to those whom its owner does not let in. */
	if (f.mount_error == EACCES)
		return f4_refuse(&q->verdict, F4_RULE_OWNER, EPERM,
				 "the mount is another user's; only that user and root may unmount it");
	if (f.mount_error)
		return f4_refuse(&q->verdict, F4_RULE_KERNEL, f.mount_error,
				 "the mount can't be examined");
	if (!f.is_root)
		return f4_refuse(&q->verdict, F4_RULE_NOT_OURS, EINVAL, "nothing is mounted there");
	if (!f4_policy_detach(&q->table, f.mount, q->peer.uid, &mount, &q->verdict))
		return false;
	*ret = *mount;
	return true;
}

/* Is the mount that was found still what it was, with nothing on it? */
static bool still_own(struct request *q, const struct f4_mount *before)
{
	const struct f4_mount *now;
	int r;

	r = load_table(q);
	if (r < 0)
		return f4_refuse(&q->verdict, F4_RULE_KERNEL, -r, "the mount can't be examined");
	if (!f4_policy_detach(&q->table, before->id, q->peer.uid, &now, &q->verdict))
		return false;
	if (now->parent != before->parent || now->dev != before->dev)
		return f4_refuse(&q->verdict, F4_RULE_TOPMOST, EBUSY, "the mount has just changed");
	return true;
}

static bool unmount_failed(struct request *q, int r)
{
	if (r == -EBUSY || r == -EAGAIN)
		return f4_refuse(&q->verdict, F4_RULE_BUSY, EBUSY,
				 "in use: a process has a file open or its working directory there");
	return f4_refuse(&q->verdict, F4_RULE_KERNEL, -r, "the kernel does not unmount it");
}

/*
 * In two steps, so that nothing stacked on the mount in between can be hit instead. MNT_EXPIRE takes
 * only what is marked, and marks what is not, which is EAGAIN. A look at the table before each call
 * but the first shows the peer's mount with nothing on it: then no other mount that is there has a
 * mark of ours, and one that comes after the look has none either. Whoever uses the mount in between
 * takes the mark off: again, then.
 */
static bool unmount_idle(struct request *q, const struct f4_mount *mount)
{
	struct f4_mount before = *mount;
	int r = run_unmount(q, MNT_EXPIRE);

	for (int i = 0; i < EXPIRES && r == -EAGAIN; i++) {
		if (!still_own(q, &before))
			return false;
		r = run_unmount(q, MNT_EXPIRE);
	}
	return r == 0 || unmount_failed(q, r);
}

/*
 * MNT_DETACH excludes MNT_EXPIRE: what is stacked on the mount between the look at the table and
 * the call is detached with it. The look comes last, to keep that time short.
 */
static bool unmount_lazily(struct request *q, const struct f4_mount *mount)
{
	struct f4_mount before = *mount;
	int r;

	if (!still_own(q, &before))
		return false;
	r = run_unmount(q, MNT_DETACH);
	return r == 0 || unmount_failed(q, r);
}

static bool detach(struct request *q)
{
	struct f4_mount mount; /* its strings are gone with the next look at the table */

	if (!find_own(q, &mount) || !commit(q))
		return false;
	return q->m.detach.flags & F4_DETACH_LAZY ? unmount_lazily(q, &mount) :
						    unmount_idle(q, &mount);
}

/* --- the conversation ---------------------------------------------------------------------- */

static int answer(struct f4_chan *ch, const struct f4_verdict *v)
{
	struct f4_msg m = {
		.type = F4_MSG_ANSWER,
		.text = v->text,
		.answer = { .error = v->error, .rule = (uint16_t)v->rule },
	};

	return f4_chan_send_msg(ch, &m, NULL, SEND_MS);
}

static void log_request(const struct request *q, const char *what)
{
	if (q->verdict.rule == F4_RULE_NONE)
		f4_info("%s for user %u", what, (unsigned int)q->peer.uid);
	else
		f4_notice("%s for user %u refused: %s: %s", what, (unsigned int)q->peer.uid,
			  f4_rule_name(q->verdict.rule), q->verdict.text);
}

/* Take what is needed from the system, and shut the door. */
static int prepare(struct request *q, int fd)
{
	int r;

	q->table_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (q->table_fd < 0)
		return -errno;
	f4_fuseconf_load(&q->policy.fuse);
	r = f4_chan_init(&q->ch, fd);
	if (r == 0)
		r = f4_peer_get(q->ch.fd, &q->peer);
	if (r < 0)
		return r;
	return f4_seccomp_install_built(q->filter);
}

static int receive(struct request *q)
{
	int r = f4_chan_recv_msg(&q->ch, &q->m, F4_WIRE_FDS_MAX, &q->fds, HELLO_MS);

	if (r == F4_CHAN_E_EOF || r == F4_CHAN_E_TIMEOUT)
		return F4_CHAN_E_EOF;
	if (r == 0 && q->m.type != F4_MSG_ATTACH && q->m.type != F4_MSG_DETACH)
		r = F4_MSG_E_STATE;
	if (r != 0)
		(void)f4_refuse(&q->verdict, F4_RULE_PROTOCOL, EPROTO, "the request is malformed: %s",
				f4_chan_strerror(r));
	return 0;
}

int f4_request_serve(int fd, const struct f4_policy *policy,
		     const struct f4_seccomp_built *filter, struct f4_request_gate *gate)
{
	struct request q f4_cleanup(request_done) = {
		.policy = *policy,
		.filter = filter,
		.gate = gate,
		.table_fd = -1,
		.ch = F4_CHAN_INIT,
	};
	const char *what = "request";
	int r = prepare(&q, fd);

	if (r < 0)
		return r;
	if (receive(&q) == F4_CHAN_E_EOF)
		return 0;
	if (q.verdict.rule == F4_RULE_NONE &&
	    f4_policy_peer(&q.policy, q.peer.uid, q.peer.gid, q.peer.groups, q.peer.ngroups,
			   &q.verdict)) {
		what = q.m.type == F4_MSG_ATTACH ? "attach" : "detach";
		if (q.m.type == F4_MSG_ATTACH)
			(void)attach(&q); /* the verdict says what came of it */
		else
			(void)detach(&q);
	}
	r = answer(&q.ch, &q.verdict);
	log_request(&q, what);
	return r < 0 ? r : 0;
}

void f4_request_refuse(int fd, const struct f4_verdict *v)
{
	struct f4_chan ch;

	if (f4_chan_init(&ch, fd) == 0)
		(void)answer(&ch, v); /* a peer that can't be told will see the connection end */
}
