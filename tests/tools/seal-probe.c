/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Enters the server's seal and then does one thing that must not be possible there.
 *
 *   seal-probe [--place=manager|root|user] [--unsealed|--no-filter] [--thread] ACT
 *   seal-probe --list
 *   seal-probe --all-unsealed
 *
 * The seal is the server's own code and table. A process does one act: most acts kill it.
 * --unsealed does the act without any seal (the control: the act itself works), --no-filter with
 * everything but the system call filter (the walls behind it), --thread in a thread that existed
 * before the filter.
 *
 * Output, one line each: "sealed UID" when the seal is shut, "returned VALUE ERRNO-NAME" when the act
 * came back, and, from the process left outside, "ended exit N" or "ended signal N". Act "wait"
 * sleeps instead, so that a test can look at the process from outside; it prints "pid N" before.
 *
 * --all-unsealed is for the inside of a unit, whose own walls it shows: each act in a process of its own,
 * one line each, "NAME returned VALUE ERRNO-NAME"; no line for an act that its process did not survive.
 * It makes no system calls that the server's start does not make.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/str.h"
#include "seccomp/filter.h"
#include "server/service/seal.h"
/* the server's own ring, with what is inside of it */
#include "server/fuse/transport_ring.c"

static char scratch[4096] __attribute__((aligned(4096)));
static int memory_fd = -1; /* a memfd that exists before the seal */
static void *page;	   /* a writable page that exists before the seal */
static struct io_uring *uring; /* a ring that exists before the seal */

static long act_socket(int family, int type)
{
	return syscall(SYS_socket, family, type, 0);
}

/* The server's ring, with the memfd in the place of /dev/fuse; for the control one without walls. */
static int make_uring(bool sealed)
{
	static const struct f4_ring_plan plan = { .workers = 1, .queues = 1, .online = 1 };
	static struct io_uring plain;
	struct io_uring_params params = { .flags = IORING_SETUP_SQE128 };
	struct f4_ring *ring;
	int r;

	if (sealed) {
		r = f4_ring_new(memory_fd, &plan, &ring);
		if (r == 0)
			uring = &ring->io;
		return r;
	}
	r = io_uring_queue_init_params(1, &plain, &params);
	if (r == 0)
		r = io_uring_register_files(&plain, &memory_fd, 1);
	uring = &plain;
	return r;
}

/* One operation by the ring; its result in the way of a system call. */
static long act_uring(const struct io_uring_sqe *what)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(uring);
	struct io_uring_cqe *cqe = NULL;
	int r;

	memset(sqe, 0, 2 * sizeof(*sqe));
	*sqe = *what;
	r = io_uring_submit_and_wait(uring, 1);
	if (r >= 0)
		r = io_uring_peek_cqe(uring, &cqe);
	if (r >= 0)
		r = cqe->res;
	errno = r < 0 ? -r : 0;
	return r < 0 ? -1 : 0;
}

#define URING(op, ...) act_uring(&(struct io_uring_sqe){ .opcode = IORING_OP_##op, __VA_ARGS__ })
#define ADDR(p)	       (uint64_t)(uintptr_t)(p)

/* A memfd has no command: this answer of its is what shows that the ring itself works. */
static long act_uring_command(void)
{
	long r = URING(URING_CMD, .flags = IOSQE_FIXED_FILE);

	return r < 0 && errno == EOPNOTSUPP ? 0 : -1;
}

static long act_connect(void)
{
	/* On a descriptor that is no socket: the call alone must not pass. */
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/notify" };

	return syscall(SYS_connect, memory_fd, &un, sizeof(un));
}

static long act_mmap(int prot, int flags, int fd)
{
	return syscall(SYS_mmap, NULL, 4096, prot, flags, fd, 0) == -1 ? -1 : 0;
}

static long act_exec(void)
{
	char name[] = "true", *argv[] = { name, NULL }, *envp[] = { NULL };

	return syscall(SYS_execve, "/bin/true", argv, envp);
}

static long act_fork(void)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return pid;
}

