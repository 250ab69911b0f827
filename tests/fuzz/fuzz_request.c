/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzer of the broker's request handler: a packet and descriptors of any kind come in by a real
 * socket, the facts that the handler asks the system for come from the input as well, and so does
 * the mount table. Nothing is mounted or unmounted.
 *
 * The input: HEADER bytes (struct facts says what they mean), two bytes of length (big-endian), the
 * packet, and what is left is the mount table. Checked besides memory safety and leaks: whoever is
 * given a mount or has one taken away had a right to it, seen from here, by other means than the
 * handler's; and the answer says what was done.
 */
#include "tests/lib/fuzz_main.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "helper/attach.h"
#include "helper/become.h"
#include "helper/policy.h"
#include "helper/request.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/endian.h"
#include "protocol/base/log.h"
#include "protocol/base/str.h"

#define MUST(cond)               \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

#define HEADER 16u

enum { ALL_IDS = 1, ONLY_GROUP = 2, MAY_ALLOW_OTHER = 4, GATE_SHUT = 8, HUNG_UP = 16, FEW = 32 };
enum kind { FUSE, PLACE_DIR, PLACE_FILE, DIR_READ, LINK, NULL_DEVICE, PIPE, FUSE_READ, MEMORY, KINDS };

/* What the system says in this run. */
static struct facts {
	uid_t uid;
	gid_t gid;
	unsigned int policy; /* ALL_IDS ... */
	unsigned int nfds;
	enum kind kind[4];
	uint64_t fs_type;
	int place_error, source_error; /* of access(2) */
	mode_t mode;
	uid_t owner;
	int place_mount, source_mount;
	unsigned int find; /* bits: is a mount's root, statx fails, has no id, an id too large */
	unsigned int umounts; /* so often EAGAIN, then what the upper bits say */
	const char *table;
	/* what the handler did */
	bool created, placed, unmounted;
	struct f4_request_gate gate;
} w;

static unsigned long n_placed, n_unmounted;
static int made[KINDS]; /* a descriptor of each kind, for all runs */

/* --- the system ---------------------------------------------------------------------------- */

static int fuzz_open(const char *path, int flags)
{
	int fd = memfd_create("table", MFD_CLOEXEC);

	MUST(f4_str_eq(path, "/proc/self/mountinfo") && flags == (O_RDONLY | O_CLOEXEC));
	MUST(fd >= 0 && write(fd, w.table, strlen(w.table)) == (ssize_t)strlen(w.table));
	return fd;
}

