//! The step that downloads.

use std::path::Path;

use binfmt_magic::Arch;

use super::Apply;
use crate::catalog::Catalog;
use crate::error::Result;
use crate::{fetch, layout};

impl Apply<'_> {
    /// Downloads into temporary files beside their place.
    pub(super) fn fetch(&mut self, archs: &[&'static Arch]) -> Result<()> {
        let catalog = Catalog::embedded()?;
        let Some(package) = catalog.package_for(&self.facts.machine) else {
            return Ok(());
        };
        let members: Vec<_> = archs.iter().filter_map(|arch| Some((*arch, package.member(arch.target)?))).collect();
        let mut staged = Vec::new();
        for (arch, member) in members {
            staged.push((arch, member, self.host.stage(Path::new(layout::INTERPRETERS))?));
        }
        let files = staged.iter_mut().map(|(_, member, staged)| (member.target.as_str(), staged.file())).collect();
        let (fetched, note) = fetch::into_files(self.host, self.ui, package, files, &self.network)?;
        self.notes.extend(note);
        for (arch, member, file) in staged {
            self.admit(arch, file, member.sha256, Path::new(&fetched.url))?;
        }
        Ok(())
    }
}
