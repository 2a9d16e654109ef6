//! The messages that people bring: as they are printed, by whom, and which checks may know the cause.
//!
//! Each line says where its text was seen. All of them are compared in lower case, with blanks run together, so that a
//! text which a terminal broke over two lines is known too.

mod kernel;
mod nix;
mod qemu;

/// One message, in all its wordings.
#[derive(Debug)]
pub struct Known {
    /// Its name, which stays.
    pub id: &'static str,
    /// Who says it.
    pub by: &'static str,
    /// Any of these: all words of it, in this order.
    pub wordings: &'static [&'static [&'static str]],
    /// What it means, wherever it is said.
    pub means: &'static str,
    /// The checks that find what may be behind it.
    pub checks: &'static [&'static str],
    /// What to do if none of them found anything: lines, with `{register}` for the one that registers the system,
    /// `{system}` for QEMU's name of it, and `{nix}` for Nix's.
    pub otherwise: &'static [&'static str],
    /// What to do in any case, after that.
    pub then: &'static [&'static str],
    /// It says all that a vaguer one does: that one is left out.
    pub covers: &'static [&'static str],
}

/// A program ends because nothing runs it.
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

/// All of them, the most exact first.
pub fn all() -> impl Iterator<Item = &'static Known> {
    [nix::KNOWN, qemu::KNOWN, kernel::KNOWN].into_iter().flatten()
}
