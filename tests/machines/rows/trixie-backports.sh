# Debian trixie with the kernel of its backports (7.3): the same as trixie; flags and types of entries that 7.3 brought
. "$here/rows/trixie.sh"
image=trixie-backports
from_backports=(linux-image-cloud-amd64)
# That kernel instead of trixie's.
for index in "${!packages[@]}"; do
    [[ ${packages[$index]} != linux-image-* ]] || unset "packages[$index]"
done

after_register() {
    restart_systemd_binfmt
    guest "entries with the flags of Linux 7.3 are shown, and harm nothing" <<'END'
uname -r | grep '^7\.3'
for flag in T L D; do
    echo ":other-$flag:E::other$flag::/usr/bin/true:$flag" > "$table/register"
    cat "$table/other-$flag"
done
runs
"$tool" status
"$tool" status --json | grep other-
fails 0 "$tool" status --check aarch64
"$tool" doctor || [ $? = 3 ]
touch /tmp/program.otherD
chmod 755 /tmp/program.otherD
"$tool" explain /tmp/program.otherD || [ $? = 3 ]
for flag in T L D; do echo -1 > "$table/other-$flag"; done
"$tool" doctor
END
}
