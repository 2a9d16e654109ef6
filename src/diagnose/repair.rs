//! Commands after which programs of a system run. `explain`, `status`, `test` and `doctor` propose the same ones. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use binfmt_magic::{Arch, Entry, Rule};

use crate::binfmt::harm::Harm;
use crate::binfmt::shell::Shell;
use crate::binfmt::table::{Table, entry_name};
use crate::paths;
use crate::register::acceleration;
use crate::register::emulated::EmulatedSystem;
use crate::register::facts::Facts;
use crate::sanitize::{shell_quote, text_of_bytes};
use crate::sorted;

/// The facts that decide which commands can work on a machine.
#[derive(Debug)]
pub struct RepairFacts<'a> {
    /// The way in which commands are written.
    pub shell: &'a Shell,
    /// The kernel's table.
    pub table: &'a Table,
    /// Whether the table is mounted read-only.
    pub is_read_only: bool,
    /// The entries that must not be put in force (see [`harm`](crate::binfmt::harm)).
    pub harmful: &'a BTreeMap<String, Harm>,
    /// The names of the entries that this tool made.
    pub own_entries: BTreeSet<String>,
}

impl<'a> RepairFacts<'a> {
    /// Returns the facts of a command that has gathered everything.
    pub fn of(facts: &'a Facts) -> Self {
        Self {
            shell: &facts.shell,
            table: &facts.table,
            is_read_only: facts.is_table_read_only,
            harmful: &facts.harmful_entries,
            own_entries: sorted::set(facts.our_entries()),
        }
    }

    /// Returns the commands that put an entry in force for files that nothing runs now. `takes` says which entries match
    /// them; `arch` is their system, if `register` knows it.
    pub fn put_in_force(&self, arch: Option<&'static Arch>, takes: &dyn Fn(&Entry) -> bool) -> Vec<String> {
        let mut lines = self.prepare_table();
        let remaining = || self.remaining_entries().filter(|entry| takes(entry));
        if remaining().any(|entry| entry.enabled) {
            return lines;
        }
        let may_be_enabled = |entry: &&Entry| {
            let name = entry_name(entry);
            !self.harmful.contains_key(&name) && !self.own_entries.contains(&name) && !self.shell.is_in_run()
        };
        match (remaining().find(may_be_enabled), arch) {
            (Some(entry), _) => lines.push(self.shell.write_command("1", &entry_name(entry))),
            (None, Some(arch)) => lines.push(self.register_line(arch, "")),
            (None, None) => lines.clear(),
        }
        lines
    }

    /// Returns the commands that register a system, also above the entries of other tools.
    pub fn register(&self, arch: &Arch, options: impl Display) -> Vec<String> {
        let mut lines = self.prepare_table();
        let rule = self.find_rule(arch);
        lines.extend(rule.map(|name| self.shell.tool_command(format_args!("unregister {}", name.as_str()))));
        lines.push(self.register_line(arch, options));
        lines
    }

    /// Returns the commands that undo the registration of a system and register it anew.
    pub fn register_anew(&self, arch: &Arch, options: impl Display) -> Vec<String> {
        if self.find_rule(arch).is_some() {
            return self.register(arch, options);
        }
        let mut lines = self.prepare_table();
        lines.push(self.shell.tool_command(format_args!("unregister {}", arch.target)));
        lines.push(self.shell.tool_command(format_args!("register {}{options}", arch.target)));
        lines
    }

    /// Returns the name of an own rule that takes the programs of a system now, such as `box64-x86_64`. At boot it would take
    /// precedence over an entry of the system.
    fn find_rule(&self, arch: &Arch) -> Option<String> {
        let takes = |entry: &Entry| arch.headers().iter().any(|head| entry.rule.matches(head));
        let winner = self.remaining_entries().find(|entry| entry.enabled && takes(entry)).map(entry_name)?;
        let is_rule = self.own_entries.contains(&winner) && !paths::entry_names(arch).contains(&winner);
        (is_rule && !self.shell.is_in_run()).then_some(winner)
    }

    /// Returns the commands without which the kernel's table cannot be used.
    fn prepare_table(&self) -> Vec<String> {
        // Another `run` has another table.
        if self.shell.is_in_run() {
            return Vec::new();
        }
        let mut lines: Vec<String> = self.is_read_only.then(|| self.shell.remount_command()).into_iter().collect();
        if self.table.is_switched_off() {
            lines.extend(self.shell.switch_on_commands(self.table, self.harmful));
        }
        lines
    }

