# shellcheck shell=bash
# The crates as cargo packages them for a registry: their files, their metadata, and, with FULL=1, builds and tests of the
# unpacked crates alone. Without FULL=1 nothing is compiled.

crates() {
    # Outside of this workspace, which unpacked crates would take for theirs.
    crates=$(mktemp -d)
    check "crates: cargo packages the workspace without a network" packaged
    check "crates: they have the files that they need, and no other tests" crate_files
    check "crates: binstall finds the archives that packaging/packages makes" binstall_names
    check "crates: that comparison can fail" spoiled s/target-arch/target/ Cargo.toml binstall_names
    [ "${FULL:-}" != 1 ] || crates_alone
    rm -rf "$crates"
}

crates_alone() {
    check "crates: cargo builds each packaged crate" cargo package --quiet --offline --workspace --allow-dirty --target-dir "$crates"
    check "crates: binfmt-magic is tested alone" tested_alone binfmt-magic
    check "crates: binfmt-nix is tested alone" tested_alone binfmt-nix --lib
    check "crates: cargo install --path" cargo install --quiet --offline --locked --path . --root "$crates/installed"
    check "crates: the installed program runs" "$crates/installed/bin/binfmt-nix" --version
}

packaged() {
    local crate
    cargo package --quiet --offline --workspace --allow-dirty --no-verify --target-dir "$crates" || return 1
    for crate in "$crates"/package/*.crate; do
        tar -C "$crates" -xzf "$crate" || return 1
        # The limit of the registry.
        [ "$(stat -c %s "$crate")" -lt 10000000 ] || { echo "$crate is too large"; return 1; }
    done
}

crate_files() {
    local file version
    version=$(workspace_version)
    for file in binfmt-nix-"$version"/{README.md,LICENSE,Cargo.lock,packaging/man/binfmt-nix.8,src/main.rs} \
        binfmt-magic-"$version"/{Cargo.toml,src/lib.rs,probes/aarch64.elf}; do
        [ -s "$crates/$file" ] || { echo "missing: $file"; return 1; }
    done
    [ "$(cd "$crates/binfmt-nix-$version" && find tests -type f | grep -v '^tests/recorded/messages/')" = "" ]
}

workspace_version() { sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1; }

# Compares the metadata with the URL of packaging/publisher and with the names of packaging/packages.
binstall_names() {
    local version
    version=$(workspace_version)
    (. packaging/publisher && python3 - "${1:-Cargo.toml}" "$releases" "$homepage" "$version") << 'END' || return 1
import sys, tomllib
manifest, releases, homepage, version = sys.argv[1:]
cargo = tomllib.load(open(manifest, "rb"))
assert cargo["workspace"]["package"]["homepage"] == homepage, homepage
package = cargo["package"]
binstall = package["metadata"]["binstall"]
fill = {"{ version }": version, "{ target-arch }": "aarch64", "{ bin }": "binfmt-nix", "{ binary-ext }": ""}
def filled(text):
    for name, value in fill.items():
        text = text.replace(name, value)
    assert "{" not in text, text
    return text
name = f"binfmt-nix-{version}-aarch64-linux"
assert filled(binstall["pkg-url"]) == f"{releases}/v{version}/{name}.tar.xz", binstall
assert (filled(binstall["bin-dir"]), binstall["pkg-fmt"]) == (f"{name}/binfmt-nix", "txz"), binstall
END
    # shellcheck disable=SC2016
    grep -qF 'name=binfmt-nix-$version-$architecture-linux' packaging/packages && grep -qF 'finished "$work/$name.tar.xz" "$name.tar.xz"' packaging/packages
}

# tested_alone CRATE [ARGUMENT…]: tests an unpacked crate outside of the workspace. No registry has binfmt-magic yet.
tested_alone() {
    local crate=$1 magic
    shift
    magic=$crates/binfmt-magic-$(workspace_version)
    (cd "$crates/$crate-$(workspace_version)" &&
        env -u RUSTC_WORKSPACE_WRAPPER cargo test --quiet --offline --target-dir "$crates" --config "patch.crates-io.binfmt-magic.path='$magic'" "$@")
}