static long act_clone3(void)
{
	struct {
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	} args = { .exit_signal = SIGCHLD };
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		_exit(0);
	return pid;
}

static void *nothing(void *arg)
{
	return arg;
}

static long act_thread(void)
{
	pthread_t t;

	errno = pthread_create(&t, NULL, nothing, NULL);
	return errno ? -1 : pthread_join(t, NULL);
}

static long act_perf(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr) };

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static long act_sendmsg(void)
{
	struct msghdr msg = { 0 };

	return syscall(SYS_sendmsg, memory_fd, &msg, 0);
}

static long act_capset(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	data[0].effective = data[0].permitted = 1u << CAP_SYS_CHROOT;
	return syscall(SYS_capset, &head, data);
}

static long act_filter(void)
{
	uint32_t action = SECCOMP_RET_ALLOW;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action);
}

static long act_openat2(void)
{
	uint64_t how[3] = { O_RDONLY, 0, 0 };

	return syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", how, sizeof(how));
}

static long act_iovec(long nr)
{
	struct iovec iov = { scratch, 1 };

	return syscall(nr, getppid(), &iov, 1, &iov, 1, 0);
}

#if defined(__x86_64__)
/* getpid by the 32-bit door, whose numbers the filter does not know. */
static long act_int80(void)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
	return ret;
}
#endif

static long act_read(void)
{
	return pread(memory_fd, scratch, 16, 0);
}

static long act_malloc(void)
{
	/* Large and small, grown, shrunk and given back: every way the allocator takes memory. */
	for (size_t n = 64; n <= 64u << 20; n *= 8) {
		char *p = malloc(n), *q;

		if (!p)
			return -1;
		memset(p, 1, n);
		q = realloc(p, n * 2);
		if (!q) {
			free(p);
			return -1;
		}
		free(q);
	}
	return 0;
}

