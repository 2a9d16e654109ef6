//! Sets of entries: of this tool, of other tools, and random ones.

use std::path::Path;

use binfmt_magic::{Arch, EntryName, Flags, Pattern, Recognition, Rule, WINDOW};

use super::judge::{Dice, file, file_with, interpreter, native, noexec};

pub(super) struct Set {
    /// Rules, oldest first.
    pub(super) lines: Vec<Vec<u8>>,
    /// Names of disabled entries.
    pub(super) disabled: Vec<String>,
    pub(super) switched_off: bool,
    /// Whether the set is tried with every file of the corpus.
    pub(super) whole: bool,
    pub(super) seed: u64,
}

impl Set {
    fn of(lines: Vec<Vec<u8>>) -> Self {
        Self { lines, disabled: Vec::new(), switched_off: false, whole: false, seed: 3 }
    }
}

/// Number of random sets.
const RANDOM: u64 = 24;

pub(super) fn all() -> Vec<Set> {
    let mut sets = vec![
        Set { whole: true, ..Set::of(ours("PF", |_| true)) },
        Set::of(ours("", |_| true)),
        Set::of(ours("POCF", |arch| arch.pattern().matches(native()))),
        Set { switched_off: true, ..Set::of(ours("F", |_| true)) },
        Set { disabled: vec!["qemu-aarch64".into(), "qemu-i386".into()], ..Set::of(ours("F", |_| true)) },
        Set { whole: true, ..Set::of(of_others()) },
    ];
    sets.extend((0..RANDOM).map(random));
    sets
}

/// Rules of this tool. A rule for native programs is included only if it is the only one.
fn ours(flags: &str, which: impl Fn(&Arch) -> bool) -> Vec<Vec<u8>> {
    let chosen: Vec<_> = Arch::ALL.iter().filter(|arch| which(arch)).collect();
    let alone = chosen.len() == 1;
    let line = |(number, arch): (usize, &&Arch)| {
        (alone || !arch.pattern().matches(native())).then(|| {
            let path = interpreter(number);
            line(&format!("qemu-{}", arch.target), Recognition::Magic(arch.pattern()), &path, flags)
        })
    };
    chosen.iter().enumerate().filter_map(line).collect()
}

/// Rules like those of other tools: too wide, too narrow, overlapping, or never matching.
fn of_others() -> Vec<Vec<u8>> {
    let lines = [
        // OpenRC's aarch64 leaves the high byte of e_machine out.
        r":a64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7:\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff:/scratch/i/00040:OC",
        // Guix's mips also matches n32.
        r":mips:M::\x7fELF\x01\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x08:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff:/scratch/i/00041:",
        r":arm:M:18:\x28\x00::/scratch/i/00042:P",
        r":big:M:4:\x02\x02::/scratch/i/00043:F",
        // QEMU's microblaze never matches.
        r":mb:M::\x7fELF\x01\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xba\xab:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/scratch/i/00044:",
        r":riscv:M:18:\xf3\x00:\xff\xff:/scratch/missing:",
        r":s390:M:18:\x00\x16:\xff\xff:/scratch/plain:",
        r":ppc:M:18:\x00\x14:\xff\xff:/scratch/noexec/i:",
        r":sparc:M:18:\x00\x2b:\xff\xff:/scratch:",
        r":alpha:M:18:\x26\x90::/bin/true:",
        r":nul:M:30:\x00\x00\x00\x00\x01::/scratch/i/00045:",
        r":dos:E::exe::/scratch/i/00046:",
        r":gz:E::gz::/scratch/i/00047:PO",
        r":never:E::d/x::/scratch/i/00048:",
        r":mz:M::MZ::/scratch/script:",
        r":wasm:M::\x00asm::/scratch/script:O",
        r":pk:M::PK::/scratch/foreign:",
    ];
    places();
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}

/// Creates the possible interpreters of these sets and returns their paths.
fn places() -> Vec<&'static str> {
    for number in 40..60 {
        interpreter(number);
    }
    file_with("plain", native(), 0o644);
    file("script", b"#!/scratch/i/00050 argument\n");
    file("foreign", Arch::by_target("arm").unwrap().probe().unwrap());
    let dir = noexec();
    let on_noexec = dir.join("i");
    if !on_noexec.exists() {
        std::fs::copy(interpreter(40), on_noexec).unwrap();
    }
    vec![
        "/scratch/i/00040",
        "/scratch/i/00041",
        "/scratch/i/00042",
        "scratch/i/00043",
        "/scratch/missing",
        "/scratch/plain",
        "/scratch/noexec/i",
        "/scratch",
        "/bin/true",
        "/scratch/script",
        "/scratch/foreign",
        "/scratch/i/00044/x",
    ]
}

fn random(seed: u64) -> Set {
    let mut dice = Dice::new(seed + 100);
    let places = places();
    let mut disabled = Vec::new();
    let mut lines = Vec::new();
    for number in 0..=dice.below(14) {
        let name = format!("entry-{number}");
        // Good interpreters are more frequent than bad ones.
        let place = if dice.below(2) == 0 { places[dice.below(4)] } else { *dice.one(&places) };
        let letters: String = "POCF".chars().filter(|_| dice.below(3) == 0).collect();
        lines.push(line(&name, recognition(&mut dice), Path::new(place), &letters));
        if dice.below(5) == 0 {
            disabled.push(name);
        }
    }
    Set { disabled, switched_off: seed % 8 == 7, seed: seed + 200, ..Set::of(lines) }
}

fn recognition(dice: &mut Dice) -> Recognition {
    if dice.below(6) == 0 {
        return Recognition::Extension(dice.one(&["exe", "x", "gz", "tar.gz", "d", "00001"]).as_bytes().to_vec());
    }
    let arch = dice.one(Arch::ALL);
    let head = dice.one(&arch.headers()).clone();
    let offset = if dice.below(3) == 0 { 0 } else { dice.below(head.len()) };
    let size = 1 + dice.below((head.len() - offset).min(24));
    let mut magic = head[offset..offset + size].to_vec();
    // Beyond the end of most files, where the kernel sees NUL bytes.
    if dice.below(8) == 0 {
        let offset = 200 + dice.below(40);
        return Recognition::Magic(Pattern::new(offset.min(WINDOW - 4), vec![0; 1 + dice.below(4)], None).unwrap());
    }
    if dice.below(4) == 0 {
        let at = dice.below(magic.len());
        magic[at] = dice.byte();
    }
    let mask = (dice.below(3) > 0).then(|| {
        magic.iter().map(|_| if dice.below(4) == 0 { dice.byte() } else { *dice.one(&[0xff, 0xff, 0xfe, 0]) }).collect()
    });
    Recognition::Magic(Pattern::new(offset, magic, mask).unwrap())
}

fn line(name: &str, recognition: Recognition, interpreter: &Path, flags: &str) -> Vec<u8> {
    let flags: Flags = flags.parse().unwrap();
    let interpreter = interpreter.to_str().unwrap().into();
    Rule { name: EntryName::new(name).unwrap(), recognition, interpreter, flags }.to_line().unwrap()
}
