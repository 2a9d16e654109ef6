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

/// Opens an external source for `machine` (`uname -m`).
pub fn open_source(context: ObtainContext<'_>, from: &ExternalSource, machine: &str) -> Result<OpenedSource> {
    let ObtainContext { host, ui, network } = context;
    let mut shown = from.to_string();
    let (content, note) = match &from.location {
        Location::Path(path) => (open_local(path, from.sha256)?, None),
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
    Ok(OpenedSource { shown, content, note, release: None })
}

fn open_local(path: &Path, sha256: Option<Sha256>) -> Result<Content> {
    match (host::user_files::is_dir(path), sha256) {
        (true, Some(_)) => Err(Error::Usage("--sha256 needs a file, but --from names a directory".into())),
        (true, None) => Ok(Content::Directory(path.to_owned())),
        (false, None) => Ok(Content::Archive(host::user_files::open_regular(path)?)),
        (false, Some(wanted)) => {
            Ok(Content::Archive(copy_verified(host::user_files::open_regular(path)?, path, wanted)?))
        }
    }
}

/// Copies an archive into memory, where no other process can change it, and compares the copy with its digest.
fn copy_verified(archive: File, path: &Path, wanted: Sha256) -> Result<File> {
    let io = |e| Error::io("read", path, e);
    if archive.metadata().map_err(io)?.len() > MAX_TOTAL {
        let why = format!("it has more than {MAX_TOTAL} bytes, too many to be kept in memory and compared");
        return Err(Error::Archive { path: path.to_owned(), why });
    }
    let mut copy = host::memfd::create_scratch().map_err(|e| Error::io("keep in memory", path, e))?;
    io::copy(&mut archive.take(MAX_TOTAL), &mut copy).map_err(io)?;
    let is = copy.rewind().and_then(|()| Sha256::of_reader(&mut copy)).map_err(io)?;
    copy.rewind().map_err(io)?;
    if is == wanted { Ok(copy) } else { Err(Error::Digest { what: path.as_text(), actual: is, expected: wanted }) }
}
