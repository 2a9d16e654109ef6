//! From "register these" and a look at the machine to the steps.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, EntryName, Flags, Recognition, Rule};

use super::choose::{How, choose};
use super::rivals::{Stance, conflict, entry_name, stance};
use super::{Plan, Planned, Step};
use crate::binfmt_misc::{Table, name_of, same_rule};
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::interpreter::{KNOWS_ARGV0, Version};
use crate::nix::conf::{self, Guest};
use crate::nix::{ConfState, OWN_CONF};
use crate::receipt::System;
use crate::request::{NixChoice, Register};
use crate::{boot, layout};

/// Flag P tells QEMU through AT_FLAGS that argv[0] was kept since Linux 5.12
/// (commit 2347961b11d4); before, QEMU could not know.
const KERNEL_TELLS_ARGV0: (u32, u32) = (5, 12);

/// Plans a registration.
pub fn plan(request: &Register, facts: &Facts) -> Result<Plan> {
    let mut parts = Parts::default();
    for arch in &request.systems {
        match one(request, facts, arch, &mut parts) {
            Ok(()) => {}
            Err(Error::Native { .. }) if request.all => {
                parts
                    .notes
                    .push(format!("{}: passed over, this machine runs it natively", arch.target));
            }
            Err(e @ Error::Conflict { .. }) if request.all => parts.findings.push(format!("{}: {e}", arch.target)),
            Err(e) => return Err(e),
        }
    }
    nix(request, facts, &mut parts)?;
    notes(request, facts, &mut parts);
    Ok(parts.into_plan(facts))
}

/// The steps by kind, so that several systems share one download and one order.
#[derive(Default)]
struct Parts {
    fetch: Vec<&'static Arch>,
    place: Vec<Step>,
    boot: Vec<Step>,
    kernel: Vec<Step>,
    nix: Vec<Step>,
    systems: Vec<Planned>,
    notes: Vec<String>,
    findings: Vec<String>,
}

impl Parts {
    fn into_plan(self, facts: &Facts) -> Plan {
        let mut steps = Vec::new();
        if !self.fetch.is_empty() {
            steps.push(Step::Fetch(self.fetch));
        }
        steps.extend(self.place);
        steps.extend(self.boot);
        let registers = |step: &Step| matches!(step, Step::Register { .. });
        if matches!(facts.table, Table::NotMounted) && self.kernel.iter().any(registers) {
            steps.push(Step::Mount);
        }
        steps.extend(self.kernel);
        steps.extend(self.nix);
        Plan {
            steps: with_dirs(steps, facts),
            systems: self.systems,
            notes: self.notes,
            findings: self.findings,
        }
    }
}

/// One system: emulator, boot file, entry.
fn one(request: &Register, facts: &Facts, arch: &'static Arch, parts: &mut Parts) -> Result<()> {
    if facts.native.contains(arch.target) {
        let (system, machine) = (arch.target.to_owned(), facts.machine.clone());
        return Err(Error::Native { system, machine });
    }
    let stance = stance(facts, arch);
    if let Stance::Adopt(entry) = &stance
        && !request.force
    {
        return adopt(request, facts, arch, &entry.rule, parts);
    }
    let choice = choose(request, facts, arch)?;
    let ours = facts.our_entry(arch);
    let name = entry_name(facts, arch, ours.map(name_of).as_deref())?;
    let flags = flags(request, facts, choice.version);
    let rule = |path: &Path| rule(arch, &name, path, flags);
    let real = rule(&facts.real(&layout::interpreter(arch)))?;
    if let Stance::InTheWay(theirs) = &stance
        && !request.force
    {
        let line = real.to_line()?;
        return Err(conflict(arch, theirs, &String::from_utf8_lossy(&line)));
    }
    let before = parts.len();
    match &choice.how {
        How::Keep => {}
        How::Copy(from) => parts.place.push(Step::Copy {
            arch,
            from: from.clone(),
        }),
        How::Fetch => parts.fetch.push(arch),
    }
    if choice.how != How::Keep {
        parts.place.push(Step::Place(arch));
    }
    if request.persist {
        let text = boot::text(&rule(&layout::interpreter(arch))?)?;
        parts.boot.extend(write(facts, boot::file(arch), text, Some(arch))?);
    }
    let stands = ours.is_some_and(|entry| entry.enabled && same_rule(&entry.rule, &real))
        && matches!(stance, Stance::Free)
        && choice.how == How::Keep;
    if !stands && !matches!(facts.table, Table::Offline) {
        parts.kernel.extend(ours.map(|entry| Step::Withdraw(name_of(entry))));
        parts.kernel.push(Step::Register { arch, rule: real });
    }
    let known = facts.receipt.systems.get(arch.target);
    parts.systems.push(Planned {
        arch,
        already: parts.len() == before,
        system: Some(System {
            entry: name,
            interpreter: layout::interpreter(arch),
            qemu: choice.version.to_string(),
            source: choice.source,
            adopted: false,
            nix: wants_nix(request, facts) || known.is_some_and(|system| system.nix),
            proven: known.is_some_and(|system| system.proven),
        }),
    });
    Ok(())
}