static bool is_source(int fd)
{
	struct stat a, b;

	MUST(fstat(fd, &a) == 0);
	return w.nfds > 2 && w.kind[2] < KINDS && fstat(made[w.kind[2]], &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino && w.kind[1] != w.kind[2];
}

static int fuzz_fstat(int fd, struct stat *st)
{
	if (fstat(fd, st) < 0)
		return -1;
	st->st_mode = w.mode;
	st->st_uid = w.owner;
	return 0;
}

static int fuzz_fstatfs(int fd, struct statfs *fs)
{
	*fs = (struct statfs){ .f_type = (__typeof__(fs->f_type))w.fs_type };
	return fd >= 0 ? 0 : -1;
}

static int fuzz_faccessat(int fd, const char *path, int mode, int flags)
{
	MUST(path[0] == '\0' && flags == (AT_EMPTY_PATH | AT_EACCESS));
	errno = mode == W_OK ? w.place_error : w.source_error;
	return errno ? -1 : 0;
}

static int fuzz_statx(int fd, const char *path, int flags, unsigned int mask, struct statx *sx)
{
	MUST(path[0] == '\0' && (flags & AT_EMPTY_PATH));
	*sx = (struct statx){ .stx_mask = w.find & 4 ? 0 : mask };
	sx->stx_attributes = w.find & 1 ? STATX_ATTR_MOUNT_ROOT : 0;
	sx->stx_mnt_id = w.find & 8 ? 1ull << 40 : (uint64_t)(is_source(fd) ? w.source_mount : w.place_mount);
	errno = w.find & 16 ? EACCES : EIO;
	return w.find & 2 ? -1 : 0;
}

static int fuzz_openat(int fd, const char *name, int flags)
{
	MUST(flags == (O_PATH | O_NOFOLLOW | O_CLOEXEC));
	MUST(name[0] && !strchr(name, '/') && !f4_str_eq(name, ".") && !f4_str_eq(name, ".."));
	if (w.find & 32) {
		errno = ENOENT;
		return -1;
	}
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int fuzz_fchdir(int fd)
{
	return fd >= 0 ? 0 : -1;
}

/* Has the line of mount @id these words? Looked for in the text, with none of the parser's code. */
static bool table_says(int id, const char *a, const char *b)
{
	char start[32], *line, *end;
	f4_auto_free char *copy = strdup(w.table);
	size_t n;

	MUST(copy);
	(void)snprintf(start, sizeof(start), "%d ", id);
	n = strlen(start);
	for (line = copy; line; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		if (strncmp(line, start, n) == 0 && strstr(line, a) && strstr(line, b))
			return true;
	}
	return false;
}

static int fuzz_umount2(const char *name, int flags)
{
	char user[32];

	(void)snprintf(user, sizeof(user), "user_id=%u", (unsigned int)w.uid);
	MUST(flags == (MNT_EXPIRE | UMOUNT_NOFOLLOW) || flags == (MNT_DETACH | UMOUNT_NOFOLLOW));
	MUST(name[0] && !strchr(name, '/') && !f4_str_eq(name, ".") && !f4_str_eq(name, ".."));
	MUST(w.uid != 0 && (w.find & 1));
	MUST(table_says(w.place_mount, " fuse.fuse4fs ", user));
	MUST(atomic_load(&w.gate.state) == F4_GATE_PASSED);
	if (w.umounts & 31) {
		w.umounts--;
		errno = EAGAIN;
		return -1;
	}
	errno = w.umounts & 64 ? EPERM : EBUSY;
	w.unmounted = !(w.umounts & 32);
	return w.unmounted ? 0 : -1;
}

int f4_become_run(const struct f4_peer *peer, enum f4_become_caps caps,
		  void (*call)(void *arg, void *result), void *arg, void *result, size_t size)
{
	MUST(peer->uid == w.uid && peer->gid == w.gid && size > 0);
	call(arg, result);
	return 0;
}

/* Neither a mount of @uid's nor anybody's may be made unless all of this holds. */
static void may_mount(const struct f4_attach_request *r)
{
	MUST(w.uid != 0 && w.uid != (uid_t)-1 && (w.uid != 65534 || (w.policy & ALL_IDS)));
	MUST(!(w.policy & ONLY_GROUP) || w.gid == 1001);
	MUST(w.nfds >= 2 && w.kind[0] == FUSE && (w.kind[1] == PLACE_DIR || w.kind[1] == PLACE_FILE));
	MUST(w.place_error == 0 && f4_policy_fs_type(w.fs_type));
	MUST(!S_ISDIR(w.mode) || !(w.mode & S_ISVTX) || w.owner == w.uid);
	MUST(table_says(w.place_mount, "", "") && !(w.find & 14));
	MUST(r->uid == w.uid && r->gid == w.gid && r->only_new && !r->fuseblk);
	MUST((r->ms_flags & (MS_NOSUID | MS_NODEV)) == (MS_NOSUID | MS_NODEV));
	MUST(!(r->ms_flags & (MS_BIND | MS_REMOUNT | MS_MOVE | MS_SHARED)));
	MUST(!r->allow_other || ((w.policy & MAY_ALLOW_OTHER) && r->default_permissions));
	MUST(f4_str_eq(r->subtype, "fuse4fs") && strlen(r->source) < F4_POLICY_SOURCE_MAX);
	MUST(f4_str_after(r->source, "fuse4fs:") || (w.nfds == 3 && w.source_error == 0) ||
	     (w.source_error == EPERM && S_ISBLK(w.mode)));
	for (const char *p = r->source; *p; p++)
		MUST((unsigned char)*p >= 0x20 && *p != 0x7f);
}

int f4_attach_create(struct f4_attach *a, const struct f4_attach_request *r,
		     void (*before_create)(void *arg), void *arg, int timeout_ms,
		     const sigset_t *wait_mask, struct f4_fail *f)
{
	MUST(!w.created && !before_create && timeout_ms == F4_ATTACH_NO_CHILD);
	may_mount(r);
	w.created = true;
	if (w.umounts & 32)
		return f4_fail(f, F4_EXIT_FAILED, w.umounts & 64 ? EINVAL : EPERM, "refused");
	return 0;
}

int f4_attach_place(struct f4_attach *a, const struct f4_target *t, struct f4_fail *f)
{
	MUST(w.created && !w.placed && atomic_load(&w.gate.state) == F4_GATE_PASSED);
	MUST(!(w.policy & (GATE_SHUT | HUNG_UP)));
	if (w.umounts & 64)
		return f4_fail(f, F4_EXIT_FAILED, EINVAL, "refused");
	w.placed = true;
	return 0;
}

void f4_attach_done(struct f4_attach *a)
{
}

static int fuzz_peer_get(struct f4_peer *ret)
{
	*ret = (struct f4_peer){ .uid = w.uid, .gid = w.gid };
	return 0;
}

static void fuzz_conf(struct f4_fuseconf *c)
{
	c->user_allow_other = w.policy & MAY_ALLOW_OTHER;
	c->mount_max = w.policy & FEW ? 2 : 1000;
}

/* The handler as it is, but for whom it asks. */
#define open(path, flags)		 fuzz_open(path, flags)
#define openat(fd, name, flags)		 fuzz_openat(fd, name, flags)
#define fstat(fd, st)			 fuzz_fstat(fd, st)
#define fstatfs(fd, fs)			 fuzz_fstatfs(fd, fs)
#define faccessat(fd, path, mode, flags) fuzz_faccessat(fd, path, mode, flags)
#define statx(fd, path, flags, mask, sx) fuzz_statx(fd, path, flags, mask, sx)
#define fchdir(fd)			 fuzz_fchdir(fd)
#define umount2(name, flags)		 fuzz_umount2(name, flags)
#define f4_peer_get(fd, peer)		 fuzz_peer_get(peer)
#define f4_fuseconf_load(c)		 fuzz_conf(c)
#define f4_seccomp_install_built(filter) 0
#include "helper/request.c"
#undef open
#undef fstat

/* --- a run --------------------------------------------------------------------------------- */

static void make_kinds(void)
{
	char dir[] = "/tmp/f4-fuzz-request-XXXXXX", name[64];
	int ends[2];

	if (made[MEMORY] > 0)
		return;
	MUST(mkdtemp(dir) && pipe2(ends, O_CLOEXEC) == 0);
	(void)snprintf(name, sizeof(name), "%s/x", dir);
	MUST(close(open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) == 0);
	made[PLACE_FILE] = open(name, O_PATH | O_CLOEXEC);
	MUST(unlink(name) == 0 && symlink("/", name) == 0);
	made[LINK] = open(name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	made[PLACE_DIR] = open(dir, O_PATH | O_CLOEXEC);
	made[DIR_READ] = open(dir, O_RDONLY | O_CLOEXEC);
	MUST(unlink(name) == 0 && rmdir(dir) == 0);
	made[NULL_DEVICE] = open("/dev/null", O_RDWR | O_CLOEXEC);
	made[PIPE] = ends[0];
	/* without /dev/fuse the handler sees that it is something else */
	made[FUSE] = open(access("/dev/fuse", R_OK | W_OK) == 0 ? "/dev/fuse" : "/dev/null", O_RDWR | O_CLOEXEC);
	made[FUSE_READ] = open(access("/dev/fuse", R_OK) == 0 ? "/dev/fuse" : "/dev/null", O_RDONLY | O_CLOEXEC);
	made[MEMORY] = memfd_create("memory", MFD_CLOEXEC);
	for (int i = 0; i < KINDS; i++)
		MUST(made[i] >= 0);
	f4_log_init("fuzz_request", F4_LOG_ERR);
}

static void read_facts(const uint8_t *h)
{
	static const uid_t uids[] = { 1000, 1001, 0, 65534, (uid_t)-1, 100 };
	static const uint64_t types[] = { 0xef53, 0x01021994, 0x9fa0, 0x10000ef53 };
	static const mode_t modes[] = { S_IFDIR | 0755, S_IFDIR | 01777, S_IFREG | 0644, S_IFBLK | 0600 };
	static const int errors[] = { 0, 0, EACCES, EROFS, EPERM, EIO, ENOENT, ELOOP };

	w = (struct facts){
		.uid = uids[h[0] % F4_ARRAY_LEN(uids)],
		.gid = h[1] & 1 ? 1001 : 1000,
		.policy = h[2],
		.nfds = h[3] % 5,
		.kind = { h[4] % KINDS, h[5] % KINDS, h[6] % KINDS, h[7] % KINDS },
		.fs_type = types[h[8] % F4_ARRAY_LEN(types)],
		.place_error = errors[h[9] % F4_ARRAY_LEN(errors)],
		.source_error = errors[h[9] / 16 % F4_ARRAY_LEN(errors)],
		.mode = modes[h[10] % F4_ARRAY_LEN(modes)],
		.owner = uids[h[11] % F4_ARRAY_LEN(uids)],
		.place_mount = h[12],
		.source_mount = h[13],
		.find = h[14],
		.umounts = h[15],
	};
	atomic_store(&w.gate.state, w.policy & GATE_SHUT ? F4_GATE_SHUT : F4_GATE_OPEN);
}

static void send_packet(int sock, const uint8_t *packet, size_t len)
{
	union {
		struct cmsghdr head; /* for its alignment */
		char bytes[CMSG_SPACE(sizeof(int) * 4)];
	} c = { 0 };
	struct iovec iov = { .iov_base = (void *)packet, .iov_len = len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[4];

	for (unsigned int i = 0; i < w.nfds; i++)
		fds[i] = made[w.kind[i]];
	if (w.nfds > 0) {
		m.msg_control = c.bytes;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * w.nfds);
		c.head = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int) * w.nfds),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(&c.head), fds, sizeof(int) * w.nfds);
	}
	MUST(sendmsg(sock, &m, 0) == (ssize_t)len);
}

