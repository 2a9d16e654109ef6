//! Downloads of emulators into files of the caller, with verification.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use binfmt_magic::Arch;

use super::choose::no_download_error;
use super::fallback::{self, FallbackArchives, FallbackAvailableError};
use super::source::{RequestedRelease, Source};
use super::{ObtainContext, ResolvedSource};
use crate::error::{Error, Result};
use crate::host::StagedFile;
use crate::qemu::binary::QemuVersion;
use crate::qemu::catalog::ArchiveCatalog;
use crate::qemu::download;
use crate::sha256::Sha256;

/// A file that receives an emulator.
pub trait Destination {
    /// Returns the open file.
    fn file(&mut self) -> &mut File;

    /// Returns the path at which the emulator of this name will be; `None` for a file in memory.
    fn path_of(&self, _name: &str) -> Option<PathBuf> {
        None
    }

    /// Makes the file immutable, where that is possible. Bytes that are hashed afterwards cannot change any more.
    fn make_immutable(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Destination for StagedFile {
    fn file(&mut self) -> &mut File {
        Self::file(self)
    }

    fn path_of(&self, name: &str) -> Option<PathBuf> {
        Some(Self::path_of(self, name))
    }
}

impl Destination for File {
    fn file(&mut self) -> &mut File {
        self
    }
}

/// An emulator that was downloaded and verified.
#[derive(Debug)]
pub struct DownloadedEmulator<D> {
    /// System that the emulator runs.
    pub arch: &'static Arch,
    /// File that received the emulator.
    pub file: D,
    /// Digest of the file.
    pub sha256: Sha256,
    /// Release of QEMU.
    pub version: QemuVersion,
    /// URL that the emulator was downloaded from.
    pub url: String,
    /// Digest by which the emulator is cached: its own, or that of its archive.
    pub cache_key: Sha256,
    /// Whether the emulator came from an archive of another publisher.
    pub is_fallback: bool,
}

/// Result of a download.
#[derive(Debug)]
pub struct Downloads<D> {
    /// One emulator for each system.
    pub emulators: Vec<DownloadedEmulator<D>>,
    /// Note about protections that this kernel lacks, for the user.
    pub note: Option<String>,
}

impl ResolvedSource {
    /// Downloads one emulator for each system. `create` makes the file for a system and the digest by which its emulator
    /// is cached.
    pub fn download_emulators<D: Destination>(
        &self,
        context: ObtainContext<'_>,
        archs: &[&'static Arch],
        create: &mut dyn FnMut(&Arch, Sha256) -> Result<D>,
    ) -> Result<Downloads<D>> {
        match self.download_package(context, archs, create) {
            Err(error) if fallback::should_try_fallback(&error) => match self.source {
                Source::Fallback => self.download_fallback(context, archs, create, error),
                _ if self.has_fallback(archs)? => Err(Error::other(FallbackAvailableError::new(error, archs))),
                _ => Err(error),
            },
            done => done,
        }
    }

    /// Whether `--source fallback` would provide the same emulators, with an archive for each system.
    fn has_fallback(&self, archs: &[&'static Arch]) -> Result<bool> {
        if !matches!(self.source, Source::Auto | Source::Download(RequestedRelease::Pinned)) {
            return Ok(false);
        }
        for arch in archs {
            if self.fallback_archives(arch)?.next().is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn download_package<D: Destination>(
        &self,
        context: ObtainContext<'_>,
        archs: &[&'static Arch],
        create: &mut dyn FnMut(&Arch, Sha256) -> Result<D>,
    ) -> Result<Downloads<D>> {
        let mut emulators = Vec::new();
        let mut package = None;
        for arch in archs {
            let pin = self.find_pinned_member(arch)?.ok_or_else(|| no_download_error(arch, &self.machine))?;
            package = Some(pin.package);
            emulators.push((*arch, pin, create(arch, pin.member.sha256)?));
        }
        let Some(package) = package else { return Ok(Downloads { emulators: Vec::new(), note: None }) };
        let files = emulators.iter_mut().map(|(_, pin, file)| (pin.member.target.as_str(), file.file())).collect();
        let (fetched, note) =
            download::progress::download_into_files(context.host, context.ui, package, files, context.network)?;
        let verified = emulators.into_iter().map(|(arch, pin, mut file)| {
            file.make_immutable().map_err(|e| Error::io("keep", Path::new(&pin.member.target), e))?;
            download::progress::check_member(file.file(), pin.member)?;
            let (sha256, url) = (pin.member.sha256, fetched.url.clone());
            Ok(DownloadedEmulator {
                arch,
                file,
                sha256,
                version: pin.version,
                url,
                cache_key: sha256,
                is_fallback: false,
            })
        });
        Ok(Downloads { emulators: verified.collect::<Result<_>>()?, note })
    }

    fn download_fallback<D: Destination>(
        &self,
        context: ObtainContext<'_>,
        archs: &[&'static Arch],
        create: &mut dyn FnMut(&Arch, Sha256) -> Result<D>,
        first_error: Error,
    ) -> Result<Downloads<D>> {
        let archives = FallbackArchives {
            context,
            machine: &self.machine,
            kernel: self.kernel,
            archives: ArchiveCatalog::embedded()?,
        };
        let mut emulators = Vec::new();
        for found in archives.download_emulators(archs, first_error)? {
            let mut file = create(found.arch, found.archive_sha256)?;
            found.copy_to(&mut file)?;
            emulators.push(DownloadedEmulator {
                arch: found.arch,
                file,
                sha256: found.validated.sha256,
                version: found.validated.version,
                url: found.url,
                cache_key: found.archive_sha256,
                is_fallback: true,
            });
        }
        Ok(Downloads { emulators, note: None })
    }
}
