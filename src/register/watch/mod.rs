//! `register --watch`: stays, watches the table, and puts back what somebody removes.
//!
//! What is decided is in [`findings`] (what is not as it should be) and `pace` (when to look); what is said is in
//! [`event`], which is a contract. Registering itself is what the command did before, done once more: [`Registration`].

pub mod drift;
pub mod notify;
pub mod schedule;

pub use notify::{Notifier, ReadyFile};

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use binfmt_magic::Arch;

use crate::binfmt::table;
use crate::error::{Error, Result};
use crate::host::{DirWatch, Host, InotifyInstance, WakeReason};
use crate::register::report::Report;
use crate::register::watch::drift::{Drift, ExpectedEntry};
use crate::register::watch::schedule::Schedule;
use crate::ui::event::{LogEvent, LogLevel};

/// What the holder writes into the lock, behind his number.
pub fn lock_signature(systems: &[&str]) -> String {
    format!(", which holds {}", systems.join(" "))
}

/// Is this system among those that the holder signed for? One who did not say which may hold any.
pub fn is_watched(holder: &str, system: &str) -> bool {
    holder.split_once(", which holds ").is_none_or(|(_, watched)| watched.split(' ').any(|one| one == system))
}

/// What the command that holds can do again, under the usual lock.
pub trait Reregister {
    /// Mounts the table.
    fn mount_table(&mut self) -> Result<()>;
    /// Registers these, as it was asked for: look, plan, apply, check.
    fn register_systems(&mut self, systems: &[&'static Arch]) -> Result<Report>;
}

/// A registration that is held.
#[derive(Debug)]
pub struct TableWatcher<'a> {
    host: &'a Host,
    notifier: Notifier<'a>,
    watch: DirWatch,
    schedule: Schedule,
    expected: Vec<ExpectedEntry>,
    /// What was not as it should be, and is told.
    known_drifts: BTreeSet<Drift>,
    /// Why the last attempt failed: it is told once.
    last_error: Option<String>,
}

impl<'a> TableWatcher<'a> {
    /// Begins to watch what was registered. What it may have lost since then, the first look finds.
    pub fn new(host: &'a Host, tell: Notifier<'a>, watcher: InotifyInstance, registered: &Report) -> Result<Self> {
        let watch = host.watch(Path::new(table::DIR), watcher)?;
        let mut hold = Self {
            host,
            notifier: tell,
            watch,
            schedule: Schedule::new(Instant::now()),
            expected: Vec::new(),
            known_drifts: BTreeSet::new(),
            last_error: None,
        };
        hold.update_expected(registered)?;
        Ok(hold)
    }

    /// Until a signal comes, whose number is returned.
    pub fn run(&mut self, registration: &mut dyn Reregister) -> usize {
        let systems: Vec<_> = self.expected.iter().map(|one| one.arch.target).collect();
        let pid = std::process::id().to_string();
        self.notifier
            .log_event(&LogEvent::info("holding").with_field("systems", systems.join(" ")).with_field("pid", pid));
        self.check_and_repair(registration);
        loop {
            if let Some(signal) = self.host.take_pending_signal() {
                self.notifier.report_stopping();
                self.notifier.log_event(&LogEvent::info("stopping").with_field("signal", signal.to_string()));
                return signal;
            }
            self.notifier.ping_watchdog();
            if self.wait_for_change() {
                self.check_and_repair(registration);
            }
        }
    }

    /// Lets go of the table; what was wanted in it, and whether it is there.
    pub fn finish(self) -> (Notifier<'a>, Vec<(ExpectedEntry, bool)>) {
        let Self { host, notifier: tell, watch, expected: wanted, .. } = self;
        drop(watch);
        let there = |findings: &[Drift], one: &ExpectedEntry| {
            !findings.iter().any(|f| f.missing_system() == Some(one.arch.target))
        };
        let findings = table::read_table(host).map(|table| drift::find_drifts(&wanted, &table)).unwrap_or_default();
        let wanted = wanted.into_iter().map(|one| (there(&findings, &one), one)).map(|(there, one)| (one, there));
        (tell, wanted.collect())
    }

