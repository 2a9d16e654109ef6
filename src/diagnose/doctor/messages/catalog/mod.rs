//! The catalogue of known messages: closed data. A message has its patterns, its meaning, what to look at on this
//! machine, and what to do.
//!
//! Comments cite where a text was seen; `tests/recorded/messages` has the texts themselves.

mod containers;
mod kernel;
mod nix;
mod nix_conf;
mod qemu;
pub(super) mod refusals;
mod register;
mod runtimes;
mod shells;

/// One message, in all its wordings.
#[derive(Debug)]
pub struct KnownMessage {
    /// The stable name of the message.
    pub id: &'static str,
    /// The program that prints the message.
    pub printed_by: &'static str,
    /// The wordings of the message, in the language of `super::pattern`; the one with most pieces first.
    pub patterns: &'static [&'static str],
    /// The meaning of the message on any machine.
    pub meaning: &'static str,
    /// Whether the message is about builds by Nix: then a system works only if Nix builds for it.
    pub of_nix: bool,
    /// Whether the message is about the machine and not about a system: systems in the text do not matter then.
    pub of_machine: bool,
    /// The checks that may find the cause on this machine.
    pub checks: &'static [&'static str],
    /// What to do if no check found a cause.
    pub remedy: Remedy,
    /// The lines instead of the remedy if the system in the text works on this machine.
    pub if_works: &'static [&'static str],
    /// The lines that follow in any case.
    pub next_steps: &'static [&'static str],
    /// The vaguer messages that this one covers, and that are dropped.
    pub covers: &'static [&'static str],
}

impl KnownMessage {
    /// A message without any of the parts that most messages lack.
    pub(super) const EMPTY: Self = Self {
        id: "",
        printed_by: "",
        patterns: &[],
        meaning: "",
        of_nix: false,
        of_machine: false,
        checks: &[],
        remedy: Remedy::Lines(&[]),
        if_works: &[],
        next_steps: &[],
        covers: &[],
    };
}

/// What to do about a message.
///
/// In lines, `{register}` becomes the command that registers the system of the message, `{system}` QEMU's name of that
/// system and `{nix}` Nix's; `{file}`, `{line}`, `{drv}`, `{name}` and `{wanted}` are quoted from the message. A line whose placeholder the message does not fill is printed as a comment.
#[derive(Debug)]
pub enum Remedy {
    /// Register the system, unless it works here.
    Register,
    /// Use another release of QEMU for the system.
    NewerQemu,
    /// These lines.
    Lines(&'static [&'static str]),
    /// Add the features that the message names to Nix's settings.
    AddFeatures,
    /// Load the module and mount the table, if it is not mounted.
    MountTable,
    /// Compare the path in the message with the sandbox paths of Nix's settings.
    CompareSandboxPaths,
    /// Let Nix build on this machine, if its settings forbid that.
    AllowLocalBuilds,
    /// Name the entries whose interpreters are below the directory in the message.
    NameHolders,
    /// Name the entries that start binfmt-support's detectors.
    NameDetectors,
}

/// The checks for a program that nothing runs.
const RUNS: &[&str] = &[
    "native-registered",
    "switched-off",
    "no-module",
    "not-mounted",
    "entry-gone",
    "entry-disabled",
    "never-matches",
    "no-fix-binary",
    "interpreter-missing",
    "interpreter-dynamic",
    "interpreter-script",
    "interpreter-loop",
    "interpreter-unfit",
    "interpreter-not-executable",
    "interpreter-noexec",
    "does-not-run",
    "runs-only-outside",
    "lxc-refuses",
    "own-table",
    "dies-with-container",
    "nix-promises-too-much",
];

/// The checks for a program whose interpreter is not found in a container, a chroot or a sandbox.
const RUNS_INSIDE: &[&str] =
    &["no-fix-binary", "interpreter-dynamic", "interpreter-script", "runs-only-outside", "interpreter-missing"];

/// The checks for an emulator that fails.
const EMULATOR: &[&str] = &["qemu-known-bad", "interpreter-noexec", "interpreter-stale", "does-not-run"];

/// Returns all messages, the most exact first.
pub fn all_messages() -> impl Iterator<Item = &'static KnownMessage> {
    let topics = [
        nix::KNOWN,
        nix_conf::KNOWN,
        containers::KNOWN,
        qemu::KNOWN,
        runtimes::KNOWN,
        register::KNOWN,
        shells::KNOWN,
        kernel::KNOWN,
    ];
    topics.into_iter().flatten()
}
