//! The kernel's table in a tree, and programs that run by its entries.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use binfmt_magic::{Arch, EntryName, Recognition, Rule};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::sandbox::{SCRATCH, itself};
use super::tree::{TABLE, Tree};

/// The argv\[0] of a probe, which prints these 16 bytes.
const ARG0: &str = "0123456789abcdef";

impl Tree {
    /// Mounts the table, as most machines do at boot.
    pub(crate) fn mounted(self) -> Self {
        mount(None::<&str>, &self.path(TABLE), Some("binfmt_misc"), MsFlags::empty(), None::<&str>).unwrap();
        self
    }

    #[track_caller]
    pub(crate) fn unmount(&self) {
        umount2(&self.path(TABLE), MntFlags::empty()).unwrap();
    }

    /// Adds an entry of another tool.
    #[track_caller]
    pub(crate) fn entry(self, line: &str) -> Self {
        self.enter(line);
        self
    }

    #[track_caller]
    pub(crate) fn enter(&self, line: &str) {
        self.write_kernel("register", line);
    }

    /// Writes to a file of the table by one write(2).
    #[track_caller]
    pub(crate) fn write_kernel(&self, name: &str, text: &str) {
        let path = self.path(TABLE).join(name);
        let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
        let written = file.write(text.as_bytes()).unwrap_or_else(|error| panic!("the kernel refuses {text}: {error}"));
        assert_eq!(written, text.len());
    }

    pub(crate) fn is_mounted(&self) -> bool {
        self.exists(&format!("{TABLE}/register"))
    }

    /// Names and texts of the entries, newest first.
    pub(crate) fn table(&self) -> Vec<(String, String)> {
        let names = fs::read_dir(self.path(TABLE)).into_iter().flatten();
        let names = names.map(|entry| entry.unwrap().file_name());
        let entries = names.filter(|name| name != "register" && name != "status");
        // Where no table is mounted, these are files of any kind.
        let text = |name: &OsString| fs::read(self.path(TABLE).join(name)).unwrap_or_default();
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        entries.map(|name| (lossy(name.as_bytes()), lossy(&text(&name)))).collect()
    }

    /// Names of the entries, newest first.
    pub(crate) fn entries(&self) -> Vec<String> {
        self.table().into_iter().map(|(name, _)| name).collect()
    }

    /// The rest of the line of an entry that starts with `start`: "flags: " gives "PF".
    #[track_caller]
    pub(crate) fn entry_says(&self, entry: &str, start: &str) -> String {
        let text = self.text(&format!("{TABLE}/{entry}"));
        let line = text.lines().find_map(|line| line.strip_prefix(start));
        line.unwrap_or_else(|| panic!("no line {start:?} in {text}")).to_owned()
    }

    /// Whether a program of that system runs and gets its argv\[0], here and in a chroot with no other file.
    pub(crate) fn runs(&self, system: &str) -> bool {
        let (probe, room) = (probe(system), Path::new(SCRATCH).join("room"));
        fs::create_dir_all(&room).unwrap();
        fs::copy(&probe, room.join("probe")).unwrap();
        let here = Command::new(&probe).arg0(ARG0).output();
        let in_the_room = itself("chroot").unwrap().arg(room).args(["/probe", ARG0]).output();
        let ran = |output: &Output| output.status.success() && output.stdout == ARG0.as_bytes();
        let both = [here.is_ok_and(|out| ran(&out)), in_the_room.is_ok_and(|out| ran(&out))];
        assert_eq!(both[0], both[1], "a chroot makes a difference (the table: {:#?})", self.table());
        both[0]
    }
}

impl Tree {
    /// Whether a program of that system runs, with any argv\[0].
    #[expect(clippy::unused_self, reason = "it is the tree's table that runs it")]
    pub(crate) fn runs_somehow(&self, system: &str) -> bool {
        Command::new(probe(system)).output().is_ok_and(|output| output.status.success())
    }
}

/// Writes the probe of a system to a file outside of the tree.
pub(crate) fn probe(system: &str) -> PathBuf {
    let path = Path::new(SCRATCH).join(format!("probe-{system}"));
    fs::write(&path, Arch::find(system).unwrap().probe().unwrap()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A line for the kernel: this tool's rule for a system, with another tool's name, interpreter and flags.
pub(crate) fn line(name: &str, system: &str, interpreter: &Path, flags: &str) -> String {
    let rule = Rule {
        name: EntryName::new(name).unwrap(),
        recognition: Recognition::Magic(Arch::find(system).unwrap().pattern()),
        interpreter: interpreter.to_str().unwrap().into(),
        flags: flags.parse().unwrap(),
    };
    String::from_utf8(rule.to_line().unwrap()).unwrap()
}
