/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What fuse4fs-mountd calls, and why: the main process with its supervisors, and, within that, the
 * process that serves one request.
 *
 * The broker has rights, so its lists have what a server's never may: mounts and changes of
 * identity. What they don't have: starting a program, making a socket, writing to a file, namespaces.
 * The process of a request can't open files either, but by O_PATH, which reads nothing.
 *
 * A filter counts on top of those that a process has already, so what a request may is in both.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
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
#define BEFORE2(name, alias, why) { .call = (name), .other = (alias), .use = START, .reason = (why) }
#define FAIL(name, err, why) \
	{ .call = (name), .use = REFUSE, .refuse_errno = (err), .reason = (why) }
#define SANITIZER(name, why) { .call = (name), .use = SEALED | SAN, .reason = (why) }

/* A clone(2) that is a fork(2): no new namespace, no shared memory. */
#define NO_FORK                                                                             \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | \
	 CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

/* What every process of the program calls. */
#define COMMON                                                                                    \
	CALL("read", "pipes between the own processes; the mount table; fuse.conf"),              \
	CALL("write", "results to the own parent; log lines"),                                    \
	CALL("close", "descriptors that are done with"),                                          \
	CALL2("ppoll", "ppoll_time64", "time limits"),                                            \
	CALL_IF("fcntl", "modes of descriptors", ARG(1, IS, F_GETFL)),                            \
	CALL_IF("fcntl", "sockets that do not block", ARG(1, IS, F_SETFL)),                       \
	CALL_IF("fcntl", "close-on-exec of the socket", ARG(1, IS, F_GETFD)),                     \
	CALL_IF("fcntl", "close-on-exec of the socket", ARG(1, IS, F_SETFD)),                     \
	CALL("sendmsg", "the answer"),                                                            \
	CALL("getsockopt", "who the peer is; kind of the socket"),                                \
	CALL("setsockopt", "room for the answer"),                                                \
	CALL("pipe2", "pipes to the own children"),                                               \
	CALL_IF("clone", "a process for each request, and one that is its peer",                  \
		ARG(0, HAS_NONE, NO_FORK)),                                                       \
	FAIL("clone3", ENOSYS, "its flags can't be seen; the C library then calls clone"),        \
	CALL2("wait4", "waitpid", "ends of the own children"),                                    \
	CALL_IF("prctl", "the one capability for umount2, across the change of identity",         \
		ARG(0, IS, PR_SET_KEEPCAPS)),                                                     \
	CALL_IF("prctl", "not to be traced by the peer", ARG(0, IS, PR_SET_DUMPABLE)),            \
	CALL_IF("prctl", "proof of that", ARG(0, IS, PR_GET_DUMPABLE)),                           \
	CALL_IF("prctl", "the C library names anonymous memory", ARG(0, IS, PR_SET_VMA)),         \
	/* Memory: anonymous, never executable. */                                                \
	CALL_IF("mmap", "large allocations: anonymous memory that can't be executed",             \
		ARG(2, HAS_NONE, PROT_EXEC), ARG(3, HAS_ALL, MAP_ANONYMOUS)),                     \
	CALL("munmap", "large allocations given back"),                                           \
	CALL("mremap", "realloc of large allocations; keeps the protection"),                     \
	CALL_IF("mprotect", "arenas of the allocator grow", ARG(2, HAS_NONE, PROT_EXEC)),         \
	CALL("madvise", "arenas shrink"),                                                         \
	CALL("brk", "the main arena of the allocator"),                                           \
	CALL("getrandom", "seeds of the allocator"),                                              \
	/* Small things. */                                                                       \
	CALL2("clock_gettime", "clock_gettime64", "time limits where the vDSO has no clock"),     \
	CALL("restart_syscall", "waits that a stop and continue broke"),                          \
	CALL2("futex", "futex_time64", "locks of the C library"),                                 \
	CALL("set_robust_list", "start of a process by the C library"),                           \
	CALL("rseq", "start of a process by the C library"),                                      \
	CALL("rt_sigprocmask", "signals are let in while waiting only"),                          \
	CALL("rt_sigreturn", "return from a handler"),                                            \
	CALL("exit_group", "the process ends"),                                                   \
	/* The instruments of a test build. */                                                    \
	SANITIZER("sigaltstack", "signal stacks"),                                                \
	SANITIZER("rt_sigaction", "reports of memory errors"),                                    \
	SANITIZER("sched_getaffinity", "size of the allocator"),                                  \
	SANITIZER("getrusage", "limits on memory"),                                               \
	{ .call = "mmap", .use = SEALED | SAN, .args = { ARG(2, HAS_NONE, PROT_EXEC) },           \
	  .reason = "shadow memory" }

