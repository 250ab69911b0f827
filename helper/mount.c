/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mount.fuse4fs: the helper that mount(8) calls, and that a user calls.
 *
 * It runs with its caller's rights and never with more. In this order: read the command line; look
 * up source, journal and mount point; open /dev/fuse; find a server (a listening one, else one of
 * its own); hold the conversation; see the filesystem answer; put it in its place; write it down.
 * The mount stays detached until it has answered, so that whatever fails leaves nothing behind.
 *
 * It never reads a byte of the image.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "helper/attach.h"
#include "helper/child.h"
#include "helper/fail.h"
#include "helper/fuseconf.h"
#include "helper/holder.h"
#include "helper/ns.h"
#include "helper/remount.h"
#include "helper/signals.h"
#include "helper/source.h"
#include "helper/spawn.h"
#include "helper/talk.h"
#include "helper/target.h"
#include "helper/utab.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "protocol/base/str.h"
#include "protocol/cmdline.h"

#define TOOL "mount.fuse4fs"

#define BOOTED	    "/run/fuse4fs/booted" /* units/fuse4fs.tmpfiles */
#define BOOT_SOCKET F4_WIRE_SOCKET_DIR "/" F4_WIRE_SUBTYPE ".boot"

/* Limits on the server's time. Replaying a large journal from a slow disk is the longest step. */
#define CONNECT_MS 5000
#define HELLO_MS   10000
/*
 * A service manager that is slower gets no more time, as the helper can start a server by itself: users
 * may have kept the manager busy. Nobody else uses the socket for the boot, when disks are slow.
 */
#define SERVICE_MS 2000
#define COMMAND_MS 300000
#define BUSY_MS	   1000
#define BUSY_STEP_US 50000
#define CREATE_MS  10000
#define ANSWER_MS  30000

struct mounting {
	struct f4_cmdline cmdline;
	const char *subtype;
	struct f4_source source, journal;
	struct f4_target target;
	struct f4_ns ns;
	struct f4_attach attach;
	int fuse_fd; /* owned */
	sigset_t wait_mask;
	bool allow_other; /* the caller may and wants to */
	bool utab;
};

/* --- the command line --------------------------------------------------------------------- */

static void print_help(void)
{
	(void)puts("usage: " TOOL " [-fnsv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE] SOURCE DIR\n"
		   "Mount the ext2, ext3 or ext4 filesystem in SOURCE (a device, an image file, or\n"
		   "fd:N) on DIR, served by a sandboxed process. See " TOOL "(8).");
}

/* What follows "fuse." or "fuseblk." in the type; "fuse4fs" without -t. */
static int find_subtype(struct mounting *m, struct f4_fail *f)
{
	const char *type = m->cmdline.type ? m->cmdline.type : F4_WIRE_SUBTYPE;
	const char *rest = f4_str_after(type, "fuse.");

	if (!rest)
		rest = f4_str_after(type, "fuseblk.");
	m->subtype = rest ? rest : type;
	if (!m->subtype[0] || m->subtype[0] == '.' || strchr(m->subtype, '/') ||
	    strlen(m->subtype) > 64)
		return f4_fail(f, F4_EXIT_USAGE, 0, "type %s: no such filesystem type", type);
	return 0;
}

static bool is_fuse4fs(const struct mounting *m)
{
	return f4_str_eq(m->subtype, F4_WIRE_SUBTYPE);
}

/* Who may see the mount: root's is for all unless root says otherwise, a user's for the user. */
static int decide_allow_other(struct mounting *m, struct f4_fail *f)
{
	const struct f4_opts *o = &m->cmdline.opts;
	struct f4_fuseconf conf;

	if (geteuid() == 0) {
		m->allow_other = o->allow_other != F4_TRI_OFF && !o->allow_root && !o->fakeroot;
		return 0;
	}
	/* FUSE can let in "all", not "root as well": the server keeps the others out then. */
	m->allow_other = o->allow_other == F4_TRI_ON || o->allow_root;
	if (!m->allow_other)
		return 0;
	f4_fuseconf_load(&conf);
	if (!conf.user_allow_other)
		return f4_fail(f, F4_EXIT_USAGE, 0,
			       "option '%s': only root may use it, since user_allow_other is not in "
			       F4_FUSECONF_PATH, o->allow_root ? "allow_root" : "allow_other");
	return 0;
}

