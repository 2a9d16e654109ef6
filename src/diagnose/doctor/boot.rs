//! Checks of the boot rules, which determine the entries after the next boot.

use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Entry, Rule, RuleError};

use super::{Check, Occurrence, Snapshot, Urgency};
use crate::binfmt::boot::{BootRule, LineRefusal};
use crate::binfmt::boot_hook::HookState;
use crate::binfmt::boot_sysctl::SwitchOffLine;
use crate::binfmt::table::{Table, entry_name};
use crate::diagnose::doctor::flags::has_file;
use crate::diagnose::doctor::snapshot::interpreter_path;
use crate::diagnose::repair::repair_rule;
use crate::paths;
use crate::sanitize::{AsText as _, shell_quote, text_of_bytes};

pub(super) const CHECKS: &[Check] = &[
    Check { id: "not-persistent", urgency: Urgency::Fragile, run: check_not_persistent },
    Check { id: "boot-reader-off", urgency: Urgency::Fragile, run: check_reader },
    Check { id: "boot-hook-changed", urgency: Urgency::Fragile, run: check_hook },
    Check { id: "boot-switched-off", urgency: Urgency::Fragile, run: check_switch_off },
    Check { id: "boot-line-refused", urgency: Urgency::Fragile, run: check_refused_lines },
    Check { id: "boot-name-twice", urgency: Urgency::Fragile, run: check_names },
    Check { id: "boot-file-overrides", urgency: Urgency::Fragile, run: check_boot_overrides },
];

/// An entry without a boot rule is gone after a restart, and after `systemctl restart systemd-binfmt`
/// (tonistiigi/binfmt#85, #146, #249, multiarch/qemu-user-static#160). The user may have wanted that
/// (`--no-persist`), so `--fix` does not change it.
fn check_not_persistent(snapshot: &Snapshot) -> Vec<Occurrence> {
    if !has_own_boot(snapshot) || !matches!(snapshot.table, Table::Mounted { .. }) {
        return Vec::new();
    }
    let occurrences = snapshot.emulated_systems().filter_map(|(arch, entry)| {
        // Another check reports an interpreter that may not be executed, with a repair for this, too.
        let is_refused = snapshot.boot.refused.iter().any(|line| match &line.reason {
            LineRefusal::NotExecutable(path) => is_interpreter(snapshot, entry, path),
            _ => false,
        });
        if !has_file(entry) || is_refused || is_in_boot_rules(snapshot, entry.rule.name.as_bytes()) {
            return None;
        }
        let what = format!("no file registers the entry {} at boot", entry_name(entry));
        let why = "the entry is gone after a restart of the machine or of systemd-binfmt";
        let repairs = match snapshot.own_rules.get(&entry_name(entry)) {
            Some(rule) => repair_rule(&snapshot.shell, rule, true),
            None => snapshot.repairs().register(arch, ""),
        };
        Some(Occurrence::for_system(arch, what, why).with_repairs(repairs))
    });
    occurrences.collect()
}

/// Whether the boot of this machine can be seen. In a user namespace or a container nothing survives, and the machine's
/// own boot rules are not visible.
fn has_own_boot(snapshot: &Snapshot) -> bool {
    !snapshot.environment.user_namespace && snapshot.environment.container.is_none()
}

/// Whether the interpreter of an entry has this path, or has it below the root directory of the machine.
fn is_interpreter(snapshot: &Snapshot, entry: &Entry, path: &Path) -> bool {
    [path.to_owned(), snapshot.shell.real_path(path)].iter().any(|path| interpreter_path(entry) == path)
}

fn is_in_boot_rules(snapshot: &Snapshot, name: &[u8]) -> bool {
    snapshot.boot.rules.iter().any(|boot| boot.rule.name.as_bytes() == name)
}

/// Boot rules exist for foreign programs, and nothing will read them: no reader is installed, or a file keeps it from
/// being started. Debian's and Fedora's unit is static, so it is switched off by a mask or a drop-in. A machine without
/// such rules needs no reader.
fn check_reader(snapshot: &Snapshot) -> Vec<Occurrence> {
    let Some(problem) = snapshot.boot.find_problem().filter(|_| has_own_boot(snapshot)) else {
        return Vec::new();
    };
    // Another check reports an incomplete hook.
    if snapshot.boot.hook.as_ref().is_some_and(is_incomplete) {
        return Vec::new();
    }
    let foreign = Arch::ALL.iter().filter(|arch| !snapshot.natives.contains(arch.target));
    let is_registered =
        |arch: &&Arch| arch.headers().iter().any(|head| snapshot.boot.rules.iter().any(|boot| boot.rule.matches(head)));
    let systems: Vec<&'static str> = foreign.filter(is_registered).map(|arch| arch.target).collect();
    if systems.is_empty() && persistent_rules(snapshot).next().is_none() {
        return Vec::new();
    }
    let why = "the entries of its files are gone after a restart of the machine";
    let mut occurrence = Occurrence { systems: systems.clone(), ..Occurrence::general(problem.to_string(), why) };
    let commands = problem.repair(&|path| snapshot.shell.quote_path(path));
    if snapshot.environment.wsl {
        occurrence.why = format!("{why}. On WSL its reader also removes the entry that runs Windows programs");
    }
    if commands.is_empty() || snapshot.environment.wsl {
        return vec![occurrence.with_repairs(register_for_boot(snapshot, &systems))];
    }
    for command in commands {
        occurrence = occurrence.with_repair(snapshot.shell.as_root(command));
    }
    vec![occurrence]
}

