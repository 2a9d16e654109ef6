//! Checks of the interpreters. With F the kernel holds the file that existed at registration; the path in the entry may
//! lead to another file by now (`fs/binfmt_misc.c`, `bm_register_write`; measured on 6.18).

use std::path::Path;

use binfmt_magic::{Arch, Entry};

use super::{Check, Occurrence, Snapshot, Urgency};
use crate::binfmt::table::entry_name;
use crate::diagnose::doctor::flags::has_file;
use crate::diagnose::doctor::snapshot::{InterpreterFile, TrialRun, interpreter_path};
use crate::diagnose::explain::{InterpreterFileKind, InterpreterStart, StartResult};
use crate::paths;
use crate::paths::{EMULATOR_DIR, OWN_DIR};
use crate::qemu::binary::OLDEST_SUPPORTED;
use crate::qemu::obtain::choose::pinned_release;
use crate::sanitize::AsText as _;
use crate::sanitize::shell_quote;

/// The checks for programs that do not run, or not in chroots, although no other check has the cause. A finding that is as
/// urgent as a broken system is a cause; so are the less urgent ones that follow each name.
pub(super) const UNEXPLAINED: [(&str, &[&str]); 2] = [
    ("does-not-run", &["qemu-known-bad", "interpreter-label"]),
    ("runs-only-outside", &["qemu-known-bad", "interpreter-label", "no-fix-binary", "interpreter-script"]),
];

pub(super) const CHECKS: &[Check] = &[
    Check { id: "interpreter-missing", urgency: Urgency::Broken, run: check_missing },
    Check { id: "interpreter-dynamic", urgency: Urgency::Broken, run: check_dynamic },
    Check { id: "interpreter-script", urgency: Urgency::Fragile, run: check_script },
    Check { id: "interpreter-loop", urgency: Urgency::Broken, run: check_loop },
    Check { id: "interpreter-unfit", urgency: Urgency::Broken, run: check_unfit },
    Check { id: "interpreter-not-executable", urgency: Urgency::Broken, run: check_not_executable },
    Check { id: "interpreter-noexec", urgency: Urgency::Broken, run: check_noexec },
    Check { id: "interpreter-stale", urgency: Urgency::Fragile, run: check_stale },
    Check { id: "interpreter-label", urgency: Urgency::Fragile, run: check_label },
    Check { id: "interpreter-writable", urgency: Urgency::Danger, run: check_writable },
    Check { id: "qemu-known-bad", urgency: Urgency::Fragile, run: check_known_bad },
    Check { id: "execmem-denied", urgency: Urgency::Broken, run: check_execmem },
    Check { id: UNEXPLAINED[0].0, urgency: Urgency::Broken, run: check_does_not_run },
    Check { id: UNEXPLAINED[1].0, urgency: Urgency::Fragile, run: check_runs_only_outside },
];

/// Returns the entries that run programs and whose interpreter is a file, with the facts about that file.
fn entries_with_file(snapshot: &Snapshot) -> impl Iterator<Item = (&'static Arch, &Entry, &InterpreterFile)> {
    let with_file = snapshot.emulated_systems().filter(|(_, entry)| has_file(entry));
    with_file.filter_map(|(arch, entry)| Some((arch, entry, snapshot.interpreter_of(entry)?)))
}

fn existing_interpreters(snapshot: &Snapshot) -> impl Iterator<Item = (&'static Arch, &Entry, &InterpreterFile)> {
    entries_with_file(snapshot).filter(|(_, _, file)| file.exists)
}

/// Adds the repair that replaces an interpreter: register ours again, or take precedence over another tool's entry.
fn with_replace_fix(snapshot: &Snapshot, arch: &'static Arch, entry: &Entry, occurrence: Occurrence) -> Occurrence {
    if snapshot.is_ours(entry) {
        occurrence.with_register_fix(snapshot, arch)
    } else {
        occurrence.with_repairs(snapshot.repairs().register(arch, ""))
    }
}

fn display_path(entry: &Entry) -> String {
    interpreter_path(entry).as_text()
}

