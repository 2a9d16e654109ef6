//! Situations in which an entry takes its own interpreter, so that nothing that it takes is started.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use binfmt_magic::Arch;
use nix::errno::Errno;

use super::entries::{OTHER, with_entry};
use super::{Machine, Situation, bare, check};
use crate::diagnose::doctor::running_host::{TABLE, live};
use crate::support::Tree;
use crate::support::emulators::outside;
use crate::support::sandbox::SCRATCH;
use crate::support::table::{line, probe};

fn aarch64(tree: Tree) -> Machine {
    Machine::with_probe(tree, "aarch64")
}

fn probe_of(system: &str) -> &'static [u8] {
    Arch::by_target(system).unwrap().probe().unwrap()
}

/// An entry for aarch64 whose interpreter is a program of aarch64.
fn own_program(flags: &str) -> Tree {
    with_entry(bare("aarch64").program(OTHER, probe_of("aarch64")), "other", OTHER, flags)
}

/// An entry for aarch64 whose interpreter is a script for a shell of aarch64 (nixpkgs#171297: bash starts bash).
fn script_of_own_shell(flags: &str) -> Tree {
    let tree = bare("aarch64").program("bin/foreign-sh", probe_of("aarch64"));
    let script = format!("#!{}\n", tree.path("bin/foreign-sh").display());
    with_entry(tree.program(OTHER, script), "other", OTHER, flags)
}

/// An entry that takes these files, and this program as its interpreter.
fn other(takes: &str, interpreter: &str, program: impl AsRef<[u8]>, flags: &str) -> Tree {
    let tree = bare("aarch64").program(interpreter, program);
    let entry = format!(":other:{takes}:{}:{flags}", tree.path(interpreter).display());
    tree.file("usr/lib/binfmt.d/other.conf", format!("{entry}\n")).entry(&entry)
}

/// A rule for the first 128 bytes of a program of this machine, which is its interpreter.
fn narrow(flags: &str) -> Tree {
    let program = probe_of("x86_64");
    let head = program[..128].iter().map(|byte| format!(r"\x{byte:02x}")).collect::<Vec<_>>().concat();
    other(&format!("M::{head}:"), "usr/bin/runner", program, flags)
}

/// The row of an entry that runs no system's programs.
const fn row(name: &'static str, make: fn() -> Machine) -> Situation {
    Situation {
        name,
        system: "aarch64",
        make,
        doctor: &["other-interpreter-loop"],
        status: "-",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    }
}

pub(crate) const LOOPS: &[Situation] = &[
    Situation {
        name: "the interpreter is a program of the system that it should emulate",
        system: "aarch64",
        make: || aarch64(own_program("P")),
        doctor: &["interpreter-loop", "no-fix-binary"],
        status: "broken",
        test: "everything",
        explain: "refused ENOENT",
        follow: &[],
    },
    Situation {
        name: "the interpreter that the kernel holds is a program of the system that it should emulate",
        system: "aarch64",
        make: || aarch64(own_program("PF")),
        doctor: &["interpreter-loop"],
        status: "broken",
        test: "everything",
        explain: "refused ELOOP",
        follow: &[],
    },
    Situation {
        name: "the interpreter that the kernel holds is a program of that system, and flag O accepts none",
        system: "aarch64",
        make: || aarch64(own_program("POF")),
        doctor: &["interpreter-loop"],
        status: "broken",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
    Situation {
        name: "the interpreter is a script for a shell of the system that it should emulate",
        system: "aarch64",
        make: || aarch64(script_of_own_shell("P")),
        doctor: &["interpreter-loop", "no-fix-binary"],
        status: "broken",
        test: "everything",
        explain: "refused ENOENT",
        follow: &[],
    },
    Situation {
        name: "a disabled entry would take its own interpreter",
        system: "aarch64",
        make: || {
            let tree = own_program("PF");
            tree.write_kernel("other", "0");
            aarch64(tree)
        },
        doctor: &[],
        status: "-",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
    row("an entry takes its own interpreter by its extension", || {
        aarch64(other("E::jar:", "usr/bin/run.jar", fs::read("/bin/true").unwrap(), ""))
    }),
    row("an entry takes its own interpreter by its extension, and the kernel holds it", || {
        aarch64(other("E::jar:", "usr/bin/run.jar", fs::read("/bin/true").unwrap(), "F"))
    }),
    row("an entry takes its own interpreter, a script, by its first line", || {
        aarch64(other("M::#!/bin/sh:", "usr/bin/runner", "#!/bin/sh\nexit 0\n", ""))
    }),
    row("an entry takes its own interpreter, a program of this machine, by its first bytes", || aarch64(narrow(""))),
    Situation {
        explain: "refused ELOOP",
        ..row("an entry takes its own interpreter, and that is the program", || Machine {
            tree: Some(narrow("F")),
            program: "/usr/bin/runner".into(),
        })
    },
];

#[sandboxed]
fn loops() {
    check(LOOPS);
}

/// What the kernel does with such entries, with each of the flags: the file that flag F holds is compared with the rules,
/// too, and is not looked up by its name.
#[sandboxed]
fn the_kernel_starts_no_interpreter_with_itself() {
    live();
    let register = |name: &str, line: &str| {
        fs::write(Path::new(TABLE).join("register"), line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
    };
    let errno = |program: &Path| {
        let started = std::process::Command::new(program).env_clear().output();
        started.err().and_then(|error| error.raw_os_error()).map(Errno::from_raw)
    };
    let own = outside("own", probe_of("aarch64"));
    let jar = outside("run.jar", &fs::read("/bin/true").unwrap());
    for (flags, expected) in [("", Errno::ELOOP), ("P", Errno::ELOOP), ("PF", Errno::ELOOP), ("POF", Errno::ENOEXEC)] {
        register("own", &line("own", "aarch64", &own, flags));
        assert_eq!(errno(&probe("aarch64")), Some(expected), "flags {flags:?}");
        register("jar", &format!(":jar:E::jar::{}:{flags}", jar.display()));
        assert_eq!(errno(&jar), Some(expected), "flags {flags:?}");
        for entry in ["own", "jar"] {
            fs::write(Path::new(TABLE).join(entry), "-1").unwrap();
        }
    }
    // What is at the path now makes no difference to a file that the kernel holds.
    register("own", &line("own", "aarch64", &own, "F"));
    fs::remove_file(&own).unwrap();
    fs::copy("/bin/true", &own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(own.starts_with(SCRATCH));
    assert_eq!(errno(&probe("aarch64")), Some(Errno::ELOOP));
}