#define CALL(...) syscall(__VA_ARGS__)
#define ACTS(X)                                                                                  \
	/* paths */                                                                              \
	X("open", CALL(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY))                           \
	X("open-root", CALL(SYS_openat, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY))                  \
	X("open-proc", CALL(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDWR))                     \
	X("open-create", CALL(SYS_openat, AT_FDCWD, "seal-probe.tmp", O_RDWR | O_CREAT, 0600))   \
	X("open-tmpfile", CALL(SYS_openat, AT_FDCWD, ".", O_RDWR | O_TMPFILE, 0600))             \
	X("openat2", act_openat2())                                                              \
	X("stat", CALL(SYS_newfstatat, AT_FDCWD, "/etc/passwd", scratch, 0))                     \
	X("statx", CALL(SYS_statx, AT_FDCWD, "/etc/passwd", 0, 0x7ff, scratch))                  \
	X("statfs", CALL(SYS_statfs, "/", scratch))                                              \
	X("access", CALL(SYS_faccessat, AT_FDCWD, "/etc/passwd", R_OK))                          \
	X("readlink", CALL(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", scratch, 100))            \
	X("chdir", CALL(SYS_chdir, "/"))                                                         \
	X("fchdir", CALL(SYS_fchdir, memory_fd))                                                 \
	X("chroot", CALL(SYS_chroot, "/"))                                                       \
	X("mkdir", CALL(SYS_mkdirat, AT_FDCWD, "seal-probe.d", 0700))                            \
	X("mknod", CALL(SYS_mknodat, AT_FDCWD, "seal-probe.n", S_IFCHR | 0600, 0x103))           \
	X("unlink", CALL(SYS_unlinkat, AT_FDCWD, "seal-probe.tmp", 0))                           \
	X("rename", CALL(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", 0))                        \
	X("link", CALL(SYS_linkat, memory_fd, "", AT_FDCWD, "l", AT_EMPTY_PATH))                 \
	X("chmod", CALL(SYS_fchmodat, AT_FDCWD, ".", 0700))                                      \
	X("fchmod", CALL(SYS_fchmod, memory_fd, 0700))                                           \
	X("setxattr", CALL(SYS_setxattr, "/", "user.x", "y", 1, 0))                              \
	X("name-to-handle", CALL(SYS_name_to_handle_at, AT_FDCWD, "/", scratch, scratch + 64, 0)) \
	X("open-by-handle", CALL(SYS_open_by_handle_at, AT_FDCWD, scratch, O_RDONLY))            \
	X("getdents", CALL(SYS_getdents64, 0, scratch, 4096))                                    \
	X("inotify", CALL(SYS_inotify_init1, 0))                                                 \
	X("fanotify", CALL(SYS_fanotify_init, 0, O_RDONLY))                                      \
	X("quotactl", CALL(SYS_quotactl, 0x800001, NULL, 0, NULL))                               \
	X("truncate", CALL(SYS_truncate, "/etc/passwd", 0))                                      \
	X("ftruncate", CALL(SYS_ftruncate, memory_fd, 0))                                        \
	/* network, other processes' services */                                                 \
	X("socket-unix", act_socket(AF_UNIX, SOCK_STREAM))                                       \
	X("socket-inet", act_socket(AF_INET, SOCK_STREAM))                                       \
	X("socket-inet6", act_socket(AF_INET6, SOCK_DGRAM))                                      \
	X("socket-netlink", act_socket(AF_NETLINK, SOCK_RAW))                                    \
	X("socket-packet", act_socket(AF_PACKET, SOCK_RAW))                                      \
	X("socketpair", CALL(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, scratch))                  \
	X("connect", act_connect())                                                              \
	X("bind", CALL(SYS_bind, memory_fd, scratch, 16))                                        \
	X("sendmsg", act_sendmsg())                                                              \
	X("sendto", CALL(SYS_sendto, memory_fd, scratch, 1, 0, NULL, 0))                         \
	X("recvmsg", CALL(SYS_recvmsg, memory_fd, scratch, 0))                                   \
	/* processes */                                                                          \
	X("execve", act_exec())                                                                  \
	X("execveat", CALL(SYS_execveat, memory_fd, "", NULL, NULL, AT_EMPTY_PATH))              \
	X("fork", act_fork())                                                                    \
	X("clone3", act_clone3())                                                                \
	X("thread", act_thread())                                                                \
	X("ptrace", CALL(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0))                                   \
	X("ptrace-parent", CALL(SYS_ptrace, PTRACE_SEIZE, getppid(), 0, 0))                      \
	X("process-read", act_iovec(SYS_process_vm_readv))                                       \
	X("process-write", act_iovec(SYS_process_vm_writev))                                     \
	X("kcmp", CALL(SYS_kcmp, 1, 1, 0, 0, 0))                                                 \
	X("kill-parent", CALL(SYS_kill, getppid(), 0))                                           \
	X("kill-all", CALL(SYS_kill, -1, 0))                                                     \
	X("kill-self", CALL(SYS_kill, getpid(), 0))                                              \
	X("tkill", CALL(SYS_tkill, 2, 0))                                                        \
	X("tgkill-other", CALL(SYS_tgkill, 2, 2, 0))                                             \
	X("sigqueue", CALL(SYS_rt_sigqueueinfo, 2, 0, scratch))                                  \
	X("pidfd-open", CALL(SYS_pidfd_open, getpid(), 0))                                       \
	X("pidfd-getfd", CALL(SYS_pidfd_getfd, memory_fd, 0, 0))                                 \
	X("wait", 0)                                                                             \
	X("wait4", CALL(SYS_wait4, -1, NULL, WNOHANG, NULL))                                     \
	X("setpgid", CALL(SYS_setpgid, 0, 0))                                                    \
	X("setpriority", CALL(SYS_setpriority, 0, 0, 19))                                        \
	X("setrlimit", CALL(SYS_prlimit64, 0, 4, NULL, scratch))                                 \
	X("scheduler", CALL(SYS_sched_setscheduler, 0, SCHED_BATCH, scratch))                    \
	X("ioprio", CALL(SYS_ioprio_set, 1, 0, 0))                                               \
	/* rights */                                                                             \
	X("setuid", CALL(SYS_setuid, 0))                                                         \
	X("setresuid", CALL(SYS_setresuid, 0, 0, 0))                                             \
	X("setgid", CALL(SYS_setgid, 0))                                                         \
	X("setgroups", CALL(SYS_setgroups, 0, NULL))                                             \
	X("setfsuid", CALL(SYS_setfsuid, 0))                                                     \
	X("capset", act_capset())                                                                \
	X("securebits", CALL(SYS_prctl, PR_SET_SECUREBITS, 0, 0, 0, 0))                          \
	X("dumpable", CALL(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0))                              \
	X("prctl-mm", CALL(SYS_prctl, PR_SET_MM, PR_SET_MM_BRK, page, 0, 0))                     \
	X("prctl-ptracer", CALL(SYS_prctl, PR_SET_PTRACER, -1, 0, 0, 0))                         \
	X("unshare-user", CALL(SYS_unshare, CLONE_NEWUSER))                                      \
	X("unshare-net", CALL(SYS_unshare, CLONE_NEWNET))                                        \
	X("setns", CALL(SYS_setns, memory_fd, 0))                                                \
	X("mount", CALL(SYS_mount, "none", "/", "tmpfs", 0, NULL))                               \
	X("umount", CALL(SYS_umount2, "/", MNT_DETACH))                                          \
	X("fsopen", CALL(SYS_fsopen, "tmpfs", 0))                                                \
	X("fsmount", CALL(SYS_fsmount, memory_fd, 0, 0))                                         \
	X("open-tree", CALL(SYS_open_tree, AT_FDCWD, "/", 0))                                    \
	X("move-mount", CALL(SYS_move_mount, memory_fd, "", memory_fd, "", 0x44))                \
	X("mount-setattr", CALL(SYS_mount_setattr, AT_FDCWD, "/", 0, scratch, 32))               \
	X("pivot-root", CALL(SYS_pivot_root, ".", "."))                                          \
	X("landlock", CALL(SYS_landlock_create_ruleset, NULL, 0, 1))                             \
	X("seccomp", act_filter())                                                               \
	X("personality", CALL(SYS_personality, 0x0400000))                                       \
	/* memory */                                                                             \
	X("mmap-exec", act_mmap(PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1))         \
	X("mmap-write-exec",                                                                     \
	  act_mmap(PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1))         \
	X("mmap-file-exec", act_mmap(PROT_READ | PROT_EXEC, MAP_PRIVATE, memory_fd))             \
	X("mmap-file", act_mmap(PROT_READ, MAP_SHARED, memory_fd))                               \
	X("mprotect-exec", CALL(SYS_mprotect, page, 4096, PROT_READ | PROT_EXEC))                \
	X("pkey-mprotect", CALL(SYS_pkey_mprotect, page, 4096, PROT_READ | PROT_EXEC, -1))       \
	X("shmget", CALL(SYS_shmget, IPC_PRIVATE, 4096, 0600))                                   \
	X("memfd", CALL(SYS_memfd_create, "x", 0))                                               \
	X("userfaultfd", CALL(SYS_userfaultfd, 1))                                               \
	X("move-pages", CALL(SYS_move_pages, 0, 0, NULL, NULL, NULL, 0))                         \
	X("mbind", CALL(SYS_mbind, page, 4096, 0, NULL, 0, 0))                                   \
	X("mlock", CALL(SYS_mlock, page, 4096))                                                  \
	/* descriptors */                                                                        \
	X("dup", CALL(SYS_dup, 0))                                                               \
	X("dup3", CALL(SYS_dup3, 0, 20, 0))                                                      \
	X("getrandom", CALL(SYS_getrandom, scratch, 16, 0))                                      \
	X("fcntl-dup", CALL(SYS_fcntl, 0, F_DUPFD, 20))                                          \
	X("fcntl-setfl", CALL(SYS_fcntl, 0, F_SETFL, O_ASYNC))                                   \
	X("fcntl-setown", CALL(SYS_fcntl, 0, F_SETOWN, 1))                                       \
	X("fcntl-lease", CALL(SYS_fcntl, memory_fd, F_SETLEASE, F_RDLCK))                        \
	X("flock", CALL(SYS_flock, memory_fd, 2))                                                \
	X("pipe", CALL(SYS_pipe2, scratch, 0))                                                   \
	X("eventfd", CALL(SYS_eventfd2, 0, 0))                                                   \
	X("epoll", CALL(SYS_epoll_create1, 0))                                                   \
	X("splice", CALL(SYS_splice, 0, NULL, 1, NULL, 1, 0))                                    \
	X("sendfile", CALL(SYS_sendfile, 1, memory_fd, NULL, 1))                                 \
	X("ioctl-sti", CALL(SYS_ioctl, 2, TIOCSTI, "x"))                                         \
	X("ioctl-fionread", CALL(SYS_ioctl, 0, FIONREAD, scratch))                               \
	X("ioctl-flags", CALL(SYS_ioctl, memory_fd, FS_IOC_SETFLAGS, scratch))                   \
	/* the rest of the kernel */                                                             \
	X("io-uring", CALL(SYS_io_uring_setup, 1, scratch))                                      \
	X("io-uring-enter", CALL(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0))                      \
	X("ring-openat", URING(OPENAT, .fd = AT_FDCWD, .addr = ADDR("/etc/passwd")))                \
	X("ring-read", URING(READ, .fd = memory_fd, .addr = ADDR(scratch), .len = 1))                \
	X("ring-read-fixed", URING(READ, .flags = IOSQE_FIXED_FILE, .addr = ADDR(scratch), .len = 1)) \
	X("ring-write", URING(WRITE, .fd = memory_fd, .addr = ADDR(scratch), .len = 1))              \
	X("ring-socket", URING(SOCKET, .fd = AF_UNIX, .off = SOCK_STREAM))                           \
	X("ring-statx", URING(STATX, .fd = AT_FDCWD, .addr = ADDR("/"), .off = ADDR(scratch)))       \
	X("ring-nop", URING(NOP))                                                                    \
	X("ring-command-fd", URING(URING_CMD, .fd = memory_fd))                                      \
	X("ring-register", CALL(SYS_io_uring_register, uring->ring_fd, IORING_REGISTER_FILES,        \
				&memory_fd, 1))                                              \
	X("ring-enter-flags", CALL(SYS_io_uring_enter, uring->ring_fd, 0, 0,                         \
				   IORING_ENTER_SQ_WAKEUP, NULL, 8))                         \
	X("ring-enter-mask", CALL(SYS_io_uring_enter, uring->ring_fd, 0, 0, 0, scratch, 8))          \
	X("aio", CALL(SYS_io_setup, 1, scratch))                                                 \
	X("bpf", CALL(SYS_bpf, 0, scratch, 64))                                                  \
	X("perf", act_perf())                                                                    \
	X("keyctl", CALL(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1))        \
	X("add-key", CALL(SYS_add_key, "user", "x", "y", 1, KEY_SPEC_PROCESS_KEYRING))           \
	X("request-key", CALL(SYS_request_key, "user", "x", NULL, 0))                            \
	X("msgget", CALL(SYS_msgget, IPC_PRIVATE, 0600))                                         \
	X("semget", CALL(SYS_semget, IPC_PRIVATE, 1, 0600))                                      \
	X("mq-open", CALL(SYS_mq_open, "x", O_CREAT | O_RDWR, 0600, NULL))                       \
	X("timer", CALL(SYS_timer_create, CLOCK_MONOTONIC, NULL, scratch))                       \
	X("module", CALL(SYS_init_module, scratch, 1, ""))                                       \
	X("kexec", CALL(SYS_kexec_load, 0, 0, NULL, 0))                                          \
	X("reboot", CALL(SYS_reboot, 0xfee1dead, 672274793, 0x89abcdef, NULL))                   \
	X("sethostname", CALL(SYS_sethostname, "x", 1))                                          \
	X("clock-settime", CALL(SYS_clock_settime, CLOCK_REALTIME, NULL))                        \
	X("syslog", CALL(SYS_syslog, 10, NULL, 0))                                               \
	X("swapon", CALL(SYS_swapon, "/x", 0))                                                   \
	X("acct", CALL(SYS_acct, NULL))                                                          \
	X("nonsense", CALL(9999))                                                                \
	ACTS_ARCH(X)                                                                             \
	/* what must work: the seal is not just a dead process */                                \
	X("may-read", act_read())                                                                \
	X("may-write", write(memory_fd, "x", 1))                                                 \
	X("may-malloc", act_malloc())                                                            \
	X("may-mprotect", mprotect(page, 4096, PROT_READ))                                       \
	X("may-ring", act_uring_command())                                                       \
	X("may-name", prctl(PR_SET_NAME, "probe"))                                               \
	X("may-abort", (abort(), 0))

