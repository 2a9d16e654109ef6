//! Nix: finds its configuration, reads its effective settings, restarts its daemon, and makes test builds.
//!
//! Nix never reads the binfmt_misc table; it builds for the systems that `extra-platforms` lists (Nix 2.36,
//! `derivation-building-goal.cc`). So this tool has to configure Nix for each system.

pub mod build_user;
pub mod conf;
pub mod config_show;
pub mod daemon;
pub mod env;
pub mod machines;
pub mod program;
pub mod rebuild;
pub mod settings;
pub mod system_names;
pub mod test_build;
pub mod user_files;

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::host::Host;
use crate::nix::config_show::NixConfig;
use crate::paths::{NIX_CONFS, NIX_DIR};

/// The facts about Nix on a machine.
#[derive(Debug, Clone)]
pub struct Nix {
    /// The path that shows that Nix is installed; `None` if no such path exists.
    pub trace: Option<PathBuf>,
    /// The path of the nix.conf that may be edited (Determinate: nix.custom.conf).
    pub conf: PathBuf,
    /// The state of that file.
    pub state: ConfState,
    /// The effective settings of Nix. They are read only if this tool must not change nix.conf, because the user may
    /// have added the lines there.
    pub answer: Option<NixConfig>,
}

impl Nix {
    /// The facts of a machine on which nothing was read about Nix.
    pub fn unread() -> Self {
        Self { trace: None, conf: PathBuf::from(NIX_CONFS[0]), state: ConfState::Absent, answer: None }
    }
}

/// Whether this tool may change nix.conf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfState {
    /// The file does not exist.
    Absent,
    /// A plain file with this content.
    Editable(Vec<u8>),
    /// A file that this tool must not change, for this reason: the lines are printed instead.
    LeaveAlone(String),
}

/// Finds Nix and its configuration. An unreadable nix.conf is an error, because a plan must not ignore its content.
pub fn detect_nix(host: &Host) -> Result<Nix> {
    let traces = ["/nix/store", NIX_DIR, "/nix/var/nix/profiles/default/bin/nix", "/usr/bin/nix", "/usr/local/bin/nix"];
    let trace = traces.iter().map(Path::new).find(|path| host.exists(path));
    let conf = editable_conf(host);
    let state = conf_state(host, &conf)?;
    let answer = if matches!(state, ConfState::LeaveAlone(_)) { config_show::show_config(host).ok() } else { None };
    Ok(Nix { trace: trace.map(Path::to_owned), conf, state, answer })
}

/// Returns the path of the nix.conf that may be edited. Determinate Nix owns nix.conf and rewrites it; the user's
/// settings belong into nix.custom.conf, which nix.conf includes (nix-installer 3.21).
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
