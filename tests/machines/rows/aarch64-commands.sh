# Debian trixie on aarch64 without a 32-bit mode, and with Nix in an emulated system: the commands that the doctor proposes
. "$here/rows/trixie-commands.sh"
. "$here/rows/aarch64.sh"
image=aarch64
# A processor whose id_aa64pfr0_el1 has no AArch32 for programs. It has the registers of GICv3, and without that device
# Linux 6.12 ends with an undefined instruction (has_useable_gicv3_cpuif).
cpu=a64fx
board=virt,gic-version=3

more_files() {
    foreign_files "$1"
    cp "$tool" "$1/binfmt-nix-amd64"
    [ -e "$data/nix/newest" ] || tests/fetch-nix "$data/nix" >> "$work/$name.log" 2>&1
    cp -a "$data/nix/newest" "$1/nix-amd64"
}

checks() {
    boot
    commands "no-aarch32: Nix cannot build for arm" <<'END'
connect
usermod -aG nix-users user 2> /dev/null || true
echo 'substituters =' >> /etc/nix/nix.conf
systemctl restart nix-daemon.service
refuses setarch linux32 true
refuses foreign_run armhf 'arm.*'
builds_as_user native
"$tool" register arm 2> /tmp/said
cat /tmp/said
grep 'no 32-bit mode' /tmp/said
foreign_run armhf 'arm.*'
"$tool" doctor
# A line that is not of this tool. Nix then fails before it starts an emulator.
echo 'extra-extra-platforms = armv7l-linux armv6l-linux' >> /etc/nix/nix.conf
systemctl restart nix-daemon.service
refuses builds_as_user armv7l /root/in/busybox-armhf 2> /tmp/message
advise /tmp/message
grep '^nix-personality' /tmp/advice
find_out no-aarch32
cp /tmp/advice /tmp/said
run_proposed "sed -i '[0-9]+s/.* /etc/nix/nix\.conf"
run_proposed 'systemctl restart nix-daemon.*'
"$tool" doctor
refuses grep armv /etc/nix/nix.conf
builds_as_user native
"$tool" unregister arm
refuses foreign_run armhf 'arm.*'
END
    commands "nix-inside-emulation: Nix itself is run by an emulator" <<'END'
"$tool" register x86_64
tree=/srv/amd64
mv /root/in/nix-amd64 "$tree"
mkdir -p "$tree"/{root/in,tmp,proc,dev,nix}
for name in bin lib lib64; do ln -s "usr/$name" "$tree/$name"; done
install -m 755 /root/in/busybox-amd64 "$tree/bin/busybox"
ln -s busybox "$tree/bin/sh"
install -m 755 /root/in/binfmt-nix-amd64 "$tree/bin/binfmt-nix"
printf '%s\n' root:x:0:0::/root:/bin/sh builder:x:3001:300::/nonexistent:/bin/false > "$tree/etc/passwd"
printf '%s\n' root:x:0: nixbld:x:300:builder > "$tree/etc/group"
mount -t proc proc "$tree/proc"
mount --rbind /dev "$tree/dev"
inside() { chroot "$tree" /bin/busybox env -i PATH=/usr/bin:/bin HOME=/root /bin/busybox sh -c "$1"; }
[ "$(inside '/bin/busybox uname -m')" = x86_64 ]
cat > "$tree/root/default.nix" << 'NIX'
derivation {
  name = "built";
  system = "x86_64-linux";
  builder = "${./in}/busybox";
  args = [ "ash" "-c" "${./in}/busybox uname -m > $out" ];
}
NIX
install -m 755 /root/in/busybox-amd64 "$tree/root/in/busybox"
build='nix-build --option substituters "" --no-out-link /root/default.nix'
refuses inside "$build" 2> /tmp/message
advise /tmp/message
grep '^nix-seccomp' /tmp/advice
inside 'binfmt-nix doctor; exit' > /tmp/advice || [ $? = 3 ]
cat /tmp/advice
grep ': nix-inside-emulation' /tmp/advice
line="sh -c 'mkdir -p /etc/nix && echo filter-syscalls = false >> /etc/nix/nix.conf'"
proposes "$line"
inside "$line"
inside 'binfmt-nix doctor; exit' > /tmp/advice || [ $? = 3 ]
refuses grep ': nix-inside-emulation' /tmp/advice
inside "$build"
[ "$(inside "cat \$($build)")" = x86_64 ]
# Without build users, Nix before 2.30 ignores that the filter cannot be loaded. This one does not.
echo 'build-users-group =' > "$tree/etc/nix/nix.conf"
inside 'nix-store --delete /nix/store/*-built'
refuses inside "$build"
inside 'binfmt-nix doctor; exit' > /tmp/advice || [ $? = 3 ]
grep ': nix-inside-emulation' /tmp/advice
END
    shut_down
}
