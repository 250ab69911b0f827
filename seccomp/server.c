/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What fuse4fs-server calls, before and after the seal, and why.
 *
 * Sealed, it works on descriptors that it has: no row takes a path, makes a descriptor, a process or
 * a socket, changes a right, or lets memory be executed. A new row needs a reason that names who
 * calls it, and a line in README.md (a test compares the two).
 */
#include <errno.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "protocol/base/cleanup.h"
#include "seccomp/filter.h"

#define SEALED F4_SECCOMP_SEALED
#define REFUSE F4_SECCOMP_REFUSE
#define START  F4_SECCOMP_START
#define SAN    F4_SECCOMP_SANITIZER

#define ARG(n, o, v) { .op = F4_SECCOMP_##o, .index = (n), .value = (v) }

#define CALL(name, why) { .call = (name), .use = SEALED, .reason = (why) }
#define CALL2(name, alias, why) { .call = (name), .other = (alias), .use = SEALED, .reason = (why) }
#define CALL_IF(name, why, ...) \
	{ .call = (name), .use = SEALED, .args = { __VA_ARGS__ }, .reason = (why) }
#define BEFORE(name, why) { .call = (name), .use = START, .reason = (why) }
/* A service manager's unit does these by itself, or has taken away what they need. */
#define ALONE(name, why) { .call = (name), .use = F4_SECCOMP_ALONE, .reason = (why) }
#define BEFORE2(name, alias, why) { .call = (name), .other = (alias), .use = START, .reason = (why) }
#define FAIL(name, err, why) \
	{ .call = (name), .use = REFUSE, .refuse_errno = (err), .reason = (why) }
#define SANITIZER(name, why) { .call = (name), .use = SEALED | SAN, .reason = (why) }

