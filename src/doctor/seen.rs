//! What the checks judge: plain data, so that each of them can be tried on a machine that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Entry};

use super::shell::Shell;
use crate::binfmt_misc::{Table, name_of};
use crate::boot::Boot;
use crate::interpreter::Version;
use crate::nix::settings::Settings;
use crate::receipt::System;

/// A machine, as far as the checks want to know it.
#[derive(Debug)]
pub struct Seen {
    /// `uname -m`.
    pub machine: String,
    /// Major and minor number of the running kernel.
    pub kernel: (u32, u32),
    /// How lines for a shell are written here.
    pub shell: Shell,
    /// The kernel's table.
    pub table: Table,
    /// The kernel has binfmt_misc, loaded or as a module; none: that cannot be seen.
    pub has_binfmt_misc: Option<bool>,
    /// `register` can be written; none: it was not tried.
    pub writable: Option<bool>,
    /// What else there is around the kernel.
    pub place: Place,
    /// Targets that the machine runs by itself.
    pub natives: BTreeSet<&'static str>,
    /// Names of our entries.
    pub ours: BTreeSet<String>,
    /// What the receipt says is registered.
    pub registered: BTreeMap<String, System>,
    /// What the kernel's entries lead to, by the path in them.
    pub interpreters: BTreeMap<Vec<u8>, Interpreter>,
    /// What became of a program of each system that has an entry.
    pub trials: BTreeMap<&'static str, Trial>,
    /// What registers entries at boot.
    pub boot: Boot,
    /// Foreign setuid programs called sudo in the images of containers.
    pub foreign_sudo: BTreeMap<&'static str, PathBuf>,
    /// Nix; none: no trace of it.
    pub nix: Option<Nix>,
}

/// What a kernel runs in.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a machine")]
pub struct Place {
    /// Not the machine's own user namespace.
    pub user_namespace: bool,
    /// The container's kind.
    pub container: Option<String>,
    /// The table was mounted after the container had started.
    pub table_is_younger: bool,
    /// Windows Subsystem for Linux.
    pub wsl: bool,
    /// SELinux is in force.
    pub selinux: bool,
    /// This very program runs through an emulator.
    pub emulated: bool,
    /// The namespaces that Nix's sandbox needs can be made; none: it was not tried.
    pub namespaces: Option<bool>,
}

/// An interpreter's file.
#[derive(Debug, Clone, Default)]
pub struct Interpreter {
    /// There is a file by that name.
    pub exists: bool,
    /// Why it is no static program of this machine.
    pub unfit: Option<String>,
    /// It asks for a loader.
    pub dynamic: bool,
    /// Somebody has the right to execute it.
    pub executable: bool,
    /// It lies on a file system that is mounted noexec: its mount point.
    pub noexec: Option<PathBuf>,
    /// Why others could change it.
    pub distrust: Option<String>,
    /// SELinux's label.
    pub label: Option<String>,
    /// The release that it answers with.
    pub version: Option<Version>,
    /// What its release is known for: "aborts on …", and the thread.
    pub flaw: Option<(&'static str, &'static str)>,
}

/// What became of a foreign program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trial {
    /// It ran.
    Ran,
    /// It ran, and not through the file that now has the interpreter's path.
    RanStale,
    /// It did not.
    Failed(String),
}

/// Nix, as it is configured.
#[derive(Debug, Clone, Default)]
pub struct Nix {
    /// What its files say.
    pub settings: Settings,
    /// `extra-platforms` as Nix itself answers; none: it could not be asked.
    pub answered: Option<Vec<String>>,
    /// The nix.conf that people edit.
    pub conf: PathBuf,
    /// It is not ours to change.
    pub left_alone: bool,
    /// Builds go through a daemon of root's.
    pub has_daemon: bool,
    /// How a daemon that runs is restarted; none: none runs, and the next one reads what is there.
    pub restart: Option<String>,
    /// A running daemon that is older than a file of its settings: its number, and that file.
    pub daemon_is_older: Option<(u32, PathBuf)>,
    /// Users whose own nix.conf wants what only trusted users may: name, file, setting.
    pub untrusted: Vec<(String, PathBuf, String)>,
    /// Sources of sandbox paths that do not exist.
    pub missing: BTreeSet<String>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            machine: "x86_64".into(),
            kernel: (6, 12),
            shell: Shell::default(),
            table: Table::Mounted { entries: Vec::new(), strange: Vec::new(), enabled: true },
            has_binfmt_misc: Some(true),
            writable: Some(true),
            place: Place::default(),
            natives: BTreeSet::new(),
            ours: BTreeSet::new(),
            registered: BTreeMap::new(),
            interpreters: BTreeMap::new(),
            trials: BTreeMap::new(),
            boot: Boot::of(Vec::new(), true),
            foreign_sudo: BTreeMap::new(),
            nix: None,
        }
    }
}

impl Seen {
    /// Is it an entry of ours?
    pub fn is_ours(&self, entry: &Entry) -> bool {
        self.ours.contains(&name_of(entry))
    }

    /// The systems that run through an entry, each with it; those that the machine runs by itself are none.
    pub fn emulated(&self) -> impl Iterator<Item = (&'static Arch, &Entry)> {
        let foreign = Arch::ALL.iter().filter(|arch| !self.natives.contains(arch.target));
        foreign.filter_map(|arch| Some((arch, self.winner(arch)?)))
    }

    /// The entry that the kernel picks for a system's programs.
    pub fn winner(&self, arch: &Arch) -> Option<&Entry> {
        arch.headers().iter().find_map(|head| self.table.winner(head))
    }

    /// The table is there, and is looked at.
    pub fn is_in_force(&self) -> bool {
        matches!(self.table, Table::Mounted { enabled: true, .. })
    }

    /// An entry's interpreter, if it was looked at.
    pub fn interpreter(&self, entry: &Entry) -> Option<&Interpreter> {
        self.interpreters.get(&entry.rule.interpreter)
    }

    /// The systems that are registered, and are known.
    pub fn registered(&self) -> impl Iterator<Item = (&'static Arch, &System)> {
        self.registered.iter().filter_map(|(target, system)| Some((Arch::by_target(target)?, system)))
    }
}

/// The path in an entry.
pub fn path_of(entry: &Entry) -> &Path {
    Path::new(OsStr::from_bytes(&entry.rule.interpreter))
}

/// The systems whose programs an entry takes.
pub fn taken_by(entry: &Entry) -> impl Iterator<Item = &'static Arch> {
    Arch::ALL.iter().filter(|arch| arch.headers().iter().any(|head| entry.rule.matches(head)))
}

/// The system that an entry means, by its own name or its interpreter's: what comes before `qemu-` and after the
/// target is dropped, as in `/run/binfmt/qemu-aarch64-static`.
pub fn meant_by(entry: &Entry) -> Option<&'static Arch> {
    let file = path_of(entry).file_name().map(|name| name.to_string_lossy().into_owned());
    let names = file.into_iter().chain([name_of(entry)]);
    names.into_iter().find_map(|name| {
        let name = name.trim_end_matches("-binfmt-P").trim_end_matches("-static");
        let name = name.rsplit_once("qemu-").map_or(name, |(_, target)| target);
        Arch::find(name).ok()
    })
}
