//! The step that downloads.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use binfmt_magic::Arch;

use super::{Apply, io};
use crate::catalog::{Catalog, Member, Package};
use crate::download::{self, Event, Fetched};
use crate::error::{Error, Result};
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
        let mut writers = BTreeMap::new();
        for (arch, member) in members {
            let file = self.host.stage(Path::new(layout::INTERPRETERS))?;
            let writer = file.writer().map_err(io("open", Path::new(layout::INTERPRETERS)))?;
            writers.insert(member.target.clone(), writer);
            staged.push((arch, member.sha256, file));
        }
        let fetched = self.download(package.clone(), writers)?;
        self.ui.fetched(fetched.moved, package.size, &fetched.url);
        for (arch, wanted, file) in staged {
            self.admit(arch, file, wanted, Path::new(&fetched.url))?;
        }
        Ok(())
    }

    /// Downloads in a thread of its own, so that a signal is heard while a server
    /// is silent. A thread that is left behind writes to files that are deleted.
    fn download(&self, package: Package, mut writers: BTreeMap<String, File>) -> Result<Fetched> {
        let mirrors = mirrors::all(self.host, self.mirror.clone());
        let options = mirrors::client(self.host);
        let bar = self.ui.progress();
        let shown = bar.clone();
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            let targets: Vec<_> = writers.keys().cloned().collect();
            let targets: Vec<_> = targets.iter().map(String::as_str).collect();
            let mut sink = |member: &Member| writers.remove(&member.target).ok_or(ErrorKind::NotFound.into());
            let mut tell = |event: Event<'_>| match event {
                Event::Asking { url } => shown.from(url),
                Event::Moved { bytes, of } => shown.moved(bytes, of),
                Event::GaveUp { url, reason } => shown.say(&format!("{url}: {reason}")),
                Event::Verified { .. } => {}
            };
            let done = package
                .plan(&targets)
                .map_err(Error::from)
                .and_then(|plan| Ok(download::download(&plan, &mirrors, &options, &mut sink, &mut tell)?));
            // Nobody listens any more if a signal came.
            drop(send.send(done));
        });
        let done = loop {
            match receive.recv_timeout(Duration::from_millis(50)) {
                Ok(done) => break done,
                Err(RecvTimeoutError::Timeout) => self.go_on()?,
                Err(RecvTimeoutError::Disconnected) => {
                    break Err(Error::io("download to", Path::new(layout::INTERPRETERS), ErrorKind::BrokenPipe.into()));
                }
            }
        };
        bar.end();
        done
    }
}
