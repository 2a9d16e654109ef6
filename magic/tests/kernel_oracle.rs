//! The running kernel as the judge: does it take the lines that we take, show the entries that we print, and match
//! the files that we match?
//!
//! Since Linux 6.7 a user namespace has a table of its own, so none of this needs root or touches the machine's table.
//! The test starts itself again in such a namespace.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test reaches the machine directly"
)]

mod common;
mod strategies;

use std::cell::Cell;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use binfmt_magic::{Arch, Entry, EntryName, Pattern, Recognition, Rule, Syntax};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Set in the namespace: where the table is mounted.
const TABLE: &str = "BINFMT_MAGIC_ORACLE_TABLE";

const EINVAL: i32 = 22;
const ENOEXEC: i32 = 8;
const ELOOP: i32 = 40;

#[test]
fn the_kernel_agrees() {
    if let Some(table) = env::var_os(TABLE) {
        return in_the_namespace(&Table::new(table.into()));
    }
    let dir = env::temp_dir().join(format!("binfmt-magic-oracle-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let mounted = namespaced(&dir).arg("true").output();
    match mounted {
        Ok(output) if output.status.success() => {
            let itself = env::current_exe().unwrap();
            let args = ["--exact", "the_kernel_agrees", "--nocapture"];
            let status = namespaced(&dir).arg(itself).args(args).env(TABLE, &dir).status().unwrap();
            assert!(status.success(), "see above");
        }
        Ok(output) => common::skip("kernel", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => common::skip("kernel", &format!("there is no unshare: {error}")),
    }
    fs::remove_dir(&dir).unwrap();
}

/// A command that runs in a new namespace, with an empty table on `dir`.
fn namespaced(dir: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-c", r#"mount -t binfmt_misc none "$0" && exec "$@""#]).arg(dir);
    command
}

fn in_the_namespace(table: &Table) {
    for line in LINES {
        table.check_line(line).unwrap();
    }
    for arch in Arch::ALL {
        let rule = rule(arch.target, arch.pattern());
        table.check_line(&rule.to_line().unwrap()).unwrap();
    }
    lengths_and_delimiters(table);
    runner(3000).run(&strategies::near_lines(), |line| table.check_line(&line)).unwrap();
    runner(3000).run(&strategies::damaged_lines(), |line| table.check_line(&line)).unwrap();
    runner(3000).run(&strategies::rules(), |rule| table.check_rule(rule)).unwrap();
    let files = proptest::collection::vec(0..2_u8, 1..7);
    let matches = (strategies::small_patterns(), files);
    runner(300).run(&matches, |(pattern, file)| table.check_match(pattern, &file)).unwrap();
    let (taken, refused) = (table.taken.get(), table.refused.get());
    eprintln!(
        "the kernel, which has the syntax {:?}, took {taken} lines and refused {refused}, as we do",
        table.syntax
    );
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) })
}

