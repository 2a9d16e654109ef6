//! Facts for a boot hook: what its objects are, and what exists at their paths.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::binfmt::boot::Boot;
use crate::binfmt::boot_hook::{BootHook, HookObject, renumbered_link};
use crate::binfmt::init_system::WSL_CONF;
use crate::error::{Error, Result};
use crate::host::{self, FileId, Host};
use crate::paths;
use crate::sha256::Sha256;

/// Program that a boot hook starts. It is never the file that happened to run `register`, which any user may own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookProgram {
    /// The program of a package is this program, and only root can change it.
    Packaged,
    /// A copy of this program, with this digest.
    Copy(Sha256),
}

/// What a plan needs to know about a boot hook.
#[derive(Debug, Clone)]
pub struct HookInputs {
    /// Program that the hook starts.
    pub program: HookProgram,
    /// Objects of the hook.
    pub objects: Vec<HookObject>,
    /// Symbolic links that exist at the paths of the hook's links, with their targets.
    pub links: BTreeMap<PathBuf, Option<PathBuf>>,
    /// Text of /etc/wsl.conf.
    pub wsl_conf: String,
}

impl HookInputs {
    /// Reads the facts. `None` if the machine needs no hook, or no hook is possible.
    pub(super) fn gather(host: &Host, boot: &Boot) -> Result<Option<Self>> {
        let Some(hook) = boot.hook.as_ref().and_then(|state| state.hook.as_ref().ok()) else { return Ok(None) };
        let program = choose_program(host)?;
        let objects = hook.objects(program.path());
        let links = objects.iter().filter_map(|object| match object {
            HookObject::Link { path, .. } => {
                let now = renumbered_link(host, path);
                host.exists(&now).then(|| (path.clone(), host.read_link(&now)))
            }
            HookObject::File { .. } | HookObject::BootCommand { .. } => None,
        });
        let links = links.collect();
        let wsl_conf = match hook {
            BootHook::Wsl => host.read_file(Path::new(WSL_CONF))?.unwrap_or_default(),
            _ => Vec::new(),
        };
        Ok(Some(Self { program, links, objects, wsl_conf: String::from_utf8_lossy(&wsl_conf).into_owned() }))
    }

    /// Returns the paths of the files that the hook may have, the copy of the program included.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let files = self.objects.iter().filter_map(|object| match object {
            HookObject::File { path, .. } => Some(PathBuf::from(path)),
            HookObject::Link { .. } | HookObject::BootCommand { .. } => None,
        });
        files.chain([PathBuf::from(paths::PROGRAM)])
    }
}

impl HookProgram {
    /// Path of the program.
    pub fn path(self) -> &'static Path {
        Path::new(match self {
            Self::Packaged => paths::PACKAGED_PROGRAM,
            Self::Copy(_) => paths::PROGRAM,
        })
    }
}

fn choose_program(host: &Host) -> Result<HookProgram> {
    let own_path = host::env::own_path();
    let failed = |e| Error::io("read", &own_path, e);
    let packaged = Path::new(paths::PACKAGED_PROGRAM);
    let found = host.lstat(packaged)?.map(|meta| FileId::from_metadata(&meta));
    if found == Some(host::env::own_file_id().map_err(failed)?) && host.open_trusted(packaged).is_ok() {
        return Ok(HookProgram::Packaged);
    }
    let mut file = host::env::open_own_program().map_err(failed)?;
    Sha256::of_reader(&mut file).map(HookProgram::Copy).map_err(failed)
}
