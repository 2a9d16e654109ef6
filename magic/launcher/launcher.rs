//! The launcher: the first code of an interpreter that runs a native program instead of a guest's tool.
//!
//! `binfmt_nix::binfmt::launcher::combine` appends this image, and a configuration behind it, to a static QEMU as one
//! more segment, and makes it the entry point. The launcher identifies the guest program that the kernel started, and
//! executes the native program of its pair. In every other case it jumps to the entry point of the emulator, on the
//! stack that the kernel made: the emulator starts as if the launcher were not there.
//!
//! It has no relocations, no writable data and no allocation, so the image runs at any address. It cannot panic: the
//! build fails if `core::panicking` is left. It opens the guest program, the native program, and no other file.
//!
//! The configuration: numbers are 64-bit little-endian. A *text* is its length, its bytes, and a NUL that the length
//! leaves out. A *block* is its length and its bytes. A *list* is a block of words: 0 and a text, or 1, which stands for
//! the caller's `argv[0]`. A word of a list of *patterns* that ends with `*` matches every text that it begins.
//!
//! | part | fields |
//! |---|---|
//! | header | length of the pairs; entry point of the emulator, relative to the header; most words of one pair |
//! | pair | a block: 1 for the C locale alone; patterns of the last part of `argv[0]`, or none; guest file; patterns of refused arguments and of refused variables (`NAME=VALUE`); native file; one start in this number is audited, or 0; command of an audit; command; arguments after the caller's; environment (lists) |
//! | command | file for execve(2) (text); arguments before the caller's, `argv[0]` first (list) |
//! | file | path (text); size; mtime (seconds, nanoseconds); device, inode, ctime (both) or zeros; build-id (text); SHA-256 |

#![no_std]
#![no_main]
#![no_builtins]

use core::arch::{asm, global_asm};
use core::iter::from_fn;
use core::slice::{from_raw_parts, from_raw_parts_mut};

// The emulator finds the registers as the kernel leaves them. rdx is a function for atexit(3), or 0 (System V ABI for
// x86-64, 3.4.1).
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".section .text.start, \"ax\"; .globl _start; _start:",
    "mov rbx, rsp; lea rbp, [rip + configuration]; and rsp, -16",
    "mov rdi, rbx; mov rsi, rbp; call {scratch_size}; sub rsp, rax",
    "mov rdi, rbx; mov rsi, rbp; mov rdx, rsp; mov rcx, rax; call {dispatch}",
    "mov rsp, rbx; xor ebx, ebx; xor ebp, ebp; xor edx, edx; jmp rax",
    scratch_size = sym scratch_size,
    dispatch = sym dispatch,
);

// A jump by x16 may enter at `bti c`.
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".section .text.start, \"ax\"; .globl _start; _start:",
    "mov x19, sp; adr x20, configuration",
    "mov x0, x19; mov x1, x20; bl {scratch_size}; sub sp, sp, x0; mov x3, x0",
    "mov x0, x19; mov x1, x20; mov x2, sp; bl {dispatch}",
    "mov sp, x19; mov x16, x0; mov x0, xzr; br x16",
    scratch_size = sym scratch_size,
    dispatch = sym dispatch,
);

const IS_X86: bool = cfg!(target_arch = "x86_64");
const OPENAT: usize = if IS_X86 { 257 } else { 56 };
const FSTAT: usize = if IS_X86 { 5 } else { 80 };
const PREAD64: usize = if IS_X86 { 17 } else { 67 };
const CLOSE: usize = if IS_X86 { 3 } else { 57 };
const EXECVE: usize = if IS_X86 { 59 } else { 221 };
/// Places of the mode, and of size, mtime, device, inode and ctime in what fstat(2) writes, in words.
const MODE: usize = if IS_X86 { 3 } else { 2 };
const STATUS: [usize; 7] = [6, 11, 12, 0, 1, 13, 14];
const AT_FDCWD: usize = -100_isize as usize;
/// `O_CLOEXEC | O_NOCTTY | O_NONBLOCK`. A FIFO does not block.
const OPEN_FLAGS: usize = 0o2_004_400;
const AT_EXECFD: usize = 2;
const AT_FLAGS: usize = 8;
const AT_ENTRY: usize = 9;
const AT_SECURE: usize = 23;
const AT_RANDOM: usize = 25;
/// `AT_FLAGS_PRESERVE_ARGV0` of the kernel (5.12): the arguments are those of flag P.
const PRESERVE_ARGV0: usize = 1;

/// The stack of a new process.
struct Process {
    arguments: &'static [usize],
    environment: &'static [usize],
    auxiliary: &'static mut [[usize; 2]],
}

