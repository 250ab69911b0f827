/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * umount.fuse4fs: unmounting that returns when all is on the device.
 *
 * The server is asked to write everything (F4_IOC_SYNC, since syncfs(2) sends nothing to a plain
 * FUSE server); then the kernel unmounts; then the server is waited for until it has let go of the
 * image. umount(8) calls this program for our types, and people do.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/broker.h"
#include "helper/child.h"
#include "helper/fail.h"
#include "helper/holder.h"
#include "helper/mounts.h"
#include "helper/ns.h"
#include "helper/remount.h"
#include "helper/settle.h"
#include "helper/signals.h"
#include "helper/utab.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "protocol/base/str.h"
#include "protocol/ioctl.h"
#include "protocol/wire.h"

#define TOOL "umount.fuse4fs"

#define SYNC_MS	       300000 /* a large cache onto a slow disk */
#define SETTLE_MS      120000
#define SETTLE_FORCE_MS 5000 /* after -f: the server is suspected of hanging */

struct unmounting {
	const char *dir, *type, *netns;
	bool force, lazy, no_utab, read_only, help, version;
	const char *subtype;
	sigset_t wait_mask;
	struct f4_ns ns;
	struct f4_settle settle;
	int fd;	    /* owned, O_PATH: the mount's root; closed before the unmount */
	char *path; /* owned */
	int sync_error;
};

static void print_help(void)
{
	(void)puts("usage: " TOOL " [-flnrv] [-N NAMESPACE] [-t TYPE] DIR\n"
		   "Unmount the filesystem on DIR; returns when all is on the device.\n"
		   "See " TOOL "(8).");
}

static int read_cmdline(struct unmounting *u, int argc, char *argv[], struct f4_fail *f)
{
	static const struct option longs[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "fhlnrvVN:t:", longs, NULL)) != -1) {
		u->force |= c == 'f';
		u->help |= c == 'h';
		u->lazy |= c == 'l';
		u->no_utab |= c == 'n';
		u->read_only |= c == 'r';
		u->version |= c == 'V';
		if (c == 'v')
			f4_log_init(TOOL, F4_LOG_DEBUG);
		else if (c == 'N')
			u->netns = optarg;
		else if (c == 't')
			u->type = optarg;
		else if (c == '?')
			return f4_fail(f, F4_EXIT_USAGE, 0, "option -%c is unknown or incomplete; "
							    "see " TOOL "(8)", optopt ? optopt : '-');
	}
	if (u->help || u->version)
		return 0;
	if (argc - optind != 1 || !argv[optind][0])
		return f4_fail(f, F4_EXIT_USAGE, 0, "expected one operand, DIR");
	u->dir = argv[optind];
	u->subtype = u->type ? f4_str_after(u->type, "fuse.") : F4_WIRE_SUBTYPE;
	if (!u->subtype)
		u->subtype = f4_str_after(u->type, "fuseblk.");
	if (!u->subtype)
		u->subtype = u->type;
	return 0;
}

/* The mount that DIR is the root of, or that has DIR as its source. NULL: none of ours. */
static const struct f4_mount *find_mount(struct unmounting *u, const struct f4_mounts *m)
{
	const struct f4_mount *top, *found = NULL;
	int id;

	top = f4_mounts_topmost(m, u->path);
	if (top && f4_fd_mount_id(u->fd, &id) == 0 && top->id == id &&
	    f4_mount_is_ours(top, u->subtype))
		return top;
	for (size_t i = 0; i < m->n; i++)
		if (f4_mount_is_ours(&m->v[i], u->subtype) && f4_str_eq(m->v[i].source, u->path))
			found = &m->v[i];
	return found;
}

static int open_path(struct unmounting *u, const char *path, struct f4_fail *f)
{
	int rc;

	f4_close_p(&u->fd);
	u->fd = open(path, O_PATH | O_CLOEXEC);
	if (u->fd < 0)
		return f4_fail(f, F4_EXIT_FAILED, errno, "%s: can't be found", path);
	free(f4_take_ptr(u->path));
	rc = f4_fd_path(u->fd, &u->path);
	if (rc < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, -rc, "%s: /proc doesn't tell its path", path);
	return 0;
}

static int find(struct unmounting *u, struct f4_mounts *m, const struct f4_mount **ret,
		struct f4_fail *f)
{
	int rc;

