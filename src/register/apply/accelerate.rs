//! Steps of `accelerate`: copies of native programs, and emulators with a launcher.

use std::io::{Read as _, Write as _};
use std::path::Path;

use binfmt_magic::Arch;

use super::{Apply, io_error};
use crate::accelerate::bundle::BundleFile;
use crate::binfmt::launcher::{self, LauncherPair};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::paths;
use crate::qemu::version_query::{VersionQuery, query_version};
use crate::register::subject::Subject;
use crate::sanitize::AsText as _;
use crate::sha256::Sha256;

impl Apply<'_> {
    /// Copies a native program, or a file that it needs, if it still has the digest of the file that was proven.
    pub(super) fn copy_native(&mut self, arch: &'static Arch, file: &BundleFile) -> Result<()> {
        let dir = file.target.parent().unwrap_or(Path::new(paths::NATIVE_DIR));
        let mut source = Host::live().open_trusted_through_links(&file.source)?;
        let mut staged = self.host.stage_file(dir)?;
        std::io::copy(&mut source, staged.file()).map_err(|e| Error::copy(&file.source, &file.target, e))?;
        // The launcher compares the time, and reads the whole file only if it differs.
        let time = source.metadata().and_then(|meta| meta.modified());
        time.and_then(|time| staged.file().set_modified(time)).map_err(io_error("write", &file.target))?;
        let ready = staged.into_program().map_err(io_error("write", &file.target))?;
        let actual = Sha256::of_reader(&mut ready.file()).map_err(io_error("read", &file.target))?;
        if actual != file.sha256 {
            return Err(Error::Digest { what: file.source.as_text(), actual, expected: file.sha256 });
        }
        self.place_recorded(&file.target, ready, actual, Some(&Subject::System(arch)))
    }

    /// Adds a launcher to a copy of the installed emulator. The copy has to run as an emulator before it gets its name.
    pub(super) fn build_accelerator(&mut self, arch: &'static Arch, pairs: &[LauncherPair]) -> Result<()> {
        let (path, from) = (paths::accelerator_path(arch), paths::interpreter_path(arch));
        let mut emulator = Vec::new();
        self.host.open_trusted(&from)?.read_to_end(&mut emulator).map_err(io_error("read", &from))?;
        let unfit = |why: String| Error::Unfit { path: from.clone(), binary: paths::emulator_name(arch), why };
        let bytes = launcher::combine(&emulator, &self.facts.machine, pairs).map_err(|e| unfit(e.to_string()))?;
        let mut staged = self.host.stage_file(Path::new(paths::EMULATOR_DIR))?;
        staged.file().write_all(&bytes).map_err(io_error("write", &path))?;
        let ready = staged.into_program().map_err(io_error("write", &path))?;
        query_version(arch, ready.file(), VersionQuery::Run).map_err(|e| unfit(e.to_string()))?;
        self.accelerated.insert(arch.target, (Sha256::of_bytes(&emulator), launcher::digest(pairs)));
        self.place_recorded(&path, ready, Sha256::of_bytes(&bytes), Some(&Subject::System(arch)))
    }
}
