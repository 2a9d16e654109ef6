//! Downloads members of a pinned package: only the blocks that hold them, from one mirror after the other.

use std::io;

use super::http::Stop;
use super::members::Cutter;
use super::{Client, DownloadError, Event, Fetched, Mirror, TURNS, Try, Turns, failure, ranges};
use crate::catalog::{Member, Plan};

/// Downloads the plan's members, and gives their bytes to `sink`: all of one member, in order, then
/// all of the next, in the plan's order.
///
/// A member is good only if this function returns `Ok`, or `progress` said [`Event::Verified`] of it;
/// what else was given is worthless, and for the caller to forget.
pub fn download(
    plan: &Plan<'_>,
    mirrors: &[Mirror],
    client: &Client,
    sink: &mut dyn FnMut(&Member, &[u8]) -> io::Result<()>,
    progress: &mut dyn FnMut(Event<'_>),
) -> Result<Fetched, DownloadError> {
    let package = plan.package();
    let mut job = Job { plan, client, cutter: Cutter::new(plan, sink), next: 0, block: Vec::new(), moved: 0, progress };
    let mut turns = Turns::new(mirrors.len(), client.pause());
    let mut tries = Vec::new();
    while let Some(turn) = turns.turn() {
        std::thread::sleep(turn.wait);
        let Some(mirror) = mirrors.get(turn.mirror) else { continue };
        let url = mirror.shown(package);
        (job.progress)(Event::Asking { mirror: turn.mirror, url: &url });
        match ask(&mut job, &mirror.url(package)) {
            Ok(()) => {
                let moved = job.moved;
                return Ok(Fetched { url, moved });
            }
            Err(Stop::Ours(error)) => return Err(error),
            Err(Stop::Mirror(reason)) => {
                turns.gave_up(&reason);
                let event = Event::GaveUp { url: &url, reason: &reason };
                (job.progress)(event);
                tries.push(Try { url, reason });
            }
        }
    }
    Err(failure(package.file_name().to_owned(), true, tries))
}

/// What is downloaded, and how far it has come.
pub(super) struct Job<'a> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) client: &'a Client,
    pub(super) cutter: Cutter<'a>,
    /// The number of the block that is needed next.
    pub(super) next: usize,
    /// Room for a block as it comes.
    pub(super) block: Vec<u8>,
    /// How many bytes of bodies came.
    pub(super) moved: u64,
    pub(super) progress: &'a mut dyn FnMut(Event<'_>),
}

/// Asks one mirror for all that is still needed, again if it broke after having moved something.
fn ask(job: &mut Job<'_>, url: &str) -> Result<(), Stop> {
    for _ in 1..TURNS {
        let before = job.next;
        match ranges::fetch(job, url) {
            Err(Stop::Mirror(reason)) if job.next > before && reason.is_passing() => {}
            end => return end,
        }
    }
    ranges::fetch(job, url)
}
