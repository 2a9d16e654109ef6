# Debian bookworm (6.1), systemd, nix-daemon: the same as trixie; no message proposes `run`, which refuses
. "$here/rows/trixie.sh"
suite=bookworm
debs=(qemu-user-static)
later=(qemu-user-static qemu-user qemu-user-binfmt)

# Its kernel has one table for all namespaces.
prepare() {
    guest "run refuses, and no message proposes it" <<'END'
fails 6 as_user run -s aarch64 -- true
fails 4 as_user register aarch64
refuses grep -w 'binfmt-nix run' /tmp/said
rm /tmp/binfmt-nix /tmp/qemu-aarch64
END
}

# QEMU 7.2 refuses programs of hexagon with revisions that it does not know.
with_distribution() {
    guest "programs of hexagon run under QEMU 7.2" <<'END'
/usr/bin/qemu-hexagon-static --version | grep 'version 7\.2'
"$tool" register hexagon --qemu /usr/bin/qemu-hexagon-static --no-persist --no-nix --force
"$tool" test hexagon
"$tool" unregister hexagon
END
}
