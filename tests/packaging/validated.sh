# shellcheck shell=bash
# Validates every file with a tool for its format, and checks that the tool refuses a broken file.

validated() {
    local kubernetes=packaging/kubernetes version
    check "kubernetes: kustomize renders what binfmt-nix.yaml has" rendered
    check "kubernetes: that comparison can fail" rendered_can_differ
    for version in 1.30 1.37; do
        check "kubernetes: strictly valid for $version" strict "$version" "$kubernetes/binfmt-nix.yaml"
    done
    check "kubernetes: a misspelled field is refused" spoiled s/readOnlyRoot/readonlyRoot/ $kubernetes/daemonset.yaml strict 1.37
    check "kubernetes: a number for a text is refused" spoiled 's/emulate: "true"/emulate: 1/' $kubernetes/daemonset.yaml strict 1.37
    check "kubernetes, compose: the image is of this release" images_are_current
    check "compose: valid" schema compose-spec packaging/compose/compose.yaml
    check "compose: an unknown key is refused" spoiled s/cap_drop/capdrop/ packaging/compose/compose.yaml schema compose-spec
    check "compose: podman-compose reads it" "$venv/podman-compose" -f packaging/compose/compose.yaml config
    check "github: valid" schema github-actions packaging/github/action.yml
    check "github: a step without a shell is refused" spoiled '/shell:/d' packaging/github/action.yml schema github-actions
    # The schema does not check templates, whose names begin with a dot, so the template becomes a job.
    sed 's/^\.binfmt-nix:/job:\n  script: [uname]/' packaging/gitlab/binfmt-nix.yml > target/fleet/job.yml
    check "gitlab: valid" schema_of_gitlab target/fleet/job.yml
    check "gitlab: an unknown key is refused" spoiled s/before_script/before_scripts/ target/fleet/job.yml schema_of_gitlab
    check "ansible: the playbook's syntax" env LC_ALL=C.UTF-8 "$venv/ansible-playbook" --syntax-check -i localhost, tests/packaging/playbook.yml
    check "cloud-init: valid" cloud_init packaging/cloud-init/user-data
    check "cloud-init: a misspelled key is refused" spoiled s/permissions:/permission:/ packaging/cloud-init/user-data cloud_init
    check "ignition: valid" "$unpacked/usr/bin/ignition-validate" packaging/ignition/binfmt-nix.ign
    check "ignition: an invalid digest is refused" spoiled s/sha256-0/sha256-/ packaging/ignition/binfmt-nix.ign \
        "$unpacked/usr/bin/ignition-validate"
    check "ignition: the Butane file is equivalent" "$venv/python" tests/packaging/butane.py packaging/ignition/binfmt-nix.{bu,ign}
    check "ignition: that comparison can fail" spoiled 's/apply/bold/' packaging/ignition/binfmt-nix.ign \
        "$venv/python" tests/packaging/butane.py packaging/ignition/binfmt-nix.bu
}

strict() { "$venv/kubernetes-validate" --strict -k "$1.0" "$2"; }

schema() { "$venv/check-jsonschema" --builtin-schema "vendor.$1" "${@:2}"; }

schema_of_gitlab() { schema gitlab-ci --data-transform gitlab-ci "$@"; }

cloud_init() {
    local site=$unpacked/usr/lib/python3/dist-packages
    PYTHONPATH=$site "$venv/python" -m cloudinit.cmd.main schema --config-file "$1"
}

# Renders with Debian's kubectl and with the machine's own, which may be newer.
rendered() {
    local kubectl wanted=${1:-packaging/kubernetes/binfmt-nix.yaml} tools=("$unpacked/usr/bin/kubectl")
    tools+=($(command -v kubectl || true))
    for kubectl in "${tools[@]}"; do
        "$kubectl" kustomize packaging/kubernetes > target/fleet/rendered.yaml || return 1
        "$venv/python" - target/fleet/rendered.yaml "$wanted" << 'END' || return 1
import sys, yaml
rendered, written = ([*yaml.safe_load_all(open(path))] for path in sys.argv[1:])
assert len(rendered) == 2 and rendered == written, f"{sys.argv[2]} is not what kustomize renders: {rendered}"
END
    done
}

rendered_can_differ() { spoiled 's/arm64/armhf/' packaging/kubernetes/binfmt-nix.yaml rendered; }

images_are_current() {
    local image
    image=localhost/binfmt-nix:$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)-qemu
    grep -qF "image: $image" packaging/kubernetes/daemonset.yaml && grep -qF ":-$image}" packaging/compose/compose.yaml
}
