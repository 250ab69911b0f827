#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Random sequences of operations, the same ones wherever they run: on the kernel's ext4 and on us.

  sequences.py DIR FIRST COUNT OPS [--no-holes]
                                      for each of COUNT seeds, a directory and OPS operations in it

Prints what each operation gave (a value or the errno), then the tree: names, types, modes, owners,
link counts, sizes, times that were set (a time of now is "now"), attributes, content and holes.
Nothing in it may differ between two filesystems that behave alike. As root, mounted noatime.
"""
import ctypes
import errno
import hashlib
import mmap
import os
import random
import stat
import struct
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
KEEP_SIZE, PUNCH, ZERO = 1, 2, 16
NOBODY = 65534
ops = []


def op(fn):
    ops.append(fn)
    return fn


def check(r):
    if r < 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))
    return r


class Run:
    """One sequence; paths are relative to its directory, and few, so that they meet."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.names = []  # what the present operation is about
        self.allocated = set()  # inodes with space that nobody wrote: where it reads as a hole is free

    def name(self):
        d = self.rng.choice(["", "", "", "a/", "b/", "a/c/", "z/"])
        self.names.append(d + self.rng.choice(["a", "b", "c", "f", "g", "h", "i", "j", "k", "m" * 100, "n" * 255, "\u00e4"]))
        return self.names[-1]

    def size(self):
        return self.rng.choice([0, 1, 100, 4095, 4096, 4097, 20000, 70000, self.rng.randrange(300000)])

    def pos(self):
        return self.rng.choice([0, 1, 4096, 60000, self.rng.randrange(1 << 20), 1 << 30])

    def data(self, n):
        return self.rng.randbytes(min(n, 1000)) * (n // 1000 + 1)

    def open(self, flags, mode=0o644):
        return File(os.open(self.name(), flags | os.O_NOFOLLOW | os.O_NONBLOCK, mode))


class File:
    def __init__(self, fd):
        self.fd = fd

    def __enter__(self):
        return self.fd

    def __exit__(self, *a):
        os.close(self.fd)


@op
def create(r):
    flags = os.O_CREAT | os.O_RDWR | r.rng.choice([0, 0, os.O_EXCL, os.O_TRUNC])
    with r.open(flags, r.rng.choice([0o666, 0o600, 0o4755, 0o2770])) as fd:
        n = r.size()
        return os.pwrite(fd, r.data(n)[:n], 0)


@op
def write(r):
    n, pos = r.size(), r.pos()
    with r.open(os.O_WRONLY) as fd:
        return os.pwrite(fd, r.data(n)[:n], pos)


@op
def append(r):
    n = r.size()
    with r.open(os.O_WRONLY | os.O_APPEND) as fd:
        return os.write(fd, r.data(n)[:n])


@op
def truncate(r):
    n = r.rng.choice([r.size(), r.pos()])
    with r.open(os.O_RDWR) as fd:
        os.ftruncate(fd, n)


@op
def space(r):
    mode = r.rng.choice([0, KEEP_SIZE, PUNCH | KEEP_SIZE, PUNCH | KEEP_SIZE, ZERO, ZERO | KEEP_SIZE])
    pos, n = r.pos(), r.size()
    with r.open(os.O_RDWR) as fd:
        if not mode & PUNCH:
            r.allocated.add(os.fstat(fd).st_ino)
        check(libc.fallocate(fd, mode, ctypes.c_long(pos), ctypes.c_long(n)))


@op
def map_write(r):
    at = r.rng.random()
    with r.open(os.O_RDWR) as fd:
        n = os.fstat(fd).st_size
        if n < 4096 or n > 1 << 21:  # the kernel's ext4 loses writes to mapped files that are inline
            return "not mapped"
        with mmap.mmap(fd, n) as m:
            k = int(at * n)
            m[k:k + 10] = b"mapped!!!!"[:n - k]
        os.fsync(fd)


@op
def copy_range(r):
    n, a, b = r.size(), r.pos(), r.pos()
    with r.open(os.O_RDONLY) as src, r.open(os.O_RDWR | os.O_CREAT) as dst:
        return os.copy_file_range(src, dst, n, a, b)


@op
def read(r):
    n, pos = r.size(), r.pos()
    with r.open(os.O_RDONLY) as fd:
        return hashlib.sha1(os.pread(fd, n, pos)).hexdigest()


@op
def make_dir(r):
    os.mkdir(r.rng.choice([r.name(), "a", "b", "a/c", "z"]), r.rng.choice([0o755, 0o2775, 0o1777, 0o700]))


@op
def many_names(r):
    d = r.rng.choice(["a", "b"])
    lo, n = r.rng.randrange(300), r.rng.randrange(100)
    for i in range(lo, lo + n):
        os.close(os.open("%s/%s%d" % (d, "many-" * 10, i), os.O_CREAT | os.O_WRONLY))


@op
def few_names(r):
    d, odd = r.rng.choice(["a", "b"]), r.rng.randrange(2)
    for e in sorted(os.listdir(d)):
        if e.startswith("many-") and int(e[50:]) % 2 == odd:
            os.unlink(d + "/" + e)


@op
def remove(r):
    p = r.name()
    try:
        os.unlink(p)
    except IsADirectoryError:
        os.rmdir(p)


@op
def rename(r):
    a, b = r.name(), r.name()
    check(libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), r.rng.choice([0, 0, 0, 1, 2, 4])))


