//! Sources of emulators, as the user chooses them with `--source`, `--qemu`, `--qemu-version` and `--from`.

use std::fmt;
use std::path::PathBuf;

use crate::qemu::catalog::VersionRequest;
use crate::qemu::download::FileUrl;
use crate::qemu::oci::ImageReference;
use crate::sanitize::AsText as _;
use crate::sha256::Sha256;

/// Source of an emulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The installed copy, else a good one of the host, else the pinned download.
    Auto,
    /// The best emulator on the host.
    Host,
    /// A package that the catalogue pins, or the newest package that Debian signed.
    Download(RequestedRelease),
    /// As `Auto`; if no mirror provides the pinned download, an archive of another publisher.
    Fallback,
    /// A file on this machine.
    File(PathBuf),
    /// An archive, a directory or an image that contains emulators; or an emulator.
    External(ExternalSource),
}

/// Release of QEMU to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedRelease {
    /// The release that this version of binfmt-nix was tested with.
    Pinned,
    /// Another release that the catalogue pins.
    Version(VersionRequest),
    /// The newest release that Debian signed.
    Latest,
}

/// A file, directory or image that may contain emulators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalSource {
    /// Location of the file, directory or image.
    pub location: Location,
    /// Digest that the bytes must have. Without one, the user is responsible for the bytes.
    pub sha256: Option<Sha256>,
}

/// Location of an external source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A path on this machine.
    Path(PathBuf),
    /// A file on a server.
    Url(FileUrl),
    /// An image in a registry.
    Image(Box<ImageReference>),
}

impl fmt::Display for ExternalSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Location::Path(path) => path.as_text().fmt(f),
            Location::Url(url) => url.fmt(f),
            Location::Image(image) => image.fmt(f),
        }
    }
}
