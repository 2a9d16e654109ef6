//! Emulators in the user's cache: finds them, and stores downloads.

use std::fs::File;
use std::io::Seek as _;
use std::path::PathBuf;
use std::time::Duration;

use binfmt_magic::Arch;

use super::choose::PinnedMember;
use super::download::DownloadedEmulator;
use super::source::Source;
use super::{ObtainContext, Purpose, ResolvedSource};
use crate::error::{Error, Result};
use crate::host::{Host, Lock, StagedFile};
use crate::paths;
use crate::qemu::binary::QemuVersion;
use crate::qemu::candidate::{self, ValidatedBinary};
use crate::qemu::download::cache;
use crate::qemu::download::cache::DownloadCache;
use crate::qemu::version_query::query_version;
use crate::sha256::Sha256;

/// Longest wait for another download into the same cache.
const LOCK_TIMEOUT: Duration = Duration::from_secs(600);

/// An emulator in the cache.
#[derive(Debug)]
pub struct CachedEmulator {
    /// Path of the emulator.
    pub path: PathBuf,
    /// Release of QEMU.
    pub version: QemuVersion,
    /// Package or archive that the emulator was downloaded from, for people.
    pub origin: String,
    /// Open file with a verified digest; absent if only the owner of the cache will use the emulator.
    pub validated: Option<ValidatedBinary>,
}

impl ResolvedSource {
    /// Finds the emulator of a system, if the cache has one that this source may use.
    pub(super) fn find_cached(&self, host: &Host, arch: &'static Arch) -> Result<Option<CachedEmulator>> {
        let Some(cache) = &self.cache else { return Ok(None) };
        if let Some((sha256, name)) = &self.archive {
            return Ok(self.find_cached_from_archive(host, cache, arch, *sha256, name));
        }
        if !cache.exists(host) {
            return Ok(None);
        }
        if let Some(pin) = self.find_pinned_member(arch)?
            && let Some(cached) = self.find_cached_member(host, cache, pin)
        {
            return Ok(Some(cached));
        }
        if self.source != Source::Fallback {
            return Ok(None);
        }
        Ok(self
            .fallback_archives(arch)?
            .find_map(|archive| self.find_cached_from_archive(host, cache, arch, archive.sha256, &archive.url)))
    }

    /// Finds the emulator that the catalogue pins. Only the caller and root can write to the cache, so an emulator that only
    /// the caller will use is not hashed again.
    fn find_cached_member(&self, host: &Host, cache: &DownloadCache, pin: PinnedMember) -> Option<CachedEmulator> {
        let path = cache.emulator_path(pin.member.sha256, &pin.member.target);
        let mut file = host.open_trusted(&path).ok()?;
        let fit = match self.purpose {
            Purpose::Caller => None,
            Purpose::Machine | Purpose::Bundle => {
                let sha256 = Sha256::of_reader(&mut file).ok().filter(|sha256| *sha256 == pin.member.sha256)?;
                file.rewind().ok()?;
                Some(ValidatedBinary { version: pin.version, sha256, fixed_address: false, file, missing: Vec::new() })
            }
        };
        Some(CachedEmulator { path, version: pin.version, origin: pin.describe_origin(), validated: fit })
    }

    /// Finds the emulator that came from an archive with this digest.
    fn find_cached_from_archive(
        &self,
        host: &Host,
        cache: &DownloadCache,
        arch: &'static Arch,
        archive: Sha256,
        name: &str,
    ) -> Option<CachedEmulator> {
        let path = cache.emulator_path(archive, arch.target);
        let file = host.open_trusted(&path).ok()?;
        let origin = name.to_owned();
        Some(match self.purpose {
            Purpose::Caller => CachedEmulator {
                version: query_version(arch, &file, self.version_query).ok()?.version,
                path,
                origin,
                validated: None,
            },
            Purpose::Machine | Purpose::Bundle => {
                let fit = candidate::validate_binary(arch, &self.machine, file, self.version_query).ok()?;
                CachedEmulator { version: fit.version, path, origin, validated: Some(fit) }
            }
        })
    }