    /// `true` if it is time to look.
    fn wait_for_change(&mut self) -> bool {
        let idle = self.schedule.time_until_check(Instant::now());
        let woken = self.watch.wait_for_event(self.notifier.watchdog_interval().map_or(idle, |often| idle.min(often)));
        match woken {
            Ok(WakeReason::Signal) => return false,
            // Other mounts come and go.
            Ok(WakeReason::MountsChanged) if self.host.exists(&table::entry_path("register")) => {}
            Ok(WakeReason::Changed | WakeReason::MountsChanged) => self.schedule.note_change(Instant::now()),
            Ok(WakeReason::Timeout) => {}
            Err(e) => {
                self.report_failure("watch", &Error::io("watch", Path::new(table::DIR), e));
                // Without it there is the clock.
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
        }
        self.schedule.time_until_check(Instant::now()).is_zero()
    }

    /// Looks, tells, and puts back what is missing.
    fn check_and_repair(&mut self, registration: &mut dyn Reregister) {
        let now = self.detect_drifts();
        if now.contains(&Drift::Unmounted) {
            self.remount_table(registration);
        }
        let known = self.known_drifts.clone();
        let missing: Vec<_> = known.iter().filter_map(Drift::missing_system).collect();
        if !missing.is_empty() && !known.contains(&Drift::SwitchedOff) {
            self.restore_entries(registration, &missing);
        }
        if self.known_drifts.is_empty() {
            self.last_error = None;
        }
        self.schedule.note_check(Instant::now());
        let systems: Vec<_> = self.expected.iter().map(|one| one.arch.target).collect();
        self.notifier.report_state(&systems, &self.known_drifts);
    }

    /// What there is now; what is new of it is told, and what is over.
    fn detect_drifts(&mut self) -> BTreeSet<Drift> {
        let table = match table::read_table(self.host) {
            Ok(table) => table,
            Err(error) => {
                self.report_failure("look", &error);
                return self.known_drifts.clone();
            }
        };
        let now: BTreeSet<Drift> = drift::find_drifts(&self.expected, &table).into_iter().collect();
        for finding in now.difference(&self.known_drifts) {
            self.notifier.log_event(&finding.to_event());
        }
        // Of a table that is not seen nothing is over.
        let resolved = self.known_drifts.difference(&now).filter(|_| !now.contains(&Drift::Unmounted));
        for finding in resolved {
            self.notifier.log_event(&finding.to_resolved_event());
        }
        self.known_drifts.clone_from(&now);
        now
    }

    fn remount_table(&mut self, registration: &mut dyn Reregister) {
        match registration.mount_table().and_then(|()| {
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

    fn restore_entries(&mut self, registration: &mut dyn Reregister, missing: &[&'static str]) {
        let archs: Vec<_> =
            self.expected.iter().map(|one| one.arch).filter(|arch| missing.contains(&arch.target)).collect();
        let done = registration.register_systems(&archs);
        // What happened until now was us, or is looked at now.
        drop(self.watch.discard_events());
        let expected = done.and_then(|outcome| self.update_expected(&outcome));
        match expected {
            Ok(()) => self.schedule.note_registration(Instant::now()),
            // The end was asked for, and is near.
            Err(Error::Interrupted { .. }) => {}
            Err(error) => self.report_failure("register", &error),
        }
        self.detect_drifts();
    }

    /// What a registration has put in is wanted from now on.
    fn update_expected(&mut self, outcome: &Report) -> Result<()> {
        let table = table::read_table(self.host)?;
        for line in &outcome.systems {
            let (Some(entry), Ok(arch)) = (&line.entry, Arch::find(line.system)) else { continue };
            let wanted = ExpectedEntry::from_table(arch, entry, &table);
            // Not removed any more, and that was us.
            if !line.already && self.known_drifts.iter().any(|finding| finding.missing_system() == Some(arch.target)) {
                self.known_drifts.retain(|finding| finding.missing_system() != Some(arch.target));
                let name = if line.adopted { "adopted" } else { "registered" };
                self.notifier
                    .log_event(&LogEvent::info(name).with_field("system", line.system).with_field("entry", entry));
            }
            match self.expected.iter_mut().find(|one| one.arch.target == arch.target) {
                None => self.expected.push(wanted),
                Some(known) => *known = wanted,
            }
        }
        Ok(())
    }

    fn report_failure(&mut self, what: &'static str, error: &Error) {
        let text = error.to_string();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_says_what_he_holds() {
        let holder = format!("process 42{}", lock_signature(&["aarch64", "riscv64"]));
        assert!(is_watched(&holder, "aarch64") && is_watched(&holder, "riscv64"));
        assert!(!is_watched(&holder, "arm") && !is_watched(&holder, "riscv"));
        assert!(is_watched("process 42", "arm"));
    }
}
