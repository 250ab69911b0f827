#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits in an unmounted image's quota files: what setquota(8) does on a kernel mount.

  quota.py set IMG user|group|project ID BSOFT BHARD ISOFT IHARD   (KiB and inodes; the entry exists)
  quota.py grace IMG TYPE SECONDS
  quota.py get IMG TYPE ID            -> "BYTES INODES BSOFT BHARD ISOFT IHARD BTIME ITIME"
"""
import re
import struct
import subprocess
import sys

ENTRY = struct.Struct("<II8Q")  # id pad ihard isoft inodes bhard bsoft bytes btime itime


def run(*cmd):
    return subprocess.run(cmd, capture_output=True, text=True, check=True).stdout


class File:
    def __init__(self, img, kind):
        head = run("dumpe2fs", "-h", img)
        self.bs = int(re.search(r"Block size:\s+(\d+)", head)[1])
        ino = int(re.search({"user": "User", "group": "Group", "project": "Project"}[kind]
                            + r" quota inode:\s+(\d+)", head)[1])
        self.blocks = [int(b) for b in run("debugfs", "-R", f"blocks <{ino}>", img).split()]
        self.f = open(img, "r+b")

    def place(self, pos):
        return self.blocks[pos // self.bs] * self.bs + pos % self.bs

    def read(self, pos, n):
        self.f.seek(self.place(pos))
        return self.f.read(n)

    def write(self, pos, data):
        self.f.seek(self.place(pos))
        self.f.write(data)

    def entry(self, qid):
        nr = 1
        for shift in (24, 16, 8, 0):
            nr = struct.unpack("<I", self.read(nr * 1024 + 4 * (qid >> shift & 255), 4))[0]
            if not nr:
                sys.exit(f"quota.py: {qid} has no entry")
        for i in range(14):
            pos = nr * 1024 + 16 + i * ENTRY.size
            e = list(ENTRY.unpack(self.read(pos, ENTRY.size)))
            if e[0] == qid and any(e):
                return pos, e
        sys.exit(f"quota.py: {qid} is not in its leaf")


def main(verb, img, kind, *args):
    q = File(img, kind)
    if verb == "grace":
        q.write(8, struct.pack("<II", int(args[0]), int(args[0])))
        return
    pos, e = q.entry(int(args[0]))
    if verb == "get":
        print(e[7], e[4], e[6], e[5], e[3], e[2], e[8], e[9])
        return
    bsoft, bhard, isoft, ihard = map(int, args[1:])
    e[2], e[3], e[5], e[6] = ihard, isoft, bhard, bsoft
    q.write(pos, ENTRY.pack(*e))


main(*sys.argv[1:])