impl Parts {
    /// How many changes so far.
    fn len(&self) -> usize {
        self.fetch.len() + self.place.len() + self.boot.len() + self.kernel.len()
    }
}

/// Somebody else's entry is as good as ours would be: only Nix needs us.
fn adopt(request: &Register, facts: &Facts, arch: &'static Arch, rule: &Rule, parts: &mut Parts) -> Result<()> {
    let entry = String::from_utf8_lossy(rule.name.as_bytes()).into_owned();
    let text = String::from_utf8(rule.interpreter.clone());
    let interpreter = text.map(PathBuf::from).map_err(|_| Error::Conflict {
        what: format!("the interpreter of entry {entry} has a name that is not UTF-8"),
        hint: "--force puts ours above it".into(),
    })?;
    let known = facts.receipt.systems.get(arch.target);
    let already = known.is_some_and(|system| system.adopted && system.entry == entry);
    if !already {
        parts.kernel.push(Step::Prove(arch));
        parts.notes.push(format!(
            "{}: the entry {entry} of this system does it already; left to its owner",
            arch.target
        ));
    }
    let rivals = facts.rivals.get(arch.target).into_iter().flatten();
    let version = rivals.filter_map(|rival| rival.verdict.as_ref().ok()).next();
    let qemu = version.map(ToString::to_string).unwrap_or_default();
    let system = System {
        entry,
        interpreter,
        qemu,
        source: "this system".into(),
        adopted: true,
        nix: wants_nix(request, facts) || known.is_some_and(|system| system.nix),
        proven: known.is_some_and(|system| system.proven),
    };
    parts.systems.push(Planned {
        arch,
        already,
        system: Some(system),
    });
    Ok(())
}

fn flags(request: &Register, facts: &Facts, qemu: Version) -> Flags {
    Flags {
        preserve_argv0: facts.kernel >= KERNEL_TELLS_ARGV0 && qemu >= KNOWS_ARGV0,
        open_binary: request.credentials,
        credentials: request.credentials,
        fix_binary: true,
    }
}

fn rule(arch: &Arch, name: &str, interpreter: &Path, flags: Flags) -> Result<Rule> {
    Ok(Rule {
        name: EntryName::new(name)?,
        recognition: Recognition::Magic(arch.pattern()),
        interpreter: interpreter.as_os_str().as_bytes().to_vec(),
        flags,
    })
}

fn wants_nix(request: &Register, facts: &Facts) -> bool {
    match request.nix {
        NixChoice::Auto => facts.nix.trace.is_some(),
        NixChoice::Yes => true,
        NixChoice::No => false,
    }
}

