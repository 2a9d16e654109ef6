//! The kind of a file that is to be executed, by its first bytes.
//!
//! The kernel knows ELF and `#!` alone. The other kinds are named so that a user learns what the file is instead of a
//! program: a program of another operating system, an archive, a page that a server sent instead of a download.

use serde::Serialize;

use super::OpenedFile;

/// The kind of a file, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A file that begins with `\x7fELF`.
    Elf,
    /// A file that begins with `#!`.
    Script,
    /// A script with a byte order mark before its `#!`.
    MarkedScript,
    /// A script with blanks or empty lines before its `#!`.
    IndentedScript,
    /// An empty file.
    Empty,
    /// A web page.
    Html,
    /// The pointer that Git LFS keeps instead of a large file.
    GitLfsPointer,
    /// The pointer that git-annex keeps instead of a large file.
    GitAnnexPointer,
    /// Text in UTF-16, with a byte order mark.
    Utf16,
    /// Other text: a file without NUL and control characters.
    Text,
    /// A Mach-O program or library, of macOS or another system of Apple.
    MachO,
    /// A PE program or library, of Windows or EFI.
    Pe,
    /// A program of DOS.
    Dos,
    /// An XCOFF program or library, of AIX.
    Xcoff,
    /// A `WebAssembly` module or component.
    Wasm,
    /// A compiled Java class.
    JavaClass,
    /// Data compressed by gzip.
    Gzip,
    /// Data compressed by xz.
    Xz,
    /// Data compressed by zstd.
    Zstd,
    /// Data compressed by bzip2.
    Bzip2,
    /// A ZIP archive: also a jar, a wheel, an Android package.
    Zip,
    /// A 7z archive.
    SevenZip,
    /// A tar archive.
    Tar,
    /// A package of Debian.
    Deb,
    /// A package of RPM.
    Rpm,
    /// An archive of `ar`: a static library.
    Ar,
    /// Any other file.
    Data,
}

/// The first bytes of kinds that are recognised by them alone, in the order in which they are compared.
///
/// Offsets and bytes are those of the formats' specifications: RFC 1952 (gzip), RFC 8878 (zstd), `xz-file-format.txt`,
/// APPNOTE.TXT 4.3 (ZIP), `7zFormat.txt`, POSIX `ustar`, deb(5), RPM's lead, WebAssembly's binary format.
const SIGNATURES: &[(usize, &[u8], FileKind)] = &[
    (0, b"\x7fELF", FileKind::Elf),
    (0, b"#!", FileKind::Script),
    (0, b"\xef\xbb\xbf#!", FileKind::MarkedScript),
    (0, b"\xfe\xff", FileKind::Utf16),
    (0, b"\xff\xfe", FileKind::Utf16),
    (0, b"\0asm", FileKind::Wasm),
    (0, b"\x1f\x8b\x08", FileKind::Gzip),
    (0, b"\xfd7zXZ\0", FileKind::Xz),
    (0, b"\x28\xb5\x2f\xfd", FileKind::Zstd),
    (0, b"PK\x03\x04", FileKind::Zip),
    (0, b"PK\x05\x06", FileKind::Zip),
    (0, b"7z\xbc\xaf\x27\x1c", FileKind::SevenZip),
    (0, b"!<arch>\ndebian-binary", FileKind::Deb),
    (0, b"!<arch>\n", FileKind::Ar),
    (0, b"\xed\xab\xee\xdb", FileKind::Rpm),
    (0, b"/annex/objects/", FileKind::GitAnnexPointer),
];

/// The mark of a tar archive lies beyond the first 256 bytes.
const TAR_MARK: (u64, &[u8]) = (257, b"ustar");

