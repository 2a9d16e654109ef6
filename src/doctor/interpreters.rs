//! Checks of the interpreters. With F the kernel holds the file that existed at registration; the path in the entry may
//! lead to another file by now (`fs/binfmt_misc.c`, `bm_register_write`; measured on 6.18).

use std::path::Path;

use binfmt_magic::{Arch, Entry};

use super::entries::has_file;
use super::seen::{Interpreter, Trial, path_of};
use super::{Case, Check, Seen, Urgency};
use crate::binfmt_misc::name_of;
use crate::interpreter::OLDEST_GOOD;
use crate::text::quoted;

/// The check for programs that do not run although no other check has the cause.
pub(super) const UNEXPLAINED: &str = "does-not-run";

pub(super) const CHECKS: &[Check] = &[
    Check { id: "interpreter-missing", urgency: Urgency::Broken, run: missing },
    Check { id: "interpreter-dynamic", urgency: Urgency::Broken, run: dynamic },
    Check { id: "interpreter-unfit", urgency: Urgency::Broken, run: unfit },
    Check { id: "interpreter-not-executable", urgency: Urgency::Broken, run: not_executable },
    Check { id: "interpreter-noexec", urgency: Urgency::Broken, run: noexec },
    Check { id: "interpreter-stale", urgency: Urgency::Fragile, run: stale },
    Check { id: "interpreter-label", urgency: Urgency::Fragile, run: label },
    Check { id: "interpreter-writable", urgency: Urgency::Danger, run: writable },
    Check { id: "qemu-known-bad", urgency: Urgency::Fragile, run: known_bad },
    Check { id: UNEXPLAINED, urgency: Urgency::Broken, run: does_not_run },
];

/// The entries that run programs and have a file, with the facts about that file.
fn files(seen: &Seen) -> impl Iterator<Item = (&'static Arch, &Entry, &Interpreter)> {
    let with_file = seen.emulated().filter(|(_, entry)| has_file(entry));
    with_file.filter_map(|(arch, entry)| Some((arch, entry, seen.interpreter(entry)?)))
}

fn there(seen: &Seen) -> impl Iterator<Item = (&'static Arch, &Entry, &Interpreter)> {
    files(seen).filter(|(_, _, file)| file.exists)
}

/// Adds the repair that replaces an interpreter: register ours again, or take precedence over another tool's entry.
fn replaced(seen: &Seen, arch: &'static Arch, entry: &Entry, case: Case) -> Case {
    if seen.is_ours(entry) {
        case.again(seen, arch)
    } else {
        case.repair(seen.shell.tool(format_args!("register {} --force", arch.target)))
    }
}

fn shown(entry: &Entry) -> std::path::Display<'_> {
    path_of(entry).display()
}

/// The path does not exist. Without F every execution fails with ENOENT. With F the kernel has the old file until the
/// next boot, when registration fails with ENOENT (measured; tonistiigi/binfmt#138).
fn missing(seen: &Seen) -> Vec<Case> {
    let cases = files(seen).filter(|(_, _, file)| !file.exists).map(|(arch, entry, _)| {
        let what = format!("{}, the interpreter of the entry {}, does not exist", shown(entry), name_of(entry));
        let why = if entry.rule.flags.fix_binary {
            "the kernel still has the file that existed at registration, but not after a restart"
        } else {
            "every program of this system fails with \"No such file or directory\""
        };
        replaced(seen, arch, entry, Case::of(arch, what, why))
    });
    cases.collect()
}

/// F holds only the interpreter: the kernel looks for its loader and libraries in the calling process's root
/// (docker/docs#14140, usimd/pi-gen-action#181: Ubuntu 24.04's qemu-user-binfmt).
fn dynamic(seen: &Seen) -> Vec<Case> {
    let cases = there(seen).filter(|(_, entry, file)| file.dynamic && entry.rule.flags.fix_binary);
    let case = |(arch, entry, _): (&'static Arch, &Entry, &Interpreter)| {
        let what = format!("{}, the interpreter of the entry {}, is dynamically linked", shown(entry), name_of(entry));
        let why = "flag F holds only this file; in a chroot, a container or Nix's sandbox its loader and libraries are \
                   missing: \"No such file or directory\" for files that exist";
        replaced(seen, arch, entry, Case::of(arch, what, why))
    };
    cases.map(case).collect()
}

/// Not a program of this machine: the kernel would need an interpreter for the interpreter.
fn unfit(seen: &Seen) -> Vec<Case> {
    let cases = there(seen).filter(|(_, _, file)| !file.dynamic).filter_map(|(arch, entry, file)| {
        let why = file.unfit.as_ref()?;
        let what = format!("{}, the interpreter of the entry {}, cannot run here", shown(entry), name_of(entry));
        Some(replaced(seen, arch, entry, Case::of(arch, what, why.clone())))
    });
    cases.collect()
}

/// EACCES at registration with F, and at each execution without (measured).
fn not_executable(seen: &Seen) -> Vec<Case> {
    let cases = there(seen).filter(|(_, _, file)| !file.executable).map(|(arch, entry, _)| {
        let what = format!("{}, the interpreter of the entry {}, is not executable", shown(entry), name_of(entry));
        let why = "its programs fail with \"Permission denied\", and so does its registration at boot";
        let line = format!("chmod a+x {}", quoted(&path_of(entry).to_string_lossy()));
        Case::of(arch, what, why).repair(seen.shell.root(line))
    });
    cases.collect()
}

