# SPDX-License-Identifier: GPL-2.0-or-later
"""`bench --scale` and `bench --idle`: what the size of an image costs, and many mounts at once."""
import os
import time

from systems import System, sh

SIZES = (("1 GiB", 1 << 30), ("1 TiB", 1 << 40), ("16 TiB", (1 << 44) - 4096))


def first_fsync(s):
    t = time.monotonic()
    fd = os.open(s.mnt + "/x", os.O_CREAT | os.O_WRONLY, 0o644)
    os.write(fd, b"x")
    os.fsync(fd)
    os.close(fd)
    return (time.monotonic() - t) * 1000


def sizes(args, work, log):
    """Mount time, first fsync and memory on sparse images of growing size."""
    for label, size in SIZES:
        img = os.path.join(work, "scale.img")
        with open(img, "wb") as f:
            f.truncate(size)
        sh("mke2fs", "-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=1,lazy_journal_init=1", img)
        for round_ in range(args.rounds):
            for sysname in args.systems:
                if sysname in ("null", "ours-wb") or log.has("image of " + label, sysname, round_):
                    continue
                s = System(sysname, work, args.build)
                s.img = img
                t = time.monotonic()
                s.mount()
                os.stat(s.mnt)
                mounted = (time.monotonic() - t) * 1000
                fsync = first_fsync(s)
                rss, own = s.memory_kib()
                s.umount()
                log.add(row="image of " + label, system=sysname, round=round_, mount_ms=mounted,
                        fsync_ms=fsync, rss_kib=rss, own_kib=own)
        os.unlink(img)
    return True


def available_kib():
    for line in open("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1])
    return 0


def idle(args, work, log):
    """Many mounts at once, each written to once: how long, and what memory each takes."""
    base = os.path.join(work, "one.img")
    with open(base, "wb") as f:
        f.truncate(64 << 20)
    sh("mke2fs", "-q", "-F", "-t", "ext4", base)
    before, all_, t = available_kib(), [], time.monotonic()
    try:
        for i in range(args.idle):
            s = System("ours", work, args.build)
            s.img, s.mnt = os.path.join(work, "i%d.img" % i), os.path.join(work, "i%d" % i)
            os.makedirs(s.mnt)
            sh("cp", "--sparse=always", base, s.img)
            s.mount()
            all_.append(s)
        took = time.monotonic() - t
        time.sleep(1)
        used = before - available_kib()
        own = all_[-1].memory_kib()
    finally:
        for s in all_:
            s.umount()
    print("%d mounts: %.1f ms each; %d KiB of the machine's memory each, of that %d KiB the server's own" %
          (args.idle, took * 1000 / args.idle, used // args.idle, own[1]))
    return True
