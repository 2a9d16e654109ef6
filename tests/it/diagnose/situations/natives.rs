//! Situations in which an entry takes programs that the machine runs natively.

use binfmt_magic::Arch;

use super::entries::{OTHER, with_other_entry};
use super::{GOOD, Machine, Situation, bare, check, emulator};
use crate::support::table::line;
use crate::support::{Tree, skip};

/// The rule of a tool that emulates i386 and does not look at the padding of `e_ident`.
const WIDE: &str = r":em86:M::\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x03\x00:\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff";

fn i386(tree: Tree) -> Machine {
    if !cfg!(target_arch = "x86_64") {
        skip("kernel", "only x86_64 machines run i386 programs natively");
    }
    Machine::with_probe(tree, "i386")
}

/// A machine with an emulator of i386 at [`OTHER`].
fn with_i386_emulator() -> Tree {
    bare("i386").program(OTHER, emulator("i386", "10.0.13", GOOD))
}

/// An entry for every ELF file, disabled. Were it enabled, no program could be started any more.
fn with_disabled_entry_for_every_elf(tree: Tree) -> Tree {
    let tree = tree.program("bin/p", "");
    tree.write_kernel("status", "0");
    tree.enter(&format!(r":x:M::\x7fELF:\xff\xff\xff\xff:{}:C", tree.path("bin/p").display()));
    tree.write_kernel("x", "0");
    tree.write_kernel("status", "1");
    tree
}

pub(crate) const NATIVES: &[Situation] = &[
    Situation {
        name: "an entry takes programs of i386, which this machine runs natively",
        system: "i386",
        make: || {
            let tree = with_i386_emulator();
            let entry = line("qemu-i386", "i386", &tree.path(OTHER), "PF");
            i386(tree.entry(&entry))
        },
        doctor: &["native-registered"],
        status: "works",
        test: "exit 2",
        explain: "interpreted",
        follow: &[],
    },
    Situation {
        name: "an entry takes programs of i386, whatever padding they have",
        system: "i386",
        make: || {
            let tree = with_i386_emulator();
            let emulator = tree.path(OTHER);
            i386(tree.entry(&format!("{WIDE}:{}:PF", emulator.display())))
        },
        doctor: &["native-registered"],
        status: "works",
        test: "exit 2",
        explain: "interpreted",
        follow: &[],
    },
    Situation {
        name: "a disabled entry would take every ELF file",
        system: "aarch64",
        make: || Machine::with_probe(with_disabled_entry_for_every_elf(bare("aarch64")), "aarch64"),
        doctor: &["native-registered"],
        status: "-",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
    Situation {
        name: "a disabled entry would take every ELF file, and another tool's entry is good",
        system: "aarch64",
        make: || {
            let tree = with_other_entry(bare("aarch64"), "PF");
            Machine::with_probe(with_disabled_entry_for_every_elf(tree), "aarch64")
        },
        doctor: &["native-registered"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the table is switched off, and an entry would take the programs of this machine",
        system: "aarch64",
        make: || {
            let tree = bare("aarch64").program(OTHER, emulator("aarch64", "10.0.13", GOOD));
            tree.write_kernel("status", "0");
            let entry = line("qemu-x86_64", "x86_64", &tree.path(OTHER), "");
            Machine::with_probe(tree.entry(&entry), "aarch64")
        },
        doctor: &["native-registered", "switched-off"],
        status: "-",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
    Situation {
        name: "the program of this machine is cut off",
        system: "x86_64",
        make: || {
            let bytes = Arch::by_target("x86_64").unwrap().probe().unwrap();
            Machine::with_program(bare("aarch64"), &bytes[..60])
        },
        doctor: &[],
        status: "-",
        test: "exit 2",
        explain: "refused ENOEXEC",
        follow: &[],
    },
];

#[sandboxed]
fn natives() {
    check(NATIVES);
}

/// `register` asks past the table, too, and `--force` does not change that.
#[sandboxed]
fn register_refuses_native_systems_whatever_entries_exist() {
    for make in [NATIVES[0].make, NATIVES[1].make] {
        let machine = make();
        let entries = machine.tree.as_ref().unwrap().table();
        for options in [&["register", "i386", "--force"][..], &["register", "i386"], &["test", "i386"]] {
            machine.run(options).exits(2).says("run on this");
        }
        machine.run(&["status", "--check", "i386"]).exits(2);
        assert_eq!(machine.tree.as_ref().unwrap().table(), entries);
        machine.discard();
    }
}
