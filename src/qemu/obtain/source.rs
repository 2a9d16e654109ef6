//! Where emulators come from: a closed set of kinds, as the user names them.
//!
//! What is on this machine is looked at ([`crate::facts`]); what is not is fetched before, into memory ([`open`]),
//! so that from there on an archive is an archive, wherever it was. Only the pinned packages are downloaded later, as a step
//! of the plan, for only their blocks that are needed are moved.

use std::fmt;
use std::path::PathBuf;

use super::latest;
use super::open::{self, Opened};
use crate::catalog::{Catalog, Package, VersionWanted};
use crate::digest::Sha256;
use crate::download::{BaseUrl, FileUrl};
use crate::error::Result;
use crate::host::Host;
use crate::oci::Reference;
use crate::ui::Ui;

/// Where an emulator comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Our installed copy, else a good one on the host, else the pinned download.
    Auto,
    /// The best one on the host.
    Host,
    /// A package that the catalogue pins, or the newest one that is signed.
    Download(Release),
    /// This very file.
    File(PathBuf),
    /// What is in an archive, a directory, an image; or a file.
    From(From),
}

/// Which QEMU is downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// The one that this binfmt-nix was tried with.
    Pinned,
    /// Another one that the catalogue pins.
    Version(VersionWanted),
    /// The newest one that Debian signed.
    Latest,
}

/// Something that may hold emulators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// Where it is.
    pub place: Place,
    /// What its bytes have to be; none: the user vouches for it.
    pub sha256: Option<Sha256>,
}

/// Where something is that holds emulators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On this machine.
    Path(PathBuf),
    /// On a server.
    Url(FileUrl),
    /// In a registry of images.
    Image(Box<Reference>),
}

/// How the network may be used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// The mirror that is asked first.
    pub mirror: Option<BaseUrl>,
    /// Not at all.
    pub offline: bool,
}

/// A source, and what of it had to be opened.
#[derive(Debug)]
pub struct Supply {
    /// The source.
    pub source: Source,
    /// The package that is downloaded from, if another one than usual was chosen.
    pub package: Option<&'static Package>,
    /// What may hold emulators.
    pub opened: Option<Opened>,
}

/// Opens what has to be opened before anything else is looked at.
pub fn supply(host: &Host, ui: &Ui, source: &Source, network: &Network) -> Result<Supply> {
    let machine = crate::host::env::kernel().0;
    let chosen = match source {
        Source::Download(Release::Version(_)) => package(&machine, source)?,
        _ => None,
    };
    let opened = match source {
        Source::From(from) => Some(open::open(host, ui, from, network, &machine)?),
        Source::Download(Release::Latest) => {
            let latest = latest::find(host, ui, network, &machine, false)?;
            match latest.package(&machine)? {
                Some(known) => return Ok(Supply { source: source.clone(), package: Some(known), opened: None }),
                None => Some(latest.open(host, ui, network)?),
            }
        }
        _ => None,
    };
    Ok(Supply { source: source.clone(), package: chosen, opened })
}

/// The package that is downloaded from, on this machine (`uname -m`).
pub fn package(machine: &str, source: &Source) -> Result<Option<&'static Package>> {
    let catalog = Catalog::embedded()?;
    Ok(match source {
        Source::Download(Release::Version(wanted)) => Some(catalog.package(machine, wanted)?),
        _ => catalog.package_for(machine),
    })
}

impl Source {
    /// Nobody asked for a release by name: if it cannot be had, another will do.
    pub fn any_release(&self) -> bool {
        matches!(self, Self::Auto | Self::Download(Release::Pinned))
    }
}

impl Supply {
    /// See [`Source::any_release`].
    pub fn any_release(&self) -> bool {
        self.source.any_release()
    }
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Path(path) => path.display().fmt(f),
            Place::Url(url) => url.fmt(f),
            Place::Image(image) => image.fmt(f),
        }
    }
}
