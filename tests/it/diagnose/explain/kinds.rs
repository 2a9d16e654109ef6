//! Files that are not what a user expects: `explain` names them, and its repairs make them run.

use std::fs;
use std::process::Command;

use binfmt_magic::Arch;

use crate::diagnose::explain::execve::judge::{mount_table, native};
use crate::diagnose::explain::execve::samples::path_of;
use crate::diagnose::explain::text::{explain, register_rule};
use crate::support::emulators::outside;
use crate::support::proposals::report_executed;
use crate::support::skip;

/// The start of a file of each kind that execve(2) rejects, with its word in JSON.
pub(crate) fn kinds() -> Vec<(&'static str, Vec<u8>)> {
    let mut pe = b"MZ".to_vec();
    pe.resize(60, 0);
    pe.extend(b"\x40\0\0\0PE\0\0\x64\xaa");
    let mut tar = b"etc/passwd".to_vec();
    tar.resize(257, 0);
    tar.extend(b"ustar\0");
    let short = STARTS.iter().map(|(kind, bytes)| (*kind, bytes.to_vec()));
    short.chain([("pe", pe), ("tar", tar)]).collect()
}

const STARTS: &[(&str, &[u8])] = &[
    ("empty", b""),
    ("marked-script", b"\xef\xbb\xbf#!/bin/sh\n"),
    ("indented-script", b"\n  #!/bin/sh\n"),
    ("html", b"\n<!DOCTYPE html>\n<title>404</title>\n"),
    ("html", b"<HTML>"),
    ("git-lfs-pointer", b"version https://lfs.invalid/spec/v1\noid sha256:4d7a2146\nsize 12345\n"),
    ("git-annex-pointer", b"/annex/objects/SHA256E-s1--aa\n"),
    ("utf16", b"\xff\xfe#\0!\0/\0"),
    ("text", b"echo hello\n"),
    ("text", b"\xef\xbb\xbfecho hello\n"),
    ("text", b"version https://lfs.invalid/spec/v1\n"),
    ("mach-o", b"\xcf\xfa\xed\xfe\x0c\0\0\x01"),
    ("mach-o", b"\xca\xfe\xba\xbe\0\0\0\x02\x01\0\0\x07\0\0\0\x03"),
    ("java-class", b"\xca\xfe\xba\xbe\0\0\0\x34"),
    ("dos", b"MZ\x90\0\x03"),
    ("xcoff", b"\x01\xf7\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\x78\0\x02"),
    ("wasm", b"\0asm\x01\0\0\0"),
    ("gzip", b"\x1f\x8b\x08\0"),
    ("xz", b"\xfd7zXZ\0"),
    ("zstd", b"\x28\xb5\x2f\xfd"),
    ("bzip2", b"BZh91AY&SY\0"),
    ("zip", b"PK\x03\x04"),
    ("seven-zip", b"7z\xbc\xaf\x27\x1c"),
    ("deb", b"!<arch>\ndebian-binary   "),
    ("rpm", b"\xed\xab\xee\xdb\x03"),
    ("ar", b"!<arch>\n/       "),
    ("data", b"\0\x01"),
    ("data", b"MY\x90\0"),
];

/// Files that execve(2) starts, and that do not work, each with the verdict in JSON.
pub(crate) fn flawed() -> Vec<(&'static str, Vec<u8>)> {
    let mut freebsd = native().to_vec();
    freebsd[7] = 9;
    // This machine's class and byte order are those of the probe.
    let (e_type, entry, size) = match (native()[4], native()[5]) {
        (2, 1) => (16, 24, 8),
        (2, _) => (17, 24, 8),
        (_, 1) => (16, 24, 4),
        (..) => (17, 24, 4),
    };
    let mut library = native().to_vec();
    library[e_type] = 3;
    library[entry..entry + size].fill(0);
    let cut = native()[..native().len() - 1].to_vec();
    let windows = b"#!/usr/bin/env sh\r\necho\n".to_vec();
    vec![("other-os", freebsd), ("library", library), ("cut-off", cut), ("carriage-return", windows)]
}

