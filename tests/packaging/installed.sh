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
            refused_removals
            apparmor_profile
            packaged_unit
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
    check "$name: there is an entry" cp "$table/qemu-aarch64" "$home/entry"
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

# A removal that cannot undo everything.
refused_removals() {
    local rule=$root/etc/binfmt.d/zz-binfmt-nix-aarch64.conf name="BusyBox, .deb" watcher
    install_sample "$version" > /dev/null
    register_there > /dev/null 2>&1
    echo "# changed by the user" >> "$rule"
    check "$name: a changed boot rule does not keep the package" remove_sample
    check "$name: really" fails version_sample "$version"
    check "$name: but the file is kept" grep -q "changed by the user" "$rule"
    check "$name: and a program of aarch64 does not run any more" does_not_run_there
    rm -r "${rule%/*}"
    install_sample "$version" > /dev/null
    "${in_target[@]}" /usr/bin/binfmt-nix register aarch64 --watch --from /srv/qemu-aarch64-static > "$home/watched" 2>&1 &
    watcher=$!
    check "$name: register --watch" within_a_minute runs_there
    check "$name: it refuses the removal" fails remove_sample
    check "$name: the program is still there" "${in_target[@]}" /usr/bin/binfmt-nix --version
    check "$name: and a program of aarch64 runs" runs_there
    kill "$watcher"
    wait "$watcher" || true
    check "$name: then the package is removed" remove_sample
    check "$name: a program of aarch64 does not run" does_not_run_there
    check "$name: nothing is left of all that" nothing_is_left
}

# The profile is for machines with AppArmor 4 alone.
apparmor_profile() {
    local profile=$root/etc/apparmor.d/binfmt-nix name="BusyBox, .deb"
    mkdir -p "$root/etc/apparmor.d/abi"
    install_sample "$version" > /dev/null
    check "$name: without AppArmor 4 there is no profile" [ ! -e "$profile" ]
    : > "$root/etc/apparmor.d/abi/4.0"
    check "$name: with it" install_sample 0.0.9
    check "$name: there is the profile" cmp "$here/../../packaging/apparmor/binfmt-nix" "$profile"
    check "$name: an upgrade" install_sample "$version"
    check "$name: has it, too" cmp "$here/../../packaging/apparmor/binfmt-nix" "$profile"
    echo "# changed by the user" >> "$profile"
    check "$name: a changed one" install_sample "$version"
    check "$name: is kept" grep -q "changed by the user" "$profile"
    check "$name: until the purge" remove_sample
    check "$name: which removes it" [ ! -e "$profile" ]
    rm -r "$root/etc/apparmor.d"
}

# The unit of systemd, which is not enabled. systemctl enables it in the root directory.
packaged_unit() {
    local name="BusyBox, .deb" unit=usr/lib/systemd/system/binfmt-nix.service
    install_sample "$version" > /dev/null
    check "$name: it has the unit" cmp "$here/../../packaging/systemd/binfmt-nix.service" "$root/$unit"
    check "$name: which is not enabled" [ ! -e "$root/etc/systemd" ]
    check "$name: and which systemd accepts" accepted_unit "$root/$unit"
    check "$name: systemd refuses an unknown setting" spoiled s/^ExecStart/ExecStrat/ "$root/$unit" accepted_unit
    check "$name: systemctl enables it" systemctl --quiet --root="$root" enable binfmt-nix.service
    check "$name: by a link" [ -L "$root/etc/systemd/system/multi-user.target.wants/binfmt-nix.service" ]
    check "$name: its command works where nothing is registered" "${in_target[@]}" /usr/bin/binfmt-nix restore
    check "$name: an upgrade" install_sample 0.0.9
    check "$name: keeps the link" [ -L "$root/etc/systemd/system/multi-user.target.wants/binfmt-nix.service" ]
    check "$name: the removal" remove_sample
    check "$name: removes it" [ ! -L "$root/etc/systemd/system/multi-user.target.wants/binfmt-nix.service" ]
    rm -r "$root/etc/systemd"
}

