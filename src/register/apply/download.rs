//! The step that downloads.

use std::path::Path;

use binfmt_magic::Arch;

use super::Apply;
use crate::error::Result;
use crate::paths;
use crate::qemu::obtain::ObtainContext;

impl Apply<'_> {
    /// Downloads into temporary files beside their place. What was planned of the pinned emulator holds for another
    /// publisher's one too: the same flags, the same place.
    pub(super) fn download_emulators(&mut self, archs: &[&'static Arch]) -> Result<()> {
        let Some(supply) = &self.facts.supply else { return Ok(()) };
        let context = ObtainContext { host: self.host, ui: self.ui, network: &self.network };
        let stage = &mut |_: &Arch, _| self.host.stage_file(Path::new(paths::EMULATOR_DIR));
        let downloads = supply.download_emulators(context, archs, stage)?;
        self.notes.extend(downloads.note);
        for one in downloads.emulators {
            self.stage_verified(one.arch, one.file, one.sha256, Path::new(&one.url))?;
            if one.is_fallback {
                self.fallback_sources.insert(one.arch.target, (one.version, one.url));
            }
        }
        Ok(())
    }
}
