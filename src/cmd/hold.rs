//! `binfmt-nix register … --hold`: what comes before staying, and after it.

use std::path::Path;
use std::time::Duration;

use super::{talk, unregister};
use crate::binfmt_misc::{self, Table};
use crate::cli::{self, OnStop};
use crate::error::{Error, ExitCode, Result};
use crate::hold::event::{Event, Level};
use crate::hold::{self, Hold, ReadyFile, Registration, Tell, is_held};
use crate::host::{Host, Lock};
use crate::outcome::Outcome;
use crate::request::{self, Register};
use crate::ui::Ui;

/// Nobody else holds now, and the ready file can be made.
pub(super) struct Begun {
    lock: Lock,
    ready: Option<ReadyFile>,
    on_stop: OnStop,
    wait: u64,
}

/// Before anything is registered; `None` if nobody asked to stay.
pub(super) fn begin(args: &cli::Register, host: &Host, ui: &Ui) -> Result<Option<Begun>> {
    if !args.hold {
        return Ok(None);
    }
    check(host)?;
    host.hold_signals().map_err(|e| Error::io("hold signals of", &host.own_path(), e))?;
    let mut waiting = |holder: &str| ui.note(&format!("waiting for another register --hold, {holder}"));
    let lock = host.lock(Path::new(hold::LOCK), Duration::from_secs(args.wait), &mut waiting).map_err(one_is_enough)?;
    let ready = args.ready_file.clone().map(ReadyFile::new).transpose()?;
    Ok(Some(Begun { lock, ready, on_stop: args.on_stop, wait: args.wait }))
}

/// `--dry-run` says so.
pub(super) fn foretell(args: &cli::Register, host: &Host, notes: &mut Vec<String>) -> Result<()> {
    if args.hold {
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
        Table::Offline => Err(Error::Usage("a tree below --root has no kernel, and --hold needs its table".into())),
        _ => Ok(()),
    }
}

fn one_is_enough(error: Error) -> Error {
    match error {
        Error::Locked { holder, .. } => Error::Conflict {
            what: format!("{holder} stays already (register --hold), and one does for all systems"),
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
    let Some(holder) = host.holder(Path::new(hold::LOCK)) else { return Ok(()) };
    let held: Vec<_> =
        request.systems.iter().map(|arch| arch.target).filter(|target| is_held(&holder, target)).collect();
    if held.is_empty() {
        return Ok(());
    }
    Err(Error::Conflict {
        what: format!("{holder}, stays (register --hold) and would put back what is taken away"),
        hint: format!("end it first: {}", how_to_end(&holder)),
    })
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
        drop(self.lock.sign(&hold::signature(&held)));
        let manager = host.manager().map_err(|e| Error::io("reach the manager at", Path::new("NOTIFY_SOCKET"), e))?;
        let mut hold = Hold::new(host, Tell::new(log, manager, self.ready.take()), outcome)?;
        hold.stay(registration);
        let (tell, wanted) = hold.end();
        match self.on_stop {
            OnStop::Leave => {
                for (one, _) in wanted.iter().filter(|(_, there)| *there) {
                    tell.event(&Event::info("left").with("system", one.arch.target).with("entry", &one.entry));
                }
                Ok(ExitCode::Ok)
            }
            OnStop::Remove => Ok(self.undo(host, log, request)),
        }
    }

    /// As `unregister` does.
    fn undo(&self, host: &Host, log: &Ui, request: &Register) -> ExitCode {
        let request = request::Unregister { systems: request.systems.clone(), all: request.all };
        match unregister::undo(&request, host, log, self.wait) {
            Ok(outcome) => {
                talk(log, &outcome);
                for line in outcome.systems.iter().filter(|line| !line.already) {
                    log.event(&Event::info("unregistered").with("system", line.system));
                }
                if outcome.findings.is_empty() { ExitCode::Ok } else { ExitCode::Findings }
            }
            Err(error) => {
                let event =
                    Event::new(Level::Error, "failed").with("what", "unregister").with("error", error.to_string());
                log.event(&error.hint().map_or(event.clone(), |hint| event.with("hint", hint)));
                error.exit_code()
            }
        }
    }
}
