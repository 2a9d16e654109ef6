# shellcheck shell=bash
# The build at the end of `register`, through a daemon and as an ordinary user, on each generation of Nix.

the_newest_nix() {
    check "newest Nix: it is another generation" another_generation
    install -d -o 1000 -g 1000 /home/joe
    chmod -R a+rX "$home/bin"
    inside
    rm -rf /home/joe
    note before
    proof
    features_through_the_daemon
    accelerated_builds
}

another_generation() { exits 0 nix --version && ! says "(Nix) 2.8" > /dev/null; }

proof() {
    local as_joe=(HOME=/home/joe setpriv --reuid 1000 --regid 1000 --clear-groups)
    below_sudo=(SUDO_UID=1000 SUDO_GID=1000)
    user=$(getent passwd 1000 | cut -d : -f 1)
    built="Nix built a derivation for each of aarch64-linux riscv64-linux in its sandbox (as $user)"
    install -d -o 1000 -g 1000 /home/joe
    start_daemon
    check "proof: with --no-nix, nothing is built" without_nix
    check "proof: --dry-run names the build, and changes nothing" dry_run
    check "proof: a daemon with old settings: exit 3, Nix's message, its cause and the command" old_settings
    check "proof: status and test repeat that, for every user" repeated "${as_joe[@]}"
    check "proof: register repeats it, too" repeated_by_register
    check "proof: the command restarts the daemon" restart_as_printed
    daemon=$(running_daemon)
    check "proof: then register only builds, and the last line reports it" proven_at_last
    check "proof: status has the build and its time, and does not warn any more" remembered
    check "proof: nothing is left in the store but lock files" nothing_left
    check "proof: Nix builds aarch64-linux for the user, too" builds aarch64-linux arm64 aarch64 "${as_joe[@]}"
    check "proof: Nix builds riscv64-linux for the user, too" builds riscv64-linux riscv64 riscv64 "${as_joe[@]}"
    documented_lines "${as_joe[@]}"
    lines_of_the_doctor "${as_joe[@]}"
    echo 'sandbox = false' >> /etc/nix/nix.conf
    check "proof: the doctor prints the same command" restart_as_the_doctor_prints
    daemon=$(running_daemon)
    check "proof: without the sandbox it is not claimed" exits_and_says 0 "not in its sandbox (as $user)" \
        env "${below_sudo[@]}" "$tool" test aarch64 --nix
    sed -i '/^sandbox = false$/s/.*/max-jobs = 0/' /etc/nix/nix.conf
    check "proof: settings with which Nix builds nothing: exit 3, and Nix's message" exits_and_says 3 "max-jobs" \
        env "${below_sudo[@]}" "$tool" test aarch64 --nix
    sed -i '/^max-jobs = 0$/d' /etc/nix/nix.conf
    check "proof: unregister names the daemon, exits 3" exits_and_says 3 "nix-daemon (process" "$tool" unregister all
    kill "$daemon"
    rm -rf /home/joe
    check "proof: all is as before" same before
}

exits_and_says() {
    local code=$1 text=$2
    shift 2
    exits "$code" "$@" && says "$text"
}

registers_both() { exits "$1" env "${below_sudo[@]}" "$tool" register aarch64,riscv64 "${@:2}"; }

without_nix() {
    registers_both 0 --no-nix && ! says "Nix built" > /dev/null && exits 0 "$tool" unregister all
}

dry_run() {
    registers_both 0 --dry-run && says "would build      a derivation for each of aarch64-linux riscv64-linux, by Nix as $user" &&
        same before
}

old_settings() {
    registers_both 3 && says "nix-daemon (process $daemon)" "the cause: Nix refuses a build" \
        "Nix did not build a derivation for riscv64-linux (as $user)" || return 1
    # The command that restarts the daemon is the end of its line.
    sed -n "s/.*to restart it: sudo //p" "$home/said" | head -n 1 > "$home/restart"
    [ -s "$home/restart" ]
}

repeated() {
    exits 0 env "$@" "$tool" status && says "nix-daemon (process $daemon)" "to restart it: sudo " "failed" &&
        exits 0 env "$@" "$tool" test aarch64 && says "nix-daemon (process $daemon)"
}

repeated_by_register() { registers_both 3 && says "nix-daemon (process $daemon)" "already registered"; }

# Pastes the command into a shell of root, as sudo does.
restart_as_printed() {
    "${clean[@]}" bash -c "$(cat "$home/restart")"
    restarted
}

running_daemon() { pgrep -o -f '^([^ ]*/)?nix-daemon'; }

