#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
A server that behaves as it is told, for tests of the helper.

It stands beside a copy of mount.fuse4fs under the name fuse4fs-server. The folder's file "script"
is Python that it runs with these names: hello() ... bye(), the steps of the service protocol, each
with the honest bytes as default; send(bytes), recv() -> (bytes, descriptors); serve(), which
answers FUSE requests for an empty root directory until the mount is gone; note(text), which
appends to the folder's file "notes". The process id is written to "pid", one line each process.
"""
import array, errno, os, signal, socket, stat, struct, sys, time

here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "pid"), "a") as f:
    f.write("%d\n" % os.getpid())


def note(text):
    with open(os.path.join(here, "notes"), "a") as out:
        out.write(text + "\n")


sock = socket.socket(fileno=3)
fds = {}  # name -> descriptor
args = []


def send(data, pass_fds=()):
    anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", pass_fds))] if pass_fds else []
    sock.sendmsg([data], anc)


def recv():
    data, anc, _, _ = sock.recvmsg(65536, socket.CMSG_SPACE(64))
    got = []
    for level, kind, payload in anc:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            a = array.array("i")
            a.frombytes(payload[: len(payload) - len(payload) % a.itemsize])
            got += list(a)
    if not data:
        note("EOF")
        sys.exit(0)
    return data, got


def hello(version=1, magic=b"LAST"):
    data, _ = recv()
    assert data[:4] == b"SAFT", data
    global hello_flags
    hello_flags = struct.unpack(">I", data[8:12])[0]
    send(struct.pack(">4sHH", magic, version, 0))


def files():
    for want in ("argv", "fusedev"):
        data, got = recv()
        assert data[:8] == b"FILE\0\0\0\0" and data[8:-1].decode() == want and len(got) == 1, data
        fds[want] = got[0]
    blob = os.pread(fds["argv"], 1 << 20, 0)
    assert blob[:4] == b"ARGS"
    for i in range(struct.unpack(">I", blob[4:8])[0]):
        pos, length = struct.unpack(">II", blob[8 + 8 * i : 16 + 8 * i])
        args.append(os.fsdecode(blob[pos : pos + length - 1]))


def open_path(path, flags=os.O_RDWR, magic=b"OPEN", block=0, request=0):
    """Returns (errno, descriptor or None)."""
    send(struct.pack(">4sIIII", magic, flags, 0, request, block) + os.fsencode(path) + b"\0")
    data, got = recv()
    assert data[:4] == b"FILE" and data[8:-1] == os.fsencode(path), data
    error = struct.unpack(">I", data[4:8])[0]
    assert len(got) == (0 if error else 1)
    return error, got[0] if got else None


def reply():
    data, _ = recv()
    assert data[:4] == b"REPL" and len(data) == 8, data
    return struct.unpack(">I", data[4:8])[0]


def string(magic, text):
    send(magic + os.fsencode(text) + b"\0")
    return reply()


def fstype(flags=0):
    send(struct.pack(">4sI", b"TYPE", flags))
    return reply()


def source(text="whatever"):
    return string(b"NAME", text)


def mountpoint(path=None, fmt=stat.S_IFDIR):
    send(struct.pack(">4sHH", b"MNTP", fmt, 0) + os.fsencode(path or args[-1]) + b"\0")
    return reply()


def opts(text="default_permissions"):
    return string(b"OPTS", text)


def mtab(text=""):
    return string(b"MTAB", text)


def mount(flags=0):
    send(struct.pack(">4sI", b"DOIT", flags))
    return reply()


def bye(code=0):
    send(struct.pack(">4sI", b"BYEE", code))


def honest(flags=os.O_RDWR):
    """Everything up to, not including, the goodbye."""
    hello()
    files()
    error, fds["source"] = open_path(args[-2], flags)
    assert error == 0, error
    for step in (fstype, source, mountpoint, opts, mount):
        error = step()
        assert error == 0, (step, error)


def attr(ino):
    return struct.pack("<QQQQQQIIIIIIIIII", ino, 0, 0, 0, 0, 0, 0, 0, 0,
                       stat.S_IFDIR | 0o755, 2, 0, 0, 0, 4096, 0)


def serve(until=None):
    """FUSE, as little of it as an empty root needs. until: number of requests to answer."""
    dev = fds["fusedev"]
    done = 0
    os.dup2(os.open("/dev/null", os.O_RDWR), 2)  # who reads the helper's stderr waits for its end
    while until is None or done < until:
        try:
            req = os.read(dev, 1 << 20)
        except OSError as e:
            if e.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                continue
            note("fuse: " + errno.errorcode[e.errno])
            return
        done += 1
        length, opcode, unique, node = struct.unpack("<IIQQ", req[:24])
        error, body = 0, b""
        if opcode == 26:  # INIT
            body = struct.pack("<IIIIHHIIHHI28x", 7, 31, 65536, 0, 12, 9, 65536, 1, 16, 0, 0)
        elif opcode == 3:  # GETATTR
            body = struct.pack("<QII", 0, 0, 0) + attr(node)
        elif opcode == 17:  # STATFS
            body = struct.pack("<QQQQQIIII24x", 100, 50, 50, 10, 5, 4096, 255, 4096, 0)
        elif opcode == 27:  # OPENDIR
            body = struct.pack("<QII", 1, 0, 0)
        elif opcode in (28, 44, 29, 25, 18):  # READDIR(PLUS), RELEASEDIR, FLUSH, RELEASE
            body = b""
        elif opcode in (2, 36, 42):  # FORGET, INTERRUPT, BATCH_FORGET
            continue
        elif opcode == 38:  # DESTROY
            os.write(dev, struct.pack("<IiQ", 16, 0, unique))
            note("destroy")
            continue
        elif opcode == 39:  # IOCTL: as if it were F4_IOC_SYNC
            note("ioctl %x" % struct.unpack("<QII", req[40:56])[2])
            body = struct.pack("<iIII", 0, 0, 0, 0)
        else:
            error = -errno.ENOSYS
        try:
            os.write(dev, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
        except OSError as e:
            if e.errno != errno.ENOENT:  # the request was taken back
                raise


with open(os.path.join(here, "script")) as f:
    code = f.read()
exec(compile(code, "script", "exec"))
