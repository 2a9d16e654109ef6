# shellcheck shell=bash
# Real Nix: derivations, builds, refusals, settings and the daemon.

# Creates a new derivation, so that there is something to build, and prints its file. Its builder reports its environment.
# The files of the machine must be invisible to it, which proves the sandbox.
serial=0
derivation() {
    local system=$1 architecture=$2 file
    file=$(mktemp "$home/XXXXXX.nix")
    mkdir "${file%.nix}"
    cp "$home/bin/busybox-$architecture" "${file%.nix}/busybox"
    cat > "$file" << END
derivation {
  name = "$(basename "$file" .nix)";
  system = "$system";
  builder = "\${./$(basename "$file" .nix)}/busybox";
  args = [ "ash" "-c" ''
    set -e
    b=\${./$(basename "$file" .nix)}/busybox
    test ! -e $home
    { \$b uname -m; echo "\$0"; \$b id -u; } > \$out
  '' ];
}
END
    echo "$file"
}

# builds SYSTEM ARCHITECTURE MACHINE [COMMAND…]: runs nix-build in the sandbox (by COMMAND, if given) and checks its output.
builds() {
    local system=$1 architecture=$2 machine=$3 file out
    shift 3
    file=$(derivation "$system" "$architecture")
    chmod -R a+rX "$home" "$file"
    exits 0 env "$@" nix-build --no-out-link --option sandbox true "$file" || return 1
    out=$(tail -n 1 "$home/said")
    cat "$out"
    [ "$(head -n 1 "$out")" = "$machine" ]
}

refuses() {
    local said="a 'aarch64-linux' with features {} is required to build"
    local said_later="Required system: 'aarch64-linux'"
    ! exits 0 env "$@" nix-build --no-out-link --option sandbox true "$(derivation aarch64-linux arm64)" || return 1
    says "$said" || says "$said_later"
}

platforms() {
    local nix=("${clean[@]}" nix --extra-experimental-features nix-command)
    "${nix[@]}" config show 2>/dev/null | sed -n 's/^extra-platforms = //p' | grep . ||
        "${nix[@]}" show-config | sed -n 's/^extra-platforms = //p'
}

# listed PLATFORM…: checks that extra-platforms of Nix contains all of them.
listed() {
    local platform
    platforms
    for platform; do
        platforms | grep -qw -- "$platform" || { echo "not in extra-platforms: $platform"; return 1; }
    done
}

start_daemon() {
    rm -f /nix/var/nix/daemon-socket/socket
    "${clean[@]}" nix-daemon > "$home/daemon.log" 2>&1 &
    daemon=$!
    check "daemon: process $daemon is one, and listens" listens
}

listens() {
    for _ in {1..1200}; do
        [ ! -S /nix/var/nix/daemon-socket/socket ] || return 0
        sleep 0.05
    done
    cat "$home/daemon.log"
    return 1
}

stop_daemon() {
    kill "$daemon" || true
    wait "$daemon" || true
}
