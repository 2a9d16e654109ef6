//! Emulators in an external source: a directory, an archive, an image, or a single program.
//!
//! The source is verified by its digest, or the user is responsible for it. Unpacked emulators are kept in sealed memory. So the
//! bytes that are validated here are the bytes that are installed later, and a search writes no file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::Path;

use binfmt_magic::Arch;

use super::open::{Content, OpenedSource};
use crate::error::{Error, Result};
use crate::host::env::kernel_release;
use crate::host::{self, FileId, Host};
use crate::qemu::archive::Manifest;
use crate::qemu::archive::supervise::UnpackSummary;
use crate::qemu::archive::unpack::{EmulatorSink, ImageLayers};
use crate::qemu::candidate::{self, Candidate, CandidateError, ValidatedBinary};
use crate::qemu::version_query::VersionQuery;
use crate::sanitize::AsText as _;
use crate::sha256::Sha256;

/// Emulators that were found in an external source.
#[derive(Debug, Default)]
pub struct UnpackedEmulators {
    /// Validated emulators, by target.
    pub copies: BTreeMap<&'static str, Candidate>,
    /// Note about protections that this kernel lacks, or about the download.
    pub note: Option<String>,
}

/// Finds the emulators of these systems in an external source. Fails if it has none of them.
pub fn unpack_emulators(
    host: &Host,
    archs: &[&'static Arch],
    machine: &str,
    opened: &OpenedSource,
    query: VersionQuery,
) -> Result<UnpackedEmulators> {
    let mut brought = match &opened.content {
        Content::Directory(dir) => search_directory(archs, machine, dir, query)?,
        Content::Layers(layers) => unpack_layers(host, archs, machine, layers, &opened.shown, query)?,
        Content::Archive(file) => unpack_archive(host, archs, machine, file, opened, query)?,
    };
    if brought.copies.is_empty() {
        let binary = match archs {
            [arch] => crate::paths::emulator_name(arch),
            _ => "QEMU".into(),
        };
        return Err(Error::NoInterpreter { binary, tried: format!("{} has none", opened.shown) });
    }
    brought.note = brought.note.or_else(|| opened.note.clone());
    Ok(brought)
}

fn search_directory(
    archs: &[&'static Arch],
    machine: &str,
    dir: &Path,
    query: VersionQuery,
) -> Result<UnpackedEmulators> {
    let mut copies = BTreeMap::new();
    for arch in archs {
        let name = crate::paths::emulator_name(arch);
        let paths = [dir.join(&name), dir.join(format!("{name}-static"))];
        let existing: Vec<_> = paths.iter().filter(|path| host::user_files::path_exists(path)).collect();
        let inode = |path: &Path| {
            let meta = host::user_files::open_regular(path)?.metadata();
            meta.map(|meta| FileId::from_metadata(&meta)).map_err(|e| Error::io("look at", path, e))
        };
        if let [one, other] = existing.as_slice()
            && inode(one)? != inode(other)?
        {
            let why = format!("it has two emulators for {}: {name} and {name}-static", arch.target);
            return Err(Error::Archive { path: dir.to_owned(), why });
        }
        copies.extend(
            existing.first().map(|path| (arch.target, candidate::validate_user_file(arch, machine, path, query))),
        );
    }
    Ok(UnpackedEmulators { copies, note: None })
}

fn unpack_archive(
    host: &Host,
    archs: &[&'static Arch],
    machine: &str,
    archive: &File,
    opened: &OpenedSource,
    query: VersionQuery,
) -> Result<UnpackedEmulators> {
    let path = Path::new(&opened.shown);
    let archive = archive.try_clone().map_err(|e| Error::io("read", path, e))?;
    // An emulator for another machine cannot be run to query its release.
    let release = opened.release.filter(|_| kernel_release().0 != machine);
    let validate = |arch: &Arch, file: File| match release {
        Some(release) => candidate::validate_with_release(machine, file, release),
        None => candidate::validate_binary(arch, machine, file, query),
    };
    unpack_in_worker(host, archs, machine, path, &validate, |targets, keep, go_on| {
        crate::qemu::archive::unpack::unpack_archive(archive, path, targets, keep, go_on)
    })
}

/// Finds emulators in the merged layers of an image.
fn unpack_layers(
    host: &Host,
    archs: &[&'static Arch],
    machine: &str,
    layers: &ImageLayers,
    shown: &str,
    query: VersionQuery,
) -> Result<UnpackedEmulators> {
    let path = Path::new(shown);
    let file = layers.file.try_clone().map_err(|e| Error::io("read", path, e))?;
    let layers = ImageLayers { file, lengths: layers.lengths.clone() };
    let validate = |arch: &Arch, file: File| candidate::validate_binary(arch, machine, file, query);
    unpack_in_worker(host, archs, machine, path, &validate, |targets, keep, go_on| {
        crate::qemu::archive::unpack::unpack_layers(layers, shown, targets, keep, go_on)
    })
}

/// Runs `unpack` for these targets, stores the emulators in memory, and validates them.
fn unpack_in_worker(
    host: &Host,
    archs: &[&'static Arch],
    machine: &str,
    path: &Path,
    validate: &dyn Fn(&Arch, File) -> std::result::Result<ValidatedBinary, CandidateError>,
    unpack: impl FnOnce(
        &[&str],
        &mut EmulatorSink<'_>,
        &mut dyn FnMut() -> Result<()>,
    ) -> Result<(UnpackSummary, Option<String>)>,
) -> Result<UnpackedEmulators> {
    // Fails before a large archive is read.
    drop(host::memfd::create_sealable().map_err(|e| memfd_error(&e))?);
    let targets: Vec<_> = archs.iter().map(|arch| arch.target).collect();
    let mut files: BTreeMap<String, File> = BTreeMap::new();
    let mut keep = |target: &str, bytes: &[u8]| {
        if !files.contains_key(target) {
            files.insert(target.to_owned(), host::memfd::create_sealable()?);
        }
        files.get_mut(target).ok_or(io::ErrorKind::NotFound)?.write_all(bytes)
    };
    let mut go_on = || host.pending_signal().map_or(Ok(()), |signal| Err(Error::Interrupted { signal }));
    let (unpacked, note) = unpack(&targets, &mut keep, &mut go_on)?;
    if let Some(manifest) = &unpacked.manifest {
        check_bundle_complete(manifest, &unpacked.targets, machine, path)?;
    }
    let mut copies = BTreeMap::new();
    for arch in archs.iter().filter(|arch| unpacked.targets.iter().any(|target| target == arch.target)) {
        let empty = || Error::Archive { path: path.to_owned(), why: format!("its qemu-{} is empty", arch.target) };
        let mut file = files.remove(arch.target).ok_or_else(empty)?;
        host::memfd::seal_program(&file).map_err(|e| Error::io("unpack", path, e))?;
        let listed = unpacked.manifest.as_ref().and_then(|manifest| manifest.find_file(arch.target));
        if let Some(wanted) = listed.map(|listed| listed.sha256) {
            let is = hash_file(&mut file, path)?;
            check_digest(is, wanted, || format!("qemu-{} in {}", arch.target, path.as_text()))?;
        }
        let verdict = validate(arch, file);
        copies.insert(arch.target, Candidate { path: path.to_owned(), verdict });
    }
    Ok(UnpackedEmulators { copies, note })
}

/// `vm.memfd_noexec` = 2 (sysctl/vm.rst) forbids programs in memory.
fn memfd_error(source: &io::Error) -> Error {
    Error::Unsupported {
        what: format!("cannot keep an emulator in memory, where archives are unpacked: {source}"),
        hint: "unpack it manually and pass the directory to --from; or as root: sysctl vm.memfd_noexec=0".into(),
    }
}

fn hash_file(file: &mut File, path: &Path) -> Result<Sha256> {
    file.rewind().and_then(|()| Sha256::of_reader(file)).map_err(|e| Error::io("read", path, e))
}

fn check_digest(is: Sha256, wanted: Sha256, what: impl Fn() -> String) -> Result<()> {
    if is == wanted { Ok(()) } else { Err(Error::Digest { what: what(), actual: is, expected: wanted }) }
}

/// Checks that a bundle is for this machine, and contains exactly the emulators that its manifest lists.
fn check_bundle_complete(manifest: &Manifest, found: &[String], machine: &str, path: &Path) -> Result<()> {
    if manifest.host != machine {
        return Err(Error::Unsupported {
            what: format!("{} is for {} machines, and this is {machine}", path.as_text(), manifest.host),
            hint: format!("binfmt-nix fetch --host {machine} writes one for this machine"),
        });
    }
    let invalid = |why: String| Err(Error::Archive { path: path.to_owned(), why });
    if let Some(target) = found.iter().find(|target| manifest.find_file(target).is_none()) {
        return invalid(format!("its MANIFEST.json does not list its qemu-{target}"));
    }
    match manifest.files.iter().find(|listed| !found.contains(&listed.target)) {
        Some(listed) => invalid(format!("its MANIFEST.json lists qemu-{}, which is missing", listed.target)),
        None => Ok(()),
    }
}
