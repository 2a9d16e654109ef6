//! The command `test`: proves that programs of other systems run.

use binfmt_magic::Arch;

use super::{check_permission, find_rule, named_systems, nix_proof};
use crate::binfmt::native;
use crate::binfmt::native::NativeSupport;
use crate::binfmt::table::Table;
use crate::cli;
use crate::diagnose::verify;
use crate::diagnose::verify::{ProofResult, SystemVerification, VerifyReport};
use crate::error::{Error, ExitCode, Result};
use crate::host::Host;
use crate::register::emulated::EmulatedSystem;
use crate::register::facts::Facts;
use crate::ui::Ui;

pub(super) fn run(args: &cli::TestArgs, host: &Host, ui: &Ui) -> Result<ExitCode> {
    let is_rule = |name: &&String| find_rule(std::slice::from_ref(*name)).is_some();
    let (rules, names): (Vec<_>, Vec<_>) = args.systems.iter().partition(is_rule);
    let names: Vec<_> = names.into_iter().cloned().collect();
    let (requested, all) = named_systems(&names)?;
    if !rules.is_empty() {
        check_permission(host, None)?;
        if args.nix {
            let what = "--nix tests only systems that QEMU runs";
            return Err(Error::Usage(what.into()));
        }
    }
    let facts = Facts::gather(host, &[])?;
    if matches!(facts.table, Table::Offline) {
        return Err(Error::Usage("test needs a running kernel, and a tree below --root has no kernel".into()));
    }
    let systems = select_foreign(&facts, requested, all)?;
    let builds = if args.nix { Some(nix_proof::test_by_building(host, ui, &systems)?) } else { None };
    let mut report = verify::verify_systems(host, &facts, &systems, builds.as_ref());
    let rules = rules.into_iter().filter_map(|name| EmulatedSystem::of_rule(name));
    report.add_rules(rules.map(|system| verify::rule::verify_rule(&facts, system)).collect());
    if ui.is_json() {
        ui.print_json(&report);
    } else {
        print_report(ui, &report);
    }
    Ok(if report.proven { ExitCode::Ok } else { ExitCode::Findings })
}

/// Selects the systems that this machine does not run natively. Of "all", selects only those with an entry or a record.
fn select_foreign(facts: &Facts, requested: Vec<&'static Arch>, all: bool) -> Result<Vec<&'static Arch>> {
    let native = native::find_native(&requested, &facts.machine, &facts.table);
    if let (false, Some((target, NativeSupport::Runs))) = (all, native.iter().next()) {
        return Err(Error::Native { system: (*target).to_owned(), machine: facts.machine.clone() });
    }
    let registered = |arch: &Arch| {
        facts.receipt.systems.get(arch.target).is_some_and(|system| !system.disabled)
            || arch.headers().iter().any(|head| facts.table.matching_entry(head).is_some())
    };
    let wanted = |arch: &&'static Arch| !all || (!native.contains_key(arch.target) && registered(arch));
    Ok(requested.into_iter().filter(wanted).collect())
}

fn print_report(ui: &Ui, report: &VerifyReport) {
    if let Some(daemon) = &report.outdated_daemon {
        ui.print_warning(&daemon.describe());
    }
    if report.systems.is_empty() {
        ui.print_warning(
            "no system is registered in the table that is visible here, so nothing was proven; test SYSTEM tests one",
        );
    }
    for system in &report.systems {
        ui.print_result(&system_title(system));
        for proof in &system.proofs {
            let result = match proof.result {
                ProofResult::Proven => "proven",
                ProofResult::Failed => "FAILED",
                ProofResult::Untried => "untried",
            };
            ui.print_verdict(&format!("  {result:<8} {}", proof.text));
            for repair in &proof.repair {
                ui.print_result(&format!("  {:<8} repair: {repair}", ""));
            }
        }
        for note in &system.notes {
            ui.print_result(&format!("  {:<8} {note}", "note"));
        }
    }
}

fn system_title(system: &SystemVerification) -> String {
    let Some(entry) = &system.entry else {
        return format!("{}: no entry is visible here", system.system);
    };
    let flags = system.flags.as_deref().filter(|flags| !flags.is_empty()).unwrap_or("none");
    let qemu = system.qemu.as_ref().map(|qemu| format!(", QEMU {qemu}")).unwrap_or_default();
    format!("{}: {entry}, flags {flags}{qemu}, by {}", system.system, system.by)
}
