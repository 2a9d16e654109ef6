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
    doctor_and_paths
    doctor_and_a_daemon
    doctor_and_a_container
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
    rm -r /root/.config/nix
    sed -i '/include binfmt-nix.conf/d' "$conf"
    check "doctor: without the include line Nix refuses" refuses
    check "doctor: the missing include line is found" finds nix-not-told
    check "doctor: --fix restores it" exits 0 "$tool" doctor --fix
    check "doctor: then Nix builds" builds aarch64-linux arm64 aarch64
    cp "$home/nix.conf" "$conf"
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
    stop_daemon
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
    explained nix-wrong-platform && says "nothing runs them" "Nix does not build for aarch64-linux" "register aarch64"
}

register_and_build() { obey && builds aarch64-linux arm64 aarch64; }

explains_that_it_works() { explained nix-wrong-platform && says "Nix builds for aarch64-linux" "one ran just now" "try it again"; }

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
