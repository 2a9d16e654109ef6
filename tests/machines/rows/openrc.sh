# Debian trixie with OpenRC: the entry is there after reboots
packages=(openrc sysvinit-core initscripts udev kmod iproute2 ca-certificates linux-image-cloud-amd64 initramfs-tools
    passwd procps netbase zstd util-linux)

start_agent_at_boot() {
    echo 'tt:2345:respawn:/usr/lib/tests/agent' >> "$1/etc/inittab"
}

checks() { survives_reboots; }
