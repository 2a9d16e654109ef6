//! Steps of the boot hook: the copy of this program, links, the boot command of WSL, and the list of sysvinit's scripts.

use std::path::Path;

use super::{Apply, io_error};
use crate::binfmt::boot_hook;
use crate::error::{Error, Result};
use crate::host;
use crate::paths;
use crate::register::apply::rollback::Undo;
use crate::register::receipt::Artifact;
use crate::sanitize::AsText as _;
use crate::sha256::Sha256;

impl Apply<'_> {
    /// Copies the file that this process executes. The previous copy is kept for rollback.
    pub(super) fn install_program(&mut self, expected: Sha256) -> Result<()> {
        let (path, dir) = (Path::new(paths::PROGRAM), Path::new(paths::EMULATOR_DIR));
        let own_path = host::env::own_path();
        let mut staged = self.host.stage_file(dir)?;
        let mut source = host::env::open_own_program().map_err(io_error("read", &own_path))?;
        let real_path = self.host.real_path(path);
        std::io::copy(&mut source, staged.file()).map_err(|e| Error::copy(&own_path, &real_path, e))?;
        let ready = staged.into_program().map_err(io_error("write", &real_path))?;
        let sha256 = Sha256::of_reader(&mut ready.file()).map_err(io_error("read", &real_path))?;
        if sha256 != expected {
            return Err(Error::Digest { what: own_path.as_text(), actual: sha256, expected });
        }
        self.place_recorded(path, ready, sha256, None)
    }

    /// Creates a symbolic link, unless it exists.
    pub(super) fn make_link(&mut self, path: &Path, target: &Path) -> Result<()> {
        let artifact = Artifact::Link { path: path.to_owned(), target: target.to_owned() };
        self.record_started(artifact.clone(), None)?;
        self.push_undo(Undo::RemoveFile(path.to_owned()));
        self.host.make_link(path, target)?;
        self.record_done(artifact)
    }

    /// Adds the boot command to a wsl.conf.
    pub(super) fn add_boot_command(&mut self, path: &Path, line: &str) -> Result<()> {
        let before = self.host.read_file(path)?;
        let created = before.is_none();
        let before = String::from_utf8(before.unwrap_or_default()).map_err(|_| Error::Conflict {
            what: format!("{} is not UTF-8", self.host.real_path(path).as_text()),
            hint: format!("below [boot] in that file, add this line: {line}"),
        })?;
        let (text, added) = boot_hook::add_boot_command(&before, line);
        let artifact = Artifact::BootCommand { path: path.to_owned(), created, added: added.clone() };
        self.record_started(artifact.clone(), None)?;
        self.push_undo(Undo::RemoveBootCommand { path: path.to_owned(), added, created });
        self.host.write_atomic(path, text.as_bytes())?;
        self.record_done(artifact)
    }

    /// Removes the boot command and its record.
    pub(super) fn remove_boot_command(&mut self, path: &Path, added: &str, created: bool) -> Result<()> {
        self.remove_boot_command_text(path, added, created)?;
        self.receipt.records.retain(|record| !matches!(record.made, Artifact::BootCommand { .. }));
        self.save_receipt()
    }

    /// Removes the text that was added, so that lines added since stay. A file that this tool created is deleted if
    /// nothing else is left in it.
    pub(super) fn remove_boot_command_text(&self, path: &Path, added: &str, created: bool) -> Result<()> {
        let Some(before) = self.host.read_file(path)? else {
            return Ok(());
        };
        let at = before.windows(added.len().max(1)).position(|bytes| bytes == added.as_bytes());
        let Some((start, end)) =
            at.and_then(|at| Some((before.get(..at)?, before.get(at.checked_add(added.len())?..)?)))
        else {
            return Ok(());
        };
        let after = [start, end].concat();
        if created && after.is_empty() { self.host.remove_file(path) } else { self.host.write_atomic(path, &after) }
    }

    /// Runs insserv(8), which lists the scripts that sysvinit starts, and numbers their links by their dependencies. The
    /// records get the new names of the links.
    pub(super) fn list_boot_scripts(&mut self, program: &Path) -> Result<()> {
        let why = match self.host.run_trusted_program(&program.as_text(), &[]) {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(format!("{}: {}", output.status, output.stderr.trim())),
            Err(error) => Some(error.to_string()),
        };
        self.findings.extend(why.map(|why| format!("{} could not list the boot scripts: {why}", program.as_text())));
        for record in &mut self.receipt.records {
            if let Artifact::Link { path, .. } = &mut record.made {
                *path = boot_hook::renumbered_link(self.host, path);
            }
        }
        if self.receipt.is_spent() { Ok(()) } else { self.save_receipt() }
    }
}
