//! `explain` on arbitrary files and tables: it never panics, and its statements are consistent.

use std::collections::BTreeSet;

use binfmt_magic::{Arch, Entry, EntryName, Flags, Pattern, Recognition, Rule};
use binfmt_nix::binfmt::table::{Table, UnsupportedEntry};
use binfmt_nix::diagnose::explain::process::{ProcessInfo, analyse};
use binfmt_nix::diagnose::explain::{
    AccessProblem, ExecVerdict, Explanation, Handler, MachineFacts, OpenedFile, TableState, explain_exec,
};
use nix::errno::Errno;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::support::config;

/// Paths. The last byte of a path selects its file.
fn paths() -> impl Strategy<Value = Vec<u8>> {
    select(vec!["/a", "/b", "/c", "d", "/e.exe", "/f.x/y", "/g", ""]).prop_map(|path| path.as_bytes().to_vec())
}

/// Programs of every guest with some changed bytes, scripts that name the files, and arbitrary bytes.
fn heads() -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<Index>(), any::<u8>()), 0..6);
    let damaged = (any::<Index>(), changes, any::<Index>()).prop_map(|(row, changes, end)| {
        let mut head = Arch::ALL[row.index(Arch::ALL.len())].probe().unwrap().to_vec();
        for (at, byte) in changes {
            let at = at.index(head.len());
            head[at] = byte;
        }
        head.truncate(end.index(head.len() * 3));
        head
    });
    // Programs with up to four segments of the kinds that are read, whose ranges may lie outside of the file.
    let segments = vec((select(vec![1_u32, 3, 4, 6]), 0..400_u64, 0..300_u64, select(vec![1_u64, 4, 8])), 0..4);
    let notes = vec(select(vec![&b"NetBSD\0\0"[..], b"GNU\0", b"\x04\0\0\0", b"\x08\0\0\0", b"\x01\0\0\0"]), 0..40);
    let linked =
        (any::<Index>(), segments, notes).prop_map(|(row, segments, notes)| linked(row, &segments, &notes.concat()));
    let blank = || prop::string::string_regex("[ \t]{0,260}").unwrap();
    let script = (blank(), paths(), blank(), vec(any::<u8>(), 0..20))
        .prop_map(|(before, path, after, rest)| [b"#!", before.as_bytes(), &path, after.as_bytes(), &rest].concat());
    prop_oneof![3 => damaged, 2 => linked, 2 => script, 1 => vec(any::<u8>(), 0..300)]
}

