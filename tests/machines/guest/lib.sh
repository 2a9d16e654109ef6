# Functions for the scripts that run in a machine of the tests. /root/in has the tool and what it needs.
set -euo pipefail
tool=/root/in/binfmt-nix
table=/proc/sys/fs/binfmt_misc

# Registers aarch64 without a network.
register() { "$tool" register aarch64 --qemu /root/in/qemu-aarch64 "$@"; }

# A program of aarch64 runs: plain, as an ordinary user, and in an empty chroot.
runs() {
    rm -rf /tmp/aarch64 && mkdir -m 755 /tmp/aarch64
    install -m 755 /root/in/busybox /tmp/aarch64/uname
    [ "$(/tmp/aarch64/uname -m)" = aarch64 ]
    [ "$(setpriv --reuid=user --regid=user --init-groups /tmp/aarch64/uname -m)" = aarch64 ]
    [ "$(chroot /tmp/aarch64 /uname -m)" = aarch64 ]
}

# No entry of this tool is in the table.
is_unregistered() { [ ! -e "$table/qemu-aarch64" ] && ! runs 2>/dev/null; }

# Every file that the tool may change, with its owner, mode, size and target.
list_files() {
    local dir changing=()
    for dir in /root /tmp /var/tmp /var/log /var/cache /var/spool /var/lib/systemd /var/lib/urandom /usr/lib/rc/cache \
        /var/lib/dpkg /var/overlay /nix /home/user/build /home/user/.cache; do
        changing+=(-path "$dir" -o)
    done
    # Times and sizes of directories are not compared, nor the files that a boot, dpkg and Nix's builds write.
    # Nor is the upper layer of an overlay, which keeps copies of what was changed back.
    find / /etc -xdev \( "${changing[@]}" -false \) -prune -o -type d -printf '%p d %m %u\n' -o -printf '%p %y %m %u %s %l\n' |
        grep -vE '^/etc/(mtab|adjtime|resolv.conf) ' | sort -u
}

# as_user COMMAND...: runs the tool as an ordinary user. The messages are kept.
as_user() {
    install -m 755 "$tool" /tmp/binfmt-nix
    install -m 755 /root/in/qemu-aarch64 /tmp/qemu-aarch64
    HOME=/home/user setpriv --reuid=user --regid=user --init-groups /tmp/binfmt-nix "$@" 2> /tmp/said
}

# fails STATUS COMMAND...: the command ends with this status. Its messages are printed.
fails() {
    local expected=$1 status=0
    shift
    "$@" 2> /tmp/said || status=$?
    cat /tmp/said
    [ "$status" = "$expected" ]
}

# refuses COMMAND...: the command fails. The shell does not end because of a failure after `!`.
refuses() { ! "$@"; }

# write_line FILE LINE: a command with a redirection, for refuses.
write_line() { echo "$2" > "$1"; }

# run_proposed REGEX: runs the command in the messages that matches as a whole, with 128 for N.
run_proposed() {
    local command
    command=$(grep -oE "$1" /tmp/said | head -n 1)
    sh -c "${command//=N/=128}"
}

# Connects the machine with the network of qemu-system, which reaches what the host reaches.
connect() {
    ip link set eth0 up
    ip address add 10.0.2.15/24 dev eth0
    ip route add default via 10.0.2.2
    echo nameserver 10.0.2.3 > /etc/resolv.conf
}

# builds_as_user [native | MACHINE PROGRAM]: an ordinary user builds a derivation of aarch64 (or of another machine) through
# Nix's daemon. The builder does not see the machine's files, so it is in the sandbox, unless the settings switch that off.
builds_as_user() {
    local machine=${1:-aarch64} program=${2:-/root/in/busybox} dir=/home/user/build hidden=/home/user out
    # Debian 12's nix.conf.
    ! grep -x 'sandbox = false' /etc/nix/nix.conf || hidden=/nonexistent
    [ "$machine" != native ] || { machine=$(uname -m) && program=/root/in/busybox-native; }
    rm -rf "$dir"
    install -d -o user -g user "$dir" "$dir/in"
    install -m 755 "$program" "$dir/in/busybox"
    cat > "$dir/default.nix" << END
derivation {
  name = "built-$(date +%s%N)";
  system = "$machine-linux";
  builder = "\${./in}/busybox";
  args = [ "ash" "-c" "b=\${./in}/busybox; \$b test ! -e $hidden && { \$b uname -m; \$b id -u; } > \$out" ];
}
END
    out=$(setpriv --reuid=user --regid=user --init-groups env HOME=/home/user NIX_REMOTE=daemon \
        nix-build --no-out-link "$dir")
    cat "$out"
    [ "$(head -n 1 "$out")" = "$machine" ]
}

# start_programs: starts a program of aarch64 again and again, until no_program_failed.
start_programs() {
    rm -f /tmp/failed /tmp/ran /tmp/stop
    while [ ! -e /tmp/stop ]; do
        if /tmp/aarch64/uname -m > /tmp/said-by-it 2>&1; then echo ran >> /tmp/ran; else cat /tmp/said-by-it >> /tmp/failed; fi
    done &
}

# Prints how many programs ran.
no_program_failed() {
    touch /tmp/stop
    wait
    cat /tmp/failed 2> /dev/null || true
    [ ! -e /tmp/failed ]
    wc -l < /tmp/ran
}

# WSL's entry runs a Windows program.
windows_runs() { /usr/local/bin/program.exe x | grep "^Windows program .* x$"; }

# foreign_run NAME REGEX: the program busybox-NAME runs, and reports a machine like this.
foreign_run() {
    rm -rf /tmp/foreign && mkdir -m 755 /tmp/foreign
    install -m 755 "/root/in/busybox-$1" /tmp/foreign/uname
    /tmp/foreign/uname -m | grep -xE "$2"
}

foreign_runs() {
    foreign_run amd64 x86_64
    foreign_run i386 'i[3-6]86'
    foreign_run riscv64 riscv64
}
