//! The option `--watch` of `register`: preparation before the registration, and the end after a signal.
//!
//! [`crate::register::watch`] does the watching itself.

use std::path::Path;
use std::time::Duration;

use binfmt_magic::Arch;

use super::{acquire_lock, print_notes};
use crate::binfmt::container::Container;
use crate::binfmt::table;
use crate::binfmt::table::Table;
use crate::cli::{self, StopAction};
use crate::error::{Error, ExitCode, Result};
use crate::host::{self, Host, InotifyInstance, KernelLock, Lock, LockHolder, ServiceManager};
use crate::paths;
use crate::register::report::Report;
use crate::register::request;
use crate::register::request::RegisterRequest;
use crate::register::unregister::unregister;
use crate::register::watch::{Notifier, ReadyFile, Reregister, TableWatcher, is_watched};
use crate::ui::Ui;
use crate::ui::event::{LogEvent, LogLevel};

/// Resources of a watch that were acquired before the first change: this process is the only watcher, and it can create
/// the ready file.
pub(super) struct WatchSetup {
    lock: Lock,
    ready: Option<ReadyFile>,
    manager: ServiceManager,
    watcher: InotifyInstance,
    on_stop: StopAction,
    wait: u64,
    /// Whether this process is in the only container that has the table mounted
    is_sole_mounter: bool,
}

/// Acquires what `--watch` needs before anything is registered. Returns `None` without `--watch`.
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
    host.catch_signals().map_err(|e| Error::io("catch the signals of", &host::env::own_path(), e))?;
    let mut waiting = |holder: &str| ui.print_note(&format!("waiting for another register --watch, {holder}"));
    let timeout = Duration::from_secs(args.change.wait);
    let in_table = match container {
        None => Ok(None),
        Some(_) => host.lock_kernel_file(&table::entry_path("register"), IN_TABLE, timeout, &mut waiting),
    };
    let lock = in_table.and_then(|lock| match lock {
        Some(lock) => Ok(lock),
        None => host.lock(Path::new(paths::WATCH_LOCK), timeout, &mut waiting),
    });
    let recorded = || container.is_none().then(|| host.lock_holder(Path::new(paths::WATCH_LOCK))).flatten();
    let lock = lock.map_err(|error| already_watching(error, recorded().as_ref()))?;
    let ready = args.ready_file.clone().map(ReadyFile::prepare).transpose()?;
    let manager = host::sd_notify::connect()
        .map_err(|e| Error::io("connect to the service manager at", Path::new("NOTIFY_SOCKET"), e))?;
    let watcher = host::watch::create_watcher()?;
    let is_sole_mounter = container.is_some_and(|container| container.is_sole_mounter);
    Ok(Some(WatchSetup {
        lock,
        ready,
        manager,
        watcher,
        on_stop: args.on_stop,
        wait: args.change.wait,
        is_sole_mounter,
    }))
}

/// The lock of a watcher in a container, on the file `register`: other containers see only the files of the table, and
/// `register` is the only one of them that other users cannot open. A change holds the other lock of the same file.
const IN_TABLE: KernelLock = KernelLock::Record;

/// Adds a note about `--watch` to the output of `--dry-run`.
pub(super) fn describe_dry_run(args: &cli::RegisterArgs, host: &Host, notes: &mut Vec<String>) -> Result<()> {
    if args.watch {
        refuse_without_kernel(host)?;
        let end = match args.on_stop {
            StopAction::Leave => "leaves the entries",
            StopAction::Remove => "removes the entries",
        };
        notes.push(format!(
            "it would then keep running and register removed entries again, until a signal ends it and {end}"
        ));
    }
    Ok(())
}

fn refuse_without_kernel(host: &Host) -> Result<()> {
    match table::read_table(host)? {
        Table::Offline => Err(Error::Usage(
            "--watch needs the table of a running kernel, and a tree below --root has no kernel".into(),
        )),
        _ => Ok(()),
    }
}

fn already_watching(error: Error, recorded: Option<&LockHolder>) -> Error {
    let Error::Locked { holder, .. } = error else { return error };
    Error::Conflict {
        what: format!("register --watch is already running ({holder}), and one instance handles all systems"),
        hint: format!("end it ({}), and start one instance with all systems", stop_hint(recorded)),
    }
}

fn stop_hint(holder: Option<&LockHolder>) -> String {
    match holder {
        Some(holder) => format!("stop the unit or the container that it runs in, or: kill {}", holder.pid),
        None => "stop the unit or the container that it runs in".into(),
    }
}

