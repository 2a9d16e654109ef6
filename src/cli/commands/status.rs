//! The command `status`: shows the registered systems, or checks one of them.

use std::fmt::Write as _;

use binfmt_magic::Arch;

use crate::binfmt::container::Container;
use crate::binfmt::native;
use crate::binfmt::native::NativeSupport;
use crate::binfmt::shell::Shell;
use crate::cli;
use crate::diagnose::acceleration::AcceleratedStatus;
use crate::diagnose::other_entries::OtherEntry;
use crate::diagnose::rule_state::RuleState;
use crate::diagnose::status;
use crate::diagnose::status::{Health, RuleStatus, StatusReport, SystemStatus};
use crate::diagnose::trial::Trial;
use crate::error::{Error, ExitCode, Result};
use crate::host::{self, Host};
use crate::nix::{config_show, env};
use crate::register::facts::Facts;
use crate::register::facts::owner::Owner;
use crate::register::receipt::NixBuild;
use crate::sanitize::command;
use crate::sorted;
use crate::ui::table::TextTable;
use crate::ui::{CheckBar, Ui};

pub(super) fn run(args: &cli::StatusArgs, host: &Host, container: Option<&Container>, ui: &Ui) -> Result<ExitCode> {
    if let Some(name) = &args.check {
        return print_check(name, host, ui);
    }
    let facts = Facts::gather(host, &[])?;
    let bar = CheckBar::start();
    let status = status::gather_status(host, &facts, config_show::show_config_here(host).ok().as_ref(), &bar);
    drop(bar);
    if ui.is_json() {
        ui.print_json(&status);
    } else {
        print_status(ui, &status, &facts.shell, args.verbose);
    }
    if let Some(run) = facts.run.as_ref().filter(|_| env::is_daemon_outside_of_run(host)) {
        let command = env::own_store_command(facts.shell.is_root);
        ui.print_note(&format!("{}: {command}", env::describe_daemon_outside(&run.nix_systems())));
    }
    if let Some(Err(why)) = container.map(|container| container.check_is_host_table(host)) {
        ui.print_note(&format!(
            "the machine's own table cannot be seen here: {why}; {} tests what runs here",
            command::tool("status --check SYSTEM")
        ));
    }
    Ok(ExitCode::Ok)
}

/// Checks one system for scripts and health checks: prints one line and returns an exit status.
fn print_check(name: &str, host: &Host, ui: &Ui) -> Result<ExitCode> {
    let arch = Arch::find(name)?;
    let (trial, facts) = host::parallel::both(|| Trial::run(arch), || Facts::gather_running(host));
    let facts = facts?;
    if let Some(NativeSupport::Runs) = native::find_native(&[arch], &facts.machine, &facts.table).get(arch.target) {
        return Err(Error::Native { system: arch.target.to_owned(), machine: facts.machine });
    }
    let checked = status::check_system(&facts, arch, &trial);
    if ui.is_json() {
        ui.print_json(&checked);
    } else {
        let detail = checked.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        ui.print_verdict(&format!("{}: {}{detail}", checked.system, checked.state));
    }
    Ok(if checked.state == Health::Works { ExitCode::Ok } else { ExitCode::Findings })
}

fn print_status(ui: &Ui, status: &StatusReport, shell: &Shell, verbose: bool) {
    if status.systems.is_empty() && status.rules.is_empty() {
        let register = shell.tool_command("register SYSTEM");
        ui.print_result(&format!("no other system is registered; to register one: {register}"));
    } else if !status.systems.is_empty() {
        print_systems(ui, status, verbose);
    }
    print_rules(ui, &status.rules);
    print_accelerated(ui, &status.accelerated);
    print_other_entries(ui, &status.other_entries, verbose);
    print_boot(ui, status, shell, verbose);
    if status.unfinished {
        ui.print_note(&format!(
            "a run of binfmt-nix is in progress, was interrupted, or could not undo everything; repeat its command to \
             complete it, or undo everything (what is kept is reported), by: {}",
            shell.tool_command("unregister all")
        ));
    }
    if let Some(daemon) = &status.outdated_daemon {
        ui.print_warning(&daemon.describe());
    }
    match &status.holder {
        Some(holder) => {
            ui.print_note(&format!("register --watch is running ({holder}) and registers removed entries again"));
        }
        None => status.systems.iter().filter(|system| system.held).for_each(|system| {
            ui.print_note(&format!(
                "{}: registered by register --watch, which registers it again while it runs",
                system.system
            ));
        }),
    }
}

/// Prints one line for each own rule.
fn print_rules(ui: &Ui, rules: &[RuleStatus]) {
    for status in rules {
        let state = match status.state {
            RuleState::Registered if status.tested => "registered, tested when it was registered",
            RuleState::Registered => "registered, not tested",
            RuleState::Off => "off",
            RuleState::Missing => "missing",
        };
        ui.print_result(&format!("rule {}: {state}", status.rule));
        ui.print_result(&format!("  {} start {}", status.takes, status.interpreter));
        for line in &status.repair {
            ui.print_note(&format!("{}: to repair it, run: {line}", status.rule));
        }
    }
}

