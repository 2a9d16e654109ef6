# Debian trixie (6.12) on aarch64, systemd, nix-daemon: x86_64, i386, riscv64 by network, builds, reboots, undo; unit tests
arch=aarch64
cpu=max,pauth-impdef=on
network=yes
packages=(systemd systemd-sysv dbus udev kmod iproute2 ca-certificates linux-image-cloud-arm64 initramfs-tools passwd procps
    netbase zstd util-linux uidmap nix-bin nix-setup-systemd)

start_agent_at_boot() { enable_agent_unit "$1"; }

more_files() { foreign_files "$1"; }

# The tool for this machine, and programs of other systems.
foreign_files() {
    local system
    for system in amd64 i386 riscv64 armhf; do
        cp "$data/corpus/busybox-static-$system/bin/busybox" "$1/busybox-$system"
    done
    # What the unit tests read.
    mkdir -p "$1/source/tests"
    cp Cargo.toml "$1/source"
    cp -r tests/recorded "$1/source/tests"
    echo "$PWD" > "$1/source/path"
    because "the tool could not be built for $arch: see target/machines/$name.log"
    cross_build "$1" >> "$work/$name.log" 2>&1
}

checks() {
    boot 1
    guest "unit tests of the table of systems, and of the rooms without the machine" <<'END'
chmod 755 /root/in/magic-tests /root/in/unit-tests
/root/in/magic-tests --quiet
path=$(cat /root/in/source/path)
mkdir -p "$(dirname "$path")"
mv /root/in/source "$path"
/root/in/unit-tests --quiet binfmt:: diagnose:: error:: nix:: qemu:: register:: sanitize:: sha256:: ui::
rm -r "$path"
rmdir -p --ignore-fail-on-non-empty "$(dirname "$path")"
END
    guest "register by network" <<'END'
uname -a
connect
usermod -aG nix-users user 2> /dev/null || true
# No build may wait for a server.
echo 'substituters =' >> /etc/nix/nix.conf
systemctl restart nix-daemon.service
# What Nix makes when it is used for the first time does not count as a change.
builds_as_user aarch64 /root/in/busybox
list_files > /root/before
"$tool" register x86_64 i386 riscv64
foreign_runs
"$tool" status
"$tool" doctor
"$tool" test x86_64 i386 riscv64
END
    guest "arm programs run without an emulator, and register refuses" <<'END'
foreign_run armhf 'arm.*|aarch64'
fails 2 "$tool" register arm
END
    foreign_builds "a user builds through the daemon, in the sandbox"
    guest "after a restart, and after a stop and a start of systemd-binfmt the entries are there" <<'END'
systemctl restart systemd-binfmt.service
foreign_runs
systemctl stop systemd-binfmt.service
systemctl start systemd-binfmt.service
foreign_runs
"$tool" doctor
END
    shut_down
    boot 2
    guest "after a reboot the entries are there" <<'END'
foreign_runs
"$tool" status --check x86_64
"$tool" test x86_64 --nix
"$tool" doctor
END
    foreign_builds "after a reboot a user builds"
    power_cut
    boot 3
    guest "after a loss of power the entries are there, and unregister leaves nothing" <<'END'
foreign_runs
builds_as_user x86_64 /root/in/busybox-amd64
"$tool" unregister all
refuses foreign_run amd64 x86_64
list_files > /root/after
diff /root/before /root/after
END
    shut_down
    boot 4
    guest "after a reboot nothing is registered" <<'END'
for name in qemu-x86_64 qemu-i386 qemu-riscv64; do [ ! -e "$table/$name" ]; done
refuses foreign_run amd64 x86_64
"$tool" doctor
END
    shut_down
}

foreign_builds() {
    guest "$1" <<'END'
builds_as_user native
builds_as_user x86_64 /root/in/busybox-amd64
builds_as_user riscv64 /root/in/busybox-riscv64
END
}
