# Debian bullseye (5.10) with systemd: the entry is there after restarts of systemd-binfmt and after reboots; no flag P
suite=bullseye
packages=(systemd systemd-sysv dbus udev kmod iproute2 ca-certificates linux-image-cloud-amd64 initramfs-tools passwd procps
    netbase zstd util-linux uidmap)

start_agent_at_boot() { enable_agent_unit "$1"; }

# Programs learn their argv[0] since Linux 5.12 only. This is a note without a repair.
after_register() {
    guest "flag F holds the emulator, and the missing argv[0] is a note" <<'END'
grep -x 'flags: .*F.*' "$table/qemu-aarch64"
"$tool" test aarch64
"$tool" test --json aarch64 > /tmp/result
refuses grep '"works": *false' /tmp/result
"$tool" status --check aarch64
"$tool" doctor
END
    restart_systemd_binfmt
}

checks() { survives_reboots; }
