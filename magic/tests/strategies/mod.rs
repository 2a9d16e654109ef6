//! Random rules, and lines that are nearly rules.
#![allow(dead_code, reason = "not every test that includes this file needs all of it")]

use binfmt_magic::{EntryName, Flags, Pattern, Recognition, Rule, WINDOW};
use proptest::collection::vec;
use proptest::prelude::*;

/// Any rule that the kernel could hold.
pub(crate) fn rules() -> impl Strategy<Value = Rule> {
    let name = vec(any::<u8>(), 1..40).prop_filter_map("a name", |bytes| EntryName::new(bytes).ok());
    let path = vec(1..=255_u8, 1..60);
    let suffix = vec(1..=255_u8, 1..9).prop_filter("no path", |bytes| !bytes.contains(&b'/'));
    let recognition =
        prop_oneof![4 => patterns().prop_map(Recognition::Magic), 1 => suffix.prop_map(Recognition::Extension)];
    let flags = "[POCFTLD]{0,4}".prop_filter_map("flags", |letters| letters.parse::<Flags>().ok());
    (name, recognition, path, flags).prop_map(|(name, recognition, path, flags)| {
        let is_opened_late = (flags.credentials || flags.loader) && !flags.fix_binary;
        let interpreter = if is_opened_late { [b"/", path.as_slice()].concat() } else { path };
        Rule { name, recognition, interpreter, flags }
    })
}

pub(crate) fn patterns() -> impl Strategy<Value = Pattern> {
    (0..WINDOW, vec(any::<u8>(), 1..60), any::<bool>(), vec(any::<u8>(), 60)).prop_map(
        |(offset, magic, masked, mask)| {
            let mask = masked.then(|| mask[..magic.len()].to_vec());
            Pattern::new(offset.min(WINDOW - magic.len()), magic, mask).unwrap()
        },
    )
}

/// Short, with few values, so that many pairs meet.
pub(crate) fn small_patterns() -> impl Strategy<Value = Pattern> {
    (0..4_usize, vec((0..2_u8, 0..2_u8), 1..4)).prop_map(|(offset, bytes)| {
        let (magic, mask): (Vec<u8>, Vec<u8>) = bytes.into_iter().unzip();
        Pattern::new(offset, magic, Some(mask)).unwrap()
    })
}

pub(crate) fn near_lines() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        ":",
        ":",
        ":",
        "M",
        "E",
        "name",
        "0",
        "+4",
        "-0",
        "255",
        r"\x7f",
        r"\x00",
        r"\x4",
        r"\\x41",
        "\\",
        "ELF",
        "\0",
        "\n",
        "/bin/qemu",
        "PF",
        "C",
        "T",
        "L",
        "D",
        ",",
    ];
    let free = vec(prop::sample::select(pieces.to_vec()), 8..24).prop_map(|pieces| pieces.concat().into_bytes());
    let field = vec(prop::sample::select(pieces[5..].to_vec()), 0..4).prop_map(|pieces| pieces.concat());
    let shaped = (prop::sample::select(vec!["M", "E"]), vec(field, 5))
        .prop_map(|(kind, f)| format!(":n{}:{kind}:{}:{}:{}:/{}:PF", f[0], f[1], f[2], f[3], f[4]).into_bytes());
    prop_oneof![free, shaped]
}

/// The line of a rule in which one byte was changed, lost or added.
pub(crate) fn damaged_lines() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![prop::sample::select(b":\\x0aM\n\0,PTLD".to_vec()), any::<u8>()];
    let line = rules().prop_filter_map("a line", |rule| rule.to_line().ok());
    (line, any::<prop::sample::Index>(), byte, 0..3).prop_map(|(mut line, at, byte, how)| {
        let at = at.index(line.len());
        match how {
            0 => line[at] = byte,
            1 => drop(line.remove(at)),
            _ => line.insert(at, byte),
        }
        line
    })
}
