//! The program that reads binfmt.d at boot: whether it is installed, and whether it will be started.
//!
//! Only what files say is reported: a mask, a drop-in that starts nothing, a missing link in a `.wants` directory or a
//! runlevel. Forms were compared with `systemctl --root is-enabled` (systemd 252, measured).

use std::path::{Path, PathBuf};

use crate::binfmt::init_system::InitSystem;
use crate::error::Result;
use crate::host::Host;
use crate::sanitize::AsText as _;

/// Paths of the reader of systemd, also on NixOS.
const SYSTEMD_BINFMT: [&str; 3] = [
    "/usr/lib/systemd/systemd-binfmt",
    "/lib/systemd/systemd-binfmt",
    "/run/current-system/systemd/lib/systemd/systemd-binfmt",
];
const OPENRC_SCRIPT: &str = "/etc/init.d/binfmt";
const OPENRC_RUNLEVELS: &str = "/etc/runlevels";
const UNIT: &str = "systemd-binfmt.service";

/// Directories of units, highest precedence first (systemd.unit(5)).
const UNIT_DIRS: [&str; 6] = [
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The reader of Chimera's dinit, which its service `early-binfmt` starts (chimera-linux/dinit-chimera, `meson.build`).
const DINIT_READER: &str = "/usr/lib/dinit.d/early/helpers/binfmt";

/// The reason why nothing will read binfmt.d at the next boot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReaderProblem {
    /// No reader is installed.
    #[error("nothing on this system reads /etc/binfmt.d at boot (systemd's or OpenRC's binfmt service would)")]
    NotInstalled,
    /// Another init system than systemd is used, and only systemd's reader is installed.
    #[error("only systemd reads /etc/binfmt.d here, and {0} starts this machine instead of systemd")]
    OtherInit(String),
    /// The unit is masked by this file: a link to /dev/null, or an empty file.
    #[error("{UNIT} is masked by {}", .0.as_text())]
    Masked(PathBuf),
    /// The unit is masked on the command line of the kernel.
    #[error("{UNIT} is masked by the kernel's command line (systemd.mask={UNIT})")]
    MaskedByCommandLine,
    /// No unit starts it at boot.
    #[error("no target starts {UNIT} at boot: its link in sysinit.target.wants is missing")]
    NotWanted,
    /// A drop-in replaces what the unit starts, or a condition of it fails.
    #[error("line {number} of {} keeps {UNIT} from reading /etc/binfmt.d: {text}", file.as_text())]
    Overridden {
        /// File of the drop-in.
        file: PathBuf,
        /// Line number in the file, from 1.
        number: usize,
        /// The line.
        text: String,
    },
    /// The script of OpenRC is in no runlevel.
    #[error("OpenRC starts {OPENRC_SCRIPT} in no runlevel")]
    NotInRunlevel,
}

impl ReaderProblem {
    /// Returns the commands of root that let the reader work again, with the paths below the root of `host`. Empty if
    /// no command does that.
    pub fn repair(&self, quote: &dyn Fn(&Path) -> String) -> Vec<String> {
        match self {
            Self::NotInstalled | Self::OtherInit(_) | Self::MaskedByCommandLine => Vec::new(),
            Self::Masked(path) => vec![format!("rm {}", quote(path))],
            Self::NotWanted => {
                let dir = Path::new("/etc/systemd/system/sysinit.target.wants");
                let link = quote(&dir.join(UNIT));
                vec![format!("mkdir -p {}", quote(dir)), format!("ln -s /usr/lib/systemd/system/{UNIT} {link}")]
            }
            Self::Overridden { file, .. } => vec![format!("mv {0} {0}.off", quote(file))],
            Self::NotInRunlevel => {
                let dir = Path::new(OPENRC_RUNLEVELS).join("boot");
                vec![
                    format!("mkdir -p {}", quote(&dir)),
                    format!("ln -s {OPENRC_SCRIPT} {}", quote(&dir.join("binfmt"))),
                ]
            }
        }
    }
}

