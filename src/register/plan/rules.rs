//! Plan of own rules: the guards, and the steps of each rule.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use binfmt_magic::{Entry, Rule};

use super::register::{add_replacement_steps, native_system_error, write_own_file};
use super::{RulePlan, Step};
use crate::binfmt::boot::OwnBootFile;
use crate::binfmt::table::{Table, describe_entry, entry_name, is_same_rule};
use crate::error::{Error, Result};
use crate::paths;
use crate::register::emulated::EmulatedSystem;
use crate::register::facts::{Facts, RuleFacts};
use crate::register::own_rule::{self, InterpreterKind, RuleRefusal, refusal};
use crate::register::plan::nix::needs_nix_config;
use crate::register::plan::step_groups::StepGroups;
use crate::register::receipt::OwnRule;
use crate::register::request::{FORCE_HINT, NixChoice, OtherSystems, RegisterRequest};
use crate::register::subject::Subject;
use crate::sanitize::{AsText as _, command, text_of_bytes};

/// Plans the requested rules. One that is refused fails the whole command, before anything is changed.
pub(super) fn plan_rules(request: &RegisterRequest, facts: &Facts, groups: &mut StepGroups) -> Result<()> {
    request.rules.iter().try_for_each(|(name, rule)| plan_rule(request, facts, (name, rule), groups))
}

fn plan_rule(
    request: &RegisterRequest,
    facts: &Facts,
    (name, rule): (&String, &Rule),
    groups: &mut StepGroups,
) -> Result<()> {
    let Some(found) = facts.rules.get(name) else { return Ok(()) };
    let line = text_of_bytes(&rule.to_line()?);
    let known = facts.receipt.rules.get(name).filter(|known| known.line == line);
    let system = EmulatedSystem::of_rule(name);
    if let Some(EmulatedSystem::Linux(_, arch)) = system
        && let Some(native) = facts.native_systems.get(arch.target)
    {
        return Err(native_system_error(native, facts, arch));
    }
    check_rule(name, rule, found, known.is_some_and(|known| known.tested))?;
    let own = facts.own_rule_entries(name);
    check_name_is_free(facts, name, &own)?;
    let path = own_rule::interpreter_path(rule);
    let rule_now = Rule { interpreter: facts.real_path(&path).as_os_str().as_bytes().to_vec(), ..rule.clone() };
    // The path below a root prefix is longer.
    rule_now.to_line()?;
    let not_taken = system.map_or(Ok(()), |system| check_not_taken(facts, system, &facts.real_path(&path)));
    // With --force, a rule below another entry is registered again, above it.
    let is_registered = matches!(own[..], [entry] if entry.enabled && is_same_rule(&entry.rule, &rule_now))
        && !(request.force && not_taken.is_err());
    // The user decided it for a rule of the receipt whose entry was lost.
    let is_decided = request.force || (known.is_some() && !is_registered);
    if !is_decided {
        not_taken?;
    }
    let subject = Subject::Rule(name.clone());
    let boot = if request.persist {
        let text = OwnBootFile { rule: rule.clone(), enabled: true }.to_text()?;
        write_own_file(facts, paths::own_rule_file(name), text, Some(subject.clone()))?
    } else {
        None
    };
    let has_kernel = !matches!(facts.table, Table::Offline);
    let already = boot.is_none() && (is_registered || !has_kernel) && found.tests.is_empty();
    groups.boot.extend(boot);
    if has_kernel && !is_registered {
        add_replacement_steps(facts, subject, rule_now.clone(), &own, groups)?;
    }
    let test = |file: &std::path::PathBuf| Step::TestRule { rule: rule_now.clone(), file: file.clone() };
    groups.register.extend(found.tests.iter().map(test));
    if !already {
        groups.notes.extend(describe_risks(name, rule, found));
    }
    let removes_nix = request.nix == NixChoice::No && request.others == OtherSystems::Remove;
    let keeps_nix = facts.receipt.rules.get(name).is_some_and(|known| known.nix) && !removes_nix;
    let nix = system.is_some() && (needs_nix_config(request, facts) || keeps_nix);
    let known = known.filter(|_| is_registered);
    let tested = known.is_some_and(|known| known.tested);
    let already = already && known.is_some();
    groups.rules.push(RulePlan { name: name.clone(), rule: Some(OwnRule { line, tested, nix }), already });
    Ok(())
}

