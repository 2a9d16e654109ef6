//! Repairs of single lines of Nix's configuration, as commands for the user. Pure.

use std::path::Path;

use binfmt_magic::Entry;

use super::nix::replace_command;
use super::snapshot::{CallerNix, NixSnapshot, NixView};
use super::{Occurrence, Snapshot};
use crate::binfmt::userns::run_table::RunTable;
use crate::nix::settings::{SettingLine, VARIABLE};
use crate::paths::NIX_DIR;
use crate::sanitize::{AsText as _, shell_quote};

/// The settings that a check examines, and the user whose they are; `None` for those of the machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExaminedSettings<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) nix: &'a NixSnapshot,
    pub(super) view: &'a NixView,
    user: Option<&'a CallerNix>,
}

/// Calls a check for the settings of the machine and for those of the calling user. What is wrong with both is
/// reported once.
pub(super) fn check_views(snapshot: &Snapshot, check: impl Fn(ExaminedSettings) -> Vec<Occurrence>) -> Vec<Occurrence> {
    let Some(nix) = &snapshot.nix else { return Vec::new() };
    let mut occurrences = check(ExaminedSettings::of_machine(snapshot, nix));
    if let Some(user) = &nix.caller {
        let own = check(ExaminedSettings::of_caller(snapshot, nix, user));
        let is_new = |occurrence: &Occurrence| !occurrences.iter().any(|known| known.what == occurrence.what);
        let own: Vec<_> = own.into_iter().filter(is_new).collect();
        occurrences.extend(own.into_iter().map(|occurrence| Occurrence {
            what: format!("in the settings of {}: {}", user.name, occurrence.what),
            ..occurrence
        }));
    }
    occurrences
}

impl<'a> ExaminedSettings<'a> {
    /// Returns the settings of the machine.
    pub(super) fn of_machine(snapshot: &'a Snapshot, nix: &'a NixSnapshot) -> Self {
        Self { snapshot, nix, view: &nix.machine, user: None }
    }

    /// Returns the settings of the calling user.
    pub(super) fn of_caller(snapshot: &'a Snapshot, nix: &'a NixSnapshot, user: &'a CallerNix) -> Self {
        Self { snapshot, nix, view: &user.view, user: Some(user) }
    }

    /// Whether the settings about emulation and the sandbox have an effect on builds.
    pub(super) fn decides_builds(&self) -> bool {
        self.user.is_none_or(|user| user.decides)
    }

    /// Returns the last line that sets one of these names, or appends to it.
    pub(super) fn last_line(&self, names: &[&str]) -> Option<&'a SettingLine> {
        self.view.settings.lines.iter().rfind(|line| names.contains(&line.name.as_str()))
    }

    /// Whether the settings count for builds of the systems of an entry. For an entry of `run` only those of its user do:
    /// the daemon of the machine is outside.
    pub(super) fn decides_for(&self, entry: &Entry) -> bool {
        self.user.map_or(!self.snapshot.is_of_run(entry), |user| user.decides)
    }

    /// Says that the line which sets a setting was not found. This does not repair it.
    pub(super) fn with_unknown_place(&self, occurrence: Occurrence, setting: &str) -> Occurrence {
        let files: Vec<String> = self.view.settings.files.iter().map(|file| file.as_text()).collect();
        let read = if files.is_empty() { "no file of Nix's settings".to_owned() } else { files.join(", ") };
        let why = format!("{}. The line that sets {setting} was not found; this was read: {read}", occurrence.why);
        Occurrence { why, ..occurrence }
    }

    /// Adds the command that changes a line by a script of sed, and the restart of the daemon. `by_hand` describes the
    /// change for a file that is generated.
    pub(super) fn with_edit(
        &self,
        occurrence: Occurrence,
        place: (&Path, usize),
        script: &str,
        by_hand: &str,
    ) -> Occurrence {
        let (file, number) = place;
        if file == Path::new(VARIABLE) {
            // Inside of `run`, the lines that it added have to stay.
            let run = self.snapshot.run.as_ref();
            return occurrence.with_repair(match run.map(RunTable::nix_systems) {
                Some(systems) if !systems.is_empty() => replace_command(&systems),
                _ => format!("unset {VARIABLE}"),
            });
        }
        let edit =
            format!("sed -i {} {}", shell_quote(&format!("{number}{script}")), self.snapshot.shell.quote_path(file));
        match self.user {
            Some(user) if !file.starts_with(NIX_DIR) => {
                occurrence.with_repair(self.snapshot.shell.as_user(&user.name, edit))
            }
            _ if self.nix.left_alone && file.starts_with(NIX_DIR) => {
                occurrence.with_repair(format!("# {} is generated: {by_hand} in its source", file.as_text()))
            }
            _ => self.nix.with_restart(occurrence.with_repair(self.snapshot.shell.as_root(edit))),
        }
    }

    /// Adds the command that turns a line into a comment.
    pub(super) fn with_line_removed(&self, occurrence: Occurrence, file: &Path, number: usize) -> Occurrence {
        self.with_edit(occurrence, (file, number), "s/^/# /", "remove the line")
    }
}

/// Describes the place of a line: `line 3 of /etc/nix/nix.conf`.
pub(super) fn describe_place(file: &Path, number: usize) -> String {
    format!("line {number} of {}", file.as_text())
}
