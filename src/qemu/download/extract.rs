//! Decodes verified blocks, cuts members out of them, and checks each against its digest.
//!
//! Memory: one block as it came, the decoder's dictionary, one small buffer.

use std::io::{self, Cursor, Read};

use sha2::Digest as _;

use super::{DownloadError, DownloadEvent};
use crate::qemu::catalog::{Block, BlockPlan, Member, MemberSlice, STREAM_HEADER};
use crate::sha256::Sha256;

/// Debian's blocks need 8 MiB; a block that wants more than this does not get it.
const MAX_DICTIONARY_KIB: u32 = 48 << 10;

/// Takes the plan's blocks in order, gives its members.
pub(super) struct MemberExtractor<'a> {
    plan: &'a BlockPlan<'a>,
    sink: &'a mut dyn FnMut(&Member, &[u8]) -> io::Result<()>,
    /// The digest of the member that is being given.
    sha256: sha2::Sha256,
    buffer: Vec<u8>,
}

impl<'a> MemberExtractor<'a> {
    pub(super) fn new(plan: &'a BlockPlan<'a>, sink: &'a mut dyn FnMut(&Member, &[u8]) -> io::Result<()>) -> Self {
        Self { plan, sink, sha256: sha2::Sha256::new(), buffer: vec![0; 64 << 10] }
    }

    /// Takes the plan's next block: `bytes` must have its digest.
    pub(super) fn extract_block(
        &mut self,
        block: &Block,
        bytes: &[u8],
        progress: &mut dyn FnMut(DownloadEvent<'_>),
    ) -> Result<(), DownloadError> {
        let mut content = decode_block(bytes);
        let mut at = 0;
        for cut in self.plan.slices_of(block) {
            self.skip_content(&mut content, cut, cut.at.saturating_sub(at))?;
            self.copy_slice(&mut content, cut)?;
            at = cut.at.saturating_add(cut.length);
            if cut.ends {
                progress(DownloadEvent::Verified { member: cut.member });
            }
        }
        Ok(())
    }

    fn skip_content(
        &mut self,
        content: &mut impl Read,
        cut: MemberSlice<'_>,
        mut left: u64,
    ) -> Result<(), DownloadError> {
        while left > 0 {
            let skipped = read_content(content, &mut self.buffer, left, cut.member)?.len();
            left = left.saturating_sub(skipped as u64);
        }
        Ok(())
    }

    fn copy_slice(&mut self, content: &mut impl Read, cut: MemberSlice<'_>) -> Result<(), DownloadError> {
        let member = cut.member;
        if cut.begins {
            self.sha256.reset();
        }
        let mut left = cut.length;
        while left > 0 {
            let bytes = read_content(content, &mut self.buffer, left, member)?;
            self.sha256.update(bytes);
            let given = (self.sink)(member, bytes);
            given.map_err(|source| DownloadError::Write { what: format!("qemu-{}", member.target), source })?;
            left = left.saturating_sub(bytes.len() as u64);
        }
        if cut.ends { self.check_member(member) } else { Ok(()) }
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

/// Some of the next `left` bytes, at least one.
fn read_content<'b>(
    content: &mut impl Read,
    buffer: &'b mut [u8],
    left: u64,
    member: &Member,
) -> Result<&'b [u8], DownloadError> {
    let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
    let room = buffer.get_mut(..most).unwrap_or_default();
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

/// Decodes this block, and nothing behind it. The caller bounds how much is read.
///
/// A block alone is no xz stream, but becomes one with a stream's first 12 bytes before it. Its
/// end (index and footer) is missing, so reading beyond the content gives an error.
fn decode_block(block: &[u8]) -> impl Read {
    let stream = Cursor::new(STREAM_HEADER).chain(block);
    lzma_rust2::XzReader::new_mem_limit(stream, false, MAX_DICTIONARY_KIB)
}
