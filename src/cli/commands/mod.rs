//! The commands: one module with a function `run` for each subcommand, and what several of them share.
//!
//! A command parses its arguments into a request, calls the room that does the work, and prints the report.

pub mod accelerate;
pub mod apply;
pub mod cache;
pub mod doctor;
pub mod explain;
pub mod explain_text;
pub mod fetch;
pub mod generate;
pub mod list;
pub mod nix_builder;
pub mod nix_conf;
pub mod nix_proof;
pub mod register;
pub mod register_in_memory;
pub mod restore;
pub mod rules;
pub mod run;
pub mod run_format;
pub mod source;
pub mod status;
pub mod switch;
pub mod test;
pub mod unregister;
pub mod upgrade;
pub mod watch;

#[cfg(test)]
pub(crate) use list::SystemList;

use std::path::Path;
use std::time::Duration;

use binfmt_magic::Arch;

use crate::binfmt::container;
use crate::binfmt::table;
use crate::cli::{Cli, Command};
use crate::error::{Error, ExitCode, Result};
use crate::host::env::kernel_release;
use crate::host::{self, Host, KernelLock, Lock};
use crate::paths;
use crate::qemu::download;
use crate::qemu::download::machine_config;
use crate::register::emulated::EmulatedSystem;
use crate::register::receipt::Receipt;
use crate::register::report::{Report, StepReport};
use crate::sanitize::AsText as _;
use crate::sanitize::secrets::{has_secret, hide_secrets_of_word};
use crate::sanitize::{shell_quote, text_of};
use crate::ui::Ui;

/// Runs the command of the command line.
pub fn run_command(cli: &Cli, ui: &Ui) -> Result<ExitCode> {
    // A confined worker must start before this process opens any file.
    if let Command::Internal(internal) = &cli.command {
        return internal.worker.run(&cli.root);
    }
    let host = Host::new(&cli.root)?;
    refuse_escaping_symlinks(&host)?;
    let container =
        if needs_table(&cli.command) { container::enter_container(&host, kernel_release().1) } else { None };
    match &cli.command {
        Command::Register(args) => register::run(args, &host, container.as_ref(), ui),
        Command::Unregister(args) => unregister::run(args, &host, container.as_ref(), ui),
        Command::Enable(args) => switch::run(args, true, &host, container.as_ref(), ui),
        Command::Disable(args) => switch::run(args, false, &host, container.as_ref(), ui),
        Command::Upgrade(args) => upgrade::run(args, &host, container.as_ref(), ui),
        Command::Rollback(args) => upgrade::roll_back(args, &host, container.as_ref(), ui),
        Command::Accelerate(args) => accelerate::run(args, &host, container.as_ref(), ui),
        Command::Apply(args) => apply::run(args, &host, container.as_ref(), ui),
        Command::Restore(args) => restore::run(args, &host, ui),
        Command::Run(args) => run::run(args, &host, ui),
        Command::Fetch(args) => fetch::run(args, &host, ui),
        Command::Cache(args) => cache::run(args, &host, ui),
        Command::Explain(args) => explain::run(args, &host, ui),
        Command::Doctor(args) => doctor::run(args, &host, ui),
        Command::Status(args) => status::run(args, &host, container.as_ref(), ui),
        Command::Test(args) => test::run(args, &host, ui),
        Command::List(args) => list::run(args, ui),
        Command::NixConf(args) => nix_conf::run(args, &host, ui),
        Command::Gen(args) => generate::run(args, ui),
        Command::Internal(internal) => internal.worker.run(&cli.root),
    }
}

/// Returns the mirror that the environment names.
pub fn mirror_of_environment() -> Option<String> {
    host::env::var(machine_config::MIRROR_VARIABLE)
}

/// Whether the command reads or changes the table of entries, so that it must reach the host's table from a container.
fn needs_table(command: &Command) -> bool {
    matches!(
        command,
        Command::Register(_)
            | Command::Unregister(_)
            | Command::Enable(_)
            | Command::Disable(_)
            | Command::Upgrade(_)
            | Command::Rollback(_)
            | Command::Accelerate(_)
            | Command::Apply(_)
            | Command::Status(_)
            | Command::Test(_)
            | Command::Doctor(_)
            | Command::Explain(_)
    )
}

/// Rejects a tree below `--root` in which a path of this tool leads out of the tree.
///
/// An absolute symbolic link in a tree names a place on this machine, not in the tree. The tool writes nothing through
/// it.
fn refuse_escaping_symlinks(host: &Host) -> Result<()> {
    if host.is_live() {
        return Ok(());
    }
    let mut paths_to_check = paths::home_dirs().into_iter().chain([Path::new(paths::LOCK), Path::new(table::DIR)]);
    match paths_to_check.find_map(|path| Some((path, host.target_outside_root(path)?))) {
        None => Ok(()),
        Some((path, outside)) => Err(Error::Conflict {
            what: format!("{} leads out of the tree, to {}", host.real_path(path).as_text(), outside.as_text()),
            hint: "replace the symbolic link in this path by a relative link or a directory".into(),
        }),
    }
}

/// Acquires the lock of binfmt-nix, and prints a note while it waits for another process.
///
/// The holder of the lock removes temporary files that killed runs left behind: no running process can own them.
fn acquire_lock(host: &Host, ui: &Ui, seconds: u64) -> Result<Lock> {
    acquire_within(host, ui, seconds).map_err(|error| match error {
        Error::Locked { path, holder, .. } => {
            let hint = "run this again when that process has ended, or wait longer with --wait SECONDS";
            Error::Locked { path, holder, hint }
        }
        error => error,
    })
}

