# Debian bookworm (6.1) with systemd: the entry is there after restarts of systemd-binfmt and after reboots; no `run`
. "$here/rows/trixie.sh"
suite=bookworm

# Its kernel has one table for all namespaces.
prepare() {
    guest "run refuses, and no message proposes it" <<'END'
install -m 755 "$tool" /tmp/binfmt-nix
as_user() { setpriv --reuid=user --regid=user --init-groups "$@" 2> /tmp/said; }
status=0
as_user /tmp/binfmt-nix run -s aarch64 -- true || status=$?
cat /tmp/said
[ "$status" = 6 ]
status=0
as_user /tmp/binfmt-nix register aarch64 || status=$?
[ "$status" != 0 ]
cat /tmp/said
rm /tmp/binfmt-nix
! grep -w 'binfmt-nix run' /tmp/said
END
}
