//! Checks of the flags of entries that run programs.

use binfmt_magic::{Arch, Entry};

use super::{Case, Check, Seen, Urgency};
use crate::binfmt_misc::name_of;
use crate::in_memory::is_in_memory;
use crate::interpreter::{KERNEL_TELLS_ARGV0, KNOWS_ARGV0, Version};

pub(super) const CHECKS: &[Check] = &[
    Check { id: "no-fix-binary", urgency: Urgency::Fragile, run: no_fix_binary },
    Check { id: "argv0-not-understood", urgency: Urgency::Broken, run: argv0_not_understood },
    Check { id: "argv0-lost", urgency: Urgency::Risk, run: argv0_lost },
    Check { id: "credentials-risk", urgency: Urgency::Risk, run: credentials_risk },
    Check { id: "credentials-missing", urgency: Urgency::Risk, run: credentials_missing },
];

/// Without F the kernel looks for the interpreter in the root directory of the calling process: programs run on the
/// host, but not in a container or in Nix's sandbox (nixpkgs#160300, multiarch/qemu-user-static's README, pmbootstrap).
fn no_fix_binary(seen: &Seen) -> Vec<Case> {
    let without = seen.emulated().filter(|(_, entry)| !entry.rule.flags.fix_binary);
    let case = |(arch, entry): (&'static Arch, &Entry)| {
        let what = format!("the entry {} has no flag F", name_of(entry));
        let why = "in a chroot, a container or Nix's sandbox the kernel looks for the interpreter inside, where it is \
                   missing: \"No such file or directory\" or \"Exec format error\"";
        over(seen, arch, Case::of(arch, what, why))
    };
    without.map(case).collect()
}

/// Adds the repair that takes precedence over another tool's entry. Only the user may decide that.
fn over(seen: &Seen, arch: &'static Arch, case: Case) -> Case {
    case.repair(seen.shell.tool(format_args!("register {} --force", arch.target)))
}

/// P without support. Linux reports P in the auxiliary vector since 5.12 (commit 2347961b11d4), and QEMU reads it since
/// 6.0 (commit 6e1c0d7b951e). Otherwise QEMU passes the program's argv[0] as the program's first argument. No test machine
/// has so old a kernel: that half is tested on facts.
fn argv0_not_understood(seen: &Seen) -> Vec<Case> {
    let with = seen.emulated().filter(|(_, entry)| entry.rule.flags.preserve_argv0);
    let case = |(arch, entry): (&'static Arch, &Entry)| {
        let because = if seen.kernel < KERNEL_TELLS_ARGV0 {
            format!("Linux {}.{} does not report it to QEMU (5.12 does)", seen.kernel.0, seen.kernel.1)
        } else {
            let version = version(seen, entry).filter(|version| *version < KNOWS_ARGV0)?;
            format!("QEMU {version} does not support it (6.0 does)")
        };
        let what = format!("the entry {} has flag P, and {because}", name_of(entry));
        let why = "programs get their own name as an additional first argument: \"cannot open\", \"applet not found\"";
        Some(over(seen, arch, Case::of(arch, what, why)))
    };
    with.filter_map(case).collect()
}

/// Support without P: programs that read their name get another one (busybox, login shells, CUPS: docker/for-mac#6127,
/// alpine abuild#10182). The QEMU of tonistiigi's image even mangles all arguments then (alpine-lima#81,
/// rancher-desktop#2680).
fn argv0_lost(seen: &Seen) -> Vec<Case> {
    let without = seen.emulated().filter(|(_, entry)| !entry.rule.flags.preserve_argv0 && entry.rule.flags.fix_binary);
    let case = |(arch, entry): (&'static Arch, &Entry)| {
        let knows = version(seen, entry).is_some_and(|version| version >= KNOWS_ARGV0);
        if seen.kernel < KERNEL_TELLS_ARGV0 || !knows {
            return None;
        }
        let what = format!("the entry {} has no flag P", name_of(entry));
        let why = "programs do not get the name that they were started by: busybox's applets and login shells fail, \
                   though this kernel and this QEMU could do better";
        Some(over(seen, arch, Case::of(arch, what, why)))
    };
    without.filter_map(case).collect()
}

