# shellcheck shell=bash
# `run`, by an ordinary user without any preparation by root.

joe=(HOME=/home/joe setpriv --reuid 1000 --regid 1000 --clear-groups)

rootless() {
    install -d -o 1000 -g 1000 -m 755 /home/joe
    chmod -R a+rX "$home/bin"
    note outside
    rm -f "$home/moved"
    check "run: the emulator is downloaded, and the program prints aarch64" \
        runs --system aarch64 -- "$home/bin/busybox-arm64" uname -m
    check "run: between 3.0 and 7.1 MB are transferred: $(moved)" between 3000000 "$(moved)" 7100000
    check "run: no note reports a missing protection" no_note
    rm -f "$home/moved"
    check "run again: the program prints aarch64" runs --system arm64 -- "$home/bin/busybox-arm64" uname -m
    check "run again: nothing is downloaded" between 0 "$(moved)" 0
    check "run: Nix builds for aarch64-linux in its sandbox, into a store of the user" builds_in_a_private_store
    check "run: Nix refuses that outside" refuses_in_a_private_store
    check "run --no-cache: writes nothing to the user's home, and prints aarch64" without_cache
    check "run --map-root: root inside, with the subordinate ids and the variables of podman and buildah" as_root_inside
    inside
    check "run: files, entries and mounts of the machine are as before" same outside
    rm -rf /home/joe/.cache "$home/moved"
    check "run: twenty first runs at once all print aarch64" twenty_at_once
    check "run: only one of them downloaded: $(moved)" between 3000000 "$(moved)" 7100000
    check "run --no-cache without programs in memory: refused with exit status 6 and a hint" strict refused_in_memory
    check "run: no process is left" no_process_is_left
}

# runs OPTION…: runs the tool as joe and checks that the last line is aarch64.
runs() {
    exits 0 env "${joe[@]}" "$tool" run "$@" && [ "$(tail -n 1 "$home/said")" = aarch64 ]
}

in_own_store() {
    local file
    file=$(derivation aarch64-linux arm64)
    chmod -R a+rX "$home" "$file"
    "$@" nix-build --store /home/joe/store --no-out-link --option sandbox true "$file"
}

builds_in_a_private_store() {
    local out
    in_own_store exits 0 env "${joe[@]}" "$tool" run --system aarch64 -- || return 1
    out=/home/joe/store$(tail -n 1 "$home/said")
    cat "$out"
    [ "$(head -n 1 "$out")" = aarch64 ]
}

refuses_in_a_private_store() {
    ! in_own_store exits 0 env "${joe[@]}" && says "a 'aarch64-linux' with features {} is required to build"
}

without_cache() {
    rm -rf /home/joe/.cache
    runs --no-cache --system aarch64 -- "$home/bin/busybox-arm64" uname -m && [ ! -e /home/joe/.cache ]
}

twenty_at_once() {
    local number pids=() pid wrong=0
    for number in {1..20}; do
        "${clean[@]}" env "${joe[@]}" "$tool" run --system aarch64 -- "$home/bin/busybox-arm64" uname -m \
            > "$home/at-once-$number" 2> "$home/at-once-$number.err" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || wrong=1; done
    cat "$home"/at-once-*
    [ "$wrong" = 0 ] && [ "$(cat "$home"/at-once-{1..20} | uniq -c | tr -s ' ')" = " 20 aarch64" ]
}

refused_in_memory() {
    exits 6 env HOME=/tmp "$tool" run --no-cache --system aarch64 -- true && says "in memory" "vm.memfd_noexec=0"
}

as_root_inside() {
    command -v newuidmap || { echo "there is no newuidmap; its package is called uidmap or shadow-utils"; return 1; }
    exits 0 env "${joe[@]}" "$tool" run --map-root --system aarch64 -- sh -c \
        'id -u; tr -s " " < /proc/self/uid_map; echo $_CONTAINERS_USERNS_CONFIGURED $_CONTAINERS_ROOTLESS_UID; "$0" uname -m' \
        "$home/bin/busybox-arm64" &&
        [ "$(tail -n 5 "$home/said")" = $'0\n 0 1000 1\n 1 100000 65536\ndone 1000\naarch64' ]
}

# The tool inside of `run`, with a nix-daemon outside: what it prints there is true there. Nix has no setting but those
# of `run`.
inside() {
    local by
    start_daemon
    for by in "" --map-root; do
        check "run $by: inside, status, doctor, test, nix-conf and explain work" works_inside env "${joe[@]}" "$tool" run $by
        check "run $by: inside, the nix-daemon is named as what is outside" daemon_is_outside $by
        check "run $by: inside, Nix refuses to build by the daemon" refused_by_the_daemon $by
        check "run $by: inside, the documented command builds" builds_as_documented $by
        check "run $by: inside, without NIX_CONFIG the doctor finds that, and its repair works" without_nix_config $by
        check "run $by: inside, no proposed command needs sudo" no_sudo_inside $by
    done
    check "run, by root: inside, they work too, and it is not the initial user namespace" works_inside_for_root
    check "run, by root: inside, Nix builds, and test --nix shows it" proven_inside_for_root
    stop_daemon
    rm -rf /home/joe/store
}