@op
def link(r):
    os.link(r.name(), r.name(), follow_symlinks=False)


@op
def symlink(r):
    os.symlink("t" * r.rng.choice([1, 59, 60, 200, 3000]), r.name())


@op
def read_link(r):
    return len(os.readlink(r.name()))


@op
def node(r):
    os.mknod(r.name(), r.rng.choice([stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK]) | 0o640,
             os.makedev(r.rng.randrange(300), r.rng.randrange(70000)))


@op
def nameless(r):
    d = r.rng.choice([".", "a", "z"])
    with File(os.open(d, os.O_TMPFILE | os.O_RDWR, 0o640)) as fd:
        os.write(fd, r.data(5000))
        if r.rng.random() < 0.7:
            check(libc.linkat(-100, b"/proc/self/fd/%d" % fd, -100, os.fsencode(r.name()), 0x400))


@op
def mode(r):
    os.chmod(r.name(), r.rng.choice([0o644, 0o4755, 0o2755, 0o2745, 0o1777, 0o600, 0]), follow_symlinks=True)


@op
def owner(r):
    os.lchown(r.name(), r.rng.choice([-1, 0, 1000, 70000]), r.rng.choice([-1, 0, 1000, 100000]))


@op
def no_owner(r):
    os.lchown(r.name(), -1, -1)


@op
def times(r):
    t = tuple(r.rng.choice([0, 1, 999999999]) + 10**9 * r.rng.randrange(-(1 << 30), 1 << 30) for _ in "am")
    os.utime(r.name(), ns=t, follow_symlinks=False)


def acl(rng):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in (
        (1, rng.randrange(8), 0xffffffff), (2, rng.randrange(8), 1000), (4, rng.randrange(8), 0xffffffff),
        (16, rng.randrange(8), 0xffffffff), (32, rng.randrange(8), 0xffffffff)))


@op
def attribute(r):
    key = r.rng.choice(["user.a", "user.b", "user.long" + "k" * 200, "trusted.t", "security.s"])
    value = r.data(r.rng.choice([0, 1, 40, 300, 1500]))
    os.setxattr(r.name(), key, value[:r.rng.choice([0, 1, 40, 300, 1500])], r.rng.choice([0, 0, 1, 2]), follow_symlinks=False)