/// Own rules that have a boot file.
fn persistent_rules(snapshot: &Snapshot) -> impl Iterator<Item = &Rule> {
    snapshot.own_rules.iter().filter(|(name, _)| is_in_boot_rules(snapshot, name.as_bytes())).map(|(_, rule)| rule)
}

/// Returns the commands that install a boot hook or, where none is possible, have to be repeated. One system or rule
/// installs the hook for all.
fn register_for_boot(snapshot: &Snapshot, systems: &[&str]) -> Vec<String> {
    let has_hook = snapshot.boot.hook.as_ref().is_some_and(|state| state.hook.is_ok());
    let mut lines = Vec::new();
    if !systems.is_empty() {
        lines.push(snapshot.shell.tool_command(format_args!("register {}", systems.join(" "))));
    }
    if lines.is_empty() || !has_hook {
        lines.extend(persistent_rules(snapshot).flat_map(|rule| repair_rule(&snapshot.shell, rule, true)));
    }
    if has_hook {
        lines.truncate(1);
        return lines;
    }
    lines.into_iter().map(|line| format!("{line}   # after each restart")).collect()
}

/// Whether only a part of a boot hook exists.
fn is_incomplete(state: &HookState) -> bool {
    state.hook.is_ok() && !state.present.is_empty() && !state.missing.is_empty()
}

/// Parts of the boot hook are missing or were changed since `register` made them: the init system does not start it, or
/// it starts something else.
fn check_hook(snapshot: &Snapshot) -> Vec<Occurrence> {
    let state = snapshot.boot.hook.as_ref().filter(|state| is_incomplete(state) && has_own_boot(snapshot));
    let Some(state) = state else { return Vec::new() };
    let systems: Vec<&'static str> = snapshot
        .registered_systems()
        .filter(|(_, system)| !system.adopted && is_in_boot_rules(snapshot, system.entry.as_bytes()))
        .map(|(arch, _)| arch.target)
        .collect();
    if systems.is_empty() && persistent_rules(snapshot).next().is_none() {
        return Vec::new();
    }
    let missing: Vec<_> = state.missing.iter().map(|path| path.as_text()).collect();
    let what = format!("the boot hook is not as binfmt-nix made it: {} is missing or was changed", missing.join(", "));
    let why = "the registered entries are gone after a restart of the machine";
    let commands = register_for_boot(snapshot, &systems);
    vec![Occurrence { systems, ..Occurrence::general(what, why) }.with_repairs(commands)]
}

/// A setting of sysctl writes 0 (off) or -1 (remove) to the table or an entry at boot.
fn check_switch_off(snapshot: &Snapshot) -> Vec<Occurrence> {
    let needs =
        |name: &str| name == "status" || snapshot.table.has_entry(name) || is_in_boot_rules(snapshot, name.as_bytes());
    let lines = snapshot.boot.switch_off.iter().filter(|line| needs(&line.name));
    let occurrence = |line: &SwitchOffLine| {
        let what = if line.name == "status" {
            format!("line {} of {} switches binfmt_misc off at boot: {}", line.number, line.file.as_text(), line.text)
        } else {
            let place = format!("line {} of {}", line.number, line.file.as_text());
            format!("{place} switches the entry {} off at boot: {}", line.name, line.text)
        };
        let why = "the setting stays in force when the entries are registered afterwards: then they run nothing";
        with_line_as_comment(snapshot, Occurrence::general(what, why), &line.file, line.number)
    };
    lines.filter(|_| has_own_boot(snapshot)).map(occurrence).collect()
}

/// systemd-binfmt passes each line to the kernel, reports those that the kernel refuses in the journal, and fails
/// (measured with 252). A file in the format of update-binfmts is one finding.
fn check_refused_lines(snapshot: &Snapshot) -> Vec<Occurrence> {
    let mut occurrences = Vec::new();
    let mut known_files: Vec<&Path> = Vec::new();
    for line in &snapshot.boot.refused {
        // Other checks report an own rule that lost its interpreter, and the file belongs to this tool.
        if snapshot.own_rules.keys().any(|name| paths::own_rule_file(name) == line.file) {
            continue;
        }
        let is_explained = match &line.reason {
            LineRefusal::UpdateBinfmts => known_files.contains(&line.file.as_path()),
            // Linux 7.3 has the type B, if it was built with `CONFIG_BINFMT_MISC_BPF`.
            LineRefusal::Rule(RuleError::Type) => snapshot.table.has_entry(&name_in_line(&line.text)),
            LineRefusal::Rule(_) => false,
            // Another check reports the interpreter of an entry.
            LineRefusal::MissingInterpreter(path) | LineRefusal::NotExecutable(path) => {
                snapshot.table.entries().iter().any(|entry| is_interpreter(snapshot, entry, path))
            }
        };
        if is_explained {
            continue;
        }
        known_files.push(&line.file);
        let what = format!("line {} of {} is refused at boot: {}", line.number, line.file.as_text(), line.text);
        let occurrence = Occurrence::general(what, format!("{}; the kernel registers nothing for it", line.reason));
        occurrences.push(if line.reason == LineRefusal::UpdateBinfmts {
            occurrence.with_repair(hide_command(snapshot, &line.file))
        } else {
            with_line_as_comment(snapshot, occurrence, &line.file, line.number)
        });
    }
    occurrences
}

