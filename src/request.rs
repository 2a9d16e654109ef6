//! What the user asked for: typed, validated, and free of clap.

use std::path::PathBuf;

use binfmt_magic::Arch;

use crate::digest::Sha256;
use crate::download::BaseUrl;

/// `register SYSTEM…`
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent choices of the user")]
pub struct Register {
    /// The systems, each once.
    pub systems: Vec<&'static Arch>,
    /// `all` was said: what the host runs natively or somebody else holds is
    /// passed over, not refused.
    pub all: bool,
    /// Where the emulators come from.
    pub source: Source,
    /// The mirror that is asked first.
    pub mirror: Option<BaseUrl>,
    /// Flag C: foreign setuid programs get their owner's rights, and so does QEMU.
    pub credentials: bool,
    /// Whether Nix is told.
    pub nix: NixChoice,
    /// Write a boot file.
    pub persist: bool,
    /// Go in above entries of others.
    pub force: bool,
}

/// Where an emulator comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Our installed copy, else a good one on the host, else a download.
    Auto,
    /// The best one on the host.
    Host,
    /// The one that the catalogue pins.
    Download,
    /// This very file.
    File(PathBuf),
    /// What is in this archive or directory, or this file.
    From {
        /// where it is
        path: PathBuf,
        /// what the file has to be
        sha256: Option<Sha256>,
    },
}

/// Whether Nix is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NixChoice {
    /// If there is a trace of Nix on the machine.
    Auto,
    /// In any case.
    Yes,
    /// Not at all.
    No,
}

/// `unregister SYSTEM…`
#[derive(Debug, Clone)]
pub struct Unregister {
    /// The systems, each once.
    pub systems: Vec<&'static Arch>,
    /// `all` was said: those that are not registered are passed over.
    pub all: bool,
}
