//! SELinux: whether the loaded policy lets QEMU make generated code executable, and how files get the type of programs.
//!
//! QEMU generates code in memory and makes it executable (`tcg_region_init`, QEMU's `tcg/region.c`). Policies call this
//! `execmem`, and each of them has one boolean that decides it for all programs of the host. The decisions are pure.

use std::fmt::Display;
use std::path::Path;

use crate::error::{ExitCode, Failure};
use crate::host::Host;

/// The boolean of a policy that decides about executable memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecmemBoolean {
    /// `allow_execmem`, with its value (refpolicy, Debian).
    Allow(bool),
    /// `deny_execmem`, with its value (Fedora).
    Deny(bool),
}

/// SELinux on a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selinux {
    /// Whether SELinux denies what the policy does not allow.
    pub is_enforcing: bool,
    /// The boolean of the loaded policy that decides about executable memory.
    pub execmem: Option<ExecmemBoolean>,
    /// Whether semanage(8) is installed, which changes the types of paths permanently.
    pub has_semanage: bool,
}

impl Selinux {
    /// Reads the state of SELinux. The files of booleans have the current and the pending value.
    pub fn read(host: &Host) -> Self {
        let read = |path: &str| host.read_lossy(&Path::new("/sys/fs/selinux").join(path));
        let boolean = |name: &str| Some(read(&format!("booleans/{name}"))?.starts_with('1'));
        let allow = || boolean("allow_execmem").map(ExecmemBoolean::Allow);
        Self {
            is_enforcing: read("enforce").is_some_and(|text| text.trim() == "1"),
            execmem: boolean("deny_execmem").map(ExecmemBoolean::Deny).or_else(allow),
            has_semanage: host.exists(Path::new("/usr/sbin/semanage")),
        }
    }

    /// Returns the command of root, without sudo, that lets QEMU make code executable; `None` if no boolean forbids it.
    pub fn execmem_command(&self) -> Option<&'static str> {
        match self.execmem.filter(|_| self.is_enforcing)? {
            ExecmemBoolean::Allow(false) => Some("setsebool -P allow_execmem on"),
            ExecmemBoolean::Deny(true) => Some("setsebool -P deny_execmem off"),
            ExecmemBoolean::Allow(true) | ExecmemBoolean::Deny(false) => None,
        }
    }

    /// Describes why QEMU could not make code executable; `None` if SELinux is not enforcing.
    pub fn describe_execmem(&self) -> Option<&'static str> {
        self.is_enforcing.then(|| match self.execmem_command() {
            Some(_) => {
                "SELinux forbids QEMU to make its code executable (execmem), and a boolean of the policy decides this for \
                 the whole host"
            }
            None => "SELinux forbids QEMU to make its code executable (execmem) in this domain, and no boolean decides it",
        })
    }

    /// Returns the commands of root, without sudo, that give a file the type of programs. `path` is quoted. With
    /// `has_right_default`, the policy defines this type for the path already.
    pub fn relabel_commands(&self, path: &dyn Display, has_right_default: bool) -> Vec<String> {
        let restore = format!("restorecon -F -v {path}");
        match (has_right_default, self.has_semanage) {
            (true, _) => vec![restore],
            (false, true) => vec![format!("semanage fcontext -a -t bin_t {path}"), restore],
            (false, false) => vec![format!("chcon -t bin_t {path}")],
        }
    }
}

/// QEMU may not make its code executable.
#[derive(Debug, thiserror::Error)]
#[error("{name} was registered but does not work: {cause}; the entry was removed again")]
pub struct ExecmemDenied {
    name: String,
    cause: &'static str,
    command: Option<&'static str>,
}

impl ExecmemDenied {
    /// Creates the error for an entry; `None` if SELinux is not enforcing.
    pub fn for_entry(name: &str, selinux: &Selinux) -> Option<Self> {
        let cause = selinux.describe_execmem()?;
        Some(Self { name: name.to_owned(), cause, command: selinux.execmem_command() })
    }
}

impl Failure for ExecmemDenied {
    fn hint(&self) -> Option<String> {
        let command = self.command?;
        Some(format!("to allow it to every program on this host, run as root: {command}"))
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Unsupported
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enforcing(execmem: Option<ExecmemBoolean>) -> Selinux {
        Selinux { is_enforcing: true, execmem, has_semanage: false }
    }

    #[test]
    fn the_boolean_of_the_loaded_policy_is_named() {
        for (execmem, command) in [
            (Some(ExecmemBoolean::Allow(false)), Some("setsebool -P allow_execmem on")),
            (Some(ExecmemBoolean::Deny(true)), Some("setsebool -P deny_execmem off")),
            (Some(ExecmemBoolean::Allow(true)), None),
            (Some(ExecmemBoolean::Deny(false)), None),
            (None, None),
        ] {
            let selinux = enforcing(execmem);
            assert_eq!(selinux.execmem_command(), command, "{execmem:?}");
            assert!(selinux.describe_execmem().is_some_and(|why| why.contains("execmem")), "{execmem:?}");
            let permissive = Selinux { is_enforcing: false, ..selinux };
            assert_eq!((permissive.execmem_command(), permissive.describe_execmem()), (None, None));
        }
        let error = ExecmemDenied::for_entry("qemu-arm", &enforcing(Some(ExecmemBoolean::Allow(false))));
        assert!(error.is_some_and(|error| error.exit_code() == ExitCode::Unsupported
            && error.hint().is_some_and(|hint| hint.contains("every program on this host"))));
    }

    #[test]
    fn labels_are_changed_for_good_where_that_is_possible() {
        let (with, without) = (Selinux { has_semanage: true, ..enforcing(None) }, enforcing(None));
        assert_eq!(without.relabel_commands(&"/x", true), ["restorecon -F -v /x"]);
        assert_eq!(without.relabel_commands(&"/x", false), ["chcon -t bin_t /x"]);
        let commands = with.relabel_commands(&"/x", false);
        assert_eq!(commands, ["semanage fcontext -a -t bin_t /x", "restorecon -F -v /x"]);
    }
}
