# shellcheck shell=bash
# The packages of packaging/packages, installed by the programs that users install them with.
#
# Always: one .deb, by dpkg, into a root directory that has BusyBox alone. With FULL=1 also: every package, in clean roots of
# Debian 12, 13 and sid, and in a root of Debian 13 with rpm, pacman, zsh, fish and the linters. Each root is an overlay in a
# user namespace with a table of its own, and real programs of aarch64 are run. The roots are made once, in target/packages.

packages() {
    [ "$(id -u)" = 0 ] || skip "the checks of packages need root, for roots of their own"
    command -v dpkg-deb > /dev/null || skip "the checks of packages need Debian, for dpkg"
    made=$PWD/target/packages/made
    rm -rf "$made"
    mkdir -p "$made"
    corpus=$(readlink -e "${BINFMT_NIX_TEST_CORPUS:-target/test-data/corpus}") || skip "there is no corpus: tests/fetch-corpus"
    qemu=$(readlink -e "${BINFMT_NIX_TEST_QEMU:-target/test-data/qemu/bin}") || skip "there is no QEMU: tests/fetch-qemu"
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    check "packages: shellcheck finds nothing in the scripts of packages" "$venv/shellcheck" --shell=sh packaging/debian/{postinst,prerm,postrm} \
        packaging/alpine/binfmt-nix.pre-deinstall
    check "packages: the recipe for Alpine is a script with abuild's variables" alpine_variables
    check "packages: a misspelled variable in it is noticed" spoiled s/^pkgrel=/pkgrell=/ packaging/alpine/APKBUILD alpine_variables
    check "packages: the .deb is built" build deb
    check "packages: the same .deb as version 0.0.9" older_deb
    check "packages: it has the licences of the crates, of the standard library and of musl" licences
    in_root sample
    [ "${FULL:-}" != 1 ] || every_package
}

build() { BINFMT_NIX_DIST=$made packaging/packages "$@"; }

every_package() {
    local suite
    if ! command -v mmdebstrap > /dev/null; then
        apt-get -qq install -y --no-install-recommends mmdebstrap || { check "packages: mmdebstrap is there" false; return; }
    fi
    linters=rpm,makepkg,pacman-package-manager,fakeroot,lintian,rpmlint,zsh,fish,bash-completion,man-db,libarchive-tools,zstd,xz-utils,binutils
    check "packages: a root of trixie with tools" make_root tools trixie "$linters"
    for suite in bookworm trixie sid; do
        check "packages: a clean root of $suite" make_root $suite $suite
    done
    check "packages: archive" build archive
    check "packages: the program for aarch64, by a cross compiler" cross_compiled
    check "packages: the packages for aarch64 have the same files, and its program" same_files
    in_root builds
    check "packages: what is made of all packages" build --finish
    check "packages: the digests are right" digests
    check "packages: the bill of materials is valid" "$venv/python" tests/packaging/sbom.py "$made/binfmt-nix-$version.cdx.json"
    check "packages: the recipe for Alpine packs the archive" alpine
    check "packages: a second build has the same bytes" same_again
    for suite in bookworm trixie sid; do
        in_root "$suite"
    done
    in_root tools
}

# The same files, not compressed again.
older_deb() {
    local folder=$made/older debian
    debian=$(dpkg --print-architecture)
    dpkg-deb -R "$made/binfmt-nix_$version-1_$debian.deb" "$folder"
    sed -i 's/^Version: .*/Version: 0.0.9-1/' "$folder/DEBIAN/control"
    dpkg-deb --root-owner-group -Znone --build "$folder" "$made/binfmt-nix_0.0.9-1_$debian.deb" && rm -r "$folder"
}

licences() {
    local text user
    text=$(dpkg-deb --fsys-tarfile "$(echo "$made/binfmt-nix_$version"-1_*.deb)" | tar -xO ./usr/share/doc/binfmt-nix/THIRD-PARTY.gz | gzip -d) || return 1
    for user in 'ring [0-9.]+' 'hashbrown-[0-9.]+ of the standard library' 'the standard library: LLVM-exception.txt' 'musl [0-9.]+'; do
        grep -qxE "$user" <<< "$text" || { echo "no licence of $user"; return 1; }
    done
}

