//! Files of every guest, and files that differ from them in one or two bytes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use binfmt_magic::Arch;

use super::judge::{Dice, file, native};

pub(super) struct Corpus {
    /// Headers as toolchains write them, and probes, of every guest.
    pub(super) guests: Vec<PathBuf>,
    /// Files that are damaged, truncated, or of other kinds.
    pub(super) variants: Vec<PathBuf>,
}

impl Corpus {
    pub(super) fn every(&self) -> Vec<PathBuf> {
        self.guests.iter().chain(&self.variants).cloned().collect()
    }

    pub(super) fn all(&self) -> usize {
        self.guests.len() + self.variants.len()
    }
}

/// Creates the files. No two of them have the same bytes.
pub(super) fn files() -> Corpus {
    let mut known = BTreeSet::new();
    let mut write = |heads: Vec<Vec<u8>>, group: &str| {
        let new = heads.into_iter().filter(|head| known.insert(head.clone()));
        let ends = ["", ".exe", ".x", ".tar.gz", ".d/x", "."];
        let name = |number: usize| format!("f/{group}{number}{}", ends[number % ends.len()]);
        new.enumerate().map(|(number, head)| file(&name(number), &head)).collect()
    };
    let whole: Vec<Vec<u8>> = Arch::ALL.iter().flat_map(|arch| [arch.headers(), probe(arch)].concat()).collect();
    let damaged = damaged(&whole);
    Corpus { guests: write(whole, "g"), variants: write([damaged, other_kinds()].concat(), "o") }
}

fn probe(arch: &Arch) -> Vec<Vec<u8>> {
    arch.probe().map(<[u8]>::to_vec).into_iter().collect()
}

fn damaged(whole: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut dice = Dice::new(1);
    let mut heads = Vec::new();
    for head in whole {
        for _ in 0..6 {
            let mut changed = head.clone();
            for _ in 0..=dice.below(2) {
                let at = dice.below(head.len().min(64));
                changed[at] = if dice.below(2) == 0 { changed[at] ^ (1 << dice.below(8)) } else { dice.byte() };
            }
            heads.push(changed);
        }
        heads.push(head[..dice.below(head.len())].to_vec());
    }
    heads
}

/// Damaged files of this machine, and files of other kinds.
fn other_kinds() -> Vec<Vec<u8>> {
    let mut dice = Dice::new(2);
    let mut heads: Vec<Vec<u8>> = (0..64).map(|length| native()[..length].to_vec()).collect();
    // Every byte of the header, whether or not the loader reads it.
    for at in (0..24).chain(32..64) {
        for change in [1, 2, 0x80] {
            let mut changed = native().to_vec();
            changed[at] ^= change;
            heads.push(changed);
        }
    }
    // IA-32, 486 and x32 on x86_64.
    for machine in [3_u8, 6, 62, 40, 183] {
        let mut changed = Arch::by_target("i386").unwrap().probe().unwrap().to_vec();
        changed[18] = machine;
        heads.push(changed);
    }
    let kinds: [&[u8]; 12] = [
        b"MZ\x90\0\x03",
        b"\0asm\x01\0\0\0",
        b"\xca\xfe\xba\xbe\0\0\0\x34",
        b"echo hello\n",
        b"\n",
        b"\0",
        b"#",
        b"# !",
        b"!",
        b"\x7fELF",
        b"\x7fELG\x02\x01\x01",
        b"PK\x03\x04",
    ];
    heads.extend(kinds.map(<[u8]>::to_vec));
    heads.extend((0..300).map(|_| (0..dice.below(300)).map(|_| dice.byte()).collect::<Vec<u8>>()));
    heads
}
