# shellcheck shell=bash
# A check is a name and a command that must succeed. The output of a failed command is printed.

passed=0 failed=0

check() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        passed=$((passed + 1))
        echo "ok      $name"
    else
        failed=$((failed + 1))
        echo "FAILED  $name"
        sed 's/^/        | /' <<<"$output"
    fi
}

# exits CODE COMMAND…: runs a command as root with a clean environment, in which only the counting proxy is set, and checks
# its exit status. Its output is also kept in $home/said.
exits() {
    local wanted=$1 got=0
    shift
    "${clean[@]}" timeout 600 "$@" > "$home/said" 2>&1 || got=$?
    cat "$home/said"
    [ "$got" = "$wanted" ] || { echo "exit status: $got instead of $wanted: $*"; return 1; }
}

# says TEXT…: checks that the output of the last command contains each text.
says() {
    local text
    for text; do
        grep -qF -- "$text" "$home/said" || { echo "does not say: $text"; return 1; }
    done
}

# note NAME: records the state of the machine. same NAME: checks that the state has not changed since. With contents=, only
# files in these places are read.
note() { machine > "$home/$1"; }
same() { machine > "$home/now" && diff -u "$home/$1" "$home/now"; }

# Prints the state: contents, types, modes, owners, links and directories; whether the kernel's table is mounted, and its
# entries in order. The link count of a directory is ignored: on an overlay it becomes 1 after a write.
machine() {
    local places=(/etc /usr/local /var/lib) name
    local read=(${contents:-"${places[@]}"})
    find "${places[@]}" -xdev -printf '%p %y %m %U:%G %l ' \( -type d -printf '\n' -o -printf '%n\n' \) | sort
    find "${read[@]}" -xdev -type f ! -path "$receipt" ! -path '/var/lib/containers/cache/*' -print0 | sort -z | xargs -0 cksum
    # The last build by Nix, which `test --nix` records, is not compared.
    [ ! -e "$receipt" ] || sed '/"nix_build": {/,/}/d; s/,$//' "$receipt"
    grep -c " $table " /proc/self/mountinfo || true
    ! mounted || for name in $(ls -U "$table"); do
        case $name in
            register) ;;
            *) echo "$name: $(tr '\n' ';' < "$table/$name")" ;;
        esac
    done
}

receipt=/var/lib/binfmt-nix/receipt.json

mounted() { [ -e "$table/register" ]; }
