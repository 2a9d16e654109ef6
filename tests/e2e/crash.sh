# shellcheck shell=bash
# kill -9 at any moment, and the recovery after it.

killed() {
    kill_in_download
    check "killed in the download: no entry, and unregister exits 0" unregisters
    check "killed in the download: after unregister all is as before" same before
    kill_in_download
    check "killed in the download: register again exits 0" registers proven
    check "killed in the download: no temporary file is left" no_temporary_file
    check "killed in the download: unregister exits 0" unregisters
    check "killed in the download: all is as before" same before
}

# Inspects the download worker while the network is silent. Then its parent is killed.
confined() {
    local pid child
    stall_in_download
    child=$(pgrep -P "$pid") || true
    check "confined: a separate process of the tool downloads" is_the_child
    check "confined: it runs as user nobody, without capabilities, with no_new_privs and a seccomp filter" has_no_rights
    check "confined: it holds pipes and sockets, no file and no lock" holds_no_file
    check "confined: no other process can acquire the lock" eval '! flock --nonblock /run/binfmt-nix-change.lock true'
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
    check "confined: after its parent was killed, the lock is free at once" flock --nonblock /run/binfmt-nix-change.lock true
    check "confined: after its parent was killed, it ends" is_gone
    rm -f "$home/stall"
    check "confined: unregister exits 0" unregisters
    check "confined: all is as before" same before
}

is_the_child() { tr '\0' ' ' < "/proc/$child/cmdline" | tee /dev/stderr | grep -qx "/proc/self/exe internal download "; }

has_no_rights() {
    local line
    cat "/proc/$child/status"
    for line in "Uid: 65534 65534 65534 65534" "Gid: 65534 65534 65534 65534" "Groups: " "NoNewPrivs: 1" "Seccomp: 2" \
        "CapInh: 0000000000000000" "CapPrm: 0000000000000000" "CapEff: 0000000000000000"; do
        tr -s '\t ' ' ' < "/proc/$child/status" | grep -qx "$line *" || { echo "not so: $line"; return 1; }
    done
}

holds_no_file() {
    local file held=0
    ls -l "/proc/$child/fd"
    for file in "/proc/$child/fd"/*; do
        case $(readlink "$file") in
            pipe:*) ;;
            socket:* | anon_inode:*event*) [ "${file##*/}" -gt 2 ] || return 1 ;;
            *) return 1 ;;
        esac
        held=$((held + 1))
    done
    [ "$held" -gt 3 ]
}

is_gone() {
    for _ in {1..6000}; do
        grep -q '^State:.[^ZX]' "/proc/$child/status" 2>/dev/null || return 0
        sleep 0.01
    done
    return 1
}

# A signal while the mirror is silent: the process itself restores the state, long before the stall limit.
interrupted() {
    local signal
    for signal in INT:130 TERM:143 HUP:129; do
        kill_in_download "${signal%:*}"
        check "SIG${signal%:*} in the download: exit status ${signal#*:}, without a wait for the mirror" ended "${signal#*:}"
        check "SIG${signal%:*} in the download: all is as before" same before
    done
}

# The mirror is given up after a silence of 30 seconds (`ClientOptions::stall`). The signal must end the tool before that.
ended() { [ "$status" = "$1" ] && [ "$took" -le 25 ]; }

# Starts a registration ($pid) whose download stalls after a megabyte.
stall_in_download() {
    touch "$home/stall"
    rm -f "$home/stalled"
    # `env` executes the tool in the same process.
    "${clean[@]}" "$tool" register aarch64 > "$home/log" 2>&1 &
    pid=$!
    for _ in {1..2400}; do
        [ ! -e "$home/stalled" ] || break
        sleep 0.05
    done
}

