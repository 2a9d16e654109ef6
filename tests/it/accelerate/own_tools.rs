//! Proofs of this machine's own tools, by the emulator of its own system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use binfmt_magic::Arch;
use binfmt_nix::accelerate::find::named_pair;
use binfmt_nix::accelerate::prove::{PairProof, RUN_LIMIT, Verdict, prove};
use binfmt_nix::host::Host;
use binfmt_nix::register::acceleration::{AcceleratedTool, Acceleration};

use super::{Machines, assert_refused};
use crate::support::emulators::qemu;
use crate::support::skip;

fn machines() -> Machines {
    Machines { tree: Host::live(), native: Host::live(), emulator: qemu("x86_64"), target: "x86_64" }
}

/// A compiler, and what is made of its output, are proven in one run, with the tools that configure scripts start most.
#[test]
fn tools_are_equal_to_themselves() {
    let machines = machines();
    let gcc = fs::read_dir("/usr/lib/gcc/x86_64-linux-gnu").into_iter().flatten().flatten();
    let Some(cc1) = gcc.map(|dir| dir.path().join("cc1")).find(|path| path.exists()) else {
        skip("programs", "there is no cc1 below /usr/lib/gcc")
    };
    let cc1 = cc1.to_str().unwrap();
    // Two guest programs may have one native program.
    let tools = [cc1, "/usr/bin/x86_64-linux-gnu-as", "/usr/bin/gzip", "/usr/bin/gzip", "/usr/bin/sed", "/usr/bin/cut"];
    let subjects: Vec<_> =
        tools.iter().map(|tool| machines.subject(named_pair(&format!("{tool}={tool}")).unwrap())).collect();
    let mut counted = (0, 0);
    let mut progress = |done, all| {
        assert!(done <= all && done >= counted.0);
        counted = (done, all);
        Ok(())
    };
    let verdicts = prove(&machines.plan(17), &subjects, &mut progress).unwrap();
    for (verdict, subject) in verdicts.iter().zip(&subjects) {
        let Verdict::Proven(proof) = verdict else { panic!("{:?}: {verdict:?}", subject.pair) };
        assert!(proof.runs > 0 && proof.bytes > 0, "{proof:?}");
        assert_eq!(proof.arguments.contains(&"/usr/include".to_owned()), subject.pair.tool.name == "cc1", "{proof:?}");
        assert!(
            proof.is_current() && !PairProof { corpus: subject.guest.identity.sha256, ..proof.clone() }.is_current()
        );
        // The proof is about this locale, also of compilers.
        let tool = AcceleratedTool::new(subject, proof.clone(), None);
        let arch = Arch::by_target("aarch64").unwrap();
        let acceleration = Acceleration::new(subject.guest.identity.sha256, arch, [("a".to_owned(), tool)].into(), &[]);
        assert!(acceleration.pairs(arch).iter().all(|pair| pair.c_locale));
    }
    assert!(counted.1 > 5 && counted.0 == counted.1, "{counted:?}");
}

/// A program that answers `--version` as gzip does, and then does something else.
fn other_gzip(dir: &Path, behavior: &str) -> PathBuf {
    let path = dir.join("gzip");
    let source = format!(
        "#include <stdlib.h>\n#include <unistd.h>\n#include <string.h>\nint main(int c, char **v) {{
        if (c > 1 && strcmp(v[1], \"--version\")) {{ {behavior} }}
        return execv(\"/usr/bin/gzip\", v);\n}}\n"
    );
    fs::write(dir.join("gzip.c"), source).unwrap();
    let made = Command::new("cc").args(["-o", "gzip", "gzip.c"]).current_dir(dir).status();
    match made {
        Ok(status) => assert!(status.success()),
        Err(error) => skip("programs", format!("cc cannot be started: {error}")),
    }
    path
}

#[test]
fn wrong_programs_are_refused() {
    let machines = machines();
    let dir = tempfile::tempdir().unwrap();
    let prove = |native: &Path, limit| machines.prove_files("/usr/bin/gzip", native.to_str().unwrap(), 1, limit);
    for (behavior, part) in [
        ("abort();", "signal 6"),
        ("return 3;", "exit status: 3"),
        ("write(1, \"x\", 1);", "standard output differs at byte 0"),
        ("write(2, \"x\", 1);", "standard error differs at byte 0"),
    ] {
        let native = other_gzip(dir.path(), behavior);
        assert_refused(&prove(&native, RUN_LIMIT), part);
    }
    // A limit that a program which ends does not reach.
    let native = other_gzip(dir.path(), "for (;;) pause();");
    assert_refused(&prove(&native, Duration::from_secs(20)), "native program did not end within 20 s");
    fs::copy("/usr/bin/head", dir.path().join("gzip")).unwrap();
    assert_refused(&prove(&native, RUN_LIMIT), "configured differently");
}

#[test]
fn a_program_that_is_missing_or_changed_is_not_proven() {
    let machines = machines();
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("gzip");
    fs::copy("/usr/bin/gzip", &copy).unwrap();
    let subject = || machines.subject(named_pair(&format!("/usr/bin/gzip={}", copy.display())).unwrap());
    let read = subject();
    let mut change = |done, _| {
        if done > 0 {
            fs::write(&copy, "changed").unwrap();
        }
        Ok(())
    };
    let verdicts = prove(&machines.plan(1), &[read], &mut change).unwrap();
    assert_refused(&verdicts[0], "was changed during the proof");
    fs::copy("/usr/bin/gzip", &copy).unwrap();
    let read = subject();
    fs::remove_file(&copy).unwrap();
    let error = prove(&machines.plan(1), &[read], &mut |_, _| Ok(())).unwrap_err();
    assert!(error.to_string().contains("cannot show the guest's files"), "{error}");
}
