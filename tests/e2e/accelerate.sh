# shellcheck shell=bash
# `accelerate` with real Nix: derivations that use gzip of a store path, which is BusyBox. `--check` builds them with the
# native gzip and without it.

accelerated_builds() {
    local guest as_joe=(NIX_REMOTE=daemon HOME=/home/joe setpriv --reuid 1000 --regid 1000 --clear-groups)
    install -d -o 1000 -g 1000 /home/joe
    mkdir -p "$home/guest" "$home/native"
    cp "$home/bin/busybox-arm64" "$home/guest/gzip"
    cp "$home/bin/busybox-amd64" "$home/native/gzip"
    chmod -R a+rX "$home"
    note before
    check "accelerate: register exits 0" exits 0 "$tool" register aarch64
    check "accelerate --check: without an accelerated program, exit 3" exits_and_says 3 "no program is accelerated" \
        "$tool" accelerate --check /nix/store/x.drv
    start_daemon
    guest=$(nix-store --add "$home/guest")
    check "accelerate: gzip of the store is proven, and the daemon has to be restarted, exit 3" exits_and_says 3 \
        "nix-daemon (process $daemon)" "$tool" accelerate aarch64 --pair "$guest/gzip=$home/native/gzip"
    stop_daemon
    start_daemon
    check "accelerate: a build through the daemon runs the native gzip" runs_native gzip "${as_joe[@]}"
    stop_daemon
    checks_of_derivations
    check "accelerate --audit 1: exits 0, without a new proof" audits_all "$guest"
    check "accelerate --audit 1: a build runs the program that compares" runs_native binfmt-nix
    check "accelerate --audit 1: a build with both programs has the same output" checked 0 "the same output; " same
    start_daemon
    check "accelerate --check: an ordinary user gets the line for root, exit 4" needs_root "${as_joe[@]}"
    check "accelerate --check: that line works" line_of_root_works
    stop_daemon
    check "accelerate --off: exits 0" exits 0 "$tool" accelerate --off
    check "accelerate: unregister exits 0" exits 0 "$tool" unregister aarch64
    rm -rf /home/joe
    check "accelerate: all is as before" same before
}

checks_of_derivations() {
    check "accelerate --check: the same output" checked 0 "the same output; " same
    check "accelerate --check: again, after it was built" exits_and_says 0 "the same output; " \
        "$tool" accelerate --check "$(cat "$home/drv")"
    check "accelerate --check: an output that names the running program differs" \
        checked 3 "DIFFERENT outputs; " names_program
    check "accelerate --check: an output that is never the same gives no answer" \
        checked 3 "the build is not reproducible" random
    check "accelerate --check: a build that fails" checked 3 "failed with exit code 1" fails
    check "accelerate --check: and the command for its log" reads_log
    check "accelerate --check: a derivation that does not exist" exits_and_says 3 "none.drv'" \
        "$tool" accelerate --check /nix/store/00000000000000000000000000000000-none.drv
}

# checked CODE TEXT SCRIPT: checks a new derivation with this script.
checked() {
    gzip_derivation "$3" > "$home/drv" && exits_and_says "$1" "$2" "$tool" accelerate --check "$(cat "$home/drv")"
}

audits_all() {
    exits 0 "$tool" accelerate aarch64 --pair "$1/gzip=$home/native/gzip" --audit 1 && ! grep 'prove ' "$home/said"
}

# runs_native PROGRAM COMMAND…: builds by COMMAND a derivation that names its running gzip: a file of this program.
runs_native() {
    local program=$1
    shift
    exits 0 env "$@" nix-store --realise "$(gzip_derivation names_program)" || return 1
    cat "$(tail -n 1 "$home/said")"
    grep "^/usr/local/libexec/binfmt-nix/native/aarch64/$program-[0-9a-f]*\$" "$(tail -n 1 "$home/said")"
}

# Prints the path of a new derivation for aarch64-linux. In its script, $b is BusyBox and $g is gzip.
gzip_derivation() {
    local script
    case $1 in
        same) script='for i in 1 2 3 4; do $b cat $b; done | $g -c | $b sha256sum > $out' ;;
        # Once gzip has read more than a pipe holds, the launcher is done.
        names_program) script='$b mkfifo f; $g -c < f > /dev/null & exec 3> f; $b head -c 200000 /dev/zero >&3
            $b readlink /proc/$!/exe > $out' ;;
        random) script='$b cat /proc/sys/kernel/random/uuid | $g -c > $out' ;;
        fails) script='echo it-fails >&2; exit 1' ;;
    esac
    "${clean[@]}" nix-instantiate -E "derivation {
        name = \"check-$RANDOM$RANDOM\"; system = \"aarch64-linux\";
        g = \"\${$home/guest}/gzip\"; b = \"\${$home/bin}/busybox-arm64\";
        builder = \"\${$home/bin}/busybox-arm64\"; args = [ \"ash\" \"-c\" ''$script'' ];
    }" 2> /dev/null
}

reads_log() {
    says "nix-store --read-log $(cat "$home/drv")" && exits_and_says 0 "it-fails" nix-store --read-log "$(cat "$home/drv")"
}

needs_root() {
    gzip_derivation same > "$home/drv"
    exits_and_says 4 "help: run: sudo " env "$@" "$tool" accelerate --check "$(cat "$home/drv")"
}

# As sudo runs it: root, for joe.
line_of_root_works() {
    local line
    line=$(sed -nE 's/^help: run: sudo (--preserve-env=[^ ]+ )?//p' "$home/said")
    [ "$line" = "$tool accelerate --check $(cat "$home/drv")" ] || return 1
    exits_and_says 0 "the same output; " env SUDO_UID=1000 SUDO_GID=1000 bash -c "$line"
}
