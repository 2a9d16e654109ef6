//! From a source to emulators: the one pipeline of `register`, `register --in-memory`, `run` and `fetch`.
//!
//! ```text
//! Supply::open ─▶ look (downloads no package) ─▶ choose (pure) ─▶ download
//! ```
//!
//! `auto` takes the installed copy, else a good one of the host, else one in the cache, else the pinned download. An archive
//! of another publisher is used only by `fallback`. `register` looks while it gathers facts, chooses while it plans, and
//! downloads while it applies the plan; [`emulators`] does all of it for commands that have no plan.

pub mod cached;
pub mod choose;
pub mod download;
pub mod emulators;
pub mod fallback;
pub mod host_search;
pub mod latest;
pub mod open;
pub mod source;
pub mod unpack;

pub use choose::ChosenEmulator;

use std::collections::BTreeMap;
use std::path::PathBuf;

use binfmt_magic::Arch;

use crate::error::Result;
use crate::host::Host;
use crate::qemu::binary::QemuVersion;
use crate::qemu::candidate::{self, Candidate, ValidatedBinary};
use crate::qemu::catalog::{Catalog, Package};
use crate::qemu::download::Network;
use crate::qemu::download::cache::DownloadCache;
use crate::qemu::obtain::cached::CachedEmulator;
use crate::qemu::obtain::host_search::HostSearch;
use crate::qemu::obtain::open::OpenedSource;
use crate::qemu::obtain::source::{Location, RequestedRelease, Source};
use crate::sha256::Sha256;
use crate::ui::Ui;

/// The machine, the terminal and the network that the pipeline uses.
#[derive(Debug, Clone, Copy)]
pub struct ObtainContext<'a> {
    /// The machine that is looked at.
    pub host: &'a Host,
    /// The terminal.
    pub ui: &'a Ui,
    /// How the network may be used.
    pub network: &'a Network,
}

/// What is asked of the pipeline.
#[derive(Debug, Clone, Copy)]
pub struct PipelineOptions<'a> {
    /// The source that the user chose.
    pub source: &'a Source,
    /// The machine that runs the emulators, as `uname -m` prints it.
    pub machine: &'a str,
    /// Major and minor number of the kernel that runs them.
    pub kernel: (u32, u32),
    /// Who uses the emulators.
    pub purpose: Purpose,
    /// How the user's cache is used.
    pub caching: Caching,
}

/// Who uses the emulators. It decides which files are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The caller alone (`run`): its own profiles are searched too.
    Caller,
    /// Every user of the machine (`register`): what is in the cache is verified once more.
    Machine,
    /// Another machine, perhaps (`fetch`): the host is not searched.
    Bundle,
}

/// How the user's cache is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// It is read, and gets what is downloaded.
    ReadWrite,
    /// It is read.
    Read,
    /// It is neither read nor written.
    Ignore,
}

/// A system, and what the caller knows of its emulators.
#[derive(Debug)]
pub struct SystemRequest {
    /// The system.
    pub arch: &'static Arch,
    /// The release of the installed copy, if there is one that may be used.
    pub installed: Option<QemuVersion>,
    /// Interpreters of other tools' entries for the system. They are candidates of `host`.
    pub interpreters: Vec<PathBuf>,
}

/// A source that is resolved: its release is known, and what had to be opened is open.
#[derive(Debug)]
pub struct ResolvedSource {
    source: Source,
    machine: String,
    kernel: (u32, u32),
    purpose: Purpose,
    /// The package that the user chose, if it is not the default of this machine.
    package: Option<&'static Package>,
    /// The digest of an archive, by which its emulators are cached, and the archive's name.
    archive: Option<(Sha256, String)>,
    opened: Option<OpenedSource>,
    cache: Option<DownloadCache>,
}

/// The emulators for one system that are on this machine.
#[derive(Debug, Default)]
pub struct AvailableEmulators {
    /// The release of the installed copy.
    pub installed: Option<QemuVersion>,
    /// Copies on the host, or in what the user named; validated.
    pub copies: Vec<Candidate>,
    /// A copy in the cache.
    pub cached: Option<CachedEmulator>,
}

/// The result of a search.
#[derive(Debug, Default)]
pub struct SearchResult {
    /// What there is, by QEMU's name of the system.
    pub available: BTreeMap<&'static str, AvailableEmulators>,
    /// Facts for the user.
    pub notes: Vec<String>,
}