#if defined(__x86_64__)
#define ACTS_ARCH(X)                                                                             \
	X("int80", act_int80())                                                                  \
	X("x32", CALL(0x40000000 + SYS_getpid))                                                  \
	X("iopl", CALL(SYS_iopl, 3))                                                             \
	X("ioperm", CALL(SYS_ioperm, 0x80, 1, 1))                                                \
	X("modify-ldt", CALL(SYS_modify_ldt, 0, scratch, 16))                                    \
	X("arch-prctl", CALL(SYS_arch_prctl, 0x1003, scratch))
#else
#define ACTS_ARCH(X)
#endif

#define NAME(name, expr) name,
static const char *const names[] = { ACTS(NAME) };

static long perform(const char *name)
{
#define TRY(n, expr)                \
	if (f4_str_eq(name, n)) \
		return expr;
	ACTS(TRY)
	errno = EINVAL;
	return -2;
}

static void say(const char *what, long n, const char *word)
{
	char line[128];
	int len = snprintf(line, sizeof(line), "%s %ld%s%s\n", what, n, word[0] ? " " : "", word);

	if (len > 0 && write(STDOUT_FILENO, line, (size_t)len) < 0)
		_exit(3);
}

/* Runs outside the seal: tells how the sealed process ended. */
static void watch(void *arg, pid_t child)
{
	int status;

	(void)arg;
	say("pid", child, "");
	if (waitpid(child, &status, 0) < 0)
		_exit(3);
	if (WIFSIGNALED(status))
		say("ended signal", WTERMSIG(status), "");
	else
		say("ended exit", WEXITSTATUS(status), "");
}

