//! Choice of the emulator for a system.

use std::path::{Path, PathBuf};

use binfmt_magic::Arch;

use crate::error::{Error, Result};
use crate::paths;
use crate::qemu::binary::QemuVersion;
use crate::qemu::candidate::ValidatedBinary;
use crate::qemu::obtain::cached::CachedEmulator;
use crate::qemu::obtain::choose::describe_package;
use crate::qemu::obtain::{self, AvailableEmulators};
use crate::register::facts::{Facts, RecordState, find_package_of};
use crate::register::receipt::{Artifact, PreviousEmulator};
use crate::sanitize::AsText as _;
use crate::sha256::Sha256;

/// Chosen emulator, and how it gets to its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EmulatorChoice {
    pub(super) provision: Provision,
    pub(super) version: QemuVersion,
    /// Origin of the emulator, as text for people.
    pub(super) source: String,
    /// Whether the user named the file, archive or image that it comes from, if that is known.
    pub(super) given: Option<bool>,
}

/// Way in which an emulator gets to its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Provision {
    /// The file at the path stays.
    Keep,
    /// This file is copied.
    Copy(PathBuf),
    /// The emulator is downloaded from a mirror.
    Download,
}

/// Compares what the source provides with the file at the emulator's path, and chooses.
pub(super) fn choose_emulator(offline: bool, facts: &Facts, arch: &'static Arch) -> Result<EmulatorChoice> {
    let installed = InstalledCopy::inspect(facts, arch)?;
    let none = AvailableEmulators::default();
    let available = facts.available.get(arch.target).unwrap_or(&none);
    let Some(supply) = &facts.supply else {
        let tried = "no source was given".to_owned();
        return Err(Error::NoInterpreter { binary: paths::emulator_name(arch), tried });
    };
    match supply.choose_emulator(arch, available)? {
        obtain::ChosenEmulator::Installed(version) => {
            let unknown = EmulatorChoice { provision: Provision::Keep, version, source: String::new(), given: None };
            Ok(installed.keep.unwrap_or(unknown))
        }
        obtain::ChosenEmulator::Copy(copy, fit) => {
            let source = copy.path.as_text();
            // A file whose digest the catalogue pins is Debian's emulator, even if it came in an archive.
            let package = supply.archive_name().and_then(|_| find_package_of(&facts.machine, arch, fit.sha256));
            let source = package.map_or(source.clone(), |package| format!("{source}: {}", describe_package(package)));
            // An earlier version of this tool installed it, and recorded where it came from.
            let known = facts.receipt.systems.get(arch.target);
            let is_moved = copy.path == paths::old_interpreter_path(arch);
            let source = known.filter(|_| is_moved).map_or(source, |system| system.source.clone());
            Ok(choose_copy(installed.sum, fit, &copy.path, source, supply.is_given()))
        }
        obtain::ChosenEmulator::Cached(CachedEmulator { path, origin, validated: Some(fit), .. }) => {
            Ok(choose_copy(installed.sum, fit, path, origin.clone(), supply.is_given()))
        }
        obtain::ChosenEmulator::Cached(CachedEmulator { path, .. }) => Err(Error::Unfit {
            path: path.clone(),
            binary: paths::emulator_name(arch),
            why: "it was not verified".to_owned(),
        }),
        obtain::ChosenEmulator::Download(pin) => {
            let provision =
                if installed.sum == Some(pin.member.sha256) { Provision::Keep } else { Provision::Download };
            if provision == Provision::Download && offline {
                let what = format!("{} {}", paths::emulator_name(arch), pin.package.qemu_version);
                return Err(Error::Offline { what });
            }
            Ok(EmulatorChoice { provision, version: pin.version, source: pin.describe_origin(), given: Some(false) })
        }
    }
}