#[sandboxed]
fn files_that_are_no_programs_are_named() {
    let texts = [
        ("marked-script", "a script with a byte order mark before its #!"),
        ("html", "a web page"),
        ("git-lfs-pointer", "a pointer of Git LFS to a file that was not downloaded"),
        ("mach-o", "(Mach-O) for arm64"),
        ("pe", "(PE) for arm64, and there is no entry"),
        ("tar", "a tar archive"),
        ("wasm", "a WebAssembly module, and there is no entry"),
        ("gzip", "a file compressed by gzip"),
        ("zip", "a ZIP archive"),
        ("deb", "a package of Debian"),
    ];
    for (kind, text) in texts {
        let kinds = kinds();
        let (_, bytes) = kinds.iter().find(|row| row.0 == kind).unwrap();
        let done = explain(&[outside("file", bytes).to_str().unwrap()]).exits(3);
        done.prints("execve fails with ENOEXEC").prints(text).omits("binfmt-nix");
    }
}

#[sandboxed]
fn universal_binaries_name_each_processor() {
    let word = |number: u32| number.to_be_bytes();
    let mut bytes = [word(0xcafe_babe), word(2), word(0x0100_0007)].concat();
    bytes.resize(28, 0);
    bytes.extend(word(0x0100_000c));
    explain(&[outside("universal", &bytes).to_str().unwrap()]).exits(3).prints("(Mach-O) for x86-64, arm64");
}

/// Each command that `explain` proposes for a script is run, and then the script runs.
#[sandboxed]
fn repairs_of_scripts_make_them_run() {
    let scripts: [(&str, &[u8]); 6] = [
        ("marked", b"\xef\xbb\xbf#!/bin/sh\necho works\n"),
        ("indented", b" \n\t#!/bin/sh\necho works\n"),
        ("windows", b"#!/bin/sh\r\necho works\r\n"),
        ("windows with an argument", b"#!/bin/sh -e\r\necho works\r\n"),
        ("windows with env", b"#!/usr/bin/env sh\r\necho works\r\n"),
        ("unix", b"echo works\n"),
    ];
    for (name, bytes) in scripts {
        let path = outside(name, bytes);
        let path = path.to_str().unwrap();
        let said = explain(&["--json", path]).exits(3).json();
        let repair = match said["repairs"].as_array().unwrap().as_slice() {
            [] => &said["without_root"],
            [repair] => repair,
            _ => panic!("{said:#}"),
        };
        let done = Command::new("sh").args(["-c", repair.as_str().unwrap()]).output().unwrap();
        assert!(done.status.success(), "{repair}: {done:?}");
        report_executed(repair.as_str().unwrap());
        if name == "unix" {
            assert_eq!(done.stdout, b"works\n");
            continue;
        }
        explain(&[path]).exits(0);
        let done = Command::new(path).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&done.stdout).trim_end(), "works", "{name}: {done:?}");
    }
}

/// Perl ignores a carriage return after its options; env does not (`repairs_of_scripts_make_them_run`).
#[sandboxed]
fn perl_accepts_the_line_ends_of_windows() {
    if !std::path::Path::new("/usr/bin/perl").exists() {
        skip("kernel", "there is no /usr/bin/perl");
    }
    let path = outside("script", b"#!/usr/bin/perl -w\r\nprint 'works';\n");
    explain(&[path.to_str().unwrap()]).exits(0);
    assert_eq!(Command::new(&path).output().unwrap().stdout, b"works");
}

