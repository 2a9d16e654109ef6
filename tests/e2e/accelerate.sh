# shellcheck shell=bash
# `accelerate` with real Nix: derivations that use gzip of a store path, which is BusyBox. `--check` builds them with the
# native gzip and without it, directly and through a daemon.

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
    guest=$(nix-store --add "$home/guest")
    check "accelerate: gzip of the store is proven and registered" exits_and_says 0 "aarch64: gzip: " \
        "$tool" accelerate aarch64 --pair "$guest/gzip=$home/native/gzip"
    checks_of_derivations root
    start_daemon
    check "accelerate --check: an ordinary user gets the line for root, exit 4" needs_root "${as_joe[@]}"
    check "accelerate --check: that line works" line_of_root_works
    checks_of_derivations "root through the daemon" NIX_REMOTE=daemon
    echo 'trusted-users = root joe' >> /etc/nix/nix.conf
    stop_daemon
    start_daemon
    checks_of_derivations "a trusted user" "${as_joe[@]}"
    sed -i '/^trusted-users/d' /etc/nix/nix.conf
    stop_daemon
    check "accelerate --off: exits 0" exits 0 "$tool" accelerate --off
    check "accelerate: unregister exits 0" exits 0 "$tool" unregister aarch64
    rm -rf /home/joe
    check "accelerate: all is as before" same before
}

# checks_of_derivations USER COMMAND…
checks_of_derivations() {
    local user=$1
    shift
    check "accelerate --check: the same output, as $user" checked 0 "the same output; " same "$@"
    check "accelerate --check: again, after it was built" exits_and_says 0 "the same output; " env "$@" \
        "$tool" accelerate --check "$(cat "$home/drv")"
    check "accelerate --check: an output that names the running program differs, as $user" \
        checked 3 "DIFFERENT outputs; " names_program "$@"
    check "accelerate --check: an output that is never the same is no result, as $user" \
        checked 3 "the build is not reproducible" random "$@"
    check "accelerate --check: a build that fails, as $user" checked 3 "it-fails" fails "$@"
    check "accelerate --check: a derivation that does not exist, as $user" exits_and_says 3 "is not valid" env "$@" \
        "$tool" accelerate --check /nix/store/00000000000000000000000000000000-none.drv
}

# checked CODE TEXT SCRIPT COMMAND…: checks a new derivation with this script.
checked() {
    local code=$1 text=$2 script=$3
    shift 3
    gzip_derivation "$script" > "$home/drv" && exits_and_says "$code" "$text" env "$@" "$tool" accelerate --check "$(cat "$home/drv")"
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
        name = \"check-$((serial += 1))-$RANDOM\"; system = \"aarch64-linux\"; g = \"\${$home/guest}/gzip\"; b = \"\${$home/bin}/busybox-arm64\";
        builder = \"\${$home/bin}/busybox-arm64\"; args = [ \"ash\" \"-c\" ''$script'' ];
    }" 2> /dev/null
}

needs_root() {
    gzip_derivation same > "$home/drv"
    exits_and_says 4 "run: sudo $tool accelerate --check $(cat "$home/drv")" env "$@" "$tool" accelerate --check "$(cat "$home/drv")"
}

# As sudo runs it: root, for joe.
line_of_root_works() {
    local line
    line=$(sed -n 's/^.*run: sudo //p' "$home/said") && [ -n "$line" ] || return 1
    exits_and_says 0 "the same output; " env SUDO_UID=1000 SUDO_GID=1000 bash -c "$line"
}
