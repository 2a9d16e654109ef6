//! Downloads one file whole, from the first of several URLs that gives it, and goes on where an earlier try stopped.
//!
//! A URL that gives other bytes than the pinned ones costs only itself: the next one begins from the first byte. Where
//! there is no digest, every URL does, for two servers' bytes must not be mixed.

use std::io;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::http::{HttpRequest, HttpResponse, TransferError, status_failure};
use super::{
    DownloadError, DownloadEvent, DownloadSummary, FailedAttempt, FileUrl, HttpClient, MirrorFailure, RetrySchedule,
    TRIES_PER_MIRROR, all_mirrors_failed,
};
use crate::sha256::Sha256;

/// A file that is wanted whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDownload {
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
pub enum FileChunk<'a> {
    /// The next bytes.
    Bytes(&'a [u8]),
    /// Forget what was given: the file begins anew.
    Restart,
}

/// Downloads the file, and gives it to `sink`. If all of it came in this call and it has a digest, that was compared.
pub fn download_file(
    wanted: &FileDownload,
    urls: &[FileUrl],
    client: &HttpClient,
    sink: &mut dyn FnMut(FileChunk<'_>) -> io::Result<()>,
    progress: &mut dyn FnMut(DownloadEvent<'_>),
) -> Result<DownloadSummary, DownloadError> {
    let sha256 = (wanted.there == 0).then(sha2::Sha256::new);
    let mut job = FileTransfer { request: wanted, client, sink, progress, at: wanted.there, moved: 0, sha256 };
    let mut schedule = RetrySchedule::new(urls.len(), client.retry_pause());
    let mut attempts = Vec::new();
    while let Some(turn) = schedule.next_attempt() {
        std::thread::sleep(turn.wait);
        let Some(url) = urls.get(turn.mirror) else { continue };
        let shown = url.to_string();
        (job.progress)(DownloadEvent::Asking { mirror: turn.mirror, url: &shown });
        match job.try_url(&url.0) {
            Ok(()) => return Ok(DownloadSummary { url: shown, moved: job.moved }),
            Err(TransferError::Local(error)) => return Err(error),
            Err(TransferError::Mirror(reason)) => {
                schedule.record_failure(&reason);
                (job.progress)(DownloadEvent::GaveUp { url: &shown, reason: &reason });
                job.prepare_retry(&reason)?;
                attempts.push(FailedAttempt { url: shown, reason });
            }
        }
    }
    Err(all_mirrors_failed(wanted.name.clone(), wanted.mirrored, attempts))
}

struct FileTransfer<'a> {
    request: &'a FileDownload,
    client: &'a HttpClient,
    sink: &'a mut dyn FnMut(FileChunk<'_>) -> io::Result<()>,
    progress: &'a mut dyn FnMut(DownloadEvent<'_>),
    /// The byte that comes next.
    at: u64,
    moved: u64,
    /// Of all bytes before it; none if an earlier call got the first of them.
    sha256: Option<sha2::Sha256>,
}

impl FileDownload {
    /// Whether the next URL begins from the first byte after this. The one who listens asks it too.
    pub fn restarts_after(&self, after: &MirrorFailure) -> bool {
        self.sha256.is_none() || after.is_wrong_digest()
    }
}