static pthread_barrier_t started, sealed;

static void *run(void *arg)
{
	const char *name = arg;
	long r;

	if (f4_str_eq(name, "wait")) {
		struct timespec ts = { 60, 0 };

		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
	}
	errno = 0;
	r = perform(name);
	say("returned", r, errno && r < 0 ? strerrorname_np(errno) : "");
	_exit(r == -2 ? 2 : 0);
}

/* Acts by a ring need one, and the row of the filter that goes with it; others have neither. */
static bool uses_ring(const char *act)
{
	return strncmp(act, "ring-", 5) == 0 || f4_str_eq(act, "may-ring");
}

/* The start of a thread makes calls that the filter does not allow: it is over when this waits. */
static void *run_in_thread(void *arg)
{
	if (uses_ring(arg) && make_uring(true) < 0)
		_exit(3);
	(void)pthread_barrier_wait(&started);
	(void)pthread_barrier_wait(&sealed);
	return run(arg);
}

struct how {
	bool sealed, filter, thread;
	enum f4_seal_place place;
};

static int enter(const struct how *how, const char *act)
{
	struct f4_seal seal;
	pthread_t t;
	int r;

	if (how->sealed) {
		r = f4_seal_prepare(&seal, how->place, STDERR_FILENO);
		seal.parent = watch;
		if (r == 0)
			r = f4_seal_isolate(&seal);
		if (r < 0) {
			fprintf(stderr, "seal-probe: %s\n", seal.reason);
			return 3;
		}
		if (seal.notes[0])
			fprintf(stderr, "seal-probe: without: %s\n", seal.notes);
	}
	memory_fd = memfd_create("probe", MFD_CLOEXEC);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory_fd < 0 || page == MAP_FAILED || ftruncate(memory_fd, 4096) < 0)
		return 3;
	if (pthread_barrier_init(&started, NULL, 2) || pthread_barrier_init(&sealed, NULL, 2))
		return 3;
	if (!how->thread && uses_ring(act) && make_uring(how->sealed) < 0)
		return 3;
	if (how->thread) {
		if (pthread_create(&t, NULL, run_in_thread, (void *)(uintptr_t)act) != 0)
			return 3;
		(void)pthread_barrier_wait(&started);
	}
	if (how->sealed && how->filter) {
		r = f4_seal_close(&seal, &f4_seccomp_server, uses_ring(act) ? F4_SECCOMP_RINGS : 0);
		if (r < 0) {
			fprintf(stderr, "seal-probe: %s\n", seal.reason);
			return 3;
		}
	}
	say("sealed", how->sealed ? (long)seal.uid : -1, "");
	if (!how->thread)
		run((void *)(uintptr_t)act);
	(void)pthread_barrier_wait(&sealed);
	(void)pthread_join(t, NULL);
	return 0;
}

