//! Downloads one file whole, from the first of several URLs that gives it, and goes on where an earlier try stopped.
//!
//! A URL that gives other bytes than the pinned ones costs only itself: the next one begins from the first byte. Where
//! there is no digest, every URL does, for two servers' bytes must not be mixed.

use std::io;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::http::{Answer, Ask, Stop, status};
use super::{Client, DownloadError, Event, Fetched, FileUrl, Reason, TURNS, Try, Turns, failure};
use crate::digest::Sha256;

/// A file that is wanted whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Its name, for people.
    pub name: String,
    /// How many bytes it has, where that is known.
    pub size: Option<u64>,
    /// How many bytes it has at most.
    pub most: u64,
    /// Its digest, where that is known.
    pub sha256: Option<Sha256>,
    /// Whether it is Debian's, which has more mirrors.
    pub mirrored: bool,
    /// So many of its bytes are there already; only with a digest.
    pub there: u64,
}

/// What a caller is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// The next bytes.
    Bytes(&'a [u8]),
    /// Forget what was given: the file begins anew.
    Anew,
}

/// Downloads the file, and gives it to `sink`. If all of it came in this call and it has a digest, that was compared.
pub fn whole(
    wanted: &Wanted,
    urls: &[FileUrl],
    client: &Client,
    sink: &mut dyn FnMut(Part<'_>) -> io::Result<()>,
    progress: &mut dyn FnMut(Event<'_>),
) -> Result<Fetched, DownloadError> {
    let sha256 = (wanted.there == 0).then(sha2::Sha256::new);
    let mut job = Job { wanted, client, sink, progress, at: wanted.there, moved: 0, sha256 };
    let mut turns = Turns::new(urls.len(), client.pause());
    let mut tries = Vec::new();
    while let Some(turn) = turns.turn() {
        std::thread::sleep(turn.wait);
        let Some(url) = urls.get(turn.mirror) else { continue };
        let shown = url.to_string();
        (job.progress)(Event::Asking { mirror: turn.mirror, url: &shown });
        match job.ask(&url.0) {
            Ok(()) => return Ok(Fetched { url: shown, moved: job.moved }),
            Err(Stop::Ours(error)) => return Err(error),
            Err(Stop::Mirror(reason)) => {
                turns.gave_up(&reason);
                (job.progress)(Event::GaveUp { url: &shown, reason: &reason });
                job.after(&reason)?;
                tries.push(Try { url: shown, reason });
            }
        }
    }
    Err(failure(wanted.name.clone(), wanted.mirrored, tries))
}

struct Job<'a> {
    wanted: &'a Wanted,
    client: &'a Client,
    sink: &'a mut dyn FnMut(Part<'_>) -> io::Result<()>,
    progress: &'a mut dyn FnMut(Event<'_>),
    /// The byte that comes next.
    at: u64,
    moved: u64,
    /// Of all bytes before it; none if an earlier call got the first of them.
    sha256: Option<sha2::Sha256>,
}

impl Wanted {
    /// Whether the next URL begins from the first byte after this. The one who listens asks it too.
    pub fn begins_anew(&self, after: &Reason) -> bool {
        self.sha256.is_none() || after.is_lie()
    }
}

impl Job<'_> {
    /// One URL; again if it broke after having moved something.
    fn ask(&mut self, url: &str) -> Result<(), Stop> {
        for _ in 1..TURNS {
            let before = self.at;
            match self.fetch(url) {
                Err(Stop::Mirror(reason))
                    if self.at > before && reason.is_passing() && !self.wanted.begins_anew(&reason) => {}
                end => return end,
            }
        }
        self.fetch(url)
    }

    fn after(&mut self, reason: &Reason) -> Result<(), DownloadError> {
        if self.wanted.begins_anew(reason) && self.at > 0 {
            self.at = 0;
            self.sha256 = Some(sha2::Sha256::new());
            self.give(Part::Anew)?;
        }
        Ok(())
    }

    fn fetch(&mut self, url: &str) -> Result<(), Stop> {
        let range = (self.at > 0).then_some((self.at, None));
        let mut answer = self.client.ask(Ask { url, range, headers: &[] })?;
        answer.check_coding()?;
        let mut skip = match answer.status {
            206 if self.at > 0 => self.check_range(&answer).map(|()| 0)?,
            200 => self.at,
            // All of it was there.
            416 if self.at > 0 && answer.content_range() == Some(format!("bytes */{}", self.at)) => {
                return self.check().map_err(Stop::Mirror);
            }
            code => return Err(Stop::Mirror(status(&answer, code))),
        };
        let base = self.at.saturating_sub(skip);
        let end = answer.content_length().map(|length| base.saturating_add(length));
        self.check_length(end)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let got = answer.body.read(&mut buffer)?;
            let bytes = buffer.get(..got).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            self.moved = self.moved.saturating_add(bytes.len() as u64);
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
            skip = skip.saturating_sub(skipped as u64);
            self.take(bytes.get(skipped..).unwrap_or_default(), end)?;
        }
        match end.or(self.wanted.size) {
            Some(wanted) if self.at < wanted => Err(Reason::Truncated { got: self.at, wanted }.into()),
            _ => self.check().map_err(Stop::Mirror),
        }
    }

    fn take(&mut self, bytes: &[u8], end: Option<u64>) -> Result<(), Stop> {
        let at = self.at.saturating_add(bytes.len() as u64);
        self.check_length(Some(at).filter(|at| *at > self.wanted.size.unwrap_or(self.wanted.most)))?;
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        self.give(Part::Bytes(bytes)).map_err(Stop::Ours)?;
        self.at = at;
        let of = end.or(self.wanted.size).unwrap_or(at);
        (self.progress)(Event::Moved { bytes: at, of });
        Ok(())
    }

    fn give(&mut self, part: Part<'_>) -> Result<(), DownloadError> {
        (self.sink)(part).map_err(|source| DownloadError::Write { what: self.wanted.name.clone(), source })
    }

    /// `bytes FIRST-LAST/SIZE`, from the byte that was asked for.
    fn check_range(&self, answer: &Answer) -> Result<(), Reason> {
        let got = answer.content_range().unwrap_or_else(|| "no Content-Range".into());
        let size = self.wanted.size.map_or_else(|| "*".into(), |size| size.to_string());
        let known = got.rsplit_once('/').is_some_and(|(_, of)| of == "*" || self.wanted.size.is_none() || of == size);
        if known && got.starts_with(&format!("bytes {}-", self.at)) {
            return Ok(());
        }
        Err(Reason::Range { wanted: format!("bytes {}-/{size}", self.at), got })
    }

    fn check_length(&self, length: Option<u64>) -> Result<(), Reason> {
        match (length, self.wanted.size) {
            (Some(got), Some(wanted)) if got != wanted => Err(Reason::Size { got, wanted }),
            (Some(got), None) if got > self.wanted.most => Err(Reason::Large { most: self.wanted.most }),
            _ => Ok(()),
        }
    }

    fn check(&mut self) -> Result<(), Reason> {
        let (Some(wanted), Some(sha256)) = (self.wanted.sha256, &self.sha256) else { return Ok(()) };
        let got = Sha256::from(<[u8; 32]>::from(sha256.clone().finalize()));
        if got == wanted {
            return Ok(());
        }
        Err(Reason::Digest { first: 0, last: self.at.saturating_sub(1), got, wanted })
    }
}
