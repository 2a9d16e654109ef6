# Debian trixie with SELinux enforcing: the entry is there after reboots and after a restart of systemd-binfmt
packages=(systemd systemd-sysv dbus udev kmod iproute2 ca-certificates linux-image-cloud-amd64 initramfs-tools passwd procps
    netbase zstd util-linux libpam-systemd selinux-policy-default selinux-utils policycoreutils auditd)
system='security=selinux selinux=1 enforcing=1'

start_agent_at_boot() {
    enable_agent_unit "$1"
    # The labels are written here, because a machine that labels itself needs another boot.
    sed -i 's/^SELINUX=.*/SELINUX=enforcing/; s/^SELINUXTYPE=.*/SELINUXTYPE=default/' "$1/etc/selinux/config"
    chroot "$1" setfiles -F -e /proc -e /sys -e /dev /etc/selinux/default/contexts/files/file_contexts /
}

checks() {
    boot 1
    guest "SELinux enforces, without programs in writable memory" <<'END'
[ "$(getenforce)" = Enforcing ]
getsebool -a | grep execmem
END
    guest "register without execmem: exit 6, with the boolean" <<'END'
setsebool allow_execmem 0
status=0
register 2> /tmp/said || status=$?
cat /tmp/said
[ "$status" = 6 ]
grep -q allow_execmem /tmp/said
[ ! -e "$table/qemu-aarch64" ]
END
    guest "register" <<'END'
setsebool -P allow_execmem 1
register
runs
"$tool" status
"$tool" doctor
ls -Z /usr/local/libexec/binfmt-nix/bin/qemu-aarch64 | grep -w bin_t
END
    guest "a restart of systemd-binfmt keeps the entry" <<'END'
systemctl restart systemd-binfmt
runs
END
    shut_down
    boot 2
    guest "after a reboot the entry is there" <<'END'
[ "$(getenforce)" = Enforcing ]
runs
"$tool" status --check aarch64
"$tool" doctor
! systemctl --failed --no-legend | grep binfmt
END
    guest "nothing of this tool was denied" <<'END'
! { ausearch -m avc 2>/dev/null || dmesg; } | grep avc | grep -E 'binfmt|qemu-aarch64'
END
    guest "unregister leaves no entry" <<'END'
"$tool" unregister all
is_unregistered
END
    shut_down
}
