# shellcheck shell=bash
# A container that keeps running: `register --watch`. This table belongs to the machine, so tests/e2e tests on a private
# table what happens when the whole table is emptied.

holding() {
    if [ -z "$elsewhere" ]; then
        ! mounted || umount "$table"
        check "hold: without a table on the machine, it keeps running" holds_on aarch64
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
    check "hold: a second --watch is refused" runs 3 --privileged "$image" register riscv64 --watch --wait 1
    echo -1 > "$table/binfmt-nix-aarch64"
    check "hold: a removed entry is registered again" comes_back
    check "hold: podman stop ends it with 0, and the entry stays" stopped 0
    check "hold: this machine runs programs of aarch64" says_machine aarch64 arm64
    check "hold: with --on-stop remove it is ready" holds_on aarch64 --on-stop remove
    check "hold: podman stop ends it with 0" stopped 0
    check "hold: the table is as before" same_table before
    check "hold: killed, it leaves the entry" killed
    check "hold: another container continues with it" holds_on aarch64 --on-stop remove
    check "hold: and removes it at its end" stopped 0
    check "hold: the table is as before" same_table before
}

# holds_on WORD…: starts a container in the background and waits until it is ready.
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

# stopped CODE: stops the container and checks its exit status. SIGTERM must be enough, without the SIGKILL that podman
# sends after its timeout.
stopped() {
    local code
    podman stop --time 200 hold && code=$(podman wait hold) && podman rm hold && [ "$code" = "$1" ]
}

killed() {
    holds_on aarch64 && podman kill --signal KILL hold && podman wait hold && podman rm hold && says_machine aarch64 arm64
}

comes_back() { until_so [ -e "$table/binfmt-nix-aarch64" ] && until_so says_machine aarch64 arm64; }

says_nothing() { ! says_machine aarch64 arm64; }
