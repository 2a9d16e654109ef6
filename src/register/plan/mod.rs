//! Plans: the changes that bring the machine into the requested state. Pure.
//!
//! A plan is a list of [`Step`]s. Every prefix of the list is harmless: the emulator comes first, then the boot file,
//! then the kernel entry. Nix comes last, because Nix must not accept builds that the machine cannot run yet. A plan
//! made from the resulting state is empty.

pub mod accelerate;
pub mod boot_hook;
pub mod conflicts;
pub mod difference;
pub mod emulator;
pub mod in_memory;
pub mod nix;
pub mod register;
pub mod rules;
pub mod step_groups;
pub mod switch;
#[cfg(test)]
mod tests;
pub mod unregister;
pub mod upgrade;

use std::fmt;
use std::path::PathBuf;

use binfmt_magic::{Arch, EntryName, Rule};

use crate::accelerate::bundle::BundleFile;
use crate::binfmt::launcher::LauncherPair;
use crate::register::acceleration::Acceleration;
use crate::register::receipt::{OwnRule, System};
use crate::register::subject::Subject;
use crate::sanitize::{AsText as _, text_of_bytes};
use crate::sha256::Sha256;
use crate::ui::quantity::count;

/// One change to the machine. [`apply`](super::apply) can do each step and can undo it.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Create a directory with mode 0755.
    MakeDir(PathBuf),
    /// Download emulators, verify them, and store them in temporary files in the directory of emulators.
    DownloadEmulators(Vec<&'static Arch>),
    /// Copy an emulator from its open file to a temporary file.
    CopyEmulator {
        /// System of the emulator.
        arch: &'static Arch,
        /// Path of the file to copy.
        from: PathBuf,
    },
    /// Move a downloaded or copied emulator to its path.
    InstallEmulator(&'static Arch),
    /// Exchange the emulator with the one that the last upgrade replaced.
    SwapEmulators(&'static Arch),
    /// Write a text file that belongs to this tool as a whole.
    WriteFile {
        /// Path of the file.
        path: PathBuf,
        /// Complete content of the file.
        text: Vec<u8>,
        /// System or rule that the file is for; `None` if several share it.
        subject: Option<Subject>,
        /// Whether a new file can be executed.
        executable: bool,
    },
    /// Copy this program, for a boot hook.
    InstallProgram(Sha256),
    /// Copy a native program, or a file that it needs.
    CopyNative {
        /// System whose programs it replaces.
        arch: &'static Arch,
        /// Source, target and digest.
        file: BundleFile,
    },
    /// Add a launcher for these programs to a copy of the installed emulator.
    BuildAccelerator {
        /// System of the emulator.
        arch: &'static Arch,
        /// Programs that the launcher starts.
        pairs: Vec<LauncherPair>,
    },
    /// Create a symbolic link.
    MakeLink {
        /// Path of the link.
        path: PathBuf,
        /// Target of the link.
        target: PathBuf,
    },
    /// Add the boot command to a wsl.conf.
    AddBootCommand {
        /// Path of the wsl.conf.
        path: PathBuf,
        /// Line of the command.
        line: String,
    },
    /// Remove the boot command from a wsl.conf.
    RemoveBootCommand {
        /// Path of the wsl.conf.
        path: PathBuf,
        /// Text that was added.
        added: String,
        /// Whether this tool created the file. If so, the file is removed when nothing else is left in it.
        created: bool,
    },
    /// Run the program that lists the scripts which sysvinit starts.
    ListBootScripts(PathBuf),
    /// Mount the table of entries (binfmt_misc).
    MountTable,
    /// Remove the entry of this name, which this tool made.
    RemoveEntry(String),
    /// Register an entry, and run a program to prove that it works.
    AddEntry {
        /// System or rule of the entry.
        subject: Subject,
        /// Rule to register. Its interpreter is a path on the running system.
        rule: Rule,
        /// Rules of this tool's current entries for the subject, which are removed.
        replaces: Vec<Rule>,
        /// Name under which the rule is registered above a current entry of the same name, until that one is replaced.
        stand_in: Option<EntryName>,
    },
    /// Turn an entry of this tool on or off. An entry that is turned on is proven by a program.
    SwitchEntry {
        /// System or rule of the entry.
        subject: Subject,
        /// Rule of the entry.
        rule: Rule,
        /// Whether the entry is turned on.
        enabled: bool,
    },
    /// Run a program to prove that another tool's entry works.
    VerifyForeignEntry(&'static Arch),
    /// Run a file to prove that the entry of an own rule starts it.
    TestRule {
        /// Rule of the entry.
        rule: Rule,
        /// Path of the file, on this machine.
        file: PathBuf,
    },
    /// Add the `!include` line to a nix.conf.
    AddInclude(PathBuf),
    /// Restart the nix-daemon, if it is running.
    RestartNixDaemon,
    /// Remove the `!include` line from a nix.conf.
    RemoveInclude {
        /// Path of the nix.conf.
        path: PathBuf,
        /// Whether a newline was added before the line (see [`Artifact::Include`](super::receipt::Artifact::Include)).
        newline_added: bool,
        /// Whether this tool created the file. If so, the file is removed when nothing else is left in it.
        created: bool,
    },
    /// Remove a file that this tool made.
    RemoveFile(PathBuf),
    /// Remove a directory that this tool made, if it is empty.
    RemoveDir(PathBuf),
    /// Unmount the table that this tool mounted, if it contains no entry.
    UnmountTable,
}

/// Result of a plan for one system.
#[derive(Debug, Clone, PartialEq)]
pub struct SystemPlan {
    /// System that the command is about.
    pub arch: &'static Arch,
    /// Record of the system in the receipt afterwards; `None` if the system is unregistered.
    pub system: Option<System>,
    /// Whether nothing has to change for the system.
    pub already: bool,
}

/// Result of a plan for one own rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RulePlan {
    /// Name of the rule.
    pub name: String,
    /// Record of the rule in the receipt afterwards; `None` if the rule is unregistered.
    pub rule: Option<OwnRule>,
    /// Whether nothing has to change for the rule.
    pub already: bool,
}

/// Result of a plan for the native programs of one system.
#[derive(Debug, Clone, PartialEq)]
pub struct AccelerationPlan {
    /// System that the command is about.
    pub arch: &'static Arch,
    /// Record in the receipt afterwards; `None` if nothing is accelerated.
    pub acceleration: Option<Acceleration>,
}

/// Changes, notes and findings of one command.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Changes in the order in which they are made.
    pub steps: Vec<Step>,
    /// Systems that the command is about.
    pub systems: Vec<SystemPlan>,
    /// Own rules that the command is about.
    pub rules: Vec<RulePlan>,
    /// Systems whose native programs change.
    pub accelerations: Vec<AccelerationPlan>,
    /// Facts that the user should know.
    pub notes: Vec<String>,
    /// Problems that the command does not repair. A finding means exit status 3.
    pub findings: Vec<String>,
}

impl Step {
    /// Lets a new file be executed, if the step writes one.
    #[must_use]
    fn into_executable(self) -> Self {
        match self {
            Self::WriteFile { path, text, subject, .. } => Self::WriteFile { path, text, subject, executable: true },
            step => step,
        }
    }

    /// Whether the step of a registration cannot be undone. It is made after everything else.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::RestartNixDaemon | Self::ListBootScripts(_) | Self::RemoveFile(_) | Self::RemoveDir(_))
    }

    /// Verb printed before the step. The verbs are part of the JSON output.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::MakeDir(_) => "create",
            Self::DownloadEmulators(_) => "download",
            Self::CopyEmulator { .. } | Self::CopyNative { .. } => "copy",
            Self::InstallEmulator(_) | Self::SwapEmulators(_) | Self::InstallProgram(_) => "place",
            Self::WriteFile { .. } | Self::BuildAccelerator { .. } => "write",
            Self::MakeLink { .. } => "link",
            Self::ListBootScripts(_) => "run",
            Self::MountTable => "mount",
            Self::RemoveEntry(_) => "withdraw",
            Self::AddEntry { .. } => "register",
            Self::SwitchEntry { enabled: true, .. } => "enable",
            Self::SwitchEntry { .. } => "disable",
            Self::VerifyForeignEntry(_) | Self::TestRule { .. } => "prove",
            Self::AddInclude(_)
            | Self::RemoveInclude { .. }
            | Self::AddBootCommand { .. }
            | Self::RemoveBootCommand { .. } => "edit",
            Self::RestartNixDaemon => "restart",
            Self::RemoveFile(_) | Self::RemoveDir(_) => "remove",
            Self::UnmountTable => "unmount",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeDir(path) | Self::RemoveDir(path) => write!(f, "{}/", path.as_text()),
            Self::DownloadEmulators(archs) => {
                let names: Vec<_> = archs.iter().map(|arch| crate::paths::emulator_name(arch)).collect();
                write!(f, "{}", names.join(" "))
            }
            Self::CopyEmulator { from, .. } => write!(f, "{}", from.as_text()),
            Self::InstallEmulator(arch) | Self::SwapEmulators(arch) => {
                write!(f, "{}", crate::paths::interpreter_path(arch).as_text())
            }
            Self::WriteFile { path, .. } | Self::RemoveFile(path) => write!(f, "{}", path.as_text()),
            Self::InstallProgram(_) => write!(f, "{}", crate::paths::PROGRAM),
            Self::CopyNative { file, .. } => write!(f, "{}", file.source.as_text()),
            Self::BuildAccelerator { arch, pairs } => {
                let path = crate::paths::accelerator_path(arch);
                write!(f, "{} for {}", path.as_text(), count(pairs.len(), "tool"))
            }
            Self::MakeLink { path, target } => write!(f, "{} -> {}", path.as_text(), target.as_text()),
            Self::AddBootCommand { path, line } => write!(f, "{}: add \"{line}\"", path.as_text()),
            Self::RemoveBootCommand { path, added, .. } => {
                write!(f, "{}: remove \"{}\"", path.as_text(), added.lines().last().unwrap_or_default())
            }
            Self::ListBootScripts(program) => write!(f, "{}", program.as_text()),
            Self::MountTable | Self::UnmountTable => write!(f, "{}", crate::binfmt::table::DIR),
            Self::RemoveEntry(name) => write!(f, "{name}"),
            Self::AddEntry { rule, replaces, .. } => {
                let name = text_of_bytes(rule.name.as_bytes());
                let suffix = if replaces.is_empty() { "" } else { ", replacing the current entry" };
                write!(f, "{name} (flags {}){suffix}", rule.flags)
            }
            Self::SwitchEntry { rule, .. } => write!(f, "{}", text_of_bytes(rule.name.as_bytes())),
            Self::TestRule { rule, file } => {
                write!(f, "that {} starts {}", text_of_bytes(rule.name.as_bytes()), file.as_text())
            }
            Self::VerifyForeignEntry(arch) => write!(f, "that the existing entry runs {} programs", arch.target),
            Self::AddInclude(path) => write!(f, "{}: add \"{}\"", path.as_text(), crate::nix::conf::INCLUDE_LINE),
            Self::RestartNixDaemon => write!(f, "nix-daemon, if it is running"),
            Self::RemoveInclude { path, .. } => {
                write!(f, "{}: remove \"{}\"", path.as_text(), crate::nix::conf::INCLUDE_LINE)
            }
        }
    }
}