/// What proptest may miss.
const LINES: &[&[u8]] = &[
    b":a:M::b::i:",
    b":a:M::b::i",
    b":a:M::b::i:\n",
    b":a:M::b::i:\n\n",
    b":a:M::b::i:\n:c:M::b::i:",
    b":a:M::b:: :",
    b":a:M::b:::",
    b"::M::b::int:",
    b":.:M::b::int:",
    b":..:M::b::int:",
    b":a/b:M::b::int:",
    b":a b\nc:M::b::int:",
    b":status:M::b::int:",
    b":register:M::b::int:",
    b":a:M:+4:b::int:",
    b":a:M:-0:b::int:",
    b":a:M:-1:b::int:",
    b":a:M:+-1:b::int:",
    b":a:M:0x4:b::int:",
    b":a:M:4\n:b::int:",
    b":a:M:\n:b::int:",
    b":a:M:+:b::int:",
    b":a:M: 4:b::int:",
    b":a:M:255:b::int:",
    b":a:M:256:b::int:",
    b":a:M:99999999999999999999:b::int:",
    b":a:M:4294967296:b::int:",
    b":a:M:000000000000000000000000004:b::int:",
    b":a:M::::int:",
    br":a:M::\x41\x4z::int:",
    br":a:M::\x4::int:",
    br":a:M::\x4g::int:",
    br":a:M::\X41::int:",
    br":a:M::\xAf\xaF::int:",
    br":a:M::\\x41::int:",
    br":a:M::\\\x41::int:",
    br":a:M::\x5cx41::int:",
    br":a:M::\::int:",
    br":a:M::a\:a\:int:",
    br":a:M::\n\t\101::int:",
    b":a:M::a\0b::int:",
    b":a:M::\0b::int:",
    b":a:M::ab:\0b:int:",
    b":a:M::ab:a\0:int:",
    br":a:M::ab:\x00\x00:int:",
    br":a:M::\x00::int:",
    b":a:M::ab:a:int:",
    b":a:M::ab:abc:int:",
    b":a\0:M::ab::int:",
    b":a:M::ab::in\0t:",
    b":a:M:0\0:ab::int:",
    b":a:M::\xff\xfe::\xff\xfe:",
    b":a:E::exe::int:",
    b":a:E:junk:exe:junk:int:POC",
    b":a:E::a/b::int:",
    b":a:E::::int:",
    br":a:E::\x41::int:",
    b":a:E::a\nb::int:",
    b":a:B::exe::int:",
    b":a:m::exe::int:",
    b":a:MM::exe::int:",
    b":a::::exe::int:",
    b":a:M::b::int:PPOOCC",
    b":a:M::b::int:P F",
    b":a:M::b::int:p",
    b":a:M::b::int:P\n",
    b":a:M::b::int:\nP",
    b":a:M::b::int:P:",
    b":a:M::b::int:C",
    b":a:M::b::/bin/sh:F",
    b":a:M::b::/int:T",
    b":a:M::b::/int:TTO",
    b":a:M::b::/int:TP",
    b":a:M::b::/int:TC",
    b":a:M::b::/int:L",
    b":a:M::b::/bin/sh:LF",
    b":a:M::b::/int:LT",
    b":a:M::b::/int:LO",
    b":a:M::b::/int:LC",
    b":a:M::b::/int:LP",
    b":a:M::b::/int:D",
    b":a:M::b::/bin/sh:PFD",
    b":a:M::b::int:D",
    b":a:M::b::int:T",
    b":a:M::b::int:L",
    b":a:M::b::int:TC",
    b":a:E::exe::int:CD",
    b"TaTMTTbTT/intT",
    b"LaLMLLbLL/intL",
    b"DaDMDDbDD/intD",
    b"\0a\0M\0\0b\0\0int\0P",
    b"\0a\0M\0\0\\x00b\0\0int\0",
    b"xaxMxx\\x41xxinyxP",
    b"4a4M44\\x414444int4",
    b"\\a\\M\\\\b\\\\int\\",
    b"\\a\\M\\\\x41\\\\int\\",
];

fn lengths_and_delimiters(table: &Table) {
    for delimiter in 0..=255_u8 {
        let line: Vec<u8> = b":_:M::!!::??:".iter().map(|b| if *b == b':' { delimiter } else { *b }).collect();
        table.check_line(&line).unwrap();
    }
    for length in [1900, 1918, 1919, 1920, 1921, 1922, 4000] {
        for name in [255, 256, 1] {
            let fixed = format!(":{}:M::b::", "n".repeat(name));
            let line = format!("{fixed}{}:", "i".repeat(length - fixed.len() - 1));
            table.check_line(line.as_bytes()).unwrap();
        }
    }
    for (offset, size) in [(0, 256), (0, 257), (252, 4), (253, 4), (255, 1), (256, 1), (0, 1)] {
        let line = format!(":a:M:{offset}:{}:{}:int:", "m".repeat(size), "k".repeat(size));
        table.check_line(line.as_bytes()).unwrap();
    }
}

/// The directory on which the namespace's table is mounted; empty between any two checks.
struct Table {
    mounted_on: PathBuf,
    /// What this kernel's lines may contain: it takes flag T, or it does not.
    syntax: Syntax,
    taken: Cell<u32>,
    refused: Cell<u32>,
}

type Checked = Result<(), TestCaseError>;

impl Table {
    fn new(mounted_on: PathBuf) -> Self {
        let mut table = Self { mounted_on, syntax: Syntax::Linux4_8, taken: Cell::new(0), refused: Cell::new(0) };
        if table.register(b":newer:E::x::/int:T").is_ok() {
            table.syntax = Syntax::Linux7_3;
            table.clear();
        }
        table
    }

