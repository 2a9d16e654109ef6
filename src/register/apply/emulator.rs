//! Steps that bring an emulator to its place.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;

use binfmt_magic::Arch;

use super::{Apply, io_error};
use crate::error::{Error, Result};
use crate::host::{FileId, FileStamp, StagedFile};
use crate::paths;
use crate::qemu::binary;
use crate::qemu::candidate;
use crate::register::apply::rollback::Undo;
use crate::register::receipt::Artifact;
use crate::sha256::Sha256;

/// An emulator in its place, read once more.
pub(super) struct InstalledEmulator {
    pub(super) head: Vec<u8>,
    pub(super) inode: FileId,
    pub(super) sha256: Sha256,
}

impl Apply<'_> {
    /// Copies the file that was judged, through the handle it was judged by.
    pub(super) fn copy_emulator(&mut self, arch: &'static Arch, from: &Path) -> Result<()> {
        let validated = self.facts.available.get(arch.target).and_then(|available| available.find_copy(from));
        let Some(validated) = validated else { return Ok(()) };
        let mut staged = self.host.stage_file(Path::new(paths::EMULATOR_DIR))?;
        let (mut source, judged) = (&validated.file, validated.sha256);
        source.rewind().map_err(io_error("read", from))?;
        std::io::copy(&mut source, staged.file()).map_err(io_error("copy", from))?;
        self.stage_verified(arch, staged, judged, from)
    }

    /// The last look before it gets its name: the very bytes that were wanted, a
    /// static program of this machine, that says it is the emulator wanted.
    pub(super) fn stage_verified(
        &mut self,
        arch: &'static Arch,
        mut staged: StagedFile,
        wanted: Sha256,
        from: &Path,
    ) -> Result<()> {
        let unfit = |why: String| Error::Unfit { path: from.to_owned(), binary: paths::emulator_name(arch), why };
        let place = self.host.real_path(&paths::interpreter_path(arch));
        let (head, sha256) = read_head_and_digest(staged.file()).map_err(io_error("read", &place))?;
        if sha256 != wanted {
            return Err(unfit("its bytes changed on the way".into()));
        }
        binary::check_binary(&head, &self.facts.machine).map_err(|e| unfit(e.to_string()))?;
        let ready = staged.into_program().map_err(io_error("write", &place))?;
        let version = candidate::query_version(arch, &ready.exec_path()).map_err(|e| unfit(e.to_string()))?;
        self.staged.insert(arch.target, (ready, sha256, version));
        Ok(())
    }

    pub(super) fn install_emulator(&mut self, arch: &'static Arch) -> Result<()> {
        let path = paths::interpreter_path(arch);
        let Some((ready, sha256, version)) = self.staged.remove(arch.target) else {
            return Ok(());
        };
        // What was proven of the old one is not of this.
        if let Some(known) = self.receipt.systems.get_mut(arch.target) {
            known.proven = false;
        }
        let qemu = Some(version.to_string());
        let made = Artifact::Interpreter { path: path.clone(), sha256, seal: None, qemu: qemu.clone() };
        self.record_started(made, Some(arch))?;
        self.push_undo(match self.host.keep_backup(&path)? {
            Some(previous) => Undo::RestoreEmulator(path.clone(), previous),
            None => Undo::RemoveFile(path.clone()),
        });
        self.host.place_program(ready, &path)?;
        self.host.restore_selinux_label(&path);
        let seal = self.host.lstat(&path)?.map(|meta| FileStamp::from_metadata(&meta));
        self.record_done(Artifact::Interpreter { path, sha256, seal, qemu })
    }

    /// Opens the emulator that is about to be registered, by the checked way, and
    /// reads it whole.
    pub(super) fn open_installed(&self, arch: &Arch) -> Result<InstalledEmulator> {
        let path = paths::interpreter_path(arch);
        let mut file: File = self.host.open_trusted(&path)?;
        let (head, sha256) = read_head_and_digest(&mut file).map_err(io_error("read", &path))?;
        let inode = FileId::from_metadata(&file.metadata().map_err(io_error("look at", &path))?);
        let placed = |made: &Artifact| matches!(made, Artifact::Interpreter { path: at, sha256: was, .. } if *at == path && *was != sha256);
        if self.receipt.records.iter().any(|record| placed(&record.made)) {
            let (binary, path) = (paths::emulator_name(arch), self.host.real_path(&path));
            return Err(Error::Unfit { path, binary, why: "somebody has put another file in its place".into() });
        }
        Ok(InstalledEmulator { head, inode, sha256 })
    }
}

fn read_head_and_digest(file: &mut File) -> std::io::Result<(Vec<u8>, Sha256)> {
    let mut head = Vec::new();
    file.rewind()?;
    (&mut *file).take(binary::HEAD_SIZE).read_to_end(&mut head)?;
    file.rewind()?;
    let sha256 = Sha256::of_reader(file)?;
    Ok((head, sha256))
}
