//! Extraction of members: decodes verified blocks, extracts the members, and compares each member with its digest.
//!
//! It needs memory for one block as it was received, for the decoder's dictionary, and for one small buffer.

use std::io::{self, Cursor, Read};

use sha2::Digest as _;

use super::{DownloadError, DownloadEvent};
use crate::qemu::catalog::{Block, BlockPlan, Member, MemberSlice, STREAM_HEADER};
use crate::sha256::Sha256;

/// Memory limit of the decoder. Debian's blocks need 8 MiB; a block that needs more than this limit is rejected.
const MAX_DICTIONARY_KIB: u32 = 48 << 10;

/// Extractor that takes the blocks of a plan in order and passes the members to a sink.
pub(super) struct MemberExtractor<'a> {
    plan: &'a BlockPlan<'a>,
    sink: &'a mut dyn FnMut(&Member, &[u8]) -> io::Result<()>,
    /// Digest of the current member so far.
    sha256: sha2::Sha256,
    buffer: Vec<u8>,
}

impl<'a> MemberExtractor<'a> {
    pub(super) fn new(plan: &'a BlockPlan<'a>, sink: &'a mut dyn FnMut(&Member, &[u8]) -> io::Result<()>) -> Self {
        Self { plan, sink, sha256: sha2::Sha256::new(), buffer: vec![0; 64 << 10] }
    }

    /// Extracts the members in the next block of the plan. The caller has verified the digest of `bytes`.
    pub(super) fn extract_block(
        &mut self,
        block: &Block,
        bytes: &[u8],
        progress: &mut dyn FnMut(DownloadEvent<'_>),
    ) -> Result<(), DownloadError> {
        let mut content = decode_block(bytes);
        let mut at = 0;
        for slice in self.plan.slices_of(block) {
            self.skip_content(&mut content, slice, slice.at.saturating_sub(at))?;
            self.copy_slice(&mut content, slice)?;
            at = slice.at.saturating_add(slice.length);
            if slice.ends {
                progress(DownloadEvent::Verified { member: slice.member });
            }
        }
        Ok(())
    }

    fn skip_content(
        &mut self,
        content: &mut impl Read,
        slice: MemberSlice<'_>,
        mut left: u64,
    ) -> Result<(), DownloadError> {
        while left > 0 {
            let skipped = read_content(content, &mut self.buffer, left, slice.member)?.len();
            left = left.saturating_sub(skipped as u64);
        }
        Ok(())
    }

    fn copy_slice(&mut self, content: &mut impl Read, slice: MemberSlice<'_>) -> Result<(), DownloadError> {
        let member = slice.member;
        if slice.begins {
            self.sha256.reset();
        }
        let mut left = slice.length;
        while left > 0 {
            let bytes = read_content(content, &mut self.buffer, left, member)?;
            self.sha256.update(bytes);
            let written = (self.sink)(member, bytes);
            written.map_err(|source| DownloadError::Write { what: format!("qemu-{}", member.target), source })?;
            left = left.saturating_sub(bytes.len() as u64);
        }
        if slice.ends { self.check_member(member) } else { Ok(()) }
    }

    fn check_member(&mut self, member: &Member) -> Result<(), DownloadError> {
        let got = Sha256::from(<[u8; 32]>::from(self.sha256.finalize_reset()));
        if got == member.sha256 {
            return Ok(());
        }
        let why = format!("it has the SHA-256 {got}, not {}", member.sha256);
        Err(inconsistent_error(member, why))
    }
}

/// Reads at least one and at limit `left` of the next bytes.
fn read_content<'b>(
    content: &mut impl Read,
    buffer: &'b mut [u8],
    left: u64,
    member: &Member,
) -> Result<&'b [u8], DownloadError> {
    let limit = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
    let room = buffer.get_mut(..limit).unwrap_or_default();
    loop {
        match content.read(room) {
            Ok(0) => return Err(inconsistent_error(member, "its block ends too early".to_owned())),
            Ok(length) => return Ok(room.get(..length).unwrap_or_default()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(inconsistent_error(member, format!("cannot decode its block: {e}"))),
        }
    }
}

fn inconsistent_error(member: &Member, why: String) -> DownloadError {
    DownloadError::Inconsistent { target: member.target.clone(), why }
}

/// Decodes one block, and no byte after it. The caller limits how much is read.
///
/// A block alone is not an xz stream, but it becomes one with the first 12 bytes of a stream before it. The end of that stream
/// (index and footer) is missing, so reading beyond the content fails.
fn decode_block(block: &[u8]) -> impl Read {
    let stream = Cursor::new(STREAM_HEADER).chain(block);
    lzma_rust2::XzReader::new_mem_limit(stream, false, MAX_DICTIONARY_KIB)
}
