//! Parent side of a download of a package: validates the order and the size of everything that the worker sends. Texts for
//! people come from the parent, or are made printable.
//!
//! [`PackageSupervisor`] depends on no process: it handles bytes from any origin.

use std::io;

use crate::qemu::catalog::{BlockPlan, Member};
use crate::qemu::download::attempts::{AttemptTracker, protocol_error};
use crate::qemu::download::protocol::DownloadMessage;
use crate::qemu::download::{DownloadError, DownloadEvent, DownloadSummary, Mirror};
use crate::sandbox::frame::{Frame, MissingProtection, ProtocolError};
use crate::sandbox::session::Inbox;
use crate::sanitize::to_one_line;

/// Supervisor of a download of a package.
#[derive(Debug)]
pub struct PackageSupervisor<'a> {
    plan: &'a BlockPlan<'a>,
    inbox: Inbox,
    attempts: AttemptTracker,
    /// Number of complete members.
    complete: usize,
    /// Number of received bytes of the current member.
    delivered: u64,
    /// Number of received bytes of all members.
    total: u64,
}

/// Why a worker is not supervised any further.
#[derive(Debug)]
pub enum DownloadWorkerError {
    /// The worker broke the protocol.
    Protocol(ProtocolError),
    /// The download failed.
    Failed(DownloadError),
}

impl From<ProtocolError> for DownloadWorkerError {
    fn from(violation: ProtocolError) -> Self {
        Self::Protocol(violation)
    }
}

impl<'a> PackageSupervisor<'a> {
    /// Creates a supervisor for a worker that has sent no message yet.
    pub fn new(plan: &'a BlockPlan<'a>, mirrors: &'a [Mirror]) -> Self {
        let shown = mirrors.iter().map(|mirror| mirror.display_url(plan.package())).collect();
        let attempts = AttemptTracker::new(shown, plan.package().size);
        Self { plan, inbox: Inbox::default(), attempts, complete: 0, delivered: 0, total: 0 }
    }

    /// Returns the protections of the worker that this kernel lacks.
    pub fn missing_protections(&self) -> &[MissingProtection] {
        self.inbox.missing_protections()
    }

    /// Returns the progress in bytes: those that the worker has received, and those that it has delivered.
    pub fn progress(&self) -> u64 {
        self.attempts.progress().saturating_add(self.total)
    }

    /// Handles output of the worker, and passes the bytes of members to `sink`, never more than a member has. Returns a
    /// summary once the download is complete.
    pub fn handle_input(
        &mut self,
        mut input: &[u8],
        sink: &mut dyn FnMut(&Member, &[u8]) -> io::Result<()>,
        report: &mut dyn FnMut(DownloadEvent<'_>),
    ) -> Result<Option<DownloadSummary>, DownloadWorkerError> {
        while let Some(frame) = self.inbox.next_frame(&mut input)? {
            let done = match frame {
                Frame::Bytes(bytes) => self.handle_bytes(bytes, sink).map(|()| None)?,
                Frame::Message(message) => self.handle_message(message, report)?,
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
        sink: &mut dyn FnMut(&Member, &[u8]) -> io::Result<()>,
    ) -> Result<(), DownloadWorkerError> {
        self.attempts.current_mirror()?;
        let member = self.next_member()?;
        let delivered = self.delivered.saturating_add(bytes.len() as u64);
        if delivered > member.size {
            return Err(protocol_error(&format!("more bytes of qemu-{} than it has", member.target)));
        }
        sink(member, bytes).map_err(|source| {
            DownloadWorkerError::Failed(DownloadError::Write { what: format!("qemu-{}", member.target), source })
        })?;
        self.delivered = delivered;
        self.total = self.total.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn handle_message(
        &mut self,
        message: DownloadMessage,
        report: &mut dyn FnMut(DownloadEvent<'_>),
    ) -> Result<Option<DownloadSummary>, DownloadWorkerError> {
        match message {
            DownloadMessage::Asking { mirror } => self.attempts.start_attempt(mirror, report)?,
            DownloadMessage::Moved { bytes, of } => self.attempts.record_moved(bytes, of, report)?,
            DownloadMessage::GaveUp(reason) => self.attempts.record_failure(reason, report)?,
            DownloadMessage::Verified => self.finish_member(report)?,
            DownloadMessage::Fetched { moved } => return self.finish_download(moved).map(Some),
            DownloadMessage::Failed => {
                return Err(self.attempts.all_failed(self.plan.package().file_name().to_owned(), true));
            }
            DownloadMessage::NoClient(why) => {
                return Err(DownloadWorkerError::Failed(DownloadError::Client(to_one_line(&why))));
            }
            DownloadMessage::Inconsistent(why) => {
                self.attempts.current_mirror()?;
                let (target, why) = (self.next_member()?.target.clone(), to_one_line(&why));
                return Err(DownloadWorkerError::Failed(DownloadError::Inconsistent { target, why }));
            }
        }
        Ok(None)
    }

    fn finish_member(&mut self, report: &mut dyn FnMut(DownloadEvent<'_>)) -> Result<(), DownloadWorkerError> {
        self.attempts.current_mirror()?;
        let member = self.next_member()?;
        if self.delivered != member.size {
            return Err(protocol_error(&format!("the end of qemu-{} before its last byte", member.target)));
        }
        report(DownloadEvent::Verified { member });
        self.complete = self.complete.saturating_add(1);
        self.delivered = 0;
        Ok(())
    }

    fn finish_download(&self, moved: u64) -> Result<DownloadSummary, DownloadWorkerError> {
        let url = self.attempts.current_mirror()?;
        if self.complete < self.plan.members().len() {
            return Err(protocol_error("the end of the download before the last member"));
        }
        Ok(DownloadSummary { url, moved })
    }

    /// Returns the member whose bytes are expected.
    fn next_member(&self) -> Result<&'a Member, DownloadWorkerError> {
        let next = self.plan.members().get(self.complete).copied();
        next.ok_or_else(|| protocol_error("more members than were requested"))
    }
}
