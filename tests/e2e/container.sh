# shellcheck shell=bash
# In an application container: it has its own files, and the table is not mounted in it. tests/containers has real
# containers. Here a mount namespace and the marker file of podman stand for one.

container() {
    umount "$table" 2>/dev/null || true
    touch /run/.containerenv
    note alone
    check "container: without a table on the machine, register exits 3 and names --watch" dies_with_it
    check "container: nothing is changed" same alone
    check "container: with --watch it keeps running, and the machine runs the program" holds register aarch64 --watch
    check "container: it reports that emulation ends with the container" grep -q "ends with the container" "$home/held"
    check "container: status in another one sees it" in_container 0 status --check aarch64
    check "container: unregister in another container does not remove the entries" in_container 3 unregister aarch64
    check "container: and names the watcher" says "register --watch is running (a process in a container)"
    check "container: a second --watch is refused" in_container 3 register riscv64 --watch --wait 0
    check "container: at its end the entries are gone" lets_go expired
    check "container: the program does not run any more" does_not_run
    mount -t binfmt_misc binfmt_misc "$table"
    note inside
    check "container: register exits 0: QEMU is in memory" in_container 0 register aarch64
    check "container: it reports this and the reason" says "this is a container (podman)" "in memory, until this machine restarts"
    check "container: the machine runs the program" runs_by_itself
    check "container: in a chroot that holds nothing else, too" runs_in_chroot
    check "container: nothing was written" nothing_written
    check "container: register again has nothing to do" in_container 0 register aarch64
    check "container: and names the entry" says "runs already (entry binfmt-nix-aarch64)"
    check "container: status sees the machine's entry" seen_in_container
    check "container: two at once wait for each other" waits_for_the_table
    check "container: unregister in another container removes the entry" in_container 0 unregister all
    check "container: all is as before" same inside
    as=(setpriv --bounding-set -all,+sys_admin --inh-caps -all)
    check "container: with CAP_SYS_ADMIN alone, register exits 0" in_container 0 register aarch64
    check "container: and status reports that it works, in chroots too" in_container 0 status --check aarch64
    check "container: and so does unregister" in_container 0 unregister all
    as=()
    check "container: all is as before" same inside
    check "container: with --watch, it uses the machine's table" holds register aarch64 --watch --on-stop remove
    check "container: an entry that is removed comes back" comes_back
    check "container: at its end it removes its entries" lets_go unregistered
    check "container: all is as before" same inside
    rm /run/.containerenv
    check "container: outside, register uses files" registers "proven: a program ran in an empty chroot"
    note registered
    touch /run/.containerenv
    check "container: inside, these files are invisible, and register exits 0" in_container 0 register aarch64
    check "container: and names the entry that runs the programs" says "runs already (entry qemu-aarch64)"
    check "container: unregister keeps an entry that was made outside" in_container 0 unregister aarch64
    check "container: and reports that it did not register it" says "aarch64: was not registered"
    check "container: nothing is changed" same registered
    check "container: without the right to mount, register exits 6, before it does anything" may_not_mount
    check "container: status reports that the table is invisible" may_not_look
    rm /run/.containerenv
    check "container: outside, unregister exits 0" unregisters
    umount "$table"
}

# in_container CODE WORD…: runs the tool without its files on the machine, and without the table until the tool mounts it.
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
# The default of docker and podman: root without CAP_SYS_ADMIN.
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
    # Only root can open this file, for appending, and that has no effect.
    exec 9>> "$table/register"
    flock 9
    in_container 3 unregister aarch64 --wait 0 || got=1
    exec 9>&-
    [ "$got" = 0 ] && says "holds $table/register"
}

may_not_mount() { without_sys_admin 6 register riscv64 && says "cannot mount binfmt_misc" "--cap-add SYS_ADMIN"; }

may_not_look() { without_sys_admin 0 status && says "the machine's own table cannot be seen"; }

# holds WORD…: starts the tool in the background and waits for its event `holding`.
holds() {
    # The file of an earlier process has the same event.
    : > "$home/held"
    in_a_container "$tool" "$@" > "$home/held" 2>&1 &
    reports holding && runs_by_itself
}

comes_back() {
    echo -1 > "$table/binfmt-nix-aarch64"
    reports registered && runs_by_itself
}

# reports EVENT: waits up to five minutes for this event of the background process.
reports() {
    local tries=0
    until grep -q " $1 " "$home/held"; do
        ((tries++ < 3000)) || { cat "$home/held"; return 1; }
        sleep 0.1
    done
}

# lets_go EVENT: ends the background process like a container engine, and checks its last event.
lets_go() {
    pkill -TERM -f '^[^ ]*binfmt-nix register aarch64 --watch' || return 1
    wait_for_none && cat "$home/held" && grep -q " $1 system=aarch64 entry=\| $1 system=aarch64\$" "$home/held"
}

wait_for_none() {
    local tries=0
    while pgrep -f '^[^ ]*binfmt-nix register aarch64 --watch' > /dev/null; do
        ((tries++ < 3000)) || return 1
        sleep 0.1
    done
}
