//! Where else emulators can be had if no mirror of Debian gives them: release archives of other publishers.
//!
//! They are of another release, and pinned as a whole: all of an archive is moved. Whose word the digest is, is told.

use std::path::Path;

use binfmt_magic::Arch;

use super::open::open;
use super::source::{From, Network, Place};
use super::unpack;
use crate::catalog::{Archive, Archives, Vouched};
use crate::digest::Sha256;
use crate::download::{DownloadError, FileUrl};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::qemu::candidate::Fit;
use crate::ui::Ui;

/// An emulator that came from elsewhere.
#[derive(Debug)]
pub struct Found {
    /// Whose programs it runs.
    pub arch: &'static Arch,
    /// What it is.
    pub fit: Fit,
    /// Where it came from.
    pub url: String,
    /// The digest of the archive that it was in.
    pub archive: Sha256,
}

/// Where somebody looks for emulators, and for which machine.
#[derive(Debug, Clone, Copy)]
pub struct Elsewhere<'a> {
    /// The door.
    pub host: &'a Host,
    /// For people.
    pub ui: &'a Ui,
    /// How the network may be used.
    pub network: &'a Network,
    /// `uname -m`.
    pub machine: &'a str,
    /// Major and minor number of the running kernel.
    pub kernel: (u32, u32),
    /// What there is.
    pub archives: &'a Archives,
}

impl Elsewhere<'_> {
    /// Whether other publishers are asked after such a failure: nobody gave the right bytes, or any.
    pub fn may_help(error: &Error) -> bool {
        use DownloadError::{Failed, NoMirror, Unverified};
        matches!(error.as_failure(), Some(NoMirror { .. } | Failed { .. } | Unverified { .. }))
    }

    /// An emulator for each of these systems, or the error that led here.
    pub fn get(&self, archs: &[&'static Arch], before: Error) -> Result<Vec<Found>> {
        let mut found: Vec<Found> = Vec::new();
        for arch in archs {
            let works = |archive: &&Archive| archive.works_on(self.kernel);
            let mut archives = self.archives.archives_for(self.machine, arch.target).filter(works);
            while !found.iter().any(|found| found.arch.target == arch.target) {
                let Some(archive) = archives.next() else { return Err(before) };
                let missing = |arch: &&&Arch| {
                    archive.has(arch.target) && !found.iter().any(|found| found.arch.target == arch.target)
                };
                let wanted: Vec<&'static Arch> = archs.iter().filter(missing).copied().collect();
                match self.of(archive, &wanted) {
                    Ok(more) => found.extend(more),
                    Err(error @ (Error::Interrupted { .. } | Error::Offline { .. })) => return Err(error),
                    // Why is told already.
                    Err(error) => self.ui.warn(error.to_string().lines().next().unwrap_or_default()),
                }
            }
        }
        Ok(found)
    }

    fn of(&self, archive: &Archive, archs: &[&'static Arch]) -> Result<Vec<Found>> {
        let url: FileUrl = archive.url.parse().map_err(|_| unfit(archive, "its URL is none".into()))?;
        self.ui.note(&format!(
            "no mirror of Debian gave it: asking {} for QEMU {}; {}",
            archive.publisher,
            archive.qemu_version,
            whose_word(archive.vouched)
        ));
        let from = From { place: Place::Url(url), sha256: Some(archive.sha256) };
        let opened = open(self.host, self.ui, &from, self.network, self.machine)?;
        let mut brought = unpack::bring(self.host, archs, self.machine, &opened)?;
        let mut found = Vec::new();
        for arch in archs {
            let copy = brought.copies.remove(arch.target);
            let copy = copy.ok_or_else(|| unfit(archive, format!("it has no qemu-{}", arch.target)))?;
            let fit = copy.verdict.map_err(|why| unfit(archive, why.to_string()))?;
            found.push(Found { arch, fit, url: opened.shown.clone(), archive: archive.sha256 });
        }
        Ok(found)
    }
}

fn unfit(archive: &Archive, why: String) -> Error {
    Error::Archive { path: Path::new(&archive.url).to_owned(), why }
}

fn whose_word(vouched: Vouched) -> &'static str {
    match vouched {
        Vouched::HashedHere => "its bytes were hashed for this binfmt-nix",
        Vouched::Others => "its digest is the one that several other projects demand, and was not checked here",
        Vouched::Publisher => "its digest is the publisher's own word, and was not checked here",
    }
}
