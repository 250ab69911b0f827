#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program sees of a filesystem: run in an empty directory, as root; prints a line a probe.

The output holds nothing that may differ between two filesystems that behave alike (no times of
now, no inode numbers), so running it on the kernel's ext4 and on us and comparing the two is a test
of every probe at once. probe.py DIR
"""
import ctypes
import errno
import fcntl
import mmap
import os
import stat
import struct
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
NOBODY, OTHER = 65534, 1234
probes = []


def probe(fn):
    probes.append(fn)
    return fn


def say(*words):
    print("  ", *words)


def attempt(what, fn, *args, **kw):
    """Print what a call gave, or its errno."""
    try:
        r = fn(*args, **kw)
        say(what, "->", "ok" if r is None else r)
        return r
    except OSError as e:
        say(what, "->", errno.errorcode.get(e.errno, e.errno))
        return None


def as_user(uid, fn, *args, groups=(), **kw):
    """Run fn in a child with another user's rights."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.setgroups(list(groups))
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        try:
            fn(*args, **kw)
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def sys_call(name, *args):
    r = getattr(libc, name)(*args)
    if r < 0:
        raise OSError(ctypes.get_errno(), name)
    return r


def put(name, data=b"data", mode=0o644):
    fd = os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode)
    os.write(fd, data)
    os.close(fd)
    os.chmod(name, mode)


def show(name):
    s = os.lstat(name)
    say(name, oct(s.st_mode), s.st_nlink, s.st_uid, s.st_gid,
        s.st_size if not stat.S_ISDIR(s.st_mode) else "-")


def write_as(uid, name, data=b"x"):
    def go():
        fd = os.open(name, os.O_WRONLY)
        os.write(fd, data)
        os.close(fd)
    as_user(uid, lambda: attempt(f"write by {uid}", go))


@probe
def privileges_are_cleared():
    os.chmod(".", 0o777)
    for mode in (0o6777, 0o6767, 0o2767, 0o2777, 0o4755):
        for what in ("write", "truncate", "fallocate", "chown", "chgrp", "rootwrite"):
            put("s", b"content", mode)
            if what == "write":
                write_as(NOBODY, "s")
            elif what == "truncate":
                as_user(NOBODY, lambda: attempt("truncate", os.truncate, "s", 1))
            elif what == "fallocate":
                as_user(NOBODY, lambda: attempt("fallocate", lambda: os.posix_fallocate(
                    os.open("s", os.O_WRONLY), 0, 9000)))
            elif what == "chown":
                os.chown("s", NOBODY, -1)
            elif what == "chgrp":
                os.chown("s", -1, NOBODY)
            else:
                write_as(0, "s")
            say(oct(mode), what, oct(os.stat("s").st_mode))
            os.unlink("s")


@probe
def owners_change_mode():
    put("f", mode=0o644)
    os.chown("f", NOBODY, OTHER)
    as_user(NOBODY, lambda: attempt("chmod g+s outside the group", os.chmod, "f", 0o2755))
    show("f")
    as_user(NOBODY, lambda: attempt("chmod g+s in the group", os.chmod, "f", 0o2755),
            groups=[OTHER])
    show("f")
    as_user(OTHER, lambda: attempt("chmod of another's", os.chmod, "f", 0o777))
    as_user(OTHER, lambda: attempt("utime of another's", os.utime, "f", (1, 1)))
    as_user(OTHER, lambda: attempt("utime now of another's", os.utime, "f"))
    as_user(NOBODY, lambda: attempt("chown away", os.chown, "f", 0, -1))
    as_user(NOBODY, lambda: attempt("chgrp to own group", os.chown, "f", -1, NOBODY))
    show("f")


@probe
def set_gid_directories():
    os.mkdir("g")
    os.chown("g", 0, OTHER)
    os.chmod("g", 0o2777)
    put("g/f")
    os.mkdir("g/d")
    os.symlink("x", "g/l")
    as_user(NOBODY, lambda: os.close(os.open("g/u", os.O_CREAT | os.O_WRONLY, 0o2775)))
    for n in ("g/f", "g/d", "g/l", "g/u"):
        show(n)


