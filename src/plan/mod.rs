//! Decisions: what has to change so that the machine is as asked. Pure.
//!
//! A plan is a list of [`Step`]s in an order in which every prefix is harmless:
//! emulator, boot file, kernel entry, and only then Nix, which would otherwise
//! promise what the machine cannot do. Planning again on the result is empty.

mod choose;
pub mod fileless;
mod parts;
pub mod register;
mod rivals;
mod tell_nix;
pub mod unregister;

use std::fmt;
use std::path::PathBuf;

use binfmt_magic::{Arch, Rule};

use crate::receipt::System;

/// One change, closed: `apply` knows how to do each, and how to take it back.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Make a directory, 0755.
    MakeDir(PathBuf),
    /// Download emulators, verified, to temporary files beside their place.
    Fetch(Vec<&'static Arch>),
    /// Copy an emulator, through its open file, to a temporary file.
    Copy {
        /// its system
        arch: &'static Arch,
        /// where it was found
        from: PathBuf,
    },
    /// Give a fetched or copied emulator its name.
    Place(&'static Arch),
    /// Write a text file that is all ours.
    Write {
        /// the file
        path: PathBuf,
        /// its whole content
        text: Vec<u8>,
        /// the system it is for, if only one
        arch: Option<&'static Arch>,
    },
    /// Mount the kernel's table.
    Mount,
    /// Take our entry of that name out.
    Withdraw(String),
    /// Put an entry in, and prove that it works.
    Register {
        /// its system
        arch: &'static Arch,
        /// the rule, with the interpreter's real path
        rule: Rule,
        /// our entry of the same name, which makes room for it
        replaces: Option<Rule>,
    },
    /// Prove that somebody else's entry works.
    Prove(&'static Arch),
    /// Add our line to a nix.conf.
    Include(PathBuf),
    /// Restart a running nix-daemon.
    RestartDaemon,
    /// Take our line out of a nix.conf.
    Exclude {
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
    Unmount,
}

/// What becomes of one system.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
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
    pub systems: Vec<Planned>,
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
            Self::Fetch(_) => "download",
            Self::Copy { .. } => "copy",
            Self::Place(_) => "place",
            Self::Write { .. } => "write",
            Self::Mount => "mount",
            Self::Withdraw(_) => "withdraw",
            Self::Register { .. } => "register",
            Self::Prove(_) => "prove",
            Self::Include(_) | Self::Exclude { .. } => "edit",
            Self::RestartDaemon => "restart",
            Self::RemoveFile(_) | Self::RemoveDir(_) => "remove",
            Self::Unmount => "unmount",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeDir(path) | Self::RemoveDir(path) => write!(f, "{}/", path.display()),
            Self::Fetch(archs) => {
                let names: Vec<_> = archs.iter().map(|arch| crate::layout::emulator_name(arch)).collect();
                write!(f, "{}", names.join(" "))
            }
            Self::Copy { from, .. } => write!(f, "{}", from.display()),
            Self::Place(arch) => write!(f, "{}", crate::layout::interpreter(arch).display()),
            Self::Write { path, .. } | Self::RemoveFile(path) => write!(f, "{}", path.display()),
            Self::Mount | Self::Unmount => write!(f, "{}", crate::binfmt_misc::DIR),
            Self::Withdraw(name) => write!(f, "{name}"),
            Self::Register { rule, replaces, .. } => {
                let name = String::from_utf8_lossy(rule.name.as_bytes());
                let instead = if replaces.is_some() { ", instead of ours of that name" } else { "" };
                write!(f, "{name} (flags {}){instead}", rule.flags)
            }
            Self::Prove(arch) => write!(f, "a program for {}", arch.target),
            Self::Include(path) => write!(f, "{}: add \"{}\"", path.display(), crate::nix::conf::INCLUDE),
            Self::RestartDaemon => write!(f, "nix-daemon, if one runs"),
            Self::Exclude { path, .. } => {
                write!(f, "{}: remove \"{}\"", path.display(), crate::nix::conf::INCLUDE)
            }
        }
    }
}
