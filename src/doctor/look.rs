//! The one look that the checks judge: the only part of the doctor that asks the machine.

use std::collections::BTreeMap;
use std::path::Path;

use binfmt_magic::{Arch, Entry};

use super::entries::has_file;
use super::seen::{Interpreter, Seen, Trial, path_of, taken_by};
use super::shell::Shell;
use crate::binfmt_misc::{self, Table};
use crate::facts::{Facts, Native, native};
use crate::host::{self, Host, Inode};
use crate::interpreter::BinaryError;
use crate::qemu::{candidate, known_bad};
use crate::{boot, interpreter, probe};

mod nix;
mod place;

/// Looks at everything.
pub fn look(host: &Host, facts: &Facts) -> Seen {
    let all: Vec<&'static Arch> = Arch::ALL.iter().collect();
    let natives = native::among(&all, &facts.machine);
    let natives = natives.into_iter().filter(|(_, native)| *native == Native::Runs).map(|(target, _)| target).collect();
    let writable = match facts.table {
        Table::Mounted { .. } => Some(host.may_write(&binfmt_misc::path("register"))),
        Table::NotMounted | Table::Offline => None,
    };
    let root = || host.at(Path::new("/")).components().collect();
    let shell = Shell { root: (!host.is_live()).then(root), is_root: host::env::effective_ids().0 == 0 };
    let mut seen = Seen {
        machine: facts.machine.clone(),
        kernel: facts.kernel,
        shell,
        table: facts.table.clone(),
        has_binfmt_misc: place::has_binfmt_misc(host),
        // Whoever is not root could not write it anywhere.
        writable: writable.filter(|_| host::env::effective_ids().0 == 0),
        place: place::look(host, facts),
        natives,
        ours: facts.our_entries().collect(),
        registered: facts.receipt.systems.clone(),
        interpreters: BTreeMap::new(),
        trials: BTreeMap::new(),
        boot: facts.boot.clone(),
        foreign_sudo: place::foreign_sudo(host),
        nix: nix::look(host, facts),
    };
    if seen.place.emulated {
        forget_the_machine_outside(&mut seen);
    }
    seen.interpreters = interpreters(&seen);
    seen.trials = trials(&seen);
    keep_readable_rules(&mut seen);
    seen
}

/// A system that is emulated as a whole sees the kernel's table of the machine that emulates it, whose entries run this
/// very program: they are no business of its own.
fn forget_the_machine_outside(seen: &mut Seen) {
    seen.table = Table::Mounted { entries: Vec::new(), strange: Vec::new(), enabled: true };
    seen.boot = boot::Boot::of(Vec::new(), false);
    seen.place.container = None;
}

/// A rule of a boot file whose interpreter is not there is refused at boot, if it has flag F (ENOENT, measured).
fn keep_readable_rules(seen: &mut Seen) {
    let there = |path: &[u8]| {
        use std::os::unix::ffi::OsStrExt as _;
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        host::user_files::path_exists(&seen.shell.real(path)) || host::user_files::path_exists(path)
    };
    let rules = seen.boot.rules().iter();
    let rules = rules.filter(|(_, rule)| !rule.flags.fix_binary || there(&rule.interpreter)).cloned().collect();
    seen.boot = boot::Boot::of(rules, seen.boot.has_reader);
}

/// The kernel's paths are real ones, whatever `--root` says.
fn interpreters(seen: &Seen) -> BTreeMap<Vec<u8>, Interpreter> {
    let mut found = BTreeMap::new();
    for entry in seen.table.entries().iter().filter(|entry| has_file(entry)) {
        if !found.contains_key(&entry.rule.interpreter) {
            found.insert(entry.rule.interpreter.clone(), judge(&seen.machine, entry));
        }
    }
    found
}

fn judge(machine: &str, entry: &Entry) -> Interpreter {
    let (host, path) = (Host::live(), path_of(entry));
    let Ok(head) = host::user_files::read_first_bytes(path, interpreter::HEAD) else {
        return Interpreter { exists: host::user_files::path_exists(path), executable: true, ..Interpreter::default() };
    };
    let unfit = interpreter::judge(&head, machine).err();
    let mut found = Interpreter {
        exists: true,
        dynamic: unfit == Some(BinaryError::Dynamic),
        // A script is a fair interpreter of other things than foreign programs.
        unfit: unfit.filter(|_| taken_by(entry).next().is_some()).map(|why| why.to_string()),
        executable: host.has_mode(path, 0o111),
        noexec: host.noexec_mount(path),
        distrust: host.open_trusted_through_links(path).err().and_then(|error| match error {
            crate::error::Error::Distrusted(why) => Some(why.to_string()),
            _ => None,
        }),
        label: host.label(path),
        ..Interpreter::default()
    };
    let Some(arch) = taken_by(entry).next().filter(|_| found.unfit.is_none()) else { return found };
    // Nothing is started that somebody else could have put there.
    if let Ok(fit) = candidate::judge_any_age(&host, arch, machine, path) {
        found.version = Some(fit.version);
        let flaw = known_bad::flaw(fit.version, machine, arch.target, fit.fixed_address);
        found.flaw = flaw.map(|flaw| (flaw.what, flaw.thread));
    }
    found
}

/// Starts a program of each system that has an entry, and looks at what runs it.
fn trials(seen: &Seen) -> BTreeMap<&'static str, Trial> {
    if !seen.is_in_force() {
        return BTreeMap::new();
    }
    let tried = seen.emulated().filter_map(|(arch, entry)| Some((arch.target, try_out(arch, entry)?)));
    tried.collect()
}

fn try_out(arch: &Arch, entry: &Entry) -> Option<Trial> {
    let seen = match probe::run_in_memory(arch.probe()?) {
        // Nothing may be started from memory here (sysctl vm.memfd_noexec), or the interpreter not at all, which its
        // file says.
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => return None,
        Err(e) => return Some(Trial::Failed(format!("it could not be started: {e}"))),
        Ok(None) => return Some(Trial::Failed("it ended as soon as it was started".into())),
        Ok(Some(seen)) => seen,
    };
    if !seen.status.success() {
        return Some(Trial::Failed(format!("it ended with {}: {}", seen.status, seen.complaints.trim())));
    }
    let there = host::user_files::open_regular(path_of(entry)).ok().filter(|_| has_file(entry));
    let there = there.and_then(|file| Some(Inode::of(&file.metadata().ok()?)));
    Some(if there.is_none_or(|there| there == seen.program) { Trial::Ran } else { Trial::RanStale })
}
