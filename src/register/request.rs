//! What the user asked for: typed, validated, and free of clap.

use binfmt_magic::Arch;

use crate::qemu::download::Network;
use crate::qemu::obtain::source::Source;

/// `register SYSTEM…`
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent choices of the user")]
pub struct RegisterRequest {
    /// The systems, each once.
    pub systems: Vec<&'static Arch>,
    /// `all` was said: what the host runs natively or somebody else holds is
    /// passed over, not refused.
    pub all: bool,
    /// Where the emulators come from.
    pub source: Source,
    /// How the network may be used for that.
    pub network: Network,
    /// Flag C: foreign setuid programs get their owner's rights, and so does QEMU.
    pub credentials: bool,
    /// Whether Nix is told.
    pub nix: NixChoice,
    /// Write a boot file.
    pub persist: bool,
    /// Go in above entries of others.
    pub force: bool,
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
pub struct UnregisterRequest {
    /// The systems, each once.
    pub systems: Vec<&'static Arch>,
    /// `all` was said: those that are not registered are passed over.
    pub all: bool,
    /// It is the `register --watch` that asks, at its own end.
    pub by_watcher: bool,
}