/// No emulator of QEMU's user mode is proposed for programs of other systems, whether or not an entry takes them.
#[sandboxed]
fn programs_of_other_systems_are_named() {
    let mut program = Arch::by_target("riscv64").unwrap().probe().unwrap().to_vec();
    program[7] = 12;
    let path = outside("openbsd", &program);
    let path = path.to_str().unwrap();
    let done = explain(&[path]).exits(3).prints("for RISC-V").prints("of OpenBSD");
    done.prints("which Linux does not run").omits("the system is").omits("binfmt-nix");
    mount_table();
    register_rule("riscv", "riscv64", &outside("qemu-riscv64", native()), "F");
    let done = explain(&[path]).exits(3).prints("does not run").prints("a program of OpenBSD, whose system calls");
    done.omits("binfmt-nix").omits("QEMU_LD_PREFIX");
    // An interpreter with another name may be made for it.
    fs::remove_file("/scratch/qemu-riscv64").unwrap();
    crate::diagnose::explain::execve::judge::clear();
    register_rule("riscv", "riscv64", &outside("openbsd-layer", native()), "F");
    explain(&[path]).exits(0);
}

/// x32 and other programs without a guest of QEMU: nothing is proposed.
#[sandboxed]
fn programs_without_a_guest_are_named() {
    let head = |class: u8, data: u8, machine: [u8; 2]| {
        let e_type = if data == 1 { [2, 0] } else { [0, 2] };
        [b"\x7fELF".as_slice(), &[class, data, 1, 0], &[0; 8], &e_type, &machine, &[0; 232]].concat()
    };
    let strangers = [
        ("AVR32", head(1, 2, [0, 185])),
        ("AVR32", head(1, 2, [0x18, 0xad])),
        ("Elbrus", head(1, 1, [175, 0])),
        ("TILE-Gx", head(1, 1, [191, 0])),
        ("TILEPro", head(1, 1, [188, 0])),
        ("MicroBlaze (0xbaab)", head(1, 2, [0xba, 0xab])),
        ("Itanium", head(2, 1, [50, 0])),
        ("31-bit IBM S/390", head(1, 2, [0, 22])),
    ];
    mount_table();
    for system in ["microblaze", "microblazeel", "s390x"] {
        register_rule(system, system, &outside("qemu-guest", native()), "");
    }
    if cfg!(target_arch = "x86_64") {
        let real = path_of("libc6-x32-cross/usr/x86_64-linux-gnux32/lib/ld-linux-x32.so.2");
        let started = Command::new(&real).arg("--version").output();
        let has_x32 = started.is_ok_and(|output| output.status.success());
        let bare = outside("x32", &head(1, 1, [62, 0]));
        for file in [real, bare] {
            let done = explain(&[file.to_str().unwrap()]).prints("for x86-64, x32").omits("binfmt-nix");
            if !has_x32 {
                let text = "this x86_64 machine does not run x32 x86-64 programs, and no entry takes it; kernels with \
                            CONFIG_X86_X32_ABI do";
                done.exits(3).prints("ENOEXEC").prints(text).omits("it is for this machine");
            }
        }
    }
    // Files that no machine executes.
    let with = |at: usize, byte: u8| {
        let mut bytes = head(2, 1, [183, 0]);
        bytes[at] = byte;
        outside("not-a-program", &bytes)
    };
    for (at, byte, text) in [
        (16, 1, "it is an object file, not linked yet, for AArch64, which no machine executes"),
        (16, 4, "it is a core dump for AArch64, which no machine executes"),
        (16, 9, "it is an ELF file of an unknown type for AArch64, which no machine executes"),
        (18, 0, "its header names no machine"),
    ] {
        explain(&[with(at, byte).to_str().unwrap()]).exits(3).prints("ENOEXEC").prints(text).omits("QEMU");
    }
    for (name, bytes) in strangers {
        let done = explain(&[outside("stranger", &bytes).to_str().unwrap()]).exits(3);
        let text = format!("does not run {name} programs, and no entry takes it; QEMU's user mode has no guest for it");
        done.prints("ENOEXEC").prints(&text).omits("binfmt-nix");
    }
}
