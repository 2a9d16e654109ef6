# shellcheck shell=bash
# Runs the commands of packaging/RECIPES.md as they are, by root on the private machine. <nixpkgs> is missing there, so a
# flake has the attributes that the recipes name.

recipes() {
    local heading='' line number=0
    recipes_prepared
    while IFS= read -r line; do
        case $line in
            '## '*) heading=${line#\#\# } ;;
            # Not here: the network, other programs, and files that are not commands.
            '    binfmt-nix fetch '* | '    podman '* | '    docker '* | '    - '* | '      '* | '    include:'* | '    build:'*) ;;
            '    '*)
                number=$((number + 1))
                check "recipe: $heading: ${line#    }" recipe "${line#    }"
                ;;
        esac
    done < "$tree/packaging/RECIPES.md"
    check "recipes: all were found" [ "$number" = 12 ]
    undone
}

# Runs one line; sudo is not needed.
recipe() {
    cd "$home/recipes" && exits 0 sh -c "sudo() { \"\$@\"; }; $1" || return 1
    case $1 in
        *uname*) says aarch64 ;;
        *--builder*) says aarch64-linux nix-ssh@builder.example ;;
        *'register aarch64') runs ;;
        *--root*) [ -s /srv/image/etc/binfmt.d/zz-binfmt-nix-aarch64.conf ] && [ ! -e /srv/image/etc/systemd ] ;;
    esac
}

recipes_prepared() {
    local folder=$home/recipes
    mkdir -p "$folder/bin" /srv/card/bin /srv/image/{etc,usr/lib/systemd/system,usr/sbin}
    cp "$home/bin/busybox-arm64" "$folder/bin/busybox"
    cp "$home/bin/busybox-arm64" "$folder/uname"
    cp "$home/bin/busybox-arm64" /srv/card/bin/uname
    # An image with systemd.
    cp -a --parents /usr/lib/systemd/systemd /usr/lib/systemd/systemd-binfmt /usr/lib/systemd/system{,/sysinit.target.wants}/systemd-binfmt.service \
        /srv/image
    ln -s ../lib/systemd/systemd /srv/image/usr/sbin/init
    ln -s usr/sbin /srv/image/sbin
    ln -s usr/lib /srv/image/lib
    tar -C "${BINFMT_NIX_TEST_QEMU:-$tree/target/test-data/qemu/bin}" -czf "$folder/qemu.tar.gz" qemu-aarch64
    cat > "$folder/default.nix" << 'END'
{ system ? builtins.currentSystem }: {
  hello = derivation {
    name = "hello"; inherit system; builder = "${./bin}/busybox";
    args = [ "ash" "-c" "${./bin}/busybox uname -m > $out" ];
  };
}
END
    cat > "$folder/flake.nix" << 'END'
{ outputs = _: {
    nixosConfigurations.pi.config.system.build = rec {
      sdImage = (import ./default.nix { system = "aarch64-linux"; }).hello;
      toplevel = sdImage;
    };
}; }
END
    chmod -R a+rX "$home"
}
