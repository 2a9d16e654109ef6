//! Download worker: gives up its rights, reads its job, downloads, and reports the result.
//!
//! It reads certificates while it still has rights. It creates the HTTP client, which has all threads of the worker, after it
//! gave them up and before it reports that it is ready (see [`crate::sandbox::session`]).

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

/// Runs the job on standard input.
pub fn run_worker() -> Result<ExitCode> {
    let (confined, roots) = session::start_confined(&Profile::CLIENT, RootCertificates::load_system)?;
    let job: DownloadRequest = session::read_job()?;
    let client = HttpClient::new(&job.options, roots.with_pem(job.extra_roots.as_bytes()));
    let writer = RefCell::new(MessageWriter { out: confined.report_ready(job.parent)?, last_message: None });
    let last = final_message(match client {
        Ok(client) => run_download(&job, &client, &writer)?,
        Err(error) => Err(error),
    });
    writer.borrow_mut().out.send(&last).map_err(worker_error("write for"))?;
    Ok(ExitCode::Ok)
}

/// Downloads the package or the file of the job. The outer error is one that cannot be reported to the parent, or that the
/// parent already knows.
fn run_download(
    job: &DownloadRequest,
    client: &HttpClient,
    writer: &RefCell<MessageWriter>,
) -> Result<std::result::Result<DownloadSummary, DownloadError>> {
    let mut report = |event: DownloadEvent<'_>| writer.borrow_mut().write_event(event);
    let result = match &job.what {
        DownloadTask::Members { package: digest, targets, mirrors } => {
            let catalog = Catalog::embedded()?;
            let package = catalog.packages.iter().find(|package| package.sha256 == *digest);
            let package = package.ok_or_else(|| Error::Usage(format!("no package {digest}")))?;
            let targets: Vec<_> = targets.iter().map(String::as_str).collect();
            let plan = package.plan_blocks(&targets)?;
            download::download_package(
                &plan,
                mirrors,
                client,
                &mut |_, bytes| writer.borrow_mut().write_bytes(bytes),
                &mut report,
            )
        }
        DownloadTask::File { wanted, urls } => {
            let mut send = |chunk: FileChunk<'_>| match chunk {
                FileChunk::Bytes(bytes) => writer.borrow_mut().write_bytes(bytes),
                // The parent detects a restart itself.
                FileChunk::Restart => Ok(()),
            };
            download::download_file(wanted, urls, client, &mut send, &mut report)
        }
    };
    match result {
        // The parent has stopped reading.
        Err(error @ DownloadError::Write { .. }) => Err(error.into()),
        result => Ok(result),
    }
}

fn final_message(result: std::result::Result<DownloadSummary, DownloadError>) -> DownloadMessage {
    match result {
        Ok(result) => DownloadMessage::Fetched { moved: result.moved },
        Err(DownloadError::Client(why)) => DownloadMessage::NoClient(why),
        Err(DownloadError::Inconsistent { why, .. }) => DownloadMessage::Inconsistent(to_one_line(&why)),
        Err(_) => DownloadMessage::Failed,
    }
}

/// Writer of messages to the parent.
struct MessageWriter {
    out: Channel,
    /// Time of the last message about the progress.
    last_message: Option<Instant>,
}

impl MessageWriter {
    fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.queue_bytes(bytes)
    }

    /// Sends an event. A failure is ignored, because the next write of bytes detects a parent that has exited.
    fn write_event(&mut self, event: DownloadEvent<'_>) {
        let message = match event {
            DownloadEvent::Asking { mirror, .. } => DownloadMessage::Asking { mirror },
            DownloadEvent::Moved { bytes, of } if self.is_due(bytes == of) => DownloadMessage::Moved { bytes, of },
            DownloadEvent::Moved { .. } => return,
            DownloadEvent::GaveUp { reason, .. } => DownloadMessage::GaveUp(reason.clone()),
            DownloadEvent::Verified { .. } => DownloadMessage::Verified,
        };
        drop(self.out.send(&message));
    }

    fn is_due(&mut self, last: bool) -> bool {
        let is_due = last || self.last_message.is_none_or(|time| time.elapsed() >= PROGRESS_INTERVAL);
        if is_due {
            self.last_message = Some(Instant::now());
        }
        is_due
    }
}