static const struct f4_seccomp_rule rules[] = {
	/* The image, /dev/fuse, the service socket, the notify socket, stderr. */
	CALL("read", "requests from /dev/fuse; replies of the helper; timers"),
	CALL("write", "commands to the helper; log lines; state for the service manager"),
	CALL("writev", "replies to /dev/fuse: header and data from different places"),
	{ .call = "io_uring_enter",
	  .use = SEALED | F4_SECCOMP_RINGS,
	  .reason = "FUSE requests and replies by rings that are restricted to that",
	  .args = { ARG(3, HAS_NONE, ~IORING_ENTER_GETEVENTS), ARG(4, IS, 0) } },
	CALL("pread64", "blocks of the image around an unaligned one, with direct I/O"),
	CALL("preadv", "neighbouring blocks of the image into scattered cache buffers"),
	CALL("pwritev", "neighbouring blocks of the image from scattered cache buffers"),
	CALL("fdatasync", "flush of the device: journal commits, fsync"),
	CALL_IF("pwritev2", "one write that is durable when it returns: the commit block",
		ARG(5, IS, RWF_DSYNC)),
	CALL2("fadvise64", "fadvise64_64", "read ahead in the image"),
	CALL("fallocate", "discard on an image file; zeroing"),
	CALL_IF("ioctl", "discard on a block device", ARG(1, IS, BLKDISCARD)),
	CALL("close", "descriptors that are done with: the service socket, at the end the image"),
	CALL2("ppoll", "ppoll_time64", "time limit for the helper's answers"),
	CALL_IF("flock", "give the image's lock up: a device's after the mount, a file's at the end",
		ARG(1, IS, LOCK_UN)),

	/* Memory: anonymous, never executable. */
	CALL_IF("mmap", "large allocations, new arenas: anonymous memory that can't be executed",
		ARG(2, HAS_NONE, PROT_EXEC), ARG(3, HAS_ALL, MAP_ANONYMOUS)),
	CALL("munmap", "large allocations given back; stacks of threads that ended"),
	CALL("mremap", "realloc of large allocations; keeps the protection"),
	CALL_IF("mprotect", "arenas of the allocator grow", ARG(2, HAS_NONE, PROT_EXEC)),
	CALL("madvise", "arenas shrink; stacks of threads that ended"),
	CALL("brk", "the main arena of the allocator"),

	/* Threads that exist: they wait, wake and end. */
	CALL2("futex", "futex_time64", "locks, condition variables, join"),
	CALL2("clock_nanosleep", "clock_nanosleep_time64", "timed waits of background threads"),
	CALL2("clock_gettime", "clock_gettime64", "time stamps where the vDSO has no clock"),
	CALL("restart_syscall", "timed waits that a stop and continue broke"),
	CALL("rt_sigreturn", "return from the handler of SIGTERM"),
	CALL("rt_sigprocmask", "threads that end, and abort, block signals"),
	CALL("exit", "a thread ends"),
	CALL("exit_group", "the process ends"),

	/* Small things. */
	CALL("getpid", "abort; the own process in log lines"),
	CALL("gettid", "abort"),
	CALL_IF("tgkill", "abort on a failed assertion: signals to the own process only",
		ARG(0, SELF, 0)),
	CALL_IF("prctl", "names of threads", ARG(0, IS, PR_SET_NAME)),

	/* Made in passing by the C library, which copes with a refusal. */
	FAIL("openat", EACCES, "malloc looks for the overcommit mode when an arena shrinks"),
	FAIL("newfstatat", EACCES, "fstat of the C library before 2.39, for stdio buffers"),

	/* The instruments of a test build. */
	SANITIZER("sigaltstack", "signal stacks of threads"),
	SANITIZER("rt_sigaction", "reports of memory errors"),
	SANITIZER("sched_getaffinity", "size of the allocator"),
	SANITIZER("getrusage", "limits on memory"),
	{ .call = "readlink", .use = REFUSE | SAN, .refuse_errno = EACCES,
	  .reason = "name of the program in reports" },
	{ .call = "prctl", .use = SEALED | SAN, .args = { ARG(0, IS, PR_GET_DUMPABLE) },
	  .reason = "reports of memory errors" },

	/* Only before the seal. */
	BEFORE("execve", "the service manager starts the program"),
	BEFORE("arch_prctl", "start of the C library (x86)"),
	BEFORE("set_tid_address", "start of the C library"),
	BEFORE("set_robust_list", "start of a thread"),
	BEFORE("rseq", "start of a thread"),
	BEFORE2("prlimit64", "ugetrlimit", "own resource limits"),
	BEFORE("access", "the dynamic linker looks for ld.so.preload"),
	BEFORE("faccessat", "the dynamic linker looks for ld.so.preload"),
	BEFORE("faccessat2", "the old root is really gone"),
	BEFORE("fstat", "kinds of the received descriptors"),
	BEFORE("statx", "kinds of the received descriptors"),
	BEFORE("statfs", "the old root is really gone"),
	BEFORE("lseek", "sizes; reading /proc"),
	BEFORE("close_range", "descriptors that nobody passed on purpose"),
	BEFORE("fcntl", "kinds of the received descriptors"),
	BEFORE("getrandom", "start of the allocator"),
	BEFORE("nanosleep", "waiting for a lock"),
	BEFORE("dup3", "stdin and stderr get their final targets"),
	BEFORE("dup2", "stdin and stderr get their final targets"),
	BEFORE("rt_sigaction", "handler of SIGTERM"),
	BEFORE("sched_getaffinity", "number of threads"),
	BEFORE("uname", "library start"),
	BEFORE("sysinfo", "size of the block cache; qsort's memory limit"),
	BEFORE("getuid", "which surroundings"),
	BEFORE("geteuid", "which surroundings"),
	BEFORE("getgid", "identity map of the own user namespace"),
	BEFORE("getegid", "identity map of the own user namespace"),
	BEFORE("getppid", "which surroundings"),
	BEFORE("getresuid", "proof of the new identity"),
	BEFORE("getresgid", "proof of the new identity"),
	BEFORE("getgroups", "proof of the new identity"),
	ALONE("setresuid", "dedicated user id under root's helper"),
	ALONE("setresgid", "dedicated user id under root's helper"),
	ALONE("setgroups", "dedicated user id under root's helper"),
	BEFORE("capget", "proof that no capability is left"),
	ALONE("capset", "give up capabilities"),
	BEFORE("prctl", "securebits, no_new_privs, not dumpable"),
	ALONE("unshare", "own namespaces"),
	BEFORE("clone", "process of its own in the pid namespace"),
	BEFORE("clone3", "threads"),
	ALONE("setsid", "no terminal"),
	BEFORE("umask", "no file is made, and none readable"),
	BEFORE("personality", "readable memory is not executable"),
	BEFORE("chdir", "empty root"),
	ALONE("fchdir", "empty root"),
	ALONE("mount", "empty root: no propagation"),
	ALONE("fsopen", "empty root"),
	ALONE("fsconfig", "empty root"),
	ALONE("fsmount", "empty root"),
	ALONE("move_mount", "empty root"),
	ALONE("pivot_root", "empty root"),
	ALONE("umount2", "empty root"),
	BEFORE("landlock_create_ruleset", "no path, no network, no signal"),
	BEFORE("landlock_restrict_self", "no path, no network, no signal"),
	BEFORE("seccomp", "the filter itself"),
	BEFORE("socket", "notify socket, system log"),
	BEFORE("connect", "notify socket, system log"),
	BEFORE("getsockopt", "kind of the service socket"),
	BEFORE("setsockopt", "no more descriptors than awaited"),
	BEFORE("getsockname", "which surroundings"),
	BEFORE("sendmsg", "commands to the helper"),
	BEFORE("recvmsg", "descriptors from the helper"),
	BEFORE("io_uring_setup", "rings of the threads"),
	/* Not in a unit: it would be the one call there of systemd's set @resources, and is only for speed. */
	ALONE("sched_setaffinity", "threads with rings: each on its CPU"),
	BEFORE("io_uring_register", "rings of the threads: their one file, what they may do"),
	BEFORE("eventfd2", "wake-ups between threads"),
	ALONE("wait4", "first process of the pid namespace"),
};

const struct f4_seccomp_policy f4_seccomp_server = {
	.program = "fuse4fs-server",
	.rules = rules,
	.n_rules = F4_ARRAY_LEN(rules),
};
