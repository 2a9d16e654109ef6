//! Downloads QEMUs: just the blocks that hold them, from the first mirror that has them.
//!
//! The order is fixed, and it is the point: a block's SHA-256 is compared with the catalogue's
//! before any decoder sees it, and a member's before it is called verified. So a mirror needs no
//! trust, and plain http will do. A mirror that fails or lies is left for the next one, which goes on
//! at the block where that one stopped.
//!
//! Knows the catalogue and HTTP; not where QEMUs are kept, nor what they are for.

mod apt;
mod decode;
mod error;
mod http;
mod members;
mod mirror;
mod ranges;

pub use apt::mirrors_from_apt;
pub use error::{DownloadError, Reason, Try};
pub use mirror::{BaseUrl, Mirror, NotAMirror, mirrors};

use std::fs::File;
use std::io;
use std::time::Duration;

use crate::catalog::{Member, Plan};
use http::Client;
use members::Cutter;
use ranges::Stop;

/// How often one mirror is asked again, after it moved at least one block and then broke.
const TURNS: usize = 3;

/// How patient the client is, and whom it trusts.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// How long a connection may take to be made.
    pub connect: Duration,
    /// How long nothing may come.
    pub stall: Duration,
    /// How long one request may take in all.
    pub whole: Duration,
    /// How many bytes a second must come on average, once `stall` is over.
    pub slowest: u64,
    /// Certificates (PEM) to be trusted besides the system's: the content of what
    /// `NIX_SSL_CERT_FILE` names. Empty for none.
    pub extra_roots: Vec<u8>,
    /// Whether proxies are used.
    pub proxies: Proxies,
}

/// Which proxies are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxies {
    /// Those that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name.
    Environment,
    /// None.
    None,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            whole: Duration::from_secs(3600),
            slowest: 4 << 10,
            extra_roots: Vec::new(),
            proxies: Proxies::Environment,
        }
    }
}

/// What happens meanwhile.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A mirror is asked.
    Asking {
        /// For this URL (without a password).
        url: &'a str,
    },
    /// Bytes came. Both numbers are larger if the server ignores ranges; `bytes` goes back when
    /// another mirror is asked.
    Moved {
        /// How many of them are there now.
        bytes: u64,
        /// How many there will be.
        of: u64,
    },
    /// A mirror gave nothing, or not all.
    GaveUp {
        /// What it was asked for.
        url: &'a str,
        /// Why.
        reason: &'a Reason,
    },
    /// A member is complete, and has its digest.
    Verified {
        /// Which.
        member: &'a Member,
    },
}

/// A download that gave all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The URL that gave the last of it (without a password).
    pub url: String,
    /// How many bytes of bodies came, from all mirrors together.
    pub moved: u64,
}

/// Downloads the plan's members, each into the file that `sink` opens for it.
///
/// A file is good only if this function returns `Ok`, or `progress` said [`Event::Verified`] of it;
/// what else was written is worthless, and for the caller to delete. `sink` is called once for each
/// member, in the plan's order.
pub fn download(
    plan: &Plan<'_>,
    mirrors: &[Mirror],
    options: &ClientOptions,
    sink: &mut dyn FnMut(&Member) -> io::Result<File>,
    progress: &mut dyn FnMut(Event<'_>),
) -> Result<Fetched, DownloadError> {
    let package = plan.package();
    let mut job = Job {
        plan,
        client: &Client::new(options)?,
        cutter: Cutter::new(plan, sink),
        next: 0,
        block: Vec::new(),
        moved: 0,
        progress,
    };
    let mut tries = Vec::new();
    for mirror in mirrors {
        let url = mirror.shown(package);
        (job.progress)(Event::Asking { url: &url });
        match ask(&mut job, &mirror.url(package)) {
            Ok(()) => {
                let moved = job.moved;
                return Ok(Fetched { url, moved });
            }
            Err(Stop::Ours(error)) => return Err(error),
            Err(Stop::Mirror(reason)) => {
                let event = Event::GaveUp { url: &url, reason: &reason };
                (job.progress)(event);
                tries.push(Try { url, reason });
            }
        }
    }
    Err(failure(package.file_name().to_owned(), tries))
}

/// What is downloaded, and how far it has come.
struct Job<'a> {
    plan: &'a Plan<'a>,
    client: &'a Client,
    cutter: Cutter<'a>,
    /// The number of the block that is needed next.
    next: usize,
    /// Room for a block as it comes.
    block: Vec<u8>,
    /// How many bytes of bodies came.
    moved: u64,
    progress: &'a mut dyn FnMut(Event<'_>),
}

/// Asks one mirror for all that is still needed, again if it broke after having moved something.
fn ask(job: &mut Job<'_>, url: &str) -> Result<(), Stop> {
    let mut turns = TURNS;
    loop {
        let before = job.next;
        turns -= 1;
        match ranges::fetch(job, url) {
            Err(Stop::Mirror(reason)) if turns > 0 && job.next > before && reason.is_passing() => {}
            end => return end,
        }
    }
}

fn failure(package: String, tries: Vec<Try>) -> DownloadError {
    if tries.is_empty() {
        DownloadError::NoMirror { package }
    } else if tries.iter().any(|t| t.reason.is_lie()) {
        DownloadError::Unverified { package, tries }
    } else {
        DownloadError::Failed { package, tries }
    }
}