/// The path does not exist. Without F every execution fails with ENOENT. With F the kernel has the old file until the
/// next boot, when registration fails with ENOENT (measured; tonistiigi/binfmt#138).
fn check_missing(snapshot: &Snapshot) -> Vec<Occurrence> {
    // In a container the path of a held interpreter is one of the machine.
    let is_held = |entry: &Entry| entry.rule.flags.fix_binary && snapshot.environment.container.is_some();
    let missing = entries_with_file(snapshot).filter(|(_, entry, file)| !(file.exists || is_held(entry)));
    let occurrences = missing.map(|(arch, entry, _)| {
        let what =
            format!("{}, the interpreter of the entry {}, does not exist", display_path(entry), entry_name(entry));
        let why = if entry.rule.flags.fix_binary {
            "the kernel still has the file that existed at registration, but not after a restart"
        } else {
            "every program of this system fails with \"No such file or directory\""
        };
        with_replace_fix(snapshot, arch, entry, Occurrence::for_system(arch, what, why))
    });
    occurrences.collect()
}

/// F holds only the interpreter: the kernel looks for its loader and libraries in the calling process's root
/// (docker/docs#14140, usimd/pi-gen-action#181: Ubuntu 24.04's qemu-user-binfmt). It looks for the interpreter of a script
/// there, too, and that one for the script itself (`load_script` in Linux's `fs/binfmt_script.c`).
fn check_dynamic(snapshot: &Snapshot) -> Vec<Occurrence> {
    let held = entries_with_start(snapshot).filter(|(_, entry, _)| entry.rule.flags.fix_binary);
    let occurrence = |(arch, entry, start): (&'static Arch, &Entry, &InterpreterStart)| {
        let InterpreterFileKind::Dynamic(_) = start.kind else { return None };
        let what = format!(
            "{}, the interpreter of the entry {}, is dynamically linked",
            display_path(entry),
            entry_name(entry)
        );
        let why = "flag F holds only this file; in a chroot, a container or Nix's sandbox its loader and libraries are \
                   missing: \"No such file or directory\" for files that exist";
        Some(with_replace_fix(snapshot, arch, entry, Occurrence::for_system(arch, what, why)))
    };
    held.filter_map(occurrence).collect()
}

/// A script that flag F holds: see [`check_dynamic`].
fn check_script(snapshot: &Snapshot) -> Vec<Occurrence> {
    let held = entries_with_start(snapshot).filter(|(_, entry, _)| entry.rule.flags.fix_binary);
    let occurrence = |(arch, entry, start): (&'static Arch, &Entry, &InterpreterStart)| {
        let (InterpreterFileKind::Script(shell), StartResult::Starts) = (&start.kind, &start.here) else { return None };
        let what = format!("{}, the interpreter of the entry {}, is a script", display_path(entry), entry_name(entry));
        let why = format!(
            "flag F holds only this file; in a chroot, a container or Nix's sandbox the kernel looks for {shell} inside, \
             and {shell} for the script"
        );
        Some(with_replace_fix(snapshot, arch, entry, Occurrence::for_system(arch, what, why)))
    };
    held.filter_map(occurrence).collect()
}

/// The rule takes its own interpreter, or the program that runs that: the kernel starts the interpreter with itself, and
/// gives up after five times (`exec_binprm` in Linux's `fs/exec.c`; ELOOP, and ENOEXEC with flag O: measured on 6.18). The
/// file that flag F holds is compared with the rules like any other.
fn check_loop(snapshot: &Snapshot) -> Vec<Occurrence> {
    let occurrences = entries_with_start(snapshot).filter_map(|(arch, entry, start)| {
        let why = start.here.failure().filter(|_| start.loops)?;
        let what = format!("the entry {} takes its own interpreter, {}", entry_name(entry), display_path(entry));
        let why = format!("{} {why}", display_path(entry));
        Some(with_replace_fix(snapshot, arch, entry, Occurrence::for_system(arch, what, why)))
    });
    occurrences.collect()
}