/// Fails if a watcher would register the systems again at once.
pub(super) fn refuse_if_watched(host: &Host, request: &request::UnregisterRequest) -> Result<()> {
    let watcher_hint = match local_watcher(host, request) {
        Some(holder) => Some((stop_hint(Some(&holder)), holder.to_string())),
        None => {
            is_watched_in_container(host, request)?.then(|| (stop_hint(None), "a process in a container".to_owned()))
        }
    };
    let Some((stop_command, watcher)) = watcher_hint else { return Ok(()) };
    Err(Error::Conflict {
        what: format!("register --watch is running ({watcher}) and would register removed entries again"),
        hint: format!("end it first: {stop_command}"),
    })
}

/// Returns the watcher on this machine that handles one of the systems. It records its systems beside its lock file.
fn local_watcher(host: &Host, request: &request::UnregisterRequest) -> Option<LockHolder> {
    let holder = host.lock_holder(Path::new(paths::WATCH_LOCK))?;
    let systems = request.systems.iter().map(|arch| arch.target);
    let mut names = systems.chain(request.rules.iter().map(String::as_str));
    names.any(|name| is_watched(&holder, name)).then_some(holder)
}

/// Whether a watcher in a container handles one of the systems: the interpreter path of its entries shows it
fn is_watched_in_container(host: &Host, request: &request::UnregisterRequest) -> Result<bool> {
    if !host.is_record_locked(&table::entry_path("register")) {
        return Ok(false);
    }
    let table = table::read_table(host)?;
    let is_watched_entry = |arch: &&'static Arch| {
        let [_, names @ ..] = paths::entry_names(arch);
        names
            .iter()
            .filter_map(|name| table.find_entry(name))
            .any(|entry| entry.rule.interpreter.starts_with(crate::binfmt::in_memory::WATCHED_FD_DIR.as_bytes()))
    };
    Ok(request.systems.iter().any(is_watched_entry))
}

impl WatchSetup {
    /// Watches the table until a signal ends it, then leaves or removes the entries as `--on-stop` says. `reregister`
    /// writes to the same log.
    pub(super) fn watch_until_signal(
        self,
        host: &Host,
        log: &Ui,
        request: &RegisterRequest,
        report: &Report,
        reregister: &mut dyn Reregister,
    ) -> Result<ExitCode> {
        let systems = report.systems.iter().filter(|line| line.entry.is_some()).map(|line| line.system);
        let watched: Vec<_> = systems.chain(report.rules.iter().map(|line| line.rule.as_str())).collect();
        // On a full disk this fails, and processes that wait for the lock cannot name the systems.
        drop(self.lock.record_systems(&watched));
        let Self { lock: _lock, ready, manager, watcher, on_stop, wait, is_sole_mounter } = self;
        let mut table_watcher = TableWatcher::new(host, Notifier::new(log, manager, ready), watcher, report)?;
        table_watcher.run(reregister);
        let (notifier, expected) = table_watcher.finish();
        match on_stop {
            StopAction::Leave => {
                // The entries end with the last mount of the table.
                let name = if is_sole_mounter { "expired" } else { "left" };
                for (one, _) in expected.iter().filter(|(_, is_present)| *is_present) {
                    notifier.log_event(
                        &LogEvent::info(name)
                            .with_field(one.subject.kind(), one.subject.name())
                            .with_field("entry", &one.entry),
                    );
                }
                Ok(ExitCode::Ok)
            }
            StopAction::Remove => Ok(unregister_on_stop(host, log, request, wait)),
        }
    }
}

/// Unregisters the systems as `unregister` does, and logs the result as events.
fn unregister_on_stop(host: &Host, log: &Ui, request: &RegisterRequest, wait: u64) -> ExitCode {
    let request = request::UnregisterRequest {
        systems: request.systems.clone(),
        rules: request.rules.keys().cloned().collect(),
        all: request.all,
        by_watcher: true,
    };
    let undone = acquire_lock(host, log, wait).and_then(|_lock| unregister(&request, host, log));
    match undone {
        Ok(report) => {
            print_notes(log, &report);
            for line in report.systems.iter().filter(|line| !line.already) {
                log.log_event(&LogEvent::info("unregistered").with_field("system", line.system));
            }
            for line in report.rules.iter().filter(|line| !line.already) {
                log.log_event(&LogEvent::info("unregistered").with_field("rule", &line.rule));
            }
            if report.findings.is_empty() { ExitCode::Ok } else { ExitCode::Findings }
        }
        Err(error) => {
            let event = LogEvent::new(LogLevel::Error, "failed")
                .with_field("what", "unregister")
                .with_field("error", error.to_log_text());
            log.log_event(&error.hint().map_or(event.clone(), |hint| event.with_field("hint", hint)));
            error.exit_code()
        }
    }
}