impl ResolvedSource {
    /// Resolves a source. An archive is opened unless the cache has all of its emulators for these systems.
    pub fn open(context: ObtainContext<'_>, order: &PipelineOptions<'_>, archs: &[&'static Arch]) -> Result<Self> {
        let caches = order.caching != Caching::Ignore;
        let mut supply = Self {
            source: order.source.clone(),
            machine: order.machine.to_owned(),
            kernel: order.kernel,
            purpose: order.purpose,
            package: None,
            archive: None,
            opened: None,
            cache: caches.then(|| DownloadCache::for_user(context.host)).flatten(),
        };
        match order.source {
            Source::External(from) => {
                // A path may hold something else tomorrow, and its digest is of no use before it is read.
                let digest = from.sha256.filter(|_| !matches!(from.location, Location::Path(_)));
                supply.archive = digest.map(|sha256| (sha256, from.to_string()));
                if !supply.is_fully_cached(context.host, archs) {
                    supply.opened = Some(open::open_source(context, from, order.machine)?);
                }
            }
            Source::Download(RequestedRelease::Version(wanted)) => {
                supply.package = Some(Catalog::embedded()?.package_of_version(order.machine, wanted)?);
            }
            Source::Download(RequestedRelease::Latest) => {
                let latest = latest::find_release(context, order.machine, order.caching == Caching::ReadWrite)?;
                supply.package = latest.catalog_package(order.machine)?;
                if supply.package.is_none() {
                    supply.archive = Some((latest.sha256(), latest.display_name()));
                    if !supply.is_fully_cached(context.host, archs) {
                        supply.opened = Some(latest.download_package(context)?);
                    }
                }
            }
            _ => {}
        }
        Ok(supply)
    }

    /// Finds what there is for these systems on this machine, and in what was opened. Downloads nothing.
    pub fn find_available(&self, host: &Host, systems: &[SystemRequest]) -> Result<SearchResult> {
        let mut looked = SearchResult::default();
        if let Some(opened) = &self.opened {
            let archs: Vec<_> = systems.iter().map(|wanted| wanted.arch).collect();
            if !archs.is_empty() {
                let unpacked = unpack::unpack_emulators(host, &archs, &self.machine, opened)?;
                for (target, copy) in unpacked.copies {
                    looked
                        .available
                        .insert(target, AvailableEmulators { copies: vec![copy], ..AvailableEmulators::default() });
                }
                looked.notes.extend(unpacked.note);
            }
            return Ok(looked);
        }
        let everywhere = self.source == Source::Host;
        let search = HostSearch::new(host, &self.machine, everywhere, self.purpose == Purpose::Caller);
        for wanted in systems {
            let available = self.find_available_for(host, &search, wanted)?;
            if everywhere {
                let why = host_search::describe_choice(&available.copies);
                looked.notes.extend(why.into_iter().map(|why| format!("{}: {why}", wanted.arch.target)));
            }
            looked.available.insert(wanted.arch.target, available);
        }
        Ok(looked)
    }

    /// The name of the archive or directory that emulators come from.
    pub fn archive_name(&self) -> Option<&str> {
        let opened = self.opened.as_ref().map(|opened| opened.shown.as_str());
        opened.or_else(|| self.archive.as_ref().map(|(_, name)| name.as_str()))
    }

    /// What a system without an emulator is missing from.
    pub fn origin_name(&self) -> &str {
        match self.source {
            Source::Host => "this machine",
            _ => self.archive_name().unwrap_or("the known downloads"),
        }
    }

    fn find_available_for(
        &self,
        host: &Host,
        search: &HostSearch<'_>,
        wanted: &SystemRequest,
    ) -> Result<AvailableEmulators> {
        let arch = wanted.arch;
        let mut available = AvailableEmulators::default();
        match &self.source {
            Source::Auto | Source::Fallback if self.purpose != Purpose::Bundle => {
                available.installed = wanted.installed;
                if available.installed.is_some() {
                    return Ok(available);
                }
                available.copies = search.find_candidates(arch, &[]);
            }
            Source::Host => available.copies = search.find_candidates(arch, &wanted.interpreters),
            Source::File(path) => available.copies = vec![candidate::validate_user_file(arch, &self.machine, path)],
            Source::Auto | Source::Fallback | Source::Download(_) | Source::External(_) => {}
        }
        if available.best_copy().is_none() && !matches!(self.source, Source::Host | Source::File(_)) {
            available.cached = self.find_cached(host, arch)?;
        }
        Ok(available)
    }

    fn is_fully_cached(&self, host: &Host, archs: &[&'static Arch]) -> bool {
        let has = |arch: &&'static Arch| matches!(self.find_cached(host, arch), Ok(Some(_)));
        !archs.is_empty() && archs.iter().all(has)
    }
}

impl AvailableEmulators {
    /// The newest copy that can be used.
    pub fn best_copy(&self) -> Option<(&Candidate, &ValidatedBinary)> {
        let fit = self.copies.iter().filter_map(|copy| Some((copy, copy.verdict.as_ref().ok()?)));
        fit.max_by_key(|(_, fit)| fit.version)
    }

    /// The file of the copy that was found at this path.
    pub fn find_copy(&self, path: &std::path::Path) -> Option<&ValidatedBinary> {
        let of_host = self.copies.iter().filter(|copy| copy.path == path).find_map(|copy| copy.verdict.as_ref().ok());
        of_host.or_else(|| self.cached.as_ref().filter(|cached| cached.path == path)?.validated.as_ref())
    }
}
