# Debian trixie (6.12) on aarch64: x86_64, i386 and riscv64 by network, arm is native, a user's builds, reboots, undo
. "$here/rows/trixie.sh"
arch=aarch64
image=aarch64
packages=("${packages[@]/amd64/arm64}")
debs=()
later=()

more_files() {
    local system
    cp "$data/corpus/busybox-static-arm64/bin/busybox" "$1/busybox-native"
    for system in amd64 i386 riscv64 armhf; do
        cp "$data/corpus/busybox-static-$system/bin/busybox" "$1/busybox-$system"
    done
    because "the tool could not be built for $arch: see target/machines/$name.log"
    cross_build "$1" >> "$work/$name.log" 2>&1
}

checks() {
    boot 1
    guest "tests of the table of systems" <<'END'
chmod 755 /root/in/magic-tests
/root/in/magic-tests --quiet
END
    guest "register by network" <<'END'
connect
usermod -aG nix-users user 2> /dev/null || true
echo 'substituters =' >> /etc/nix/nix.conf
systemctl restart nix-daemon.service
builds_as_user native
list_files > /root/before
"$tool" register x86_64 i386 riscv64
foreign_run amd64 x86_64
foreign_run i386 'i[3-6]86'
foreign_run riscv64 riscv64
"$tool" status
"$tool" doctor
"$tool" test x86_64
END
    guest "arm programs run without an emulator, and register refuses" <<'END'
foreign_run armhf 'arm.*|aarch64'
fails 6 "$tool" register arm
END
    guest "a user builds for x86_64 through the daemon" <<'END'
builds_as_user x86_64 /root/in/busybox-amd64
END
    power_cut
    boot 2
    guest "after a loss of power the entries are there, and a user builds" <<'END'
foreign_run amd64 x86_64
foreign_run i386 'i[3-6]86'
foreign_run riscv64 riscv64
"$tool" status --check x86_64
"$tool" doctor
builds_as_user x86_64 /root/in/busybox-amd64
END
    guest "unregister leaves nothing" <<'END'
"$tool" unregister all
! foreign_run amd64 x86_64
list_files > /root/after
diff /root/before /root/after
END
    shut_down
}
