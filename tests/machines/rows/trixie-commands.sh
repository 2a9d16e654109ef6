# Debian trixie (6.12) with Docker: the commands that the tool proposes for other programs, and for a table that is missing
packages=(systemd systemd-sysv dbus udev kmod iproute2 ca-certificates linux-image-cloud-amd64 linux-image-amd64 initramfs-tools
    passwd procps netbase zstd util-linux uidmap sudo psmisc mmdebstrap debootstrap busybox-static apparmor docker.io docker-cli
    docker-buildx docker-registry iptables)

# The machine has no network: its packages are in /srv/packages. It boots with the kernel for clouds, and after an upgrade
# with the other one.
start_agent_at_boot() {
    local file
    enable_agent_unit "$1"
    for file in "$1"/boot/{vmlinuz,initrd.img}-*; do
        case $file in
            *-cloud-*) ;;
            */vmlinuz-*) mv "$file" "$work/$image-upgraded.kernel" ;;
            *) mv "$file" "$work/$image-upgraded.initrd" ;;
        esac
    done
    (
        . "$here/../private-apt.sh"
        private_apt "$work/$image.apt" trixie amd64 arm64
        mkdir -p "$1/srv/packages"
        cd "$1/srv/packages"
        apt-get -qq "${private_apt[@]}" download arch-test busybox-static:arm64
        for file in *.deb; do
            dpkg-deb -f "$file"
            printf '%s\n' "Filename: ./$file" "Size: $(stat -c %s "$file")" "SHA256: $(sha256sum < "$file" | cut -d ' ' -f 1)" ''
        done > Packages
    )
    echo 'deb [trusted=yes] copy:/srv/packages ./' > "$1/etc/apt/sources.list"
    rm -rf "$work/$image.apt"
}

# commands TITLE: like guest, with functions for lines that the doctor prints.
commands() {
    {
        cat <<'END'
# advise FILE: prints what the doctor says of a message.
advise() { cat "$1"; "$tool" doctor - < "$1" > /tmp/advice 2>&1 || [ $? = 3 ]; cat /tmp/advice; }
# find_out ID: the doctor finds this.
find_out() { fails 3 "$tool" doctor > /tmp/advice; cat /tmp/advice; grep -q ": $1" /tmp/advice; }
# proposes LINE: the doctor printed this line, with a comment perhaps.
proposes() { sed 's/^ *//; s/   *# .*//' /tmp/advice | grep -qxF -- "$1"; }
# run_line LINE: runs a line that the doctor printed.
run_line() { proposes "$1" && sh -ec "$1" < /dev/null; }
END
        cat
    } | guest "$1"
}

