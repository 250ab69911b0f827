#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
#   demo.sh BUILD IMG DIR
#
# With IMG and DIR: mounts the image there and leaves it mounted. With neither: makes an image, and
# shows on it that mounting, reading, writing, the seal, unmounting and the clean image are real.
# Every step is checked: the exit status is 0 only if all of it happened.
set -eu
build=$(cd "$1" && pwd) img=$2 dir=$3
PATH=$PATH:/usr/sbin:/sbin

if [ -n "$img$dir" ]; then
	[ -n "$img" ] && [ -n "$dir" ] || { echo "make run: IMG= and DIR= go together" >&2; exit 1; }
	"$build/mount.fuse4fs" "$img" "$dir"
	echo "$img is mounted on $dir; to unmount: $build/umount.fuse4fs $dir"
	exit 0
fi

step() { printf '\n== %s\n' "$*"; }
die() { echo "demonstration failed: $*" >&2; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/fuse4fs-demo.XXXXXX")
mnt=$work/mnt img=$work/demo.img
finish() {
	if mountpoint -q "$mnt" 2>/dev/null; then "$build/umount.fuse4fs" "$mnt" || umount -l "$mnt" || true; fi
	rm -rf --one-file-system "$work"
}
trap finish EXIT
mkdir "$mnt"

step "an ext4 image as mke2fs makes it, 256 MiB"
truncate -s 256M "$img"
mke2fs -q -t ext4 -L demo "$img"

step "mount.fuse4fs demo.img mnt"
"$build/mount.fuse4fs" "$img" "$mnt"
grep " $mnt " /proc/self/mounts || die "it is not in the mount table"

step "writing: 1,000 files in 10 directories, and 32 MiB"
for d in $(seq 10); do
	mkdir "$mnt/d$d"
	for f in $(seq 100); do echo "file $f of directory $d" >"$mnt/d$d/f$f"; done
done
head -c 32M /dev/urandom >"$work/big"
cp "$work/big" "$mnt/big"
sync "$mnt/big"

step "reading it back"
[ "$(cat "$mnt"/d*/f* | wc -l)" = 1000 ] || die "files are missing"
cmp "$work/big" "$mnt/big" || die "the large file differs"
df -h "$mnt"

step "the process that parses the image"
pid=
for p in /proc/[0-9]*; do
	[ "$(cat "$p/comm" 2>/dev/null)" = fuse4fs-server ] || continue
	if tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep -qF "$mnt"; then pid=${p#/proc/}; fi
done
[ -n "$pid" ] || die "no server process is to be seen"
tr '\0' ' ' <"/proc/$pid/cmdline"; echo
grep -E '^(Uid|CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp|Threads):' "/proc/$pid/status"
[ "$(awk '/^CapEff:|^CapPrm:|^CapBnd:/{print $2}' "/proc/$pid/status" | sort -u)" = 0000000000000000 ] ||
	die "the server has capabilities"
[ "$(awk '/^Seccomp:/{print $2}' "/proc/$pid/status")" = 2 ] || die "the server has no system call filter"
for ns in mnt net pid ipc uts; do
	if [ "$(readlink "/proc/$pid/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ]; then echo "own $ns namespace"
	else die "the server shares the $ns namespace"; fi
done

step "umount.fuse4fs mnt, and at once e2fsck -fn"
"$build/umount.fuse4fs" "$mnt"
e2fsck -fn "$img" || die "e2fsck found something"
# an ended process whose parent has not looked yet (Z) is gone
[ "$(awk '{print $3}' "/proc/$pid/stat" 2>/dev/null || echo Z)" = Z ] || die "the server is still there"

printf '\nall of it worked\n'