impl FileKind {
    /// Finds the kind of a file.
    pub(super) fn of(file: &OpenedFile) -> Self {
        let head = file.head.as_slice();
        let has = |(offset, bytes, _): &&(usize, &[u8], Self)| {
            head.get(*offset..).is_some_and(|rest| rest.starts_with(bytes))
        };
        if head.is_empty() {
            Self::Empty
        } else if let Some((_, _, kind)) = SIGNATURES.iter().find(has) {
            *kind
        } else if is_text(head) {
            Self::of_text(head)
        } else {
            Self::of_program(file)
        }
    }

    fn of_text(head: &[u8]) -> Self {
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
        let starts = |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        if starts(b"<!doctype html") || starts(b"<html") {
            Self::Html
        } else if starts(b"version https://") && contains(text, b"\noid sha256:") {
            // Git LFS's specification, "The Pointer": the keys are sorted, except that `version` is the first.
            Self::GitLfsPointer
        } else if text.starts_with(b"#!") {
            Self::IndentedScript
        } else {
            Self::Text
        }
    }

    /// Programs of other systems: their marks are short, so more than the mark is compared.
    fn of_program(file: &OpenedFile) -> Self {
        let head = file.head.as_slice();
        match head {
            _ if mach_o_processors(head).is_some() => Self::MachO,
            [0xca, 0xfe, 0xba, 0xbe, _, _, _, _, ..] => Self::JavaClass,
            [b'M', b'Z', ..] if pe_header(file).is_some() => Self::Pe,
            [b'M', b'Z', ..] => Self::Dos,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ if is_xcoff(head) => Self::Xcoff,
            _ if (file.read)(TAR_MARK.0, TAR_MARK.1.len()) == TAR_MARK.1 => Self::Tar,
            _ => Self::Data,
        }
    }

    /// Describes the file, as words that follow "it is".
    pub fn description(self) -> &'static str {
        match self {
            Self::Elf => "an ELF file",
            Self::Script => "a script whose first line the kernel cannot use",
            Self::MarkedScript => "a script with a byte order mark before its #!",
            Self::IndentedScript => "a script with blanks or empty lines before its #!",
            Self::Empty => "an empty file",
            Self::Html => "a web page",
            Self::GitLfsPointer => "a pointer of Git LFS to a file that was not downloaded",
            Self::GitAnnexPointer => "a pointer of git-annex to a file that was not downloaded",
            Self::Utf16 => "text in UTF-16",
            Self::Text => "a text that does not begin with #!",
            Self::MachO => "a program or library of macOS or another system of Apple (Mach-O)",
            Self::Pe => "a program or library of Windows or EFI (PE)",
            Self::Dos => "a program of DOS",
            Self::Xcoff => "a program or library of AIX (XCOFF)",
            Self::Wasm => "a WebAssembly module",
            Self::JavaClass => "a compiled Java class",
            Self::Gzip => "a file compressed by gzip",
            Self::Xz => "a file compressed by xz",
            Self::Zstd => "a file compressed by zstd",
            Self::Bzip2 => "a file compressed by bzip2",
            Self::Zip => "a ZIP archive",
            Self::SevenZip => "a 7z archive",
            Self::Tar => "a tar archive",
            Self::Deb => "a package of Debian",
            Self::Rpm => "a package of RPM",
            Self::Ar => "an archive of ar, such as a static library",
            Self::Data => "data: neither an ELF file nor a script",
        }
    }

    /// Whether entries for such files exist: those of Wine, Mono, WebAssembly runtimes and Java.
    pub(super) fn may_have_entry(self) -> bool {
        matches!(self, Self::MachO | Self::Pe | Self::Dos | Self::Wasm | Self::JavaClass | Self::Zip | Self::Data)
    }

    /// Whether a shell that cannot execute the file reads it as a script: text, or data whose first line has no NUL
    /// (`check_binary_file` of bash 5.2). Files of a kind that is known not to be a script are excluded.
    pub fn may_be_shell_script(self, head: &[u8]) -> bool {
        match self {
            Self::Text | Self::Empty | Self::IndentedScript => true,
            // A program of Cosmopolitan begins with `MZqFpD='` and is a shell script as well.
            Self::Data | Self::Pe | Self::Dos => {
                !head.split(|byte| *byte == b'\n').next().is_some_and(|line| line.contains(&0))
            }
            _ => false,
        }
    }
}