# Sends a signal (default: KILL) during a download.
kill_in_download() {
    local pid
    stall_in_download
    check "killed in the download: the download was running" is_downloading "$pid"
    local since=$SECONDS
    kill -"${1:-KILL}" "$pid"
    status=0
    wait "$pid" 2>/dev/null || status=$?
    took=$((SECONDS - since))
    rm -f "$home/stall"
}

is_downloading() {
    cat "$home/log"
    [ -e "$home/stalled" ] && [ "$(readlink "/proc/$1/exe")" = "$tool" ] && [ ! -e "$emulator" ]
}

no_temporary_file() { ! find /etc /usr/local /var/lib /run -name '.binfmt-nix-*' | grep .; }

# Kills the tool just before each system call that changes files or mounts, and then tries both recoveries. strace counts
# only the calls of the first thread, which makes all these changes. The emulator is a copy, so that nothing is downloaded.
# With FULL=1 the tool is killed at each of these calls, otherwise at every third one.
killed_anywhere() {
    command -v strace >/dev/null || { echo "        no strace here: kills at every step are not checked"; return 0; }
    local call contents=/etc step=3 series=0 often=40
    [ "${FULL:-}" != 1 ] || step=1 often=100
    registers proven > "$home/log" && cp "$emulator" "$home/qemu-aarch64" && unregisters > "$home/log"
    note clean
    : > "$home/kills"
    for call in mkdirat fchmod mount renameat linkat unlinkat umount2; do
        check "killed at any $call: register, then unregister: all is as before" \
            each_kill "$call" register unregisters_all $((series++ % step + 1))
        check "killed at any $call: register, then register and unregister: all is as before" \
            each_kill "$call" register registers_and_unregisters $((series++ % step + 1))
        check "killed at any $call: unregister, then unregister: all is as before" \
            each_kill "$call" unregister unregisters_all $((series++ % step + 1))
        # Another call is the first of each series of the next kind.
        series=$((series + 1))
    done
    check "killed at more than $often calls in all" killed_often
}

# Fails if the tool makes its changes by other system calls than these.
killed_often() {
    echo "killed $(wc -l < "$home/kills") times"
    [ "$(wc -l < "$home/kills")" -gt "$often" ]
}

# each_kill CALL COMMAND RECOVERY FIRST: kills COMMAND at its CALL of number FIRST, then in steps at later ones, until it
# ends by itself.
each_kill() {
    local call=$1 command=$2 recovery=$3 number got wrong=0
    for ((number = $4; number <= 200; number += step)); do
        got=0
        [ "$command" = register ] || registers_copy > "$home/log" || { cat "$home/log"; return 1; }
        killed_at "$call" "$number" "$command" || got=$?
        "$recovery" > "$home/log" || { echo "$command, $call number $number:"; cat "$home/log"; wrong=1; }
        same clean > "$home/diff" || { echo "$command, $call number $number:"; grep '^[-+]' "$home/diff"; wrong=1; wipe; }
        [ "$got" = 137 ] || return "$wrong"
        echo "$call" >> "$home/kills"
    done
}

killed_at() {
    local command=("$tool" "$3" aarch64)
    [ "$3" != register ] || command+=(--qemu "$home/qemu-aarch64")
    { "${clean[@]}" strace -o /dev/null -e "trace=$1" -e "inject=$1:signal=KILL:when=$2" "${command[@]}"; } > "$home/log" 2>&1
}

registers_copy() { exits 0 "$tool" register aarch64 --qemu "$home/qemu-aarch64"; }

unregisters_all() { exits 0 "$tool" unregister all; }

registers_and_unregisters() {
    registers_copy && runs_by_itself && no_temporary_file && unregisters_all
}

# Cleans up after a failed recovery, so that the next one starts from a clean machine.
wipe() {
    ! mounted || umount "$table"
    rm -rf "${emulator%/bin/*}" /var/lib/binfmt-nix /etc/binfmt.d/{,.}*binfmt-nix* /etc/nix/{,.}binfmt-nix*
    sed -i /binfmt-nix/d /etc/nix/nix.conf
}
