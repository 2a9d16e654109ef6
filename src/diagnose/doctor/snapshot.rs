//! The facts that the checks examine: plain data, so that tests can describe machines that are not available.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Entry, Rule};

use crate::binfmt::boot::Boot;
use crate::binfmt::harm::Harm;
use crate::binfmt::selinux::Selinux;
use crate::binfmt::shell::{Shell, ShellPlace};
use crate::binfmt::table::{Table, entry_name};
use crate::binfmt::userns::run_table::RunTable;
use crate::diagnose::acceleration::AcceleratedStatus;
use crate::diagnose::explain::InterpreterStart;
use crate::diagnose::repair::RepairFacts;
use crate::error::TrustError;
use crate::nix::config_show::NixConfig;
use crate::nix::settings::Settings;
use crate::qemu::binary::QemuVersion;
use crate::register::receipt::System;
use crate::sanitize::AsText;

/// The facts about a machine that the checks need.
#[derive(Debug)]
pub struct Snapshot {
    /// The name of the machine, as `uname -m` prints it.
    pub machine: String,
    /// Major and minor number of the running kernel.
    pub kernel: (u32, u32),
    /// The table of `run`, if this is inside of `run`.
    pub run: Option<RunTable>,
    /// The way in which commands for this machine are written.
    pub shell: Shell,
    /// The kernel's table.
    pub table: Table,
    /// Whether the kernel has binfmt_misc; `None` if unknown.
    pub support: Option<KernelSupport>,
    /// Whether `register` can be written; `None` if it was not tried.
    pub writable: Option<bool>,
    /// Whether the table is mounted read-only.
    pub is_table_read_only: bool,
    /// The entries that must not be put in force (see [`harm`](crate::binfmt::harm)).
    pub harmful_entries: BTreeMap<String, Harm>,
    /// The environment of the kernel.
    pub environment: Environment,
    /// Targets that the machine runs natively.
    pub natives: BTreeSet<&'static str>,
    /// The names of the entries that this tool made.
    pub own_entries: BTreeSet<String>,
    /// The registered systems that are not turned off, by the receipt.
    pub registered: BTreeMap<String, System>,
    /// The own rules of the user, with the logical paths of their interpreters, by name.
    pub own_rules: BTreeMap<String, Rule>,
    /// The guest programs that native ones replace.
    pub accelerated: Vec<AcceleratedStatus>,
    /// The names of the own rules whose interpreter is missing or may not be executed.
    pub rules_without_interpreter: BTreeSet<String>,
    /// The targets of the systems that `disable` turned off.
    pub disabled: BTreeSet<String>,
    /// The files of the entries' interpreters, by the path in the entry.
    pub interpreters: BTreeMap<Vec<u8>, InterpreterFile>,
    /// How the kernel starts the interpreters, by the name of the entry. Its flags and its rule make a difference.
    pub starts: BTreeMap<String, InterpreterStart>,
    /// The result of running a program, for each system that has an entry.
    pub trials: BTreeMap<&'static str, TrialRun>,
    /// The rules that are registered at boot.
    pub boot: Boot,
    /// Foreign setuid programs called sudo in the images of containers.
    pub foreign_sudo: BTreeMap<&'static str, PathBuf>,
    /// Setuid programs of this machine, each with its first bytes.
    pub setuid_programs: Vec<(PathBuf, Vec<u8>)>,
    /// Nix; `None` if it was not found.
    pub nix: Option<NixSnapshot>,
}

/// How the running kernel has binfmt_misc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelSupport {
    /// It is built in, or loaded.
    Loaded,
    /// It is a module that is not loaded. Since Linux 5.18 the directory of the table is made by the module (commit
    /// 3ba442d5331f), so that mount(8) finds none before, and does not load the module either.
    Unloaded,
    /// The kernel does not have it, or its modules are missing.
    Missing,
}

/// The environment of a kernel.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a machine")]
pub struct Environment {
    /// Whether this is not the machine's own user namespace.
    pub user_namespace: bool,
    /// The kind of the container, if this is one.
    pub container: Option<String>,
    /// Whether the table was mounted after the container had started.
    pub table_is_younger: bool,
    /// Whether this is the Windows Subsystem for Linux.
    pub wsl: bool,
    /// State of SELinux.
    pub selinux: Selinux,
    /// Whether this program itself runs through an emulator.
    pub emulated: bool,
    /// Whether the kernel refuses the 32-bit personality that Nix requests before it builds for 32-bit ARM.
    pub refuses_personality_32: bool,
    /// Whether the machine has /dev/kvm.
    pub has_kvm: bool,
    /// Whether the namespaces that Nix's sandbox needs can be created; `None` if it was not tried.
    pub namespaces: Option<bool>,
}

