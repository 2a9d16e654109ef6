//! Situations of the running machine, which the sandbox of the test is: commands without `--root`, among them `run`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::mount::{MntFlags, umount2};

use super::{GOOD, Machine, Situation, check, emulator};
use crate::binfmt::userns::{memory, usual_proc};
use crate::diagnose::doctor::running_host::TABLE;
use crate::support::sandbox::with_all_users;
use crate::support::table::probe;
use nix::mount::{MsFlags, mount};

/// The directories that a machine of its own has, in the order in which they are mounted.
const PRIVATE: [&str; 6] = ["/etc", "/usr/local", "/var/lib", "/home", "/run", TABLE];

/// A machine with a mounted table and an emulator that `register` and `run` find, and nothing registered.
pub(crate) fn machine() -> Machine {
    with_all_users();
    usual_proc();
    for dir in PRIVATE.iter().filter(|dir| **dir != TABLE) {
        memory(Path::new(dir));
    }
    mount(None::<&str>, TABLE, Some("binfmt_misc"), MsFlags::empty(), None::<&str>).unwrap();
    fs::create_dir_all("/usr/local/bin").unwrap();
    let path = Path::new("/usr/local/bin/qemu-aarch64-static");
    fs::write(path, emulator("aarch64", "10.0.13", GOOD)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    Machine { tree: None, program: probe("aarch64") }
}

/// Unmounts what [`machine`] mounted.
pub(super) fn discard() {
    for dir in PRIVATE.iter().rev() {
        umount2(*dir, MntFlags::MNT_DETACH).unwrap();
    }
}

pub(crate) const LIVE: &[Situation] = &[
    Situation {
        name: "nothing is registered on the running machine",
        system: "aarch64",
        make: machine,
        doctor: &[],
        status: "-",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &["own-table"],
    },
    Situation {
        name: "the table of the running machine is switched off",
        system: "aarch64",
        make: || {
            let machine = machine();
            fs::write(Path::new(TABLE).join("status"), "0").unwrap();
            machine
        },
        doctor: &["switched-off"],
        status: "-",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &["own-table"],
    },
];

#[sandboxed]
fn the_running_machine() {
    check(LIVE);
}
