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
    check "run: inside, status, doctor, test, nix-conf and explain work" works_inside "${joe[@]}" "$tool" run
    check "run --map-root: inside, they work too" works_inside "${joe[@]}" "$tool" run --map-root
    check "run, by root: inside, they work too, and it is not the initial user namespace" works_inside_for_root
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

# works_inside COMMAND…: runs each command that reads, inside of COMMAND. The doctor may have findings there.
works_inside() {
    exits 0 env "$@" --system aarch64 -- bash -c 'tool=$0 program=$1
        for words in "status" "status --check arm64" doctor "test aarch64" nix-conf "nix-conf --builder build" "explain $program"; do
            code=0
            "$tool" $words || code=$?
            [ "$code" = 0 ] || [ "$words $code" = "doctor 3" ] || exit 9
        done' "$tool" "$home/bin/busybox-arm64" &&
        says "aarch64: works" "it ran in a sandbox like Nix" "ssh-ng://build x86_64-linux" "runs by emulation" && ! says chown
}

# Root keeps all ids. A map of one range would be that of the initial namespace.
works_inside_for_root() {
    works_inside "$tool" run --no-cache && says "own-table" "the table of this user namespace" || return 1
    exits 0 "$tool" run --no-cache --system aarch64 -- sh -c 'tr -s " " < /proc/self/uid_map' &&
        [ "$(tail -n 2 "$home/said")" = $' 0 0 1\n 1 1 4294967294' ]
}

no_process_is_left() { ! pgrep -U 1000 -l; }

no_note() { ! says "note:"; }