/// The kernel cannot start the interpreter for a program: it is a program of another machine, or a file that it needs is
/// missing.
fn check_unfit(snapshot: &Snapshot) -> Vec<Occurrence> {
    let occurrences = entries_with_start(snapshot).filter_map(|(arch, entry, start)| {
        let why = start.here.failure()?;
        let is_dynamic = matches!(start.kind, InterpreterFileKind::Dynamic(_)) && entry.rule.flags.fix_binary;
        // Other checks have these causes.
        let file = snapshot.interpreter_of(entry)?;
        if start.loops || is_dynamic || !file.executable || file.noexec.is_some() {
            return None;
        }
        let what =
            format!("{}, the interpreter of the entry {}, cannot run here", display_path(entry), entry_name(entry));
        let why = format!("{} {why}", display_path(entry));
        Some(with_replace_fix(snapshot, arch, entry, Occurrence::for_system(arch, what, why)))
    });
    occurrences.collect()
}

fn entries_with_start(snapshot: &Snapshot) -> impl Iterator<Item = (&'static Arch, &Entry, &InterpreterStart)> {
    existing_interpreters(snapshot).filter_map(|(arch, entry, _)| Some((arch, entry, snapshot.start_of(entry)?)))
}

/// The interpreter has no execute bit: EACCES at registration with F, and at each execution without (measured).
fn check_not_executable(snapshot: &Snapshot) -> Vec<Occurrence> {
    let occurrences =
        existing_interpreters(snapshot).filter(|(_, _, file)| !file.executable).map(|(arch, entry, _)| {
            let what = format!(
                "{}, the interpreter of the entry {}, is not executable",
                display_path(entry),
                entry_name(entry)
            );
            let why = "its programs fail with \"Permission denied\", and so does its registration at boot";
            let occurrence = Occurrence::for_system(arch, what, why);
            if is_own_path(snapshot, interpreter_path(entry)) {
                with_own_directory_fix(snapshot, arch, occurrence)
            } else {
                occurrence.with_repairs(snapshot.repairs().register(arch, ""))
            }
        });
    occurrences.collect()
}

/// The interpreter is on a noexec mount: EACCES at registration (measured). If the file system is remounted noexec
/// afterwards, programs die of SIGSEGV (measured on 6.18), a symptom that does not show the cause.
fn check_noexec(snapshot: &Snapshot) -> Vec<Occurrence> {
    let occurrences = existing_interpreters(snapshot).filter_map(|(arch, entry, file)| {
        let mount = file.noexec.as_ref()?;
        let what = format!("{} is on a file system that is mounted noexec, {}", display_path(entry), mount.as_text());
        let why = "its registration fails with \"Permission denied\"; if it was registered before, its programs die of a \
                   segmentation fault";
        let occurrence = Occurrence::for_system(arch, what, why);
        Some(if is_own_path(snapshot, interpreter_path(entry)) {
            let line = format!("mount -o remount,exec {}", shell_quote(&mount.as_text()));
            occurrence.with_repair(snapshot.shell.as_root(line))
        } else {
            occurrence.with_repairs(snapshot.repairs().register(arch, ""))
        })
    });
    occurrences.collect()
}

/// An upgrade replaced the file that F holds, and the kernel keeps running the old one (powerarm's packaging notes;
/// `start` instead of `restart` of systemd-binfmt does not change that). The trial finds it: it runs a program that
/// blocks and compares /proc/PID/exe with the file.
fn check_stale(snapshot: &Snapshot) -> Vec<Occurrence> {
    let ran_stale = |(arch, _, _): &(&'static Arch, &Entry, &InterpreterFile)| {
        snapshot.trials.get(arch.target) == Some(&TrialRun::RanStale)
    };
    let occurrences = existing_interpreters(snapshot).filter(ran_stale).map(|(arch, entry, _)| {
        let what = format!("the kernel does not run the file that is now {}", display_path(entry));
        let why = format!(
            "the entry {} holds the file that existed when it was registered; the new file is not used, and an \
             upgrade has no effect, until the entry is registered again",
            entry_name(entry)
        );
        let occurrence = Occurrence::for_system(arch, what, why);
        if snapshot.is_ours(entry) {
            occurrence.with_register_fix(snapshot, arch)
        } else if snapshot.boot.file_registering(entry.rule.name.as_bytes(), &entry.rule.interpreter).is_some() {
            occurrence.with_repair(snapshot.shell.as_root("systemctl restart systemd-binfmt"))
        } else {
            with_replace_fix(snapshot, arch, entry, occurrence)
        }
    });
    occurrences.collect()
}