/// A little-endian program of 64 bits with these segments (kind, offset, size, alignment) and these bytes behind them.
fn linked(row: Index, segments: &[(u32, u64, u64, u64)], rest: &[u8]) -> Vec<u8> {
    let rows: Vec<_> = ["x86_64", "aarch64", "riscv64"].into_iter().filter_map(Arch::by_target).collect();
    let mut bytes = rows[row.index(rows.len())].probe().unwrap()[..64].to_vec();
    bytes[56..58].copy_from_slice(&u16::try_from(segments.len()).unwrap().to_le_bytes());
    for (kind, offset, size, align) in segments {
        let mut header = [0; 56];
        header[..4].copy_from_slice(&kind.to_le_bytes());
        for (at, value) in [(8, offset), (32, size), (48, align)] {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        bytes.extend(header);
    }
    [&bytes, rest].concat()
}

fn open_results() -> impl Strategy<Value = Result<(Vec<u8>, bool), Option<Errno>>> {
    let errno = select(vec![Some(Errno::ENOENT), Some(Errno::EACCES), Some(Errno::ELOOP), None]);
    prop_oneof![6 => (heads(), prop::bool::weighted(0.2)).prop_map(Ok), 1 => errno.prop_map(Err)]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let pattern = (any::<Index>(), 0..40_usize, 1..20_usize, prop::option::of(any::<[u8; 20]>())).prop_map(
        |(row, offset, size, mask)| {
            let head = Arch::ALL[row.index(Arch::ALL.len())].headers().swap_remove(0);
            let magic: Vec<u8> = head.into_iter().cycle().skip(offset).take(size).collect();
            Recognition::Magic(Pattern::new(offset, magic, mask.map(|mask| mask[..size].to_vec())).unwrap())
        },
    );
    let extension = select(vec!["exe", "x/y", "a"]).prop_map(|suffix| Recognition::Extension(suffix.into()));
    let flags = "[POCFTL]{0,4}".prop_filter_map("flags", |letters| letters.parse::<Flags>().ok());
    let one = (prop_oneof![5 => pattern, 1 => extension], paths(), flags, prop::bool::weighted(0.8));
    vec(one, 0..8).prop_map(|all| {
        let entry = |(number, (recognition, interpreter, flags, enabled))| {
            let name = EntryName::new(format!("entry-{number}")).unwrap();
            Entry { enabled, rule: Rule { name, recognition, interpreter, flags } }
        };
        all.into_iter().enumerate().map(entry).collect()
    })
}

fn tables() -> impl Strategy<Value = Table> {
    let mounted =
        (entries(), prop::bool::weighted(0.9), vec("[a-z]{1,5}", 0..2)).prop_map(|(entries, enabled, names)| {
            let unsupported = names.into_iter().map(|name| UnsupportedEntry { name, handler: None }).collect();
            Table::new(entries, unsupported, enabled)
        });
    prop_oneof![8 => mounted, 1 => Just(Table::NotMounted), 1 => Just(Table::Offline)]
}

fn open_result(found: &Result<(Vec<u8>, bool), Option<Errno>>) -> Result<OpenedFile, AccessProblem> {
    let obstacle = |errno| AccessProblem { errno, why: "is odd".into(), repair: Some("do".into()) };
    let (bytes, forbidden) = found.clone().map_err(obstacle)?;
    let head = bytes.iter().copied().take(256).collect();
    let size = bytes.len() as u64;
    let read = move |at: u64, size: usize| {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        bytes.iter().skip(at).take(size).copied().collect()
    };
    Ok(OpenedFile { head, size, obstacle: forbidden.then(|| obstacle(Some(Errno::EACCES))), read: Box::new(read) })
}

fn check_consistency(said: &Explanation, table: &Table) -> Result<(), TestCaseError> {
    prop_assert_eq!(
        said.runs,
        matches!(said.verdict, ExecVerdict::Native | ExecVerdict::Emulated | ExecVerdict::Interpreted)
    );
    prop_assert_eq!(said.errno.is_some(), said.verdict == ExecVerdict::Refused);
    prop_assert!(said.steps.len() <= 6 && !said.why.is_empty());
    let elves: Vec<_> = said.steps.iter().filter_map(|step| step.elf.as_ref()).collect();
    prop_assert!(said.verdict != ExecVerdict::CutOff || elves.iter().any(|elf| elf.is_cut_off()));
    prop_assert!(said.verdict != ExecVerdict::Library || elves.iter().any(|elf| elf.is_library()));
    prop_assert!(said.verdict != ExecVerdict::OtherOs || elves.iter().any(|elf| elf.is_for_other_os()));
    prop_assert!(!said.runs || elves.iter().all(|elf| !elf.is_cut_off()));
    prop_assert!(elves.iter().all(|elf| !elf.is_for_other_os() || elf.system.is_none()));
    for step in &said.steps {
        prop_assert_eq!(step.entries.len(), table.entries().len());
        let taken: Vec<_> = step.entries.iter().filter(|entry| entry.taken).collect();
        prop_assert!(taken.iter().all(|entry| entry.enabled && entry.matches));
        prop_assert!(step.entries.iter().all(|entry| entry.matches == entry.differs.is_none()));
        let first = step.entries.iter().find(|entry| entry.enabled && entry.matches);
        let expected = first.filter(|_| said.table == TableState::InForce).map(|entry| entry.name.clone());
        prop_assert_eq!(taken.first().map(|entry| entry.name.clone()), expected.clone());
        let by_entry = if let Handler::Entry { name } = &step.taken_by { Some(name.clone()) } else { None };
        // Flag L changes only how a program with a loader starts.
        let is_loader = taken.first().is_some_and(|entry| entry.flags.contains('L'));
        prop_assert!(by_entry == expected || (is_loader && by_entry.is_none()));
        prop_assert_eq!(step.interpreter.is_some(), matches!(step.taken_by, Handler::Entry { .. } | Handler::Script));
    }
    let emulated = said.steps.iter().any(|step| matches!(step.taken_by, Handler::Entry { .. }));
    prop_assert!(said.verdict != ExecVerdict::Native || !emulated);
    prop_assert!(serde_json::to_string(said).is_ok());
    Ok(())
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn an_explanation_is_consistent(
        file in paths(), files in vec(open_results(), 8), table in tables(),
        machine in select(vec!["x86_64", "aarch64", "i686", "s390x", "mips", "vax"]),
    ) {
        let machine = MachineFacts::with_all_loaders(machine, table);
        let look = |path: &[u8]| open_result(&files[usize::from(path.last().copied().unwrap_or(0)) % files.len()]);
        check_consistency(&explain_exec(&file, &machine, &look), &machine.table)?;
    }

    #[test]
    fn reported_arguments_are_arguments_of_the_process(
        executes: Vec<u8>, arguments in vec(vec(any::<u8>(), 0..4), 0..5), execfn: Option<Vec<u8>>,
        is_itself: Option<bool>, preserves: Option<bool>, interpreters in vec(vec(any::<u8>(), 0..4), 0..3),
    ) {
        let interpreters: Vec<&[u8]> = interpreters.iter().map(Vec::as_slice).collect();
        let seen = ProcessInfo { executes, arguments: arguments.clone(), execfn, is_itself, preserves };
        let found = analyse(&seen, &interpreters);
        let known: BTreeSet<_> = arguments.into_iter().collect();
        prop_assert!(found.arguments.iter().chain(&found.argv0).all(|argument| known.contains(argument)));
    }
}
