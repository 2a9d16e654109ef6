//! Reader of tar archives (POSIX pax and ustar, GNU's long names) that extracts emulators.
//!
//! The library is used in its raw mode, because its own handling of long names and extended headers has no limits.

use std::io::{self, Read};

use tar::{Archive, Entry};

use super::manifest::{self, Manifest};
use super::{ArchiveError, ArchiveItem, ArchiveSink, MAX_TOTAL, send_emulator};
use crate::qemu::archive::members;
use crate::qemu::archive::whiteouts::Whiteouts;
use crate::ui::quantity::count;

/// Maximum number of headers of any kind; the largest distributions have fewer files.
const MAX_ENTRIES: usize = 200_000;
/// Maximum size of an extended header. A path has at most PATH_MAX bytes (limits.h), and an extended header contains
/// little more than two paths.
const MAX_HEADER: u64 = 64 << 10;
const ELF_MAGIC: &[u8] = b"\x7fELF";

/// Gives the emulators for these targets to the sink. The archive is read to its end, because its checksum is there.
pub(super) fn unpack_tar(tar: impl Read, targets: &[&str], sink: &mut ArchiveSink<'_>) -> Result<(), ArchiveError> {
    let mut walk = ArchiveWalk::new(targets, sink, None);
    walk.read_archive(tar)?;
    walk.check_others()
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err gives")]
fn read_error(e: io::Error) -> ArchiveError {
    ArchiveError::Refused(format!("it is not a tar archive, or a malformed one: {e}"))
}

/// Walk through one archive, or through the layers of an image.
pub(super) struct ArchiveWalk<'a, 'b, 'c> {
    targets: &'a [&'a str],
    sink: &'b mut ArchiveSink<'c>,
    /// Targets and paths of the emulators that were given to the sink.
    found: Vec<(&'a str, String)>,
    /// Number of emulators in `found` that are from layers above the current one.
    found_above: usize,
    /// Size of all found emulators together.
    total: u64,
    /// Number of headers so far.
    members: usize,
    /// Path of the next entry, if its own header has no space for it.
    long_path: Option<Vec<u8>>,
    /// Members with an emulator's name that are not programs.
    others: Vec<OtherMember<'a>>,
    /// Files that upper layers hide; `None` outside of images.
    whiteouts: Option<Whiteouts>,
}

/// A member with an emulator's name that is not a program.
struct OtherMember<'a> {
    target: &'a str,
    path: String,
    /// What it is instead, such as "a link".
    kind: &'static str,
}

