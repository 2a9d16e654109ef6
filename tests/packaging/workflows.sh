# shellcheck shell=bash
# The workflows: their schema, shellcheck on every step, and the steps that can run here. actionlint would download a binary
# that no registry has.

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

# newest_crate VERSION: fails if a crate of the lock file declares that it needs a newer Rust.
newest_crate() {
    cargo metadata --format-version=1 --locked --offline | python3 -c '
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
