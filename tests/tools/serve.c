/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * serve: mount an image in this process, as root, with neither helper nor seal.
 *
 * For debugging and measuring the core and the FUSE layer by themselves: under gdb, perf, a
 * sanitizer. Stays in the foreground until the mount is gone, then closes the volume and prints how
 * many requests of each kind came. Never installed.
 *
 * serve [-o WORD,...] IMAGE DIR
 *   ro, writeback, debug, noacl, sync, blk (type fuseblk, IMAGE is a block device), threads=N,
 *   device, ring (how requests come; default: as the server chooses), cache=BYTES, noperm (no
 *   default_permissions), ready=FD (a byte is written there once mounted), direct (O_DIRECT),
 *   count (each line on standard input prints the requests so far, then "end")
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/str.h"
#include "server/ext4/disk.h"
#include "server/ext4/volume.h"
#include "server/ext4/workers.h"
#include "server/fuse/session.h"

struct setup {
	const char *image, *dir;
	bool read_only, writeback, debug, no_acl, sync, block, no_permissions, device, ring, count, direct;
	uint64_t threads, cache_bytes;
	uint64_t ready_fd; /* 0: none */
};

static int fail(const char *what, int r)
{
	fprintf(stderr, "serve: %s: %s\n", what, strerror(r < 0 ? -r : r));
	return 1;
}

static void say(void *arg, int level, const char *line)
{
	(void)arg;
	fprintf(stderr, "serve: <%d> %s\n", level, line);
}

static bool parse_word(struct setup *s, const char *word)
{
	static const struct {
		const char *word;
		size_t off;
	} flags[] = {
		{ "ro", offsetof(struct setup, read_only) },
		{ "writeback", offsetof(struct setup, writeback) },
		{ "debug", offsetof(struct setup, debug) },
		{ "noacl", offsetof(struct setup, no_acl) },
		{ "sync", offsetof(struct setup, sync) },
		{ "blk", offsetof(struct setup, block) },
		{ "noperm", offsetof(struct setup, no_permissions) },
		{ "device", offsetof(struct setup, device) },
		{ "ring", offsetof(struct setup, ring) },
		{ "count", offsetof(struct setup, count) },
		{ "direct", offsetof(struct setup, direct) },
	};
	const char *v;

	for (size_t i = 0; i < F4_ARRAY_LEN(flags); i++) {
		if (f4_str_eq(word, flags[i].word)) {
			*(bool *)((char *)s + flags[i].off) = true;
			return true;
		}
	}
	if ((v = f4_str_after(word, "threads=")))
		return f4_str_to_u64(v, 10, 16, &s->threads) == 0;
	if ((v = f4_str_after(word, "cache=")))
		return f4_str_to_size(v, UINT64_MAX, &s->cache_bytes) == 0;
	if ((v = f4_str_after(word, "ready=")))
		return f4_str_to_u64(v, 10, 1000, &s->ready_fd) == 0;
	return false;
}

static bool parse_args(struct setup *s, int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "o:")) == 'o') {
		char *save = NULL;

		for (char *w = strtok_r(optarg, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
			if (!parse_word(s, w)) {
				fprintf(stderr, "serve: unknown word %s\n", w);
				return false;
			}
		}
	}
	if (opt != -1 || argc - optind != 2) {
		fprintf(stderr, "usage: serve [-o WORD,...] IMAGE DIR\n");
		return false;
	}
	s->image = argv[optind];
	s->dir = argv[optind + 1];
	return true;
}

static int set_option(int fs, const char *key, const char *value)
{
	unsigned int cmd = value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

	return fsconfig(fs, cmd, key, value, 0) < 0 ? -errno : 0;
}

