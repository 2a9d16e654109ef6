# shellcheck shell=bash
# Nothing is written to disk: `register --in-memory`.

fileless() {
    check "fileless: register exits 0, proven, and reports how long it lasts" in_memory
    check "fileless: the program runs by itself" runs_by_itself
    check "fileless: it runs in a chroot that holds nothing else" runs_in_chroot
    check "fileless: nothing was written" nothing_written
    check "fileless: with the line that it printed, Nix builds for aarch64-linux in its sandbox" \
        builds aarch64-linux arm64 aarch64 NIX_CONFIG="extra-extra-platforms = aarch64-linux"
    check "fileless: status reports that it works, by binfmt-nix" status_is works binfmt-nix false
    check "fileless: unregister exits 0" unregisters
    check "fileless: no entry is left" no_entry
    umount "$table"
    check "fileless: all is as before, but for the mount" same before
}

in_memory() {
    exits 0 "$tool" register aarch64 --in-memory && says "in memory, until this machine restarts" \
        "extra-extra-platforms = aarch64-linux" "stays mounted until then"
}

nothing_written() {
    [ ! -e /var/lib/binfmt-nix ] && [ ! -e "${emulator%/bin/*}" ] && [ ! -e /etc/nix/binfmt-nix.conf ] && no_temporary_file
}

no_entry() { [ "$(ls "$table")" = $'register\nstatus' ]; }
