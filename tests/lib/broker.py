# SPDX-License-Identifier: GPL-2.0-or-later
"""What the broker's cases share: a place where users may play, a broker of their own, requests in
any shape, users without rights, a FUSE server that answers next to nothing.

    import sys, os; sys.path.insert(0, os.environ["F4_SRC"] + "/tests/lib")
    from broker import *

enter() puts the case into a mount namespace of its own with a fresh tmpfs at /mnt, where everybody
may walk, a /dev/fuse that everybody may open, and a fuse.conf of its own: nothing outside changes,
and nothing is left when it ends.

With F4_BROKER=systemd the case runs in a booted machine (tests/system/boot) against the installed
units instead: the mount namespace is the machine's, as it is the broker's.
"""
import array
import ctypes
import faulthandler
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback

SRC, BUILD = os.environ["F4_SRC"], os.environ["F4_BUILD"]
SYSTEMD = os.environ.get("F4_BROKER") == "systemd"
TOP, CONF = "/mnt", "/etc/fuse.conf"
SOCK = "/run/fuse4fs/attach" if SYSTEMD else "/mnt/.broker/attach"
RULES = ["none", "protocol", "fuse-descriptor", "mount-point", "writable", "sticky",
         "filesystem-type", "mount-namespace", "allow-other", "mount-max", "rate", "option",
         "source", "deadline", "not-ours", "owner", "topmost", "busy", "access", "kernel"]
RDONLY, NOEXEC, SYNC, DIRSYNC, NOATIME, STRICTATIME, NODIRATIME, LAZYTIME = (1 << i for i in range(8))
ALLOW_OTHER, DEFAULT_PERMISSIONS, SOURCE_FD = 0x100, 0x200, 0x400
LAZY = 1

life = os.pipe()  # who has only its first end sees the end of the case

libc = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUSER, NEWPID = 0x20000, 0x10000000, 0x20000000
failures = 0


def check(good, *what):
    global failures
    if not good:
        failures += 1
        print("FAILED:", *what, flush=True)
    return good


def done():
    print("%d failed" % failures if failures else "all as it should be")
    sys.exit(1 if failures else 0)


def syscall(r, *what):
    if r < 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e), *what)
    return r


def unshare(flags):
    syscall(libc.unshare(flags), "unshare")


def mount(source, target, kind=None, flags=0, data=None):
    enc = lambda s: s.encode() if s is not None else None
    syscall(libc.mount(enc(source), enc(target), enc(kind), ctypes.c_ulong(flags), enc(data)), target)


MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18


