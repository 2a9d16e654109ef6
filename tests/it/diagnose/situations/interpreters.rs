//! Situations of the interpreters of entries.

use std::fs;

use binfmt_magic::Arch;
use nix::mount::{MsFlags, mount};

use super::entries::{OTHER, with_entry, with_other_entry};
use super::{GOOD, Machine, Situation, bare, check, emulator, registered};
use crate::support::Tree;
use crate::support::sandbox::with_all_users;
use crate::support::tree::EMULATOR;

fn aarch64(tree: Tree) -> Machine {
    Machine::with_probe(tree, "aarch64")
}

/// Another tool's entry with this file as its interpreter.
fn other(program: impl AsRef<[u8]>, flags: &str) -> Tree {
    with_entry(bare("aarch64").program(OTHER, program), "other", OTHER, flags)
}

/// A file of the user in a directory that every user may write, as `register` of another tool may name.
fn in_tmp(flags: &str) -> Tree {
    let tree = bare("aarch64").program("tmp/qemu", emulator("aarch64", "10.0.13", GOOD)).mode("tmp", 0o1777);
    with_entry(tree, "other", "tmp/qemu", flags)
}

/// An interpreter on a file system of its own, which is remounted after the registration.
fn on_noexec_mount(flags: &str) -> Tree {
    // The mount belongs to a user that has no number in a sandbox with one user.
    with_all_users();
    let tree = bare("aarch64").dir("opt");
    let place = tree.path("opt");
    mount(None::<&str>, &place, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).unwrap();
    let tree = with_entry(tree.program("opt/qemu", emulator("aarch64", "10.0.13", GOOD)), "other", "opt/qemu", flags);
    mount(None::<&str>, &place, None::<&str>, MsFlags::MS_REMOUNT | MsFlags::MS_NOEXEC, Some("mode=755")).unwrap();
    tree
}

pub(crate) const FILES: &[Situation] = &[
    Situation {
        name: "the interpreter of another tool's entry is gone",
        system: "aarch64",
        make: || aarch64(with_other_entry(bare("aarch64"), "P").without(OTHER)),
        doctor: &["interpreter-missing", "no-fix-binary"],
        status: "broken",
        test: "everything",
        explain: "refused ENOENT",
        follow: &[],
    },
    Situation {
        name: "the interpreter that the kernel holds is gone",
        system: "aarch64",
        make: || aarch64(with_other_entry(bare("aarch64"), "PF").without(OTHER)),
        doctor: &["interpreter-missing", "not-persistent"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the interpreter is not executable",
        system: "aarch64",
        make: || aarch64(with_other_entry(bare("aarch64"), "P").mode(OTHER, 0o644)),
        doctor: &["interpreter-not-executable", "no-fix-binary"],
        status: "broken",
        test: "everything",
        explain: "refused ENOENT",
        follow: &[],
    },
    Situation {
        name: "the interpreter that the kernel holds is not executable any more",
        system: "aarch64",
        make: || aarch64(with_other_entry(bare("aarch64"), "PF").mode(OTHER, 0o644)),
        doctor: &["interpreter-not-executable"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the emulator of this tool is not executable any more",
        system: "aarch64",
        make: || aarch64(registered("aarch64").mode(EMULATOR, 0o644)),
        doctor: &["interpreter-not-executable"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the interpreter is in a directory that every user may write",
        system: "aarch64",
        make: || aarch64(in_tmp("PF")),
        doctor: &["interpreter-writable"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the interpreter is in a home directory",
        system: "aarch64",
        make: || {
            let tree = bare("aarch64").program("home/joe/bin/qemu", emulator("aarch64", "10.0.13", GOOD));
            let tree = tree.owner("home/joe", 1000).owner("home/joe/bin", 1000).owner("home/joe/bin/qemu", 1000);
            aarch64(with_entry(tree, "other", "home/joe/bin/qemu", "PF"))
        },
        doctor: &["interpreter-writable"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "every user may write the emulator of this tool",
        system: "aarch64",
        make: || aarch64(registered("aarch64").mode(EMULATOR, 0o777)),
        doctor: &["interpreter-writable"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "every user may write a directory above the emulator of this tool",
        system: "aarch64",
        make: || aarch64(registered("aarch64").mode("usr/local", 0o777)),
        doctor: &["interpreter-writable"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &["entry-gone"],
    },
    Situation {
        name: "the interpreter is a program of another machine",
        system: "aarch64",
        make: || aarch64(other(Arch::by_target("riscv64").unwrap().probe().unwrap(), "PF")),
        doctor: &["interpreter-unfit"],
        status: "broken",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
    Situation {
        name: "the interpreter's file system was remounted noexec",
        system: "aarch64",
        make: || aarch64(on_noexec_mount("P")),
        doctor: &["interpreter-noexec", "no-fix-binary"],
        status: "broken",
        test: "everything",
        explain: "refused ENOENT",
        follow: &[],
    },
    Situation {
        name: "the file system of the interpreter that the kernel holds was remounted noexec",
        system: "aarch64",
        make: || aarch64(on_noexec_mount("PF")),
        doctor: &["interpreter-noexec"],
        status: "broken",
        test: "everything",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "an upgrade replaced the interpreter that the kernel holds",
        system: "aarch64",
        make: || {
            let tree = with_other_entry(bare("aarch64"), "PF");
            let tree = tree.program("usr/bin/next", emulator("aarch64", "10.1.0", GOOD));
            fs::rename(tree.path("usr/bin/next"), tree.path(OTHER)).unwrap();
            aarch64(tree)
        },
        doctor: &["interpreter-stale"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the emulator of this tool was restored from a backup",
        system: "aarch64",
        make: || {
            let tree = registered("aarch64");
            let bytes = tree.read(EMULATOR);
            tree.remove(EMULATOR);
            aarch64(tree.program(EMULATOR, bytes))
        },
        doctor: &["interpreter-stale"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the emulator of this tool is gone",
        system: "aarch64",
        make: || aarch64(registered("aarch64").without(EMULATOR)),
        doctor: &["interpreter-missing", "not-persistent"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
];

#[sandboxed]
fn interpreters() {
    check(FILES);
}
