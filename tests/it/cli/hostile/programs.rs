//! Files that may be programs: `explain` on damaged headers, scripts, and files that are not files.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use binfmt_magic::Arch;

use super::pieces::{ODD, damage};
use super::{Input, Sweep, emulator, scratch};
use crate::support::Tree;
use crate::support::rng::Noise;
use crate::support::table::line;

/// Offsets of fields of a 64-bit ELF header: e_machine, e_phoff, e_phentsize, e_phnum; and of the first program header:
/// p_type, p_offset, p_filesz.
const FIELDS: [usize; 7] = [18, 32, 54, 56, 64, 72, 96];

/// A program of this machine, or of another one, with damage where the kernel looks.
fn program(noise: &mut Noise, native: &[u8]) -> Vec<u8> {
    let probe = Arch::ALL[noise.index(Arch::ALL.len())].probe().unwrap_or(native);
    let mut bytes = if noise.below(2) == 0 { native.to_vec() } else { probe.to_vec() };
    if noise.below(2) == 0 {
        let field = noise.pick(&FIELDS);
        let size = 1 + noise.index(8);
        let value = noise.pick(&[0_u8, 1, 3, 0x7f, 0xff]);
        bytes.iter_mut().skip(field).take(size).for_each(|byte| *byte = value);
    }
    // PT_INTERP: what the path says is foreign text.
    if let Some(at) = bytes.windows(11).position(|found| found == b"/ld-linux-x".as_slice()) {
        let text = noise.pick(ODD);
        bytes.iter_mut().skip(at).zip(text.iter()).for_each(|(byte, odd)| *byte = *odd);
    }
    if noise.below(3) == 0 { damage(noise, &bytes) } else { bytes }
}

fn script(noise: &mut Noise) -> Vec<u8> {
    let paths: [&[u8]; 6] =
        [b"/bin/sh", b"/scratch/file", b"/scratch/emulator-of-nothing", b"relative", b"/scratch", b"/proc/self/exe"];
    let blank = " ".repeat(noise.index(300));
    let script =
        [&b"#!"[..], blank.as_bytes(), noise.pick(&paths), b" ", noise.pick(ODD), b"\n", noise.pick(ODD)].concat();
    if noise.below(3) == 0 { damage(noise, &script) } else { script }
}

/// A table whose entries have odd names, and interpreters that are missing, odd or programs of the same entry.
fn machine() -> Tree {
    let emulator = emulator();
    let odd = "/scratch/\u{202e}\x1b[31m odd\u{9b}";
    let tree = Tree::new().mounted();
    let tree = tree.entry(&line("ours", "aarch64", Path::new(&emulator), "PF"));
    let tree = tree.entry(&line("odd\x1b[2J\u{202e}", "riscv64", Path::new(odd), "P"));
    let tree = tree.entry(&line("loop", "s390x", Path::new("/scratch/file"), ""));
    tree.entry(":by-extension:E::exe::/nowhere:")
}

#[sandboxed]
fn explain_describes_damaged_files() {
    let mut noise = Noise::new(20);
    let native = fs::read("/bin/true").unwrap();
    let tree = machine();
    let mut sweep = Sweep::default();
    for number in 0..200 {
        let bytes = match number % 3 {
            0 => program(&mut noise, &native),
            1 => script(&mut noise),
            _ => damage(&mut noise, Arch::find("aarch64").unwrap().probe().unwrap()),
        };
        // Some files have an odd name, too.
        let odd = noise.pick(ODD).iter().copied().filter(|byte| !b"\0/".contains(byte)).take(200);
        let name = if number % 5 == 0 { [odd.collect(), b".exe".to_vec()].concat() } else { b"file".to_vec() };
        let path = scratch(OsStr::from_bytes(&name), &bytes);
        let mode = if number % 11 == 0 { 0o644 } else { 0o755 };
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let options: &[&str] = if number % 2 == 0 { &["explain"] } else { &["--json", "explain"] };
        let input = Input::new(options).arg(&path).noting("the file", &bytes);
        sweep.run_without_change(&input, &tree);
    }
    sweep.end("programs, scripts and names that are damaged, read by `explain`", 200);
}
