//! Application of plans: runs the steps of a plan. This is the only module that changes a machine.
//!
//! Every change is recorded in the receipt before it is made. If a registration fails, the completed steps are undone,
//! newest first. If an undo action fails, the remaining ones still run, and every failure is reported.

pub mod accelerate;
pub mod boot_hook;
pub mod emulator;
pub mod entries;
pub mod files;
pub mod in_memory;
pub mod journal;
pub mod prior_proof;
pub mod rollback;
pub mod verify;

pub use verify::{EXEC_IN_CHROOT, restore_entry, verify_again};

use std::collections::BTreeMap;
use std::path::Path;

use crate::binfmt::access;
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

/// Running command that changes the machine.
#[derive(Debug)]
pub struct Apply<'a> {
    host: &'a Host,
    ui: &'a Ui,
    facts: Facts,
    network: Network,
    receipt: Receipt,
    /// Receipt as it was last read or written; `None` if no file exists or its content is unknown.
    on_disk: Option<Receipt>,
    /// Records of the receipt before the step in progress.
    records_before: Vec<Record>,
    /// Verified emulators in temporary files, by target.
    staged: BTreeMap<&'static str, (StagedProgram, Sha256, QemuVersion)>,
    /// Releases and URLs of emulators that came from another source than planned, by target.
    fallback_sources: BTreeMap<&'static str, (QemuVersion, String)>,
    /// Digests of the emulators that got a launcher, by target.
    accelerated: BTreeMap<&'static str, (Sha256, Sha256)>,
    /// Undo actions of the completed steps, each with the records from before the step.
    undo_list: Vec<(Undo, Vec<Record>)>,
    /// Facts that the user should know at the end.
    notes: Vec<String>,
    /// Problems that the command does not repair.
    findings: Vec<String>,
    /// Targets of the systems for which a program ran.
    proven: Vec<&'static str>,
    /// Names of the own rules for which a file ran.
    tested_rules: Vec<String>,
}

/// Result of applying a plan.
#[derive(Debug)]
pub struct ApplyResult {
    /// Receipt after the command.
    pub receipt: Receipt,
    /// Facts that the user should know.
    pub notes: Vec<String>,
    /// Problems that the command does not repair.
    pub findings: Vec<String>,
}

impl<'a> Apply<'a> {
    /// Prepares to change `host`. The caller holds the lock, and gathered `facts` under it.
    pub fn new(host: &'a Host, ui: &'a Ui, facts: Facts, network: Network) -> Self {
        Self {
            receipt: facts.receipt.clone(),
            on_disk: host.exists(Path::new(paths::RECEIPT)).then(|| facts.receipt.clone()),
            records_before: Vec::new(),
            staged: BTreeMap::new(),
            fallback_sources: BTreeMap::new(),
            accelerated: BTreeMap::new(),
            undo_list: Vec::new(),
            notes: Vec::new(),
            findings: Vec::new(),
            proven: Vec::new(),
            tested_rules: Vec::new(),
            host,
            ui,
            facts,
            network,
        }
    }

    /// Runs all steps. If one fails, the completed ones are undone.
    pub fn register(mut self, plan: &Plan) -> Result<ApplyResult> {
        // Checked before anything is downloaded.
        let registers = |step: &Step| matches!(step, Step::AddEntry { .. } | Step::SwitchEntry { .. });
        if matches!(self.facts.table, Table::Mounted { .. }) && plan.steps.iter().any(registers) {
            access::check_writable(self.host)?;
        }
        self.check_trust(plan)?;
        let attempt = self.open_receipt().and_then(|()| {
            // The daemon is restarted after everything else, because a restart cannot be undone.
            let mut steps = plan.steps.iter().filter(|step| !step.is_final());
            steps.try_for_each(|step| {
                self.check_interrupted()?;
                self.run_step(step)
            })?;
            self.record_systems(plan)
        });
        match attempt {
            Ok(()) => {
                // The registration is complete. A failure here does not undo it.
                for step in plan.steps.iter().filter(|step| step.is_final()) {
                    let done = self.run_step(step);
                    self.findings.extend(done.err().map(|error| error.to_log_text()));
                }
                Ok(self.finish())
            }
            Err(error) => {
                self.roll_back();
                // Ctrl-C also ends probes and emulators. Their failure is then not the cause.
                self.check_interrupted()?;
                Err(error)
            }
        }
    }

