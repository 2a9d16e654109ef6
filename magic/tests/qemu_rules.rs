//! The table against the rules of QEMU's own `scripts/qemu-binfmt-conf.sh` (10.0), from which it comes.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that panics has failed"
)]

use binfmt_magic::{Arch, Pattern};

/// Rows that are not QEMU's byte by byte; why is said at the row.
const DIFFERENT: &[&str] = &["ppc64le", "microblaze", "microblazeel"];

#[test]
fn rows_are_qemus_unless_they_are_known_to_differ() {
    for arch in Arch::ALL {
        let equal = qemus(arch.target) == arch.pattern();
        assert_eq!(equal, !DIFFERENT.contains(&arch.target), "{}", arch.target);
    }
}

#[test]
fn rows_take_the_programs_that_qemus_rules_take() {
    for arch in Arch::ALL {
        let same = arch.pattern().same_programs(&qemus(arch.target));
        // QEMU's rules know MicroBlaze by its old number alone.
        assert_eq!(same, !arch.target.starts_with("microblaze"), "{}", arch.target);
    }
}

#[test]
fn qemus_microblaze_rule_can_not_match_a_big_endian_program() {
    let mut head = Arch::by_target("microblaze").unwrap().headers().swap_remove(0);
    for machine in [[0x00, 0xbd], [0xba, 0xab]] {
        head[18..20].copy_from_slice(&machine);
        assert!(!qemus("microblaze").matches(&head));
    }
}

#[test]
fn only_i486_of_qemus_rules_has_no_row() {
    let without: Vec<_> = QEMU.iter().map(|rule| rule.0).filter(|name| Arch::by_target(name).is_none()).collect();
    assert_eq!(without, ["i486"]);
}

fn qemus(target: &str) -> Pattern {
    let (_, magic, mask) = QEMU.iter().find(|rule| rule.0 == target).unwrap();
    Pattern::new(0, bytes(magic), Some(bytes(mask))).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Name, magic and mask of every rule of the script.
#[rustfmt::skip]
const QEMU: &[(&str, &str, &str)] = &[
    ("i386", "7f454c4601010100000000000000000002000300",
        "fffffffffffefe00fffffffffffffffffeffffff"),
    ("i486", "7f454c4601010100000000000000000002000600",
        "fffffffffffefe00fffffffffffffffffeffffff"),
    ("x86_64", "7f454c4602010100000000000000000002003e00",
        "fffffffffffefe00fffffffffffffffffeffffff"),
    ("alpha", "7f454c4602010100000000000000000002002690",
        "fffffffffffefe00fffffffffffffffffeffffff"),
    ("arm", "7f454c4601010100000000000000000002002800",
        "ffffffffffffff00fffffffffffffffffeffffff"),
    ("armeb", "7f454c4601020100000000000000000000020028",
        "ffffffffffffff00fffffffffffffffffffeffff"),
    ("sparc", "7f454c4601020100000000000000000000020002",
        "ffffffffffffff00fffffffffffffffffffeffff"),
    ("sparc32plus", "7f454c4601020100000000000000000000020012",
        "ffffffffffffff00fffffffffffffffffffeffff"),
    ("sparc64", "7f454c460202010000000000000000000002002b",
        "ffffffffffffff00fffffffffffffffffffeffff"),
    ("ppc", "7f454c4601020100000000000000000000020014",
        "ffffffffffffff00fffffffffffffffffffeffff"),
    ("ppc64", "7f454c4602020100000000000000000000020015",
        "ffffffffffffff00fffffffffffffffffffeffff"),
    ("ppc64le", "7f454c4602010100000000000000000002001500",
        "ffffffffffffff00fffffffffffffffffeffff00"),
    ("m68k", "7f454c4601020100000000000000000000020004",
        "fffffffffffffe00fffffffffffffffffffeffff"),
    ("sh4", "7f454c4601010100000000000000000002002a00",
        "ffffffffffffff00fffffffffffffffffeffffff"),
    ("sh4eb", "7f454c460102010000000000000000000002002a",
        "ffffffffffffff00fffffffffffffffffffeffff"),
    ("s390x", "7f454c4602020100000000000000000000020016",
        "ffffffffffffff00fffffffffffffffffffeffff"),
    ("aarch64", "7f454c460201010000000000000000000200b700",
        "ffffffffffffff00fffffffffffffffffeffffff"),
    ("aarch64_be", "7f454c46020201000000000000000000000200b7",
        "ffffffffffffff00fffffffffffffffffffeffff"),
    ("hppa", "7f454c460102010000000000000000000002000f",
        "ffffffffffffff00fffffffffffffffffffeffff"),
    ("riscv32", "7f454c460101010000000000000000000200f300",
        "ffffffffffffff00fffffffffffffffffeffffff"),
    ("riscv64", "7f454c460201010000000000000000000200f300",
        "ffffffffffffff00fffffffffffffffffeffffff"),
    ("xtensa", "7f454c4601010100000000000000000002005e00",
        "ffffffffffffff00fffffffffffffffffeffffff"),
    ("xtensaeb", "7f454c460102010000000000000000000002005e",
        "ffffffffffffff00fffffffffffffffffffeffff"),
    ("microblazeel", "7f454c460101010000000000000000000200abba",
        "ffffffffffffff00fffffffffffffffffeffffff"),
    ("or1k", "7f454c460102010000000000000000000002005c",
        "ffffffffffffff00fffffffffffffffffffeffff"),
    ("hexagon", "7f454c460101010000000000000000000200a400",
        "ffffffffffffff00fffffffffffffffffeffffff"),
    ("loongarch64", "7f454c4602010100000000000000000002000201",
        "fffffffffffffffc00fffffffffffffffeffffff"),
    ("mips64", "7f454c4602020100000000000000000000020008",
        "ffffffffffffff0000fffffffffffffffffeffff"),
    ("mips64el", "7f454c4602010100000000000000000002000800",
        "ffffffffffffff0000fffffffffffffffeffffff"),
    ("microblaze", "7f454c460102010000000000000000000200baab",
        "ffffffffffffff00fffffffffffffffffeffffff"),
    ("mips", "7f454c46010201000000000000000000000200080000000100000000000000000000000000000000",
        "ffffffffffffff0000fffffffffffffffffeffffffffffff00000000000000000000000000000020"),
    ("mipsel", "7f454c46010101000000000000000000020008000100000000000000000000000000000000000000",
        "ffffffffffffff0000fffffffffffffffeffffffffffffff00000000000000000000000020000000"),
    ("mipsn32", "7f454c46010201000000000000000000000200080000000100000000000000000000000000000020",
        "ffffffffffffff0000fffffffffffffffffeffffffffffff00000000000000000000000000000020"),
    ("mipsn32el", "7f454c46010101000000000000000000020008000100000000000000000000000000000020000000",
        "ffffffffffffff0000fffffffffffffffeffffffffffffff00000000000000000000000020000000"),
];
