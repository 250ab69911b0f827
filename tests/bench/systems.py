# SPDX-License-Identifier: GPL-2.0-or-later
"""The filesystems that `bench` compares, behind one interface: mkfs, mount, umount, what the server cost."""
import os
import subprocess
import time

URING = "/sys/module/fuse/parameters/enable_uring"
NAMES = ("kernel", "ours", "ours-uring", "ours-wb", "ours-direct", "fuse2fs", "null")
OPTIONS = {"ours-wb": ["-o", "writeback_cache"], "ours-direct": ["-o", "direct_io_device"]}


def sh(*cmd, check=True, **kw):
    p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)
    if check and p.returncode != 0:
        raise SystemExit("bench: %s: exit %d\n%s" % (" ".join(cmd), p.returncode, p.stderr))
    return p


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3")


def busy_seconds():
    """CPU seconds of the whole machine so far, without idle and waiting."""
    v = [int(x) for x in open("/proc/stat").readline().split()[1:]]
    return (sum(v[:8]) - v[3] - v[4]) / os.sysconf("SC_CLK_TCK")


def set_uring(on):
    """FUSE over io_uring is the kernel's to allow; what it was is returned. None: it has none."""
    try:
        before = open(URING).read().strip() == "Y"
        if before != on:
            open(URING, "w").write("Y" if on else "N")
        return before
    except OSError:
        return None


class System:
    """One way to mount an image. The server is found by its name and its mount point."""

    comm = {"fuse2fs": "fuse2fs", "null": "nullfs", "count": "serve"}

    def __init__(self, name, work, build):
        self.name, self.work, self.build = name, work, build
        self.img = os.path.join(work, name + ".img")
        self.mnt = os.path.join(work, name)
        self.server = None
        self.counts = {}
        os.makedirs(self.mnt, exist_ok=True)

    def tool(self, name):
        return os.path.join(self.build, name)

    def mkfs(self, size, *words):
        if self.name == "null":
            return
        if os.path.exists(self.img):
            os.unlink(self.img)
        with open(self.img, "wb") as f:
            f.truncate(size)
        sh("mke2fs", "-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=1", *words, self.img)

    def mount(self):
        if self.name == "kernel":
            sh("mount", "-t", "ext4", "-o", "loop", self.img, self.mnt)
        elif self.name == "fuse2fs":
            sh("fuse2fs", "-o", "rw", self.img, self.mnt)
        elif self.name == "null":
            sh(self.tool("tests/bench/nullfs"), self.mnt)
        elif self.name == "count":
            self.server = subprocess.Popen([self.tool("tests/tools/serve"), "-o", "count", self.img, self.mnt],
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            while not os.path.ismount(self.mnt):
                time.sleep(0.01)
        else:
            before = set_uring(self.name == "ours-uring")
            sh(self.tool("mount.fuse4fs"), *OPTIONS.get(self.name, []), self.img, self.mnt)
            if before is not None:
                set_uring(before)

    def umount(self):
        pid = self.pid()
        if self.name.startswith("ours"):
            sh(self.tool("umount.fuse4fs"), self.mnt)
        else:
            for _ in range(50):
                if sh("umount", self.mnt, check=False).returncode == 0:
                    break
                time.sleep(0.1)
        if self.server:
            self.server.stdin.close()
            self.server.stdout.read()
            self.server.wait()
            self.server = None
        while pid and os.path.exists("/proc/%d" % pid):
            time.sleep(0.02)

    def pid(self):
        if self.server:
            return self.server.pid
        if self.name == "kernel":
            return None
        comm = self.comm.get(self.name, "fuse4fs-server")
        for p in os.listdir("/proc"):
            try:
                if p.isdigit() and open("/proc/%s/comm" % p).read().strip() == comm and \
                        self.mnt in open("/proc/%s/cmdline" % p).read().replace("\0", " ").split():
                    return int(p)
                if p.isdigit() and comm == "fuse4fs-server" and open("/proc/%s/comm" % p).read().strip() == comm \
                        and self.mnt in open("/proc/%s/cmdline" % p).read():
                    return int(p)
            except OSError:
                pass
        return None

    def cpu(self):
        pid = self.pid()
        if not pid:
            return 0.0
        f = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
        return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")

    def memory_kib(self):
        """Resident, and of that what is the process's own (its page tables hold no image)."""
        pid, rss, own = self.pid(), 0, 0
        if pid:
            for line in open("/proc/%d/status" % pid):
                rss = int(line.split()[1]) if line.startswith("VmRSS:") else rss
                own = int(line.split()[1]) if line.startswith("RssAnon:") else own
        return rss, own

    def requests(self):
        """Requests by kind so far; only `count` knows."""
        if not self.server:
            return {}
        self.server.stdin.write("\n")
        self.server.stdin.flush()
        got = {}
        for line in self.server.stdout:
            w = line.split()
            if w[0] == "end":
                break
            got[w[1]] = int(w[2])
        return got
