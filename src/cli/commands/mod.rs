//! One function for each command.

pub mod cache;
pub mod doctor;
pub mod explain;
pub mod explain_text;
pub mod fetch;
pub mod generate;
pub mod list;
pub mod nix_builder;
pub mod nix_conf;
pub mod register;
pub mod register_in_memory;
pub mod run;
pub mod source;
pub mod status;
pub mod test;
pub mod unregister;
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
use crate::host::{self, Host, Lock};
use crate::paths;
use crate::qemu::download;
use crate::qemu::download::mirrors;
use crate::register::plan::Plan;
use crate::register::report::Report;
use crate::sanitize::shell_quote;
use crate::ui::Ui;

/// Does what the command line says.
pub fn run_command(cli: &Cli, ui: &Ui) -> Result<ExitCode> {
    // A worker must not have opened or asked for anything yet.
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

fn needs_table(command: &Command) -> bool {
    matches!(
        command,
        Command::Register(_)
            | Command::Unregister(_)
            | Command::Status(_)
            | Command::Test(_)
            | Command::Doctor(_)
            | Command::Explain(_)
    )
}

/// An absolute symbolic link in a tree means another place of this machine, not
/// of the tree: nothing is written through it.
fn refuse_escaping_symlinks(host: &Host) -> Result<()> {
    if host.is_live() {
        return Ok(());
    }
    let mut places = paths::home_dirs().into_iter().chain([Path::new(paths::LOCK), Path::new(table::DIR)]);
    match places.find_map(|place| Some((place, host.target_outside_root(place)?))) {
        None => Ok(()),
        Some((place, outside)) => Err(Error::Conflict {
            what: format!("{} leads out of the tree, to {}", host.real_path(place).display(), outside.display()),
            hint: "make the symbolic link on the way a relative one, or a directory".into(),
        }),
    }
}

/// The lock, told about while it is waited for. Who has it sweeps up what killed
/// runs left: nobody else's temporary files can be there.
fn acquire_lock(host: &Host, ui: &Ui, seconds: u64) -> Result<Lock> {
    host.catch_signals().map_err(|e| Error::io("hold signals of", &host::env::own_path(), e))?;
    let mut waiting = |holder: &str| ui.print_note(&format!("waiting for another binfmt-nix, {holder}"));
    let patience = Duration::from_secs(seconds);
    // The containers of a machine have no file in common but its table; and no file of ours.
    if container::is_app_container(host) {
        return host.lock_path(Path::new(table::DIR), patience, &mut waiting);
    }
    let lock = host.lock(paths::LOCK.as_ref(), patience, &mut waiting)?;
    let receipts = Path::new(paths::RECEIPT_DIR).parent();
    for dir in paths::home_dirs().into_iter().chain(receipts) {
        host.remove_stale_temp_files(dir)?;
    }
    Ok(lock)
}

/// `--dry-run`: what would be done, on stdout.
fn print_dry_run(ui: &Ui, plan: &Plan) -> ExitCode {
    let outcome = Report::from_plan(plan);
    print_notes(ui, &outcome);
    if plan.steps.is_empty() {
        ui.print_result(&"nothing to do");
    }
    for step in &plan.steps {
        ui.print_result(&format!("would {:<10} {step}", step.verb()));
    }
    finish(ui, &outcome)
}

/// Notes and findings, on stderr.
fn print_notes(ui: &Ui, outcome: &Report) {
    for note in &outcome.notes {
        ui.print_note(note);
    }
    for finding in &outcome.findings {
        ui.print_warning(finding);
    }
}

/// The result for programs, and what it means to a script.
fn finish(ui: &Ui, outcome: &Report) -> ExitCode {
    if ui.is_json() {
        ui.print_json(outcome);
    }
    if outcome.findings.is_empty() { ExitCode::Ok } else { ExitCode::Findings }
}

/// The systems that these names mean, each once; `true` if "all" was said.
fn named_systems(names: &[String]) -> Result<(Vec<&'static Arch>, bool)> {
    if names.iter().any(|name| name == "all") {
        if names.len() > 1 {
            return Err(Error::Usage("\"all\" stands alone".into()));
        }
        return Ok((Arch::ALL.iter().collect(), true));
    }
    let mut systems: Vec<&'static Arch> = Vec::new();
    for name in names {
        let arch = Arch::find(name)?;
        if !systems.iter().any(|known| known.target == arch.target) {
            systems.push(arch);
        }
    }
    Ok((systems, false))
}

/// The running machine is changed by root only. A tree below `--root` may
/// belong to anyone. `rootless` are the systems that `run` could do it for.
fn check_permission(host: &Host, rootless: Option<&[String]>) -> Result<()> {
    if !host.is_live() || nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let run = |systems: &[String]| {
        let systems: Vec<_> = systems.iter().map(|system| format!("--system {}", shell_quote(system))).collect();
        let systems = if systems == ["--system all"] { "--all".to_owned() } else { systems.join(" ") };
        format!("{} run {systems} -- COMMAND", shell_quote(&host::env::own_path().to_string_lossy()))
    };
    Err(Error::NotRoot { line: line_as_root(), rootless: rootless.map(run) })
}

fn line_as_root() -> String {
    // sudo drops them unless told otherwise.
    let counted = download::PROXY_VARIABLES.iter().copied().chain([
        mirrors::NIX_CERT_VARIABLE,
        mirrors::MIRROR_VARIABLE,
        mirrors::NETRC_VARIABLE,
    ]);
    let set: Vec<&str> = counted.filter(|name| host::env::var(name).is_some()).collect();
    let mut words = vec!["sudo".to_owned()];
    if !set.is_empty() {
        words.push(format!("--preserve-env={}", set.join(",")));
    }
    words.push(shell_quote(&host::env::own_path().to_string_lossy()));
    words.extend(std::env::args_os().skip(1).map(|word| shell_quote(&word.to_string_lossy())));
    words.join(" ")
}