/* What serving a request takes. */
#define REQUEST                                                                                   \
	CALL("recvmsg", "the request and its descriptors"),                                       \
	CALL2("fstat", "fstat64", "kinds of the received descriptors"),                           \
	CALL2("newfstatat", "fstatat64", "fstat of newer C libraries"),                           \
	CALL("statx", "which mount a descriptor is in"),                                          \
	CALL2("fstatfs", "fstatfs64", "kind of the mount point's filesystem"),                    \
	CALL("faccessat2", "may the peer write the mount point"),                                 \
	CALL("readlink", "where the source's descriptor is"),                                     \
	CALL("readlinkat", "the same, by newer C libraries"),                                     \
	CALL2("lseek", "_llseek", "the mount table again from its beginning"),                    \
	CALL("fchdir", "the peer's directory, as the peer, for one name in it"),                  \
	CALL("setgroups", "become the peer"),                                                     \
	CALL("setresgid", "become the peer"),                                                     \
	CALL("setresuid", "become the peer"),                                                     \
	CALL("getgroups", "proof of that"),                                                       \
	CALL("getresgid", "proof of that"),                                                       \
	CALL("getresuid", "proof of that"),                                                       \
	CALL("capset", "give up capabilities"),                                                   \
	CALL("capget", "proof of that"),                                                          \
	CALL("fsopen", "the mount"),                                                              \
	CALL("fsconfig", "the mount"),                                                            \
	CALL("fsmount", "the mount"),                                                             \
	CALL("move_mount", "the mount"),                                                          \
	CALL_IF("umount2", "detach, never through a symbolic link",                               \
		ARG(1, HAS_ALL, UMOUNT_NOFOLLOW))

static const struct f4_seccomp_rule main_rules[] = {
	COMMON,
	REQUEST,

	CALL2("accept4", "accept", "connections"),
	CALL("gettid", "abort"),
	CALL_IF("tgkill", "abort on a failed assertion", ARG(0, SELF, 0)),
	CALL("getpid", "proof that the parent is still there"),
	CALL("getppid", "proof that the parent is still there"),
	CALL_IF("prctl", "end with the parent", ARG(0, IS, PR_SET_PDEATHSIG)),
	CALL("openat", "fuse.conf and the mount table, for each request"),
	CALL("pidfd_open", "waiting for a request's process under a deadline"),
	CALL_IF("unshare", "the pid namespace that a request's processes end with",
		ARG(0, IS, CLONE_NEWPID)),
	CALL_IF("kill", "ending it", ARG(1, IS, SIGKILL)),
	CALL("close_range", "what is not for a child"),
	CALL("seccomp", "the filter of a request's process"),
	CALL("rt_sigaction", "handlers of the main process"),

	BEFORE("execve", "the service manager starts the program"),
	BEFORE("arch_prctl", "start of the C library (x86)"),
	BEFORE("set_tid_address", "start of the C library"),
	BEFORE2("prlimit64", "ugetrlimit", "own resource limits"),
	BEFORE("access", "the dynamic linker looks for ld.so.preload"),
	BEFORE("faccessat", "the dynamic linker looks for ld.so.preload"),
	BEFORE("pread64", "the dynamic linker reads headers"),
	BEFORE("dup3", "closed standard streams"),
	BEFORE("getuid", "which surroundings"),
	BEFORE("geteuid", "which surroundings"),
	BEFORE("getgid", "which surroundings"),
	BEFORE("getegid", "which surroundings"),
	BEFORE("chdir", "no directory is held"),
	BEFORE("umask", "mode of the socket"),
	BEFORE("socket", "notify socket, listening socket, name service"),
	BEFORE("connect", "notify socket, name service"),
	BEFORE("bind", "listening socket"),
	BEFORE("listen", "listening socket"),
	BEFORE("unlink", "a dead socket of an earlier run"),
	BEFORE("mkdir", "directory of the listening socket"),
	BEFORE("chmod", "mode of the listening socket"),
	BEFORE("memfd_create", "the seccomp library's output"),
	BEFORE("getsockname", "kind of the listening socket"),
};

static const struct f4_seccomp_rule request_rules[] = {
	COMMON,
	REQUEST,

	CALL_IF("openat", "the name to detach, in the peer's directory: without reading",
		ARG(2, HAS_ALL, O_PATH)),
	{ .call = "openat", .use = REFUSE, .refuse_errno = EACCES,
	  .args = { ARG(2, HAS_NONE, O_PATH) },
	  .reason = "malloc looks for the overcommit mode when an arena shrinks" },
};

const struct f4_seccomp_policy f4_seccomp_mountd = {
	.program = "fuse4fs-mountd",
	.rules = main_rules,
	.n_rules = F4_ARRAY_LEN(main_rules),
};

const struct f4_seccomp_policy f4_seccomp_request = {
	.program = "fuse4fs-mountd, one request",
	.rules = request_rules,
	.n_rules = F4_ARRAY_LEN(request_rules),
};
