# Debian trixie (6.12) with the .deb of packaging/packages: its unit restores the entry at boot, and its removal leaves nothing
. "$here/rows/trixie.sh"
image=trixie
network=

more_files() {
    because "the package could not be made: see target/machines/$name.log"
    BINFMT_NIX_DIST=$1 packaging/packages deb >> "$work/$name.log" 2>&1
}

checks() {
    boot 1
    guest "the package is installed, and its unit is off" <<'END'
list_files > /root/before
dpkg -i /root/in/binfmt-nix_*.deb
systemctl daemon-reload
[ "$(systemctl is-enabled binfmt-nix.service)" = disabled ]
systemd-analyze verify --man=no binfmt-nix.service
is_unregistered
binfmt-nix doctor
END
    guest "register, and from now on only the unit of the package registers at boot" <<'END'
binfmt-nix register aarch64 --qemu /root/in/qemu-aarch64
runs
# register needs no unit where systemd-binfmt works.
[ ! -e /etc/systemd/system/binfmt-nix.service ]
systemctl enable binfmt-nix.service
systemctl mask systemd-binfmt.service
END
    shut_down
    boot 2
    guest "after a reboot the entry is there" <<'END'
refuses systemctl is-active systemd-binfmt.service
[ "$(systemctl is-active binfmt-nix.service)" = active ]
[ "$(systemctl show -P FragmentPath binfmt-nix.service)" = /usr/lib/systemd/system/binfmt-nix.service ]
journalctl -b -u binfmt-nix.service
runs
binfmt-nix status --check aarch64
binfmt-nix doctor
END
    power_cut
    boot 3
    guest "after a loss of power the entry is there, also with systemd-binfmt beside it" <<'END'
runs
systemctl unmask systemd-binfmt.service
systemctl restart systemd-binfmt.service binfmt-nix.service
runs
binfmt-nix doctor
END
    guest "the package is upgraded, removed and purged" <<'END'
dpkg -i /root/in/binfmt-nix_*.deb
runs
dpkg -r binfmt-nix
is_unregistered
dpkg -P binfmt-nix
list_files > /root/after
diff /root/before /root/after
END
    shut_down
    boot 4
    guest "after a reboot nothing is registered, and no unit has failed" <<'END'
is_unregistered
[ -z "$(systemctl --failed --no-legend | grep binfmt || true)" ]
END
    shut_down
}
