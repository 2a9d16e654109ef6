# Linux 6.12 on aarch64 with BusyBox's init: x86_64 (also by box64), i386, riscv64, native arm, reboots, undo; tests of magic
. "$here/rows/aarch64.sh"
network=
# Only unpacked: nothing has to be emulated here. So systemd and the nix-daemon, which have to be configured, are missing.
variant=extract
packages=(base-files base-passwd bash coreutils findutils grep sed tar diffutils util-linux kmod libc-bin hostname
    busybox-static linux-image-cloud-arm64 qemu-user liblzma5 box64)

start_agent_at_boot() {
    mkdir -p "$1/etc/init.d"
    printf '%s\n' '::sysinit:/etc/init.d/rcS' '::respawn:/usr/lib/tests/agent' > "$1/etc/inittab"
    cat > "$1/etc/init.d/rcS" << 'RCS'
#!/bin/busybox sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o mode=755 run /run
[ -e /lib/modules/$(uname -r)/modules.dep.bin ] || /usr/sbin/depmod
/usr/sbin/modprobe virtio_console
for i in /etc/init.d/S??* ;do
    [ ! -x "$i" ] || "$i" start
done
RCS
    chmod 755 "$1/etc/init.d/rcS"
    local name
    for name in sbin/init sbin/poweroff bin/sh; do
        [ -e "$1/usr/$name" ] || ln -s ../bin/busybox "$1/usr/$name"
    done
}

add_user() {
    cp "$1/usr/share/base-passwd/passwd.master" "$1/etc/passwd"
    cp "$1/usr/share/base-passwd/group.master" "$1/etc/group"
    echo user:x:1000:1000::/home/user:/bin/bash >> "$1/etc/passwd"
    echo user:x:1000: >> "$1/etc/group"
    install -d -o 1000 -g 1000 "$1/home/user"
    mkdir -p "$1"/{root,tmp,var/lib,etc,run,proc,sys,dev}
}

# The modules of the disk and its file system, in BusyBox. Their order is found by trying.
make_initrd() {
    local dir=$work/$image.initrd.d module
    rm -rf "$dir"
    mkdir -p "$dir"/{bin,m,proc,dev,root}
    cp "$1/usr/bin/busybox" "$dir/bin/busybox"
    for module in virtio virtio_ring virtio_pci virtio_pci_modern_dev virtio_pci_legacy_dev virtio_blk crc16 crc32c_generic \
        libcrc32c mbcache jbd2 ext4; do
        find "$1"/usr/lib/modules "$1"/lib/modules -name "$module.ko*" -exec cp {} "$dir/m" \; 2>/dev/null
    done
    find "$dir/m" -name '*.xz' -exec xz -d {} +
    cat > "$dir/init" << 'INIT'
#!/bin/busybox sh
busybox mount -t devtmpfs dev /dev
for pass in 1 2 3 4 5; do
    for module in /m/*; do busybox insmod "$module" 2> /dev/null; done
done
until [ -b /dev/vda ]; do busybox sleep 1; done
busybox mount -t ext4 /dev/vda /root
exec busybox switch_root /root /sbin/init
INIT
    chmod 755 "$dir/init"
    (cd "$dir" && find . | "$data/corpus/busybox-static-amd64/bin/busybox" cpio -o -H newc) > "$2"
    rm -r "$dir"
}

checks() {
    boot 1
    guest "tests of the table of systems" <<'END'
chmod 755 /root/in/magic-tests
/root/in/magic-tests --quiet
END
    guest "box64 runs programs of x86_64 until its rule is unregistered" <<'END'
uname -a
list_files > /root/before
refuses foreign_run amd64 x86_64
"$tool" register x86_64 --emulator box64
cat "$table/box64-x86_64"
# box64 0.3.4 ends the static BusyBox with the status 128, after BusyBox has done its work.
[ "$(/tmp/foreign/uname -m)" = x86_64 ]
"$tool" status
"$tool" doctor || [ $? = 3 ]
"$tool" unregister box64-x86_64
refuses foreign_run amd64 x86_64
list_files > /root/after
diff /root/before /root/after
END
    guest "register" <<'END'
for system in x86_64 i386 riscv64; do "$tool" register "$system" --qemu "/usr/bin/qemu-$system"; done
foreign_runs
"$tool" status
"$tool" doctor
"$tool" test x86_64 i386 riscv64
END
    guest "arm programs run without an emulator, and register refuses" <<'END'
foreign_run armhf 'arm.*|aarch64'
fails 2 "$tool" register arm
END
    shut_down
    boot 2
    guest "after a reboot the entries are there" <<'END'
foreign_runs
"$tool" status --check x86_64
"$tool" doctor
END
    power_cut
    boot 3
    guest "after a loss of power the entries are there, and unregister leaves nothing" <<'END'
foreign_runs
"$tool" unregister all
refuses foreign_run amd64 x86_64
list_files > /root/after
diff /root/before /root/after
END
    shut_down
}
