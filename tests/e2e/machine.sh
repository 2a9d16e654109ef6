# shellcheck shell=bash
# The private machine: an overlay of this one, and how to enter it. A script that uses this file sets $suite: the name of
# its directory and its key in BINFMT_NIX_REQUIRE. If it defines `bring ROOT`, this function adds files to the machine.
# With generation=newest, its Nix is the newest one that tests/fetch-nix fetched.

outside() {
    [ "$(id -u)" = 0 ] || skip "it needs root"
    local release
    IFS=.- read -r -a release < <(uname -r)
    ((release[0] * 1000 + release[1] >= 6007)) || skip "it needs Linux 6.7, for a table of its own"
    command -v apt-get >/dev/null || [ -n "${BINFMT_NIX_TEST_NIX:-}" ] || skip "it needs Debian, for its nix-bin"
    cd "$here/../.."
    binary=${1:-}
    if [ -z "$binary" ]; then
        packaging/release > /dev/null
        binary=target/dist/binfmt-nix
    fi
    nix=${BINFMT_NIX_TEST_NIX:-target/test-data/nix}
    corpus=${BINFMT_NIX_TEST_CORPUS:-$nix/../corpus}
    BINFMT_NIX_TEST_CORPUS=$corpus "$here/../fetch-nix" "$nix"
    mount=$(mktemp -d)
    trap 'rmdir "$mount"' EXIT
    export binary nix corpus mount
    unshare --mount --propagation private "$here/run" --world
}

skip() {
    case " ${BINFMT_NIX_REQUIRE:-} " in
        *[\ ,]$suite[\ ,]*) echo "tests/$suite/run is required, but $1" >&2; exit 1 ;;
    esac
    echo "skipped tests/$suite/run: $1"
    exit 0
}

# Creates the machine and enters it. The overlay is created and entered (by pivot_root: Nix's sandbox refuses a chroot)
# before the user namespace, in which mounts of the parent namespace cannot be changed.
world() {
    mount -t tmpfs -o mode=755 live "$mount"
    mkdir "$mount/upper" "$mount/work" "$mount/root"
    mount -t overlay -o "lowerdir=/,upperdir=$mount/upper,workdir=$mount/work" live "$mount/root"
    local root=$mount/root name
    fresh "$root"
    tar -C "$nix/${generation:-tree}" -c . | tar -C "$root" -x --keep-directory-symlink --no-overwrite-dir
    # Without a unit or init script of sshd: a test starts it.
    tar -C "$nix/ssh" -c usr | tar -C "$root" -x --keep-directory-symlink --no-overwrite-dir
    mkdir -p "$root$home/bin"
    cp "$binary" "$root$tool"
    cp "$here/../../README.md" "$root$home"
    mkdir -p "$root$home/tests"
    cp -r "$here/../e2e" "$here/../$suite" "$root$home/tests"
    for name in amd64 arm64 armhf i386 riscv64; do
        cp "$corpus/busybox-static-$name/bin/busybox" "$root$home/bin/busybox-$name"
    done
    ! declare -F bring > /dev/null || bring "$root"
    # resolv.conf may be a link into /run, and the machine has its own /run.
    cp "$(readlink -f /etc/resolv.conf)" "$mount/resolv.conf"
    rm -f "$root/etc/resolv.conf" && cp "$mount/resolv.conf" "$root/etc/resolv.conf"
    for name in proc sys dev; do
        mkdir -p "$root/$name"
        mount --rbind "/$name" "$root/$name"
    done
    mkdir -p "$root/run" "$root/tmp" "$root/.old"
    mount -t tmpfs -o mode=755 live "$root/run"
    mount -t tmpfs -o mode=1777 live "$root/tmp"
    cd "$root"
    pivot_root . .old
    cd /
    umount --lazy /.old
    rmdir /.old

    # Bash waits for a line from a pipe, which is written after the ids are mapped. Only then is the process root.
    local gate
    mkfifo /run/gate
    # A table that was mounted once belongs to the user namespace. Without one, programs would be subject to the table of
    # the real machine, where tests/containers registers emulators.
    unshare --user --mount --pid --fork --kill-child bash -c 'read -r < /run/gate && mount -t binfmt_misc none /mnt && umount /mnt && exec "$0" --checks' "$home/tests/$suite/run" &
    local pid=$!
    until [ "$(readlink "/proc/$pid/ns/user")" != "$(readlink /proc/self/ns/user)" ]; do sleep 0.01; done
    echo "0 0 4294967295" > "/proc/$pid/uid_map"
    echo "0 0 4294967295" > "/proc/$pid/gid_map"
    echo > /run/gate
    wait "$pid"
}

# Removes QEMU, Nix and this tool from the copy. Its Nix then is a new multi-user installation: build users and a line in
# nix.conf. One ordinary user has subordinate ids. No binary cache is used: these tests build.
fresh() {
    local root=$1 number
    # Its own, also if another suite uses the real machine's meanwhile.
    rm -rf "$root/var/lib/containers" && mkdir "$root/var/lib/containers"
    # The real machine may be a container.
    rm -f "$root/.dockerenv"
    rm -rf "$root"/usr/{,local/}bin/qemu-* "$root"/{etc,usr/lib,usr/local/lib}/binfmt.d/* "$root"/var/lib/binfmts \
        "$root"/{nix,etc/nix,root/.config/nix,root/.nix-*,var/lib/binfmt-nix,usr/local/libexec/binfmt-nix} \
        "$root"/usr/local/bin/{nix,nix-*,determinate-nixd,binfmt-nix} "$root"/etc/ssh/ssh_host_*
    sed -i /^nixbld/d "$root/etc/passwd" "$root/etc/group"
    grep -q ^sshd: "$root/etc/passwd" || echo 'sshd:x:100999:65534::/run/sshd:/usr/sbin/nologin' >> "$root/etc/passwd"
    for number in 1 2 3 4; do
        echo "nixbld$number:x:3000$number:30000::/var/empty:/usr/sbin/nologin" >> "$root/etc/passwd"
    done
    echo "nixbld:x:30000:nixbld1,nixbld2,nixbld3,nixbld4" >> "$root/etc/group"
    grep -q '^[^:]*:[^:]*:1000:' "$root/etc/passwd" || echo 'joe:x:1000:1000::/home/joe:/bin/sh' >> "$root/etc/passwd"
    echo 1000:100000:65536 | tee "$root/etc/subuid" > "$root/etc/subgid"
    mkdir "$root/etc/nix"
    printf '%s\n' '# as installed' 'build-users-group = nixbld' 'substituters =' > "$root/etc/nix/nix.conf"
}
