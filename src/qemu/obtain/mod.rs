//! The pipeline that turns a source into emulators. `register`, `register --in-memory`, `run` and `fetch` share it.
//!
//! ```text
//! ResolvedSource::open ─▶ find_available ─▶ choose_emulator ─▶ download_emulators
//!   (opens an archive)    (downloads no package)  (pure)          (verifies every byte)
//! ```
//!
//! `--source auto` uses the installed copy, else a good emulator of the host, else one in the cache, else the pinned
//! download. Only `--source fallback` uses an archive of another publisher. `register` searches while it gathers facts,
//! chooses while it plans, and downloads while it applies the plan. [`emulators`] runs all steps for commands without a plan.

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
use crate::qemu::version_query::VersionQuery;
use crate::sandbox;
use crate::sha256::Sha256;
use crate::ui::Ui;

/// The machine, the terminal and the network that the pipeline uses.
#[derive(Debug, Clone, Copy)]
pub struct ObtainContext<'a> {
    /// The machine that is searched and changed.
    pub host: &'a Host,
    /// The terminal.
    pub ui: &'a Ui,
    /// How the network may be used.
    pub network: &'a Network,
}

/// Choices of the caller for one run of the pipeline.
#[derive(Debug, Clone, Copy)]
pub struct PipelineOptions<'a> {
    /// The source that the user chose.
    pub source: &'a Source,
    /// The machine that runs the emulators, as `uname -m` prints it.
    pub machine: &'a str,
    /// Major and minor number of the kernel that runs them.
    pub kernel: (u32, u32),
    /// Future users of the emulators.
    pub purpose: Purpose,
    /// How the user's cache is used.
    pub caching: Caching,
    /// How the releases of emulators are found out that the user named.
    pub version_query: VersionQuery,
}

/// Future users of the emulators; this decides which files are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The caller alone (`run`): the caller's own profiles are searched too.
    Caller,
    /// Every user of the machine (`register`): files from the cache are verified once more.
    Machine,
    /// Possibly another machine (`fetch`): the host is not searched.
    Bundle,
}

/// Use of the user's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// Cached emulators are used, and downloads are stored in the cache.
    ReadWrite,
    /// Cached emulators are used, and nothing is stored.
    Read,
    /// The cache is neither read nor written.
    Ignore,
}

/// A system that needs an emulator, and the emulators that the caller already knows.
#[derive(Debug)]
pub struct SystemRequest {
    /// The system.
    pub arch: &'static Arch,
    /// Release of the installed copy, if one exists and may be used.
    pub installed: Option<QemuVersion>,
    /// Interpreters of other tools' entries for the system. They are candidates of `--source host`.
    pub interpreters: Vec<PathBuf>,
}

/// A source whose release is known, and whose archive, if it has one that is needed, is open.
#[derive(Debug)]
pub struct ResolvedSource {
    source: Source,
    machine: String,
    kernel: (u32, u32),
    purpose: Purpose,
    /// Package that the user chose, if it is not the default of this machine.
    package: Option<&'static Package>,
    /// Digest of an archive, by which its emulators are cached, and the name of the archive.
    archive: Option<(Sha256, String)>,
    opened: Option<OpenedSource>,
    cache: Option<DownloadCache>,
    version_query: VersionQuery,
}

/// The emulators for one system that are on this machine.
#[derive(Debug, Default)]
pub struct AvailableEmulators {
    /// Release of the installed copy.
    pub installed: Option<QemuVersion>,
    /// Validated candidates from the host, or from the file, directory, archive or image that the user named.
    pub copies: Vec<Candidate>,
    /// Copy in the cache.
    pub cached: Option<CachedEmulator>,
}

/// Result of a search on this machine and in the opened source.
#[derive(Debug, Default)]
pub struct SearchResult {
    /// Available emulators, by QEMU's name of the system.
    pub available: BTreeMap<&'static str, AvailableEmulators>,
    /// Facts for the user.
    pub notes: Vec<String>,
}