# make_root NAME SUITE [PACKAGES]: a root directory of Debian, once.
make_root() {
    local root=$PWD/target/packages/$1 wanted="$2 ${3:-}" include=()
    [ "$(cat "$root.ready" 2> /dev/null)" != "$wanted" ] || return 0
    . tests/private-apt.sh
    [ -z "${3:-}" ] || include=(--include="$3")
    rm -rf "$root" "$root.ready"
    # Valid-Until is ignored, because mirrors may lag.
    mmdebstrap --quiet --variant=essential "${include[@]}" --aptopt='Acquire::Check-Valid-Until "false"' "$2" "$root" \
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(site) $2 main"
    echo "$wanted" > "$root.ready"
}

# Only this machine's architecture has packages otherwise.
cross_compiled() {
    [ "$(uname -m)" = x86_64 ] || return 0
    command -v aarch64-linux-gnu-gcc > /dev/null || apt-get -qq install -y --no-install-recommends gcc-aarch64-linux-gnu || return 1
    packaging/release aarch64 || return 1
    [ "$("$qemu/qemu-aarch64" target/dist/aarch64/binfmt-nix --version)" = "binfmt-nix $version" ] || return 1
    build --architecture aarch64 archive deb && [ "$(dpkg-deb -f "$made/binfmt-nix_$version-1_arm64.deb" Architecture)" = arm64 ]
}

same_files() {
    local own=$made/own other=$made/other
    [ "$(uname -m)" = x86_64 ] || return 0
    dpkg-deb -x "$made/binfmt-nix_$version-1_amd64.deb" "$own" && dpkg-deb -x "$made/binfmt-nix_$version-1_arm64.deb" "$other" || return 1
    tar -C "$own" -xJf "$made/binfmt-nix-$version-x86_64-linux.tar.xz" --strip-components=1 --one-top-level=archive &&
        tar -C "$other" -xJf "$made/binfmt-nix-$version-aarch64-linux.tar.xz" --strip-components=1 --one-top-level=archive || return 1
    diff <(cd "$own" && find . -printf '%p %M\n' | sort) <(cd "$other" && find . -printf '%p %M\n' | sort) || return 1
    cmp "$other/usr/bin/binfmt-nix" "$other/archive/binfmt-nix" && readelf -h "$other/usr/bin/binfmt-nix" | grep -q 'Machine: *AArch64' || return 1
    rm -r "$own" "$other"
}

digests() { (cd "$made" && sha256sum --check --quiet SHA256SUMS && [ "$(wc -l < SHA256SUMS)" -ge 10 ]); }

same_again() {
    local first=$made second=$made.again made=$made.again file
    rm -rf "$second"
    build archive deb && build --finish || return 1
    for file in "$second"/*.deb "$second"/*.tar.xz "$second"/*.json "$second"/*licences.txt; do
        cmp "$first/${file##*/}" "$file" || return 1
    done
}

# alpine_variables [FILE]: abuild itself is not in Debian.
alpine_variables() {
    dash -n "${1:-packaging/alpine/APKBUILD}" && CARCH=aarch64 srcdir=/src pkgdir=/pkg dash -euc '
        . "$1"
        for name in pkgname pkgver pkgrel pkgdesc url arch license options install source builddir sha512sums; do
            eval "value=\${$name:-}"
            [ -n "$value" ] || { echo "no $name"; exit 1; }
        done
        case $pkgrel in *[!0-9]*) exit 1 ;; esac
        [ "${#pkgdesc}" -le 128 ] && [ -x "packaging/alpine/$install" ] && command -v package > /dev/null
    ' sh "$(readlink -f "${1:-packaging/alpine/APKBUILD}")"
}

# Runs package() of the APKBUILD with the variables that abuild sets. abuild itself is in Alpine alone.
alpine() {
    local folder=$made/alpine/work
    mkdir -p "$folder/src" "$folder/pkg"
    tar -C "$folder/src" -xJf "$made/binfmt-nix-$version-$(uname -m)-linux.tar.xz"
    srcdir=$folder/src pkgdir=$folder/pkg CARCH=$(uname -m) dash -euc '
        . "$1/APKBUILD"
        package
        [ "$pkgver" = "$2" ] && [ -x "$1/$install" ]
        cd "$3" && echo "$sha512sums" | sha512sum --check --quiet
    ' sh "$made/alpine" "$version" "$made" || return 1
    cmp target/dist/binfmt-nix "$folder/pkg/usr/bin/binfmt-nix" && [ -s "$folder/pkg/usr/share/man/man8/binfmt-nix.8" ] &&
        [ -s "$folder/pkg/usr/lib/systemd/system/binfmt-nix.service" ]
    rm -r "$folder"
}

