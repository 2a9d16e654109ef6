# shellcheck shell=bash
# packaging/install.sh, run by real shells with real downloaders, from a server on the loopback interface. It is run in a
# private mount namespace with a /usr/local/bin and a /var/lib of its own: as root, and as the user 65534.

installer() {
    [ "$(id -u)" = 0 ] || skip "the checks of install.sh need root, for a private /usr/local/bin"
    export venv said_outside=$passed,$failed
    rm -f target/fleet/installer
    unshare --mount --propagation private "$here/run" --installer-inside || true
    IFS=, read -r passed failed < target/fleet/installer || { echo "FAILED  installer: it did not come to its end"; exit 1; }
}

installer_inside() {
    local shell
    IFS=, read -r passed failed <<< "$said_outside"
    mount -t tmpfs -o mode=755 installer /usr/local/bin
    mount -t tmpfs -o mode=755 installer /var/lib
    mount -t tmpfs -o mode=755 installer /srv
    home=/srv joe=/srv/joe clean=(env -i "PATH=$PATH" HOME=/srv/root)
    mkdir /srv/root /srv/releases /srv/bin
    cp "$(readlink -e "${BINFMT_NIX_TEST_CORPUS:-target/test-data/corpus}")/busybox-static-amd64/bin/busybox" /srv/bin/busybox
    only curl sha256sum > /dev/null
    publish
    trap 'kill "$server"' EXIT
    check "install.sh: shellcheck finds nothing" "$venv/shellcheck" --shell=sh packaging/install.sh
    check "install.sh: shellcheck finds what is not POSIX" spoiled 's/^    machine$/    [[ x ]]/' packaging/install.sh "$venv/shellcheck" --shell=sh
    for shell in dash "bash --posix" "/srv/bin/busybox sh"; do
        installs "$shell"
    done
    servers
    other_versions
    signed_versions
    arguments
    interrupted
    removes
    echo "$passed,$failed" > target/fleet/installer
}

# A release of the program that is under test, and its install.sh.
publish() {
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    digest=$(sha256sum < target/dist/binfmt-nix | cut -c 1-64)
    local folder=/srv/releases/v$version
    mkdir -p "$folder"
    install -m 644 target/dist/binfmt-nix "$folder/binfmt-nix-$version-$(uname -m)-linux"
    coproc "$venv/python" tests/packaging/releases.py /srv/releases /srv/requests
    server=$COPROC_PID
    read -r port <&"${COPROC[0]}"
    published /srv/install.sh "http://127.0.0.1:$port/good"
}

# published FILE URL: install.sh as packaging/packages publishes it.
published() {
    packaging/packages --installer "$2" "$(uname -m)=$digest" > "$1"
}

# only PROGRAM…: prints a PATH that has these programs and those that every system has.
only() {
    local name path
    path=/srv/only$(printf -- -%s "$@")
    mkdir -p "$path"
    for name in "$@" cat chmod cut grep head id mkdir mktemp mv rm tail tr uname wc; do
        ln -sf "$(PATH=/usr/bin:/bin command -v "$name")" "$path/$name"
    done
    echo "$path"
}

# script SHELL URL [ARG…]: pipes the published install.sh into a shell, as root.
script() {
    local shell=$1 url=$2
    shift 2
    # shellcheck disable=SC2086 # Some shells have arguments.
    piped /srv/install.sh "${clean[@]}" BINFMT_NIX_RELEASES="http://127.0.0.1:$port/$url" $shell -s -- "$@"
}

# as_joe [ARG…]: the same as an ordinary user, by dash.
as_joe() {
    piped /srv/install.sh setpriv --reuid=65534 --regid=65534 --clear-groups env -i "PATH=${joes_path:-$PATH}" HOME="$joe" dash -s -- "$@"
}

# piped FILE COMMAND…: runs it with FILE as a pipe. Its output stays in $home/said, its status in $status.
piped() {
    local file=$1
    shift
    status=0
    # shellcheck disable=SC2002 # A pipe cannot be read again, as a file can.
    cat "$file" | timeout 300 "$@" > "$home/said" 2>&1 || status=$?
    cat "$home/said"
    return "$status"
}

