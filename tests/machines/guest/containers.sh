# Functions for the machine with containers: boxes, which are containers without an init system.
base=/var/lib/boxes

# Makes the files of a box for each owner.
make_boxes() {
    local box=$base/root
    mkdir -p "$box"/{usr/lib,bin,sbin,etc,proc,sys,dev,tmp,run,var/lib,root}
    chmod 755 "$base" "$box"
    install -m 755 /root/in/busybox-native "$box/bin/busybox"
    install -m 755 "$tool" "$box/bin/binfmt-nix"
    install -m 755 /root/in/qemu-aarch64 "$box/qemu-aarch64"
    install -m 755 /root/in/busybox "$box/uname"
    ln -s busybox "$box/bin/sh"
    echo ID=box > "$box/etc/os-release"
    printf '%s\n' '/bin/binfmt-nix register aarch64 --qemu /qemu-aarch64' 'echo "register exits $?"' '/uname -m' > "$box/register"
    echo '/bin/binfmt-nix status' > "$box/status"
    # LXC prints nothing without a terminal.
    printf '%s\n' 'exec > /said 2>&1' '. "$1"' > "$box/logged"
    # nspawn, LXC and podman give the users of a namespace their files in different ways.
    cp -a "$box" "$base/nspawn_users"
    cp -a "$box" "$base/lxc_users"
    chown -R 100000:100000 "$base/lxc_users"
    cp -a "$box" "$base/podman_rootless"
    chown -R user:user "$base/podman_rootless"
    echo root:100000:65536 | tee -a /etc/subuid >> /etc/subgid
}

# in_box KIND: runs a script in a box of this kind, and prints what it says.
in_box() {
    local kind=$1 script=${box_script:-/register} shell
    shift
    shell=(/bin/busybox sh "$script")
    "box_$kind" "$@" > /tmp/said 2>&1 < /dev/null || true
    cat /tmp/said
}

box_nspawn() { systemd-nspawn -q --pipe -D "$base/root" --capability=all "${shell[@]}"; }

box_nspawn_users() { systemd-nspawn -q --pipe -D "$base/nspawn_users" --private-users=pick --private-users-ownership=chown "${shell[@]}"; }

box_lxc() { lxc_box "$base/root"; }

box_lxc_users() { lxc_box "$base/lxc_users" 'lxc.idmap = u 0 100000 65536' 'lxc.idmap = g 0 100000 65536'; }

lxc_box() {
    local root=$1
    shift
    printf '%s\n' 'lxc.uts.name = box' "lxc.rootfs.path = dir:$root" 'lxc.net.0.type = empty' 'lxc.mount.auto = proc:rw sys:mixed' \
        'lxc.apparmor.profile = unconfined' "lxc.init.cmd = /bin/busybox sh /logged ${shell[2]}" "$@" > /tmp/lxc.conf
    rm -f "$root/said"
    timeout 600 lxc-start -F -n box -f /tmp/lxc.conf -l INFO -o /tmp/lxc.log || grep ERROR /tmp/lxc.log
    cat "$root/said"
}

box_podman() { podman run --rm --network none "$@" --rootfs "$base/root" "${shell[@]}"; }

box_podman_rootless() {
    install -d -o user /run/user/1000
    cd /tmp
    env HOME=/home/user USER=user XDG_RUNTIME_DIR=/run/user/1000 setpriv --reuid=user --regid=user --init-groups \
        podman --cgroup-manager=cgroupfs run --rm --network none --rootfs "$base/podman_rootless" "${shell[@]}"
}

# An image of the box. Docker has a service of root only.
box_docker() {
    docker image inspect box > /dev/null 2>&1 || tar -C "$base/root" -c . | docker import - box
    docker run --rm --network none "$@" box "${shell[@]}"
}

# said REGEX...: the last box said all of this.
said() {
    local regex
    for regex; do
        grep -E "$regex" /tmp/said > /dev/null || { echo "not said: $regex"; return 1; }
    done
}
