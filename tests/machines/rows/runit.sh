# Debian trixie with runit as init: the entry is there after reboots
packages=(runit-init runit initscripts udev kmod iproute2 ca-certificates linux-image-cloud-amd64 initramfs-tools passwd
    procps netbase zstd util-linux)

start_agent_at_boot() {
    mkdir -p "$1/etc/sv/agent"
    printf '#!/bin/sh\nexec /usr/lib/tests/agent\n' > "$1/etc/sv/agent/run"
    chmod 755 "$1/etc/sv/agent/run"
    # /etc/service leads to it by absolute links.
    ln -s /etc/sv/agent "$1/etc/runit/runsvdir/default/agent"
}

checks() { survives_reboots; }