/// Returns the processors that a program of another system names, as words; `None` for other files.
pub(super) fn processors_of(file: &OpenedFile) -> Option<String> {
    match FileKind::of(file) {
        FileKind::MachO => mach_o_processors(&file.head).map(|names| names.join(", ")),
        FileKind::Pe => pe_header(file).map(pe_processor),
        FileKind::Xcoff => Some("PowerPC".into()),
        _ => None,
    }
}

fn is_text(head: &[u8]) -> bool {
    head.iter().all(|byte| *byte >= b' ' || byte.is_ascii_whitespace())
}

fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|window| window == words)
}

/// Reads the processors of a Mach-O file: one, or those of a universal file (`mach-o/loader.h`, `mach-o/fat.h`).
fn mach_o_processors(head: &[u8]) -> Option<Vec<&'static str>> {
    let word = |at: usize| head.get(at..at.saturating_add(4)).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    let mark = word(0)?;
    match u32::from_be_bytes(mark) {
        0xfeed_face | 0xfeed_facf => Some(vec![mach_o_processor(u32::from_be_bytes(word(4)?))]),
        0xcefa_edfe | 0xcffa_edfe => Some(vec![mach_o_processor(u32::from_le_bytes(word(4)?))]),
        // A Java class begins with the same four bytes. Its version follows, which is at least 45 (JVM specification, 4.1).
        0xcafe_babe => {
            let count = usize::try_from(u32::from_be_bytes(word(4)?)).ok().filter(|count| (1..45).contains(count))?;
            let places = (8_usize..).step_by(20).take(count);
            Some(places.map_while(word).map(|bytes| mach_o_processor(u32::from_be_bytes(bytes))).collect())
        }
        _ => None,
    }
}

/// Names a processor of Mach-O (`mach/machine.h`); the high byte is the width of pointers.
fn mach_o_processor(number: u32) -> &'static str {
    match number {
        7 => "i386",
        0x0100_0007 => "x86-64",
        12 => "ARM",
        0x0100_000c => "arm64",
        0x0200_000c => "arm64 with 32-bit pointers",
        18 => "PowerPC",
        0x0100_0012 => "64-bit PowerPC",
        _ => "an unknown processor",
    }
}

/// Returns the machine number in the header to which byte 60 of a PE file points (Microsoft's PE specification).
fn pe_header(file: &OpenedFile) -> Option<u16> {
    let at = file.head.get(60..64).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(u32::from_le_bytes)?;
    match *(file.read)(at.into(), 6) {
        [b'P', b'E', 0, 0, low, high] => Some(u16::from_le_bytes([low, high])),
        _ => None,
    }
}

fn pe_processor(number: u16) -> String {
    let name = match number {
        0x14c => "i386",
        0x1c0 | 0x1c4 => "ARM",
        0x200 => "Itanium",
        0x5032 => "32-bit RISC-V",
        0x5064 => "64-bit RISC-V",
        0x6264 => "64-bit LoongArch",
        0x8664 => "x86-64",
        0xaa64 => "arm64",
        0xebc => "EFI byte code",
        other => return format!("machine {other:#x}"),
    };
    name.into()
}

/// Whether the bytes are the header of an executable XCOFF file: `f_magic` is 0x1df or 0x1f7, and `f_flags`, in byte 18
/// and 19, has `F_EXEC` (2) or `F_SHROBJ` (0x2000) (IBM's "XCOFF Object File Format").
fn is_xcoff(head: &[u8]) -> bool {
    matches!(head, [1, 0xdf | 0xf7, ..])
        && matches!(head.get(18..20), Some([high, low]) if low & 2 != 0 || high & 0x20 != 0)
}
