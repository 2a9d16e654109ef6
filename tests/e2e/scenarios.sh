# shellcheck shell=bash
# What users do, in order: a fresh machine, one command, undo, and conflicts.

a_fresh_machine() {
    check "fresh: no entry, no QEMU, and no table is mounted" nothing_there
    check "fresh: a program of aarch64 does not run" does_not_run
    check "fresh: Nix refuses an aarch64 derivation with its usual message" refuses
    check "fresh: Nix builds for this machine" builds x86_64-linux amd64 x86_64
    note before
}

nothing_there() {
    ! mounted && ! compgen -G '/usr/bin/qemu-*' && [ ! -e /etc/nix/binfmt-nix.conf ]
}

one_command() {
    rm -f "$home/moved"
    check "register: exits 0, proven, and Nix built" registers "proven: a program ran in an empty chroot" \
        "Nix built a derivation for aarch64-linux in its sandbox (as root)"
    check "register: between 3.0 and 7.1 MB are transferred: $(moved)" between 3000000 "$(moved)" 7100000
    check "register: the program runs by itself" runs_by_itself
    check "register: it runs in a chroot that holds nothing else" runs_in_chroot
    check "register: Nix builds the same for aarch64-linux in its sandbox" builds aarch64-linux arm64 aarch64
    check "register: Nix lists it, and i686-linux still" listed aarch64-linux i686-linux
    check "register: Nix still builds for this machine" builds x86_64-linux amd64 x86_64
    if "$home/bin/busybox-i386" true 2>/dev/null; then
        check "register: Nix still builds for i686-linux" builds i686-linux i386 i686
    fi
    check "status: works, by binfmt-nix, and Nix is configured" status_is works binfmt-nix true
    note registered
    proofs
    check "status, doctor: slow checks show a bar on a terminal, and none elsewhere" shows_a_bar
    check "test: nothing is changed" same registered
    rm -f "$home/moved"
    check "register again: reports that it is registered already" registers "already registered"
    check "register again: nothing is changed, nothing is downloaded" unchanged_and_offline registered
}

# An emulator that takes a second. The bar appears after half of it.
shows_a_bar() {
    local line command failed=0 shown=$home/shown
    printf '%s\n' '#!/bin/sh' 'sleep 1' > /opt/slow
    chmod 755 /opt/slow
    line=$("$tool" list --format binfmt.d | grep '^:qemu-riscv64:' | sed 's|:[^:]*:[^:]*$|:/opt/slow:|')
    printf '%s' "$line" > "$table/register"
    for command in status doctor; do
        TERM=xterm script -qec "$tool $command" /dev/null < /dev/null > "$shown" || true
        grep -q 'check \[' "$shown" || { cat "$shown"; failed=1; }
        "$tool" "$command" > "$shown" 2>&1 || true
        ! grep 'check \[' "$shown" || failed=1
    done
    echo -1 > "$table/qemu-riscv64"
    rm /opt/slow "$shown"
    return "$failed"
}

# With the Nix of the machine, which uses neither a cache nor the network.
proofs() {
    local ordinary=(HOME=/tmp setpriv --reuid 65534 --regid 65534 --clear-groups)
    rm -f "$home/moved"
    check "test --nix: all is proven, by a build in the sandbox too" proven aarch64 --nix
    check "test --nix: as JSON" proven_as_json
    check "test --nix: nothing is left in the store, nothing was downloaded" nothing_built
    check "test all: exits 0" proven all
    check "test: an ordinary user proves the same" proven_by "${ordinary[@]}"
    check "status --check: exits 0" works aarch64
    check "status --check: of another system exits 3" works_not riscv64
    check "test --nix: of another system exits 3, and Nix refuses it" refused_test
    check "test --nix: without the platform in Nix exits 3, and names the repair" unconfigured_test
    check "test --nix: with an entry that has no F, Nix cannot build either" without_f_test
}

proven() {
    exits 0 "$tool" test "$@" && says "a program ran" "it kept its argv[0]" "it ran in an empty chroot" \
        "it ran in a sandbox like Nix's" || return 1
    [ "${2:-}" != --nix ] || says "Nix built a derivation for aarch64-linux in its sandbox (as root)"
}

proven_as_json() {
    exits 0 "$tool" test aarch64 --nix --json && tr -d ' \n' < "$home/said" > "$home/report" &&
        mv "$home/report" "$home/said" && says '"what":"nix","result":"proven"' '"proven":true'
}

proven_by() {
    exits 0 env "$@" "$tool" test aarch64 && says "it ran in a sandbox like Nix's"
}

nothing_built() {
    [ -z "$(compgen -G '/nix/store/*-binfmt-nix-probe*' | grep -v '\.lock$')" ] && ! compgen -G '/tmp/binfmt-nix-*' && [ "$(moved)" = 0 ]
}

works() { exits 0 "$tool" status --check "$1" && [ "$(cat "$home/said")" = "$1: works" ]; }

works_not() { exits 3 "$tool" status --check "$1" && says "$1: missing" && [ "$(wc -l < "$home/said")" = 1 ]; }

