# shellcheck shell=bash
# System features: nixpkgs requires gccarch-armv7-a of a builder for armv7l-linux, and others for other systems.

features() {
    local conf=/etc/nix/nix.conf
    check "features: register armv7l exits 0, and says that Nix has no features per system" registers_armv7l
    check "features: armv7l-linux with gccarch-armv7-a is built, by emulation" \
        builds_requiring armv7l-linux armv7l gccarch-armv7-a
    check "features: armv6l-linux with gccarch-armv6kz is built" builds_requiring armv6l-linux armv7l gccarch-armv6kz
    check "features: the default features of Nix are kept" builds_requiring armv7l-linux armv7l big-parallel gccarch-armv7-a
    check "features: a feature of another processor is refused" refuses_requiring armv7l-linux gccarch-znver3
    check "features: nix-conf --builder has each on the line of its systems, and none on the native one" lines_of_features
    note armv7l

    sed -i '1i system-features = theirs' "$conf"
    check "features: a system-features line before ours is kept, and ours is appended" \
        builds_requiring armv7l-linux armv7l theirs gccarch-armv7-a
    check "features: and it still replaces the default" refuses_requiring armv7l-linux big-parallel
    sed -i 1d "$conf"
    check "features: without it, all is as registered" same armv7l

    echo "system-features = theirs # only this" >> "$conf"
    check "features: a later system-features line is a finding" finds nix-lacks-feature
    check "features: Nix refuses the derivation then" refuses_requiring armv7l-linux gccarch-armv7-a
    check "features: its repair works" repairs_features
    check "features: then the derivation is built" builds_requiring armv7l-linux armv7l gccarch-armv7-a
    sed -i '/theirs/,+1d' "$conf"
    check "features: unregister exits 0" exits 0 "$tool" unregister arm
    check "features: all is as before" same before

    mkdir -p /root/.config/nix
    echo "system-features = theirs" > /root/.config/nix/nix.conf
    check "features: register reports that a user file of root overrides them, and exits 3" overruled_features
    rm -r /root/.config/nix
    check "features: unregister exits 0 again" exits 0 "$tool" unregister arm
    check "features: all is as before again" same before
}

# The same for an ordinary user, whose settings a daemon ignores: those of `register` count.
features_through_the_daemon() {
    local as_joe=(NIX_REMOTE=daemon HOME=/home/joe setpriv --reuid 1000 --regid 1000 --clear-groups)
    install -d -o 1000 -g 1000 /home/joe
    start_daemon
    check "features: through the daemon, before register, armv7l-linux is refused" \
        refuses_requiring armv7l-linux gccarch-armv7-a env "${as_joe[@]}"
    stop_daemon
    check "features: register armv7l exits 0" registers_armv7l
    start_daemon
    check "features: through the daemon, as an ordinary user, armv7l-linux with gccarch-armv7-a is built" \
        builds_requiring_by "env ${as_joe[*]}" armv7l-linux armv7l gccarch-armv7-a
    check "features: and armv6l-linux with gccarch-armv6kz" \
        builds_requiring_by "env ${as_joe[*]}" armv6l-linux armv7l gccarch-armv6kz
    check "features: a feature of another processor is refused" refuses_requiring armv7l-linux gccarch-znver3 env "${as_joe[@]}"
    check "features: test --nix proves armv7l as this user" proves_armv7l "${as_joe[@]}"
    check "features: the doctor finds nothing, as this user" exits_and_says 0 "nothing is wrong" env "${as_joe[@]}" "$tool" doctor
    stop_daemon
    check "features: unregister exits 0 for the daemon's user, too" exits 0 "$tool" unregister arm
    rm -rf /home/joe
    check "features: all is as before the daemon" same before
}

proves_armv7l() {
    exits 0 env "$@" "$tool" test armv7l --nix &&
        says "Nix built a derivation for armv7l-linux in its sandbox (as $(getent passwd 1000 | cut -d : -f 1))"
}

repairs_features() { "${clean[@]}" "$tool" doctor --json > "$home/said"; obey && finds ""; }

overruled_features() {
    exits 3 "$tool" register armv7l && says "would still refuse derivations that require gccarch-" "extra-system-features"
}

registers_armv7l() { exits 0 "$tool" register armv7l && says "gccarch-armv7-a" "no features per system"; }

builds_requiring() { builds_requiring_by "" "$@"; }

# builds_requiring_by COMMAND SYSTEM MACHINE FEATURE…: COMMAND is one word of the shell with all of its arguments.
builds_requiring_by() {
    local by=$1 system=$2 machine=$3 file out
    shift 3
    file=$(requiring "$system" armhf "$@")
    chmod -R a+rX "$home" "$file"
    exits 0 $by nix-build --no-out-link --option sandbox true "$file" || return 1
    out=$(tail -n 1 "$home/said")
    cat "$out"
    [ "$(head -n 1 "$out")" = "$machine" ]
}

# refuses_requiring SYSTEM FEATURE [COMMAND…]: by the messages of Nix 2.8 and of later releases.
refuses_requiring() {
    local file
    file=$(requiring "$1" armhf "$2")
    chmod -R a+rX "$home" "$file"
    ! exits 0 "${@:3}" nix-build --no-out-link --option sandbox true "$file" || return 1
    says "with features {$2} is required to build" || says "Required features: {$2}" || says "missing system features"
}

lines_of_features() {
    exits 0 "$tool" nix-conf --builder build && [ "$(grep -c ^ssh-ng "$home/said")" = 4 ] &&
        ! grep '^ssh-ng://build x86_64-linux' "$home/said" | grep gccarch-arm &&
        grep '^ssh-ng://build armv7l-linux,armv7a-linux ' "$home/said" | grep 'gccarch-armv7-a' &&
        ! grep '^ssh-ng://build arm' "$home/said" | grep kvm
}
