# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The beginning of each script that runs inside a machine of the system-* cases.
set -u
bad=0
loops=()
trap 'for l in ${loops[@]+"${loops[@]}"}; do losetup -d "$l" 2>/dev/null; done' EXIT

fail() { echo "FAILED: boot $F4_BOOT: $*"; bad=1; }
as() { local u=$1; shift; setpriv --reuid "$u" --regid "$u" --clear-groups "$@"; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }

# attach FILE [LOOP]: a block device of it, in $dev. The machine shares the numbers of loop devices with its host.
attach() {
	if [ $# = 2 ]; then dev=/dev/$2 && losetup "$dev" "$1"; else dev=$(losetup -f --show "$1"); fi || fail "losetup $*"
	loops+=("$dev")
}
detach() { losetup -d "$1"; loops=("${loops[@]/$1/}"); }

# unit_of DIR: the unit that serves it
unit_of() {
	local u
	for u in $(systemctl list-units --no-legend --plain 'fuse4fs@*' 'fuse4fs-boot@*' | awk '{print $1}'); do
		case $(systemctl show -P StatusText "$u") in *" on $1,"*) echo "$u"; return ;; esac
	done
}
# gone UNIT: it ends within seconds
gone() {
	for _ in $(seq 50); do
		case $(systemctl is-active "$1") in inactive | unknown) return 0 ;; esac
		sleep 0.1
	done
	return 1
}
clean() { # IMAGE: e2fsck finds nothing to do
	out=$(e2fsck -fn "$1" 2>&1) || fail "e2fsck -fn $1: $out"
	case $out in *WARNING* | *recover* | *Fix?*) fail "e2fsck -fn $1: $out" ;; esac
}
# What a good run must not have: lines above notice that are about us.
quiet_journal() {
	journalctl -b --no-pager -p warning -o short-monotonic | grep -i fuse4fs && fail "the journal has lines above notice"
}