# accepted_unit FILE: systemd has nothing to say about the unit, with the path of the program in this root. It exits with 0
# for an unknown setting.
accepted_unit() {
    local said copy=$home/units/binfmt-nix.service
    mkdir -p "${copy%/*}"
    sed "s|/usr/bin/binfmt-nix|$root&|" "$1" > "$copy"
    said=$(systemd-analyze --man=no verify "$copy" 2>&1) || { echo "$said"; return 1; }
    echo "$said"
    [[ $said != *binfmt-nix.service* ]]
}

within_a_minute() {
    local turn
    for turn in {1..240}; do
        ! "$@" 2> /dev/null || return 0
        sleep 0.25
    done
    cat "$home/watched"
    return 1
}

register_there() { "${in_target[@]}" /usr/bin/binfmt-nix register aarch64 --from /srv/qemu-aarch64-static; }

runs_there() { [ "$("${in_target[@]}" /srv/busybox-arm64 uname -m)" = aarch64 ]; }

does_not_run_there() { ! "${in_target[@]}" /srv/busybox-arm64 true 2> /dev/null; }

# Files and directories, without those that package programs keep for themselves. Package programs differ in which standard
# directories they make and delete.
state() {
    (cd "$target" && find bin etc root usr var -xdev \( -path var/lib/dpkg -o -path var/log -o -path var/lib/rpm -o -path var/lib/pacman \
        -o -path var/lib/apt -o -path var/cache/apt -o -path usr/lib/sysimage -o -path var/cache/pacman -o -path etc/ld.so.cache -o -path var/cache/ldconfig \) -prune -o -printf '%p %y %m\n' |
        awk '$2 != "d" || $1 !~ /^usr\/lib(\/systemd(\/system)?)?$|^(usr\/share|var\/tmp)/ || $1 ~ /binfmt-nix/' | sort)
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
install_rpm() { "${in_tools[@]}" rpm --root /srv/bare -U --nosignature --nodeps "$(rpm_file "$1")"; }
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
    check "tools: lintian" "${in_tools[@]}" lintian --fail-on error,warning --allow-root "$(deb "$version")"
    check "tools: without overrides it finds the static program" finds shared-library-lacks-prerequisites \
        lintian --fail-on warning --no-override --allow-root "$(deb "$version")"
    cp "$here/../../packaging/rpm/rpmlintrc" "$root/srv"
    check "tools: rpmlint" "${in_tools[@]}" rpmlint -r /srv/rpmlintrc "$(rpm_file "$version")"
    check "tools: without filters it finds the static program" finds statically-linked-binary rpmlint "$(rpm_file "$version")"
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
    # zsh completes in a terminal.
    mkdir -p "$root/dev/pts"
    mount -t devpts -o newinstance,ptmxmode=666 packages "$root/dev/pts"
    mount --bind "$root/dev/pts/ptmx" "$root/dev/ptmx"
    check "tools: man renders the pages" rendered_by_man
    check "tools: bash completes" completes 'register' bash -c '
        . /usr/share/bash-completion/bash_completion
        COMP_WORDS=(binfmt-nix reg) COMP_CWORD=1 COMP_LINE="binfmt-nix reg" COMP_POINT=14
        { _comp_load binfmt-nix || __load_completion binfmt-nix; } 2> /dev/null
        [[ $(complete -p binfmt-nix) =~ -F\ ([^ ]+) ]] && "${BASH_REMATCH[1]}" binfmt-nix reg binfmt-nix
        echo "${COMPREPLY[@]}"'
    check "tools: fish completes" completes 'register' fish -c 'complete -C "binfmt-nix reg"'
    cp "$here/complete.zsh" "$root/srv"
    check "tools: zsh completes" completes 'ran:register:' zsh -f /srv/complete.zsh
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

# finds TAG COMMAND…: the linter fails, and prints this tag.
finds() { ! "${in_tools[@]}" "${@:2}" > "$home/found" 2>&1 && grep -F "$1" "$home/found" || { cat "$home/found"; return 1; }; }
