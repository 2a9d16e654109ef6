//! `binfmt-nix register … --watch`: what comes before staying, and after it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use binfmt_magic::Arch;

use super::{acquire_lock, print_notes};
use crate::binfmt::container::Container;
use crate::binfmt::table;
use crate::binfmt::table::Table;
use crate::cli::{self, StopAction};
use crate::error::{Error, ExitCode, Result};
use crate::host::{self, Host, InotifyInstance, Lock, ServiceManager};
use crate::paths;
use crate::register::facts;
use crate::register::report::Report;
use crate::register::request;
use crate::register::request::RegisterRequest;
use crate::register::unregister::unregister;
use crate::register::watch;
use crate::register::watch::{Notifier, ReadyFile, Reregister, TableWatcher, is_watched};
use crate::ui::Ui;
use crate::ui::event::{LogEvent, LogLevel};

/// Nobody else holds now, and the ready file can be made.
pub(super) struct WatchSetup {
    lock: Lock,
    ready: Option<ReadyFile>,
    manager: ServiceManager,
    watcher: InotifyInstance,
    on_stop: StopAction,
    wait: u64,
    /// Nobody else has the table mounted.
    alone: bool,
}

/// Before anything is registered; `None` if nobody asked to stay.
pub(super) fn prepare_watch(
    args: &cli::RegisterArgs,
    host: &Host,
    container: Option<&Container>,
    ui: &Ui,
) -> Result<Option<WatchSetup>> {
    if !args.watch {
        return Ok(None);
    }
    refuse_without_kernel(host)?;
    host.catch_signals().map_err(|e| Error::io("hold signals of", &host::env::own_path(), e))?;
    let mut waiting = |holder: &str| ui.print_note(&format!("waiting for another register --watch, {holder}"));
    let patience = Duration::from_secs(args.wait);
    let lock = match container {
        None => host.lock(Path::new(paths::HOLD_LOCK), patience, &mut waiting),
        Some(_) => host.lock_path(&container_lock_path(), patience, &mut waiting),
    };
    let lock = lock.map_err(already_watching)?;
    let ready = args.ready_file.clone().map(ReadyFile::prepare).transpose()?;
    let manager =
        host::sd_notify::connect().map_err(|e| Error::io("reach the manager at", Path::new("NOTIFY_SOCKET"), e))?;
    let watcher = host::watch::create_watcher()?;
    let alone = container.is_some_and(|container| container.is_sole_mounter);
    Ok(Some(WatchSetup { lock, ready, manager, watcher, on_stop: args.on_stop, wait: args.wait, alone }))
}

/// What a hold in a container locks: no file but those of the table is seen by others.
fn container_lock_path() -> PathBuf {
    table::entry_path("status")
}

/// `--dry-run` says so.
pub(super) fn describe_dry_run(args: &cli::RegisterArgs, host: &Host, notes: &mut Vec<String>) -> Result<()> {
    if args.watch {
        refuse_without_kernel(host)?;
        let end = match args.on_stop {
            StopAction::Leave => "leaves the entries",
            StopAction::Remove => "takes the entries away",
        };
        notes.push(format!(
            "it would stay then, and put back what somebody removes, until a signal ends it, which {end}"
        ));
    }
    Ok(())
}

fn refuse_without_kernel(host: &Host) -> Result<()> {
    match table::read_table(host)? {
        Table::Offline => Err(Error::Usage("a tree below --root has no kernel, and --watch needs its table".into())),
        _ => Ok(()),
    }
}

fn already_watching(error: Error) -> Error {
    match error {
        Error::Locked { holder, .. } => Error::Conflict {
            what: format!("{holder} stays already (register --watch), and one does for all systems"),
            hint: format!("end it, and start one with all of them: {}", stop_hint(&holder)),
        },
        other => other,
    }
}

fn stop_hint(holder: &str) -> String {
    match holder.strip_prefix("process ").and_then(|rest| rest.split([' ', ',']).next()) {
        Some(pid) => format!("kill {pid}, or stop the unit or the container that it runs in"),
        None => "stop the unit or the container that it runs in".into(),
    }
}

