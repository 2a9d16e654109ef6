# Debian trixie (6.12) laid out as by ostree: read-only /usr, /usr/local in /var, an overlay as /etc: reboots, undo
. "$here/rows/trixie.sh"
image=trixie
network=

after_register() { restart_systemd_binfmt; }

checks() {
    boot
    guest "the layout is made" <<'END'
mv /usr/local /var/usrlocal
ln -s ../var/usrlocal /usr/local
mkdir -p /var/overlay/upper /var/overlay/work
cat > /root/init << 'INIT'
#!/bin/sh
PATH=/usr/sbin:/usr/bin
modprobe overlay
mount -t overlay overlay -o lowerdir=/etc,upperdir=/var/overlay/upper,workdir=/var/overlay/work /etc
mount --bind /usr /usr
mount -o remount,bind,ro /usr
exec /sbin/init
INIT
chmod 755 /root/init
END
    shut_down
    # The first process of the machine makes the mounts.
    system="init=/root/init"
    survives_reboots
}

prepare() {
    guest "/usr is read-only, and /etc is an overlay" <<'END'
refuses touch /usr/x
[ "$(stat -f -c %T /etc)" = overlayfs ]
[ "$(readlink -f /usr/local)" = /var/usrlocal ]
END
}
