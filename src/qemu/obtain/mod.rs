//! Which emulator the command gets: installed, cached, of the host, downloaded.
//!
//! What is downloaded goes to the user's cache ([`crate::cache`]). Where nothing can be written, it stays in memory.

mod cached;
pub mod fallback;
pub mod installed;
pub mod latest;
pub mod open;
pub mod source;
pub mod unpack;

use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use binfmt_magic::{Arch, EntryName, Flags, Recognition, Rule};

use crate::cache::Cache;
use crate::catalog::{Member, Package};
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::in_memory::{IN_MEMORY, in_memory};
use crate::interpreter::{self, KNOWS_ARGV0, Version};
use crate::layout;
use crate::qemu::candidate::{self, CandidateError, HostCopy};
use crate::receipt::Receipt;
use crate::ui::Ui;
use open::{Opened, What};
use source::{Network, Place as Origin, Release, Source};

/// An emulator that can be registered.
#[derive(Debug)]
pub struct Emulator {
    /// Its guest.
    pub arch: &'static Arch,
    /// Its file.
    pub place: Place,
    /// Its release.
    pub version: Version,
}

impl Emulator {
    /// The rule that registers it. The kernel opens the interpreter while the
    /// rule is put in (flag F), so a file in memory has to be open until then.
    pub fn rule(&self, name: &str, credentials: bool) -> Result<Rule> {
        self.rule_by(IN_MEMORY, name, credentials)
    }

    /// The same, with a file in memory called by another name of the directory of open files.
    pub fn rule_by(&self, memory: &str, name: &str, credentials: bool) -> Result<Rule> {
        let interpreter = match &self.place {
            Place::File(path) => path.as_os_str().as_bytes().to_vec(),
            Place::Memory(file) => in_memory(memory, file),
        };
        Ok(Rule {
            name: EntryName::new(name)?,
            recognition: Recognition::Magic(self.arch.pattern()),
            interpreter,
            flags: Flags {
                preserve_argv0: self.version >= KNOWS_ARGV0,
                open_binary: credentials,
                credentials,
                fix_binary: true,
            },
        })
    }
}

/// Where an emulator is.
#[derive(Debug)]
pub enum Place {
    /// A file with a name.
    File(PathBuf),
    /// Memory, sealed; it is there as long as this is open, or registered.
    Memory(File),
}

/// What the user wants of it.
#[derive(Debug)]
pub struct Wish {
    /// Where emulators come from.
    pub source: Source,
    /// How the network may be used for that.
    pub network: Network,
    /// Systems that an archive, or this machine, has no emulator for are passed over.
    pub all: bool,
    /// Where an emulator that has to be brought is kept.
    pub keep: Keep,
}

/// Where an emulator is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// In the user's cache, for the next time.
    Cached,
    /// A file that is there is used; a download stays in memory.
    Nowhere,
    /// Always in memory, so that it needs no file from then on.
    Memory,
}

/// One emulator for each of the systems.
pub fn obtain(host: &Host, ui: &Ui, archs: &[&'static Arch], machine: &str, wish: &Wish) -> Result<Vec<Emulator>> {
    let mut package = source::package(machine, &wish.source)?;
    let latest = match &wish.source {
        Source::Download(Release::Latest) => {
            Some(latest::find(host, ui, &wish.network, machine, wish.keep == Keep::Cached)?)
        }
        _ => None,
    };
    if let Some(latest) = &latest {
        package = latest.package(machine)?;
    }
    let cache = (wish.keep == Keep::Cached).then(|| Cache::of_user(host)).flatten();
    let search = Search { host, machine, wish, package, cache };
    let brought = match (&wish.source, latest) {
        (Source::From(from), _) => {
            // What came from elsewhere is kept by the digest it was named by.
            let kept = from.sha256.filter(|_| !matches!(from.place, Origin::Path(_)));
            Some(search.brought(ui, archs, kept, || open::open(host, ui, from, &wish.network, machine))?)
        }
        (_, Some(latest)) if package.is_none() => {
            let kept = Some(latest.sha256());
            Some(search.brought(ui, archs, kept, || latest.open(host, ui, &wish.network))?)
        }
        _ => None,
    };
    if let Some(found) = brought {
        return if wish.keep == Keep::Memory { all_in_memory(host, machine, found, wish) } else { Ok(found) };
    }
    let (mut found, mut missing, mut absent) = (Vec::new(), Vec::new(), Vec::new());
    for arch in archs {
        match search.find(arch) {
            Ok(Some(emulator)) => found.push(emulator),
            Ok(None) => missing.push(*arch),
            Err(_) if wish.all && wish.source == Source::Host => absent.push(arch.target),
            Err(error) => return Err(error),
        }
    }
    if let Some(first) = absent.first() {
        if found.is_empty() {
            let (binary, tried) = (format!("qemu-{first}"), "none is installed, nor any other".into());
            return Err(Error::NoInterpreter { binary, tried });
        }
        ui.note(&format!("this machine has no emulator for: {}", absent.join(" ")));
    }
    if !missing.is_empty() {
        found.extend(search.download(ui, &missing)?);
    }
    if wish.keep == Keep::Memory { all_in_memory(host, machine, found, wish) } else { Ok(found) }
}

fn all_in_memory(host: &Host, machine: &str, found: Vec<Emulator>, wish: &Wish) -> Result<Vec<Emulator>> {
    let given = matches!(wish.source, Source::File(_) | Source::From(_));
    found.into_iter().map(|emulator| cached::in_memory(host, machine, emulator, given)).collect()
}

pub(super) struct Search<'a> {
    pub(super) host: &'a Host,
    pub(super) machine: &'a str,
    pub(super) wish: &'a Wish,
    pub(super) package: Option<&'a Package>,
    pub(super) cache: Option<Cache>,
}

