//! Programs of real projects, for many machines and operating systems: from npm (`tests/fetch-samples`) and from Debian
//! (`tests/fetch-corpus`).

use std::path::{Path, PathBuf};
use std::{env, fs};

use binfmt_magic::Arch;
use binfmt_nix::diagnose::explain::{ExecVerdict, Explanation, FileKind, TargetOs};
use nix::libc::{SIGBUS, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};

use super::judge::{Judge, clear, enter, file, mount_table, native};
use crate::support::{qemu, skip, table};

/// What `explain` reports of a sample.
struct Sample {
    /// `npm:NAME`, or the path in the corpus.
    file: &'static str,
    kind: FileKind,
    os: Option<TargetOs>,
    /// QEMU's name of the system.
    system: Option<&'static str>,
    /// The verdict, and the errno, without entries.
    alone: (ExecVerdict, Option<&'static str>),
    /// The verdict with an entry for every guest of QEMU.
    registered: ExecVerdict,
}

const REFUSED: (ExecVerdict, Option<&str>) = (ExecVerdict::Refused, Some("ENOEXEC"));
const NO_LOADER: (ExecVerdict, Option<&str>) = (ExecVerdict::Refused, Some("ENOENT"));
const NATIVE: (ExecVerdict, Option<&str>) = (ExecVerdict::Native, None);

/// A program of Linux for a guest of QEMU.
const fn guest(file: &'static str, system: &'static str) -> Sample {
    let registered = ExecVerdict::Emulated;
    Sample { file, kind: FileKind::Elf, os: None, system: Some(system), alone: REFUSED, registered }
}

/// A program of Linux that QEMU's user mode cannot run.
const fn no_guest(file: &'static str) -> Sample {
    Sample { system: None, registered: ExecVerdict::Refused, ..guest(file, "") }
}

/// A program of another operating system for a guest of QEMU.
const fn foreign(file: &'static str, os: TargetOs) -> Sample {
    Sample { os: Some(os), system: None, registered: ExecVerdict::OtherOs, ..guest(file, "") }
}

/// A file that is not ELF.
const fn other(file: &'static str, kind: FileKind) -> Sample {
    Sample { kind, ..no_guest(file) }
}

#[rustfmt::skip]
const SAMPLES: &[Sample] = &[
    other("npm:aix-ppc64", FileKind::Xcoff),
    other("npm:darwin-arm64", FileKind::MachO),
    other("npm:darwin-x64", FileKind::MachO),
    other("npm:win32-arm64", FileKind::Pe),
    other("npm:win32-ia32", FileKind::Pe),
    other("npm:win32-x64", FileKind::Pe),
    other("npm:wasm", FileKind::Wasm),
    foreign("npm:freebsd-arm64", TargetOs::FreeBsd),
    foreign("npm:netbsd-arm64", TargetOs::NetBsd),
    foreign("npm:openbsd-arm64", TargetOs::OpenBsd),
    Sample { alone: (ExecVerdict::OtherOs, None), ..foreign("npm:freebsd-x64", TargetOs::FreeBsd) },
    Sample { alone: (ExecVerdict::OtherOs, None), ..foreign("npm:netbsd-x64", TargetOs::NetBsd) },
    Sample { alone: NO_LOADER, registered: ExecVerdict::Refused, ..foreign("npm:openbsd-x64", TargetOs::OpenBsd) },
    Sample { alone: NO_LOADER, registered: ExecVerdict::Refused, ..foreign("npm:sunos-x64", TargetOs::Solaris) },
    Sample { os: Some(TargetOs::Android), registered: ExecVerdict::LoaderMissing, ..guest("npm:android-arm64", "aarch64") },
    Sample { alone: NATIVE, registered: ExecVerdict::Native, ..guest("npm:linux-x64", "x86_64") },
    Sample { alone: NATIVE, registered: ExecVerdict::Native, ..guest("npm:linux-ia32", "i386") },
    guest("npm:linux-arm", "arm"),
    guest("npm:linux-arm64", "aarch64"),
    guest("npm:linux-loong64", "loongarch64"),
    guest("npm:linux-mips64el", "mips64el"),
    guest("npm:linux-ppc64", "ppc64le"),
    guest("npm:linux-riscv64", "riscv64"),
    guest("npm:linux-s390x", "s390x"),
    Sample { alone: NATIVE, registered: ExecVerdict::Native, ..guest("busybox-static-amd64/bin/busybox", "x86_64") },
    Sample { alone: NATIVE, registered: ExecVerdict::Native, ..guest("busybox-static-i386/bin/busybox", "i386") },
    guest("busybox-static-arm64/bin/busybox", "aarch64"),
    guest("busybox-static-armel/bin/busybox", "arm"),
    guest("busybox-static-armhf/bin/busybox", "arm"),
    guest("busybox-static-loong64/bin/busybox", "loongarch64"),
    guest("busybox-static-mips64el/bin/busybox", "mips64el"),
    guest("busybox-static-mipsel/bin/busybox", "mipsel"),
    guest("busybox-static-ppc64el/bin/busybox", "ppc64le"),
    guest("busybox-static-riscv64/bin/busybox", "riscv64"),
    guest("busybox-static-s390x/bin/busybox", "s390x"),
    guest("libc6-hppa-cross/usr/hppa-linux-gnu/lib/ld.so.1", "hppa"),
    guest("libc6-m68k-cross/usr/m68k-linux-gnu/lib/ld.so.1", "m68k"),
    guest("libc6-mips-cross/usr/mips-linux-gnu/lib/ld.so.1", "mips"),
    guest("libc6-mipsr6el-cross/usr/mipsisa32r6el-linux-gnu/lib/ld-linux-mipsn8.so.1", "mipsel"),
    guest("libc6-mips64-cross/usr/mips64-linux-gnuabi64/lib64/ld.so.1", "mips64"),
    guest("libc6-mipsn32-cross/usr/mips64-linux-gnuabin32/lib32/ld.so.1", "mipsn32"),
    guest("libc6-mipsn32el-cross/usr/mips64el-linux-gnuabin32/lib32/ld.so.1", "mipsn32el"),
    guest("libc6-powerpc-cross/usr/powerpc-linux-gnu/lib/ld.so.1", "ppc"),
    guest("libc6-ppc64-cross/usr/powerpc64-linux-gnu/lib/ld64.so.1", "ppc64"),
    guest("libc6-sh4-cross/usr/sh4-linux-gnu/lib/ld-linux.so.2", "sh4"),
    guest("libc6-sparc-sparc64-cross/usr/sparc64-linux-gnu/lib32/ld-linux.so.2", "sparc32plus"),
    guest("libc6-sparc64-cross/usr/sparc64-linux-gnu/lib64/ld-linux.so.2", "sparc64"),
    guest("libc6.1-alpha-cross/usr/alpha-linux-gnu/lib/ld-linux.so.2", "alpha"),
    no_guest("libc6-arc-cross/usr/arc-linux-gnu/lib/ld-linux-arc.so.2"),
    no_guest("libc6-s390-s390x-cross/usr/s390x-linux-gnu/lib32/ld.so.1"),
    no_guest("libc6-x32-cross/usr/x86_64-linux-gnux32/lib/ld-linux-x32.so.2"),
    Sample { registered: ExecVerdict::Library, ..guest("libc6-arm64-cross/usr/aarch64-linux-gnu/lib/libm.so.6", "aarch64") },
    Sample { alone: (ExecVerdict::Library, None), registered: ExecVerdict::Library,
        ..guest("libc6-amd64-cross/usr/x86_64-linux-gnu/lib/libm.so.6", "x86_64") },
    no_guest("libc6-dev-arm64-cross/usr/aarch64-linux-gnu/lib/crt1.o"),
    other("libc6-dev-arm64-cross/usr/aarch64-linux-gnu/lib/libc.so", FileKind::Text),
    other("libc6-dev-arm64-cross/usr/aarch64-linux-gnu/lib/libc.a", FileKind::Ar),
    other("libc6-dev-arm64-cross/usr/share/doc/libc6-dev-arm64-cross/changelog.gz", FileKind::Gzip),
];

/// Compares every sample with execve(2), without entries and with one for every guest.
pub(super) fn samples() -> usize {
    if !cfg!(target_arch = "x86_64") {
        skip("qemu", "the verdicts are those of an x86_64 machine");
    }
    let mut judge = Judge::new();
    let has_ia32 = judge.says(&file("ia32", Arch::by_target("i386").unwrap().probe().unwrap())).runs;
    let samples: Vec<_> = SAMPLES.iter().filter(|sample| has_ia32 || sample.system != Some("i386")).collect();
    for sample in &samples {
        let (said, signal) = judge.assert_agrees_on_real_file(&path_of(sample.file));
        let elf = said.steps[0].elf.as_ref();
        let facts = (said.steps[0].what, elf.and_then(|elf| elf.os), elf.and_then(|elf| elf.system));
        assert_eq!(facts, (sample.kind, sample.os, sample.system), "{}", sample.file);
        assert_eq!((said.verdict, said.errno.as_deref()), sample.alone, "{}: {said:#?}", sample.file);
        assert_eq!(said.runs, said.verdict == ExecVerdict::Native, "{}", sample.file);
        // What the programs of npm would do is a hole.
        let is_whole = !sample.file.starts_with("npm:");
        assert_eq!(is_fault(signal), said.errno.is_none() && !(said.runs && is_whole), "{}: {signal:?}", sample.file);
        assert_proposals(&said, sample);
    }
    mount_table();
    for (number, arch) in Arch::ALL.iter().enumerate().filter(|(_, arch)| !["x86_64", "i386"].contains(&arch.target)) {
        let interpreter = file(&format!("qemu/{number}"), native());
        enter(table::line(&format!("e{number}"), arch.target, &interpreter, "F").as_bytes()).unwrap();
    }
    judge.reload_facts();
    for sample in &samples {
        let (said, signal) = judge.assert_agrees_on_real_file(&path_of(sample.file));
        assert_eq!(said.verdict, sample.registered, "{}: {said:#?}", sample.file);
        // The interpreter, a probe, runs whatever the program is.
        assert!(sample.alone != REFUSED || signal.is_none(), "{}: {signal:?}", sample.file);
    }
    clear();
    judge.agreed
}

/// `register` and `run` are proposed for programs that QEMU's user mode runs, and for nothing else.
#[track_caller]
fn assert_proposals(said: &Explanation, sample: &Sample) {
    let proposes = said.repairs.iter().any(|line| line.contains("binfmt-nix"));
    let is_guest =
        sample.alone == REFUSED && [ExecVerdict::Emulated, ExecVerdict::LoaderMissing].contains(&sample.registered);
    assert_eq!(proposes, is_guest, "{}: {:?}", sample.file, said.repairs);
}

/// Whether a signal is one that the processor, or an unknown system call, causes.
fn is_fault(signal: Option<i32>) -> bool {
    signal.is_some_and(|signal| [SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGSYS].contains(&signal))
}

/// Returns the path of a sample. A library, or another file that may not be executed, is copied.
pub(crate) fn path_of(name: &str) -> PathBuf {
    let (variable, name) = match name.strip_prefix("npm:") {
        Some(name) => ("BINFMT_NIX_TEST_SAMPLES", name),
        None => ("BINFMT_NIX_TEST_CORPUS", name),
    };
    let Some(dir) = env::var_os(variable).filter(|dir| !dir.is_empty()) else {
        skip("corpus", format!("{variable} is not set"));
    };
    let path = Path::new(&dir).join(name);
    if !path.exists() {
        skip("corpus", format!("there is no {}", path.display()));
    }
    let is_executable = nix::unistd::access(&path, nix::unistd::AccessFlags::X_OK).is_ok();
    if is_executable { path } else { file(&format!("copies/{name}"), &fs::read(&path).unwrap()) }
}

/// Programs that end too early, as after a download that was interrupted, by every page and by a few bytes.
pub(super) fn cut_off() -> usize {
    if !cfg!(target_arch = "x86_64") {
        skip("qemu", "the verdicts are those of an x86_64 machine");
    }
    let mut judge = Judge::new();
    let mut verdicts = Vec::new();
    for program in [path_of("busybox-static-amd64/bin/busybox"), PathBuf::from("/bin/true")] {
        let bytes = fs::read(&program).unwrap();
        let pages = (1..=12).map(|part| (bytes.len() / 13 * part).next_multiple_of(4096).min(bytes.len()));
        for size in [52, 60, 64, 300, 800, 5000].into_iter().chain(pages).chain([bytes.len() - 1, bytes.len()]) {
            let (said, signal) = judge.assert_agrees_on_real_file(&file("cut", &bytes[..size]));
            let is_cut_off = said.steps[0].elf.as_ref().unwrap().is_cut_off();
            assert_eq!(said.runs, !is_cut_off, "{size} of {}: {said:#?}", program.display());
            assert_eq!(is_fault(signal), said.verdict == ExecVerdict::CutOff, "{size}: {signal:?} {said:#?}");
            assert!(said.runs || said.why.contains(&format!("cut off or damaged: it has {size} bytes")), "{said:#?}");
            assert!(said.repairs.is_empty(), "{size}: {:?}", said.repairs);
            verdicts.push(said.verdict);
        }
    }
    for verdict in [ExecVerdict::Refused, ExecVerdict::CutOff, ExecVerdict::Native] {
        assert!(verdicts.iter().filter(|found| **found == verdict).count() >= 4, "{verdict:?}: {verdicts:?}");
    }
    judge.agreed
}

/// What QEMU does with a file that is cut off, and with a program of FreeBSD.
pub(super) fn flawed_in_qemu() {
    let bytes = fs::read(path_of("busybox-static-arm64/bin/busybox")).unwrap();
    let (emulator, foreign) = (qemu("aarch64"), path_of("npm:freebsd-arm64"));
    mount_table();
    enter(table::line("arm64", "aarch64", &emulator, "F").as_bytes()).unwrap();
    let judge = Judge::new();
    for (size, verdict) in
        [(60, ExecVerdict::CutOff), (5000, ExecVerdict::CutOff), (bytes.len(), ExecVerdict::Emulated)]
    {
        let program = file("busybox", &bytes[..size]);
        let done = std::process::Command::new(&program).output().unwrap();
        assert_eq!((judge.says(&program).verdict, done.status.success()), (verdict, size == bytes.len()), "{done:?}");
    }
    let done = std::process::Command::new(&foreign).output().unwrap();
    assert_eq!((judge.says(&foreign).verdict, done.status.success()), (ExecVerdict::OtherOs, false), "{done:?}");
}
