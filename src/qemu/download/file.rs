//! Download of one whole file, from the first of several URLs that provides it. An attempt continues where the last one
//! stopped.
//!
//! After a URL that sent wrong bytes, the next URL starts again at the first byte. Without a digest every URL does, because
//! the bytes of two servers must not be mixed.

use std::io;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::http::{HttpRequest, HttpResponse, TransferError, status_failure};
use super::{
    DownloadError, DownloadEvent, DownloadSummary, FailedAttempt, FileUrl, HttpClient, MirrorFailure, RetrySchedule,
    TRIES_PER_MIRROR, all_mirrors_failed,
};
use crate::sha256::Sha256;

/// Request for a whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDownload {
    /// Name of the file, for people.
    pub name: String,
    /// Size in bytes, if known.
    pub size: Option<u64>,
    /// Largest accepted size in bytes.
    pub most: u64,
    /// Digest, if known.
    pub sha256: Option<Sha256>,
    /// Whether the file is Debian's, which has more mirrors.
    pub mirrored: bool,
    /// Number of bytes that an earlier run left; only with a digest.
    pub there: u64,
}

/// Output of a download for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileChunk<'a> {
    /// The next bytes of the file.
    Bytes(&'a [u8]),
    /// All earlier bytes are invalid: the file starts again.
    Restart,
}

/// Downloads a file, and passes it to `sink`. The digest is compared only if this call received the whole file.
pub fn download_file(
    request: &FileDownload,
    urls: &[FileUrl],
    client: &HttpClient,
    sink: &mut dyn FnMut(FileChunk<'_>) -> io::Result<()>,
    progress: &mut dyn FnMut(DownloadEvent<'_>),
) -> Result<DownloadSummary, DownloadError> {
    let sha256 = (request.there == 0).then(sha2::Sha256::new);
    let mut transfer = FileTransfer { request, client, sink, progress, at: request.there, moved: 0, sha256 };
    let mut schedule = RetrySchedule::new(urls.len(), client.retry_pause());
    let mut attempts = Vec::new();
    while let Some(attempt) = schedule.next_attempt() {
        std::thread::sleep(attempt.wait);
        client.start_attempt();
        let Some(url) = urls.get(attempt.mirror) else { continue };
        let shown = url.to_string();
        (transfer.progress)(DownloadEvent::Asking { mirror: attempt.mirror, url: &shown });
        match transfer.try_url(&url.0) {
            Ok(()) => return Ok(DownloadSummary { url: shown, moved: transfer.moved }),
            Err(TransferError::Local(error)) => return Err(error),
            Err(TransferError::Mirror(reason)) => {
                schedule.record_failure(&reason);
                (transfer.progress)(DownloadEvent::GaveUp { url: &shown, reason: &reason });
                transfer.prepare_retry(&reason)?;
                attempts.push(FailedAttempt { url: shown, reason });
            }
        }
    }
    Err(all_mirrors_failed(request.name.clone(), request.mirrored, attempts))
}

struct FileTransfer<'a> {
    request: &'a FileDownload,
    client: &'a HttpClient,
    sink: &'a mut dyn FnMut(FileChunk<'_>) -> io::Result<()>,
    progress: &'a mut dyn FnMut(DownloadEvent<'_>),
    /// Offset of the next byte.
    at: u64,
    moved: u64,
    /// Digest of all bytes so far; absent if an earlier run received the first of them.
    sha256: Option<sha2::Sha256>,
}

impl FileDownload {
    /// Whether the next URL starts at the first byte after this failure. Worker and supervisor both call it.
    pub fn restarts_after(&self, failure: &MirrorFailure) -> bool {
        self.sha256.is_none() || failure.is_wrong_digest()
    }
}

impl FileTransfer<'_> {
    /// Tries one URL, and repeats the request if it failed after it made progress.
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
        let mut response = self.client.send_get(HttpRequest { url, range, headers: &[] })?;
        response.refuse_encoding()?;
        let mut skip = match response.status {
            206 if self.at > 0 => self.check_range(&response).map(|()| 0)?,
            200 => self.at,
            // The file was complete already.
            416 if self.at > 0 && response.content_range() == Some(format!("bytes */{}", self.at)) => {
                return self.check_digest().map_err(TransferError::Mirror);
            }
            code => return Err(TransferError::Mirror(status_failure(&response, code))),
        };
        let base = self.at.saturating_sub(skip);
        let end = response.content_length().map(|length| base.saturating_add(length));
        self.check_length(end)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let got = response.body.read_some(&mut buffer)?;
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

    fn send_chunk(&mut self, chunk: FileChunk<'_>) -> Result<(), DownloadError> {
        (self.sink)(chunk).map_err(|source| DownloadError::Write { what: self.request.name.clone(), source })
    }

    /// Checks a `Content-Range`: `bytes FIRST-LAST/SIZE`, starting at the requested byte.
    fn check_range(&self, response: &HttpResponse) -> Result<(), MirrorFailure> {
        let got = response.content_range().unwrap_or_else(|| "no Content-Range".into());
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
