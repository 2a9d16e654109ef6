//! Gets the plan's blocks from one URL, by ranges if the server knows them, and checks each.
//!
//! RFC 9110 §14: 206 with the asked range; or 200, the whole file from its first byte, of a server
//! that ignores `Range`: it is read as far as the last needed block, and then the connection is
//! closed.

use super::http::{HttpBody, HttpRequest, HttpResponse, TransferError, status_failure};
use super::package::PackageTransfer;
use super::{DownloadEvent, MirrorFailure};
use crate::qemu::catalog::{Block, ByteRange};
use crate::sha256::Sha256;

/// Gets all blocks that the job still needs.
pub(super) fn fetch_blocks(job: &mut PackageTransfer<'_>, url: &str) -> Result<(), TransferError> {
    while let Some(&run) = job.plan.ranges_from(job.next).first() {
        let answer =
            job.client.send_get(HttpRequest { url, range: Some((run.first, Some(run.last))), headers: &[] })?;
        let shape = check_response(&answer, run, job.plan.package().size)?;
        let mut stream = BlockStream {
            body: answer.body,
            shape,
            at: match shape {
                BodyShape::Range => run.first,
                BodyShape::Whole => 0,
            },
        };
        let until = match shape {
            BodyShape::Range => job.next.saturating_add(run.blocks),
            BodyShape::Whole => job.plan.blocks().len(),
        };
        while job.next < until {
            stream.read_block(job)?;
        }
    }
    Ok(())
}

/// What the body is.
#[derive(Clone, Copy)]
enum BodyShape {
    /// The bytes that were asked for.
    Range,
    /// The file from its first byte on.
    Whole,
}

fn check_response(answer: &HttpResponse, run: ByteRange, size: u64) -> Result<BodyShape, MirrorFailure> {
    answer.refuse_encoding()?;
    match answer.status {
        206 => {
            check_range(answer.content_range().as_deref(), run, size)?;
            check_length(answer.content_length(), run.last.saturating_sub(run.first).saturating_add(1))?;
            Ok(BodyShape::Range)
        }
        200 => {
            check_length(answer.content_length(), size)?;
            Ok(BodyShape::Whole)
        }
        code => Err(status_failure(answer, code)),
    }
}

/// `bytes FIRST-LAST/SIZE`, or `*` for a size that the server does not know.
fn check_range(got: Option<&str>, run: ByteRange, size: u64) -> Result<(), MirrorFailure> {
    let range = format!("bytes {}-{}", run.first, run.last);
    let wanted = format!("{range}/{size}");
    match got {
        Some(got) if got == wanted || got == format!("{range}/*") => Ok(()),
        got => Err(MirrorFailure::Range { wanted, got: got.unwrap_or("no Content-Range").to_owned() }),
    }
}

fn check_length(got: Option<u64>, wanted: u64) -> Result<(), MirrorFailure> {
    match got {
        Some(got) if got != wanted => Err(MirrorFailure::Size { got, wanted }),
        _ => Ok(()),
    }
}

/// A body, and which byte of the `.deb` comes next.
struct BlockStream {
    body: HttpBody,
    shape: BodyShape,
    at: u64,
}

impl BlockStream {
    /// Moves the job's next block on: its digest is checked before anything else sees it.
    fn read_block(&mut self, job: &mut PackageTransfer<'_>) -> Result<(), TransferError> {
        let Some(&block) = job.plan.blocks().get(job.next) else {
            return Ok(());
        };
        self.skip_to(job, block.offset)?;
        let mut bytes = std::mem::take(&mut job.block);
        self.fill_block(job, block, &mut bytes)?;
        let got = Sha256::of_bytes(&bytes);
        if got != block.sha256 {
            return Err(TransferError::Mirror(MirrorFailure::Digest {
                first: block.offset,
                last: block.end().saturating_sub(1),
                got,
                wanted: block.sha256,
            }));
        }
        job.extractor.extract_block(block, &bytes, job.progress).map_err(TransferError::Local)?;
        job.block = bytes;
        job.next = job.next.saturating_add(1);
        Ok(())
    }

    fn skip_to(&mut self, job: &mut PackageTransfer<'_>, to: u64) -> Result<(), MirrorFailure> {
        let mut buffer = [0; 16 << 10];
        while self.at < to {
            self.read_before(job, &mut buffer, to)?;
        }
        Ok(())
    }

    fn fill_block(
        &mut self,
        job: &mut PackageTransfer<'_>,
        block: &Block,
        bytes: &mut Vec<u8>,
    ) -> Result<(), MirrorFailure> {
        // The catalogue's check bounds the length.
        bytes.resize(usize::try_from(block.length).unwrap_or(0), 0);
        let mut left = bytes.as_mut_slice();
        while !left.is_empty() {
            let got = self.read_before(job, left, block.end())?;
            left = left.get_mut(got..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads something, but not beyond the byte `to`.
    fn read_before(
        &mut self,
        job: &mut PackageTransfer<'_>,
        buffer: &mut [u8],
        to: u64,
    ) -> Result<usize, MirrorFailure> {
        let left = usize::try_from(to.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        let got = self.body.read_some(buffer.get_mut(..most).unwrap_or_default())?;
        if got == 0 {
            return Err(MirrorFailure::Truncated { got: self.at, wanted: to });
        }
        self.at = self.at.saturating_add(got as u64);
        job.moved = job.moved.saturating_add(got as u64);
        self.report_progress(job);
        Ok(got)
    }

    fn report_progress(&self, job: &mut PackageTransfer<'_>) {
        let blocks = job.plan.blocks();
        let (bytes, of) = match self.shape {
            BodyShape::Whole => (self.at, blocks.last().map_or(0, |last| last.end())),
            BodyShape::Range => {
                let bytes_before: u64 = blocks.iter().take(job.next).map(|block| block.length).sum();
                let bytes_in_block = blocks.get(job.next).map_or(0, |block| self.at.saturating_sub(block.offset));
                (bytes_before.saturating_add(bytes_in_block), job.plan.total_bytes())
            }
        };
        (job.progress)(DownloadEvent::Moved { bytes, of });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_asked_range_of_the_right_file_will_do() {
        let run = ByteRange { first: 10, last: 19, blocks: 1 };
        let check = |got| check_range(got, run, 100);
        assert_eq!(check(Some("bytes 10-19/100")), Ok(()));
        assert_eq!(check(Some("bytes 10-19/*")), Ok(()));
        for wrong in ["bytes 10-19/101", "bytes 10-18/100", "bytes 0-9/100", "bytes */100", "items 10-19/100", ""] {
            assert!(check(Some(wrong)).is_err(), "{wrong}");
        }
        assert!(check(None).is_err());
    }
}