# refuses STATUS TEXT COMMAND…: the command ends with this status and message, and leaves nothing.
refuses() {
    local wanted=$1 text=$2
    shift 2
    ! "$@" && [ "$status" = "$wanted" ] || { echo "exit status: $status instead of $wanted"; return 1; }
    says "$text" help: && nothing_left
}

nothing_left() { [ -z "$(ls -A /usr/local/bin)" ] || { ls -lA /usr/local/bin; return 1; }; }

is_installed() { [ "$(stat -c '%a %u %h' "$1")" = "755 ${2:-0} 1" ] && cmp target/dist/binfmt-nix "$1" && alone "$1"; }

alone() { [ "$(ls -A "${1%/*}")" = binfmt-nix ] || { ls -lA "${1%/*}"; return 1; }; }

installs() {
    local shell=$1 program=/usr/local/bin/binfmt-nix
    check "install.sh by $shell: root gets /usr/local/bin" script "$shell" good
    check "install.sh by $shell: the program is there, complete, and alone" is_installed $program
    check "install.sh by $shell: it names the next command" says "next: binfmt-nix register aarch64"
    : > /srv/requests
    check "install.sh by $shell: a second run downloads nothing" script "$shell" good
    check "install.sh by $shell: and the server was not asked" [ ! -s /srv/requests ]
    echo changed > $program
    check "install.sh by $shell: another file is replaced" script "$shell" good
    check "install.sh by $shell: by the program" is_installed $program
    check "install.sh by $shell: --uninstall removes it" script "$shell" good --uninstall
    check "install.sh by $shell: completely" nothing_left
    check "install.sh by $shell: --uninstall again is not an error" script "$shell" good --uninstall
    check "install.sh by $shell: a server that lies is refused" refuses 5 "has the sha256" script "$shell" lies
    check "install.sh by $shell: a download that ends early is refused" refuses 1 "cannot download" script "$shell" truncates
}

# Each downloader with each server. The last is a system that has nothing but BusyBox.
servers() {
    local tools shell
    for tools in "curl sha256sum" "wget sha256sum" "curl openssl" busybox; do
        shell=/bin/dash
        if [ "$tools" = busybox ]; then
            shell=/bin/sh
            busybox_system
        else
            # shellcheck disable=SC2086 # Several names.
            clean=(env -i "PATH=$(only $tools)" HOME=/srv/root)
        fi
        check "install.sh with $tools: it installs after a redirect" script $shell redirects
        check "install.sh with $tools: the program" is_installed /usr/local/bin/binfmt-nix
        rm /usr/local/bin/binfmt-nix
        check "install.sh with $tools: a lie is refused" refuses 5 "has the sha256" script $shell lies
        check "install.sh with $tools: a program that ends early is refused" refuses 1 "cannot download" script $shell truncates
        check "install.sh with $tools: half of a program is refused" refuses 5 "has the sha256" script $shell shortens
        check "install.sh with $tools: no bytes are refused" refuses 5 "has the sha256" script $shell empties
        check "install.sh with $tools: a page is refused" refuses 5 "has the sha256" script $shell pages
        check "install.sh with $tools: a circle of redirects is refused" refuses 1 "cannot download" script $shell circles
        check "install.sh with $tools: a redirect to a file is refused" refuses 1 "cannot download" script $shell leads
        check "install.sh with $tools: a flood ends" refuses 1 "has more than 20000000 bytes" script $shell floods
        check "install.sh with $tools: a missing file is refused" refuses 1 "cannot download" script $shell good/nothing
        check "install.sh with $tools: control characters are refused" refuses 1 "cannot download" script $shell escapes
        check "install.sh with $tools: and not printed" fails grep -q "$(printf '\033')" /srv/said
    done
    clean=(/usr/bin/env -i "PATH=$(only sha256sum)" HOME=/srv/root)
    check "install.sh without a downloader fails" refuses 1 "there is no curl and no wget" script /bin/dash good
    clean=(/usr/bin/env -i "PATH=$(only curl)" HOME=/srv/root)
    check "install.sh without a tool for digests fails" refuses 1 "there is no sha256sum and no openssl" script /bin/dash good
    clean=(env -i "PATH=$PATH" HOME=/srv/root)
}

# A root directory with BusyBox alone, and this machine's /usr/local.
busybox_system() {
    local root=/srv/busybox
    mkdir -p $root/bin $root/root $root/dev $root/usr/local/bin
    cp /srv/bin/busybox $root/bin/busybox
    chroot $root /bin/busybox --install -s /bin
    mknod -m 666 $root/dev/null c 1 3
    mount --rbind /usr/local/bin $root/usr/local/bin
    clean=(chroot $root /bin/env -i PATH=/bin HOME=/root)
}

other_versions() {
    local folder=/srv/releases/v0.0.9 other old=0000000000000000000000000000000000000000000000000000000000000000
    mkdir "$folder"
    printf '#!/bin/sh\necho binfmt-nix 0.0.9\n' > "$folder/binfmt-nix-0.0.9-$(uname -m)-linux"
    other=$(sha256sum < "$folder/binfmt-nix-0.0.9-$(uname -m)-linux" | cut -c 1-64)
    check "install.sh: another version needs a digest" refuses 1 "no digest of version 0.0.9" script dash good --version 0.0.9
    check "install.sh: which has to be right" refuses 5 "instead of $old" script dash good --version 0.0.9 --sha256 $old
    check "install.sh: with its digest it is installed" script dash good --version v0.0.9 --sha256 "${other^^}"
    check "install.sh: the other version is there" says "installed binfmt-nix 0.0.9: /usr/local/bin/binfmt-nix"
    check "install.sh: the own version replaces it" script dash good
    check "install.sh: completely" is_installed /usr/local/bin/binfmt-nix
    rm /usr/local/bin/binfmt-nix
    check "install.sh: --sha256 replaces the digest of the script" refuses 5 "instead of $old" script dash good --sha256 $old
    cp packaging/install.sh /srv/unpublished
    check "install.sh of the sources is not of a release" refuses 1 "not from a release" piped /srv/unpublished env -i "PATH=$PATH" dash
}

# Another version, with the key of the publisher in install.sh.
signed_versions() {
    local folder=/srv/releases/v0.0.8 name publisher=/srv/publisher
    name=binfmt-nix-0.0.8-$(uname -m)-linux
    for file in private other; do openssl ecparam -name prime256v1 -genkey -noout -out /srv/$file.pem; done
    { sed /^signing_key=/d packaging/publisher && echo "signing_key=$(openssl ec -in /srv/private.pem -pubout 2> /dev/null | sed /^-/d | tr -d '\n')"; } > $publisher
    mkdir "$folder"
    printf '#!/bin/sh\necho binfmt-nix 0.0.8\n' > "$folder/$name"
    (cd "$folder" && sha256sum "$name" > SHA256SUMS && printf '%064d  %s.tar.xz\n' 0 "$name" >> SHA256SUMS)
    check "packages: without a key in packaging/publisher nothing is signed" fails signs private packaging/publisher
    check "packages: nor by another key" fails signs other $publisher
    check "install.sh of the release has no key" refuses 1 "no digest of version 0.0.8" script dash good --version 0.0.8
    BINFMT_NIX_PUBLISHER=$publisher published /srv/install.sh "http://127.0.0.1:$port/good"
    check "install.sh with a key: shellcheck finds nothing" "$venv/shellcheck" --shell=sh /srv/install.sh
    check "install.sh with a key: a version without a signature is refused" refuses 1 "SHA256SUMS.sig: " script dash good --version 0.0.8
    check "packages: SHA256SUMS is signed" signs private $publisher
    check "install.sh with a key: another version is installed" script dash good --version 0.0.8
    check "install.sh with a key: it is there" says "installed binfmt-nix 0.0.8: /usr/local/bin/binfmt-nix"
    check "install.sh with a key: and the same file" cmp "$folder/$name" /usr/local/bin/binfmt-nix
    check "install.sh with a key: and alone" alone /usr/local/bin/binfmt-nix
    rm /usr/local/bin/binfmt-nix
    check "install.sh with a key: by BusyBox's shell and wget" signed_by_busybox
    rm /usr/local/bin/binfmt-nix
    check "install.sh with a key: the own version has its own digest" script dash good
    check "install.sh with a key: completely" is_installed /usr/local/bin/binfmt-nix
    rm /usr/local/bin/binfmt-nix
    check "install.sh with a key: a changed list is refused" refuses 5 "is not a signature of" script dash lies --version 0.0.8
    check "install.sh with a key: an empty one is refused" refuses 5 "is not a signature of" script dash empties --version 0.0.8
    check "install.sh with a key: a long one is refused" refuses 1 "has more than 100000 bytes" script dash floods --version 0.0.8
    cp -r "$folder" /srv/releases/v0.0.7
    check "install.sh with a key: the signed list of another version is refused" refuses 1 "has no digest of binfmt-nix-0.0.7" \
        script dash good --version 0.0.7
    mv "$folder/$name" "$folder/kept" && echo "echo lies" > "$folder/$name"
    check "install.sh with a key: another program is refused" refuses 5 "has the sha256" script dash good --version 0.0.8
    (cd "$folder" && sha256sum "$name" > SHA256SUMS)
    check "install.sh with a key: also with its digest in the list" refuses 5 "is not a signature of" script dash good --version 0.0.8
    openssl dgst -sha256 -sign /srv/other.pem -out "$folder/SHA256SUMS.sig" "$folder/SHA256SUMS"
    check "install.sh with a key: also with a signature by another key" refuses 5 "is not a signature of" script dash good --version 0.0.8
    clean=(/usr/bin/env -i "PATH=$(only curl sha256sum)" HOME=/srv/root)
    check "install.sh with a key: without openssl it fails" refuses 1 "there is no openssl" script /bin/dash good --version 0.0.8
    clean=(env -i "PATH=$PATH" HOME=/srv/root)
    published /srv/install.sh "http://127.0.0.1:$port/good"
}

# signs NAME PUBLISHER: signs the list of version 0.0.8 with this key.
signs() { BINFMT_NIX_DIST=/srv/releases/v0.0.8 BINFMT_NIX_PUBLISHER=$2 packaging/packages --sign "/srv/$1.pem"; }

signed_by_busybox() {
    local clean=(/usr/bin/env -i "PATH=$(only wget openssl)" HOME=/srv/root)
    script "/srv/bin/busybox sh" good --version 0.0.8 && says "installed binfmt-nix 0.0.8"
}

arguments() {
    local half
    check "install.sh: --help" script dash good --help
    check "install.sh: an unknown argument" refuses 2 "unknown argument: --force" script dash good --force
    check "install.sh: an argument without a value" refuses 2 "--to needs a value" script dash good --to
    check "install.sh: a version that is a path" refuses 2 "invalid version" script dash good --version ../x --sha256 "$digest"
    check "install.sh: a short digest" refuses 2 "invalid digest: 12" script dash good --sha256 12
    check "install.sh: a digest with another character" refuses 2 "invalid digest" script dash good --sha256 "${digest%?}g"
    check "install.sh: a URL of another kind" refuses 1 "is not a URL of https or http" \
        piped /srv/install.sh env -i "PATH=$PATH" BINFMT_NIX_RELEASES=file:///srv dash
    check "install.sh: another kind of machine" refuses 1 "this machine is i686" setarch_script
    check "install.sh: --to a directory with a blank" script dash good --to "/srv/my programs/bin"
    check "install.sh: it is there" is_installed "/srv/my programs/bin/binfmt-nix"
    mkdir -p /srv/folders/binfmt-nix
    check "install.sh: a directory has that name" refuses 1 "is a directory" script dash good --to /srv/folders
    for half in 2 3 10 20; do
        # Cuts inside of the last line (without its newline it is complete), and before it.
        head -c "-$half" /srv/install.sh > /srv/half
        check "install.sh without its last bytes ($half) does nothing" cut_off
    done
}

setarch_script() { piped /srv/install.sh setarch i686 env -i "PATH=$PATH" dash; }

cut_off() { piped /srv/half env -i "PATH=$PATH" dash || true; nothing_left; }

# A signal during the download leaves nothing.
interrupted() {
    local signal
    for signal in HUP INT TERM; do
        check "install.sh: after SIG$signal nothing is left" killed_by $signal
    done
}

killed_by() {
    local child turn
    : > /srv/requests
    env -i --default-signal "PATH=$PATH" BINFMT_NIX_RELEASES="http://127.0.0.1:$port/waits" dash /srv/install.sh > /srv/said 2>&1 &
    child=$!
    for turn in {1..600}; do
        [ ! -s /srv/requests ] || break
        sleep 0.2
    done
    # The program is in its directory while it is downloaded.
    ! nothing_left > /dev/null
    # The shell waits for the end of its download, so that gets the signal, too, as from a terminal.
    kill -s "$1" "$child" $(pgrep -P "$child")
    ! wait "$child" && nothing_left
}

removes() {
    local program=$joe/.local/bin/binfmt-nix
    install -d -o 65534 -g 65534 "$joe"
    check "install.sh: a user gets ~/.local/bin" as_joe
    check "install.sh: the program is there, and belongs to the user" is_installed "$program" 65534
    check "install.sh: it names the directory that is not in PATH" says "note: $joe/.local/bin is not in PATH" "next: sudo $program register aarch64"
    joes_path=$joe/.local/bin:$PATH
    check "install.sh: a directory in PATH has no note" as_joe
    check "install.sh: really" fails says note:
    check "install.sh: a user cannot write to /usr/local/bin" refuses 1 "cannot write to /usr/local/bin" as_joe --to /usr/local/bin
    mkdir /var/lib/binfmt-nix
    : > /var/lib/binfmt-nix/receipt.json
    check "install.sh: --uninstall fails while systems are registered" refuses 1 "run first: sudo $program unregister all" as_joe --uninstall
    check "install.sh: and the program is still there" is_installed "$program" 65534
    rm /var/lib/binfmt-nix/receipt.json
    install -d -o 65534 -g 65534 "$joe/.cache/binfmt-nix"
    check "install.sh: --uninstall" as_joe --uninstall
    check "install.sh: it names what is kept" says "removed $program" "downloads are kept in $joe/.cache/binfmt-nix"
    check "install.sh: the program is removed" [ ! -e "$program" ]
}

# On the private machine: from install.sh to a proven registration. Prints the time, without a limit.
installed_and_registered() {
    local began server port releases=$home/releases folder
    version=$("$tool" --version) version=${version##* }
    folder=$releases/v$version
    mkdir -p "$folder"
    cp "$tool" "$folder/binfmt-nix-$version-$(uname -m)-linux"
    coproc "$venv/python" "$tree/tests/packaging/releases.py" "$releases" "$home/requests"
    server=$COPROC_PID
    read -r port <&"${COPROC[0]}"
    "$tree/packaging/packages" --installer "http://127.0.0.1:$port/good" "$(uname -m)=$digest" > "$home/install.sh"
    began=$(date +%s%N)
    check "install.sh: it installs the program" exits 0 sh "$home/install.sh"
    check "install.sh: the installed program registers aarch64" exits 0 /usr/local/bin/binfmt-nix register aarch64
    check "install.sh: a program of aarch64 runs" runs
    echo "figure  install.sh to a proven registration: $((($(date +%s%N) - began) / 1000000)) ms, load $(cut -d ' ' -f 1 /proc/loadavg)"
    check "install.sh: --uninstall fails while it is registered" fails exits 0 sh "$home/install.sh" --uninstall
    check "install.sh: it names the command" says "/usr/local/bin/binfmt-nix unregister all"
    check "install.sh: this command undoes it" exits 0 /usr/local/bin/binfmt-nix unregister all
    check "install.sh: then --uninstall removes it" exits 0 sh "$home/install.sh" --uninstall
    check "install.sh: nothing is left" nothing_at /usr/local/bin/binfmt-nix
    kill "$server"
}
