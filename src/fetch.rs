//! Downloads emulators into files that are open, and shows how far it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Seek as _, Write as _};

use crate::catalog::{Member, Package};
use crate::digest::Sha256;
use crate::download::{BaseUrl, Event, Fetched};
use crate::error::{Error, Result};
use crate::fetcher::{self, Manner};
use crate::host::Host;
use crate::mirrors;
use crate::ui::Ui;

/// Downloads these members of a package, by QEMU target, in a process of its own.
///
/// Nothing of it is to be trusted before its digest was compared: see [`check`].
/// Returns what the user should know of this kernel, if anything.
pub fn into_files(
    host: &Host,
    ui: &Ui,
    package: &Package,
    mut files: BTreeMap<&str, &mut File>,
    mirror: Option<BaseUrl>,
) -> Result<(Fetched, Option<String>)> {
    let targets: Vec<_> = files.keys().copied().collect();
    let plan = package.plan(&targets)?;
    let manner = Manner { extra_roots: mirrors::extra_roots(host), ..Manner::default() };
    let bar = ui.progress();
    let mut write = |member: &Member, bytes: &[u8]| -> io::Result<()> {
        files.get_mut(member.target.as_str()).ok_or(ErrorKind::NotFound)?.write_all(bytes)
    };
    let mut tell = |event: Event<'_>| match event {
        Event::Asking { url } => bar.from(url),
        Event::Moved { bytes, of } => bar.moved(bytes, of),
        Event::GaveUp { url, reason } => bar.say(&format!("{url}: {reason}")),
        Event::Verified { .. } => {}
    };
    let mut go_on = || host.interrupted().map_or(Ok(()), |signal| Err(Error::Interrupted { signal }));
    let done = fetcher::fetch(&plan, &mirrors::all(host, mirror), &manner, &mut write, &mut tell, &mut go_on);
    bar.end();
    let (fetched, note) = done?;
    ui.fetched(fetched.moved, package.size, &fetched.url);
    Ok((fetched, note))
}

/// Reads a downloaded file whole, and compares it with its digest.
pub fn check(file: &mut File, member: &Member) -> Result<()> {
    let read = file.rewind().and_then(|()| Sha256::of_reader(file));
    let (binary, path) = (format!("qemu-{}", member.target), "the download".into());
    match read {
        Ok(sha256) if sha256 == member.sha256 => Ok(()),
        Ok(_) => Err(Error::Unfit { path, binary, why: "its bytes changed on the way".into() }),
        Err(e) => Err(Error::Unfit { path, binary, why: e.to_string() }),
    }
}
