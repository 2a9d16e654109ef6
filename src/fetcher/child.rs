//! The child: gives up its rights, reads its job, downloads, and says what comes of it.
//!
//! In this order, for a reason: certificates are read while it still may (a company's may be root's
//! alone); rights go while there is one thread (Landlock and seccomp hold for the thread that asks and
//! those it starts); only then the job is looked at, and the HTTP client, which has threads, is made.

use std::cell::RefCell;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::confine::{Work, confine, die_with};
use super::wire::{self, Job, What, Word};
use crate::catalog::Catalog;
use crate::download::{self, Client, DownloadError, Event, Fetched, Part, Roots};
use crate::error::{Error, ExitCode, Result};
use crate::host::{self, Host};
use crate::text::one_line;

/// A job with many certificates has some hundred kilobytes.
const LONGEST_JOB: u64 = 64 << 20;
/// How many bytes are kept for one write.
pub(super) const AT_ONCE: usize = 512 << 10;
/// How often people are told how far it is.
pub(super) const TICK: Duration = Duration::from_millis(40);

/// Does the job that is on standard input.
pub fn run() -> Result<ExitCode> {
    let failed = |what| move |e: io::Error| Error::io(what, Path::new("/proc/self"), e);
    let host = Host::live();
    host::process::close_inherited_fds().map_err(failed("close the files of"))?;
    let roots = Roots::of_this_machine();
    let lacks = confine(&host, Work::Download).map_err(failed("confine"))?;
    let job: Job = read().map_err(failed("read the job of"))?;
    // If the parent was gone before it could be asked for, there is another one now.
    die_with(job.parent).map_err(failed("follow the parent of"))?;
    let voice = RefCell::new(Voice { out: BufWriter::with_capacity(AT_ONCE, Output), told: None });
    voice.borrow_mut().say(&Word::Ready { lacks }).map_err(failed("write for"))?;
    let last = last_word(fetch(&job, roots, &voice)?);
    voice.borrow_mut().say(&last).map_err(failed("write for"))?;
    Ok(ExitCode::Ok)
}

pub(super) fn read<J: DeserializeOwned>() -> io::Result<J> {
    let mut text = Vec::new();
    io::stdin().lock().take(LONGEST_JOB).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
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
    out: BufWriter<Output>,
    /// When it was told how far it is.
    told: Option<Instant>,
}

/// Standard output as it is: the library's is cut into lines.
pub(super) struct Output;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(nix::unistd::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Voice {
    fn say(&mut self, word: &Word) -> io::Result<()> {
        wire::say(&mut self.out, word)?;
        self.out.flush()
    }

    fn give(&mut self, bytes: &[u8]) -> io::Result<()> {
        wire::give(&mut self.out, bytes)
    }

    /// A parent that is gone is noticed when bytes are given.
    fn tell(&mut self, event: Event<'_>) {
        let word = match event {
            Event::Asking { .. } => Word::Asking,
            Event::Moved { bytes, of } if self.is_news(bytes == of) => Word::Moved { bytes, of },
            Event::Moved { .. } => return,
            Event::GaveUp { reason, .. } => Word::GaveUp(reason.clone()),
            Event::Verified { .. } => Word::Verified,
        };
        drop(self.say(&word));
    }

    fn is_news(&mut self, last: bool) -> bool {
        let news = last || self.told.is_none_or(|told| told.elapsed() >= TICK);
        if news {
            self.told = Some(Instant::now());
        }
        news
    }
}