checks() {
    boot 1
    commands "mmdebstrap: it wants arch-test, whatever the table has" <<'END'
make() {
    rm -rf /tmp/tree
    mmdebstrap --mode=root --arch=arm64 --variant=custom "$@" '' /tmp/tree \
        'deb [trusted=yes arch=arm64] copy:/srv/packages ./' 2> /tmp/message
}
apt-get -qq update
register
refuses make
advise /tmp/message
make --skip=check/qemu
grep -F 'mmdebstrap --skip=check/qemu' /tmp/advice
run_line 'apt-get install arch-test'
make
"$tool" unregister all
refuses make
advise /tmp/message
grep '^mmdebstrap-check' /tmp/advice
proposes "$tool register aarch64"
register
make
END
    commands "umount: the users of a file system" <<'END'
mkdir -p /mnt/busy
mount -t tmpfs none /mnt/busy
sleep 10000 > /mnt/busy/file &
until [ -e /mnt/busy/file ]; do sleep 0.1; done
refuses umount /mnt/busy 2> /tmp/message
advise /tmp/message
run_line 'fuser -vm /mnt/busy'
kill "$!"
wait "$!" || true
umount /mnt/busy
END
    commands "Nix: a builder with KVM" <<'END'
echo "error: a 'x86_64-linux' with features {kvm} is required to build '/nix/store/x.drv', but I am a 'x86_64-linux' with features {}" > /tmp/message
advise /tmp/message
run_line 'ls -l /dev/kvm'
END
    commands "Docker: BuildKit tests the kernel again" <<'END'
"$tool" unregister all
mkdir -p /tmp/arm/bin /tmp/native/bin
install -m 755 /root/in/busybox /tmp/arm/bin/uname
install -m 755 /usr/bin/busybox /tmp/native/bin/sh
tar -C /tmp/arm -c . | docker import --platform linux/arm64 - localhost:5001/arm
tar -C /tmp/native -c . | docker import - native
docker buildx inspect --bootstrap > /tmp/platforms
refuses grep linux/arm64 /tmp/platforms
refuses docker run --rm --platform linux/arm64 localhost:5001/arm uname -m > /tmp/message 2>&1
advise /tmp/message
grep container-exec-format /tmp/advice
register
docker run --rm --platform linux/arm64 localhost:5001/arm uname -m | grep aarch64
# moby/buildkit `util/archutil/detect.go`
echo 'platform linux/arm64 cannot pass the validation, kernel support for miscellaneous binary may have not enabled.' > /tmp/message
advise /tmp/message
run_line 'docker buildx inspect --bootstrap'
docker buildx inspect --bootstrap | grep linux/arm64
END
    commands "Docker: the platforms of an image" <<'END'
mkdir -p /tmp/registry
printf '%s\n' 'version: 0.1' 'storage: { filesystem: { rootdirectory: /tmp/registry } }' 'http: { addr: "localhost:5001" }' > /tmp/registry.yml
docker-registry serve /tmp/registry.yml > /tmp/registry.log 2>&1 &
until grep -q 'listening on' /tmp/registry.log; do sleep 0.5; done
docker push -q localhost:5001/arm
refuses docker pull --platform linux/riscv64 localhost:5001/arm > /tmp/message 2>&1
advise /tmp/message
grep '^image-missing' /tmp/advice
tr -s ' \n' ' ' < /tmp/advice | grep 'docker buildx imagetools inspect IMAGE'
docker buildx imagetools inspect localhost:5001/arm
kill "$!"
END
    commands "a process without /proc" <<'END'
cat > /tmp/without-proc << 'SCRIPT'
. /tmp/lib.sh
emulate() { "$tool" run -s aarch64 --qemu /root/in/qemu-aarch64 -- /root/in/busybox uname -m; }
umount -l /proc
fails 6 emulate
run_proposed 'mount -t proc proc /proc'
[ "$(emulate)" = aarch64 ]
SCRIPT
declare -f fails run_proposed > /tmp/lib.sh
tool=$tool unshare -m bash -euc '. /tmp/without-proc'
END
    profile=$here/../../packaging/apparmor/binfmt-nix
    {
        printf '%s\n' "cat > /etc/apparmor.d/binfmt-nix << 'PROFILE'"
        cat "$profile"
        cat <<'END'
PROFILE
# The setting of which the error speaks is one of Ubuntu's kernels; the tool reads it before it names it.
[ "$(cat /sys/module/apparmor/parameters/enabled)" = Y ]
[ ! -e /proc/sys/kernel/apparmor_restrict_unprivileged_userns ]
apparmor_parser -r /etc/apparmor.d/binfmt-nix
grep -x 'binfmt-nix (unconfined)' /sys/kernel/security/apparmor/profiles
install -m 755 "$tool" /usr/local/bin/binfmt-nix
as_profile() { HOME=/home/user setpriv --reuid=user --regid=user --init-groups "$@"; }
cp /root/in/qemu-aarch64 /root/in/busybox /home/user/
chmod 755 /home/user/qemu-aarch64 /home/user/busybox
[ "$(as_profile /usr/local/bin/binfmt-nix run -s aarch64 --qemu /home/user/qemu-aarch64 -- /home/user/busybox uname -m)" = aarch64 ]
"$tool" unregister all
# From now on nothing mounts the table at boot.
systemctl mask proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount
END
    } | commands "the profile of AppArmor"
    shut_down
    boot 2
    commands "no module, as after an upgrade of the kernel" <<'END'
refuses grep -q binfmt_misc /proc/filesystems
mv "/lib/modules/$(uname -r)" /lib/modules/removed
refuses mount -t binfmt_misc binfmt_misc /mnt 2> /tmp/message
advise /tmp/message
proposes reboot
find_out no-module
proposes reboot
(sleep 2; run_line reboot) > /dev/null 2>&1 &
END
    because "the machine did not restart"
    wait "$machine_pid"
    machine_pid=
    image=trixie-commands-upgraded
    boot 3
    commands "after the restart, in a container: the host loads the module" <<'END'
contained() { docker run --rm -v /root/in:/in native sh -c "$1"; }
"$tool" doctor
refuses grep -q binfmt_misc /proc/filesystems
contained '/in/binfmt-nix doctor' > /tmp/advice || [ $? = 3 ]
cat /tmp/advice
proposes 'sudo modprobe binfmt_misc'
sudo modprobe binfmt_misc
contained '/in/binfmt-nix doctor' > /tmp/advice
END
    commands "a container that mounts the table itself: the host mounts it" <<'END'
contained() { docker run --rm --privileged -v /root/in:/in native sh -c "$1"; }
refuses mountpoint /proc/sys/fs/binfmt_misc
registers='/in/binfmt-nix register aarch64 --qemu /in/qemu-aarch64'
fails 3 contained "$registers"
run_proposed 'mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc'
contained "$registers"
runs
contained '/in/binfmt-nix doctor'
"$tool" unregister all
umount /proc/sys/fs/binfmt_misc
# Another tool registers without a question.
mounts='busybox mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
    printf %s ":foreign:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/in/qemu-aarch64:PF" > /proc/sys/fs/binfmt_misc/register'
contained "$mounts
    /in/binfmt-nix doctor" > /tmp/advice || [ $? = 3 ]
cat /tmp/advice
grep dies-with-container /tmp/advice
proposes 'sudo mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc'
refuses runs
sudo mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
contained "$mounts
    /in/binfmt-nix doctor" > /tmp/advice || [ $? = 3 ]
cat /tmp/advice
refuses grep dies-with-container /tmp/advice
runs
echo -1 > /proc/sys/fs/binfmt_misc/foreign
umount /proc/sys/fs/binfmt_misc
END
    commands "a module that is not loaded, and rules of another tool" <<'END'
rmmod binfmt_misc
install -m 755 /root/in/qemu-aarch64 /usr/bin/qemu-aarch64
printf '%s\n' ':foreign:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64:PF' > /etc/binfmt.d/foreign.conf
find_out not-mounted
run_line 'modprobe binfmt_misc'
run_line 'mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc'
run_line 'systemctl restart systemd-binfmt'
runs
"$tool" doctor > /tmp/advice || [ $? = 3 ]
refuses grep not-mounted /tmp/advice
END
    shut_down
}
