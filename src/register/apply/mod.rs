//! Does the steps of a plan: the only part that changes a machine.
//!
//! Every change is in the receipt before it is made. If a registration fails,
//! what was done is undone, newest first; an undo that fails goes on with the
//! rest and reports all.

pub mod download;
pub mod emulator;
pub mod entries;
pub mod files;
pub mod in_memory;
pub mod journal;
pub mod rollback;
pub mod verify;

pub use verify::EXEC_IN_CHROOT;

use std::collections::BTreeMap;
use std::path::Path;

use crate::binfmt::table;
use crate::binfmt::table::Table;
use crate::error::{Error, Result};
use crate::host::{Host, StagedProgram};
use crate::nix::daemon::{self, DaemonRestart};
use crate::paths;
use crate::qemu::binary::QemuVersion;
use crate::qemu::download::Network;
use crate::register::facts::Facts;
use crate::register::plan::{Plan, Step};
use crate::register::receipt::{Receipt, Record};
use crate::sha256::Sha256;

use crate::register::apply::rollback::Undo;
use crate::ui::Ui;

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
    records_before: Vec<Record>,
    /// Emulators that are complete but have not got their names yet.
    staged: BTreeMap<&'static str, (StagedProgram, Sha256, QemuVersion)>,
    /// Those that came from elsewhere than was planned: their release, and from where.
    fallback_sources: BTreeMap<&'static str, (QemuVersion, String)>,
    /// How to take back what was done, each with the records as they were before.
    undo_list: Vec<(Undo, Vec<Record>)>,
    /// What the user should know at the end.
    notes: Vec<String>,
    /// What is not as it should be.
    findings: Vec<String>,
    /// Systems whose programs were seen running.
    proven: Vec<&'static str>,
}

/// What came of a plan.
#[derive(Debug)]
pub struct ApplyResult {
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
            on_disk: host.exists(Path::new(paths::RECEIPT)).then(|| facts.receipt.clone()),
            records_before: Vec::new(),
            staged: BTreeMap::new(),
            fallback_sources: BTreeMap::new(),
            undo_list: Vec::new(),
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
    pub fn register(mut self, plan: &Plan) -> Result<ApplyResult> {
        // Asked before anything is downloaded.
        let registers = |step: &Step| matches!(step, Step::AddEntry { .. });
        if matches!(self.facts.table, Table::Mounted { .. }) && plan.steps.iter().any(registers) {
            table::check_writable(self.host)?;
        }
        self.check_trust(plan)?;
        let attempt = self.open_receipt().and_then(|()| {
            // The daemon last of all: what it was told cannot be taken back.
            let mut steps = plan.steps.iter().filter(|step| **step != Step::RestartNixDaemon);
            steps.try_for_each(|step| {
                self.check_interrupted()?;
                self.run_step(step)
            })?;
            self.record_systems(plan)
        });
        match attempt {
            Ok(()) => {
                if plan.steps.contains(&Step::RestartNixDaemon) {
                    self.restart_daemon();
                }
                Ok(self.finish())
            }
            Err(error) => {
                self.roll_back();
                // Ctrl-C reaches probes and emulators too: their end is not the cause.
                self.check_interrupted()?;
                Err(error)
            }
        }
    }

    /// Does every step it can. The first error is returned, after the rest was done.
    pub fn unregister(mut self, plan: &Plan) -> Result<ApplyResult> {
        // An emulator in memory is in no receipt, and where it is there may be no place for one.
        if self.on_disk.is_some() || !self.receipt.is_empty() {
            self.open_receipt()?;
        }
        let mut errors = Vec::new();
        for step in &plan.steps {
            errors.extend(self.run_step(step).err());
        }
        errors.extend(self.record_systems(plan).err());
        let mut errors = errors.into_iter();
        let first = errors.next();
        for error in errors {
            self.ui.print_warning(&error.to_string());
        }
        first.map_or_else(|| Ok(self.finish()), Err)
    }

    /// An undo goes on to its end, which is near; a registration asks here.
    pub(super) fn check_interrupted(&self) -> Result<()> {
        self.host.pending_signal().map_or(Ok(()), |signal| Err(Error::Interrupted { signal }))
    }

    fn run_step(&mut self, step: &Step) -> Result<()> {
        // A daemon that does not run is not restarted: that step speaks afterwards.
        if *step != Step::RestartNixDaemon {
            self.ui.print_step(step.verb(), step);
        }
        match step {
            Step::MakeDir(path) => self.make_dir(path),
            Step::DownloadEmulators(archs) => self.download_emulators(archs),
            Step::CopyEmulator { arch, from } => self.copy_emulator(arch, from),
            Step::InstallEmulator(arch) => self.install_emulator(arch),
            Step::WriteFile { path, text, arch } => self.write_file(path, text, *arch),
            Step::MountTable => self.mount_table(),
            Step::RemoveEntry(name) => self.remove_entry(name),
            Step::AddEntry { arch, rule, replaces } => self.add_entry(arch, rule, replaces.as_ref()),
            Step::VerifyForeignEntry(arch) => self.verify_foreign_entry(arch),
            Step::AddInclude(path) => self.add_include(path),
            Step::RestartNixDaemon => {
                self.restart_daemon();
                Ok(())
            }
            Step::RemoveInclude { path, newline_added, created } => self.remove_include(path, *newline_added, *created),
            Step::RemoveFile(path) => self.remove_file(path),
            Step::RemoveDir(path) => self.remove_dir(path),
            Step::UnmountTable => self.unmount_table(),
        }
    }

    /// Nobody but root may be able to change what root will run, or what Nix and
    /// the next boot read. Each write finds that out by itself, but too late.
    fn check_trust(&self, plan: &Plan) -> Result<()> {
        let homes = [paths::EMULATOR_DIR, paths::RECEIPT_DIR].map(|home| Path::new(home).join("x"));
        let written = plan.steps.iter().filter_map(|step| match step {
            Step::MakeDir(path) | Step::WriteFile { path, .. } | Step::AddInclude(path) => Some(path),
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
        match daemon::restart_daemon(self.host) {
            DaemonRestart::NotRunning => {}
            DaemonRestart::Done(line) => self.notes.push(format!("restarted the nix-daemon ({line})")),
            DaemonRestart::ByHand(why) => self.findings.push(why),
        }
    }

    fn finish(self) -> ApplyResult {
        let Self { receipt, notes, findings, .. } = self;
        ApplyResult { receipt, notes, findings }
    }
}

/// The errors of a step that leave nothing behind need no words of their own.
fn io_error(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |e| Error::io(what, path, e)
}
