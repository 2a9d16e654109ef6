//! `register --watch`: watches the kernel's table and registers removed entries again.
//!
//! [`drift`] decides what differs from the expected state. [`schedule`] decides when to check. [`notify`] reports; its log
//! events are a contract that [`ui::event`](crate::ui::event) describes. The command itself registers the entries again,
//! through [`Reregister`], in the same way as the first time.

pub mod drift;
pub mod notify;
pub mod schedule;

pub use notify::{Notifier, ReadyFile};

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use binfmt_magic::Arch;

use crate::binfmt::table::{self, Table};
use crate::error::{Error, Result};
use crate::host::{DirWatch, Host, InotifyInstance, LockHolder, WakeReason};
use crate::register::acceleration;
use crate::register::receipt::Receipt;
use crate::register::report::Report;
use crate::register::subject::Subject;
use crate::register::watch::drift::{Drift, ExpectedEntry};
use crate::register::watch::schedule::Schedule;
use crate::sorted;
use crate::ui::event::{LogEvent, LogLevel};

/// Whether the process that holds the lock watches a system. A process that did not record its systems may watch any.
pub fn is_watched(holder: &LockHolder, system: &str) -> bool {
    holder.systems.is_empty() || holder.systems.iter().any(|watched| watched == system)
}

/// Reads the targets of the systems that `disable` turned off. A receipt that cannot be used fails the next registration,
/// which reports it.
fn read_disabled(host: &Host) -> BTreeSet<String> {
    let receipt = Receipt::load(host).ok().flatten().unwrap_or_default();
    sorted::set(receipt.systems.into_iter().filter(|(_, system)| system.disabled).map(|(target, _)| target))
}

/// Actions of the command that the watcher repeats. Each action takes the usual lock.
pub trait Reregister {
    /// Mounts the table.
    fn mount_table(&mut self) -> Result<()>;
    /// Registers these systems and own rules as the user requested: gathers facts, plans, applies and verifies.
    fn register_again(&mut self, subjects: &[Subject]) -> Result<Report>;
}

/// Watcher of the registered entries.
#[derive(Debug)]
pub struct TableWatcher<'a> {
    host: &'a Host,
    notifier: Notifier<'a>,
    watch: DirWatch,
    schedule: Schedule,
    expected: Vec<ExpectedEntry>,
    /// Drifts that are reported and not resolved yet.
    known_drifts: BTreeSet<Drift>,
    /// Error of the last failed attempt. The same error is reported only once.
    last_error: Option<String>,
}

impl<'a> TableWatcher<'a> {
    /// Starts to watch the registered entries. The first check of `run` finds changes since the registration.
    pub fn new(host: &'a Host, notifier: Notifier<'a>, watcher: InotifyInstance, registered: &Report) -> Result<Self> {
        let watch = host.watch(Path::new(table::DIR), watcher)?;
        let mut watching = Self {
            host,
            notifier,
            watch,
            schedule: Schedule::new(Instant::now()),
            expected: Vec::new(),
            known_drifts: BTreeSet::new(),
            last_error: None,
        };
        watching.update_expected(registered)?;
        Ok(watching)
    }

    /// Watches until a signal arrives, and returns the number of the signal.
    pub fn run(&mut self, reregister: &mut dyn Reregister) -> usize {
        let systems: Vec<_> = self.expected.iter().map(|entry| entry.subject.name()).collect();
        let pid = std::process::id().to_string();
        self.notifier
            .log_event(&LogEvent::info("holding").with_field("systems", systems.join(" ")).with_field("pid", pid));
        self.check_and_repair(reregister);
        loop {
            if let Some(signal) = self.host.take_pending_signal() {
                self.notifier.report_stopping();
                self.notifier.log_event(&LogEvent::info("stopping").with_field("signal", signal.to_string()));
                return signal;
            }
            self.notifier.ping_watchdog();
            if self.wait_for_change() {
                self.check_and_repair(reregister);
            }
        }
    }

