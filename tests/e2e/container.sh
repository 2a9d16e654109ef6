# shellcheck shell=bash
# In a container of an application: its files are not the machine's, and the table is not mounted in it. A real one is
# tests/containers; here it is mounts of its own, and podman's mark.

container() {
    umount "$table" 2>/dev/null || true
    touch /run/.containerenv
    note alone
    check "container: where nobody has the table, register exits 3 and offers to stay" dies_with_it
    check "container: nothing is changed" same alone
    check "container: with --watch it goes on, and the machine runs the program" holds register aarch64 --watch
    check "container: what it says" grep -q "ends with the container" "$home/held"
    check "container: status in another one sees it" in_container 0 status --check aarch64
    check "container: unregister in another one does not fight it" in_container 3 unregister aarch64
    check "container: and says who it is" says "a process in a container stays (register --watch)"
    check "container: a second one does not stay beside it" in_container 3 register riscv64 --watch --wait 0
    check "container: at its end the entries are gone" lets_go expired
    check "container: the program does not run any more" does_not_run
    mount -t binfmt_misc binfmt_misc "$table"
    note inside
    check "container: register exits 0: QEMU is in memory" in_container 0 register aarch64
    check "container: it said so, and why" says "this is a container (podman)" "in memory, until this machine restarts"
    check "container: the machine runs the program" runs_by_itself
    check "container: in a chroot that holds nothing else, too" runs_in_chroot
    check "container: nothing was written" nothing_written
    check "container: register again has nothing to do" in_container 0 register aarch64
    check "container: and says so" says "runs already (entry binfmt-nix-aarch64)"
    check "container: status sees the machine's entry" seen_in_container
    check "container: two at once wait for each other" waits_for_the_table
    check "container: unregister, of another one, takes it away" in_container 0 unregister all
    check "container: all is as before" same inside
    as=(setpriv --bounding-set -all,+sys_admin --inh-caps -all)
    check "container: with CAP_SYS_ADMIN alone, register exits 0" in_container 0 register aarch64
    check "container: and status says that it works, in chroots too" in_container 0 status --check aarch64
    check "container: and so does unregister" in_container 0 unregister all
    as=()
    check "container: all is as before" same inside
    check "container: with --watch, in the machine's own table" holds register aarch64 --watch --on-stop remove
    check "container: an entry that is removed comes back" comes_back
    check "container: at its end it takes away what it made" lets_go unregistered
    check "container: all is as before" same inside
    rm /run/.containerenv
    check "container: outside, register uses files" registers "proven: a program ran in an empty chroot"
    note registered
    touch /run/.containerenv
    check "container: whose files are not seen inside, where it runs already" in_container 0 register aarch64
    check "container: and says which entry does it" says "runs already (entry qemu-aarch64)"
    check "container: unregister leaves it, for it was not made in one" in_container 0 unregister aarch64
    check "container: and says so" says "aarch64: was not registered"
    check "container: nothing is changed" same registered
    check "container: without the right to mount, register exits 6, before it does anything" may_not_mount
    check "container: status says that it does not see the table" may_not_look
    rm /run/.containerenv
    check "container: outside, all is undone" unregisters
    umount "$table"
}

# in_container CODE WORD…: with none of the machine's files of ours, and no table until the tool mounts it.
in_container() {
    local code=$1
    shift
    exits "$code" "${inside[@]}" "$table" "${as[@]}" "$tool" "$@"
}
in_a_container() { exec "${clean[@]}" "${inside[@]}" "$table" "$@"; }
inside=(unshare --mount --propagation private bash -c 'umount "$0" 2>/dev/null
    for dir in /usr/local /var/lib /etc/binfmt.d; do mkdir -p "$dir" && mount -t tmpfs -o mode=755 none "$dir"; done
    exec "$@"')

as=()
# As the containers of docker and podman are by default: root, without the capability.
without_sys_admin() {
    local as=(setpriv --bounding-set -sys_admin --inh-caps -sys_admin)
    in_container "$@"
}

dies_with_it() {
    in_container 3 register aarch64 && says "only this container (podman)" "--watch" \
        "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc"
}

seen_in_container() {
    in_container 0 status --json && says '"entry": "binfmt-nix-aarch64"' '"state": "works"' '"by": "binfmt-nix"' &&
        in_container 0 status --check arm64
}

waits_for_the_table() {
    local got=0
    exec 9< "$table"
    flock 9
    in_container 1 unregister aarch64 --wait 0 || got=1
    exec 9<&-
    [ "$got" = 0 ] && says "holds $table"
}

may_not_mount() { without_sys_admin 6 register riscv64 && says "cannot mount binfmt_misc" "--cap-add SYS_ADMIN"; }

may_not_look() { without_sys_admin 0 status && says "the machine's own table is not seen"; }

# holds WORD…: in the background, until it says that it does.
holds() {
    in_a_container "$tool" "$@" > "$home/held" 2>&1 &
    tells holding && runs_by_itself
}

comes_back() {
    echo -1 > "$table/binfmt-nix-aarch64"
    tells registered && runs_by_itself
}

# tells EVENT: who holds does, within half a minute.
tells() {
    local tries=0
    until grep -q " $1 " "$home/held"; do
        ((tries++ < 300)) || { cat "$home/held"; return 1; }
        sleep 0.1
    done
}

# lets_go EVENT: ends it as an engine does.
lets_go() {
    pkill -TERM -f '^[^ ]*binfmt-nix register aarch64 --watch' || return 1
    wait_for_none && cat "$home/held" && grep -q " $1 system=aarch64 entry=\| $1 system=aarch64\$" "$home/held"
}

wait_for_none() {
    local tries=0
    while pgrep -f '^[^ ]*binfmt-nix register aarch64 --watch' > /dev/null; do
        ((tries++ < 300)) || return 1
        sleep 0.1
    done
}
