//! Finds the systems whose programs the host runs natively. A rule for such a system would match the host's own
//! programs, and is rejected.
//!
//! The question is put past the table, because an entry that takes the programs of a system hides whether the kernel
//! runs them itself. The kernel's loaders ignore the padding in `e_ident`, and rules compare it, so a probe program with
//! other padding is usually one that no rule takes. If rules take each of them, the probe is run in a user namespace
//! with an empty table of its own (Linux 6.7).

use std::collections::BTreeMap;
use std::io;

use binfmt_magic::Arch;
use nix::errno::Errno;

use crate::binfmt::probe;
use crate::binfmt::probe::isolated::{self, Isolation};
use crate::binfmt::probe::{ProbeResult, ProbeRun};
use crate::binfmt::table::{Table, entry_name};
use crate::sorted;

/// The reason why a system is not registered on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NativeSupport {
    /// The host runs the system's programs natively.
    Runs,
    /// The host may run them natively, but the probe could not be started, for this reason.
    Unknown(String),
}

/// Whether one of the kernel's loaders runs a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoaderSupport {
    /// The kernel has the loader: a program was run just now, or every kernel has it.
    Yes,
    /// The kernel does not have the loader: a program was rejected just now.
    No,
    /// The loader could not be tried, for this reason.
    Unknown(String),
}

/// Returns the targets among `systems` that run, or may run, natively on `machine` (as `uname -m` prints it). `table` is
/// the visible table.
pub fn find_native(systems: &[&'static Arch], machine: &str, table: &Table) -> BTreeMap<&'static str, NativeSupport> {
    sorted::map(systems.iter().filter_map(|arch| Some((arch.target, detect_native(arch, machine, table)?))))
}

fn detect_native(arch: &'static Arch, machine: &str, table: &Table) -> Option<NativeSupport> {
    if Arch::of_host(machine).is_some_and(|own| own.target == arch.target) {
        return Some(NativeSupport::Runs);
    }
    // Whether these pairs run natively depends on the host: IA-32 can be missing in an x86_64 kernel, `AArch32` in an
    // arm64 processor.
    if !matches!((machine, arch.target), ("x86_64", "i386") | ("aarch64", "arm")) {
        return None;
    }
    match detect_support(arch.probe()?, table, Some(arch)) {
        LoaderSupport::Yes => Some(NativeSupport::Runs),
        LoaderSupport::No => None,
        LoaderSupport::Unknown(why) => Some(NativeSupport::Unknown(why)),
    }
}

/// Finds out whether the kernel itself runs a probe program. `arch` is the system whose probe it is, unless it was
/// changed.
pub fn detect_support(probe: &[u8], table: &Table, arch: Option<&'static Arch>) -> LoaderSupport {
    let start = |padded: &[u8]| Observation::of_run(probe::run_in_memory(padded));
    match (try_paddings(probe, table, start), arch) {
        (LoaderSupport::Unknown(why), Some(arch)) => match try_in_empty_table(arch) {
            LoaderSupport::Unknown(_) => LoaderSupport::Unknown(why),
            support => support,
        },
        (support, _) => support,
    }
}

/// What a start of a probe program shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Observation {
    /// The process executed the probe itself.
    Native,
    /// The process executed another file: an emulator.
    Emulated,
    /// The process ended before its file could be examined.
    Ended,
    /// The kernel refused to start it.
    Refused(Errno),
}

impl Observation {
    fn of_run(run: io::Result<Option<ProbeRun>>) -> Self {
        match run {
            Ok(Some(ProbeRun { native: true, .. })) => Self::Native,
            Ok(Some(_)) => Self::Emulated,
            Ok(None) => Self::Ended,
            Err(e) => Self::Refused(e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)),
        }
    }
}

/// Values of the last two bytes of `e_ident`, which no loader reads.
const PADDINGS: [[u8; 2]; 4] = [[0, 0], [0, 1], [1, 0], [0x80, 0x80]];
/// Their place in the file (elf(5)).
const PADDING_OFFSET: usize = 14;