/* Return: 0 to go on; F4_FAILED; -1: all is done. */
static int read_cmdline(struct mounting *m, int argc, char *argv[], struct f4_fail *f)
{
	int rc = f4_cmdline_parse(&m->cmdline, argc, argv);

	if (rc == -ENOMEM)
		return f4_fail_oom(f);
	if (rc != 0)
		return f4_fail(f, F4_EXIT_USAGE, 0, "%s", m->cmdline.message);
	if (m->cmdline.verbose)
		f4_log_init(TOOL, F4_LOG_DEBUG);
	if (m->cmdline.help || m->cmdline.version) {
		if (m->cmdline.help)
			print_help();
		else
			(void)puts(TOOL " " F4_VERSION);
		return -1;
	}
	if (m->cmdline.opts.unknown)
		f4_warn("options unknown and left out: %s", m->cmdline.opts.unknown);
	if (m->cmdline.opts.ignored)
		f4_debug("options without effect here: %s", m->cmdline.opts.ignored);
	if (find_subtype(m, f) != 0 || decide_allow_other(m, f) != 0)
		return F4_FAILED;
	return 0;
}

/* --- what the caller named ---------------------------------------------------------------- */

static int find_sources(struct mounting *m, struct f4_fail *f)
{
	const char *journal = m->cmdline.opts.journal_path;

	if (f4_source_init(&m->source, m->cmdline.source, f) != 0)
		return F4_FAILED;
	return journal ? f4_source_init(&m->journal, journal, f) : 0;
}

static int find_target(struct mounting *m, struct f4_fail *f)
{
	int rc;

	if (f4_ns_init(&m->ns, m->cmdline.netns, f) != 0 || f4_ns_enter(&m->ns, f) != 0)
		return F4_FAILED;
	rc = f4_target_init(&m->target, m->cmdline.dir, m->subtype, m->cmdline.fake, f);
	if (f4_ns_leave(&m->ns, f) != 0 || rc != 0)
		return F4_FAILED;
	if (is_fuse4fs(m) && !S_ISDIR(m->target.st.st_mode))
		return f4_fail(f, F4_EXIT_FAILED, ENOTDIR, "%s: mount point is of no use",
			       m->cmdline.dir);
	return 0;
}

static int in_use(const struct f4_source *s, const char *who, struct f4_fail *f)
{
	return f4_fail(f, F4_EXIT_FAILED, EBUSY, "%s: is in use: %s", s->name, who);
}

static int check_free(const struct f4_source *s, bool writing, struct f4_fail *f)
{
	char who[512];

	/* A server whose mount has just gone may be about to let go. */
	for (long long end = f4_now_ms() + BUSY_MS;; (void)usleep(BUSY_STEP_US)) {
		if (f4_holder_check(s, writing, who, sizeof(who)) != F4_HOLDER_E_HELD)
			return 0;
		if (f4_now_ms() >= end)
			return in_use(s, who, f);
	}
}

static int check_all_free(const struct mounting *m, struct f4_fail *f)
{
	bool writing = !f4_opts_ro(&m->cmdline.opts);

	if (check_free(&m->source, writing, f) != 0)
		return F4_FAILED;
	return m->journal.name ? check_free(&m->journal, writing, f) : 0;
}