# Waits until the old daemon has ended and another one answers.
restarted() {
    for _ in {1..1200}; do
        case $(running_daemon) in
            '' | "$daemon") ;;
            *) ! answers || return 0 ;;
        esac
        sleep 0.05
    done
    return 1
}

answers() { exits 1 env NIX_REMOTE=daemon nix-store --query --hash "$home" > /dev/null && says "not in the Nix store"; }

nothing_left() {
    [ -z "$(compgen -G '/nix/store/*-binfmt-nix-probe*' | grep -v '\.lock$')" ] && ! compgen -G '/tmp/binfmt-nix-*'
}

proven_at_last() {
    registers_both 0 && says "already registered" && [ "$(tail -n 1 "$home/said")" = "$built" ]
}

remembered() {
    exits 0 "$tool" status && says "built " " ago" && ! says "to restart it" > /dev/null || return 1
    exits 0 "$tool" status --json && says '"result": "built-in-sandbox"' "\"user\": \"$user\""
}

restart_as_the_doctor_prints() {
    sleep 0.5
    touch /etc/nix/nix.conf
    "${clean[@]}" "$tool" doctor --json > "$home/said"
    says '"daemon-not-restarted"' && obey && restarted
}

# Runs the lines of the README, as they are, on a Nix without any setting for them. <nixpkgs> and the flake are tiny ones.
documented_lines() {
    local line number=0 pkgs=$home/nixpkgs
    mkdir -p "$pkgs/bin"
    cp "$home/bin/busybox-arm64" "$pkgs/bin/busybox"
    cat > "$pkgs/default.nix" << 'END'
{ system ? builtins.currentSystem }: {
  hello = derivation {
    name = "hello"; inherit system; builder = "${./bin}/busybox";
    args = [ "ash" "-c" "${./bin}/busybox uname -m > $out" ];
  };
}
END
    cat > "$pkgs/flake.nix" << 'END'
{ outputs = _: rec {
    legacyPackages.aarch64-linux = import ./default.nix { system = "aarch64-linux"; };
    packages.aarch64-linux.default = legacyPackages.aarch64-linux.hello;
}; }
END
    echo '{"version":2,"flakes":[{"from":{"type":"indirect","id":"nixpkgs"},"to":{"type":"path","path":"'"$pkgs"'"}}]}' \
        > "$home/registry.json"
    chmod -R a+rX "$home"
    while read -r line; do
        number=$((number + 1))
        check "README: $line" documented_line "$line" "$@"
    done < <(sed -n 's/^    \(nix[- ]build .*aarch64[^|]*\)$/\1/p' "$home/README.md")
    check "README: it has a line for each command of Nix" [ "$number" = 2 ]
}

# The lines for emulated builds that the doctor prints for a cross build, in a directory with a flake and a default.nix.
lines_of_the_doctor() {
    local line number=0
    # A message that the doctor knows is a finding.
    "${clean[@]}" "$tool" doctor pkgsCross.aarch64-multiplatform.hello > "$home/lines" || [ $? = 3 ]
    while read -r line; do
        number=$((number + 1))
        check "doctor: $line" line_of_the_doctor "$line" "$@"
    done < <(sed -n 's/^ *\(nix[- ]build .*aarch64.*\)$/\1/p' "$home/lines")
    check "doctor: it prints three lines for emulated builds" [ "$number" = 3 ]
}

line_of_the_doctor() {
    local line=$1 registry="extra-experimental-features = flakes
flake-registry = $home/registry.json"
    shift
    exits 0 env NIX_CONFIG="$registry" "$@" bash -c "cd && rm -rf work && cp -r '$home/nixpkgs' work && cd work || exit
        $line
        [ \"\$(cat result)\" = aarch64 ]"
}

# The flake is found in a registry without a network. Nix reads that setting only with the feature for flakes, so that it
# is set, too: a stock Nix gets as far as the download of the registry.
documented_line() {
    local line=$1 registry="extra-experimental-features = flakes
flake-registry = $home/registry.json"
    shift
    "${clean[@]}" "NIX_CONFIG=download-attempts = 1" NIX_PATH=nixpkgs=/nonexistent "$@" bash -c "cd && $line" > "$home/said" 2>&1
    says "unable to download" || says "'nixpkgs'" || says "/nonexistent" || { cat "$home/said"; return 1; }
    ! says "experimental" > /dev/null || return 1
    exits 0 env NIX_PATH="nixpkgs=$home/nixpkgs" NIX_CONFIG="$registry" "$@" \
        bash -c "cd && rm -f result && $line && [ \"\$(cat result)\" = aarch64 ]"
}
