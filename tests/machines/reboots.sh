# Checks that several machines share. A row may define prepare, which runs at the beginning, after_register, and
# with_distribution, which runs while the distribution's own QEMU is installed.
prepare() { :; }
after_register() { :; }
with_distribution() { :; }

survives_reboots() {
    boot 1
    prepare
    guest "register" <<'END'
list_files > /root/before
register
runs
"$tool" status
"$tool" doctor
END
    after_register
    shut_down
    boot 2
    guest "after a reboot the entry is there" <<'END'
runs
"$tool" status --check aarch64
"$tool" test aarch64
"$tool" doctor
END
    power_cut
    boot 3
    guest "after a loss of power the entry is there" <<'END'
runs
END
    nothing_is_left
}

restart_systemd_binfmt() {
    guest "after a restart, and after a stop and a start of systemd-binfmt the entry is there" <<'END'
systemctl restart systemd-binfmt.service
runs
systemctl stop systemd-binfmt.service
systemctl start systemd-binfmt.service
runs
"$tool" doctor
END
}

nothing_is_left() {
    guest "unregister leaves nothing" <<'END'
"$tool" unregister all
is_unregistered
list_files > /root/after
diff /root/before /root/after
END
    shut_down
    boot 4
    guest "after a reboot nothing is registered" <<'END'
is_unregistered
END
    shut_down
}

# Nix builds through its daemon, which a user asks.
builds_as_user() {
    guest "$1" <<'END'
builds_as_user
END
}

# The distribution's own QEMU is installed, upgraded and purged. Its packages are in /root/debs, later ones in /root/later.
beside_the_distribution() {
    guest "the distribution's QEMU is installed beside it" <<'END'
DEBIAN_FRONTEND=noninteractive dpkg -i /root/debs/*.deb
runs
systemctl restart systemd-binfmt.service
runs
"$tool" status
"$tool" doctor
"$tool" test aarch64
builds_as_user
END
    with_distribution
    guest "the distribution's QEMU is upgraded beside it" <<'END'
# As apt upgrades packages that break earlier versions of each other.
DEBIAN_FRONTEND=noninteractive dpkg --auto-deconfigure -i /root/later/*.deb
runs
"$tool" status --check aarch64
"$tool" doctor
END
    guest "the distribution's QEMU is purged" <<'END'
DEBIAN_FRONTEND=noninteractive dpkg -P $(dpkg-query -W -f '${Package} ' 'qemu-user*' 'native-arch*')
runs
systemctl restart systemd-binfmt.service
runs
"$tool" doctor
"$tool" test aarch64
builds_as_user
END
}

# Another emulator, which differs in a byte at its end, and the first one again, three times. An emulator that does not work
# is refused.
replaced_without_a_gap() {
    guest "no program fails while the emulator is replaced" <<'END'
runs
cp /root/in/qemu-aarch64 /root/other
printf x >> /root/other
start_programs
"$tool" register aarch64 --qemu /root/other
for number in 1 2 3 4 5; do "$tool" rollback aarch64; done
no_program_failed
"$tool" upgrade
"$tool" doctor
rm /root/other
END
    guest "no program is taken by an emulator that does not work" <<'END'
before=$(cat "$table/qemu-aarch64")
start_programs
fails 1 "$tool" register aarch64 --qemu /root/in/broken-emulator
no_program_failed
grep 'the new emulator of aarch64 does not work: the emulator ended with signal: 4' /tmp/said
[ "$(cat "$table/qemu-aarch64")" = "$before" ]
"$tool" doctor
END
}

# A static program that answers `--version` as QEMU does. With another argument it ends with an illegal instruction.
broken_emulator() {
    gcc -static -O1 -o "$1/broken-emulator" -x c - << 'END'
#include <stdio.h>
#include <string.h>
int main(int count, char **words) {
    if (count != 2 || strcmp(words[1], "--version"))
        __builtin_trap();
    puts("qemu-aarch64 version 11.0.0");
    return 0;
}
END
}

# The same with Nix: the emulator comes by network, Nix builds as a user, and the distribution's QEMU is installed beside it.
survives_reboots_with_nix() {
    boot 1
    prepare
    guest "register by network" <<'END'
connect
usermod -aG nix-users user 2> /dev/null || true
# No build may wait for a server.
echo 'substituters =' >> /etc/nix/nix.conf
systemctl restart nix-daemon.service
# dpkg's database, and what Nix makes when it is used for the first time, do not count as changes.
builds_as_user native
list_files > /root/before
"$tool" register aarch64
runs
"$tool" status
"$tool" doctor
END
    builds_as_user "a user builds through the daemon"
    after_register
    replaced_without_a_gap
    shut_down
    boot 2
    guest "after a reboot the entry is there, and a user builds" <<'END'
runs
"$tool" status --check aarch64
"$tool" test aarch64 --nix
"$tool" doctor
builds_as_user
END
    beside_the_distribution
    power_cut
    boot 3
    guest "after a loss of power the entry is there, and a user builds" <<'END'
runs
builds_as_user
END
    nothing_is_left
}