static int open_fuse(struct mounting *m, struct f4_fail *f)
{
	static const struct {
		int error;
		const char *advice;
	} t[] = {
		{ ENOENT, "load the module (modprobe fuse), or give the container this device" },
		{ ENODEV, "the kernel's FUSE is not loaded: modprobe fuse" },
		{ ENXIO, "the kernel's FUSE is not loaded: modprobe fuse" },
		{ EACCES, "its mode keeps this user out, or a nodev mount: chmod 666 /dev/fuse" },
		{ EPERM, "the device policy of the container or unit denies it: allow c 10:229 rw" },
	};
	int error;

	f4_close_p(&m->fuse_fd);
	m->fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (m->fuse_fd >= 0)
		return 0;
	error = errno;
	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++)
		if (t[i].error == error)
			return f4_fail(f, F4_EXIT_SYSTEM, error, "/dev/fuse can't be opened (%s)",
				       t[i].advice);
	return f4_fail(f, F4_EXIT_SYSTEM, error, "/dev/fuse can't be opened");
}

/* -f: could it be opened as the server would want it? */
static int check_openable(const struct mounting *m, struct f4_fail *f)
{
	bool ro = f4_opts_ro(&m->cmdline.opts);
	f4_auto_fd fd = f4_source_open(&m->source, ro ? O_RDONLY : O_RDWR);

	if (fd < 0)
		return f4_fail(f, F4_EXIT_FAILED, -fd, "%s: can't be opened%s", m->source.name,
			       ro ? "" : " for writing (mount it with -o ro?)");
	return 0;
}

/* --- the mount ---------------------------------------------------------------------------- */

static void give_claim_back(void *arg)
{
	f4_source_unclaim(arg);
}

/* The server asks for the mount. */
static int make_mount(void *arg, const struct f4_talk_asked *asked, struct f4_fail *f)
{
	struct mounting *m = arg;
	struct f4_attach_request r = {
		.subtype = m->subtype,
		.source = m->source.shown,
		.fuseblk = asked->fuseblk,
		.fuse_fd = m->fuse_fd,
		.target = m->ns.name ? NULL : &m->target, /* the broker reaches its own namespace alone */
		.source_fd = m->source.path_fd,
		.ms_flags = f4_opts_mount_flags(&m->cmdline.opts, geteuid() == 0) |
			    asked->ms_flags,
		.uid = getuid(),
		.gid = getgid(),
		.rootmode = m->target.st.st_mode & S_IFMT,
		.allow_other = m->allow_other,
		.default_permissions = m->cmdline.opts.default_permissions,
		.max_read = asked->max_read,
		.block_size = asked->block_size,
		.opts = &m->cmdline.opts,
	};

	return f4_attach_create(&m->attach, &r, give_claim_back, &m->source, CREATE_MS,
				&m->wait_mask, f);
}

/* In the initial user namespace all ids are themselves. */
static bool in_initial_userns(void)
{
	f4_auto_fd fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
	f4_auto_free char *text = NULL;
	unsigned int inside, outside, count;

	if (fd < 0 || f4_fd_slurp(fd, 4096, &text, NULL) != 0)
		return false;
	return sscanf(text, "%u %u %u", &inside, &outside, &count) == 3 && inside == 0 &&
	       outside == 0 && count == UINT32_MAX;
}

/* The server's words say that the source is taken: say by whom. */
static void name_holder(struct mounting *m, int error, struct f4_fail *f)
{
	size_t len = strlen(f->text);
	char who[512];

	if ((error != EBUSY && error != EAGAIN) || strstr(f->text, "process"))
		return;
	if (f4_holder_check(&m->source, true, who, sizeof(who)) == F4_HOLDER_E_HELD)
		(void)snprintf(f->text + len, sizeof(f->text) - len, " (%s)", who);
}

static int converse(struct mounting *m, struct f4_chan *ch, bool fuseblk, bool may_fall_back,
		    int hello_ms, struct f4_fail *f)
{
	struct f4_talk talk = {
		.ch = ch,
		.cmdline = &m->cmdline,
		.subtype = m->subtype,
		.source = &m->source,
		.journal = m->journal.name ? &m->journal : NULL,
		.target = &m->target,
		.fuse_fd = m->fuse_fd,
		.offer_fuseblk = fuseblk,
		.offer_allow_other = m->allow_other,
		.may_fall_back = may_fall_back,
		.hello_ms = hello_ms,
		.command_ms = COMMAND_MS,
		.wait_mask = &m->wait_mask,
		.mount = make_mount,
		.arg = m,
	};
	int rc;

	if (fuseblk) {
		rc = f4_source_claim(&m->source);
		if (rc < 0)
			return f4_fail(f, F4_EXIT_FAILED, -rc, "%s: can't be opened exclusively",
				       m->source.name);
	}
	rc = f4_talk_run(&talk, f);
	m->utab = !talk.asked.no_utab;
	/* A copy of ours would keep the connection of a dead server alive. */
	f4_close_p(&m->fuse_fd);
	if (rc == F4_FAILED)
		name_holder(m, talk.reason_errno, f);
	if (rc == 0)
		rc = f4_attach_answers(&m->attach, ANSWER_MS, &m->wait_mask, f);
	return rc;
}

