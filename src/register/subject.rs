//! Subject of an entry and of its artifacts: a system, or an own rule of the user.

use binfmt_magic::Arch;

/// What an entry, a file or a record is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A system of QEMU.
    System(&'static Arch),
    /// An own rule, by the name of its entry.
    Rule(String),
}

impl Subject {
    /// QEMU target of the system, or name of the rule.
    pub fn name(&self) -> &str {
        match self {
            Self::System(arch) => arch.target,
            Self::Rule(name) => name,
        }
    }
}
