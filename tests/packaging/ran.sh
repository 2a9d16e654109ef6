# shellcheck shell=bash
# What is a script: the action's steps, GitLab's. Each on the machine's table, which is empty before and after.

# Outside, where cargo is: the action builds the tool from its own checkout. That binary is what all the rest runs, so
# it is built quickly rather than well.
action_is_built() {
    local profile=(OPT_LEVEL=0 LTO=off INCREMENTAL=true CODEGEN_UNITS=16) said
    action_binary=
    check "github: without a binary, cargo builds one from the action's checkout" built_by_action
    said=$(sed -n "s/^{'get': {'binary': '\(.*\)'}}$/\1/p" target/fleet/built)
    action_binary=${said:?the action built nothing}
}

built_by_action() {
    env "${profile[@]/#/CARGO_PROFILE_RELEASE_}" CARGO_TARGET_DIR="$PWD/target/fleet/cargo" ONLY=get \
        "$venv/python" tests/packaging/steps.py packaging/github/action.yml > target/fleet/built 2>&1
    local got=$?
    cat target/fleet/built
    return "$got"
}

ran() {
    venv=$tree/target/fleet/venv/bin
    digest=$(sha256sum "$tool" | cut -d " " -f 1)
    other_digest=${digest//[0-9]/0}
    local platforms=platforms=linux/amd64,linux/arm64
    check "machine: a program of aarch64 does not run" does_not_run
    check "github: it registers, and says which platforms there are" action "$platforms"
    check "github: the machine's own first, then the emulated" says "output platforms=linux/amd64,"
    check "github: arm64 is the only other one" only_arm64
    check "github: a program of aarch64 runs" runs
    check "github: nothing is kept for the next start" not_kept
    check "github: once more is no error" action platforms=arm64
    check "github: image is warned about" action platforms=arm64 image=localhost/binfmt
    check "github: in the words that a runner shows" says "::warning::"
    check "github: a platform that is none fails" fails action platforms=linux/no-such
    check "github: and is named" says no-such
    check "github: with other options" action platforms=arm64 "options=--source host"
    others_entry
    check "github: an entry of somebody else's, which has no F, is in the way" fails action platforms=arm64
    check "github: with reset, ours is above it" action platforms=arm64 reset=true
    check "github: a program of aarch64 runs in an empty chroot" runs_in_chroot
    echo -1 > "$table/their-own"
    undone
    check "gitlab: without a URL the job fails" fails gitlab
    check "gitlab: and says why" says "the URL of your binfmt-nix"
    check "gitlab: with another digest the job fails" fails gitlab "BINFMT_NIX_URL=file://$tool" "BINFMT_NIX_SHA256=$other_digest"
    check "gitlab: that is why" says "did NOT match"
    check "gitlab: that registered nothing" does_not_run
    check "gitlab: with both it registers" gitlab "BINFMT_NIX_URL=file://$tool" "BINFMT_NIX_SHA256=$digest"
    check "gitlab: a program of aarch64 runs" runs
    undone
}

# The action, with these inputs; what it printed stays in $home/said.
action() {
    exits 0 "$venv/python" "$tree/tests/packaging/steps.py" "$tree/packaging/github/action.yml" "binary=$tool" "$@"
}

only_arm64() {
    [ "$(sed -n 's/^output platforms=//p' "$home/said" | tr , '\n' | grep -vxE 'linux/(amd64|386)')" = linux/arm64 ]
}

# The template's script, with its own variables and these, by sh.
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

# As distributions made them once: the emulator has to be in every chroot.
others_entry() {
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