/// Our own file with every system's lines, and the line that includes it.
fn nix(request: &Register, facts: &Facts, parts: &mut Parts) -> Result<()> {
    if !wants_nix(request, facts) || parts.systems.is_empty() {
        return Ok(());
    }
    let planned = parts
        .systems
        .iter()
        .filter_map(|p| Some((p.arch.target.to_owned(), p.system.clone()?)));
    let systems: BTreeMap<_, _> = facts.receipt.systems.clone().into_iter().chain(planned).collect();
    let guests = guests(&systems);
    if let ConfState::LeaveAlone(why) = &facts.nix.state {
        let lines = conf::lines(&guests).join("\n  ");
        let path = facts.nix.conf.display();
        parts.findings.push(format!(
            "{path} is left alone: {why}; Nix needs these lines there:\n  {lines}"
        ));
        return Ok(());
    }
    let own = PathBuf::from(OWN_CONF);
    parts
        .nix
        .extend(write(facts, own, conf::own_file(&guests).into_bytes(), None)?);
    let included = matches!(&facts.nix.state, ConfState::Editable(text) if conf::includes(text, conf::OWN));
    if !included {
        parts.nix.push(Step::Include(facts.nix.conf.clone()));
    }
    if !parts.nix.is_empty() {
        parts.nix.push(Step::RestartDaemon);
    }
    Ok(())
}

/// The guests among `systems` that Nix is to be told of.
pub(super) fn guests(systems: &BTreeMap<String, System>) -> Vec<Guest<'_>> {
    let told = systems.iter().filter(|(_, system)| system.nix);
    told.filter_map(|(target, system)| {
        let arch = Arch::by_target(target)?;
        Some(Guest {
            systems: arch.nix_systems,
            interpreter: &system.interpreter,
        })
    })
    .collect()
}

/// Writes a file of ours, unless it is so already; one that is not ours is in the way.
fn write(facts: &Facts, path: PathBuf, text: Vec<u8>, arch: Option<&'static Arch>) -> Result<Option<Step>> {
    match facts.files.get(&path) {
        Some(sum) if *sum == Sha256::of(&text) => Ok(None),
        Some(_) if !facts.made_by_us(&path) => Err(not_ours(&path)),
        _ => Ok(Some(Step::Write { path, text, arch })),
    }
}

/// A file with our name that we did not write, or that was changed since.
pub(super) fn not_ours(path: &Path) -> Error {
    Error::Conflict {
        what: format!(
            "{} is not as binfmt-nix wrote it, or was never written by it",
            path.display()
        ),
        hint: format!("see what it is, and move it away: mv {0} {0}.old", path.display()),
    }
}

fn notes(request: &Register, facts: &Facts, parts: &mut Parts) {
    if request.credentials {
        parts.notes.push(
            "flag C: whoever may start a setuid program of these systems can write files as its owner, \
             because QEMU obeys QEMU_LOG_FILENAME and the like"
                .into(),
        );
    }
    if matches!(facts.table, Table::Offline) {
        parts
            .notes
            .push("the tree below --root has no /proc/sys/fs/binfmt_misc: no entry is registered now".into());
    }
    if request.persist && !facts.boot.has_reader {
        parts
            .notes
            .push("nothing on this system reads /etc/binfmt.d at boot: register again after a restart".into());
    }
    if request.nix == NixChoice::Auto && facts.nix.trace.is_none() {
        parts
            .notes
            .push("no trace of Nix here, so it is not told; --nix tells it all the same".into());
    }
}

/// Puts the directories that are missing before the steps that need them.
fn with_dirs(steps: Vec<Step>, facts: &Facts) -> Vec<Step> {
    let mut dirs: Vec<Step> = Vec::new();
    for step in &steps {
        let path = match step {
            Step::Fetch(_) | Step::Copy { .. } => Path::new(layout::INTERPRETERS).join("x"),
            Step::Write { path, .. } | Step::Include(path) => path.clone(),
            _ => continue,
        };
        let above: Vec<_> = path.ancestors().skip(1).collect();
        for dir in above.into_iter().rev().filter(|dir| facts.missing_dirs.contains(*dir)) {
            let make = Step::MakeDir(dir.to_owned());
            if !dirs.contains(&make) {
                dirs.push(make);
            }
        }
    }
    dirs.extend(steps);
    dirs
}
