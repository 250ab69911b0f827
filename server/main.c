/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuse4fs-server: serves one ext4 filesystem to the kernel's FUSE, from inside a seal.
 *
 * The order is the point of this file (server/service/seal.h has the reasons):
 *
 *   start      the helper's descriptors arrive, the process isolates itself (start.h)
 *   prepare    every thread and every object that needs a system call of the forbidden kind
 *   seal       the system call filter, for all threads
 *   open       only now a byte of the image is read: partition table, superblock, recovery
 *   mount      the helper attaches it; the helper is told "good" and goes
 *   serve      until the filesystem is unmounted
 *   finish     everything to the device, then DESTROY is answered
 *
 * A failure before "serve" undoes what there is, so that nothing is left when whoever mounts hears of
 * it, and is one line for him: through the helper where possible, else on the log.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/log.h"
#include "protocol/base/str.h"
#include "seccomp/filter.h"
#include "server/ext4/disk.h"
#include "server/ext4/volume.h"
#include "server/ext4/workers.h"
#include "server/fuse/session.h"
#include "server/service/lock.h"
#include "server/service/partition.h"
#include "server/service/start.h"
#include "server/service/title.h"
#include "server/service/watchdog.h"

#define PROGRAM "fuse4fs-server"

/* What the service manager shows of a mount. */
enum { TOLD_NOTHING, TOLD_RW, TOLD_RO };

/* Exit statuses. */
#define EXIT_MOUNT_FAILED 1 /* the filesystem was never mounted */
#define EXIT_LOST	  2 /* it was, and not everything is on the device */

/* Flags of the mount that a helper may hear from a server; it knows them all by itself. */
#define MS_TOLD                                                                             \
	(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SYNCHRONOUS | MS_DIRSYNC | MS_NOATIME | \
	 MS_NODIRATIME)

#define INIT_LIMIT_S 10 /* from "mounted" to the first word of the kernel */

struct server {
	struct f4_start start;
	struct f4_session *session; /* owned */
	struct f4_workers *workers; /* owned */
	struct f4_disk *disk;	    /* owned until the volume has it */
	struct f4_disk *log_disk;   /* owned until the volume has it */
	struct f4_volume *vol;	    /* owned */
	uint32_t ring_queues;	    /* of FUSE over io_uring; 0: the kernel does not offer it */
	bool mounted;
	_Atomic int told; /* what the service manager was told last: TOLD_* */
	char core_words[512];	    /* the last failure that the core logged */
};

/* --- failure ------------------------------------------------------------------------------- */

/* Everything of the image is let go before anybody hears that the mount failed. */
static void let_go(struct server *s)
{
	if (s->session && s->vol)
		f4_session_stop(s->session);
	if (s->vol) {
		(void)f4_volume_close(s->vol); /* it logs; the failure that led here is told */
		s->vol = NULL;
	}
	s->disk = f4_disk_free(s->disk);
	s->log_disk = f4_disk_free(s->log_disk);
	f4_source_file_done(&s->start.source);
	f4_source_file_done(&s->start.journal);
}