/* The answer must say what was done. */
static void read_answer(int sock)
{
	static uint8_t packet[F4_WIRE_PACKET_MAX];
	ssize_t n = recv(sock, packet, sizeof(packet), MSG_DONTWAIT);
	struct f4_msg m;

	if (n == 0 && !w.created && !w.unmounted)
		return; /* nothing was said to it */
	MUST(n > 0 && f4_msg_decode(packet, (size_t)n, &m) == 0 && m.type == F4_MSG_ANSWER);
	MUST((m.answer.error == 0) == (w.placed || w.unmounted));
	MUST((m.answer.error == 0) == (m.answer.rule == F4_RULE_NONE));
}

static bool well_formed(const uint8_t *packet, size_t len)
{
	struct f4_msg m;

	return f4_msg_decode(packet, len, &m) == 0 && f4_msg_fds(&m) == w.nfds;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char table[FUZZ_SIZE_MAX + 1];
	struct f4_policy policy = { .user_mounts = 256, .group = 1001 };
	int ends[2];
	size_t len;

	if (size < HEADER + 2)
		return 0;
	make_kinds();
	read_facts(data);
	len = f4_load_be16(data + HEADER);
	data += HEADER + 2;
	size -= HEADER + 2;
	if (len > size)
		len = size;
	if (len == 0)
		return 0; /* an empty packet and a hang-up look alike */
	memcpy(table, data + len, size - len);
	table[size - len] = '\0';
	w.table = table;
	policy.all_ids = w.policy & ALL_IDS;
	policy.only_group = w.policy & ONLY_GROUP;
	if (w.policy & FEW)
		policy.user_mounts = 1;
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	send_packet(ends[0], data, len);
	if (w.policy & HUNG_UP)
		MUST(shutdown(ends[0], SHUT_WR) == 0);
	(void)f4_request_serve(ends[1], &policy, NULL, &w.gate);
	MUST(well_formed(data, len) || (!w.created && !w.unmounted));
	read_answer(ends[0]);
	n_placed += w.placed;
	n_unmounted += w.unmounted;
	MUST(close(ends[0]) == 0);
	return 0;
}

/* A fuzzer whose inputs are all refused tries little: the case looks at this. */
__attribute__((destructor)) static void tell(void)
{
	printf("%lu mounts made, %lu taken away\n", n_placed, n_unmounted);
}
