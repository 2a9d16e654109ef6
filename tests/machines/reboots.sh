# Checks that most machines share. A row may define prepare, which runs at the beginning, and after_register.
prepare() { :; }
after_register() { :; }

survives_reboots() {
    boot 1
    prepare
    guest "register" <<'END'
list_files > /root/before
register
runs
"$tool" status
"$tool" doctor
END
    after_register
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