impl ResolvedSource {
    /// Resolves a source. An archive is opened unless the cache has all of its emulators for these systems.
    pub fn open(context: ObtainContext<'_>, options: &PipelineOptions<'_>, archs: &[&'static Arch]) -> Result<Self> {
        let uses_cache = options.caching != Caching::Ignore;
        let mut resolved = Self {
            source: options.source.clone(),
            machine: options.machine.to_owned(),
            kernel: options.kernel,
            purpose: options.purpose,
            package: None,
            archive: None,
            opened: None,
            cache: uses_cache.then(|| DownloadCache::for_user(context.host)).flatten(),
            version_query: options.version_query,
        };
        match options.source {
            Source::External(from) => {
                let exists = resolved.cache.as_ref().is_some_and(|cache| cache.exists(context.host));
                let digest = match &from.location {
                    // The file may be replaced at any time, so the cache is searched by the digest of its present bytes.
                    Location::Path(path) if exists => open::hash_archive(path, from.sha256)?,
                    Location::Path(_) => None,
                    Location::Url(_) | Location::Image(_) => from.sha256,
                };
                resolved.archive = digest.map(|sha256| (sha256, from.to_string()));
                if !resolved.is_fully_cached(context.host, archs) {
                    let stores = resolved.cache.is_some() && options.caching == Caching::ReadWrite;
                    let opened = open::open_source(context, from, options.machine, stores)?;
                    resolved.archive = opened.sha256.map(|sha256| (sha256, from.to_string()));
                    resolved.opened = Some(opened);
                }
            }
            Source::Download(RequestedRelease::Version(wanted)) => {
                resolved.package = Some(Catalog::embedded()?.package_of_version(options.machine, wanted)?);
            }
            Source::Download(RequestedRelease::Latest) => {
                let latest = latest::find_release(context, options.machine, options.caching == Caching::ReadWrite)?;
                resolved.package = latest.catalog_package(options.machine)?;
                if resolved.package.is_none() {
                    resolved.archive = Some((latest.sha256(), latest.display_name()));
                    if !resolved.is_fully_cached(context.host, archs) {
                        resolved.opened = Some(latest.download_package(context)?);
                    }
                }
            }
            _ => {}
        }
        Ok(resolved)
    }

    /// Finds the emulators for these systems on this machine and in the opened source. Downloads nothing.
    pub fn find_available(&self, host: &Host, systems: &[SystemRequest]) -> Result<SearchResult> {
        let mut result = SearchResult::default();
        if let Some(opened) = &self.opened {
            let archs: Vec<_> = systems.iter().map(|wanted| wanted.arch).collect();
            if !archs.is_empty() {
                let unpacked = unpack::unpack_emulators(host, &archs, &self.machine, opened, self.version_query)?;
                for (target, copy) in unpacked.copies {
                    result
                        .available
                        .insert(target, AvailableEmulators { copies: vec![copy], ..AvailableEmulators::default() });
                }
                result.notes.extend(unpacked.note);
            }
            result.note_missing_protections();
            return Ok(result);
        }
        let searches_store = self.source == Source::Host;
        let search = HostSearch::new(host, &self.machine, searches_store, self.purpose == Purpose::Caller);
        for wanted in systems {
            let available = self.find_available_for(host, &search, wanted)?;
            if searches_store {
                let why = host_search::describe_choice(&available.copies);
                result.notes.extend(why.into_iter().map(|why| format!("{}: {why}", wanted.arch.target)));
            }
            result.available.insert(wanted.arch.target, available);
        }
        result.note_missing_protections();
        Ok(result)
    }

    /// Returns the name of the archive or directory that emulators come from.
    pub fn archive_name(&self) -> Option<&str> {
        let opened = self.opened.as_ref().map(|opened| opened.shown.as_str());
        opened.or_else(|| self.archive.as_ref().map(|(_, name)| name.as_str()))
    }

    /// Returns the name of the place that was searched, for messages about a system without an emulator.
    pub fn origin_name(&self) -> &str {
        match self.source {
            Source::Host => "this machine",
            _ => self.archive_name().unwrap_or("the known downloads"),
        }
    }

    /// Whether the user named the file, archive or image that emulators come from.
    pub fn is_given(&self) -> bool {
        matches!(self.source, Source::File(_) | Source::External(_))
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
            Source::File(path) => {
                available.copies = vec![candidate::validate_user_file(arch, &self.machine, path, self.version_query)];
            }
            Source::Auto | Source::Fallback | Source::Download(_) | Source::External(_) => {}
        }
        if available.best_copy().is_none() && !matches!(self.source, Source::Host | Source::File(_)) {
            available.cached = self.find_cached(host, arch)?;
        }
        Ok(available)
    }

    fn is_fully_cached(&self, host: &Host, archs: &[&'static Arch]) -> bool {
        let absent = match (&self.cache, &self.archive) {
            (Some(cache), Some((sha256, _))) => cache.read_absent(host, *sha256),
            _ => Vec::new(),
        };
        let has = |arch: &&&'static Arch| matches!(self.find_cached(host, arch), Ok(Some(_)));
        let mut wanted = archs.iter().filter(|arch| !absent.iter().any(|target| target == arch.target)).peekable();
        wanted.peek().is_some() && wanted.all(|arch| has(&arch))
    }
}

impl SearchResult {
    /// Adds a note if an emulator was run, to query its release, without all protections.
    fn note_missing_protections(&mut self) {
        let copies = self.available.values().flat_map(|available| &available.copies);
        let mut run = copies.filter_map(|copy| copy.verdict.as_ref().ok());
        let note = run.find_map(|fit| sandbox::describe_missing(&fit.missing, "version"));
        self.notes.extend(note);
    }
}

impl AvailableEmulators {
    /// Returns the newest usable copy.
    pub fn best_copy(&self) -> Option<(&Candidate, &ValidatedBinary)> {
        let fit = self.copies.iter().filter_map(|copy| Some((copy, copy.verdict.as_ref().ok()?)));
        fit.max_by_key(|(_, fit)| fit.version)
    }

    /// Returns the validated file of the copy that was found at this path.
    pub fn find_copy(&self, path: &std::path::Path) -> Option<&ValidatedBinary> {
        let of_host = self.copies.iter().filter(|copy| copy.path == path).find_map(|copy| copy.verdict.as_ref().ok());
        of_host.or_else(|| self.cached.as_ref().filter(|cached| cached.path == path)?.validated.as_ref())
    }
}