/* @done counts the processes that came back; waiting for children is a call that the unit does not allow. */
static void one_of_all(const char *name, int done)
{
	uint64_t one = 1;
	char line[128];
	long r;
	int len;

	errno = 0;
	r = perform(name);
	len = snprintf(line, sizeof(line), "%s returned %ld %s\n", name, r,
		       errno && r < 0 ? strerrorname_np(errno) : "");
	if (len < 0 || write(STDOUT_FILENO, line, (size_t)len) < 0 || write(done, &one, sizeof(one)) < 0)
		_exit(3);
	_exit(0);
}

static int all_unsealed(void)
{
	int done = eventfd(0, EFD_CLOEXEC);
	struct pollfd p = { .fd = done, .events = POLLIN };
	uint64_t n = 0, back;

	memory_fd = eventfd(0, EFD_CLOEXEC);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (done < 0 || memory_fd < 0 || page == MAP_FAILED || signal(SIGCHLD, SIG_IGN) == SIG_ERR)
		return 3;
	for (size_t i = 0; i < F4_ARRAY_LEN(names); i++) {
		if (f4_str_eq(names[i], "wait") || f4_str_after(names[i], "may-"))
			continue;
		switch (fork()) {
		case -1:
			return 3;
		case 0:
			one_of_all(names[i], done);
		}
		n++;
	}
	/* Some acts end or stop their process: no more is waited for than a second of silence. */
	while (n > 0 && poll(&p, 1, 1000) == 1 && read(done, &back, sizeof(back)) == sizeof(back))
		n -= back < n ? back : n;
	return 0;
}

int main(int argc, char **argv)
{
	struct how how = { true, true, false, getuid() == 0 ? F4_SEAL_ROOT : F4_SEAL_USER };
	static const char *const places[] = { "--place=manager", "--place=root", "--place=user" };
	int i;

	for (i = 1; i < argc - 1; i++) {
		for (int p = 0; p < F4_SEAL_PLACE_MAX; p++)
			if (f4_str_eq(argv[i], places[p]))
				how.place = (enum f4_seal_place)p;
		if (f4_str_eq(argv[i], "--unsealed"))
			how.sealed = false;
		if (f4_str_eq(argv[i], "--no-filter"))
			how.filter = false;
		if (f4_str_eq(argv[i], "--thread"))
			how.thread = true;
	}
	if (argc == 2 && f4_str_eq(argv[1], "--list")) {
		for (size_t k = 0; k < F4_ARRAY_LEN(names); k++)
			puts(names[k]);
		return 0;
	}
	if (argc == 2 && f4_str_eq(argv[1], "--all-unsealed"))
		return all_unsealed();
	if (argc < 2)
		return 2;
	return enter(&how, argv[argc - 1]);
}
