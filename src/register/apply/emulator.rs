//! Steps that download, copy and install an emulator.

use std::fs::{File, Metadata};
use std::io::{Read as _, Seek as _};
use std::path::Path;

use binfmt_magic::Arch;

use super::{Apply, io_error};
use crate::error::{Error, Result};
use crate::host::{self, FileId, FileStamp, Host, StagedFile, StagedProgram};
use crate::paths;
use crate::qemu::binary;
use crate::qemu::obtain::ObtainContext;
use crate::qemu::version_query::{VersionQuery, query_version};
use crate::register::apply::rollback::Undo;
use crate::register::receipt::{Artifact, Record, Stage};
use crate::register::subject::Subject;
use crate::sanitize::AsText as _;
use crate::sha256::Sha256;

/// Installed emulator, as read just before its entry is registered.
pub(super) struct InstalledEmulator {
    pub(super) head: Vec<u8>,
    pub(super) version: FileVersion,
}

impl InstalledEmulator {
    /// Opens the interpreter of an own rule at the path that the kernel will open, on the running machine.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = Host::live().open_trusted_through_links(path)?;
        let version = FileVersion::from_metadata(&file.metadata().map_err(io_error("inspect", path))?);
        let head = host::user_files::read_head(&file, binary::HEAD_SIZE).map_err(io_error("read", path))?;
        Ok(Self { head, version })
    }
}

/// One file with one content. Changed bytes have another stamp, so the file is not read to compare it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileVersion {
    id: FileId,
    stamp: FileStamp,
}

impl FileVersion {
    pub(super) fn from_metadata(meta: &Metadata) -> Self {
        Self { id: FileId::from_metadata(meta), stamp: FileStamp::from_metadata(meta) }
    }
}

