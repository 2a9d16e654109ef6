# shellcheck shell=bash
# Every pinned release, the newest signed release, and the cache: from the machine's own mirror, as joe.

sources() {
    local version
    install -d -o 1000 -g 1000 -m 755 /home/joe
    for version in 10.0.13 11.1.3 7.2; do
        rm -rf /home/joe/.cache "$home/moved"
        check "run --qemu-version $version: the program prints aarch64" emulated --qemu-version "$version"
        check "run --qemu-version $version: between 3.0 and 7.1 MB are transferred: $(moved)" between 3000000 "$(moved)" 7100000
    done
    check "run --qemu-version 9: refused with a list of the known releases" unknown_version
    rm -rf /home/joe/.cache "$home/moved"
    check "run --qemu-version latest: the release that Debian signed, or why it cannot be verified" latest
    sed -n 's/^note: Debian/        | Debian/p; s/^error: /        | /p' "$home/said"
    rm -rf /home/joe/.cache "$home/moved"
    check "register --qemu-version latest: the same" registers_latest
    rm -f "$home/moved"
    check "run --offline with an empty cache: exits 1 without a request" offline_without_anything
    check "run: fills the cache" emulated
    rm -f "$home/moved"
    check "run --offline: the cache is enough" emulated --offline
    check "run --offline: nothing is downloaded" between 0 "$(moved)" 0
    check "cache lists the file, and prune removes it" pruned
    check "fetch: another release, for another time" exits 0 env "${joe[@]}" "$tool" fetch arm64 riscv64 \
        --qemu-version 11.1 -o /home/joe/q.tar.gz
    check "run --from: that, without a network" emulated --offline --from /home/joe/q.tar.gz
    rm -rf /home/joe
}

# emulated OPTION…: checks that a program for aarch64 runs with these options.
emulated() { runs --system aarch64 "$@" -- "$home/bin/busybox-arm64" uname -m; }

unknown_version() {
    exits 2 env "${joe[@]}" "$tool" run --system aarch64 --qemu-version 9 -- true &&
        says "no QEMU 9 is known" "10.0.13" "11.1.3" "7.2.22"
}

# A stale mirror is accepted, if it is reported as stale. Any other error is a failure.
latest() {
    "${clean[@]}" env "${joe[@]}" "$tool" run --system aarch64 --qemu-version latest -- \
        "$home/bin/busybox-arm64" uname -m > "$home/said" 2>&1
    case $? in
        0) cat "$home/said"; says "signed by the key" && grep -qx aarch64 "$home/said" ;;
        *) cat "$home/said"; says "is stale: it expired on" ;;
    esac
}

# What the doctor proposes for messages that another release of QEMU may not have.
registers_latest() {
    if exits 0 "$tool" register aarch64 --qemu-version latest; then
        "$home/bin/busybox-arm64" uname -m | grep -qx aarch64 && exits 0 "$tool" unregister aarch64
    else
        says "is stale: it expired on"
    fi
}

offline_without_anything() {
    exits 1 env "${joe[@]}" "$tool" run --system aarch64 --source download --offline -- true &&
        says "--offline forbids that" "binfmt-nix fetch" && [ "$(moved)" = 0 ]
}

pruned() {
    exits 0 env "${joe[@]}" "$tool" cache && says "qemu-aarch64" "1 file, " || return 1
    exits 0 env "${joe[@]}" "$tool" cache prune && says "removed" || return 1
    exits 0 env "${joe[@]}" "$tool" cache && says "no files"
}