/// Refuses a rule that would harm the machine, or that could not work.
fn check_rule(name: &str, rule: &Rule, found: &RuleFacts, is_tested: bool) -> Result<()> {
    let path = || own_rule::interpreter_path(rule).as_text();
    let why = match found {
        RuleFacts { takes_native: Some(what), .. } => RuleRefusal::TakesNative(what.clone()),
        RuleFacts { takes_setuid: Some(program), .. } => RuleRefusal::TakesSetuid(program.clone()),
        RuleFacts { interpreter: Err(why), .. } => RuleRefusal::Interpreter { path: path(), why: why.clone() },
        RuleFacts { takes_interpreter: true, .. } => RuleRefusal::TakesInterpreter(path()),
        RuleFacts { tests, .. } if rule.flags.transparent && tests.is_empty() && !is_tested => RuleRefusal::Transparent,
        RuleFacts { .. } => return Ok(()),
    };
    Err(refusal(name, why))
}

/// Another tool's entry, and the entry that another tool's file registers at boot, are never replaced.
fn check_name_is_free(facts: &Facts, name: &str, own: &[&Entry]) -> Result<()> {
    let hint = || format!("choose another name; {} shows the entries", command::tool("status -v"));
    if facts.table.has_entry(name) && !own.iter().any(|entry| entry_name(entry) == name) {
        let entry = facts.table.find_entry(name).map(describe_entry).unwrap_or_default();
        return Err(Error::Conflict { what: format!("another entry has the name {name}: {entry}"), hint: hint() });
    }
    let own = paths::own_rule_file(name);
    let other = facts.boot.rules.iter().find(|boot| boot.rule.name.as_bytes() == name.as_bytes() && boot.file != own);
    match other {
        Some(boot) => Err(Error::Conflict {
            what: format!("{} registers an entry with the name {name} at boot", boot.file.as_text()),
            hint: hint(),
        }),
        None => Ok(()),
    }
}

/// Refuses to take the programs of a system from another entry, unless that has the same emulator.
fn check_not_taken(facts: &Facts, system: EmulatedSystem, emulator: &Path) -> Result<()> {
    let takes = |entry: &&Entry| entry.enabled && entry.rule.matches(system.probe().0);
    let Some(entry) = facts.table.entries().iter().find(takes) else { return Ok(()) };
    let name = entry_name(entry);
    let is_own = facts.our_entries().any(|own| own == name);
    if is_own
        && (paths::own_rule_entry_names(&system.rule_name()).contains(&name)
            || own_rule::interpreter_path(&entry.rule) == emulator)
    {
        return Ok(());
    }
    let what = format!("the entry {name} takes the programs of {}: {}", system.system(), describe_entry(entry));
    Err(Error::Conflict { what, hint: FORCE_HINT.into() })
}

fn describe_risks(name: &str, rule: &Rule, found: &RuleFacts) -> Vec<String> {
    let path = own_rule::interpreter_path(rule).as_text();
    let mut notes = Vec::new();
    let unheld = found.interpreter.as_ref().ok().and_then(InterpreterKind::describe_unheld);
    let system = EmulatedSystem::of_rule(name);
    if let Some(EmulatedSystem::Linux(emulator, _)) = system {
        notes.push(format!("{name}: {}", emulator.needs));
    }
    if let Some(what) = unheld.clone().filter(|_| system.is_some()) {
        notes.push(format!(
            "{name}: {path} {what} is not held by flag F, so F is not used: the programs do not start where {path} and its \
             files are missing, as in containers and in Nix's sandbox, which has what extra-sandbox-paths names"
        ));
    }
    if let Some(what) = unheld.filter(|_| rule.flags.fix_binary) {
        notes.push(format!(
            "{name}: flag F holds only {path}, which {what} is looked for in the chroot or container that starts a file: \
             without F, {path} itself is looked for there, too"
        ));
    }
    if rule.flags.credentials {
        notes.push(format!(
            "{name}: flag C: {path} gets the rights of the owner of each setuid file that the rule takes, for every user who \
             starts the file, and obeys that user's environment"
        ));
    }
    notes
}
