//! The command `list`: prints the known systems with their names and rules.

use std::os::unix::ffi::OsStrExt as _;

use binfmt_magic::{Arch, EntryName, Flags, OtherSystem, Recognition, Rule};
use serde::Serialize;

use crate::cli::{ListArgs, ListFormat};
use crate::error::{ExitCode, Result};
use crate::paths;
use crate::sha256::to_hex;
use crate::ui::Ui;
use crate::ui::table::TextTable;

pub(super) fn run(args: &ListArgs, ui: &Ui) -> Result<ExitCode> {
    match args.format {
        ListFormat::Table if !ui.is_json() => print_table(ui),
        ListFormat::Table | ListFormat::Json => ui.print_json(&SystemList::new()),
        ListFormat::BinfmtD | ListFormat::Register => {
            for arch in Arch::ALL {
                ui.print_raw(&String::from_utf8_lossy(&default_rule(arch)?.to_line()?));
            }
        }
    }
    Ok(ExitCode::Ok)
}

fn print_table(ui: &Ui) {
    let mut table = TextTable::new(&["SYSTEM", "NIX", "ALSO CALLED"]);
    for arch in Arch::ALL {
        let other_names = arch.oci_platforms.iter().chain(arch.debian).chain(arch.uname);
        let mut names: Vec<&str> = Vec::new();
        // A name that another system has, as mips64 of `uname -m` on mips64el, names only that one.
        let is_own = |name: &&&str| Arch::find(name).is_ok_and(|found| found.target == arch.target);
        for name in other_names.filter(|name| **name != arch.target).filter(is_own) {
            if !names.contains(name) {
                names.push(name);
            }
        }
        table.add_row([arch.target.to_owned(), arch.nix_systems.join(" "), names.join(" ")]);
    }
    ui.print_table(&table);
    let mut table = TextTable::new(&["NOT RUN BY QEMU", "BUT BY ONE OF"]);
    for system in OtherSystem::ALL {
        table.add_row([system.name.to_owned(), system.emulators.join(" ")]);
    }
    ui.print_result(&"");
    ui.print_table(&table);
}

/// The document of `list --json`. Within one `version`, fields are added but not changed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct SystemList {
    /// Version of this format: 1
    version: u32,
    /// All known systems
    systems: Vec<SystemRow>,
    /// Systems that QEMU does not run
    other_systems: Vec<OtherSystemRow>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct OtherSystemRow {
    /// Name of the system in Nix
    system: &'static str,
    /// Commands that run its programs; one of them has to be installed
    emulators: &'static [&'static str],
    /// First bytes of its programs, in hexadecimal digits
    magic: String,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SystemRow {
    /// Name of the system in QEMU
    system: &'static str,
    /// Names by which every command finds the system
    names: Vec<&'static str>,
    /// Names of the system in Nix
    nix_systems: &'static [&'static str],
    /// Platforms of container images for the system
    oci_platforms: &'static [&'static str],
    /// Names of Debian's architectures for the system
    debian: &'static [&'static str],
    /// Output of `uname -m` on the system; systems of both byte orders may print the same
    uname: &'static [&'static str],
    /// GNU triples of the system
    triples: &'static [&'static str],
    /// First bytes of its programs, in hexadecimal digits
    magic: String,
    /// Mask of the bits of `magic` that are compared, in hexadecimal digits
    mask: String,
    /// Offset of `magic` in the file
    offset: usize,
    /// Whether binfmt-nix contains a probe program for the system
    has_probe: bool,
}

impl SystemList {
    fn new() -> Self {
        let known = |arch: &'static Arch| SystemRow {
            system: arch.target,
            names: arch.names(),
            nix_systems: arch.nix_systems,
            oci_platforms: arch.oci_platforms,
            debian: arch.debian,
            uname: arch.uname,
            triples: arch.triples,
            magic: to_hex(arch.magic),
            mask: to_hex(arch.mask),
            offset: 0,
            has_probe: arch.probe().is_some(),
        };
        let other = |system: &'static OtherSystem| OtherSystemRow {
            system: system.name,
            emulators: system.emulators,
            magic: to_hex(system.magic),
        };
        let other_systems = OtherSystem::ALL.iter().map(other).collect();
        Self { version: 1, systems: Arch::ALL.iter().map(known).collect(), other_systems }
    }
}

fn default_rule(arch: &Arch) -> Result<Rule> {
    Ok(Rule {
        name: EntryName::new(paths::emulator_name(arch))?,
        recognition: Recognition::Magic(arch.pattern()),
        interpreter: paths::interpreter_path(arch).as_os_str().as_bytes().to_vec(),
        flags: Flags { preserve_argv0: true, fix_binary: true, ..Flags::default() },
    })
}
