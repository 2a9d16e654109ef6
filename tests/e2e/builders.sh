# shellcheck shell=bash
# Distributed builds of Nix: the Nix of this machine runs no job itself. It uses another store over ssh-ng, with the lines
# that `nix-conf --builder` printed. sshd is real, listens on loopback and has keys of its own. Behind it, nix-daemon uses
# a store in another directory.

other=/srv/other third=/srv/third

builders() {
    local file
    start_sshd
    check "builders: nix-conf --builder prints two lines, with the host key of this machine" prints_lines
    check "builders: Nix can reach the other store by the first of them" reaches "$other"
    check "builders: without them, nothing is built" nowhere "$(requiring aarch64-linux arm64)" /dev/null
    check "builders: aarch64-linux is built on the other store, by emulation, and comes back" \
        elsewhere "$other" aarch64 "$(requiring aarch64-linux arm64 big-parallel)"
    check "builders: x86_64-linux is built there, natively" \
        elsewhere "$other" x86_64 "$(requiring x86_64-linux amd64 nixos-test benchmark)"
    for file in kvm nixos-test benchmark; do
        check "builders: $file is required for aarch64-linux: the emulated line does not get it" \
            nowhere "$(requiring aarch64-linux arm64 "$file")"
    done
    check "builders: a line with the speed factor of native machines is taken first" faster_first
    check "builders: with another host key, nothing is built" other_key
    kill "$sshd"
    rm -rf "$other" "$third" /etc/ssh/ssh_host_* "$home/key" "$home/key.pub"
}

start_sshd() {
    install -d -m 755 /run/sshd
    ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
    ssh-keygen -q -t ed25519 -N '' -f "$home/key"
    cp "$home/key.pub" "$home/authorized"
    # A free port, chosen by the kernel. If another process takes it in the meantime, the first check fails.
    port=$(perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport')
    cat > "$home/sshd_config" << END
ListenAddress 127.0.0.1:$port
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile $home/authorized
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
PidFile none
END
    "${clean[@]}" /usr/sbin/sshd -D -e -f "$home/sshd_config" > "$home/sshd.log" 2>&1 &
    sshd=$!
    # The lines are used unchanged. Options of ssh set the port and the user's key. The known hosts of root are ignored, so
    # that only the host key in the line counts.
    sshing=("NIX_SSHOPTS=-p $port -i $home/key -oIdentitiesOnly=yes -oStrictHostKeyChecking=yes -oGlobalKnownHostsFile=/dev/null")
    for _ in {1..1200}; do
        ! grep -q listening "$home/sshd.log" || return 0
        sleep 0.05
    done
}

prints_lines() {
    exits 0 "$tool" nix-conf --builder "ssh-ng://127.0.0.1?remote-store=$other" || return 1
    grep ^ssh-ng "$home/said" > "$home/machines"
    [ "$(wc -l < "$home/machines")" = 2 ] && [ "$(wc -l < "$home/said")" = 2 ] &&
        [ "$(cut -d ' ' -f 2 "$home/machines" | tail -n 1)" = aarch64-linux ] &&
        [ "$(cut -d ' ' -f 8 "$home/machines" | tail -n 1 | base64 -d)" = "$(cat /etc/ssh/ssh_host_ed25519_key.pub)" ]
}

reaches() {
    exits 0 env "${sshing[@]}" nix --extra-experimental-features nix-command store ping --store \
        "$(head -n 1 "$home/machines" | cut -d ' ' -f 1)&base64-ssh-public-host-key=$(base64 -w 0 < /etc/ssh/ssh_host_ed25519_key.pub)" || {
        cat "$home/sshd.log"
        return 1
    }
}

# requiring SYSTEM ARCHITECTURE FEATURE…: creates a derivation that needs a machine with these features.
requiring() {
    local file
    file=$(derivation "$1" "$2")
    shift 2
    sed -i "s|^  builder = |  requiredSystemFeatures = [ $(printf '"%s" ' "$@") ];\n&|; s/ \"\" / /" "$file"
    echo "$file"
}

# remotely MACHINES FILE: runs nix-build without a job on this machine.
remotely() {
    "${clean[@]}" "${sshing[@]}" timeout 1200 nix-build --no-out-link --max-jobs 0 --builders "@$1" --option sandbox true \
        "$2" > "$home/said" 2>&1
    local got=$?
    cat "$home/said"
    return "$got"
}

# elsewhere STORE MACHINE FILE: checks that the output exists here, names this machine, and was built in the other store.
elsewhere() {
    local out
    remotely "$home/machines" "$3" || { cat "$home/sshd.log"; return 1; }
    out=$(tail -n 1 "$home/said")
    made_in "$1" "$out" && [ "$(head -n 1 "$out")" = "$2" ]
}

made_in() { [ -e "$2" ] && [ -e "$1$2" ] && says "on 'ssh-ng://127.0.0.1?remote-store=$1'"; }

# nowhere FILE [MACHINES]: checks that Nix finds no suitable machine, by the messages of 2.8 and of later releases.
nowhere() {
    [ "$(wc -l < "$home/machines")" = 2 ] || return 1
    ! remotely "${2:-$home/machines}" "$1" && ! says "cannot build on" > "$home/asked" || return 1
    says "Failed to find a machine for remote build" || says "required (system, features)" || says "unable to start any build"
}

faster_first() {
    local out file
    file=$(requiring aarch64-linux arm64)
    cp "$home/machines" "$home/more"
    tail -n 1 "$home/machines" | sed "s|$other|$third|" | awk '{ $5 = 10; print }' >> "$home/more"
    remotely "$home/more" "$file" || return 1
    out=$(tail -n 1 "$home/said")
    made_in "$third" "$out" && [ ! -e "$other$out" ]
}

other_key() {
    local key
    key=$(base64 -w 0 < "$home/key.pub")
    awk -v key="$key" '{ $8 = key; print }' "$home/machines" > "$home/wrong"
    ! remotely "$home/wrong" "$(requiring aarch64-linux arm64)" && says "Host key verification failed"
}
