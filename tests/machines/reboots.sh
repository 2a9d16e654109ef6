# Checks that all machines with another init system share.

survives_reboots() {
    boot 1
    guest "register" <<'END'
list_files > /root/before
register
runs
"$tool" status
"$tool" doctor
END
    shut_down
    boot 2
    guest "after a reboot the entry is there" <<'END'
runs
"$tool" status --check aarch64
"$tool" test aarch64
"$tool" doctor
END
    power_cut
    boot 3
    guest "after a loss of power the entry is there" <<'END'
runs
END
    guest "unregister leaves nothing" <<'END'
"$tool" unregister all
is_unregistered
list_files > /root/after
diff /root/before /root/after
END
    shut_down
    boot 4
    guest "after a reboot nothing is registered" <<'END'
is_unregistered
END
    shut_down
}
