//! Emulators for the tests: real static QEMUs, and programs that only answer like QEMU.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use binfmt_magic::Arch;

use super::sandbox::{DYNAMIC, SCRATCH};
use super::skip;

/// A file of Debian's packages insserv, binfmt-support and libpipeline1, which `tests/run` unpacks.
pub(crate) fn debian_program(file: &str) -> PathBuf {
    let dir = env::var_os("BINFMT_NIX_TEST_PROGRAMS").filter(|dir| !dir.is_empty());
    let path = dir.map(|dir| Path::new(&dir).join(file)).filter(|path| path.exists());
    path.unwrap_or_else(|| skip("programs", format!("BINFMT_NIX_TEST_PROGRAMS has no {file}")))
}

/// The real static QEMU of a system, from the directory that BINFMT_NIX_TEST_QEMU names.
pub(crate) fn qemu(system: &str) -> PathBuf {
    if !cfg!(target_arch = "x86_64") {
        skip("qemu", "these tests emulate aarch64 and others on x86_64");
    }
    let Some(dir) = env::var_os("BINFMT_NIX_TEST_QEMU").filter(|dir| !dir.is_empty()) else {
        skip("qemu", "BINFMT_NIX_TEST_QEMU does not name a directory with static QEMUs");
    };
    let target = Arch::find(system).unwrap().target;
    let path = Path::new(&dir).join(format!("qemu-{target}"));
    if !path.exists() {
        skip("qemu", format!("there is no {}", path.display()));
    }
    path
}

/// A real static program for aarch64, from the directory that BINFMT_NIX_TEST_CORPUS names.
pub(crate) fn busybox() -> PathBuf {
    let Some(corpus) = env::var_os("BINFMT_NIX_TEST_CORPUS").filter(|dir| !dir.is_empty()) else {
        skip("corpus", "BINFMT_NIX_TEST_CORPUS is not set");
    };
    let busybox = Path::new(&corpus).join("busybox-static-arm64/bin/busybox");
    if busybox.exists() { busybox } else { skip("corpus", format!("there is no {}", busybox.display())) }
}

/// The real QEMU with other bytes: a later release for every comparison of digests.
pub(crate) fn other_qemu(system: &str) -> PathBuf {
    let mut bytes = fs::read(qemu(system)).unwrap();
    bytes.extend_from_slice(b"other");
    outside("other-qemu", &bytes)
}