/// Starts the probe with each padding that no visible rule takes, until one start gives the answer. An entry that is
/// not visible here, such as one of a container's host, may take a probe, too.
fn try_paddings(probe: &[u8], table: &Table, start: impl Fn(&[u8]) -> Observation) -> LoaderSupport {
    let mut unknown = None;
    for padding in PADDINGS {
        let mut padded = probe.to_vec();
        padded.iter_mut().skip(PADDING_OFFSET).zip(padding).for_each(|(place, byte)| *place = byte);
        if let Some(entry) = table.matching_entry(&padded).filter(|_| !table.is_switched_off()) {
            unknown = unknown.or(Some(format!("the entry {} takes the probe program", entry_name(entry))));
            continue;
        }
        unknown = Some(match start(&padded) {
            Observation::Native => return LoaderSupport::Yes,
            Observation::Refused(Errno::ENOEXEC) => return LoaderSupport::No,
            // It was started, and no visible entry starts anything for it; its result does not matter.
            Observation::Ended if matches!(table, Table::Mounted { .. }) => return LoaderSupport::Yes,
            Observation::Emulated | Observation::Ended => "an entry that is not visible takes the probe program".into(),
            Observation::Refused(errno) => format!("{}: {errno:?}", errno.desc()),
        });
    }
    LoaderSupport::Unknown(unknown.unwrap_or_default())
}

/// Runs the system's probe where no entry can take it.
fn try_in_empty_table(arch: &'static Arch) -> LoaderSupport {
    match isolated::run_isolated(Isolation::EmptyTable, arch) {
        ProbeResult::Ran(_) => LoaderSupport::Yes,
        ProbeResult::Refused(e) if e.raw_os_error() == Some(Errno::ENOEXEC as i32) => LoaderSupport::No,
        ProbeResult::Refused(e) => LoaderSupport::Unknown(e.to_string()),
        ProbeResult::Failed(why) | ProbeResult::JitRefused(why) | ProbeResult::NotRun(why) => {
            LoaderSupport::Unknown(why)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use binfmt_magic::{Entry, EntryName, Flags, Pattern, Recognition, Rule};

    fn table(patterns: impl IntoIterator<Item = Pattern>) -> Table {
        let name = || EntryName::new("wide").unwrap_or_else(|e| panic!("{e}"));
        let rule = |pattern| Rule {
            name: name(),
            recognition: Recognition::Magic(pattern),
            interpreter: b"/q".into(),
            flags: Flags::default(),
        };
        let entries = patterns.into_iter().map(|pattern| Entry { enabled: true, rule: rule(pattern) }).collect();
        Table::of_entries(entries)
    }

    fn pattern_of(system: &str) -> Option<Pattern> {
        Arch::by_target(system).map(Arch::pattern)
    }

    fn probe_of(system: &str) -> &'static [u8] {
        Arch::by_target(system).and_then(Arch::probe).unwrap_or_default()
    }

    /// A kernel that runs such programs or not, and that starts an emulator for those which the table takes.
    fn support(system: &str, table: &Table, runs: bool) -> (LoaderSupport, usize) {
        let starts = Cell::new(0);
        let kernel = |padded: &[u8]| {
            starts.set(starts.get() + 1);
            match table.matching_entry(padded) {
                Some(_) => Observation::Emulated,
                None if runs => Observation::Native,
                None => Observation::Refused(Errno::ENOEXEC),
            }
        };
        (try_paddings(probe_of(system), table, kernel), starts.get())
    }

    /// The case of arm64 machines, of which some run 32-bit programs; the case of i386 is run on the real kernel.
    #[test]
    fn an_entry_does_not_hide_that_the_kernel_runs_the_programs() {
        for system in ["arm", "i386"] {
            for pattern in [None, pattern_of(system)] {
                let table = table(pattern);
                assert_eq!(support(system, &table, true), (LoaderSupport::Yes, 1));
                assert_eq!(support(system, &table, false), (LoaderSupport::No, 1));
            }
        }
    }

    #[test]
    fn a_rule_that_takes_every_probe_leaves_the_question_open() {
        let table = table(Pattern::new(0, b"\x7fELF\x01".to_vec(), None).ok());
        for runs in [true, false] {
            let (support, starts) = support("arm", &table, runs);
            assert!(matches!(support, LoaderSupport::Unknown(why) if why.contains("wide")) && starts == 0);
        }
    }

    /// In a container the host's entries are in force, but its table is not visible.
    #[test]
    fn an_invisible_entry_does_not_hide_it_either() {
        let hidden = table(pattern_of("arm"));
        let kernel = |padded: &[u8]| match hidden.matching_entry(padded) {
            Some(_) => Observation::Emulated,
            None => Observation::Native,
        };
        assert_eq!(try_paddings(probe_of("arm"), &Table::NotMounted, kernel), LoaderSupport::Yes);
    }
}
