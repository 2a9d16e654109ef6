//! Parent side of a download of one file: validates every message of the worker.

use std::io;

use crate::qemu::download::attempts::{AttemptTracker, protocol_error};
use crate::qemu::download::protocol::DownloadMessage;
use crate::qemu::download::supervise_package::DownloadWorkerError;
use crate::qemu::download::{DownloadError, DownloadEvent, DownloadSummary, FileChunk, FileDownload, FileUrl};
use crate::sandbox::frame::{Frame, MissingProtection};
use crate::sandbox::session::Inbox;
use crate::sanitize::to_one_line;

/// Supervisor of a download of one file.
#[derive(Debug)]
pub struct FileSupervisor<'a> {
    request: &'a FileDownload,
    inbox: Inbox,
    attempts: AttemptTracker,
    /// Number of bytes so far.
    at: u64,
    /// Number of bytes that the worker has delivered, in all attempts.
    delivered: u64,
}

impl<'a> FileSupervisor<'a> {
    /// Creates a supervisor for a worker that has sent no message yet.
    pub fn new(wanted: &'a FileDownload, urls: &[FileUrl]) -> Self {
        let attempts =
            AttemptTracker::new(urls.iter().map(ToString::to_string).collect(), wanted.size.unwrap_or(wanted.most));
        Self { request: wanted, inbox: Inbox::default(), attempts, at: wanted.there, delivered: 0 }
    }

    /// Returns the protections of the worker that this kernel lacks.
    pub fn missing_protections(&self) -> &[MissingProtection] {
        self.inbox.missing_protections()
    }

    /// Returns the progress in bytes: those that the worker has received, and those that it has delivered.
    pub fn progress(&self) -> u64 {
        self.attempts.progress().saturating_add(self.delivered)
    }

    /// Handles output of the worker, and passes the bytes of the file to `sink`, never more than the file may have. Returns a
    /// summary once the download is complete. The file then has the expected size; its bytes are not verified.
    pub fn handle_input(
        &mut self,
        mut input: &[u8],
        sink: &mut dyn FnMut(FileChunk<'_>) -> io::Result<()>,
        report: &mut dyn FnMut(DownloadEvent<'_>),
    ) -> Result<Option<DownloadSummary>, DownloadWorkerError> {
        while let Some(frame) = self.inbox.next_frame(&mut input)? {
            let done = match frame {
                Frame::Bytes(bytes) => self.handle_bytes(bytes, sink).map(|()| None)?,
                Frame::Message(message) => self.handle_message(message, sink, report)?,
            };
            if done.is_some() {
                return Ok(done);
            }
        }
        Ok(None)
    }

    fn handle_bytes(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn FnMut(FileChunk<'_>) -> io::Result<()>,
    ) -> Result<(), DownloadWorkerError> {
        self.attempts.current_mirror()?;
        let at = self.at.saturating_add(bytes.len() as u64);
        if at > self.request.size.unwrap_or(self.request.most) {
            return Err(protocol_error("more bytes than the file has"));
        }
        self.write_chunk(FileChunk::Bytes(bytes), sink)?;
        self.at = at;
        self.delivered = self.delivered.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn write_chunk(
        &self,
        chunk: FileChunk<'_>,
        sink: &mut dyn FnMut(FileChunk<'_>) -> io::Result<()>,
    ) -> Result<(), DownloadWorkerError> {
        sink(chunk).map_err(|source| {
            DownloadWorkerError::Failed(DownloadError::Write { what: self.request.name.clone(), source })
        })
    }

    fn handle_message(
        &mut self,
        message: DownloadMessage,
        sink: &mut dyn FnMut(FileChunk<'_>) -> io::Result<()>,
        report: &mut dyn FnMut(DownloadEvent<'_>),
    ) -> Result<Option<DownloadSummary>, DownloadWorkerError> {
        match message {
            DownloadMessage::Asking { mirror } => self.attempts.start_attempt(mirror, report)?,
            DownloadMessage::Moved { bytes, of } => self.attempts.record_moved(bytes, of, report)?,
            DownloadMessage::GaveUp(reason) => {
                let restarts = self.request.restarts_after(&reason) && self.at > 0;
                self.attempts.record_failure(reason, report)?;
                if restarts {
                    self.at = 0;
                    self.write_chunk(FileChunk::Restart, sink)?;
                }
            }
            DownloadMessage::Fetched { moved } => {
                let url = self.attempts.current_mirror()?;
                if self.request.size.is_some_and(|size| size != self.at) {
                    return Err(protocol_error("the end of the download before the end of the file"));
                }
                return Ok(Some(DownloadSummary { url, moved }));
            }
            DownloadMessage::Failed => {
                return Err(self.attempts.all_failed(self.request.name.clone(), self.request.mirrored));
            }
            DownloadMessage::NoClient(why) => {
                return Err(DownloadWorkerError::Failed(DownloadError::Client(to_one_line(&why))));
            }
            DownloadMessage::Verified | DownloadMessage::Inconsistent(_) => {
                return Err(protocol_error("a message about a package during the download of a file"));
            }
        }
        Ok(None)
    }
}