static int place(struct mounting *m, struct f4_fail *f)
{
	int rc;

	if (f4_ns_enter(&m->ns, f) != 0)
		return F4_FAILED;
	rc = f4_attach_place(&m->attach, &m->target, f);
	if (f4_ns_leave(&m->ns, f) != 0)
		return F4_FAILED;
	return rc;
}

/*
 * At boot, before systemd-tmpfiles-setup.service is done, fuse4fs@.service can't start: it waits for
 * that, and that for the local filesystems. Root uses fuse4fs-boot.socket until the mark is there.
 */
static bool at_boot(const struct mounting *m)
{
	return is_fuse4fs(m) && geteuid() == 0 && access(BOOTED, F_OK) < 0 &&
	       access(BOOT_SOCKET, F_OK) == 0;
}

/* A listening server. Return: 0, F4_FAILED, F4_TALK_E_FALLBACK: there is none for us. */
static int try_service(struct mounting *m, bool fuseblk, struct f4_fail *f)
{
	struct f4_chan ch f4_cleanup(f4_chan_done) = F4_CHAN_INIT;
	char path[128];
	bool boot = at_boot(m), hurry = is_fuse4fs(m) && !boot;
	int rc = f4_str_format(path, sizeof(path), "%s/%s%s", F4_WIRE_SOCKET_DIR, m->subtype,
			       boot ? ".boot" : "");

	if (rc == 0)
		rc = f4_chan_connect(&ch, path, hurry ? SERVICE_MS : CONNECT_MS);
	if (rc == -ENOENT || rc == -ECONNREFUSED || rc == -ENOTDIR || rc == -EACCES ||
	    (rc == F4_CHAN_E_TIMEOUT && is_fuse4fs(m))) {
		f4_debug("%s: %s", path, f4_chan_strerror(rc));
		return F4_TALK_E_FALLBACK;
	}
	if (rc != 0)
		return f4_fail(f, F4_EXIT_SYSTEM, 0, "%s: can't be connected to: %s", path,
			       f4_chan_strerror(rc));
	f4_debug("the server is the service manager's, at %s", path);
	return converse(m, &ch, fuseblk, is_fuse4fs(m), hurry ? SERVICE_MS : HELLO_MS, f);
}

static int try_own_server(struct mounting *m, bool fuseblk, struct f4_fail *f)
{
	struct f4_spawn spawn f4_cleanup(f4_spawn_done) = F4_SPAWN_INIT;
	struct f4_chan ch f4_cleanup(f4_chan_done) = F4_CHAN_INIT;
	int rc;

	if (!is_fuse4fs(m))
		return f4_fail(f, F4_EXIT_FAILED, 0, "type %s: no server listens in %s", m->subtype,
			       F4_WIRE_SOCKET_DIR);
	f4_debug("the server is a child of this process");
	rc = f4_spawn_start(&spawn, &ch, f);
	if (rc == 0)
		rc = converse(m, &ch, fuseblk, false, HELLO_MS, f);
	if (rc == F4_TALK_E_FALLBACK)
		rc = f4_fail(f, F4_EXIT_FAILED, 0, "the server won't serve");
	if (rc == 0)
		rc = place(m, f);
	if (rc != 0) {
		/* The end of the channel and of the mount is the server's sign to leave. */
		f4_attach_done(&m->attach);
		f4_chan_done(&ch);
		f4_close_p(&m->fuse_fd);
		f4_spawn_end(&spawn);
	}
	return rc;
}

