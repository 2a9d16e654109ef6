# shellcheck shell=bash
# The session in the README's picture: its commands run again on the private machine, as root (with sudo's variables) and as
# an ordinary user with a Nix of its own. With BINFMT_NIX_TEST_BLESS=1 the recording is replaced: packaging/pictures/record.

pictures() {
    local recorded=$tree/packaging/pictures/session
    pictures_prepared
    played "$recorded" > "$home/session"
    if [ "${BINFMT_NIX_TEST_BLESS:-}" = 1 ]; then
        cp "$home/session" "$recorded"
        grep -v '^offset 0$' "$table/qemu-aarch64" > "$tree/packaging/pictures/entry"
        "$tree/packaging/pictures/draw"
    fi
    check "pictures: a new run of the session prints what the picture shows" same_session "$recorded"
    check "pictures: the kernel has the rule of the diagram" diff "$tree/packaging/pictures/entry" <(grep -v '^offset 0$' "$table/qemu-aarch64")
    check "pictures: they are drawn from that" "$tree/packaging/pictures/draw" --check
    check "pictures: a picture of another session is noticed" drawn_from_another
    check "pictures: another output is noticed" spoiled 's/^aarch64$/x86_64/' "$recorded" same_session
    check "pictures: unregister removes everything" exits 0 "$tool" unregister all
}

drawn_from_another() {
    local copy
    copy=$(mktemp -d)
    cp "$tree"/packaging/pictures/* "$copy"
    "$copy/draw" --check || return 1
    sed -i 's/^aarch64$/x86_64/' "$copy/session"
    fails "$copy/draw" --check
}

# Hashes of the store and durations differ from run to run.
same_session() { diff <(constant "$1") <(constant "$home/session"); }
constant() { sed -E 's/[0-9a-z]{32}-/HASH-/g; s/[0-9]+ (s|ms) ago/N s ago/' "$1"; }

pictures_prepared() {
    mounted || mount -t binfmt_misc binfmt_misc "$table"
    grep -q ^joe: /etc/passwd || echo 'joe:x:2000:2000::/home/joe:/bin/bash' >> /etc/passwd
    joe=$(id -u joe)
    install -d -o joe /home/joe /nix
    install -D -m 755 "$home/bin/busybox-arm64" /home/joe/arm64/busybox
    cat > /home/joe/hello.nix << 'END'
{ system }: derivation {
  name = "hello"; inherit system;
  builder = "${./arm64}/busybox"; args = [ "ash" "-c" "echo hello from $(${./arm64}/busybox uname -m) > $out" ];
}
END
    # The owner of the store builds without a daemon.
    echo 'substituters =' > /etc/nix/nix.conf
    chown -R joe /nix
    as_user 'nix-store --init'
}

# played FILE: prints the commands of a session, and what they print now. A bash that is not interactive adds its line.
played() {
    local line
    grep '^\$ ' "$1" | while IFS= read -r line; do
        echo "$line"
        as_user "${line#??}" < /dev/null 2>&1 | sed 's/\x1b/^[/g; s/^bash: line 1: /bash: /'
    done
}

as_user() {
    local as_root=("${clean[@]}" CLICOLOR_FORCE=1 "SUDO_UID=$joe" "SUDO_GID=$(id -g joe)" SUDO_USER=joe)
    cd /home/joe && case $1 in
        'sudo '*) "${as_root[@]}" bash -c "${1#sudo }" ;;
        *) "${clean[@]}" CLICOLOR_FORCE=1 HOME=/home/joe setpriv --reuid joe --regid "$(id -g joe)" --clear-groups bash -c "$1" ;;
    esac || true
}
