# Debian trixie (6.12) with a masked systemd-binfmt: the entry is there after reboots
. "$here/rows/trixie.sh"
image=trixie
network=

prepare() {
    guest "systemd-binfmt is masked" <<'END'
systemctl mask systemd-binfmt.service
END
}

after_register() { :; }

checks() { survives_reboots; }
