//! The worker that downloads: gives up its rights, reads its job, downloads, and reports what comes of it.
//!
//! Certificates are read while there are rights; the HTTP client, which has threads, is made when they are gone (see
//! [`crate::sandbox::session`]).

use std::cell::RefCell;
use std::io;
use std::time::Instant;

use crate::error::{Error, ExitCode, Result};
use crate::qemu::catalog::Catalog;
use crate::qemu::download;
use crate::qemu::download::protocol::{DownloadMessage, DownloadRequest, DownloadTask};
use crate::qemu::download::{DownloadError, DownloadEvent, DownloadSummary, FileChunk, HttpClient, RootCertificates};
use crate::sandbox::confine::Profile;
use crate::sandbox::session;
use crate::sandbox::session::{Channel, PROGRESS_INTERVAL, worker_error};
use crate::sanitize::to_one_line;

/// Does the job that is on standard input.
pub fn run_worker() -> Result<ExitCode> {
    let (confined, roots) = session::start_confined(&Profile::CLIENT, RootCertificates::load_system)?;
    let job: DownloadRequest = session::read_job()?;
    let voice = RefCell::new(MessageWriter { out: confined.report_ready(job.parent)?, last_message: None });
    let last = final_message(run_download(&job, roots, &voice)?);
    voice.borrow_mut().out.send(&last).map_err(worker_error("write for"))?;
    Ok(ExitCode::Ok)
}

/// The outer error is one that the parent cannot be told, or knows better.
fn run_download(
    job: &DownloadRequest,
    roots: RootCertificates,
    voice: &RefCell<MessageWriter>,
) -> Result<std::result::Result<DownloadSummary, DownloadError>> {
    let client = match HttpClient::new(&job.options, roots.with_pem(job.extra_roots.as_bytes())) {
        Ok(client) => client,
        Err(error) => return Ok(Err(error)),
    };
    let mut tell = |event: DownloadEvent<'_>| voice.borrow_mut().write_event(event);
    let fetched = match &job.what {
        DownloadTask::Members { package: digest, targets, mirrors } => {
            let catalog = Catalog::embedded()?;
            let package = catalog.packages.iter().find(|package| package.sha256 == *digest);
            let package = package.ok_or_else(|| Error::Usage(format!("no package {digest}")))?;
            let targets: Vec<_> = targets.iter().map(String::as_str).collect();
            let plan = package.plan_blocks(&targets)?;
            download::download_package(
                &plan,
                mirrors,
                &client,
                &mut |_, bytes| voice.borrow_mut().write_bytes(bytes),
                &mut tell,
            )
        }
        DownloadTask::File { wanted, urls } => {
            let mut give = |part: FileChunk<'_>| match part {
                FileChunk::Bytes(bytes) => voice.borrow_mut().write_bytes(bytes),
                // The parent knows when.
                FileChunk::Restart => Ok(()),
            };
            download::download_file(wanted, urls, &client, &mut give, &mut tell)
        }
    };
    match fetched {
        // Nobody listens any more.
        Err(error @ DownloadError::Write { .. }) => Err(error.into()),
        fetched => Ok(fetched),
    }
}

fn final_message(fetched: std::result::Result<DownloadSummary, DownloadError>) -> DownloadMessage {
    match fetched {
        Ok(fetched) => DownloadMessage::Fetched { moved: fetched.moved },
        Err(DownloadError::Client(why)) => DownloadMessage::NoClient(why),
        Err(DownloadError::Inconsistent { why, .. }) => DownloadMessage::Inconsistent(to_one_line(&why)),
        Err(_) => DownloadMessage::Failed,
    }
}

/// For the parent's ears.
struct MessageWriter {
    out: Channel,
    /// When it was told how far it is.
    last_message: Option<Instant>,
}

impl MessageWriter {
    fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.queue_bytes(bytes)
    }

    /// A parent that is gone is noticed when bytes are given.
    fn write_event(&mut self, event: DownloadEvent<'_>) {
        let word = match event {
            DownloadEvent::Asking { mirror, .. } => DownloadMessage::Asking { mirror },
            DownloadEvent::Moved { bytes, of } if self.is_due(bytes == of) => DownloadMessage::Moved { bytes, of },
            DownloadEvent::Moved { .. } => return,
            DownloadEvent::GaveUp { reason, .. } => DownloadMessage::GaveUp(reason.clone()),
            DownloadEvent::Verified { .. } => DownloadMessage::Verified,
        };
        drop(self.out.send(&word));
    }

    fn is_due(&mut self, last: bool) -> bool {
        let news = last || self.last_message.is_none_or(|told| told.elapsed() >= PROGRESS_INTERVAL);
        if news {
            self.last_message = Some(Instant::now());
        }
        news
    }
}