# in_root NAME: runs the checks of this root in namespaces of their own, and adds up their results.
in_root() {
    export made version venv corpus qemu root_name=$1 said_outside=$passed,$failed
    rm -f target/packages/counted
    unshare --mount --propagation private "$here/run" --packages-inside || true
    IFS=, read -r passed failed < target/packages/counted || { echo "FAILED  packages in $1: they did not come to their end"; exit 1; }
}

packages_inside() {
    mount=$PWD/target/packages/mount
    mkdir -p "$mount"
    mount -t tmpfs -o mode=755 packages "$mount"
    root=$mount/root
    mkdir "$mount/upper" "$mount/work" "$root"
    if [ "$root_name" = sample ]; then
        bare "$root"
    else
        # What is built in the root belongs to the real root.
        [ "$root_name" != builds ] || root_of=tools
        mount -t overlay -o "lowerdir=$PWD/target/packages/${root_of:-$root_name},upperdir=$mount/upper,workdir=$mount/work" packages "$root"
    fi
    devices "$root"
    mkdir -p "$root/srv/tree" "$root/srv/made"
    mount --bind "$made" "$root/srv/made"
    export root
    if [ "$root_name" = builds ]; then
        mount --rbind "$PWD" "$root/srv/tree"
        builds
        return
    fi
    mkdir -p "$root/srv/bare"
    [ "$root_name" != tools ] || bare "$root/srv/bare"
    devices "$root/srv/bare"
    install -m 755 "$corpus/busybox-static-arm64/bin/busybox" "$root/srv/busybox-arm64"
    install -m 755 "$qemu/qemu-aarch64" "$root/srv/qemu-aarch64-static"
    unshare --user --map-root-user --mount --pid --fork --kill-child "$here/run" --packages-checks
}

# A root directory with BusyBox alone, and the emulator of a distribution.
bare() {
    mkdir -p "$1"/{bin,dev,etc,proc,root,run,srv,tmp,usr/bin,var/{cache,lib}}
    cp "$corpus/busybox-static-amd64/bin/busybox" "$1/bin/busybox"
    chroot "$1" /bin/busybox --install -s /bin
    ln -s /bin/busybox "$1/usr/bin/bash"
}

devices() {
    local name
    mkdir -p "$1/dev" "$1/proc"
    for name in null zero urandom tty ptmx; do
        [ -e "$1/dev/$name" ] || : > "$1/dev/$name"
        mount --bind "/dev/$name" "$1/dev/$name"
    done
}

counted() { echo "$passed,$failed" > target/packages/counted; }

# rpmbuild and makepkg work in the root with tools, where Rust is missing.
builds() {
    IFS=, read -r passed failed <<< "$said_outside"
    mount -t proc proc "$root/proc"
    check "packages: .rpm and Arch package of 0.0.9" in_tools 0.0.9
    check "packages: .rpm and Arch package of $version" in_tools "$version"
    check "packages: the same again, with the same bytes" in_tools_again "$version"
    counted
}

in_tools() {
    BINFMT_NIX_VERSION=$1 build archive || return 1
    python3 packaging/crates.py licences > "$made/third-party"
    chroot "$root" env -i PATH=/usr/bin:/bin HOME=/root SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" BINFMT_NIX_VERSION="$1" \
        BINFMT_NIX_LICENCES=/srv/made/third-party BINFMT_NIX_DIST=/srv/made /srv/tree/packaging/packages rpm arch
}

in_tools_again() {
    local file
    for file in "$made"/*"$1-1"*.{rpm,zst}; do mv "$file" "$file.first"; done
    in_tools "$1" || return 1
    for file in "$made"/*"$1-1"*.{rpm,zst}; do cmp "$file.first" "$file" && rm "$file.first" || return 1; done
}