/// The SELinux type of the interpreter is not one that every confined domain may execute and map. Other types, such as
/// those of container layers or home directories, give "Permission denied" in some domains
/// (multiarch/qemu-user-static#117, podman#13667, bottlerocket#4215 `secret_t`, lima#2627 `nfs_t`). systemd-binfmt may not
/// execute `usr_t`, and then registers nothing at boot (seen with Debian's policy on trixie: `avc: denied { execute }`).
fn check_label(snapshot: &Snapshot) -> Vec<Occurrence> {
    const GOOD: [&str; 4] = ["bin_t", "lib_t", "unconfined_exec_t", "qemu_exec_t"];
    let selinux = &snapshot.environment.selinux;
    if !selinux.is_enforcing {
        return Vec::new();
    }
    let occurrences = existing_interpreters(snapshot).filter_map(|(arch, entry, file)| {
        let kind = file.label.as_ref()?.split(':').nth(2)?;
        if GOOD.contains(&kind) {
            return None;
        }
        let what = format!("{} has the SELinux type {kind} instead of bin_t", display_path(entry));
        let is_installed = snapshot.shell.real_path(&paths::interpreter_path(arch)) == interpreter_path(entry);
        let mut why =
            "services, systemd-binfmt at boot and containers may not execute it (\"Permission denied\"), although \
                       root's shell can"
                .to_owned();
        if !is_installed && !selinux.has_semanage {
            why.push_str("; semanage is not installed, so a relabel of the file system undoes the repair");
        }
        let path = shell_quote(&interpreter_path(entry).as_text());
        let commands = selinux.relabel_commands(&path, is_installed);
        let commands = commands.iter().map(|command| snapshot.shell.as_root(command)).collect();
        Some(Occurrence::for_system(arch, what, why).with_repairs(commands))
    });
    occurrences.collect()
}

/// A user who may change the interpreter runs code as every user who starts a foreign program, root included. Often the
/// interpreter is in /tmp or in a home directory, whose owner and mode are right: they are not changed. Then an entry of
/// this tool, whose emulator only root can change, takes precedence.
fn check_writable(snapshot: &Snapshot) -> Vec<Occurrence> {
    let occurrences = existing_interpreters(snapshot).filter_map(|(arch, entry, file)| {
        let distrust = file.distrust.as_ref()?;
        let what = format!("the interpreter of the entry {} can be changed by other users", entry_name(entry));
        let why = format!(
            "{distrust}: a changed file runs as every user who starts a {} program, including root",
            arch.target
        );
        let occurrence = Occurrence::for_system(arch, what, why);
        Some(if !snapshot.is_ours(entry) {
            occurrence.with_repairs(snapshot.repairs().register(arch, ""))
        } else if is_own_path(snapshot, distrust.path()) {
            with_own_directory_fix(snapshot, arch, occurrence)
        } else {
            let why = format!("{}; binfmt-nix changes nothing below it while that is so", occurrence.why);
            Occurrence { why, ..occurrence }.with_repair(snapshot.shell.write_command("-1", &entry_name(entry)))
        })
    });
    occurrences.collect()
}

/// Whether this tool made the file or directory.
fn is_own_path(snapshot: &Snapshot, path: &Path) -> bool {
    path.starts_with(snapshot.shell.real_path(Path::new(OWN_DIR)))
}

/// Adds the commands that give the directory of emulators and the emulator back to root, and then verify its content.
fn with_own_directory_fix(snapshot: &Snapshot, arch: &'static Arch, occurrence: Occurrence) -> Occurrence {
    let paths = [Path::new(OWN_DIR), Path::new(EMULATOR_DIR), &paths::interpreter_path(arch)];
    let paths = paths.map(|path| snapshot.shell.quote_path(path)).join(" ");
    occurrence
        .with_repair(snapshot.shell.as_root(format_args!("chown root:root {paths}")))
        .with_repair(snapshot.shell.as_root(format_args!("chmod 755 {paths}")))
        .with_repairs(snapshot.repairs().register(arch, ""))
}

