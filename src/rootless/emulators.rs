//! Which emulator the command gets: installed, cached, of the host, downloaded.
//!
//! An ordinary user's downloads go to his cache, `$XDG_CACHE_HOME/binfmt-nix` or
//! `~/.cache/binfmt-nix`, in a directory named by the file's SHA-256. What is
//! there got its name only after it was verified, and nobody but he and root can
//! write there (see `host`), so it is not hashed again. Where nothing can be
//! written, the emulator stays in memory.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, EntryName, Flags, Recognition, Rule};

use super::bring;
use crate::catalog::{Catalog, Member, Package};
use crate::digest::Sha256;
use crate::download::BaseUrl;
use crate::error::{Error, Result};
use crate::facts::IN_MEMORY;
use crate::facts::brought;
use crate::facts::copies::{self, HostCopy};
use crate::host::Host;
use crate::interpreter::{self, KNOWS_ARGV0, Version};
use crate::layout;
use crate::receipt::Receipt;
use crate::request::Source;
use crate::ui::Ui;

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
        let interpreter = match &self.place {
            Place::File(path) => path.clone(),
            Place::Memory(file) => Path::new(IN_MEMORY).join(file.as_raw_fd().to_string()),
        };
        Ok(Rule {
            name: EntryName::new(name)?,
            recognition: Recognition::Magic(self.arch.pattern()),
            interpreter: interpreter.as_os_str().as_bytes().to_vec(),
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
    /// The mirror that is asked first.
    pub mirror: Option<BaseUrl>,
    /// Systems that an archive has no emulator for are passed over.
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
    if let Source::From { path, sha256 } = &wish.source {
        let found = from(host, ui, archs, machine, path, *sha256, wish.all)?;
        return if wish.keep == Keep::Memory { all_in_memory(host, machine, found) } else { Ok(found) };
    }
    let catalog = Catalog::embedded()?;
    let package = catalog.package_for(machine);
    let search =
        Search { host, machine, wish, package, cache: (wish.keep == Keep::Cached).then(|| cache(host)).flatten() };
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for arch in archs {
        match search.find(arch)? {
            Some(emulator) => found.push(emulator),
            None => missing.push(*arch),
        }
    }
    if !missing.is_empty() {
        found.extend(search.download(ui, &missing)?);
    }
    if wish.keep == Keep::Memory { all_in_memory(host, machine, found) } else { Ok(found) }
}

fn all_in_memory(host: &Host, machine: &str, found: Vec<Emulator>) -> Result<Vec<Emulator>> {
    found.into_iter().map(|emulator| bring::in_memory(host, machine, emulator)).collect()
}

/// Those of an archive, which are in memory, or of a directory.
fn from(
    host: &Host,
    ui: &Ui,
    archs: &[&'static Arch],
    machine: &str,
    path: &Path,
    sha256: Option<Sha256>,
    all: bool,
) -> Result<Vec<Emulator>> {
    let mut brought = brought::bring(host, archs, machine, path, sha256)?;
    if let Some(note) = brought.note {
        ui.note(&note);
    }
    let (mut found, mut absent) = (Vec::new(), Vec::new());
    for arch in archs {
        let Some(HostCopy { path: at, verdict }) = brought.copies.remove(arch.target) else {
            absent.push(arch.target);
            continue;
        };
        let unfit = |why| Error::Unfit { path: at.clone(), binary: interpreter::binary(arch), why };
        let fit = verdict.map_err(unfit)?;
        let place = if at == path { Place::Memory(fit.file) } else { Place::File(at) };
        found.push(emulator(arch, place, fit.version));
    }
    match absent.first() {
        Some(target) if !all => {
            let tried = format!("{} has none", path.display());
            return Err(Error::NoInterpreter { binary: format!("qemu-{target}"), tried });
        }
        Some(_) => ui.note(&format!("{} has no emulator for: {}", path.display(), absent.join(" "))),
        None => {}
    }
    Ok(found)
}

/// The user's cache, or root's own.
fn cache(host: &Host) -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let named = host.env("XDG_CACHE_HOME").map(PathBuf::from).and_then(absolute);
    let home = || host.env("HOME").map(PathBuf::from).and_then(absolute).map(|home| home.join(".cache"));
    Some(named.or_else(home)?.join("binfmt-nix"))
}

pub(super) struct Search<'a> {
    pub(super) host: &'a Host,
    pub(super) machine: &'a str,
    pub(super) wish: &'a Wish,
    pub(super) package: Option<&'a Package>,
    pub(super) cache: Option<PathBuf>,
}

impl Search<'_> {
    fn find(&self, arch: &'static Arch) -> Result<Option<Emulator>> {
        match &self.wish.source {
            Source::Auto => Ok(self.installed(arch)?.or_else(|| self.cached(arch)).or_else(|| self.of_host(arch).ok())),
            Source::Host => self.of_host(arch).map(Some),
            // Of an archive, all are looked for at once.
            Source::Download | Source::From { .. } => Ok(self.cached(arch)),
            Source::File(path) => copy(arch, copies::given(self.host, arch, self.machine, path)).map(Some),
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
        let path = entry(self.cache.as_ref()?, member);
        self.host.open_trusted(&path).ok()?;
        Some(emulator(arch, Place::File(path), version))
    }

    /// The newest good one of the host.
    fn of_host(&self, arch: &'static Arch) -> Result<Emulator> {
        let mut judged = copies::find(self.host, arch, self.machine)?;
        let version = |copy: &HostCopy| copy.verdict.as_ref().ok().map(|fit| fit.version);
        judged.sort_by_key(version);
        let none = || Error::NoInterpreter { binary: interpreter::binary(arch), tried: "none is installed".into() };
        copy(arch, judged.pop().ok_or_else(none)?)
    }

    pub(super) fn pin(&self, arch: &Arch) -> Option<(&Member, Version)> {
        let package = self.package?;
        Some((package.member(arch.target)?, Version::parse(&package.qemu_version)?))
    }
}

/// Where a member is in the cache.
pub(super) fn entry(cache: &Path, member: &Member) -> PathBuf {
    cache.join(member.sha256.to_string()).join(format!("qemu-{}", member.target))
}

pub(super) fn emulator(arch: &'static Arch, place: Place, version: Version) -> Emulator {
    Emulator { arch, place, version }
}

fn copy(arch: &'static Arch, copy: HostCopy) -> Result<Emulator> {
    let (path, binary) = (copy.path, interpreter::binary(arch));
    match copy.verdict {
        Ok(fit) => Ok(emulator(arch, Place::File(path), fit.version)),
        Err(why) => Err(Error::Unfit { path, binary, why }),
    }
}