def idmapped(source, target, maps):
    """Bind @source to @target with ids shown otherwise: maps is [(id in the filesystem, id shown, count)]."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        unshare(NEWUSER)
        os.write(w, b"x")
        signal.pause()
    os.read(r, 1)
    os.close(r), os.close(w)
    try:
        for kind in ("uid", "gid"):
            with open("/proc/%d/%s_map" % (pid, kind), "w") as f:
                f.write("".join("%d %d %d\n" % m for m in maps))
        ns = os.open("/proc/%d/ns/user" % pid, os.O_RDONLY)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    tree = syscall(libc.syscall(428, -100, source.encode(), 1 | 0o2000000), "open_tree")
    attr = struct.pack("QQQQ", 0x100000, 0, 0, ns)  # MOUNT_ATTR_IDMAP
    syscall(libc.syscall(442, tree, b"", 0x1000, attr, len(attr)), "mount_setattr")
    syscall(libc.syscall(429, tree, b"", -100, target.encode(), 4), "move_mount")
    os.close(ns), os.close(tree)


def umount(target, flags=0):
    syscall(libc.umount2(target.encode(), flags), target)


def enter():
    if os.geteuid() != 0:
        print("skip: needs root")
        sys.exit(77)
    sys.stdout.reconfigure(line_buffering=True)
    faulthandler.register(signal.SIGTERM)  # the runner's time limit: where are we?
    if not SYSTEMD:
        unshare(NEWNS)
        mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("f4", TOP, "tmpfs", 0, "mode=0755")
    os.mknod(TOP + "/.fuse", 0o20666, os.makedev(10, 229))
    os.chmod(TOP + "/.fuse", 0o666)
    mount(TOP + "/.fuse", "/dev/fuse", None, MS_BIND)
    open(TOP + "/.conf", "w").close()
    if not os.path.exists(CONF):
        raise SystemExit("needs a file " + CONF)
    mount(TOP + "/.conf", CONF, None, MS_BIND)
    os.mkdir(TOP + "/.broker")


def conf(text):
    with open(CONF, "w") as f:
        f.write(text)


def make(name, mode=0o755, uid=0, gid=0, kind="dir"):
    path = TOP + "/" + name
    if kind == "dir":
        os.mkdir(path)
    else:
        open(path, "w").close()
    os.chown(path, uid, gid)
    os.chmod(path, mode)
    return path


class BrokerByHand:
    """fuse4fs-mountd by hand; its log is at .log."""

    def __init__(self, *args, sock=SOCK):
        self.sock, self.log = sock, "broker.log"
        self.err = open(self.log, "ab")
        self.p = subprocess.Popen([BUILD + "/fuse4fs-mountd", "--socket", sock, *args],
                                  stderr=self.err, stdin=subprocess.DEVNULL,
                                  preexec_fn=lambda: libc.prctl(1, 9, 0, 0, 0))
        for _ in range(200):
            if self.p.poll() is not None or self.alive():
                break
            time.sleep(0.02)
        if not self.alive():
            raise SystemExit("the broker does not start: " + open(self.log).read())

    def alive(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            s.connect(self.sock)
            return True
        except OSError:
            return False
        finally:
            s.close()

    def kill(self):
        self.p.kill()
        self.p.wait()

    def stop(self):
        self.p.terminate()
        return self.p.wait(timeout=10)

    def processes(self):
        """pids of it and its descendants, found by their executable."""
        exe, r = os.readlink("/proc/%d/exe" % self.p.pid), []
        for d in os.listdir("/proc"):
            try:
                if d.isdigit() and os.readlink("/proc/%s/exe" % d) == exe:
                    r.append(int(d))
            except OSError:
                pass
        return r


class BrokerUnit:
    """fuse4fs-mountd as its units start it, with the first connection."""
    unit = "fuse4fs-mountd.service"

    def __init__(self, *args):
        drop_in = "/run/systemd/system/%s.d" % self.unit
        os.makedirs(drop_in, exist_ok=True)
        with open(drop_in + "/args.conf", "w") as f:
            f.write("[Service]\nExecStart=\nExecStart=/usr/local/libexec/fuse4fs/fuse4fs-mountd %s\n" % " ".join(args))
        self.systemctl("daemon-reload")
        self.systemctl("restart", "fuse4fs-mountd.socket")
        connect().close()
        if not wait_for(lambda: len(self.processes()) == 1):
            raise SystemExit("the broker does not start: " + self.systemctl("status", self.unit))

    def systemctl(self, *args):
        return subprocess.run(["systemctl", *args], stdout=subprocess.PIPE, text=True).stdout

    def kill(self):
        self.systemctl("kill", "-s", "KILL", self.unit)

    def stop(self):
        self.systemctl("stop", "fuse4fs-mountd.socket", self.unit)
        return 0 if self.systemctl("show", "-P", "Result", self.unit) == "success\n" else 1

    def processes(self):
        group = self.systemctl("show", "-P", "ControlGroup", self.unit).strip()
        try:
            with open("/sys/fs/cgroup%s/cgroup.procs" % group) as f:
                return [int(pid) for pid in f.read().split()] if group else []
        except OSError:
            return []


Broker = BrokerUnit if SYSTEMD else BrokerByHand


def become(uid, gid=None, groups=()):
    gid = uid if gid is None else gid
    os.setgroups(list(groups))
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    # what changes identity is not dumpable, and then its /proc/self belongs to root
    libc.prctl(4, 1, 0, 0, 0)


def as_user(uid, f, *args, gid=None, groups=(), wait=True):
    """f(*args) in a process of that user: its result, or the exception it raised."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(r)
            os.close(life[1])
            become(uid, gid, groups)
            out = f(*args)
            code = 0
        except BaseException as e:  # to be raised by the parent
            if not isinstance(e, (OSError, Refused)):
                traceback.print_exc()
            out = e
        try:
            os.write(w, pickle.dumps((code, out)))
        finally:
            os._exit(code)
    os.close(w)
    if not wait:
        return pid, r
    return result((pid, r))


