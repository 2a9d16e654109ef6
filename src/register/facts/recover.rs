//! Recovery without a receipt: recognises this tool's artifacts after the receipt was lost or moved away as unusable.
//!
//! An artifact is recognised only if it is exactly as this tool makes it. An `!include` line in nix.conf is not
//! recognised: users write that line too, and it is harmless if the included file does not exist.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Rule};

use crate::binfmt::boot::OwnBootFile;
use crate::binfmt::boot_hook::{BootHook, HookObject, renumbered_link};
use crate::binfmt::table::{Table, entry_name, is_same_rule};
use crate::error::Result;
use crate::host::Host;
use crate::nix::conf;
use crate::paths;
use crate::paths::NIX_OWN_CONF;
use crate::register::emulated::EmulatedSystem;
use crate::register::own_rule;
use crate::register::receipt::{Artifact, NixUse, OwnRule, PreviousEmulator, Receipt, Record, Stage, System};
use crate::register::subject::Subject;
use crate::sanitize::text_of_bytes;
use crate::sha256::Sha256;

/// Origin of an emulator whose origin is unknown.
const FOUND_IN_PLACE: &str = "found in place";

/// Builds a receipt from the artifacts that are recognised on the machine. Facts that cannot be recovered, such as the
/// source of an emulator, stay unknown.
pub(super) fn rebuild_receipt(host: &Host, table: &Table) -> Result<Receipt> {
    let mut receipt = Receipt::default();
    let own_conf = read_regular_file(host, Path::new(NIX_OWN_CONF))?.filter(|text| conf::is_own_file(text));
    let configured = own_conf.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let is_configured = |arch: &Arch| configured.split_whitespace().any(|word| arch.nix_systems.contains(&word));
    for arch in Arch::ALL {
        let boot_file = read_boot_file(host, arch)?;
        let found = find_artifacts(host, arch, table, boot_file.as_ref())?;
        if found.is_empty() {
            continue;
        }
        let system = System {
            entry: first_entry_name(&found).unwrap_or_else(|| paths::emulator_name(arch)),
            interpreter: paths::interpreter_path(arch),
            qemu: String::new(),
            source: FOUND_IN_PLACE.into(),
            given: None,
            previous: found_previous(arch, &found),
            adopted: false,
            nix: if is_configured(arch) { NixUse::Configured } else { NixUse::Absent },
            proven: false,
            disabled: boot_file.is_some_and(|file| !file.enabled),
            nix_build: None,
        };
        receipt.systems.insert(arch.target.to_owned(), system);
        receipt.records.extend(found.into_iter().map(|made| done_record(made, Some(arch))));
    }
    if own_conf.is_some() {
        receipt.records.extend(file_artifact(host, NIX_OWN_CONF.into())?.map(|made| done_record(made, None)));
    }
    for name in host.list_dir(Path::new(paths::BINFMT_D))? {
        let name = name.to_str().and_then(|name| {
            let own = name.strip_prefix(paths::OWN_RULE_PREFIX);
            own.or_else(|| name.strip_prefix(paths::ACCELERATED_FILE_PREFIX))?.strip_suffix(".conf")
        });
        if let Some(name) = name.filter(|name| own_rule::check_name(name).is_ok()) {
            recover_rule(host, name, table, &mut receipt)?;
            if let Some(own) = receipt.rules.get_mut(name) {
                let systems = EmulatedSystem::of_rule(name).map(EmulatedSystem::nix_systems).unwrap_or_default();
                own.nix = configured.split_whitespace().any(|word| systems.contains(&word));
            }
        }
    }
    if !receipt.systems.is_empty() || !receipt.rules.is_empty() {
        receipt.records.extend(find_hook(host)?.into_iter().map(|made| done_record(made, None)));
    }
    if receipt.records.iter().any(|record| matches!(record.made, Artifact::Interpreter { .. })) {
        for dir in [paths::EMULATOR_DIR, paths::OWN_DIR] {
            receipt.records.insert(0, done_record(Artifact::Dir { path: dir.into() }, None));
        }
    }
    Ok(receipt)
}

/// Recognises an own rule by its boot file, and its entry by the rule in it.
fn recover_rule(host: &Host, name: &str, table: &Table, receipt: &mut Receipt) -> Result<()> {
    let path = paths::own_rule_file(name);
    let file = read_regular_file(host, &path)?.and_then(|text| OwnBootFile::parse(&text));
    let Some(rule) = file.map(|file| file.rule).filter(|rule| rule.name.as_bytes() == name.as_bytes()) else {
        return Ok(());
    };
    let line = text_of_bytes(&rule.to_line()?);
    let subject = Subject::Rule(name.to_owned());
    let interpreter = host.real_path(&own_rule::interpreter_path(&rule)).as_os_str().as_bytes().to_vec();
    let rule = Rule { interpreter, ..rule };
    for entry in subject.entry_names().iter().filter_map(|name| table.find_entry(name)) {
        if is_same_rule(&entry.rule, &Rule { name: entry.rule.name.clone(), ..rule.clone() }) {
            let made = Artifact::Entry { name: entry_name(entry), line: text_of_bytes(&entry.rule.to_line()?) };
            receipt.records.push(Record::new(Stage::Done, Some(&subject), made));
        }
    }
    let made = file_artifact(host, path)?;
    receipt.records.extend(made.map(|made| Record::new(Stage::Done, Some(&subject), made)));
    receipt.rules.insert(name.to_owned(), OwnRule { line, tested: false, nix: false });
    Ok(())
}