/// Prints one line for each system, and what prevents the native programs from being started.
fn print_accelerated(ui: &Ui, accelerated: &[AcceleratedStatus]) {
    for system in accelerated.chunk_by(|one, next| one.program.system == next.program.system) {
        let (good, bad): (Vec<_>, Vec<_>) =
            system.iter().partition(|status| status.state == RuleState::Registered && status.detail.is_none());
        let target = system.first().map_or("", |status| status.program.system);
        if !good.is_empty() {
            let names: Vec<_> = good.iter().map(|status| status.program.tool.as_str()).collect();
            ui.print_result(&format!("{target}: native programs are started for {}", names.join(" ")));
        }
        for status in bad {
            let why = status.detail.as_deref().unwrap_or("its entry is missing or off");
            ui.print_note(&format!("{target}: {} is emulated: {why}", status.program.tool));
        }
    }
}

/// Prints what registers the entries of this tool at boot, where that is not the usual reader of binfmt.d.
fn print_boot(ui: &Ui, status: &StatusReport, shell: &Shell, verbose: bool) {
    let own: Vec<_> = status.systems.iter().filter(|system| system.by == Owner::BinfmtNix && !system.held).collect();
    if own.is_empty() {
        return;
    }
    if let Some(hook) = status.boot.hook.as_ref().filter(|_| verbose) {
        ui.print_result(&format!("boot: {hook} starts \"binfmt-nix restore\""));
    }
    if let Some(problem) = &status.boot.problem {
        let doctor = shell.query_command("doctor");
        ui.print_note(&format!("the entries will be gone after a restart: {problem}; for the repair, run: {doctor}"));
    }
}

/// Prints the entries that run no system's programs now: their names in one line or, on request, one entry after the other.
fn print_other_entries(ui: &Ui, entries: &[OtherEntry], verbose: bool) {
    const MAX_WIDTH: usize = 54;
    if !verbose {
        let mut line = String::new();
        for (number, entry) in entries.iter().enumerate() {
            let word = format!(" {}{}", entry.name, if entry.enabled { "" } else { " (off)" });
            if line.chars().count().saturating_add(word.chars().count()) > MAX_WIDTH && !line.is_empty() {
                let _ = write!(line, " and {} more", entries.len().saturating_sub(number));
                break;
            }
            line.push_str(&word);
        }
        if !line.is_empty() {
            ui.print_result(&format!("other entries:{line}"));
        }
        return;
    }
    for entry in entries {
        let off = if entry.enabled { "" } else { ", which is off" };
        ui.print_result(&format!("other entry {}{off}: {}", entry.name, entry.interpreter));
        ui.print_result(&format!("  takes {}", entry.takes));
    }
}

/// Prints a table with one line for each system that fits into 80 columns; paths and digests follow below it.
fn print_systems(ui: &Ui, status: &StatusReport, verbose: bool) {
    let mut table = TextTable::new(&["SYSTEM", "STATE", "ENTRY", "FLAGS", "QEMU", "BY", "NIX"]);
    for system in &status.systems {
        let text = |field: &Option<String>| field.clone().unwrap_or_else(|| "-".into());
        table.add_row([
            system.system.to_owned(),
            system.state.to_string(),
            text(&system.entry),
            text(&system.flags),
            text(&system.qemu),
            system.by.to_string(),
            nix_column(system),
        ]);
    }
    ui.print_table(&table);
    if verbose {
        status.systems.iter().for_each(|system| print_origin(ui, system));
    } else {
        print_other_interpreters(ui, status);
    }
    for system in &status.systems {
        if let Some(build) = system.nix_build.as_ref().filter(|build| verbose || !build.is_built()) {
            ui.print_note(&format!("{}: at {}: {build}", system.system, build.time));
        }
        if let (Some(why), Some(line)) = (&system.outdated, &system.upgrade) {
            ui.print_note(&format!("{}: {why}; to replace it, run: {line}", system.system));
        }
        if let Some(detail) = &system.detail {
            ui.print_note(&format!("{}: {detail}", system.system));
            let purpose = if system.state == Health::Disabled { "turn it on" } else { "repair it" };
            for line in &system.repair {
                ui.print_note(&format!("{}: to {purpose}, run: {line}", system.system));
            }
        }
    }
}

/// Prints one line about the interpreters of other tools. Those of this tool always have the same paths.
fn print_other_interpreters(ui: &Ui, status: &StatusReport) {
    let others = status.systems.iter().filter(|system| system.by == Owner::OtherTool);
    let paths = sorted::set(others.filter_map(|system| system.interpreter.as_deref()));
    let Some(first) = paths.first() else { return };
    let rest = match paths.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" and {more} more; all of them: {}", command::tool("status -v")),
    };
    ui.print_result(&format!("other interpreters: {first}{rest}"));
}

/// Describes the last build, and never what Nix would do now: only a build shows that.
fn nix_column(system: &SystemStatus) -> String {
    match (system.nix_knows, &system.nix_build) {
        _ if system.nix_systems.is_empty() => "-".into(),
        (Some(false), _) => "not listed".into(),
        (_, Some(build)) => format!("{}{}", if build.is_built() { "built" } else { "failed" }, ago(build)),
        (Some(true), None) => "untried".into(),
        (None, None) => "?".into(),
    }
}

fn ago(build: &NixBuild) -> String {
    build.age().map(|age| format!(" {age} ago")).unwrap_or_default()
}

fn print_origin(ui: &Ui, system: &SystemStatus) {
    let Some(interpreter) = &system.interpreter else { return };
    ui.print_result(&format!("{}: {interpreter}", system.system));
    if let Some(source) = &system.source {
        ui.print_result(&format!("  from {source}"));
    }
    if let Some(sha256) = &system.sha256 {
        ui.print_result(&format!("  sha256 {sha256}"));
    }
}
