# shellcheck shell=bash
# The doctor with real Nix: it explains the real messages of Nix, and its findings match the behaviour of Nix.

the_doctor() {
    note before
    check "doctor: a fresh machine has nothing wrong" finds ""
    check "doctor: the refusal of Nix is explained: nothing runs the programs, and register repairs that" explains_the_refusal
    check "doctor: the named command is enough" register_and_build
    check "doctor: a registered machine has nothing wrong" finds ""
    check "doctor: the same refusal is explained as outdated" explains_that_it_works
    conf=/etc/nix/nix.conf
    cp "$conf" "$home/nix.conf"
    doctor_and_settings
    doctor_and_rejected_settings
    doctor_and_paths
    doctor_and_a_daemon
    doctor_and_a_container
    doctor_and_messages_of_nix
    check "doctor: unregister exits 0" unregisters
    check "doctor: all is as before" same before
}

doctor_and_settings() {
    sed -i '1i extra-platforms = aarch64-linux' "$conf"
    check "doctor: a line that removes i686-linux is found" finds nix-lost-i686
    check "doctor: and Nix has lost it" lost i686-linux
    check "doctor: the repair works, for Nix too" repairs_and i686-linux aarch64-linux
    cp "$home/nix.conf" "$conf"
    echo "extra-extra-platforms = riscv64-linux" >> "$conf"
    check "doctor: a platform that nothing runs is found" finds nix-promises-too-much
    cp "$home/nix.conf" "$conf"
    mkdir -p /root/.config/nix
    echo "extra-platforms = i686-linux" > /root/.config/nix/nix.conf
    check "doctor: a user file of root that overrides the settings is found" finds nix-not-told
    check "doctor: and its line is repaired" repairs_and i686-linux aarch64-linux
    rm -r /root/.config/nix
    sed -i '/include binfmt-nix.conf/d' "$conf"
    check "doctor: without the include line Nix refuses" refuses
    check "doctor: the missing include line is found" finds nix-not-told
    check "doctor: --fix restores it" exits 0 "$tool" doctor --fix
    check "doctor: then Nix builds" builds aarch64-linux arm64 aarch64
    cp "$home/nix.conf" "$conf"
}

# Settings with which real Nix starts nothing, or builds nothing. After its own repair, Nix builds.
doctor_and_rejected_settings() {
    local line native
    native=$(derivation x86_64-linux amd64)
    for line in cores=1 'cores = 1 2 3' 'foo bar' include 'include /nowhere.conf' 'sandbox = maybe' 'max-jobs = many'; do
        sed "1i $line" "$home/nix.conf" > "$conf"
        check "doctor: Nix rejects '$line'" rejects "$native"
        check "doctor: and that is found, with the line and the message of Nix" finds_rejected "$line"
        check "doctor: its repair lets Nix start" repairs_and i686-linux aarch64-linux
    done
    sed '1i extra-extra-platforms = ["aarch64-linux", arm64-linux]' "$home/nix.conf" > "$conf"
    check "doctor: words that name no system are found" finds nix-platform-name
    check "doctor: they are corrected" repairs_and aarch64-linux
    sed '1i system = aarch64-linux' "$home/nix.conf" > "$conf"
    check "doctor: a foreign native system is found" finds nix-foreign-system
    check "doctor: Nix takes this machine for another one" takes_for_another "$native"
    check "doctor: the repair lets Nix build for this machine" repairs_and i686-linux
    sed '1i max-jobs = 0' "$home/nix.conf" > "$conf"
    check "doctor: a Nix without jobs is found" finds nix-no-local-jobs
    check "doctor: Nix builds nothing" builds_nothing "$(derivation aarch64-linux arm64)"
    check "doctor: the repair lets Nix build" repairs_and aarch64-linux
    check "doctor: and Nix builds for aarch64" builds aarch64-linux arm64 aarch64
    cp "$home/nix.conf" "$conf"
    below_sudo=(SUDO_UID=65534 SUDO_GID=65534 NIX_CONFIG="foo bar")
    check "doctor: a NIX_CONFIG that Nix rejects is found for the caller" rejected_for_caller
    check "doctor: root itself has other settings" finds ""
}