impl Process {
    /// Reads the stack that the kernel made.
    unsafe fn read(stack: *mut usize) -> Self {
        // The number of groups of words before the group that begins with 0.
        let count =
            |words: *const usize, size| (0_usize..).take_while(|at| unsafe { *words.add(at * size) } != 0).count();
        unsafe {
            let arguments = from_raw_parts(stack.add(1), *stack);
            let environment = stack.add(2 + arguments.len());
            let environment = from_raw_parts(environment, count(environment, 1));
            let auxiliary = stack.add(3 + arguments.len() + environment.len());
            Self { arguments, environment, auxiliary: from_raw_parts_mut(auxiliary.cast(), count(auxiliary, 2)) }
        }
    }

    fn auxiliary(&self, kind: usize) -> Option<usize> {
        self.auxiliary.iter().find(|entry| entry[0] == kind).map(|entry| entry[1])
    }

    fn variables(&self) -> impl Iterator<Item = (&'static [u8], &'static [u8])> {
        self.environment.iter().map(|variable| {
            let mut parts = unsafe { text_at(*variable) }.splitn(2, |byte| *byte == b'=');
            (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
        })
    }

    /// Whether the kernel started a guest program by an entry with flag P, without other rights than the caller's, and
    /// the caller does not change how the emulator runs it.
    fn may_dispatch(&self) -> bool {
        let is_harmless = |name: &[u8]| matches!(name, b"QEMU_CPU" | b"QEMU_STACK_SIZE" | b"QEMU_OPTS");
        self.auxiliary(AT_FLAGS).is_some_and(|flags| flags & PRESERVE_ARGV0 != 0)
            && self.auxiliary(AT_SECURE) == Some(0)
            && self.auxiliary(AT_EXECFD).is_none()
            && self.variables().all(|(name, _)| !name.starts_with(b"QEMU_") || is_harmless(name))
    }

    /// Whether every category of the locale is C.
    fn has_c_locale(&self) -> bool {
        let (mut all, mut others) = (None, true);
        for (name, value) in self.variables().filter(|(_, value)| !value.is_empty()) {
            let is_c = value == b"C" || value == b"POSIX";
            if name == b"LC_ALL" {
                all = Some(all.unwrap_or(true) && is_c);
            } else if name.starts_with(b"LC_") || name == b"LANG" {
                others &= is_c;
            }
        }
        all.unwrap_or(others)
    }
}

/// Returns the text at an address, without its NUL.
unsafe fn text_at(address: usize) -> &'static [u8] {
    let start = address as *const u8;
    unsafe { from_raw_parts(start, (0..).take_while(|at| *start.add(*at) != 0).count()) }
}

/// A part of the configuration that is not read yet.
#[derive(Clone, Copy)]
struct Reader(&'static [u8]);

impl Reader {
    fn take(&mut self, length: usize) -> Option<&'static [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn block(&mut self) -> Option<Self> {
        let length = self.number()?;
        self.take(length as usize).map(Self)
    }

    /// Returns a text without its NUL.
    fn text(&mut self) -> Option<&'static [u8]> {
        let text = self.block()?.0;
        (self.take(1)? == [0]).then_some(text)
    }

    /// Returns the addresses of the words of a list. `name` is the address of the caller's `argv[0]`.
    fn words(mut self, name: usize) -> impl Iterator<Item = usize> {
        from_fn(move || if self.number()? == 1 { Some(name) } else { Some(self.text()?.as_ptr() as usize) })
    }

    /// Whether a pattern of a list matches a text.
    fn matches(self, text: &[u8]) -> bool {
        self.words(0).map(|pattern| unsafe { text_at(pattern) }).any(|pattern| match pattern.strip_suffix(b"*") {
            Some(start) => text.starts_with(start),
            None => text == pattern,
        })
    }
}

/// A regular file that is open for reading.
struct OpenFile {
    descriptor: usize,
    mode: u64,
    /// Size, mtime, device, inode and ctime, in the order of the configuration.
    status: [u64; 7],
    digest: Option<[u32; 8]>,
}

impl OpenFile {
    /// Opens a regular file by the address of its path.
    fn open(path: usize) -> Option<Self> {
        let descriptor = system_call(OPENAT, AT_FDCWD, path, OPEN_FLAGS, 0)?;
        let mut status = [0_u64; 18];
        system_call(FSTAT, descriptor, status.as_mut_ptr() as usize, 0, 0);
        let mode = status[MODE] & 0xffff_ffff;
        let status = STATUS.map(|place| status[place]);
        let file = Self { descriptor, mode, status, digest: None };
        (mode & 0o170_000 == 0o100_000).then_some(file)
    }

