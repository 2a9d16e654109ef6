//! Situations in which the interpreter of an entry is not the emulator: a script, a program that starts the emulator, a
//! dispatcher. They are made on the running machine, so that `explain` sees the same root directory as the probes.
//!
//! Each kind is one of real projects:
//!
//! - a script: NixOS's `wrapInterpreterInShell` (nixpkgs `nixos/modules/system/boot/binfmt.nix`), and scripts around box64
//!   that users register with it (theoparis/nixos-box64-binfmt);
//! - a dispatcher that waits: a script around box64 or muvm without `exec`;
//! - a static program: SUSE's `qemu-aarch64-binfmt`, which becomes QEMU with `-0` (`linux-user/binfmt.c` of its QEMU), and
//!   NixOS's `wrapQemuBinfmtP` (nixpkgs#118926);
//! - a dynamic program: AsahiLinux/binfmt-dispatcher (`src/main.rs`; with flags POCF: its issue 6), the box64 wrapper of
//!   fredldotme/Box64AndWine (`src/wrappers/box64.cpp`), and binfmt-support's `run-detectors`, which update-binfmts
//!   registers where two formats have one rule (its `src/update-binfmts.c`);
//! - a link to the emulator: Debian's `/usr/libexec/qemu-binfmt/aarch64-binfmt-P`, whose name lets QEMU expect flag P
//!   (Debian's patch "handle binfmt-misc P flag as a separate exe name"; flags OPF in the `qemu-aarch64.conf` of qemu-user
//!   10.0.13).

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::live::machine;
use super::{GOOD, Machine, Situation, check, emulator};
use crate::diagnose::doctor::running_host::TABLE;
use crate::support::emulators::wrapper;
use crate::support::sandbox::{DYNAMIC, SCRATCH};
use crate::support::table::line;

/// The emulator that a wrapper starts.
const REAL: &str = "/usr/local/bin/real-emulator";
/// The interpreter of the entry.
const WRAPPER: &str = "/usr/local/bin/wrapper";

/// A machine with an entry of these flags, whose interpreter has this content.
fn wrapped(content: impl AsRef<[u8]>, flags: &str) -> Machine {
    let machine = machine();
    for (path, content) in [(REAL, emulator("aarch64", "10.0.13", GOOD).as_slice()), (WRAPPER, content.as_ref())] {
        fs::write(path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(Path::new(TABLE).join("register"), line("other", "aarch64", Path::new(WRAPPER), flags)).unwrap();
    machine
}

/// A script that becomes the emulator.
fn script() -> String {
    format!("#!/bin/sh\nexec {REAL} \"$@\"\n")
}

/// A dispatcher that stays while the emulator runs.
fn dispatcher() -> String {
    format!("#!/bin/sh\n{REAL} \"$@\"\nexit $?\n")
}

/// Debian's name of an emulator, which is a link.
fn linked(flags: &str) -> Machine {
    let machine = machine();
    let link = Path::new("/usr/local/libexec/qemu-binfmt/aarch64-binfmt-P");
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink("../../bin/qemu-aarch64-static", link).unwrap();
    fs::write(Path::new(TABLE).join("register"), line("other", "aarch64", link, flags)).unwrap();
    machine
}

/// A dynamically linked program, at the path by which this test program knows that it is one: it starts the program
/// `/scratch/emulator` with two more arguments.
fn dynamic(flags: &str) -> Machine {
    let machine = machine();
    let path = Path::new(SCRATCH).join(DYNAMIC);
    let real = Path::new(SCRATCH).join("emulator");
    fs::write(&real, emulator("aarch64", "10.0.13", GOOD)).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o755)).unwrap();
    if !path.exists() {
        fs::copy(std::env::current_exe().unwrap(), &path).unwrap();
    }
    fs::write(Path::new(TABLE).join("register"), line("other", "aarch64", &path, flags)).unwrap();
    machine
}