/// The file of an interpreter.
#[derive(Debug, Clone, Default)]
pub struct InterpreterFile {
    /// Whether the path exists.
    pub exists: bool,
    /// Whether the mode of the file has an execute bit.
    pub executable: bool,
    /// The mount point of its file system, if that is mounted noexec.
    pub noexec: Option<PathBuf>,
    /// The reason why users other than root could change the file, and the directory or file that they can change.
    pub distrust: Option<TrustError>,
    /// The SELinux label of the file.
    pub label: Option<String>,
    /// The release that the file reports.
    pub version: Option<QemuVersion>,
    /// The known bug of that release ("aborts on …"), and the thread about it.
    pub flaw: Option<(&'static str, &'static str)>,
}

/// The result of running a foreign program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrialRun {
    /// The program ran.
    Ran,
    /// The program ran, but not with the file that is at the interpreter's path now.
    RanStale,
    /// The program ran, but not in an empty chroot, for this reason.
    RanOutside(String),
    /// The program did not run, for this reason.
    Failed(String),
    /// The emulator was not allowed to make its code executable.
    JitRefused,
}

/// The configuration of Nix.
#[derive(Debug, Clone, Default)]
pub struct NixSnapshot {
    /// The settings of the machine, and of root if this process is root's.
    pub machine: NixView,
    /// The settings of the ordinary user who runs the doctor, also below sudo.
    pub caller: Option<CallerNix>,
    /// Whether other machines can build for this one.
    pub has_builders: bool,
    /// Builds that were tried just now, by QEMU's name of the system. Only a message of Nix makes the doctor try one.
    pub builds: BTreeMap<&'static str, BuildTrial>,
    /// The nix.conf that users edit.
    pub conf: PathBuf,
    /// Whether this tool must not change nix.conf.
    pub left_alone: bool,
    /// Whether root's daemon does the builds.
    pub has_daemon: bool,
    /// The release of Nix. Only an emulated machine makes the doctor ask for it.
    pub release: Option<(u32, u32)>,
    /// The command that restarts the running daemon. `None` if none runs, because the next one reads the current files,
    /// and to a caller who is not root, because only root can identify the daemon.
    pub restart: Option<String>,
    /// The running daemon's process id and the settings file that is newer than the daemon, if there is one.
    pub daemon_is_older: Option<(u32, PathBuf)>,
    /// Users whose own nix.conf has a setting for trusted users only: name, file, setting.
    pub untrusted: Vec<(String, PathBuf, String)>,
    /// The sources of sandbox paths that do not exist.
    pub missing: BTreeSet<String>,
}

/// A build by Nix that was tried just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildTrial {
    /// Nix built, as this user.
    Built {
        /// Name of the user.
        user: String,
        /// Whether the builder ran in Nix's sandbox.
        in_sandbox: bool,
    },
    /// Nix did not build, as this user.
    Failed {
        /// Name of the user.
        user: String,
        /// Lines of Nix's message.
        message: Vec<String>,
    },
    /// No build could be tried, for this reason.
    Untried(String),
}

/// The settings of Nix as one user has them.
#[derive(Debug, Clone, Default)]
pub struct NixView {
    /// The lines of the files.
    pub settings: Settings,
    /// The effective settings as Nix itself prints them; `None` if it did not.
    pub effective: Option<NixConfig>,
    /// The message of Nix if it rejects the settings.
    pub rejection: Option<String>,
    /// The reason why Nix was not run.
    pub unasked: Option<String>,
}

