# Debian trixie (6.12) without Nix: accelerated programs stay native after restarts, reboots, repairs, with Debian's QEMU; undo
. "$here/rows/trixie.sh"
image=trixie
network=

# programs TITLE: like guest, with functions for gzip and cat of the guest. Both are the same BusyBox.
programs() {
    {
        cat <<'END'
installed=/usr/local/libexec/binfmt-nix
accelerate() { "$tool" accelerate aarch64 --tree /srv/guest --native-tree /srv/native --pair /bin/gzip=/bin/gzip "$@"; }
# executed PROGRAM: prints the file that the kernel executes for this program of the guest, when it reads its input.
executed() {
    rm -f /tmp/input
    mkfifo /tmp/input
    LC_ALL=C "/srv/guest/bin/$1" < /tmp/input > /dev/null &
    exec 4> /tmp/input
    # The emulator and the launcher make other system calls before: read(2) is 0 on x86_64.
    until grep -q '^0 0x0 ' "/proc/$!/syscall"; do
        readlink "/proc/$!/exe" > /dev/null || return 1
        sleep 0.1
    done
    readlink "/proc/$!/exe"
    exec 4>&-
    wait "$!"
}
# is_native PROGRAM, is_emulated PROGRAM: by which file it runs.
is_native() { executed "$1" > /tmp/executed && cat /tmp/executed && grep -q "^$installed/native/" /tmp/executed; }
is_emulated() { executed "$1" > /tmp/executed && cat /tmp/executed && grep -q "^$installed/bin/qemu-aarch64" /tmp/executed; }
# Names of entries, the newest first.
list_entries() { ls -U "$table" | grep -vxE 'register|status'; }
# gzip alone is native, and its entry is newer than that of its system.
is_accelerated() {
    is_native gzip
    is_emulated cat
    runs
    list_entries | tee /tmp/entries
    sed -n 1p /tmp/entries | grep '^accelerate-aarch64-gzip'
    sed -n 2p /tmp/entries | grep -x qemu-aarch64
    "$tool" status > /tmp/status
    grep -x 'aarch64: native programs are started for gzip' /tmp/status
    "$tool" status --check aarch64
    "$tool" doctor
}
END
        cat
    } | guest "$1"
}

checks() {
    boot 1
    programs "register and accelerate" <<'END'
# The image of trixie has Nix.
dpkg -P nix-setup-systemd nix-bin
install -D -m 755 /root/in/busybox /srv/guest/bin/gzip
install -m 755 /root/in/busybox /srv/guest/bin/cat
install -D -m 755 /root/in/busybox-native /srv/native/bin/gzip
list_files > /root/before
register
list_files > /root/registered
is_emulated gzip
accelerate
is_accelerated
END
    programs "after a restart, and after a stop and a start of systemd-binfmt gzip is native" <<'END'
systemctl restart systemd-binfmt.service
is_accelerated
systemctl stop systemd-binfmt.service
[ -z "$(list_entries)" ]
systemctl start systemd-binfmt.service
is_accelerated
END
    shut_down
    boot 2
    programs "after a reboot gzip is native" <<'END'
is_accelerated
END
    programs "after a restart of systemd-binfmt there is nothing to do" <<'END'
systemctl restart systemd-binfmt.service
list_files > /root/accelerated
list_entries > /root/entries
register
accelerate
list_files | diff /root/accelerated -
list_entries | diff /root/entries -
is_accelerated
END
    programs "an entry that is gone is added by the proposed command" <<'END'
entry=$(list_entries | grep '^accelerate-')
echo -1 > "$table/$entry"
is_emulated gzip
"$tool" status 2>&1 | grep -F "gzip is emulated: its entry $entry is gone"
fails 3 "$tool" doctor > /tmp/advice
cat /tmp/advice
grep ': not-accelerated' /tmp/advice
tr -s ' \n' ' ' < /tmp/advice | grep -F "its entry $entry is gone"
command=$(grep -o "$tool accelerate .*" /tmp/advice)
sh -ec "$command"
list_files | diff /root/accelerated -
is_accelerated
END
    programs "register adds the system's entry below those of its programs" <<'END'
echo -1 > "$table/qemu-aarch64"
is_native gzip
register
list_files | diff /root/accelerated -
is_accelerated
END
    power_cut
    boot 3
    programs "after a loss of power gzip is native" <<'END'
is_accelerated
END
    programs "the distribution's QEMU is installed beside it, and purged" <<'END'
list_files > /root/accelerated
DEBIAN_FRONTEND=noninteractive dpkg -i /root/debs/*.deb
is_native gzip
is_emulated cat
systemctl restart systemd-binfmt.service
is_native gzip
is_emulated cat
runs
"$tool" doctor
DEBIAN_FRONTEND=noninteractive dpkg -P $(dpkg-query -W -f '${Package} ' 'qemu-user*')
is_native gzip
systemctl restart systemd-binfmt.service
is_accelerated
list_files | diff /root/accelerated -
END
    programs "accelerate --off, and after a restart of systemd-binfmt gzip is emulated" <<'END'
"$tool" accelerate --off
is_emulated gzip
systemctl restart systemd-binfmt.service
is_emulated gzip
runs
[ "$(list_entries)" = qemu-aarch64 ]
list_files | diff /root/registered -
"$tool" doctor
END
    nothing_is_left
}
