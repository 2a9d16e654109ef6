//! Which emulator a system gets.

use std::path::{Path, PathBuf};

use binfmt_magic::Arch;

use crate::catalog::{Catalog, Package};
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::interpreter::{self, Version};
use crate::layout;
use crate::qemu::obtain::source::Source;
use crate::request::Register;

/// An emulator, and how it gets to its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) how: How,
    pub(super) version: Version,
    /// For people: where it came from.
    pub(super) source: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    /// It is in its place.
    Keep,
    /// A copy of this file.
    Copy(PathBuf),
    /// From a mirror.
    Fetch,
}

/// Our own installed copy, then a good one on the host, then a download; or
/// what `--source` and `--qemu` say.
pub(super) fn choose(request: &Register, facts: &Facts, arch: &'static Arch) -> Result<Choice> {
    let installed = Installed::of(facts, arch)?;
    if let Some(opened) = &facts.opened {
        return brought(facts, arch, Path::new(opened), installed.sum);
    }
    match &request.source {
        Source::Auto => {
            if let Some(keep) = installed.keep {
                return Ok(keep);
            }
            match best_copy(facts, arch, installed.sum) {
                Ok(copy) => Ok(copy),
                Err(_) => fetch(request, facts, arch, installed.sum),
            }
        }
        Source::Host => best_copy(facts, arch, installed.sum)
            .map_err(|tried| Error::NoInterpreter { binary: interpreter::binary(arch), tried: tried.to_string() }),
        // What had to be opened was.
        Source::Download(_) | Source::From(_) => fetch(request, facts, arch, installed.sum),
        Source::File(path) => best_copy(facts, arch, installed.sum).map_err(|_| unfit(facts, arch, path)),
    }
}

/// What is in the emulator's place.
struct Installed {
    sum: Option<Sha256>,
    /// It may stay.
    keep: Option<Choice>,
}

impl Installed {
    /// A file that neither the receipt nor the catalogue knows is not ours.
    fn of(facts: &Facts, arch: &'static Arch) -> Result<Self> {
        let path = layout::interpreter(arch);
        let Some(sum) = facts.files.get(&path).copied() else {
            return Ok(Self { sum: None, keep: None });
        };
        if facts.made_by_us(&path) {
            let recorded = facts.receipt.systems.get(arch.target);
            let version = facts.installed(arch).and_then(Version::parse);
            let keep = recorded.zip(version).map(|(system, version)| Choice {
                how: How::Keep,
                version,
                source: system.source.clone(),
            });
            return Ok(Self { sum, keep });
        }
        match catalogued(facts, arch, sum) {
            Some(package) => {
                let version = package.version();
                let keep = |version| Choice { how: How::Keep, version, source: published(package) };
                Ok(Self { sum, keep: version.map(keep) })
            }
            None => Err(super::register::not_ours(facts, &path)),
        }
    }
}

/// No emulator of this machine can be taken.
#[derive(Debug, thiserror::Error)]
#[error("{}", if whys.is_empty() { "none is installed".to_owned() } else { whys.join("; ") })]
struct NoFitCopyError {
    /// A path and the reason, for each file that was considered.
    whys: Vec<String>,
}

/// The newest fit copy; or why there is none.
fn best_copy(
    facts: &Facts,
    arch: &'static Arch,
    installed: Option<Sha256>,
) -> std::result::Result<Choice, NoFitCopyError> {
    let copies = facts.copies.get(arch.target).map_or(&[][..], Vec::as_slice);
    let fit = copies.iter().filter_map(|copy| Some((copy, copy.verdict.as_ref().ok()?)));
    let Some((copy, fit)) = fit.max_by_key(|(_, fit)| fit.version) else {
        let whys = copies.iter().filter_map(|copy| {
            let why = copy.verdict.as_ref().err()?;
            Some(format!("{}: {why}", copy.path.display()))
        });
        return Err(NoFitCopyError { whys: whys.collect() });
    };
    Ok(Choice {
        how: if installed == Some(fit.sha256) { How::Keep } else { How::Copy(copy.path.clone()) },
        version: fit.version,
        source: copy.path.display().to_string(),
    })
}

/// From an archive or a directory. What the catalogue pins is that, however it came here.
fn brought(facts: &Facts, arch: &'static Arch, path: &Path, installed: Option<Sha256>) -> Result<Choice> {
    let Some([copy]) = facts.copies.get(arch.target).map(Vec::as_slice) else {
        let tried = format!("{} has none", path.display());
        return Err(Error::NoInterpreter { binary: interpreter::binary(arch), tried });
    };
    let choice = best_copy(facts, arch, installed).map_err(|_| unfit(facts, arch, path))?;
    let package = catalogued(facts, arch, copy.verdict.as_ref().ok().map(|fit| fit.sha256));
    let source = match package {
        Some(package) => format!("{}: {}", choice.source, published(package)),
        None => choice.source,
    };
    Ok(Choice { source, ..choice })
}

/// The package of the catalogue whose very emulator this is.
fn catalogued(facts: &Facts, arch: &Arch, sum: Option<Sha256>) -> Option<&'static Package> {
    let is_it = |package: &&Package| package.member(arch.target).map(|member| member.sha256) == sum;
    Catalog::embedded().ok()?.all_for(&facts.machine).filter(|_| sum.is_some()).find(is_it)
}

fn published(package: &Package) -> String {
    format!("{} of Debian", package.file_name())
}

fn unfit(facts: &Facts, arch: &'static Arch, path: &Path) -> Error {
    let mut judged = facts.copies.get(arch.target).into_iter().flatten();
    let why = judged.find_map(|copy| copy.verdict.as_ref().err().map(ToString::to_string));
    Error::Unfit { path: path.to_owned(), binary: interpreter::binary(arch), why: why.unwrap_or_default() }
}

fn fetch(request: &Register, facts: &Facts, arch: &'static Arch, installed: Option<Sha256>) -> Result<Choice> {
    let Some((member, version, package)) = facts.pin(arch)? else {
        return Err(Error::Unsupported {
            what: format!("no download is known of {} for {} hosts", interpreter::binary(arch), facts.machine),
            hint: "--qemu PATH names a static one that you have".into(),
        });
    };
    let how = if installed == Some(member.sha256) { How::Keep } else { How::Fetch };
    if how == How::Fetch && request.network.offline {
        return Err(Error::Offline { what: format!("{} {}", interpreter::binary(arch), package.qemu_version) });
    }
    Ok(Choice { how, version, source: published(package) })
}
