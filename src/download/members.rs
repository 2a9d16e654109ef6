//! Cuts members out of decoded blocks into files, and checks each against its digest.
//!
//! Memory: one block as it came, the decoder's dictionary, one small buffer.

use std::fs::File;
use std::io::{self, Read, Write};

use sha2::Digest as _;

use super::{DownloadError, Event, decode};
use crate::catalog::{Block, Cut, Member, Plan};
use crate::digest::Sha256;

/// Takes the plan's blocks in order, gives its members.
pub(super) struct Cutter<'a> {
    plan: &'a Plan<'a>,
    sink: &'a mut dyn FnMut(&Member) -> io::Result<File>,
    open: Option<Open>,
    buffer: Vec<u8>,
}

/// The member that is being written.
struct Open {
    file: File,
    sha256: sha2::Sha256,
}

impl<'a> Cutter<'a> {
    pub(super) fn new(plan: &'a Plan<'a>, sink: &'a mut dyn FnMut(&Member) -> io::Result<File>) -> Self {
        Self { plan, sink, open: None, buffer: vec![0; 64 << 10] }
    }

    /// Takes the plan's next block: `bytes` must have its digest.
    pub(super) fn take(
        &mut self,
        block: &Block,
        bytes: &[u8],
        progress: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DownloadError> {
        let mut content = decode::content(bytes);
        let mut at = 0;
        for cut in self.plan.cuts(block) {
            self.skip(&mut content, cut, cut.at - at)?;
            self.copy(&mut content, cut)?;
            at = cut.at + cut.length;
            if cut.ends {
                progress(Event::Verified { member: cut.member });
            }
        }
        Ok(())
    }

    fn skip(&mut self, content: &mut impl Read, cut: Cut<'_>, mut left: u64) -> Result<(), DownloadError> {
        while left > 0 {
            left -= fill(content, &mut self.buffer, left, cut.member)?.len() as u64;
        }
        Ok(())
    }

    fn copy(&mut self, content: &mut impl Read, cut: Cut<'_>) -> Result<(), DownloadError> {
        let member = cut.member;
        let unwritable = |source| DownloadError::Write { target: member.target.clone(), source };
        let mut open = match self.open.take() {
            Some(open) if !cut.begins => open,
            _ => Open { file: (self.sink)(member).map_err(unwritable)?, sha256: sha2::Sha256::new() },
        };
        let mut left = cut.length;
        while left > 0 {
            let bytes = fill(content, &mut self.buffer, left, member)?;
            open.sha256.update(bytes);
            open.file.write_all(bytes).map_err(unwritable)?;
            left -= bytes.len() as u64;
        }
        if cut.ends {
            return check(open, member);
        }
        self.open = Some(open);
        Ok(())
    }
}

/// Some of the next `left` bytes, at least one.
fn fill<'b>(
    content: &mut impl Read,
    buffer: &'b mut [u8],
    left: u64,
    member: &Member,
) -> Result<&'b [u8], DownloadError> {
    let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
    loop {
        match content.read(&mut buffer[..most]) {
            Ok(0) => return Err(inconsistent(member, "its block ends too early".to_owned())),
            Ok(length) => return Ok(&buffer[..length]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(inconsistent(member, format!("cannot decode its block: {e}"))),
        }
    }
}

fn check(open: Open, member: &Member) -> Result<(), DownloadError> {
    let got = Sha256::from(<[u8; 32]>::from(open.sha256.finalize()));
    if got == member.sha256 {
        return Ok(());
    }
    let why = format!("it has the SHA-256 {got}, not {}", member.sha256);
    Err(inconsistent(member, why))
}

fn inconsistent(member: &Member, why: String) -> DownloadError {
    DownloadError::Inconsistent { target: member.target.clone(), why }
}