def result(job):
    pid, r = job
    data = b""
    while True:
        b = os.read(r, 65536)
        if not b:
            break
        data += b
    os.close(r)
    os.waitpid(pid, 0)
    if not data:
        raise RuntimeError("process %d died" % pid)
    code, out = pickle.loads(data)
    if code:
        raise out
    return out


class Refused(Exception):
    def __init__(self, rule, error, text):
        super().__init__(rule, error, text)
        self.rule, self.error, self.text = rule, error, text


def connect(sock=SOCK):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(sock)
    return s


def send(s, packet, fds=()):
    anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    s.sendmsg([packet], anc)


def answer(s, timeout=20):
    """(error, rule, text); None where there is none."""
    s.settimeout(timeout)
    for _ in range(2):
        try:
            b = s.recv(65536)
            break
        except ConnectionResetError:
            b = b""
    if not b:
        return None
    assert b[:4] == b"ANSW" and b[-1] == 0, b
    error, rule, zero = struct.unpack(">IHH", b[4:12])
    assert zero == 0
    return error, RULES[rule], b[12:-1].decode()


def atch(source="null", flags=DEFAULT_PERMISSIONS, max_read=0, version=1):
    return struct.pack(">4sHHII", b"ATCH", version, 0, flags, max_read) + os.fsencode(source) + b"\0"


def dtch(name, flags=0, version=1):
    return struct.pack(">4sHHI", b"DTCH", version, 0, flags) + os.fsencode(name) + b"\0"


def ask(packet, fds, sock=SOCK, s=None):
    """Raises Refused, or returns."""
    s = s or connect(sock)
    try:
        send(s, packet, fds)
    except (BrokenPipeError, ConnectionResetError):
        pass
    a = answer(s)
    s.close()
    if a is None:
        raise Refused("no answer", 0, "")
    if a[0]:
        raise Refused(a[1], a[0], a[2])


def patiently(f, *args, **kw):
    """f again while the rule is rate, as the real client does it."""
    for _ in range(200):
        try:
            return f(*args, **kw)
        except Refused as e:
            if e.rule != "rate" and e.rule != "no answer":
                raise
            time.sleep(0.02)
    return f(*args, **kw)


def rule_of(f, *args, **kw):
    """The rule that refuses f, or "ok"."""
    try:
        f(*args, **kw)
        return "ok"
    except Refused as e:
        return e.rule


def opath(path, flags=0):
    return os.open(path, os.O_PATH | os.O_CLOEXEC | flags)


# --- a FUSE server --------------------------------------------------------------------------

OPS = {1: "lookup", 3: "getattr", 17: "statfs", 26: "init", 27: "opendir", 29: "releasedir", 28: "readdir"}


def attr(node, mode, uid):
    return struct.pack("<QQQQQQIIIIIIIIII", node, 0, 0, 0, 0, 0, 0, 0, 0, mode, 2, uid, uid, 0, 4096, 0)


