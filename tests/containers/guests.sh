# shellcheck shell=bash
# Containers of another system, run by what the images registered.

guest=localhost/guest:arm64

for_machines_containers() {
    check "guest: an image for arm64 is built from scratch" build_guest
    check "guest: its container runs" runs 0 "$guest" /busybox uname -m
    check "guest: and prints aarch64" says aarch64
    check "guest: programs that programs start run as well" runs 0 "$guest" /busybox ash -c '/busybox ash -c "exit 0"'
}

build_guest() {
    local container
    mkdir -p "$home/guest"
    cp "$corpus/busybox-static-arm64/bin/busybox" "$home/guest/busybox"
    # The program exits with the number of its effective user. It has four instructions of AArch64.
    program 'e8 15 80 d2' '01 00 00 d4' 'a8 0b 80 d2' '01 00 00 d4' > "$home/guest/effective"
    chmod 4755 "$home/guest/effective"
    container=$(buildah from --arch arm64 scratch)
    buildah copy --chown 0:0 "$container" "$home/guest" /
    buildah config --arch arm64 "$container"
    buildah commit --quiet --rm "$container" "$guest"
}

# program WORDS…: prints an ELF program for AArch64 with these instructions (elf(5)): its header, one segment (the whole
# file, at 0x400000, readable and executable), and the code. The code here is: mov x8, 175 (geteuid); svc 0; mov x8, 93
# (exit); svc 0.
program() {
    local bytes
    bytes=$(echo "7f 45 4c 46 02 01 01 00" "00 00 00 00 00 00 00 00" \
        "02 00 b7 00 01 00 00 00" "78 00 40 00 00 00 00 00" "40 00 00 00 00 00 00 00" "00 00 00 00 00 00 00 00" \
        "00 00 00 00 40 00 38 00" "01 00 00 00 00 00 00 00" \
        "01 00 00 00 05 00 00 00" "00 00 00 00 00 00 00 00" "00 00 40 00 00 00 00 00" "00 00 40 00 00 00 00 00" \
        "88 00 00 00 00 00 00 00" "88 00 00 00 00 00 00 00" "00 10 00 00 00 00 00 00" "$@")
    # shellcheck disable=SC2059
    printf "$(printf '\\x%s' $bytes)"
}

# An exit status has 8 bits: user 1000 gives 232.
setuid_programs() {
    check "setuid: a program of root's, run by user 1000, has that user's rights" runs 232 --user 1000 "$guest" /effective
    check "setuid: run by root, it has root's" runs 0 "$guest" /effective
    check "setuid: register --credentials exits 0" runs 0 --privileged "$image" register aarch64 --credentials
    check "setuid: and warns about the risk" says "QEMU_LOG_FILENAME"
    check "setuid: run by user 1000, it has root's rights" runs 0 --user 1000 "$guest" /effective
    check "setuid: doctor exits 3" runs 3 --privileged "$image" doctor
    check "setuid: and reports the risk" says credentials-risk "QEMU_LOG_FILENAME"
    check "setuid: with no-new-privileges it has that user's rights" runs 232 --user 1000 --security-opt no-new-privileges "$guest" /effective
    check "setuid: other programs run with that user's rights" runs 0 --user 1000 "$guest" /busybox id -u
    check "setuid: and print that user's number" says 1000
}
