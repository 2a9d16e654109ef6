//! `register --watch`: stays, watches the table, and puts back what somebody removes.
//!
//! What is decided is in [`findings`] (what is not as it should be) and `pace` (when to look); what is said is in
//! [`event`], which is a contract. Registering itself is what the command did before, done once more: [`Registration`].

pub mod findings;
mod pace;
mod tell;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use binfmt_magic::Arch;

use crate::binfmt_misc;
use crate::error::{Error, Result};
use crate::host::{DirWatch, Host, InotifyInstance, WakeReason};
use crate::outcome::Outcome;
use crate::ui::event::{Event, Level};
use findings::{Finding, Wanted};
use pace::Pace;

pub use tell::{ReadyFile, Tell};

/// What the holder writes into the lock, behind his number.
pub fn signature(systems: &[&str]) -> String {
    format!(", which holds {}", systems.join(" "))
}

/// Is this system among those that the holder signed for? One who did not say which may hold any.
pub fn is_held(holder: &str, system: &str) -> bool {
    holder.split_once(", which holds ").is_none_or(|(_, held)| held.split(' ').any(|one| one == system))
}

/// What the command that holds can do again, under the usual lock.
pub trait Registration {
    /// Mounts the table.
    fn mount(&mut self) -> Result<()>;
    /// Registers these, as it was asked for: look, plan, apply, check.
    fn register(&mut self, systems: &[&'static Arch]) -> Result<Outcome>;
}

/// A registration that is held.
#[derive(Debug)]
pub struct Hold<'a> {
    host: &'a Host,
    tell: Tell<'a>,
    watch: DirWatch,
    pace: Pace,
    wanted: Vec<Wanted>,
    /// What was not as it should be, and is told.
    known: BTreeSet<Finding>,
    /// Why the last attempt failed: it is told once.
    failed: Option<String>,
}

impl<'a> Hold<'a> {
    /// Begins to watch what was registered. What it may have lost since then, the first look finds.
    pub fn new(host: &'a Host, tell: Tell<'a>, watcher: InotifyInstance, registered: &Outcome) -> Result<Self> {
        let watch = host.watch(Path::new(binfmt_misc::DIR), watcher)?;
        let mut hold = Self {
            host,
            tell,
            watch,
            pace: Pace::new(Instant::now()),
            wanted: Vec::new(),
            known: BTreeSet::new(),
            failed: None,
        };
        hold.expect(registered)?;
        Ok(hold)
    }

    /// Until a signal comes, whose number is returned.
    pub fn stay(&mut self, registration: &mut dyn Registration) -> usize {
        let systems: Vec<_> = self.wanted.iter().map(|one| one.arch.target).collect();
        let pid = std::process::id().to_string();
        self.tell.event(&Event::info("holding").with("systems", systems.join(" ")).with("pid", pid));
        self.attend(registration);
        loop {
            if let Some(signal) = self.host.take_pending_signal() {
                self.tell.stopping();
                self.tell.event(&Event::info("stopping").with("signal", signal.to_string()));
                return signal;
            }
            self.tell.alive();
            if self.wait() {
                self.attend(registration);
            }
        }
    }

    /// Lets go of the table; what was wanted in it, and whether it is there.
    pub fn end(self) -> (Tell<'a>, Vec<(Wanted, bool)>) {
        let Self { host, tell, watch, wanted, .. } = self;
        drop(watch);
        let there = |findings: &[Finding], one: &Wanted| !findings.iter().any(|f| f.missing() == Some(one.arch.target));
        let findings = binfmt_misc::look(host).map(|table| findings::of(&wanted, &table)).unwrap_or_default();
        let wanted = wanted.into_iter().map(|one| (there(&findings, &one), one)).map(|(there, one)| (one, there));
        (tell, wanted.collect())
    }

