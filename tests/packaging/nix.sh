# shellcheck shell=bash
# packaging/nix: nixpkgs is not at hand, so Debian's Nix evaluates it with the stand-in in tests/packaging/nixpkgs, and the
# phases of the package are run here.

nix_files() {
    local data=${BINFMT_NIX_TEST_NIX:-target/test-data/nix}
    mkdir -p target/fleet
    # Nix refuses a store below a symbolic link.
    nix_home=$(readlink -e target/fleet)/nix
    rm -rf "$nix_home"
    mkdir -p "$nix_home/conf"
    nix_libraries=$(find "$(readlink -e "$data")/tree" -name 'lib*.so*' -printf '%h:' | tr ':' '\n' | sort -u | paste -s -d :)
    nix_program=$(readlink -e "$data/tree")/usr/bin/nix-instantiate
    check "nix: every output and both modules evaluate" evaluated packaging/nix
    check "nix: they are as expected" python3 tests/packaging/nixpkgs/compare.py "$nix_home/values"
    check "nix: a wrong type of systems is refused" refused_value systems '"aarch64-linux"' "wrong type"
    check "nix: an unknown option is refused" refused_value system '[ ]' "unknown"
    check "nix: the installation phase installs every file" nix_installed
    [ "${FULL:-}" != 1 ] || check "nix: the build phase builds it from the source of the package, without a network" nix_built
}

# Evaluates with a store of its own.
nix_instantiate() {
    env -i HOME="$nix_home" PATH="$PATH" LD_LIBRARY_PATH="$nix_libraries" NIX_CONF_DIR="$nix_home/conf" NIX_STORE_DIR="$nix_home/store" \
        NIX_STATE_DIR="$nix_home/state" NIX_LOG_DIR="$nix_home/log" "$nix_program" --option build-users-group "" --eval --read-write-mode \
        --strict --json "$@"
}

evaluated() {
    nix_instantiate --arg flake "$PWD/$1" tests/packaging/nixpkgs/evaluate.nix > "$nix_home/values" && [ -s "$nix_home/values" ]
}

refused_value() {
    local said
    ! said=$(nix_instantiate -E "with import $PWD/tests/packaging/nixpkgs/lib; (evalModule { module = $PWD/packaging/nix/options.nix;
        pkgs = import $PWD/tests/packaging/nixpkgs { }; values.$1 = $2; }).services.binfmt-nix.configFile" 2>&1) || return 1
    echo "$said"
    [[ $said == *"$3"* ]]
}

# Runs postInstall with functions that do what the setup hook installShellFiles of nixpkgs does with these arguments.
nix_installed() {
    local out=$nix_home/out
    rm -rf "$out"
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["postInstall"])' "$nix_home/values" > "$nix_home/phase"
    env -i PATH="$PATH" out="$out" bash -euo pipefail -c '
        installManPage() { local page; for page; do install -D -m 644 "$page" "$out/share/man/man${page##*.}/${page##*/}"; done; }
        installShellCompletion() {
            local shell=$1; shift
            [ "$1" != --name ] || { local name=$2; shift 2; }
            case $shell in
                --bash) install -D -m 644 "$1" "$out/share/bash-completion/completions/$name" ;;
                --zsh) install -D -m 644 "$1" "$out/share/zsh/site-functions/${1##*/}" ;;
                --fish) install -D -m 644 "$1" "$out/share/fish/vendor_completions.d/${1##*/}" ;;
                *) exit 1 ;;
            esac
        }
        . "$1"' phase "$nix_home/phase" || return 1
    [ "$(ls "$out/share/man/man8")" = "$(cd packaging/man && ls -- *.8)" ] &&
        [ -s "$out/share/bash-completion/completions/binfmt-nix" ] && [ -s "$out/share/zsh/site-functions/_binfmt-nix" ] &&
        [ -s "$out/share/fish/vendor_completions.d/binfmt-nix.fish" ] && [ -s "$out/share/binfmt-nix/apparmor" ]
}

# cargoSetupHook vendors the crates of the lock file, and cargoBuildHook builds offline.
nix_built() {
    local source
    source=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["sourcePath"])' "$nix_home/values")
    rm -rf "$nix_home/build"
    cp -r "$source" "$nix_home/build"
    chmod -R u+w "$nix_home/build"
    mkdir -p "$nix_home/build/.cargo"
    cargo vendor --quiet --locked --manifest-path "$source/Cargo.toml" "$nix_home/vendor" > "$nix_home/build/.cargo/config.toml"
    (cd "$nix_home/build" && CARGO_TARGET_DIR=$nix_home/target unshare --net cargo build --release --offline --locked --bin binfmt-nix) &&
        "$nix_home/target/release/binfmt-nix" --version
}
