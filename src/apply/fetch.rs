//! The step that downloads.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use binfmt_magic::Arch;

use super::{Apply, io};
use crate::catalog::{Catalog, Member, Package};
use crate::download::{ClientOptions, Event, Fetched};
use crate::error::Result;
use crate::fetcher::{self, Order};
use crate::{layout, mirrors};

impl Apply<'_> {
    /// Downloads into temporary files beside their place.
    pub(super) fn fetch(&mut self, archs: &[&'static Arch]) -> Result<()> {
        let catalog = Catalog::embedded()?;
        let Some(package) = catalog.package_for(&self.facts.machine) else {
            return Ok(());
        };
        let members: Vec<_> = archs.iter().filter_map(|arch| Some((*arch, package.member(arch.target)?))).collect();
        let mut staged = Vec::new();
        let mut files = BTreeMap::new();
        for (arch, member) in members {
            let file = self.host.stage(Path::new(layout::INTERPRETERS))?;
            let writer = file.writer().map_err(io("open", Path::new(layout::INTERPRETERS)))?;
            files.insert(member.target.as_str(), writer);
            staged.push((arch, member.sha256, file));
        }
        let fetched = self.download(package, files)?;
        self.ui.fetched(fetched.moved, package.size, &fetched.url);
        for (arch, wanted, file) in staged {
            self.admit(arch, file, wanted, Path::new(&fetched.url))?;
        }
        Ok(())
    }

    /// Downloads in a process of its own, and writes what it gives.
    fn download(&mut self, package: &Package, mut files: BTreeMap<&str, File>) -> Result<Fetched> {
        let targets: Vec<_> = files.keys().copied().collect();
        let order = Order {
            plan: &package.plan(&targets)?,
            mirrors: &mirrors::all(self.host, self.mirror.clone()),
            options: ClientOptions::default(),
            extra_roots: &mirrors::extra_roots(self.host),
        };
        let bar = self.ui.progress();
        let mut write = |member: &Member, bytes: &[u8]| -> io::Result<()> {
            files.get_mut(member.target.as_str()).ok_or(ErrorKind::NotFound)?.write_all(bytes)
        };
        let mut tell = |event: Event<'_>| match event {
            Event::Asking { url } => bar.from(url),
            Event::Moved { bytes, of } => bar.moved(bytes, of),
            Event::GaveUp { url, reason } => bar.say(&format!("{url}: {reason}")),
            Event::Verified { .. } => {}
        };
        let fetched = fetcher::fetch(&order, &mut write, &mut tell, &mut || self.go_on());
        bar.end();
        let (fetched, note) = fetched?;
        self.notes.extend(note);
        Ok(fetched)
    }
}