static int try_both(struct mounting *m, bool fuseblk, struct f4_fail *f)
{
	int rc;

	if (open_fuse(m, f) != 0)
		return F4_FAILED;
	rc = try_service(m, fuseblk, f);
	if (rc == 0)
		return place(m, f);
	if (rc == F4_TALK_E_FALLBACK && open_fuse(m, f) == 0)
		return try_own_server(m, fuseblk, f);
	return F4_FAILED;
}

static int mount_it(struct mounting *m, struct f4_fail *f)
{
	bool fuseblk = f4_source_is_block(&m->source) && geteuid() == 0 && in_initial_userns();
	int rc = try_both(m, fuseblk, f);

	f4_attach_done(&m->attach); /* only what failed is still held */
	if (rc == 0 || !fuseblk || f->error != EBUSY || f->status != F4_EXIT_FAILED)
		return rc;
	/* The kernel could not claim the device for fuseblk: hold it ourselves instead. */
	f4_debug("%s; trying without fuseblk", f->text);
	*f = (struct f4_fail){ 0 };
	f4_source_unclaim(&m->source);
	rc = try_both(m, false, f);
	f4_attach_done(&m->attach);
	return rc;
}

static int write_down(struct mounting *m, struct f4_fail *f)
{
	char type[80];
	int rc;

	if (m->cmdline.no_mtab || !m->utab || geteuid() != 0)
		return 0;
	(void)snprintf(type, sizeof(type), "fuse.%s", m->subtype); /* it fits: find_subtype() */
	if (f4_ns_enter(&m->ns, f) != 0)
		return F4_FAILED;
	rc = f4_utab_add(m->source.shown, m->target.path, type, m->subtype, m->cmdline.words);
	if (f4_ns_leave(&m->ns, f) != 0)
		return F4_FAILED;
	if (rc < 0)
		return f4_fail(f, F4_EXIT_UTAB, -rc, "%s: mounted, but not written to utab",
			       m->target.name);
	return 0;
}

static int run(struct mounting *m, int argc, char *argv[], struct f4_fail *f)
{
	int rc = read_cmdline(m, argc, argv, f);

	if (rc != 0)
		return rc < 0 ? 0 : rc;
	if (m->cmdline.opts.remount)
		return f4_remount(&m->cmdline, m->subtype,
				  f4_opts_mount_flags(&m->cmdline.opts, geteuid() == 0), f);
	if (find_sources(m, f) != 0 || find_target(m, f) != 0 || check_all_free(m, f) != 0)
		return F4_FAILED;
	if (m->cmdline.fake)
		return open_fuse(m, f) != 0 ? F4_FAILED : check_openable(m, f);
	if (mount_it(m, f) != 0)
		return F4_FAILED;
	f4_debug("%s is mounted on %s", m->source.shown, m->target.path);
	return write_down(m, f);
}

int main(int argc, char *argv[])
{
	struct mounting m = {
		.source = F4_SOURCE_INIT,
		.journal = F4_SOURCE_INIT,
		.target = F4_TARGET_INIT,
		.ns = F4_NS_INIT,
		.attach = F4_ATTACH_INIT,
		.fuse_fd = -1,
	};
	struct f4_fail f = { 0 };

	f4_log_init(TOOL, F4_LOG_NOTICE);
	if (f4_fd_ensure_stdio() < 0)
		return F4_EXIT_SYSTEM;
	f4_signals_init(&m.wait_mask);
	if (run(&m, argc, argv, &f) != 0) {
		if (f.status == F4_EXIT_OK)
			(void)f4_fail(&f, F4_EXIT_INTERNAL, 0, "failed without a reason");
		f4_err("%s", f.text);
	}
	f4_close_p(&m.fuse_fd);
	f4_ns_done(&m.ns);
	f4_target_done(&m.target);
	f4_source_done(&m.journal);
	f4_source_done(&m.source);
	f4_cmdline_done(&m.cmdline);
	return (int)f.status;
}
