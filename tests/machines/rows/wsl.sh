# Debian trixie (6.12) made like WSL2: no more modules, a read-only status, WSLInterop, which survives everything
. "$here/rows/trixie.sh"
image=trixie
network=

# WSL's own first process mounts the table, registers WSLInterop and starts systemd. Its kernel has everything built in.
checks() {
    boot
    guest "a first process like WSL's" <<'END'
printf '#!/bin/sh\necho Windows program "$@"\n' > /init
chmod 755 /init
printf MZ > /usr/local/bin/program.exe
chmod 755 /usr/local/bin/program.exe
cat > /root/init << 'INIT'
#!/bin/sh
PATH=/usr/sbin:/usr/bin
for module in virtio_console virtio_net virtio_rng binfmt_misc af_packet unix; do
    modprobe -q "$module"
done
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
echo ':WSLInterop:M::MZ::/init:P' > /proc/sys/fs/binfmt_misc/register
mount --bind /proc/sys/fs/binfmt_misc/status /proc/sys/fs/binfmt_misc/status
mount -o remount,bind,ro /proc/sys/fs/binfmt_misc/status
echo 5.15.167.4-microsoft-standard-WSL2 > /run/osrelease
mount --bind /run/osrelease /proc/sys/kernel/osrelease
echo 1 > /proc/sys/kernel/modules_disabled
exec /sbin/init
INIT
chmod 755 /root/init
printf '[boot]\nsystemd=true\n' > /etc/wsl.conf
END
    shut_down
    system="init=/root/init"
    survives_reboots
}

prepare() {
    guest "the machine is like WSL2" <<'END'
[ "$(cat /proc/sys/kernel/modules_disabled)" = 1 ]
refuses write_line "$table/status" -1
windows_runs
"$tool" status
"$tool" doctor
END
}

after_register() {
    guest "WSLInterop is there after register and after a restart of systemd-binfmt" <<'END'
windows_runs
systemctl restart systemd-binfmt.service || systemctl status systemd-binfmt.service || true
windows_runs
runs
"$tool" doctor
END
}
