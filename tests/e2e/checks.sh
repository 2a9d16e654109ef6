# shellcheck shell=bash
# A check is a name, and a command that must succeed; what it printed is shown if it does not.

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

# exits CODE COMMAND…: as a user who is root types it, without variables of this test but the proxy that counts. What it
# prints stays in $home/said, too.
exits() {
    local wanted=$1 got=0
    shift
    "${clean[@]}" timeout 600 "$@" > "$home/said" 2>&1 || got=$?
    cat "$home/said"
    [ "$got" = "$wanted" ] || { echo "exit status: $got instead of $wanted: $*"; return 1; }
}

# says TEXT…: each is in what the last command printed.
says() {
    local text
    for text; do
        grep -qF -- "$text" "$home/said" || { echo "does not say: $text"; return 1; }
    done
}

# same NAME: the machine is as it was when `note NAME` looked at it. With contents= only files there are read.
note() { machine > "$home/$1"; }
same() { machine > "$home/now" && diff -u "$home/$1" "$home/now"; }

# Content, type, mode, owner, links and directories; the kernel's table: is it mounted, its entries in their order. The
# link count of a directory is not looked at: an overlay's is 1 once something was written there.
machine() {
    local places=(/etc /usr/local /var/lib) name
    local read=(${contents:-"${places[@]}"})
    find "${places[@]}" -xdev -printf '%p %y %m %U:%G %l ' \( -type d -printf '\n' -o -printf '%n\n' \) | sort
    find "${read[@]}" -xdev -type f -print0 | sort -z | xargs -0 cksum
    grep -c " $table " /proc/self/mountinfo || true
    ! mounted || for name in $(ls -U "$table"); do
        case $name in
            register) ;;
            *) echo "$name: $(tr '\n' ';' < "$table/$name")" ;;
        esac
    done
}

mounted() { [ -e "$table/register" ]; }