    /// Stops watching. Returns the expected entries, each with whether the table contains it.
    pub fn finish(self) -> (Notifier<'a>, Vec<(ExpectedEntry, bool)>) {
        let Self { host, notifier, watch, expected, .. } = self;
        drop(watch);
        let is_present = |drifts: &[Drift], entry: &ExpectedEntry| {
            !drifts.iter().any(|drift| drift.missing_subject() == Some(&entry.subject))
        };
        let disabled = read_disabled(host);
        let drifts = table::read_table(host).map(|table| drift::find_drifts(&expected, &table, &disabled));
        let drifts = drifts.unwrap_or_default();
        let expected = expected
            .into_iter()
            .map(|entry| (is_present(&drifts, &entry), entry))
            .map(|(is_present, entry)| (entry, is_present));
        (notifier, expected.collect())
    }

    /// Waits for an event. Returns whether a check is due.
    fn wait_for_change(&mut self) -> bool {
        let idle = self.schedule.time_until_check(Instant::now());
        let woken =
            self.watch.wait_for_event(self.notifier.watchdog_interval().map_or(idle, |interval| idle.min(interval)));
        match woken {
            Ok(WakeReason::Signal) => return false,
            // Another file system was mounted or unmounted. The table is still mounted.
            Ok(WakeReason::MountsChanged) if self.host.exists(&table::entry_path("register")) => {}
            Ok(WakeReason::Changed | WakeReason::MountsChanged) => self.schedule.note_change(Instant::now()),
            Ok(WakeReason::Timeout) => {}
            Err(e) => {
                self.report_failure("watch", &Error::io("watch", Path::new(table::DIR), e));
                // Without inotify, the regular checks still find changes.
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
        }
        self.schedule.time_until_check(Instant::now()).is_zero()
    }

    /// Checks the table, reports drifts, and registers missing entries.
    fn check_and_repair(&mut self, reregister: &mut dyn Reregister) {
        let now = self.detect_drifts();
        if now.contains(&Drift::Unmounted) {
            self.remount_table(reregister);
        }
        let known = self.known_drifts.clone();
        let missing: Vec<_> = known.iter().filter_map(Drift::missing_subject).cloned().collect();
        if !missing.is_empty() && !known.contains(&Drift::SwitchedOff) {
            self.restore_entries(reregister, &missing);
        }
        if self.known_drifts.is_empty() {
            self.last_error = None;
        }
        self.schedule.note_check(Instant::now());
        let systems: Vec<_> = self.expected.iter().map(|entry| entry.subject.name()).collect();
        self.notifier.report_state(&systems, &self.known_drifts);
    }

    /// Finds the current drifts. Reports new ones, and earlier ones that are resolved.
    fn detect_drifts(&mut self) -> BTreeSet<Drift> {
        let table = match table::read_table(self.host) {
            Ok(table) => table,
            Err(error) => {
                self.report_failure("look", &error);
                return self.known_drifts.clone();
            }
        };
        self.update_accelerated(&table);
        let disabled = read_disabled(self.host);
        let now = sorted::set(drift::find_drifts(&self.expected, &table, &disabled));
        for drift in now.difference(&self.known_drifts) {
            self.notifier.log_event(&drift.to_event());
        }
        // While the table is unmounted, it is unknown whether earlier drifts are resolved.
        let resolved = self.known_drifts.difference(&now).filter(|_| !now.contains(&Drift::Unmounted));
        for drift in resolved {
            self.notifier.log_event(&drift.to_resolved_event());
        }
        self.known_drifts.clone_from(&now);
        now
    }

    fn remount_table(&mut self, reregister: &mut dyn Reregister) {
        match reregister.mount_table().and_then(|()| {
            let follow = self.watch.reopen_if_replaced();
            follow.map_err(|e| Error::io("watch", Path::new(table::DIR), e))
        }) {
            Ok(()) => {
                self.known_drifts.remove(&Drift::Unmounted);
                self.notifier.log_event(&LogEvent::info("mounted"));
                self.detect_drifts();
            }
            Err(error) => self.report_failure("mount", &error),
        }
    }

    fn restore_entries(&mut self, reregister: &mut dyn Reregister, missing: &[Subject]) {
        // A registration of their system registers the entries of accelerated programs.
        let system = |subject: &Subject| acceleration::system_of_rule(subject.name()).map(Subject::System);
        let missing = sorted::set(missing.iter().map(|subject| system(subject).unwrap_or_else(|| subject.clone())));
        let report = reregister.register_again(&missing.into_iter().collect::<Vec<_>>());
        // Events until now come from the registration itself. The check below covers any other change.
        drop(self.watch.discard_events());
        let result = report.and_then(|report| self.update_expected(&report));
        match result {
            Ok(()) => self.schedule.note_registration(Instant::now()),
            // A signal asked the process to stop, which `run` does next.
            Err(Error::Interrupted { .. }) => {}
            Err(error) => self.report_failure("register", &error),
        }
        self.detect_drifts();
    }

    /// Expects the entries of the accelerated programs of the watched systems, as the receipt has them now.
    fn update_accelerated(&mut self, table: &Table) {
        let receipt = Receipt::load(self.host).ok().flatten().unwrap_or_default();
        let systems: Vec<_> = self.expected.iter().filter_map(|entry| entry.subject.arch()).collect();
        let names = sorted::set(systems.iter().flat_map(|arch| receipt.accelerated_rules(arch.target)));
        let is_rule = |entry: &ExpectedEntry| acceleration::system_of_rule(entry.subject.name()).is_some();
        self.expected.retain(|entry| !is_rule(entry) || names.contains(entry.subject.name()));
        for name in names.iter().filter(|name| table.has_entry(name)) {
            let subject = Subject::Rule(name.clone());
            if !self.expected.iter().any(|entry| entry.subject == subject) {
                self.expected.push(ExpectedEntry::from_table(subject, name, table));
            }
        }
    }

    /// Expects the entries of a registration from now on.
    fn update_expected(&mut self, report: &Report) -> Result<()> {
        let table = table::read_table(self.host)?;
        let systems = report.systems.iter().filter_map(|line| {
            let subject = Subject::System(Arch::find(line.system).ok()?);
            Some((subject, line.entry.as_ref()?, line.already, line.adopted))
        });
        let rules = report.rules.iter().filter(|line| line.registered);
        let rules = rules.map(|line| (Subject::Rule(line.rule.clone()), &line.rule, line.already, false));
        for (subject, entry, already, adopted) in systems.chain(rules) {
            let expected_entry = ExpectedEntry::from_table(subject.clone(), entry, &table);
            // This registration repaired the drift, so it is not reported as resolved without a repair.
            let is_missing = |drift: &Drift| drift.missing_subject() == Some(&subject);
            if !already && self.known_drifts.iter().any(is_missing) {
                self.known_drifts.retain(|drift| !is_missing(drift));
                let event = LogEvent::info(if adopted { "adopted" } else { "registered" });
                self.notifier.log_event(&event.with_field(subject.kind(), subject.name()).with_field("entry", entry));
            }
            match self.expected.iter_mut().find(|entry| entry.subject == subject) {
                None => self.expected.push(expected_entry),
                Some(known) => *known = expected_entry,
            }
        }
        Ok(())
    }

    fn report_failure(&mut self, what: &'static str, error: &Error) {
        let text = error.to_log_text();
        if self.last_error.as_ref() != Some(&text) {
            let event = LogEvent::new(LogLevel::Error, "failed").with_field("what", what).with_field("error", &text);
            self.notifier.log_event(&match error.hint() {
                Some(hint) => event.with_field("hint", hint),
                None => event,
            });
            self.last_error = Some(text);
        }
    }
}
