# shellcheck shell=bash
# Packaging for container hosts: the container of the DaemonSet and the Compose service, with real podman and the image of
# this tree. The table is the machine's own, as in tests/containers. Everything else is private and in memory.

contained() {
    local program
    for program in podman buildah; do
        command -v "$program" > /dev/null || skip "there is no $program"
    done
    qemu=$(readlink -e "${BINFMT_NIX_TEST_QEMU:-target/test-data/qemu/bin}") || skip "there is no QEMU: tests/fetch-qemu"
    arm64=$(readlink -e "${BINFMT_NIX_TEST_CORPUS:-target/test-data/corpus}")/busybox-static-arm64/bin/busybox
    # Entries with the names of this tool are removed at the end.
    ! "$arm64" true 2> /dev/null && ! compgen -G "$table/binfmt-nix-*" > /dev/null || skip "this machine has emulators already"
    export qemu arm64 venv said_outside=$passed,$failed
    local made=
    [ -d /var/lib/containers ] || { mkdir /var/lib/containers && made=/var/lib/containers; }
    rm -f target/fleet/counted
    unshare --mount --propagation private --pid --fork --kill-child "$here/run" --containers || true
    # Tests of `it` run beside this one, and buildah keeps a cache there.
    [ -z "$made" ] || rmdir --ignore-fail-on-non-empty "$made"
    IFS=, read -r passed failed < target/fleet/counted || { echo "FAILED  containers: it did not come to its end"; exit 1; }
}

containers() {
    local elsewhere
    IFS=, read -r passed failed <<< "$said_outside"
    mount -t proc proc /proc
    for elsewhere in /var/lib/containers /run /dev/shm; do mount -t tmpfs -o mode=755 fleet "$elsewhere"; done
    # podman 4 reads the existing cgroups even if it must not create any.
    [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ] || mount -t cgroup2 fleet /sys/fs/cgroup
    mounted || mount -t binfmt_misc binfmt_misc "$table"
    home=/run/fleet clean=(env -u container "PATH=/run/fleet/bin:$PATH")
    mkdir "$home" "$home/bin"
    engine
    trap remove_entries EXIT
    check "containers: our image is built" packaging/container/build --qemu-from "$qemu"
    daemonset
    compose
    echo "$passed,$failed" > target/fleet/counted
}

# podman and buildah with storage in memory. Without cgroups, which may belong to the machine, and so without memory limits.
engine() {
    printf '[storage]\ndriver = "vfs"\nrunroot = "/run/fleet/run"\ngraphroot = "/run/fleet/storage"\n' > "$home/storage.conf"
    printf '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n[network]\nnetwork_config_dir = "/run/fleet/networks"\n' > "$home/containers.conf"
    export CONTAINERS_STORAGE_CONF=$home/storage.conf CONTAINERS_CONF=$home/containers.conf
    cat > "$home/bin/podman" << END
#!/bin/bash
words=()
for word; do
    case \$word in
        run|create) words+=("\$word"); [ \${#words[@]} != 1 ] || words+=(--cgroups=disabled) ;;
        -m|--memory=*|128m) ;;
        *) words+=("\$word") ;;
    esac
done
exec $(command -v podman) "\${words[@]}"
END
    chmod 755 "$home/bin/podman"
}

daemonset() {
    local manifest=packaging/kubernetes/binfmt-nix.yaml
    mapfile -t words < <("$venv/python" tests/packaging/container.py "$manifest" run)
    mapfile -t probe < <("$venv/python" tests/packaging/container.py "$manifest" probe)
    check "kubernetes: a program of aarch64 does not run" arm64_does_not
    check "kubernetes: the container starts with the settings of the manifest" exits 0 podman run -d --name pod "${words[@]}"
    check "kubernetes: its readiness probe succeeds" soon exits 0 podman exec pod "${probe[@]}"
    check "kubernetes: a program of aarch64 runs on the node" "$arm64" true
    echo -1 > "$table/binfmt-nix-aarch64"
    check "kubernetes: a removed entry is registered again" soon "$arm64" true
    check "kubernetes: SIGTERM ends it, with status 0" ended pod
    check "kubernetes: entries stay, as configured" "$arm64" true
    check "kubernetes: the next one finds them" exits 0 podman run -d --name next "${words[@]/leave/remove}"
    check "kubernetes: and is ready" soon exits 0 podman exec next "${probe[@]}"
    check "kubernetes: with --on-stop remove, it ends with 0" ended next
    check "kubernetes: a program of aarch64 does not run any more" arm64_does_not
    check "kubernetes: without SYS_ADMIN it ends with 6" exits 6 podman run --rm "${words[@]/--cap-add=SYS_ADMIN/--cap-add=CHOWN}"
}

compose() {
    local file=packaging/compose/compose.yaml
    mapfile -t probe < <("$venv/python" -c "import yaml; print(*yaml.safe_load(open('$file'))['services']['binfmt-nix']['healthcheck']['test'][1:], sep='\n')")
    check "compose: up" exits 0 "$venv/podman-compose" -f "$file" up -d
    check "compose: its health check succeeds" soon exits 0 podman exec compose_binfmt-nix_1 "${probe[@]}"
    check "compose: a program of aarch64 runs on the host" "$arm64" true
    check "compose: down" exits 0 "$venv/podman-compose" -f "$file" down
    check "compose: entries stay, as configured" "$arm64" true
    remove_entries
}

soon() {
    local turn
    for turn in {1..480}; do
        ! "$@" > "$home/turn" 2>&1 || return 0
        sleep 0.25
    done
    cat "$home/turn"
    return 1
}

ended() {
    exits 0 podman stop -t 200 "$1" && [ "$("$home/bin/podman" inspect -f '{{.State.ExitCode}}' "$1")" = 0 ] || {
        "$home/bin/podman" logs "$1"
        return 1
    }
}

arm64_does_not() { ! "$arm64" true 2> /dev/null; }

# Removes the entries with the names of this tool. The machine had none of them before.
remove_entries() {
    local entry
    for entry in $(compgen -G "$table/binfmt-nix-*"); do echo -1 > "$entry"; done
}