refused_test() {
    exits 3 "$tool" test riscv64 --nix && says "no entry takes them" "Nix did not build a derivation for riscv64-linux" \
        "binfmt-nix register riscv64"
}

unconfigured_test() {
    local own=/etc/nix/binfmt-nix.conf result=0
    mv "$own" "$home/own.conf"
    exits 3 "$tool" test aarch64 --nix && says "it ran in a sandbox like Nix's" \
        "Nix did not build a derivation for aarch64-linux" "binfmt-nix register aarch64" || result=1
    mv "$home/own.conf" "$own"
    return "$result"
}

without_f_test() {
    local theirs=/opt/their-qemu result=0
    cp "$emulator" "$theirs"
    echo ":no-f:M::$foreign:$foreign_mask:$theirs:P" > "$table/register"
    exits 3 "$tool" test aarch64 --nix && says "proven   a program ran" "no-f has no flag F" \
        "FAILED   Nix did not build a derivation for aarch64-linux" "No such file" || result=1
    echo -1 > "$table/no-f" || true
    rm "$theirs"
    return "$result"
}

registers() {
    exits 0 "$tool" register aarch64 && says "$@"
}

between() { [ "$1" -le "$2" ] && [ "$2" -le "$3" ]; }

runs_by_itself() { [ "$("$home/bin/busybox-arm64" uname -m)" = aarch64 ]; }

# Started by bash itself: `env` and `timeout` would pass a file that cannot be executed to a shell.
does_not_run() {
    ! "$home/bin/busybox-arm64" true > "$home/said" 2>&1 && says "cannot execute binary file: Exec format error"
}

runs_in_chroot() {
    local room
    room=$(mktemp -d "$home/room-XXXXXX")
    cp "$home/bin/busybox-arm64" "$room/busybox"
    [ "$(chroot "$room" /busybox uname -m)" = aarch64 ] && [ "$(chroot "$room" /busybox ls /)" = busybox ]
}

# status_is STATE BY NIX_KNOWS
status_is() {
    exits 0 "$tool" --json status && tr -d ' \n' < "$home/said" > "$home/status" && mv "$home/status" "$home/said" &&
        says '"system":"aarch64"' "\"state\":\"$1\"" "\"by\":\"$2\"" "\"nix_knows\":$3"
}

unchanged_and_offline() { same "$1" && [ "$(moved)" = 0 ]; }

undo() {
    check "unregister: exits 0" unregisters
    check "unregister: files, directories, links, modes, owners, entries and mount are as before" same before
    check "unregister: a program of aarch64 does not run any more" does_not_run
    check "unregister: Nix refuses again" refuses
    check "unregister again: exits 0, changes nothing" unregisters
    check "unregister again: all is as before" same before
}

unregisters() { exits 0 "$tool" unregister aarch64; }

with_a_daemon() {
    local through=(NIX_REMOTE=daemon)
    local ordinary=("${through[@]}" HOME=/tmp setpriv --reuid 65534 --regid 65534 --clear-groups)
    start_daemon
    check "daemon: it refuses before" refuses "${through[@]}"
    check "daemon: register names the process to restart, and exits 3" restart_it register
    check "daemon: until then it refuses" refuses "${through[@]}"
    stop_daemon
    start_daemon
    check "daemon: restarted, it builds" builds aarch64-linux arm64 aarch64 "${through[@]}"
    check "daemon: it builds for an ordinary user" builds aarch64-linux arm64 aarch64 "${ordinary[@]}"
    check "daemon: test --nix proves it" proven_by_nix "${through[@]}"
    check "daemon: test --nix below sudo proves it for the caller" proven_below_sudo "${through[@]}"
    check "daemon: test --nix below sudo obeys the caller's settings as the caller" misled_below_sudo "${through[@]}"
    check "daemon: test --nix as root ignores NIX_CONFIG" proven_by_nix NIX_CONFIG="$plugin"
    check "daemon: test --nix proves it for an ordinary user" proven_by_nix "${ordinary[@]}"
    cp /etc/nix/nix.conf "$home/nix.conf"
    echo 'sandbox = false' >> /etc/nix/nix.conf
    stop_daemon
    start_daemon
    check "daemon: with sandbox = false, the sandbox is not claimed" unsandboxed "${ordinary[@]}"
    cp "$home/nix.conf" /etc/nix/nix.conf
    stop_daemon
    start_daemon
    check "daemon: unregister names the process to restart, and exits 3" restart_it unregister
    stop_daemon
    check "daemon: all is as before" same before
}

proven_by_nix() {
    exits 0 env "$@" "$tool" test aarch64 --nix && says "Nix built a derivation for aarch64-linux in its sandbox (as "
}

# A setting with which Nix loads a library; without the library, Nix fails.
plugin='plugin-files = /nonexistent/plugin.so'

proven_below_sudo() {
    exits 0 env SUDO_UID=65534 SUDO_GID=65534 "$@" "$tool" test aarch64 --nix &&
        says "Nix built a derivation for aarch64-linux in its sandbox (as $(getent passwd 65534 | cut -d : -f 1))"
}

