//! Does the steps of a plan: the only part that changes a machine.
//!
//! Every change is in the receipt before it is made. If a registration fails,
//! what was done is undone, newest first; an undo that fails goes on with the
//! rest and reports all.

mod emulator;
mod fetch;
pub mod fileless;
mod files;
mod journal;
mod kernel;
mod prove;
mod undo;

use std::collections::BTreeMap;
use std::path::Path;

use crate::binfmt_misc::{self, Table};
use crate::digest::Sha256;
use crate::download::Network;
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::host::{Host, StagedProgram};
use crate::interpreter::Version;
use crate::layout;
use crate::nix::daemon::{self, Restart};
use crate::plan::{Plan, Step};
use crate::receipt::{Receipt, Record};

use crate::ui::Ui;
use undo::Undo;

pub use prove::BECOME;

/// A change that is under way.
#[derive(Debug)]
pub struct Apply<'a> {
    host: &'a Host,
    ui: &'a Ui,
    facts: Facts,
    network: Network,
    receipt: Receipt,
    /// The receipt as it was last read or written.
    on_disk: Option<Receipt>,
    /// Its records as they were before what is being made was begun.
    before: Vec<Record>,
    /// Emulators that are complete but have not got their names yet.
    staged: BTreeMap<&'static str, (StagedProgram, Sha256, Version)>,
    /// Those that came from elsewhere than was planned: their release, and from where.
    elsewhere: BTreeMap<&'static str, (Version, String)>,
    /// How to take back what was done, each with the records as they were before.
    done: Vec<(Undo, Vec<Record>)>,
    /// What the user should know at the end.
    notes: Vec<String>,
    /// What is not as it should be.
    findings: Vec<String>,
    /// Systems whose programs were seen running.
    proven: Vec<&'static str>,
}

/// What came of a plan.
#[derive(Debug)]
pub struct Applied {
    /// The receipt as it is now.
    pub receipt: Receipt,
    /// Things worth knowing.
    pub notes: Vec<String>,
    /// Things that are not as they should be.
    pub findings: Vec<String>,
}

impl<'a> Apply<'a> {
    /// Prepares to change `host`, which is locked and was just looked at.
    pub fn new(host: &'a Host, ui: &'a Ui, facts: Facts, network: Network) -> Self {
        Self {
            receipt: facts.receipt.clone(),
            on_disk: host.exists(Path::new(layout::RECEIPT)).then(|| facts.receipt.clone()),
            before: Vec::new(),
            staged: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            done: Vec::new(),
            notes: Vec::new(),
            findings: Vec::new(),
            proven: Vec::new(),
            host,
            ui,
            facts,
            network,
        }
    }

    /// Does all steps, or none of them.
    pub fn register(mut self, plan: &Plan) -> Result<Applied> {
        // Asked before anything is downloaded.
        let registers = |step: &Step| matches!(step, Step::Register { .. });
        if matches!(self.facts.table, Table::Mounted { .. }) && plan.steps.iter().any(registers) {
            binfmt_misc::check_writable(self.host)?;
        }
        self.check_trust(plan)?;
        let attempt = self.open_receipt().and_then(|()| {
            // The daemon last of all: what it was told cannot be taken back.
            let mut steps = plan.steps.iter().filter(|step| **step != Step::RestartDaemon);
            steps.try_for_each(|step| {
                self.go_on()?;
                self.step(step)
            })?;
            self.remember(plan)
        });
        match attempt {
            Ok(()) => {
                if plan.steps.contains(&Step::RestartDaemon) {
                    self.restart_daemon();
                }
                Ok(self.finish())
            }
            Err(error) => {
                self.roll_back();
                // Ctrl-C reaches probes and emulators too: their end is not the cause.
                self.go_on()?;
                Err(error)
            }
        }
    }

    /// Does every step it can. The first error is returned, after the rest was done.
    pub fn unregister(mut self, plan: &Plan) -> Result<Applied> {
        // An emulator in memory is in no receipt, and where it is there may be no place for one.
        if self.on_disk.is_some() || !self.receipt.is_empty() {
            self.open_receipt()?;
        }
        let mut errors = Vec::new();
        for step in &plan.steps {
            errors.extend(self.step(step).err());
        }
        errors.extend(self.remember(plan).err());
        let mut errors = errors.into_iter();
        let first = errors.next();
        for error in errors {
            self.ui.warn(&error.to_string());
        }
        first.map_or_else(|| Ok(self.finish()), Err)
    }

    /// An undo goes on to its end, which is near; a registration asks here.
    pub(super) fn go_on(&self) -> Result<()> {
        self.host.pending_signal().map_or(Ok(()), |signal| Err(Error::Interrupted { signal }))
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        // A daemon that does not run is not restarted: that step speaks afterwards.
        if *step != Step::RestartDaemon {
            self.ui.step(step.verb(), step);
        }
        match step {
            Step::MakeDir(path) => self.make_dir(path),
            Step::Fetch(archs) => self.fetch(archs),
            Step::Copy { arch, from } => self.copy(arch, from),
            Step::Place(arch) => self.place(arch),
            Step::Write { path, text, arch } => self.write(path, text, *arch),
            Step::Mount => self.mount(),
            Step::Withdraw(name) => self.withdraw(name),
            Step::Register { arch, rule, replaces } => self.enter(arch, rule, replaces.as_ref()),
            Step::Prove(arch) => self.prove_rival(arch),
            Step::Include(path) => self.include(path),
            Step::RestartDaemon => {
                self.restart_daemon();
                Ok(())
            }
            Step::Exclude { path, newline_added, created } => self.exclude(path, *newline_added, *created),
            Step::RemoveFile(path) => self.remove_file(path),
            Step::RemoveDir(path) => self.remove_dir(path),
            Step::Unmount => self.unmount(),
        }
    }

    /// Nobody but root may be able to change what root will run, or what Nix and
    /// the next boot read. Each write finds that out by itself, but too late.
    fn check_trust(&self, plan: &Plan) -> Result<()> {
        let homes = [layout::INTERPRETERS, layout::RECEIPT_DIR].map(|home| Path::new(home).join("x"));
        let written = plan.steps.iter().filter_map(|step| match step {
            Step::MakeDir(path) | Step::Write { path, .. } | Step::Include(path) => Some(path),
            _ => None,
        });
        for path in homes.iter().chain(written) {
            if let Some(why) = self.host.check_creation_trust(path)? {
                return Err(why.into());
            }
        }
        Ok(())
    }

    fn restart_daemon(&mut self) {
        match daemon::restart(self.host) {
            Restart::NotRunning => {}
            Restart::Done(line) => self.notes.push(format!("restarted the nix-daemon ({line})")),
            Restart::ByHand(why) => self.findings.push(why),
        }
    }

    fn finish(self) -> Applied {
        let Self { receipt, notes, findings, .. } = self;
        Applied { receipt, notes, findings }
    }
}

/// The errors of a step that leave nothing behind need no words of their own.
fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |e| Error::io(what, path, e)
}
