# shellcheck shell=bash
# What an installed package does, in a user namespace with a table of its own: tests/packaging/packages.sh enters it. The
# directory $root is the root of the package programs; $target is the root that they install into.

packages_checks() {
    IFS=, read -r passed failed <<< "$said_outside"
    home=$root/srv target=$root
    in_target=(chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root)
    with_table "$root"
    case $root_name in
        sample)
            mkdir -p "$root"/var/lib/dpkg/{info,updates,triggers}
            : > "$root/var/lib/dpkg/status"
            life "BusyBox, .deb" sample
            ;;
        tools) tools ;;
        *) life "$root_name, .deb" deb ;;
    esac
    counted
}

with_table() {
    mount -t proc proc "$1/proc"
    mount -t binfmt_misc binfmt_misc "$1/proc/sys/fs/binfmt_misc"
    mount -t tmpfs -o mode=755 packages "$1/run"
    table=$1/proc/sys/fs/binfmt_misc
}

deb() { echo "/srv/made/binfmt-nix_$1-1_$(dpkg --print-architecture).deb"; }

# life NAME FAMILY: a package from its installation to its removal, with real registrations.
life() {
    local name=$1 family=$2
    state > "$home/before"
    check "$name: the older version is installed" "install_$family" 0.0.9
    check "$name: it registers nothing" does_not_run_there
    check "$name: the version is 0.0.9" "version_$family" 0.0.9
    check "$name: register" register_there
    check "$name: a program of aarch64 runs" runs_there
    cp "$table/qemu-aarch64" "$home/entry"
    check "$name: the newer version is installed" "install_$family" "$version"
    check "$name: the version is $version" "version_$family" "$version"
    check "$name: the upgrade keeps the entry" cmp "$home/entry" "$table/qemu-aarch64"
    check "$name: and the boot rule" [ -e "$target/etc/binfmt.d/zz-binfmt-nix-aarch64.conf" ]
    check "$name: and a program of aarch64 runs" runs_there
    check "$name: an interrupted fetch left something" mkdir -p "$target/var/cache/binfmt-nix/left"
    check "$name: the package is removed while a system is registered" "remove_$family"
    check "$name: a program of aarch64 does not run any more" does_not_run_there
    [[ $family =~ deb|sample ]] || rm -r "$target/var/cache/binfmt-nix"
    check "$name: nothing is left" nothing_is_left
}

register_there() { "${in_target[@]}" /usr/bin/binfmt-nix register aarch64 --from /srv/qemu-aarch64-static; }

runs_there() { [ "$("${in_target[@]}" /srv/busybox-arm64 uname -m)" = aarch64 ]; }

does_not_run_there() { ! "${in_target[@]}" /srv/busybox-arm64 true 2> /dev/null; }

# Files and directories, without those that package programs keep for themselves.
state() {
    (cd "$target" && find bin etc root usr var -xdev \( -path var/lib/dpkg -o -path var/log -o -path var/lib/rpm -o -path var/lib/pacman \
        -o -path usr/lib/sysimage -o -path var/cache/pacman -o -path etc/ld.so.cache -o -path var/cache/ldconfig \) -prune -o -printf '%p %y %m\n' | sort)
}

nothing_is_left() { state > "$home/after" && diff -u "$home/before" "$home/after"; }

install_deb() { "${in_target[@]}" dpkg -i "$(deb "$1")"; }
version_deb() { [ "$("${in_target[@]}" dpkg-query -W -f '${Version}' binfmt-nix)" = "$1-1" ]; }
remove_deb() { "${in_target[@]}" dpkg --purge binfmt-nix; }

# The machine's own dpkg, with a root directory that has BusyBox alone.
install_sample() { dpkg --root="$root" -i "$root$(deb "$1")"; }
version_sample() { [ "$(dpkg-query --root="$root" -W -f '${Version}' binfmt-nix)" = "$1-1" ]; }
remove_sample() { dpkg --root="$root" --purge binfmt-nix; }

