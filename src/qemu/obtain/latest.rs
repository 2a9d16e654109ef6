//! The newest QEMU that Debian signed, from the first mirror with Debian's current package lists.
//!
//! Debian signs only the digest of the whole package. So a package that the catalogue does not know has to be downloaded
//! completely before any byte of it is trusted. For a package in the catalogue only the needed blocks are downloaded.

use crate::qemu::debian::verify;
use std::fs::File;
use std::time::SystemTime;

use super::ObtainContext;
use super::open::{Content, OpenedSource};
use crate::error::{Error, Result};
use crate::qemu::catalog::{Catalog, Package};
use crate::qemu::debian::{Date, DebianError, IndexFile, PackageOffer};
use crate::qemu::download::machine_config;
use crate::qemu::download::resume;
use crate::qemu::download::{DownloadError, FileUrl, Mirror};
use crate::sha256::Sha256;
use crate::ui::Ui;

/// A release that Debian signed, and the URLs of its package.
#[derive(Debug)]
pub struct SignedRelease {
    offer: PackageOffer,
    urls: Vec<FileUrl>,
    note: Option<String>,
}

/// Finds the newest release. `keep` stores package lists whose digest is signed in the cache.
pub fn find_release(context: ObtainContext<'_>, machine: &str, keep: bool) -> Result<SignedRelease> {
    let ObtainContext { host, ui, network } = context;
    if network.offline {
        return Err(Error::Offline { what: "Debian's current package list".into() });
    }
    let mut mirrors = machine_config::list_mirrors(host, network.mirror.clone());
    mirrors.retain(|mirror| matches!(mirror, Mirror::Archive(_)));
    let mut last_error = None;
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
                    "QEMU {} is older than the pinned release: the mirror may serve an old list again",
                    offer.qemu
                );
                record_error(ui, &mut last_error, DebianError::Unverified { what, why }.into());
            }
            Ok((offer, note)) => {
                ui.print_note(&describe_release(&offer));
                let urls = mirrors.iter().filter_map(|mirror| mirror.file_url(&offer.path)).collect();
                return Ok(SignedRelease { offer, urls, note });
            }
            Err(error) if is_mirror_error(&error) => record_error(ui, &mut last_error, error),
            Err(error) => return Err(error),
        }
    }
    Err(last_error.unwrap_or_else(|| DownloadError::NoMirror { package: "Debian's lists".into() }.into()))
}

/// Whether another mirror may succeed after this error.
fn is_mirror_error(error: &Error) -> bool {
    matches!(error, Error::Digest { .. })
        || error.as_failure::<DownloadError>().is_some()
        || error.as_failure::<DebianError>().is_some()
}

/// Keeps `error` as the one to return if no mirror succeeds, and prints the previous one as a warning.
fn record_error(ui: &Ui, last: &mut Option<Error>, error: Error) {
    if let Some(previous) = last.replace(error) {
        ui.print_warning(&previous.to_string());
    }
}

/// Whether the offer is older than the pinned release. The list of a stable suite does not expire, so a mirror could serve
/// an old one.
fn is_older_than_pinned(offer: &PackageOffer, machine: &str) -> Result<bool> {
    let pinned = Catalog::embedded()?.package_for(machine).and_then(Package::parsed_version);
    Ok(pinned.is_some_and(|pinned| offer.qemu < pinned))
}

impl SignedRelease {
    /// Finds the release in the catalogue.
    pub fn catalog_package(&self, machine: &str) -> Result<Option<&'static Package>> {
        Ok(Catalog::embedded()?.packages_for(machine).find(|package| package.sha256 == self.offer.sha256))
    }

    /// Returns the digest that Debian signed.
    pub fn sha256(&self) -> Sha256 {
        self.offer.sha256
    }

    /// Returns the name of the package, for people.
    pub fn display_name(&self) -> String {
        format!("{} of Debian's {}", package_file_name(&self.offer), self.offer.suite)
    }

    /// Downloads the whole package.
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
        let downloaded = resume::download_file(host, ui, network, &wanted)?;
        let release = Some(offer.qemu);
        Ok(OpenedSource {
            shown,
            content: Content::Archive(downloaded.file),
            sha256: None,
            note: note.or(downloaded.note),
            release,
        })
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
    let request = resume::FileRequest {
        name: &wanted.path,
        urls: &urls,
        mirrored: true,
        size,
        max_size: wanted.max_size,
        sha256: wanted.sha256,
        keep,
    };
    resume::download_file(host, ui, network, &request).map(|downloaded| downloaded.file)
}

fn describe_release(offer: &PackageOffer) -> String {
    let until = offer.valid_until.map(|until| format!(", valid until {until}")).unwrap_or_default();
    format!(
        "Debian's {} of {}{until} has qemu-user {}, signed by the key {}",
        offer.suite, offer.date, offer.version, offer.key
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use crate::qemu::binary::QemuVersion;

    use super::*;

    /// The list of trixie does not expire (`tests/it/qemu/debian/recorded_lists.rs`), so any earlier one can be replayed.
    #[test]
    fn a_replayed_list_offers_at_least_the_pinned_release() {
        let pinned = Catalog::embedded().unwrap().package_for("x86_64").and_then(Package::parsed_version).unwrap();
        let older = QemuVersion(pinned.0, pinned.1, pinned.2.checked_sub(1).unwrap());
        let newer = QemuVersion(pinned.0, pinned.1, pinned.2 + 1);
        for (qemu, refused) in [(older, true), (QemuVersion(7, 2, 22), true), (pinned, false), (newer, false)] {
            let offer = PackageOffer {
                path: "pool/x".into(),
                size: 1,
                sha256: Sha256::of_bytes(b""),
                version: "1:1".parse().unwrap(),
                qemu,
                suite: "trixie",
                date: Date(0),
                valid_until: None,
                key: String::new(),
            };
            assert_eq!(is_older_than_pinned(&offer, "x86_64").unwrap(), refused, "{qemu}");
        }
    }
}
