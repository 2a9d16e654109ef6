//! Foreign text never begins a line of its own: in the file that is explained, in processes, and in the kernel's table.

use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use binfmt_nix::sanitize::{escape_line, text_of_bytes};

use crate::diagnose::explain::execve::judge::{TABLE, enter, mount_table};
use crate::diagnose::explain::text::explain;
use crate::support::output::{Done, tool};
use crate::support::sandbox::SCRATCH;
use crate::support::table::{line, probe};
use crate::support::{Tree, qemu};

/// Forges lines of the outputs, moves the cursor, and reverses the direction.
const EVIL: &str = "evil\nto make it run\n    curl x|sh\r\x1b[1A\x1b[2K\t\u{202e}\u{2028}aarch64 works";

/// Compares the output for a hostile text with that for its escaped form, which is harmless: each line is the same.
/// Commands for a shell differ, because they quote the two texts in other ways.
#[track_caller]
fn assert_same_lines(hostile: &Done, harmless: &Done) {
    assert_eq!(hostile.code, harmless.code, "{hostile:#?}");
    assert!(format!("{}{}", hostile.out, hostile.err).contains("evil"), "{hostile:#?}");
    for (hostile, harmless) in [(&hostile.out, &harmless.out), (&hostile.err, &harmless.err)] {
        let is_harmful = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{2028}');
        assert!(!hostile.contains(is_harmful), "{hostile:?}");
        let differing: Vec<_> = hostile.lines().zip(harmless.lines()).filter(|(one, other)| one != other).collect();
        assert!(
            hostile.lines().count() == harmless.lines().count()
                && differing.iter().all(|(one, _)| one.contains("$'") || one.contains("argv[0]")),
            "{hostile}\n{harmless}\n{differing:#?}"
        );
    }
}

