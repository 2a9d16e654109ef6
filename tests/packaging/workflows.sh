# shellcheck shell=bash
# The workflows: their schema, shellcheck on every step, and the steps that can run here; with FULL=1, all steps of a
# release but those that attest and upload. actionlint would download a binary that no registry has.

workflows() {
    local file
    for file in ci release; do
        check "workflows: $file.yml is valid" schema github-workflows ".github/workflows/$file.yml"
        check "workflows: shellcheck finds nothing in the steps of $file.yml" step_scripts ".github/workflows/$file.yml"
    done
    check "workflows: a misspelled key is refused" spoiled s/runs-on:/run-on:/ .github/workflows/ci.yml schema github-workflows
    check "workflows: a mistake in a script is found" spoiled 's/cargo fmt/cargo fmt $x/' .github/workflows/ci.yml step_scripts
    check "workflows: the oldest Rust is a version, and no crate needs a newer one" oldest_rust
    check "workflows: a crate that needs a newer one is noticed" fails newest_crate 1.40
    check "workflows: a tag of another version stops the release" fails release_step v0.0.1
    check "workflows: without a publisher nothing is released" fails release_step "v$(workspace_version)"
    [ "${FULL:-}" != 1 ] || steps_of_a_release
}

# The steps in their order, in a copy of packaging/ that has a publisher: a key, and a registry of images on loopback.
steps_of_a_release() {
    export release_home venv
    release_home=$(mktemp -d)
    [ -e target/dist/SHA256SUMS ] || packaging/release --all || return 1
    mkdir "$release_home/tree" "$release_home/bin"
    cp -r packaging Cargo.toml "$release_home/tree"
    ln -s "$PWD/target" "$release_home/tree/target"
    printf '#!/bin/sh\nexec "$@"\n' > "$release_home/bin/sudo"
    chmod 755 "$release_home/bin/sudo"
    openssl ecparam -name prime256v1 -genkey -noout -out "$release_home/key"
    sed -i -e "s|^images=.*|images=127.0.0.1:5003/owner/binfmt-nix|" -e 's|\.invalid/|.example/|' \
        -e "s|^signing_key=.*|signing_key=$(openssl ec -in "$release_home/key" -pubout 2> /dev/null | sed /^-/d | tr -d '\n')|" \
        "$release_home/tree/packaging/publisher"
    export GITHUB_REF_NAME ARCHITECTURE=amd64 GITHUB_ACTOR=owner GH_TOKEN=token RUNNER_TEMP=$release_home SIGNING_KEY
    GITHUB_REF_NAME=v$(workspace_version)
    SIGNING_KEY=$(cat "$release_home/key")
    check "workflows: the step that checks the version and the publisher" step build "Check the version and the publisher"
    check "workflows: the step that tests the program" on_a_fresh_machine step build "Test the program"
    check "workflows: the step that signs" step build Sign
    check "workflows: openssl accepts the signature" signature_is_good
    check "workflows: the files that are uploaded exist" uploaded_files_exist
    check "workflows: the steps that build and push images, and their index" with_a_registry images_and_index
    rm -rf "$release_home" target/dist/SHA256SUMS.sig
}

# step JOB NAME [TREE]: runs this step of the release as a runner does, in the copy or in another tree.
step() {
    "$venv/python" - "$@" > "$release_home/step" << 'END' || return 1
import sys, yaml
steps = yaml.safe_load(open(".github/workflows/release.yml"))["jobs"][sys.argv[1]]["steps"]
[step] = [step for step in steps if step.get("name") == sys.argv[2]]
print(step["run"])
END
    (cd "${3:-$release_home/tree}" && PATH=$release_home/bin:$PATH bash --noprofile --norc -eo pipefail "$release_home/step")
}

# The places that `register` writes to are empty, and the table is private. The root of the namespace is the caller.
on_a_fresh_machine() {
    export -f step
    unshare --user --map-root-user --mount bash -ec '
        mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
        for dir in /usr/local/libexec /var/lib /etc/binfmt.d /run; do
            [ ! -d "$dir" ] || mount -t tmpfs -o mode=755 none "$dir"
        done
        "$@"' bash "$@"
}

signature_is_good() {
    (. "$release_home/tree/packaging/publisher" && printf '%s\n' '-----BEGIN PUBLIC KEY-----' "$signing_key" '-----END PUBLIC KEY-----') > "$release_home/public"
    openssl dgst -sha256 -verify "$release_home/public" -signature target/dist/SHA256SUMS.sig target/dist/SHA256SUMS
}