	if (open_path(u, u->dir, f) != 0)
		return F4_FAILED;
	rc = f4_mounts_load(m);
	if (rc < 0)
		return f4_fail(f, F4_EXIT_SYSTEM, -rc, "the mount table can't be read");
	*ret = find_mount(u, m);
	if (!*ret)
		return f4_fail(f, F4_EXIT_FAILED, 0, "%s: no %s filesystem is mounted there", u->dir,
			       u->subtype);
	/* DIR may have been the source: the mount point counts from here on. */
	return f4_str_eq((*ret)->target, u->path) ? 0 : open_path(u, (*ret)->target, f);
}

static int call_sync(void *arg)
{
	const char *path = arg;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	return ioctl(fd, F4_IOC_SYNC) < 0 ? errno : 0;
}

/* Ask the server to write all. Where it can't be asked, the unmount itself and the wait remain. */
static int sync_server(struct unmounting *u, struct f4_fail *f)
{
	int rc = f4_child_call(call_sync, u->path, SYNC_MS, &u->wait_mask);

	switch (rc) {
	case 0:
		return 0;
	case F4_CHILD_E_INTERRUPTED:
		return f4_fail(f, F4_EXIT_INTERRUPTED, 0, "%s: interrupted; it is still mounted",
			       u->dir);
	case F4_CHILD_E_TIMEOUT:
		return f4_fail(f, F4_EXIT_FAILED, ETIMEDOUT,
			       "%s: the server doesn't answer; it is still mounted (-f ends it)",
			       u->dir);
	case -EIO:
	case -ENOSPC:
	case -EROFS:
	case -EUCLEAN:
		u->sync_error = -rc;
		return 0;
	default:
		f4_debug("%s: the server can't be asked to sync: %s", u->dir,
			 rc < 0 ? strerror(-rc) : "no process");
		return 0;
	}
}

/* umount(8) is setuid root and unmounts FUSE for the user whose it is; -i: without helpers. */
static int call_umount8(void *arg)
{
	const struct unmounting *u = arg;
	const char *const paths[] = { "/usr/bin/umount", "/bin/umount" };
	char *const argv[] = { (char *)"umount", (char *)(u->lazy ? "-il" : "-i"), (char *)"--",
			       u->path, NULL };
	char *const envp[] = { (char *)"LC_ALL=C", NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, STDERR_FILENO) < 0)
		return EPERM;
	for (size_t i = 0; i < F4_ARRAY_LEN(paths); i++)
		(void)execve(paths[i], argv, envp);
	return EPERM;
}

static int unmount(struct unmounting *u, struct f4_fail *f)
{
	int flags = UMOUNT_NOFOLLOW, error;
	struct f4_fail why = { 0 };

	flags |= u->force ? MNT_FORCE : 0;
	flags |= u->lazy ? MNT_DETACH : 0;
	if (umount2(u->path, flags) == 0)
		return 0;
	error = errno;
	if (error == EPERM && geteuid() != 0) {
		int rc = f4_broker_detach(u->path, u->lazy, &u->wait_mask, &why);

		if (rc == 0 || f4_child_call(call_umount8, u, SETTLE_MS, NULL) == 0)
			return 0;
		if (rc == F4_FAILED && why.error == EBUSY) {
			error = EBUSY;
		} else if (rc == F4_FAILED) {
			*f = why;
			return F4_FAILED;
		}
	}
	switch (error) {
	case EBUSY:
		return f4_fail(f, F4_EXIT_FAILED, 0,
			       "%s: is in use: a process has a file open or its working directory "
			       "there, or something is mounted below (fuser -m %s shows who)",
			       u->dir, u->dir);
	case EPERM:
		return f4_fail(f, F4_EXIT_USAGE, error,
			       "%s: can be unmounted by root and by who mounted it", u->dir);
	default:
		return f4_fail(f, F4_EXIT_FAILED, error, "%s: can't be unmounted", u->dir);
	}
}

/* -r: what can't be unmounted becomes read-only. */
static int make_read_only(struct unmounting *u, const struct f4_mount *mount, struct f4_fail *f)
{
	struct f4_cmdline c = { .dir = u->path };
	struct f4_opts o f4_cleanup(f4_opts_done);
	struct f4_fail why = { 0 };

	f4_opts_init(&o);
	if (f4_opts_parse(&o, mount->options, true) != 0)
		return F4_FAILED;
	if (f4_remount(&c, u->subtype, o.ms_flags | MS_RDONLY, &why) != 0)
		return F4_FAILED; /* what @f says already stands */
	*f = (struct f4_fail){ 0 };
	f4_notice("%s: is in use, so it was made read-only", u->dir);
	return 0;
}