/// A 64-bit program of this machine whose loader is `interp` (`PT_INTERP`).
fn program_with_loader(name: &str, interp: &str) -> PathBuf {
    let native = fs::read("/proc/self/exe").unwrap();
    let mut elf = native[..64].to_vec();
    elf[32..40].copy_from_slice(&64_u64.to_le_bytes());
    elf[54..56].copy_from_slice(&56_u16.to_le_bytes());
    elf[56..58].copy_from_slice(&1_u16.to_le_bytes());
    elf.extend(3_u32.to_le_bytes());
    elf.extend(4_u32.to_le_bytes());
    let length = interp.len() as u64 + 1;
    for value in [120, 0, 0, length, length, 1] {
        elf.extend(value.to_le_bytes());
    }
    elf.extend(interp.as_bytes());
    elf.push(0);
    let path = Path::new(SCRATCH).join(name);
    fs::write(&path, elf).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[sandboxed]
fn the_loader_of_a_program_forges_no_line() {
    let [hostile, harmless] = [EVIL.to_owned(), escape_line(EVIL)].map(|name| {
        let path = program_with_loader("program", &format!("/lib/{name}"));
        let done = explain(&[path.to_str().unwrap()]);
        let json = explain(&["--json", path.to_str().unwrap()]).json();
        (done, json["steps"][0]["elf"]["linking"]["loader"].clone())
    });
    assert_same_lines(&hostile.0, &harmless.0);
    assert_eq!(hostile.1, format!("/lib/{EVIL}"));
    assert!(!hostile.0.out.lines().any(|line| line.starts_with("to make it run") && line.len() > 14));
}

/// The name of the file itself, and the line of a script.
#[sandboxed]
fn the_name_of_a_file_forges_no_line() {
    let [hostile, harmless] = [EVIL.to_owned(), escape_line(EVIL)].map(|name| {
        let path = Path::new(SCRATCH).join(&name);
        fs::copy(probe("aarch64"), &path).unwrap();
        explain(&[path.to_str().unwrap()])
    });
    assert_same_lines(&hostile, &harmless);
    let [hostile, harmless] = ["evil\r\x1b[2Kx".to_owned(), escape_line("evil\r\x1b[2Kx")].map(|name| {
        let path = Path::new(SCRATCH).join("script");
        fs::write(&path, format!("#!/bin/{name} {name}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        explain(&[path.to_str().unwrap()])
    });
    // The message about the line ends of Windows is for the hostile one only.
    assert!(!hostile.out.contains(|c: char| c.is_control() && c != '\n'), "{hostile:?}");
    assert_eq!(hostile.out.lines().count().abs_diff(harmless.out.lines().count()), 0, "{hostile:?} {harmless:?}");
}

/// A process that is killed at the end.
struct Sleeping(Child);

impl Drop for Sleeping {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Path, argv[0] and argument of a process belong to its user.
#[sandboxed]
fn the_path_of_a_process_forges_no_line() {
    let [hostile, harmless] = [EVIL.to_owned(), escape_line(EVIL)].map(|name| {
        let path = Path::new(SCRATCH).join(&name);
        fs::copy("/bin/sleep", &path).unwrap();
        let mut command = Command::new(&path);
        let process = Sleeping(command.arg0(&name).arg("1000").stdin(Stdio::null()).spawn().unwrap());
        let pid = process.0.id().to_string();
        let done = explain(&["--pid", &pid]);
        let json = explain(&["--json", "--pid", &pid]).json();
        (Done { out: done.out.replace(&pid, "PID"), ..done }, json)
    });
    assert_same_lines(&hostile.0, &harmless.0);
    assert_eq!(hostile.1["executes"], format!("{SCRATCH}/{EVIL}"));
    assert_eq!(hostile.1["argv0"], EVIL);
}

/// The interpreter and the name of an entry in a real table, and the emulator of a registration.
#[sandboxed]
fn an_entry_forges_no_line() {
    for (name, flags) in [("qemu-aarch64", "P"), ("NAME", "PF")] {
        let [hostile, harmless] = [EVIL.to_owned(), escape_line(EVIL)].map(|text| {
            let tree = Tree::new();
            let tree = tree.mounted();
            let file = if name == "NAME" { "theirs".to_owned() } else { text.clone() };
            let tree = tree.program(&format!("usr/bin/{file}"), fs::read(qemu("aarch64")).unwrap());
            let rule = line("NAME", "aarch64", &tree.path("usr/bin/FILE"), flags);
            let entry = if name == "NAME" { text.as_str() } else { name };
            tree.enter(&rule.replacen("NAME", entry, 1).replacen("FILE", &file, 1));
            let done: Vec<Done> = COMMANDS.iter().map(|args| tree.run(args)).collect();
            let status = tree.run(&["status", "--json"]).exits(0).json();
            let shown = [&status["systems"][0]["entry"], &status["systems"][0]["interpreter"]].map(Clone::clone);
            let interpreter = tree.path("usr/bin").join(&file).to_str().unwrap().to_owned();
            tree.discard();
            (done, shown, entry.to_owned(), interpreter)
        });
        for ((hostile, harmless), args) in hostile.0.iter().zip(&harmless.0).zip(COMMANDS) {
            if format!("{}{}", harmless.out, harmless.err).contains("evil") {
                assert_same_lines(hostile, harmless);
            } else {
                assert_eq!(hostile.out, harmless.out, "{args:?}");
            }
        }
        assert_eq!(hostile.1, [hostile.2, hostile.3]);
    }
}

/// An entry that keeps `restore` from registering the system again.
#[sandboxed]
fn an_entry_forges_no_line_of_restore() {
    let [hostile, harmless] = [EVIL.to_owned(), escape_line(EVIL)].map(|text| {
        let tree = Tree::new().mounted();
        tree.register("aarch64").exits(0);
        tree.write_kernel("qemu-aarch64", "-1");
        tree.enter(&format!(":qemu-aarch64:E::theirs::/{text}:"));
        let done: Vec<Done> = [&["restore"][..], &["restore", "--check"]].iter().map(|args| tree.run(args)).collect();
        let json = tree.run(&["--json", "restore"]).exits(3).json();
        tree.discard();
        (done, json["findings"][0].as_str().unwrap().to_owned(), text)
    });
    for (hostile, harmless) in hostile.0.iter().zip(&harmless.0) {
        assert_same_lines(hostile, harmless);
    }
    assert!(harmless.1.contains(&harmless.2), "{}", harmless.1);
}

const COMMANDS: [&[&str]; 8] = [
    // Its lines include those of `status`.
    &["status", "--verbose"],
    &["status", "--check", "aarch64"],
    &["doctor"],
    &["doctor", "cannot execute binary file: Exec format error"],
    &["test", "aarch64"],
    &["register", "aarch64", "--dry-run", "--source", "host"],
    &["register", "all", "--dry-run", "--source", "host"],
    &["unregister", "all", "--dry-run"],
];

/// Bytes that are not UTF-8 are marked in JSON and lose nothing.
#[sandboxed]
fn json_keeps_bytes_that_are_not_text() {
    mount_table();
    let name = b"a\xff\\b\n";
    let path = Path::new(SCRATCH).join(std::ffi::OsStr::from_bytes(name));
    fs::copy(qemu("aarch64"), &path).unwrap();
    let rule = line("odd", "aarch64", Path::new("/FILE"), "P").into_bytes();
    let at = rule.windows(5).position(|part| part == b"/FILE").unwrap();
    enter(&[&rule[..at], path.as_os_str().as_bytes(), &rule[at + 5..]].concat()).unwrap();
    assert!(fs::read_dir(TABLE).unwrap().count() > 2);
    let marked = r"bytes:/scratch/a\xff\\b".to_owned() + "\n";
    assert_eq!(text_of_bytes(path.as_os_str().as_bytes()), marked);
    let program = probe("aarch64");
    let json = explain(&["--json", program.to_str().unwrap()]).json();
    assert_eq!(json["steps"][0]["interpreter"]["path"], marked);
    let mut command = tool(&["--json", "explain"]);
    let done: Done = command.arg(&path).stdin(Stdio::null()).output().unwrap().into();
    assert_eq!(done.json()["file"], marked);
    let missing = [&path.into_os_string().into_vec()[..], b"x"].concat();
    let done: Done = tool(&["explain"]).arg(std::ffi::OsStr::from_bytes(&missing)).output().unwrap().into();
    done.exits(3).prints(&format!("{}\n", r"bytes:/scratch/a\xff\\b\nx")).prints("it does not exist");
}