rpm_file() { echo "/srv/made/binfmt-nix-$1-1.$(uname -m).rpm"; }
install_rpm() { "${in_tools[@]}" rpm --root /srv/bare -U --nosignature "$(rpm_file "$1")"; }
version_rpm() { [ "$("${in_tools[@]}" rpm --root /srv/bare -q binfmt-nix)" = "binfmt-nix-$1-1.$(uname -m)" ]; }
remove_rpm() { "${in_tools[@]}" rpm --root /srv/bare -e binfmt-nix; }

pacman() { "${in_tools[@]}" pacman --root /srv/bare --config /srv/pacman.conf --noconfirm "$@"; }
install_arch() { pacman -U "/srv/made/binfmt-nix-$1-1-$(uname -m).pkg.tar.zst"; }
version_arch() { [ "$(pacman -Q binfmt-nix)" = "binfmt-nix $1-1" ]; }
remove_arch() { pacman -R binfmt-nix; }

# Debian 13 with rpm, pacman, shells and linters.
tools() {
    in_tools=("${in_target[@]}")
    check "tools: the .deb is installed" install_deb "$version"
    shells
    check "tools: lintian" "${in_tools[@]}" lintian --fail-on error --allow-root "$(deb "$version")"
    check "tools: lintian accepts no other static program" fails_without_override
    check "tools: rpmlint" "${in_tools[@]}" rpmlint "$(rpm_file "$version")"
    check "tools: the .deb is removed" remove_deb
    printf '[options]\nArchitecture = auto\nSigLevel = Never\nLocalFileSigLevel = Never\n' > "$root/srv/pacman.conf"
    local family
    target=$root/srv/bare
    umount "$root/run" "$root/proc/sys/fs/binfmt_misc"
    mkdir -p "$target/srv" "$target/var/lib/pacman" "$target/var/lib/rpm"
    cp "$root/srv/busybox-arm64" "$root/srv/qemu-aarch64-static" "$target/srv"
    in_target=(chroot "$target" env -i PATH=/usr/bin:/bin HOME=/root)
    with_table "$target"
    for family in rpm arch; do
        life "bare, $family" "$family"
    done
}

shells() {
    check "tools: man renders the pages" rendered_by_man
    check "tools: bash completes" completes 'register' bash -c '
        . /usr/share/bash-completion/bash_completion
        COMP_WORDS=(binfmt-nix reg) COMP_CWORD=1 COMP_LINE="binfmt-nix reg" COMP_POINT=14
        { _comp_load binfmt-nix || __load_completion binfmt-nix; } 2> /dev/null
        [[ $(complete -p binfmt-nix) =~ -F\ ([^ ]+) ]] && "${BASH_REMATCH[1]}" binfmt-nix reg binfmt-nix
        echo "${COMPREPLY[@]}"'
    check "tools: fish completes" completes 'register' fish -c 'complete -C "binfmt-nix reg"'
    check "tools: zsh completes" completes 'binfmt-nix register' zsh -f -c '
        zmodload zsh/zpty
        zpty shell "PS1= TERM=dumb zsh -f -i"
        zpty -w shell "autoload -Uz compinit; compinit -u -D; echo loa""ded"
        zpty -r shell said "*loaded*" && zpty -w -n shell "binfmt-nix regi"$(printf "\t")
        zpty -r shell said "*binfmt-nix register*" && print -r -- $said'
}

completes() { timeout 300 "${in_tools[@]}" TERM=dumb "${@:2}" < /dev/null | grep -F "$1"; }

rendered_by_man() {
    local page name
    for page in "$root"/usr/share/man/man8/binfmt-nix*.8.gz; do
        name=$(basename "$page" .8.gz)
        "${in_tools[@]}" MANWIDTH=80 man --warnings=w 8 "$name" > "$home/page" 2> "$home/warnings" || { cat "$home/warnings"; return 1; }
        grep -q "${name^^}(8)" "$home/page" && [ ! -s "$home/warnings" ] || { cat "$home/warnings"; return 1; }
    done
}

fails_without_override() { ! "${in_tools[@]}" lintian --fail-on error --no-override --allow-root "$(deb "$version")"; }
