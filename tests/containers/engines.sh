# shellcheck shell=bash
# podman and buildah, and how users use the images.

# Without cgroups, because the environment of these tests may not permit them, and without a network unless a test needs it.
storage() {
    export CONTAINERS_STORAGE_CONF=$home/storage.conf CONTAINERS_CONF=$home/containers.conf TMPDIR=$home
    printf '%s\n' '[storage]' 'driver = "vfs"' "graphroot = \"$home/storage\"" 'runroot = "/run/storage"' \
        > "$CONTAINERS_STORAGE_CONF"
    printf '%s\n' '[containers]' 'cgroups = "disabled"' 'log_driver = "k8s-file"' \
        '[engine]' 'cgroup_manager = "cgroupfs"' 'events_logger = "none"' \
        '[network]' "network_config_dir = \"$home/networks\"" \
        > "$CONTAINERS_CONF"
}

# runs CODE OPTION… IMAGE WORD…: runs a container, removes it, and checks its exit status.
runs() {
    local code=$1
    shift
    exits "$code" podman run --rm --network none "$@"
}

# loads SUFFIX: loads an image, as from a registry.
loads() {
    local id
    id=$(buildah pull --quiet "oci:$home/oci/binfmt-nix$1:$version$1") && buildah tag "$id" "localhost/binfmt-nix:$version$1"
}

forgets() {
    podman rmi --all --force && podman system reset --force && rm -rf "$home/storage" && ! compgen -G "$home/storage*/"
}

note_table() { entries > "$home/$1"; }
same_table() { entries > "$home/now" && diff -u "$home/$1" "$home/now"; }

entries() {
    local name
    for name in $(ls -U "$table"); do
        [ "$name" = register ] || echo "$name: $(tr '\n' ';' < "$table/$name")"
    done
}

where_nobody_has_the_table() {
    if [ -n "$elsewhere" ]; then
        echo "        this machine has the table mounted: a machine without a table is not tested"
        return 0
    fi
    check "no table: register exits 3 and names --watch" dies_with_the_container
    check "no table: and leaves no table mounted" gone
}

dies_with_the_container() {
    runs 3 --privileged "$image" register aarch64 && says "only this container (podman)" \
        "mount -t binfmt_misc binfmt_misc $table" "--watch"
}

gone() { ! mounted; }

from_an_image_that_is_gone() {
    check "register: without a network, exits 0" runs 0 --privileged "$image" register aarch64 riscv64
    check "register: it is proven, and in memory" says "aarch64: registered, proven" "riscv64: registered, proven" "in memory"
    check "register: no container is left, and the image and the storage are removed" forgets
    check "register: this machine runs programs of aarch64" says_machine aarch64 arm64
    check "register: and of riscv64" says_machine riscv64 riscv64
    check "register: in a chroot that holds nothing else, too" in_a_chroot
    check "register: this machine has no file of the tool" no_file
}

says_machine() { [ "$("$corpus/busybox-static-$2/bin/busybox" uname -m)" = "$1" ]; }

in_a_chroot() {
    mkdir "$home/room"
    cp "$corpus/busybox-static-arm64/bin/busybox" "$home/room/busybox"
    [ "$(chroot "$home/room" /busybox uname -m)" = aarch64 ]
}

no_file() {
    [ ! -e /var/lib/binfmt-nix ] && [ ! -e /usr/local/libexec/binfmt-nix ] && ! compgen -G '/etc/binfmt.d/*binfmt-nix*'
}

seen_from_another_container() {
    check "look: a fresh image is loaded" loads -qemu
    check "look: status sees the entries" runs 0 --privileged "$image" status
    check "look: of both" says aarch64 riscv64 works binfmt-nix-aarch64
    check "look: status --check exits 0" runs 0 --privileged "$image" status --check aarch64
    check "look: test proves it" runs 0 --privileged "$image" test aarch64
    check "look: doctor has no finding" runs 0 --privileged "$image" doctor
    check "look: register again has nothing to do" runs 0 --privileged "$image" register aarch64 riscv64
    check "look: and reports that the entry exists" says "runs already"
}

