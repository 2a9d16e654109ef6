//! The step that downloads.

use std::io::Seek as _;
use std::path::Path;

use binfmt_magic::Arch;

use super::{Apply, io};
use crate::catalog::Archives;
use crate::error::{Error, Result};
use crate::qemu::obtain::fallback::Elsewhere;
use crate::{fetch, layout};

impl Apply<'_> {
    /// Downloads into temporary files beside their place.
    pub(super) fn fetch(&mut self, archs: &[&'static Arch]) -> Result<()> {
        match self.fetch_package(archs) {
            Err(error) if self.facts.any_release && Elsewhere::may_help(&error) => self.fetch_elsewhere(archs, error),
            done => done,
        }
    }

    fn fetch_package(&mut self, archs: &[&'static Arch]) -> Result<()> {
        let Some(package) = self.facts.package()? else { return Ok(()) };
        let members: Vec<_> = archs.iter().filter_map(|arch| Some((*arch, package.member(arch.target)?))).collect();
        let mut staged = Vec::new();
        for (arch, member) in members {
            staged.push((arch, member, self.host.stage_file(Path::new(layout::INTERPRETERS))?));
        }
        let files = staged.iter_mut().map(|(_, member, staged)| (member.target.as_str(), staged.file())).collect();
        let (fetched, note) = fetch::into_files(self.host, self.ui, package, files, &self.network)?;
        self.notes.extend(note);
        for (arch, member, file) in staged {
            self.admit(arch, file, member.sha256, Path::new(&fetched.url))?;
        }
        Ok(())
    }

    /// What was planned of the other publisher's emulator holds for this one too: the same flags, the same place.
    fn fetch_elsewhere(&mut self, archs: &[&'static Arch], before: Error) -> Result<()> {
        let elsewhere = Elsewhere {
            host: self.host,
            ui: self.ui,
            network: &self.network,
            machine: &self.facts.machine,
            kernel: self.facts.kernel,
            archives: Archives::embedded()?,
        };
        for found in elsewhere.get(archs, before)? {
            let from = Path::new(&found.url);
            let mut staged = self.host.stage_file(Path::new(layout::INTERPRETERS))?;
            let mut source = &found.fit.file;
            source.rewind().and_then(|()| std::io::copy(&mut source, staged.file())).map_err(io("copy", from))?;
            self.admit(found.arch, staged, found.fit.sha256, from)?;
            self.elsewhere.insert(found.arch.target, (found.fit.version, found.url));
        }
        Ok(())
    }
}