@probe
def umask_counts():
    for mask in (0o000, 0o022, 0o077):
        old = os.umask(mask)
        os.close(os.open(f"u{mask}", os.O_CREAT | os.O_WRONLY, 0o666))
        os.mkdir(f"ud{mask}", 0o777)
        os.mkfifo(f"up{mask}", 0o666)
        os.umask(old)
        for n in (f"u{mask}", f"ud{mask}", f"up{mask}"):
            show(n)


def acl(*entries):
    tags = {"u": 1, "U": 2, "g": 4, "G": 8, "m": 16, "o": 32}
    out = struct.pack("<I", 2)
    for tag, perm, *ident in entries:
        out += struct.pack("<HHI", tags[tag], perm, ident[0] if ident else 0xFFFFFFFF)
    return out


def show_acl(name):
    for kind in ("access", "default"):
        try:
            v = os.getxattr(name, f"system.posix_acl_{kind}", follow_symlinks=False)
            say(name, kind, v.hex())
        except OSError as e:
            say(name, kind, errno.errorcode[e.errno])


@probe
def acls():
    A, D = "system.posix_acl_access", "system.posix_acl_default"
    full = acl(("u", 7), ("U", 5, NOBODY), ("g", 5), ("G", 4, OTHER), ("m", 7), ("o", 0))
    put("f", mode=0o640)
    os.mkdir("d", 0o755)
    os.symlink("f", "l")
    attempt("access on file", os.setxattr, "f", A, full)
    show("f")
    show_acl("f")
    os.chmod("f", 0o604)
    show_acl("f")
    attempt("like the mode", os.setxattr, "f", A, acl(("u", 6), ("g", 4), ("o", 1)))
    show("f")
    show_acl("f")
    attempt("default on file", os.setxattr, "f", D, full)
    attempt("default on dir", os.setxattr, "d", D, full)
    attempt("no mask", os.setxattr, "d", A, acl(("u", 7), ("U", 5, 1), ("g", 5), ("o", 0)))
    attempt("empty", os.setxattr, "f", A, struct.pack("<I", 2))
    attempt("bad version", os.setxattr, "f", A, struct.pack("<I", 9))
    attempt("on symlink", os.setxattr, "l", A, full, follow_symlinks=False)
    attempt("remove absent", os.removexattr, "f", D)
    attempt("list", lambda: sorted(os.listxattr("d")))
    old = os.umask(0o077)
    put_mode = os.open("d/f", os.O_CREAT | os.O_WRONLY, 0o666)
    os.close(put_mode)
    os.mkdir("d/sub", 0o777)
    os.mkfifo("d/p", 0o666)
    os.symlink("x", "d/l")
    os.umask(old)
    for n in ("d/f", "d/sub", "d/p", "d/l"):
        show(n)
        show_acl(n)
    put("d/f", b"secret", 0o660)
    as_user(NOBODY, lambda: attempt("named user reads", lambda: open("d/f", "rb").read()))
    as_user(OTHER, lambda: attempt("stranger reads", lambda: open("d/f", "rb").read()))
    # set-gid goes when somebody outside the group sets an ACL
    put("g", mode=0o2755)
    os.chown("g", NOBODY, OTHER)
    os.chmod("g", 0o2755)
    as_user(NOBODY, lambda: attempt("set", os.setxattr, "g", A, full))
    show("g")
    attempt("remove default", os.removexattr, "d", D)
    show_acl("d")


