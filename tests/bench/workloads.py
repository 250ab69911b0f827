# SPDX-License-Identifier: GPL-2.0-or-later
"""
What `bench` measures. A group is a fresh image and a list of steps on it, run in order; a step is
(row, function), where the row is None for what only prepares. A function gets the System and gives
seconds, or (seconds, {more figures}), or None for "as long as it took". Steps of a group see what the
steps before them left: reading ones first.
"""
import json
import os
import subprocess
import threading
import time

from systems import drop_caches, sh

GIB = 1 << 30


class Work:
    def __init__(self, work, build, scale):
        self.work, self.build, self.div = work, build, scale
        self.n = 20000 // scale
        self.mb = 1024 // scale
        self.ios = 20000 // scale
        self.names = 100000 // scale

    # --- means -----------------------------------------------------------------------------
    def meta(self, *a):
        """What a program of ours measured inside of itself, seconds."""
        return float(sh(os.path.join(self.build, "tests/bench/meta"), *[str(x) for x in a]).stdout)

    def append_fsync(self, path, n, threads):
        """As long as it took, and the median latency of one append with its fsync."""
        out = sh(os.path.join(self.build, "tests/bench/meta"), "latency", path, str(n), str(threads)).stdout
        return None, {"median_us": float(out.split()[0])}

    def timed(self, *cmd):
        t = time.monotonic()
        sh(*cmd)
        return time.monotonic() - t

    def fio(self, path, rw, bs, size_mb, **kw):
        cmd = ["fio", "--output-format=json", "--name=x", "--filename=" + path, "--rw=" + rw, "--bs=" + bs,
               "--size=%dM" % size_mb, "--randrepeat=1", "--allow_file_create=1", "--invalidate=0"]
        cmd += ["--%s=%s" % (k, v) for k, v in kw.items()]
        t = time.monotonic()
        j = json.loads(sh(*cmd).stdout)["jobs"][0]
        side = j["read" if "read" in rw else "write"]
        took = j["job_runtime"] / 1000 or time.monotonic() - t
        pct = side.get("clat_ns", {}).get("percentile", {})
        return took, ({"median_us": pct["50.000000"] / 1000} if "50.000000" in pct else {})

    def remount(self, s):
        s.umount()
        drop_caches()
        s.mount()

    def archive(self):
        tar = os.path.join(self.work, "src.tar")
        if not os.path.exists(tar):
            src = os.path.join(self.work, "src")
            os.makedirs(src)
            self.meta("create", src, 5000 // self.div)
            sh("tar", "cf", tar, "-C", src, ".")
        return tar

    # --- groups ----------------------------------------------------------------------------
    def best_of_three(self, fn):
        def run(s):
            fn(s)
            got = [fn(s) for _ in range(3)]
            return min(g[0] if isinstance(g, tuple) else g for g in got)
        return run

    def tree(self):
        t = "/t"
        make = lambda s: os.makedirs(s.mnt + t)
        find = lambda s: self.timed("find", s.mnt + t, "-size", "+100")
        return [
            (None, make),
            ("create small files", lambda s: self.meta("create", s.mnt + t, self.n)),
            ("warm stat", self.best_of_three(lambda s: self.meta("stat", s.mnt + t, self.n))),
            ("warm find", self.best_of_three(find)),
            ("warm du", self.best_of_three(lambda s: self.timed("du", "-s", s.mnt + t))),
            ("unlink small files", lambda s: self.meta("unlink", s.mnt + t, self.n)),
        ]

    def tree_cold(self):
        t = "/t"
        return [
            (None, lambda s: os.makedirs(s.mnt + t)),
            (None, lambda s: self.meta("create", s.mnt + t, self.n)),
            (None, self.remount),
            ("cold find", lambda s: self.timed("find", s.mnt + t, "-size", "+100")),
            (None, self.remount),
            ("rm -rf", lambda s: self.timed("rm", "-rf", s.mnt + t)),
        ]

    def archives(self):
        tar = self.archive()
        return [
            (None, lambda s: os.makedirs(s.mnt + "/x")),
            ("tar x", lambda s: self.timed("tar", "xf", tar, "-C", s.mnt + "/x")),
            ("cp -a", lambda s: self.timed("cp", "-a", s.mnt + "/x", s.mnt + "/y")),
        ]

    def many_names(self):
        return [
            (None, lambda s: os.makedirs(s.mnt + "/n")),
            ("create 100k names in one directory", lambda s: self.meta("names", s.mnt + "/n", self.names)),
            (None, self.remount),
            ("cold lookups in 100k names", lambda s: self.meta("lookup", s.mnt + "/n", self.names)),
        ]

    def stream(self):
        big = lambda s: s.mnt + "/big"
        read = lambda s: self.timed("dd", "if=" + big(s), "of=/dev/null", "bs=1M")
        return [
            ("sequential write 1M + fsync", lambda s: self.fio(big(s), "write", "1M", self.mb, end_fsync=1)),
            ("warm re-read", self.best_of_three(read)),
            ("warm mmap read", self.best_of_three(
                lambda s: self.fio(big(s), "read", "1M", self.mb, ioengine="mmap"))),
            (None, self.remount),
            ("cold sequential read 1M", read),
            (None, self.remount),
            ("direct read 1M", lambda s: self.fio(big(s), "read", "1M", self.mb, direct=1)),
            ("direct write 1M", lambda s: self.fio(big(s), "write", "1M", self.mb, direct=1)),
        ]

    def random(self):
        big = lambda s: s.mnt + "/big"

        def rnd(rw, depth):
            return lambda s: self.fio(big(s), rw, "4k", self.mb, direct=1, ioengine="libaio", iodepth=depth,
                                      number_ios=self.ios)
        return [
            (None, lambda s: self.fio(big(s), "write", "1M", self.mb, end_fsync=1)),
            ("random direct read 4k, depth 1", rnd("randread", 1)),
            ("random direct read 4k, depth 16", rnd("randread", 16)),
            ("random direct write 4k, depth 1", rnd("randwrite", 1)),
            ("random direct write 4k, depth 16", rnd("randwrite", 16)),
            (None, self.remount),
            ("random buffered read 4k, cold", lambda s: self.fio(big(s), "randread", "4k", self.mb,
                                                                 number_ios=self.ios)),
            ("random buffered write 4k + fsync", lambda s: self.fio(big(s), "randwrite", "4k", self.mb,
                                                                    number_ios=self.ios, end_fsync=1)),
        ]

    def append(self):
        n = 2000 // self.div
        return [
            ("append 4k + fsync, 1 thread", lambda s: self.append_fsync(s.mnt + "/a", n, 1)),
            ("append 4k + fsync, 8 threads", lambda s: self.append_fsync(s.mnt + "/b", n, 8)),
        ]

    def crowd(self):
        """Four at once, a file each."""
        def four(op, flags):
            def run(s):
                t = time.monotonic()
                ps = [subprocess.Popen(["dd"] + [a % {"m": s.mnt, "i": i} for a in op] +
                                       ["bs=1M", "status=none", "count=%d" % (self.mb // 4)] + flags)
                      for i in range(4)]
                if any(p.wait() != 0 for p in ps):
                    raise SystemExit("bench: dd failed")
                return time.monotonic() - t
            return run
        return [
            ("4 writers 1M + fsync", four(["if=/dev/zero", "of=%(m)s/w%(i)d"], ["conv=fsync"])),
            (None, self.remount),
            ("4 cold readers 1M", four(["if=%(m)s/w%(i)d", "of=/dev/null"], [])),
        ]

    def groups(self):
        for name in ("tree", "tree_cold", "archives", "many_names", "stream", "random", "append", "crowd"):
            yield name, getattr(self, name)()


# The null server keeps no directory to list and loses everything when unmounted.
NO_FLOOR = ("find", "du", "cold", "tar", "cp -a", "rm -rf", "cold readers")


def applies(system, row):
    if system == "null":
        return row is None or not any(w in row for w in NO_FLOOR)
    if system == "ours-wb":
        return row is None or any(w in row for w in ("write", "append", "create", "tar", "cp -a"))
    return True
