//! Nix: its configuration, what it answers, and the daemon that reads it once.
//!
//! Nix never looks at binfmt_misc; it builds for what `extra-platforms` lists
//! (Nix 2.36, `derivation-building-goal.cc`). So it has to be told.

pub mod conf;
pub mod config_show;
pub mod daemon;
pub mod env;
pub mod machines;
pub mod settings;
pub mod test_build;

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::host::Host;
use crate::nix::config_show::NixConfig;
use crate::paths::{NIX_CONFS, NIX_DIR};

/// What a machine shows of Nix.
#[derive(Debug, Clone)]
pub struct Nix {
    /// The path that shows Nix is here; none: no trace of it.
    pub trace: Option<PathBuf>,
    /// The nix.conf that may be edited (Determinate: nix.custom.conf).
    pub conf: PathBuf,
    /// Its state.
    pub state: ConfState,
    /// What Nix says of itself; asked only where nix.conf is left alone, as
    /// somebody may have put the lines there.
    pub answer: Option<NixConfig>,
}

/// What can be done with nix.conf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfState {
    /// It does not exist.
    Absent,
    /// A plain file with this content.
    Editable(Vec<u8>),
    /// Not ours to change, and why: the lines are printed instead.
    LeaveAlone(String),
}

/// Looks for Nix. An unreadable nix.conf is an error: nothing is planned around
/// a file that could not be seen.
pub fn detect_nix(host: &Host) -> Result<Nix> {
    let traces = ["/nix/store", NIX_DIR, "/nix/var/nix/profiles/default/bin/nix", "/usr/bin/nix", "/usr/local/bin/nix"];
    let trace = traces.iter().map(Path::new).find(|path| host.exists(path));
    let conf = editable_conf(host);
    let state = conf_state(host, &conf)?;
    let answer = if matches!(state, ConfState::LeaveAlone(_)) { config_show::show_config(host) } else { None };
    Ok(Nix { trace: trace.map(Path::to_owned), conf, state, answer })
}

/// Determinate Nix owns nix.conf and rewrites it; people's settings go to the
/// nix.custom.conf that it includes (nix-installer 3.21).
fn editable_conf(host: &Host) -> PathBuf {
    let [plain, custom] = NIX_CONFS.map(Path::new);
    let determinate = ["/usr/local/bin/determinate-nixd", "/nix/var/determinate"];
    let included = host.read_lossy(plain).is_some_and(|text| conf::has_include(text.as_bytes(), "nix.custom.conf"));
    let uses_custom_conf = included && determinate.iter().any(|path| host.exists(Path::new(path)));
    if uses_custom_conf { custom.to_owned() } else { plain.to_owned() }
}

fn conf_state(host: &Host, conf: &Path) -> Result<ConfState> {
    let leave = |why: &str| Ok(ConfState::LeaveAlone(why.to_owned()));
    let dir = Path::new(NIX_DIR);
    if host.lstat(dir)?.is_some_and(|meta| meta.is_symlink()) {
        return leave("its directory is a symbolic link");
    }
    match host.lstat(conf)? {
        None if host.exists(dir) && host.is_read_only_fs(dir) => leave("it is on a read-only file system"),
        None => Ok(ConfState::Absent),
        Some(meta) if meta.is_symlink() => leave("it is a symbolic link, so something else generates it"),
        Some(meta) if host.is_read_only_fs(conf) || meta.permissions().readonly() => leave("it is read-only"),
        Some(_) if host.is_mount_point(conf) => leave("it is a mount point and cannot be replaced (EBUSY)"),
        Some(_) => Ok(ConfState::Editable(host.read_file(conf)?.unwrap_or_default())),
    }
}
