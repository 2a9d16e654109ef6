//! The letters at the end of a rule: `P`, `O`, `C` and `F`.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::RuleError;

/// The flags of a rule, as `check_special_flags` of the kernel's `fs/binfmt_misc.c` knows them.
///
/// The kernel reads the letters in any order and as often as they come, and prints them as `POCF`.
/// Linux 7.3 adds further letters (`T`, `L`, `D`); this crate rejects them, as every older kernel does.
#[expect(clippy::struct_excessive_bools, reason = "four independent switches, exactly as the kernel has them")]
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
}

impl Flags {
    /// Returns the flags that the kernel stores for these: `C` implies `O`.
    #[must_use]
    pub fn normalised(self) -> Self {
        Self { open_binary: self.open_binary || self.credentials, ..self }
    }

    /// Parses letters as the kernel does; the result is [normalised](Self::normalised).
    pub fn parse(letters: &[u8]) -> Result<Self, RuleError> {
        let mut flags = Self::default();
        for &letter in letters {
            match letter {
                b'P' => flags.preserve_argv0 = true,
                b'O' => flags.open_binary = true,
                b'C' => flags.credentials = true,
                b'F' => flags.fix_binary = true,
                other => return Err(RuleError::Flag(other)),
            }
        }
        Ok(flags.normalised())
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
        let letters =
            [(self.preserve_argv0, 'P'), (self.open_binary, 'O'), (self.credentials, 'C'), (self.fix_binary, 'F')];
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
    fn credentials_bring_the_open_binary() {
        assert_eq!(Flags::parse(b"C").map(|f| f.to_string()), Ok("OC".into()));
    }

    #[test]
    fn other_letters_are_refused() {
        assert_eq!(Flags::parse(b"Pf"), Err(RuleError::Flag(b'f')));
        assert_eq!(Flags::parse(b"T"), Err(RuleError::Flag(b'T')));
    }
}
