//! Checks of the flags of entries that run programs.

use binfmt_magic::{Arch, Entry};

use super::{Check, Occurrence, Snapshot, Urgency};
use crate::binfmt::in_memory::is_in_memory_path;
use crate::binfmt::table::entry_name;
use crate::qemu::binary::{FIRST_WITH_ARGV0, KERNEL_PASSES_ARGV0, QemuVersion};
use crate::sanitize::AsText as _;

pub(super) const CHECKS: &[Check] = &[
    Check { id: "no-fix-binary", urgency: Urgency::Fragile, run: check_no_fix_binary },
    Check { id: "argv0-not-understood", urgency: Urgency::Broken, run: check_argv0_not_understood },
    Check { id: "argv0-lost", urgency: Urgency::Risk, run: check_argv0_lost },
    Check { id: "credentials-risk", urgency: Urgency::Risk, run: check_credentials_risk },
    Check { id: "credentials-missing", urgency: Urgency::Risk, run: check_credentials_missing },
];

/// Without F the kernel looks for the interpreter in the root directory of the calling process: programs run on the
/// host, but not in a container or in Nix's sandbox (nixpkgs#160300, multiarch/qemu-user-static's README, pmbootstrap).
fn check_no_fix_binary(snapshot: &Snapshot) -> Vec<Occurrence> {
    let entries = snapshot.emulated_systems().filter(|(_, entry)| !entry.rule.flags.fix_binary);
    let occurrence = |(arch, entry): (&'static Arch, &Entry)| {
        let what = format!("the entry {} has no flag F", entry_name(entry));
        let why = "in a chroot, a container or Nix's sandbox the kernel looks for the interpreter inside, where it is \
                   missing: \"No such file or directory\" or \"Exec format error\"";
        with_override_fix(snapshot, arch, Occurrence::for_system(arch, what, why))
    };
    entries.map(occurrence).collect()
}

/// Adds the repair that takes precedence over another tool's entry. Only the user may decide that.
fn with_override_fix(snapshot: &Snapshot, arch: &'static Arch, occurrence: Occurrence) -> Occurrence {
    occurrence.with_repairs(snapshot.repairs().register(arch, ""))
}

/// An entry has flag P without support for it. Linux reports P in the auxiliary vector since 5.12 (commit
/// 2347961b11d4), and QEMU reads it since 6.0 (commit 6e1c0d7b951e). Otherwise QEMU passes the program's argv[0] as the
/// program's first argument. No test machine has so old a kernel: that half is tested on facts.
fn check_argv0_not_understood(snapshot: &Snapshot) -> Vec<Occurrence> {
    let entries_with_flag = snapshot.emulated_systems().filter(|(_, entry)| entry.rule.flags.preserve_argv0);
    let occurrence = |(arch, entry): (&'static Arch, &Entry)| {
        let reason = if snapshot.kernel < KERNEL_PASSES_ARGV0 {
            format!("Linux {}.{} does not report it to QEMU (5.12 does)", snapshot.kernel.0, snapshot.kernel.1)
        } else {
            let version = interpreter_version(snapshot, entry).filter(|version| *version < FIRST_WITH_ARGV0)?;
            format!("QEMU {version} does not support it (6.0 does)")
        };
        let what = format!("the entry {} has flag P, and {reason}", entry_name(entry));
        let why = "programs get their own name as an additional first argument: \"cannot open\", \"applet not found\"";
        Some(with_override_fix(snapshot, arch, Occurrence::for_system(arch, what, why)))
    };
    entries_with_flag.filter_map(occurrence).collect()
}

/// An entry lacks flag P although it is supported: programs that read their name get another one (busybox, login
/// shells, CUPS: docker/for-mac#6127, alpine abuild#10182). The QEMU of tonistiigi's image even mangles all arguments
/// then (alpine-lima#81, rancher-desktop#2680). With T and L the kernel changes no argument (measured on 7.3.4).
fn check_argv0_lost(snapshot: &Snapshot) -> Vec<Occurrence> {
    let entries = snapshot.emulated_systems().filter(|(_, entry)| {
        let flags = entry.rule.flags;
        flags.fix_binary && !flags.preserve_argv0 && !flags.transparent && !flags.loader
    });
    let occurrence = |(arch, entry): (&'static Arch, &Entry)| {
        let has_support = interpreter_version(snapshot, entry).is_some_and(|version| version >= FIRST_WITH_ARGV0);
        if snapshot.kernel < KERNEL_PASSES_ARGV0 || !has_support {
            return None;
        }
        let what = format!("the entry {} has no flag P", entry_name(entry));
        let why = "programs do not get the name that they were started with: busybox's applets and login shells fail, \
                   although this kernel and this QEMU support flag P";
        Some(with_override_fix(snapshot, arch, Occurrence::for_system(arch, what, why)))
    };
    entries.filter_map(occurrence).collect()
}

