//! What an entry's interpreter is: its release, its digest, and where it came from.

use std::path::Path;

use binfmt_magic::Arch;

use crate::digest::Sha256;
use crate::facts::{Facts, Now, copies};
use crate::host::Host;
use crate::layout;
use crate::receipt::{Made, System};

/// What is known of an interpreter's file.
#[derive(Debug, Default)]
pub(super) struct Emulator {
    pub(super) qemu: Option<String>,
    pub(super) sha256: Option<Sha256>,
    pub(super) source: Option<String>,
}

impl Emulator {
    /// Of our own emulators the receipt knows it; others are asked, if only root could have put them there.
    pub(super) fn of(host: &Host, facts: &Facts, arch: &Arch, path: &Path, known: Option<&System>) -> Self {
        match known {
            Some(system) if facts.real(&system.interpreter) == path => Self {
                qemu: facts.installed(arch).map(str::to_owned),
                sha256: recorded(facts, arch),
                source: Some(system.source.clone()),
            },
            _ if !host.is_live() => Self::default(),
            _ => match copies::judge(host, arch, &facts.machine, path) {
                Ok(fit) => Self { qemu: Some(fit.version.to_string()), sha256: Some(fit.sha256), source: None },
                Err(_) => Self::default(),
            },
        }
    }
}

fn recorded(facts: &Facts, arch: &Arch) -> Option<Sha256> {
    let place = layout::interpreter(arch);
    facts.records().find_map(|(record, now)| match &record.made {
        Made::Interpreter { path, sha256, .. } if *now == Now::Ours && *path == place => Some(*sha256),
        _ => None,
    })
}