    /// `true` if it is time to look.
    fn wait(&mut self) -> bool {
        let idle = self.pace.idle(Instant::now());
        let woken = self.watch.wait_for_event(self.tell.watchdog().map_or(idle, |often| idle.min(often)));
        match woken {
            Ok(WakeReason::Signal) => return false,
            // Other mounts come and go.
            Ok(WakeReason::MountsChanged) if self.host.exists(&binfmt_misc::path("register")) => {}
            Ok(WakeReason::Changed | WakeReason::MountsChanged) => self.pace.changed(Instant::now()),
            Ok(WakeReason::Timeout) => {}
            Err(e) => {
                self.fail("watch", &Error::io("watch", Path::new(binfmt_misc::DIR), e));
                // Without it there is the clock.
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
        }
        self.pace.idle(Instant::now()).is_zero()
    }

    /// Looks, tells, and puts back what is missing.
    fn attend(&mut self, registration: &mut dyn Registration) {
        let now = self.look();
        if now.contains(&Finding::Unmounted) {
            self.remount(registration);
        }
        let known = self.known.clone();
        let missing: Vec<_> = known.iter().filter_map(Finding::missing).collect();
        if !missing.is_empty() && !known.contains(&Finding::SwitchedOff) {
            self.register(registration, &missing);
        }
        if self.known.is_empty() {
            self.failed = None;
        }
        self.pace.looked(Instant::now());
        let systems: Vec<_> = self.wanted.iter().map(|one| one.arch.target).collect();
        self.tell.state(&systems, &self.known);
    }

    /// What there is now; what is new of it is told, and what is over.
    fn look(&mut self) -> BTreeSet<Finding> {
        let table = match binfmt_misc::look(self.host) {
            Ok(table) => table,
            Err(error) => {
                self.fail("look", &error);
                return self.known.clone();
            }
        };
        let now: BTreeSet<Finding> = findings::of(&self.wanted, &table).into_iter().collect();
        for finding in now.difference(&self.known) {
            self.tell.event(&finding.event());
        }
        // Of a table that is not seen nothing is over.
        let over = self.known.difference(&now).filter(|_| !now.contains(&Finding::Unmounted));
        for finding in over {
            self.tell.event(&finding.resolved());
        }
        self.known.clone_from(&now);
        now
    }

    fn remount(&mut self, registration: &mut dyn Registration) {
        match registration.mount().and_then(|()| {
            let follow = self.watch.reopen_if_replaced();
            follow.map_err(|e| Error::io("watch", Path::new(binfmt_misc::DIR), e))
        }) {
            Ok(()) => {
                self.known.remove(&Finding::Unmounted);
                self.tell.event(&Event::info("mounted"));
                self.look();
            }
            Err(error) => self.fail("mount", &error),
        }
    }

    fn register(&mut self, registration: &mut dyn Registration, missing: &[&'static str]) {
        let archs: Vec<_> =
            self.wanted.iter().map(|one| one.arch).filter(|arch| missing.contains(&arch.target)).collect();
        let done = registration.register(&archs);
        // What happened until now was us, or is looked at now.
        drop(self.watch.discard_events());
        let expected = done.and_then(|outcome| self.expect(&outcome));
        match expected {
            Ok(()) => self.pace.registered(Instant::now()),
            // The end was asked for, and is near.
            Err(Error::Interrupted { .. }) => {}
            Err(error) => self.fail("register", &error),
        }
        self.look();
    }

    /// What a registration has put in is wanted from now on.
    fn expect(&mut self, outcome: &Outcome) -> Result<()> {
        let table = binfmt_misc::look(self.host)?;
        for line in &outcome.systems {
            let (Some(entry), Ok(arch)) = (&line.entry, Arch::find(line.system)) else { continue };
            let wanted = Wanted::of(arch, entry, &table);
            // Not removed any more, and that was us.
            if !line.already && self.known.iter().any(|finding| finding.missing() == Some(arch.target)) {
                self.known.retain(|finding| finding.missing() != Some(arch.target));
                let name = if line.adopted { "adopted" } else { "registered" };
                self.tell.event(&Event::info(name).with("system", line.system).with("entry", entry));
            }
            match self.wanted.iter_mut().find(|one| one.arch.target == arch.target) {
                None => self.wanted.push(wanted),
                Some(known) => *known = wanted,
            }
        }
        Ok(())
    }

    fn fail(&mut self, what: &'static str, error: &Error) {
        let text = error.to_string();
        if self.failed.as_ref() != Some(&text) {
            let event = Event::new(Level::Error, "failed").with("what", what).with("error", &text);
            self.tell.event(&match error.hint() {
                Some(hint) => event.with("hint", hint),
                None => event,
            });
            self.failed = Some(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_says_what_he_holds() {
        let holder = format!("process 42{}", signature(&["aarch64", "riscv64"]));
        assert!(is_held(&holder, "aarch64") && is_held(&holder, "riscv64"));
        assert!(!is_held(&holder, "arm") && !is_held(&holder, "riscv"));
        assert!(is_held("process 42", "arm"));
    }
}