static int settle(struct unmounting *u, struct f4_fail *f)
{
	int rc = f4_settle_wait(&u->settle, u->force ? SETTLE_FORCE_MS : SETTLE_MS, &u->wait_mask);
	char who[160];

	switch (rc) {
	case F4_SETTLE_E_INTERRUPTED:
		return f4_fail(f, F4_EXIT_INTERRUPTED, 0,
			       "%s: unmounted; interrupted while the server writes the rest",
			       u->dir);
	case F4_SETTLE_E_TIMEOUT:
		f4_holder_describe(u->settle.pid, who, sizeof(who));
		return f4_fail(f, F4_EXIT_FAILED, 0,
			       "%s: unmounted, but %s still holds the image: wait for it, or kill it "
			       "(the journal keeps the image consistent)",
			       u->dir, who);
	case F4_SETTLE_E_ELSEWHERE:
		f4_debug("%s: unmounted; the filesystem is still mounted elsewhere", u->dir);
		return 0;
	default:
		return 0;
	}
}

static int forget(struct unmounting *u, struct f4_fail *f)
{
	int rc;

	if (u->no_utab || geteuid() != 0)
		return 0;
	rc = f4_utab_remove(u->path);
	if (rc < 0)
		return f4_fail(f, F4_EXIT_UTAB, -rc, "%s: unmounted, but not taken off utab", u->dir);
	return 0;
}

/* All that happens in the mount's namespace. @ret_wait: the unmount came about. */
static int inside(struct unmounting *u, bool *ret_wait, struct f4_fail *f)
{
	struct f4_mounts m f4_cleanup(f4_mounts_done) = F4_MOUNTS_INIT;
	const struct f4_mount *mount = NULL;

	if (find(u, &m, &mount, f) != 0)
		return F4_FAILED;
	f4_settle_prepare(&u->settle, mount, u->subtype);
	if (!u->force && sync_server(u, f) != 0)
		return F4_FAILED;
	f4_close_p(&u->fd); /* it would keep the mount busy */
	if (unmount(u, f) != 0)
		return u->read_only && f->status == F4_EXIT_FAILED ? make_read_only(u, mount, f) :
								     F4_FAILED;
	*ret_wait = !u->lazy;
	return forget(u, f);
}

static int run(struct unmounting *u, int argc, char *argv[], struct f4_fail *f)
{
	bool wait = false;
	int rc;

	if (read_cmdline(u, argc, argv, f) != 0)
		return F4_FAILED;
	if (u->help || u->version) {
		if (u->help)
			print_help();
		else
			(void)puts(TOOL " " F4_VERSION);
		return 0;
	}
	if (f4_ns_init(&u->ns, u->netns, f) != 0 || f4_ns_enter(&u->ns, f) != 0)
		return F4_FAILED;
	rc = inside(u, &wait, f);
	if (wait && settle(u, f) != 0)
		rc = F4_FAILED;
	if (u->sync_error && wait)
		rc = f4_fail(f, F4_EXIT_FAILED, u->sync_error,
			     "%s: unmounted, but not all of it reached the device", u->dir);
	return rc;
}

int main(int argc, char *argv[])
{
	struct unmounting u = { .fd = -1, .ns = F4_NS_INIT, .settle = F4_SETTLE_INIT };
	struct f4_fail f = { 0 };

	f4_log_init(TOOL, F4_LOG_NOTICE);
	if (f4_fd_ensure_stdio() < 0)
		return F4_EXIT_SYSTEM;
	f4_signals_init(&u.wait_mask);
	if (run(&u, argc, argv, &f) != 0) {
		if (f.status == F4_EXIT_OK)
			(void)f4_fail(&f, F4_EXIT_INTERNAL, 0, "failed without a reason");
		f4_err("%s", f.text);
	}
	f4_close_p(&u.fd);
	f4_settle_done(&u.settle);
	f4_ns_done(&u.ns);
	free(u.path);
	return (int)f.status;
}