    /// Returns something if this file, which has that path here, is the file of a record. Reads the record to its end.
    ///
    /// All files of a Nix store have the mtime 1, and a copy with other store paths in it keeps size and build-id. So
    /// the build-id decides only for files with a later mtime.
    fn is_recorded(&mut self, path: &[u8], record: &mut Reader) -> Option<()> {
        let recorded_path = record.text()?;
        let mut status = [0; 7];
        status.iter_mut().try_for_each(|number| record.number().map(|read| *number = read))?;
        let (build_id, digest) = (record.text()?, record.take(32)?);
        let ([size, seconds, nanoseconds, ..], [recorded_size, time @ .., _, _, _, _]) = (self.status, status);
        let is_stored = path == recorded_path && path.starts_with(b"/nix/store/") && [seconds, nanoseconds] == [1, 0];
        let is_same = size == recorded_size
            && (self.status == status
                || time == [seconds, nanoseconds] && seconds > 1 && self.has_build_id(build_id)
                || is_stored && self.mode & 0o222 == 0
                || self.digest().is_some_and(|words| words.map(u32::to_be_bytes).as_flattened() == digest));
        is_same.then_some(())
    }

    /// Whether the build-id is not empty, and is where linkers write it: in the first page of the file.
    fn has_build_id(&self, build_id: &[u8]) -> bool {
        let mut page = [0; 4096];
        let page = self.read(&mut page, 0).unwrap_or_default();
        !build_id.is_empty() && page.windows(build_id.len()).any(|bytes| bytes == build_id)
    }

    fn read<'a>(&self, buffer: &'a mut [u8], at: u64) -> Option<&'a [u8]> {
        let length = system_call(PREAD64, self.descriptor, buffer.as_mut_ptr() as usize, buffer.len(), at as usize)?;
        buffer.get(..length)
    }

    /// Returns the SHA-256 digest of the content (FIPS 180-4). It is computed once.
    fn digest(&mut self) -> Option<[u32; 8]> {
        const PART: usize = 1 << 14;
        let (mut state, mut length, mut buffer) = (FIRST_STATE, 0, [0; PART + 128]);
        while self.digest.is_none() {
            let read = self.read(buffer.get_mut(..PART)?, length)?.len();
            length += read as u64;
            let mut end = read;
            if read < PART {
                // The padding of 5.1.1.
                end = (read + 9).next_multiple_of(64);
                buffer.get_mut(read..end)?.fill(0);
                *buffer.get_mut(read)? = 0x80;
                *buffer.get_mut(..end)?.last_chunk_mut()? = (length * 8).to_be_bytes();
            }
            buffer.get(..end)?.as_chunks().0.iter().for_each(|block| hash(&mut state, block));
            if read < PART {
                self.digest = Some((length == self.status[0]).then_some(state)?);
            }
        }
        self.digest
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        system_call(CLOSE, self.descriptor, 0, 0, 0);
    }
}

const FIRST_STATE: [u32; 8] =
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
const ROUNDS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
    0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
    0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
    0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2,
];

/// Hashes one block of SHA-256 (FIPS 180-4, 6.2.2).
fn hash(state: &mut [u32; 8], block: &[u8; 64]) {
    let mut schedule = [0; 16];
    schedule.iter_mut().zip(block.as_chunks().0).for_each(|(word, bytes)| *word = u32::from_be_bytes(*bytes));
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    let turn = |word: u32, by: [u32; 3]| word.rotate_right(by[0]) ^ word.rotate_right(by[1]) ^ word.rotate_right(by[2]);
    for round in 0..64 {
        let word = schedule[round & 15];
        let sum = [turn(e, [6, 11, 25]), e & f ^ !e & g, ROUNDS[round], word].into_iter().fold(h, u32::wrapping_add);
        let second = turn(a, [2, 13, 22]).wrapping_add(a & b ^ a & c ^ b & c);
        [h, g, f, e, d, c, b, a] = [g, f, e, d.wrapping_add(sum), c, b, a, sum.wrapping_add(second)];
        let (early, late) = (schedule[(round + 1) & 15], schedule[(round + 14) & 15]);
        let early = early.rotate_right(7) ^ early.rotate_right(18) ^ early >> 3;
        let late = late.rotate_right(17) ^ late.rotate_right(19) ^ late >> 10;
        schedule[round & 15] = word.wrapping_add(early).wrapping_add(schedule[(round + 9) & 15]).wrapping_add(late);
    }
    state.iter_mut().zip([a, b, c, d, e, f, g, h]).for_each(|(word, more)| *word = word.wrapping_add(more));
}

/// Writes words and a 0 to the slots, and returns their address and the other slots.
fn write(mut slots: &mut [usize], words: impl Iterator<Item = usize>) -> Option<(usize, &mut [usize])> {
    let address = slots.as_ptr() as usize;
    for word in words.chain([0]) {
        let (slot, rest) = slots.split_first_mut()?;
        (*slot, slots) = (word, rest);
    }
    Some((address, slots))
}

