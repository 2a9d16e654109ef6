//! Downloads members of a pinned package: only the blocks that hold them, from one mirror after the other.

use std::io;

use super::http::TransferError;
use super::{
    DownloadError, DownloadEvent, DownloadSummary, FailedAttempt, HttpClient, Mirror, RetrySchedule, TRIES_PER_MIRROR,
    all_mirrors_failed,
};
use crate::qemu::catalog::{BlockPlan, Member};
use crate::qemu::download::blocks;
use crate::qemu::download::extract::MemberExtractor;

/// Downloads the plan's members, and gives their bytes to `sink`: all of one member, in order, then
/// all of the next, in the plan's order.
///
/// A member is good only if this function returns `Ok`, or `progress` said [`Event::Verified`] of it;
/// what else was given is worthless, and for the caller to forget.
pub fn download_package(
    plan: &BlockPlan<'_>,
    mirrors: &[Mirror],
    client: &HttpClient,
    sink: &mut dyn FnMut(&Member, &[u8]) -> io::Result<()>,
    progress: &mut dyn FnMut(DownloadEvent<'_>),
) -> Result<DownloadSummary, DownloadError> {
    let package = plan.package();
    let mut job = PackageTransfer {
        plan,
        client,
        extractor: MemberExtractor::new(plan, sink),
        next: 0,
        block: Vec::new(),
        moved: 0,
        progress,
    };
    let mut turns = RetrySchedule::new(mirrors.len(), client.retry_pause());
    let mut tries = Vec::new();
    while let Some(turn) = turns.next_attempt() {
        std::thread::sleep(turn.wait);
        let Some(mirror) = mirrors.get(turn.mirror) else { continue };
        let url = mirror.display_url(package);
        (job.progress)(DownloadEvent::Asking { mirror: turn.mirror, url: &url });
        match try_mirror(&mut job, &mirror.package_url(package)) {
            Ok(()) => {
                let moved = job.moved;
                return Ok(DownloadSummary { url, moved });
            }
            Err(TransferError::Local(error)) => return Err(error),
            Err(TransferError::Mirror(reason)) => {
                turns.record_failure(&reason);
                let event = DownloadEvent::GaveUp { url: &url, reason: &reason };
                (job.progress)(event);
                tries.push(FailedAttempt { url, reason });
            }
        }
    }
    Err(all_mirrors_failed(package.file_name().to_owned(), true, tries))
}

/// What is downloaded, and how far it has come.
pub(super) struct PackageTransfer<'a> {
    pub(super) plan: &'a BlockPlan<'a>,
    pub(super) client: &'a HttpClient,
    pub(super) extractor: MemberExtractor<'a>,
    /// The number of the block that is needed next.
    pub(super) next: usize,
    /// Room for a block as it comes.
    pub(super) block: Vec<u8>,
    /// How many bytes of bodies came.
    pub(super) moved: u64,
    pub(super) progress: &'a mut dyn FnMut(DownloadEvent<'_>),
}

/// Asks one mirror for all that is still needed, again if it broke after having moved something.
fn try_mirror(job: &mut PackageTransfer<'_>, url: &str) -> Result<(), TransferError> {
    for _ in 1..TRIES_PER_MIRROR {
        let before = job.next;
        match blocks::fetch_blocks(job, url) {
            Err(TransferError::Mirror(reason)) if job.next > before && reason.is_transient() => {}
            end => return end,
        }
    }
    blocks::fetch_blocks(job, url)
}