# works_inside COMMAND…: runs each command that reads, inside of COMMAND. The doctor finds nothing there.
works_inside() {
    exits 0 "$@" --system aarch64 -- bash -c 'tool=$0 program=$1
        for words in "status" "status --check arm64" doctor "test aarch64" nix-conf "nix-conf --builder build" "explain $program"; do
            "$tool" $words || exit 9
        done' "$tool" "$home/bin/busybox-arm64" &&
        says "10.0.13  run  untried" "aarch64: works" "nothing is wrong" "by run" "it ran in a sandbox like Nix" "ssh-ng://build x86_64-linux" \
            "aarch64: emulated inside of this run only" "runs by emulation" &&
        ! says chown && ! says "ended with signal" && ! says "effective settings"
}

in_run() { "${clean[@]}" "${joe[@]}" "$tool" run "$@"; }

daemon_is_outside() {
    exits 3 env "${joe[@]}" "$tool" run "$@" -s aarch64 -- "$tool" test aarch64 --nix &&
        says "untried  as a builder of Nix" "the nix-daemon is outside of run" &&
        exits 0 env "${joe[@]}" "$tool" run "$@" -s aarch64 -- "$tool" doctor && says "the nix-daemon is outside of run" &&
        exits 0 env "${joe[@]}" "$tool" run "$@" -s aarch64 -- "$tool" status && says "the nix-daemon is outside of run"
}

refused_by_the_daemon() {
    local file
    file=$(derivation aarch64-linux arm64)
    chmod -R a+rX "$home" "$file"
    exits 1 env NIX_REMOTE=daemon "${joe[@]}" "$tool" run "$@" -s aarch64 -- nix-build --no-out-link "$file"
    says "a 'aarch64-linux' with features {} is required to build" || says "Required system: 'aarch64-linux'"
}

# Runs the command that status prints.
builds_as_documented() {
    local file line out
    line=$(in_run "$@" -s aarch64 -- "$tool" status 2>&1 | sed -n 's/.*store of your own: \(nix-build .* FILE\)$/\1/p')
    [ -n "$line" ] || { echo "status prints no command"; return 1; }
    file=$(derivation aarch64-linux arm64)
    chmod -R a+rX "$home" "$file"
    exits 0 env "${joe[@]}" "$tool" run "$@" -s aarch64 -- bash -c "cd && ${line/FILE/--no-out-link $file}" || return 1
    out=/home/joe/store$(tail -n 1 "$home/said")
    cat "$out"
    [ "$(head -n 1 "$out")" = aarch64 ]
}

without_nix_config() {
    exits 0 env "${joe[@]}" "$tool" run "$@" -s arm -- bash -c 'unset NIX_CONFIG
        "$0" doctor && exit 8
        eval "$("$0" doctor | grep "^ *export NIX_CONFIG")"
        "$0" doctor' "$tool" && says "nix-not-told" "export NIX_CONFIG=" "nothing is wrong"
}

refusal="error: a 'riscv64-linux' with features {} is required to build '/nix/store/x.drv', but I am a 'x86_64-linux' with features {kvm}"

# A program without an emulator here, a system without an entry, and a message of Nix about one. The proposed commands run.
no_sudo_inside() {
    exits 0 env "${joe[@]}" "$tool" run "$@" -s aarch64 -- bash -c 'tool=$0 program=$1
        "$tool" explain "$program"
        "$tool" test riscv64
        "$tool" doctor "$2"
        exit 0' "$tool" "$home/bin/busybox-riscv64" "$refusal" && ! grep sudo "$home/said" &&
        says "binfmt-nix run -s riscv64" "binfmt-nix run -s riscv64 -- " "repair: binfmt-nix run -s riscv64" "nix-wrong-platform" || return 1
    # A run inside of the run.
    exits 0 env "${joe[@]}" "$tool" run "$@" -s aarch64 -- "$tool" run -s riscv64 -- \
        bash -c '"$1" uname -m && "$0" status && "$0" doctor' "$tool" "$home/bin/busybox-riscv64" &&
        says riscv64 "10.0.13  run  untried" "nothing is wrong" "the nix-daemon is outside of run" &&
        ! says "ended with signal"
}

# Root keeps all ids. A map of one range would be that of the initial namespace.
works_inside_for_root() {
    works_inside "$tool" run --no-cache && says "the table of this user namespace" || return 1
    exits 0 "$tool" run --no-cache --system aarch64 -- sh -c 'tr -s " " < /proc/self/uid_map' &&
        [ "$(tail -n 2 "$home/said")" = $' 0 0 1\n 1 1 4294967294' ]
}

# Root's Nix uses the store directly, so it builds inside of `run`, although a daemon listens.
proven_inside_for_root() {
    exits 0 "$tool" run --no-cache -s arm -- "$tool" test arm --nix &&
        says "Nix built a derivation for armv7l-linux in its sandbox (as root)"
}

no_process_is_left() { ! pgrep -U 1000 -l; }

no_note() { ! says "note:"; }