    /// The kernel takes a line if and only if we do, and then shows the entry that we print.
    fn check_line(&self, line: &[u8]) -> Checked {
        let shown = line.escape_ascii();
        match (Rule::parse_as(line, self.syntax), self.register(line)) {
            (Ok(rule), Ok(())) => self.check_entry(&rule),
            // What it says of the interpreter is not about the line.
            (Ok(rule), Err(error)) => {
                prop_assert!(rule.flags.fix_binary && error.raw_os_error() != Some(EINVAL), "{shown}: {error}");
                Ok(())
            }
            (Err(error), Ok(())) => Err(TestCaseError::fail(format!("the kernel takes {shown}, we: {error}"))),
            (Err(_), Err(_)) => Ok(()),
        }
    }

    /// What we print for a rule is that rule to the kernel.
    fn check_rule(&self, mut rule: Rule) -> Checked {
        rule.interpreter = if rule.flags.fix_binary { b"/bin/sh".into() } else { rule.interpreter };
        match rule.to_line() {
            Ok(line) if rule.flags.needs_linux_7_3() && self.syntax == Syntax::Linux4_8 => {
                prop_assert!(self.register(&line).is_err(), "{}", line.escape_ascii());
            }
            Ok(line) => {
                self.register(&line)
                    .map_err(|error| TestCaseError::fail(format!("{}: {error}", line.escape_ascii())))?;
                self.check_entry(&rule)?;
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn check_entry(&self, rule: &Rule) -> Checked {
        let file = self.mounted_on.join(OsStr::from_bytes(rule.name.as_bytes()));
        let text = fs::read(&file).unwrap();
        let entry =
            Entry { enabled: !rule.flags.disabled, rule: Rule { flags: rule.flags.normalised(), ..rule.clone() } };
        prop_assert_eq!(text.escape_ascii().to_string(), entry.to_text().escape_ascii().to_string());
        prop_assert_eq!(Entry::parse(&entry.rule.name, &text), Ok(entry.clone()));
        fs::write(&file, "1").unwrap();
        prop_assert!(fs::read(&file).unwrap().starts_with(b"enabled\n"));
        fs::write(&file, "0").unwrap();
        let disabled = Entry { enabled: false, ..entry };
        prop_assert_eq!(Entry::parse(&disabled.rule.name, &fs::read(&file).unwrap()), Ok(disabled));
        self.clear();
        Ok(())
    }

    /// The kernel starts the interpreter if and only if the pattern matches.
    fn check_match(&self, pattern: Pattern, file: &[u8]) -> Checked {
        let program = env::temp_dir().join(format!("binfmt-magic-oracle-program-{}", std::process::id()));
        fs::write(&program, file).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let ours = pattern.matches(file);
        self.register(&rule("match", pattern).to_line().unwrap()).unwrap();
        let started = Command::new(&program).status();
        self.clear();
        fs::remove_file(program).unwrap();
        let kernels = match started {
            Ok(status) => status.success(),
            // The pattern matches the interpreter too, so the kernel went round.
            Err(error) if error.raw_os_error() == Some(ELOOP) => true,
            Err(error) => {
                prop_assert_eq!(error.raw_os_error(), Some(ENOEXEC));
                false
            }
        };
        prop_assert_eq!(ours, kernels);
        Ok(())
    }

    /// One line, one write.
    fn register(&self, line: &[u8]) -> io::Result<()> {
        let mut register = fs::OpenOptions::new().write(true).open(self.mounted_on.join("register"))?;
        let written = register.write(line);
        let count = if written.is_ok() { &self.taken } else { &self.refused };
        count.set(count.get() + 1);
        written.map(|written| assert_eq!(written, line.len()))
    }

    fn clear(&self) {
        fs::write(self.mounted_on.join("status"), "-1").unwrap();
        assert_eq!(fs::read_dir(&self.mounted_on).unwrap().count(), 2, "register and status remain");
    }
}

fn rule(name: &str, pattern: Pattern) -> Rule {
    Rule {
        name: EntryName::new(name).unwrap(),
        recognition: Recognition::Magic(pattern),
        interpreter: b"/bin/true".to_vec(),
        flags: "PF".parse().unwrap(),
    }
}
