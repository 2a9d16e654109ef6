//! The catalogue of known messages: their texts, the program that prints them, and the checks that may find the cause.
//!
//! Comments cite where a text was seen. Texts are compared in lower case with single blanks, so a text that a terminal
//! wrapped is recognised too.

pub mod kernel;
pub mod nix;
pub mod qemu;

/// One message, in all its wordings.
#[derive(Debug)]
pub struct KnownMessage {
    /// The stable name of the message.
    pub id: &'static str,
    /// The program that prints the message.
    pub printed_by: &'static str,
    /// The wordings of the message. A wording matches if the text has all its words, in this order.
    pub wordings: &'static [&'static [&'static str]],
    /// The meaning of the message on any machine.
    pub meaning: &'static str,
    /// The checks that may find the cause.
    pub checks: &'static [&'static str],
    /// The commands if no check found a cause: `{register}` becomes the command that registers the system, `{system}`
    /// QEMU's name of it, and `{nix}` Nix's name.
    pub fallback: &'static [&'static str],
    /// The commands that follow in any case, after the repair of the cause.
    pub next_steps: &'static [&'static str],
    /// The vaguer messages that this one covers, and that are dropped.
    pub covers: &'static [&'static str],
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
    "interpreter-unfit",
    "interpreter-not-executable",
    "interpreter-noexec",
    "does-not-run",
    "lxc-refuses",
    "own-table",
    "dies-with-container",
    "nix-promises-too-much",
];

/// Returns all messages, the most exact first.
pub fn all_messages() -> impl Iterator<Item = &'static KnownMessage> {
    [nix::KNOWN, qemu::KNOWN, kernel::KNOWN].into_iter().flatten()
}
