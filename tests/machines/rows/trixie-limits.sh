# Debian trixie (6.12) with limits of the kernel: after the proposed commands the tool works
. "$here/rows/trixie.sh"
image=trixie

checks() {
    boot
    guest "vm.memfd_noexec" <<'END'
in_memory() { as_user run --no-cache -s aarch64 --from /tmp/qemu-aarch64 -- /bin/true; }
sysctl vm.memfd_noexec=2
fails 6 in_memory
run_proposed 'sysctl vm\.memfd_noexec=0'
in_memory
END
    guest "kernel.unprivileged_userns_clone" <<'END'
inside() { as_user run -s aarch64 --qemu /tmp/qemu-aarch64 "$@" -- /bin/true; }
inside
sysctl kernel.unprivileged_userns_clone=0
fails 6 inside
run_proposed 'sysctl kernel\.unprivileged_userns_clone=1'
inside
END
    guest "subordinate ids" <<'END'
inside() { as_user run --map-root -s aarch64 --qemu /tmp/qemu-aarch64 "$@" -- /bin/true; }
usermod --del-subuids 0-4000000000 --del-subgids 0-4000000000 user
fails 6 inside
run_proposed 'usermod --add-subuids [-0-9]+ --add-subgids [-0-9]+ user'
inside
END
    guest "fs.inotify.max_user_instances" <<'END'
sysctl fs.inotify.max_user_instances=0
fails 6 register --watch
[ ! -e "$table/qemu-aarch64" ]
run_proposed 'sysctl fs\.inotify\.max_user_instances=N'
"$tool" register aarch64 --qemu /root/in/qemu-aarch64 --watch &
until runs 2> /dev/null; do sleep 1; done
kill "$!"
wait "$!"
END
    shut_down
}