impl<'a, 'b, 'c> ArchiveWalk<'a, 'b, 'c> {
    fn new(targets: &'a [&'a str], sink: &'b mut ArchiveSink<'c>, whiteouts: Option<Whiteouts>) -> Self {
        let (found, others) = (Vec::new(), Vec::new());
        Self { targets, sink, found, found_above: 0, total: 0, members: 0, long_path: None, others, whiteouts }
    }

    /// Creates a walk through layers, the uppermost first.
    pub(super) fn for_layers(targets: &'a [&'a str], sink: &'b mut ArchiveSink<'c>) -> Self {
        Self::new(targets, sink, Some(Whiteouts::default()))
    }

    /// Continues with the layer below.
    pub(super) fn next_layer(&mut self) {
        self.found_above = self.found.len();
        self.whiteouts.iter_mut().for_each(Whiteouts::next_layer);
    }

    /// Reads an archive to its end.
    pub(super) fn read_archive(&mut self, tar: impl Read) -> Result<(), ArchiveError> {
        let mut archive = Archive::new(tar);
        // Each piece of an .apk has its own end marker, or none.
        archive.set_ignore_zeros(true);
        self.long_path = None;
        for (number, entry) in archive.entries().map_err(read_error)?.raw(true).enumerate() {
            self.members = self.members.saturating_add(1);
            if self.members > MAX_ENTRIES {
                return Err(ArchiveError::refused(format!("it has more than {MAX_ENTRIES} members")));
            }
            self.visit_entry(entry.map_err(read_error)?, number == 0 && self.whiteouts.is_none())?;
        }
        Ok(())
    }

    fn visit_entry<R: Read>(&mut self, mut entry: Entry<'_, R>, first: bool) -> Result<(), ArchiveError> {
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() {
            let mut path = read_extension(&mut entry)?;
            path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or(path.len()));
            self.long_path = Some(path);
            return Ok(());
        }
        if kind.is_pax_local_extensions() {
            let records = read_extension(&mut entry)?;
            self.long_path = parse_pax_path(&records)?.or(self.long_path.take());
            return Ok(());
        }
        if kind.is_pax_global_extensions() || kind.is_gnu_longlink() {
            return Ok(());
        }
        let path = self.long_path.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        if kind.is_gnu_sparse() {
            return Err(ArchiveError::Refused(format!("its member {} is sparse", String::from_utf8_lossy(&path))));
        }
        if let Some(whiteouts) = &mut self.whiteouts
            && whiteouts.visit(&path, kind.is_dir())?
        {
            return Ok(());
        }
        if first && path == manifest::FILE_NAME.as_bytes() && kind.is_file() {
            return self.read_manifest(&mut entry);
        }
        match members::target_of_path(&path, self.targets)? {
            Some(target) if kind.is_file() => self.read_emulator(entry, target, &path),
            Some(target) if !kind.is_dir() => {
                self.skip_member(target, &path, "a link or a device");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn read_manifest<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), ArchiveError> {
        let mut text = Vec::new();
        entry.take(manifest::MAX_SIZE).read_to_end(&mut text).map_err(read_error)?;
        let manifest = Manifest::parse(&text, self.targets);
        let manifest = manifest.map_err(|why| ArchiveError::Refused(format!("its {}: {why}", manifest::FILE_NAME)))?;
        (self.sink)(ArchiveItem::Manifest(manifest)).map_err(ArchiveError::Sink)
    }

    fn skip_member(&mut self, target: &'a str, path: &[u8], kind: &'static str) {
        let path = String::from_utf8_lossy(path).into_owned();
        self.others.push(OtherMember { target, path, kind });
    }

    /// Reads an emulator. Only an ELF file is one: Debian 12's qemu-user-static also has a text for update-binfmts with
    /// each name, below `usr/share/binfmts` (seen in 7.2+dfsg-7+deb12u18+b3).
    fn read_emulator<R: Read>(
        &mut self,
        mut entry: Entry<'_, R>,
        target: &'a str,
        path: &[u8],
    ) -> Result<(), ArchiveError> {
        let mut head = Vec::new();
        entry.by_ref().take(ELF_MAGIC.len() as u64).read_to_end(&mut head).map_err(read_error)?;
        if head != ELF_MAGIC {
            self.skip_member(target, path, "not an ELF file");
            return Ok(());
        }
        let path = String::from_utf8_lossy(path).into_owned();
        let duplicate = self.found.iter().enumerate().find(|(_, (known, _))| *known == target);
        if let Some((number, (_, other))) = duplicate {
            if number < self.found_above {
                return Ok(());
            }
            return Err(ArchiveError::Refused(format!("it has two emulators for {target}: {other} and {path}")));
        }
        let size = entry.header().entry_size().map_err(read_error)?;
        self.total = self.total.saturating_add(size);
        if self.total > MAX_TOTAL {
            return Err(ArchiveError::refused(format!("its emulators have more than {MAX_TOTAL} bytes")));
        }
        send_emulator(head.as_slice().chain(entry), target, &path, size, self.sink)?;
        self.found.push((target, path));
        Ok(())
    }

    /// Refuses the archive if a target has only members that are not programs. Links are not followed, and the error is
    /// more helpful than a missing emulator.
    pub(super) fn check_others(self) -> Result<(), ArchiveError> {
        let is_found = |target| self.found.iter().any(|(found, _)| *found == target);
        match self.others.iter().find(|other| !is_found(other.target)) {
            Some(OtherMember { path, kind, .. }) => {
                Err(ArchiveError::Refused(format!("its {path} is {kind}, so it is not an emulator")))
            }
            None => Ok(()),
        }
    }
}

fn read_extension<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, ArchiveError> {
    let size = entry.header().entry_size().map_err(read_error)?;
    if size > MAX_HEADER {
        return Err(ArchiveError::refused(format!("it has an extended header of {}", count(size, "byte"))));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(read_error)?;
    Ok(bytes)
}

/// Returns the path in an extended header, which consists of records of length, blank, key, `=`, value, line end (pax
/// in POSIX.1-2024).
fn parse_pax_path(records: &[u8]) -> Result<Option<Vec<u8>>, ArchiveError> {
    let broken = || ArchiveError::refused("it has a malformed extended header");
    let (mut rest, mut path) = (records, None);
    while !rest.is_empty() {
        let blank = rest.iter().position(|byte| *byte == b' ').ok_or_else(broken)?;
        let length = rest.get(..blank).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok());
        let (record, rest_of_header) = length.and_then(|length| rest.split_at_checked(length)).ok_or_else(broken)?;
        let record = record.get(blank..).and_then(|record| record.strip_prefix(b" ")?.strip_suffix(b"\n"));
        let record = record.ok_or_else(broken)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
        let (key, value) = record.split_at_checked(equals).ok_or_else(broken)?;
        match key {
            b"path" => path = value.strip_prefix(b"=").map(<[u8]>::to_vec),
            // Files of more than 8 GiB have it. In its raw mode the library ignores it and would look for the next
            // header at the wrong place.
            b"size" => return Err(ArchiveError::refused("it has a member whose size is in an extended header")),
            _ if key.starts_with(b"GNU.sparse.") => return Err(ArchiveError::refused("it has a sparse member")),
            _ => {}
        }
        rest = rest_of_header;
    }
    Ok(path)
}