@probe
def xattrs():
    put("f")
    os.mkdir("d")
    os.symlink("f", "l")
    for name, value in (("user.a", b"1"), ("user.empty", b""), ("trusted.t", b"t" * 100),
                        ("security.s", b"s"), ("user.", b"x"), ("user." + "n" * 250, b"long"),
                        ("other.x", b"x"), ("system.x", b"x"), ("user.big", b"b" * 3000)):
        attempt(f"set {name[:12]}", os.setxattr, "f", name, value)
        attempt(f"get {name[:12]}", lambda: len(os.getxattr("f", name)))
    attempt("name of 256", os.setxattr, "f", "user." + "n" * 251, b"x")
    attempt("name of 255+5", os.setxattr, "f", "user." + "n" * 255, b"x")
    attempt("create there", os.setxattr, "f", "user.a", b"2", os.XATTR_CREATE)
    attempt("replace absent", os.setxattr, "f", "user.zz", b"2", os.XATTR_REPLACE)
    attempt("replace", os.setxattr, "f", "user.a", b"22", os.XATTR_REPLACE)
    attempt("get", os.getxattr, "f", "user.a")
    attempt("remove absent", os.removexattr, "f", "user.zz")
    attempt("remove", os.removexattr, "f", "user.a")
    attempt("user on symlink", os.setxattr, "l", "user.a", b"x", follow_symlinks=False)
    attempt("trusted on symlink", os.setxattr, "l", "trusted.a", b"x", follow_symlinks=False)
    attempt("list of root", lambda: sorted(n[:16] for n in os.listxattr("f")))
    as_user(NOBODY, lambda: attempt("list of nobody", lambda: sorted(n[:16] for n in os.listxattr("f"))))
    as_user(NOBODY, lambda: attempt("trusted of nobody", os.getxattr, "f", "trusted.t"))
    buf = ctypes.create_string_buffer(2)
    attempt("short buffer", sys_call, "getxattr", b"f", b"trusted.t", buf, 2)
    attempt("short list", sys_call, "listxattr", b"f", buf, 2)
    os.mkdir("sticky")
    os.chmod("sticky", 0o1777)
    as_user(NOBODY, lambda: attempt("user. in a sticky dir of root", os.setxattr, "sticky", "user.x", b"1"))


def rename2(a, b, flags):
    sys_call("renameat2", -100, a.encode(), -100, b.encode(), flags)


@probe
def renames():
    for n in "abc":
        put(n, n.encode())
    for n in ("d1", "d2", "d3"):
        os.mkdir(n)
    put("d2/x")
    attempt("over a file", os.rename, "a", "b")
    attempt("noreplace", rename2, "b", "c", 1)
    attempt("exchange", rename2, "b", "c", 2)
    say(open("b").read(), open("c").read())
    attempt("exchange with absent", rename2, "b", "zz", 2)
    attempt("exchange dir and file", rename2, "d1", "b", 2)
    show("b")
    show("d1")
    attempt("back", rename2, "d1", "b", 2)
    attempt("whiteout", rename2, "b", "w", 4)
    show("b")
    os.unlink("b")
    attempt("dir over empty dir", os.rename, "d1", "d3")
    attempt("dir over full dir", os.rename, "d3", "d2")
    attempt("dir over file", os.rename, "d3", "c")
    attempt("file over dir", os.rename, "c", "d3")
    attempt("dir into itself", os.rename, "d2", "d2/sub")
    attempt("onto itself", os.rename, "c", "c")
    os.link("c", "c2")
    attempt("onto own link", os.rename, "c", "c2")
    say(sorted(os.listdir(".")))
    attempt("dir to another parent", os.rename, "d3", "d2/d3")
    say(os.stat(".").st_nlink, os.stat("d2").st_nlink)
    attempt("exchange across", rename2, "d2/d3", "c", 2)
    say(os.stat(".").st_nlink, os.stat("d2").st_nlink)
    attempt("absent", os.rename, "nope", "x")
    attempt("dot", os.rename, ".", "x")
    attempt("both flags", rename2, "c", "x", 3)


@probe
def links_and_unlink():
    put("f")
    os.mkdir("d")
    os.mkdir("full")
    put("full/x")
    attempt("link", os.link, "f", "g")
    show("f")
    attempt("link over", os.link, "f", "g")
    attempt("link dir", os.link, "d", "e")
    attempt("unlink dir", os.unlink, "d")
    attempt("rmdir file", os.rmdir, "f")
    attempt("rmdir full", os.rmdir, "full")
    attempt("rmdir", os.rmdir, "d")
    attempt("rmdir absent", os.rmdir, "d")
    attempt("unlink absent", os.unlink, "d")
    os.symlink("f", "l")
    attempt("link of symlink", lambda: sys_call("linkat", -100, b"l", -100, b"l2", 0))
    show("l2")
    fd = os.open("f", os.O_RDWR)
    os.unlink("f")
    os.unlink("g")
    say("open and gone", os.fstat(fd).st_nlink, os.pread(fd, 9, 0))
    os.write(fd, b"more")
    say(os.pread(fd, 9, 0))
    attempt("link it again", lambda: sys_call("linkat", -100, f"/proc/self/fd/{fd}".encode(), -100, b"again", 0x400))
    os.close(fd)
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"tmp")
    say("tmpfile", oct(os.fstat(fd).st_mode), os.fstat(fd).st_nlink)
    attempt("link tmpfile", lambda: sys_call("linkat", -100, f"/proc/self/fd/{fd}".encode(), -100, b"named", 0x400))
    os.close(fd)
    show("named")
    os.mkdir("st")
    os.chmod("st", 0o1777)
    put("st/roots")
    as_user(NOBODY, lambda: attempt("unlink in sticky", os.unlink, "st/roots"))
    as_user(NOBODY, lambda: attempt("rename in sticky", os.rename, "st/roots", "st/mine"))


