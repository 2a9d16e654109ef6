# Debian trixie (6.12): systemd-nspawn, LXC, podman and Docker, with and without privileges: what `register` says stays true
. "$here/rows/trixie.sh"
packages=(systemd systemd-sysv dbus udev kmod iproute2 ca-certificates linux-image-cloud-amd64 initramfs-tools passwd procps
    netbase zstd util-linux uidmap systemd-container lxc podman crun conmon docker.io docker-cli iptables)
image=containers
network=
debs=()
later=()

more_files() { cp "$here/guest/containers.sh" "$1"; }

checks() {
    boot 1
    in_containers "files of the containers" <<'END'
make_boxes
END
    in_containers "systemd-nspawn: the machine's table, as it says" <<'END'
ls "$table/register"
in_box nspawn
said "uses the machine's table" "registered, proven" "^aarch64$" "run register again after each restart"
runs
"$tool" unregister all
is_unregistered
END
    in_containers "systemd-nspawn: the entries end when nothing has the table mounted, as it says" <<'END'
systemctl stop proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount
in_box nspawn
said "or nothing has the table mounted" "^aarch64$"
systemctl start proc-sys-fs-binfmt_misc.automount
ls "$table/register"
is_unregistered
END
    in_containers "systemd-nspawn with a user namespace: its own table, as it says" <<'END'
in_box nspawn_users
said "its entries exist only in it and end with it" "registered, proven" "^aarch64$"
is_unregistered
END
    in_containers "LXC: the machine's table, as it says" <<'END'
in_box lxc
said "uses the machine's table" "registered, proven" "^aarch64$"
runs
"$tool" unregister all
is_unregistered
END
    in_containers "LXC with a user namespace: its own table, as it says" <<'END'
in_box lxc_users
said "its entries exist only in it and end with it" "registered, proven" "^aarch64$"
is_unregistered
END
    in_containers "podman without privileges: exit 6, and how to start it" <<'END'
in_box podman
said "register exits 6" "start it with --privileged"
in_box podman_rootless
said "register exits 6" "start the container as root" "run -s SYSTEM"
is_unregistered
END
    in_containers "podman with --privileged: until the machine restarts, as it says" <<'END'
in_box podman --privileged
said "until this machine restarts" "register exits 0" "^aarch64$"
runs
"$tool" status
"$tool" doctor
END
    in_containers "Docker without privileges: exit 6, and how to start it" <<'END'
"$tool" unregister all
in_box docker
said "register exits 6" "start it with --privileged"
is_unregistered
END
    in_containers "Docker with --privileged: until the machine restarts, as it says" <<'END'
in_box docker --privileged
said "until this machine restarts" "register exits 0" "^aarch64$"
runs
"$tool" status
"$tool" doctor
END
    in_containers "another entry of a container, for the restart" <<'END'
"$tool" unregister all
in_box nspawn
runs
END
    shut_down
    boot 2
    in_containers "after a reboot no container's entry is there, as its container reports" <<'END'
is_unregistered
box_script=/status in_box nspawn
said "^aarch64 *missing"
END
    shut_down
}

# The same as guest, with the functions of guest/containers.sh.
in_containers() {
    local title=$1
    { echo '. /root/in/containers.sh'; cat; } | guest "$title"
}
