//! Decisions: what has to change so that the machine is as asked. Pure.
//!
//! A plan is a list of [`Step`]s in an order in which every prefix is harmless:
//! emulator, boot file, kernel entry, and only then Nix, which would otherwise
//! promise what the machine cannot do. Planning again on the result is empty.

pub mod conflicts;
pub mod emulator;
pub mod in_memory;
pub mod nix;
pub mod register;
pub mod step_groups;
pub mod unregister;

use std::fmt;
use std::path::PathBuf;

use binfmt_magic::{Arch, Rule};

use crate::register::receipt::System;

/// One change, closed: `apply` knows how to do each, and how to take it back.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Make a directory, 0755.
    MakeDir(PathBuf),
    /// Download emulators, verified, to temporary files beside their place.
    DownloadEmulators(Vec<&'static Arch>),
    /// Copy an emulator, through its open file, to a temporary file.
    CopyEmulator {
        /// its system
        arch: &'static Arch,
        /// where it was found
        from: PathBuf,
    },
    /// Give a fetched or copied emulator its name.
    InstallEmulator(&'static Arch),
    /// Write a text file that is all ours.
    WriteFile {
        /// the file
        path: PathBuf,
        /// its whole content
        text: Vec<u8>,
        /// the system it is for, if only one
        arch: Option<&'static Arch>,
    },
    /// Mount the kernel's table.
    MountTable,
    /// Take our entry of that name out.
    RemoveEntry(String),
    /// Put an entry in, and prove that it works.
    AddEntry {
        /// its system
        arch: &'static Arch,
        /// the rule, with the interpreter's real path
        rule: Rule,
        /// our entry of the same name, which makes room for it
        replaces: Option<Rule>,
    },
    /// Prove that somebody else's entry works.
    VerifyForeignEntry(&'static Arch),
    /// Add our line to a nix.conf.
    AddInclude(PathBuf),
    /// Restart a running nix-daemon.
    RestartNixDaemon,
    /// Take our line out of a nix.conf.
    RemoveInclude {
        /// the nix.conf
        path: PathBuf,
        /// see `Made::Include`
        newline_added: bool,
        /// remove the file if our line was all of it
        created: bool,
    },
    /// Remove a file of ours.
    RemoveFile(PathBuf),
    /// Remove a directory that we made, if nothing is in it.
    RemoveDir(PathBuf),
    /// Unmount the table that we mounted, if no entry is left in it.
    UnmountTable,
}

/// What becomes of one system.
#[derive(Debug, Clone, PartialEq)]
pub struct SystemPlan {
    /// The system.
    pub arch: &'static Arch,
    /// What the receipt will say of it; none: it is unregistered.
    pub system: Option<System>,
    /// Nothing has to change for it.
    pub already: bool,
}

/// Everything that was decided.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The changes, in order.
    pub steps: Vec<Step>,
    /// The systems that the command is about.
    pub systems: Vec<SystemPlan>,
    /// Things worth knowing.
    pub notes: Vec<String>,
    /// Things that are not as they should be, and stay so: exit code 3.
    pub findings: Vec<String>,
}

impl Step {
    /// A verb for the margin.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::MakeDir(_) => "create",
            Self::DownloadEmulators(_) => "download",
            Self::CopyEmulator { .. } => "copy",
            Self::InstallEmulator(_) => "place",
            Self::WriteFile { .. } => "write",
            Self::MountTable => "mount",
            Self::RemoveEntry(_) => "withdraw",
            Self::AddEntry { .. } => "register",
            Self::VerifyForeignEntry(_) => "prove",
            Self::AddInclude(_) | Self::RemoveInclude { .. } => "edit",
            Self::RestartNixDaemon => "restart",
            Self::RemoveFile(_) | Self::RemoveDir(_) => "remove",
            Self::UnmountTable => "unmount",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeDir(path) | Self::RemoveDir(path) => write!(f, "{}/", path.display()),
            Self::DownloadEmulators(archs) => {
                let names: Vec<_> = archs.iter().map(|arch| crate::paths::emulator_name(arch)).collect();
                write!(f, "{}", names.join(" "))
            }
            Self::CopyEmulator { from, .. } => write!(f, "{}", from.display()),
            Self::InstallEmulator(arch) => write!(f, "{}", crate::paths::interpreter_path(arch).display()),
            Self::WriteFile { path, .. } | Self::RemoveFile(path) => write!(f, "{}", path.display()),
            Self::MountTable | Self::UnmountTable => write!(f, "{}", crate::binfmt::table::DIR),
            Self::RemoveEntry(name) => write!(f, "{name}"),
            Self::AddEntry { rule, replaces, .. } => {
                let name = String::from_utf8_lossy(rule.name.as_bytes());
                let instead = if replaces.is_some() { ", instead of ours of that name" } else { "" };
                write!(f, "{name} (flags {}){instead}", rule.flags)
            }
            Self::VerifyForeignEntry(arch) => write!(f, "a program for {}", arch.target),
            Self::AddInclude(path) => write!(f, "{}: add \"{}\"", path.display(), crate::nix::conf::INCLUDE_LINE),
            Self::RestartNixDaemon => write!(f, "nix-daemon, if one runs"),
            Self::RemoveInclude { path, .. } => {
                write!(f, "{}: remove \"{}\"", path.display(), crate::nix::conf::INCLUDE_LINE)
            }
        }
    }
}
