# shellcheck shell=bash
# Packages of other releases of Debian, without a change of the machine's own apt.

# private_apt DIR SUITE ARCHITECTURE…: sets `private_apt` to the options of an apt that knows only this suite and these
# architectures, with its state in DIR, and reads the lists of packages.
private_apt() {
    local root=$1 suite=$2 architecture
    shift 2
    mkdir -p "$root/lists/partial" "$root/cache/archives/partial" "$root/parts"
    : > "$root/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(site) $suite main" > "$root/sources"
    # Valid-Until is ignored: mirrors may lag, and the files only serve as test input.
    private_apt=(-o Acquire::Retries=3 -o "Dir::State=$root" -o "Dir::State::status=$root/status" -o "Dir::Cache=$root/cache"
        -o "Dir::Etc::sourcelist=$root/sources" -o "Dir::Etc::sourceparts=$root/parts" -o "APT::Architecture=$1"
        -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root)
    for architecture; do
        private_apt+=(-o "APT::Architectures::=$architecture")
    done
    apt-get -qq "${private_apt[@]}" update
}

# Prints the machine's own mirror of Debian, so that no script names one.
site() {
    apt-get indextargets --format '$(SITE) $(COMPONENT) $(CODENAME)' 'Created-By: Packages' |
        awk -v codename="$(. /etc/os-release && echo "$VERSION_CODENAME")" '$2 == "main" && $3 == codename && !found { print $1; found = 1 }'
}
