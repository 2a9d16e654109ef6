//! Finds emulators in an archive that somebody else made.
//!
//! An archive is told by its first bytes, never by its name: a `.deb` (ar(5), deb(5)), a tar archive, plain or packed by
//! gzip, xz or zstd (an `.apk` is gzip members one after the other, each with a piece of a tar archive), or the program
//! itself. Wanted are regular files called `qemu-TARGET` or `qemu-TARGET-static`, wherever they lie; what leads out of
//! the archive, and two of them for one target, are refused.
//!
//! It is read once, from front to back, and in bounds: so many entries, so many bytes, so much memory. What is read is
//! not to be trusted afterwards either: whoever calls this is a process with no rights (see `fetcher`).
//!
//! The layers of an image are several tar archives, of which an upper one can hide what is in those below it (`layers`).
//!
//! Pure: bytes in, pieces out. [`bundle`] writes such an archive of our own.

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

/// As large as one emulator may be: ten times the largest there is.
pub const MAX_MEMBER: u64 = 256 << 20;
/// As large as all of them may be together: three times what Debian's are.
pub const MAX_TOTAL: u64 = 1 << 30;
/// As much as an archive may unpack to.
const MAX_UNPACKED: u64 = 4 << 30;
/// More than any preset of xz needs for decoding (xz(1), `-9`: 65 MiB).
const DECODER_KIB: u32 = 128 << 10;

/// A piece of what was found, in the order: the manifest, if there is one; for each emulator its beginning, its bytes,
/// its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveItem<'a> {
    /// What a bundle of ours says of itself.
    Manifest(Manifest),
    /// An emulator begins.
    Begin {
        /// QEMU's name of the guest
        target: &'a str,
        /// its path in the archive
        path: &'a str,
        /// how many bytes follow
        size: u64,
    },
    /// Some of its bytes; never none.
    Bytes(&'a [u8]),
    /// It is complete.
    End,
}

/// Where the pieces go.
pub type ArchiveSink<'a> = dyn FnMut(ArchiveItem<'_>) -> io::Result<()> + 'a;

/// Why an archive gives no emulators.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is broken, or one that is not taken.
    #[error("{0}")]
    Refused(String),
    /// The sink would not take more.
    #[error(transparent)]
    Sink(io::Error),
}

impl ArchiveError {
    fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }
}

/// Gives the emulators of these targets to the sink. Those that the archive has not are not missed here.
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
        return Err(ArchiveError::refused("it is an ar archive without a data.tar, so no Debian package"));
    };
    archive.seek(SeekFrom::Start(data.start)).map_err(broken)?;
    tar::unpack_tar(
        decompress::open_tar(archive.take(data.end.saturating_sub(data.start)), MAX_UNPACKED)?,
        targets,
        sink,
    )
}

/// No archive at all, but what would be in it.
fn unpack_program(
    file: &mut (impl Read + Seek),
    targets: &[&str],
    sink: &mut ArchiveSink<'_>,
) -> Result<(), ArchiveError> {
    let [target] = targets else {
        return Err(ArchiveError::refused("it is one program, so it goes with one system"));
    };
    let broken = |e: io::Error| ArchiveError::Refused(format!("it cannot be read: {e}"));
    let size = file.seek(SeekFrom::End(0)).map_err(broken)?;
    file.seek(SeekFrom::Start(0)).map_err(broken)?;
    send_emulator(file, target, "", size, sink)
}

/// One emulator, of exactly this size.
fn send_emulator(
    from: impl Read,
    target: &str,
    path: &str,
    size: u64,
    sink: &mut ArchiveSink<'_>,
) -> Result<(), ArchiveError> {
    if size > MAX_MEMBER {
        return Err(ArchiveError::refused(format!("its qemu-{target} is larger than any: {size} bytes")));
    }
    sink(ArchiveItem::Begin { target, path, size }).map_err(ArchiveError::Sink)?;
    let mut from = from.take(size);
    let mut buffer = vec![0; 64 << 10];
    let mut given: u64 = 0;
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(ArchiveError::Refused(format!("its qemu-{target} cannot be unpacked: {e}"))),
        };
        given = given.saturating_add(length as u64);
        sink(ArchiveItem::Bytes(buffer.get(..length).unwrap_or_default())).map_err(ArchiveError::Sink)?;
    }
    if given != size {
        return Err(ArchiveError::refused(format!("its qemu-{target} ends too early")));
    }
    sink(ArchiveItem::End).map_err(ArchiveError::Sink)
}