/// What a hold would put back at once is not unregistered.
pub(super) fn refuse_if_watched(host: &Host, request: &request::UnregisterRequest) -> Result<()> {
    let watcher_hint = match local_watcher(host, request) {
        Some(holder) => Some((stop_hint(&holder), format!("{holder}, stays"))),
        None => is_watched_in_container(host, request)?
            .then(|| (stop_hint(""), "a process in a container stays".to_owned())),
    };
    let Some((how, who)) = watcher_hint else { return Ok(()) };
    Err(Error::Conflict {
        what: format!("{who} (register --watch) and would put back what is taken away"),
        hint: format!("end it first: {how}"),
    })
}

/// On the machine, who holds has signed for which systems.
fn local_watcher(host: &Host, request: &request::UnregisterRequest) -> Option<String> {
    let holder = host.lock_owner(Path::new(paths::HOLD_LOCK))?;
    request.systems.iter().any(|arch| is_watched(&holder, arch.target)).then_some(holder)
}

/// One in a container is known by the form of its entries.
fn is_watched_in_container(host: &Host, request: &request::UnregisterRequest) -> Result<bool> {
    if !host.is_locked(&container_lock_path()) {
        return Ok(false);
    }
    let table = table::read_table(host)?;
    let is_held = |arch: &&'static Arch| {
        let entry = table.find_entry(&facts::in_memory_entry_name(arch));
        entry.is_some_and(|entry| {
            entry.rule.interpreter.starts_with(crate::binfmt::in_memory::WATCHED_FD_DIR.as_bytes())
        })
    };
    Ok(request.systems.iter().any(is_held))
}

impl WatchSetup {
    /// Stays, and does at the end what was asked for. `registration` talks to the same log.
    pub(super) fn watch_until_signal(
        mut self,
        host: &Host,
        log: &Ui,
        request: &RegisterRequest,
        outcome: &Report,
        registration: &mut dyn Reregister,
    ) -> Result<ExitCode> {
        let held: Vec<_> = outcome.systems.iter().filter(|line| line.entry.is_some()).map(|line| line.system).collect();
        // On a full disk whoever has to wait is told less.
        drop(self.lock.write_owner(&watch::lock_signature(&held)));
        let Self { lock: _lock, ready, manager, watcher, on_stop, wait, alone } = self;
        let mut hold = TableWatcher::new(host, Notifier::new(log, manager, ready), watcher, outcome)?;
        hold.run(registration);
        let (notifier, expected) = hold.finish();
        match on_stop {
            StopAction::Leave => {
                // With the last mount they go.
                let name = if alone { "expired" } else { "left" };
                for (one, _) in expected.iter().filter(|(_, is_present)| *is_present) {
                    notifier.log_event(
                        &LogEvent::info(name).with_field("system", one.arch.target).with_field("entry", &one.entry),
                    );
                }
                Ok(ExitCode::Ok)
            }
            StopAction::Remove => Ok(unregister_on_stop(host, log, request, wait)),
        }
    }
}

/// As `unregister` does.
fn unregister_on_stop(host: &Host, log: &Ui, request: &RegisterRequest, wait: u64) -> ExitCode {
    let request = request::UnregisterRequest { systems: request.systems.clone(), all: request.all, by_watcher: true };
    let undone = acquire_lock(host, log, wait).and_then(|_lock| unregister(&request, host, log));
    match undone {
        Ok(outcome) => {
            print_notes(log, &outcome);
            for line in outcome.systems.iter().filter(|line| !line.already) {
                log.log_event(&LogEvent::info("unregistered").with_field("system", line.system));
            }
            if outcome.findings.is_empty() { ExitCode::Ok } else { ExitCode::Findings }
        }
        Err(error) => {
            let event = LogEvent::new(LogLevel::Error, "failed")
                .with_field("what", "unregister")
                .with_field("error", error.to_string());
            log.log_event(&error.hint().map_or(event.clone(), |hint| event.with_field("hint", hint)));
            error.exit_code()
        }
    }
}
