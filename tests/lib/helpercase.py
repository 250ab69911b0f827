# SPDX-License-Identifier: GPL-2.0-or-later
"""What the helper's cases share: a folder with a helper and a fake server, and looks at the system."""
import fcntl, os, shutil, subprocess, time

build, src, top = os.environ["F4_BUILD"], os.environ["F4_SRC"], os.environ["TMPDIR"]
umount = os.path.join(build, "umount.fuse4fs")


def read(path):
    try:
        with open(path, errors="surrogateescape") as f:
            return f.read()
    except OSError:
        return ""


def mounts(path):
    """The mountinfo lines (split) of what is mounted on path."""
    with open("/proc/self/mountinfo") as f:
        return [line.split() for line in f if line.split()[4] == path]


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def locked(path):
    with open(path) as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


class Home:
    """A folder with an image, a mount point, a copy of the helper, and a server beside it."""
    all = []

    def __init__(self, name, script):
        Home.all.append(self)
        self.path = os.path.join(top, name)
        self.mnt = self.file("mnt")
        self.img = self.file("img")
        os.makedirs(self.mnt)
        os.chmod(self.path, 0o777)
        fd = os.open(self.img, os.O_CREAT | os.O_WRONLY, 0o644)
        os.truncate(fd, 1 << 20)
        os.close(fd)
        self.helper = shutil.copy(os.path.join(build, "mount.fuse4fs"), self.path)
        server = shutil.copy(os.path.join(src, "tests/lib/fakeserver.py"), self.file("fuse4fs-server"))
        os.chmod(server, 0o755)
        self.script(script)

    def file(self, name):
        return os.path.join(self.path, name)

    def script(self, text):
        with open(self.file("script"), "w") as f:
            f.write(text)
        for name in ("notes", "pid"):
            if os.path.exists(self.file(name)):
                os.unlink(self.file(name))

    def notes(self):
        return read(self.file("notes"))

    def pids(self):
        return [int(x) for x in read(self.file("pid")).split()]

    def left_behind(self, seconds=5):
        """What there is that should be gone, in words."""
        end = time.time() + seconds
        while any(map(alive, self.pids())) and time.time() < end:
            time.sleep(0.02)
        bad = ["process %d" % pid for pid in self.pids() if alive(pid)]
        bad += ["a mount"] if mounts(self.mnt) else []
        bad += ["a lock"] if locked(self.img) else []
        return bad

    def clean(self):
        for pid in filter(alive, self.pids()):
            os.kill(pid, 9)
        with open("/proc/self/mountinfo") as f:
            places = [line.split()[4] for line in f]
        for place in reversed(places):
            if place.startswith(self.path + "/"):
                subprocess.run(["umount", "-l", place], check=True)