/// EACCES at registration (measured). If the file system is remounted noexec afterwards, programs die of SIGSEGV
/// (measured on 6.18), a symptom that does not show the cause.
fn noexec(seen: &Seen) -> Vec<Case> {
    let cases = there(seen).filter_map(|(arch, entry, file)| {
        let mount = file.noexec.as_ref()?;
        let what = format!("{} is on a file system that is mounted noexec, {}", shown(entry), mount.display());
        let why = "its registration fails with \"Permission denied\", and if it was registered before, its programs die \
                   of a segmentation fault";
        let line = format!("mount -o remount,exec {}", quoted(&mount.to_string_lossy()));
        Some(Case::of(arch, what, why).repair(seen.shell.root(line)))
    });
    cases.collect()
}

/// An upgrade replaced the file that F holds, and the kernel keeps running the old one (powerarm's packaging notes;
/// `start` instead of `restart` of systemd-binfmt does not change it). Found by running a program that blocks, and
/// comparing /proc/PID/exe with the file.
fn stale(seen: &Seen) -> Vec<Case> {
    let ran_stale =
        |(arch, _, _): &(&'static Arch, &Entry, &Interpreter)| seen.trials.get(arch.target) == Some(&Trial::RanStale);
    let cases = there(seen).filter(ran_stale).map(|(arch, entry, _)| {
        let what = format!("the kernel does not run the file that is now {}", shown(entry));
        let why = format!(
            "the entry {} holds the file that existed when it was registered; the new file is not used, and an \
             upgrade has no effect, until the entry is registered again",
            name_of(entry)
        );
        let case = Case::of(arch, what, why);
        if seen.is_ours(entry) {
            case.again(seen, arch)
        } else if seen.boot.holder(entry.rule.name.as_bytes(), &entry.rule.interpreter).is_some() {
            case.repair(seen.shell.root("systemctl restart systemd-binfmt"))
        } else {
            replaced(seen, arch, entry, case)
        }
    });
    cases.collect()
}

/// Types that every confined domain may execute and map; others, such as those of container layers or home directories,
/// give "Permission denied" in some (multiarch/qemu-user-static#117, podman#13667, bottlerocket#4215 `secret_t`,
/// lima#2627 `nfs_t`). No test machine has SELinux: tested on facts.
fn label(seen: &Seen) -> Vec<Case> {
    const GOOD: [&str; 5] = ["bin_t", "lib_t", "usr_t", "unconfined_exec_t", "qemu_exec_t"];
    if !seen.place.selinux {
        return Vec::new();
    }
    let cases = there(seen).filter_map(|(arch, entry, file)| {
        let kind = file.label.as_ref()?.split(':').nth(2)?;
        if GOOD.contains(&kind) {
            return None;
        }
        let what = format!("{} has SELinux's type {kind}, not bin_t", shown(entry));
        let why = "services and containers may not execute it (\"Permission denied\"), although root's shell can";
        let path = quoted(&path_of(entry).to_string_lossy());
        let case = Case::of(arch, what, why).repair(seen.shell.root(format_args!("chcon -t bin_t {path}")));
        let again = entry.rule.flags.fix_binary && seen.is_ours(entry);
        Some(if again { case.repair(seen.shell.register(arch)) } else { case })
    });
    cases.collect()
}

/// A user who may change the interpreter runs code as every user who starts a foreign program, root included.
fn writable(seen: &Seen) -> Vec<Case> {
    let cases = there(seen).filter_map(|(arch, entry, file)| {
        let why = file.distrust.as_ref()?;
        let what = format!("the interpreter of the entry {} can be changed by other users", name_of(entry));
        let why =
            format!("{why}: a changed file runs as every user who starts a {} program, and root may", arch.target);
        Some(replaced_by_root(seen, entry, Case::of(arch, what, why)))
    });
    cases.collect()
}

fn replaced_by_root(seen: &Seen, entry: &Entry, case: Case) -> Case {
    let path = path_of(entry);
    let shown = |path: &Path| quoted(&path.to_string_lossy());
    let dirs: Vec<String> = path.ancestors().filter(|above| above.parent().is_some()).map(shown).collect();
    let dirs = dirs.join(" ");
    case.repair(seen.shell.root(format_args!("chown root:root {dirs}")))
        .repair(seen.shell.root(format_args!("chmod go-w {dirs}")))
}

/// Releases that maintainers call broken in a thread ([`known_bad`](crate::qemu::known_bad)), and those before
/// 7.2, which fail under today's kernels and guests (tonistiigi/binfmt#215).
fn known_bad(seen: &Seen) -> Vec<Case> {
    let cases = there(seen).filter_map(|(arch, entry, file)| {
        let version = file.version?;
        let why = match file.flaw {
            Some((what, thread)) => format!("it {what} ({thread})"),
            None if version < OLDEST_GOOD => format!(
                "releases before {OLDEST_GOOD} crash under today's kernels and with today's programs \
                 (https://github.com/tonistiigi/binfmt/issues/215)"
            ),
            None => return None,
        };
        let what = format!("{} is QEMU {version}, which has known bugs", shown(entry));
        let case = Case::of(arch, what, why);
        let force = if seen.is_ours(entry) { "" } else { " --force" };
        let line = seen.shell.tool(format_args!("register {} --source download{force}", arch.target));
        Some(case.repair(line))
    });
    cases.collect()
}

/// A program was started through the entry and did not finish.
fn does_not_run(seen: &Seen) -> Vec<Case> {
    let cases = seen.emulated().filter_map(|(arch, entry)| match seen.trials.get(arch.target)? {
        Trial::Failed(why) => {
            let what = format!("a program was started through the entry {} and did not run", name_of(entry));
            Some(replaced(seen, arch, entry, Case::of(arch, what, why.clone())))
        }
        Trial::Ran | Trial::RanStale => None,
    });
    cases.collect()
}
