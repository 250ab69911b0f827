# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What most cases need; `. "$F4_SRC/tests/lib/case.sh"` at their top. It makes sure that whatever a
# case mounted or attached with these functions is gone when it ends, however it ends.
set -eu
PATH=$PATH:/usr/sbin:/sbin
mount_f4=$F4_BUILD/mount.fuse4fs umount_f4=$F4_BUILD/umount.fuse4fs
case_dir=$PWD
mnt=$PWD/mnt ref=$PWD/ref
mkdir -p "$mnt" "$ref"
loops=()

case_end() {
	local rc=$? d l
	cd "$case_dir" || exit 1
	# innermost first: whatever is mounted below this directory
	for d in $(awk -v t="$case_dir/" 'index($5, t) == 1 {print $5}' /proc/self/mountinfo | tac); do
		umount "$d" 2>/dev/null || umount -l "$d" 2>/dev/null || true
	done
	for l in ${loops[@]+"${loops[@]}"}; do losetup -d "$l" 2>/dev/null || true; done
	exit $rc
}
trap case_end EXIT
trap 'exit 143' TERM INT

die() { echo "FAILED: $*" >&2; exit 1; }

# image FILE SIZE [mke2fs options]: a fresh image
image() {
	local file=$1 size=$2
	shift 2
	rm -f "$file"
	truncate -s "$size" "$file"
	mke2fs -q -F "$@" "$file" || die "mke2fs $*"
}

# f4 IMG DIR [options of mount.fuse4fs]: mount through us
f4() {
	local img=$1 dir=$2
	shift 2
	"$mount_f4" "$@" "$img" "$dir" || die "mount.fuse4fs $* $img $dir: exit $?"
	mountpoint -q "$dir" || die "$dir is not a mount point after mount.fuse4fs said 0"
}
unf4() { "$umount_f4" "$1" || die "umount.fuse4fs $1: exit $?"; }

# kernel_mount IMG DIR [options]: the kernel's ext4 on a loop device
kernel_mount() {
	local img=$1 dir=$2 l
	shift 2
	l=$(losetup -f --show "$img") || die "losetup $img"
	loops+=("$l")
	mount -t ext4 "$@" "$l" "$dir" || die "the kernel does not mount $img"
}
kernel_umount() { # DIR
	local l
	l=$(findmnt -n -o SOURCE --target "$1")
	umount "$1"
	loop_detach "$l"
}
# loop_detach DEV: detach it, and forget it: by the end of the case the number may be somebody else's
loop_detach() {
	local l keep=()
	losetup -d "$1"
	for l in ${loops[@]+"${loops[@]}"}; do [ "$l" = "$1" ] || keep+=("$l"); done
	loops=(${keep[@]+"${keep[@]}"})
}

# fsck_clean IMG: e2fsck finds nothing, and needs to repair nothing
fsck_clean() {
	local out
	out=$(e2fsck -fn "$1" 2>&1) || die "e2fsck -fn $1: $out"
	case $out in *'WARNING'* | *'recover'* | *'Fix?'*) die "e2fsck -fn $1: $out" ;; esac
}

# server_of DIR: the pid of the server whose process title names the mount point
server_of() {
	local p comm
	for p in /proc/[0-9]*; do
		{ read -r comm <"$p/comm"; } 2>/dev/null || continue # no program is started for each process
		[ "$comm" = fuse4fs-server ] || continue
		if tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep -qF " $1"; then echo "${p#/proc/}"; return 0; fi
	done
	return 1
}

show() { "$F4_SRC/tests/lib/tree.py" show "$1"; }
make_tree() { "$F4_SRC/tests/lib/tree.py" make "$@"; }
same() { # FILE FILE WHAT
	diff -u "$1" "$2" | head -n 40 >diff.out
	[ ! -s diff.out ] || { cat diff.out; die "$3"; }
}
