//! `#!` lines: which interpreter they start, with which argument, and the limits of the kernel.

use std::path::{Path, PathBuf};
use std::process::Command;

use binfmt_magic::Arch;
use binfmt_nix::diagnose::explain::ExecVerdict;

use super::judge::{Dice, Judge, enter, file, file_with, interpreter, mount_table, noexec};

/// Lines of every kind, and random lines with lengths around the 256 bytes that the kernel reads.
pub(super) fn lines() -> usize {
    let good = interpreter(1);
    let good = good.to_str().unwrap();
    file_with("plain", b"", 0o644);
    file("empty", b"");
    file("text", b"hello\n");
    std::fs::copy(good, noexec().join("i")).unwrap();
    let mut judge = Judge::new();
    let mut bytes: Vec<Vec<u8>> = Vec::new();
    let paths = [
        good,
        "scratch/i/00001",
        "/scratch/missing",
        "/scratch/plain",
        "/scratch/noexec/i",
        "/scratch",
        "/scratch/empty",
        "/scratch/text",
        "/scratch/i/00001/x",
        "/bin/sh",
        "",
        ".",
        "/",
        "//scratch//i/00001",
        "/scratch/i/00001\r",
    ];
    for path in paths {
        for (before, after) in [
            ("", "\n"),
            ("", ""),
            (" \t ", " \t\n"),
            (" ", " a b \n"),
            ("", "\0\n"),
            ("", " a\0b\n"),
            ("", "\t-x"),
            ("", "\0"),
        ] {
            bytes.push(format!("#!{before}{path}{after}").into());
        }
    }
    bytes.extend(
        [&b"#!"[..], b"#!\n", b"#! ", b"#!\0", b"#!\0\n", b"#!\t\n/x", b"#", b"#\n!", b"!#"].map(<[u8]>::to_vec),
    );
    for length in 225..270 {
        let blanks = " ".repeat(length - good.len());
        let slashes = "/".repeat(length - good.len());
        bytes.push(format!("#!{blanks}{good}\n").into());
        bytes.push(format!("#!{slashes}{good}\n").into());
        bytes.push(format!("#!{slashes}{good}").into());
        bytes.push(format!("#!{slashes}{good} x").into());
        bytes.push(format!("#!{slashes}{good}\0").into());
        bytes.push(format!("#!{good}{blanks}x\n").into());
        bytes.push(format!("#!{good}{blanks}\n").into());
        bytes.push(format!("#!{good} {}\n", "x".repeat(length)).into());
        bytes.push(format!("#!{blanks}").into());
    }
    let mut dice = Dice::new(5);
    let pieces: [&[u8]; 9] = [b" ", b"\t", b"\n", b"\0", good.as_bytes(), b"/bin/true", b"x", b"#!", b"/"];
    for _ in 0..600 {
        let filler = vec![*dice.one(b" /x\t"); dice.below(260)];
        let mut line = b"#!".to_vec();
        for _ in 0..dice.below(6) {
            let piece: &[u8] = if dice.below(5) == 0 { &filler } else { pieces[dice.below(pieces.len())] };
            line.extend_from_slice(piece);
        }
        bytes.push(line);
    }
    for (number, bytes) in bytes.iter().enumerate() {
        judge.assert_agrees(&file(&format!("s/{number}"), bytes));
    }
    assert!(judge.started > 200, "{}", judge.started);
    judge.agreed
}

/// Compares the reported argument with the one that the interpreter receives.
pub(super) fn arguments() {
    let judge = Judge::new();
    let cut = format!(" {}", "x".repeat(300));
    let lines = [
        "\n",
        " one\n",
        "  one two \t\n",
        " one\ttwo\n",
        " \t\n",
        " a\0b\n",
        " ",
        " \t ",
        " one",
        "\0 one\n",
        " \0one\n",
        &cut,
    ];
    for line in lines {
        let path = file("says", format!("#!/bin/echo{line}").as_bytes());
        let output = Command::new(&path).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let said = judge.says(&path);
        let argument = said.steps[0].script.as_ref().unwrap().argument.clone();
        let expected = argument.into_iter().chain([path.to_str().unwrap().to_owned()]).collect::<Vec<_>>().join(" ");
        assert_eq!(printed, format!("{expected}\n"), "{line:?}");
    }
}

/// Five interpreters can follow each other, by `#!` lines and by entries. None can follow an entry with flag O.
pub(super) fn chains() {
    let mut judge = Judge::new();
    let mut last = interpreter(1);
    let mut chain = |judge: &mut Judge, kind: &str| {
        for depth in 1..9 {
            let path = file(&format!("chain-{kind}-{depth}"), format!("#!{}\n", last.display()).as_bytes());
            let said = judge.assert_agrees(&path);
            assert_eq!(said.runs, depth < 6, "{depth}: {said:#?}");
            last = path;
        }
    };
    chain(&mut judge, "lines");
    let mut itself = |name: &str, line: &str| judge.assert_agrees(&file(name, line.as_bytes()));
    assert_eq!(itself("itself", "#!/scratch/itself\n").errno.as_deref(), Some("ELOOP"));
    mount_table();
    // Programs for arm start a script, whose interpreter is a program for riscv64, which starts a native interpreter.
    let [arm, riscv] = ["arm", "riscv64"].map(probe);
    file("second", format!("#!{}\n", riscv.display()).as_bytes());
    for (flags, runs) in [("", true), ("P", true), ("F", true), ("PF", true), ("O", false), ("OCF", false)] {
        enter(&rule("arm", "arm", Path::new("/scratch/second"), flags)).unwrap();
        enter(&rule("riscv", "riscv64", &interpreter(2), "P")).unwrap();
        judge.reload_facts();
        let said = judge.assert_agrees(&arm);
        assert_eq!((said.runs, said.steps.len()), (runs, if runs { 4 } else { 2 }), "{flags}: {said:#?}");
        assert_eq!(said.errno.as_deref(), (!runs).then_some("ENOEXEC"));
        assert_eq!(judge.assert_agrees(&riscv).verdict, ExecVerdict::Emulated);
        // The same at the end of a chain of scripts.
        let mut last = riscv.clone();
        for depth in 1..7 {
            let path = file(&format!("mixed-{depth}"), format!("#!{} x\n", last.display()).as_bytes());
            assert_eq!(judge.assert_agrees(&path).runs, depth < 5);
            last = path;
        }
        super::clear();
    }
    // Flag O is allowed at the last interpreter.
    enter(&rule("arm", "arm", &interpreter(3), "OC")).unwrap();
    judge.reload_facts();
    assert!(judge.assert_agrees(&arm).runs);
    assert!(judge.assert_agrees(&file("by-script", format!("#!{}\n", arm.display()).as_bytes())).runs);
}

fn probe(name: &str) -> PathBuf {
    file(&format!("probe.{name}"), Arch::find(name).unwrap().probe().unwrap())
}

fn rule(name: &str, system: &str, interpreter: &Path, flags: &str) -> Vec<u8> {
    crate::support::table::line(name, system, interpreter, flags).into_bytes()
}
