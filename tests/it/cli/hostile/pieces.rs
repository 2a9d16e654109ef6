//! The material of hostile inputs: values that programs have trouble with, and ways to damage a document.

use std::fs;
use std::path::Path;

use crate::support::rng::Noise;

/// Arguments, values and parts of files.
pub(crate) const ODD: &[&[u8]] = &[
    b"",
    b"-",
    b"--",
    b"-1",
    b"0",
    b"18446744073709551616",
    b"1e9",
    b"=",
    b" ",
    b"\t",
    b"-n",
    b"--json=yes",
    b"--root=/",
    b"@/etc/passwd",
    b"all",
    b"x86_64",
    b"aarch46",
    b"aarch64,riscv64",
    b"latest",
    b"../../../../../../etc/shadow",
    b"/",
    b"/etc",
    b"/proc/self/mem",
    b"/proc/self/fd/0",
    b"/dev/null",
    b"/nowhere/at/all",
    b"http://user:secret@127.0.0.1:1/",
    b"http://[::1",
    b"ftp://127.0.0.1/",
    b"file:///etc/passwd",
    b"oci://user:secret@127.0.0.1:1/x@sha256:00",
    b"oci://127.0.0.1:1/x",
    b"sha256:0000000000000000000000000000000000000000000000000000000000000000",
    b"$(id)",
    b"`id`",
    b"'; id; '",
    b"%s%n%x",
    b"{}{0}{:?}",
    b"\x1b[2J\x1b]0;title\x07",
    b"\x1b]8;;http://127.0.0.1/\x1b\\link",
    b"\r overwritten",
    b"\x08\x7f\x0e",
    b"a\nerror: forged\nhelp: forged",
    b"\xff\xfe\x80",
    b"\x9b31m",
    b"\xc3",
    b"\xed\xa0\x80",
    "\u{9b}31m".as_bytes(),
    "\u{202e}reversed\u{2066}".as_bytes(),
    "\u{200b}\u{feff}\u{2028}".as_bytes(),
    "é日本\u{1f4a9}e\u{301}".as_bytes(),
    &[b'A'; 5000],
    &[b'/'; 4097],
    &[b'0'; 64],
    &[b'9'; 400],
];

/// Changes some bytes of a document.
pub(crate) fn damage(noise: &mut Noise, document: &[u8]) -> Vec<u8> {
    let mut bytes = document.to_vec();
    for _ in 0..=noise.below(3) {
        let at = noise.index(bytes.len() + 1);
        let end = (at + 1 + noise.index(16)).min(bytes.len());
        match noise.below(7) {
            0 => drop(bytes.splice(at..at, noise.pick(ODD).iter().copied())),
            1 => drop(bytes.splice(at..end, noise.pick(ODD).iter().copied())),
            2 => drop(bytes.drain(at..end)),
            3 => bytes.truncate(at),
            4 => drop(bytes.splice(at..at, bytes[at..end].repeat(40))),
            5 => bytes[at..end].fill(u8::try_from(noise.below(256)).unwrap()),
            _ => bytes[at..end].iter_mut().take(1).for_each(|byte| *byte ^= 1 << noise.below(8)),
        }
    }
    bytes
}

/// The seeds of a fuzz target, in order of their names.
pub(crate) fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}
