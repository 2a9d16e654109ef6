//! Hints: what repairs a failure.

use std::io;
use std::path::Path;

use super::Error;
use crate::sanitize::{AsText as _, command};

const TRY_QEMU: &str = "try another QEMU: --source download, or --qemu PATH";

impl Error {
    /// Returns what repairs the failure, if that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { source, path, .. } => return io_hint(source, path),
            Self::UnknownSystem(_) => format!("{} list shows every system and its names", command::program()),
            Self::Native { .. } => "nothing needs to be registered for them".into(),
            Self::NotRoot { line, .. } => format!("run: {line}"),
            Self::Unsupported { hint, .. } | Self::Conflict { hint, .. } if hint.is_empty() => return None,
            Self::Unsupported { hint, .. } | Self::Conflict { hint, .. } => hint.clone(),
            Self::Locked { hint, .. } => (*hint).to_owned(),
            Self::Unfit { .. } => {
                "a statically linked qemu-user for this machine is needed; choose another with --source or --qemu".into()
            }
            Self::NoInterpreter { .. } => "download one with --source download, or name one with --qemu PATH".into(),
            Self::Untrusted(_) => {
                "choose a place that only root can change; if no other user needs this one, make root its owner and remove \
                 write permission for group and others (chown root, chmod go-w)"
                    .into()
            }
            Self::NotProven { is_system: true, .. } => TRY_QEMU.into(),
            Self::NotWorking { name, .. } if is_entry_of_system(name) => TRY_QEMU.into(),
            Self::NotWorking { .. } | Self::NotProven { .. } => {
                "try another emulator: --emulator PATH, or for a rule of your own, another interpreter".into()
            }
            Self::Receipt { path, .. } => format!(
                "unregister needs the receipt to undo changes; if it cannot be repaired, move {} aside and register again",
                path.as_text()
            ),
            Self::Archive { .. } => {
                "--from accepts a .deb, an .apk, a tar archive (plain or compressed by gzip, xz, zstd), a directory, or a program"
                    .into()
            }
            Self::Other(failure) => return failure.hint(),
            Self::Offline { .. } => {
                "on a machine with network access run: binfmt-nix fetch SYSTEM -o FILE; then use --from FILE here".into()
            }
            Self::Command { .. }
            | Self::Digest { .. }
            | Self::Interrupted { .. }
            | Self::Usage(_)
            | Self::RuleBreaksHost { .. }
            | Self::Refused { .. }
            | Self::Rule(_) => {
                return None;
            }
        })
    }

    /// Returns another way to what the user wanted, as words that follow "or".
    pub fn alternative(&self) -> Option<String> {
        match self {
            Self::NotRoot { rootless: Some(line), .. } => Some(format!("for one command and without root: {line}")),
            Self::Other(failure) => failure.alternative(),
            _ => None,
        }
    }
}

/// Whether an entry of this tool has such a name for a system, and not for a rule.
fn is_entry_of_system(name: &str) -> bool {
    name.starts_with("qemu-") || (name.starts_with("binfmt-nix-") && !name.starts_with("binfmt-nix-rule-"))
}

fn io_hint(source: &io::Error, path: &Path) -> Option<String> {
    let hint = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("free some space on the file system of {}, which is in the list of: df -h", path.as_text())
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("{} is on a read-only file system; remount it writable", path.as_text())
        }
        io::ErrorKind::PermissionDenied => "run this as root".into(),
        _ => return None,
    };
    Some(hint)
}
