//! What repairs a failure.

use std::io;
use std::path::Path;

use super::Error;

impl Error {
    /// What repairs it, where we know.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { source, path, .. } => return io_hint(source, path),
            Self::UnknownSystem(_) => "binfmt-nix list shows every system and its names".into(),
            Self::Native { .. } => "nothing needs to be registered for them".into(),
            Self::NotRoot { line, rootless } => {
                let rootless = rootless.as_ref().map(|line| format!("\nor, for one command and without root: {line}"));
                format!("run: {line}{}", rootless.unwrap_or_default())
            }
            Self::Unsupported { hint, .. } | Self::Conflict { hint, .. } => hint.clone(),
            Self::Locked { .. } => "wait for it to end, then run this again; --wait SECONDS waits longer".into(),
            Self::Unfit { .. } => {
                "it has to be a statically linked qemu-user for this machine; --source and --qemu choose another".into()
            }
            Self::NoInterpreter { .. } => "--source download fetches one, --qemu PATH names one".into(),
            Self::Untrusted(_) => {
                "make root its owner and take write permission from others (chown root, chmod go-w)".into()
            }
            Self::NotWorking { .. } => "try another QEMU: --source download, or --qemu PATH".into(),
            Self::Receipt { path, .. } => format!(
                "it says what unregister would take away; if it is beyond repair, move {} aside and register again",
                path.display()
            ),
            Self::Archive { .. } => {
                "--from takes a .deb, an .apk, a tar archive (plain or packed by gzip, xz, zstd), a directory, or a program"
                    .into()
            }
            Self::Other(failure) => return failure.hint(),
            Self::Offline { .. } => {
                "on a machine with a network, binfmt-nix fetch SYSTEM -o FILE writes what --from FILE takes here".into()
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
}

fn io_hint(source: &io::Error, path: &Path) -> Option<String> {
    let hint = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("free some space on the file system of {}; df -h shows it", path.display())
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("{} is on a read-only file system; remount it writable", path.display())
        }
        io::ErrorKind::PermissionDenied => "run it as root".into(),
        _ => return None,
    };
    Some(hint)
}
