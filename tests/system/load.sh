# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# See tests/cases/system-load.
rounds=$1

# first_answer: mount /i/one, and the time until a name in it was answered for, in ms/100; no program
# is started for the clock or the look, which costs 7 ms each here
first_answer() {
	local start=${EPOCHREALTIME/./}
	mount.fuse4fs /i/one /m/one && [ -d /m/one/lost+found ] || fail "mount"
	echo $(((${EPOCHREALTIME/./} - start) / 10))
	umount.fuse4fs /m/one || fail "umount"
}
median() { sort -n | awk '{v[NR] = $1} END {printf "%.1f ms", v[int((NR + 1) / 2)] / 100}'; }
for _ in $(seq "$rounds"); do first_answer; done >by_socket
mount --bind /dev/null /run/filesystems/fuse4fs
for _ in $(seq "$rounds"); do first_answer; done >by_child
umount /run/filesystems/fuse4fs
echo "mount to first answer, medians of $rounds: by the socket $(median <by_socket), by a child $(median <by_child)"
quiet_journal

start=$(now_ms)
for n in $(seq 0 49); do mount -t fuse4fs /i/$n /m/50/$n & pids[n]=$!; done
for n in $(seq 0 49); do wait "${pids[n]}" || fail "mount $n of 50"; done
echo "50 mounts at once: $(($(now_ms) - start)) ms"
[ "$(grep -c ' /m/50/' /proc/self/mountinfo)" = 50 ] || fail "not all 50 are mounted"
n=$(systemctl list-units --no-legend --plain 'fuse4fs@*' | wc -l)
[ "$n" -ge 1 ] || fail "none of them is served by a unit"
umount -a -t fuse.fuse4fs || fail "umount -a"
grep ' /m/50/' /proc/self/mountinfo && fail "left by umount -a"
for n in 0 17 49; do clean /i/$n; done

as 4002 python3 - <<'P' &
import socket, time
keep = []
for n in range(1500):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.setblocking(False)
    try:
        s.connect("/run/filesystems/fuse4fs")
    except OSError:
        pass
    if n < 500:
        keep.append(s)
    else:
        s.close()
        time.sleep(0.0005)
time.sleep(3)
P
flood=$!
sleep 0.3
start=$(now_ms)
mount -t fuse4fs /i/one /m/one || fail "root mounts under a flood"
middle=$(now_ms)
as 4001 mount.fuse4fs /i/user /m/user || fail "a user mounts under a flood"
echo "under a flood: root's mount $((middle - start)) ms, a user's $(($(now_ms) - middle)) ms"
umount /m/one || fail "root's umount under a flood"
as 4001 umount.fuse4fs /m/user || fail "a user's umount under a flood"
wait $flood
systemctl is-active -q fuse4fs.socket || fail "the flood turned the socket off"
# and afterwards nothing of it is left, and the socket serves again
start=$(now_ms)
for _ in $(seq 300); do
	[ "$(systemctl list-units --no-legend --plain 'fuse4fs@*' | wc -l)" = 0 ] && break
	sleep 0.1
done
echo "the flood's servers were gone after $(($(now_ms) - start)) ms"
n=$(systemctl list-units --no-legend --plain --all 'fuse4fs@*' | wc -l)
[ "$n" = 0 ] || fail "$n servers of the flood are left"
mount -t fuse4fs /i/one /m/one || fail "after the flood"
case $(unit_of /m/one) in fuse4fs@*) ;; *) fail "after the flood: served by '$(unit_of /m/one)'" ;; esac
umount /m/one
clean /i/one
clean /i/user
exit $bad
