#!/bin/sh
# packaging/install.sh: installs binfmt-nix from a release, or removes it.
#
#   curl -fsSL …/install.sh | sh              install: for root in /usr/local/bin, otherwise in ~/.local/bin
#   curl -fsSL …/install.sh | sh -s -- --uninstall
#
#   --to DIR           install in this directory, or uninstall from it
#   --version VERSION  install this version; needs --sha256 if this script is of another release and has no key
#   --sha256 DIGEST    require that the program has this digest
#   --uninstall        remove the program; fails while systems are registered
#
# BINFMT_NIX_RELEASES is the URL below which the releases are: v0.1.0/binfmt-nix-0.1.0-x86_64-linux and so on.
#
# The digest of the program is in this script, or comes from --sha256. For another version it comes from the SHA256SUMS of
# that release, if SHA256SUMS.sig is a signature of it by the publisher's key, which is in this script, too. A server that
# delivers other bytes is refused. The program is not run, and nothing else is changed. An interrupted run leaves no file
# behind.
#
# POSIX sh. Needs curl or wget, and sha256sum or openssl; for a signature, openssl.
set -eu
umask 022
export LC_ALL=C

# packaging/packages fills these lines of the copy that it puts into a release.
releases=
release=
sha256_x86_64=
sha256_aarch64=
signing_key=

# Longer programs are refused while they are downloaded. packaging/release has a lower limit.
most=20000000
most_sums=100000

main() {
    to='' version='' sha256='' uninstall=''
    while [ $# -gt 0 ]; do
        case $1 in
            --to | --version | --sha256)
                [ $# -ge 2 ] && [ -n "$2" ] || usage "$1 needs a value"
                case $1 in
                    --to) to=$2 ;;
                    --version) version=${2#v} ;;
                    --sha256) sha256=$(printf %s "$2" | tr A-F a-f) ;;
                esac
                shift 2
                ;;
            --uninstall) uninstall=yes && shift ;;
            -h | --help) help && exit 0 ;;
            *) usage "unknown argument: $1" ;;
        esac
    done
    directory
    if [ -n "$uninstall" ]; then
        uninstall
    else
        install_program
    fi
}

help() {
    cat << 'END'
Installs binfmt-nix from a release: for root in /usr/local/bin, otherwise in ~/.local/bin.

  --to DIR           install in this directory, or uninstall from it
  --version VERSION  install this version; needs --sha256 if this script is of another release and has no key
  --sha256 DIGEST    require that the program has this digest
  --uninstall        remove the program; fails while systems are registered

BINFMT_NIX_RELEASES is the URL below which the releases are.
END
}

