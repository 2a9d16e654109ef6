//! Search for the version of an emulator in its bytes. Pure.
//!
//! The catalogue has emulators for several hosts, so most of them cannot be run on the machine that generates it. The
//! output of `--version` is one string literal in the program: `"qemu-" TARGET_NAME " version " QEMU_FULL_VERSION "\n"
//! …` (QEMU `linux-user/main.c`, 7.2 to 11.1). The version of the package can differ from QEMU's: Debian's
//! `7.2+dfsg-7+deb12u18` prints 7.2.22.

use memchr::memmem;

use crate::qemu::binary;
use crate::qemu::binary::{InvalidVersionLine, QemuVersion};

/// Number of bytes to keep, more than the first line of the output has.
const MAX_LINE: usize = 256;

/// Program without the version of an emulator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionScanError {
    /// Missing literal.
    #[error("it does not contain the text that QEMU prints for --version")]
    Missing,
    /// Literal that is not the output of `--version`.
    #[error(transparent)]
    Answer(#[from] InvalidVersionLine),
}

/// Search in a program that is read in chunks.
#[derive(Debug)]
pub struct VersionScan {
    binary: String,
    pattern: Vec<u8>,
    buffer: Vec<u8>,
    found: bool,
}

impl VersionScan {
    /// Starts a search for the emulator of this system.
    pub fn for_target(target: &str) -> Self {
        let binary = format!("qemu-{target}");
        let pattern = format!("{binary} version ").into_bytes();
        Self { binary, pattern, buffer: Vec::new(), found: false }
    }

    /// Searches the next bytes of the program.
    pub fn scan_chunk(&mut self, bytes: &[u8]) {
        if self.found && self.buffer.len() >= MAX_LINE {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        if self.found {
            return;
        }
        let at = memmem::find(&self.buffer, &self.pattern);
        self.found = at.is_some();
        // A part of the pattern may be at the end of the buffer, and the rest in the next chunk.
        let keep_from = self.buffer.len().saturating_sub(self.pattern.len());
        self.buffer.drain(..at.unwrap_or(keep_from));
    }

    /// Returns the version that was found.
    pub fn found_version(&self) -> Result<QemuVersion, VersionScanError> {
        if !self.found {
            return Err(VersionScanError::Missing);
        }
        let line = self.buffer.get(..MAX_LINE).unwrap_or(&self.buffer);
        Ok(binary::parse_version(&String::from_utf8_lossy(line), &self.binary)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(chunks: &[&[u8]]) -> Result<QemuVersion, VersionScanError> {
        let mut scan = VersionScan::for_target("arm");
        for chunk in chunks {
            scan.scan_chunk(chunk);
        }
        scan.found_version()
    }

    #[test]
    fn the_version_is_found_wherever_the_chunks_end() {
        let program =
            b"\x7fELF\0qemu-armeb version 1.2.3\0qemu-arm version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright\0\xff";
        for at in 0..program.len() {
            let (first, second) = program.split_at(at);
            assert_eq!(scan(&[first, second]), Ok(QemuVersion(7, 2, 22)), "{at}");
        }
        let single: Vec<&[u8]> = program.chunks(1).collect();
        assert_eq!(scan(&single), Ok(QemuVersion(7, 2, 22)));
    }

    #[test]
    fn programs_without_a_version_are_refused() {
        for program in [&b""[..], b"qemu-arm", b"qemu-armeb version 7.2.0", b"qemu-arm version %s\n"] {
            assert!(scan(&[program]).is_err(), "{program:?}");
        }
    }
}
