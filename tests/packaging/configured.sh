# shellcheck shell=bash
# Configuration of machines: the Ansible role, the script of cloud-init, the unit of Ignition.

configured() {
    ansible_role
    cloud_script
    ignition_unit
}

ansible_role() {
    local ours=("binfmt_nix_url=file://$tool" "binfmt_nix_sha256=$digest" binfmt_nix_path=/opt/binfmt-nix)
    check "ansible: without a URL it fails" fails play
    check "ansible: because the URL has no default" says "there is no default"
    check "ansible: with another digest it fails" fails play "${ours[0]}" "binfmt_nix_sha256=$other_digest" "${ours[2]}"
    check "ansible: because of the checksum" says "checksum"
    check "ansible: before, --check reports the change" changes 1 --check "${ours[@]}"
    check "ansible: --check changed nothing" nothing_at /opt/binfmt-nix
    check "ansible: it installs and registers: two changes" changes 2 "${ours[@]}"
    check "ansible: a program of aarch64 runs" runs
    check "ansible: a second run changes nothing" changes 0 "${ours[@]}"
    check "ansible: --check reports no change either" changes 0 --check "${ours[@]}"
    echo -1 > "$table/qemu-aarch64"
    check "ansible: --check reports a missing entry" changes 1 --check "${ours[@]}"
    check "ansible: --check did not register it" does_not_run
    check "ansible: a run registers it again" changes 1 "${ours[@]}"
    check "ansible: a program of aarch64 runs again" runs
    check "ansible: a key that is not known fails" fails play "${ours[@]}" '{"binfmt_nix_settings": {"sytems": true}}'
    check "ansible: because of the key" says "did you mean systems?"
    check "ansible: with a setting, --check reports the change" changes 1 --check "${ours[@]}" '{"binfmt_nix_settings": {"flags": "POCF"}}'
    check "ansible: the setting changes the entry" changes 1 "${ours[@]}" '{"binfmt_nix_settings": {"flags": "POCF"}}'
    check "ansible: the entry has its flags" grep -qx "flags: POCF" "$table/qemu-aarch64"
    check "ansible: the state absent removes it" changes 1 binfmt_nix_state=absent "${ours[@]}"
    check "ansible: a program of aarch64 does not run" does_not_run
    check "ansible: absent again changes nothing" changes 0 binfmt_nix_state=absent "${ours[@]}"
}

# Runs the role with these variables and options.
play() {
    local word words=()
    for word; do
        case $word in
            --*) words+=("$word") ;;
            *) words+=(-e "$word") ;;
        esac
    done
    exits 0 env LC_ALL=C.UTF-8 ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=false "$venv/python" -m ansible playbook -i localhost, \
        -e "ansible_python_interpreter=$venv/python" "${words[@]}" "$tree/tests/packaging/playbook.yml"
}

changes() {
    local number=$1
    shift
    play "$@" && says " changed=$number "
}

nothing_at() { [ ! -e "$1" ] && does_not_run; }

cloud_script() {
    local data=$tree/packaging/cloud-init/user-data
    "$venv/python" - "$data" "$home/script" << 'END'
import sys, yaml
config = yaml.safe_load(open(sys.argv[1]))
[toml, file] = config["write_files"]
assert config["runcmd"] == [[file["path"]]] and file["permissions"] == "0755", config
open(sys.argv[2], "w").write(file["content"])
open(toml["path"], "w").write(toml["content"])
END
    check "cloud-init: without a URL it fails" fails exits 0 sh "$home/script"
    check "cloud-init: because of the URL" says "the URL of your binfmt-nix"
    sed -i "s|^url=.*|url=file://$tool|" "$home/script"
    check "cloud-init: without a digest it fails" fails exits 0 sh "$home/script"
    sed -i "s|^sha256=.*|sha256=$other_digest|" "$home/script"
    check "cloud-init: with another digest it fails" fails exits 0 sh "$home/script"
    check "cloud-init: because of the digest" says "did NOT match"
    check "cloud-init: nothing was installed" nothing_at /usr/local/bin/binfmt-nix
    sed -i "s|^sha256=.*|sha256=$digest|" "$home/script"
    check "cloud-init: with both it installs and registers" exits 0 sh "$home/script"
    check "cloud-init: a program of aarch64 runs" runs
    check "cloud-init: a boot file exists" compgen -G '/etc/binfmt.d/*binfmt-nix*'
    check "cloud-init: a second run changes nothing" exits 0 "$tool" apply --config /etc/binfmt-nix.toml --check
    undone
}

ignition_unit() {
    local unit=$home/binfmt-nix.service
    "$venv/python" - "$tree/packaging/ignition/binfmt-nix.ign" > "$unit" << 'END'
import json, sys, urllib.parse
config = json.load(open(sys.argv[1]))
[unit], [file, toml] = config["systemd"]["units"], config["storage"]["files"]
assert unit["enabled"] and f"ExecStart={file['path']} apply --config {toml['path']}\n" in unit["contents"], config
kind, text = toml["contents"]["source"].split(",", 1)
assert kind == "data:", toml
open(toml["path"], "w").write(urllib.parse.unquote(text))
print(unit["contents"])
END
    sed -i "s|/opt/bin/binfmt-nix|$tool|" "$unit"
    check "ignition: systemd accepts the unit" exits 0 systemd-analyze verify "$unit"
    check "ignition: at two boots the unit succeeds, and a program of aarch64 runs" \
        exits 0 "$venv/python" "$tree/tests/packaging/unit.py" "$unit" "$home/bin/busybox-arm64" true
    check "ignition: then nothing differs" exits 0 "$tool" apply --config /etc/binfmt-nix.toml --check
    undone
}
