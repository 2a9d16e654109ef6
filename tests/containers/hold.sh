# shellcheck shell=bash
# A container that stays: `register --watch`. (What it does when the whole table is emptied, tests/e2e shows on a table of
# its own: this one is the machine's.)

holding() {
    if [ -z "$elsewhere" ]; then
        ! mounted || umount "$table"
        check "hold: where nobody else has the table, it stays" holds_on aarch64
        check "hold: this machine runs programs of aarch64" says_machine aarch64 arm64
        mount -t binfmt_misc binfmt_misc "$table"
        check "hold: its entry is in the machine's table" [ -e "$table/binfmt-nix-aarch64" ]
        umount "$table"
        check "hold: stopped, it ends with 0, and the table with it" stopped 0
        check "hold: this machine does not run programs of aarch64" says_nothing
        mount -t binfmt_misc binfmt_misc "$table"
        check "hold: the table is a new one" same_table before
    fi
    check "hold: it is ready" holds_on aarch64
    check "hold: a second one may not hold too" runs 3 --privileged "$image" register riscv64 --watch --wait 1
    echo -1 > "$table/binfmt-nix-aarch64"
    check "hold: an entry that somebody removes is back" comes_back
    check "hold: podman stop ends it with 0, and the entry stays" stopped 0
    check "hold: this machine runs programs of aarch64" says_machine aarch64 arm64
    check "hold: with --on-stop remove it is ready" holds_on aarch64 --on-stop remove
    check "hold: podman stop ends it with 0" stopped 0
    check "hold: the table is as before" same_table before
    check "hold: killed, it leaves the entry" killed
    check "hold: another one goes on with it" holds_on aarch64 --on-stop remove
    check "hold: and takes it away" stopped 0
    check "hold: the table is as before" same_table before
}

# holds_on WORD…: a container in the background, until it says that it is ready.
holds_on() {
    podman run --detach --name hold --network none --cap-drop all --cap-add SYS_ADMIN --read-only \
        "$image" register "$@" --watch || return 1
    until_so said_ready
}

said_ready() { podman logs hold 2>&1 | grep -F ' info holding '; }

until_so() {
    local _
    for _ in {1..1200}; do
        ! "$@" || return 0
        sleep 0.1
    done
    podman logs hold
    return 1
}

# stopped CODE: by SIGTERM, not by the SIGKILL that podman sends after its patience.
stopped() {
    local code
    podman stop --time 20 hold && code=$(podman wait hold) && podman rm hold && [ "$code" = "$1" ]
}

killed() {
    holds_on aarch64 && podman kill --signal KILL hold && podman wait hold && podman rm hold && says_machine aarch64 arm64
}

comes_back() { until_so [ -e "$table/binfmt-nix-aarch64" ] && until_so says_machine aarch64 arm64; }

says_nothing() { ! says_machine aarch64 arm64; }
