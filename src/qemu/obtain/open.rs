//! Opens an external source: downloads it if it is on a server, and compares it with its digest if it has one.
//!
//! No byte of the source has been parsed when [`open_source`] returns.

use crate::qemu::oci::pull;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use super::ObtainContext;
use super::source::{ExternalSource, Location};
use crate::error::{Error, Result};
use crate::host;
use crate::qemu::archive::MAX_TOTAL;
use crate::qemu::archive::unpack::ImageLayers;
use crate::qemu::binary::QemuVersion;
use crate::qemu::download;
use crate::qemu::download::resume::FileRequest;
use crate::sanitize::AsText as _;
use crate::sha256::Sha256;

/// An open external source that may contain emulators.
#[derive(Debug)]
pub struct OpenedSource {
    /// Name of the source, for people.
    pub shown: String,
    /// Open content.
    pub content: Content,
    /// Digest of an archive that no other process can change any more; its emulators are cached by it.
    pub sha256: Option<Sha256>,
    /// Note about the download, for the user.
    pub note: Option<String>,
    /// Release of the emulators, if the publisher states it.
    pub release: Option<QemuVersion>,
}

/// Open content of an external source.
#[derive(Debug)]
pub enum Content {
    /// A directory on this machine.
    Directory(PathBuf),
    /// The layers of an image; their digests are verified.
    Layers(ImageLayers),
    /// An archive or a program. If the source has a digest, it is verified, and no other process can change the file any more.
    Archive(File),
}

/// Opens an external source for `machine` (`uname -m`). With `copies`, the emulators of a local archive will be cached: it
/// is copied, so that its digest is that of the bytes that are unpacked.
pub fn open_source(
    context: ObtainContext<'_>,
    from: &ExternalSource,
    machine: &str,
    copies: bool,
) -> Result<OpenedSource> {
    let ObtainContext { host, ui, network } = context;
    let mut shown = from.to_string();
    let mut sha256 = from.sha256;
    let (content, note) = match &from.location {
        Location::Path(path) => {
            let (content, digest) = open_local(path, from.sha256, copies)?;
            sha256 = digest;
            (content, None)
        }
        Location::Url(url) => {
            let name = shown.split('?').next().and_then(|path| path.rsplit('/').next()).unwrap_or(&shown);
            let request = FileRequest {
                name,
                urls: std::slice::from_ref(url),
                mirrored: false,
                size: None,
                max_size: MAX_TOTAL,
                sha256: from.sha256,
                keep: false,
            };
            let downloaded = download::resume::download_file(host, ui, network, &request)?;
            (Content::Archive(downloaded.file), downloaded.note)
        }
        Location::Image(image) => {
            let (pulled, note) = pull::pull_image(host, ui, network, image, machine)?;
            // A tag can move to another image, so the name is the one with the digest.
            shown = pulled.pinned.to_string();
            (Content::Layers(pulled.layers), note)
        }
    };
    Ok(OpenedSource { shown, content, sha256, note, release: None })
}

/// The maximum size of an archive that is copied only to cache its emulators: three times the largest known one.
const MAX_CACHED: u64 = 256 << 20;

fn open_local(path: &Path, wanted: Option<Sha256>, copies: bool) -> Result<(Content, Option<Sha256>)> {
    if host::user_files::is_dir(path) {
        return match wanted {
            Some(_) => Err(Error::Usage("--sha256 needs a file, but --from names a directory".into())),
            None => Ok((Content::Directory(path.to_owned()), None)),
        };
    }
    let file = host::user_files::open_regular(path)?;
    if wanted.is_none() && !(copies && is_worth_caching(&file, path)?) {
        return Ok((Content::Archive(file), None));
    }
    let (copy, digest) = copy_and_hash(file, path)?;
    check_digest(path, digest, wanted)?;
    Ok((Content::Archive(copy), Some(digest)))
}

/// Returns the digest of a local archive, by which its emulators may be in the cache; `None` if they never are.
///
/// # Errors
/// The digest is not the one that the user gave.
pub fn hash_archive(path: &Path, wanted: Option<Sha256>) -> Result<Option<Sha256>> {
    if host::user_files::is_dir(path) {
        return Ok(None);
    }
    let mut file = host::user_files::open_regular(path)?;
    if !is_worth_caching(&file, path)? {
        return Ok(None);
    }
    let digest = file.rewind().and_then(|()| Sha256::of_reader(&mut file)).map_err(|e| Error::io("read", path, e))?;
    check_digest(path, digest, wanted)?;
    Ok(Some(digest))
}

/// Whether a file is an archive of a usual size. A single program is not unpacked.
fn is_worth_caching(file: &File, path: &Path) -> Result<bool> {
    const MAGIC: &[u8] = b"\x7fELF";
    let io = |e| Error::io("read", path, e);
    let head = host::user_files::read_head(file, MAGIC.len() as u64).map_err(io)?;
    Ok(head != MAGIC && file.metadata().map_err(io)?.len() <= MAX_CACHED)
}

fn check_digest(path: &Path, actual: Sha256, wanted: Option<Sha256>) -> Result<()> {
    match wanted {
        Some(expected) if actual != expected => Err(Error::Digest { what: path.as_text(), actual, expected }),
        _ => Ok(()),
    }
}

/// Copies an archive into memory, where no other process can change it, and returns the digest of the copy.
fn copy_and_hash(mut archive: File, path: &Path) -> Result<(File, Sha256)> {
    let io = |e| Error::io("read", path, e);
    if archive.metadata().map_err(io)?.len() > MAX_TOTAL {
        let why = format!("it has more than {MAX_TOTAL} bytes, too many to be kept in memory and compared");
        return Err(Error::Archive { path: path.to_owned(), why });
    }
    let mut copy = host::memfd::create_scratch().map_err(|e| Error::io("keep in memory", path, e))?;
    archive.rewind().map_err(io)?;
    io::copy(&mut archive.take(MAX_TOTAL), &mut copy).map_err(io)?;
    let digest = copy.rewind().and_then(|()| Sha256::of_reader(&mut copy)).map_err(io)?;
    copy.rewind().map_err(io)?;
    Ok((copy, digest))
}