impl Search<'_> {
    /// Those of an archive, which are in memory, or of a directory.
    fn brought(
        &self,
        ui: &Ui,
        archs: &[&'static Arch],
        kept: Option<Sha256>,
        open: impl FnOnce() -> Result<Opened>,
    ) -> Result<Vec<Emulator>> {
        let known: Vec<_> = archs.iter().filter_map(|arch| self.kept(arch, kept?)).collect();
        if !known.is_empty() && known.len() == archs.len() {
            return Ok(known);
        }
        let opened = open()?;
        let mut brought = unpack::bring(self.host, archs, self.machine, &opened)?;
        if let Some(note) = &brought.note {
            ui.note(note);
        }
        let (mut found, mut absent) = (Vec::new(), Vec::new());
        for arch in archs {
            let Some(HostCopy { path: at, verdict }) = brought.copies.remove(arch.target) else {
                absent.push(arch.target);
                continue;
            };
            let unfit = |why: CandidateError| Error::Unfit {
                path: at.clone(),
                binary: interpreter::binary(arch),
                why: why.to_string(),
            };
            let fit = verdict.map_err(unfit)?;
            let place = match &opened.what {
                What::Directory(_) => Place::File(at),
                What::Archive(_) | What::Layers(_) => Place::Memory(fit.file),
            };
            found.push(emulator(arch, place, fit.version));
        }
        match absent.first() {
            Some(target) if !self.wish.all => {
                let tried = format!("{} has none", opened.shown);
                return Err(Error::NoInterpreter { binary: format!("qemu-{target}"), tried });
            }
            Some(_) => ui.note(&format!("{} has no emulator for: {}", opened.shown, absent.join(" "))),
            None => {}
        }
        if let Some(sha256) = kept {
            self.keep(ui, sha256, &found);
        }
        Ok(found)
    }

    fn find(&self, arch: &'static Arch) -> Result<Option<Emulator>> {
        match &self.wish.source {
            Source::Auto => {
                let cached = || self.cached(arch).or_else(|| self.kept_from_elsewhere(arch));
                Ok(self.installed(arch)?.or_else(cached).or_else(|| self.of_host(arch).ok()))
            }
            Source::Host => self.of_host(arch).map(Some),
            // Of an archive, all are looked for at once.
            Source::Download(Release::Pinned) => Ok(self.cached(arch).or_else(|| self.kept_from_elsewhere(arch))),
            Source::Download(_) | Source::From(_) => Ok(self.cached(arch)),
            Source::File(path) => copy(arch, candidate::given(arch, self.machine, path)).map(Some),
        }
    }

    /// What `register` installed for everybody.
    fn installed(&self, arch: &'static Arch) -> Result<Option<Emulator>> {
        let path = layout::interpreter(arch);
        if self.host.open_trusted(&path).is_err() {
            return Ok(None);
        }
        let receipt = Receipt::load(self.host)?.unwrap_or_default();
        let version = receipt.systems.get(arch.target).and_then(|system| Version::parse(&system.qemu));
        Ok(version.map(|version| emulator(arch, Place::File(path), version)))
    }

    pub(super) fn cached(&self, arch: &'static Arch) -> Option<Emulator> {
        let (member, version) = self.pin(arch)?;
        let path = self.cache.as_ref()?.emulator(member.sha256, &member.target);
        self.host.open_trusted(&path).ok()?;
        Some(emulator(arch, Place::File(path), version))
    }

    /// The newest good one of the host.
    fn of_host(&self, arch: &'static Arch) -> Result<Emulator> {
        let mut judged = installed::Search::of_user(self.host, self.machine).find(arch, &[]);
        // The one that is good is the last.
        judged.sort_by_key(|copy| copy.verdict.is_ok());
        let none = || Error::NoInterpreter { binary: interpreter::binary(arch), tried: "none is installed".into() };
        copy(arch, judged.pop().ok_or_else(none)?)
    }

    pub(super) fn pin(&self, arch: &Arch) -> Option<(&Member, Version)> {
        let package = self.package?;
        Some((package.member(arch.target)?, Version::parse(&package.qemu_version)?))
    }
}

pub(super) fn emulator(arch: &'static Arch, place: Place, version: Version) -> Emulator {
    Emulator { arch, place, version }
}

fn copy(arch: &'static Arch, copy: HostCopy) -> Result<Emulator> {
    let (path, binary) = (copy.path, interpreter::binary(arch));
    match copy.verdict {
        Ok(fit) => Ok(emulator(arch, Place::File(path), fit.version)),
        Err(why) => Err(Error::Unfit { path, binary, why: why.to_string() }),
    }
}
