//! Emulators in an image of a registry. As in `brought`, they are kept in memory and sealed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use binfmt_magic::Arch;

use super::brought::{Brought, no_memory};
use super::copies::{self, HostCopy};
use crate::error::{Error, Result};
use crate::fetcher::{self, Layers};
use crate::host::Host;
use crate::interpreter;

/// The emulators of these systems that are in an image, as its merged layers have them; at least one. `shown` is the
/// image.
pub fn from_layers(
    host: &Host,
    archs: &[&'static Arch],
    machine: &str,
    layers: Layers,
    shown: &str,
) -> Result<Brought> {
    let path = Path::new(shown);
    let targets: Vec<_> = archs.iter().map(|arch| arch.target).collect();
    // Known before large layers are read.
    drop(host.memory_to_seal().map_err(|e| no_memory(&e))?);
    let mut files: BTreeMap<String, File> = BTreeMap::new();
    let mut keep = |target: &str, bytes: &[u8]| {
        if !files.contains_key(target) {
            files.insert(target.to_owned(), host.memory_to_seal()?);
        }
        files.get_mut(target).ok_or(io::ErrorKind::NotFound)?.write_all(bytes)
    };
    let mut go_on = || host.interrupted().map_or(Ok(()), |signal| Err(Error::Interrupted { signal }));
    let (found, note) = fetcher::unpack_layers(layers, shown, &targets, &mut keep, &mut go_on)?;
    let mut copies = BTreeMap::new();
    for arch in archs.iter().filter(|arch| found.iter().any(|target| target == arch.target)) {
        let empty = || Error::Archive { path: path.to_owned(), why: format!("its qemu-{} is empty", arch.target) };
        let file = files.remove(arch.target).ok_or_else(empty)?;
        host.seal(&file).map_err(|e| Error::io("unpack", path, e))?;
        let verdict = copies::fit(host, arch, machine, file);
        copies.insert(arch.target, HostCopy { path: path.to_owned(), verdict });
    }
    if copies.is_empty() {
        let binary = match archs {
            [arch] => interpreter::binary(arch),
            _ => "QEMU".into(),
        };
        return Err(Error::NoInterpreter { binary, tried: format!("{shown} has none") });
    }
    Ok(Brought { copies, note })
}
