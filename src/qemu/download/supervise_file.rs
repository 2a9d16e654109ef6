//! What the parent makes of the words of a child that downloads one file.

use std::io;

use crate::qemu::download::protocol::DownloadMessage;
use crate::qemu::download::supervise::{AttemptTracker, protocol_error};
use crate::qemu::download::supervise_package::DownloadWorkerError;
use crate::qemu::download::{DownloadError, DownloadEvent, DownloadSummary, FileChunk, FileDownload, FileUrl};
use crate::sandbox::frame::{Frame, MissingProtection};
use crate::sandbox::session::Inbox;
use crate::sanitize::to_one_line;

/// Follows the download of one file.
#[derive(Debug)]
pub struct FileSupervisor<'a> {
    request: &'a FileDownload,
    inbox: Inbox,
    attempts: AttemptTracker,
    /// How many of its bytes there are.
    at: u64,
}

impl<'a> FileSupervisor<'a> {
    /// Nothing was said yet.
    pub fn new(wanted: &'a FileDownload, urls: &[FileUrl]) -> Self {
        let course = AttemptTracker::new(urls.iter().map(ToString::to_string).collect());
        Self { request: wanted, inbox: Inbox::default(), attempts: course, at: wanted.there }
    }

    /// What this kernel could not take from the child.
    pub fn missing_protections(&self) -> &[MissingProtection] {
        self.inbox.missing_protections()
    }

    /// Takes what came, and gives the file to `sink`, never more than it may have. Done when it returns what was fetched:
    /// as many bytes as it should have, whichever they are.
    pub fn handle_input(
        &mut self,
        mut input: &[u8],
        sink: &mut dyn FnMut(FileChunk<'_>) -> io::Result<()>,
        tell: &mut dyn FnMut(DownloadEvent<'_>),
    ) -> Result<Option<DownloadSummary>, DownloadWorkerError> {
        while let Some(piece) = self.inbox.next_frame(&mut input)? {
            let done = match piece {
                Frame::Bytes(bytes) => self.handle_bytes(bytes, sink).map(|()| None)?,
                Frame::Message(word) => self.handle_message(word, sink, tell)?,
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
        Ok(())
    }

    fn write_chunk(
        &self,
        part: FileChunk<'_>,
        sink: &mut dyn FnMut(FileChunk<'_>) -> io::Result<()>,
    ) -> Result<(), DownloadWorkerError> {
        sink(part).map_err(|source| {
            DownloadWorkerError::Failed(DownloadError::Write { what: self.request.name.clone(), source })
        })
    }

    fn handle_message(
        &mut self,
        word: DownloadMessage,
        sink: &mut dyn FnMut(FileChunk<'_>) -> io::Result<()>,
        tell: &mut dyn FnMut(DownloadEvent<'_>),
    ) -> Result<Option<DownloadSummary>, DownloadWorkerError> {
        match word {
            DownloadMessage::Asking { mirror } => self.attempts.start_attempt(mirror, tell)?,
            DownloadMessage::Moved { bytes, of } => {
                self.attempts.current_mirror()?;
                tell(DownloadEvent::Moved { bytes, of });
            }
            DownloadMessage::GaveUp(reason) => {
                let restarts = self.request.restarts_after(&reason) && self.at > 0;
                self.attempts.record_failure(reason, tell)?;
                if restarts {
                    self.at = 0;
                    self.write_chunk(FileChunk::Restart, sink)?;
                }
            }
            DownloadMessage::Fetched { moved } => {
                let url = self.attempts.current_mirror()?;
                if self.request.size.is_some_and(|size| size != self.at) {
                    return Err(protocol_error("that all is fetched, which it is not"));
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
                return Err(protocol_error("something of a package, and a file is asked for"));
            }
        }
        Ok(None)
    }
}
