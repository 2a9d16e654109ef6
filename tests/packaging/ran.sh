# shellcheck shell=bash
# Scripts of CI systems: the steps of the GitHub action and the GitLab template. Each runs on the table of the test machine,
# which is empty before and after.

# Runs outside of the test machine, where cargo exists: the action builds the tool from its checkout. With FULL=1 this is a
# real build. Otherwise a substitute for cargo delivers the program that packaging/release built with the same command.
action_is_built() {
    check "github: without a binary, cargo builds one from the action's checkout" built_by_action
}

# The action's download: from a server of releases, with the digest in the file of the checkout or in the inputs.
action_downloads() {
    local digest lie
    action_home=$(mktemp -d)
    digest=$(sha256sum < target/dist/binfmt-nix | cut -d ' ' -f 1) lie=${digest//[0-9]/0}
    mkdir -p "$action_home/releases/v9.9.9" "$action_home/tree/packaging"
    cp -r packaging/github packaging/publisher packaging/install.sh "$action_home/tree/packaging"
    cp target/dist/binfmt-nix "$action_home/releases/v9.9.9/binfmt-nix-9.9.9-$(uname -m)-linux"
    python3 -u tests/packaging/releases.py "$action_home/releases" "$action_home/log" > "$action_home/port" &
    action_server=$!
    until [ -s "$action_home/port" ]; do sleep 0.1; done
    action_url=http://127.0.0.1:$(cat "$action_home/port")
    check "github: it downloads the program with the digest of the inputs" gets good version=9.9.9 "sha256=$digest"
    check "github: another digest is refused" fails gets good version=9.9.9 "sha256=$lie"
    check "github: another program is refused" fails gets lies version=9.9.9 "sha256=$digest"
    check "github: a version without a digest is refused" fails gets good version=9.9.9
    BINFMT_NIX_VERSION=9.9.9 packaging/packages --github-release "$(uname -m)=$digest" > "$action_home/tree/packaging/github/release"
    check "github: it downloads the program with the digest of its own file" gets good
    check "github: from another server it is refused" fails gets lies
    check "github: because of the digest" grep -q "instead of $digest" "$action_home/said"
    kill "$action_server"
    rm -rf "$action_home"
}

# gets BEHAVIOUR INPUT…: runs the step that gets the program. The result is a program in the runner's directory.
gets() {
    local said
    said=$(env ONLY=get PATH="$action_home/no-cargo:$PATH" "$venv/python" tests/packaging/steps.py "$action_home/tree/packaging/github/action.yml" \
        "releases=$action_url/$1" "${@:2}" 2>&1) || { tee "$action_home/said" <<< "$said"; return 1; }
    echo "$said"
    [[ $said == *"/binfmt-nix/binfmt-nix'"* && $said == *"binfmt-nix "[0-9]* ]]
}

built_by_action() {
    local cargo=$PWD/target/fleet/cargo bin=$PWD/target/fleet/bin
    mkdir -p "$bin"
    cat > "$bin/cargo" << END
#!/bin/sh
[ "\$1 \$2 \$3 \$4" = "build --release --locked --manifest-path" ] && [ "\$(realpath "\$5")" = "$PWD/Cargo.toml" ] || exit 1
install -D "$PWD/target/dist/binfmt-nix" "\$CARGO_TARGET_DIR/release/binfmt-nix"
END
    chmod 755 "$bin/cargo"
    [ "${FULL:-}" != 1 ] || bin=$PATH
    env PATH="$bin:$PATH" CARGO_TARGET_DIR="$cargo" ONLY=get \
        "$venv/python" tests/packaging/steps.py packaging/github/action.yml
}

ran() {
    local platforms=platforms=linux/amd64,linux/arm64
    check "machine: a program of aarch64 does not run" does_not_run
    check "github: it registers and outputs the platforms" action "$platforms"
    check "github: the machine's own first, then the emulated" says "output platforms=linux/amd64,"
    check "github: arm64 is the only other one" only_arm64
    check "github: a program of aarch64 runs" runs
    check "github: nothing is kept for the next start" not_kept
    check "github: a second run succeeds" action platforms=arm64
    check "github: the input image is accepted" action platforms=arm64 image=localhost/binfmt
    check "github: with a warning that a runner shows" says "::warning::"
    check "github: an unknown platform fails" fails action platforms=linux/no-such
    check "github: and is named" says no-such
    check "github: with other options" action platforms=arm64 "options=--source host"
    foreign_entry
    check "github: a foreign entry without flag F is a conflict" fails action platforms=arm64
    check "github: with reset, the new entry has precedence" action platforms=arm64 reset=true
    check "github: a program of aarch64 runs in an empty chroot" runs_in_chroot
    echo -1 > "$table/their-own"
    undone
    check "gitlab: without a URL the job fails" fails gitlab
    check "gitlab: because of the URL" says "the URL of your binfmt-nix"
    check "gitlab: with another digest the job fails" fails gitlab "BINFMT_NIX_URL=file://$tool" "BINFMT_NIX_SHA256=$other_digest"
    check "gitlab: because of the digest" says "did NOT match"
    check "gitlab: nothing was registered" does_not_run
    check "gitlab: with both it registers" gitlab "BINFMT_NIX_URL=file://$tool" "BINFMT_NIX_SHA256=$digest"
    check "gitlab: a program of aarch64 runs" runs
    undone
}

# Runs the action with these inputs. Its output stays in $home/said.
action() {
    exits 0 "$venv/python" "$tree/tests/packaging/steps.py" "$tree/packaging/github/action.yml" "binary=$tool" "$@"
}

only_arm64() {
    [ "$(sed -n 's/^output platforms=//p' "$home/said" | tr , '\n' | grep -vxE 'linux/(amd64|386)')" = linux/arm64 ]
}

# Runs the script of the template by sh, with the variables of the template and these.
gitlab() {
    local template=$tree/packaging/gitlab/binfmt-nix.yml
    "$venv/python" - "$template" "$home/job" << 'END'
import sys, yaml
job = yaml.safe_load(open(sys.argv[1]))[".binfmt-nix"]
variables = [f"export {name}={value!r}\n" for name, value in job["variables"].items()]
open(sys.argv[2] + ".variables", "w").writelines(variables)
open(sys.argv[2], "w").write("\n".join(job["before_script"]))
END
    exits 0 sh -c ". $home/job.variables; for word; do export \"\$word\"; done; exec sh -e $home/job" sh "$@"
}

# Registers an entry like old distributions did: without flag F, so that every chroot needs the emulator.
foreign_entry() {
    exits 0 "$tool" unregister all > /dev/null
    mounted || mount -t binfmt_misc binfmt_misc "$table"
    "$tool" list --format register | sed -n 's/^:qemu-aarch64:\(.*\):[^:]*:[A-Z]*$/:their-own:\1:\/usr\/bin\/qemu-aarch64-static:P/p' > "$table/register"
}

runs_in_chroot() {
    mkdir -p "$home/room"
    cp "$home/bin/busybox-arm64" "$home/room/busybox"
    chroot "$home/room" /busybox true
}

fails() { ! "$@"; }

runs() { [ "$("$home/bin/busybox-arm64" uname -m)" = aarch64 ]; }

does_not_run() { ! "$home/bin/busybox-arm64" true 2>/dev/null; }

not_kept() { ! compgen -G '/etc/binfmt.d/*binfmt-nix*'; }

undone() { check "unregister: as before" exits 0 "$tool" unregister all && check "machine: it does not run any more" does_not_run; }