    /// `options` begins with a blank, unless it is empty.
    fn register_line(&self, arch: &Arch, options: impl Display) -> String {
        if self.shell.is_in_run() {
            return self.shell.register_command(arch);
        }
        let takes = |entry: &Entry| arch.headers().iter().any(|head| entry.rule.matches(head));
        let is_other = |entry: &Entry| !self.own_entries.contains(&entry_name(entry));
        let conflicts = self.remaining_entries().any(|entry| entry.enabled && takes(entry) && is_other(entry));
        let force = if conflicts { " --force" } else { "" };
        self.shell.tool_command(format_args!("register {}{options}{force}", arch.target))
    }

    /// Returns the entries that stay when the table is switched on.
    fn remaining_entries(&self) -> impl Iterator<Item = &'a Entry> {
        let is_off = self.table.is_switched_off();
        let table: &'a Table = self.table;
        let removed = |entry: &Entry| is_off && entry.enabled && self.harmful.contains_key(&entry_name(entry));
        table.entries().iter().filter(move |entry| !removed(entry)).collect::<Vec<_>>().into_iter()
    }
}

/// Returns the command that registers an own rule again; none if its line cannot be typed. Without its interpreter, a rule
/// is refused, so it is undone.
pub fn repair_rule(shell: &Shell, rule: &Rule, has_interpreter: bool) -> Vec<String> {
    if let Some(arch) = acceleration::system_of_rule(&text_of_bytes(rule.name.as_bytes())) {
        return vec![shell.tool_command(format_args!("accelerate {}", arch.target))];
    }
    if !has_interpreter {
        return vec![shell.tool_command(format_args!("unregister {}", text_of_bytes(rule.name.as_bytes())))];
    }
    let interpreter = text_of_bytes(&rule.interpreter);
    if let Some(system) = EmulatedSystem::of_rule(&text_of_bytes(rule.name.as_bytes())) {
        let emulator = shell_quote(&interpreter);
        let credentials = if rule.flags.credentials { " --credentials" } else { "" };
        return vec![
            shell.tool_command(format_args!("register {} --emulator {emulator}{credentials}", system.system())),
        ];
    }
    let Ok(line) = rule.to_line() else { return Vec::new() };
    if !line.is_ascii() {
        return Vec::new();
    }
    vec![shell.tool_command(format_args!("register --rule {}", shell_quote(&text_of_bytes(&line))))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use binfmt_magic::{EntryName, Flags, Recognition};

    fn arch(system: &str) -> &'static Arch {
        Arch::by_target(system).unwrap_or_else(|| panic!("no system {system}"))
    }

    fn entry(name: &str, system: &str, enabled: bool) -> Entry {
        let rule = Rule {
            name: EntryName::new(name).unwrap_or_else(|e| panic!("{e}")),
            recognition: Recognition::Magic(arch(system).pattern()),
            interpreter: b"/q".into(),
            flags: Flags::default(),
        };
        Entry { enabled, rule }
    }

    fn lines(entries: Vec<Entry>, enabled: bool, harmful: &[&str], own: &[&str]) -> Vec<String> {
        let table = Table::new(entries, Vec::new(), enabled);
        let harmful = harmful.iter().map(|name| ((*name).to_owned(), Harm::TakesItself)).collect();
        let shell = Shell { is_root: true, ..Shell::default() };
        let own_entries = own.iter().map(|name| (*name).to_owned()).collect();
        let facts = RepairFacts { shell: &shell, table: &table, is_read_only: false, harmful: &harmful, own_entries };
        let arch = arch("aarch64");
        let lines = facts.put_in_force(Some(arch), &|entry| arch.headers().iter().any(|h| entry.rule.matches(h)));
        lines.into_iter().map(|line| line.replace("/proc/sys/fs/binfmt_misc/", "")).collect()
    }

    #[test]
    fn commands_do_not_put_a_harmful_entry_in_force() {
        let disabled = || vec![entry("x", "aarch64", false)];
        assert_eq!(lines(disabled(), true, &[], &[]), ["echo 1 > x"]);
        assert_eq!(lines(disabled(), true, &["x"], &[]), ["binfmt-nix register aarch64"]);
        assert_eq!(lines(disabled(), true, &[], &["x"]), ["binfmt-nix register aarch64"]);
        let enabled = || vec![entry("x", "aarch64", true)];
        assert_eq!(lines(enabled(), false, &[], &[]), ["echo 1 > status"]);
        assert_eq!(
            lines(enabled(), false, &["x"], &[]),
            ["echo -1 > x", "echo 1 > status", "binfmt-nix register aarch64"]
        );
    }

    #[test]
    fn a_table_that_is_switched_off_is_switched_on_before_a_system_is_registered() {
        assert_eq!(lines(Vec::new(), false, &[], &[]), ["echo 1 > status", "binfmt-nix register aarch64"]);
        assert_eq!(lines(vec![entry("y", "arm", true)], false, &[], &[]).len(), 2);
        assert_eq!(lines(Vec::new(), true, &[], &[]), ["binfmt-nix register aarch64"]);
    }
}
