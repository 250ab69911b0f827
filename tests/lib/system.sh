# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the cases that boot a machine share: `. "$F4_SRC/tests/lib/system.sh"` at their top, then what
# the machine needs by `prep <<...`, then `machine NAME [options of tests/system/boot] [-- ARG ...]`, which runs
# tests/system/NAME.sh inside (tests/system/inside.sh before it), with the fuse4fs of this build installed.
set -eu
[ "$(id -u)" = 0 ] || { echo "skip: needs root"; exit 77; }
PATH=$PATH:/usr/sbin:/sbin

cat >prep <<P
#!/bin/bash
set -eu
root=\$1
export PATH=\$PATH:/usr/sbin:/sbin
make -s -C "$F4_SRC" O="$F4_BUILD" DESTDIR="\$root" install
chmod 666 "\$root/dev/fuse"
# names that no other name begins with: umount(8) compares no more
for u in 4001 4002; do echo "u\${u}x:x:\$u:\$u::/home:/bin/sh" >>"\$root/etc/passwd"; done
systemctl --root="\$root" enable -q fuse4fs.socket fuse4fs-boot.socket fuse4fs-mountd.socket
# a watchdog that a test can wait for
for u in fuse4fs@ fuse4fs-boot@; do
	mkdir -p "\$root/etc/systemd/system/\$u.service.d"
	printf '[Service]\nWatchdogSec=3s\n' >"\$root/etc/systemd/system/\$u.service.d/test.conf"
done
mkdir "\$root/i" "\$root/m" "\$root/etc/fuse4fs"
# image NAME SIZE [mke2fs options]
image() {
	local name=\$1
	truncate -s "\$2" "\$root/i/\$name"
	shift 2
	mke2fs -q -F -t ext4 "\$@" "\$root/i/\$name"
}
P
chmod +x prep
prep() { cat >>prep; }

machine() {
	local name=$1 options=()
	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
	[ $# = 0 ] || shift
	cat "$F4_SRC/tests/system/inside.sh" "$F4_SRC/tests/system/$name.sh" >script
	"$F4_SRC/tests/system/boot" --prep "$PWD/prep" --out "$PWD/out" ${options[@]+"${options[@]}"} script "$@"
}