fn acquire_within(host: &Host, ui: &Ui, seconds: u64) -> Result<Lock> {
    host.catch_signals().map_err(|e| Error::io("catch the signals of", &host::env::own_path(), e))?;
    let mut waiting = |holder: &str| ui.print_note(&format!("waiting for another binfmt-nix, {holder}"));
    let timeout = Duration::from_secs(seconds);
    // Containers of a machine share only its table. No file of this tool is visible in each of them. Where the table is
    // read-only, no container changes it, and the lock file of this container is enough.
    if container::is_app_container(host) {
        let register = table::entry_path("register");
        return match host.lock_kernel_file(&register, KernelLock::Flock, timeout, &mut waiting)? {
            Some(lock) => Ok(lock),
            None => host.lock(paths::LOCK.as_ref(), timeout, &mut waiting),
        };
    }
    let lock = host.lock(paths::LOCK.as_ref(), timeout, &mut waiting)?;
    // A damaged receipt is reported by what reads it next.
    let receipt = Receipt::load_packed(host).ok().flatten().unwrap_or_default();
    for dir in receipt.written_dirs(host)? {
        host.remove_stale_temp_files(&dir)?;
    }
    Ok(lock)
}

/// Prints the steps of a report for `--dry-run` on standard output.
fn print_dry_run(ui: &Ui, report: &Report) -> ExitCode {
    print_notes(ui, report);
    if report.steps.is_empty() {
        ui.print_result(&"nothing to do");
    }
    for StepReport { verb, what } in &report.steps {
        ui.print_result(&format!("would {verb:<10} {what}"));
    }
    finish(ui, report)
}

/// Prints what became of the systems, and the builds that proved them.
fn print_report(ui: &Ui, report: &Report) -> ExitCode {
    print_notes(ui, report);
    for system in &report.systems {
        ui.print_result(system);
    }
    for rule in &report.rules {
        ui.print_result(rule);
    }
    if report.systems.is_empty() && report.rules.is_empty() {
        ui.print_result(&"nothing is registered");
    }
    nix_proof::print_builds(ui, &report.nix_builds);
    finish(ui, report)
}

/// Prints the notes and findings of a report on standard error.
fn print_notes(ui: &Ui, report: &Report) {
    for note in &report.notes {
        ui.print_note(note);
    }
    for finding in &report.findings {
        ui.print_warning(finding);
    }
}

/// Prints the report as JSON if `--json` is given, and returns the exit status.
fn finish(ui: &Ui, report: &Report) -> ExitCode {
    if ui.is_json() {
        ui.print_json(report);
    }
    if report.findings.is_empty() { ExitCode::Ok } else { ExitCode::Findings }
}

/// Finds the systems with these names, each once. The second value says whether the name was "all".
fn named_systems(names: &[String]) -> Result<(Vec<&'static Arch>, bool)> {
    if names.iter().any(|name| name == "all") {
        if names.len() > 1 {
            return Err(Error::Usage("\"all\" cannot be combined with other systems".into()));
        }
        return Ok((Arch::ALL.iter().collect(), true));
    }
    let mut systems: Vec<&'static Arch> = Vec::new();
    for name in names {
        let arch = Arch::find(name).map_err(|error| match EmulatedSystem::of_rule(name) {
            Some(_) => {
                Error::Usage(format!("{name} is a rule without QEMU; register, unregister, test and apply know it"))
            }
            None => error.into(),
        })?;
        if !systems.iter().any(|known| known.target == arch.target) {
            systems.push(arch);
        }
    }
    Ok((systems, false))
}

/// Finds the first of the names that is a system without QEMU, which has the name of its rule.
fn find_rule(names: &[String]) -> Option<(&String, EmulatedSystem)> {
    let mut rules = names.iter().filter(|name| Arch::find(name).is_err());
    rules.find_map(|name| Some((name, EmulatedSystem::of_rule(name)?)))
}

/// Fails unless this process may change the machine: only root may. A tree below `--root` may belong to any user.
///
/// `rootless` are the systems for which `run` works without root; the error then names that command.
fn check_permission(host: &Host, rootless: Option<&[String]>) -> Result<()> {
    if !host.is_live() || nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let run = |systems: &[String]| {
        let systems: Vec<_> = systems.iter().map(|system| format!("--system {}", shell_quote(system))).collect();
        let systems = if systems == ["--system all"] { "--all".to_owned() } else { systems.join(" ") };
        format!("{} run {systems} -- COMMAND", shell_quote(&text_of(host::env::own_path())))
    };
    // `run` needs a table of its own (Linux 6.7).
    let rootless = rootless.filter(|_| kernel_release().1 >= (6, 7));
    Err(Error::NotRoot { line: line_as_root(), rootless: rootless.map(run) })
}

/// Returns this command line with `sudo` in front, as text for a shell.
fn line_as_root() -> String {
    // sudo removes these variables unless an option preserves them.
    let relevant = download::PROXY_VARIABLES.iter().copied().chain([
        machine_config::NIX_CERT_VARIABLE,
        machine_config::MIRROR_VARIABLE,
        machine_config::NETRC_VARIABLE,
    ]);
    let set: Vec<&str> = relevant.filter(|name| host::env::var(name).is_some()).collect();
    let mut words = vec!["sudo".to_owned()];
    if !set.is_empty() {
        words.push(format!("--preserve-env={}", set.join(",")));
    }
    words.push(shell_quote(&text_of(host::env::own_path())));
    let given: Vec<String> = std::env::args_os().skip(1).map(text_of).collect();
    words.extend(given.iter().map(|word| shell_quote(&hide_secrets_of_word(word))));
    let hint = if given.iter().any(|word| has_secret(word)) { "    # replace *** by your password" } else { "" };
    format!("{}{hint}", words.join(" "))
}
