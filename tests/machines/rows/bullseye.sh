# Debian bullseye (5.10) with systemd: the entry is there after restarts of systemd-binfmt and after reboots
. "$here/rows/trixie.sh"
suite=bullseye