/// Finds the reason why nothing will read binfmt.d at boot. A reader counts only if the init system starts it: Debian
/// keeps the files of systemd beside sysvinit. `None` if a reader is installed and no file keeps it from being started.
pub(super) fn find_reader_problem(host: &Host, init: &InitSystem) -> Result<Option<ReaderProblem>> {
    let has_systemd = has_systemd_reader(host);
    let has_openrc = host.exists(Path::new(OPENRC_SCRIPT));
    match init {
        InitSystem::Systemd | InitSystem::Unknown if has_systemd => find_systemd_problem(host),
        InitSystem::OpenRc | InitSystem::Unknown if has_openrc => {
            Ok((!is_in_runlevel(host)?).then_some(ReaderProblem::NotInRunlevel))
        }
        InitSystem::Dinit if host.exists(Path::new(DINIT_READER)) => Ok(None),
        InitSystem::Systemd | InitSystem::Unknown => Ok(Some(ReaderProblem::NotInstalled)),
        _ if !has_systemd => Ok(Some(ReaderProblem::NotInstalled)),
        other => Ok(Some(ReaderProblem::OtherInit(other.to_string()))),
    }
}

/// Whether the reader of systemd is installed.
pub(super) fn has_systemd_reader(host: &Host) -> bool {
    SYSTEMD_BINFMT.iter().any(|path| host.exists(Path::new(path)))
}

fn is_in_runlevel(host: &Host) -> Result<bool> {
    let runlevels = Path::new(OPENRC_RUNLEVELS);
    Ok(host.list_dir(runlevels)?.iter().any(|level| host.exists(&runlevels.join(level).join("binfmt"))))
}

fn find_systemd_problem(host: &Host) -> Result<Option<ReaderProblem>> {
    let words = host.read_lossy(Path::new("/proc/cmdline")).filter(|_| host.is_live()).unwrap_or_default();
    if words
        .split_whitespace()
        .any(|word| [UNIT, "systemd-binfmt"].map(|unit| format!("systemd.mask={unit}")).contains(&word.to_owned()))
    {
        return Ok(Some(ReaderProblem::MaskedByCommandLine));
    }
    let units = UNIT_DIRS.iter().map(|dir| Path::new(dir).join(UNIT));
    let Some(unit) = units.into_iter().find(|path| host.exists(path)) else {
        // A system that keeps its units elsewhere.
        return Ok(None);
    };
    if is_null_or_empty(host, &unit)? {
        return Ok(Some(ReaderProblem::Masked(unit)));
    }
    if let Some(problem) = find_override(host)? {
        return Ok(Some(problem));
    }
    let is_wanted = UNIT_DIRS.iter().map(Path::new).any(|dir| {
        let targets = host.list_dir(dir).unwrap_or_default();
        let mut wants = targets
            .iter()
            .filter(|name| Path::new(name).extension().is_some_and(|ext| ext == "wants" || ext == "requires"));
        wants.any(|wants| host.exists(&dir.join(wants).join(UNIT)))
    });
    Ok((!is_wanted).then_some(ReaderProblem::NotWanted))
}

/// Whether a unit is masked (`null_or_empty_path` in systemd's `basic/stat-util.c`).
fn is_null_or_empty(host: &Host, path: &Path) -> Result<bool> {
    let Some(meta) = host.lstat(path)? else { return Ok(false) };
    Ok(if meta.is_symlink() {
        host.read_link(path).is_some_and(|to| to == Path::new("/dev/null"))
    } else {
        meta.len() == 0
    })
}

/// Finds a drop-in with which the unit does not start systemd-binfmt (systemd.unit(5), systemd.service(5)).
fn find_override(host: &Host) -> Result<Option<ReaderProblem>> {
    // The unit itself starts the reader.
    let mut found = None;
    for file in host.list_conf_files(UNIT_DIRS.map(|dir| Path::new(dir).join(format!("{UNIT}.d"))))? {
        let text = host.read_lossy(&file).unwrap_or_default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            let Some((key, value)) = line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) else {
                continue;
            };
            let overridden = || ReaderProblem::Overridden { file: file.clone(), number, text: line.to_owned() };
            match key {
                // An empty value forgets all commands before it.
                "ExecStart" if value.contains("systemd-binfmt") => found = None,
                "ExecStart" => found = Some(found.unwrap_or_else(overridden)),
                _ if key.starts_with("Condition") && fails_here(host, key, value) => return Ok(Some(overridden())),
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Whether a condition certainly fails. Others are left out: what they test is not known here.
fn fails_here(host: &Host, key: &str, value: &str) -> bool {
    let (negated, value) = value.strip_prefix('!').map_or((false, value), |value| (true, value));
    match key {
        "ConditionPathExists" if value.starts_with('/') => host.exists(Path::new(value)) == negated,
        // Ubuntu on WSL (ubuntu-pro-for-wsl#1165).
        "ConditionVirtualization" if value == "wsl" => {
            let release = host.read_lossy(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default();
            !release.is_empty() && release.to_lowercase().contains("microsoft") == negated
        }
        _ => false,
    }
}
