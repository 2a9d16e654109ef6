//! Step groups: the steps of a registration by kind, so that several systems share one download and one order.

use std::path::Path;

use binfmt_magic::Arch;

use super::{AccelerationPlan, Plan, RulePlan, Step, SystemPlan, accelerate};
use crate::binfmt::table::Table;
use crate::paths;
use crate::register::facts::Facts;

/// Steps planned so far. Each system adds to every group. The order of the fields is the order of the plan.
#[derive(Default)]
pub(super) struct StepGroups {
    /// Steps before all others: Nix must not accept builds for a system when its entry is off.
    pub(super) first: Vec<Step>,
    pub(super) downloads: Vec<&'static Arch>,
    pub(super) copy: Vec<Step>,
    pub(super) place: Vec<Step>,
    pub(super) boot: Vec<Step>,
    pub(super) hook: Vec<Step>,
    pub(super) register: Vec<Step>,
    pub(super) nix: Vec<Step>,
    /// Removal of systems that are not requested.
    pub(super) removed: Vec<Step>,
    pub(super) last: Vec<Step>,
    pub(super) systems: Vec<SystemPlan>,
    pub(super) rules: Vec<RulePlan>,
    pub(super) accelerations: Vec<AccelerationPlan>,
    pub(super) notes: Vec<String>,
    pub(super) findings: Vec<String>,
}

impl StepGroups {
    /// Counts the steps so far, without the steps for Nix.
    pub(super) fn count_system_steps(&self) -> usize {
        let lists = [&self.copy, &self.place, &self.boot, &self.hook, &self.register];
        lists.iter().map(|list| list.len()).chain([self.downloads.len()]).sum()
    }

    /// Joins the groups in the order of the plan.
    pub(super) fn into_plan(mut self, facts: &Facts) -> Plan {
        accelerate::keep_above(facts, &mut self);
        let download = (!self.downloads.is_empty()).then_some(Step::DownloadEmulators(self.downloads));
        let registers = |step: &Step| matches!(step, Step::AddEntry { .. });
        let mounts = matches!(facts.table, Table::NotMounted) && self.register.iter().any(registers);
        // The mount comes first, so that a kernel without binfmt_misc is reported before anything is downloaded.
        let steps = mounts
            .then_some(Step::MountTable)
            .into_iter()
            .chain(self.first)
            .chain(download)
            .chain(self.copy)
            .chain(self.place)
            .chain(self.boot)
            .chain(self.hook)
            .chain(self.register)
            .chain(self.nix)
            .chain(self.removed)
            .chain(self.last)
            .collect();
        Plan {
            steps: prepend_missing_dirs(steps, facts),
            systems: self.systems,
            rules: self.rules,
            accelerations: self.accelerations,
            notes: self.notes,
            findings: self.findings,
        }
    }
}

/// Adds steps that create the missing directories, before the steps that need them.
fn prepend_missing_dirs(steps: Vec<Step>, facts: &Facts) -> Vec<Step> {
    let mut dirs: Vec<Step> = Vec::new();
    for step in &steps {
        let path = match step {
            Step::DownloadEmulators(_) | Step::CopyEmulator { .. } => Path::new(paths::EMULATOR_DIR).join("x"),
            Step::WriteFile { path, .. } | Step::MakeLink { path, .. } | Step::AddInclude(path) => path.clone(),
            Step::InstallProgram(_) => paths::PROGRAM.into(),
            _ => continue,
        };
        let above: Vec<_> = path.ancestors().skip(1).collect();
        for dir in above.into_iter().rev().filter(|dir| facts.missing_dirs.contains(*dir)) {
            let make = Step::MakeDir(dir.to_owned());
            if !dirs.contains(&make) {
                dirs.push(make);
            }
        }
    }
    dirs.extend(steps);
    dirs
}
