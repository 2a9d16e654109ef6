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
use crate::register::facts::{Facts, find_package_of};
use crate::register::request::RegisterRequest;
use crate::sanitize::AsText as _;
use crate::sha256::Sha256;

/// Chosen emulator, and how it gets to its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EmulatorChoice {
    pub(super) provision: Provision,
    pub(super) version: QemuVersion,
    /// Origin of the emulator, as text for people.
    pub(super) source: String,
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
pub(super) fn choose_emulator(request: &RegisterRequest, facts: &Facts, arch: &'static Arch) -> Result<EmulatorChoice> {
    let installed = InstalledCopy::inspect(facts, arch)?;
    let none = AvailableEmulators::default();
    let available = facts.available.get(arch.target).unwrap_or(&none);
    let Some(supply) = &facts.supply else {
        let tried = "no source was given".to_owned();
        return Err(Error::NoInterpreter { binary: paths::emulator_name(arch), tried });
    };
    match supply.choose_emulator(arch, available)? {
        obtain::ChosenEmulator::Installed(version) => {
            Ok(installed.keep.unwrap_or(EmulatorChoice { provision: Provision::Keep, version, source: String::new() }))
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
            Ok(choose_copy(installed.sum, fit, &copy.path, source))
        }
        obtain::ChosenEmulator::Cached(CachedEmulator { path, origin, validated: Some(fit), .. }) => {
            Ok(choose_copy(installed.sum, fit, path, origin.clone()))
        }
        obtain::ChosenEmulator::Cached(CachedEmulator { path, .. }) => Err(Error::Unfit {
            path: path.clone(),
            binary: paths::emulator_name(arch),
            why: "it was not verified".to_owned(),
        }),
        obtain::ChosenEmulator::Download(pin) => {
            let provision =
                if installed.sum == Some(pin.member.sha256) { Provision::Keep } else { Provision::Download };
            if provision == Provision::Download && request.network.offline {
                let what = format!("{} {}", paths::emulator_name(arch), pin.package.qemu_version);
                return Err(Error::Offline { what });
            }
            Ok(EmulatorChoice { provision, version: pin.version, source: pin.describe_origin() })
        }
    }
}

/// Chooses a copy of `from`, unless the installed file has the same digest.
fn choose_copy(installed: Option<Sha256>, fit: &ValidatedBinary, from: &Path, source: String) -> EmulatorChoice {
    let provision = if installed == Some(fit.sha256) { Provision::Keep } else { Provision::Copy(from.to_owned()) };
    EmulatorChoice { provision, version: fit.version, source }
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
            let keep = recorded.zip(version).map(|(system, version)| EmulatorChoice {
                provision: Provision::Keep,
                version,
                source: system.source.clone(),
            });
            return Ok(Self { sum, keep });
        }
        match sum.and_then(|sum| find_package_of(&facts.machine, arch, sum)) {
            Some(package) => {
                let version = package.parsed_version();
                let keep =
                    |version| EmulatorChoice { provision: Provision::Keep, version, source: describe_package(package) };
                Ok(Self { sum, keep: version.map(keep) })
            }
            None => Err(super::register::foreign_file_error(facts, &path)),
        }
    }
}