/// The release of the interpreter is one that maintainers call broken in a thread
/// ([`known_bad`](crate::qemu::known_bad)), or one before 7.2, which fails under today's kernels and with today's
/// guests (tonistiigi/binfmt#215).
fn check_known_bad(snapshot: &Snapshot) -> Vec<Occurrence> {
    let occurrences = existing_interpreters(snapshot).filter_map(|(arch, entry, file)| {
        let version = file.version?;
        let why = match file.flaw {
            Some((what, thread)) => format!("it {what} ({thread})"),
            None if version < OLDEST_SUPPORTED => format!(
                "releases before {OLDEST_SUPPORTED} crash under today's kernels and with today's programs \
                 (https://github.com/tonistiigi/binfmt/issues/215)"
            ),
            None => return None,
        };
        let what = format!("{} is QEMU {version}, which has known bugs", display_path(entry));
        let occurrence = Occurrence::for_system(arch, what, why);
        let is_pinned = |pinned| snapshot.is_ours(entry) && pinned != version;
        let repairs = if pinned_release(&snapshot.machine, arch).is_some_and(is_pinned) {
            vec![snapshot.shell.tool_command(format_args!("upgrade {}", arch.target))]
        } else {
            snapshot.repairs().register(arch, " --source download")
        };
        Some(occurrence.with_repairs(repairs))
    });
    occurrences.collect()
}

/// QEMU may not make its code executable. The boolean changes what every program of the host may do, so `--fix` does not
/// set it.
fn check_execmem(snapshot: &Snapshot) -> Vec<Occurrence> {
    let selinux = &snapshot.environment.selinux;
    let refused = |arch: &Arch| snapshot.trials.get(arch.target) == Some(&TrialRun::JitRefused);
    let emulated = snapshot.emulated_systems();
    let systems: Vec<_> = emulated.filter(|(arch, _)| refused(arch)).map(|(arch, _)| arch.target).collect();
    if systems.is_empty() {
        return Vec::new();
    }
    let what = "QEMU was started and may not make its code executable (mprotect: Permission denied)";
    let why = selinux.describe_execmem().unwrap_or("a security module or a service's settings forbid it");
    let command = selinux.execmem_command().map(|command| snapshot.shell.as_root(command));
    vec![Occurrence { systems, ..Occurrence::general(what, why) }.with_repairs(command.into_iter().collect())]
}

/// A program was started through the entry and did not finish.
fn check_does_not_run(snapshot: &Snapshot) -> Vec<Occurrence> {
    let occurrences =
        snapshot.emulated_systems().filter_map(|(arch, entry)| match snapshot.trials.get(arch.target)? {
            TrialRun::Failed(why) => {
                let what = format!("a program was started through the entry {} and did not run", entry_name(entry));
                Some(with_replace_fix(snapshot, arch, entry, Occurrence::for_system(arch, what, why.clone())))
            }
            TrialRun::Ran | TrialRun::RanStale | TrialRun::RanOutside(_) | TrialRun::JitRefused => None,
        });
    occurrences.collect()
}

/// A program ran, but not in an empty chroot, although the kernel holds the interpreter, and the interpreter needs no other
/// file to start: it is a wrapper, and starts an emulator that is not in the chroot.
fn check_runs_only_outside(snapshot: &Snapshot) -> Vec<Occurrence> {
    let occurrences = snapshot.emulated_systems().filter_map(|(arch, entry)| {
        let TrialRun::RanOutside(why) = snapshot.trials.get(arch.target)? else { return None };
        let what = format!(
            "a program ran through the entry {}, but not in an empty chroot, as in a container or Nix's sandbox",
            entry_name(entry)
        );
        let why = format!("{} starts there, but does not run the program: {why}", display_path(entry));
        Some(with_replace_fix(snapshot, arch, entry, Occurrence::for_system(arch, what, why)))
    });
    occurrences.collect()
}
