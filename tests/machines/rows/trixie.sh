# Debian trixie (6.12) with systemd: the entry is there after restarts of systemd-binfmt and after reboots
packages=(systemd systemd-sysv dbus udev kmod iproute2 ca-certificates linux-image-cloud-amd64 initramfs-tools passwd procps
    netbase zstd util-linux uidmap)

start_agent_at_boot() { enable_agent_unit "$1"; }

after_register() {
    guest "after a restart, and after a stop and a start of systemd-binfmt the entry is there" <<'END'
systemctl restart systemd-binfmt.service
runs
systemctl stop systemd-binfmt.service
systemctl start systemd-binfmt.service
runs
"$tool" doctor
END
}

checks() { survives_reboots; }
