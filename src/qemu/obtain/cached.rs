//! Brings emulators that are not there: into the user's cache, or into memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Seek as _;
use std::time::Duration;

use binfmt_magic::Arch;

use super::fallback::Elsewhere;
use super::{Emulator, Place, Search, emulator};
use crate::cache::{self, Cache};
use crate::catalog::{Archives, Member, Package};
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::fetch;
use crate::host::{self, Host, Lock, StagedFile};
use crate::interpreter::{self, Version};
use crate::qemu::candidate;
use crate::ui::Ui;

/// So long another download into the same cache is waited for.
const PATIENCE: Duration = Duration::from_secs(600);

impl Search<'_> {
    /// From a mirror of Debian, or from other publishers.
    pub(super) fn download(&self, ui: &Ui, archs: &[&'static Arch]) -> Result<Vec<Emulator>> {
        match self.download_package(ui, archs) {
            Err(error) if self.wish.source.any_release() && Elsewhere::may_help(&error) => {
                self.elsewhere(ui, archs, error)
            }
            done => done,
        }
    }

    fn elsewhere(&self, ui: &Ui, archs: &[&'static Arch], before: Error) -> Result<Vec<Emulator>> {
        let elsewhere = Elsewhere {
            host: self.host,
            ui,
            network: &self.wish.network,
            machine: self.machine,
            kernel: crate::host::env::kernel().1,
            archives: Archives::embedded()?,
        };
        let mut made = Vec::new();
        for found in elsewhere.get(archs, before)? {
            let emulator = emulator(found.arch, Place::Memory(found.fit.file), found.fit.version);
            self.keep(ui, found.archive, std::slice::from_ref(&emulator));
            made.push(emulator);
        }
        Ok(made)
    }

    fn download_package(&self, ui: &Ui, archs: &[&'static Arch]) -> Result<Vec<Emulator>> {
        let Some(package) = self.package else {
            return Err(Error::Unsupported {
                what: format!("no download of QEMU is known for {} hosts", self.machine),
                hint: "--qemu PATH names a static one that you have".into(),
            });
        };
        self.host.catch_signals().map_err(|e| Error::io("hold signals of", &host::env::own_path(), e))?;
        let opened = self.cache.as_ref().map(|cache| (cache, self.open_cache(ui, cache)));
        match opened {
            Some((cache, Ok(_lock))) => {
                // Another run may have brought it while we waited.
                let missing: Vec<_> = archs.iter().copied().filter(|arch| self.cached(arch).is_none()).collect();
                if !missing.is_empty() {
                    self.fill_cache(ui, package, cache, &missing)?;
                }
                archs.iter().map(|arch| self.cached(arch).ok_or_else(|| gone(arch))).collect()
            }
            Some((_, Err(error))) if !matches!(error, Error::Locked { .. } | Error::Interrupted { .. }) => {
                ui.note(&format!("nothing is kept for the next time: {error}"));
                self.keep_in_memory(ui, package, archs)
            }
            Some((_, Err(error))) => Err(error),
            None => self.keep_in_memory(ui, package, archs),
        }
    }

    /// Only under its lock is what killed runs left swept up.
    fn open_cache(&self, ui: &Ui, cache: &Cache) -> Result<Lock> {
        let mut waiting = |holder: &str| ui.note(&format!("waiting for another download, {holder}"));
        let lock = self.host.lock(&cache.dir().join(cache::LOCK), PATIENCE, &mut waiting)?;
        self.host.remove_stale_temp_files(cache.dir())?;
        Ok(lock)
    }

    fn fill_cache(&self, ui: &Ui, package: &Package, cache: &Cache, archs: &[&'static Arch]) -> Result<()> {
        let mut staged: Vec<(&Member, StagedFile)> = Vec::new();
        for member in archs.iter().filter_map(|arch| package.member(arch.target)) {
            staged.push((member, self.stage(cache, member.sha256)?));
        }
        let files = staged.iter_mut().map(|(member, staged)| (member.target.as_str(), staged.file())).collect();
        self.fetch(ui, package, files)?;
        for (member, mut staged) in staged {
            let path = cache.emulator(member.sha256, &member.target);
            fetch::check(staged.file(), member)?;
            let ready = staged.into_program().map_err(|e| Error::io("write", &path, e))?;
            self.host.place_program(ready, &path)?;
        }
        Ok(())
    }

    fn stage(&self, cache: &Cache, sha256: Sha256) -> Result<StagedFile> {
        let dir = cache.of(sha256);
        if !self.host.exists(&dir) {
            self.host.make_dir(&dir)?;
        }
        self.host.remove_stale_temp_files(&dir)?;
        self.host.stage_file(&dir)
    }

    /// The emulator of this target that came of what has this digest, if it was kept.
    pub(super) fn kept(&self, arch: &'static Arch, sha256: Sha256) -> Option<Emulator> {
        let path = self.cache.as_ref()?.emulator(sha256, arch.target);
        self.host.open_trusted(&path).ok()?;
        let version = candidate::version(arch, &path).ok()?;
        Some(emulator(arch, Place::File(path), version))
    }

    /// What other publishers gave when no mirror of Debian did.
    pub(super) fn kept_from_elsewhere(&self, arch: &'static Arch) -> Option<Emulator> {
        let mut archives = Archives::embedded().ok()?.archives_for(self.machine, arch.target);
        archives.find_map(|archive| self.kept(arch, archive.sha256))
    }

    /// Keeps what came of what has this digest, for the next time.
    pub(super) fn keep(&self, ui: &Ui, sha256: Sha256, found: &[Emulator]) {
        let Some(cache) = &self.cache else { return };
        let keep = |emulator: &Emulator| -> Result<()> {
            let Place::Memory(file) = &emulator.place else { return Ok(()) };
            let path = cache.emulator(sha256, emulator.arch.target);
            let mut staged = self.stage(cache, sha256)?;
            let io = |e| Error::io("write", &path, e);
            let mut file = file;
            file.rewind().and_then(|()| std::io::copy(&mut file, staged.file())).map_err(io)?;
            self.host.place_program(staged.into_program().map_err(io)?, &path)
        };
        if let Err(error) = self.open_cache(ui, cache).and_then(|_lock| found.iter().try_for_each(keep)) {
            ui.note(&format!("nothing is kept for the next time: {error}"));
        }
    }

    fn fetch(&self, ui: &Ui, package: &Package, files: BTreeMap<&str, &mut File>) -> Result<()> {
        let (_, note) = fetch::into_files(self.host, ui, package, files, &self.wish.network)?;
        if let Some(note) = note {
            ui.note(&note);
        }
        Ok(())
    }

    fn keep_in_memory(&self, ui: &Ui, package: &Package, archs: &[&'static Arch]) -> Result<Vec<Emulator>> {
        let mut made = Vec::new();
        for arch in archs {
            let (member, version) = self.pin(arch).ok_or_else(|| gone(arch))?;
            made.push((*arch, member, version, host::memfd::create_sealable().map_err(|e| no_memory(&e))?));
        }
        let files = made.iter_mut().map(|(_, member, _, file)| (member.target.as_str(), file)).collect();
        self.fetch(ui, package, files)?;
        let seal = |(arch, member, version, mut file): (&'static Arch, &Member, Version, File)| {
            // Sealed before it is hashed, so that the hashed bytes cannot change any more.
            host::memfd::seal_program(&file).map_err(|e| no_memory(&e))?;
            fetch::check(&mut file, member)?;
            Ok(emulator(arch, Place::Memory(file), version))
        };
        made.into_iter().map(seal).collect()
    }
}

/// The same, as a file in memory. A path that was `given` is that of whoever gave it.
pub(super) fn in_memory(host: &Host, machine: &str, emulator: Emulator, given: bool) -> Result<Emulator> {
    let Place::File(path) = &emulator.place else { return Ok(emulator) };
    let mut memory = host::memfd::create_sealable().map_err(|e| no_memory(&e))?;
    let mut file = if given { host::user_files::open_regular(path)? } else { host.open_trusted_through_links(path)? };
    std::io::copy(&mut file, &mut memory).map_err(|e| Error::io("copy", path, e))?;
    host::memfd::seal_program(&memory).map_err(|e| no_memory(&e))?;
    let fit = candidate::fit(emulator.arch, machine, memory).map_err(|why| Error::Unfit {
        path: path.clone(),
        binary: interpreter::binary(emulator.arch),
        why: why.to_string(),
    })?;
    Ok(Emulator { place: Place::Memory(fit.file), version: fit.version, ..emulator })
}

fn gone(arch: &Arch) -> Error {
    Error::NoInterpreter {
        binary: interpreter::binary(arch),
        tried: "the cache does not keep what is put there".into(),
    }
}

/// `vm.memfd_noexec` = 2 (sysctl/vm.rst) forbids programs in memory.
fn no_memory(source: &std::io::Error) -> Error {
    Error::Unsupported {
        what: format!("cannot keep an emulator in memory: {source}"),
        hint: "a file will do: leave --no-cache away, with a cache directory that can be written; or as root: sysctl \
               vm.memfd_noexec=0"
            .into(),
    }
}
