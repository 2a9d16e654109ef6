//! Situations of containers and of the Windows Subsystem for Linux, in trees that look like them.

use std::fs;

use super::{Machine, Situation, bare, check, registered};
use crate::support::emulators::outside;

pub(crate) const PLACES: &[Situation] = &[
    Situation {
        name: "an LXC container has no table",
        system: "aarch64",
        make: || {
            let tree = registered("aarch64");
            tree.unmount();
            Machine::with_probe(tree.file("run/systemd/container", "lxc\n"), "aarch64")
        },
        doctor: &["lxc-refuses", "not-mounted"],
        status: "missing",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
    Situation {
        name: "the entry of WSL is gone",
        system: "aarch64",
        make: || {
            // The interpreter of that entry. The kernel looks for it in the root directory.
            let program = outside("init", binfmt_magic::Arch::by_target("x86_64").unwrap().probe().unwrap());
            fs::copy(program, "/init").unwrap();
            let tree = bare("aarch64").dir("etc/binfmt.d");
            Machine::with_probe(tree.file("proc/sys/kernel/osrelease", "6.6.87.2-microsoft-standard-WSL2\n"), "aarch64")
        },
        doctor: &["wsl-interop-gone"],
        status: "-",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
];

#[sandboxed]
fn places() {
    check(PLACES);
}
