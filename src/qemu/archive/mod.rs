//! Readers of untrusted archives that extract emulators, and the writer of bundles.
//!
//! The kind of an archive is detected from its first bytes, never from its name: a `.deb` (ar(5), deb(5)), a tar
//! archive that is plain or compressed by gzip, xz or zstd (an `.apk` is a sequence of gzip members, each with a piece
//! of a tar archive), or the program itself. Regular files named `qemu-TARGET` or `qemu-TARGET-static` are extracted
//! from any directory. An archive is refused if the path of an emulator leads out of the archive, or if two emulators
//! are for the same target.
//!
//! An archive is read once, from front to back, with limits on the number of entries, the number of bytes, and the
//! memory. The reader runs in a confined worker ([`worker`]), and the parent does not trust its output ([`supervise`]).
//!
//! The layers of an image are several tar archives. An upper one can hide files of those below it ([`layers`]).
//!
//! Pure: bytes in, items out. [`bundle`] writes archives of the same kind.

pub mod bundle;
pub mod decompress;
pub mod layers;
pub mod manifest;
pub mod members;
pub mod protocol;
pub mod supervise;
pub mod tar;
pub mod unpack;
pub mod whiteouts;
pub mod worker;

pub use layers::unpack_layers;
pub use manifest::{Manifest, ManifestFile};

use std::io::{self, Read, Seek, SeekFrom};

use crate::qemu::deb;
use crate::ui::quantity::count;

/// Maximum size of one emulator: ten times the largest known one.
pub const MAX_MEMBER: u64 = 256 << 20;
/// Maximum size of all emulators together: three times the size of Debian's.
pub const MAX_TOTAL: u64 = 1 << 30;
/// Maximum size of a decompressed archive.
const MAX_UNPACKED: u64 = 4 << 30;
/// Memory limit of the xz decoder, more than any preset needs (xz(1), `-9`: 65 MiB).
const DECODER_KIB: u32 = 128 << 10;

/// Item of an archive. The order is: the manifest, if there is one; then, for each emulator, its beginning, its bytes,
/// and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveItem<'a> {
    /// Manifest of a bundle.
    Manifest(Manifest),
    /// Beginning of an emulator.
    Begin {
        /// QEMU's name of the guest.
        target: &'a str,
        /// Path in the archive.
        path: &'a str,
        /// Number of bytes that follow.
        size: u64,
    },
    /// Some bytes of the emulator, at least one.
    Bytes(&'a [u8]),
    /// End of the emulator.
    End,
}

/// Receiver of the items.
pub type ArchiveSink<'a> = dyn FnMut(ArchiveItem<'_>) -> io::Result<()> + 'a;

/// Reason why an archive could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Malformed or unsupported archive.
    #[error("{0}")]
    Refused(String),
    /// Failure of the sink.
    #[error(transparent)]
    Sink(io::Error),
}

impl ArchiveError {
    fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }
}

/// Gives the emulators for these targets to the sink. A target without an emulator in the archive is not an error here.
pub fn unpack_archive(
    archive: &mut (impl Read + Seek),
    targets: &[&str],
    sink: &mut ArchiveSink<'_>,
) -> Result<(), ArchiveError> {
    let broken = |e: io::Error| ArchiveError::Refused(format!("it cannot be read: {e}"));
    let mut head = Vec::new();
    archive.seek(SeekFrom::Start(0)).map_err(broken)?;
    archive.take(8).read_to_end(&mut head).map_err(broken)?;
    archive.seek(SeekFrom::Start(0)).map_err(broken)?;
    if head.is_empty() {
        return Err(ArchiveError::refused("it is empty"));
    }
    if head.starts_with(b"\x7fELF") {
        return unpack_program(archive, targets, sink);
    }
    if head != *b"!<arch>\n" {
        return tar::unpack_tar(decompress::open_tar(archive, MAX_UNPACKED)?, targets, sink);
    }
    let names = ["data.tar.xz", "data.tar.zst", "data.tar.gz", "data.tar"];
    let Some(data) = names.iter().find_map(|name| deb::find_member(archive, name).ok()) else {
        return Err(ArchiveError::refused("it is an ar archive without a data.tar, so it is not a Debian package"));
    };
    archive.seek(SeekFrom::Start(data.start)).map_err(broken)?;
    tar::unpack_tar(
        decompress::open_tar(archive.take(data.end.saturating_sub(data.start)), MAX_UNPACKED)?,
        targets,
        sink,
    )
}

/// Gives a file that is an emulator itself, not an archive, to the sink.
fn unpack_program(
    file: &mut (impl Read + Seek),
    targets: &[&str],
    sink: &mut ArchiveSink<'_>,
) -> Result<(), ArchiveError> {
    let [target] = targets else {
        return Err(ArchiveError::refused("it is a single program, so it must be used with one system"));
    };
    let broken = |e: io::Error| ArchiveError::Refused(format!("it cannot be read: {e}"));
    let size = file.seek(SeekFrom::End(0)).map_err(broken)?;
    file.seek(SeekFrom::Start(0)).map_err(broken)?;
    send_emulator(file, target, "", size, sink)
}

/// Gives one emulator, which must have exactly this size, to the sink.
fn send_emulator(
    from: impl Read,
    target: &str,
    path: &str,
    size: u64,
    sink: &mut ArchiveSink<'_>,
) -> Result<(), ArchiveError> {
    if size > MAX_MEMBER {
        return Err(ArchiveError::refused(format!("its qemu-{target} is too large: {}", count(size, "byte"))));
    }
    sink(ArchiveItem::Begin { target, path, size }).map_err(ArchiveError::Sink)?;
    let mut from = from.take(size);
    let mut buffer = vec![0; 64 << 10];
    let mut sent: u64 = 0;
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(ArchiveError::Refused(format!("its qemu-{target} cannot be unpacked: {e}"))),
        };
        sent = sent.saturating_add(length as u64);
        sink(ArchiveItem::Bytes(buffer.get(..length).unwrap_or_default())).map_err(ArchiveError::Sink)?;
    }
    if sent != size {
        return Err(ArchiveError::refused(format!("its qemu-{target} ends too early")));
    }
    sink(ArchiveItem::End).map_err(ArchiveError::Sink)
}