/// Reads a system's boot file, if this tool wrote it for the installed emulator.
fn read_boot_file(host: &Host, arch: &Arch) -> Result<Option<OwnBootFile>> {
    let text = read_regular_file(host, &paths::boot_rule(arch))?;
    let file = text.and_then(|text| OwnBootFile::parse(&text));
    Ok(file.filter(|file| file.rule.interpreter == paths::interpreter_path(arch).as_os_str().as_bytes()))
}

fn first_entry_name(found: &[Artifact]) -> Option<String> {
    found.iter().find_map(|made| match made {
        Artifact::Entry { name, .. } => Some(name.clone()),
        _ => None,
    })
}

/// Finds the artifacts of one system. A file at the emulator's path counts only if an entry or a boot file of this tool
/// names it.
fn find_artifacts(
    host: &Host,
    arch: &'static Arch,
    table: &Table,
    boot_file: Option<&OwnBootFile>,
) -> Result<Vec<Artifact>> {
    let emulator = paths::interpreter_path(arch);
    let real = host.real_path(&emulator);
    let mut found = Vec::new();
    for entry in paths::entry_names(arch).iter().filter_map(|name| table.find_entry(name)) {
        if entry.rule.interpreter == real.as_os_str().as_bytes() {
            let line = text_of_bytes(&entry.rule.to_line()?);
            found.push(Artifact::Entry { name: entry_name(entry), line });
        }
    }
    if boot_file.is_some() {
        found.extend(file_artifact(host, paths::boot_rule(arch))?);
    }
    if !found.is_empty()
        && let Some((sha256, seal)) = fingerprint_regular_file(host, &emulator)?
    {
        found.insert(0, Artifact::Interpreter { path: emulator, sha256, seal: Some(seal), qemu: None });
        let path = paths::previous_path(arch);
        if let Some((sha256, seal)) = fingerprint_regular_file(host, &path)? {
            found.push(Artifact::Interpreter { path, sha256, seal: Some(seal), qemu: None });
        }
    }
    Ok(found)
}

fn found_previous(arch: &Arch, found: &[Artifact]) -> Option<PreviousEmulator> {
    found.iter().find_map(|made| match made {
        Artifact::Interpreter { path, sha256, .. } if *path == paths::previous_path(arch) => {
            let source = FOUND_IN_PLACE.to_owned();
            // Without a release, `rollback` does not use it.
            Some(PreviousEmulator { sha256: *sha256, qemu: String::new(), source, given: None })
        }
        _ => None,
    })
}

/// Finds the objects of a complete boot hook. A boot command is not recognised: the user may have written it.
fn find_hook(host: &Host) -> Result<Vec<Artifact>> {
    let mut found = Vec::new();
    let is_complete = |hook: &BootHook, program: &Path| {
        let objects = hook.objects(program);
        objects.iter().all(|object| !matches!(object, HookObject::BootCommand { .. }) && object.is_present(host))
    };
    for program in [paths::PROGRAM, paths::PACKAGED_PROGRAM].map(Path::new) {
        let Some(hook) = BootHook::ALL.iter().find(|hook| is_complete(hook, program)) else { continue };
        if program == Path::new(paths::PROGRAM)
            && let Some((sha256, seal)) = fingerprint_regular_file(host, program)?
        {
            found.push(Artifact::Program { path: program.to_owned(), sha256, seal: Some(seal) });
        }
        for object in hook.objects(program) {
            match object {
                HookObject::File { path, .. } => found.extend(file_artifact(host, path.into())?),
                // The link of `systemctl enable` belongs to the user.
                HookObject::Link { path, target } => {
                    if host.read_link(&renumbered_link(host, &path)).is_some_and(|found| found == Path::new(target)) {
                        found.push(Artifact::Link { path, target: target.into() });
                    }
                }
                HookObject::BootCommand { .. } => {}
            }
        }
    }
    Ok(found)
}

fn done_record(made: Artifact, arch: Option<&'static Arch>) -> Record {
    Record::new(Stage::Done, arch.map(Subject::System).as_ref(), made)
}

fn file_artifact(host: &Host, path: PathBuf) -> Result<Option<Artifact>> {
    Ok(fingerprint_regular_file(host, &path)?.map(|(sha256, _)| Artifact::File { path, sha256 }))
}

fn fingerprint_regular_file(host: &Host, path: &Path) -> Result<Option<(Sha256, crate::host::FileStamp)>> {
    if host.is_regular_file(path) { host.fingerprint(path) } else { Ok(None) }
}

fn read_regular_file(host: &Host, path: &Path) -> Result<Option<Vec<u8>>> {
    if host.is_regular_file(path) { host.read_file(path) } else { Ok(None) }
}