undone_from_another_container() {
    check "undo: unregister all exits 0" runs 0 --privileged "$image" unregister all
    check "undo: the table is as before" same_table before
    check "undo: status --check exits 3" runs 3 --privileged "$image" status --check aarch64
}

with_few_rights() {
    local few=(--cap-drop all --cap-add SYS_ADMIN --read-only)
    check "few rights: register exits 0" runs 0 "${few[@]}" "$image" register aarch64
    check "few rights: this machine runs programs of aarch64" says_machine aarch64 arm64
    check "few rights: status --check exits 0" runs 0 "${few[@]}" "$image" status --check aarch64
    check "few rights: unregister exits 0" runs 0 "${few[@]}" "$image" unregister all
    check "few rights: the table is as before" same_table before
    # The seccomp filter of docker and containerd forbids pivot_root(2) even with CAP_SYS_ADMIN.
    sed '/"pivot_root",/d' /usr/share/containers/seccomp.json > "$home/seccomp.json"
    few+=(--security-opt "seccomp=$home/seccomp.json")
    check "docker's filter: register exits 0" runs 0 "${few[@]}" "$image" register aarch64
    check "docker's filter: status --check exits 0" runs 0 "${few[@]}" "$image" status --check aarch64
    check "docker's filter: and reports what could not be tried" says "a start in a chroot could not be tried"
    check "docker's filter: with CAP_SYS_CHROOT it can" \
        runs 0 "${few[@]}" --cap-add SYS_CHROOT "$image" status --check aarch64
    check "docker's filter: unregister exits 0" runs 0 "${few[@]}" "$image" unregister all
    check "docker's filter: the table is as before" same_table before
    check "no rights: register exits 6" runs 6 --cap-drop all "$image" register aarch64
    check "no rights: and names the capability that it needs" says "--cap-add SYS_ADMIN"
    check "no rights: the table is as before" same_table before
}

all_that_is_in_the_image() {
    check "all: register all --source host exits 0" runs 0 --privileged "$image" register all --source host
    check "all: every emulator of the image is registered" has_all
    check "all: this machine runs programs of s390x" says_machine s390x s390x
    check "all: unregister exits 0" runs 0 --privileged "$image" unregister all
    check "all: the table is as before" same_table before
}

has_all() {
    local file
    for file in $(grep -o 'qemu-.*' "$home/layer"); do
        [ -e "$table/binfmt-nix-${file#qemu-}" ] || { echo "not registered: $file"; return 1; }
    done
}

# As in a rootless container: its root is an ordinary user of the machine.
in_another_user_namespace() {
    local other=(--uidmap 0:100000:65536 --gidmap 0:100000:65536 --privileged)
    check "user namespace: register exits 6" runs 6 "${other[@]}" "$image" register aarch64
    check "user namespace: and explains it" says "is in a user namespace" "sudo podman run --privileged"
    check "user namespace: the table is as before" same_table before
}

# The engine adds a resolv.conf and no certificates. The download uses the machine's own mirror of Debian.
a_download_in_an_empty_image() {
    local mirror
    check "download: the image without QEMU is loaded" loads ''
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT) $(CODENAME)' 'Created-By: Packages' |
        awk -v codename="$(. /etc/os-release && echo "$VERSION_CODENAME")" '$2 == "main" && $3 == codename && !found { print $1; found = 1 }')
    check "download: a host's name is looked up, QEMU is fetched and registered" \
        exits 0 podman run --rm --privileged --network host "$alone" register aarch64 --mirror "$mirror"
    check "download: this machine runs programs of aarch64" says_machine aarch64 arm64
    check "download: unregister exits 0" runs 0 --privileged "$alone" unregister all
    check "download: the table is as before" same_table before
}