/// Chooses a copy of `from`, unless the installed file has the same digest.
fn choose_copy(
    installed: Option<Sha256>,
    fit: &ValidatedBinary,
    from: &Path,
    source: String,
    given: bool,
) -> EmulatorChoice {
    let provision = if installed == Some(fit.sha256) { Provision::Keep } else { Provision::Copy(from.to_owned()) };
    EmulatorChoice { provision, version: fit.version, source, given: Some(given) }
}

/// Describes the emulator that is kept beside the chosen one: the one that is replaced, or else the one that is there.
///
/// # Errors
/// A file that is not as this tool left it has the place of the one that would be kept.
pub(super) fn describe_previous(facts: &Facts, arch: &Arch, provision: &Provision) -> Result<Option<PreviousEmulator>> {
    let path = paths::previous_path(arch);
    if *provision != Provision::Keep && facts.files.contains_key(&path) && !facts.is_unmodified(&path) {
        return Err(super::register::foreign_file_error(facts, &path));
    }
    Ok(find_previous(facts, arch, provision))
}

fn find_previous(facts: &Facts, arch: &Arch, provision: &Provision) -> Option<PreviousEmulator> {
    let known = facts.receipt.systems.get(arch.target);
    let installed = facts.files.get(&paths::interpreter_path(arch)).copied().flatten();
    let (sha256, qemu) = match installed.filter(|_| *provision != Provision::Keep) {
        Some(sha256) => (sha256, facts.installed_version(arch)),
        None => facts.records().find_map(|(record, now)| match &record.made {
            Artifact::Interpreter { path, sha256, qemu, .. }
                if *path == paths::previous_path(arch) && *now == RecordState::Unchanged =>
            {
                Some((*sha256, qemu.as_deref()))
            }
            _ => None,
        })?,
    };
    let kept = known.and_then(|system| system.previous.clone());
    kept.filter(|kept| kept.sha256 == sha256).or_else(|| {
        let (source, given) = known.map(|system| (system.source.clone(), system.given)).unwrap_or_default();
        Some(PreviousEmulator { sha256, qemu: qemu.unwrap_or_default().to_owned(), source, given })
    })
}

/// Returns the choice that keeps the installed emulator, if this tool installed it.
pub(super) fn keep_installed(facts: &Facts, arch: &'static Arch) -> Result<Option<EmulatorChoice>> {
    InstalledCopy::inspect(facts, arch).map(|installed| installed.keep)
}

/// File at the emulator's path.
struct InstalledCopy {
    sum: Option<Sha256>,
    /// Choice that keeps the file, if it may stay.
    keep: Option<EmulatorChoice>,
}

impl InstalledCopy {
    /// Inspects the file at the emulator's path. A file that neither the receipt nor the catalogue contains is an error,
    /// because this tool did not install it.
    fn inspect(facts: &Facts, arch: &'static Arch) -> Result<Self> {
        let path = paths::interpreter_path(arch);
        let Some(sum) = facts.files.get(&path).copied() else {
            return Ok(Self { sum: None, keep: None });
        };
        if facts.is_unmodified(&path) {
            let recorded = facts.receipt.systems.get(arch.target);
            let version = facts.installed_version(arch).and_then(QemuVersion::parse);
            let keep = recorded.zip(version).map(|(system, version)| {
                // A rollback was interrupted after the exchange of the files.
                let (source, given) = match &system.previous {
                    Some(kept) if sum == Some(kept.sha256) => (kept.source.clone(), kept.given),
                    _ => (system.source.clone(), system.given),
                };
                EmulatorChoice { provision: Provision::Keep, version, source, given }
            });
            return Ok(Self { sum, keep });
        }
        match sum.and_then(|sum| find_package_of(&facts.machine, arch, sum)) {
            Some(package) => {
                let version = package.parsed_version();
                let source = describe_package(package);
                let keep = |version| EmulatorChoice { provision: Provision::Keep, version, source, given: Some(false) };
                Ok(Self { sum, keep: version.map(keep) })
            }
            None => Err(super::register::foreign_file_error(facts, &path)),
        }
    }
}
