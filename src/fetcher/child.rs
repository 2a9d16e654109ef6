//! The worker that downloads: gives up its rights, reads its job, downloads, and reports what comes of it.
//!
//! Certificates are read while there are rights; the HTTP client, which has threads, is made when they are gone (see
//! [`super::session`]).

use std::cell::RefCell;
use std::io;
use std::time::Instant;

use super::confine::Profile;
use super::protocol_download::{Job, What, Word};
use super::session::{self, Channel, TICK, failed};
use crate::catalog::Catalog;
use crate::download::{self, Client, DownloadError, Event, Fetched, Part, Roots};
use crate::error::{Error, ExitCode, Result};
use crate::text::one_line;

/// Does the job that is on standard input.
pub fn run() -> Result<ExitCode> {
    let (confined, roots) = session::begin(&Profile::CLIENT, Roots::of_this_machine)?;
    let job: Job = session::read_job()?;
    let voice = RefCell::new(Voice { out: confined.follow(job.parent)?, told: None });
    let last = last_word(fetch(&job, roots, &voice)?);
    voice.borrow_mut().out.tell(&last).map_err(failed("write for"))?;
    Ok(ExitCode::Ok)
}

/// The outer error is one that the parent cannot be told, or knows better.
fn fetch(job: &Job, roots: Roots, voice: &RefCell<Voice>) -> Result<std::result::Result<Fetched, DownloadError>> {
    let client = match Client::new(&job.options, roots.and(job.extra_roots.as_bytes())) {
        Ok(client) => client,
        Err(error) => return Ok(Err(error)),
    };
    let mut tell = |event: Event<'_>| voice.borrow_mut().tell(event);
    let fetched = match &job.what {
        What::Members { package: digest, targets, mirrors } => {
            let catalog = Catalog::embedded()?;
            let package = catalog.packages.iter().find(|package| package.sha256 == *digest);
            let package = package.ok_or_else(|| Error::Usage(format!("no package {digest}")))?;
            let targets: Vec<_> = targets.iter().map(String::as_str).collect();
            let plan = package.plan(&targets)?;
            download::download(&plan, mirrors, &client, &mut |_, bytes| voice.borrow_mut().give(bytes), &mut tell)
        }
        What::File { wanted, urls } => {
            let mut give = |part: Part<'_>| match part {
                Part::Bytes(bytes) => voice.borrow_mut().give(bytes),
                // The parent knows when.
                Part::Anew => Ok(()),
            };
            download::whole(wanted, urls, &client, &mut give, &mut tell)
        }
    };
    match fetched {
        // Nobody listens any more.
        Err(error @ DownloadError::Write { .. }) => Err(error.into()),
        fetched => Ok(fetched),
    }
}

fn last_word(fetched: std::result::Result<Fetched, DownloadError>) -> Word {
    match fetched {
        Ok(fetched) => Word::Fetched { moved: fetched.moved },
        Err(DownloadError::Client(why)) => Word::NoClient(why),
        Err(DownloadError::Inconsistent { why, .. }) => Word::Inconsistent(one_line(&why)),
        Err(_) => Word::Failed,
    }
}

/// For the parent's ears.
struct Voice {
    out: Channel,
    /// When it was told how far it is.
    told: Option<Instant>,
}

impl Voice {
    fn give(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.give(bytes)
    }

    /// A parent that is gone is noticed when bytes are given.
    fn tell(&mut self, event: Event<'_>) {
        let word = match event {
            Event::Asking { mirror, .. } => Word::Asking { mirror },
            Event::Moved { bytes, of } if self.is_news(bytes == of) => Word::Moved { bytes, of },
            Event::Moved { .. } => return,
            Event::GaveUp { reason, .. } => Word::GaveUp(reason.clone()),
            Event::Verified { .. } => Word::Verified,
        };
        drop(self.out.tell(&word));
    }

    fn is_news(&mut self, last: bool) -> bool {
        let news = last || self.told.is_none_or(|told| told.elapsed() >= TICK);
        if news {
            self.told = Some(Instant::now());
        }
        news
    }
}