fn version(seen: &Seen, entry: &Entry) -> Option<Version> {
    seen.interpreter(entry)?.version
}

/// With C a foreign setuid program is started with its owner's rights, and so is QEMU, which obeys its caller's
/// QEMU_LOG_FILENAME (measured) and was never designed for it: tonistiigi/binfmt#342, qemu-devel 2025-08. Containers with
/// such programs need it.
fn credentials_risk(seen: &Seen) -> Vec<Case> {
    let with = seen.emulated().filter(|(_, entry)| entry.rule.flags.credentials);
    let needless = with.filter(|(arch, _)| !seen.foreign_sudo.contains_key(arch.target));
    let case = |(arch, entry): (&'static Arch, &Entry)| {
        let name = name_of(entry);
        let what = format!("the entry {name} has flag C, and nothing that needs it was found");
        let why = "every user who may start a foreign setuid program can write files as its owner, because QEMU runs \
                   with its rights and obeys QEMU_LOG_FILENAME and similar variables";
        let case = Case::of(arch, what, why);
        if seen.is_ours(entry) {
            case.repair(seen.shell.tool(format_args!("unregister {}", arch.target))).repair(seen.shell.register(arch))
        } else {
            over(seen, arch, case)
        }
    };
    needless.map(case).collect()
}

/// C is missing although a container image has a foreign sudo: "effective uid is not 0" (podman#20443,
/// multiarch/qemu-user-static#17, armbian#8985).
fn credentials_missing(seen: &Seen) -> Vec<Case> {
    let without = seen.emulated().filter(|(_, entry)| !entry.rule.flags.credentials);
    let case = |(arch, entry): (&'static Arch, &Entry)| {
        let sudo = seen.foreign_sudo.get(arch.target)?;
        let what = format!("the entry {} has no flag C, and {} is a setuid program", name_of(entry), sudo.display());
        let why = "sudo in such a container fails with \"effective uid is not 0\"; with C, every user who may start it \
                   can write files as root, so decide yourself";
        let force = if seen.is_ours(entry) { "" } else { " --force" };
        let line = seen.shell.tool(format_args!("register {} --credentials{force}", arch.target));
        Some(Case::of(arch, what, why).repair(line))
    };
    without.filter_map(case).collect()
}

/// Whether the interpreter is a file. An emulator in memory has no path to check.
pub(super) fn has_file(entry: &Entry) -> bool {
    !is_in_memory(&entry.rule.interpreter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binfmt_misc::Table;
    use crate::doctor::seen::Interpreter;
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

    fn seen(flags: &str, kernel: (u32, u32), version: Version) -> Seen {
        let entries = entry(flags).into_iter().collect();
        let table = Table::Mounted { entries, strange: Vec::new(), enabled: true };
        let interpreter = Interpreter { version: Some(version), ..Interpreter::default() };
        Seen { kernel, table, interpreters: [(b"/q".to_vec(), interpreter)].into(), ..Seen::default() }
    }

    #[test]
    fn flag_p_needs_a_kernel_and_a_qemu() {
        let both = |flags, kernel, version| {
            let seen = seen(flags, kernel, version);
            (argv0_not_understood(&seen).len(), argv0_lost(&seen).len())
        };
        assert_eq!(both("PF", (5, 11), Version(10, 0, 0)), (1, 0));
        assert_eq!(both("PF", (5, 12), Version(5, 2, 0)), (1, 0));
        assert_eq!(both("PF", (5, 12), Version(6, 0, 0)), (0, 0));
        assert_eq!(both("F", (5, 12), Version(6, 0, 0)), (0, 1));
        assert_eq!(both("F", (5, 11), Version(6, 0, 0)), (0, 0));
        assert_eq!(both("F", (5, 12), Version(5, 2, 0)), (0, 0));
    }
}