@op
def access_list(r):
    os.setxattr(r.name(), r.rng.choice(["system.posix_acl_access", "system.posix_acl_default"]), acl(r.rng))


@op
def no_attribute(r):
    os.removexattr(r.name(), r.rng.choice(["user.a", "user.b", "trusted.t", "system.posix_acl_default"]), follow_symlinks=False)


@op
def as_nobody(r):
    fn = r.rng.choice([create, write, append, truncate, make_dir, remove, rename, mode, times, attribute, read, link])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        return fn(r)
    finally:
        os.seteuid(0)
        os.setegid(0)


ops += [create, write, append, make_dir, as_nobody]


def attempt(r, fn):
    try:
        out = fn(r)
    except OSError as e:
        out = errno.errorcode.get(e.errno, e.errno)
    return out


def when(ns):
    return "now" if abs(ns / 1e9 - time.time()) < 86400 else ns


def holes(fd, size):
    out, pos = [], 0
    while pos < size:
        try:
            pos = os.lseek(fd, pos, os.SEEK_DATA)
        except OSError:
            break
        end = os.lseek(fd, pos, os.SEEK_HOLE)
        out.append("%d-%d" % (pos, end))
        pos = end
    return ",".join(out)


def has_holes(st, allocated):
    """The kernel's ext4 fails SEEK_HOLE in some files whose content is inline: not asked there."""
    return "--no-holes" not in sys.argv and st.st_ino not in allocated


def content(path, st, allocated):
    with File(os.open(path, os.O_RDONLY)) as fd:
        h = hashlib.sha1()
        pos = 0
        while block := os.pread(fd, 1 << 16, pos) if pos < 1 << 22 else b"":
            h.update(block)
            pos += len(block)
        end = os.pread(fd, 1 << 16, max(0, st.st_size - (1 << 16)))
        h.update(end)
        return "%s %s" % (h.hexdigest(), holes(fd, st.st_size) if has_holes(st, allocated) else "")


def describe(path, allocated):
    st = os.lstat(path)
    out = [path, stat.filemode(st.st_mode), st.st_uid, st.st_gid, st.st_nlink, when(st.st_atime_ns), when(st.st_mtime_ns)]
    if stat.S_ISLNK(st.st_mode):
        out.append("-> %d" % len(os.readlink(path)))
    elif stat.S_ISREG(st.st_mode):
        out += [st.st_size, content(path, st, allocated)]
    elif not stat.S_ISDIR(st.st_mode):
        out.append("%d:%d" % (os.major(st.st_rdev), os.minor(st.st_rdev)))
    for key in sorted(os.listxattr(path, follow_symlinks=False)):
        value = os.getxattr(path, key, follow_symlinks=False)
        out.append("%s=%d:%s" % (key, len(value), hashlib.sha1(value).hexdigest()[:12]))
    return out


def show(allocated):
    for base, dirs, files in os.walk("."):
        dirs.sort()
        for name in sorted(dirs + files):
            print("   ", *describe(os.path.join(base, name), allocated))


def main():
    top, first, count, length = sys.argv[1], *map(int, sys.argv[2:5])
    os.chmod(top, 0o777)
    os.setgroups([])
    os.umask(0o022)
    for seed in range(first, first + count):
        where = os.path.join(top, "s%d" % seed)
        os.mkdir(where)
        os.chdir(where)
        os.chmod(where, 0o777)
        os.umask(0o022)
        r = Run(seed)
        for n in range(length):
            fn = r.rng.choice(ops)
            # each from its own seed: what one operation draws does not move the next
            outer, r.rng = r.rng, random.Random(r.rng.random())
            r.names = []
            result = attempt(r, fn)
            print(seed, n, fn.__name__, *r.names, result)
            r.rng = outer
        with File(os.open(".", os.O_RDONLY)) as fd:
            libc.syncfs(fd)  # the kernel's ext4 does not see all data that waits for its blocks
        show(r.allocated)
        os.chdir("/")


main()
