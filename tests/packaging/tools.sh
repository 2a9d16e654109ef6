# shellcheck shell=bash
# The tools: what knows the formats, and what runs them.

# Python's, as they are today: formats grow. configobj and jsonpatch are what Debian's cloud-init needs.
wheels=(kubernetes-validate check-jsonschema ansible-core podman-compose pyyaml configobj jsonpatch)
# Debian's, unpacked and not installed: nothing is set up by them.
packages=(kubernetes-client ignition cloud-init)

get_tools() {
    fleet=$PWD/target/fleet
    # Of this tree, in the world too.
    venv=$fleet/venv/bin unpacked=$fleet/tools
    local needs
    needs=$(printf '%s ' "${wheels[@]}" "${packages[@]}")
    [ "$(cat "$fleet/ready" 2>/dev/null)" != "$needs" ] || return 0
    command -v apt-get >/dev/null || skip "it needs Debian, for ${packages[*]}"
    python3 -c 'import venv, ensurepip' 2>/dev/null || skip "it needs python3-venv"
    rm -rf "$fleet/venv" "$unpacked" "$fleet/debs"
    mkdir -p "$fleet/debs" "$unpacked"
    python3 -m venv "$fleet/venv"
    "$venv/pip" install --quiet "${wheels[@]}" || skip "pip cannot install ${wheels[*]}"
    (cd "$fleet/debs" && apt-get -qq -o Acquire::Retries=3 download -o APT::Sandbox::User=root "${packages[@]}") ||
        skip "apt cannot download ${packages[*]}"
    local deb
    for deb in "$fleet"/debs/*.deb; do
        dpkg-deb -x "$deb" "$unpacked"
    done
    rm -rf "$fleet/debs"
    echo "$needs" > "$fleet/ready"
}

# refuses_text SED FILE COMMAND…: what is broken by SED is refused by COMMAND, which takes the file as its last word.
# The file keeps its name, by which some tools know the format.
spoiled() {
    local change=$1 file=$2 copy
    shift 2
    copy=$(mktemp -d)
    sed "$change" "$file" > "$copy/${file##*/}"
    if cmp -s "$file" "$copy/${file##*/}"; then
        echo "nothing to spoil in $file: $change"
        return 1
    fi
    ! "$@" "$copy/${file##*/}"
}
