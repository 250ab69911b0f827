#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Installs what building and testing need with the system's package manager, and only what is
# missing. Where everything is there already it calls no package manager and needs no network.
set -eu

have_lib() { pkg-config --exists "$1" 2>/dev/null; }
have_all() {
	local c l
	[ -x /lib/systemd/systemd ] || { missing=systemd; return 1; }
	for c in gcc clang make pkg-config mke2fs e2fsck debugfs mount.fuse fuse2fs strace mandoc \
		python3 setfattr setfacl sgdisk sfdisk setpriv unshare readelf; do
		command -v "$c" >/dev/null 2>&1 || { missing=$c; return 1; }
	done
	for l in fuse3 liburing ext2fs e2p com_err libsystemd libseccomp libcap-ng mount; do
		have_lib "$l" || { missing=$l; return 1; }
	done
	[ -n "$(find /usr/lib -name 'libclang_rt.asan*' -print -quit 2>/dev/null)" ] || [ -z "${CI:-}" ] || true
}
PATH=$PATH:/usr/sbin:/sbin
missing=
have_all && exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
	as_root=sudo
	command -v sudo >/dev/null || { echo "deps: $missing is missing, and installing it needs root" >&2; exit 1; }
fi
echo "  DEPS    $missing is missing: installing the build dependencies"
if command -v apt-get >/dev/null; then
	export DEBIAN_FRONTEND=noninteractive
	quiet() { "$@" >"$log" 2>&1 || { tail -n 30 "$log" >&2; return 1; }; }
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	quiet $as_root apt-get update -q
	quiet $as_root apt-get install -qy --no-install-recommends \
		gcc clang make pkg-config libc6-dev binutils libfuse3-dev liburing-dev libext2fs-dev comerr-dev \
		libsystemd-dev libseccomp-dev libcap-ng-dev libmount-dev e2fsprogs fuse3 fuse2fs util-linux mount \
		strace mandoc python3 attr acl gdisk fdisk git kmod procps libcap2-bin systemd
elif command -v dnf >/dev/null; then
	$as_root dnf -qy install gcc clang make pkgconf-pkg-config binutils fuse3-devel liburing-devel e2fsprogs-devel \
		libcom_err-devel systemd-devel libseccomp-devel libcap-ng-devel libmount-devel e2fsprogs fuse3 fuse2fs \
		util-linux strace mandoc python3 attr acl gdisk git kmod procps-ng libcap
elif command -v pacman >/dev/null; then
	$as_root pacman -Sy --needed --noconfirm gcc clang make pkgconf binutils fuse3 liburing e2fsprogs fuse2fs \
		systemd-libs libseccomp libcap-ng util-linux strace mandoc python attr acl gptfdisk git kmod procps-ng libcap
elif command -v zypper >/dev/null; then
	$as_root zypper -qn install gcc clang make pkg-config binutils fuse3-devel liburing-devel libext2fs-devel \
		libcom_err-devel systemd-devel libseccomp-devel libcap-ng-devel libmount-devel e2fsprogs fuse3 fuse2fs \
		util-linux strace mandoc python3 attr acl gptfdisk git kmod procps libcap-progs
else
	echo "deps: no package manager known here (apt-get, dnf, pacman, zypper); $missing is missing" >&2
	exit 1
fi
have_all || { echo "deps: $missing is still missing after the installation" >&2; exit 1; }