fn interpreter_version(snapshot: &Snapshot, entry: &Entry) -> Option<QemuVersion> {
    snapshot.interpreter_of(entry)?.version
}

/// With C a foreign setuid program is started with its owner's rights, and so is QEMU. QEMU obeys its caller's
/// QEMU_LOG_FILENAME (measured) and was never designed for such rights: tonistiigi/binfmt#342, qemu-devel 2025-08.
/// Containers with setuid programs need C.
fn check_credentials_risk(snapshot: &Snapshot) -> Vec<Occurrence> {
    let entries_with_flag = snapshot.emulated_systems().filter(|(_, entry)| entry.rule.flags.credentials);
    let unneeded = entries_with_flag.filter(|(arch, _)| !snapshot.foreign_sudo.contains_key(arch.target));
    let occurrence = |(arch, entry): (&'static Arch, &Entry)| {
        let name = entry_name(entry);
        let what = format!("the entry {name} has flag C, and nothing that needs it was found");
        let why = "every user who may start a foreign setuid program can write files as its owner, because QEMU runs \
                   with the owner's rights and obeys QEMU_LOG_FILENAME and similar variables";
        let occurrence = Occurrence::for_system(arch, what, why);
        if snapshot.is_ours(entry) {
            occurrence.with_repairs(snapshot.repairs().register_anew(arch, ""))
        } else {
            with_override_fix(snapshot, arch, occurrence)
        }
    };
    unneeded.map(occurrence).collect()
}

/// C is missing although a container image has a foreign sudo: "effective uid is not 0" (podman#20443,
/// multiarch/qemu-user-static#17, armbian#8985).
fn check_credentials_missing(snapshot: &Snapshot) -> Vec<Occurrence> {
    let entries = snapshot.emulated_systems().filter(|(_, entry)| !entry.rule.flags.credentials);
    let occurrence = |(arch, entry): (&'static Arch, &Entry)| {
        let sudo = snapshot.foreign_sudo.get(arch.target)?;
        let what = format!("the entry {} has no flag C, and {} is a setuid program", entry_name(entry), sudo.as_text());
        let why = "sudo in such a container fails with \"effective uid is not 0\"; with C, every user who may start it \
                   can write files as root, so this decision is yours";
        let lines = snapshot.repairs().register(arch, " --credentials");
        Some(Occurrence::for_system(arch, what, why).with_repairs(lines))
    };
    entries.filter_map(occurrence).collect()
}

/// Whether the interpreter is a file. An emulator in memory has no path to check.
pub(super) fn has_file(entry: &Entry) -> bool {
    !is_in_memory_path(&entry.rule.interpreter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binfmt::table::Table;
    use crate::diagnose::doctor::snapshot::InterpreterFile;
    use binfmt_magic::{EntryName, Recognition, Rule};

    fn entry(flags: &str) -> Option<Entry> {
        let arch = Arch::find("aarch64").ok()?;
        let recognition = Recognition::Magic(arch.pattern());
        let rule = Rule {
            name: EntryName::new("qemu-aarch64").ok()?,
            recognition,
            interpreter: b"/q".into(),
            flags: flags.parse().ok()?,
        };
        Some(Entry { enabled: true, rule })
    }

    fn snapshot(flags: &str, kernel: (u32, u32), version: QemuVersion) -> Snapshot {
        let entries = entry(flags).into_iter().collect();
        let table = Table::of_entries(entries);
        let interpreter = InterpreterFile { version: Some(version), ..InterpreterFile::default() };
        Snapshot { kernel, table, interpreters: [(b"/q".to_vec(), interpreter)].into(), ..Snapshot::default() }
    }

    #[test]
    fn flag_p_needs_support_of_kernel_and_qemu() {
        let counts = |flags, kernel, version| {
            let snapshot = snapshot(flags, kernel, version);
            (check_argv0_not_understood(&snapshot).len(), check_argv0_lost(&snapshot).len())
        };
        assert_eq!(counts("PF", (5, 11), QemuVersion(10, 0, 0)), (1, 0));
        assert_eq!(counts("PF", (5, 12), QemuVersion(5, 2, 0)), (1, 0));
        assert_eq!(counts("PF", (5, 12), QemuVersion(6, 0, 0)), (0, 0));
        assert_eq!(counts("F", (5, 12), QemuVersion(6, 0, 0)), (0, 1));
        assert_eq!(counts("TF", (7, 3), QemuVersion(10, 0, 0)), (0, 0));
        assert_eq!(counts("LF", (7, 3), QemuVersion(10, 0, 0)), (0, 0));
        assert_eq!(counts("F", (5, 11), QemuVersion(6, 0, 0)), (0, 0));
        assert_eq!(counts("F", (5, 12), QemuVersion(5, 2, 0)), (0, 0));
    }
}
