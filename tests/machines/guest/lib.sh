# Functions for the scripts that run in a machine of the tests. /root/in has the tool and what it needs.
set -euo pipefail
tool=/root/in/binfmt-nix
table=/proc/sys/fs/binfmt_misc

# Registers aarch64 without a network.
register() { "$tool" register aarch64 --qemu /root/in/qemu-aarch64 "$@"; }

# A program of aarch64 runs: plain, as an ordinary user, and in an empty chroot.
runs() {
    rm -rf /tmp/aarch64 && mkdir -m 755 /tmp/aarch64
    install -m 755 /root/in/busybox /tmp/aarch64/uname
    [ "$(/tmp/aarch64/uname -m)" = aarch64 ]
    [ "$(setpriv --reuid=user --regid=user --init-groups /tmp/aarch64/uname -m)" = aarch64 ]
    [ "$(chroot /tmp/aarch64 /uname -m)" = aarch64 ]
}

# No entry of this tool is in the table.
is_unregistered() { [ ! -e "$table/qemu-aarch64" ] && ! runs 2>/dev/null; }

# Every file that the tool may change, with its owner, mode, size and target.
list_files() {
    find / -xdev \( -path /var/log -o -path /root -o -path /tmp -o -path /var/lib/systemd -o -path /var/cache -o -path /var/lib/urandom -o -path /usr/lib/rc/cache \) -prune -o \
        -printf '%p %y %m %u %s %l\n' | grep -vE '^/(etc/(mtab|adjtime|resolv.conf)|var/lib/(urandom|initscripts)|var/spool|etc|var/lib|usr/local|) ' | sort
}