# Commands that the doctor proposes for messages of Nix.
doctor_and_messages_of_nix() {
    check "doctor: a store elsewhere is explained, and the build without NIX_REMOTE works" builds_without_remote
    check "doctor: a builder that died is explained, with the command that shows the system of the build" shows_the_system
    check "doctor: the sandbox paths of Nix are shown" shows_sandbox_paths
}

builds_without_remote() {
    local file
    file=$(derivation aarch64-linux arm64)
    ! exits 0 env "NIX_REMOTE=file://$home/cache" nix-build --no-out-link "$file" || return 1
    cp "$home/said" "$home/refusal"
    explained nix-no-local-store || return 1
    proposed 'env -u NIX_REMOTE nix-build --store auto' || return 1
    exits 0 env "NIX_REMOTE=file://$home/cache" env -u NIX_REMOTE nix-build --store auto --no-out-link "$file"
}

shows_the_system() {
    local file drv
    file=$(derivation aarch64-linux arm64)
    drv=$("${clean[@]}" nix-instantiate "$file" 2> /dev/null) || return 1
    echo "error: builder for '$drv' failed due to signal 11 (Segmentation fault)" > "$home/refusal"
    explained nix-builder-signal || return 1
    proposed "nix-store --query --binding system $drv" || return 1
    exits 0 nix-store --query --binding system "$drv" && says aarch64-linux
}

shows_sandbox_paths() {
    local line='nix --extra-experimental-features nix-command show-config | grep sandbox-paths'
    echo "error: getting attributes of path '/nowhere': No such file or directory while setting up the build environment" > "$home/refusal"
    explained nix-sandbox-path || return 1
    proposed "$line" || return 1
    exits 0 sh -c "$line" && says sandbox-paths
}

# proposed LINE: the last JSON report of the doctor has this command, with a comment perhaps.
proposed() {
    sed -n '/"repair": \[/,/\]/s/^ *"\(.*[^,]\)",\{0,1\}$/\1/p' "$home/said" | sed 's/\\"/"/g; s/   # .*//' | grep -qxF -- "$1" ||
        { echo "does not propose: $1"; cat "$home/said"; return 1; }
}

rejects() { ! exits 0 nix-build --no-out-link "$1" && says "error: "; }

# Nix 2.8 and later ones have different words, and the same text of the line.
finds_rejected() {
    [ "$1" != 'cores = 1 2 3' ] || { finds nix-rejects-settings && says "cores"; return; }
    finds nix-rejects-settings && says "line 1 of $conf" "${1##*/}"
}

takes_for_another() { ! exits 0 nix-build --no-out-link "$1" && says "x86_64-linux" "aarch64-linux"; }

builds_nothing() { ! exits 0 nix-build --no-out-link "$1" && says "unable to start any build"; }

rejected_for_caller() {
    exits 3 env "${below_sudo[@]}" "$tool" doctor && says nix-rejects-settings "line 1 of NIX_CONFIG" "unset NIX_CONFIG"
}

doctor_and_paths() {
    local file
    file=$(derivation x86_64-linux amd64)
    echo "extra-sandbox-paths = /opt/qemu#1/qemu" >> "$conf"
    check "doctor: a sandbox path with a # is found, and the cut path is missing" finds sandbox-path-cut sandbox-path-missing
    check "doctor: every build fails, with a message that the doctor knows" fails_as nix-sandbox-path "$file"
    check "doctor: the line repairs that" repairs_and i686-linux
    check "doctor: and Nix builds again" builds x86_64-linux amd64 x86_64
    cp "$home/nix.conf" "$conf"
    echo "extra-sandbox-paths = /opt/nowhere" >> "$conf"
    check "doctor: a sandbox path that is missing is found" finds sandbox-path-missing
    check "doctor: it fails every build" fails_as nix-sandbox-path "$file"
    check "doctor: a ? at its end repairs that" repairs_and i686-linux
    check "doctor: and Nix builds once more" builds x86_64-linux amd64 x86_64
    cp "$home/nix.conf" "$conf"
}

