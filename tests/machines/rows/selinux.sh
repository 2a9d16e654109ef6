# Debian trixie with SELinux enforcing: as a service, as root and as a user without confinement, restart, reboot, undo
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
    audited "register without execmem: exit 6, with the boolean" <<'END'
setsebool allow_execmem 0
status=0
register 2> /tmp/said || status=$?
cat /tmp/said
[ "$status" = 6 ]
grep -q allow_execmem /tmp/said
[ ! -e "$table/qemu-aarch64" ]
# What was denied until now was denied on purpose.
denials > /root/denials
END
    guest "register as a service of root" <<'END'
id -Z
setsebool -P allow_execmem 1
register
runs
"$tool" status
"$tool" doctor
ls -Z /usr/local/libexec/binfmt-nix/bin/qemu-aarch64 | grep -w bin_t
systemctl restart systemd-binfmt
runs
"$tool" unregister all
is_unregistered
END
    guest "register as root, logged in without confinement" <<'END'
unconfined() { runcon -u unconfined_u -r unconfined_r -t unconfined_t -- "$@"; }
unconfined id -Z | grep '^unconfined_u:unconfined_r:unconfined_t:'
# The files in /root/in have the label of a home directory, because of the confined process that wrote them.
install -m 755 "$tool" /usr/local/bin/binfmt-nix
restorecon -R /usr/local/bin /root/in
unconfined binfmt-nix register aarch64 --qemu /root/in/qemu-aarch64
runs
unconfined binfmt-nix status
unconfined binfmt-nix doctor
ls -Z /usr/local/libexec/binfmt-nix/bin/qemu-aarch64 | grep -w bin_t
END
    guest "run, status and doctor as an ordinary user without confinement" <<'END'
install -m 755 "$tool" /tmp/binfmt-nix
install -m 755 /root/in/qemu-aarch64 /tmp/qemu-aarch64
install -D -m 755 /root/in/busybox /tmp/run/uname
as_unconfined_user() {
    HOME=/home/user runcon -u unconfined_u -r unconfined_r -t unconfined_t -- \
        setpriv --reuid=user --regid=user --init-groups "$@"
}
as_unconfined_user id
[ "$(as_unconfined_user /tmp/run/uname -m)" = aarch64 ]
as_unconfined_user /tmp/binfmt-nix status
as_unconfined_user /tmp/binfmt-nix doctor
[ "$(as_unconfined_user /tmp/binfmt-nix run -s aarch64 --qemu /tmp/qemu-aarch64 -- /tmp/run/uname -m)" = aarch64 ]
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
refuses systemctl is-failed systemd-binfmt.service
END
    audited "nothing of this tool was denied" <<'END'
refuses grep . <(comm -13 /root/denials <(denials))
END
    guest "unregister without confinement leaves no entry" <<'END'
runcon -u unconfined_u -r unconfined_r -t unconfined_t -- binfmt-nix unregister all
is_unregistered
END
    shut_down
}

# The same as guest, with a function that prints what was denied.
audited() {
    {
        cat <<'END'
denials() { { ausearch -m avc 2> /dev/null || true; dmesg; } | sed -n '/avc:.*\(binfmt\|qemu-aarch64\)/p' | sort; }
END
        cat
    } | guest "$1"
}