impl Apply<'_> {
    /// Places a program and records it. The previous file is kept for rollback.
    pub(super) fn place_recorded(
        &mut self,
        path: &Path,
        ready: StagedProgram,
        sha256: Sha256,
        subject: Option<&Subject>,
    ) -> Result<()> {
        let artifact = |seal| Artifact::Program { path: path.to_owned(), sha256, seal };
        self.record_started(artifact(None), subject)?;
        self.push_undo(match self.host.keep_backup(path)? {
            Some(previous) => Undo::RestoreEmulator(path.to_owned(), previous),
            None => Undo::RemoveFile(path.to_owned()),
        });
        self.host.place_program(ready, path)?;
        self.host.restore_selinux_label(path);
        let seal = self.host.lstat(path)?.map(|meta| FileStamp::from_metadata(&meta));
        self.record_done(artifact(seal))
    }

    /// Downloads emulators into temporary files in the directory of emulators. If another publisher's emulator is used
    /// instead of the pinned one, the plan stays valid: the flags and the path are the same.
    pub(super) fn download_emulators(&mut self, archs: &[&'static Arch]) -> Result<()> {
        let Some(supply) = &self.facts.supply else { return Ok(()) };
        let context = ObtainContext { host: self.host, ui: self.ui, network: &self.network };
        let stage = &mut |_: &Arch, _| self.host.stage_file(Path::new(paths::EMULATOR_DIR));
        let downloads = supply.download_emulators(context, archs, stage)?;
        self.notes.extend(downloads.note);
        for emulator in downloads.emulators {
            let from = Path::new(&emulator.url);
            let ready = self.check_staged(emulator.arch, emulator.file, emulator.sha256, from)?;
            let version = query_version(emulator.arch, ready.file(), VersionQuery::Run)
                .map_err(|e| unfit(emulator.arch, from, e.to_string()))?
                .version;
            self.staged.insert(emulator.arch.target, (ready, emulator.sha256, version));
            if emulator.is_fallback {
                self.fallback_sources.insert(emulator.arch.target, (emulator.version, emulator.url));
            }
        }
        Ok(())
    }

    /// Copies the validated file through the handle that it was validated with.
    pub(super) fn copy_emulator(&mut self, arch: &'static Arch, from: &Path) -> Result<()> {
        let validated = self.facts.available.get(arch.target).and_then(|available| available.find_copy(from));
        let Some(validated) = validated else { return Ok(()) };
        let mut staged = self.host.stage_file(Path::new(paths::EMULATOR_DIR))?;
        let (mut source, expected) = (&validated.file, validated.sha256);
        source.rewind().map_err(io_error("read", from))?;
        let real_path = self.host.real_path(&paths::interpreter_path(arch));
        host::regular_file::copy_program(source, staged.file()).map_err(|e| Error::copy(from, &real_path, e))?;
        let ready = self.check_staged(arch, staged, expected, from)?;
        // These bytes have reported their version when they were validated. Only their new place is unknown.
        if host::user_files::is_on_noexec_mount(ready.file()) {
            return Err(unfit(arch, from, format!("the file system of {} is mounted noexec", real_path.as_text())));
        }
        self.staged.insert(arch.target, (ready, expected, validated.version));
        Ok(())
    }

    /// Checks a staged file before it gets its name: it must have the expected digest, and be a static program for this
    /// machine.
    fn check_staged(
        &self,
        arch: &'static Arch,
        mut staged: StagedFile,
        expected: Sha256,
        from: &Path,
    ) -> Result<StagedProgram> {
        let real_path = self.host.real_path(&paths::interpreter_path(arch));
        let (head, sha256) = read_head_and_digest(staged.file()).map_err(io_error("read", &real_path))?;
        if sha256 != expected {
            return Err(unfit(arch, from, "its bytes changed during the transfer".into()));
        }
        binary::check_binary(&head, &self.facts.machine).map_err(|e| unfit(arch, from, e.to_string()))?;
        staged.into_program().map_err(io_error("write", &real_path))
    }

    /// Moves a staged emulator to its path. The one that is there is kept beside it.
    pub(super) fn install_emulator(&mut self, arch: &'static Arch) -> Result<()> {
        let path = paths::interpreter_path(arch);
        let Some((ready, sha256, version)) = self.staged.remove(arch.target) else {
            return Ok(());
        };
        self.note_unproven(arch);
        let kept = self.keep_previous(arch)?;
        let qemu = Some(version.to_string());
        let artifact = Artifact::Interpreter { path: path.clone(), sha256, seal: None, qemu: qemu.clone() };
        self.record_started(artifact, Some(&Subject::System(arch)))?;
        self.push_undo(if kept.is_some() { Undo::TakeBack(arch) } else { Undo::RemoveFile(path.clone()) });
        let real_path = self.host.real_path(&path);
        let verified = ready.file().metadata().map_err(io_error("inspect", &real_path))?;
        self.host.place_program(ready, &path)?;
        self.host.restore_selinux_label(&path);
        if let Some(previous) = kept {
            // The file has one name less now, which changed its times.
            let resealed = self.with_seal_at(&paths::previous_path(arch), previous)?;
            let recorded = self.receipt.records.iter_mut().find(|record| record.made.is_same_object(&resealed));
            if let Some(record) = recorded {
                record.made = resealed;
            }
        }
        let seal = self.seal_of(&path, &FileStamp::from_metadata(&verified))?;
        self.record_done(Artifact::Interpreter { path, sha256, seal, qemu })
    }

    /// The proof of the previous emulator does not hold for another one.
    fn note_unproven(&mut self, arch: &Arch) {
        if let Some(known) = self.receipt.systems.get_mut(arch.target) {
            known.proven = false;
        }
    }

    /// Gives the installed emulator a second name, under which it stays. Returns its record.
    fn keep_previous(&mut self, arch: &'static Arch) -> Result<Option<Artifact>> {
        let (path, previous) = (paths::interpreter_path(arch), paths::previous_path(arch));
        let (Some(Some(sha256)), Some(link)) = (self.facts.files.get(&path), self.host.keep_backup(&path)?) else {
            return Ok(None);
        };
        let seal = self.recorded_emulator(&path).and_then(|made| made.seal().cloned());
        let qemu = self.facts.installed_version(arch).map(str::to_owned);
        let made = Artifact::Interpreter { path: previous.clone(), sha256: *sha256, seal, qemu };
        self.record_started(made.clone(), Some(&Subject::System(arch)))?;
        self.push_undo(match self.host.keep_backup(&previous)? {
            Some(older) => Undo::RestoreEmulator(previous.clone(), older),
            None => Undo::RemoveFile(previous.clone()),
        });
        self.host.restore_backup(link, &previous)?;
        self.note_done(made.clone());
        Ok(Some(made))
    }

    /// Exchanges the installed emulator with the previous one, whose digest was compared when the facts were gathered.
    pub(super) fn swap_emulators(&mut self, arch: &'static Arch) -> Result<()> {
        let paths = [paths::interpreter_path(arch), paths::previous_path(arch)];
        let [Some(current), Some(previous)] = [0, 1].map(|at: usize| self.recorded_emulator(paths.get(at)?).cloned())
        else {
            return Ok(());
        };
        self.note_unproven(arch);
        let subject = Subject::System(arch);
        let [path, other] = &paths;
        let swapped = [previous.with_path(path), current.with_path(other)];
        self.records_before.clone_from(&self.receipt.records);
        let started = swapped.iter().map(|made| Record::new(Stage::Started, Some(&subject), made.clone()));
        self.receipt.records.extend(started);
        self.save_receipt()?;
        let id = self.host.lstat(path)?.map(|meta| FileId::from_metadata(&meta));
        self.push_undo(Undo::SwapEmulators(arch, id));
        self.host.exchange_files(path, other)?;
        for (path, made) in paths.iter().zip(swapped) {
            let made = self.with_seal_at(path, made)?;
            self.receipt.records.retain(|record| !record.made.is_same_object(&made));
            self.receipt.records.push(Record::new(Stage::Done, Some(&subject), made));
        }
        self.save_receipt()
    }

    fn recorded_emulator(&self, path: &Path) -> Option<&Artifact> {
        let made = self.receipt.records.iter().map(|record| &record.made);
        made.rev().find(|made| matches!(made, Artifact::Interpreter { .. }) && made.path() == Some(path))
    }

    /// Replaces the seal of an emulator that was moved to `path` by its present one, if its content is the same.
    fn with_seal_at(&self, path: &Path, mut made: Artifact) -> Result<Artifact> {
        if let Artifact::Interpreter { seal, .. } = &mut made {
            *seal = match seal.take() {
                Some(known) => self.seal_of(path, &known)?,
                None => None,
            };
        }
        Ok(made)
    }

    /// Returns the present stamp of a file if it is the file with this stamp.
    fn seal_of(&self, path: &Path, known: &FileStamp) -> Result<Option<FileStamp>> {
        let now = self.host.lstat(path)?.map(|meta| FileStamp::from_metadata(&meta));
        Ok(now.filter(|now| now.has_same_content(known)))
    }

    /// Opens the emulator that is about to be registered, with every check of the path. Reads all of it, unless it is
    /// unchanged since this run installed it or read the facts.
    pub(super) fn open_installed(&self, arch: &Arch) -> Result<InstalledEmulator> {
        let path = paths::interpreter_path(arch);
        let file = self.host.open_trusted(&path)?;
        let version = FileVersion::from_metadata(&file.metadata().map_err(io_error("inspect", &path))?);
        let recorded = self.receipt.records.iter().filter_map(|record| match &record.made {
            Artifact::Interpreter { path: recorded, sha256, seal, .. } if *recorded == path => Some((sha256, seal)),
            _ => None,
        });
        let mut unsealed = recorded.filter(|(_, seal)| seal.as_ref() != Some(&version.stamp)).peekable();
        if unsealed.peek().is_some() {
            let actual = Sha256::of_reader(&mut &file).map_err(io_error("read", &path))?;
            if unsealed.any(|(sha256, _)| *sha256 != actual) {
                let (binary, path) = (paths::emulator_name(arch), self.host.real_path(&path));
                return Err(Error::Unfit {
                    path,
                    binary,
                    why: "another file has replaced it since it was installed".into(),
                });
            }
        }
        let head = host::user_files::read_head(&file, binary::HEAD_SIZE).map_err(io_error("read", &path))?;
        Ok(InstalledEmulator { head, version })
    }
}

fn unfit(arch: &Arch, from: &Path, why: String) -> Error {
    Error::Unfit { path: from.to_owned(), binary: paths::emulator_name(arch), why }
}

fn read_head_and_digest(file: &mut File) -> std::io::Result<(Vec<u8>, Sha256)> {
    let mut head = Vec::new();
    file.rewind()?;
    (&mut *file).take(binary::HEAD_SIZE).read_to_end(&mut head)?;
    file.rewind()?;
    let sha256 = Sha256::of_reader(file)?;
    Ok((head, sha256))
}
