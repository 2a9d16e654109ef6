//! Subject of an entry and of its artifacts: a system, or an own rule of the user.

use std::cmp::Ordering;

use binfmt_magic::Arch;

use crate::paths;

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

    /// Names that its entry may have: the second and those after it stand in for the first.
    pub fn entry_names(&self) -> [String; 4] {
        match self {
            Self::System(arch) => paths::entry_names(arch),
            Self::Rule(name) => paths::own_rule_entry_names(name),
        }
    }

    /// Word for the kind: `system` or `rule`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::System(_) => "system",
            Self::Rule(_) => "rule",
        }
    }

    /// Returns the system, if it is one.
    pub fn arch(&self) -> Option<&'static Arch> {
        match self {
            Self::System(arch) => Some(arch),
            Self::Rule(_) => None,
        }
    }
}

/// Systems come before rules, each by name.
impl Ord for Subject {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |subject: &Self| subject.arch().is_none();
        key(self).cmp(&key(other)).then_with(|| self.name().cmp(other.name()))
    }
}

impl PartialOrd for Subject {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
