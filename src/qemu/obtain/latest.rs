//! The newest QEMU that Debian signed, from the first mirror that has Debian's lists of today.
//!
//! Only the digest of the whole package is signed, so a package that the catalogue does not know has to be moved whole
//! before a byte of it is believed. One that it knows is downloaded as any other: just the blocks that are needed.

use crate::qemu::debian::verify;
use std::fs::File;
use std::time::SystemTime;

use super::ObtainContext;
use super::open::{Content, OpenedSource};
use crate::error::{Error, Result};
use crate::qemu::catalog::{Catalog, Package};
use crate::qemu::debian::{Date, DebianError, IndexFile, PackageOffer};
use crate::qemu::download::mirrors;
use crate::qemu::download::resume;
use crate::qemu::download::{DownloadError, FileUrl, Mirror};
use crate::sha256::Sha256;
use crate::ui::Ui;

/// What Debian offers, and who has it.
#[derive(Debug)]
pub struct SignedRelease {
    offer: PackageOffer,
    urls: Vec<FileUrl>,
    note: Option<String>,
}

/// Finds it. Lists whose digest is signed may be kept for the next time.
pub fn find_release(context: ObtainContext<'_>, machine: &str, keep: bool) -> Result<SignedRelease> {
    let ObtainContext { host, ui, network } = context;
    if network.offline {
        return Err(Error::Offline { what: "what Debian offers today".into() });
    }
    let mut mirrors = mirrors::list_mirrors(host, network.mirror.clone());
    mirrors.retain(|mirror| matches!(mirror, Mirror::Archive(_)));
    let mut why_nothing = None;
    for mirror in &mirrors {
        let found = verify::find_latest(
            machine,
            Date::from(SystemTime::now()),
            &mut |wanted| get_index_file(context, mirror, wanted, keep),
            &mut || host.pending_signal().map_or(Ok(()), |signal| Err(Error::Interrupted { signal })),
        );
        match found {
            Ok((offer, _)) if is_older_than_pinned(&offer, machine)? => {
                let what = offer.path;
                let why = format!(
                    "QEMU {} is older than the pinned one: its list may be an old one, played again",
                    offer.qemu
                );
                record_error(ui, &mut why_nothing, DebianError::Unverified { what, why }.into());
            }
            Ok((offer, note)) => {
                ui.print_note(&describe_release(&offer));
                let urls = mirrors.iter().filter_map(|mirror| mirror.file_url(&offer.path)).collect();
                return Ok(SignedRelease { offer, urls, note });
            }
            Err(error) if is_mirror_error(&error) => record_error(ui, &mut why_nothing, error),
            Err(error) => return Err(error),
        }
    }
    Err(why_nothing.unwrap_or_else(|| DownloadError::NoMirror { package: "Debian's lists".into() }.into()))
}

/// Whether another mirror may do better.
fn is_mirror_error(error: &Error) -> bool {
    matches!(error, Error::Digest { .. })
        || error.as_failure::<DownloadError>().is_some()
        || error.as_failure::<DebianError>().is_some()
}

/// The last reason is the error; those before it are told.
fn record_error(ui: &Ui, last: &mut Option<Error>, error: Error) {
    if let Some(before) = last.replace(error) {
        ui.print_warning(&before.to_string());
    }
}

/// The list of a stable suite has no end, so it may be an old one.
fn is_older_than_pinned(offer: &PackageOffer, machine: &str) -> Result<bool> {
    let pinned = Catalog::embedded()?.package_for(machine).and_then(Package::parsed_version);
    Ok(pinned.is_some_and(|pinned| offer.qemu < pinned))
}

impl SignedRelease {
    /// The package of the catalogue that it is, if it is one.
    pub fn catalog_package(&self, machine: &str) -> Result<Option<&'static Package>> {
        Ok(Catalog::embedded()?.packages_for(machine).find(|package| package.sha256 == self.offer.sha256))
    }

    /// The digest that Debian signed.
    pub fn sha256(&self) -> Sha256 {
        self.offer.sha256
    }

    /// Its name, for people.
    pub fn display_name(&self) -> String {
        format!("{} of Debian's {}", package_file_name(&self.offer), self.offer.suite)
    }

    /// Downloads all of it.
    pub fn download_package(self, context: ObtainContext<'_>) -> Result<OpenedSource> {
        let shown = self.display_name();
        let ObtainContext { host, ui, network } = context;
        let Self { offer, urls, note } = self;
        let name = package_file_name(&offer);
        let size = offer.size;
        let wanted = resume::FileRequest {
            name,
            urls: &urls,
            mirrored: true,
            size: Some(size),
            max_size: size,
            sha256: Some(offer.sha256),
            keep: false,
        };
        let got = resume::download_file(host, ui, network, &wanted)?;
        let release = Some(offer.qemu);
        Ok(OpenedSource { shown, content: Content::Archive(got.file), note: note.or(got.note), release })
    }
}

fn package_file_name(offer: &PackageOffer) -> &str {
    offer.path.rsplit('/').next().unwrap_or(&offer.path)
}

fn get_index_file(context: ObtainContext<'_>, mirror: &Mirror, wanted: &IndexFile, keep: bool) -> Result<File> {
    let ObtainContext { host, ui, network } = context;
    let paths = [Some(&wanted.path), wanted.fallback_path.as_ref()];
    let urls: Vec<_> = paths.into_iter().flatten().filter_map(|path| mirror.file_url(path)).collect();
    let size = wanted.sha256.map(|_| wanted.max_size);
    let asked = resume::FileRequest {
        name: &wanted.path,
        urls: &urls,
        mirrored: true,
        size,
        max_size: wanted.max_size,
        sha256: wanted.sha256,
        keep,
    };
    resume::download_file(host, ui, network, &asked).map(|got| got.file)
}

fn describe_release(offer: &PackageOffer) -> String {
    let until = offer.valid_until.map(|until| format!(", valid until {until}")).unwrap_or_default();
    format!(
        "Debian's {} of {}{until} has qemu-user {}, signed by the key {}",
        offer.suite, offer.date, offer.version, offer.key
    )
}
