//! Damaged and dynamically linked programs of this machine, and files that cannot be executed.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use binfmt_magic::Arch;
use binfmt_nix::diagnose::explain::{ExecVerdict, Linking};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::judge::{Judge, clear, enter, file, file_with, interpreter, mount_table, native, noexec};
use crate::support::sandbox::SCRATCH;
use crate::support::skip;

/// A program for x86_64 with these program headers (type, offset and size each), followed by `rest`.
fn program(headers: &[(u32, u64, u64)], rest: &[u8]) -> Vec<u8> {
    let mut bytes = native()[..64].to_vec();
    bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
    bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
    bytes[56..58].copy_from_slice(&u16::try_from(headers.len()).unwrap().to_le_bytes());
    for (kind, offset, size) in headers {
        let mut header = [0; 56];
        header[..4].copy_from_slice(&kind.to_le_bytes());
        header[8..16].copy_from_slice(&offset.to_le_bytes());
        header[32..40].copy_from_slice(&size.to_le_bytes());
        bytes.extend(header);
    }
    [&bytes, rest].concat()
}

const INTERP: u32 = 3;

/// A program whose loader is `path`.
fn dynamic(path: &str) -> Vec<u8> {
    let size = path.len() as u64 + 1;
    program(&[(INTERP, 120, size)], format!("{path}\0").as_bytes())
}

/// Tries each condition of `load_elf_binary` separately.
pub(super) fn damaged() -> usize {
    if !cfg!(target_arch = "x86_64") {
        skip("qemu", "these headers are those of x86_64");
    }
    let mut judge = Judge::new();
    let good = interpreter(1);
    fs::copy(&good, noexec().join("i")).unwrap();
    file_with("plain", native(), 0o644);
    file("short", &native()[..63]);
    file("headless", &native()[..64]);
    file("long", &[b'x'; 200]);
    file("foreign", Arch::by_target("arm").unwrap().probe().unwrap());
    file("narrow", Arch::by_target("i386").unwrap().probe().unwrap());
    let loaders = [
        ("/scratch/missing", Some("ENOENT")),
        ("/scratch/plain", Some("EACCES")),
        ("/scratch", Some("EACCES")),
        ("/scratch/noexec/i", Some("EACCES")),
        ("/scratch/plain/x", Some("ENOTDIR")),
        ("/scratch/short", Some("EIO")),
        ("/scratch/headless", Some("ELIBBAD")),
        ("/scratch/long", Some("ELIBBAD")),
        ("/scratch/foreign", Some("ELIBBAD")),
        ("/scratch/narrow", Some("ELIBBAD")),
        ("scratch/i/00001", None),
        ("/scratch/i/00001", None),
    ];
    for (loader, errno) in loaders {
        let said = judge.assert_agrees(&file("dynamic", &dynamic(loader)));
        assert_eq!(said.errno.as_deref(), errno, "{loader}");
        // The loader is reported even if the program cannot start.
        let linking = said.steps[0].elf.as_ref().unwrap().linking.clone();
        assert!(matches!(linking, Some(Linking::Dynamic { loader: named, .. }) if named == loader), "{loader}");
    }
    let path = b"/scratch/i/00001\0".as_slice();
    let odd = [
        program(&[], b""),
        program(&vec![(1, 0, 10); 1170], b""),
        program(&vec![(1, 0, 10); 1171], b""),
        program(&[(INTERP, 120, 1)], path),
        program(&[(INTERP, 120, 0)], path),
        program(&[(INTERP, 120, 2)], path),
        program(&[(INTERP, 120, 16)], path),
        program(&[(INTERP, 120, 18)], path),
        program(&[(INTERP, 120, 4096)], path),
        program(&[(INTERP, 120, 4097)], path),
        program(&[(INTERP, 120, 4096)], &[path, &[0; 4096]].concat()),
        program(&[(INTERP, 120, 4097)], &[path, &[0; 4097]].concat()),
        program(&[(INTERP, 120, 2)], b"\0\0"),
        program(&[(INTERP, 1 << 40, 17)], path),
        program(&[(INTERP, 1 << 63, 17)], path),
        program(&[(INTERP, u64::MAX, 17)], path),
        program(&[(1, 0, 0), (INTERP, 176, 17), (INTERP, 0, 0)], &[&[0; 0], path].concat()),
        program(&[(1, 0, 0), (INTERP, 232, 17), (INTERP, 0, 0)], path),
    ];
    for (number, bytes) in odd.iter().enumerate() {
        judge.assert_agrees(&file(&format!("odd-{number}"), bytes));
    }
    // Every field separately. The kernel ignores class, byte order and the rest of e_ident.
    let whole = dynamic("/scratch/i/00001");
    for at in 0..64 {
        for change in [1, 2, 0x40, 0x80] {
            let mut changed = whole.clone();
            changed[at] ^= change;
            judge.assert_agrees(&file("changed", &changed));
        }
        judge.assert_agrees(&file("cut", &whole[..at]));
    }
    for at in 64..whole.len() {
        judge.assert_agrees(&file("cut", &whole[..at]));
    }
    assert!(judge.started > 100, "{}", judge.started);
    judge.agreed
}