/// Executes the native program of a pair if its conditions hold. Returns otherwise, and if that fails.
fn try_pair(process: &Process, guest: &mut OpenFile, mut pair: Reader, slots: &mut [usize]) -> Option<()> {
    let ([path, name], callers) = (*process.arguments.get(1..)?.first_chunk()?, process.arguments.get(3..)?);
    let (in_c_locale, names) = (pair.number()? == 1, pair.block()?);
    let is_named = unsafe { text_at(name) }.rsplit(|byte| *byte == b'/').next().is_some_and(|name| names.matches(name));
    (names.0.is_empty() || is_named).then_some(())?;
    guest.is_recorded(unsafe { text_at(path) }, &mut pair)?;
    let is_refused = |by: Reader, texts: &[usize]| texts.iter().any(|text| by.matches(unsafe { text_at(*text) }));
    let [arguments, variables] = [pair.block()?, pair.block()?];
    let is_refused = is_refused(arguments, callers) || is_refused(variables, process.environment);
    (!is_refused && (!in_c_locale || process.has_c_locale())).then_some(())?;
    let native = { pair }.text()?;
    OpenFile::open(native.as_ptr() as usize)?.is_recorded(native, &mut pair)?;
    let random = process.auxiliary(AT_RANDOM).map_or(0, |bytes| unsafe { (bytes as *const u64).read_unaligned() });
    let is_audited = random.checked_rem(pair.number()?) == Some(0);
    let [audit, command] = [(pair.text()?, pair.block()?), (pair.text()?, pair.block()?)];
    let (program, words) = if is_audited { audit } else { command };
    let [last, environment] = [pair.block()?, pair.block()?];
    let arguments = words.words(name).chain(callers.iter().copied()).chain(last.words(name));
    let is_replaced = |name: &[u8]| {
        let mut names =
            environment.words(0).map(|variable| unsafe { text_at(variable) }.split(|byte| *byte == b'=').next());
        names.any(|replaced| replaced == Some(name))
    };
    let kept = process.environment.iter().zip(process.variables()).filter(|(_, (name, _))| !is_replaced(name));
    let environment = kept.map(|(variable, _)| *variable).chain(environment.words(0));
    let (argv, slots) = write(slots, arguments)?;
    let (environment, _) = write(slots, environment)?;
    system_call(EXECVE, program.as_ptr() as usize, argv, environment, 0).map(drop)
}

/// Returns the size in bytes of the arguments and the environment of a native program, a multiple of 16.
unsafe extern "C" fn scratch_size(stack: *mut usize, configuration: *const [u64; 3]) -> usize {
    let (process, [_, _, words]) = unsafe { (Process::read(stack), *configuration) };
    ((process.arguments.len() + process.environment.len() + words as usize + 2) * 8 + 15) & !15
}

/// Executes the native program of the guest program, or returns the entry point of the emulator.
unsafe extern "C" fn dispatch(
    stack: *mut usize,
    configuration: *const [u64; 3],
    scratch: *mut usize,
    size: usize,
) -> usize {
    let (process, [length, entry, _]) = unsafe { (Process::read(stack), *configuration) };
    let mut pairs = Reader(unsafe { from_raw_parts(configuration.add(1).cast(), length as usize) });
    let slots = unsafe { from_raw_parts_mut(scratch, size / 8) };
    let guest = process.arguments.get(1).filter(|_| process.may_dispatch()).and_then(|path| OpenFile::open(*path));
    if let Some(mut guest) = guest {
        while let Some(pair) = pairs.block() {
            try_pair(&process, &mut guest, pair, slots);
        }
    }
    let entry = (configuration as usize).wrapping_add(entry as usize);
    process.auxiliary.iter_mut().filter(|value| value[0] == AT_ENTRY).for_each(|value| value[1] = entry);
    entry
}

/// Makes a system call. Returns `None` for an error.
fn system_call(number: usize, a: usize, b: usize, c: usize, d: usize) -> Option<usize> {
    let result: usize;
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d, options(nostack));
    }
    (result < -4095_isize as usize).then_some(result)
}

// The compiler calls these functions of C. They are loops, and `no_builtins` keeps them so.

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    (0..length).for_each(|at| unsafe { *to.add(at) = *from.add(at) });
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
    (0..length).for_each(|at| unsafe { *to.add(at) = byte as u8 });
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    let differences = (0..length).map(|at| unsafe { i32::from(*one.add(at)) - i32::from(*other.add(at)) });
    differences.into_iter().find(|difference| *difference != 0).unwrap_or(0)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
