//! Which emulator a system gets.

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
use crate::sha256::Sha256;

/// An emulator, and how it gets to its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EmulatorChoice {
    pub(super) provision: Provision,
    pub(super) version: QemuVersion,
    /// For people: where it came from.
    pub(super) source: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Provision {
    /// It is in its place.
    Keep,
    /// A copy of this file.
    Copy(PathBuf),
    /// From a mirror.
    Download,
}

/// What the source gives, compared with what is in the emulator's place.
pub(super) fn choose_emulator(request: &RegisterRequest, facts: &Facts, arch: &'static Arch) -> Result<EmulatorChoice> {
    let installed = InstalledCopy::inspect(facts, arch)?;
    let none = AvailableEmulators::default();
    let available = facts.available.get(arch.target).unwrap_or(&none);
    let Some(supply) = &facts.supply else {
        let tried = "no source was named".to_owned();
        return Err(Error::NoInterpreter { binary: paths::emulator_name(arch), tried });
    };
    match supply.choose_emulator(arch, available)? {
        obtain::ChosenEmulator::Installed(version) => {
            Ok(installed.keep.unwrap_or(EmulatorChoice { provision: Provision::Keep, version, source: String::new() }))
        }
        obtain::ChosenEmulator::Copy(copy, fit) => {
            let source = copy.path.display().to_string();
            // What the catalogue pins is that, however it came here.
            let package = supply.archive_name().and_then(|_| find_package_of(&facts.machine, arch, fit.sha256));
            let source = package.map_or(source.clone(), |package| format!("{source}: {}", describe_package(package)));
            Ok(placed(installed.sum, fit, &copy.path, source))
        }
        obtain::ChosenEmulator::Cached(CachedEmulator { path, origin, validated: Some(fit), .. }) => {
            Ok(placed(installed.sum, fit, path, origin.clone()))
        }
        obtain::ChosenEmulator::Cached(CachedEmulator { path, .. }) => Err(Error::Unfit {
            path: path.clone(),
            binary: paths::emulator_name(arch),
            why: "it was not verified".to_owned(),
        }),
        obtain::ChosenEmulator::Download(pin) => {
            let how = if installed.sum == Some(pin.member.sha256) { Provision::Keep } else { Provision::Download };
            if how == Provision::Download && request.network.offline {
                let what = format!("{} {}", paths::emulator_name(arch), pin.package.qemu_version);
                return Err(Error::Offline { what });
            }
            Ok(EmulatorChoice { provision: how, version: pin.version, source: pin.describe_origin() })
        }
    }
}

/// A copy of this file, unless it is in its place already.
fn placed(installed: Option<Sha256>, fit: &ValidatedBinary, from: &Path, source: String) -> EmulatorChoice {
    let how = if installed == Some(fit.sha256) { Provision::Keep } else { Provision::Copy(from.to_owned()) };
    EmulatorChoice { provision: how, version: fit.version, source }
}

/// What is in the emulator's place.
struct InstalledCopy {
    sum: Option<Sha256>,
    /// It may stay.
    keep: Option<EmulatorChoice>,
}

impl InstalledCopy {
    /// A file that neither the receipt nor the catalogue knows is not ours.
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
