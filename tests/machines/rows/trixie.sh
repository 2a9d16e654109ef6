# Debian trixie (6.12), systemd, nix-daemon: by network, a user's builds, restarts, reboots, Debian's QEMU beside it, undo
network=yes
packages=(systemd systemd-sysv dbus udev kmod iproute2 ca-certificates linux-image-cloud-amd64 initramfs-tools passwd procps
    netbase zstd util-linux uidmap nix-bin nix-setup-systemd apparmor)
debs=(qemu-user qemu-user-binfmt)
later=(qemu-user qemu-user-binfmt native-architecture)

start_agent_at_boot() { enable_agent_unit "$1"; }

more_files() { broken_emulator "$1"; }

after_register() { restart_systemd_binfmt; }

checks() { survives_reboots_with_nix; }
