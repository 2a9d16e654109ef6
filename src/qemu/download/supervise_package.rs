//! What the parent makes of the child's words. It believes none of them: each has its turn, its size
//! and its end, and all text that people see is the parent's own or made printable.
//!
//! Knows no process: [`Receiver`] is given bytes, wherever they come from.

use std::io;

use crate::qemu::catalog::{BlockPlan, Member};
use crate::qemu::download::protocol::DownloadMessage;
use crate::qemu::download::supervise::{AttemptTracker, protocol_error};
use crate::qemu::download::{DownloadError, DownloadEvent, DownloadSummary, Mirror};
use crate::sandbox::frame::{Frame, MissingProtection, ProtocolError};
use crate::sandbox::session::Inbox;
use crate::sanitize::to_one_line;

/// Follows one download.
#[derive(Debug)]
pub struct PackageSupervisor<'a> {
    plan: &'a BlockPlan<'a>,
    inbox: Inbox,
    attempts: AttemptTracker,
    /// How many members are complete.
    complete: usize,
    /// How many bytes of the next one there are.
    delivered: u64,
}

/// Why nothing more is read.
#[derive(Debug)]
pub enum DownloadWorkerError {
    /// The child breaks the rules.
    Protocol(ProtocolError),
    /// The download failed, as downloads do.
    Failed(DownloadError),
}

impl From<ProtocolError> for DownloadWorkerError {
    fn from(garbled: ProtocolError) -> Self {
        Self::Protocol(garbled)
    }
}

impl<'a> PackageSupervisor<'a> {
    /// Nothing was said yet.
    pub fn new(plan: &'a BlockPlan<'a>, mirrors: &'a [Mirror]) -> Self {
        let shown = mirrors.iter().map(|mirror| mirror.display_url(plan.package())).collect();
        Self { plan, inbox: Inbox::default(), attempts: AttemptTracker::new(shown), complete: 0, delivered: 0 }
    }

    /// What this kernel could not take from the child.
    pub fn missing_protections(&self) -> &[MissingProtection] {
        self.inbox.missing_protections()
    }

    /// Takes what came, and gives members' bytes to `sink`, never more of one than it is long. Done when
    /// it returns what was fetched.
    pub fn handle_input(
        &mut self,
        mut input: &[u8],
        sink: &mut dyn FnMut(&Member, &[u8]) -> io::Result<()>,
        tell: &mut dyn FnMut(DownloadEvent<'_>),
    ) -> Result<Option<DownloadSummary>, DownloadWorkerError> {
        while let Some(piece) = self.inbox.next_frame(&mut input)? {
            let done = match piece {
                Frame::Bytes(bytes) => self.handle_bytes(bytes, sink).map(|()| None)?,
                Frame::Message(word) => self.handle_message(word, tell)?,
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
        let given = self.delivered.saturating_add(bytes.len() as u64);
        if given > member.size {
            return Err(protocol_error(&format!("more bytes of qemu-{} than it has", member.target)));
        }
        sink(member, bytes).map_err(|source| {
            DownloadWorkerError::Failed(DownloadError::Write { what: format!("qemu-{}", member.target), source })
        })?;
        self.delivered = given;
        Ok(())
    }

    fn handle_message(
        &mut self,
        word: DownloadMessage,
        tell: &mut dyn FnMut(DownloadEvent<'_>),
    ) -> Result<Option<DownloadSummary>, DownloadWorkerError> {
        match word {
            DownloadMessage::Asking { mirror } => self.attempts.start_attempt(mirror, tell)?,
            DownloadMessage::Moved { bytes, of } => {
                self.attempts.current_mirror()?;
                tell(DownloadEvent::Moved { bytes, of });
            }
            DownloadMessage::GaveUp(reason) => self.attempts.record_failure(reason, tell)?,
            DownloadMessage::Verified => self.finish_member(tell)?,
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

    fn finish_member(&mut self, tell: &mut dyn FnMut(DownloadEvent<'_>)) -> Result<(), DownloadWorkerError> {
        self.attempts.current_mirror()?;
        let member = self.next_member()?;
        if self.delivered != member.size {
            return Err(protocol_error(&format!("that qemu-{} is complete, which it is not", member.target)));
        }
        tell(DownloadEvent::Verified { member });
        self.complete = self.complete.saturating_add(1);
        self.delivered = 0;
        Ok(())
    }

    fn finish_download(&self, moved: u64) -> Result<DownloadSummary, DownloadWorkerError> {
        let url = self.attempts.current_mirror()?;
        if self.complete < self.plan.members().len() {
            return Err(protocol_error("that all is fetched, which it is not"));
        }
        Ok(DownloadSummary { url, moved })
    }

    /// The member whose bytes come next.
    fn next_member(&self) -> Result<&'a Member, DownloadWorkerError> {
        let next = self.plan.members().get(self.complete).copied();
        next.ok_or_else(|| protocol_error("more members than were asked for"))
    }
}