/// Files that cannot be executed, independent of their contents.
pub(super) fn not_to_be_executed() {
    let mut judge = Judge::new();
    let noexec = noexec().join("program");
    fs::copy(interpreter(1), &noexec).unwrap();
    for mode in [0o644, 0o600, 0o444, 0] {
        let said = judge.assert_agrees(&file_with(&format!("mode-{mode}"), native(), mode));
        assert_eq!((said.errno.as_deref(), said.steps.len()), (Some("EACCES"), 1));
        assert_eq!(said.repairs, [format!("chmod +x /scratch/mode-{mode}")]);
    }
    for mode in [0o755, 0o100, 0o010, 0o001, 0o111] {
        judge.assert_agrees(&file_with(&format!("mode-{mode}"), native(), mode));
    }
    assert!(judge.assert_agrees(&noexec).why.contains("noexec"));
    let scratch = Path::new(SCRATCH);
    mkfifo(&scratch.join("fifo"), Mode::from_bits_truncate(0o755)).unwrap();
    std::os::unix::net::UnixListener::bind(scratch.join("socket")).unwrap();
    symlink("dangling-target", scratch.join("dangling")).unwrap();
    symlink("loop", scratch.join("loop")).unwrap();
    symlink(interpreter(1), scratch.join("link")).unwrap();
    for name in ["fifo", "socket", "dangling", "loop", "link", ".", "missing", "link/x", "missing/x", ""] {
        judge.assert_agrees(&scratch.join(name));
    }
    for name in ["/dev/null", "/proc/self/status", "/proc"] {
        judge.assert_agrees(Path::new(name));
    }
    judge.assert_agrees(Path::new(&format!("/scratch/{}", "n".repeat(256))));
    // A slash behind the path of a file is an error of its own.
    let slash = format!("#!{}/\n", interpreter(1).display());
    assert_eq!(judge.assert_agrees(&file("slash", slash.as_bytes())).errno.as_deref(), Some("ENOTDIR"));
    let script = file_with("script", b"#!/scratch/missing\n", 0o644);
    assert_eq!(judge.assert_agrees(&script).errno.as_deref(), Some("EACCES"));
}

/// A change to an interpreter after the registration.
type Change = fn(&Path);

/// The kernel starts the file that an entry with flag F holds, whatever happens to its path.
pub(super) fn held() {
    mount_table();
    let arm = file("arm", Arch::by_target("arm").unwrap().probe().unwrap());
    let entries: [(&str, Change); 4] = [
        ("gone", |path| fs::remove_file(path).unwrap()),
        ("plain", |path| fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap()),
        ("other", |path| {
            fs::remove_file(path).unwrap();
            file("i/00009", native());
        }),
        ("the same", |_| ()),
    ];
    for (name, change) in entries {
        for (flags, held) in [("PF", true), ("F", true), ("", false), ("P", false)] {
            let path: PathBuf = file("i/00009", native());
            let line = crate::support::table::line(name, "arm", &path, flags);
            enter(line.as_bytes()).unwrap();
            change(&path);
            let mut judge = Judge::new();
            let said = judge.assert_agrees(&arm);
            assert_eq!(said.runs, held || ["other", "the same"].contains(&name), "{name} {flags}");
            assert_eq!(said.verdict == ExecVerdict::Emulated, said.runs);
            let interpreter = said.steps[0].interpreter.as_ref().unwrap();
            assert_eq!((interpreter.held, interpreter.in_sandbox), (held, held));
            clear();
        }
    }
}
