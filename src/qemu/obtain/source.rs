//! What the user chose as the source of an emulator.

use std::fmt;
use std::path::PathBuf;

use crate::qemu::catalog::VersionRequest;
use crate::qemu::download::FileUrl;
use crate::qemu::oci::ImageReference;
use crate::sha256::Sha256;

/// The source of an emulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The installed copy, else a good one of the host, else the pinned download.
    Auto,
    /// The best one of the host.
    Host,
    /// A package that the catalogue pins, or the newest one that Debian signed.
    Download(RequestedRelease),
    /// As `Auto`; if no mirror gives the pinned download, an archive of another publisher.
    Fallback,
    /// This file.
    File(PathBuf),
    /// What is in an archive, a directory or an image; or a file.
    External(ExternalSource),
}

/// The release of QEMU to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedRelease {
    /// The one that this binfmt-nix was tried with.
    Pinned,
    /// Another one that the catalogue pins.
    Version(VersionRequest),
    /// The newest one that Debian signed.
    Latest,
}

/// Something that may hold emulators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalSource {
    /// Its location.
    pub location: Location,
    /// The digest that its bytes must have; without one, the user vouches for it.
    pub sha256: Option<Sha256>,
}

/// The location of something that holds emulators.
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
            Location::Path(path) => path.display().fmt(f),
            Location::Url(url) => url.fmt(f),
            Location::Image(image) => image.fmt(f),
        }
    }
}
