# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# See tests/cases/system-units.
libexec=/usr/local/libexec/fuse4fs
loop=$1

systemd-analyze verify --man=no /usr/local/lib/systemd/system/fuse4fs* 2>err || fail "verify: $(cat err)"
[ ! -s err ] || fail "verify: $(cat err)"

# seen from outside
mount -t fuse4fs /i/one /m/one || fail "mount"
unit=$(unit_of /m/one)
pid=$(systemctl show -P MainPID "$unit")
st() { awk -v f="$1:" '$1 == f {print $2}' "/proc/$pid/status"; }
for c in CapInh CapPrm CapEff CapBnd CapAmb; do [ "$(st $c)" = 0000000000000000 ] || fail "$c $(st $c)"; done
[ "$(st NoNewPrivs) $(st Seccomp)" = "1 2" ] || fail "no_new_privs, seccomp"
[ "$(st Uid)" -ge 61184 ] && [ "$(st Uid)" -le 65519 ] || fail "user $(st Uid)"
for n in user mnt net ipc uts; do
	[ "$(readlink /proc/$pid/ns/$n)" != "$(readlink /proc/1/ns/$n)" ] || fail "the $n namespace is the machine's"
done
for p in /etc/passwd /i /m /home /usr/bin /boot /run/systemd/private /run/dbus; do
	[ ! -e "/proc/$pid/root$p" ] || fail "sees $p"
done
awk '$6 ~ /(^|,)rw(,|$)/ && $5 !~ "^/(proc|dev|run|tmp|var/tmp)" {print $5}' /proc/$pid/mountinfo | grep . && fail "writable"
systemctl stop "$unit" 2>/dev/null && fail "the server of a mount can be stopped by name"
kill -TERM "$pid"
echo x >/m/one/x || fail "after SIGTERM"
for u in fuse4fs@ fuse4fs-boot@; do
	systemd-analyze security --no-pager "${u}x.service" >score
	score=$(awk '/Overall/ {print $(NF-2)}' score)
	awk "BEGIN {exit !($score <= 0.2)}" || fail "exposure of $u: $(cat score)"
	echo "exposure of $u: $score"
done

# tried from inside: the unit without the server's own seal, which takes away most of what passes here
sed -e "s|^ExecStart=.*|& --all-unsealed|" -e "s|^BindReadOnlyPaths=$libexec/fuse4fs-server|BindReadOnlyPaths=/i/probe:$libexec/fuse4fs-server|" \
	-e "/^RefuseManual/d; /^Watchdog/d; s/^Type=.*/Type=oneshot/; s|^\[Service\]|&\nStandardOutput=file:/run/probe|" \
	/usr/local/lib/systemd/system/fuse4fs@.service >/run/systemd/system/probe.service
systemctl start probe.service || fail "probe: $(systemctl status --no-pager probe.service)"
[ "$(wc -l </run/probe)" -gt 100 ] || fail "probe: $(wc -l </run/probe) acts came back"
awk '$3 >= 0 {print $1}' /run/probe | sort >passed
# What passes: an empty root and /proc/self may be opened, libraries mapped, threads made, one kind of
# socket, the process itself restricted further.
tr ' ' '\n' <<'P' >expected
arch-prctl chdir dumpable dup3 eventfd fcntl-dup fcntl-setfl fcntl-setown flock fork getrandom landlock mmap-exec
open-proc open-root seccomp setrlimit socket-unix statfs thread
P
grep -vxF -f expected passed >more && fail "these acts pass in the unit: $(tr '\n' ' ' <more)"

# a device that comes later
systemctl is-active -q fuse4fs-mount@dev-$loop && fail "enabled, without a device, and active"
attach /i/later "$loop"
for _ in $(seq 100); do systemctl is-active -q fuse4fs-mount@dev-$loop && break; sleep 0.1; done
[ "$(findmnt -no FSTYPE /media/dev-$loop)" = fuseblk.fuse4fs ] ||
	fail "a device that comes later: $(systemctl status --no-pager fuse4fs-mount@dev-$loop dev-$loop.device)"
systemctl stop fuse4fs-mount@dev-$loop || fail "stop of a device that came later"
clean "$dev"
detach "$dev"

# the unit for a device
attach /i/two loop$((${loop#loop} + 1))
name=$(systemd-escape -p "$dev") unit=fuse4fs-mount@$(systemd-escape -p "$dev").service
systemctl start "$unit" || fail "start: $(systemctl status --no-pager "$unit")"
[ "$(findmnt -no SOURCE,FSTYPE "/media/$name")" = "$dev fuseblk.fuse4fs" ] || fail "default place: $(findmnt "$dev")"
dd if=/dev/zero of="/media/$name/f" bs=1M count=30 status=none
systemctl stop "$unit" || fail "stop"
clean "$dev"
[ ! -e "/media/$name" ] || fail "the directory that it made is left"
printf 'OPTIONS=ro,noatime\nMOUNTPOINT=/m/two\n' >"/etc/fuse4fs/$name.conf"
systemctl restart "$unit" || fail "restart"
findmnt -no OPTIONS /m/two | grep -q '^ro,.*noatime' || fail "conf: $(findmnt /m/two)"
umount /m/two
systemctl stop "$unit" || fail "stop of what somebody has unmounted"
systemctl start fuse4fs-mount@dev-nosuch 2>/dev/null && fail "a device that is not there"
systemctl status --no-pager fuse4fs-mount@dev-nosuch | grep -q '/dev/nosuch' || fail "no reason in its status"
printf 'SOURCE=/i/noise\n' >/etc/fuse4fs/noise.conf
systemctl start fuse4fs-mount@noise 2>/dev/null && fail "noise is mounted"
systemctl status --no-pager fuse4fs-mount@noise | grep -q '/i/noise: no ext2, ext3 or ext4' ||
	fail "noise: $(systemctl status --no-pager fuse4fs-mount@noise)"
[ ! -e /media/noise ] || fail "the directory of a failed mount is left"

# a server that is stopped holds umount(2) of a device no longer than its watchdog: 3 s here
mount -t fuse4fs "$dev" /m/two || fail "mount for SIGSTOP"
kill -STOP "$(systemctl show -P MainPID "$(unit_of /m/two)")"
start=$(now_ms)
umount /m/two 2>err
took=$(($(now_ms) - start))
mountpoint -q /m/two && { umount /m/two || fail "umount of a stopped server: $(cat err)"; }
[ $took -lt 6000 ] || fail "umount of a stopped server took $took ms"
echo "umount of a stopped server, WatchdogSec=3s: $took ms"
e2fsck -p "$dev" >/dev/null
clean "$dev"
umount /m/one || fail "umount"
clean /i/one
exit $bad