impl FileTransfer<'_> {
    /// One URL; again if it broke after having moved something.
    fn try_url(&mut self, url: &str) -> Result<(), TransferError> {
        for _ in 1..TRIES_PER_MIRROR {
            let before = self.at;
            match self.fetch_rest(url) {
                Err(TransferError::Mirror(reason))
                    if self.at > before && reason.is_transient() && !self.request.restarts_after(&reason) => {}
                end => return end,
            }
        }
        self.fetch_rest(url)
    }

    fn prepare_retry(&mut self, reason: &MirrorFailure) -> Result<(), DownloadError> {
        if self.request.restarts_after(reason) && self.at > 0 {
            self.at = 0;
            self.sha256 = Some(sha2::Sha256::new());
            self.send_chunk(FileChunk::Restart)?;
        }
        Ok(())
    }

    fn fetch_rest(&mut self, url: &str) -> Result<(), TransferError> {
        let range = (self.at > 0).then_some((self.at, None));
        let mut answer = self.client.send_get(HttpRequest { url, range, headers: &[] })?;
        answer.refuse_encoding()?;
        let mut skip = match answer.status {
            206 if self.at > 0 => self.check_range(&answer).map(|()| 0)?,
            200 => self.at,
            // All of it was there.
            416 if self.at > 0 && answer.content_range() == Some(format!("bytes */{}", self.at)) => {
                return self.check_digest().map_err(TransferError::Mirror);
            }
            code => return Err(TransferError::Mirror(status_failure(&answer, code))),
        };
        let base = self.at.saturating_sub(skip);
        let end = answer.content_length().map(|length| base.saturating_add(length));
        self.check_length(end)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let got = answer.body.read_some(&mut buffer)?;
            let bytes = buffer.get(..got).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            self.moved = self.moved.saturating_add(bytes.len() as u64);
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
            skip = skip.saturating_sub(skipped as u64);
            self.accept_bytes(bytes.get(skipped..).unwrap_or_default(), end)?;
        }
        match end.or(self.request.size) {
            Some(wanted) if self.at < wanted => Err(MirrorFailure::Truncated { got: self.at, wanted }.into()),
            _ => self.check_digest().map_err(TransferError::Mirror),
        }
    }

    fn accept_bytes(&mut self, bytes: &[u8], end: Option<u64>) -> Result<(), TransferError> {
        let at = self.at.saturating_add(bytes.len() as u64);
        self.check_length(Some(at).filter(|at| *at > self.request.size.unwrap_or(self.request.most)))?;
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        self.send_chunk(FileChunk::Bytes(bytes)).map_err(TransferError::Local)?;
        self.at = at;
        let of = end.or(self.request.size).unwrap_or(at);
        (self.progress)(DownloadEvent::Moved { bytes: at, of });
        Ok(())
    }

    fn send_chunk(&mut self, part: FileChunk<'_>) -> Result<(), DownloadError> {
        (self.sink)(part).map_err(|source| DownloadError::Write { what: self.request.name.clone(), source })
    }

    /// `bytes FIRST-LAST/SIZE`, from the byte that was asked for.
    fn check_range(&self, answer: &HttpResponse) -> Result<(), MirrorFailure> {
        let got = answer.content_range().unwrap_or_else(|| "no Content-Range".into());
        let size = self.request.size.map_or_else(|| "*".into(), |size| size.to_string());
        let known = got.rsplit_once('/').is_some_and(|(_, of)| of == "*" || self.request.size.is_none() || of == size);
        if known && got.starts_with(&format!("bytes {}-", self.at)) {
            return Ok(());
        }
        Err(MirrorFailure::Range { wanted: format!("bytes {}-/{size}", self.at), got })
    }

    fn check_length(&self, length: Option<u64>) -> Result<(), MirrorFailure> {
        match (length, self.request.size) {
            (Some(got), Some(wanted)) if got != wanted => Err(MirrorFailure::Size { got, wanted }),
            (Some(got), None) if got > self.request.most => Err(MirrorFailure::Large { most: self.request.most }),
            _ => Ok(()),
        }
    }

    fn check_digest(&mut self) -> Result<(), MirrorFailure> {
        let (Some(wanted), Some(sha256)) = (self.request.sha256, &self.sha256) else { return Ok(()) };
        let got = Sha256::from(<[u8; 32]>::from(sha256.clone().finalize()));
        if got == wanted {
            return Ok(());
        }
        Err(MirrorFailure::Digest { first: 0, last: self.at.saturating_sub(1), got, wanted })
    }
}
