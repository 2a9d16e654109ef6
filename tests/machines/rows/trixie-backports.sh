# Debian trixie with the kernel of its backports (7.3): the same as trixie; flags and types of entries that 7.3 brought
. "$here/rows/trixie.sh"
image=trixie-backports
from_backports=(linux-image-cloud-amd64)
# That kernel instead of trixie's.
for index in "${!packages[@]}"; do
    [[ ${packages[$index]} != linux-image-* ]] || unset "packages[$index]"
done

more_files() {
    broken_emulator "$1"
    cross_tests binfmt-magic --test=kernel_oracle "$1/kernel-oracle"
}

after_register() {
    restart_systemd_binfmt
    guest "the kernel accepts the lines that magic accepts, and shows the entries that magic prints" <<'END'
chmod 755 /root/in/kernel-oracle
BINFMT_NIX_REQUIRE=kernel /root/in/kernel-oracle --nocapture 2>&1 | tee /tmp/oracle
grep 'syntax Linux7_3' /tmp/oracle
END
    guest "an entry with flag T or L above ours is named, and the proposed command helps" <<'END'
line=$("$tool" list --format binfmt.d | grep '^:qemu-aarch64:')
for flag in T L; do
    changed=${line/:qemu-aarch64:/:hides:}
    printf '%s' "${changed%:*}:${flag}F" > "$table/register"
    refuses runs
    "$tool" explain /tmp/aarch64/uname > /tmp/explained || [ $? = 3 ]
    grep "hides .*flag $flag" /tmp/explained
    "$tool" test aarch64 > /tmp/said || [ $? = 3 ]
    cat /tmp/said
    grep "hides has flag $flag" /tmp/said
    sh -c "$(grep -oE "$tool register aarch64.*" /tmp/said | head -n 1)"
    runs
    "$tool" unregister aarch64
    rm "$table/hides"
    "$tool" register aarch64
    runs
done
END
    guest "entries with the flags of Linux 7.3 are shown, and harm nothing" <<'END'
uname -r | grep '^7\.3'
for flag in T L D; do
    echo ":other-$flag:E::other$flag::/usr/bin/true:$flag" > "$table/register"
    cat "$table/other-$flag"
done
# What the tool expects of this kernel: T implies O, and D is a state and not a flag.
[ "$(grep ^flags: "$table"/other-T "$table"/other-L "$table"/other-D | sed 's/.*: *//' | xargs)" = "OT L" ]
[ "$(head -n 1 "$table/other-D")" = disabled ]
refuses write_line "$table/register" ":other-B:B::::handler:"
refuses write_line "$table/register" ":other-P:E::otherP::/usr/bin/true:TP"
runs
"$tool" status
"$tool" status --json | grep other-
fails 0 "$tool" status --check aarch64
"$tool" doctor || [ $? = 3 ]
touch /tmp/program.otherD
chmod 755 /tmp/program.otherD
"$tool" explain /tmp/program.otherD || [ $? = 3 ]
# Entries can be deleted like files.
rm "$table/other-T"
[ ! -e "$table/other-T" ]
for flag in L D; do echo -1 > "$table/other-$flag"; done
"$tool" doctor
END
    guest "an entry that was registered off and turned on later precedes a newer one, as explain says" <<'END'
echo ':first:E::both::/usr/bin/true:D' > "$table/register"
echo ':second:E::both::/usr/bin/false:' > "$table/register"
touch /tmp/program.both
chmod 755 /tmp/program.both
refuses /tmp/program.both
echo 1 > "$table/first"
/tmp/program.both
"$tool" explain /tmp/program.both > /tmp/explained || [ $? = 3 ]
cat /tmp/explained
grep 'first .*unless it was registered off and turned on later' /tmp/explained
rm "$table/first" "$table/second"
END
    guest "user.max_binfmt_misc_interpreters: the proposed command makes room" <<'END'
limit=$(cat /proc/sys/user/max_binfmt_misc_interpreters)
rule=':own:E::own::/usr/bin/true:F'
emulates() { as_user run -s aarch64 --qemu /tmp/qemu-aarch64 -- /bin/true; }
sysctl user.max_binfmt_misc_interpreters=0
fails 6 emulates
fails 6 "$tool" register --rule "$rule"
[ ! -e "$table/own" ]
runs
run_proposed 'sysctl user\.max_binfmt_misc_interpreters=N'
"$tool" register --rule "$rule"
[ -e "$table/own" ]
"$tool" unregister own
emulates
sysctl "user.max_binfmt_misc_interpreters=$limit"
END
}
