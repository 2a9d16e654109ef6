//! Download of members of a package whose digest is known. A package is compressed in blocks, and only the blocks that
//! contain the members are requested, from one mirror after the other.

use std::io;

use super::http::TransferError;
use super::{
    DownloadError, DownloadEvent, DownloadSummary, FailedAttempt, HttpClient, Mirror, RetrySchedule, TRIES_PER_MIRROR,
    all_mirrors_failed,
};
use crate::qemu::catalog::{BlockPlan, Member};
use crate::qemu::download::blocks;
use crate::qemu::download::extract::MemberExtractor;

/// Downloads the members of a plan, and passes their bytes to `sink`: all bytes of one member, then all of the next, in the
/// order of the plan.
///
/// No byte is passed twice: after a failure, the download continues with the block that failed, from the next mirror. A
/// member is valid as soon as `progress` receives [`DownloadEvent::Verified`] for it, and all of them are if this function
/// returns `Ok`. The caller must discard the bytes of other members.
pub fn download_package(
    plan: &BlockPlan<'_>,
    mirrors: &[Mirror],
    client: &HttpClient,
    sink: &mut dyn FnMut(&Member, &[u8]) -> io::Result<()>,
    progress: &mut dyn FnMut(DownloadEvent<'_>),
) -> Result<DownloadSummary, DownloadError> {
    let package = plan.package();
    let mut transfer = PackageTransfer {
        plan,
        client,
        extractor: MemberExtractor::new(plan, sink),
        next: 0,
        block: Vec::new(),
        moved: 0,
        progress,
    };
    let mut schedule = RetrySchedule::new(mirrors.len(), client.retry_pause());
    let mut attempts = Vec::new();
    while let Some(attempt) = schedule.next_attempt() {
        std::thread::sleep(attempt.wait);
        client.start_attempt();
        let Some(mirror) = mirrors.get(attempt.mirror) else { continue };
        let url = mirror.display_url(package);
        (transfer.progress)(DownloadEvent::Asking { mirror: attempt.mirror, url: &url });
        match try_mirror(&mut transfer, &mirror.package_url(package)) {
            Ok(()) => {
                let moved = transfer.moved;
                return Ok(DownloadSummary { url, moved });
            }
            Err(TransferError::Local(error)) => return Err(error),
            Err(TransferError::Mirror(reason)) => {
                schedule.record_failure(&reason);
                let event = DownloadEvent::GaveUp { url: &url, reason: &reason };
                (transfer.progress)(event);
                attempts.push(FailedAttempt { url, reason });
            }
        }
    }
    Err(all_mirrors_failed(package.file_name().to_owned(), true, attempts))
}

/// State of a download of a package.
pub(super) struct PackageTransfer<'a> {
    pub(super) plan: &'a BlockPlan<'a>,
    pub(super) client: &'a HttpClient,
    pub(super) extractor: MemberExtractor<'a>,
    /// Index of the next needed block.
    pub(super) next: usize,
    /// Buffer for a compressed block.
    pub(super) block: Vec<u8>,
    /// Number of bytes of HTTP bodies that were received, from all mirrors.
    pub(super) moved: u64,
    pub(super) progress: &'a mut dyn FnMut(DownloadEvent<'_>),
}

/// Requests all blocks that are still needed from one mirror. If the mirror fails for a moment (`is_transient`) after it
/// made progress, it is asked again, [`TRIES_PER_MIRROR`] times in all. Otherwise the schedule of the caller decides which
/// mirror is asked next, which may be this one.
fn try_mirror(transfer: &mut PackageTransfer<'_>, url: &str) -> Result<(), TransferError> {
    for _ in 1..TRIES_PER_MIRROR {
        let before = transfer.next;
        match blocks::fetch_blocks(transfer, url) {
            Err(TransferError::Mirror(reason)) if transfer.next > before && reason.is_transient() => {}
            end => return end,
        }
    }
    blocks::fetch_blocks(transfer, url)
}