    /// Runs every step that is possible. After a failure the remaining steps still run. The first error is returned; the
    /// others are printed as warnings.
    pub fn unregister(mut self, plan: &Plan) -> Result<ApplyResult> {
        // Entries in memory have no receipt, and a container may have no directory for one.
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

    /// Fails if a signal asked the process to end. Only a registration checks this: an undo takes little time and runs to
    /// its end.
    pub(super) fn check_interrupted(&self) -> Result<()> {
        self.host.pending_signal().map_or(Ok(()), |signal| Err(Error::Interrupted { signal }))
    }

    fn run_step(&mut self, step: &Step) -> Result<()> {
        // The restart of the daemon prints a note afterwards instead, because the daemon may not be running.
        if *step != Step::RestartNixDaemon {
            self.ui.print_step(step.verb(), step);
        }
        match step {
            Step::MakeDir(path) => self.make_dir(path),
            Step::DownloadEmulators(archs) => self.download_emulators(archs),
            Step::CopyEmulator { arch, from } => self.copy_emulator(arch, from),
            Step::InstallEmulator(arch) => self.install_emulator(arch),
            Step::SwapEmulators(arch) => self.swap_emulators(arch),
            Step::WriteFile { path, text, subject, executable } => {
                self.write_file(path, text, subject.as_ref(), *executable)
            }
            Step::InstallProgram(sum) => self.install_program(*sum),
            Step::CopyNative { arch, file } => self.copy_native(arch, file),
            Step::BuildAccelerator { arch, pairs } => self.build_accelerator(arch, pairs),
            Step::MakeLink { path, target } => self.make_link(path, target),
            Step::AddBootCommand { path, line } => self.add_boot_command(path, line),
            Step::RemoveBootCommand { path, added, created } => self.remove_boot_command(path, added, *created),
            Step::ListBootScripts(program) => self.list_boot_scripts(program),
            Step::MountTable => self.mount_table(),
            Step::RemoveEntry(name) => self.remove_entry(name),
            Step::AddEntry { subject, rule, replaces, stand_in } => {
                self.add_entry(subject, rule, replaces, stand_in.as_ref())
            }
            Step::SwitchEntry { subject, rule, enabled } => self.switch_entry(subject, rule, *enabled),
            Step::TestRule { rule, file } => self.test_rule(rule, file),
            Step::VerifyForeignEntry(arch) => self.verify_foreign_entry(arch),
            Step::AddInclude(path) => self.add_include(path),
            Step::RestartNixDaemon => self.restart_daemon(),
            Step::RemoveInclude { path, newline_added, created } => self.remove_include(path, *newline_added, *created),
            Step::RemoveFile(path) => self.remove_file(path),
            Step::RemoveDir(path) => self.remove_dir(path),
            Step::UnmountTable => self.unmount_table(),
        }
    }

    /// Checks that only root can change the files that root will run, and the files that Nix and the next boot will read.
    /// Each write makes the same check, but only after earlier steps were done.
    fn check_trust(&self, plan: &Plan) -> Result<()> {
        let own_dirs = [paths::EMULATOR_DIR, paths::RECEIPT_DIR].map(|dir| Path::new(dir).join("x"));
        let written = plan.steps.iter().filter_map(|step| match step {
            Step::MakeDir(path)
            | Step::WriteFile { path, .. }
            | Step::MakeLink { path, .. }
            | Step::AddBootCommand { path, .. }
            | Step::AddInclude(path) => Some(path),
            _ => None,
        });
        for path in own_dirs.iter().chain(written) {
            if let Some(why) = self.host.check_creation_trust(path)? {
                return Err(why.into());
            }
        }
        Ok(())
    }

    /// Restarts the nix-daemon, and notes the result. The receipt names a daemon that could not be restarted, until
    /// another run writes it.
    fn restart_daemon(&mut self) -> Result<()> {
        self.receipt.outdated_daemon = None;
        match daemon::restart_daemon(self.host) {
            DaemonRestart::NotRunning => {}
            DaemonRestart::Done(line) => self.notes.push(format!("restarted the nix-daemon ({line})")),
            DaemonRestart::ByHand { daemon, why } => {
                self.receipt.outdated_daemon = daemon;
                self.findings.push(why);
            }
        }
        // Without systems and records the receipt does not exist any more.
        if self.receipt.is_spent() { Ok(()) } else { self.save_receipt() }
    }

    fn finish(self) -> ApplyResult {
        let Self { receipt, notes, findings, .. } = self;
        ApplyResult { receipt, notes, findings }
    }
}

/// Adds the action and the path to an I/O error.
fn io_error(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |e| Error::io(what, path, e)
}