doctor_and_a_daemon() {
    local through=(NIX_REMOTE=daemon)
    local ordinary=("${through[@]}" HOME=/home/joe setpriv --reuid 65534 --regid 65534 --clear-groups)
    start_daemon
    check "doctor: a daemon that knows its settings is fine" finds ""
    sleep 0.5
    touch "$conf"
    check "doctor: a daemon that is older than its settings is found" finds daemon-not-restarted
    check "doctor: its repair restarts the daemon, which was started by hand" obey
    check "doctor: the new daemon listens, and is fine" restarted
    wait "$daemon" || true
    daemon=$(pgrep -o -x nix-daemon)
    kill "$daemon"
    start_daemon
    check "doctor: restarted, it is fine" finds ""
    mkdir -p /home/joe/.config/nix
    echo "extra-platforms = riscv64-linux" > /home/joe/.config/nix/nix.conf
    chmod -R a+rX /home/joe
    check "doctor: ignored platforms of an untrusted user are found" finds user-not-trusted
    check "doctor: Nix refuses, and the doctor explains it" ignores_the_user "${ordinary[@]}"
    rm -r /home/joe
    stop_daemon
}

# This machine mounted its table long after the start of its first process, like a container.
doctor_and_a_container() {
    check "doctor: outside of a container a recently mounted table is accepted" finds ""
    touch /run/.containerenv
    check "doctor: in a container it is found" finds dies-with-container
    check "doctor: because the last unmount removes the entries" gone_with_the_mount
    rm /run/.containerenv
    check "doctor: which is found" finds not-mounted
    check "doctor: and repaired by --fix" exits 0 "$tool" doctor --fix
    check "doctor: then Nix builds as before" builds aarch64-linux arm64 aarch64
    echo 0 > /proc/sys/user/max_pid_namespaces
    check "doctor: a sandbox that is silently off is found" finds sandbox-silently-off
    check "doctor: and Nix builds without a sandbox" builds_in_the_open
    echo 15000 > /proc/sys/user/max_pid_namespaces
}

# finds ID…: checks that the doctor has exactly these findings.
finds() {
    local wanted code=3
    [ -n "$1" ] || code=0
    exits "$code" "$tool" doctor --json || return 1
    wanted=$(printf '%s\n' "$@" | sort)
    [ "$(sed -n 's/^ *"id": "\(.*\)",$/\1/p' "$home/said" | sort)" = "$wanted" ]
}

# Runs the repair commands of the last JSON report of `doctor`.
obey() {
    local line
    sed -n '/"repair": \[/,/\]/s/^ *"\(.*[^,]\)",\{0,1\}$/\1/p' "$home/said" | sed 's/\\"/"/g' > "$home/lines"
    cat "$home/lines"
    while read -r line; do
        bash -c "$line" || return 1
    done < "$home/lines"
}

explained() { "${clean[@]}" "$tool" doctor - --json < "$home/refusal" > "$home/said"; [ $? = 3 ] && says "\"id\": \"$1\""; }

explains_the_refusal() {
    refuses || return 1
    cp "$home/said" "$home/refusal"
    explained nix-wrong-platform && says "nothing runs them" "Nix is not configured for aarch64-linux" "register aarch64"
}

register_and_build() { obey && builds aarch64-linux arm64 aarch64; }

explains_that_it_works() { explained nix-wrong-platform && says "Nix built a derivation for aarch64-linux just now, as " \
    "in its sandbox" "one ran just now" "such a build worked here just now: try it again"; }

lost() { ! platforms | grep -qw -- "$1"; }

repairs_and() { "${clean[@]}" "$tool" doctor --json > "$home/said"; obey && listed "$@" && finds ""; }

fails_as() {
    ! exits 0 nix-build --no-out-link --option sandbox true "$2" || return 1
    cp "$home/said" "$home/refusal"
    explained "$1"
}

ignores_the_user() {
    local file
    file=$(derivation riscv64-linux arm64)
    chmod -R a+rX "$home"
    ! exits 0 env "$@" nix-build --no-out-link "$file" || return 1
    cp "$home/said" "$home/refusal"
    explained nix-wrong-platform && says "user-not-trusted" "/home/joe/.config/nix/nix.conf"
}

gone_with_the_mount() {
    umount "$table"
    mount -t binfmt_misc binfmt_misc "$table"
    [ ! -e "$table/qemu-aarch64" ] || return 1
    umount "$table"
}

builds_in_the_open() {
    ! builds x86_64-linux amd64 x86_64
}

restarted() {
    local _
    for _ in {1..600}; do
        [ "$(pgrep -o -x nix-daemon || true)" = "$daemon" ] || { listens && finds ""; return; }
        sleep 0.05
    done
    return 1
}
