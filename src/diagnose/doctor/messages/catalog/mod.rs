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
    /// The program that prints it.
    pub printed_by: &'static str,
    /// The wordings. One of them matches if the text has all its words, in this order.
    pub wordings: &'static [&'static [&'static str]],
    /// Its meaning on any machine.
    pub meaning: &'static str,
    /// The checks that may find its cause.
    pub checks: &'static [&'static str],
    /// The commands if no check found a cause: `{register}` becomes the command that registers the system, `{system}`
    /// QEMU's name of it, and `{nix}` Nix's name.
    pub fallback: &'static [&'static str],
    /// The commands to give in any case, after those.
    pub next_steps: &'static [&'static str],
    /// The vaguer messages that it covers, which are dropped.
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

/// All messages, the most exact first.
pub fn all_messages() -> impl Iterator<Item = &'static KnownMessage> {
    [nix::KNOWN, qemu::KNOWN, kernel::KNOWN].into_iter().flatten()
}