    /// Downloads emulators into the cache, and returns their files. The caller holds the lock of the cache.
    pub(super) fn download_into_cache(
        &self,
        context: ObtainContext<'_>,
        cache: &DownloadCache,
        archs: &[&'static Arch],
    ) -> Result<Vec<(&'static Arch, PathBuf, QemuVersion)>> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for arch in archs {
            // Another run may have downloaded it while this one waited for the lock.
            match self.find_cached(context.host, arch)? {
                Some(cached) => found.push((*arch, cached.path, cached.version)),
                None => missing.push(*arch),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let downloads =
            self.download_emulators(context, &missing, &mut |_, key| stage_in_cache(context.host, cache, key))?;
        if let Some(note) = &downloads.note {
            context.ui.print_note(note);
        }
        for DownloadedEmulator { arch, file, version, cache_key: key, .. } in downloads.emulators {
            let path = cache.emulator_path(key, arch.target);
            let ready = file.into_program().map_err(|e| Error::io("write", &path, e))?;
            context.host.place_program(ready, &path)?;
            context.host.open_trusted(&path).map_err(|_| vanished_error(arch))?;
            found.push((arch, path, version));
        }
        Ok(found)
    }

    /// Stores emulators that came from an archive in the cache, and the targets that the archive lacks, so that it is not
    /// unpacked again for them. A failure is only reported.
    pub(super) fn store_in_cache(
        &self,
        context: ObtainContext<'_>,
        found: &[(&'static Arch, &File)],
        absent: &[&'static str],
    ) {
        let (Some(cache), Some((sha256, _))) = (&self.cache, &self.archive) else { return };
        // Nothing was unpacked.
        if found.is_empty() {
            return;
        }
        let keep = |(arch, file): &(&'static Arch, &File)| -> Result<()> {
            let path = cache.emulator_path(*sha256, arch.target);
            let mut staged = stage_in_cache(context.host, cache, *sha256)?;
            let io = |e| Error::io("write", &path, e);
            let mut file = *file;
            file.rewind().and_then(|()| std::io::copy(&mut file, staged.file())).map_err(io)?;
            context.host.place_program(staged.into_program().map_err(io)?, &path)
        };
        let note_absent = || match absent {
            [] => Ok(()),
            _ => context.host.write_atomic(&cache.absent_path(*sha256), absent.join("\n").as_bytes()),
        };
        let keep_all = |_lock| found.iter().try_for_each(keep).and_then(|()| note_absent());
        if let Err(error) = lock_cache(context, cache).and_then(keep_all) {
            context.ui.print_note(&describe_cache_failure(&error));
        }
    }
}

/// Locks the cache and removes temporary files of killed runs, which is safe only under the lock.
pub(super) fn lock_cache(context: ObtainContext<'_>, cache: &DownloadCache) -> Result<Lock> {
    let mut waiting = |holder: &str| context.ui.print_note(&format!("waiting for another download, {holder}"));
    let lock = context.host.lock(&cache.dir().join(cache::LOCK), LOCK_TIMEOUT, &mut waiting)?;
    context.host.remove_stale_temp_files(cache.dir())?;
    Ok(lock)
}

/// Describes a cache that cannot be written, for a note.
pub(super) fn describe_cache_failure(error: &Error) -> String {
    format!("the emulators are not cached: {error}")
}

fn stage_in_cache(host: &Host, cache: &DownloadCache, key: Sha256) -> Result<StagedFile> {
    let dir = cache.entry_dir(key);
    if !host.exists(&dir) {
        host.make_dir(&dir)?;
    }
    host.remove_stale_temp_files(&dir)?;
    host.stage_file(&dir)
}

fn vanished_error(arch: &Arch) -> Error {
    Error::NoInterpreter {
        binary: paths::emulator_name(arch),
        tried: "a file that was just stored in the cache cannot be opened".into(),
    }
}