pub(crate) const WRAPPERS: &[Situation] = &[
    Situation {
        name: "the interpreter is a script",
        system: "aarch64",
        make: || wrapped(script(), "P"),
        doctor: &["no-fix-binary", "own-table"],
        status: "partial",
        test: "chroot sandbox",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the interpreter is a script, which the kernel holds",
        system: "aarch64",
        make: || wrapped(script(), "PF"),
        doctor: &["interpreter-script", "own-table"],
        status: "partial",
        test: "chroot sandbox",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the interpreter is a script, and an entry with flag O accepts none",
        system: "aarch64",
        make: || wrapped(script(), "POF"),
        doctor: &["interpreter-unfit", "own-table"],
        status: "broken",
        test: "everything",
        explain: "refused ENOEXEC",
        follow: &[],
    },
    Situation {
        name: "the interpreter is a script whose own interpreter is missing",
        system: "aarch64",
        make: || wrapped(script().replace("/bin/sh", "/bin/no-shell"), "PF"),
        doctor: &["interpreter-unfit", "own-table"],
        status: "broken",
        test: "everything",
        explain: "refused ENOENT",
        follow: &[],
    },
    Situation {
        name: "the interpreter is a script whose emulator is missing",
        system: "aarch64",
        make: || wrapped(script().replace(REAL, "/usr/local/bin/gone"), "PF"),
        doctor: &["does-not-run", "interpreter-script", "own-table"],
        status: "broken",
        test: "everything",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the interpreter is a dispatcher, which waits for the emulator",
        system: "aarch64",
        make: || wrapped(dispatcher(), "PF"),
        doctor: &["interpreter-script", "own-table"],
        status: "partial",
        test: "chroot sandbox",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the interpreter is a dispatcher, which waits for the emulator, and which the kernel does not hold",
        system: "aarch64",
        make: || wrapped(dispatcher(), "P"),
        doctor: &["no-fix-binary", "own-table"],
        status: "partial",
        test: "chroot sandbox",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the interpreter is a static wrapper",
        system: "aarch64",
        make: || wrapped(wrapper(Path::new(REAL)), "P"),
        doctor: &["no-fix-binary", "own-table"],
        status: "partial",
        test: "chroot sandbox",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the interpreter is a static wrapper, which the kernel holds",
        system: "aarch64",
        make: || wrapped(wrapper(Path::new(REAL)), "PF"),
        doctor: &["own-table", "runs-only-outside"],
        status: "partial",
        test: "chroot sandbox",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the interpreter is a static wrapper whose emulator is missing",
        system: "aarch64",
        make: || wrapped(wrapper(Path::new("/usr/local/bin/gone")), "PF"),
        doctor: &["does-not-run", "own-table"],
        status: "broken",
        test: "everything",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the interpreter is a dynamic wrapper, which the kernel holds",
        system: "aarch64",
        make: || dynamic("PF"),
        doctor: &["interpreter-dynamic", "own-table"],
        status: "partial",
        test: "chroot sandbox",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the interpreter is a dynamic wrapper",
        system: "aarch64",
        make: || dynamic("P"),
        doctor: &["no-fix-binary", "own-table"],
        status: "partial",
        test: "chroot sandbox",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the interpreter is a dynamic dispatcher with the flags of binfmt-dispatcher",
        system: "aarch64",
        make: || dynamic("POCF"),
        doctor: &["credentials-risk", "interpreter-dynamic", "own-table"],
        status: "partial",
        test: "chroot sandbox",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the interpreter is Debian's link to the emulator",
        system: "aarch64",
        make: || linked("P"),
        doctor: &["no-fix-binary", "own-table"],
        status: "partial",
        test: "chroot sandbox",
        explain: "emulated",
        follow: &[],
    },
    Situation {
        name: "the interpreter is Debian's link to the emulator, which the kernel holds",
        system: "aarch64",
        make: || linked("OPF"),
        doctor: &["own-table"],
        status: "works",
        test: "",
        explain: "emulated",
        follow: &[],
    },
];

#[sandboxed]
fn wrappers() {
    check(WRAPPERS);
}

/// The texts of the four commands have one model: what the kernel starts, and what that starts.
#[sandboxed]
fn the_four_commands_agree_about_a_wrapper() {
    let machine = wrapped(wrapper(Path::new(REAL)), "PF");
    let chain = format!("the kernel starts {WRAPPER}, which starts {REAL}");
    machine.run(&["test", "aarch64"]).exits(3).prints(&chain).omits("still runs the file");
    machine.run(&["status"]).exits(0).prints("10.0.13").says("starts inside, but does not run the program");
    machine.run(&["doctor"]).exits(3).prints("starts there, but does not run the program").omits("cannot run here");
    let program = machine.program.to_str().unwrap().to_owned();
    machine.run(&["explain", &program]).exits(0).omits("another now").prints("container: it also starts");
    let status = machine.status("aarch64").unwrap();
    assert_eq!((&status["on_disk"], &status["qemu"]), (&serde_json::Value::Null, &"10.0.13".into()), "{status:#}");
    machine.discard();
    let machine = wrapped(script(), "PF");
    let why = format!("inside, {WRAPPER} is a script, and its interpreter /bin/sh does not exist");
    machine.run(&["test", "aarch64"]).exits(3).prints(&why).omits("still runs the file").omits("not an ELF program");
    machine.run(&["status"]).exits(0).says(&why);
    machine.run(&["doctor"]).exits(3).prints("is a script").omits("cannot run here").omits("does not run the file");
    machine.run(&["explain", &program]).exits(0).prints("it starts only if its own interpreter starts there");
    let status = machine.status("aarch64").unwrap();
    assert_eq!((&status["on_disk"], &status["qemu"]), (&serde_json::Value::Null, &"10.0.13".into()), "{status:#}");
}