@probe
def names():
    for n in (b"n" * 255, b"n" * 256, b"n" * 1000, b"\xff\xfe", b"with\nnewline", b"...", b" ", b"\\"):
        attempt(f"create {n[:8]} {len(n)}", lambda: os.close(os.open(n, os.O_CREAT | os.O_WRONLY)))
    attempt("lookup 256", os.stat, b"n" * 256)
    say(sorted((len(n), n[:8]) for n in os.listdir(b".")))
    for length in (1, 59, 60, 61, 1000, 4095):
        try:
            os.symlink("t" * length, f"l{length}")
            say(length, os.readlink(f"l{length}") == "t" * length, os.lstat(f"l{length}").st_size)
        except OSError as e:  # longer than a block
            say(length, errno.errorcode[e.errno])
    attempt("symlink of 4096", lambda: os.symlink("t" * 4096, "l4096"))
    attempt("empty symlink", os.symlink, "", "l0")
    os.mkdir("deep")
    attempt("slash", os.stat, "l1/")
    attempt("dots", lambda: os.stat("deep/..").st_ino == os.stat(".").st_ino)


@probe
def directories():
    os.mkdir("d")
    for i in range(300):
        put(f"d/file-{i:04}", b"")
    fd = os.open("d", os.O_RDONLY)
    seen = []
    buf = ctypes.create_string_buffer(1024)
    deleted = 0
    while True:  # small reads, and names that go between them
        n = libc.syscall(217, fd, buf, 1024)
        if n <= 0:
            break
        pos = 0
        while pos < n:
            _, _, reclen, kind = struct.unpack_from("<QQHB", buf.raw, pos)
            name = buf.raw[pos + 19:pos + reclen].split(b"\0")[0].decode()
            seen.append(name)
            if name.startswith("file") and deleted < 150:
                os.unlink("d/" + name)
                deleted += 1
            pos += reclen
    os.close(fd)
    say("each once", len(seen) == len(set(seen)) == 302, len(os.listdir("d")))
    attempt("rmdir full", os.rmdir, "d")
    for n in os.listdir("d"):
        os.unlink("d/" + n)
    attempt("rmdir", os.rmdir, "d")
    show(".")
    for i in range(70):
        os.mkdir(f"sub{i}")
    say(os.stat(".").st_nlink)


