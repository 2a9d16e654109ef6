//! `binfmt-nix register … --watch`: what comes before staying, and after it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use binfmt_magic::Arch;

use super::{lock, talk};
use crate::binfmt_misc::{self, Table};
use crate::cli::{self, OnStop};
use crate::container::Container;
use crate::error::{Error, ExitCode, Result};
use crate::facts;
use crate::hold::{self, Hold, ReadyFile, Registration, Tell, is_held};
use crate::host::{self, Host, InotifyInstance, Lock, ServiceManager};
use crate::layout;
use crate::outcome::Outcome;
use crate::request::{self, Register};
use crate::ui::Ui;
use crate::ui::event::{Event, Level};
use crate::unregister::unregister;

/// Nobody else holds now, and the ready file can be made.
pub(super) struct Begun {
    lock: Lock,
    ready: Option<ReadyFile>,
    manager: ServiceManager,
    watcher: InotifyInstance,
    on_stop: OnStop,
    wait: u64,
    /// Nobody else has the table mounted.
    alone: bool,
}

/// Before anything is registered; `None` if nobody asked to stay.
pub(super) fn begin(
    args: &cli::Register,
    host: &Host,
    container: Option<&Container>,
    ui: &Ui,
) -> Result<Option<Begun>> {
    if !args.watch {
        return Ok(None);
    }
    check(host)?;
    host.catch_signals().map_err(|e| Error::io("hold signals of", &host::env::own_path(), e))?;
    let mut waiting = |holder: &str| ui.note(&format!("waiting for another register --watch, {holder}"));
    let patience = Duration::from_secs(args.wait);
    let lock = match container {
        None => host.lock(Path::new(layout::HOLD_LOCK), patience, &mut waiting),
        Some(_) => host.lock_path(&in_containers(), patience, &mut waiting),
    };
    let lock = lock.map_err(one_is_enough)?;
    let ready = args.ready_file.clone().map(ReadyFile::new).transpose()?;
    let manager =
        host::sd_notify::connect().map_err(|e| Error::io("reach the manager at", Path::new("NOTIFY_SOCKET"), e))?;
    let watcher = host::watch::create_watcher()?;
    let alone = container.is_some_and(|container| container.alone);
    Ok(Some(Begun { lock, ready, manager, watcher, on_stop: args.on_stop, wait: args.wait, alone }))
}

/// What a hold in a container locks: no file but those of the table is seen by others.
fn in_containers() -> PathBuf {
    binfmt_misc::path("status")
}

/// `--dry-run` says so.
pub(super) fn foretell(args: &cli::Register, host: &Host, notes: &mut Vec<String>) -> Result<()> {
    if args.watch {
        check(host)?;
        let end = match args.on_stop {
            OnStop::Leave => "leaves the entries",
            OnStop::Remove => "takes the entries away",
        };
        notes.push(format!(
            "it would stay then, and put back what somebody removes, until a signal ends it, which {end}"
        ));
    }
    Ok(())
}

fn check(host: &Host) -> Result<()> {
    match binfmt_misc::look(host)? {
        Table::Offline => Err(Error::Usage("a tree below --root has no kernel, and --watch needs its table".into())),
        _ => Ok(()),
    }
}

fn one_is_enough(error: Error) -> Error {
    match error {
        Error::Locked { holder, .. } => Error::Conflict {
            what: format!("{holder} stays already (register --watch), and one does for all systems"),
            hint: format!("end it, and start one with all of them: {}", how_to_end(&holder)),
        },
        other => other,
    }
}

fn how_to_end(holder: &str) -> String {
    match holder.strip_prefix("process ").and_then(|rest| rest.split([' ', ',']).next()) {
        Some(pid) => format!("kill {pid}, or stop the unit or the container that it runs in"),
        None => "stop the unit or the container that it runs in".into(),
    }
}

/// What a hold would put back at once is not unregistered.
pub(super) fn refuse_undo(host: &Host, request: &request::Unregister) -> Result<()> {
    let stays = match here(host, request) {
        Some(holder) => Some((how_to_end(&holder), format!("{holder}, stays"))),
        None => elsewhere(host, request)?.then(|| (how_to_end(""), "a process in a container stays".to_owned())),
    };
    let Some((how, who)) = stays else { return Ok(()) };
    Err(Error::Conflict {
        what: format!("{who} (register --watch) and would put back what is taken away"),
        hint: format!("end it first: {how}"),
    })
}

/// On the machine, who holds has signed for which systems.
fn here(host: &Host, request: &request::Unregister) -> Option<String> {
    let holder = host.lock_owner(Path::new(layout::HOLD_LOCK))?;
    request.systems.iter().any(|arch| is_held(&holder, arch.target)).then_some(holder)
}

/// One in a container is known by the form of its entries.
fn elsewhere(host: &Host, request: &request::Unregister) -> Result<bool> {
    if !host.is_locked(&in_containers()) {
        return Ok(false);
    }
    let table = binfmt_misc::look(host)?;
    let is_held = |arch: &&'static Arch| {
        let entry = table.entry(&facts::fileless_name(arch));
        entry.is_some_and(|entry| entry.rule.interpreter.starts_with(crate::in_memory::HELD_IN_MEMORY.as_bytes()))
    };
    Ok(request.systems.iter().any(is_held))
}

impl Begun {
    /// Stays, and does at the end what was asked for. `registration` talks to the same log.
    pub(super) fn stay(
        mut self,
        host: &Host,
        log: &Ui,
        request: &Register,
        outcome: &Outcome,
        registration: &mut dyn Registration,
    ) -> Result<ExitCode> {
        let held: Vec<_> = outcome.systems.iter().filter(|line| line.entry.is_some()).map(|line| line.system).collect();
        // On a full disk whoever has to wait is told less.
        drop(self.lock.write_owner(&hold::signature(&held)));
        let Self { lock: _lock, ready, manager, watcher, on_stop, wait, alone } = self;
        let mut hold = Hold::new(host, Tell::new(log, manager, ready), watcher, outcome)?;
        hold.stay(registration);
        let (tell, wanted) = hold.end();
        match on_stop {
            OnStop::Leave => {
                // With the last mount they go.
                let name = if alone { "expired" } else { "left" };
                for (one, _) in wanted.iter().filter(|(_, there)| *there) {
                    tell.event(&Event::info(name).with("system", one.arch.target).with("entry", &one.entry));
                }
                Ok(ExitCode::Ok)
            }
            OnStop::Remove => Ok(undo(host, log, request, wait)),
        }
    }
}

/// As `unregister` does.
fn undo(host: &Host, log: &Ui, request: &Register, wait: u64) -> ExitCode {
    let request = request::Unregister { systems: request.systems.clone(), all: request.all, by_hold: true };
    let undone = lock(host, log, wait).and_then(|_lock| unregister(&request, host, log));
    match undone {
        Ok(outcome) => {
            talk(log, &outcome);
            for line in outcome.systems.iter().filter(|line| !line.already) {
                log.event(&Event::info("unregistered").with("system", line.system));
            }
            if outcome.findings.is_empty() { ExitCode::Ok } else { ExitCode::Findings }
        }
        Err(error) => {
            let event = Event::new(Level::Error, "failed").with("what", "unregister").with("error", error.to_string());
            log.event(&error.hint().map_or(event.clone(), |hint| event.with("hint", hint)));
            error.exit_code()
        }
    }
}
