# Debian trixie with SELinux enforcing: the commands that the doctor proposes for labels and booleans
. "$here/rows/selinux.sh"
packages+=(policycoreutils-python-utils)

checks() {
    boot
    guest "execmem-denied: the boolean of the loaded policy, then that of Fedora's in a module" <<'END'
[ "$(getenforce)" = Enforcing ]
repaired_by() {
    fails 3 "$tool" doctor > /tmp/advice
    cat /tmp/advice
    grep execmem-denied /tmp/advice
    grep -x " *$1" /tmp/advice
    eval "$1"
    "$tool" doctor
    runs
}
setsebool allow_execmem 1
register
setsebool allow_execmem 0
repaired_by 'setsebool -P allow_execmem on'
setsebool allow_execmem 0
printf '%s\n' '(boolean deny_execmem true)' '(booleanif (not deny_execmem) (true (allow unconfined_domain_type self (process (execmem)))))' > /root/fedora.cil
semodule -i /root/fedora.cil
repaired_by 'setsebool -P deny_execmem off'
semodule -r fedora
setsebool -P allow_execmem on
END
    guest "interpreter-label: restorecon, semanage and chcon" <<'END'
labelled() {
    fails 3 "$tool" doctor > /tmp/advice
    cat /tmp/advice
    grep interpreter-label /tmp/advice
}
lines() { tr -s ' \n' ' ' < /tmp/advice | grep -F -- "$1"; }
file=/usr/local/libexec/binfmt-nix/bin/qemu-aarch64
chcon -t usr_t "$file"
labelled
lines "restorecon -F -v $file"
restorecon -F -v "$file"
"$tool" doctor
"$tool" unregister all
# An interpreter of another tool, elsewhere.
install -D -m 755 /root/in/qemu-aarch64 /opt/q/qemu-aarch64
chcon -t usr_t /opt/q/qemu-aarch64
printf '%s\n' ':foreign:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/opt/q/qemu-aarch64:PF' > /etc/binfmt.d/foreign.conf
cat /etc/binfmt.d/foreign.conf > /proc/sys/fs/binfmt_misc/register
labelled
lines 'semanage fcontext -a -t bin_t /opt/q/qemu-aarch64 restorecon -F -v /opt/q/qemu-aarch64'
semanage fcontext -a -t bin_t /opt/q/qemu-aarch64
restorecon -F -v /opt/q/qemu-aarch64
"$tool" doctor
# Without semanage.
semanage fcontext -d /opt/q/qemu-aarch64
chcon -t usr_t /opt/q/qemu-aarch64
mv /usr/sbin/semanage /usr/sbin/semanage.off
labelled
lines 'chcon -t bin_t /opt/q/qemu-aarch64'
chcon -t bin_t /opt/q/qemu-aarch64
"$tool" doctor
mv /usr/sbin/semanage.off /usr/sbin/semanage
END
    shut_down
}
