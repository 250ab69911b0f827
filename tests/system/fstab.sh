# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# See tests/cases/system-fstab.
at_boot() {
	mountpoint -q /m/data || fail "/m/data is not mounted: $(systemctl status --no-pager m-data.mount)"
	case $(unit_of /m/data) in fuse4fs-boot@*) ;; *) fail "/m/data is served by '$(unit_of /m/data)'" ;; esac
	[ "$(findmnt -no FSTYPE,OPTIONS /m/ro | grep -c 'fuse.fuse4fs *ro,')" = 1 ] || fail "ro: $(findmnt /m/ro)"
	mountpoint -q /m/manual && fail "noauto is mounted"
	systemctl is-active -q local-fs.target || fail "nofail and a missing image: local-fs.target"
	[ "$(systemctl show -P Result m-bad.mount)" = exit-code ] || fail "a missing image: $(systemctl show -P Result m-bad.mount)"
	journalctl -b --no-pager -u m-bad.mount | grep -q "/i/missing: can't be found" || fail "no reason in the journal"
	systemctl is-active -q systemd-fsck@i-data.service && fail "an image file was checked as a device"
}

second_boot() {
	at_boot
	[ "$(cat /m/data/words)" = "before the reboot" ] || fail "words of the first boot"
	[ "$(cat /m/data/open)" = open ] || fail "the file that was open"
	(cd /m/data && sha256sum -c --quiet sum) || fail "100 MB of the first boot"
	[ "$(tail -n 1 /f4/early)" = clean ] || fail "not clean after the first boot: $(cat /f4/early)"
	mount /m/manual
	for dir in /m/data /m/manual; do
		echo x >$dir/x
		kill -STOP "$(systemctl show -P MainPID "$(unit_of $dir)")"
	done
	date +%s >/f4/end
	exit $bad
}

if [ "$F4_BOOT" = 1 ]; then second_boot; fi
at_boot

# the words of fstab
mount /m/manual || fail "mount /m/manual"
unit=$(unit_of /m/manual)
case $unit in fuse4fs@*) ;; *) fail "served by '$unit'" ;; esac
status=$(systemctl show -P StatusText "$unit")
[ "$status" = "Serving /i/manual on /m/manual, read-write" ] || fail "status: $status"
df /m/manual | grep -q '^/i/manual ' || fail "df: $(df /m/manual)"
[ "$(findmnt -no SOURCE,FSTYPE /m/manual)" = "/i/manual fuse.fuse4fs" ] || fail "findmnt: $(findmnt -n /m/manual)"

# remount
mount -o remount,ro /m/manual || fail "remount,ro"
touch /m/manual/y 2>/dev/null && fail "writable after remount,ro"
clean /i/manual
case $(systemctl show -P StatusText "$unit") in *", read-only") ;; *) fail "status after remount: $(systemctl show -P StatusText "$unit")" ;; esac
mount -o remount,rw /m/manual && touch /m/manual/y || fail "remount,rw"
mount -o remount,rw /m/ro 2>err && fail "remount,rw of a descriptor that can't write"
grep -q 'mounted read-only' err || fail "remount,rw: $(cat err)"
umount /m/manual || fail "umount"
clean /i/manual
gone "$unit" || fail "$unit is there after the unmount"
journalctl -b --no-pager -o cat -u "$unit" >log
grep -qx '/i/manual on /m/manual: mounted read-write' log && grep -q '^/i/manual on /m/manual: unmounted' log ||
	fail "lines of $unit: $(cat log)"

# a user's line: the user's server comes from the socket, the mount from the broker
as 4001 mount /m/user || fail "user: mount"
case $(unit_of /m/user) in fuse4fs@*) ;; *) fail "user: served by '$(unit_of /m/user)'" ;; esac
as 4001 touch /m/user/x || fail "user: write"
as 4002 ls /m/user >/dev/null 2>&1 && fail "another user sees it"
as 4002 umount /m/user 2>/dev/null && fail "another user unmounts it"
as 4001 umount /m/user || fail "user: umount"
clean /i/user

# automount; by label, on a block device; mount -a, umount -a
grep -q ' /m/auto .* - autofs' /proc/self/mountinfo || fail "no automount point"
ls /m/auto/lost+found >/dev/null || fail "automount"
grep -q ' /m/auto .* - fuse.fuse4fs' /proc/self/mountinfo || fail "automount: $(grep /m/auto /proc/self/mountinfo)"
attach /i/two
mount /m/label || fail "LABEL="
[ "$(findmnt -no SOURCE,FSTYPE /m/label)" = "$dev fuseblk.fuse4fs" ] || fail "LABEL=: $(findmnt /m/label)"
umount /m/label && mount -t fuse4fs UUID="$(blkid -p -s UUID -o value "$dev")" /m/label || fail "UUID="
lsblk -no MOUNTPOINTS "$dev" | grep -qx /m/label || fail "lsblk: $(lsblk "$dev")"
umount -a -t fuse.fuse4fs,fuseblk.fuse4fs || fail "umount -a"
grep ' - fuse.*fuse4fs ' /proc/self/mountinfo && fail "umount -a left these"
for i in data auto two; do clean /i/$i; done
fsck -t fuse4fs -p "$dev" >log || fail "fsck: $(cat log)"
detach "$dev"
mount -a 2>err
rc=$?
[ $rc = 64 ] && [ "$(grep -c . err)" = 1 ] || fail "mount -a: $rc: $(cat err)"
mountpoint -q /m/data && mountpoint -q /m/ro || fail "mount -a did not mount all"
umount /m/data && systemctl start m-data.mount || fail "the unit that fstab makes"

# down with a file open, and dirty
echo "before the reboot" >/m/data/words
dd if=/dev/urandom of=/m/data/big bs=1M count=100 status=none
(cd /m/data && sha256sum big >sum)
exec 3>/m/data/open
echo open >&3
quiet_journal
[ $bad = 0 ] || exit 1
systemd-run -q --unit=holder sh -c 'exec 3>>/m/data/words; sleep 1000'
systemctl reboot
sleep 60
fail "no reboot"
exit 1
