//! Downloads the blocks of a plan from one URL, by range requests if the server supports them, and verifies each block.
//!
//! RFC 9110 §14: a server answers 206 with the requested range, or it ignores `Range` and answers 200 with the whole file from
//! its first byte. In the second case the body is read up to the last needed block, and then the connection is closed.

use super::http::{HttpBody, HttpRequest, HttpResponse, TransferError, status_failure};
use super::package::PackageTransfer;
use super::{DownloadEvent, MirrorFailure};
use crate::qemu::catalog::{Block, ByteRange};
use crate::sha256::Sha256;

/// Downloads all blocks that the transfer still needs.
pub(super) fn fetch_blocks(transfer: &mut PackageTransfer<'_>, url: &str) -> Result<(), TransferError> {
    while let Some(&run) = transfer.plan.ranges_from(transfer.next).first() {
        let response =
            transfer.client.send_get(HttpRequest { url, range: Some((run.first, Some(run.last))), headers: &[] })?;
        let shape = check_response(&response, run, transfer.plan.package().size)?;
        let mut stream = BlockStream {
            body: response.body,
            shape,
            at: match shape {
                BodyShape::Range => run.first,
                BodyShape::Whole => 0,
            },
        };
        let until = match shape {
            BodyShape::Range => transfer.next.saturating_add(run.blocks),
            BodyShape::Whole => transfer.plan.blocks().len(),
        };
        while transfer.next < until {
            stream.read_block(transfer)?;
        }
    }
    Ok(())
}

/// Part of the file that a body contains.
#[derive(Clone, Copy)]
enum BodyShape {
    /// The requested bytes.
    Range,
    /// The whole file from its first byte.
    Whole,
}

fn check_response(response: &HttpResponse, run: ByteRange, size: u64) -> Result<BodyShape, MirrorFailure> {
    response.refuse_encoding()?;
    match response.status {
        206 => {
            check_range(response.content_range().as_deref(), run, size)?;
            check_length(response.content_length(), run.last.saturating_sub(run.first).saturating_add(1))?;
            Ok(BodyShape::Range)
        }
        200 => {
            check_length(response.content_length(), size)?;
            Ok(BodyShape::Whole)
        }
        code => Err(status_failure(response, code)),
    }
}

/// Checks a `Content-Range`: `bytes FIRST-LAST/SIZE`, or `*` for a size that the server does not know.
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

/// A body, and the offset of its next byte in the `.deb`.
struct BlockStream {
    body: HttpBody,
    shape: BodyShape,
    at: u64,
}

impl BlockStream {
    /// Reads the next block, and verifies its digest before any other code reads it.
    fn read_block(&mut self, transfer: &mut PackageTransfer<'_>) -> Result<(), TransferError> {
        let Some(&block) = transfer.plan.blocks().get(transfer.next) else {
            return Ok(());
        };
        self.skip_to(transfer, block.offset)?;
        let mut bytes = std::mem::take(&mut transfer.block);
        self.fill_block(transfer, block, &mut bytes)?;
        let got = Sha256::of_bytes(&bytes);
        if got != block.sha256 {
            return Err(TransferError::Mirror(MirrorFailure::Digest {
                first: block.offset,
                last: block.end().saturating_sub(1),
                got,
                wanted: block.sha256,
            }));
        }
        transfer.extractor.extract_block(block, &bytes, transfer.progress).map_err(TransferError::Local)?;
        transfer.block = bytes;
        transfer.next = transfer.next.saturating_add(1);
        Ok(())
    }

    fn skip_to(&mut self, transfer: &mut PackageTransfer<'_>, to: u64) -> Result<(), MirrorFailure> {
        let mut buffer = [0; 16 << 10];
        while self.at < to {
            self.read_before(transfer, &mut buffer, to)?;
        }
        Ok(())
    }

    fn fill_block(
        &mut self,
        transfer: &mut PackageTransfer<'_>,
        block: &Block,
        bytes: &mut Vec<u8>,
    ) -> Result<(), MirrorFailure> {
        // The length is bounded by the check of the catalogue.
        bytes.resize(usize::try_from(block.length).unwrap_or(0), 0);
        let mut left = bytes.as_mut_slice();
        while !left.is_empty() {
            let got = self.read_before(transfer, left, block.end())?;
            left = left.get_mut(got..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads at least one byte, but none at or after the offset `to`.
    fn read_before(
        &mut self,
        transfer: &mut PackageTransfer<'_>,
        buffer: &mut [u8],
        to: u64,
    ) -> Result<usize, MirrorFailure> {
        let left = usize::try_from(to.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let limit = left.min(buffer.len());
        let got = self.body.read_some(buffer.get_mut(..limit).unwrap_or_default())?;
        if got == 0 {
            return Err(MirrorFailure::Truncated { got: self.at, wanted: to });
        }
        self.at = self.at.saturating_add(got as u64);
        transfer.moved = transfer.moved.saturating_add(got as u64);
        self.report_progress(transfer);
        Ok(got)
    }

    fn report_progress(&self, transfer: &mut PackageTransfer<'_>) {
        let blocks = transfer.plan.blocks();
        let (bytes, of) = match self.shape {
            BodyShape::Whole => (self.at, blocks.last().map_or(0, |last| last.end())),
            BodyShape::Range => {
                let bytes_before: u64 = blocks.iter().take(transfer.next).map(|block| block.length).sum();
                let bytes_in_block = blocks.get(transfer.next).map_or(0, |block| self.at.saturating_sub(block.offset));
                (bytes_before.saturating_add(bytes_in_block), transfer.plan.total_bytes())
            }
        };
        (transfer.progress)(DownloadEvent::Moved { bytes, of });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_the_requested_range_of_the_right_file() {
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
