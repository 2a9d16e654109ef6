# Debian trixie (6.12) with AppArmor's profiles loaded: `run` as a user with our profile, register, reboots, no denial
. "$here/rows/trixie.sh"
image=trixie
network=

more_files() { cp packaging/apparmor/binfmt-nix "$1/profile"; }

prepare() {
    guest "run as a user, with our profile" <<'END'
aa-enabled
[ "$(wc -l < /sys/kernel/security/apparmor/profiles)" -gt 0 ]
install -m 755 "$tool" /usr/local/bin/binfmt-nix
install -m 755 /root/in/qemu-aarch64 /tmp/qemu-aarch64
install -D -m 755 /root/in/busybox /tmp/run/uname
run_as_user() {
    HOME=/home/user setpriv --reuid=user --regid=user --init-groups /usr/local/bin/binfmt-nix run -s aarch64 \
        --qemu /tmp/qemu-aarch64 -- "$@"
}
# Ubuntu's kernel denies namespaces to programs without a profile; Debian's may have this setting, too.
restriction=/proc/sys/kernel/apparmor_restrict_unprivileged_userns
if [ -e "$restriction" ]; then
    echo 1 > "$restriction"
    refuses run_as_user /tmp/run/uname -m
else
    echo "the kernel has no $restriction"
    run_as_user /tmp/run/uname -m
fi
install -m 644 /root/in/profile /etc/apparmor.d/binfmt-nix
apparmor_parser -r /etc/apparmor.d/binfmt-nix
grep '^binfmt-nix ' /sys/kernel/security/apparmor/profiles
[ "$(run_as_user /tmp/run/uname -m)" = aarch64 ]
run_as_user cat /proc/self/attr/current | grep '^binfmt-nix'
END
}

after_register() {
    restart_systemd_binfmt
    guest "nothing of this tool was denied" <<'END'
! dmesg | grep 'apparmor="DENIED"' | grep -E 'binfmt|qemu'
END
}

checks() { survives_reboots; }
