# SPDX-License-Identifier: GPL-2.0-or-later
"""
Parts of a case beside each other: most of them wait, for a time limit or for the kernel to take a
namespace or a mount away, and need next to no processor.

Each part runs in a process of its own, forked from the case. It must not touch what another part
has: a directory of its own, no new copy of the mount table (a mount namespace keeps the others'
mounts alive) while others mount.
"""
import os, sys, time, traceback


def run(parts, at_once=8):
    """parts: [(name, function)]. A part fails by raising, or by returning something true. What it
    prints is shown when it ends. Returns how many failed."""
    running, failed, parts = {}, 0, list(parts)
    sys.stdout.flush()
    while parts or running:
        while parts and len(running) < at_once:
            name, part = parts.pop(0)
            out = os.memfd_create("out")
            pid = os.fork()
            if pid == 0:
                os._exit(_child(part, out))
            running[pid] = name, out, time.monotonic()
        pid, status = os.wait()
        if pid not in running:
            continue  # an orphan's end, where this process is a subreaper
        name, out, start = running.pop(pid)
        text = os.pread(out, 1 << 20, 0).decode(errors="replace")
        os.close(out)
        failed += status != 0
        print("%s %s %.1f s" % ("FAIL" if status else "ok  ", name, time.monotonic() - start))
        print("".join("     " + line + "\n" for line in text.splitlines()), end="", flush=True)
    return failed


def _child(part, out):
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(out)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    code = 1
    try:
        code = 1 if part() else 0
    except BaseException:
        traceback.print_exc(file=sys.stdout)
    sys.stdout.flush()
    return code