misled_below_sudo() {
    exits 3 env SUDO_UID=65534 SUDO_GID=65534 NIX_CONFIG="$plugin" "$@" "$tool" test aarch64 --nix && says "plugin.so"
}

unsandboxed() {
    exits 0 env "$@" "$tool" test aarch64 --nix && says "Nix built a derivation for aarch64-linux, not in its sandbox (as "
}

restart_it() { exits 3 "$tool" "$1" aarch64 && says "nix-daemon (process $daemon)" "restart it"; }

overruled_by_a_user_file() {
    mkdir -p /root/.config/nix
    echo "extra-platforms = i686-linux" > /root/.config/nix/nix.conf
    check "overruled: register reports that Nix still does not build, and exits 3" overruled
    check "overruled: that is true" refuses
    check "overruled: status reports that Nix is not configured" status_is works binfmt-nix false
    rm -r /root/.config/nix
    check "overruled: without that file Nix builds" builds aarch64-linux arm64 aarch64
    check "overruled: unregister exits 0" unregisters
    check "overruled: all is as before" same before
}

overruled() {
    exits 3 "$tool" register aarch64 && says "Nix would still not build for aarch64-linux" "extra-extra-platforms"
}

# The usual magic and mask for aarch64, without flag F and without a boot file.
foreign='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
foreign_mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'

a_foreign_entry() {
    mount -t binfmt_misc binfmt_misc "$table"
    echo ":qemu-aarch64:M::$foreign:$foreign_mask:/opt/their/qemu-aarch64:" > "$table/register"
    note theirs
    check "conflict: register exits 3 and shows both rules" reports_the_conflict
    check "conflict: nothing is changed" same theirs
    check "conflict: --force registers with precedence over it" forced
    check "conflict: the program runs" runs_by_itself
    check "conflict: the foreign entry is unchanged" theirs_is_there
    check "conflict: Nix builds" builds aarch64-linux arm64 aarch64
    check "conflict: unregister exits 0" unregisters
    check "conflict: all is as before, with the foreign entry" same theirs
    echo -1 > "$table/qemu-aarch64" || true
    umount "$table" || true
    check "conflict: without the foreign entry, all is as at the start" same before
}

reports_the_conflict() {
    exits 3 "$tool" register aarch64 && says ":/opt/their/qemu-aarch64:" ":$emulator:" "--force"
}

forced() {
    exits 0 "$tool" register aarch64 --force && says "binfmt-nix-aarch64" && [ -e "$table/binfmt-nix-aarch64" ]
}

theirs_is_there() { grep -x "interpreter /opt/their/qemu-aarch64" "$table/qemu-aarch64"; }

# vm.memfd_noexec=2 prevents programs in memory. A private table shows that i386 is native, without them. The setting belongs to a PID
# namespace, so each check gets its own one, with its own /proc. Mounts in this /proc end with it.
no_programs_from_memory() {
    check "no programs from memory: i386, which is native, is refused, exits 2" strict refused_native
    check "no programs from memory: aarch64 is proven, by status and by test too" strict tried_all_the_same
    check "no programs from memory: unregister exits 0" unregisters
    check "no programs from memory: all is as before" same before
}

refused_native() { exits 2 "$tool" register i386 && says "without an emulator"; }

tried_all_the_same() { registers proven && status_is works binfmt-nix true && proven aarch64; }

strict() {
    export -f "$1" exits says registers status_is proven
    unshare --pid --fork --mount-proc bash -c "
        $(declare -p home tool clean)
        echo 2 > /proc/sys/vm/memfd_noexec && $1"
}

systemd() {
    local binfmt=/usr/lib/systemd/systemd-binfmt
    [ -x "$binfmt" ] || { echo "        no systemd-binfmt here: not checked"; return 0; }
    check "systemd: register exits 0" registers proven
    note registered
    check "systemd: systemd-binfmt exits 0" exits 0 "$binfmt"
    check "systemd: everything is as before, and the entry has the same text" same registered
    check "systemd: the program runs" runs_by_itself
    check "systemd: status reports that it works" status_is works binfmt-nix true
    check "systemd: register has nothing to do" registers "already registered"
    check "systemd: unregister exits 0" unregisters
    check "systemd: all is as before" same before

    check "restart: register exits 0" registers proven
    umount "$table" || true
    check "restart: the table is gone, and status reports it" status_is missing nobody true
    mount -t binfmt_misc binfmt_misc "$table"
    check "restart: systemd-binfmt brings the entry back" exits 0 "$binfmt"
    check "restart: the program runs" runs_by_itself
    check "restart: unregister exits 0" unregisters
    check "restart: the table has no entry, and stays mounted: the system mounted it" empty_and_mounted
    umount "$table" || true
    check "restart: all is as before" same before
}

empty_and_mounted() { mounted && [ "$(ls "$table" | sort | tr '\n' ' ')" = "register status " ]; }
