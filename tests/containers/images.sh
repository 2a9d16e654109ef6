# shellcheck shell=bash
# The program in the images, and the images: their contents, and that builds are reproducible.

most=5000000

the_program() {
    check "program: at most $most bytes: $(stat -c %s "$tool")" [ "$(stat -c %s "$tool")" -le "$most" ]
    check "program: static, without a loader and without libraries" static "$tool"
    check "program: it runs in an empty directory" runs_alone
    check "program: it does not contain the path of its build directory" nowhere_built
}

static() {
    ! readelf --wide --program-headers --dynamic "$1" | grep -wE 'INTERP|NEEDED'
}

runs_alone() {
    mkdir "$home/alone"
    cp "$tool" "$home/alone/binfmt-nix"
    chroot "$home/alone" /binfmt-nix --version
}

nowhere_built() { ! grep -aoF -e "$PWD" -e "${CARGO_HOME:-$HOME/.cargo}" "$tool"; }

the_images() {
    version=$("$tool" --version)
    version=${version##* }
    alone=localhost/binfmt-nix:$version
    image=localhost/binfmt-nix:$version-qemu
    check "images: built" build "$home/oci"
    podman rmi --all --force > /dev/null
    check "images: built again from scratch" build "$home/again"
    check "images: they are the same, byte for byte" diff -r "$home/oci" "$home/again"
    layer > "$home/layer"
    check "images: the larger one has the program, and QEMUs" holds usr/bin/qemu-{aarch64,arm,riscv64,s390x}
    check "images: all files belong to root, are readable, and have one time stamp" one_owner
    check "images: labels, entry point and environment" configured
    rm -r "$home/again"
}

build() { exits 0 "$here/../../packaging/container/build" --qemu-from "$qemu" --oci "$1"; }

# Lists the only layer of the larger image with tar.
layer() {
    local blob
    for blob in "$home"/oci/binfmt-nix-qemu/blobs/sha256/*; do
        ! tar -tzf "$blob" > /dev/null 2>&1 || TZ=UTC tar --numeric-owner --full-time -tvzf "$blob"
    done
}

holds() {
    local file
    cat "$home/layer"
    for file in binfmt-nix "$@"; do
        grep -qE "^-rwxr-xr-x .* $file\$" "$home/layer" || { echo "not in it: $file"; return 1; }
    done
}

one_owner() { ! grep -vE '^[-d]rwxr-xr-x 0/0 +[0-9]+ 1970-01-01 00:00:00 ' "$home/layer"; }

configured() {
    exits 0 podman image inspect "$image" && says '"org.opencontainers.image.title": "binfmt-nix"' \
        "\"org.opencontainers.image.version\": \"$version\"" '"org.opencontainers.image.licenses": "MIT"' \
        '"container=oci"' '"/binfmt-nix"'
}