/// Writes a program outside of the tree, and returns its path.
pub(crate) fn outside(name: &str, content: &[u8]) -> PathBuf {
    let path = Path::new(SCRATCH).join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A dynamically linked emulator for aarch64: this test program, which starts the real one.
pub(crate) fn dynamic() -> PathBuf {
    outside("emulator", &fs::read(qemu("aarch64")).unwrap());
    let path = Path::new(SCRATCH).join(DYNAMIC);
    std::os::unix::fs::symlink(env::current_exe().unwrap(), &path).unwrap();
    path
}

/// Offset of a liar's code in the probe program whose headers it uses.
const CODE: usize = 0xb0;

/// The behaviour of a liar when the kernel starts it as an interpreter.
#[derive(Clone, Copy)]
pub(crate) enum LiarBehavior {
    /// Ends by an illegal instruction.
    Crash,
    /// Exits with status 0 and does nothing.
    DoNothing,
    /// Prints 16 bytes of the program's path, which a check could take for the argv\[0] that a probe prints.
    WrongOutput,
    /// Prints the same, half a second later.
    LateWrongOutput,
    /// Prints 16 bytes of the program's argv\[0], as every probe does. No check distinguishes it from an emulator.
    RightOutput,
}

/// A static program for x86_64 that runs without end, whatever its arguments are.
pub(crate) fn endless() -> Vec<u8> {
    // jmp to itself
    assemble(&[0xeb, 0xfe])
}

/// A static program for x86_64 that creates the file `marker`, if it may, and prints a version. Its bytes contain
/// another version before that.
pub(crate) fn spy(marker: &Path, contained: &str, printed: &str) -> Vec<u8> {
    let marker = [marker.as_os_str().as_encoded_bytes(), b"\0"].concat();
    let (contained, printed) = (format!("{contained}\n\0"), format!("{printed}\n"));
    let to_text = u32::try_from(16 + marker.len() + contained.len()).unwrap().to_le_bytes();
    let length = u32::try_from(printed.len()).unwrap().to_le_bytes();
    // mov eax, 2 (open); lea rdi, [rip + 45]; mov esi, O_WRONLY | O_CREAT; mov edx, 0o666; syscall
    let mut code =
        vec![0xb8, 2, 0, 0, 0, 0x48, 0x8d, 0x3d, 45, 0, 0, 0, 0xbe, 0x41, 0, 0, 0, 0xba, 0xb6, 1, 0, 0, 0x0f, 5];
    // mov eax, 1; mov edi, 1; lea rsi, [rip + to_text]; mov edx, length; syscall
    code.extend([0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0, 0x48, 0x8d, 0x35]);
    code.extend(to_text);
    code.push(0xba);
    code.extend(length);
    code.extend([0x0f, 0x05]);
    // mov eax, 60; xor edi, edi; syscall
    code.extend([0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]);
    assemble(&[&code[..], &marker, contained.as_bytes(), printed.as_bytes()].concat())
}

/// A static program for x86_64 that prints a version if it has one argument. If the kernel starts it as an interpreter, it
/// prints a complaint on standard error and exits with status 1.
pub(crate) fn complaining(version: &str, complaint: &str) -> Vec<u8> {
    let texts = [version, complaint].map(|text| format!("{text}\n"));
    let [first, second] = texts.each_ref().map(|text| u32::try_from(text.len()).unwrap());
    // cmp qword [rsp], 2; jne to the second half
    let mut program = vec![0x48, 0x83, 0x3c, 0x24, 0x02, 0x75, 33];
    // mov eax, 1; mov edi, 1; lea rsi, [rip + 52]; mov edx, length; syscall; mov eax, 60; xor edi, edi; syscall
    program.extend([0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0, 0x48, 0x8d, 0x35, 52, 0, 0, 0, 0xba]);
    program.extend(first.to_le_bytes());
    program.extend([0x0f, 0x05, 0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]);
    // The same for standard error, with status 1.
    program.extend([0xb8, 1, 0, 0, 0, 0xbf, 2, 0, 0, 0, 0x48, 0x8d, 0x35]);
    program.extend((19 + first).to_le_bytes());
    program.push(0xba);
    program.extend(second.to_le_bytes());
    program.extend([0x0f, 0x05, 0xb8, 60, 0, 0, 0, 0xbf, 1, 0, 0, 0, 0x0f, 0x05]);
    program.extend(texts.concat().bytes());
    assemble(&program)
}

/// A static program for x86_64 that waits for ever.
pub(crate) fn waiter() -> Vec<u8> {
    // mov eax, 34 (pause); syscall; jmp back
    assemble(&[0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7])
}

/// Puts code and data behind the headers of the probe program.
fn assemble(code: &[u8]) -> Vec<u8> {
    if !cfg!(target_arch = "x86_64") {
        skip("qemu", "these tests emulate aarch64 and others on x86_64");
    }
    let mut program = Arch::find("x86_64").unwrap().probe().unwrap()[..CODE].to_vec();
    program.extend(code);
    let size = u64::try_from(program.len()).unwrap().to_le_bytes();
    program[0x60..0x68].copy_from_slice(&size);
    program[0x68..0x70].copy_from_slice(&size);
    program
}

/// A static program for x86_64 that executes another one with its own arguments, and exits with status 127 if that fails.
pub(crate) fn wrapper(program: &Path) -> Vec<u8> {
    // mov eax, 59 (execve); lea rdi, [rip + 28]; lea rsi, [rsp + 8]
    let mut code = vec![0xb8, 59, 0, 0, 0, 0x48, 0x8d, 0x3d, 28, 0, 0, 0, 0x48, 0x8d, 0x74, 0x24, 8];
    // mov rdx, [rsp]; lea rdx, [rsp + 8 * rdx + 16]; syscall
    code.extend([0x48, 0x8b, 0x14, 0x24, 0x48, 0x8d, 0x54, 0xd4, 16, 0x0f, 0x05]);
    // mov edi, 127; mov eax, 60; syscall
    code.extend([0xbf, 127, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]);
    code.extend(program.as_os_str().as_encoded_bytes());
    code.push(0);
    assemble(&code)
}

/// A static program for x86_64 that answers `--version` with this text, and emulates nothing.
pub(crate) fn liar(version: &str, behavior: LiarBehavior) -> Vec<u8> {
    let jump = match behavior {
        LiarBehavior::Crash => 33,
        LiarBehavior::DoNothing => 24,
        LiarBehavior::WrongOutput | LiarBehavior::RightOutput => 35,
        LiarBehavior::LateWrongOutput => 59,
    };
    // Offset of the argument on the stack of a new process: [rsp + 16] is argv[1].
    let argument = if matches!(behavior, LiarBehavior::RightOutput) { 24 } else { 16 };
    let text = format!("{version}\n");
    let length = u32::try_from(text.len()).unwrap().to_le_bytes();
    let mut program = Vec::new();
    // cmp qword [rsp], 2; jne +jump: one argument is `--version`, two come from the kernel
    program.extend([0x48, 0x83, 0x3c, 0x24, 0x02, 0x75, jump]);
    // mov eax, 1; mov edi, 1; lea rsi, [rip + 76]; mov edx, length; syscall
    program.extend([0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0, 0x48, 0x8d, 0x35, 76, 0, 0, 0, 0xba]);
    program.extend(length);
    program.extend([0x0f, 0x05]);
    // mov eax, 60; xor edi, edi; syscall; ud2
    program.extend([0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05, 0x0f, 0x0b]);
    // mov eax, 1; mov edi, 1; mov rsi, [rsp + argument]; mov edx, 16; syscall
    program.extend([0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0, 0x48, 0x8b, 0x74, 0x24, argument]);
    program.extend([0xba, 16, 0, 0, 0, 0x0f, 0x05]);
    // jmp back to mov eax, 60
    program.extend([0xeb, 0xdd]);
    // mov eax, 35; lea rdi, [rip + 6]; xor esi, esi; syscall; jmp back to the write
    program.extend([0xb8, 35, 0, 0, 0, 0x48, 0x8d, 0x3d, 6, 0, 0, 0, 0x31, 0xf6, 0x0f, 0x05, 0xeb, 0xd6]);
    program.extend([0; 8]);
    program.extend(500_000_000_u64.to_le_bytes());
    program.extend(text.bytes());
    assemble(&program)
}
