//! From "take these away" and a look at the machine to the steps.
//!
//! Undo is three-way: what is as we left it goes; what is gone is forgotten;
//! what somebody changed since stays, and is a finding.

use std::collections::BTreeMap;
use std::path::Path;

use binfmt_magic::Arch;

use super::tell_nix::guests;
use super::{Plan, Planned, Step};
use crate::binfmt_misc::name_of;
use crate::digest::Sha256;
use crate::facts::{Facts, Now};
use crate::layout::{self, NIX_OWN_CONF};
use crate::nix::conf;
use crate::receipt::{Made, Record, System};
use crate::request::Unregister;

/// Plans an undo. Nix comes first, then the kernel, the boot file, the emulator.
pub fn plan(request: &Unregister, facts: &Facts) -> Plan {
    let asked: Vec<_> = request.systems.iter().copied().filter(|arch| facts.knows(arch)).collect();
    let mut plan = Plan::default();
    for arch in &request.systems {
        let known = asked.contains(arch);
        if known || !request.all {
            plan.systems.push(Planned { arch, system: None, already: !known });
        }
    }
    let asked_of =
        |record: &Record| record.target.as_deref().is_some_and(|t| asked.iter().any(|arch| arch.target == t));
    let stays = |target: &String| !asked.iter().any(|arch| arch.target == target);
    let rest: BTreeMap<_, _> = facts.receipt.systems.clone().into_iter().filter(|(target, _)| stays(target)).collect();
    nix(facts, &rest, &mut plan);
    for entry in request.systems.iter().filter_map(|arch| facts.fileless(arch)) {
        plan.steps.push(Step::Withdraw(name_of(entry)));
    }
    for entry in request.systems.iter().filter(|_| !request.by_hold).filter_map(|arch| facts.held(arch)) {
        let entry = name_of(entry);
        plan.notes.push(format!("{entry} was made by a register --watch, which puts it back while it runs"));
    }
    let replaced = facts.replaced.iter().filter(|record| asked_of(record));
    plan.findings.extend(replaced.map(|record| changed_text(&name(facts, &record.made))));
    for kind in [is_entry, is_file, is_interpreter] {
        undo(facts, &mut plan, |record| asked_of(record) && kind(&record.made));
    }
    if rest.is_empty() {
        undo(facts, &mut plan, |record| matches!(record.made, Made::Mount { .. }));
        undo(facts, &mut plan, |record| matches!(&record.made, Made::Dir { path } if !is_above_receipt(path)));
    }
    if asked.is_empty() && !plan.steps.is_empty() {
        plan.notes.push("taking away what an earlier run left".into());
    }
    plan
}

fn is_entry(made: &Made) -> bool {
    matches!(made, Made::Entry { .. })
}

fn is_file(made: &Made) -> bool {
    matches!(made, Made::File { .. })
}

fn is_interpreter(made: &Made) -> bool {
    matches!(made, Made::Interpreter { .. })
}

/// These go last of all, with the receipt.
fn is_above_receipt(path: &Path) -> bool {
    Path::new(layout::RECEIPT_DIR).starts_with(path)
}

/// Our own file loses the lines of these systems; with the last of them it goes.
fn nix(facts: &Facts, rest: &BTreeMap<String, System>, plan: &mut Plan) {
    let told = |record: &Record| matches!(&record.made, Made::File { path, .. } if path == Path::new(NIX_OWN_CONF));
    let before = plan.steps.len();
    let guests = guests(rest);
    if guests.is_empty() {
        undo(facts, plan, |record| matches!(record.made, Made::Include { .. }));
        undo(facts, plan, told);
    } else if facts.receipt.records.iter().any(told) {
        let text = conf::own_file(&guests).into_bytes();
        if facts.files.get(Path::new(NIX_OWN_CONF)) != Some(&Some(Sha256::of(&text))) {
            let path = NIX_OWN_CONF.into();
            let changed = facts.records().any(|(record, now)| told(record) && *now == Now::Changed);
            if changed {
                plan.findings.push(changed_text(&facts.real(Path::new(NIX_OWN_CONF)).display()));
            } else {
                plan.steps.push(Step::Write { path, text, arch: None });
            }
        }
    }
    if plan.steps.len() > before {
        plan.steps.push(Step::RestartDaemon);
    }
}

/// Steps that take away the records chosen, newest first.
fn undo(facts: &Facts, plan: &mut Plan, chosen: impl Fn(&Record) -> bool) {
    let records: Vec<_> = facts.records().filter(|(record, _)| chosen(record)).collect();
    for (record, now) in records.into_iter().rev() {
        match (now, &record.made) {
            (Now::Gone, _) => {}
            (Now::Changed, made) => plan.findings.push(changed_text(&name(facts, made))),
            (Now::Ours, Made::Dir { path }) => plan.steps.push(Step::RemoveDir(path.clone())),
            (Now::Ours, Made::Interpreter { path, .. } | Made::File { path, .. }) => {
                plan.steps.push(Step::RemoveFile(path.clone()));
            }
            (Now::Ours, Made::Include { path, created, newline_added }) => {
                plan.steps.push(Step::Exclude { path: path.clone(), created: *created, newline_added: *newline_added });
            }
            (Now::Ours, Made::Entry { name, .. }) => plan.steps.push(Step::Withdraw(name.clone())),
            (Now::Ours, Made::Mount { .. }) => plan.steps.push(Step::Unmount),
        }
    }
}

fn name(facts: &Facts, made: &Made) -> String {
    match (made, made.path()) {
        (_, Some(path)) => facts.real(path).display().to_string(),
        (Made::Entry { name, .. }, None) => format!("the entry {name}"),
        (_, None) => "the mount of binfmt_misc".into(),
    }
}

fn changed_text(what: &dyn std::fmt::Display) -> String {
    format!("{what} was changed by somebody else since binfmt-nix made it: left as it is")
}

impl Facts {
    /// Is there anything of ours for this system?
    fn knows(&self, arch: &Arch) -> bool {
        self.receipt.systems.contains_key(arch.target)
            || self.receipt.records_of(arch.target).next().is_some()
            || self.fileless(arch).is_some()
    }
}