static int fail(struct server *s, enum f4_dialog_code code, int error, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* fail - tell whoever mounts, or the log. Return: EXIT_MOUNT_FAILED. */
static int fail(struct server *s, enum f4_dialog_code code, int error, const char *fmt, ...)
{
	char why[F4_START_WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap); /* cut, it still tells */
	va_end(ap);
	let_go(s);
	f4_start_fail(&s->start, code, error, why);
	return EXIT_MOUNT_FAILED;
}

static int fail_dialog(struct server *s)
{
	let_go(s);
	f4_start_fail_dialog(&s->start);
	return EXIT_MOUNT_FAILED;
}

/* --- prepare, seal ------------------------------------------------------------------------- */

static uint64_t oldest_request_s(void *arg)
{
	return f4_session_oldest_request_s(((struct server *)arg)->session);
}

/* The state for `systemctl status`, where it has changed: by a remount or by an error. Any thread. */
static void tell_state(void *arg)
{
	struct server *s = arg;
	int now = s->vol->read_only ? TOLD_RO : TOLD_RW;

	if (!s->mounted || atomic_exchange(&s->told, now) == now)
		return;
	f4_notify_send(&s->start.notify, "STATUS=Serving %s, %s", s->start.shown,
		       now == TOLD_RO ? "read-only" : "read-write");
}

static void sync_volume(void *arg)
{
	struct server *s = arg;
	int r = f4_volume_sync(s->vol);

	if (r < 0)
		f4_err("writing everything to the device: %s", strerror(-r));
	s->told = TOLD_NOTHING; /* the watchdog has told that it was asked to end */
	tell_state(s);
}

static enum f4_session_transport transport(const struct f4_opts *o)
{
	switch (o->transport) {
	case F4_OPTS_TRANSPORT_AUTO:
		return F4_SESSION_AUTO;
	case F4_OPTS_TRANSPORT_DEVICE:
		return F4_SESSION_DEVICE;
	case F4_OPTS_TRANSPORT_RING:
		return F4_SESSION_RING;
	}
	return F4_SESSION_AUTO;
}

static int make_threads(struct server *s, const struct f4_idmap *idmap)
{
	const struct f4_opts *o = &s->start.cmdline.opts;
	const struct f4_session_config config = {
		.fuse_fd = f4_take_fd(&s->start.fuse_fd),
		.transport = transport(o),
		.ring_queues = s->ring_queues,
		.writeback_cache = o->writeback_cache,
		.strict_open = o->strict_open,
		.strict_atime = f4_opts_atime(o) == F4_OPTS_ATIME_STRICT && !f4_opts_ro(o),
		.default_permissions = o->default_permissions,
		.owner_uid = s->start.accept.peer_uid,
		.fakeroot = o->fakeroot,
		.allow_root = o->allow_root && s->start.accept.peer_uid != 0,
		.allow_idmap = o->allow_idmap,
		.idmap = *idmap,
		.read_only = f4_opts_ro(o),
		.debug = o->debug,
		.remounted = tell_state,
		.remounted_arg = s,
	};
	const struct f4_watchdog_config dog = {
		.notify = &s->start.notify,
		.oldest_request_s = oldest_request_s,
		.sync = sync_volume,
		.look = tell_state,
		/* Only there a hanging server holds others. */
		.limit_s = s->start.source.fuseblk ? F4_WATCHDOG_LIMIT_S : 0,
	};
	int r;

	r = f4_session_new(&config, &s->session);
	if (r == 0)
		r = f4_session_start_threads(s->session);
	if (r == 0)
		r = f4_workers_new(F4_WORKERS_PER_VOLUME, &s->workers);
	if (r == 0)
		r = f4_watchdog_start(&dog);
	return r;
}

/* The words are right (f4_opts_check); whether they fit who mounts shows here. */
static int read_idmap(struct server *s, struct f4_idmap *ret)
{
	const struct f4_accept *who = &s->start.accept;
	const char *words = s->start.cmdline.opts.idmap;

	if (words && f4_idmap_parse(words, who->peer_uid, who->peer_gid, ret) < 0)
		return fail(s, F4_DIALOG_USAGE, EINVAL,
			    "option 'idmap=%s': two ranges overlap, with 'self' being uid %u and gid %u",
			    words, (unsigned int)who->peer_uid, (unsigned int)who->peer_gid);
	return 0;
}

static int prepare(struct server *s)
{
	const struct f4_opts *o = &s->start.cmdline.opts;
	struct f4_idmap idmap = { 0 };
	struct f4_disk_fd_params params = {
		.fd = s->start.source.fd,
		.read_only = f4_opts_ro(o),
		.direct = o->direct_io_device,
	};
	int r = read_idmap(s, &idmap);

	if (r)
		return r;
	r = f4_disk_fd_new(&params, &s->disk);
	if (r == -EINVAL)
		return fail(s, F4_DIALOG_FAILED, EINVAL, "%s: is empty", s->start.cmdline.source);
	if (r < 0)
		return fail(s, F4_DIALOG_FAILED, -r, "%s: %s", s->start.cmdline.source, strerror(-r));
	if (s->start.journal.fd >= 0) {
		params.fd = s->start.journal.fd;
		params.direct = false;
		r = f4_disk_fd_new(&params, &s->log_disk);
		if (r < 0)
			return fail(s, F4_DIALOG_FAILED, -r, "%s: %s", o->journal_path, strerror(-r));
	}
	r = make_threads(s, &idmap);
	if (r < 0)
		return fail(s, F4_DIALOG_INTERNAL, -r, "starting threads: %s", strerror(-r));
	return 0;
}

static int seal(struct server *s)
{
	f4_dialog_seal(&s->start.dialog);
	if (f4_seal_close(&s->start.seal, &f4_seccomp_server,
			  f4_session_has_rings(s->session) ? F4_SECCOMP_RINGS : 0) < 0)
		return fail(s, F4_DIALOG_FAILED, EPERM, "the server can't be sealed: %s",
			    s->start.seal.reason);
	return 0;
}

/* --- open ---------------------------------------------------------------------------------- */

static int read_disk(void *arg, void *buf, size_t len, uint64_t pos)
{
	return f4_disk_read(arg, buf, len, pos);
}

static int narrow(struct server *s, uint64_t offset, uint64_t size)
{
	if (f4_disk_fd_narrow(s->disk, offset, size) < 0)
		return fail(s, F4_DIALOG_FAILED, EINVAL, "%s: offset %llu is beyond its end",
			    s->start.cmdline.source, (unsigned long long)offset);
	return 0;
}

static int narrow_to_partition(struct server *s, const struct f4_ptable *t)
{
	const struct f4_opts *o = &s->start.cmdline.opts;
	const struct f4_partition *p = f4_ptable_find(t, o->partition);
	char words[512];
	uint64_t size;

	if (t->kind == F4_PTABLE_NONE)
		return fail(s, F4_DIALOG_FAILED, ENXIO, "%s: has no partition table",
			    s->start.cmdline.source);
	if (!p) {
		f4_ptable_describe(t, words, sizeof(words));
		return fail(s, F4_DIALOG_FAILED, ENXIO, "%s: has no partition %u; it is %s",
			    s->start.cmdline.source, o->partition, words);
	}
	size = o->sizelimit_bytes && o->sizelimit_bytes < p->size ? o->sizelimit_bytes : p->size;
	return narrow(s, p->start, size);
}

/* find_filesystem - where it is in the source; a whole disk without a choice is explained. */
static int find_filesystem(struct server *s)
{
	static struct f4_ptable table; /* 8 KiB: not on the stack */
	const struct f4_opts *o = &s->start.cmdline.opts;
	const struct f4_ptable_source src = {
		.read = read_disk,
		.arg = s->disk,
		.size = s->disk->size_bytes,
		.sector_size = s->disk->sector_size,
	};
	char words[512];
	int r;

	/* With sb= the caller knows better; at an offset there is no table to be found. */
	if (!o->partition && (o->offset_bytes || o->sb_1k || f4_ptable_has_ext(&src, 0)))
		return narrow(s, o->offset_bytes, o->sizelimit_bytes);
	r = f4_ptable_load(&src, &table);
	if (r == -EUCLEAN)
		return fail(s, F4_DIALOG_FAILED, EUCLEAN, "%s: its partition table is damaged",
			    s->start.cmdline.source);
	if (r < 0)
		return fail(s, F4_DIALOG_FAILED, -r, "%s: reading its partition table: %s",
			    s->start.cmdline.source, strerror(-r));
	if (o->partition)
		return narrow_to_partition(s, &table);
	if (table.kind == F4_PTABLE_NONE)
		return narrow(s, 0, o->sizelimit_bytes); /* the core says what it is not */
	f4_ptable_describe(&table, words, sizeof(words));
	return fail(s, F4_DIALOG_FAILED, EINVAL, "%s: is %s", s->start.cmdline.source, words);
}

/* The core speaks here. What stops a mount goes to whoever mounts, not to the log as well. */
static void core_log(void *arg, int level, const char *line)
{
	struct server *s = arg;

	if (!s->mounted && level <= F4_LOG_ERR) {
		(void)snprintf(s->core_words, sizeof(s->core_words), "%s", line); /* cut, it tells */
		f4_debug("%s", line);
		return;
	}
	f4_log((enum f4_log_level)(level < F4_LOG_ERR ? F4_LOG_ERR : level), "%s", line);
}

static enum f4_errors errors_mode(enum f4_opts_errors e)
{
	switch (e) {
	case F4_OPTS_ERRORS_DEFAULT:
		return F4_ERRORS_DEFAULT;
	case F4_OPTS_ERRORS_CONTINUE:
		return F4_ON_ERROR_CONTINUE;
	case F4_OPTS_ERRORS_RO:
		return F4_ON_ERROR_RO;
	case F4_OPTS_ERRORS_PANIC:
		return F4_ON_ERROR_ABORT;
	}
	return F4_ERRORS_DEFAULT;
}

static enum f4_atime atime_mode(const struct f4_opts *o)
{
	switch (f4_opts_atime(o)) {
	case F4_OPTS_ATIME_RELATIME:
		return F4_ATIME_RELATIVE;
	case F4_OPTS_ATIME_NONE:
		return F4_ATIME_NONE;
	case F4_OPTS_ATIME_STRICT:
		return F4_ATIME_STRICT;
	}
	return F4_ATIME_RELATIVE;
}

/* Which switches were named: the superblock decides on the others. */
static uint32_t named_options(const struct f4_opts *o)
{
	uint32_t named = 0;

	named |= o->data != F4_OPTS_DATA_DEFAULT ? F4_NAMED_DATA_MODE : 0;
	named |= o->barrier != F4_TRI_DEFAULT ? F4_NAMED_BARRIER : 0;
	named |= o->discard != F4_TRI_DEFAULT ? F4_NAMED_DISCARD : 0;
	named |= o->grpid != F4_TRI_DEFAULT ? F4_NAMED_BSD_GROUPS : 0;
	return named;
}

static struct f4_volume_options volume_options(const struct f4_cmdline *c)
{
	const struct f4_opts *o = &c->opts;

	return (struct f4_volume_options){
		.named = named_options(o),
		.read_only = f4_opts_ro(o),
		.no_recovery = o->norecovery,
		.data_mode = o->data == F4_OPTS_DATA_JOURNAL ? F4_DATA_JOURNAL : F4_DATA_ORDERED,
		.on_error = errors_mode(o->errors),
		.commit_interval_s = o->commit_secs,
		.no_barrier = o->barrier == F4_TRI_OFF,
		.discard = o->discard == F4_TRI_ON,
		.no_acl = o->acl == F4_TRI_OFF,
		.no_user_xattr = o->user_xattr == F4_TRI_OFF,
		.bsd_groups = o->grpid == F4_TRI_ON,
		.minix_df = o->minixdf == F4_TRI_ON,
		.resuid = o->resuid == F4_OPTS_NONE32 ? -1 : (int64_t)o->resuid,
		.resgid = o->resgid == F4_OPTS_NONE32 ? -1 : (int64_t)o->resgid,
		.sb_block = o->sb_1k,
		.cache_bytes = o->cache_bytes,
		.quota_usr = o->quota & F4_OPTS_QUOTA_USR,
		.quota_grp = o->quota & F4_OPTS_QUOTA_GRP,
		.quota_prj = o->quota & F4_OPTS_QUOTA_PRJ,
		.atime = atime_mode(o),
		.no_diratime = o->ms_flags & MS_NODIRATIME,
		.sync = o->ms_flags & MS_SYNCHRONOUS,
		.dirsync = o->ms_flags & MS_DIRSYNC,
		.last_mounted = c->dir,
	};
}

static const char *open_failure_words(const struct server *s, int r)
{
	if (s->core_words[0])
		return s->core_words;
	switch (r) {
	case -EINVAL:
		return "no ext2, ext3 or ext4 filesystem is there";
	case -EBUSY:
		return "in use on another machine (MMP)";
	case -EUCLEAN:
		return "the filesystem is damaged; e2fsck can repair it";
	default:
		return strerror(-r);
	}
}

static int open_volume(struct server *s)
{
	struct f4_volume_params params = {
		.disk = f4_take_ptr(s->disk),
		.log_disk = f4_take_ptr(s->log_disk),
		.workers = s->workers,
		.opt = volume_options(&s->start.cmdline),
		.log = core_log,
		.log_arg = s,
	};
	int r = f4_volume_open(&params, &s->vol);

	if (r < 0)
		return fail(s, F4_DIALOG_FAILED, -r, "%s: %s", s->start.cmdline.source,
			    open_failure_words(s, r));
	return 0;
}

/* --- mount --------------------------------------------------------------------------------- */

static bool wants_allow_other(const struct server *s)
{
	const struct f4_opts *o = &s->start.cmdline.opts;

	if (s->start.accept.peer_uid == 0 && (o->allow_root || o->fakeroot))
		return false;
	return o->allow_other == F4_TRI_ON || o->allow_root ||
	       (o->allow_other == F4_TRI_DEFAULT && s->start.accept.peer_uid == 0);
}

/* What FUSE is to be told; our helper decides by itself, another one takes it from here. */
static void mount_options(const struct server *s, char *out, size_t size)
{
	const struct f4_opts *o = &s->start.cmdline.opts;
	char block[32] = "";

	if (s->start.source.fuseblk) /* a filesystem on a device can't have blocks larger than a page */
		(void)snprintf(block, sizeof(block), ",blksize=%u",
			       s->vol->block_size < 4096 ? s->vol->block_size : 4096);
	(void)snprintf(out, size, "max_read=%u%s%s%s", 1u << 20,
		       o->default_permissions ? ",default_permissions" : "",
		       wants_allow_other(s) && (s->start.dialog.hello_flags & F4_HELLO_ALLOW_OTHER) ?
			       ",allow_other" :
			       "",
		       block);
}

static int ask_for_mount(struct server *s)
{
	const struct f4_opts *o = &s->start.cmdline.opts;
	uint32_t flags = (f4_opts_mount_flags(o, s->start.accept.peer_uid == 0) & MS_TOLD) |
			 (s->vol->read_only ? MS_RDONLY : 0);
	char options[128];
	const struct f4_msg steps[] = {
		{ .type = F4_MSG_FSOPEN,
		  .fsopen.flags = s->start.source.fuseblk ? F4_FSOPEN_FUSEBLK : 0 },
		{ .type = F4_MSG_SOURCE, .text = s->start.cmdline.source },
		{ .type = F4_MSG_MOUNTPOINT, .text = s->start.cmdline.dir, .mountpoint.format = S_IFDIR },
		{ .type = F4_MSG_MNTOPTS, .text = options },
		{ .type = F4_MSG_MOUNT, .mount.ms_flags = flags },
	};

	mount_options(s, options, sizeof(options));
	for (size_t i = 0; i < F4_ARRAY_LEN(steps); i++) {
		int r = f4_dialog_ask(&s->start.dialog, &steps[i]);

		if (r == F4_DIALOG_E_BROKEN)
			return fail_dialog(s);
		if (r < 0)
			return fail(s, F4_DIALOG_FAILED, -r, "%s: mounting on %s was refused: %s",
				    s->start.cmdline.source, s->start.cmdline.dir, strerror(-r));
	}
	return 0;
}

static int mount_it(struct server *s)
{
	const char *mode;
	int r;

	f4_session_open_gate(s->session, s->vol);
	r = ask_for_mount(s);
	if (r)
		return r;
	/* The kernel's INIT is there when the mount is: a helper that only says so gets nothing. */
	r = f4_session_wait_mounted(s->session, INIT_LIMIT_S);
	if (r < 0)
		return fail(s, F4_DIALOG_FAILED, -r, "%s: was never mounted on %s",
			    s->start.cmdline.source, s->start.cmdline.dir);
	s->told = s->vol->read_only ? TOLD_RO : TOLD_RW;
	s->mounted = true;
	mode = s->vol->read_only ? "read-only" : "read-write";
	if (s->start.source.fuseblk)
		f4_lock_release(s->start.source.fd); /* the kernel has its own claim now */
	f4_watchdog_arm(s);
	f4_title_set(PROGRAM ": %s, %s", s->start.shown, mode);
	f4_notify_send(&s->start.notify, "READY=1\nSTATUS=Serving %s, %s", s->start.shown, mode);
	/* The helper may have gone: the mount is there all the same, or it ends by itself. */
	(void)f4_dialog_bye(&s->start.dialog, F4_DIALOG_OK, 0, NULL);
	f4_dialog_done(&s->start.dialog);
	f4_outlet_mounted(&s->start.outlet);
	f4_log_set_context(s->start.shown);
	f4_info("mounted %s", mode);
	return 0;
}

/* --- serve, finish ------------------------------------------------------------------------- */

static int serve(struct server *s)
{
	bool clean;
	int r;

	(void)f4_session_wait(s->session, &clean);
	f4_notify_send(&s->start.notify, "STOPPING=1\nSTATUS=Unmounted %s, writing the rest", s->start.shown);
	f4_watchdog_disarm();
	r = f4_volume_close(s->vol);
	s->vol = NULL;
	f4_source_file_done(&s->start.source);
	f4_source_file_done(&s->start.journal);
	f4_session_reply_destroy(s->session);
	if (r < 0) {
		f4_err("closing the filesystem: %s", strerror(-r));
		return EXIT_LOST;
	}
	f4_info("unmounted, all is on the device");
	return 0;
}

static int run(struct server *s)
{
	static int (*const steps[])(struct server *) = { prepare,     seal,	 find_filesystem,
							 open_volume, mount_it, serve };
	int r = 0;

	s->ring_queues = f4_session_count_queues(); /* while there is a /sys */
	if (f4_start_run(&s->start, PROGRAM))
		return EXIT_MOUNT_FAILED;
	for (size_t i = 0; i < F4_ARRAY_LEN(steps) && r == 0; i++)
		r = steps[i](s);
	return r;
}

/* --- the command line: for people and for the build ------------------------------------------ */

static int print_seccomp(const char *which)
{
	static const char *const names[] = {
		[F4_SECCOMP_TABLE] = "table",
		[F4_SECCOMP_NAMES] = "names",
		[F4_SECCOMP_UNIT] = "unit",
	};

	for (int i = 0; i < F4_SECCOMP_FORMAT_MAX; i++) {
		if (!f4_str_eq(which, names[i]))
			continue;
		return f4_seccomp_print(&f4_seccomp_server, (enum f4_seccomp_format)i,
					STDOUT_FILENO) < 0;
	}
	fprintf(stderr, PROGRAM ": --print-seccomp=%s: not table, names or unit\n", which);
	return 1;
}

/* Return: the exit status, -1 when there is nothing to print. */
static int print_and_exit(int argc, char **argv)
{
	const char *which;

	if (argc == 1)
		return -1;
	which = f4_str_after(argv[1], "--print-seccomp=");
	if (argc == 2 && which)
		return print_seccomp(which);
	if (argc == 2 && (f4_str_eq(argv[1], "--version") || f4_str_eq(argv[1], "-V"))) {
		printf(PROGRAM " " F4_VERSION "\n");
		return 0;
	}
	if (argc == 2 && (f4_str_eq(argv[1], "--help") || f4_str_eq(argv[1], "-h"))) {
		printf("Usage: " PROGRAM " [--version | --print-seccomp=names|table|unit]\n"
		       "Serves one ext4 filesystem; started by mount.fuse4fs(8) or by a service "
		       "manager.\n");
		return 0;
	}
	fprintf(stderr, PROGRAM ": takes no arguments; mount.fuse4fs(8) mounts\n");
	return 1;
}

int main(int argc, char **argv)
{
	struct server s = { .start = F4_START_INIT };
	int r = print_and_exit(argc, argv);

	if (r >= 0)
		return r;
	f4_title_init(argc, argv);
	r = run(&s);
	s.session = f4_session_free(s.session);
	s.workers = f4_workers_free(s.workers);
	f4_start_done(&s.start);
#ifdef F4_SANITIZED
	/* At the exit a leak checker would start a thread: not in here. */
	_exit(r);
#endif
	return r;
}
