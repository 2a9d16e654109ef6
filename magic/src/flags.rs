//! The letters at the end of a rule: `P`, `O`, `C` and `F`, and from Linux 7.3 on `T`, `L` and `D`.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::RuleError;

/// The flags of a rule, as `misc_flags` and `create_entry` of the kernel's `fs/binfmt_misc.c` know them.
///
/// The kernel reads the letters in any order and as often as they come, and prints them as `POCFTL`. Kernels before
/// Linux 7.3 reject `T`, `L` and `D`.
#[expect(clippy::struct_excessive_bools, reason = "independent switches, exactly as the kernel has them")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// `P`: the program's own argv\[0\] is passed on, after the interpreter's name and the path.
    pub preserve_argv0: bool,
    /// `O`: the program is passed as an open file (`AT_EXECFD`).
    pub open_binary: bool,
    /// `C`: the process gets the credentials of the program, not of the interpreter; implies `O`.
    pub credentials: bool,
    /// `F`: the interpreter is opened at registration and held, so that it works in every mount namespace.
    pub fix_binary: bool,
    /// `T`: the arguments and `/proc/PID/exe` stay those of the program. The interpreter gets the program as an open file
    /// only (`AT_EXECFD`), and has to be made for that; implies `O`, and excludes `P`.
    pub transparent: bool,
    /// `L`: the kernel runs the program itself, with the interpreter instead of the loader that it names (`PT_INTERP`).
    /// Only `F` goes with it.
    pub loader: bool,
    /// `D`: the entry is registered disabled. The kernel does not store this flag.
    pub disabled: bool,
}

impl Flags {
    /// Returns the flags that the kernel stores for these: `C` and `T` imply `O`, and `D` is not stored.
    #[must_use]
    pub fn normalised(self) -> Self {
        Self { open_binary: self.open_binary || self.credentials || self.transparent, disabled: false, ..self }
    }

    /// Whether only Linux 7.3 and newer accept a rule with these flags
    #[must_use]
    pub fn needs_linux_7_3(self) -> bool {
        self.transparent || self.loader || self.disabled
    }

    /// Checks which flags exclude each other, as `create_entry` does.
    pub(crate) fn check(self) -> Result<(), RuleError> {
        let excludes = |with: bool, others: &'static str| if with { Err(RuleError::FlagPair(others)) } else { Ok(()) };
        excludes(self.transparent && self.preserve_argv0, "T excludes P")?;
        let other = self.transparent || self.preserve_argv0 || self.credentials || self.open_binary;
        excludes(self.loader && other, "L excludes P, O, C and T")
    }

    /// Parses letters as the kernel does. The letters that they imply are set.
    pub fn parse(letters: &[u8]) -> Result<Self, RuleError> {
        let mut flags = Self::default();
        for &letter in letters {
            match letter {
                b'P' => flags.preserve_argv0 = true,
                b'O' => flags.open_binary = true,
                b'C' => flags.credentials = true,
                b'F' => flags.fix_binary = true,
                b'T' => flags.transparent = true,
                b'L' => flags.loader = true,
                b'D' => flags.disabled = true,
                other => return Err(RuleError::Flag(other)),
            }
        }
        let flags = Self { disabled: flags.disabled, ..flags.normalised() };
        flags.check().map(|()| flags)
    }
}

impl FromStr for Flags {
    type Err = RuleError;

    fn from_str(letters: &str) -> Result<Self, RuleError> {
        Self::parse(letters.as_bytes())
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [
            (self.preserve_argv0, 'P'),
            (self.open_binary, 'O'),
            (self.credentials, 'C'),
            (self.fix_binary, 'F'),
            (self.transparent, 'T'),
            (self.loader, 'L'),
            (self.disabled, 'D'),
        ];
        letters.into_iter().filter(|(set, _)| *set).try_for_each(|(_, letter)| f.write_char(letter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_order_and_repeats_are_read_and_the_kernels_order_is_printed() {
        assert_eq!(Flags::parse(b"FPFP").map(|f| f.to_string()), Ok("PF".into()));
        assert_eq!("FCOP".parse::<Flags>().map(|f| f.to_string()), Ok("POCF".into()));
        assert_eq!(Flags::parse(b""), Ok(Flags::default()));
    }

    #[test]
    fn implied_flags_are_set() {
        assert_eq!(Flags::parse(b"C").map(|f| f.to_string()), Ok("OC".into()));
        assert_eq!(Flags::parse(b"T").map(|f| f.to_string()), Ok("OT".into()));
    }

    #[test]
    fn flags_that_exclude_each_other_are_refused() {
        for letters in ["TP", "LP", "LO", "LC", "LT"] {
            assert!(matches!(Flags::parse(letters.as_bytes()), Err(RuleError::FlagPair(_))), "{letters}");
        }
        assert_eq!(Flags::parse(b"DTCF").map(|f| f.to_string()), Ok("OCFTD".into()));
        assert_eq!(Flags::parse(b"LFD").map(|f| f.normalised().to_string()), Ok("FL".into()));
    }

    #[test]
    fn other_letters_are_refused() {
        assert_eq!(Flags::parse(b"Pf"), Err(RuleError::Flag(b'f')));
        assert_eq!(Flags::parse(b"B"), Err(RuleError::Flag(b'B')));
    }
}