@probe
def content():
    fd = os.open("f", os.O_CREAT | os.O_RDWR)
    os.pwrite(fd, b"end", 100000)
    os.fsync(fd)  # the kernel's ext4 may not find data that it has not allocated yet
    say(os.fstat(fd).st_size, os.pread(fd, 4, 50000), os.lseek(fd, 0, os.SEEK_DATA) > 90000,
        os.lseek(fd, 100000, os.SEEK_HOLE))
    attempt("data past the end", os.lseek, fd, 200000, os.SEEK_DATA)
    os.ftruncate(fd, 100001)
    os.ftruncate(fd, 100010)
    say(os.pread(fd, 20, 99998))
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"A" * 20000, 0)
    for name, mode, off, length in (("keep", 1, 30000, 10000), ("punch", 3, 5000, 6000),
                                    ("zero", 0x10, 100, 50), ("zero keep", 0x11, 19000, 9000),
                                    ("plain", 0, 0, 25000), ("punch no keep", 2, 0, 10)):
        attempt(f"fallocate {name}", lambda: sys_call("fallocate", fd, mode,
                                                     ctypes.c_long(off), ctypes.c_long(length)))
        data = os.pread(fd, 1 << 20, 0)
        say(os.fstat(fd).st_size, len(data), data.count(b"A"), data.count(b"\0"))
    os.close(fd)
    put("t", b"0123456789")
    os.close(os.open("t", os.O_WRONLY | os.O_TRUNC))
    show("t")
    a, b = (os.open("t", os.O_WRONLY | os.O_APPEND) for _ in "ab")
    for i in range(10):
        os.write(a, b"a")
        os.write(b, b"b")
    say(open("t").read())
    fd = os.open("m", os.O_CREAT | os.O_RDWR)
    os.ftruncate(fd, 10000)
    with mmap.mmap(fd, 10000) as m:
        m[0:3] = b"map"
        m[9999] = 33
        say(os.pread(fd, 3, 0), os.pread(fd, 1, 9999))
        os.pwrite(fd, b"wri", 5000)
        say(m[5000:5003])
        m.flush()
    say(open("m", "rb").read().count(b"\0"))
    r, w = os.open("m", os.O_RDONLY), os.open("copy", os.O_CREAT | os.O_WRONLY)
    attempt("copy_file_range", lambda: os.copy_file_range(r, w, 10000))
    os.close(w)
    say(open("copy", "rb").read() == open("m", "rb").read())
    w = os.open("sent", os.O_CREAT | os.O_WRONLY)
    attempt("sendfile", lambda: os.sendfile(w, r, 0, 10000))
    attempt("write to a read-only descriptor", os.write, r, b"x")
    attempt("read a directory", lambda: os.read(os.open(".", os.O_RDONLY), 1))
    attempt("open dir for writing", os.open, ".", os.O_WRONLY)
    attempt("O_DIRECTORY on a file", os.open, "m", os.O_DIRECTORY)
    attempt("O_NOFOLLOW", lambda: (os.symlink("m", "lm"), os.open("lm", os.O_NOFOLLOW)))
    attempt("O_EXCL there", os.open, "m", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    attempt("truncate a directory", os.truncate, ".", 0)
    buf = mmap.mmap(-1, 8192)
    fd = os.open("direct", os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    buf.write(b"D" * 8192)
    attempt("direct write", os.pwrite, fd, buf, 4096)
    say(open("direct", "rb").read().count(b"D"), os.fstat(fd).st_size)


@probe
def mappings_and_truncates():
    fd = os.open("m", os.O_CREAT | os.O_RDWR)
    os.pwrite(fd, b"x" * 16384, 0)
    with mmap.mmap(fd, 16384) as m:
        os.ftruncate(fd, 5000)
        say("behind the new end", m[4990:5010])
        m[10:14] = b"kept"
        os.ftruncate(fd, 16384)
        say("longer again", m[5000:5008], m[10:14], m[16383])
        m[16000:16002] = b"zz"
        m.flush()
    say(os.pread(fd, 16384, 0).count(b"x"), os.pread(fd, 2, 16000), os.pread(fd, 8, 5000))

    def beyond():
        with mmap.mmap(fd, 16384) as m:
            os.ftruncate(fd, 100)
            say("in the last page", m[4095])
            sys.stdout.flush()
            m[8192]
    pid = os.fork()
    if pid == 0:
        beyond()
        os._exit(0)
    say("beyond the last page", os.waitpid(pid, 0)[1] & 0x7F)
    with mmap.mmap(fd, 100, mmap.MAP_PRIVATE) as m:
        m[0:1] = b"p"
        say("private", m[0:1], os.pread(fd, 1, 0))
    direct = os.open("m", os.O_RDWR | os.O_DIRECT)
    buf = mmap.mmap(-1, 4096)
    os.ftruncate(fd, 8192)
    os.pwrite(fd, b"buffered", 4096)
    say("direct read after a buffered write", os.preadv(direct, [buf], 4096), buf[:8])
    buf[:8] = b"directly"
    os.pwrite(direct, buf, 4096)
    say("buffered read after a direct write", os.pread(fd, 8, 4096))


@probe
def statx():
    put("f")
    os.mkdir("d")
    os.symlink("f", "l")
    before = time.time()
    for n in "fdl":
        buf = ctypes.create_string_buffer(256)
        sys_call("statx", -100, n.encode(), 0x100, 0xFFF, buf)
        mask, blksize, _, nlink, uid, gid, mode, _, ino, size = struct.unpack_from("<IIQIIIHHQQ", buf.raw)
        birth = struct.unpack_from("<q", buf.raw, 0x50)[0]
        say(n, hex(mask & 0xFFF), blksize, nlink, uid, gid, oct(mode), ino == os.lstat(n).st_ino,
            size if n != "d" else "-", "birth" if mask & 0x800 and abs(birth - before) < 60 else birth)


@probe
def times():
    put("f")
    for t in (0, 1, -1, 2**31 - 1, 2**31, 2**32, 2**33, 15032385535, 15032385536, 2**40, -2**31, -2**31 - 1, -2**40):
        os.utime("f", (t, t))
        s = os.stat("f")
        say(t, s.st_mtime_ns, s.st_atime_ns)
    os.utime("f", ns=(123456789, 1700000000987654321))
    s = os.stat("f")
    say(s.st_atime_ns, s.st_mtime_ns)

    # a tick of the clock that timestamps are taken from; inodes of 128 bytes hold whole seconds
    tick = 0.02 if s.st_mtime_ns % 10**9 else 1.1

    def changed(fn, what=".", field="st_ctime_ns"):
        os.utime(".", (1, 1))
        before = getattr(os.stat(what), field)
        time.sleep(tick)
        fn()
        return getattr(os.stat(what), field) != before
    say("chmod changes ctime", changed(lambda: os.chmod("f", 0o600), "f"))
    say("setxattr changes ctime", changed(lambda: os.setxattr("f", "user.x", b"1"), "f"))
    say("link changes ctime", changed(lambda: os.link("f", "g"), "f"))
    say("unlink changes ctime", changed(lambda: os.unlink("g"), "f"))
    before = os.stat("f").st_ctime_ns
    time.sleep(tick)
    os.rename("f", "g")
    say("rename changes ctime", os.stat("g").st_ctime_ns != before)
    for what, fn in (("create", lambda: put("n")), ("unlink", lambda: os.unlink("n")),
                     ("mkdir", lambda: os.mkdir("d")), ("rmdir", lambda: os.rmdir("d")),
                     ("symlink", lambda: os.symlink("x", "s"))):
        say(what, "changes the directory's mtime", changed(fn, ".", "st_mtime_ns"))
    put("w")
    os.utime("w", (1, 1))
    fd = os.open("w", os.O_RDWR)
    os.write(fd, b"x")
    say("write changes mtime", os.stat("w").st_mtime > 1)
    os.utime("w", (1, 1))
    with mmap.mmap(fd, 1) as m:
        m[0:1] = b"m"
        m.flush()
    s = os.stat("w")
    say("a write through a mapping changes both", s.st_mtime > 1, s.st_ctime > 1000)
    os.utime("w", (1, 1))
    os.ftruncate(fd, 1)
    say("truncate changes mtime", os.stat("w").st_mtime > 1)
    os.utime("w", (1, 1))
    os.chmod("w", 0o777)
    say("chmod leaves mtime", os.stat("w").st_mtime)
    os.utime("w", (1, 1000))
    os.pread(fd, 1, 0)
    say("read changes an old atime", os.stat("w").st_atime > 1)


@probe
def nodes():
    for n, mode, dev in (("c", stat.S_IFCHR | 0o644, os.makedev(1, 3)),
                         ("b", stat.S_IFBLK | 0o600, os.makedev(259, 70000)),
                         ("p", stat.S_IFIFO | 0o622, 0), ("s", stat.S_IFSOCK | 0o600, 0)):
        attempt(f"mknod {n}", os.mknod, n, mode, dev)
        show(n)
        say(os.major(os.lstat(n).st_rdev), os.minor(os.lstat(n).st_rdev))
    as_user(NOBODY, lambda: attempt("mknod of nobody", os.mknod, "x", stat.S_IFCHR | 0o644, 259))
    fd = os.open("p", os.O_RDWR)
    os.write(fd, b"through")
    say(os.read(fd, 100))


@probe
def flags():
    GET, SET = 0x80086601, 0x40086602
    put("f")
    os.mkdir("d")
    fd = os.open("f", os.O_RDONLY)
    dfd = os.open("d", os.O_RDONLY)

    def get(d):
        return hex(struct.unpack("I", fcntl.ioctl(d, GET, b"\0" * 8)[:4])[0] & ~0x80000)

    def put_flags(d, value):
        fcntl.ioctl(d, SET, struct.pack("Q", struct.unpack("I", fcntl.ioctl(d, GET, b"\0" * 8)[:4])[0] & 0x80000 | value))
    for value in (0x40, 0x80, 0x8, 0):
        attempt(f"set {hex(value)}", put_flags, fd, value)
        say(get(fd))
    attempt("immutable", put_flags, fd, 0x10)
    attempt("chmod", os.chmod, "f", 0o777)
    attempt("chown", os.chown, "f", 1, 1)
    attempt("utime", os.utime, "f", (1, 1))
    attempt("truncate", os.truncate, "f", 0)
    attempt("unlink", os.unlink, "f")
    attempt("rename", os.rename, "f", "g")
    attempt("link", os.link, "f", "g")
    attempt("setxattr", os.setxattr, "f", "user.x", b"1")
    attempt("setacl", os.setxattr, "f", "system.posix_acl_access", acl(("u", 7), ("g", 5), ("o", 1)))
    attempt("off", put_flags, fd, 0)
    attempt("append only", put_flags, fd, 0x20)
    w = os.open("f", os.O_WRONLY | os.O_APPEND)
    attempt("append", os.write, w, b"x")
    attempt("truncate", os.truncate, "f", 0)
    attempt("unlink", os.unlink, "f")
    attempt("chmod", os.chmod, "f", 0o777)
    attempt("off", put_flags, fd, 0)
    attempt("immutable dir", put_flags, dfd, 0x10)
    attempt("create in it", os.mkdir, "d/x")
    attempt("rmdir it", os.rmdir, "d")
    attempt("off", put_flags, dfd, 0)
    attempt("append-only dir", put_flags, dfd, 0x20)
    attempt("create in it", put, "d/x")
    attempt("unlink in it", os.unlink, "d/x")
    attempt("rename in it", os.rename, "d/x", "d/y")
    attempt("off", put_flags, dfd, 0)
    as_user(NOBODY, lambda: attempt("flags by nobody", put_flags, fd, 0x40))
    attempt("set version", lambda: fcntl.ioctl(fd, 0x40087602, struct.pack("Q", 12345)) and None)
    say("version", struct.unpack("I", fcntl.ioctl(fd, 0x80087601, b"\0" * 8)[:4])[0] == 12345)


@probe
def locks():
    put("f")
    a, b = os.open("f", os.O_RDWR), os.open("f", os.O_RDWR)
    attempt("flock", fcntl.flock, a, fcntl.LOCK_EX)
    attempt("second", fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    attempt("posix", fcntl.lockf, a, fcntl.LOCK_EX, 1)
    as_user(0, lambda: attempt("other process", fcntl.lockf, b, fcntl.LOCK_EX | fcntl.LOCK_NB, 1))


@probe
def access():
    os.mkdir("private", 0o700)
    put("private/f")
    put("r", mode=0o400)
    put("x", b"#!/bin/sh\n", 0o644)
    as_user(NOBODY, lambda: attempt("in a private directory", os.stat, "private/f"))
    as_user(NOBODY, lambda: attempt("create in root's", os.open, "private/n", os.O_CREAT))
    as_user(NOBODY, lambda: attempt("read root's", os.open, "r", os.O_RDONLY))
    say(os.access("r", os.W_OK), os.access("x", os.X_OK))
    attempt("execute", os.execv, "./x", ["x"])


def main():
    os.chdir(sys.argv[1])
    os.umask(0o022)
    only = sys.argv[2:]
    for fn in probes:
        if only and fn.__name__ not in only:
            continue
        print(fn.__name__)
        os.mkdir(fn.__name__)
        os.chdir(fn.__name__)
        fn()
        os.chdir("..")
        sys.stdout.flush()


main()
