#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The include arrows point down only, and a few habits hold everywhere. Prints each breach as
# FILE:LINE: what; exit 1 when there is one.
#
#   base <- protocol <- { helper, server/service }     seccomp <- { server/service, helper }
#   base <- server/ext4 <- server/fuse <- server/main.c
set -u
cd "$(dirname "$0")/../.." || exit 2
bad=0
say() { echo "$1"; bad=1; }

# may DIR "ALLOWED PREFIXES": every #include "x/..." in DIR must start with one of them.
may() {
	local line file inc ok p
	while IFS= read -r line; do
		file=${line%%:*}
		inc=$(sed -n 's/.*#include "\([^"]*\)".*/\1/p' <<<"$line")
		ok=
		for p in $2; do case $inc in "$p"*) ok=1 ;; esac; done
		[ -n "$ok" ] || say "${line%%#*} $file may not include \"$inc\""
	done < <(grep -nHE '^[[:space:]]*#[[:space:]]*include "' $1 2>/dev/null)
}
files() { git ls-files -co --exclude-standard -- "$@" | grep -E '\.[ch]$'; }

may "$(files protocol/base)" "protocol/base/"
may "$(files protocol | grep -v '^protocol/base/')" "protocol/"
may "$(files seccomp)" "seccomp/ protocol/base/"
may "$(files helper)" "helper/ protocol/ seccomp/"
may "$(files server/ext4)" "server/ext4/ protocol/base/"
may "$(files server/fuse)" "server/fuse/ server/ext4/ protocol/base/ protocol/ioctl.h"
may "$(files server/service)" "server/service/ protocol/ seccomp/"
may "server/main.c" "server/ protocol/ seccomp/"

# lib PATTERN "WHERE IT MAY BE" WHAT
lib() {
	local hit
	while IFS= read -r hit; do
		[[ $hit =~ ^($2) ]] || say "$hit: $3 is not for this folder"
	done < <(grep -nHE "^[[:space:]]*#[[:space:]]*include <($1)" $(files protocol helper server seccomp) /dev/null)
}
lib 'fuse|fuse3/|fuse_' 'server/fuse/|server/main.c' 'libfuse'
lib 'ext2fs/|et/|e2p/' 'server/ext4/' 'libext2fs'
lib 'seccomp.h' 'seccomp/' 'libseccomp'
lib 'systemd/' 'server/main.c|server/service/|helper/mountd.c' 'libsystemd'

for f in $(files protocol helper server seccomp); do
	while IFS= read -r hit; do say "$f:$hit: banned function"; done < <(
		grep -nE '(^|[^_[:alnum:]>.])(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|strtol|alloca|gets)[[:space:]]*\(' "$f" |
			grep -vE '^[0-9]+:[[:space:]]*(\*|/\*|//)')
	case $f in server/main.c | helper/mount.c | helper/umount.c | helper/mountd.c) ;;
	*) while IFS= read -r hit; do say "$f:$hit: exit outside a main file"; done < <(
		grep -nE '(^|[^_[:alnum:]])exit[[:space:]]*\(' "$f" | grep -vE '^[0-9]+:[[:space:]]*(\*|/\*|//)') ;;
	esac
	n=$(wc -l <"$f")
	[ "$n" -le 800 ] || say "$f:$n: over 800 lines"
	head -n 1 "$f" | grep -q 'SPDX-License-Identifier: GPL-2.0-or-later' || say "$f:1: no licence line"
done

# A function over 100 lines says why on the line before its opening brace's signature comment.
for f in $(files protocol helper server seccomp | grep '\.c$'); do
	awk -v f="$f" '
		/^[A-Za-z_].*\)[^;]*$/ || /^[a-z].*,$/ { if (!depth) { sig = $0; sigline = NR } }
		/^\{/ { start = NR; depth = 1 }
		/^\}/ { if (depth && NR - start > 101 && !long_ok) {
				print f ":" sigline ": function of " NR - start - 1 " lines: " sig; bad = 1 }
			depth = 0; long_ok = 0 }
		/long function:/ { long_ok = 1 }
		END { exit bad }' "$f" || bad=1
done
exit $bad
