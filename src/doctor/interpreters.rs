//! The files that entries lead to. With F the kernel holds the file that was there at registration; the path in the
//! entry says nothing about that one (`fs/binfmt_misc.c`, `bm_register_write`; measured on 6.18).

use std::path::Path;

use binfmt_magic::{Arch, Entry};

use super::entries::has_file;
use super::seen::{Interpreter, Trial, path_of};
use super::{Case, Check, Seen, Urgency};
use crate::binfmt_misc::name_of;
use crate::interpreter::OLDEST_GOOD;
use crate::text::quoted;

/// What does not run, and nothing else says why.
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

/// The entries that run something and have a file, each with what is known of it.
fn files(seen: &Seen) -> impl Iterator<Item = (&'static Arch, &Entry, &Interpreter)> {
    let with_file = seen.emulated().filter(|(_, entry)| has_file(entry));
    with_file.filter_map(|(arch, entry)| Some((arch, entry, seen.interpreter(entry)?)))
}

fn there(seen: &Seen) -> impl Iterator<Item = (&'static Arch, &Entry, &Interpreter)> {
    files(seen).filter(|(_, _, file)| file.exists)
}

/// What replaces the interpreter of an entry: registering ours again, or ours above theirs.
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

/// Nothing at the path. Without F every start ends in ENOENT; with F the kernel still has the old file, until the next
/// boot, when registering fails with ENOENT (measured; tonistiigi/binfmt#138).
fn missing(seen: &Seen) -> Vec<Case> {
    let cases = files(seen).filter(|(_, _, file)| !file.exists).map(|(arch, entry, _)| {
        let what = format!("{}, the interpreter of the entry {}, does not exist", shown(entry), name_of(entry));
        let why = if entry.rule.flags.fix_binary {
            "the kernel still has the file that was there at registration, and nobody will after a restart"
        } else {
            "every program of this system ends in \"No such file or directory\""
        };
        replaced(seen, arch, entry, Case::of(arch, what, why))
    });
    cases.collect()
}

/// F holds the interpreter alone: its loader and its libraries are looked for where the program is started
/// (docker/docs#14140, usimd/pi-gen-action#181: Ubuntu 24.04's qemu-user-binfmt).
fn dynamic(seen: &Seen) -> Vec<Case> {
    let cases = there(seen).filter(|(_, entry, file)| file.dynamic && entry.rule.flags.fix_binary);
    let case = |(arch, entry, _): (&'static Arch, &Entry, &Interpreter)| {
        let what = format!("{}, the interpreter of the entry {}, is dynamically linked", shown(entry), name_of(entry));
        let why = "flag F holds this one file; in a chroot, a container or Nix's sandbox its loader and libraries are \
                   missing: \"No such file or directory\" of files that are there";
        replaced(seen, arch, entry, Case::of(arch, what, why))
    };
    cases.map(case).collect()
}

/// No program of this machine at all: the kernel would need an interpreter for the interpreter.
fn unfit(seen: &Seen) -> Vec<Case> {
    let cases = there(seen).filter(|(_, _, file)| !file.dynamic).filter_map(|(arch, entry, file)| {
        let why = file.unfit.as_ref()?;
        let what = format!("{}, the interpreter of the entry {}, cannot run here", shown(entry), name_of(entry));
        Some(replaced(seen, arch, entry, Case::of(arch, what, why.clone())))
    });
    cases.collect()
}

/// EACCES at registration with F, and at each start without (measured).
fn not_executable(seen: &Seen) -> Vec<Case> {
    let cases = there(seen).filter(|(_, _, file)| !file.executable).map(|(arch, entry, _)| {
        let what = format!("{}, the interpreter of the entry {}, is not executable", shown(entry), name_of(entry));
        let why = "starting its programs ends in \"Permission denied\", and so does registering it at boot";
        let line = format!("chmod a+x {}", quoted(&path_of(entry).to_string_lossy()));
        Case::of(arch, what, why).repair(seen.shell.root(line))
    });
    cases.collect()
}

/// EACCES at registration (measured); if the file system is remounted so afterwards, programs die of SIGSEGV (measured
/// on 6.18), which nobody would guess.
fn noexec(seen: &Seen) -> Vec<Case> {
    let cases = there(seen).filter_map(|(arch, entry, file)| {
        let mount = file.noexec.as_ref()?;
        let what = format!("{} is on a file system that is mounted noexec, {}", shown(entry), mount.display());
        let why = "registering it ends in \"Permission denied\", and where it was registered before, its programs die \
                   of a segmentation fault";
        let line = format!("mount -o remount,exec {}", quoted(&mount.to_string_lossy()));
        Some(Case::of(arch, what, why).repair(seen.shell.root(line)))
    });
    cases.collect()
}

/// An upgrade put another file in the place of the one that F holds, which goes on running (powerarm's packaging notes;
/// `start` instead of `restart` of systemd-binfmt leaves it). Seen by running a program that blocks, and comparing
/// /proc/PID/exe with the file.
fn stale(seen: &Seen) -> Vec<Case> {
    let ran_stale =
        |(arch, _, _): &(&'static Arch, &Entry, &Interpreter)| seen.trials.get(arch.target) == Some(&Trial::RanStale);
    let cases = there(seen).filter(ran_stale).map(|(arch, entry, _)| {
        let what = format!("the kernel does not run the file that now is {}", shown(entry));
        let why = format!(
            "the entry {} holds the one that was there when it was registered; what replaced it is not used, and an \
             upgrade has no effect, until it is registered again",
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
/// lima#2627 `nfs_t`). SELinux is not at hand: tried on facts.
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
        let why = "services and containers may not execute it: \"Permission denied\", though root's shell can";
        let path = quoted(&path_of(entry).to_string_lossy());
        let case = Case::of(arch, what, why).repair(seen.shell.root(format_args!("chcon -t bin_t {path}")));
        let again = entry.rule.flags.fix_binary && seen.is_ours(entry);
        Some(if again { case.repair(seen.shell.register(arch)) } else { case })
    });
    cases.collect()
}

/// Whoever may change the interpreter runs his own program as whoever starts a foreign one, root included.
fn writable(seen: &Seen) -> Vec<Case> {
    let cases = there(seen).filter_map(|(arch, entry, file)| {
        let why = file.distrust.as_ref()?;
        let what = format!("the interpreter of the entry {} can be changed by others", name_of(entry));
        let why = format!("{why}: who does runs as everybody who starts a {} program, and root may", arch.target);
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

/// Releases that threads with maintainers in them call broken ([`known_bad`](crate::qemu::known_bad)), and those before
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
        let what = format!("{} is QEMU {version}, which is known to be bad", shown(entry));
        let case = Case::of(arch, what, why);
        let force = if seen.is_ours(entry) { "" } else { " --force" };
        let line = seen.shell.tool(format_args!("register {} --source download{force}", arch.target));
        Some(case.repair(line))
    });
    cases.collect()
}

/// A program was started through the entry, and did not come to its end.
fn does_not_run(seen: &Seen) -> Vec<Case> {
    let cases = seen.emulated().filter_map(|(arch, entry)| match seen.trials.get(arch.target)? {
        Trial::Failed(why) => {
            let what = format!("a program was started through the entry {}, and did not run", name_of(entry));
            Some(replaced(seen, arch, entry, Case::of(arch, what, why.clone())))
        }
        Trial::Ran | Trial::RanStale => None,
    });
    cases.collect()
}