# The first line of the step, without the upload.
uploaded_files_exist() {
    "$venv/python" -c '
import yaml
steps = yaml.safe_load(open(".github/workflows/release.yml"))["jobs"]["build"]["steps"]
[step] = [step for step in steps if step.get("name") == "Upload"]
print(step["run"].splitlines()[0])' > "$release_home/step"
    (cd "$release_home/tree" && bash -eo pipefail "$release_home/step" && xargs -a files ls -l && [ "$(wc -l < files)" -gt 5 ])
}

with_a_registry() {
    export -f step images_and_index
    unshare --mount --propagation private bash -ec '
        for dir in /var/lib/containers /run; do mkdir -p "$dir"; mount -t tmpfs -o mode=755 none "$dir"; done
        printf "[storage]\ndriver = \"vfs\"\nrunroot = \"/run/containers\"\ngraphroot = \"/var/lib/containers/storage\"\n" > /run/storage.conf
        export RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}
        export CONTAINERS_STORAGE_CONF=/run/storage.conf HOME=/run/home
        export trusted=$HOME/.config/containers/certs.d/127.0.0.1:5003
        mkdir -p "$trusted"
        openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=registry -addext subjectAltName=IP:127.0.0.1 -keyout /run/key -out "$trusted/ca.crt" 2> /dev/null
        printf "version: 0.1\nstorage: { filesystem: { rootdirectory: /run/registry } }\nhttp: { addr: \"127.0.0.1:5003\", tls: { certificate: \"$trusted/ca.crt\", key: /run/key } }\n" > /run/registry.yml
        docker-registry serve /run/registry.yml > /run/registry.log 2>&1 &
        trap "kill $!" EXIT
        until grep -q "listening on" /run/registry.log; do sleep 0.1; done
        "$@"' bash "$@"
}

# The images for arm64 are those for amd64 under the other name: a runner of that architecture builds them.
images_and_index() {
    local version=${GITHUB_REF_NAME#v} tag architectures made
    # This step compiles, unless it has the tree that was compiled before.
    step image "Build images" "$PWD" && step image "Push images" || return 1
    for tag in "$version" "$version-qemu"; do
        made=$(buildah from "localhost/binfmt-nix:$tag")
        buildah config --arch arm64 "$made"
        buildah commit --quiet "$made" "localhost/binfmt-nix:$tag"
    done
    ARCHITECTURE=arm64 step image "Push images" && step index "Push one index for both architectures" || return 1
    for tag in "$version" "$version-qemu"; do
        architectures=$(curl --silent --show-error --fail --cacert "$trusted/ca.crt" "https://127.0.0.1:5003/v2/owner/binfmt-nix/manifests/$tag" \
            -H 'Accept: application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json' |
            python3 -c 'import json, sys; print(*sorted(m["platform"]["architecture"] for m in json.load(sys.stdin)["manifests"]))')
        echo "$tag: $architectures"
        [ "$architectures" = "amd64 arm64" ] || return 1
    done
}

# Runs shellcheck on every step as bash runs it.
step_scripts() {
    "$venv/python" - "$1" "$venv/shellcheck" << 'END'
import subprocess, sys, yaml
jobs = yaml.safe_load(open(sys.argv[1]))["jobs"]
scripts = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
assert scripts
for script in scripts:
    # Expressions are allowed in env only, where no shell reads them.
    assert "${{" not in script, script
    # packaging/publisher sets releases and images.
    command = [sys.argv[2], "--shell=bash", "--exclude=SC1091,SC2154", "-"]
    subprocess.run(command, input="set -eo pipefail\n" + script, text=True, check=True)
END
}

# Clippy compares the standard library's functions with this version (lint incompatible_msrv); only the hosted workflow
# compiles with it.
oldest_rust() {
    local found
    found=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    [[ $found =~ ^1\.[0-9]+$ ]] && newest_crate "$found"
}

# newest_crate VERSION: fails if a crate declares that it needs a newer Rust. Crates for other systems were not downloaded.
newest_crate() {
    cargo metadata --format-version=1 --locked --offline --filter-platform x86_64-unknown-linux-gnu \
        --filter-platform x86_64-unknown-linux-musl | python3 -c '
import json, sys
def number(version): return [int(part) for part in version.split(".")][:2]
newer = [package["id"] for package in json.load(sys.stdin)["packages"] if number(package["rust_version"] or "1.0") > number(sys.argv[1])]
sys.exit("\n".join(newer) or 0)' "$1"
}

# Runs the first step of the release with this tag.
release_step() {
    "$venv/python" - > target/fleet/step << 'END'
import yaml
steps = yaml.safe_load(open(".github/workflows/release.yml"))["jobs"]["build"]["steps"]
[step] = [step for step in steps if step.get("name") == "Check the version and the publisher"]
print(step["run"])
END
    GITHUB_REF_NAME=$1 bash --noprofile --norc -eo pipefail target/fleet/step
}
