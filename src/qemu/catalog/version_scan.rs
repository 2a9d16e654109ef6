//! The release that an emulator says it is, read from its bytes. Pure.
//!
//! The catalogue is made of emulators for several hosts, so most cannot be run where it is made. What they would answer
//! to `--version` is in them: `"qemu-" TARGET_NAME " version " QEMU_FULL_VERSION "\n" …` is one literal (QEMU
//! `linux-user/main.c`, 7.2 to 11.1), and a package's own version need not be QEMU's: Debian's `7.2+dfsg-7+deb12u18`
//! answers 7.2.22.

use memchr::memmem;

use crate::qemu::binary;
use crate::qemu::binary::{InvalidVersionLine, QemuVersion};

/// The answer's first line, and more.
const MAX_LINE: usize = 256;

/// A program does not hold the answer of an emulator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnnouncedVersionError {
    /// There is no such text in it.
    #[error("it does not hold what QEMU answers to --version")]
    Missing,
    /// The text is not the answer.
    #[error(transparent)]
    Answer(#[from] InvalidVersionLine),
}

/// Looks for the answer in a program that comes in pieces.
pub(super) struct VersionScan {
    binary: String,
    pattern: Vec<u8>,
    buffer: Vec<u8>,
    found: bool,
}

impl VersionScan {
    pub(super) fn for_target(target: &str) -> Self {
        let binary = format!("qemu-{target}");
        let words = format!("{binary} version ").into_bytes();
        Self { binary, pattern: words, buffer: Vec::new(), found: false }
    }

    pub(super) fn scan_chunk(&mut self, bytes: &[u8]) {
        if self.found && self.buffer.len() >= MAX_LINE {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        if self.found {
            return;
        }
        let at = memmem::find(&self.buffer, &self.pattern);
        self.found = at.is_some();
        // The words may be cut by the end of what was seen.
        let cut = self.buffer.len().saturating_sub(self.pattern.len());
        self.buffer.drain(..at.unwrap_or(cut));
    }

    pub(super) fn found_version(&self) -> Result<QemuVersion, AnnouncedVersionError> {
        if !self.found {
            return Err(AnnouncedVersionError::Missing);
        }
        let line = self.buffer.get(..MAX_LINE).unwrap_or(&self.buffer);
        Ok(binary::parse_version(&String::from_utf8_lossy(line), &self.binary)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&[u8]]) -> Result<QemuVersion, AnnouncedVersionError> {
        let mut announced = VersionScan::for_target("arm");
        for piece in pieces {
            announced.scan_chunk(piece);
        }
        announced.found_version()
    }

    #[test]
    fn it_is_found_wherever_the_pieces_end() {
        let program =
            b"\x7fELF\0qemu-armeb version 1.2.3\0qemu-arm version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright\0\xff";
        for at in 0..program.len() {
            let (first, second) = program.split_at(at);
            assert_eq!(of(&[first, second]), Ok(QemuVersion(7, 2, 22)), "{at}");
        }
        let single: Vec<&[u8]> = program.chunks(1).collect();
        assert_eq!(of(&single), Ok(QemuVersion(7, 2, 22)));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for program in [&b""[..], b"qemu-arm", b"qemu-armeb version 7.2.0", b"qemu-arm version %s\n"] {
            assert!(of(&[program]).is_err(), "{program:?}");
        }
    }
}