static int attach(const struct setup *s, int fuse_fd)
{
	f4_auto_fd fs = -1;
	f4_auto_fd mnt = -1;
	char number[16];
	int r = 0;

	fs = fsopen(s->block ? "fuseblk" : "fuse", FSOPEN_CLOEXEC);
	if (fs < 0)
		return -errno;
	snprintf(number, sizeof(number), "%d", fuse_fd);
	r = set_option(fs, "source", s->image);
	if (r == 0)
		r = set_option(fs, "subtype", "fuse4fs");
	if (r == 0)
		r = set_option(fs, "fd", number);
	if (r == 0)
		r = set_option(fs, "rootmode", "40000");
	if (r == 0)
		r = set_option(fs, "user_id", "0");
	if (r == 0)
		r = set_option(fs, "group_id", "0");
	if (r == 0)
		r = set_option(fs, "allow_other", NULL);
	if (r == 0 && !s->no_permissions)
		r = set_option(fs, "default_permissions", NULL);
	if (r == 0 && s->read_only)
		r = set_option(fs, "ro", NULL);
	if (r == 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		r = -errno;
	if (r < 0)
		return r;
	mnt = fsmount(fs, FSMOUNT_CLOEXEC, s->read_only ? MOUNT_ATTR_RDONLY : 0);
	if (mnt < 0)
		return -errno;
	return move_mount(mnt, "", AT_FDCWD, s->dir, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

static int open_volume(const struct setup *s, int image_fd, struct f4_workers *workers,
		       struct f4_volume **ret)
{
	struct f4_disk_fd_params disk_params = { .fd = image_fd,
					       .read_only = s->read_only,
					       .direct = s->direct };
	struct f4_volume_params params = {
		.workers = workers,
		.opt = { .read_only = s->read_only,
			 .no_acl = s->no_acl,
			 .sync = s->sync,
			 .cache_bytes = s->cache_bytes,
			 .resuid = -1,
			 .resgid = -1 },
		.log = say,
	};
	int r = f4_disk_fd_new(&disk_params, &params.disk);

	return r < 0 ? r : f4_volume_open(&params, ret);
}

static void print_requests(const struct f4_session *session)
{
	static const char *const names[F4_SESSION_OPCODES] = {
		[1] = "lookup",	     [2] = "forget",	   [3] = "getattr",	[4] = "setattr",
		[5] = "readlink",    [6] = "symlink",	   [8] = "mknod",	[9] = "mkdir",
		[10] = "unlink",     [11] = "rmdir",	   [12] = "rename",	[13] = "link",
		[14] = "open",	     [15] = "read",	   [16] = "write",	[17] = "statfs",
		[18] = "release",    [20] = "fsync",	   [21] = "setxattr",	[22] = "getxattr",
		[23] = "listxattr",  [24] = "removexattr", [25] = "flush",	[26] = "init",
		[27] = "opendir",    [28] = "readdir",	   [29] = "releasedir", [30] = "fsyncdir",
		[35] = "create",     [36] = "interrupt",   [38] = "destroy",	[39] = "ioctl",
		[42] = "batch_forget", [43] = "fallocate", [44] = "readdirplus", [45] = "rename2",
		[46] = "lseek",	     [47] = "copy_file_range", [50] = "syncfs", [51] = "tmpfile",
		[52] = "statx",
	};
	uint64_t n[F4_SESSION_OPCODES];

	f4_session_requests(session, n);
	for (unsigned int i = 0; i < F4_SESSION_OPCODES; i++)
		if (n[i])
			printf("requests %-15s %llu\n", names[i] ? names[i] : "other",
			       (unsigned long long)n[i]);
}

/* Answer on request, until standard input ends. */
static void *count_main(void *arg)
{
	char line[16];

	while (fgets(line, sizeof(line), stdin)) {
		print_requests(arg);
		printf("end\n");
		fflush(stdout);
	}
	return NULL;
}

/* From the open gate to the end of the mount. */
static int run(const struct setup *s, struct f4_session *session, int fuse_fd)
{
	pthread_t counter;
	bool clean;
	int r = attach(s, fuse_fd);

	if (r < 0) {
		f4_session_stop(session);
		(void)f4_session_wait(session, &clean);
		return fail(s->dir, r);
	}
	if (s->count && pthread_create(&counter, NULL, count_main, session) != 0)
		fprintf(stderr, "serve: no thread for counting\n");
	if (s->ready_fd && write((int)s->ready_fd, "", 1) != 1)
		fprintf(stderr, "serve: ready: %s\n", strerror(errno));
	return f4_session_wait(session, &clean);
}

int main(int argc, char **argv)
{
	struct setup s = { 0 };
	struct f4_session_config config = { 0 };
	struct f4_session *session = NULL;
	struct f4_workers *workers = NULL;
	struct f4_volume *vol = NULL;
	f4_auto_fd image_fd = -1;
	int r, ret;

	if (!parse_args(&s, argc, argv))
		return 2;
	image_fd = open(s.image, (s.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC |
					 (s.direct ? O_DIRECT : 0));
	if (image_fd < 0)
		return fail(s.image, errno);
	config = (struct f4_session_config){
		.fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC),
		.threads = (uint32_t)s.threads,
		.transport = s.device ? F4_SESSION_DEVICE : s.ring ? F4_SESSION_RING : F4_SESSION_AUTO,
		.ring_queues = f4_session_count_queues(),
		.writeback_cache = s.writeback,
		.default_permissions = !s.no_permissions,
		.read_only = s.read_only,
		.debug = s.debug,
	};
	if (config.fuse_fd < 0)
		return fail("/dev/fuse", errno);
	r = f4_session_new(&config, &session);
	if (r == 0)
		r = f4_session_start_threads(session);
	if (r == 0)
		r = f4_workers_new(F4_WORKERS_PER_VOLUME, &workers);
	if (r < 0)
		return fail("session", r);
	r = open_volume(&s, image_fd, workers, &vol);
	if (r < 0)
		return fail(s.image, r);
	f4_session_open_gate(session, vol);
	ret = run(&s, session, config.fuse_fd);
	r = f4_volume_close(vol);
	f4_session_reply_destroy(session);
	print_requests(session);
	f4_session_free(session);
	f4_workers_free(workers);
	return r < 0 ? fail(s.image, r) : ret;
}