/// Returns the name in a line that is not understood: the text between the first two delimiters.
fn name_in_line(line: &str) -> String {
    let mut rest = line.chars();
    rest.next().and_then(|delimiter| rest.as_str().split(delimiter).next()).unwrap_or_default().to_owned()
}

/// Two files have different rules with one name. The reader deletes the entry of that name before it registers the later
/// rule (systemd `src/binfmt/binfmt.c`), so the earlier rule has no effect.
fn check_names(snapshot: &Snapshot) -> Vec<Occurrence> {
    let rules: Vec<&BootRule> =
        snapshot.boot.rules.iter().filter(|boot| boot.file.extension().is_some_and(|ext| ext == "conf")).collect();
    let own_files: Vec<PathBuf> = Arch::ALL.iter().map(paths::boot_rule).collect();
    let mut occurrences = Vec::new();
    for (index, earlier) in rules.iter().enumerate() {
        let mut later = rules.iter().skip(index.saturating_add(1));
        let Some(later) = later.find(|later| later.rule.name == earlier.rule.name) else { continue };
        // What overrides a file of this tool is another finding.
        if later.rule == earlier.rule || own_files.contains(&earlier.file) || own_files.contains(&later.file) {
            continue;
        }
        let name = text_of_bytes(earlier.rule.name.as_bytes());
        let what = format!(
            "line {} of {} and line {} of {} have different rules with the name {name}",
            earlier.number,
            earlier.file.as_text(),
            later.number,
            later.file.as_text()
        );
        let why = "the first one has no effect: the second one replaces its entry at boot";
        let occurrence = Occurrence::general(what, why);
        occurrences.push(with_line_as_comment(snapshot, occurrence, &earlier.file, earlier.number));
    }
    occurrences
}

/// Adds the command that turns a line into a comment. The file of a package is not changed: a copy in /etc hides it.
pub(super) fn with_line_as_comment(
    snapshot: &Snapshot,
    occurrence: Occurrence,
    file: &Path,
    number: usize,
) -> Occurrence {
    let script = format!("{number}s/^/# /");
    let real = snapshot.shell.quote_path(file);
    if file.starts_with("/etc") {
        return occurrence.with_repair(snapshot.shell.as_root(format_args!("sed -i {} {real}", shell_quote(&script))));
    }
    let dir = file.parent().and_then(Path::file_name).unwrap_or_default();
    let dir = Path::new("/etc").join(dir);
    let copy = snapshot.shell.quote_path(&dir.join(file.file_name().unwrap_or_default()));
    let dir = snapshot.shell.quote_path(&dir);
    let commands = format!("mkdir -p {dir} && sed {} {real} > {copy}", shell_quote(&script));
    occurrence.with_repair(snapshot.shell.line_as_root(&commands))
}

/// The names of our own files begin with `zz-` to sort late, but another file can sort later.
fn check_boot_overrides(snapshot: &Snapshot) -> Vec<Occurrence> {
    let foreign = Arch::ALL.iter().filter(|arch| !snapshot.natives.contains(arch.target));
    let occurrences = foreign.filter_map(|arch| {
        let file = paths::boot_rule(arch);
        let own = snapshot.boot.rules.iter().find(|boot| boot.file == file)?;
        let later = snapshot.boot.overriding_rule(&file, own.rule.name.as_bytes(), arch)?;
        let what = format!("{} is read after {} at boot", later.file.as_text(), file.as_text());
        let why = format!(
            "its rule {} takes these programs, too, or has the same name as ours: from the next restart on, it takes \
             precedence",
            text_of_bytes(later.rule.name.as_bytes())
        );
        Some(Occurrence::for_system(arch, what, why).with_repair(hide_command(snapshot, &later.file)))
    });
    occurrences.collect()
}

/// Returns the command that hides a boot file. A link to /dev/null in /etc hides a package's file (binfmt.d(5)); a file
/// in /etc is renamed.
fn hide_command(snapshot: &Snapshot, path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    let real = snapshot.shell.quote_path(path);
    if path.starts_with(paths::BINFMT_D) {
        snapshot.shell.as_root(format_args!("mv {real} {real}.off"))
    } else {
        snapshot.shell.as_root(format_args!(
            "ln -s /dev/null {}",
            snapshot.shell.quote_path(&Path::new(paths::BINFMT_D).join(name))
        ))
    }
}