directory() {
    if [ -z "$to" ] && [ "$(id -u)" = 0 ]; then
        to=/usr/local/bin
    elif [ -z "$to" ]; then
        [ -n "${HOME:-}" ] || fail "HOME is not set" "use --to DIR"
        to=$HOME/.local/bin
    fi
    case $to in
        /*) ;;
        *) to=$PWD/$to ;;
    esac
    program=$to/binfmt-nix
    [ ! -d "$program" ] || fail "$program is a directory" "use --to DIR"
}

install_program() {
    tools
    machine
    wanted
    name=binfmt-nix-$version-$architecture-linux
    if [ -f "$program" ] && [ ! -L "$program" ] && [ "$(digest "$program")" = "$sha256" ]; then
        printf '%s\n' "binfmt-nix $version is installed already: $program"
        return
    fi
    mkdir -p "$to" 2> /dev/null || fail "cannot create $to" "run this as root, or use --to DIR"
    # The program is verified where it is installed, so that no other file can take its place in between.
    work=$(mktemp -d "$to/.binfmt-nix.XXXXXX" 2> /dev/null) || fail "cannot write to $to" "run this as root, or use --to DIR"
    trap 'rm -rf "$work"' EXIT
    trap 'rm -rf "$work"; trap - EXIT; exit 129' HUP
    trap 'rm -rf "$work"; trap - EXIT; exit 130' INT
    trap 'rm -rf "$work"; trap - EXIT; exit 143' TERM
    [ -n "$sha256" ] || signed_digest
    url=$releases/v$version/$name
    download "$url" program "$most"
    seen=$(digest "$work/program")
    [ "$seen" = "$sha256" ] || {
        printf '%s\n' "error: $url has the sha256 $seen instead of $sha256; nothing was installed" >&2
        echo "help: get install.sh again from its own place; do not use this server if that fails, too" >&2
        exit 5
    }
    chmod 755 "$work/program"
    mv -f "$work/program" "$program"
    printf '%s\n' "installed binfmt-nix $version: $program"
    next_steps
}

# download URL FILE MOST: downloads a file of at most so many bytes into the directory $work.
download() {
    printf '%s\n' "downloading $1"
    rm -f "$work/status"
    { fetch "$1" 2> "$work/log" || echo $? > "$work/status"; } | head -c "$(($3 + 1))" > "$work/$2"
    size=$(wc -c < "$work/$2")
    [ "$size" -le "$3" ] || fail "$1 has more than $3 bytes" "check BINFMT_NIX_RELEASES"
    if [ -e "$work/status" ]; then
        # A server must not send control characters to the terminal.
        reason=$(grep . "$work/log" | tail -n 1 | tr -cd ' -~')
        fail "cannot download $1: $reason" "check BINFMT_NIX_RELEASES and the network, and run this again"
    fi
}

# Reads the digest from the SHA256SUMS of the release. The name of the program has the version, so the signed list of
# another version is refused, too.
signed_digest() {
    command -v openssl > /dev/null || fail "there is no openssl to verify the signature of version $version" "install openssl, or use --sha256 DIGEST"
    list=$releases/v$version/SHA256SUMS
    download "$list" sums "$most_sums"
    download "$list.sig" signature "$most_sums"
    printf '%s\n' '-----BEGIN PUBLIC KEY-----' "$signing_key" '-----END PUBLIC KEY-----' > "$work/key"
    openssl dgst -sha256 -verify "$work/key" -signature "$work/signature" "$work/sums" > /dev/null 2>&1 || {
        printf '%s\n' "error: $list.sig is not a signature of $list by the publisher's key; nothing was installed" >&2
        echo "help: get install.sh again from its own place; do not use this server if that fails, too" >&2
        exit 5
    }
    while read -r sum file; do
        [ "$file" != "$name" ] || sha256=$sum
    done < "$work/sums"
    [ ${#sha256} = 64 ] || fail "$list has no digest of $name" "use another --version"
}

tools() {
    command -v curl > /dev/null || command -v wget > /dev/null || fail "there is no curl and no wget" "install one of them"
    command -v sha256sum > /dev/null || command -v openssl > /dev/null ||
        fail "there is no sha256sum and no openssl" "install one of them"
}

machine() {
    [ "$(uname -s)" = Linux ] || fail "binfmt-nix runs on Linux only, and this is $(uname -s)" "use a Linux machine"
    case $(uname -m) in
        x86_64 | amd64) architecture=x86_64 pinned=$sha256_x86_64 ;;
        aarch64 | arm64) architecture=aarch64 pinned=$sha256_aarch64 ;;
        *) fail "binfmt-nix runs on x86_64 and aarch64, and this machine is $(uname -m)" "use another machine" ;;
    esac
}

# Finds the release and the digest of its program.
wanted() {
    releases=${BINFMT_NIX_RELEASES:-$releases}
    releases=${releases%/}
    case $releases in
        https://?* | http://?*) ;;
        '') fail "this install.sh is not from a release" "set BINFMT_NIX_RELEASES to the URL of the releases" ;;
        *) fail "BINFMT_NIX_RELEASES is not a URL of https or http: $releases" "set it to the URL of the releases" ;;
    esac
    version=${version:-$release}
    [ -n "$version" ] || fail "this install.sh is not from a release" "use --version and --sha256"
    case $version in
        *[!0-9A-Za-z.+~-]* | .*) usage "invalid version: $version" ;;
    esac
    if [ -z "$sha256" ]; then
        if [ "$version" != "$release" ]; then
            [ -n "$signing_key" ] || fail "this install.sh has no digest of version $version" "use the install.sh of that release, or --sha256 DIGEST"
            return
        fi
        [ -n "$pinned" ] || fail "this install.sh has no digest of a program for $architecture" "use --sha256 DIGEST"
        sha256=$pinned
    fi
    case $sha256 in
        *[!0-9a-f]*) usage "invalid digest: $sha256" ;;
    esac
    [ ${#sha256} = 64 ] || usage "invalid digest: $sha256"
}

# The digest is verified afterwards, so redirects to any server are followed, but to http and https only.
fetch() {
    if command -v curl > /dev/null; then
        curl -fsSL --proto =http,https --max-redirs 10 --connect-timeout 30 --speed-limit 1 --speed-time 60 "$1"
    else
        # Without -T: BusyBox 1.35 of Debian 12 ends with a segmentation fault. It ignores -t.
        wget -t 2 -O - "$1"
    fi
}

digest() {
    if command -v sha256sum > /dev/null; then
        sha256sum < "$1" | cut -c 1-64
    else
        openssl dgst -sha256 -r < "$1" | cut -c 1-64
    fi
}

next_steps() {
    sudo=''
    [ "$(id -u)" = 0 ] || sudo='sudo '
    # sudo has a PATH of its own.
    name=$program
    case :$PATH: in
        *":$to:"*) [ -n "$sudo" ] || name=binfmt-nix ;;
        *) printf '%s\n' "note: $to is not in PATH" ;;
    esac
    printf '%s\n' "next: $sudo$name register aarch64"
}

uninstall() {
    if [ ! -e "$program" ] && [ ! -L "$program" ]; then
        printf '%s\n' "binfmt-nix is not installed in $to"
        return
    fi
    if [ -e /var/lib/binfmt-nix/receipt.json ]; then
        fail "systems are registered, and only binfmt-nix can undo that" "run first: sudo $program unregister all"
    fi
    rm -f "$program" 2> /dev/null || fail "cannot remove $program" "run this as root"
    printf '%s\n' "removed $program"
    cache=${XDG_CACHE_HOME:-${HOME:-}/.cache}/binfmt-nix
    [ "$(id -u)" != 0 ] || cache=/var/cache/binfmt-nix
    [ ! -d "$cache" ] || printf '%s\n' "note: downloads are kept in $cache"
}

usage() {
    printf '%s\n' "error: $1" >&2
    echo "help: see --help" >&2
    exit 2
}

# The echo of some shells interprets backslashes, which a server can send.
fail() {
    printf '%s\n' "error: $1" >&2
    printf '%s\n' "help: $2" >&2
    exit 1
}

# The brace is closed at the very end: nothing is run of a script that was cut off.
{ main "$@"; exit; }
