//! Situations of the kernel's table, and of entries.

use nix::mount::{MsFlags, mount};

use super::{GOOD, Machine, Situation, available, bare, check, emulator, registered};
use crate::support::table::line;
use crate::support::tree::TABLE;
use crate::support::{LiarBehavior, Tree};

/// Path of another tool's emulator, below the tree.
pub(crate) const OTHER: &str = "usr/bin/other";

/// Adds another tool's entry for aarch64 with a good emulator, and the boot file that registers it.
pub(crate) fn with_other_entry(tree: Tree, flags: &str) -> Tree {
    with_entry(tree.program(OTHER, emulator("aarch64", "10.0.13", GOOD)), "other", OTHER, flags)
}

/// Adds another tool's entry for aarch64 with the interpreter at this path of the tree, and its boot file.
pub(crate) fn with_entry(tree: Tree, name: &str, interpreter: &str, flags: &str) -> Tree {
    let entry = line(name, "aarch64", &tree.path(interpreter), flags);
    tree.file(&format!("usr/lib/binfmt.d/{name}.conf"), format!("{entry}\n")).entry(&entry)
}

fn aarch64(tree: Tree) -> Machine {
    Machine::with_probe(tree, "aarch64")
}

/// Writes to a file of the table.
fn written(tree: Tree, file: &str, word: &str) -> Tree {
    tree.write_kernel(file, word);
    tree
}

pub(crate) const TABLES: &[Situation] = &[
    Situation {
        name: "nothing is registered",
        system: "aarch64",
        make: || aarch64(bare("aarch64")),
        doctor: &[],
        status: "-",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
    Situation {
        name: "the table is not mounted, and nothing is registered",
        system: "aarch64",
        make: || {
            let tree = bare("aarch64");
            tree.unmount();
            aarch64(tree)
        },
        doctor: &[],
        status: "-",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
    Situation {
        name: "the table is not mounted, and a system is registered",
        system: "aarch64",
        make: || {
            let tree = registered("aarch64");
            tree.unmount();
            aarch64(tree)
        },
        doctor: &["not-mounted"],
        status: "missing",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
    Situation {
        name: "a system is registered",
        system: "aarch64",
        make: || aarch64(registered("aarch64")),
        doctor: &[],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the table is switched off, and nothing is registered",
        system: "aarch64",
        make: || aarch64(written(bare("aarch64"), "status", "0")),
        doctor: &["switched-off"],
        status: "-",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
    Situation {
        name: "the table is switched off, and a system is registered",
        system: "aarch64",
        make: || aarch64(written(registered("aarch64"), "status", "0")),
        doctor: &["switched-off"],
        status: "broken",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
    Situation {
        name: "the table is switched off, and another tool's entry is disabled",
        system: "aarch64",
        make: || aarch64(written(written(with_other_entry(bare("aarch64"), "PF"), "other", "0"), "status", "0")),
        doctor: &["entry-disabled", "switched-off"],
        status: "-",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
    Situation {
        name: "the table is mounted read-only, and the entry is gone",
        system: "aarch64",
        make: || {
            let tree = written(registered("aarch64"), "qemu-aarch64", "-1");
            let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            mount(None::<&str>, &tree.path(TABLE), None::<&str>, flags, None::<&str>).unwrap();
            aarch64(tree)
        },
        doctor: &["entry-gone", "table-read-only"],
        status: "missing",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
];

pub(crate) const ENTRIES: &[Situation] = &[
    Situation {
        name: "the entry of this tool is gone",
        system: "aarch64",
        make: || aarch64(written(registered("aarch64"), "qemu-aarch64", "-1")),
        doctor: &["entry-gone"],
        status: "missing",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
    Situation {
        name: "the entry of this tool is disabled",
        system: "aarch64",
        make: || aarch64(written(registered("aarch64"), "qemu-aarch64", "0")),
        doctor: &["entry-disabled"],
        status: "missing",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
    Situation {
        name: "another tool's entry is good",
        system: "aarch64",
        make: || aarch64(with_other_entry(bare("aarch64"), "PF")),
        doctor: &[],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "another tool's entry is disabled",
        system: "aarch64",
        make: || aarch64(written(with_other_entry(bare("aarch64"), "PF"), "other", "0")),
        doctor: &["entry-disabled"],
        status: "-",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
    Situation {
        name: "another tool's entry has no flag F",
        system: "aarch64",
        make: || aarch64(with_other_entry(bare("aarch64"), "P")),
        doctor: &["no-fix-binary"],
        status: "partial",
        test: "chroot sandbox",
        explain: "refused ENOENT",
        follow: &[],
    },
    Situation {
        name: "another tool's entry has no flag P",
        system: "aarch64",
        make: || {
            let tree = bare("aarch64").program(OTHER, emulator("aarch64", "10.0.13", LiarBehavior::WrongOutput));
            aarch64(with_entry(tree, "other", OTHER, "F"))
        },
        doctor: &["argv0-lost"],
        status: "works",
        test: "argv0",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "another tool's entry has flag P, and its QEMU is older",
        system: "aarch64",
        make: || {
            let tree = bare("aarch64").program(OTHER, emulator("aarch64", "5.2.0", LiarBehavior::WrongOutput));
            aarch64(with_entry(tree, "other", OTHER, "PF"))
        },
        doctor: &["argv0-not-understood", "qemu-known-bad"],
        status: "works",
        test: "argv0",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "another tool's entry has flag C",
        system: "aarch64",
        make: || aarch64(with_other_entry(bare("aarch64"), "PCF")),
        doctor: &["credentials-risk"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the entry of this tool has flag C",
        system: "aarch64",
        make: || {
            let tree = bare("aarch64");
            drop(tree.run(&["register", "aarch64", "--credentials"]).exits(0));
            aarch64(tree)
        },
        doctor: &["credentials-risk"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "another tool's entry was registered later than the one of this tool",
        system: "aarch64",
        make: || aarch64(with_other_entry(registered("aarch64"), "PF")),
        doctor: &["shadowed"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "two entries of other tools take the same programs",
        system: "aarch64",
        make: || {
            let tree = with_other_entry(bare("aarch64"), "PF");
            aarch64(with_entry(tree, "second", OTHER, "PF"))
        },
        doctor: &["overlap"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "no file registers another tool's entry at boot",
        system: "aarch64",
        make: || aarch64(with_other_entry(bare("aarch64"), "PF").without("usr/lib/binfmt.d/other.conf")),
        doctor: &["not-persistent"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "an entry has the rule of QEMU's own script for microblaze, which matches nothing",
        system: "microblaze",
        make: || {
            let tree = bare("microblaze");
            let emulator = tree.path(&available("microblaze"));
            let rule = r":qemu-microblaze:M::\x7fELF\x01\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xba\xab:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";
            Machine::with_probe(tree.entry(&format!("{rule}:{}:F", emulator.display())), "microblaze")
        },
        doctor: &["never-matches"],
        status: "-",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
];

#[sandboxed]
fn tables() {
    check(TABLES);
}

#[sandboxed]
fn entries() {
    check(ENTRIES);
}
