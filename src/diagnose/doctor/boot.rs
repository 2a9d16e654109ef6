//! Checks of the boot rules, which determine the entries after the next boot.

use std::path::Path;

use binfmt_magic::Arch;

use super::{Check, Occurrence, Snapshot, Urgency};
use crate::binfmt::table::{Table, entry_name};
use crate::diagnose::doctor::flags::has_file;
use crate::paths;
use crate::sanitize::{AsText as _, text_of_bytes};

pub(super) const CHECKS: &[Check] = &[
    Check { id: "not-persistent", urgency: Urgency::Fragile, run: check_not_persistent },
    Check { id: "boot-file-overrides", urgency: Urgency::Fragile, run: check_boot_overrides },
];

/// An entry without a boot rule is gone after a restart, and after `systemctl restart systemd-binfmt`
/// (tonistiigi/binfmt#85, #146, #249, multiarch/qemu-user-static#160). The user may have wanted that
/// (`--no-persist`), so `--fix` does not change it.
fn check_not_persistent(snapshot: &Snapshot) -> Vec<Occurrence> {
    // In a user namespace or a container nothing survives, and the machine's own boot rules are not visible.
    if !matches!(snapshot.table, Table::Mounted { .. })
        || snapshot.environment.user_namespace
        || snapshot.environment.container.is_some()
    {
        return Vec::new();
    }
    let occurrences = snapshot.emulated_systems().filter_map(|(arch, entry)| {
        if !has_file(entry) || is_in_boot_rules(snapshot, entry.rule.name.as_bytes()) {
            return None;
        }
        let what = format!("no file registers the entry {} at boot", entry_name(entry));
        let why = if snapshot.boot.has_reader {
            "the entry is gone after a restart of the machine or of systemd-binfmt"
        } else {
            "the entry is gone after a restart of the machine, and nothing here reads /etc/binfmt.d (systemd's or \
             OpenRC's binfmt service would)"
        };
        Some(Occurrence::for_system(arch, what, why).with_repairs(snapshot.repairs().register(arch, "")))
    });
    occurrences.collect()
}

fn is_in_boot_rules(snapshot: &Snapshot, name: &[u8]) -> bool {
    snapshot.boot.has_reader && snapshot.boot.rules().iter().any(|(_, rule)| rule.name.as_bytes() == name)
}

/// Files are sorted by name over all directories, each rule is deleted and added again in that order (systemd
/// `src/binfmt/binfmt.c`). Of two rules with the same name, that of the later file stays. Of two rules for the same
/// programs, that of the later file is the newest and takes precedence (measured with systemd 252). The names of our
/// own files begin with `zz-` to sort late, but another file can sort later.
fn check_boot_overrides(snapshot: &Snapshot) -> Vec<Occurrence> {
    let rules = snapshot.boot.rules();
    let mut occurrences = Vec::new();
    for arch in Arch::ALL.iter().filter(|arch| !snapshot.natives.contains(arch.target)) {
        let file = paths::boot_rule(arch);
        let Some(own_index) = rules.iter().position(|(path, _)| *path == file) else { continue };
        let later = rules.iter().skip(own_index).filter(|(path, _)| *path != file && is_later_file(path, &file));
        for (path, rule) in later {
            let same_name = rules.get(own_index).is_some_and(|(_, own)| own.name == rule.name);
            let same_programs = arch.headers().iter().any(|head| rule.matches(head));
            if !same_name && !same_programs {
                continue;
            }
            let what = format!("{} is read after {} at boot", path.as_text(), file.as_text());
            let why = format!(
                "its rule {} takes these programs, too, or has the same name as ours: from the next restart on, it takes \
                 precedence",
                text_of_bytes(rule.name.as_bytes())
            );
            occurrences.push(Occurrence::for_system(arch, what, why).with_repair(hide_command(snapshot, path)));
            break;
        }
    }
    occurrences
}

/// Whether systemd-binfmt reads `path` after `own_file`. (Debian's update-binfmts has its own list, for another service.)
fn is_later_file(path: &Path, own_file: &Path) -> bool {
    path.file_name() > own_file.file_name() && path.extension().is_some_and(|ext| ext == "conf")
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
