#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The include arrows point down only, and a few habits hold everywhere. Prints each breach as
# FILE:LINE: what; exit 1 when there is one.
#
#   base <- protocol <- { helper, server/service }     seccomp <- { server/service, helper }
#   base <- server/ext4 <- server/fuse <- server/main.c
#
# A function of more than 100 lines has a comment "long function: why" inside.
cd "$(dirname "$0")/../.." || exit 2
git ls-files -co --exclude-standard -- protocol helper server seccomp | grep -E '\.[ch]$' | xargs awk '
function say(what) { print FILENAME ":" FNR ": " what; bad = 1 }
function starts(s, list,    n, i, p) {
	n = split(list, p, " ")
	for (i = 1; i <= n; i++)
		if (index(s, p[i]) == 1)
			return 1
	return 0
}
BEGIN {
	# the first prefix that fits a file decides what it may include
	n_may = 0
	may("protocol/base/", "protocol/base/")
	may("protocol/", "protocol/")
	may("seccomp/", "seccomp/ protocol/base/")
	may("helper/", "helper/ protocol/ seccomp/")
	may("server/ext4/", "server/ext4/ protocol/base/")
	may("server/fuse/", "server/fuse/ server/ext4/ protocol/base/ protocol/ioctl.h protocol/idmap.h")
	may("server/service/", "server/service/ protocol/ seccomp/")
	may("server/main.c", "server/ protocol/ seccomp/")
	lib("^fuse", "server/fuse/ server/main.c", "libfuse")
	lib("^liburing", "server/fuse/", "liburing")
	lib("^(ext2fs|et|e2p)/", "server/ext4/", "libext2fs")
	lib("^seccomp.h", "seccomp/", "libseccomp")
	lib("^systemd/", "server/main.c server/service/ helper/mountd.c", "libsystemd")
	mains = "server/main.c helper/mount.c helper/umount.c helper/mountd.c helper/populate.c"
	banned = "(^|[^_[:alnum:]>.])(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|strtol|alloca|gets)[ \t]*\\("
}
function may(dir, list) { may_dir[++n_may] = dir; may_list[n_may] = list }
function lib(re, where, what) { lib_re[++n_lib] = re; lib_where[n_lib] = where; lib_what[n_lib] = what }
FNR == 1 {
	if (!/SPDX-License-Identifier: GPL-2.0-or-later/)
		say("no licence line")
	depth = long_ok = 0
}
FNR == 801 { say("over 800 lines") }
/^[ \t]*#[ \t]*include[ \t]*"/ {
	split($0, part, "\"")
	for (i = 1; i <= n_may; i++)
		if (index(FILENAME, may_dir[i]) == 1) {
			if (!starts(part[2], may_list[i]))
				say("may not include \"" part[2] "\"")
			break
		}
}
/^[ \t]*#[ \t]*include[ \t]*</ {
	inc = $0
	sub(/^[^<]*</, "", inc)
	for (i = 1; i <= n_lib; i++)
		if (inc ~ lib_re[i] && !starts(FILENAME, lib_where[i]))
			say(lib_what[i] " is not for this folder")
}
$0 ~ banned && !/^[ \t]*(\*|\/\*|\/\/)/ { say("banned function") }
/(^|[^_[:alnum:]])exit[ \t]*\(/ && !/^[ \t]*(\*|\/\*|\/\/)/ && !starts(FILENAME, mains) {
	say("exit outside a main file")
}
/^[A-Za-z_].*[,)]$/ { signature = $0 }
/^\{/ { start = FNR; depth = 1 }
/long function:/ { long_ok = 1 }
/^\}/ {
	if (depth && FNR - start > 101 && !long_ok)
		say("function of " FNR - start - 1 " lines: " signature)
	depth = long_ok = 0
}
END { exit bad }
'
