//! Choice of one of the available emulators for a system. Pure.

use binfmt_magic::Arch;

use super::cached::CachedEmulator;
use super::source::Source;
use super::{AvailableEmulators, ResolvedSource};
use crate::error::{Error, Result};
use crate::paths;
use crate::qemu::binary::QemuVersion;
use crate::qemu::candidate::{Candidate, ValidatedBinary};
use crate::qemu::catalog::{ArchiveCatalog, Catalog, Member, Package, PinnedArchive};
use crate::sanitize::AsText as _;

/// Emulator that was chosen for one system.
#[derive(Debug)]
pub enum ChosenEmulator<'a> {
    /// The installed copy.
    Installed(QemuVersion),
    /// A copy on the host, or in the source that the user named.
    Copy(&'a Candidate, &'a ValidatedBinary),
    /// A copy in the cache.
    Cached(&'a CachedEmulator),
    /// A member of a package that has to be downloaded.
    Download(PinnedMember),
}

/// An emulator that the catalogue pins.
#[derive(Debug, Clone, Copy)]
pub struct PinnedMember {
    /// Member of the package.
    pub member: &'static Member,
    /// Release of QEMU.
    pub version: QemuVersion,
    /// Package that contains the member.
    pub package: &'static Package,
}

impl ResolvedSource {
    /// Chooses the emulator of one system.
    pub fn choose_emulator<'a>(&self, arch: &Arch, available: &'a AvailableEmulators) -> Result<ChosenEmulator<'a>> {
        let copy = available.best_copy().map(|(copy, fit)| ChosenEmulator::Copy(copy, fit));
        let cached = available.cached.as_ref().map(ChosenEmulator::Cached);
        match &self.source {
            Source::Auto | Source::Fallback => {
                let local = available.installed.map(ChosenEmulator::Installed).or(copy).or(cached);
                local.map_or_else(|| self.choose_download(arch), Ok)
            }
            Source::Host => copy.ok_or_else(|| no_emulator_error(arch, available.describe_rejections())),
            Source::File(_) => copy.ok_or_else(|| self.unusable_error(arch, available)),
            // An archive was opened, or the cache has the emulators of that archive.
            _ if self.archive_name().is_some() => copy.or(cached).ok_or_else(|| self.unusable_error(arch, available)),
            Source::Download(_) | Source::External(_) => cached.map_or_else(|| self.choose_download(arch), Ok),
        }
    }

    /// Finds the emulator that would be downloaded for a system. Reads the catalogue, which is large, only here.
    pub(super) fn find_pinned_member(&self, arch: &Arch) -> Result<Option<PinnedMember>> {
        let package = match self.package {
            Some(chosen) => Some(chosen),
            None => Catalog::embedded()?.package_for(&self.machine),
        };
        let pin = |package: &'static Package| {
            Some(PinnedMember {
                member: package.find_member(arch.target)?,
                version: package.parsed_version()?,
                package,
            })
        };
        Ok(package.and_then(pin))
    }

    /// Lists the archives of other publishers with an emulator for this system, the best first.
    pub(super) fn fallback_archives(&self, arch: &Arch) -> Result<impl Iterator<Item = &'static PinnedArchive>> {
        let kernel = self.kernel;
        let archives = ArchiveCatalog::embedded()?.archives_for(&self.machine, arch.target);
        Ok(archives.filter(move |archive| archive.supports_kernel(kernel)))
    }

    fn choose_download<'a>(&self, arch: &Arch) -> Result<ChosenEmulator<'a>> {
        self.find_pinned_member(arch)?
            .map(ChosenEmulator::Download)
            .ok_or_else(|| no_download_error(arch, &self.machine))
    }

    fn unusable_error(&self, arch: &Arch, available: &AvailableEmulators) -> Error {
        let bad = available.copies.iter().find_map(|copy| Some((copy, copy.verdict.as_ref().err()?)));
        match bad {
            Some((copy, why)) => {
                Error::Unfit { path: copy.path.clone(), binary: paths::emulator_name(arch), why: why.to_string() }
            }
            None => no_emulator_error(arch, format!("{} has none", self.origin_name())),
        }
    }
}

impl PinnedMember {
    /// Describes the package, for people.
    pub fn describe_origin(&self) -> String {
        describe_package(self.package)
    }
}

/// Returns the release of a system's emulator that this version downloads for a machine (`uname -m`).
pub fn pinned_release(machine: &str, arch: &Arch) -> Option<QemuVersion> {
    let package = Catalog::embedded().ok()?.package_for(machine)?;
    package.find_member(arch.target).and_then(|_| package.parsed_version())
}

/// Describes a package of the catalogue, for people.
pub fn describe_package(package: &Package) -> String {
    format!("{}{OF_DEBIAN}", package.file_name())
}

/// End of the description of a package.
const OF_DEBIAN: &str = " of Debian";

/// Whether a version of this tool described a package of its catalogue so, and no file or archive of the user.
pub fn is_package(description: &str) -> bool {
    description.ends_with(OF_DEBIAN) && !description.contains('/')
}

/// Builds the error for a system without a known download.
pub fn no_download_error(arch: &Arch, machine: &str) -> Error {
    Error::Unsupported {
        what: format!("no download of {} is known for {machine} hosts", paths::emulator_name(arch)),
        hint: "downloads are known for x86_64 and aarch64 hosts; use --qemu PATH for a static QEMU of your own".into(),
    }
}

fn no_emulator_error(arch: &Arch, tried: String) -> Error {
    Error::NoInterpreter { binary: paths::emulator_name(arch), tried }
}

impl AvailableEmulators {
    /// Describes why none of the copies can be used.
    fn describe_rejections(&self) -> String {
        let reasons = self.copies.iter().filter_map(|copy| {
            let why = copy.verdict.as_ref().err()?;
            Some(format!("{}: {why}", copy.path.as_text()))
        });
        let reasons: Vec<_> = reasons.collect();
        if reasons.is_empty() { "none is installed".into() } else { reasons.join("; ") }
    }
}
