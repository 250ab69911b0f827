#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes trees of files from a seed and describes trees, so that two can be compared.

  tree.py make DIR SEED COUNT [--no-xattr] [--no-dev] [--times-before-2038]
  tree.py show DIR        one line for each name: everything that a copy must preserve

`show` prints type, mode, owner, size, link count, times to the nanosecond, device number, extended
attributes, link target and a hash of the content, sorted by path. Access times are left out.
"""
import hashlib
import os
import random
import stat
import sys


FAR = 1 << 23  # doubly indirect with blocks of 4 KiB; few files reach it, reading holes is what takes the time
ZEROS = bytes(1 << 20)


def content(rng, size):
    return rng.randbytes(size)


def make(top, seed, count, opts):
    rng = random.Random(seed)
    dirs, files = [top], []
    for n in range(count):
        parent = rng.choice(dirs)
        name = "%s%d" % (rng.choice(["f", "long-" + "n" * rng.randrange(1, 120), "\u00e4\u4e16", "sp ace "]), n)
        path = os.path.join(parent, name)
        kind = rng.random()
        if kind < 0.15 and len(dirs) < 60:
            os.mkdir(path, rng.choice([0o755, 0o700, 0o2775, 0o1777]))
            dirs.append(path)
        elif kind < 0.25:
            os.symlink("t" * rng.choice([1, 10, 59, 60, 61, 200, 1000]), path)
        elif kind < 0.30 and files:
            os.link(rng.choice(files), path)
            continue
        elif kind < 0.33 and "--no-dev" not in opts:
            os.mknod(path, rng.choice([stat.S_IFIFO, stat.S_IFSOCK]) | 0o644)
        elif kind < 0.36 and "--no-dev" not in opts:
            os.mknod(path, rng.choice([stat.S_IFCHR, stat.S_IFBLK]) | 0o600, os.makedev(rng.randrange(300), rng.randrange(70000)))
        else:
            fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o644)
            for _ in range(rng.choice([0, 1, 1, 1, 3])):
                pos = rng.choice([0, 0, 0, 0, 0, 0, rng.randrange(100000), rng.randrange(100000), rng.randrange(1 << 20), rng.randrange(FAR)])
                os.pwrite(fd, content(rng, rng.choice([1, 57, 700, 4096, 30000, 200000])), pos)
            if rng.random() < 0.2:
                os.ftruncate(fd, rng.choice([0, 1, 4095, 60000, 1 << 20] if rng.random() < 0.8 else [FAR]))
            os.close(fd)
            files.append(path)
        if not os.path.islink(path):
            os.chmod(path, stat.S_IMODE(os.lstat(path).st_mode) & 0o7000 | rng.choice([0o644, 0o600, 0o755, 0o000, 0o4711]))
        if "--no-xattr" not in opts and not os.path.islink(path) and rng.random() < 0.4 and (os.path.isdir(path) or os.path.isfile(path)):
            for x in range(rng.randrange(1, 4)):
                os.setxattr(path, "user.key%d" % x, content(rng, rng.choice([0, 1, 20, 90, 200])))
            if rng.random() < 0.3:
                os.setxattr(path, "trusted.t", b"v")
                os.setxattr(path, "security.s", b"w" * 30)
        os.lchown(path, rng.choice([0, 1, 1000, 70000]), rng.choice([0, 5, 100000]))
        if not os.path.islink(path):
            late = 1 << 31 if "--times-before-2038" in opts else 1 << 33
            when = rng.randrange(-(1 << 30), late) * 10**9 + rng.choice([0, 1, 999999999])
            if "--times-before-2038" in opts:
                when = when // 10**9 * 10**9
            os.utime(path, ns=(when, when))
    for d in reversed(dirs[1:]):
        os.utime(d, ns=(10**18, 10**18 + 10**9 * len(d)))


def describe(path):
    st = os.lstat(path)
    out = [stat.filemode(st.st_mode), st.st_uid, st.st_gid]
    if not stat.S_ISDIR(st.st_mode):
        out += [st.st_nlink, st.st_size]
    out.append(st.st_mtime_ns)
    if stat.S_ISLNK(st.st_mode):
        out.append("-> " + os.readlink(path))
    elif stat.S_ISREG(st.st_mode):
        h = hashlib.sha1()
        with open(path, "rb") as f:
            while block := f.read(len(ZEROS)):
                h.update(block if block != ZEROS else b"a MiB of zeros")  # told apart by the size beside it
        out.append(h.hexdigest())
    elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        out.append("%d:%d" % (os.major(st.st_rdev), os.minor(st.st_rdev)))
    if not stat.S_ISLNK(st.st_mode):
        for name in sorted(os.listxattr(path, follow_symlinks=False)):
            value = os.getxattr(path, name, follow_symlinks=False)
            out.append("%s=%s" % (name, hashlib.sha1(value).hexdigest()[:12] + ":%d" % len(value)))
    return " ".join(str(x) for x in out)


def show(top):
    rows = []
    for base, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(base, name)
            rel = os.path.relpath(path, top)
            if rel.split("/")[0] == "lost+found":
                continue
            rows.append("%r %s" % (rel, describe(path)))
    rows.sort()
    print("\n".join(rows))
    print("%d names" % len(rows))


def main():
    if sys.argv[1] == "make":
        make(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
    elif sys.argv[1] == "show":
        show(sys.argv[2])
    else:
        sys.exit(__doc__)


main()