/// The settings of Nix of the calling user.
#[derive(Debug, Clone, Default)]
pub struct CallerNix {
    /// The name of the user.
    pub name: String,
    /// The settings.
    pub view: NixView,
    /// Whether the settings about emulation and the sandbox count: the daemon trusts the user, or no daemon builds.
    pub decides: bool,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            machine: "x86_64".into(),
            kernel: (6, 12),
            run: None,
            shell: Shell::default(),
            table: Table::of_entries(Vec::new()),
            support: Some(KernelSupport::Loaded),
            writable: Some(true),
            is_table_read_only: false,
            harmful_entries: BTreeMap::new(),
            environment: Environment::default(),
            natives: BTreeSet::new(),
            own_entries: BTreeSet::new(),
            registered: BTreeMap::new(),
            disabled: BTreeSet::new(),
            own_rules: BTreeMap::new(),
            accelerated: Vec::new(),
            rules_without_interpreter: BTreeSet::new(),
            interpreters: BTreeMap::new(),
            starts: BTreeMap::new(),
            trials: BTreeMap::new(),
            boot: Boot::default(),
            foreign_sudo: BTreeMap::new(),
            setuid_programs: Vec::new(),
            nix: None,
        }
    }
}

impl Snapshot {
    /// Returns the facts that decide which commands can work.
    pub fn repairs(&self) -> RepairFacts<'_> {
        RepairFacts {
            shell: &self.shell,
            table: &self.table,
            is_read_only: self.is_table_read_only,
            harmful: &self.harmful_entries,
            own_entries: self.own_entries.clone(),
        }
    }

    /// Whether this tool made the entry.
    pub fn is_ours(&self, entry: &Entry) -> bool {
        self.own_entries.contains(&entry_name(entry))
    }

    /// Whether `run` made the entry, for the namespace in which this process is.
    pub fn is_of_run(&self, entry: &Entry) -> bool {
        self.run.as_ref().is_some_and(|run| run.made(entry))
    }

    /// Whether root's daemon builds outside of the `run` in which this process is.
    pub fn is_daemon_outside(&self) -> bool {
        self.shell.place == ShellPlace::Run && self.nix.as_ref().is_some_and(|nix| nix.has_daemon)
    }

    /// Returns the systems that run through an entry, with that entry. Native systems are not included.
    pub fn emulated_systems(&self) -> impl Iterator<Item = (&'static Arch, &Entry)> {
        let foreign = Arch::ALL.iter().filter(|arch| !self.natives.contains(arch.target));
        foreign.filter_map(|arch| Some((arch, self.matching_entry(arch)?)))
    }

    /// Returns the entry that the kernel picks for a system's programs.
    pub fn matching_entry(&self, arch: &Arch) -> Option<&Entry> {
        arch.headers().iter().find_map(|head| self.table.matching_entry(head))
    }

    /// Whether the table exists and is in force.
    pub fn is_table_active(&self) -> bool {
        matches!(self.table, Table::Mounted { enabled: true, .. })
    }

    /// Returns the facts about the interpreter of an entry, if it was examined.
    pub fn interpreter_of(&self, entry: &Entry) -> Option<&InterpreterFile> {
        self.interpreters.get(&entry.rule.interpreter)
    }

    /// Returns how the kernel starts the interpreter of an entry, if it was examined.
    pub fn start_of(&self, entry: &Entry) -> Option<&InterpreterStart> {
        self.starts.get(&entry_name(entry))
    }

    /// Returns the registered systems that this version of the tool supports.
    pub fn registered_systems(&self) -> impl Iterator<Item = (&'static Arch, &System)> {
        self.registered.iter().filter_map(|(target, system)| Some((Arch::by_target(target)?, system)))
    }
}

/// Returns the path of an entry's interpreter.
pub fn interpreter_path(entry: &Entry) -> &Path {
    Path::new(OsStr::from_bytes(&entry.rule.interpreter))
}

/// Returns the systems whose programs an entry matches.
pub fn systems_matched_by(entry: &Entry) -> impl Iterator<Item = &'static Arch> {
    Arch::ALL.iter().filter(|arch| arch.headers().iter().any(|head| entry.rule.matches(head)))
}

/// Returns the system in the name of an entry or of its interpreter. Ignores the text before `qemu-` and after the
/// target, as in `/run/binfmt/qemu-aarch64-static`.
pub fn system_named_by(entry: &Entry) -> Option<&'static Arch> {
    let file = interpreter_path(entry).file_name().map(AsText::as_text);
    let names = file.into_iter().chain([entry_name(entry)]);
    names.into_iter().find_map(|name| {
        let name = name.trim_end_matches("-binfmt-P").trim_end_matches("-static");
        let name = name.rsplit_once("qemu-").map_or(name, |(_, target)| target);
        Arch::find(name).ok()
    })
}