def serve(fd, mode=0o40755, uid=None, hang=(), names=()):
    """Answer INIT, GETATTR, STATFS and little else until the mount is gone; hold back @hang. The root
    has directories of those @names."""
    mounted, uid = False, os.getuid() if uid is None else uid
    while True:
        ready = select.select([fd, life[0]] if mounted else [life[0]], [], [], None if mounted else 0.005)[0]
        if life[0] in ready:
            return
        try:
            b = os.read(fd, 1 << 17)
        except OSError as e:
            if e.errno in (4, 2):  # EINTR, ENOENT
                continue
            if e.errno == 1 and not mounted:  # EPERM: not mounted yet
                continue
            return
        mounted = True
        length, op, unique, node = struct.unpack("<IIQQ", b[:24])
        name = OPS.get(op, str(op))
        if op in (2, 36, 42) or name in hang:  # FORGET, INTERRUPT, BATCH_FORGET
            continue
        error, body = 0, b""
        if name == "init":
            minor = struct.unpack("<I", b[44:48])[0]
            body = struct.pack("<IIIIHHII", 7, min(minor, 31), 0, 0, 0, 0, 4096, 1) + b"\0" * 36
        elif name == "getattr":
            body = struct.pack("<QII", 1, 0, 0) + attr(node, mode, uid)
        elif name == "lookup":
            if os.fsdecode(b[40:length - 1]) in names:
                n = 2 + names.index(os.fsdecode(b[40:length - 1]))
                body = struct.pack("<QQQQII", n, 0, 1, 1, 0, 0) + attr(n, mode, uid)
            else:
                error = -2
        elif name == "statfs":
            body = b"\0" * 80
        elif name == "opendir":
            body = b"\0" * 16
        elif name != "releasedir" and name != "readdir":
            error = -38
        try:
            os.write(fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
        except OSError as e:
            if e.errno != 2:
                return


def start_server(fd, **kw):
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            null = os.open("/dev/null", os.O_RDWR)
            for n in range(3):
                os.dup2(null, n)
            # only /dev/fuse and the pipe that ends with the case: no other copy may live on in here
            os.closerange(3, min(fd, life[0]))
            os.closerange(min(fd, life[0]) + 1, max(fd, life[0]))
            os.closerange(max(fd, life[0]) + 1, 4096)
            serve(fd, **kw)
        finally:
            os._exit(0)
    return pid


def attach(path, source="null", flags=DEFAULT_PERMISSIONS, max_read=0, target=None, fuse=None,
           source_fd=None, server=True, s=None, **kw):
    """Mount by the broker, as who calls this; the server's pid."""
    fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC) if fuse is None else fuse
    target = opath(path) if target is None else target
    fds = [fuse, target]
    if source_fd is not None:
        fds.append(source_fd)
        flags |= SOURCE_FD
    pid = start_server(fuse, **kw) if server else 0
    try:
        ask(atch(source, flags, max_read), fds, s=s)
    except BaseException:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        raise
    finally:
        os.close(fuse)
        os.close(target)
    return pid


def detach(path, flags=0, s=None):
    d, name = os.path.split(path)
    fd = opath(d or "/")
    try:
        ask(dtch(name, flags), [fd], s=s)
    finally:
        os.close(fd)


def mounts(path=None):
    """[(id, parent, target, options, type, source, super options)] below TOP."""
    r = []
    for line in open("/proc/self/mountinfo"):
        left, right = line.rstrip("\n").split(" - ", 1)
        f, g = left.split(" "), right.split(" ")
        if f[4] == path or path is None and f[4].startswith(TOP):
            r.append((int(f[0]), int(f[1]), f[4], f[5], g[0], g[1], g[2]))
    return r


def wait_for(f, seconds=5):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if f():
            return True
        time.sleep(0.02)
    return bool(f())


# --- attacks --------------------------------------------------------------------------------
A, V = 1001, 1002  # A attacks, V is the victim: it wants its own to work, meanwhile and afterwards


class Place:
    """Directories of A, V and root, and whether an attempt has left a trace in the mount table."""

    def __init__(self):
        self.mine, self.mine2 = make("mine", 0o755, A, A), make("mine2", 0o755, A, A)
        self.victims, self.vd = make("victims", 0o755, V, V), make("vd", 0o755, V, V)
        self.roots = make("roots", 0o755)
        self.table = sorted(mounts())

    def want(self, rule, got, what):
        check(got == rule, "%s: %s, expected %s" % (what, got, rule))
        new = [m for m in sorted(mounts()) if m not in self.table]
        check(not new, "%s: mounts are left: %s" % (what, new))

    def victim_is_served(self, what, seconds=2.0):
        t = time.monotonic()
        try:
            as_user(V, lambda: (patiently(attach, self.vd), patiently(detach, self.vd)))
        except Exception as e:
            check(False, "%s: the victim is not served: %r" % (what, e))
        t = time.monotonic() - t
        check(t < seconds, "%s: the victim waited for %.1f s" % (what, t))


def clear(path):
    while mounts(path):
        umount(path, 2)


def no_process_left(broker, seconds=12):
    check(wait_for(lambda: len(broker.processes()) == 1, seconds), "processes are left:", broker.processes())
